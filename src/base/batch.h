/* batch.h - what one transaction changes: records put and deleted, rows added to the history
 *
 * A value in one growing buffer; everything given to it is copied. Operations come out in the order
 * in which they went in, so the last put of a (kind, id) wins. The store makes it durable
 * (host/store.h); the pure layers build it.
 *
 * Layer: base.
 */
#ifndef TUG_BASE_BATCH_H
#define TUG_BASE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tug_batch;

/* A row of the history: one per event, the trace format. Strings may be NULL. Times: wall clock,
 * ms. */
struct tug_history_row {
    uint64_t job;
    uint32_t attempt;
    const char *what; /* "submit" "start" "end" "requeue" "hang" "hang-over" "hold" "release" "node" "config" */
    int64_t at_ms;
    uint32_t uid;
    const char *user, *queue, *account, *name, *state;
    /* packed tugpb.JobView as it was then ("end", "requeue" and "hang"), tugpb.JobHold ("hold" and "release"), tugpb.NodeEvent ("node"), else NULL */
    const void *view;
    size_t view_len;
};

enum tug_batch_op { TUG_BATCH_PUT, TUG_BATCH_DEL, TUG_BATCH_HISTORY };

/* One operation of a batch, pointing into it: valid until the batch is changed or freed. */
struct tug_batch_item {
    enum tug_batch_op op;
    const char *kind, *id; /* put and del */
    const void *data;      /* put */
    size_t len;
    struct tug_history_row row; /* history */
};

struct tug_batch *tug_batch_new(void);
void tug_batch_free(struct tug_batch *b);
void tug_batch_reset(struct tug_batch *b); /* empty again, keeps the memory */
/* kind and id must not be empty. data may be NULL when len is 0. */
void tug_batch_put(struct tug_batch *b, const char *kind, const char *id, const void *data,
                   size_t len);
void tug_batch_del(struct tug_batch *b, const char *kind, const char *id);
void tug_batch_history(struct tug_batch *b, const struct tug_history_row *row);
size_t tug_batch_len(const struct tug_batch *b); /* puts + dels + rows */
size_t tug_batch_bytes(const struct tug_batch *b);

/* Walk: start with *pos = 0; false at the end. */
bool tug_batch_next(const struct tug_batch *b, size_t *pos, struct tug_batch_item *item);

#endif
