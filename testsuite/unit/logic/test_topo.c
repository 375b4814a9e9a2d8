/* test_topo.c - what is inside nodes is told once for each kind. Layer: tests. */
#include "unit.h"

#include "base/mem.h"
#include "proto/machine.h"
#include "vworld.h"

static struct tug_machine *eight(enum tug_link_class class)
{
    struct tug_machine *m = tug_new(struct tug_machine);
    m->n_gpus = 8;
    m->n_numa = 1;
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t k = 0; k < 8; k++)
            m->link[i][k].class = (uint8_t) (i == k ? TUG_LINK_SELF : class);
    return m;
}

static const Tugpb__TopoReply *topo(struct vworld *w, const char *nodes)
{
    uint32_t rid = vw_topo(w, nodes);
    vw_run(w, vw_now(w) + 100);
    const struct vw_reply *r = vw_reply(w, rid);
    ck_assert_ptr_nonnull(r);
    ck_assert_int_eq(r->number, TUG_MSG_TOPO_REPLY);
    return (const Tugpb__TopoReply *) r->m;
}

START_TEST(nodes_that_are_alike_are_one_row_and_those_never_heard_of_are_named)
{
    struct tug_machine *near = eight(TUG_LINK_PIX), *far = eight(TUG_LINK_SYS);
    struct tug_arena a = {.budget_bytes = 1 << 20};
    struct vworld *w = vw_new(4, 30, 60);
    vw_set_links(w, 1, tug_machine_pb(&a, near));
    vw_set_links(w, 2, tug_machine_pb(&a, far));
    vw_set_links(w, 3, tug_machine_pb(&a, near));
    vw_cut(w, 4);
    for (unsigned i = 1; i <= 3; i++)
        vw_restart_agent(w, i);
    vw_run(w, vw_now(w) + 5000);
    const Tugpb__TopoReply *r = topo(w, "");
    ck_assert_uint_eq(r->n_kinds, 2);
    ck_assert_str_eq(r->kinds[0]->nodes, "n[1,3]");
    ck_assert_uint_eq(r->kinds[0]->n_nodes, 2);
    ck_assert_uint_eq(r->kinds[0]->inventory->links->link_class.data[1], TUG_LINK_PIX);
    ck_assert_str_eq(r->kinds[1]->nodes, "n2");
    ck_assert_uint_eq(r->kinds[1]->inventory->links->link_class.data[1], TUG_LINK_SYS);
    ck_assert_str_eq(r->silent, "n4");
    r = topo(w, "n3");
    ck_assert_uint_eq(r->n_kinds, 1);
    ck_assert_str_eq(r->kinds[0]->nodes, "n3");
    ck_assert_str_eq(r->silent, "");
    uint32_t rid = vw_topo(w, "n3,n9");
    vw_run(w, vw_now(w) + 100);
    ck_assert_int_eq(vw_reply(w, rid)->number, TUG_MSG_ERROR);
    ck_assert_ptr_nonnull(strstr(((Tugpb__Error *) vw_reply(w, rid)->m)->text, "no node 'n9'"));
    vw_free(w);
    tug_arena_clear(&a);
    free(near);
    free(far);
}
END_TEST

UNIT_MAIN("logic/topo", nodes_that_are_alike_are_one_row_and_those_never_heard_of_are_named)
