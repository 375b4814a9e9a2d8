/* fuzz_order.c - an order that is taken packs to the very bytes it came from */
#include "fuzz.h"

#include <errno.h>

#include "proto/order.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t in[TUG_ORDER_LEN] = {0}, out[TUG_ORDER_LEN];
    struct tug_order o;
    struct tug_err err = {0};
    memcpy(in, data, len < sizeof in ? len : sizeof in);
    int rc = tug_order_unpack(in, &o, &err);
    if (rc) {
        tug_assert(rc == -EPROTO && err.msg[0]);
        return 0;
    }
    tug_assert(memchr(o.cluster, 0, sizeof o.cluster) && memchr(o.node, 0, sizeof o.node));
    tug_assert(o.n_gids <= TUG_ORDER_GIDS_MAX);
    tug_assert(tug_order_pack(&o, out, NULL) == 0 && memcmp(in, out, sizeof in) == 0);
    return 0;
}
