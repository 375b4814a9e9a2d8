/* preflight.h - what shall be tried on a gang's nodes before the gang starts, as people write it
 *
 *     allreduce              it must work
 *     allreduce:8GB/s        and have that bus bandwidth at least
 *     allreduce:8GB/s@2m     and be over within that time; else TUG_PREFLIGHT_S
 *     /opt/site/check:...    the same with a program of one's own, see tugstepd(8)
 */
#ifndef TUG_BASE_PREFLIGHT_H
#define TUG_BASE_PREFLIGHT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TUG_PREFLIGHT_S        120
#define TUG_PREFLIGHT_MAX_S    3600
#define TUG_PREFLIGHT_WHAT_MAX 256

struct tug_preflight {
    char what[TUG_PREFLIGHT_WHAT_MAX];
    uint64_t floor_bytes_s; /* 0 = none */
    uint32_t time_s;
};

/* -EINVAL says what would be right; 'out' is untouched then. "" is not one. */
int tug_preflight_parse(const char *text, struct tug_preflight *out, struct tug_err *err);

/* The same, of what applies; floor and time 0 = not said. Returns out, cut to size. */
char *tug_preflight_format(const char *what, uint64_t floor_bytes_s, uint32_t time_s, char *out, size_t size_bytes);

#endif
