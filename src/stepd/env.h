/* env.h - the environment of a rank
 *
 * What the submitter had, without what another launcher left in it, plus the rows of env.def.
 * Layer: stepd.
 */
#ifndef TUG_STEPD_ENV_H
#define TUG_STEPD_ENV_H

#include <stdbool.h>

#include "proto/msg.h"
#include "stepd/payload.h"

struct tug_rank_env; /* what the ranks of a node have in common; see env.c */

/* 'p' is borrowed for the life of the object. Ports 0 and master_addr "": not known. ras_port: of this
 * node, for NCCL's status service. */
struct tug_rank_env *tug_rank_env_new(const struct tug_payload *p, const char *master_addr,
                                      unsigned master_port, unsigned ras_port);
void tug_rank_env_free(struct tug_rank_env *e);

/* The environment of the local-th rank, for execve; it lives in 'a'. 'extra' ("K=V", NULL at the
 * end; may be NULL) are further variables that win over everything. */
char **tug_rank_env_make(const struct tug_rank_env *e, struct tug_arena *a, unsigned local,
                         char *const *extra);

/* The value of 'name' in an environment, or NULL. */
const char *tug_rank_env_get(char *const *env, const char *name);

#endif
