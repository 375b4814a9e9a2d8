/* test_ledger.c - a gang gets everything it asks for, or nothing */
#include <errno.h>

#include "core/ledger.h"
#include "unit.h"

static struct tug_ledger *two_nodes(void)
{
    struct tug_ledger *l = tug_ledger_new();
    tug_ledger_grow(l, 2);
    tug_ledger_resize(l, 0, 16, 0xff, 1000);
    tug_ledger_resize(l, 1, 16, 0xff, 1000);
    return l;
}

START_TEST(a_gang_that_needs_a_held_GPU_is_refused_and_node_0_is_left_untouched)
{
    struct tug_ledger *l = two_nodes();
    struct tug_err err = {0};
    const struct tug_slice one = {.node = 1, .cpus = 1, .gpus = 0x20, .mem_bytes = 1};
    const struct tug_slice both[] = {{.node = 0, .cpus = 4, .gpus = 0xff, .mem_bytes = 10},
                                     {.node = 1, .cpus = 4, .gpus = 0xff, .mem_bytes = 10}};
    ck_assert_int_eq(tug_ledger_claim(l, 71, &one, 1, TUG_LEDGER_FREE, NULL), 0);
    unit_fails(tug_ledger_claim(l, 72, both, 2, TUG_LEDGER_FREE, &err), -EBUSY, err,
               "node 1: GPU 5 is held by job 71");
    const struct tug_ledger_node *n = tug_ledger_node(l, 0);
    ck_assert_uint_eq(n->gpus_used | n->cpus_used | n->mem_used_bytes | n->gangs | n->owner[0], 0);
    tug_ledger_release(l, 71, &one, 1);
    ck_assert_int_eq(tug_ledger_claim(l, 72, both, 2, TUG_LEDGER_FREE, NULL), 0);
    ck_assert_uint_eq(n->owner[7], 72);
    ck_assert_uint_eq(tug_ledger_cpus_free(n), 12);
    ck_assert_uint_eq(tug_ledger_mem_free(n), 990);
    tug_ledger_free(l);
    tug_ledger_free(NULL);
}
END_TEST

START_TEST(what_a_node_does_not_have_is_refused_unless_a_record_says_it_was_given)
{
    struct tug_ledger *l = two_nodes();
    struct tug_err err = {0};
    struct tug_slice s = {.node = 7};
    unit_fails(tug_ledger_claim(l, 1, &s, 1, TUG_LEDGER_RESTORE, &err), -EINVAL, err,
               "there is no node 7");
    s = (struct tug_slice){.node = 0, .gpus = 0x100};
    unit_fails(tug_ledger_claim(l, 1, &s, 1, TUG_LEDGER_FREE, &err), -EINVAL, err,
               "node 0: there is no GPU 8");
    s = (struct tug_slice){.node = 0, .cpus = 17};
    unit_fails(tug_ledger_claim(l, 1, &s, 1, TUG_LEDGER_FREE, &err), -EBUSY, err,
               "16 CPUs are free, 17 are wanted");
    s = (struct tug_slice){.node = 0, .mem_bytes = 1001};
    unit_fails(tug_ledger_claim(l, 1, &s, 1, TUG_LEDGER_FREE, &err), -EBUSY, err,
               "1000 bytes of memory are free");
    s = (struct tug_slice){.node = 0, .cpus = 99, .gpus = 0xf00, .mem_bytes = 9999};
    ck_assert_int_eq(tug_ledger_claim(l, 1, &s, 1, TUG_LEDGER_RESTORE, NULL), 0);
    ck_assert_uint_eq(tug_ledger_cpus_free(tug_ledger_node(l, 0)), 0);
    ck_assert_uint_eq(tug_ledger_mem_free(tug_ledger_node(l, 0)), 0);
    ck_assert_uint_eq(tug_ledger_gpus_free(tug_ledger_node(l, 0)), 0xff);
    tug_ledger_free(l);
}
END_TEST

START_TEST(a_node_that_shrinks_keeps_what_is_held_and_gives_nothing_more)
{
    struct tug_ledger *l = two_nodes();
    const struct tug_slice s = {.node = 0, .cpus = 8, .gpus = 0xf0, .mem_bytes = 500};
    ck_assert_int_eq(tug_ledger_claim(l, 1, &s, 1, TUG_LEDGER_FREE, NULL), 0);
    tug_ledger_resize(l, 0, 4, 0x1f, 100);
    const struct tug_ledger_node *n = tug_ledger_node(l, 0);
    ck_assert_uint_eq(n->gpus_used, 0xf0);
    ck_assert_uint_eq(tug_ledger_gpus_free(n), 0x0f);
    ck_assert_uint_eq(tug_ledger_cpus_free(n), 0);
    tug_ledger_grow(l, 100);
    tug_ledger_release(l, 1, &s, 1);
    ck_assert_uint_eq(tug_ledger_node(l, 0)->gpus_used, 0);
    tug_ledger_free(l);
}
END_TEST

START_TEST(a_gpu_is_held_in_parts_up_to_all_of_it_and_then_free_as_a_whole_again)
{
    struct tug_ledger *l = two_nodes();
    struct tug_err err = {0};
    const struct tug_slice part = {.gpus = 4, .gpu_milli = 400},
                           rest = {.gpus = 4, .gpu_milli = 600},
                           more = {.gpus = 4, .gpu_milli = 201}, whole = {.gpus = 6},
                           wide = {.gpus = 6, .gpu_milli = 100};
    const struct tug_ledger_node *n = tug_ledger_node(l, 0);
    ck_assert_uint_eq(n->milli_free[2], 1000);
    ck_assert_uint_eq(n->milli_free[8], 0);
    ck_assert_int_eq(tug_ledger_claim(l, 1, &part, 1, TUG_LEDGER_FREE, NULL), 0);
    ck_assert_int_eq(tug_ledger_claim(l, 2, &part, 1, TUG_LEDGER_FREE, NULL), 0);
    ck_assert_uint_eq(n->milli_free[2], 200);
    ck_assert_uint_eq(n->owner[2], 0);
    ck_assert_uint_eq(tug_ledger_gpus_free(n), 0xfb);
    unit_fails(tug_ledger_claim(l, 3, &more, 1, TUG_LEDGER_FREE, &err), -EBUSY, err,
               "node 0: 200 of 1000 of GPU 2 are free, 201 are wanted");
    unit_fails(tug_ledger_claim(l, 3, &whole, 1, TUG_LEDGER_FREE, &err), -EBUSY, err,
               "node 0: GPU 2 is held in parts");
    unit_fails(tug_ledger_claim(l, 3, &wide, 1, TUG_LEDGER_FREE, &err), -EINVAL, err,
               "node 0: a part of a GPU is less than one of one GPU");
    tug_ledger_release(l, 1, &part, 1);
    ck_assert_int_eq(tug_ledger_claim(l, 3, &rest, 1, TUG_LEDGER_FREE, NULL), 0);
    ck_assert_uint_eq(n->milli_free[2], 0);
    tug_ledger_release(l, 3, &rest, 1);
    tug_ledger_release(l, 2, &part, 1);
    ck_assert_uint_eq(n->gpus_used | n->gpus_shared | n->milli_used[2], 0);
    ck_assert_int_eq(tug_ledger_claim(l, 4, &whole, 1, TUG_LEDGER_FREE, NULL), 0);
    unit_fails(tug_ledger_claim(l, 1, &part, 1, TUG_LEDGER_FREE, &err), -EBUSY, err,
               "node 0: GPU 2 is held by job 4");
    ck_assert_uint_eq(n->milli_free[1], 0);
    tug_ledger_release(l, 4, &whole, 1);
    tug_ledger_free(l);
}
END_TEST

START_TEST(a_part_goes_to_the_gpu_that_it_fills_best_and_else_to_a_free_one)
{
    struct tug_ledger *l = two_nodes();
    const struct tug_slice a = {.gpus = 2, .gpu_milli = 300}, b = {.gpus = 8, .gpu_milli = 500};
    const struct tug_ledger_node *n = tug_ledger_node(l, 0);
    uint32_t left;
    tug_ledger_claim(l, 1, &a, 1, TUG_LEDGER_FREE, NULL);
    tug_ledger_claim(l, 2, &b, 1, TUG_LEDGER_FREE, NULL);
    ck_assert_uint_eq(tug_ledger_share(n, &(struct tug_slice){.gpu_milli = 400}, &left), 3);
    ck_assert_uint_eq(left, 100);
    ck_assert_uint_eq(tug_ledger_share(n, &(struct tug_slice){.gpu_milli = 600}, &left), 1);
    ck_assert_uint_eq(tug_ledger_share(n, &(struct tug_slice){.gpu_milli = 800}, &left), 0);
    ck_assert_uint_eq(left, UINT32_MAX);
    ck_assert_uint_eq(tug_ledger_share(tug_ledger_node(l, 1), &(struct tug_slice){.gpu_milli = 1}, &left), 0);
    tug_ledger_resize(l, 1, 16, 0, 1000);
    ck_assert_uint_eq(tug_ledger_share(tug_ledger_node(l, 1), &(struct tug_slice){.gpu_milli = 1}, &left), TUG_GPUS_MAX);
    tug_ledger_free(l);
}
END_TEST

START_TEST(parts_of_two_users_share_a_gpu_only_where_both_say_so)
{
    struct tug_ledger *l = two_nodes();
    struct tug_err err = {0};
    struct tug_slice ann = {.gpus = 2, .gpu_milli = 300, .gpu_user = 1, .gpu_mixed = 1};
    struct tug_slice bob = {.gpus = 2, .gpu_milli = 300, .gpu_user = 2};
    const struct tug_ledger_node *n = tug_ledger_node(l, 0);
    uint32_t left;
    ck_assert_int_eq(tug_ledger_claim(l, 1, &ann, 1, TUG_LEDGER_FREE, NULL), 0);
    unit_fails(tug_ledger_claim(l, 2, &bob, 1, TUG_LEDGER_FREE, &err), -EBUSY, err,
               "node 0: parts of GPU 1 are another user's");
    unit_fails(tug_ledger_claim(l, 2, &bob, 1, TUG_LEDGER_RESTORE, &err), -EBUSY, err,
               "node 0: parts of GPU 1 are another user's");
    ck_assert_uint_eq(tug_ledger_share(n, &bob, &left), 0);
    ck_assert_uint_eq(left, UINT32_MAX);
    bob.gpu_mixed = 1;
    ck_assert_uint_eq(tug_ledger_share(n, &bob, &left), 1);
    ck_assert_int_eq(tug_ledger_claim(l, 2, &bob, 1, TUG_LEDGER_FREE, NULL), 0);
    ann.gpu_mixed = 0; /* a further one of hers that keeps to itself */
    unit_fails(tug_ledger_claim(l, 3, &ann, 1, TUG_LEDGER_FREE, &err), -EBUSY, err,
               "node 0: parts of GPU 1 are another user's");
    tug_ledger_release(l, 2, &bob, 1);
    ck_assert_int_eq(tug_ledger_claim(l, 3, &ann, 1, TUG_LEDGER_FREE, NULL), 0);
    ck_assert_uint_eq(n->parts.len, 2);
    tug_ledger_release(l, 3, &ann, 1);
    tug_ledger_release(l, 1, &ann, 1);
    ck_assert_uint_eq(n->parts.len | n->gpus_used, 0);
    tug_ledger_free(l);
}
END_TEST

UNIT_MAIN("core/ledger", parts_of_two_users_share_a_gpu_only_where_both_say_so, a_gang_that_needs_a_held_GPU_is_refused_and_node_0_is_left_untouched,
          what_a_node_does_not_have_is_refused_unless_a_record_says_it_was_given,
          a_node_that_shrinks_keeps_what_is_held_and_gives_nothing_more,
          a_gpu_is_held_in_parts_up_to_all_of_it_and_then_free_as_a_whole_again,
          a_part_goes_to_the_gpu_that_it_fills_best_and_else_to_a_free_one)
