/* policies.h - the plugins of a simulation, loaded as tugd loads them. Layer: sim. */
#ifndef TUG_SIM_POLICIES_H
#define TUG_SIM_POLICIES_H

#include "core/core.h"
#include "host/plugload.h"

struct tug_sim_policies {
    struct tug_plugload *plugins[TUG_POLICIES_MAX];
    struct tug_policy_set set;
};

/* 'spec': names with '+' in between. A parameter goes to every policy that has it, or, written
 * NAME.KEY, to that one. 0, or as tug_plugload_open(); -EINVAL: no policy has the parameter. 'out'
 * is to be closed in any case. */
int tug_sim_policies_open(const char *spec, const char *const *dirs, size_t n_dirs,
                          const struct tug_plugload_param *params, size_t n_params,
                          struct tug_sim_policies *out, struct tug_err *err);
void tug_sim_policies_close(struct tug_sim_policies *p);

#endif
