/* check.h - is this launch order one to obey?
 *
 * Layer: launch. Needs libc and libsodium only.
 */
#ifndef TUG_LAUNCH_CHECK_H
#define TUG_LAUNCH_CHECK_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/order.h"

struct tug_rules {
    const char *cluster, *node;
    uint8_t boot_id[16];
    uint8_t controller_pub[32];
    bool one_user;                  /* no uid is changed: only 'self' may run steps */
    uid_t self;
    uid_t min_uid;
    uint64_t max_epoch;             /* highest one that was obeyed */
};

/* Signature, cluster, node, boot, epoch, expiry, uid and the payload's digest, in that order: nothing of an order is
 * believed before its signature. On success 'out' is the order; rules->max_epoch is the caller's to raise.
 *   -EACCES  not signed by the controller    -EPERM  signed, but not for here, now, or this user
 *   -EPROTO  the payload is not what the order says, or not a sealed memfd */
int tug_check_order(const struct tug_rules *rules, const uint8_t order[TUG_ORDER_LEN],
                    const uint8_t signature[TUG_ORDER_SIG_LEN], int payload_fd, int64_t wall_ms,
                    struct tug_order *out, struct tug_err *err);
/* One line of base64, as tugd writes it; the file must be ours or root's, and not writable by others. */
int tug_check_load_key(const char *path, uint8_t out[32], struct tug_err *err);

#endif
