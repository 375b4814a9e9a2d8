/* blobs.h - scripts and environments, kept once per content
 *
 * Thousands of jobs of one user carry the same environment. A blob is named by a 256-bit hash of its content, counted,
 * written to the store when it first appears and deleted when the last job that needs it is forgotten. Layer: logic.
 */
#ifndef TUG_LOGIC_BLOBS_H
#define TUG_LOGIC_BLOBS_H

#include <stddef.h>
#include <stdint.h>

#include "base/batch.h"
#include "base/err.h"

#define TUG_BLOB_ID_LEN 32

struct tug_blobs;
struct tug_blob;

struct tug_blobs *tug_blobs_new(void);
void tug_blobs_free(struct tug_blobs *s);
/* The blob of that content, one more holder; a new one is put into 'b'. len 0 gives NULL. */
struct tug_blob *tug_blobs_hold(struct tug_blobs *s, const void *data, size_t len, struct tug_batch *b);
/* One holder less; the last one deletes it through 'b'. NULL is fine. */
void tug_blobs_drop(struct tug_blobs *s, struct tug_blob *blob, struct tug_batch *b);
const void *tug_blob_data(const struct tug_blob *blob, size_t *len_out);   /* NULL blob: "", 0 */
const uint8_t *tug_blob_id(const struct tug_blob *blob);                   /* TUG_BLOB_ID_LEN bytes */

/* The id of a blob that came out of the store; -EILSEQ when the content is not what its name says. */
int tug_blob_check(const char *id_hex, const void *data, size_t len, uint8_t id[TUG_BLOB_ID_LEN], struct tug_err *err);
/* While records are read: it has no holder yet. */
void tug_blobs_restore(struct tug_blobs *s, const uint8_t id[TUG_BLOB_ID_LEN], const void *data, size_t len);
/* Is there a blob of that id? Of id_len 0 there is: none is needed. */
int tug_blobs_has(const struct tug_blobs *s, const uint8_t *id, size_t id_len);
/* The blob of that id (TUG_BLOB_ID_LEN bytes), one more holder; NULL: no such blob. */
struct tug_blob *tug_blobs_hold_id(struct tug_blobs *s, const uint8_t *id, size_t id_len);
/* Delete those that nobody holds. */
void tug_blobs_sweep(struct tug_blobs *s, struct tug_batch *b);

#endif
