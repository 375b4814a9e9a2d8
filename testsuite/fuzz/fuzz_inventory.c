/* fuzz_inventory.c - what a node says of itself, from any bytes: a machine that passes its own check, or a sentence. What was
 * taken goes out and comes in again as the same machine, which is no loss and no shortfall against itself. */
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>

#include "base/machine.h"
#include "proto/machine.h"

static void again(const struct tug_machine *m)
{
    struct tug_arena a = {.budget_bytes = (size_t) 4 << 20};
    struct tug_machine *back = NULL;
    char text[200];
    Tugpb__Machine *pb = tug_machine_pb(&a, m);
    tug_assert(pb && tug_machine_of_pb(pb, &back, NULL) == 0 && tug_machine_equal(m, back));
    tug_assert(!*tug_machine_difference(m, back, text, sizeof text));
    tug_assert(!*tug_machine_loss(m, back, text, sizeof text));
    tug_assert(!*tug_machine_shortfall(m, back, text, sizeof text));
    free(back);
    tug_arena_clear(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct tug_arena a = {0};
    struct tug_err err = {0};
    struct tug_machine *m = NULL;
    ProtobufCMessage *inv = NULL;
    if (tug_proto_decode(&a, &tugpb__inventory__descriptor, data, len, &inv, &err) == 0 && ((Tugpb__Inventory *) inv)->links) {
        int rc = tug_machine_of_pb(((Tugpb__Inventory *) inv)->links, &m, &err);
        tug_assert(rc == 0 ? tug_machine_check(m, NULL) == 0 : rc == -EPROTO && err.msg[0] && !m);
        if (m)
            again(m);
    }
    free(m);
    tug_arena_clear(&a);
    return 0;
}
