/* soakmake.c - clusters, queues, accounts and jobs that nobody chose
 *
 * Layer: tests.
 */
#include "soak/soak.h"

#include <signal.h>
#include <string.h>

#include "base/mem.h"
#include "core/kinds.h"

static uint32_t dice(struct soak *s, uint32_t n)
{
    return soak_dice(s, n);
}

/* ---- the cluster */

/* Two worlds of three know what is between GPUs, for most of their nodes. */
static void make_links(struct soak *s)
{
    for (size_t i = 0, n = dice(s, 4); i < n && i < 3; i++)
        s->machines[i] = dice(s, 3) ? kind_random(&s->rand, 8) : kind_mesh();
    s->levels[0] = (struct tug_core_level){"leaf", dice(s, 2) * 10000000000, 1 + dice(s, 3), 0};
    s->levels[1] = (struct tug_core_level){"spine", dice(s, 2) * 10000000000, 1, (uint8_t) (dice(s, 4) == 0)};
    s->conf.levels = s->levels;
    s->conf.n_levels = dice(s, 3);
}

static void make_nodes(struct soak *s)
{
    uint32_t n = 1 + dice(s, SOAK_NODES), alike = dice(s, 2), gpus = 1 + dice(s, 8);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(s->names[i], sizeof s->names[i], "m%u", i);
        if (!alike)
            gpus = dice(s, 5) ? 1 + dice(s, 8) : 0; /* of CPUs only */
        s->rows[i] = (struct tug_core_node_row){
            .name = s->names[i],
            .cpus = alike ? 16 : 4 + dice(s, 28),
            .gpus = gpus,
            .mem_bytes = (uint64_t) (alike ? 64 : 16 + dice(s, 100)) << 30,
            .gpu_model = gpus && dice(s, 2) ? "NVIDIA H200" : ""};
    }
    s->conf.nodes = s->rows;
    s->conf.n_nodes = n;
    snprintf(s->lists[0], sizeof s->lists[0], "m[0-%u]", (n - 1) / 2);
    snprintf(s->lists[1], sizeof s->lists[1], "m[%u-%u]", n / 2, n - 1);
    s->domains[0] = (struct tug_core_domain){"leaf1", "leaf", "spine", s->lists[0]};
    s->domains[1] = (struct tug_core_domain){"spine", "spine", "", ""};
    snprintf(s->lists[2], sizeof s->lists[2], "m[%u-%u]", (n - 1) / 2 + 1, n - 1);
    s->domains[2] = (struct tug_core_domain){"leaf2", "leaf", "spine", s->lists[2]};
    s->conf.domains = s->domains;
    s->conf.n_domains = n > 2 && dice(s, 4) ? 3 : 0;
    s->conf.placement = (enum tug_placement) dice(s, TUG_PLACEMENT_TOPOLOGY + 1);
    make_links(s);
    s->asks = s->conf.n_domains && dice(s, 3);
}

static uint32_t all_gpus(const struct tug_core_conf *conf)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < conf->n_nodes; i++)
        sum += conf->nodes[i].gpus;
    return sum;
}

static void make_limits(struct soak *s, struct tug_core_queue *q)
{
    uint32_t gpus = all_gpus(&s->conf), fair = gpus / 4;
    q->cap_gpus = q->guarantee_gpus = 0;
    q->no_borrow = q->no_lend = 0;
    if (dice(s, 2) && fair)
        q->guarantee_gpus = 1 + dice(s, fair);
    if (dice(s, 3) == 0 && gpus)
        q->cap_gpus = q->guarantee_gpus + 1 + dice(s, gpus);
    q->no_borrow = q->guarantee_gpus && dice(s, 5) == 0;
    q->no_lend = q->guarantee_gpus && dice(s, 4) == 0;
}

static void make_ways(struct soak *s, struct tug_core_queue *q)
{
    static const int signals[] = {0, SIGUSR1, SIGTERM};
    q->tier = dice(s, 3);
    q->priority = (int32_t) dice(s, 3);
    q->preemptable = (enum tug_policy_preemptable) dice(s, 4);
    q->preempt_min_run_s = dice(s, 2) ? 0 : dice(s, 300);
    q->preempt_notice_s = dice(s, 2) ? 0 : dice(s, 120);
    q->preempt_signal = signals[dice(s, 3)];
    q->share_gpus = dice(s, 2) ? TUG_GPU_SHARING_ALL : TUG_GPU_SHARING_USER;
}

static void make_queues(struct soak *s)
{
    static const char *const names[SOAK_QUEUES] = {"main",   "low",    "high", "dept",
                                                   "dept-a", "dept-b", "part"};
    for (uint32_t i = 0; i < SOAK_QUEUES; i++) {
        struct tug_core_queue *q = &s->queues[i];
        *q = (struct tug_core_queue){
            .name = names[i], .nodes = "", .is_default = i == 0, .weight = 1 + dice(s, 4)};
        if (i == 4 || i == 5)
            q->parent = "dept";
        if (i == 6)
            q->nodes = s->lists[dice(s, 2)];
        if (s->exact)
            continue;
        make_limits(s, q);
        make_ways(s, q);
    }
    s->conf.queues = s->queues;
    s->conf.n_queues = SOAK_QUEUES;
}

static void make_accounts(struct soak *s)
{
    static const struct tug_core_account accounts[SOAK_ACCOUNTS] = {
        {"lab", "", 3, ""},
        {"lab-x", "lab", 1, "ann=2,bob"},
        {"lab-y", "lab", 2, ""},
        {"shop", "", 1, ""},
        {"shop-z", "shop", 1, "cat,ann"}};
    memcpy(s->accounts, accounts, sizeof accounts);
    s->conf.accounts = s->accounts;
    s->conf.n_accounts = dice(s, 2) ? SOAK_ACCOUNTS : 0;
}

static enum tug_preemption make_preemption(struct soak *s)
{
    return s->needs_order ? TUG_PREEMPTION_ORDER
           : s->exact     ? TUG_PREEMPTION_OFF
           : dice(s, 4)   ? (enum tug_preemption)(1 + dice(s, 2))
                          : TUG_PREEMPTION_OFF;
}

static void make_rest(struct soak *s)
{
    static const int64_t half_lives[] = {0, 600000, 3600000, 86400000};
    struct tug_core_conf *conf = &s->conf;
    conf->launch_timeout_s = 60;
    conf->kill_grace_s = 1 + dice(s, 30);
    conf->launch_retries = 2 + dice(s, 3);
    conf->pass_budget = s->exact || dice(s, 4) ? 0 : 5 + dice(s, 20);
    conf->node_bad_launches = dice(s, 3) ? 0 : 2 + dice(s, 5);
    conf->failures_kept_ms = dice(s, 2) ? 0 : 600000;
    conf->flap_losses = dice(s, 3) ? 0 : 2 + dice(s, 3);
    conf->flap_period_s = 300;
    conf->cleaning_timeout_s = 60;
    conf->kept_ms = dice(s, 60000);
    conf->seed = s->seed;
    conf->preempt_max = dice(s, 5);
    conf->usage_half_life_ms = half_lives[dice(s, 4)];
    conf->usage_cpu_weight = dice(s, 2) ? 0 : 0.25;
    conf->quiet = (uint8_t) ((dice(s, 3) == 0) ^ s->flip_quiet);
    conf->preemption = make_preemption(s);
}

static void note_preempt_max(struct soak *s)
{
    uint32_t max = s->conf.preempt_max ? s->conf.preempt_max : 3;
    if (max > s->largest_preempt_max)
        s->largest_preempt_max = max;
}

void soak_make_world(struct soak *s)
{
    make_nodes(s);
    make_queues(s);
    make_accounts(s);
    make_rest(s);
    note_preempt_max(s);
    memcpy(s->first_queues, s->queues, sizeof s->queues);
    s->first_conf = s->conf;
    s->first_conf.queues = s->first_queues;
}

/* Back to how it was, or something else. */
void soak_change_conf(struct soak *s)
{
    struct tug_core_queue *q = &s->queues[dice(s, SOAK_QUEUES)];
    struct tug_err err = {0};
    if (s->calm) {
        memcpy(s->queues, s->first_queues, sizeof s->queues);
        s->conf = s->first_conf;
        s->conf.queues = s->queues;
    } else {
        make_limits(s, q);
        make_ways(s, q);
        q->is_down = (uint8_t) (dice(s, 8) == 0 && q != s->queues);
        q->weight = 1 + dice(s, 4);
        s->queues[6].nodes = s->lists[dice(s, 2)];
        make_rest(s);
        s->conf.placement = (enum tug_placement) dice(s, TUG_PLACEMENT_TOPOLOGY + 1);
        s->accounts[dice(s, SOAK_ACCOUNTS)].weight = 1 + dice(s, 5);
        s->conf.n_domains = s->conf.n_nodes > 2 && dice(s, 2) ? 3 : 0;
    }
    note_preempt_max(s);
    int64_t was_ms = tug_core_usage_half_life_ms(s->c);
    int rc = tug_core_configure(s->c, s->now, &s->conf, &err);
    soak_holds(s, rc == 0, "a configuration is refused: %s", err.msg);
    soak_half_life_changes(s, was_ms);
    soak_forget_used(s);
}

/* ---- the policies */

static void some_value(struct soak *s, const struct tug_policy_param *p, char *buf, size_t size)
{
    double from = p->min <= p->max ? p->min : 0, to = p->min <= p->max ? p->max : 100;
    double by = to - from > 50 ? 50 : to - from;
    double x = from + tug_rand_double(&s->rand) * by;
    switch (p->type) {
    case TUG_POLICY_BOOL:
        snprintf(buf, size, "%s", dice(s, 2) ? "yes" : "no");
        break;
    case TUG_POLICY_INT:
        snprintf(buf, size, "%lld", (long long) x);
        break;
    case TUG_POLICY_REAL:
        snprintf(buf, size, "%.3f", x);
        break;
    case TUG_POLICY_DURATION_S:
        snprintf(buf, size, "%llds", (long long) (from + x * 10 < to ? from + x * 10 : x));
        break;
    default:
        snprintf(buf, size, "%s", p->fallback);
    }
}

struct tug_plugset *soak_open_set(struct soak *s, const char *policy)
{
    const char *dirs[] = {s->dir};
    struct tug_plugset *plain = NULL, *set = NULL;
    struct tug_plugset_conf conf = {.names = policy, .dirs = dirs, .n_dirs = 1};
    conf.has = TUG_POLICY_NEEDS_SHARES | (s->needs_expected ? TUG_POLICY_NEEDS_EXPECTED : 0) |
               (s->conf.preemption == TUG_PREEMPTION_ORDER ? TUG_POLICY_NEEDS_ORDER_PREEMPTION : 0);
    if (tug_plugset_open(&conf, &plain, NULL))
        return NULL;
    if (dice(s, 2) || s->exact)
        return plain;
    struct tug_plugload_param params[64];
    char names[64][64], values[64][32];
    size_t n = 0;
    for (size_t i = 0; i < tug_plugset_count(plain); i++) {
        const struct tug_policy_ops *ops = tug_plugload_ops(tug_plugset_at(plain, i));
        for (size_t k = 0; ops->params && ops->params[k].name && n < 64; k++) {
            int holds_back = !strcmp(ops->params[k].name, "spare"); /* also for ever */
            if (dice(s, 2) || holds_back)
                continue;
            snprintf(names[n], sizeof names[n], "%s.%s", ops->name, ops->params[k].name);
            some_value(s, &ops->params[k], values[n], sizeof values[n]);
            params[n] = (struct tug_plugload_param){names[n], values[n]};
            n++;
        }
    }
    for (size_t i = 0; s->trace && i < n; i++)
        printf("# %lld %s: %s\n", (long long) s->now, names[i], values[i]);
    conf.params = params;
    conf.n_params = n;
    if (tug_plugset_open(&conf, &set, NULL)) /* they don't go together */
        return plain;
    tug_plugset_close(plain);
    return set;
}

/* ---- jobs */

static void of_whom(struct soak *s, struct tug_job_req *r)
{
    static const char *const users[] = {"ann", "bob", "cat", "dan"};
    static const char *const names[] = {"train", "eval", "sweep-1", "sweep-2"};
    r->uid = dice(s, 4);
    r->user = users[r->uid];
    r->name = names[dice(s, 4)];
    r->account = "";
    if (s->conf.n_accounts) { /* those that take them */
        static const char *const takes[4][2] = {
            {"lab-x", "shop-z"}, {"lab-x", "lab-y"}, {"shop-z", "lab-y"}, {"lab-y", "lab-y"}};
        r->account = takes[r->uid][dice(s, 2)];
    }
}

/* What it asks of the fabric; only where there is one, as admission sees to. */
static void of_the_fabric(struct soak *s, struct tug_job_req *r)
{
    static const char *const levels[] = {"leaf", "leaf", "spine"};
    r->topology = r->exclusive_level = "";
    if (!s->exact && dice(s, 6) == 0) { /* for a while: with all else that it asks for it may never be so good */
        r->quality_milli = 500 + dice(s, 501);
        r->quality_wait_s = 1 + dice(s, 1200);
    }
    if (!s->conf.n_domains || !s->asks || dice(s, 2))
        return;
    if (dice(s, 3) == 0)
        r->exclusive_level = levels[dice(s, 3)];
    if (dice(s, 4) == 0)
        return;
    r->topology = levels[dice(s, 3)];
    r->spread = dice(s, 6) == 0;
    if (r->spread)
        return;
    r->topology_required = dice(s, 3) != 0;
    if (r->topology_required && dice(s, 4) == 0)
        r->topology_domains = 2;
    if (r->topology_required && !s->exact && dice(s, 3) == 0)
        r->topology_wait_s = 1 + dice(s, 1200);
    if (!r->topology_required && r->nodes % 2 == 0)
        r->segment = 2;
}

struct tug_job_req soak_make_req(struct soak *s)
{
    static const uint8_t leaves[] = {0, 0, 1, 2, 4, 5, 6};
    uint32_t nodes = dice(s, 2) ? 1 : 1 + dice(s, (uint32_t) s->conf.n_nodes);
    uint32_t gpus = dice(s, 6) ? 1 + dice(s, 8) : 0;
    int whole = s->exact || dice(s, 6), uneven;
    if (!whole)
        nodes = gpus = 1;
    uneven = whole && nodes > 1 && gpus > 1 && dice(s, 4) == 0;
    struct tug_job_req r = {.queue = s->queues[s->exact ? 0 : leaves[dice(s, 7)]].name,
                            .batch = dice(s, 4) == 0,
                            .requeue = dice(s, 4) != 0,
                            .interactive = dice(s, 12) == 0,
                            .exclusive = whole && dice(s, 12) == 0,
                            .nodes = nodes,
                            .ntasks = nodes * (1 + dice(s, 3)),
                            .cpus_per_node = 1 + dice(s, 6),
                            .gpus_per_node = gpus,
                            .gpu_milli = whole ? 0 : 100 * (1 + dice(s, 9)),
                            .gpus_last = uneven ? 1 + dice(s, gpus - 1) : 0,
                            .mem_per_node_bytes = dice(s, 3) ? 0 : (uint64_t) dice(s, 48) << 30,
                            .gpu_model = dice(s, 12) || !gpus ? "" : "h200",
                            .nodelist = "",
                            .exclude = ""};
    of_whom(s, &r);
    if (uneven)
        r.cpus_last = 1 + dice(s, r.cpus_per_node);
    of_the_fabric(s, &r);
    if (!s->exact) {
        r.begin_ms = dice(s, 8) ? 0 : s->now + dice(s, 600000);
        r.nice = dice(s, 3) ? 0 : (int32_t) dice(s, 5) - 2;
        if (dice(s, 12) == 0)
            r.nodelist = s->lists[dice(s, 2)];
    }
    return r;
}

int64_t soak_make_work(struct soak *s, struct tug_job_req *r)
{
    static const uint32_t scales_s[] = {60, 900, 7200};
    int64_t work_ms = 1000 + (int64_t) dice(s, scales_s[dice(s, 3)] * 1000);
    if (s->exact)
        r->expected_ms = work_ms;
    else if (s->needs_expected || dice(s, 2)) /* most overestimate, some underestimate */
        r->time_limit_s =
            (uint32_t) (work_ms * (1 + dice(s, 40)) / (dice(s, 8) ? 1000 : 20000)) + 1;
    return work_ms;
}

/* ---- what could run at all */

static const struct tug_core_queue *queue_of(const struct tug_core_conf *conf, const char *name)
{
    for (size_t i = 0; name && i < conf->n_queues; i++)
        if (!strcmp(conf->queues[i].name, name))
            return &conf->queues[i];
    return NULL;
}

static int is_in(const char *list, uint32_t node)
{
    unsigned from, to;
    if (!*list)
        return 1;
    return sscanf(list, "m[%u-%u]", &from, &to) == 2 ? node >= from && node <= to : 0;
}

static int holds(const struct tug_core_conf *conf, const struct tug_job_req *r, uint32_t node,
                 int last)
{
    const struct tug_core_node_row *n = &conf->nodes[node];
    uint32_t i = last ? r->nodes - 1 : 0;
    return is_in(queue_of(conf, r->queue)->nodes, node) && is_in(r->nodelist, node) &&
           (!*r->gpu_model || *n->gpu_model) && n->cpus >= tug_job_req_cpus(r, i) &&
           n->gpus >= tug_job_req_gpus(r, i) && n->mem_bytes >= r->mem_per_node_bytes;
}

static int is_below(const struct tug_core_conf *conf, const char *queue,
                    const struct tug_core_queue *top)
{
    for (const struct tug_core_queue *q = queue_of(conf, queue); q; q = queue_of(conf, q->parent))
        if (q == top)
            return 1;
    return 0;
}

/* What queues that do not lend keep from this one's jobs, at most: a divided one is counted with
 * those below. */
static uint32_t kept_from(const struct tug_core_conf *conf, const char *queue)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < conf->n_queues; i++)
        if (conf->queues[i].no_lend && !is_below(conf, queue, &conf->queues[i]))
            sum += conf->queues[i].guarantee_gpus;
    return sum;
}

/* Nodes of that leaf, or of both, that hold a slice. */
static uint32_t count_in(const struct tug_core_conf *conf, const struct tug_job_req *r,
                         const char *leaf, int last)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < conf->n_nodes; i++)
        n += (uint32_t) (is_in(leaf, i) && holds(conf, r, i, last));
    return n;
}

/* Segments are of two. */
static uint32_t segments_in(const struct tug_core_conf *conf, const struct tug_job_req *r,
                            const char *leaf, uint32_t *ends)
{
    uint32_t full = count_in(conf, r, leaf, 0), any = count_in(conf, r, leaf, 1);
    *ends = full % 2 && any > full; /* an odd one out, and a node for the smaller slice */
    return full / 2;
}

static int is_possible_in_fabric(const struct tug_core_conf *conf, const struct tug_job_req *r)
{
    const char *a = conf->n_domains ? conf->domains[0].nodes : "",
               *b = conf->n_domains ? conf->domains[2].nodes : "";
    uint32_t alike = r->nodes - (r->gpus_last != 0), x, y;
    if (*r->exclusive_level && !conf->n_domains)
        return 0; /* all nodes are in one of either level */
    if ((!r->topology_required && !r->segment) || r->topology_wait_s)
        return 1;
    if (!conf->n_domains)
        return 0;
    if (!strcmp(r->topology, "spine") || r->topology_domains > 1)
        return 1; /* all nodes are below it */
    if (r->segment) {
        uint32_t n = segments_in(conf, r, a, &x) + segments_in(conf, r, b, &y);
        return n + (r->gpus_last && (x || y)) >= r->nodes / 2;
    }
    return (count_in(conf, r, a, 0) >= alike && count_in(conf, r, a, 1) >= r->nodes) ||
           (count_in(conf, r, b, 0) >= alike && count_in(conf, r, b, 1) >= r->nodes);
}

int soak_could_run(const struct soak *s, const struct tug_core_conf *conf,
                   const struct tug_job_req *r)
{
    uint32_t fit = 0, fit_last = 0, gpus = tug_job_req_all_gpus(r), most = 0;
    for (uint32_t i = 0; i < conf->n_nodes; i++) {
        int whole = r->nodes > 1 ? holds(conf, r, i, 0) : holds(conf, r, i, 1);
        fit += (uint32_t) whole;
        fit_last += (uint32_t) holds(conf, r, i, 1);
        if (holds(conf, r, i, 1) && conf->nodes[i].gpus > most)
            most = conf->nodes[i].gpus;
    }
    if (fit < r->nodes - (r->gpus_last != 0) || fit_last < r->nodes)
        return 0;
    if (!is_possible_in_fabric(conf, r))
        return 0;
    if (r->exclusive)
        gpus = most * r->nodes; /* wherever it is put */
    for (const struct tug_core_queue *q = queue_of(conf, r->queue); q;
         q = queue_of(conf, q->parent))
        if ((q->cap_gpus && gpus > q->cap_gpus) || (q->no_borrow && gpus > q->guarantee_gpus))
            return 0;
    (void) s;
    return !gpus || gpus + kept_from(conf, r->queue) <= all_gpus(conf);
}
