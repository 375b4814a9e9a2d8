/* noded.h - tugnoded: started by the launcher without privileges, heard over one socketpair, started again when it dies
 *
 * Layer: launch.
 */
#ifndef TUG_LAUNCH_NODED_H
#define TUG_LAUNCH_NODED_H

#include "launch/step.h"
#include "logic/lease.h"
#include "proto/wire.h"

struct tug_noded {
    char *const *argv;                 /* what to run: argv[0] is the program */
    uid_t uid;                         /* when we are root and it shall not be */
    gid_t gid;
    bool drop;
    char boot_id[33];
    int fd;                            /* our end; -1 = it does not run */
    bool listed;                       /* it has asked what is held: it may be told what is gone */
    int64_t started_ms, next_start_ms; /* CLOCK_BOOTTIME */
    unsigned fails;
    struct tug_lease lease;            /* CLOCK_BOOTTIME */
    struct tug_wire unsent;            /* an answer that found the socket full; type 0 = none. Nothing is read then */
};

int64_t tug_boot_ms(void);
/* fork, drop, exec. On failure next_start_ms is later. */
int tug_noded_start(struct tug_noded *n, struct tug_steps *s, struct tug_err *err);
/* It has ended; when to start it again: soon after a crash, later each time, much later when it was refused. Says so. */
void tug_noded_ended(struct tug_noded *n, int status);
/* Read and obey what there is; -1: it hung up. */
int tug_noded_read(struct tug_noded *n, struct tug_steps *s);
/* Tell what is gone, as far as the socket takes it. */
void tug_noded_tell(struct tug_noded *n, struct tug_steps *s);
bool tug_noded_wants_write(const struct tug_noded *n, const struct tug_steps *s);

#endif
