/* order_impl.h - how a launch order lies on the wire: one table, which both directions walk
 *
 * Nobody but order.c and order_pack.c includes this. Layer: proto.
 */
#ifndef TUG_PROTO_ORDER_IMPL_H
#define TUG_PROTO_ORDER_IMPL_H

#include "proto/order.h"

enum tug_order_kind { NAME, RAW, U32, U64, GIDS };

struct tug_order_field {
    const char *name;
    enum tug_order_kind kind;
    unsigned wire;    /* offset on the wire */
    size_t offset;    /* in struct tug_order */
    size_t len_bytes; /* on the wire */
};

#define N_FIELDS 19
extern const struct tug_order_field tug_order_fields[N_FIELDS];

#endif
