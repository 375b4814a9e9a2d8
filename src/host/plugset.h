/* plugset.h - the policies that a configuration combines: "multifactor+easy+preempt"
 *
 * Each decides something else: what two of them would decide is an error, what none of them does is decided by the core. Their
 * parameters stand in one list, as easy.depth, or as depth alone where only one of them has it.
 */
#ifndef TUG_HOST_PLUGSET_H
#define TUG_HOST_PLUGSET_H

#include <stdint.h>

#include "core/core.h"
#include "host/plugload.h"

struct tug_plugset; /* opaque: see plugset.c */

struct tug_plugset_conf {
    const char *names; /* with '+' in between, TUG_POLICIES_MAX at most */
    const char *const *dirs;
    size_t n_dirs;
    const struct tug_plugload_param *params;
    size_t n_params;
    uint32_t has; /* what this host has of TUG_POLICY_NEEDS_... */
};

/* Load all of them, or none. 'err' names the plugin, what is wrong and the way out.
 *   -EINVAL   too many, one twice, two for one hook; a parameter of none of them, or of several and said without its policy
 *   -ENOTSUP  one needs what this host does not have
 *   else      as tug_plugload_open() */
int tug_plugset_open(const struct tug_plugset_conf *conf, struct tug_plugset **out,
                     struct tug_err *err);
/* Nothing of them may be used after. NULL is fine. */
void tug_plugset_close(struct tug_plugset *s);

/* For tug_core_pass(); valid as long as the set. NULL: a set of none. */
const struct tug_policy_set *tug_plugset_policies(const struct tug_plugset *s);
size_t tug_plugset_count(const struct tug_plugset *s);
const struct tug_plugload *tug_plugset_at(const struct tug_plugset *s, size_t i);
/* The i-th thing that no policy of the set decides, and who does: "in which order jobs wait: by priority and submit time".
 * NULL: there are no more. */
const char *tug_plugset_unfilled(const struct tug_plugset *s, size_t i);

#endif
