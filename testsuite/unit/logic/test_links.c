/* test_links.c - two nodes lose each other: who judges, when, and what is left of it after a restart
 *
 * Layer: tests.
 */
#include "unit.h"

#include "core/core.h"
#include "vworld.h"

static struct vworld *w;
static uint64_t job;

/* Two nodes, and a gang that is on both until it is ended. */
static void up(void)
{
    w = vw_new(2, 60, 300);
    vw_run(w, VW_T0 + 1000);
    vw_set_run_ms(w, INT64_MAX);
    uint32_t rid = vw_submit(w, "t1", 2, 8, 1);
    vw_run(w, vw_now(w) + 1000);
    job = vw_job(w, rid);
}

static const Tugpb__LinkView *see(void)
{
    Tugpb__LinksRequest m = TUGPB__LINKS_REQUEST__INIT;
    uint32_t rid = vw_ask(w, TUG_MSG_LINKS_REQUEST, &m.base);
    vw_run(w, vw_now(w) + 10);
    const Tugpb__LinksReply *r = (const Tugpb__LinksReply *) vw_reply(w, rid)->m;
    ck_assert_uint_le(r->n_links, 1);
    return r->n_links ? r->links[0] : NULL;
}

static const char *why(void)
{
    static char text[512];
    int reason;
    tug_core_explain(vw_core(w), vw_see(w, job), &reason, text, sizeof text);
    return tug_core_reason_name(reason);
}

START_TEST(a_pair_is_judged_when_both_are_heard_of_after_the_gangs_word)
{
    up();
    int64_t said = vw_now(w);
    vw_say_lost(w, 1, job, "n2");
    vw_run(w, said + 1000);
    ck_assert_uint_eq(vw_see(w, job)->attempt, 2); /* it is run again at once, here as there is nothing else */
    ck_assert(see()->open && !see()->quarantined);
    ck_assert_uint_eq(see()->n_failures, 0);
    vw_run(w, said + 2000 + 5000 + 1000 + 100); /* their next heartbeats, and a look */
    ck_assert(!see()->open);
    ck_assert_uint_eq(see()->n_failures, 1);
    ck_assert_str_eq(see()->a, "n1");
    ck_assert_str_eq(see()->b, "n2");
    ck_assert_uint_eq(see()->failures[0]->job, job);
    ck_assert_uint_le(vw_max_attempts_at_once(w, job), 1);
    vw_free(w);
}
END_TEST

START_TEST(a_pair_without_the_head_is_judged_like_one_with_it)
{
    w = vw_new(3, 60, 300);
    vw_run(w, VW_T0 + 1000);
    vw_set_run_ms(w, INT64_MAX);
    uint32_t rid = vw_submit(w, "t1", 3, 8, 1);
    vw_run(w, vw_now(w) + 1000);
    job = vw_job(w, rid);
    int64_t said = vw_now(w);
    vw_say_pair(w, 1, job, "n2", "n3");
    vw_run(w, said + 1000);
    ck_assert_uint_eq(vw_see(w, job)->attempt, 2);
    ck_assert(see()->open);
    vw_run(w, said + 2000 + 5000 + 1000 + 100);
    ck_assert(!see()->open);
    ck_assert_uint_eq(see()->n_failures, 1);
    ck_assert_str_eq(see()->a, "n2");
    ck_assert_str_eq(see()->b, "n3");
    vw_free(w);
}
END_TEST

START_TEST(a_node_that_is_not_heard_of_any_more_takes_the_word_along)
{
    up();
    int64_t said = vw_now(w);
    vw_cut(w, 2);
    vw_say_lost(w, 1, job, "n2");
    vw_run(w, said + 50000);
    ck_assert(see()->open);
    vw_run(w, said + 70000);
    ck_assert_ptr_null(see());
    ck_assert_str_eq(vw_see(w, job)->failed_on, "");
    vw_free(w);
}
END_TEST

START_TEST(a_quarantine_outlives_the_controller_and_ends_with_an_admins_word)
{
    Tugpb__LinkClearRequest clear = TUGPB__LINK_CLEAR_REQUEST__INIT;
    up();
    for (unsigned i = 1; i <= 2; i++) {
        vw_say_lost(w, i, job, i == 1 ? "n2" : "n1");
        vw_run(w, vw_now(w) + 10000);
    }
    ck_assert(see()->quarantined && see()->n_failures == 2);
    ck_assert_str_eq(tug_job_state_name(vw_see(w, job)->state), "PENDING");
    ck_assert_str_eq(why(), "Links");
    vw_crash_control(w);
    vw_run(w, vw_now(w) + 5000);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 20000);
    ck_assert(see()->quarantined && see()->n_failures == 2);
    ck_assert_str_eq(tug_job_state_name(vw_see(w, job)->state), "PENDING");
    clear.a = (char *) "n2";
    clear.b = (char *) "n7";
    uint32_t rid = vw_ask(w, TUG_MSG_LINK_CLEAR_REQUEST, &clear.base);
    vw_run(w, vw_now(w) + 1000);
    ck_assert_int_eq(vw_reply(w, rid)->number, TUG_MSG_ERROR);
    clear.b = (char *) "n1";
    rid = vw_ask(w, TUG_MSG_LINK_CLEAR_REQUEST, &clear.base);
    vw_run(w, vw_now(w) + 1000);
    ck_assert_int_eq(vw_reply(w, rid)->number, TUG_MSG_LINK_CLEAR_REPLY);
    ck_assert_ptr_null(see());
    ck_assert_str_eq(tug_job_state_name(vw_see(w, job)->state), "RUNNING");
    ck_assert_uint_eq(vw_see(w, job)->attempt, 3);
    vw_crash_control(w);
    vw_start_control(w);
    vw_run(w, vw_now(w) + 1000);
    ck_assert_ptr_null(see());
    vw_free(w);
}
END_TEST

UNIT_MAIN("logic/links", a_pair_is_judged_when_both_are_heard_of_after_the_gangs_word,
          a_pair_without_the_head_is_judged_like_one_with_it,
          a_node_that_is_not_heard_of_any_more_takes_the_word_along,
          a_quarantine_outlives_the_controller_and_ends_with_an_admins_word)
