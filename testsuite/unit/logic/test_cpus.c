/* test_cpus.c - which CPUs a slice is bound to, on hand-made NUMA layouts */
#include "unit.h"

#include "base/rand.h"
#include "logic/cpus.h"

#define WORD 8 /* CPUs 0 to 63 */

struct node {
    Tugpb__Inventory inv;
    uint32_t gpu_numa[64];
    uint8_t numa[8][WORD];
    ProtobufCBinaryData numa_cpus[8];
    uint8_t used[TUG_CPUS_MASK_LEN];
};

static uint64_t word_of(const uint8_t *mask)
{
    uint64_t w = 0;

    for (int i = 0; i < WORD; i++)
        w |= (uint64_t) mask[i] << (8 * i);
    return w;
}

static void set_word(uint8_t *mask, uint64_t w)
{
    for (int i = 0; i < WORD; i++)
        mask[i] = (uint8_t) (w >> (8 * i));
}

static void node_init(struct node *n)
{
    memset(n, 0, sizeof *n);
    tugpb__inventory__init(&n->inv);
    n->inv.gpu_numa = n->gpu_numa;
    n->inv.numa_cpus = n->numa_cpus;
}

static void add_numa(struct node *n, uint64_t cpus)
{
    size_t i = n->inv.n_numa_cpus++;

    set_word(n->numa[i], cpus);
    n->numa_cpus[i] = (ProtobufCBinaryData){WORD, n->numa[i]};
}

static void add_gpu(struct node *n, uint32_t numa)
{
    n->gpu_numa[n->inv.n_gpu_numa++] = numa;
}

static uint64_t pick(struct node *n, uint64_t gpus, uint32_t want)
{
    uint8_t mine[TUG_CPUS_MASK_LEN] = {0};
    uint64_t before = word_of(n->used);
    uint32_t got = tug_cpus_pick(&n->inv, gpus, want, n->used, mine);

    ck_assert_uint_eq(got, (uint32_t) __builtin_popcountll(word_of(mine)));
    ck_assert_uint_eq(word_of(mine) & before, 0);
    ck_assert_uint_eq(word_of(mine) | before, word_of(n->used));
    return word_of(mine);
}

/* Two sockets of 16 CPUs, 4 GPUs on each. */
static void two_sockets(struct node *n)
{
    node_init(n);
    add_numa(n, 0x0000ffff);
    add_numa(n, 0xffff0000);
    for (int i = 0; i < 8; i++)
        add_gpu(n, i >= 4);
}

START_TEST(a_slice_has_cpus_of_both_numa_nodes_that_its_gpus_are_on)
{
    struct node n;

    two_sockets(&n);
    ck_assert_uint_eq(pick(&n, 0x33, 8), 0x000f000f);
    ck_assert_uint_eq(pick(&n, 0xc4, 9), 0x03f00070); /* one GPU and two */
    ck_assert_uint_eq(pick(&n, 0x08, 4), 0x00000780);
}
END_TEST

START_TEST(what_is_not_free_there_comes_from_the_other_node_of_its_gpus_and_then_from_elsewhere)
{
    struct node n;

    two_sockets(&n);
    set_word(n.used, 0x3fff);
    ck_assert_uint_eq(pick(&n, 0x11, 8), 0x003fc000); /* 2 there, 6 here; 4 each were wanted */
    ck_assert_uint_eq(pick(&n, 0x02, 2), 0x00c00000); /* nothing there */
}
END_TEST

START_TEST(a_slice_without_gpus_goes_where_it_just_fits)
{
    struct node n;

    node_init(&n);
    add_numa(&n, 0x00ff);
    add_numa(&n, 0x0f00);
    add_numa(&n, 0xf000);
    ck_assert_uint_eq(pick(&n, 0, 3), 0x0700);
    ck_assert_uint_eq(pick(&n, 0, 1), 0x0800);
    ck_assert_uint_eq(pick(&n, 0, 10), 0x30ff); /* nowhere does it fit */
    ck_assert_uint_eq(pick(&n, 0, 3), 0xc000);  /* more than there is */
}
END_TEST

/* GPUs on Linux's numbers of NUMA nodes that have no CPUs, or that nobody described. */
START_TEST(gpus_whose_place_is_not_known_take_any)
{
    struct node n;

    node_init(&n);
    add_numa(&n, 0);
    add_numa(&n, 0xff);
    add_gpu(&n, 0);
    add_gpu(&n, 7);
    ck_assert_uint_eq(pick(&n, 0x7, 4), 0x0f);
}
END_TEST

START_TEST(every_share_is_in_proportion_where_all_is_free)
{
    struct tug_rand rnd = tug_rand_seed(unit_seed());

    for (int round = unit_rounds(2000); round > 0; round--) {
        struct node n;
        uint64_t gpus = 0, mine;
        uint32_t on[4] = {0}, all = 0, want;

        node_init(&n);
        for (int i = 0; i < 4; i++)
            add_numa(&n, 0xffffULL << (16 * i));
        for (uint32_t g = 0; g < 16; g++) {
            uint32_t numa = (uint32_t) tug_rand_below(&rnd, 4);
            add_gpu(&n, numa);
            if (tug_rand_below(&rnd, 2)) {
                gpus |= 1ULL << g;
                on[numa]++;
                all++;
            }
        }
        want = (uint32_t) tug_rand_below(&rnd, 16);
        mine = pick(&n, gpus, want);
        ck_assert_int_eq(__builtin_popcountll(mine), (int) want);
        for (int i = 0; i < 4 && all; i++) {
            int got = __builtin_popcountll(mine >> (16 * i) & 0xffff);
            ck_assert_int_le(got * (int) all, (int) (want * on[i] + all - 1));
            ck_assert_int_ge(got * (int) all, (int) (want * on[i]) - (int) all + 1);
        }
    }
}
END_TEST

UNIT_MAIN("logic/cpus", a_slice_has_cpus_of_both_numa_nodes_that_its_gpus_are_on,
          what_is_not_free_there_comes_from_the_other_node_of_its_gpus_and_then_from_elsewhere,
          a_slice_without_gpus_goes_where_it_just_fits, gpus_whose_place_is_not_known_take_any,
          every_share_is_in_proportion_where_all_is_free)
