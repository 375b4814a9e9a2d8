/* cause.h - the first failure of a gang, as a value that can be kept. Layer: stepd. */
#ifndef TUG_STEPD_CAUSE_H
#define TUG_STEPD_CAUSE_H

#include <stdbool.h>

#include "proto/job.pb-c.h"

struct tug_cause {
    bool set;
    Tugpb__Cause pb; /* points into this struct: copy only with tug_cause_copy */
    Tugpb__ExitInfo exit;
    char kind[32]; /* as in job.proto */
    char node[256], peer[256];
    char text[1024];
};

/* 'exit' may be NULL. Stamped with the wall clock. */
void tug_cause_set(struct tug_cause *c, const char *kind, const char *node, unsigned rank,
                   const Tugpb__ExitInfo *exit, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* Of kind "link": 'node' lost 'peer'. */
void tug_cause_set_link(struct tug_cause *c, const char *node, const char *peer, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* 'known', of 'known_us', is what is named so far: is it 'c', of 'us', that should be? Both times by the same clock. What
 * comes of a failure may be heard of before it: that nodes lost each other explains all else, a step daemon that has gone
 * without a word what ranks did in the seconds before, and of ranks the first counts. */
bool tug_cause_is_before(const Tugpb__Cause *c, uint64_t us, const struct tug_cause *known, uint64_t known_us);
/* From a message; NULL clears. */
void tug_cause_copy(struct tug_cause *c, const Tugpb__Cause *from);
/* The message, or NULL when there is no cause. */
Tugpb__Cause *tug_cause_pb(struct tug_cause *c);

#endif
