/* setup.c - from the configuration file to what the controller's logic needs
 *
 * A row of the file may name many hosts; the core wants one row a node, in natural order of the
 * names. Layer: programs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hostlist.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "host/readfile.h"
#include "queued/daemon.h"

#define LAUNCH_RETRIES    3
#define NODE_BAD_LAUNCHES 3

static int read_config(const char *path, struct tug_config *out, struct tug_err *err)
{
    struct tug_conf_errors errs = {0};
    struct tug_buf text = {0};
    int rc = tug_config_load(tug_readfile_reader(), path, out, &errs);

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

int setup_load(struct tugd *d, struct tug_err *err)
{
    int rc = read_config(d->config_path, &d->cfg, err);

    if (rc)
        return rc;
    d->state_dir = tug_xstrdup(d->cfg.cluster.state_dir);
    d->run_dir = tug_xstrdup(d->cfg.cluster.run_dir);
    d->socket_path = d->cfg.cluster.socket ? tug_xstrdup(d->cfg.cluster.socket)
                                           : tug_xasprintf("%s/tugd.sock", d->run_dir);
    return 0;
}

/* A text that lives as long as the setup. */
static const char *keep(struct setup *s, char *text)
{
    s->strings = tug_xrealloc(s->strings, (s->n_strings + 1) * sizeof *s->strings);
    s->strings[s->n_strings++] = text;
    return text;
}

static const char *allowed(struct setup *s, const struct tug_conf_strings *users)
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

static void set_queues(struct setup *s, const struct tug_config *cfg)
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
                                    .allow_users = allowed(s, &q->allow_users)};
    }
    s->conf.core.queues = s->queues;
    s->conf.core.n_queues = cfg->n_queues;
}

static void set_nodes(struct setup *s, const struct tug_config *cfg)
{
    struct tug_hostlist *all = tug_hostlist_new();

    for (size_t i = 0; i < cfg->n_nodes; i++) {
        struct tug_hostlist *more = tug_hostlist_union(all, cfg->nodes[i].name.list);

        tug_hostlist_free(all);
        all = more;
    }
    s->conf.core.n_nodes = tug_hostlist_count(all);
    s->nodes = tug_xcalloc(s->conf.core.n_nodes + 1, sizeof *s->nodes);
    for (size_t i = 0; i < s->conf.core.n_nodes; i++) {
        const char *name = tug_hostlist_nth(all, i);
        const struct tug_conf_node *row = tug_config_find_node(cfg, name);

        s->nodes[i] = (struct tug_core_node_row){.name = keep(s, tug_xstrdup(name)),
                                                 .cpus = u32(row->cpus),
                                                 .gpus = u32(row->gpus),
                                                 .mem_bytes = (uint64_t) row->memory_bytes,
                                                 .gpu_model = row->gpu_model ? row->gpu_model : ""};
    }
    s->conf.core.nodes = s->nodes;
    tug_hostlist_free(all);
}

static void set_fabric(struct setup *s, const struct tug_config *cfg)
{
    s->domains = tug_xcalloc(cfg->n_fabric + 1, sizeof *s->domains);
    for (size_t i = 0; i < cfg->n_fabric; i++) {
        const struct tug_conf_domain *d = &cfg->fabric[i];

        s->domains[i] = (struct tug_core_domain){.name = d->name,
                                                 .level = d->level,
                                                 .parent = d->parent,
                                                 .nodes = d->nodes.text ? d->nodes.text : ""};
    }
    s->conf.core.domains = s->domains;
    s->conf.core.n_domains = cfg->n_fabric;
}

void setup_control(const struct tug_config *cfg, struct setup *out)
{
    memset(out, 0, sizeof *out);
    out->conf.cluster = cfg->cluster.name;
    out->conf.version = TUG_VERSION;
    out->conf.node_timeout_s = u32(cfg->timeouts.node_timeout_s);
    out->conf.lease_s = u32(cfg->timeouts.lease_s);
    out->conf.wireup_timeout_s = u32(cfg->timeouts.wireup_timeout_s);
    out->conf.kill_grace_s = u32(cfg->timeouts.kill_grace_s);
    out->conf.max_jobs = u32(cfg->limits.max_jobs);
    out->conf.max_script_bytes = (uint64_t) cfg->limits.max_script_bytes;
    out->conf.max_env_bytes = (uint64_t) cfg->limits.max_env_bytes;
    out->conf.operator_uid = geteuid();
    out->conf.min_uid = u32(cfg->limits.min_uid);
    out->conf.core.launch_timeout_s = u32(cfg->timeouts.launch_timeout_s);
    out->conf.core.kill_grace_s = u32(cfg->timeouts.kill_grace_s);
    out->conf.core.launch_retries = LAUNCH_RETRIES;
    out->conf.core.node_bad_launches = NODE_BAD_LAUNCHES;
    out->conf.core.pass_budget = u32(cfg->scheduler.pass_max_jobs);
    out->conf.core.kept_ms = cfg->timeouts.min_job_age_s * 1000;
    out->conf.core.seed = 1;
    /* The words of the key stand in the order of the enum. */
    out->conf.core.placement = (enum tug_placement) cfg->scheduler.placement;
    set_queues(out, cfg);
    set_nodes(out, cfg);
    set_fabric(out, cfg);
}

void setup_free(struct setup *s)
{
    for (size_t i = 0; i < s->n_strings; i++)
        free(s->strings[i]);
    free(s->strings);
    free(s->queues);
    free(s->nodes);
    free(s->domains);
}

/* ---- while it runs */

static void log_changes(const struct tug_schema_diff *diff)
{
    for (size_t i = 0; i < diff->list.len; i++) {
        const struct tug_schema_change *c = &diff->list.at[i];

        tug_log(c->reload == TUG_RELOAD_LIVE ? TUG_LOG_INFO : TUG_LOG_WARN,
                "configuration: %s was %s, is %s%s", c->path, c->was ? c->was : "not there",
                c->is ? c->is : "gone",
                c->reload == TUG_RELOAD_LIVE ? "" : "; tugd takes that when it is started again");
    }
    if (!diff->list.len)
        tug_info("configuration: read again, nothing has changed");
}

static int policy_changed(const struct tug_schema_diff *diff)
{
    for (size_t i = 0; i < diff->list.len; i++)
        if (!strncmp(diff->list.at[i].path, "scheduler.policy", strlen("scheduler.policy")))
            return 1;
    return 0;
}

void setup_reload(struct tugd *d)
{
    struct tug_config fresh = {0};
    struct tug_schema_diff diff = {0};
    struct tug_err err = {0};
    struct setup s;
    int rc = read_config(d->config_path, &fresh, &err), new_policy;

    if (!rc) {
        setup_control(&fresh, &s);
        rc = tug_control_configure(d->control, &s.conf, &err);
        setup_free(&s);
    }
    if (rc) {
        tug_error("the configuration stays as it was: %s", err.msg);
        tug_config_clear(&fresh);
        return;
    }
    tug_config_diff(&d->cfg, &fresh, &diff);
    log_changes(&diff);
    new_policy = policy_changed(&diff);
    tug_schema_diff_clear(&diff);
    tug_log_set_level((enum tug_log_level) fresh.logging.level);
    tug_config_clear(&d->cfg);
    d->cfg = fresh;
    plugin_reload(d, new_policy);
}
