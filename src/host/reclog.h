/* reclog.h - records in a log: what is said where, and which entries can go
 *
 * A store that knows only small atomic writes keeps a batch of any size as one entry: a packed LogEntry
 * (record.proto), cut into parts that it writes one after the other; the entry counts once its last part is there.
 * Every part has a number, one more than the one before. Reading all parts in order gives all records. An entry of
 * which nothing holds any more can be dropped from the front; what still holds in it is said anew first.
 *
 * A part: "TLOG", version (1 byte, 1), 3 bytes 0, number of the part within its entry, number of parts (u32, little-endian),
 * 16 bytes BLAKE2b of all the rest, and the piece. No I/O in here, so it is tried without a server. Layer: host.
 */
#ifndef TUG_HOST_RECLOG_H
#define TUG_HOST_RECLOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/batch.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"

#define TUG_RECLOG_HEAD 32

struct tug_reclog;

struct tug_reclog *tug_reclog_new(void);
void tug_reclog_free(struct tug_reclog *l);
/* Empty again, as if new. */
void tug_reclog_reset(struct tug_reclog *l);

/* ---- writing: what to send */

/* Append the packed entry of these batches, in that order. 'first': the number that the log begins with once it is written; who
 * reads it notices when the oldest entries are missing. */
void tug_reclog_pack(struct tug_buf *out, struct tug_batch *const *batches, size_t n, uint64_t first);
/* How many parts of at most part_bytes (head included) it takes; and part i, appended to 'out'. */
size_t tug_reclog_parts(size_t len_bytes, size_t part_bytes);
void tug_reclog_part(struct tug_buf *out, const struct tug_buf *entry, size_t part_bytes, size_t i);

/* ---- reading: what comes, in the order of the numbers */

/* Part 'number' came. Its entry is taken when this was its last part: rows of the history are added to 'rows' (may be NULL).
 *   0         taken, or kept until the rest is there; parts of an entry that was never completed are forgotten
 *   -ESTALE   numbers are missing in between: cleaned, then reset and read from the beginning; or lost, which store_log.c tells apart
 *   -EILSEQ   damaged ('err' says what)
 * tug_reclog_next() is the number expected next; 0 = any. tug_reclog_first() is that of the oldest part; 0 = there is none. */
int tug_reclog_feed(struct tug_reclog *l, uint64_t number, const void *part, size_t len, struct tug_batch *rows,
                    struct tug_err *err);
uint64_t tug_reclog_next(const struct tug_reclog *l);
uint64_t tug_reclog_first(const struct tug_reclog *l);
/* All was read, to the end: does the log begin where its entries say, or before? 0: parts *from..*to are missing. */
int tug_reclog_begins(const struct tug_reclog *l, uint64_t *from, uint64_t *to);
/* An entry that we have written ourselves, its parts numbered first..first+parts-1, all of it durable. */
void tug_reclog_wrote(struct tug_reclog *l, uint64_t first, size_t parts, const struct tug_buf *entry,
                      struct tug_batch *rows);

/* All records in the order of kind and id. A non-zero return of 'cb' stops and is returned. */
typedef int tug_reclog_cb(void *arg, const char *kind, const char *id, const void *data, size_t len);
int tug_reclog_walk(struct tug_reclog *l, const char *kind, tug_reclog_cb *cb, void *arg);
/* Whoever loaded them has them: keep from now on where each is, not what it is. */
void tug_reclog_drop_data(struct tug_reclog *l);
size_t tug_reclog_records(const struct tug_reclog *l);

/* ---- cleaning */

/* The oldest entry, if it should go: there are more than twice as many bytes as hold, and 'slack' more. 1: parts
 * *first..*last, *holds = whether anything in it still does. */
int tug_reclog_oldest(const struct tug_reclog *l, size_t slack_bytes, uint64_t *first, uint64_t *last, int *holds);
/* What still holds of the oldest entry, of which all parts are given in order, appended to 'batch'. -EILSEQ as above. */
int tug_reclog_rescue(struct tug_reclog *l, const struct tug_buf *parts, size_t n, struct tug_batch *batch,
                      struct tug_err *err);
/* The oldest entry is deleted: everything of it that held has been said anew. */
void tug_reclog_drop_oldest(struct tug_reclog *l);
/* Somebody else deleted the parts before 'first', all before what was fed last. -EILSEQ: one of these entries still held. */
int tug_reclog_cut(struct tug_reclog *l, uint64_t first, struct tug_err *err);

#endif
