/* patience.h - opening a user's file without being held up by its file system
 *
 * Layer: stepd.
 */
#ifndef TUG_STEPD_PATIENCE_H
#define TUG_STEPD_PATIENCE_H

#include <stdint.h>
#include <sys/types.h>

/* open(2), on a thread of its own. -ETIMEDOUT: no answer by then (tug_now_ms); the thread waits on, and closes what it gets. */
int tug_patience_open(const char *path, int flags, mode_t mode, uint64_t by_ms);

#endif
