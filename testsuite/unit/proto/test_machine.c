/* test_machine.c - a machine survives the wire, and one that is not whole is refused */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"
#include "proto/machine.h"

static struct tug_machine *any(struct tug_rand *r)
{
    struct tug_machine *m = tug_new(struct tug_machine);
    snprintf(m->name, sizeof m->name, "any-%u", (unsigned) tug_rand_below(r, 1000));
    m->n_gpus = (uint32_t) tug_rand_below(r, 17);
    m->n_nics = (uint32_t) tug_rand_below(r, 9);
    m->n_numa = 2;
    m->nvswitch = (uint8_t) tug_rand_below(r, 2);
    for (uint32_t i = 0; i < m->n_nics; i++) {
        snprintf(m->nic[i].name, sizeof m->nic[i].name, "mlx5_%u", i);
        m->nic[i].numa = i % 2;
        m->nic[i].mbs = 50000;
        m->nic[i].is_ib = 1;
    }
    for (uint32_t i = 0; i < m->n_gpus; i++) {
        strcpy(m->gpu[i].model, "h100");
        m->gpu[i].numa = i % 3 ? i % 2 : TUG_MACHINE_NO_NUMA;
        m->gpu[i].mem_mib = 81920;
        m->gpu[i].port_mbs = 450000;
        m->link[i][i].class = TUG_LINK_SELF;
        for (uint32_t k = 0; k < i; k++)
            m->link[i][k] = m->link[k][i] =
                (struct tug_machine_link){TUG_LINK_SYS, (uint8_t) tug_rand_below(r, 19), (uint32_t) tug_rand_below(r, 900000)};
        for (uint32_t k = 0; k < m->n_nics; k++)
            m->nic_class[i][k] = TUG_LINK_PIX;
        m->allreduce_mbs[i] = 1000 * i;
    }
    return m;
}

START_TEST(a_machine_comes_back_as_it_was)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int i = 0; i < unit_rounds(300); i++) {
        struct tug_machine *m = any(&r), *back = NULL;
        struct tug_arena a = {.budget_bytes = 1 << 20}, b = {.budget_bytes = 1 << 20};
        struct tug_buf bytes = {0};
        struct tug_err err = {0};
        ProtobufCMessage *pb = NULL;
        Tugpb__Machine *sent = tug_machine_pb(&a, m);
        ck_assert_ptr_nonnull(sent);
        ck_assert_msg(tug_msg_check(&sent->base, &err) == 0, "%s", err.msg);
        tug_msg_pack(&bytes, &sent->base);
        ck_assert_msg(tug_proto_decode(&b, &tugpb__machine__descriptor, bytes.data, bytes.len, &pb, &err) == 0, "%s", err.msg);
        ck_assert_msg(tug_machine_of_pb((Tugpb__Machine *) pb, &back, &err) == 0, "%s", err.msg);
        ck_assert_int_eq(memcmp(m, back, sizeof *m), 0);
        tug_buf_clear(&bytes);
        tug_arena_clear(&a);
        tug_arena_clear(&b);
        free(m);
        free(back);
    }
}
END_TEST

START_TEST(matrices_that_do_not_fit_and_lies_are_refused)
{
    struct tug_rand r = tug_rand_seed(7);
    struct tug_machine *m = any(&r), *out = NULL;
    while (m->n_gpus < 2) {
        free(m);
        m = any(&r);
    }
    struct tug_arena a = {.budget_bytes = 1 << 20};
    struct tug_err err = {0};
    Tugpb__Machine *pb = tug_machine_pb(&a, m);
    pb->nvlinks.len--;
    unit_fails(tug_machine_of_pb(pb, &out, &err), -EPROTO, err, "not of");
    pb->nvlinks.len++;
    pb->link_class.data[1] = TUG_LINK_SELF;
    unit_fails(tug_machine_of_pb(pb, &out, &err), -EPROTO, err, "GPU 0 to GPU 1 is X");
    ck_assert_ptr_null(out);
    tug_arena_clear(&a);
    free(m);
}
END_TEST

START_TEST(an_arena_that_is_too_small_is_told)
{
    struct tug_rand r = tug_rand_seed(9);
    struct tug_machine *m = any(&r);
    struct tug_arena a = {.budget_bytes = 64};
    ck_assert_ptr_null(tug_machine_pb(&a, m));
    tug_arena_clear(&a);
    free(m);
}
END_TEST

UNIT_MAIN("proto/machine", a_machine_comes_back_as_it_was, matrices_that_do_not_fit_and_lies_are_refused,
          an_arena_that_is_too_small_is_told)
