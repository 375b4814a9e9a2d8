/* test_limits.c - which resource limits a gang is warned about */
#include "unit.h"

#include <sys/resource.h>

#include "stepd/limits.h"

struct node {
    struct tug_payload p;
    Tugpb__JobSpec spec;
    Tugpb__Slice slice;
    struct tug_machine machine;
    uint64_t rlimits[2];
};

static void node_init(struct node *n)
{
    memset(n, 0, sizeof *n);
    tugpb__job_spec__init(&n->spec);
    tugpb__slice__init(&n->slice);
    n->slice.gpus = 1;
    n->p = (struct tug_payload){.spec = &n->spec, .slice = &n->slice, .node = "gpu7", .n_local = 1, .n_ranks = 64};
}

static const char *said(const struct node *n, struct tug_limits l)
{
    static struct tug_buf b;

    tug_buf_reset(&b);
    tug_limits_warn(&n->p, &l, &b);
    return tug_buf_str(&b);
}

static const struct tug_limits good = {RLIM_INFINITY, 131072, 8 << 20};

START_TEST(good_limits_are_not_mentioned)
{
    struct node n;

    node_init(&n);
    ck_assert_str_eq(said(&n, good), "");
}
END_TEST

START_TEST(each_low_limit_is_named_with_the_way_out)
{
    struct node n;
    struct tug_limits l = good;

    node_init(&n);
    l.memlock_bytes = 8 << 20;
    ck_assert_str_eq(said(&n, l), ""); /* no RDMA here */
    n.p.machine = &n.machine;
    n.machine.n_gpus = n.machine.n_nics = 1;
    n.machine.nic[0].is_ib = 1;
    n.machine.nic_class[0][0] = TUG_LINK_PIX;
    ck_assert_ptr_nonnull(strstr(said(&n, l), "lock 8M of memory"));
    ck_assert_ptr_nonnull(strstr(said(&n, l), "node gpu7 can set LimitMEMLOCK=infinity"));

    l = good;
    l.stack_bytes = RLIM_INFINITY;
    ck_assert_ptr_nonnull(strstr(said(&n, l), "ulimit -s 8192"));

    l = good;
    l.nofile = 1024;
    ck_assert_ptr_nonnull(strstr(said(&n, l), "64 ranks may need 1280: use ulimit -n 1280"));
    n.p.n_ranks = 16;
    ck_assert_str_eq(said(&n, l), "");
}
END_TEST

START_TEST(who_needs_no_nccl_is_not_warned)
{
    struct node n;
    struct tug_limits low = {0, 64, RLIM_INFINITY};

    node_init(&n);
    ck_assert_str_ne(said(&n, low), "");
    n.p.n_ranks = 1;
    ck_assert_str_eq(said(&n, low), "");
    node_init(&n);
    n.slice.gpus = 0;
    ck_assert_str_eq(said(&n, low), "");
    node_init(&n);
    n.p.emulated = true;
    ck_assert_str_eq(said(&n, low), "");
    node_init(&n);
    n.p.batch = true;
    ck_assert_str_eq(said(&n, low), "");
}
END_TEST

START_TEST(the_submitters_limits_count_up_to_the_nodes)
{
    struct node n;
    struct tug_limits l;
    struct rlimit hard;

    node_init(&n);
    getrlimit(RLIMIT_NOFILE, &hard);
    tug_limits_of_ranks(&n.p, &l);
    ck_assert_uint_eq(l.nofile, hard.rlim_cur);
    n.spec.rlimits = n.rlimits;
    n.spec.n_rlimits = 2;
    n.rlimits[0] = RLIMIT_NOFILE;
    n.rlimits[1] = 17;
    tug_limits_of_ranks(&n.p, &l);
    ck_assert_uint_eq(l.nofile, 17);
    n.rlimits[1] = RLIM_INFINITY;
    tug_limits_of_ranks(&n.p, &l);
    ck_assert_uint_eq(l.nofile, hard.rlim_max);
}
END_TEST

UNIT_MAIN("stepd/limits", good_limits_are_not_mentioned, each_low_limit_is_named_with_the_way_out,
          who_needs_no_nccl_is_not_warned, the_submitters_limits_count_up_to_the_nodes)
