/* lease.h - until when a node may run what could be started again elsewhere
 *
 * The node asks for its lease, and it runs from when it asked. While it runs the controller starts nothing elsewhere
 * that the node may still run; once it is over, whoever holds it ends all that may be requeued. Times: ms of one clock of
 * the holder, that never goes back and does not follow the wall clock. tuglaunch holds the lease that counts; the
 * fault simulation holds its launchers' by the same code. Needs libc only. Layer: logic.
 */
#ifndef TUG_LOGIC_LEASE_H
#define TUG_LOGIC_LEASE_H

#include <stdbool.h>
#include <stdint.h>

struct tug_lease {
    int64_t until_ms;      /* 0 = none yet, INT64_MAX = for ever */
};

/* The last word counts. It may be a shorter one: what was for ever may end since leases were configured. */
void tug_lease_set(struct tug_lease *l, int64_t until_ms);
/* May a step be started, or go on? */
bool tug_lease_allows(const struct tug_lease *l, bool requeueable, int64_t now_ms);

#endif
