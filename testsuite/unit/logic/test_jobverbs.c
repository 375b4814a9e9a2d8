/* test_jobverbs.c - what users do to jobs: whose, to which of them, and what is left of it over a restart
 *
 * Layer: tests.
 */
#include "unit.h"

#include <errno.h>

#include "core/core.h"
#include "vworld.h"

static struct vworld *up(unsigned nodes)
{
    struct vworld *w = vw_new(nodes, 60, 300);

    vw_set_run_ms(w, INT64_MAX);
    vw_run(w, VW_T0 + 1000);
    return w;
}

static const char *state_of(struct vworld *w, uint64_t job)
{
    return tug_job_state_name(vw_see(w, job)->state);
}

static uint64_t submit(struct vworld *w, const char *token)
{
    uint32_t rid = vw_submit(w, token, 1, 8, 1);

    vw_run(w, vw_now(w) + 2000);
    return vw_job(w, rid);
}

static const ProtobufCMessage *answer(struct vworld *w, uint32_t rid, enum tug_msg number)
{
    vw_run(w, vw_now(w) + 2000);
    ck_assert_ptr_nonnull(vw_reply(w, rid));
    ck_assert_uint_eq(vw_reply(w, rid)->number, number);
    return vw_reply(w, rid)->m;
}

static const Tugpb__HoldReply *hold(struct vworld *w, uint64_t job, int release)
{
    return (const Tugpb__HoldReply *) answer(w, vw_hold(w, job, release), TUG_MSG_HOLD_REPLY);
}

/* A gang with so large an environment and so many arguments of 64 KiB, or a script; "" = taken, else why not. */
static const char *take(struct vworld *w, size_t env, size_t args, size_t script)
{
    static char text[65536], token[16], zeros[5 << 20];
    static unsigned nth;
    Tugpb__SubmitRequest m = TUGPB__SUBMIT_REQUEST__INIT;
    Tugpb__JobSpec spec = TUGPB__JOB_SPEC__INIT;
    Tugpb__ResourceRequest res = TUGPB__RESOURCE_REQUEST__INIT;
    char *argv[16];

    memset(text, 'x', sizeof text - 1);
    for (size_t i = 0; i < args; i++)
        argv[i] = text;
    snprintf(token, sizeof token, "big%u", nth++);
    res.nodes = 1;
    m.token = token;
    m.spec = &spec;
    spec.res = &res;
    spec.kind = script ? TUGPB__JOB_KIND__JOB_BATCH : TUGPB__JOB_KIND__JOB_GANG;
    spec.argv = argv;
    spec.n_argv = args;
    spec.cwd = (char *) "/tmp";
    spec.env.data = spec.script.data = (uint8_t *) zeros;
    spec.env.len = env;
    spec.script.len = script;
    spec.hold = 1; /* only whether it is taken counts */
    uint32_t rid = vw_ask(w, TUG_MSG_SUBMIT_REQUEST, &m.base);
    vw_run(w, vw_now(w) + 2000);
    ck_assert_ptr_nonnull(vw_reply(w, rid));
    return vw_reply(w, rid)->number == TUG_MSG_ERROR ? ((const Tugpb__Error *) vw_reply(w, rid)->m)->text : "";
}

START_TEST(a_script_and_an_environment_with_the_arguments_are_taken_up_to_their_limits)
{
    enum { MIB = 1 << 20, ARG = 65536 };
    struct vworld *w = up(1);

    ck_assert_str_eq(take(w, MIB - 8 * ARG - 1, 8, 0), "");
    ck_assert_str_eq(take(w, MIB - 8 * ARG, 8, 0), "");
    ck_assert_ptr_nonnull(strstr(take(w, MIB - 8 * ARG + 1, 8, 0), "(524288) have 1048577 bytes together, at most 1048576"));
    ck_assert_ptr_nonnull(strstr(take(w, MIB + 1, 1, 0), "the environment has 1048577 bytes, at most 1048576"));
    ck_assert_str_eq(take(w, 0, 1, 4 * MIB - 1), "");
    ck_assert_str_eq(take(w, 0, 1, 4 * MIB), "");
    ck_assert_ptr_nonnull(strstr(take(w, 0, 1, 4 * MIB + 1), "the script has 4194305 bytes, at most 4194304"));
    vw_free(w);
}
END_TEST

START_TEST(jobs_that_a_request_chooses_are_those_that_it_can_do_something_to)
{
    struct vworld *w = up(2);
    Tugpb__JobsRequest f = TUGPB__JOBS_REQUEST__INIT;
    Tugpb__RequeueRequest again = TUGPB__REQUEUE_REQUEST__INIT;
    Tugpb__CancelRequest cancel = TUGPB__CANCEL_REQUEST__INIT;
    char *states[] = {(char *) "RUNING"};

    vw_set_run_ms(w, INT64_MAX);
    uint32_t a = vw_submit(w, "a", 1, 8, 1), b = vw_submit(w, "b", 1, 8, 1), c = vw_submit(w, "c", 1, 8, 1);
    vw_run(w, vw_now(w) + 2000);
    again.filter = cancel.filter = &f;
    uint32_t rid = vw_ask(w, TUG_MSG_REQUEUE_REQUEST, &again.base);
    vw_run(w, vw_now(w) + 100);
    const Tugpb__RequeueReply *r = (const Tugpb__RequeueReply *) vw_reply(w, rid)->m;
    ck_assert_uint_eq(r->n_done, 2); /* the third waits */
    ck_assert_uint_eq(r->done[0], vw_job(w, a));
    ck_assert_uint_eq(r->done[1], vw_job(w, b));
    ck_assert_uint_eq(r->n_failed, 0);
    f.states = states;
    f.n_states = 1;
    rid = vw_ask(w, TUG_MSG_CANCEL_REQUEST, &cancel.base);
    vw_run(w, vw_now(w) + 100);
    ck_assert_uint_eq(vw_reply(w, rid)->number, TUG_MSG_ERROR); /* and nothing is cancelled */
    ck_assert_str_eq(((const Tugpb__Error *) vw_reply(w, rid)->m)->text,
                     "there is no job state 'RUNING'; did you mean 'RUNNING'?");
    ck_assert_str_eq(state_of(w, vw_job(w, c)), "PENDING");
    vw_free(w);
}
END_TEST

START_TEST(a_job_that_is_submitted_held_is_never_started_before_its_release_also_over_a_restart)
{
    struct vworld *w = up(1);
    uint64_t job;

    vw_set_hold(w, 1);
    job = submit(w, "a");
    ck_assert_str_eq(state_of(w, job), "PENDING");
    ck_assert_int_eq(vw_see(w, job)->onhold.by, TUG_ONHOLD_OWNER);
    ck_assert_str_eq(vw_holds(w), "hold 1 user by ada (1000)\n");
    vw_crash_control(w);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 60000);
    ck_assert_str_eq(state_of(w, job), "PENDING");
    ck_assert_str_eq(vw_see(w, job)->onhold.user, "ada");
    ck_assert_uint_eq(hold(w, job, 1)->n_changed, 1);
    ck_assert_str_eq(state_of(w, job), "RUNNING");
    int64_t held_ms = vw_see(w, job)->held_ms, eligible_ms = vw_see(w, job)->eligible_ms;
    ck_assert_int_ge(held_ms, 60000);
    ck_assert_str_eq(vw_holds(w), "hold 1 user by ada (1000)\nrelease 1 user by ada (1000)\n");
    vw_crash_control(w);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 2000);
    ck_assert_int_eq(vw_see(w, job)->held_ms, held_ms);
    ck_assert_int_eq(vw_see(w, job)->eligible_ms, eligible_ms);
    vw_free(w);
}
END_TEST

START_TEST(a_hold_that_was_acknowledged_is_durable_and_asking_again_changes_nothing)
{
    struct vworld *w = up(1);
    const Tugpb__HoldReply *r;

    submit(w, "a");
    uint64_t job = submit(w, "b");
    r = hold(w, job, 0);
    ck_assert_uint_eq(r->n_done, 1);
    ck_assert_uint_eq(r->n_changed, 1);
    vw_crash_control(w); /* with the answer lost, as far as its client knows */
    vw_start_control(w);
    vw_run(w, vw_now(w) + 1000);
    int64_t since_ms = vw_see(w, job)->onhold.since_ms;
    r = hold(w, job, 0);
    ck_assert_uint_eq(r->n_done, 1);
    ck_assert_uint_eq(r->n_changed, 0);
    ck_assert_int_eq(vw_see(w, job)->onhold.since_ms, since_ms);
    vw_cancel(w, 1);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, job), "PENDING"); /* though its node is free */
    ck_assert_uint_eq(hold(w, job, 1)->n_changed, 1);
    ck_assert_uint_eq(hold(w, job, 1)->n_changed, 0);
    ck_assert_str_eq(vw_holds(w), "hold 2 user by ada (1000): looked after\nrelease 2 user by ada (1000)\n");
    vw_free(w);
}
END_TEST

/* Verbs x who asks; the job is bob's, and waits. */
START_TEST(who_may_hold_and_release_whose_jobs_and_whose_hold_it_is_then)
{
    static const struct {
        uint32_t uid;
        const char *user;
        int release;
        int code;                   /* 0 = done */
        enum tug_onhold_by after;
    } rows[] = {
        {1002, "eve", 0, EPERM, TUG_ONHOLD_NOBODY}, /* neither hers nor an operator */
        {1002, "eve", 1, EPERM, TUG_ONHOLD_NOBODY},
        {1001, "bob", 0, 0, TUG_ONHOLD_OWNER},
        {1002, "eve", 1, EPERM, TUG_ONHOLD_OWNER},
        {1001, "bob", 1, 0, TUG_ONHOLD_NOBODY},
        {1001, "bob", 0, 0, TUG_ONHOLD_OWNER},
        {0, "root", 0, 0, TUG_ONHOLD_ADMIN}, /* takes the place of the owner's */
        {1001, "bob", 0, 0, TUG_ONHOLD_ADMIN},
        {1001, "bob", 1, EPERM, TUG_ONHOLD_ADMIN},
        {1002, "eve", 1, EPERM, TUG_ONHOLD_ADMIN},
        {1000, "ada", 1, 0, TUG_ONHOLD_NOBODY}, /* another operator */
        {1001, "bob", 0, 0, TUG_ONHOLD_OWNER},
        {0, "root", 1, 0, TUG_ONHOLD_NOBODY},
    };
    struct vworld *w = up(1);

    vw_be(w, 1001, "bob");
    submit(w, "runs");
    uint64_t job = submit(w, "waits");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        vw_be(w, rows[i].uid, rows[i].user);
        const Tugpb__HoldReply *r = hold(w, job, rows[i].release);
        ck_assert_msg((r->n_failed ? r->failed[0]->code : 0) == rows[i].code, "row %zu: %s", i, r->n_failed ? r->failed[0]->text : "done");
        ck_assert_uint_eq(r->n_done, rows[i].code == 0);
        ck_assert_msg(vw_see(w, job)->onhold.by == rows[i].after, "row %zu", i);
    }
    vw_free(w);
}
END_TEST

START_TEST(a_filter_holds_what_waits_and_releases_what_is_held)
{
    struct vworld *w = up(1);
    Tugpb__JobsRequest f = TUGPB__JOBS_REQUEST__INIT;
    Tugpb__HoldRequest m = TUGPB__HOLD_REQUEST__INIT;
    const Tugpb__HoldReply *r;
    char *users[] = {(char *) "bob"};

    uint64_t runs = submit(w, "a"), waits = submit(w, "b");
    vw_be(w, 1001, "bob");
    uint64_t his = submit(w, "c");
    m.filter = &f;
    r = (const Tugpb__HoldReply *) answer(w, vw_ask(w, TUG_MSG_HOLD_REQUEST, &m.base), TUG_MSG_HOLD_REPLY);
    ck_assert_uint_eq(r->n_done, 1); /* nobody else's */
    ck_assert_uint_eq(r->done[0], his);
    ck_assert_uint_eq(r->n_failed, 0);
    vw_be(w, 0, "root");
    r = (const Tugpb__HoldReply *) answer(w, vw_ask(w, TUG_MSG_HOLD_REQUEST, &m.base), TUG_MSG_HOLD_REPLY);
    ck_assert_uint_eq(r->n_done, 2); /* what runs is left alone */
    ck_assert_int_eq(vw_see(w, waits)->onhold.by, TUG_ONHOLD_ADMIN);
    ck_assert_int_eq(vw_see(w, his)->onhold.by, TUG_ONHOLD_ADMIN);
    m.release = 1;
    f.users = users;
    f.n_users = 1;
    r = (const Tugpb__HoldReply *) answer(w, vw_ask(w, TUG_MSG_HOLD_REQUEST, &m.base), TUG_MSG_HOLD_REPLY);
    ck_assert_uint_eq(r->n_done, 1);
    ck_assert_int_eq(vw_see(w, his)->onhold.by, TUG_ONHOLD_NOBODY);
    ck_assert_int_eq(vw_see(w, waits)->onhold.by, TUG_ONHOLD_ADMIN);
    ck_assert_str_eq(state_of(w, runs), "RUNNING");
    vw_free(w);
}
END_TEST

START_TEST(a_job_that_runs_is_put_back_held_and_one_that_waits_is_only_held)
{
    struct vworld *w = up(1);
    Tugpb__RequeueRequest m = TUGPB__REQUEUE_REQUEST__INIT;
    uint64_t ids[] = {submit(w, "a"), submit(w, "b"), 77};
    const Tugpb__RequeueReply *r;

    m.jobs = ids;
    m.n_jobs = 3;
    m.hold = 1;
    for (int i = 0; i < 2; i++) { /* and asked twice it is the same */
        r = (const Tugpb__RequeueReply *) answer(w, vw_ask(w, TUG_MSG_REQUEUE_REQUEST, &m.base), TUG_MSG_REQUEUE_REPLY);
        ck_assert_uint_eq(r->n_done, 2);
        ck_assert_uint_eq(r->n_failed, 1);
        vw_run(w, vw_now(w) + 10000);
        for (int k = 0; k < 2; k++) {
            ck_assert_str_eq(state_of(w, ids[k]), "PENDING");
            ck_assert_int_eq(vw_see(w, ids[k])->onhold.by, TUG_ONHOLD_OWNER);
        }
        ck_assert_uint_eq(vw_see(w, ids[0])->attempt, 2);
        ck_assert_uint_eq(vw_see(w, ids[1])->attempt, 1);
    }
    hold(w, ids[0], 1);
    vw_run(w, vw_now(w) + 5000);
    ck_assert_str_eq(state_of(w, ids[0]), "RUNNING");
    ck_assert_uint_eq(vw_running(w, ids[0], 2), 1);
    vw_free(w);
}
END_TEST

START_TEST(a_step_inside_a_job_is_not_held)
{
    struct vworld *w = up(1);
    Tugpb__SubmitRequest m = TUGPB__SUBMIT_REQUEST__INIT;
    Tugpb__JobSpec spec = TUGPB__JOB_SPEC__INIT;
    char *argv[] = {(char *) "step"};

    m.in_job = submit(w, "a");
    spec.kind = TUGPB__JOB_KIND__JOB_GANG;
    spec.argv = argv;
    spec.n_argv = 1;
    spec.cwd = (char *) "/tmp";
    spec.hold = 1;
    m.spec = &spec;
    const Tugpb__Error *e = (const Tugpb__Error *) answer(w, vw_ask(w, TUG_MSG_SUBMIT_REQUEST, &m.base), TUG_MSG_ERROR);
    ck_assert_str_eq(e->text, "a step inside a job is not held: its job runs; leave --hold out");
    vw_free(w);
}
END_TEST

START_TEST(users_see_who_holds_a_job_and_why)
{
    struct vworld *w = up(1);
    Tugpb__ShowRequest m = TUGPB__SHOW_REQUEST__INIT;

    submit(w, "a");
    m.job = submit(w, "b");
    hold(w, m.job, 0);
    const Tugpb__JobView *v = ((const Tugpb__ShowReply *) answer(w, vw_ask(w, TUG_MSG_SHOW_REQUEST, &m.base), TUG_MSG_SHOW_REPLY))->job;
    ck_assert_str_eq(v->state, "PENDING");
    ck_assert_str_eq(v->reason, "JobHeldUser");
    ck_assert(strstr(v->explain, "held by ada since ") && strstr(v->explain, " (looked after); tug release 2"));
    ck_assert_ptr_nonnull(v->held);
    ck_assert_str_eq(v->held->by, "user");
    ck_assert_uint_eq(v->held->uid, 1000);
    ck_assert_str_eq(v->held->why, "looked after");
    ck_assert_int_eq(v->held->at_ms, vw_see(w, m.job)->onhold.since_ms);
    vw_free(w);
}
END_TEST

UNIT_MAIN("logic/jobverbs", jobs_that_a_request_chooses_are_those_that_it_can_do_something_to,
          a_job_that_is_submitted_held_is_never_started_before_its_release_also_over_a_restart,
          a_hold_that_was_acknowledged_is_durable_and_asking_again_changes_nothing,
          who_may_hold_and_release_whose_jobs_and_whose_hold_it_is_then, a_filter_holds_what_waits_and_releases_what_is_held,
          a_job_that_runs_is_put_back_held_and_one_that_waits_is_only_held, a_step_inside_a_job_is_not_held,
          users_see_who_holds_a_job_and_why, a_script_and_an_environment_with_the_arguments_are_taken_up_to_their_limits)
