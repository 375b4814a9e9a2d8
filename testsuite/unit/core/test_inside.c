/* test_inside.c - each kind of machine once */
#include "base/mem.h"
#include "core/bandwidth.h"
#include "core/state.h"
#include "kinds.h"
#include "world.h"

START_TEST(nodes_of_a_kind_share_what_is_known_of_it_whatever_they_are_called)
{
    struct tug_insides *all = tug_insides_new();
    struct tug_machine *a = kind_mesh(), *b = kind_mesh(), *other = kind_pairs(8);
    strcpy(a->name, "dgx1-v100");
    const struct tug_machine *x = tug_inside_hold(all, a), *y = tug_inside_hold(all, b),
                             *z = tug_inside_hold(all, other);
    ck_assert_ptr_eq(x, y);
    ck_assert_ptr_ne(x, z);
    ck_assert_uint_eq(tug_insides_count(all), 2);
    ck_assert_ptr_null(tug_inside_hold(all, NULL));
    tug_inside_drop(all, x);
    ck_assert_int_eq(tug_machine_equal(y, a), 1);
    tug_inside_drop(all, y);
    ck_assert_uint_eq(tug_insides_count(all), 1);
    tug_inside_drop(all, NULL);
    tug_insides_free(all);
    free(a);
    free(b);
    free(other);
}
END_TEST

START_TEST(a_node_keeps_what_it_said_of_its_links_until_it_says_otherwise)
{
    static struct world w;
    struct tug_core_node n;
    struct tug_machine *mesh = kind_mesh(), *four = kind_switched(4, 300000);
    w_init(&w, 2, 8);
    w.machines[0] = w.machines[1] = mesh;
    w_up_all(&w);
    tug_core_node(w.c, 1, &n);
    ck_assert_int_eq(tug_machine_equal(n.machine, mesh), 1);
    ck_assert_uint_eq(tug_insides_count(w.c->insides), 1);
    w_down(&w, 1);
    tug_core_node(w.c, 1, &n);
    ck_assert_ptr_nonnull(n.machine);
    w.machines[1] = four; /* has 8 GPUs and tells of 4: not believed */
    w_up(&w, 1, NULL, 0);
    tug_core_node(w.c, 1, &n);
    ck_assert_ptr_null(n.machine);
    w.machines[0] = NULL;
    w_up(&w, 0, NULL, 0);
    ck_assert_uint_eq(tug_insides_count(w.c->insides), 0);
    w_clear(&w);
    free(mesh);
    free(four);
}
END_TEST

static const struct tug_machine *held(struct tug_insides *all, struct tug_machine *m)
{
    const struct tug_machine *h = tug_inside_hold(all, m);
    free(m);
    return h;
}

#define choose(m, free, n) tug_inside_choose(m, free, n, TUG_GANG_ALONE, NULL)

START_TEST(on_a_cube_mesh_pairs_have_two_links_and_fours_are_the_halves)
{
    struct tug_insides *all = tug_insides_new();
    const struct tug_machine *m = held(all, kind_mesh());
    ck_assert_uint_eq(choose(m, 0xff, 2), 0x06); /* 1-2 or any of the other double links within a NUMA node */
    ck_assert_uint_eq(choose(m, 0xf9, 2), 0x09);
    ck_assert_uint_eq(choose(m, 0xff, 4), 0x0f);
    ck_assert_uint_eq(choose(m, 0xf7, 4), 0xf0);
    ck_assert_uint_eq(choose(m, 0x3c, 2), 0x0c); /* 2-3, and not 4-5, which has one */
    ck_assert_uint_eq(choose(m, 0x21, 2), 0x21);
    tug_insides_free(all);
}
END_TEST

START_TEST(one_gpu_is_taken_where_the_rest_loses_least)
{
    struct tug_insides *all = tug_insides_new();
    const struct tug_machine *m = held(all, kind_pairs(8));
    ck_assert_uint_eq(choose(m, 0x37, 1), 0x04); /* 0-1 and 4-5 stay together */
    ck_assert_uint_eq(choose(m, 0x37, 3), 0x07); /* one NUMA node, and a pair is left */
    ck_assert_uint_eq(choose(m, 0xff, 2), 0x03);
    const struct tug_machine *flat = held(all, kind_switched(8, 450000));
    ck_assert_uint_eq(choose(flat, 0xf7, 1), 0x01); /* the NUMA node that is broken into already */
    ck_assert_uint_eq(choose(flat, 0xfe, 4), 0xf0);
    ck_assert_uint_eq(choose(flat, 0x7e, 4), 0x1e);
    tug_insides_free(all);
}
END_TEST

START_TEST(a_gang_on_several_nodes_gets_the_gpus_next_to_nics)
{
    struct tug_insides *all = tug_insides_new();
    struct tug_machine *made = kind_switched(8, 450000);
    kind_add_nic(made, 0x03, 12500);
    kind_add_nic(made, 0x0c, 12500);
    kind_add_nic(made, 0x30, 12500);
    const struct tug_machine *m = held(all, made);
    const struct tug_gang_size two = {4, 2, 1000};
    uint32_t mbs;
    ck_assert_uint_eq(choose(m, 0xff, 2), 0xc0); /* alone: others may need the NICs */
    ck_assert_uint_eq(tug_inside_choose(m, 0xff, 2, two, &mbs), 0x05);
    ck_assert_uint_eq(mbs, 20000 / 2 * 3); /* two NICs, two GPUs; 3 / 1 of what they carry */
    ck_assert_uint_eq(tug_inside_choose(m, 0xc3, 2, two, &mbs), 0x41); /* 6 uses the NIC of 4 and 5 */
    ck_assert_uint_eq(tug_inside_choose(m, 0xff, 2, (struct tug_gang_size){4, 2, 2000}, &mbs), 0x05);
    ck_assert_uint_eq(mbs, 20000 / 2 * 3 / 2);
    tug_insides_free(all);
}
END_TEST

/* The best that any n of the free GPUs have. */
static uint32_t brute(const struct tug_machine *m, tug_gpuset free, uint32_t n, struct tug_gang_size gang)
{
    uint32_t best = 0;
    for (tug_gpuset set = free; set; set = (set - 1) & free) {
        uint32_t inside = tug_bandwidth_inside(m, set), out = tug_bandwidth_out(m, set);
        if (tug_gpuset_count(set) != n)
            continue;
        if (gang.islands > 1 && out) {
            uint64_t nics = (uint64_t) out * (gang.ranks - 1) / (n * (gang.islands - 1)) * 1000 / gang.over_milli;
            inside = nics < inside ? (uint32_t) nics : inside;
        }
        best = inside > best ? inside : best;
    }
    return best;
}

START_TEST(no_other_gpus_of_a_node_are_faster)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int round = 0; round < 150; round++) {
        struct tug_insides *all = tug_insides_new();
        uint32_t n = 2 + (uint32_t) tug_rand_below(&r, 7);
        const struct tug_machine *m = held(all, kind_random(&r, n));
        for (int i = 0; i < 20; i++) {
            tug_gpuset free = 1 + tug_rand_below(&r, (1ULL << n) - 1);
            uint32_t k = 1 + (uint32_t) tug_rand_below(&r, tug_gpuset_count(free)), mbs;
            struct tug_gang_size gang = {k, 1, 1000};
            if (tug_rand_below(&r, 2))
                gang = (struct tug_gang_size){.islands = 2 + (uint32_t) tug_rand_below(&r, 3),
                                              .over_milli = 1000 + 500 * (uint32_t) tug_rand_below(&r, 3)};
            gang.ranks = k * gang.islands;
            tug_gpuset set = tug_inside_choose(m, free, k, gang, &mbs);
            ck_assert_uint_eq(tug_gpuset_count(set), k);
            ck_assert_uint_eq(set & ~free, 0);
            ck_assert_uint_eq(mbs, tug_inside_mbs(m, set, gang));
            ck_assert_uint_eq(mbs, brute(m, free, k, gang));
            ck_assert_uint_eq(tug_inside_choose(m, free, k, gang, NULL), set);
        }
        tug_insides_free(all);
    }
}
END_TEST

START_TEST(large_machines_are_served_too_and_unknown_ones_give_their_lowest)
{
    struct tug_insides *all = tug_insides_new();
    const struct tug_machine *dgx2 = held(all, kind_switched(16, 150000)), *many = held(all, kind_pairs(32));
    ck_assert_uint_eq(choose(dgx2, 0xffff, 8), 0x00ff);
    ck_assert_uint_eq(choose(dgx2, 0xfffe, 8), 0xff00);
    ck_assert_uint_eq(choose(many, 0xfffffffeu, 2), 0x0c);
    ck_assert_uint_eq(choose(NULL, 0xf6, 3), 0x16);
    tug_insides_free(all);
}
END_TEST

UNIT_MAIN("core/inside", nodes_of_a_kind_share_what_is_known_of_it_whatever_they_are_called,
          a_node_keeps_what_it_said_of_its_links_until_it_says_otherwise,
          on_a_cube_mesh_pairs_have_two_links_and_fours_are_the_halves, one_gpu_is_taken_where_the_rest_loses_least,
          a_gang_on_several_nodes_gets_the_gpus_next_to_nics, no_other_gpus_of_a_node_are_faster,
          large_machines_are_served_too_and_unknown_ones_give_their_lowest)
