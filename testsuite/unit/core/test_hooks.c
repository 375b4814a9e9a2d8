/* test_hooks.c - plugins that fill different hooks make one policy; who fails is named, and the
 * built-in order goes on */
#include <errno.h>
#include <math.h>

#include "world.h"

static struct world w;
static char asked[512]; /* "b.observe a.key ..." */
static double keys[64]; /* by job id */
static int answers[TUG_POLICIES_MAX];
static int rekeys;

static void note(void *self, const char *hook)
{
    size_t n = strlen(asked);
    snprintf(asked + n, sizeof asked - n, "%s%s.%s", n && asked[n - 1] != ' ' ? " " : "",
             (const char *) self, hook);
}
static int answer(const void *self)
{
    return answers[*(const char *) self - 'a'];
}

static double key(void *self, const struct tug_policy_view *v, const struct tug_policy_job *job)
{
    (void) v;
    note(self, "key");
    return keys[job->id];
}
static int rekey(void *self, const struct tug_policy_view *v)
{
    (void) v;
    note(self, "rekey");
    return rekeys ? rekeys : answer(self);
}
static int pass(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h,
                struct tug_policy_pass *p)
{
    note(self, "pass");
    for (size_t i = 0; i < v->n_waiting; i++)
        h->start(p, TUG_POLICY_WAITING(v, i)->id);
    return answer(self);
}
static int refused_pass(void *self, const struct tug_policy_view *v,
                        const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    (void) v;
    note(self, "pass");
    h->start(p, 999);
    return 0;
}
static int preempt(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h,
                   struct tug_policy_pass *p)
{
    (void) v;
    note(self, "preempt");
    h->start(p, 998);
    return answer(self);
}
static int quiet_preempt(void *self, const struct tug_policy_view *v,
                         const struct tug_policy_host *h, struct tug_policy_pass *p)
{
    (void) v;
    (void) h;
    (void) p;
    note(self, "preempt");
    return answer(self);
}
static int observe(void *self, const struct tug_policy_view *v, const struct tug_policy_event *e,
                   size_t n, size_t stride)
{
    (void) v;
    (void) e;
    (void) stride;
    ck_assert_uint_gt(n, 0);
    note(self, "observe");
    return answer(self);
}

#define OPS(name_, ...)                                                                            \
    {                                                                                              \
        .size = sizeof(struct tug_policy_ops), .abi = TUG_POLICY_ABI, .name = name_, __VA_ARGS__   \
    }
static const struct tug_policy_ops keyed =
                                       OPS("keyed", .key = key, .rekey = rekey, .observe = observe),
                                   passing = OPS("passing", .pass = pass),
                                   refusing = OPS("refusing", .pass = refused_pass),
                                   taking = OPS("taking", .preempt = preempt),
                                   lenient =
                                       OPS("lenient", .preempt = quiet_preempt, .observe = observe);

static int pass_with(struct tug_policy_set set)
{
    asked[0] = '\0';
    memset(&w.err, 0, sizeof w.err);
    int rc = tug_core_pass(w.c, w.now, &set, &w.stats, &w.err);
    w_check(&w);
    return rc;
}
#define SELF(letter) ((void *) (uintptr_t) (letter))

static void setup(uint32_t nodes)
{
    memset(answers, 0, sizeof answers);
    memset(keys, 0, sizeof keys);
    rekeys = 0;
    w_init(&w, nodes, 8);
    w_up_all(&w);
}

static void end(tug_job_id id)
{
    const struct tug_job *j = w_job(&w, id);
    uint32_t node = j->slices[0].node, attempt = j->attempt;
    ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_JOB_CANCEL, .job = id}), 0);
    w_gone(&w, id, attempt, 0, node);
}

START_TEST(each_hook_is_asked_of_the_plugin_that_fills_it_in_turn)
{
    setup(1);
    w_submit(&w, 1, w_req(1, 8));
    w_submit(&w, 2, w_req(1, 8));
    keys[1] = 2;
    keys[2] = 1;
    const struct tug_policy_set set = {
        {{&passing, SELF("a")}, {&lenient, SELF("b")}, {&keyed, SELF("c")}}, 3};
    ck_assert_int_eq(pass_with(set), 1);
    ck_assert_str_eq(asked, "b.observe c.observe c.rekey c.key c.key a.pass b.preempt");
    w_is(&w, 2, CONFIGURING);
    w_submit(&w, 3, w_req(1, 8));
    pass_with(set);
    ck_assert_str_eq(asked, "b.observe c.observe c.rekey c.key a.pass b.preempt");
    pass_with(set);
    ck_assert_str_eq(asked, "c.rekey a.pass b.preempt");
    w_clear(&w);
}
END_TEST

START_TEST(keys_order_the_waiting_and_ties_go_by_submit_time_not_by_priority)
{
    setup(1);
    struct tug_job_req low = w_req(1, 8);
    low.queue = "low";
    const double given[] = {0, 3, -1, INFINITY, 3, -INFINITY};
    memcpy(keys, given, sizeof given);
    for (tug_job_id id = 1; id <= 5; id++)
        w_submit(&w, id, id == 1 ? low : w_req(1, 8));
    const tug_job_id order[] = {5, 2, 1, 4, 3};
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(pass_with((struct tug_policy_set){{{&keyed, SELF("a")}}, 1}), 1);
        w_is(&w, order[i], CONFIGURING);
        end(order[i]);
    }
    w_clear(&w);
}
END_TEST

static int running_key(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h,
                       struct tug_policy_pass *p)
{
    (void) self;
    (void) h;
    (void) p;
    ck_assert_uint_eq(v->n_running, 1);
    ck_assert_double_eq(TUG_POLICY_RUNNING(v, 0)->key, 7);
    ck_assert_uint_eq(v->n_waiting, 2);
    ck_assert_double_eq(TUG_POLICY_WAITING(v, 0)->key, 8);
    ck_assert_double_eq(TUG_POLICY_WAITING(v, 1)->key, 9);
    return 0;
}

START_TEST(all_keys_are_asked_again_when_the_policy_says_so_and_what_runs_keeps_its_last)
{
    static const struct tug_policy_ops reader = OPS("reader", .pass = running_key);
    setup(1);
    keys[1] = 7;
    keys[2] = 8;
    keys[3] = 9;
    for (tug_job_id id = 1; id <= 3; id++)
        w_submit(&w, id, w_req(1, 8));
    const struct tug_policy_set set = {{{&keyed, SELF("a")}}, 1};
    ck_assert_int_eq(pass_with(set), 1);
    ck_assert_int_eq(
        pass_with((struct tug_policy_set){{{&keyed, SELF("a")}, {&reader, SELF("b")}}, 2}), 0);
    ck_assert_int_eq(pass_with(set), 0);
    keys[2] = 10;
    end(1);
    rekeys = 1;
    ck_assert_int_eq(pass_with(set), 1);
    w_is(&w, 3, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(without_keys_the_order_is_the_priorities_again)
{
    setup(1);
    struct tug_job_req low = w_req(1, 8);
    low.queue = "low";
    w_submit(&w, 1, w_req(1, 8));
    w_submit(&w, 2, low);
    w_submit(&w, 3, w_req(1, 8));
    keys[1] = 1;
    keys[2] = 2;
    keys[3] = 3;
    ck_assert_int_eq(pass_with((struct tug_policy_set){{{&keyed, SELF("a")}}, 1}), 1);
    end(1);
    w_submit(&w, 4, w_req(1, 8));
    ck_assert_int_eq(tug_core_pass(w.c, w.now, NULL, &w.stats, &w.err), 1); /* nobody is asked */
    w_is(&w, 2, CONFIGURING);
    end(2);
    asked[0] = '\0';
    ck_assert_int_eq(pass_with((struct tug_policy_set){.n = 0}), 1);
    ck_assert_str_eq(asked, "");
    w_is(&w, 3, CONFIGURING);
    end(3);
    ck_assert_int_eq(pass_with((struct tug_policy_set){.n = 0}), 1);
    w_is(&w, 4, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(a_job_that_came_while_nobody_was_asked_gets_its_key_in_the_next_pass)
{
    const struct tug_policy_set set = {{{&keyed, SELF("a")}}, 1};
    setup(1);
    w_submit(&w, 1, w_req(1, 8));
    ck_assert_int_eq(pass_with(set), 1);
    w_submit(&w, 2, w_req(1, 8));
    w_submit(&w, 3, w_req(1, 8));
    keys[2] = 5;
    keys[3] = 4;
    ck_assert_int_eq(tug_core_pass(w.c, w.now, NULL, NULL, NULL), 0);
    w_check(&w);
    end(1);
    ck_assert_int_eq(pass_with(set), 1);
    w_is(&w, 3, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(a_key_that_is_no_number_is_refused_and_its_job_goes_last)
{
    setup(1);
    w_submit(&w, 1, w_req(1, 8));
    w_submit(&w, 2, w_req(1, 8));
    keys[1] = NAN;
    keys[2] = 1e300;
    ck_assert_int_eq(
        pass_with((struct tug_policy_set){{{&passing, SELF("a")}, {&keyed, SELF("b")}}, 2}), 1);
    ck_assert_uint_eq(w.stats.refused, 1);
    ck_assert_uint_eq(w.stats.refused_of[1], 1);
    ck_assert_str_eq(w.err.msg, "policy 'keyed' gives job 1 a key that is no number");
    w_is(&w, 2, CONFIGURING);
    w_clear(&w);
}
END_TEST

START_TEST(what_is_refused_is_counted_for_the_plugin_that_proposed_it)
{
    setup(1);
    ck_assert_int_eq(
        pass_with((struct tug_policy_set){{{&taking, SELF("a")}, {&refusing, SELF("b")}}, 2}), 0);
    ck_assert_uint_eq(w.stats.refused, 2);
    ck_assert_uint_eq(w.stats.refused_of[0], 1);
    ck_assert_uint_eq(w.stats.refused_of[1], 1);
    ck_assert_str_eq(w.err.msg, "policy 'refusing' starts job 999, which does not exist");
    w_clear(&w);
}
END_TEST

START_TEST(whichever_hook_fails_is_named_and_the_built_in_order_takes_over)
{
    const struct {
        const struct tug_policy_ops *ops;
        int at, rekey, rc;
        const char *says;
    } fails[] = {
        {&passing, 0, 0, -EIO,
         "policy 'passing' could not decide: its pass() returned -5; the "
         "built-in order took over in this pass"},
        {&keyed, 1, 0, -ENOMEM, "policy 'keyed' could not decide: its observe() returned -12"},
        {&keyed, 1, -EDOM, -EDOM, "policy 'keyed' could not decide: its rekey() returned -33"},
        {&lenient, 2, 0, -EIO, "policy 'lenient' could not decide: its observe() returned -5"},
    };
    for (size_t i = 0; i < sizeof fails / sizeof *fails; i++) {
        setup(1);
        w_submit(&w, 1, w_req(1, 8));
        if (!fails[i].rekey)
            answers[fails[i].at] = fails[i].rc;
        rekeys = fails[i].rekey;
        const struct tug_policy_set set = {
            {{&passing, SELF("a")}, {&keyed, SELF("b")}, {&lenient, SELF("c")}}, 3};
        unit_fails(pass_with(set), fails[i].rc, w.err, fails[i].says);
        ck_assert_uint_eq(w.stats.failed, (uint32_t) fails[i].at);
        w_is(&w, 1, CONFIGURING);
        w_clear(&w);
    }
}
END_TEST

START_TEST(what_pass_decided_stands_when_preempt_fails)
{
    setup(1);
    w_submit(&w, 1, w_req(1, 8));
    answers[0] = -EIO;
    unit_fails(pass_with((struct tug_policy_set){{{&taking, SELF("a")}}, 1}), -EIO, w.err,
               "policy 'taking' could not decide: its preempt() returned -5; nobody gave way in "
               "this pass");
    w_is(&w, 1, CONFIGURING); /* no plugin fills pass(): the built-in order */
    w_clear(&w);
}
END_TEST

/* ---- wake */

static int64_t wake_at[2];
static int waker_pass(void *self, const struct tug_policy_view *v, const struct tug_policy_host *h,
                      struct tug_policy_pass *p)
{
    (void) self;
    (void) v;
    for (int i = 0; i < 2; i++)
        if (wake_at[i])
            ck_assert_int_eq(h->wake(p, wake_at[i]), 0);
    return 0;
}

START_TEST(a_policy_that_asks_for_it_gets_a_pass_at_that_time)
{
    static const struct tug_policy_ops waker = OPS("waker", .pass = waker_pass);
    setup(1);
    wake_at[0] = w.now + 700;
    wake_at[1] = w.now + 300;
    w_pass_with(&w, &waker, NULL);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 0);
    ck_assert_int_eq(tug_core_next_wake(w.c), w.now + 300);
    w_tick(&w, w.now + 299);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 0);
    w_tick(&w, w.now + 1);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 1);
    ck_assert_int_eq(tug_core_next_wake(w.c), INT64_MAX);
    wake_at[0] = wake_at[1] = 5; /* long gone: not at once again, but soon */
    w_pass_with(&w, &waker, NULL);
    ck_assert_int_eq(tug_core_wants_pass(w.c), 0);
    ck_assert_int_eq(tug_core_next_wake(w.c), w.now + 1);
    w_pass_with(&w, &passing, SELF("a")); /* another set: what the last one wanted is void */
    ck_assert_int_eq(tug_core_next_wake(w.c), INT64_MAX);
    w_clear(&w);
}
END_TEST

/* ---- who watches */

static void begins(void *ctx, size_t at, const struct tug_policy_ops *ops, const char *hook)
{
    ck_assert_ptr_eq(ctx, &w);
    size_t n = strlen(asked);
    snprintf(asked + n, sizeof asked - n, "%zu:%s.%s( ", at, ops->name, hook);
}
static void ends(void *ctx, size_t at)
{
    (void) ctx;
    size_t n = strlen(asked);
    snprintf(asked + n, sizeof asked - n, ")%zu ", at);
}

START_TEST(whoever_watches_knows_which_hook_of_whom_is_being_asked)
{
    setup(1);
    w_submit(&w, 1, w_req(1, 8));
    tug_core_watch_hooks(w.c, &(struct tug_hook_watch){begins, ends, &w});
    pass_with((struct tug_policy_set){{{&taking, SELF("a")}, {&refusing, SELF("b")}}, 2});
    ck_assert_str_eq(asked, "1:refusing.pass( b.pass)1 0:taking.preempt( a.preempt)0 ");
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/hooks", each_hook_is_asked_of_the_plugin_that_fills_it_in_turn,
          keys_order_the_waiting_and_ties_go_by_submit_time_not_by_priority,
          all_keys_are_asked_again_when_the_policy_says_so_and_what_runs_keeps_its_last,
          without_keys_the_order_is_the_priorities_again,
          a_job_that_came_while_nobody_was_asked_gets_its_key_in_the_next_pass,
          a_key_that_is_no_number_is_refused_and_its_job_goes_last,
          what_is_refused_is_counted_for_the_plugin_that_proposed_it,
          whichever_hook_fails_is_named_and_the_built_in_order_takes_over,
          what_pass_decided_stands_when_preempt_fails,
          a_policy_that_asks_for_it_gets_a_pass_at_that_time,
          whoever_watches_knows_which_hook_of_whom_is_being_asked)
