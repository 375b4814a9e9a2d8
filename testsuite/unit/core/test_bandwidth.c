/* test_bandwidth.c - what GPUs of one machine have among themselves and to other nodes */
#include "base/mem.h"
#include "core/bandwidth.h"
#include "kinds.h"
#include "unit.h"

static uint32_t gbs(const struct tug_machine *m, tug_gpuset set)
{
    return tug_bandwidth_inside(m, set) / 1000;
}

START_TEST(a_cube_mesh_has_what_its_rings_over_nvlinks_carry)
{
    struct tug_machine *m = kind_mesh();
    ck_assert_uint_eq(gbs(m, 0xff), 120); /* 0.8 x 6 x 25: every link is used */
    ck_assert_uint_eq(gbs(m, 0x0f), 80);
    ck_assert_uint_eq(gbs(m, 0xf0), 80);
    ck_assert_uint_eq(gbs(m, 0x09), 40); /* 0-3: two links */
    ck_assert_uint_eq(gbs(m, 0x03), 20); /* 0-1: one */
    ck_assert_uint_lt(gbs(m, 0x21), 20); /* 0-5: none */
    ck_assert_uint_eq(tug_bandwidth_inside(m, 0x21), tug_link_class_mbs(TUG_LINK_SYS, 4));
    ck_assert_uint_eq(tug_bandwidth_inside(m, 1), TUG_BANDWIDTH_NO_LIMIT);
    free(m);
}
END_TEST

START_TEST(a_measured_machine_is_believed_where_the_count_is_all_that_matters)
{
    struct tug_machine *m = kind_switched(8, 450000), *mesh = kind_mesh();
    ck_assert_uint_eq(gbs(m, 0xff), 360);
    ck_assert_uint_eq(gbs(m, 0x11), 360);
    m->gpu[3].port_mbs = 300000; /* lost some links */
    ck_assert_uint_eq(gbs(m, 0xff), 240);
    ck_assert_uint_eq(gbs(m, 0xf0), 360);
    m->allreduce_mbs[8] = 473000;
    m->allreduce_mbs[4] = 363000;
    ck_assert_uint_eq(gbs(m, 0xff), 473);
    ck_assert_uint_eq(gbs(m, 0xf0), 363);
    mesh->allreduce_mbs[8] = 130000;
    mesh->allreduce_mbs[4] = 70000; /* of which four? */
    ck_assert_uint_eq(gbs(mesh, 0xff), 130);
    ck_assert_uint_eq(gbs(mesh, 0x0f), 80);
    free(m);
    free(mesh);
}
END_TEST

START_TEST(one_path_over_pcie_limits_the_whole_ring)
{
    struct tug_machine *m = kind_pairs(4);
    ck_assert_uint_eq(gbs(m, 0x3), 80); /* a bridged pair */
    ck_assert_uint_eq(tug_bandwidth_inside(m, 0xf), tug_link_class_mbs(TUG_LINK_SYS, 4));
    m->link[1][2].mbs = m->link[2][1].mbs = 0; /* then what such a path has */
    ck_assert_uint_eq(tug_bandwidth_inside(m, 0xf), tug_link_class_mbs(TUG_LINK_SYS, 4));
    m->link[1][2].class = m->link[2][1].class = TUG_LINK_UNKNOWN;
    ck_assert_uint_eq(tug_bandwidth_inside(m, 0xf), 0);
    free(m);
}
END_TEST

START_TEST(nics_count_that_are_near_the_gpus_and_else_the_best_of_the_nearest)
{
    struct tug_machine *m = kind_switched(8, 450000);
    ck_assert_uint_eq(tug_bandwidth_out(m, 0xff), 0);
    kind_add_nic(m, 0x03, 50000);
    kind_add_nic(m, 0x0c, 50000);
    ck_assert_uint_eq(tug_bandwidth_out(m, 0x01), 40000);
    ck_assert_uint_eq(tug_bandwidth_out(m, 0x03), 40000); /* they share it */
    ck_assert_uint_eq(tug_bandwidth_out(m, 0x05), 80000);
    ck_assert_uint_eq(tug_bandwidth_out(m, 0xf0), 40000); /* across sockets: one */
    m->nic[1].mbs = 0;
    ck_assert_uint_eq(tug_bandwidth_out(m, 0x05), 0);
    free(m);
}
END_TEST

static const char *ring_of(const struct tug_machine *m, tug_gpuset set)
{
    static char text[256];
    uint32_t ring[TUG_GPUS_MAX];
    size_t n = tug_bandwidth_ring(m, set, ring), len = 0;
    for (size_t i = 0; i < n; i++)
        len += (size_t) snprintf(text + len, sizeof text - len, "%s%u", i ? " " : "", ring[i]);
    return text;
}

START_TEST(the_ring_goes_over_the_widest_links_and_is_always_the_same)
{
    struct tug_machine *m = kind_mesh(), *pairs = kind_pairs(8), *flat = kind_switched(8, 450000);
    ck_assert_str_eq(ring_of(m, 0xff), "0 3 2 1 5 6 7 4"); /* double links all the way */
    ck_assert_str_eq(ring_of(m, 0x0f), "0 1 2 3");
    ck_assert_str_eq(ring_of(pairs, 0xff), "0 1 2 3 4 5 6 7");
    ck_assert_str_eq(ring_of(pairs, 0x99), "0 3 4 7");
    ck_assert_str_eq(ring_of(flat, 0xf0), "4 5 6 7");
    ck_assert_str_eq(ring_of(NULL, 0x31), "0 4 5");
    free(m);
    free(pairs);
    free(flat);
}
END_TEST

/* Of all orders of the rest behind the first. */
static uint32_t widest(const struct tug_machine *m, uint32_t *order, size_t at, size_t n)
{
    uint32_t best = 0;
    if (at == n) {
        best = UINT32_MAX;
        for (size_t i = 0; i < n; i++) {
            const struct tug_machine_link *l = &m->link[order[i]][order[(i + 1) % n]];
            uint32_t mbs = l->nvlinks ? tug_bandwidth_efficient(l->mbs) : l->mbs;
            best = mbs < best ? mbs : best;
        }
        return best;
    }
    for (size_t i = at; i < n; i++) {
        uint32_t was = order[at], mbs;
        order[at] = order[i];
        order[i] = was;
        mbs = widest(m, order, at + 1, n);
        order[i] = order[at];
        order[at] = was;
        best = mbs > best ? mbs : best;
    }
    return best;
}

static uint32_t width_of(const struct tug_machine *m, const uint32_t *ring, size_t n)
{
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct tug_machine_link *l = &m->link[ring[i]][ring[(i + 1) % n]];
        uint32_t mbs = l->nvlinks ? tug_bandwidth_efficient(l->mbs) : l->mbs;
        least = mbs < least ? mbs : least;
    }
    return least;
}

START_TEST(no_order_of_the_gpus_makes_a_wider_ring)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int round = 0; round < 150; round++) {
        uint32_t n = 2 + (uint32_t) tug_rand_below(&r, 7), ring[8], order[8];
        struct tug_machine *m = kind_random(&r, n);
        tug_gpuset set = tug_rand_below(&r, 1ULL << n);
        size_t len = tug_bandwidth_ring(m, set, ring);
        ck_assert_uint_eq(len, tug_gpuset_count(set));
        tug_gpuset seen = 0;
        for (size_t i = 0; i < len; i++)
            seen |= 1ULL << ring[i];
        ck_assert_uint_eq(seen, set);
        memcpy(order, ring, sizeof ring);
        if (len > 1)
            ck_assert_uint_eq(width_of(m, ring, len), widest(m, order, 1, len));
        free(m);
    }
}
END_TEST

START_TEST(sixteen_gpus_without_switches_are_still_exact_and_more_are_not_refused)
{
    struct tug_machine *m = kind_pairs(16), *many = kind_pairs(32);
    uint32_t ring[32];
    ck_assert_uint_eq(tug_bandwidth_inside(m, 0xffff), tug_link_class_mbs(TUG_LINK_SYS, 4));
    ck_assert_uint_eq(tug_bandwidth_ring(m, 0xffff, ring), 16);
    ck_assert_uint_gt(tug_bandwidth_inside(many, 0xffffffff), 0);
    ck_assert_uint_eq(tug_bandwidth_ring(many, 0xffffffff, ring), 32);
    free(m);
    free(many);
}
END_TEST

UNIT_MAIN("core/bandwidth", a_cube_mesh_has_what_its_rings_over_nvlinks_carry,
          a_measured_machine_is_believed_where_the_count_is_all_that_matters, one_path_over_pcie_limits_the_whole_ring,
          nics_count_that_are_near_the_gpus_and_else_the_best_of_the_nearest,
          the_ring_goes_over_the_widest_links_and_is_always_the_same, no_order_of_the_gpus_makes_a_wider_ring,
          sixteen_gpus_without_switches_are_still_exact_and_more_are_not_refused)
