/* test_order.c - rows stay sorted and dense, whatever is added and removed */
#include <math.h>

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
                                          .nodes = (uint32_t) i,
                                          .priority = (int64_t) tug_rand_below(&rand, 3),
                                          .submit_ms = (int64_t) tug_rand_below(&rand, 40)};
    for (int step = 0; step < 20000; step++) {
        size_t i = tug_rand_below(&rand, JOBS);
        if (jobs[i].there)
            tug_order_remove(&o, &rows[i], &jobs[i]);
        else
            tug_order_add(&o, &rows[i], 0, &jobs[i]);
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
            ck_assert_uint_eq(tug_order_brief(&o, k)->nodes, tug_order_row(&o, k)->job.nodes);
            ck_assert(k == 0 || tug_order_before(&o, &tug_order_row(&o, k - 1)->job,
                                                 &tug_order_row(&o, k)->job));
        }
    }
    tug_order_clear(&o);
}
END_TEST

/* Sorted by keys and back by priority; what is removed in between is found by the key that its row
 * has. */
START_TEST(new_keys_give_a_new_order_in_which_every_job_is_still_found)
{
    struct tug_rand rand = tug_rand_seed(unit_seed());
    struct tug_order o = {0};
    for (int i = 0; i < JOBS; i++) {
        jobs[i].there = 1;
        rows[i] = (struct tug_policy_job){.id = (uint64_t) i + 1,
                                          .tier = (uint32_t) tug_rand_below(&rand, 2),
                                          .priority = (int64_t) tug_rand_below(&rand, 5) - 2,
                                          .submit_ms = (int64_t) tug_rand_below(&rand, 10)};
        tug_order_add(&o, &rows[i], 0, &jobs[i]);
    }
    for (int round = 0; round < 300; round++) {
        tug_order_settle(&o);
        o.keyed = tug_rand_below(&rand, 4) != 0;
        uint64_t changed = tug_rand_below(&rand, 3) ? 1 : tug_rand_below(&rand, 40);
        for (size_t k = 0; k < o.len; k++) {
            struct tug_order_row *r = tug_order_row(&o, k);
            if (changed && tug_rand_below(&rand, changed) == 0)
                r->job.key = rows[r->job.id - 1].key =
                    tug_rand_below(&rand, 9) ? (double) tug_rand_below(&rand, 7) - 3.5 : -HUGE_VAL;
        }
        tug_order_sort(&o);
        for (size_t k = 0; k < o.len; k++) {
            ck_assert_ptr_eq(tug_order_row(&o, k)->entry, &jobs[tug_order_row(&o, k)->job.id - 1]);
            ck_assert(k == 0 || tug_order_before(&o, &tug_order_row(&o, k - 1)->job,
                                                 &tug_order_row(&o, k)->job));
        }
        for (int i = 0; i < 20; i++) {
            size_t at = tug_rand_below(&rand, JOBS);
            if (jobs[at].there)
                tug_order_remove(&o, &rows[at], &jobs[at]);
            else
                tug_order_add(&o, &rows[at], 0, &jobs[at]);
            jobs[at].there = !jobs[at].there;
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
        tug_order_add(&o, &row, 0, &jobs[id % JOBS]);
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
          new_keys_give_a_new_order_in_which_every_job_is_still_found,
          jobs_that_come_at_the_end_and_go_at_the_front_do_not_make_it_grow)
