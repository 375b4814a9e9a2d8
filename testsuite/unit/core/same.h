/* same.h - are two jobs the same, to the last field? For tests of restoring. Layer: tests. */
#ifndef TUG_UNIT_SAME_H
#define TUG_UNIT_SAME_H

#include "core/core.h"

/* NULL, or the name of the first field that differs. */
const char *same_job(const struct tug_job *a, const struct tug_job *b);
/* NULL, or a user whose decayed usage under some account is not the same, but for rounding. */
const char *same_usage(const struct tug_core *a, const struct tug_core *b, int64_t now_ms);
/* A core made from 'c's configuration and its records, as a restart does it: nodes are not up. */
struct tug_core *same_restart(const struct tug_core *c, const struct tug_core_conf *conf,
                              int64_t now_ms, struct tug_err *err);

#endif
