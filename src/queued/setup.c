/* setup.c - from the configuration file to what the controller's logic needs
 *
 * Layer: programs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "queued/daemon.h"

int setup_load(struct tugd *d, struct tug_err *err)
{
    int rc = tug_coreconf_read(d->config_path, &d->cfg, err);

    if (rc)
        return rc;
    d->state_dir = tug_xstrdup(d->cfg.cluster.state_dir);
    d->run_dir = tug_xstrdup(d->cfg.cluster.run_dir);
    d->socket_path = d->cfg.cluster.socket ? tug_xstrdup(d->cfg.cluster.socket)
                                           : tug_xasprintf("%s/tugd.sock", d->run_dir);
    return 0;
}

static uint32_t u32(int64_t v)
{
    return v < 0 ? 0 : v > UINT32_MAX ? UINT32_MAX : (uint32_t) v;
}

void setup_control(const struct tug_config *cfg, struct setup *out)
{
    memset(out, 0, sizeof *out);
    out->conf.cluster = cfg->cluster.name;
    out->conf.version = TUG_VERSION;
    out->conf.node_timeout_s = u32(cfg->timeouts.node_timeout_s);
    out->conf.lease_s = u32(cfg->timeouts.lease_s);
    out->conf.wireup_timeout_s = u32(cfg->timeouts.wireup_timeout_s);
    out->conf.launch_timeout_s = u32(cfg->timeouts.launch_timeout_s);
    out->conf.kill_grace_s = u32(cfg->timeouts.kill_grace_s);
    out->conf.max_jobs = u32(cfg->limits.max_jobs);
    out->conf.max_script_bytes = (uint64_t) cfg->limits.max_script_bytes;
    out->conf.max_env_bytes = (uint64_t) cfg->limits.max_env_bytes;
    out->conf.operator_uid = geteuid();
    out->conf.min_uid = u32(cfg->limits.min_uid);
    tug_coreconf_make(cfg, &out->core);
    out->conf.core = out->core.core;
}

void setup_free(struct setup *s)
{
    tug_coreconf_clear(&s->core);
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
    static const char *const keys[] = {"scheduler.policy", "scheduler.policy_dirs",
                                       "scheduler.policy_params"};

    for (size_t i = 0; i < diff->list.len; i++)
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            if (!strcmp(diff->list.at[i].path, keys[k]))
                return 1;
    return 0;
}

void setup_reload(struct tugd *d)
{
    struct tug_config fresh = {0};
    struct tug_schema_diff diff = {0};
    struct tug_err err = {0};
    struct setup s;
    int rc = tug_coreconf_read(d->config_path, &fresh, &err), new_policy;

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
    snapshot_replan(d);
}
