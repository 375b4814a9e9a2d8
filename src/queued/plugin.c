/* plugin.c - the policy in force
 *
 * A policy that cannot be loaded is not a reason to stop a cluster: the built-in order takes over,
 * the log and `tug ping` say so. Layer: programs.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/plugload.h"
#include "queued/daemon.h"

void plugin_load(struct tugd *d)
{
    const struct tug_conf_scheduler *s = &d->cfg.scheduler;
    struct tug_plugload_param *params = tug_xcalloc(s->policy_params.n + 1, sizeof *params);
    struct tug_err err = {0};
    char note[TUG_ERR_MAX + 64];

    for (size_t i = 0; i < s->policy_params.n; i++)
        params[i] =
            (struct tug_plugload_param){s->policy_params.at[i].name, s->policy_params.at[i].value};
    if (tug_plugload_open(s->policy, (const char *const *) s->policy_dirs.at, s->policy_dirs.n,
                          params, s->policy_params.n, &d->plugin, &err) == 0) {
        const struct tug_policy_set set = {
            {{tug_plugload_ops(d->plugin), tug_plugload_self(d->plugin)}}, 1};
        tug_control_set_policy(d->control, s->policy, &set, "");
        tug_info("policy '%s' from %s", s->policy, tug_plugload_path(d->plugin));
    } else {
        snprintf(note, sizeof note, "%s; the built-in order (fifo, strict) is in force", err.msg);
        tug_error("%s", note);
        tug_control_set_policy(d->control, "built-in fifo", NULL, note);
    }
    free(params);
}

void plugin_free(struct tugd *d)
{
    tug_plugload_close(d->plugin);
}
