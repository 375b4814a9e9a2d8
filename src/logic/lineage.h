/* lineage.h - where a state stands in the life of its cluster
 *
 * The numbers by which a cluster tells one thing from another - epochs, ids, attempts, commits - only rise and are never used twice.
 * So a copy that takes the place of a state goes on from the numbers of both, and says that it is a copy: whoever starts from it
 * is in safe mode (safe.c). All of that is in the record meta/cluster; nobody else changes it outside of a controller.
 * Layer: logic.
 */
#ifndef TUG_LOGIC_LINEAGE_H
#define TUG_LOGIC_LINEAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct tug_lineage {
    uint64_t epoch, next_id_block, commit;
    uint32_t attempts_skipped;
    char cluster[37]; /* which cluster that is: its uuid; "" = not said */
};

/* What the record says, packed as it is stored. -EPROTO: it cannot be read, *out is untouched. */
int tug_lineage_read(const void *meta, size_t len, struct tug_lineage *out, struct tug_err *err);

/* Raise the numbers of 'to' to those of 'from' where these are higher. */
void tug_lineage_raise(struct tug_lineage *to, const struct tug_lineage *from);

/* Append to 'out' the record of a copy of that state that was made to be put back: 'why' is what `tug ping` says of it. 'replaced'
 * is that of the state whose place it takes; NULL: there is none, or it cannot be read. -EPROTO: nothing is appended. */
int tug_lineage_mark(struct tug_buf *out, const void *meta, size_t len, const char *why,
                     const struct tug_lineage *replaced, struct tug_err *err);

#endif
