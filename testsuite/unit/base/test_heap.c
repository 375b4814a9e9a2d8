/* test_heap.c - a heap gives its nodes back smallest first, whatever happened to them */
#include "unit.h"

#include "base/heap.h"
#include "base/rand.h"

struct item {
    int64_t key;
    struct tug_heap_node node;
};

static bool less(const struct tug_heap_node *a, const struct tug_heap_node *b)
{
    return tug_heap_entry(a, struct item, node)->key < tug_heap_entry(b, struct item, node)->key;
}

static int64_t pop(struct tug_heap *h)
{
    struct tug_heap_node *n = tug_heap_pop(h);
    ck_assert_ptr_nonnull(n);
    return tug_heap_entry(n, struct item, node)->key;
}

START_TEST(an_empty_heap_has_no_first_node)
{
    struct tug_heap h = { .less = less };
    ck_assert_ptr_null(tug_heap_first(&h));
    ck_assert_ptr_null(tug_heap_pop(&h));
    tug_heap_clear(&h);
    tug_heap_clear(NULL);
}
END_TEST

START_TEST(nodes_come_out_smallest_first)
{
    struct tug_heap h = { .less = less };
    struct item it[] = { { .key = 3 }, { .key = 1 }, { .key = 2 }, { .key = 1 } };
    for (int i = 0; i < 4; i++)
        tug_heap_push(&h, &it[i].node);
    ck_assert_ptr_eq(tug_heap_first(&h), h.at[0]);
    ck_assert_int_eq(pop(&h), 1);
    ck_assert_int_eq(pop(&h), 1);
    ck_assert_int_eq(pop(&h), 2);
    ck_assert_int_eq(pop(&h), 3);
    ck_assert_ptr_null(tug_heap_pop(&h));
    tug_heap_clear(&h);
}
END_TEST

START_TEST(a_removed_node_never_comes_out_and_can_go_in_again)
{
    struct tug_heap h = { .less = less };
    struct item a = { .key = 1 }, b = { .key = 2 };
    tug_heap_push(&h, &a.node);
    tug_heap_push(&h, &b.node);
    tug_heap_remove(&h, &a.node);
    ck_assert(!tug_heap_holds(&a.node));
    tug_heap_remove(&h, &a.node); /* in no heap: nothing happens */
    ck_assert_int_eq(pop(&h), 2);
    tug_heap_push(&h, &a.node);
    ck_assert_int_eq(pop(&h), 1);
    tug_heap_clear(&h);
}
END_TEST

START_TEST(clearing_takes_every_node_out)
{
    struct tug_heap h = { .less = less };
    struct item a = { .key = 1 }, b = { .key = 2 };
    tug_heap_push(&h, &a.node);
    tug_heap_push(&h, &b.node);
    tug_heap_clear(&h);
    ck_assert(!tug_heap_holds(&a.node) && !tug_heap_holds(&b.node));
    tug_heap_push(&h, &b.node);
    ck_assert_int_eq(pop(&h), 2);
    tug_heap_clear(&h);
}
END_TEST

/* The model: an array that is searched for its smallest key. */
START_TEST(any_mix_of_push_remove_and_move_agrees_with_a_plain_search)
{
    enum { N = 200 };
    struct tug_rand r = tug_rand_seed(unit_seed());
    struct tug_heap h = { .less = less };
    struct item it[N] = { 0 };
    for (int step = 0; step < unit_rounds(20000); step++) {
        struct item *x = &it[tug_rand_below(&r, N)];
        if (!tug_heap_holds(&x->node)) {
            x->key = (int64_t) tug_rand_below(&r, 50);
            tug_heap_push(&h, &x->node);
        } else if (tug_rand_below(&r, 2)) {
            x->key = (int64_t) tug_rand_below(&r, 50);
            tug_heap_moved(&h, &x->node);
        } else {
            tug_heap_remove(&h, &x->node);
        }
        int64_t smallest = INT64_MAX;
        size_t held = 0;
        for (int i = 0; i < N; i++)
            if (tug_heap_holds(&it[i].node)) {
                held++;
                smallest = it[i].key < smallest ? it[i].key : smallest;
            }
        ck_assert_uint_eq(h.len, held);
        if (held)
            ck_assert_int_eq(tug_heap_entry(tug_heap_first(&h), struct item, node)->key, smallest);
    }
    int64_t last = INT64_MIN;
    while (h.len) {
        int64_t key = pop(&h);
        ck_assert_int_ge(key, last);
        last = key;
    }
    tug_heap_clear(&h);
}
END_TEST

UNIT_MAIN("base/heap",
          an_empty_heap_has_no_first_node,
          nodes_come_out_smallest_first,
          a_removed_node_never_comes_out_and_can_go_in_again,
          clearing_takes_every_node_out,
          any_mix_of_push_remove_and_move_agrees_with_a_plain_search)
