/* coreconf.c - the scheduler's part of the configuration, as the core takes it
 *
 * A row of the file may name many hosts; the core wants one row a node, in natural order of the
 * names. Layer: host.
 */
#include "host/coreconf.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hostlist.h"
#include "base/mem.h"
#include "base/preflight.h"
#include "conf/errors.h"
#include "host/machines.h"
#include "host/readfile.h"

#define LAUNCH_RETRIES    3

/* The kind of machine that a row names, read once; folders are looked for beside the file where it stands. NULL: 'err' says why
 * not. */
static const struct tug_sheet *find_machine(struct tug_coreconf_kinds *all, const struct tug_conf_node *row,
                                            struct tug_err *err)
{
    struct tug_coreconf_kind k = {.file = row->origin.pos.file, .name = row->machine};

    for (size_t i = 0; i < all->len; i++)
        if (all->at[i].file == k.file && !strcmp(all->at[i].name, k.name))
            return all->at[i].sheet;
    if (tug_machines_find(k.file, k.name, &k.sheet, err))
        return NULL;
    tug_vec_push(all, k);
    return k.sheet;
}

static void clear_kinds(struct tug_coreconf_kinds *all)
{
    for (size_t i = 0; i < all->len; i++)
        tug_sheet_free(all->at[i].sheet);
    tug_vec_clear(all);
}

/* Adds to 'errs' what is wrong with the machines that nodes name. */
static int check_machines(const struct tug_config *cfg, struct tug_conf_errors *errs)
{
    struct tug_coreconf_kinds all = {0};
    size_t before = tug_conf_errors_count(errs);

    for (size_t i = 0; i < cfg->n_nodes; i++) {
        const struct tug_conf_node *row = &cfg->nodes[i];
        struct tug_conf_pos pos = tug_schema_pos(&tug_conf_node_schema, row, &row->machine);
        struct tug_err err = {0};
        const struct tug_sheet *s = row->machine ? find_machine(&all, row, &err) : NULL;

        if (row->machine && !s)
            tug_conf_errors_add(errs, pos, row->machine, strlen(row->machine), NULL, "%s", err.msg);
        else if (s && row->gpus > s->machine.n_gpus)
            tug_conf_errors_add(errs, pos, row->machine, strlen(row->machine), NULL, "a %s has %u GPUs, and gpus says %d",
                                row->machine, s->machine.n_gpus, (int) row->gpus);
    }
    clear_kinds(&all);
    return tug_conf_errors_count(errs) > before ? -EINVAL : 0;
}

int tug_coreconf_read(const char *path, struct tug_config *out, struct tug_err *err)
{
    struct tug_conf_errors errs = {0};
    struct tug_buf text = {0};
    struct tug_config cfg = {0};
    int rc = tug_config_load(tug_readfile_reader(), path, &cfg, &errs);

    if (rc == 0 && (rc = check_machines(&cfg, &errs)) != 0)
        tug_config_clear(&cfg);
    else if (rc == 0)
        *out = cfg;
    if (rc) {
        tug_conf_errors_print(&errs, &text);
        rc =
            tug_fail(err, rc, "%zu error%s in the configuration:\n%s", tug_conf_errors_count(&errs),
                     tug_conf_errors_count(&errs) == 1 ? "" : "s", tug_buf_str(&text));
    }
    tug_buf_clear(&text);
    tug_conf_errors_clear(&errs);
    return rc;
}

/* A text that lives as long as the configuration. */
static const char *keep(struct tug_coreconf *s, char *text)
{
    s->strings = tug_xrealloc(s->strings, (s->n_strings + 1) * sizeof *s->strings);
    s->strings[s->n_strings++] = text;
    return text;
}

static const char *allowed(struct tug_coreconf *s, const struct tug_conf_strings *users)
{
    struct tug_buf text = {0};

    for (size_t i = 0; i < users->n; i++)
        tug_buf_addf(&text, "%s%s", i ? "," : "", users->at[i]);
    return users->n ? keep(s, tug_buf_take(&text)) : "";
}

static uint32_t u32(int64_t v)
{
    return v < 0 ? 0 : v > UINT32_MAX ? UINT32_MAX : (uint32_t) v;
}

/* The core says "no limit" with 0. */
static uint32_t limit(int64_t s)
{
    return s == TUG_CONF_UNLIMITED ? 0 : u32(s);
}

/* As the words of preempt_signal stand. */
static int signal_of(int word)
{
    static const int signals[] = {0, SIGUSR1, SIGUSR2, SIGHUP, SIGINT, SIGTERM};

    return word >= 0 && (size_t) word < sizeof signals / sizeof *signals ? signals[word] : 0;
}

/* It was parsed when the file was checked. */
static void set_preflight(struct tug_coreconf *s, const struct tug_conf_queue *q, struct tug_core_queue *out)
{
    struct tug_preflight p;

    if (!q->preflight || !*q->preflight || tug_preflight_parse(q->preflight, &p, NULL))
        return;
    out->preflight = keep(s, tug_xstrdup(p.what));
    out->preflight_floor = p.floor_bytes_s;
    out->preflight_s = p.time_s;
    out->preflight_drains = q->preflight_drains;
}

static void set_queues(struct tug_coreconf *s, const struct tug_config *cfg)
{
    s->queues = tug_xcalloc(cfg->n_queues, sizeof *s->queues);
    for (size_t i = 0; i < cfg->n_queues; i++) {
        const struct tug_conf_queue *q = &cfg->queues[i];

        s->queues[i] =
            (struct tug_core_queue){.name = q->name,
                                    .priority = (int32_t) q->priority,
                                    .max_time_s = limit(q->max_time_s),
                                    .default_time_s = limit(q->default_time_s),
                                    .nodes = q->nodes.all || !q->nodes.text ? "" : q->nodes.text,
                                    .is_default = q->is_default,
                                    .is_down = q->state == TUG_QUEUE_DOWN,
                                    .allow_users = allowed(s, &q->allow_users),
                                    .parent = q->parent,
                                    .weight = (double) q->weight,
                                    .guarantee_gpus = u32(q->guarantee),
                                    .cap_gpus = u32(q->cap),
                                    .no_borrow = !q->borrow,
                                    .no_lend = !q->lend,
                                    .share_gpus = (enum tug_gpu_sharing) q->share_gpus,
                                    .tier = u32(q->tier),
                                    .preemptable = (enum tug_policy_preemptable) q->preempt,
                                    .preempt_min_run_s = u32(q->preempt_min_run_s),
                                    .preempt_signal = signal_of((int) q->preempt_signal),
                                    .preempt_notice_s = u32(q->preempt_notice_s)};
        set_preflight(s, q, &s->queues[i]);
    }
    s->core.queues = s->queues;
    s->core.n_queues = cfg->n_queues;
}

static void set_accounts(struct tug_coreconf *s, const struct tug_config *cfg)
{
    int64_t percent = cfg->scheduler.usage_cpu_percent;

    s->accounts = tug_xcalloc(cfg->n_accounts + 1, sizeof *s->accounts);
    for (size_t i = 0; i < cfg->n_accounts; i++) {
        const struct tug_conf_account *a = &cfg->accounts[i];

        s->accounts[i] = (struct tug_core_account){.name = a->name,
                                                   .parent = a->parent,
                                                   .weight = (double) a->weight,
                                                   .users = allowed(s, &a->users)};
    }
    s->core.accounts = s->accounts;
    s->core.n_accounts = cfg->n_accounts;
    s->core.usage_half_life_ms = cfg->scheduler.usage_half_life_s * 1000;
    s->core.usage_cpu_weight = percent ? (double) percent / 100 : -1;
}

static void use_machine(struct tug_core_node_row *n, const struct tug_sheet *sheet)
{
    if (!sheet)
        return;
    n->machine = &sheet->machine;
    if (!n->gpus)
        n->gpus = sheet->machine.n_gpus;
    if (!*n->gpu_model && sheet->machine.n_gpus)
        n->gpu_model = sheet->machine.gpu[0].model;
}

static void set_nodes(struct tug_coreconf *s, const struct tug_config *cfg)
{
    struct tug_hostlist *all = tug_hostlist_new();

    for (size_t i = 0; i < cfg->n_nodes; i++) {
        struct tug_hostlist *more = tug_hostlist_union(all, cfg->nodes[i].name.list);

        tug_hostlist_free(all);
        all = more;
    }
    s->core.n_nodes = tug_hostlist_count(all);
    s->nodes = tug_xcalloc(s->core.n_nodes + 1, sizeof *s->nodes);
    s->sheets = tug_xcalloc(s->core.n_nodes + 1, sizeof *s->sheets);
    for (size_t i = 0; i < s->core.n_nodes; i++) {
        const char *name = tug_hostlist_nth(all, i);
        const struct tug_conf_node *row = tug_config_find_node(cfg, name);

        s->nodes[i] = (struct tug_core_node_row){.name = keep(s, tug_xstrdup(name)),
                                                 .cpus = u32(row->cpus),
                                                 .gpus = u32(row->gpus),
                                                 .mem_bytes = (uint64_t) row->memory_bytes,
                                                 .gpu_model = row->gpu_model ? row->gpu_model : ""};
        /* Was there when the configuration was read; if it is gone since, nothing is known of it. */
        s->sheets[i] = row->machine ? find_machine(&s->kinds, row, NULL) : NULL;
        use_machine(&s->nodes[i], s->sheets[i]);
    }
    s->core.nodes = s->nodes;
    tug_hostlist_free(all);
}

static void set_fabric(struct tug_coreconf *s, const struct tug_config *cfg)
{
    s->domains = tug_xcalloc(cfg->n_fabric + 1, sizeof *s->domains);
    for (size_t i = 0; i < cfg->n_fabric; i++) {
        const struct tug_conf_domain *d = &cfg->fabric[i];

        s->domains[i] = (struct tug_core_domain){.name = d->name,
                                                 .level = d->level,
                                                 .parent = d->parent,
                                                 .nodes = d->nodes.text ? d->nodes.text : ""};
    }
    s->core.domains = s->domains;
    s->core.n_domains = cfg->n_fabric;
    s->levels = tug_xcalloc(cfg->n_fabric_levels + 1, sizeof *s->levels);
    for (size_t i = 0; i < cfg->n_fabric_levels; i++) {
        const struct tug_conf_level *l = &cfg->fabric_levels[i];

        s->levels[i] =
            (struct tug_core_level){.name = l->name,
                                    .bandwidth_bytes_s = (uint64_t) l->bandwidth_bytes_s,
                                    .oversubscription = (double) l->oversubscription_milli / 1000,
                                    .nvlink = (uint8_t) l->nvlink};
    }
    s->core.levels = s->levels;
    s->core.n_levels = cfg->n_fabric_levels;
}

void tug_coreconf_make(const struct tug_config *cfg, struct tug_coreconf *out)
{
    memset(out, 0, sizeof *out);
    out->core.launch_timeout_s = u32(cfg->timeouts.launch_timeout_s);
    out->core.cleaning_timeout_s = u32(cfg->timeouts.cleaning_timeout_s);
    out->core.kill_grace_s = u32(cfg->timeouts.kill_grace_s);
    out->core.launch_retries = LAUNCH_RETRIES;
    out->core.node_bad_launches = u32(cfg->node_failures.bad_launches);
    out->core.flap_losses = u32(cfg->node_failures.flap_losses);
    out->core.flap_period_s = u32(cfg->node_failures.flap_period_s);
    out->core.failures_kept_ms = cfg->node_failures.memory_s * 1000;
    out->core.link_failures = u32(cfg->node_failures.link_failures);
    out->core.link_period_s = u32(cfg->node_failures.link_period_s);
    out->core.link_peers = u32(cfg->node_failures.link_peers);
    out->core.pass_budget = u32(cfg->scheduler.pass_max_jobs);
    out->core.kept_ms = cfg->timeouts.min_job_age_s * 1000;
    out->core.seed = 1;
    /* The words of the key stand in the order of the enum. */
    out->core.placement = (enum tug_placement) cfg->scheduler.placement;
    out->core.preemption = (enum tug_preemption) cfg->scheduler.preemption;
    out->core.preempt_max = u32(cfg->scheduler.preempt_max);
    out->core.max_requeues = u32(cfg->scheduler.max_requeues);
    out->core.requeue_delay_s = u32(cfg->scheduler.requeue_delay_s);
    set_queues(out, cfg);
    set_accounts(out, cfg);
    set_nodes(out, cfg);
    set_fabric(out, cfg);
}

void tug_coreconf_clear(struct tug_coreconf *s)
{
    for (size_t i = 0; i < s->n_strings; i++)
        free(s->strings[i]);
    free(s->strings);
    clear_kinds(&s->kinds);
    free(s->sheets);
    free(s->queues);
    free(s->accounts);
    free(s->nodes);
    free(s->domains);
    free(s->levels);
    memset(s, 0, sizeof *s);
}

/* ---- where its state is */

void tug_coreconf_store(const struct tug_config *cfg, const char *state_dir, struct tug_coreconf_store *out)
{
    const struct tug_conf_etcd *e = &cfg->etcd;
    int shared = cfg->cluster.store == TUG_STORE_IN_ETCD;
    char host[256] = "";
    memset(out, 0, sizeof *out);
    out->path = tug_xasprintf("%s/%s", state_dir, shared ? "history.db" : "state.db");
    out->opts = (struct tug_store_opts){.path = out->path, .create = 1};
    if (!shared)
        return;
    gethostname(host, sizeof host - 1);
    out->prefix = e->prefix ? tug_xstrdup(e->prefix) : tug_xasprintf("/tugline/%s", cfg->cluster.name);
    out->name = tug_xstrdup(e->name ? e->name : host);
    out->etcd = (struct tug_etcd_opts){.endpoints = (const char *const *) e->endpoints.at,
                                       .n_endpoints = e->endpoints.n,
                                       .ca_file = e->ca_file,
                                       .cert_file = e->cert_file,
                                       .key_file = e->key_file};
    out->opts.etcd = &out->etcd;
    out->opts.prefix = out->prefix;
    out->opts.name = out->name;
    out->opts.address = cfg->cluster.listen.text;
    out->opts.lease_s = (uint32_t) e->lease_s;
}

void tug_coreconf_store_clear(struct tug_coreconf_store *s)
{
    free(s->path);
    free(s->prefix);
    free(s->name);
    memset(s, 0, sizeof *s);
}
