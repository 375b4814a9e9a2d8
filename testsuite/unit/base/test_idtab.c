/* test_idtab.c - things are found by number and come out in the order of their numbers */
#include "unit.h"

#include "base/idtab.h"
#include "base/rand.h"

struct thing {
    uint64_t id;
};

START_TEST(ids_that_come_in_any_order_come_out_sorted)
{
    static struct thing e[6] = {{64}, {1}, {1000000}, {63}, {65}, {UINT64_MAX}};
    struct tug_idtab t = {0};
    for (int i = 0; i < 6; i++)
        tug_idtab_add(&t, e[i].id, &e[i]);
    const uint64_t sorted[] = {1, 63, 64, 65, 1000000, UINT64_MAX};
    uint64_t at = 0;
    for (int i = 0; i < 6; i++) {
        struct thing *next = tug_idtab_after(&t, at);
        ck_assert_ptr_nonnull(next);
        ck_assert_uint_eq(at = next->id, sorted[i]);
        ck_assert_ptr_eq(tug_idtab_find(&t, at), next);
    }
    ck_assert_ptr_null(tug_idtab_after(&t, at));
    ck_assert_ptr_null(tug_idtab_find(&t, 2));
    tug_idtab_remove(&t, 64);
    tug_idtab_remove(&t, 65);
    tug_idtab_remove(&t, 999); /* not there */
    ck_assert_uint_eq(t.n, 4);
    ck_assert_uint_eq(t.n_pages, 3);
    ck_assert_uint_eq(((struct thing *) tug_idtab_after(&t, 63))->id, 1000000);
    tug_idtab_clear(&t);
}
END_TEST

/* Most ids are there, then whole pages are missing at the ends and in the middle. */
START_TEST(a_random_table_is_as_an_array_says)
{
    enum { N = 64 * 40 };
    static struct thing at[N];
    static int in[N];
    struct tug_rand r = tug_rand_seed(unit_seed());
    struct tug_idtab t = {0};
    const uint64_t first = tug_rand_below(&r, 2) ? 1 : 1 + (tug_rand_u64(&r) >> 1);

    for (int round = 0; round < unit_rounds(30000); round++) {
        uint64_t i = tug_rand_below(&r, N);
        int stays = (i / 64) % 8 && i / 64 > (uint64_t) round / 1000; /* pages that empty, the oldest first */
        at[i].id = first + i;
        if (in[i])
            tug_idtab_remove(&t, at[i].id);
        else if (stays)
            tug_idtab_add(&t, at[i].id, &at[i]);
        in[i] = !in[i] && stays;
        i = tug_rand_below(&r, N);
        ck_assert_ptr_eq(tug_idtab_find(&t, first + i), in[i] ? &at[i] : NULL);
        uint64_t next = i;
        while (next < N && !in[next])
            next++;
        ck_assert_ptr_eq(tug_idtab_after(&t, first + i - 1), next < N ? &at[next] : NULL);
    }
    tug_idtab_clear(&t);
}
END_TEST

UNIT_MAIN("base/idtab", ids_that_come_in_any_order_come_out_sorted, a_random_table_is_as_an_array_says)
