/* plugload.h - a policy plugin from a file: found, checked, given its parameters
 *
 * NAME.so is taken from the first directory that has it. Nothing of it is called before its table
 * has been checked, and nothing of it is kept when anything is wrong. It runs inside the calling
 * process: what it does in there cannot be checked, only what it proposes (core/core.h).
 */
#ifndef TUG_HOST_PLUGLOAD_H
#define TUG_HOST_PLUGLOAD_H

#include <stddef.h>

#include "base/err.h"
#include "tugline/policy.h"

struct tug_plugload; /* opaque: see plugload.c */

struct tug_plugload_param {
    const char *name, *value; /* as written in the configuration */
};

/* Load the policy and create it. 'err' names the plugin and, once it was found, its file.
 *   -EINVAL   no proper name; a parameter that it does not have, is given twice, of the wrong type or out of range
 *   -ENOENT   no such file in any of 'dirs' (says what is there)
 *   -ENOEXEC  not a shared object, or not a policy (says what is missing)
 *   -ENOTSUP  made for another ABI
 *   else      what create() returned, with its sentence */
int tug_plugload_open(const char *name, const char *const *dirs, size_t n_dirs,
                      const struct tug_plugload_param *params, size_t n_params,
                      struct tug_plugload **out, struct tug_err *err);
/* The two halves of it, for a set of policies whose parameters stand in one place (plugset.h). After a create() that failed
 * nothing but close() may be called. */
int tug_plugload_load(const char *name, const char *const *dirs, size_t n_dirs,
                      struct tug_plugload **out, struct tug_err *err);
int tug_plugload_create(struct tug_plugload *p, const struct tug_plugload_param *params,
                        size_t n_params, struct tug_err *err);
/* Destroy the policy and unload it; its ops must not be used after. NULL is fine. */
void tug_plugload_close(struct tug_plugload *p);

const struct tug_policy_ops *tug_plugload_ops(const struct tug_plugload *p);
void *tug_plugload_self(const struct tug_plugload *p);
const char *tug_plugload_path(const struct tug_plugload *p);
const char *tug_plugload_where(const struct tug_plugload *p);   /* "policy 'fifo' (/usr/lib/.../fifo.so)" */
/* The value in force of parameter i of ops->params, as text (what was given, or the fallback). */
const char *tug_plugload_value(const struct tug_plugload *p, size_t i);

/* The checks of open() alone, for tests and for `policy check`: is this table a policy called
 * 'name'? 'where' stands in front of the sentence. */
int tug_plugload_check_ops(const struct tug_policy_ops *ops, const char *name, const char *where,
                           struct tug_err *err);

#endif
