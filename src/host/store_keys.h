/* store_keys.h - how a state that controllers share is laid out
 *
 *   PREFIX/restoring        a backup is being put back; nobody leads as long as it is there
 *   PREFIX/leader           who leads; bound to its lease, so it goes when its controller does
 *   PREFIX/log/<number>     the records, see reclog.h; numbers are 16 hex digits, which sort as they count
 *   PREFIX/controller/NAME  what each controller says of itself (JSON)
 * and, in each controller's own file with the history, the record copied/log: the last entry of the log whose rows are in there.
 * Texts are the caller's to free. Layer: host.
 */
#ifndef TUG_HOST_STORE_KEYS_H
#define TUG_HOST_STORE_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "base/batch.h"
#include "base/err.h"
#include "logic/lineage.h"

char *tug_store_key_leader(const char *prefix);
char *tug_store_key_log(const char *prefix, uint64_t number);
char *tug_store_key_log_end(const char *prefix);           /* behind all of the log */
char *tug_store_key_controller(const char *prefix, const char *name);   /* "" = before all of them */
char *tug_store_key_controller_end(const char *prefix);
/* The number of a key of the log: -EILSEQ names what is none. */
int tug_store_key_number(const char *key, uint64_t *out, struct tug_err *err);

/* PREFIX/restoring: once the log is 'emptied', what is in there is half a state. What the replaced one had given out is
 * remembered here, because it is nowhere else then. */
struct tug_store_restoring {
    char by[128]; /* etcd.name of whose host it runs on */
    int64_t at_ms;
    int emptied;
    char kept[512]; /* the file that the replaced state is kept in; "" = there was none */
    struct tug_lineage replaced;
};
char *tug_store_key_restoring(const char *prefix);
char *tug_store_restoring_put(const struct tug_store_restoring *r);
/* -EILSEQ: it says no such thing; *out is empty. */
int tug_store_restoring_read(const void *data, size_t len, struct tug_store_restoring *out, struct tug_err *err);
/* -EBUSY, always: for whom that keeps from the state. */
int tug_store_restoring_refuse(const struct tug_store_restoring *r, struct tug_err *err);

#define TUG_STORE_COPIED "copied"                           /* the record's kind */
void tug_store_copied_put(struct tug_batch *b, uint64_t last);
uint64_t tug_store_copied(const void *data, size_t len);

#endif
