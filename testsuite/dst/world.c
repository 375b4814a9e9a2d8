/* world.c - time, what will happen, and a run from its seed to its end
 *
 * One heap of events, by time and then by the order they were said in. Whatever is random comes from a stream of the
 * seed; nothing else decides anything, so a seed is a run. Layer: tests.
 */
#include "dst.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define T0_MS 1700000000000LL      /* when every world begins, wall clock */
#define CALM_MAX_MS (6 * 3600 * 1000LL)
#define AT_ONCE_MAX 100000

/* ---- chance */

int64_t dst_between(struct tug_rand *r, int64_t low, int64_t high)
{
    return low + (int64_t) tug_rand_below(r, (uint64_t) (high - low) + 1);
}

int64_t dst_about(struct tug_rand *r, int64_t mean)
{
    int64_t x = (int64_t) (-log(1.0 - tug_rand_double(r)) * (double) mean);
    return x < 1 ? 1 : x;
}

bool dst_chance(struct tug_rand *r, double p)
{
    return p > 0 && tug_rand_double(r) < p;
}

/* ---- clocks */

int64_t dst_clock_at(const struct dst_clock *c, int64_t true_ms)
{
    int64_t d = true_ms - c->t0_ms;
    return c->base_ms + d + d * c->ppm / 1000000;
}

int64_t dst_clock_when(const struct dst_clock *c, int64_t local_ms)
{
    int64_t d = local_ms - c->base_ms;
    int64_t t = c->t0_ms + d - d * c->ppm / 1000000;
    while (dst_clock_at(c, t) >= local_ms)
        t--;
    while (dst_clock_at(c, t) < local_ms)
        t++;
    return t;
}

/* ---- events */

static bool sooner(const struct tug_heap_node *a, const struct tug_heap_node *b)
{
    const struct dst_event *x = tug_heap_entry(a, struct dst_event, heap);
    const struct dst_event *y = tug_heap_entry(b, struct dst_event, heap);
    return x->at_ms != y->at_ms ? x->at_ms < y->at_ms : x->seq < y->seq;
}

struct dst_event *dst_event_new(struct dst *w, enum dst_what what, unsigned who)
{
    struct dst_event *e = tug_new(struct dst_event);
    e->what = what;
    e->who = who;
    e->at_ms = w->now_ms;
    e->seq = ++w->seq;
    return e;
}

void dst_push(struct dst *w, struct dst_event *e)
{
    tug_heap_push(&w->heap, &e->heap);
}

struct dst_event *dst_later(struct dst *w, int64_t in_ms, enum dst_what what, unsigned who)
{
    struct dst_event *e = dst_event_new(w, what, who);
    e->at_ms = w->now_ms + in_ms;
    dst_push(w, e);
    return e;
}

void dst_event_body(struct dst_event *e, uint16_t number, uint32_t rid, const ProtobufCMessage *m)
{
    e->number = number;
    e->rid = rid;
    if (!m)
        return;
    e->len = protobuf_c_message_get_packed_size(m);
    e->body = tug_xmalloc(e->len + 1);
    protobuf_c_message_pack(m, e->body);
}

void dst_event_free(struct dst_event *e)
{
    if (!e)
        return;
    free(e->body);
    tug_batch_free(e->batch);
    free(e);
}

void dst_mix(struct dst *w, uint64_t x)
{
    w->hash = (w->hash ^ x) * 0x100000001b3ULL;
    w->hash ^= w->hash >> 29;
}

/* ---- what is printed */

void dst_log(struct dst *w, const char *fmt, ...)
{
    va_list ap;
    if (!w->opts.log)
        return;
    int64_t ms = w->now_ms - T0_MS;
    printf("%3lld:%02lld:%02lld.%03lld  ", (long long) ms / 3600000, (long long) ms / 60000 % 60,
           (long long) ms / 1000 % 60, (long long) ms % 1000);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

void dst_fail(struct dst *w, const char *fmt, ...)
{
    va_list ap;
    int64_t ms = w->now_ms - T0_MS;
    fflush(stdout);
    printf("# seed %llu, %lld:%02lld:%02lld.%03lld into it (%.1f hours in all): ", (unsigned long long) w->opts.seed,
           (long long) ms / 3600000, (long long) ms / 60000 % 60, (long long) ms / 1000 % 60,
           (long long) ms % 1000, (double) (w->opts.before_ms + ms) / 3600000);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n# again, and what happened: testsuite/dst/run.sh --seed %llu --worlds 1 --minutes %lld --log\n",
           (unsigned long long) w->opts.seed, (long long) w->opts.length_ms / 60000);
    fflush(stdout);
    exit(1);
}

/* ---- which world it is */

static void draw_conf(struct dst *w, struct tug_rand *r)
{
    static const uint32_t leases_s[] = {0, 30, 60, 120, 300}, timeouts_s[] = {20, 30, 60};
    static const int64_t faults_ms[] = {5000, 15000, 60000, 240000};
    struct dst_conf *c = &w->conf;

    c->nodes = (unsigned) dst_between(r, 2, 5);
    c->lease_s = dst_chance(r, 0.1) ? leases_s[0] : leases_s[dst_between(r, 1, 4)];
    c->lease_changes = dst_chance(r, 0.3);
    c->leases_s[0] = c->lease_s;
    c->leases_s[1] = leases_s[dst_between(r, 0, 4)];
    if (c->lease_changes && c->leases_s[1] > c->lease_s)
        c->lease_s = c->leases_s[1];
    c->node_timeout_s = timeouts_s[tug_rand_below(r, 3)];
    c->launch_timeout_s = (uint32_t) dst_between(r, 10, 30);
    c->chaos = dst_chance(r, 0.25);
    c->zombies = dst_chance(r, 0.3);
    c->preempts = dst_chance(r, 0.4);
    c->drift_ppm_max = dst_chance(r, 0.7) ? 5000 : 0;
    c->mean_fault_ms = faults_ms[tug_rand_below(r, 4)];
    c->mean_job_ms = dst_between(r, 15000, 90000);
    c->crash_send = dst_chance(r, 0.5) ? 0.0002 : 0;
    c->crash_persist = dst_chance(r, 0.5) ? 0.002 : 0;
    c->faults_until_ms = w->now_ms + w->opts.length_ms * dst_between(r, 10, 100) / 100;
    for (size_t i = 0; i < sizeof c->with / sizeof *c->with; i++)
        c->with[i] = dst_chance(r, 0.6);
}

/* Of another stream than the rest: worlds without it are what they were before there was any. */
static void draw_health(struct dst *w)
{
    struct tug_rand *r = &w->of_health;
    struct dst_conf *c = &w->conf;

    *r = tug_rand_seed(w->opts.seed * 40503u + 6);
    if (dst_chance(r, 0.4))
        c->check_s = (uint32_t) dst_between(r, 10, 120);
    c->check_before = dst_chance(r, 0.5);
    c->check_idle = dst_chance(r, 0.3);
    c->flaps = dst_chance(r, 0.4);
}

static void draw_more(struct dst *w)
{
    struct tug_rand *r = &w->of_more;
    struct dst_conf *c = &w->conf;

    *r = tug_rand_seed(w->opts.seed * 40503u + 7);
    c->slices = dst_chance(r, 0.3);
    c->third_cut = (unsigned) tug_rand_below(r, 3);
    c->shares = dst_chance(r, 0.3);
    c->requeues = dst_chance(r, 0.4);
    c->requeue_delay_s = dst_chance(r, 0.5) ? (uint32_t) dst_between(r, 1, 60) : 0;
}

/* Likewise. */
static void draw_holds(struct dst *w)
{
    w->of_holds = tug_rand_seed(w->opts.seed * 40503u + 8);
    w->conf.holds = dst_chance(&w->of_holds, 0.3);
}

struct dst *dst_new(const struct dst_opts *opts)
{
    struct dst *w = tug_new(struct dst);
    struct tug_rand r = tug_rand_seed(opts->seed * 2654435761u + 17);

    w->opts = *opts;
    w->heap.less = sooner;
    w->now_ms = T0_MS;
    w->hash = 0xcbf29ce484222325ULL;
    struct tug_rand *streams[] = {&w->of_faults, &w->of_users, &w->of_net, &w->of_env, &w->of_ranks};
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
        *streams[i] = tug_rand_seed(tug_rand_u64(&r));
    draw_conf(w, &r);
    draw_health(w);
    draw_more(w);
    dst_visits_draw(w);
    draw_holds(w);
    w->of_admin = tug_rand_seed(opts->seed * 40503 + 5);
    w->of_stuck = tug_rand_seed(opts->seed * 40503 + 10);
    dst_log(w, "%u nodes, lease %u s, node timeout %u s, launch timeout %u s, drift up to %d ppm%s%s%s%s; a fault every %lld s",
            w->conf.nodes, w->conf.lease_s, w->conf.node_timeout_s, w->conf.launch_timeout_s, w->conf.drift_ppm_max,
            w->conf.chaos ? ", chaos" : "", w->conf.holds ? ", holds" : "", w->conf.zombies ? ", zombies" : "", w->conf.preempts ? ", preemption" : "",
            (long long) w->conf.mean_fault_ms / 1000);
    w->store.disk = dst_disk_new();
    for (unsigned i = 0; i < DST_CTLS; i++) {
        struct dst_ctl *c = &w->ctls[i];
        c->w = w;
        c->index = i;
        c->machine = (struct dst_clock){w->now_ms + dst_between(&r, -2000, 2000), w->now_ms,
                                        (int32_t) dst_between(&r, -w->conf.drift_ppm_max, w->conf.drift_ppm_max)};
        c->boot = (struct dst_clock){1000, w->now_ms, c->machine.ppm};
    }
    for (unsigned i = 0; i < w->conf.nodes; i++) {
        struct dst_node *n = &w->nodes[i];
        n->w = w;
        n->index = i;
        snprintf(n->name, sizeof n->name, "n%u", i);
        n->store.disk = dst_disk_new();
        n->machine = (struct dst_clock){w->now_ms + dst_between(&r, -2000, 2000), w->now_ms,
                                        (int32_t) dst_between(&r, -w->conf.drift_ppm_max, w->conf.drift_ppm_max)};
    }
    dst_later(w, 0, DST_CTL_START, 0);
    for (unsigned i = 0; i < w->conf.nodes; i++)
        dst_later(w, dst_between(&r, 0, 3000), DST_NODE_BOOT, i);
    dst_clients_start(w);
    dst_faults_start(w);
    dst_admin_start(w);
    dst_pairs_start(w);
    return w;
}

void dst_free(struct dst *w)
{
    struct tug_heap_node *h;

    for (unsigned i = 0; i < DST_CTLS; i++) {
        w->ctls[i].dying = true;
        tug_control_free(w->ctls[i].control);
    }
    for (unsigned i = 0; i < w->conf.nodes; i++) {
        tug_agent_free(w->nodes[i].agent);
        dst_store_clear(&w->nodes[i].store);
        tug_vec_clear(&w->nodes[i].seen);
    }
    dst_store_clear(&w->store);
    while ((h = tug_heap_pop(&w->heap)) != NULL)
        dst_event_free(tug_heap_entry(h, struct dst_event, heap));
    free(w->heap.at);
    for (size_t i = 0; i < w->links.len; i++) {
        for (unsigned d = 0; d < 2; d++) {
            for (size_t k = 0; k < w->links.at[i]->stalled[d].len; k++)
                dst_event_free(w->links.at[i]->stalled[d].at[k]);
            tug_vec_clear(&w->links.at[i]->stalled[d]);
        }
        free(w->links.at[i]);
    }
    for (size_t i = 0; i < w->parts.len; i++)
        dst_part_free(w->parts.at[i]);
    tug_vec_clear(&w->links);
    tug_vec_clear(&w->parts);
    tug_vec_clear(&w->errands);
    tug_vec_clear(&w->jobs);
    tug_vec_clear(&w->runs);
    tug_vec_clear(&w->visits);
    tug_vec_clear(&w->pasts);
    tug_vec_clear(&w->epochs);
    tug_vec_clear(&w->gone_ids);
    dst_disk_free(w->backup);
    free(w);
}

/* ---- one after the other */

static int64_t paused_until(const struct dst *w, const struct dst_event *e)
{
    const struct dst_link *l;

    switch (e->what) {
    case DST_ARRIVES:
        l = dst_link((struct dst *) w, e->id);
        if (!l)
            return 0;
        return e->dir == DST_TO_CTL ? w->ctls[l->ctl].paused_until_ms : w->nodes[l->node].paused_until_ms;
    case DST_LINK_UP:
        l = dst_link((struct dst *) w, e->id);
        if (!l)
            return 0;
        return e->dir == DST_TO_CTL ? w->ctls[l->ctl].paused_until_ms : w->nodes[l->node].paused_until_ms;
    case DST_CONFIGURE:
        return w->ctls[w->leader].paused_until_ms;
    case DST_TIMER:
    case DST_COMMITTED:
        return e->dir == DST_TO_CTL ? w->ctls[e->who].paused_until_ms : w->nodes[e->who].paused_until_ms;
    case DST_FROM_LAUNCHER:
    case DST_FROM_CHECKER:
    case DST_FROM_STEPD:
    case DST_NODE_LOOKS:
        return w->nodes[e->who].paused_until_ms;
    default:
        return 0;
    }
}

static void happen(struct dst *w, struct dst_event *e)
{
    switch (e->what) {
    case DST_ARRIVES:
        dst_net_arrives(w, e);
        return; /* it may keep it */
    case DST_TIMER:
        if (e->dir == DST_TO_CTL)
            dst_ctl_timer(w, e);
        else
            dst_agent_timer(w, e);
        break;
    case DST_COMMITTED:
        if (e->dir == DST_TO_CTL)
            dst_ctl_committed(w, e);
        else
            dst_agent_committed(w, e);
        break;
    case DST_CTL_START:
        dst_ctl_start(w, e->who);
        break;
    case DST_AGENT_START:
        if (e->life == w->nodes[e->who].machine_life)
            dst_agent_start(w, e->who);
        break;
    case DST_NODE_BOOT:
        dst_node_boot(w, e->who);
        break;
    case DST_NODE_LOOKS:
        dst_agent_looks(w, e->who);
        break;
    case DST_DIAL:
        if (e->life == w->nodes[e->who].life)
            dst_net_dial(w, e->who);
        break;
    case DST_LINK_UP:
        dst_net_up(w, e);
        break;
    case DST_TCP_TIMEOUT:
        dst_net_timeout(w, e);
        break;
    case DST_TO_LAUNCHER:
        dst_launcher_message(w, e);
        break;
    case DST_FROM_LAUNCHER:
        if (e->life == w->nodes[e->who].life)
            dst_agent_message(w, e->who, TUG_PEER_LAUNCHER, e);
        break;
    case DST_FROM_CHECKER:
        if (e->life == w->nodes[e->who].life)
            dst_agent_message(w, e->who, TUG_PEER_CHECKER, e);
        break;
    case DST_FROM_PROGRAM:
        if (e->life == w->nodes[e->who].life)
            dst_visit_event(w, e);
        break;
    case DST_LEASE_DUE:
        dst_lease_due(w, e);
        break;
    case DST_CLIENT:
    case DST_CLIENT_GIVES_UP:
    case DST_ARRIVES_CLIENT:
    case DST_SUBMIT:
        dst_client_event(w, e);
        break;
    case DST_CONFIGURE:
    case DST_BACKUP:
    case DST_PUT_BACK:
        dst_admin_event(w, e);
        break;
    case DST_FAULT:
    case DST_GAP:
    case DST_FAULT_OVER:
    case DST_LEAD:
        dst_fault(w, e);
        break;
    case DST_PAIR:
        dst_pairs_event(w, e);
        break;
    default:
        dst_part_event(w, e);
    }
    dst_event_free(e);
}

bool dst_step(struct dst *w)
{
    struct tug_heap_node *h = tug_heap_pop(&w->heap);
    struct dst_event *e;
    int64_t until;

    if (!h)
        return false;
    e = tug_heap_entry(h, struct dst_event, heap);
    until = paused_until(w, e);
    if (until > e->at_ms) { /* in the order it came */
        e->at_ms = until;
        dst_push(w, e);
        return true;
    }
    w->at_once = e->at_ms == w->now_ms ? w->at_once + 1 : 0;
    if (w->at_once > AT_ONCE_MAX)
        dst_fail(w, "time stands still: %d things happen at once, of late for %s %u", AT_ONCE_MAX,
                 e->dir == DST_TO_CTL ? "controller" : "node", e->who);
    w->now_ms = e->at_ms;
    w->n.events++;
    dst_mix(w, (uint64_t) e->at_ms * 64 + e->what);
    dst_mix(w, e->who * 65537u + e->number);
    for (size_t i = 0; i < e->len; i++)
        w->hash = (w->hash ^ e->body[i]) * 0x100000001b3ULL;
    happen(w, e);
    return true;
}

static bool all_over(const struct dst *w)
{
    if (w->active_jobs)
        return false;
    for (size_t i = 0; i < w->parts.len; i++)
        if (w->parts.at[i]->phase != DST_DEAD)
            return false;
    for (size_t i = 0; i < w->errands.len; i++)
        if (!w->errands.at[i].done)
            return false;
    for (unsigned i = 0; i < w->conf.nodes; i++)
        if (!w->nodes[i].agent || tug_agent_steps(w->nodes[i].agent) || tug_agent_visits(w->nodes[i].agent))
            return false;
    return w->ctls[w->leader].control != NULL;
}

void dst_run(struct dst *w)
{
    int64_t began = w->now_ms;

    while (w->now_ms < w->conf.faults_until_ms && dst_step(w))
        ;
    w->calm = true;
    dst_log(w, "---- no more faults, no more jobs");
    dst_admin_calm(w);
    dst_client_stop_forever(w);
    while (!all_over(w)) {
        if (!dst_step(w) || w->now_ms > w->conf.faults_until_ms + CALM_MAX_MS)
            break;
    }
    dst_truth_end(w);
    w->n.true_ms = w->now_ms - began;
}
