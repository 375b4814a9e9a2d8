/* test_standing.c - a waiting job's place in the order, and what policies say of it */
#include <errno.h>

#include "world.h"

static struct world w;
static struct tug_core_standing at;
static char terms[512];
static int asked, depth;

/* "1 of 3: terms" */
static const char *standing(tug_job_id id)
{
    static char text[600];
    tug_core_standing(w.c, w.now, w_job(&w, id), &at, terms, sizeof terms);
    w_check(&w);
    snprintf(text, sizeof text, "%d of %d: %s", (int) at.place, (int) at.of, terms);
    return text;
}

static double key(void *self, const struct tug_policy_view *v, const struct tug_policy_job *job)
{
    (void) self;
    (void) v;
    return -(double) job->id;
}

static int says(void *self, const struct tug_policy_view *v, const struct tug_policy_job *job,
                char *text, size_t size)
{
    int is_there = 0;
    asked++;
    ck_assert_int_eq(depth, 1);
    for (size_t i = 0; i < v->n_waiting; i++) {
        ck_assert_uint_ne(TUG_POLICY_WAITING(v, i)->id, 2); /* has left */
        is_there |= TUG_POLICY_WAITING(v, i) == job;
    }
    ck_assert(is_there);
    snprintf(text, size, "%s at %d, key %.0f", (const char *) self, (int) (v->now_ms - w.now),
             job->key);
    return 0;
}

static int says_nothing(void *self, const struct tug_policy_view *v,
                        const struct tug_policy_job *job, char *text, size_t size)
{
    (void) self;
    (void) v;
    (void) job;
    snprintf(text, size, "not to be read");
    return -ENOENT;
}

static int babbles(void *self, const struct tug_policy_view *v, const struct tug_policy_job *job,
                   char *text, size_t size)
{
    (void) self;
    (void) v;
    (void) job;
    memset(text, 'x', size);
    return 0;
}

static int starts_nothing(void *self, const struct tug_policy_view *v,
                          const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    (void) self;
    (void) v;
    (void) h;
    (void) p;
    return 0;
}

#define OPS(name_, ...)                                                                            \
    {                                                                                              \
        .size = sizeof(struct tug_policy_ops), .abi = TUG_POLICY_ABI, .name = name_, __VA_ARGS__   \
    }
static const struct tug_policy_ops orders = OPS("orders", .key = key, .why = says),
                                   starts = OPS("starts", .pass = starts_nothing, .why = says),
                                   silent =
                                       OPS("silent", .pass = starts_nothing, .why = says_nothing),
                                   loud = OPS("loud", .key = key, .why = babbles);

static void pass_with(struct tug_policy_set set)
{
    ck_assert_int_ge(tug_core_pass(w.c, w.now, &set, NULL, &w.err), 0);
    w_check(&w);
}

static void begins(void *ctx, size_t plugin, const struct tug_policy_ops *ops, const char *hook)
{
    (void) ctx;
    (void) plugin;
    (void) ops;
    depth += !strcmp(hook, "why");
}
static void ends(void *ctx, size_t plugin)
{
    (void) ctx;
    (void) plugin;
    depth = 0;
}

/* Job 9 runs on all there is; 1 to 3 wait. */
static void setup(void)
{
    asked = depth = 0;
    w_init(&w, 1, 8);
    w_up_all(&w);
    w_submit(&w, 9, w_req(1, 8));
    w_pass(&w);
    for (tug_job_id id = 1; id <= 3; id++)
        w_submit(&w, id, w_req(1, 8));
    tug_core_watch_hooks(w.c, &(struct tug_hook_watch){begins, ends, NULL});
}

static void cancel(tug_job_id id)
{
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = id}), 0);
}

START_TEST(without_policies_the_place_is_that_of_the_cores_order)
{
    setup();
    ck_assert_str_eq(standing(1), "0 of 0: "); /* no pass has seen it */
    w_pass(&w);
    ck_assert_str_eq(standing(1), "1 of 3: ");
    ck_assert_str_eq(standing(3), "3 of 3: ");
    cancel(2);
    ck_assert_str_eq(standing(3), "2 of 2: ");
    ck_assert_str_eq(standing(9), "0 of 0: "); /* runs */
    w_clear(&w);
}
END_TEST

START_TEST(terms_are_asked_of_those_who_have_any_and_are_watched)
{
    setup();
    const struct tug_policy_set set = {{{&orders, "a"}, {&silent, "b"}}, 2};
    pass_with(set);
    cancel(2);
    w.now += 5;
    ck_assert_int_eq(asked, 0);                              /* a pass asks nobody */
    ck_assert_str_eq(standing(1), "0 of 0: a at 0, key -1"); /* pass() is silent's own order */
    ck_assert_int_eq(asked, 1);
    w_submit(&w, 4, w_req(1, 8));
    ck_assert_str_eq(standing(4), "0 of 0: ");
    tug_core_forget_policies(w.c);
    ck_assert_str_eq(standing(1), "2 of 3: ");
    ck_assert_int_eq(asked, 1);
    w_clear(&w);
}
END_TEST

START_TEST(a_place_is_shown_where_the_order_decides_who_starts)
{
    setup();
    pass_with((struct tug_policy_set){{{&orders, "a"}}, 1});
    cancel(2);
    ck_assert_str_eq(standing(1), "2 of 2: a at 0, key -1");
    ck_assert_str_eq(standing(3), "1 of 2: a at 0, key -3");
    pass_with((struct tug_policy_set){{{&starts, "b"}, {&orders, "a"}}, 2});
    ck_assert_str_eq(standing(3), "0 of 0: b at 0, key -3; a at 0, key -3");
    w_clear(&w);
}
END_TEST

START_TEST(a_sentence_without_end_is_cut)
{
    setup();
    pass_with((struct tug_policy_set){{{&loud, NULL}}, 1});
    standing(1);
    ck_assert_uint_eq(strlen(terms), 240);
    w_clear(&w);
}
END_TEST

START_TEST(after_a_pass_without_policies_their_keys_are_not_spoken_of)
{
    setup();
    pass_with((struct tug_policy_set){{{&orders, "a"}}, 1});
    cancel(2);
    w_submit(&w, 4, w_req(1, 8));
    ck_assert_int_ge(tug_core_pass(w.c, w.now, NULL, NULL, NULL), 0);
    ck_assert_str_eq(standing(4), "3 of 3: ");
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/standing", without_policies_the_place_is_that_of_the_cores_order,
          terms_are_asked_of_those_who_have_any_and_are_watched,
          a_place_is_shown_where_the_order_decides_who_starts, a_sentence_without_end_is_cut,
          after_a_pass_without_policies_their_keys_are_not_spoken_of)
