/* test_order.c - rows stay sorted and dense, whatever is added and removed */
#include "unit.h"

#include "base/rand.h"
#include "core/order.h"

#define JOBS 300

/* The order only compares what it was given. */
struct tug_entry {
    int there;
};
static struct tug_entry jobs[JOBS];
static struct tug_policy_job rows[JOBS];

START_TEST(random_changes_give_the_same_order_as_sorting)
{
    struct tug_rand rand = tug_rand_seed(unit_seed());
    struct tug_order o = {0};
    for (int i = 0; i < JOBS; i++)
        rows[i] = (struct tug_policy_job){.id = (uint64_t) i + 1,
                                          .priority = (int64_t) tug_rand_below(&rand, 3),
                                          .submit_ms = (int64_t) tug_rand_below(&rand, 40)};
    for (int step = 0; step < 20000; step++) {
        size_t i = tug_rand_below(&rand, JOBS);
        if (jobs[i].there)
            tug_order_remove(&o, &rows[i], &jobs[i]);
        else
            tug_order_add(&o, &rows[i], &jobs[i]);
        jobs[i].there = !jobs[i].there;
        if (tug_rand_below(&rand, 12))
            continue;
        tug_order_settle(&o);
        size_t there = 0;
        for (size_t k = 0; k < JOBS; k++)
            there += jobs[k].there != 0;
        ck_assert_uint_eq(o.len, there);
        ck_assert_uint_eq(o.n_jobs, there);
        for (size_t k = 0; k < o.len; k++) {
            ck_assert(tug_order_row(&o, k)->entry->there);
            ck_assert(k == 0 ||
                      tug_order_before(&tug_order_row(&o, k - 1)->job, &tug_order_row(&o, k)->job));
        }
    }
    tug_order_clear(&o);
}
END_TEST

START_TEST(jobs_that_come_at_the_end_and_go_at_the_front_do_not_make_it_grow)
{
    struct tug_order o = {0};
    struct tug_policy_job row = {0};
    for (uint64_t id = 1; id <= 100000; id++) {
        row.id = id;
        tug_order_add(&o, &row, &jobs[id % JOBS]);
        if (id > 100) {
            row.id = id - 100;
            tug_order_remove(&o, &row, &jobs[(id - 100) % JOBS]);
        }
        tug_order_settle(&o);
    }
    ck_assert_uint_eq(o.len, 100);
    ck_assert_uint_lt(o.cap, 1000);
    tug_order_clear(&o);
}
END_TEST

UNIT_MAIN("core/order", random_changes_give_the_same_order_as_sorting,
          jobs_that_come_at_the_end_and_go_at_the_front_do_not_make_it_grow)
