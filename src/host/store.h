/* store.h - the durable copy of what the daemon holds in memory
 *
 * Records are bytes, upserted by (kind, id); history rows are appended. A batch is one transaction: all of it is
 * durable when its callback says 0, or none of it is. Commits run one after the other on the store's own thread; the
 * callback comes on the event loop, in the order of the commits. After a failed commit the store takes no more
 * (-EIO): the daemon must stop, the store is the truth after a restart (no retry after a failed fsync).
 *
 * Who owns what: tug_store_commit takes the batch. Layer: host.
 */
#ifndef TUG_HOST_STORE_H
#define TUG_HOST_STORE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct event_base;
struct tug_store;
struct tug_batch;

/* A row of the history: one per event, the trace format. Strings may be NULL. Times: wall clock, ms. */
struct tug_history_row {
    uint64_t job;
    uint32_t attempt;
    const char *what;      /* "submit" "start" "end" "requeue" "node" "config" */
    int64_t at_ms;
    uint32_t uid;
    const char *user, *queue, *account, *name, *state;
    const void *view;      /* packed tugpb.JobView as it was then ("end" and "requeue"), else NULL */
    size_t view_len;
};

struct tug_batch *tug_batch_new(void);
void tug_batch_free(struct tug_batch *b);
void tug_batch_put(struct tug_batch *b, const char *kind, const char *id, const void *data, size_t len);
void tug_batch_del(struct tug_batch *b, const char *kind, const char *id);
void tug_batch_history(struct tug_batch *b, const struct tug_history_row *row);
size_t tug_batch_len(const struct tug_batch *b);  /* puts + dels + rows */

struct tug_store_opts {
    const char *path;      /* the file; its directory must exist and be ours, 0700 */
    int relaxed;           /* node daemon: survives a crash of the process, not of the machine (synchronous=NORMAL) */
    int create;            /* make it when it is not there; else -ENOENT */
};

/* Open and lock the store. On failure the sentence names the file and the way out.
 *   -EBUSY    another daemon holds it (says its pid)      -EPROTO  written by a newer version
 *   -EILSEQ   not a database, truncated or damaged        -ENOSPC  the disk is full
 *   -EACCES   not ours, or readable by others             -ENOTSUP on a network file system */
int tug_store_open(struct tug_store **out, struct event_base *loop, const struct tug_store_opts *o, struct tug_err *err);
/* Waits for the commit under way; what was not yet handed over is the caller's loss to avoid. */
void tug_store_close(struct tug_store *s);

/* Read every record of 'kind' (NULL: all) before the loop runs. A non-zero return of 'cb' stops and is returned. */
typedef int tug_store_record_cb(void *arg, const char *kind, const char *id, const void *data, size_t len);
int tug_store_load(struct tug_store *s, const char *kind, tug_store_record_cb *cb, void *arg, struct tug_err *err);

/* Make 'b' durable, then call cb(arg, 0, NULL) on the loop; or cb(arg, -errno, sentence) when it could not be.
 * Taken also on failure. Several outstanding commits are merged into one transaction. cb may be NULL. */
typedef void tug_store_done_cb(void *arg, int rc, const char *why);
void tug_store_commit(struct tug_store *s, struct tug_batch *b, tug_store_done_cb *cb, void *arg);

/* Rows of the history, newest first, read on the store's thread; cb on the loop once per row (row != NULL), then once
 * with NULL. The filter is copied. */
struct tug_history_filter {
    const char *what;              /* NULL = all */
    int64_t since_ms, until_ms;    /* until 0 = now */
    const uint32_t *uids;  size_t n_uids;
    const uint64_t *ids;   size_t n_ids;
    const char *const *states; size_t n_states;
    uint32_t limit;                /* 0 = 1000 */
};
typedef void tug_store_history_cb(void *arg, const struct tug_history_row *row, int rc, const char *why);
void tug_store_history(struct tug_store *s, const struct tug_history_filter *f, tug_store_history_cb *cb, void *arg);

#endif
