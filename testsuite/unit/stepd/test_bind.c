/* test_bind.c - which GPUs, CPUs, memory and NICs a rank works with, on hand-made nodes */
#include "unit.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rand.h"
#include "stepd/bind.h"
#include "stepd/gpus.h"
#include "stepd/nics.h"

#define MASK_LEN 4 /* CPUs 0 to 31 */

/* A payload without any process: one node. */
struct node {
    struct tug_payload p;
    Tugpb__StepPayload pb;
    Tugpb__JobSpec spec;
    Tugpb__ResourceRequest res;
    Tugpb__Slice slice;
    Tugpb__Inventory inv;
    uint32_t gpu_numa[64];
    uint8_t order[64];
    uint8_t mask[MASK_LEN];
    uint8_t numa[8][MASK_LEN];
    ProtobufCBinaryData numa_cpus[8];
    struct tug_machine machine;
};

static void set_mask(uint8_t out[MASK_LEN], uint32_t bits)
{
    for (int i = 0; i < MASK_LEN; i++)
        out[i] = (uint8_t) (bits >> (8 * i));
}

static void node_init(struct node *n, unsigned ranks, uint32_t cpus)
{
    memset(n, 0, sizeof *n);
    tugpb__step_payload__init(&n->pb);
    tugpb__job_spec__init(&n->spec);
    tugpb__resource_request__init(&n->res);
    tugpb__slice__init(&n->slice);
    tugpb__inventory__init(&n->inv);
    n->p = (struct tug_payload){.pb = &n->pb,
                                .spec = &n->spec,
                                .slice = &n->slice,
                                .inv = &n->inv,
                                .node = "n",
                                .address = "",
                                .n_nodes = 1,
                                .ntasks = ranks,
                                .n_local = ranks,
                                .n_ranks = ranks};
    n->spec.res = &n->res;
    set_mask(n->mask, cpus);
    n->slice.cpu_mask = (ProtobufCBinaryData){MASK_LEN, n->mask};
    n->inv.numa_cpus = n->numa_cpus;
    n->inv.gpu_numa = n->gpu_numa;
}

static void add_numa(struct node *n, uint32_t cpus)
{
    size_t i = n->inv.n_numa_cpus++;

    set_mask(n->numa[i], cpus);
    n->numa_cpus[i] = (ProtobufCBinaryData){MASK_LEN, n->numa[i]};
}

/* The next GPU of the node, which the gang has. */
static void add_gpu(struct node *n, uint32_t numa)
{
    n->slice.gpus |= 1ULL << n->inv.gpus++;
    n->gpu_numa[n->inv.n_gpu_numa++] = numa;
}

static void set_order(struct node *n, const char *order)
{
    n->slice.gpu_order = (ProtobufCBinaryData){strlen(order), n->order};
    for (size_t i = 0; order[i]; i++)
        n->order[i] = (uint8_t) (order[i] - '0');
}

/* "4,6,0" */
static const char *gpus_text(const struct tug_gpu_list *l)
{
    static char text[256];
    size_t at = 0;

    text[0] = 0;
    for (unsigned i = 0; i < l->n; i++)
        at += (size_t) snprintf(text + at, sizeof text - at, "%s%u", i ? "," : "", l->at[i]);
    return text;
}

static void rank_has(const struct node *n, unsigned local, const char *gpus)
{
    struct tug_gpu_list l;

    tug_gpus_of_rank(&n->p, local, &l);
    ck_assert_str_eq(gpus_text(&l), gpus);
}

static uint32_t cpus_of(const struct tug_bind *b, unsigned local)
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < 8 * MASK_LEN; i++)
        bits |= (uint32_t) (CPU_ISSET(i, tug_bind_cpus(b, local)) != 0) << i;
    ck_assert_int_eq(CPU_COUNT(tug_bind_cpus(b, local)), __builtin_popcount(bits));
    return bits;
}

/* ---- GPUs */

START_TEST(ranks_get_their_gpus_along_the_ring)
{
    struct node n;
    struct tug_gpu_list l;

    node_init(&n, 2, 0);
    n.slice.gpus = 0xb5; /* 0, 2, 4, 5, 7 */
    set_order(&n, "40752");
    n.res.gpus_per_task = 2;
    rank_has(&n, 0, "4,0");
    rank_has(&n, 1, "7,5");
    tug_gpus_of_node(&n.p, &l);
    ck_assert_str_eq(gpus_text(&l), "4,0,7,5,2");

    n.res.gpus_per_task = 0;
    rank_has(&n, 0, "4,0");
    rank_has(&n, 1, "7,5,2");
    set_order(&n, ""); /* nobody said: as they rise */
    rank_has(&n, 0, "0,2");
    rank_has(&n, 1, "4,5,7");
}
END_TEST

START_TEST(ranks_without_a_gpu_of_their_own_share_one)
{
    struct node n;

    node_init(&n, 4, 0);
    n.slice.gpus = 0x3;
    set_order(&n, "10");
    rank_has(&n, 0, "1");
    rank_has(&n, 1, "1");
    rank_has(&n, 2, "0");
    rank_has(&n, 3, "0");
}
END_TEST

START_TEST(torch_shows_all_gpus_but_each_rank_works_with_its_own)
{
    struct node n;
    struct tug_gpu_list l;

    node_init(&n, 2, 0);
    n.slice.gpus = 0x0f;
    set_order(&n, "0231");
    n.spec.launcher = TUGPB__LAUNCHER__LAUNCHER_TORCH;
    tug_gpus_shown(&n.p, 1, &l);
    ck_assert_str_eq(gpus_text(&l), "0,2,3,1");
    rank_has(&n, 1, "3,1");
    n.spec.launcher = TUGPB__LAUNCHER__LAUNCHER_AUTO;
    tug_gpus_shown(&n.p, 1, &l);
    ck_assert_str_eq(gpus_text(&l), "3,1");
}
END_TEST

START_TEST(an_order_names_each_gpu_of_the_gang_once)
{
    uint8_t order[] = {2, 0, 3, 3, 64};
    ProtobufCBinaryData d = {3, order};

    ck_assert(tug_gpus_are_ordered(0x0d, &d));
    ck_assert(!tug_gpus_are_ordered(0x1d, &d)); /* one is missing */
    ck_assert(!tug_gpus_are_ordered(0x0c, &d)); /* one is not the gang's */
    d.len = 4;
    ck_assert(!tug_gpus_are_ordered(0x0d, &d)); /* one is there twice */
    d.len = 5;
    ck_assert(!tug_gpus_are_ordered(~0ULL, &d)); /* there is no such GPU */
    d.len = 0;
    ck_assert(tug_gpus_are_ordered(0x0d, &d));
}
END_TEST

/* ---- CPUs and memory */

START_TEST(cpus_are_split_evenly_and_next_to_the_ranks_gpus)
{
    struct node n;
    struct tug_bind *b;

    node_init(&n, 2, 0xff);
    b = tug_bind_new(&n.p, NULL);
    ck_assert_uint_eq(cpus_of(b, 0), 0x0f);
    ck_assert_uint_eq(cpus_of(b, 1), 0xf0);
    ck_assert_uint_eq(tug_bind_numa(b, 0), 0);
    free(b);

    add_numa(&n, 0x0f);
    add_numa(&n, 0xf0);
    add_gpu(&n, 1); /* GPU 0 sits on NUMA node 1 */
    add_gpu(&n, 0);
    b = tug_bind_new(&n.p, NULL);
    ck_assert_uint_eq(cpus_of(b, 0), 0xf0);
    ck_assert_uint_eq(cpus_of(b, 1), 0x0f);
    ck_assert_uint_eq(tug_bind_numa(b, 0), 2);
    ck_assert_uint_eq(tug_bind_numa(b, 1), 1);
    free(b);

    set_order(&n, "10"); /* rank 0 has GPU 1 now */
    b = tug_bind_new(&n.p, NULL);
    ck_assert_uint_eq(cpus_of(b, 0), 0x0f);
    ck_assert_uint_eq(tug_bind_numa(b, 0), 1);
    free(b);

    set_mask(n.mask, 0);
    ck_assert_ptr_null(tug_bind_new(&n.p, NULL)); /* no mask: not bound */
}
END_TEST

START_TEST(a_rank_that_needs_more_does_not_take_what_is_next_to_anothers_gpu)
{
    struct node n;
    struct tug_bind *b;

    /* Three ranks of 4 CPUs; two GPUs are on a NUMA node that has 6, one on one that has 8. */
    node_init(&n, 3, 0x3fff);
    add_numa(&n, 0x003f);
    add_numa(&n, 0x3fc0);
    add_gpu(&n, 0);
    add_gpu(&n, 0);
    add_gpu(&n, 1);
    b = tug_bind_new(&n.p, NULL);
    ck_assert_uint_eq(cpus_of(b, 0) & 0x3f, 0x07); /* they have alike of what is near */
    ck_assert_uint_eq(cpus_of(b, 1) & 0x3f, 0x38);
    ck_assert_int_eq(__builtin_popcount(cpus_of(b, 0)), 4);
    ck_assert_int_eq(__builtin_popcount(cpus_of(b, 1)), 4);
    ck_assert_uint_eq(cpus_of(b, 2) & 0x3f, 0); /* rank 2 has all of its own next to its GPU */
    ck_assert_uint_eq(tug_bind_numa(b, 0), 1);
    free(b);
}
END_TEST

START_TEST(a_rank_whose_gpus_are_on_two_numa_nodes_has_cpus_of_both)
{
    struct node n;
    struct tug_bind *b;

    node_init(&n, 2, 0xffff);
    add_numa(&n, 0x00ff);
    add_numa(&n, 0xff00);
    for (int i = 0; i < 8; i++)
        add_gpu(&n, i % 4 == 3); /* three on node 0, one on node 1; twice */
    b = tug_bind_new(&n.p, NULL);
    for (unsigned r = 0; r < 2; r++) {
        ck_assert_int_eq(__builtin_popcount(cpus_of(b, r)), 8);
        ck_assert_int_eq(__builtin_popcount(cpus_of(b, r) & 0x00ff), 4); /* 6 each are wanted */
        ck_assert_uint_eq(tug_bind_numa(b, r), 0); /* both: no choice */
    }
    free(b);
}
END_TEST

START_TEST(ranks_without_gpus_stay_on_one_numa_node)
{
    struct node n;
    struct tug_bind *b;

    node_init(&n, 3, 0x0fff);
    add_numa(&n, 0x003f); /* 6, 2 of which would be left over by one rank, not enough for the next */
    add_numa(&n, 0x03c0); /* 4 */
    add_numa(&n, 0x0c00); /* 2 */
    b = tug_bind_new(&n.p, NULL);
    ck_assert_uint_eq(cpus_of(b, 0), 0x03c0);
    ck_assert_uint_eq(tug_bind_numa(b, 0), 2);
    ck_assert_uint_eq(cpus_of(b, 1), 0x000f);
    ck_assert_uint_eq(tug_bind_numa(b, 1), 1);
    ck_assert_uint_eq(cpus_of(b, 2), 0x0c30); /* what is left */
    ck_assert_uint_eq(tug_bind_numa(b, 2), 5);
    free(b);
}
END_TEST

START_TEST(hardware_threads_of_a_core_go_to_one_rank)
{
    struct node n;
    struct tug_bind *b;
    uint16_t core_of[CPU_SETSIZE] = {0};

    for (uint16_t i = 0; i < 8; i++)
        core_of[i] = core_of[i + 8] = i; /* as Linux numbers them: 0-7, and 8-15 are their siblings */
    node_init(&n, 4, 0xffff);
    b = tug_bind_new(&n.p, core_of);
    for (unsigned r = 0; r < 4; r++)
        ck_assert_uint_eq(cpus_of(b, r), 0x0303u << (2 * r));
    free(b);
}
END_TEST

START_TEST(more_ranks_than_cpus_share_all_of_them)
{
    struct node n;
    struct tug_bind *b;

    node_init(&n, 5, 0x03);
    b = tug_bind_new(&n.p, NULL);
    ck_assert_uint_eq(cpus_of(b, 4), 0x03);
    free(b);
}
END_TEST

/* Random layouts: every rank has the same number, none has another's or what is not the slice's. */
START_TEST(no_cpu_has_two_ranks_whatever_the_layout_is)
{
    struct node n;
    struct tug_rand rnd = tug_rand_seed(unit_seed());

    for (int round = unit_rounds(2000); round > 0; round--) {
        unsigned ranks = 1 + (unsigned) tug_rand_below(&rnd, 8);
        unsigned numa = (unsigned) tug_rand_below(&rnd, 5);
        uint32_t all = 0, mask = (uint32_t) tug_rand_u64(&rnd);
        struct tug_bind *b;

        node_init(&n, ranks, mask);
        for (unsigned i = 0, left = ~0u; i < numa; i++) {
            uint32_t its = (uint32_t) tug_rand_u64(&rnd) & left;
            add_numa(&n, its);
            left &= ~its;
        }
        for (unsigned i = (unsigned) tug_rand_below(&rnd, 9); i && numa; i--)
            add_gpu(&n, (uint32_t) tug_rand_below(&rnd, numa));
        b = tug_bind_new(&n.p, NULL);
        ck_assert(!b == !mask);
        for (unsigned r = 0; b && r < ranks; r++) {
            uint32_t mine = cpus_of(b, r);
            unsigned each = (unsigned) __builtin_popcount(mask) / ranks;
            ck_assert_uint_eq(mine & ~mask, 0);
            if (each && ranks > 1) {
                ck_assert_uint_eq((unsigned) __builtin_popcount(mine), each);
                ck_assert_uint_eq(mine & all, 0);
            } else {
                ck_assert_uint_eq(mine, mask);
            }
            all |= mine;
        }
        free(b);
    }
}
END_TEST

START_TEST(a_process_prefers_the_memory_that_it_is_told)
{
    int status, mode = -1;
    uint64_t nodes = 0;
    pid_t pid = fork();

    if (pid == 0) {
        int rc = tug_bind_memory(1);
        if (rc == -EPERM || rc == -ENOSYS) /* a container may forbid it: ranks run all the same */
            _exit(0);
        if (rc || syscall(SYS_get_mempolicy, &mode, &nodes, 64ul, NULL, 0ul))
            _exit(1);
        _exit(mode == MPOL_PREFERRED && nodes == 1 ? 0 : 2);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- NICs */

static void add_nic(struct node *n, const char *name, int is_ib)
{
    struct tug_machine_nic *nic = &n->machine.nic[n->machine.n_nics++];

    snprintf(nic->name, sizeof nic->name, "%s", name);
    nic->is_ib = (uint8_t) is_ib;
    n->p.machine = &n->machine;
}

static const char *nics_text(const struct node *n, uint32_t nics)
{
    static struct tug_buf b;

    tug_buf_reset(&b);
    tug_nics_print(&n->p, nics, ":1", &b);
    return tug_buf_str(&b);
}

START_TEST(the_nearest_verbs_nics_are_named_for_the_node_and_one_for_each_gpu)
{
    struct node n;

    node_init(&n, 4, 0);
    for (int i = 0; i < 4; i++)
        add_gpu(&n, 0);
    add_nic(&n, "eth0", 0);
    add_nic(&n, "mlx5_0", 1);
    add_nic(&n, "mlx5_1", 1);
    add_nic(&n, "mlx5_2", 1);
    n.machine.n_gpus = 4;
    for (int g = 0; g < 4; g++) {
        n.machine.nic_class[g][0] = TUG_LINK_PIX; /* nearest, but no verbs device */
        n.machine.nic_class[g][1] = n.machine.nic_class[g][2] = g < 2 ? TUG_LINK_PXB : TUG_LINK_SYS;
        n.machine.nic_class[g][3] = TUG_LINK_NODE;
    }
    ck_assert_str_eq(nics_text(&n, tug_nics_of_node(&n.p)), "mlx5_0:1,mlx5_1:1,mlx5_2:1");
    ck_assert_str_eq(nics_text(&n, tug_nics_of_rank(&n.p, 0)), "mlx5_0:1"); /* they take turns */
    ck_assert_str_eq(nics_text(&n, tug_nics_of_rank(&n.p, 1)), "mlx5_1:1");
    ck_assert_str_eq(nics_text(&n, tug_nics_of_rank(&n.p, 2)), "mlx5_2:1");
    ck_assert_str_eq(nics_text(&n, tug_nics_of_rank(&n.p, 3)), "mlx5_2:1");
    n.slice.gpus = 0x03; /* the gang is next to two only */
    n.p.n_local = 1;
    ck_assert_str_eq(nics_text(&n, tug_nics_of_node(&n.p)), "mlx5_0:1,mlx5_1:1");
    ck_assert_str_eq(nics_text(&n, tug_nics_of_rank(&n.p, 0)), "mlx5_0:1,mlx5_1:1");
}
END_TEST

START_TEST(where_nobody_knows_the_nearest_nic_none_is_named)
{
    struct node n;

    node_init(&n, 1, 0);
    add_gpu(&n, 0);
    ck_assert_uint_eq(tug_nics_of_node(&n.p), 0);
    add_nic(&n, "mlx5_0", 1);
    n.machine.n_gpus = 1;
    ck_assert_uint_eq(tug_nics_of_node(&n.p), 0);
    ck_assert_uint_eq(tug_nics_of_rank(&n.p, 0), 0);
    n.machine.nic_class[0][0] = TUG_LINK_SYS;
    n.machine.n_gpus = 0; /* a machine of fewer GPUs than the gang has here */
    ck_assert_uint_eq(tug_nics_of_node(&n.p), 0);
}
END_TEST

UNIT_MAIN("stepd/bind", ranks_get_their_gpus_along_the_ring,
          ranks_without_a_gpu_of_their_own_share_one,
          torch_shows_all_gpus_but_each_rank_works_with_its_own,
          an_order_names_each_gpu_of_the_gang_once,
          cpus_are_split_evenly_and_next_to_the_ranks_gpus,
          a_rank_that_needs_more_does_not_take_what_is_next_to_anothers_gpu,
          a_rank_whose_gpus_are_on_two_numa_nodes_has_cpus_of_both,
          ranks_without_gpus_stay_on_one_numa_node, hardware_threads_of_a_core_go_to_one_rank,
          more_ranks_than_cpus_share_all_of_them, no_cpu_has_two_ranks_whatever_the_layout_is,
          a_process_prefers_the_memory_that_it_is_told,
          the_nearest_verbs_nics_are_named_for_the_node_and_one_for_each_gpu,
          where_nobody_knows_the_nearest_nic_none_is_named)
