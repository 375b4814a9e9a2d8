/* store_impl.h - what a kind of store is made of; for src/host/store*.c only
 *
 * store.h's calls go to these, one for one. Layer: host.
 */
#ifndef TUG_HOST_STORE_IMPL_H
#define TUG_HOST_STORE_IMPL_H

#include "host/store.h"

struct tug_store_ops {
    void (*close)(struct tug_store *s);
    int (*load)(struct tug_store *s, const char *kind, tug_store_record_cb *cb, void *arg, struct tug_err *err);
    void (*commit)(struct tug_store *s, struct tug_batch *b, tug_store_done_cb *cb, void *arg);
    void (*wait_for_room)(struct tug_store *s, tug_store_room_cb *cb, void *arg);
    void (*history)(struct tug_store *s, const struct tug_history_filter *f, tug_store_history_cb *cb, void *arg);
    void (*stats)(struct tug_store *s, struct tug_store_stats *out);
    /* NULL, all three: nobody else can lead. */
    void (*lead_token)(struct tug_store *s, char *out, size_t size_bytes);
    void (*lead)(struct tug_store *s, tug_store_role_cb *cb, void *arg);
    int64_t (*leads_until)(struct tug_store *s);
};

struct tug_store {
    const struct tug_store_ops *ops;
};

/* A store that is one file: all that was committed before is on the disk when cb says 0, also that of a relaxed one. As
 * tug_store_commit(). */
void tug_store_sqlite_sync(struct tug_store *s, tug_store_done_cb *cb, void *arg);

#endif
