/* writer.h - output files, written on a thread of their own
 *
 * A file system that hangs holds up this thread and nothing else. What waits is in memory; who
 * fills it looks at the backlog and stops in time. A writer lasts as long as the process, because a
 * thread that hangs cannot be ended. Layer: stepd.
 */
#ifndef TUG_STEPD_WRITER_H
#define TUG_STEPD_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct event_base;
struct tug_writer;

int tug_writer_new(struct tug_writer **out, struct event_base *base, void (*on_progress)(void *arg),
                   void *arg, struct tug_err *err);

/* Takes 'fd'. Returns the file's number. */
unsigned tug_writer_add(struct tug_writer *w, int fd);
void tug_writer_put(struct tug_writer *w, unsigned file, const void *data, size_t len);
/* Bytes not written yet, of all files; and when the last write succeeded or there was nothing to
 * write (tug_now_ms). */
size_t tug_writer_backlog(struct tug_writer *w);
uint64_t tug_writer_progress_ms(struct tug_writer *w);
/* Bytes of 'file' that were lost because writing failed, since the last call; *error is the errno.
 */
uint64_t tug_writer_lost(struct tug_writer *w, unsigned file, int *error);

#endif
