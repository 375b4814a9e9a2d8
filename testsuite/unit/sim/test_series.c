/* test_series.c - what plots and comparisons are made of */
#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"
#include "sim/html.h"
#include "sim/plot.h"
#include "sim/series.h"

static struct tug_series *s;

static int64_t duration_ms;

static void note(enum tug_sim_point point, int64_t at_ms, const char *id, const char *user,
                 uint32_t gpus, int64_t submit_ms)
{
    const struct tug_slice slice = {.node = 1, .gpus = 3};
    const struct tug_sim_note n = {.point = point,
                                   .at_ms = at_ms,
                                   .id = id,
                                   .user = user,
                                   .queue = "q",
                                   .gpus = gpus,
                                   .submit_ms = submit_ms,
                                   .duration_ms = duration_ms,
                                   .slices = &slice,
                                   .n_slices = point == TUG_SIM_START};
    tug_series_note(s, &n);
}

static char *text_of(FILE *f)
{
    struct tug_buf b = {0};
    char part[4096];
    rewind(f);
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        tug_buf_add(&b, part, n);
    fclose(f);
    return tug_buf_take(&b);
}

START_TEST(integrals_over_time_are_exact_however_often_the_buckets_widen)
{
    double waiting = 0, used = 0, there = 0;
    s = tug_series_new(8, 2, NULL);
    note(TUG_SIM_SUBMIT, 5000, "a", "u", 2, 5000);
    note(TUG_SIM_START, 905000, "a", "u", 2, 5000);
    note(TUG_SIM_END, 40 * 86400000LL + 5000, "a", "u", 2, 5000);
    tug_series_finish(s);
    for (size_t i = 0; i < TUG_SERIES_BUCKETS; i++) {
        waiting += s->sum.bucket[i].waiting_ms;
        used += s->sum.bucket[i].used_gpu_ms;
        there += s->sum.bucket[i].there_ms;
    }
    ck_assert_double_eq_tol(waiting, 900000, 1e-3);
    ck_assert_double_eq_tol(used, 2 * (40 * 86400000.0 - 900000), 1);
    ck_assert_double_eq_tol(there, 40 * 86400000.0, 1e-3);
    ck_assert_int_eq(s->sum.origin_ms, 5000);
    tug_series_free(s);
}
END_TEST

START_TEST(quantiles_are_within_one_part_in_32)
{
    static struct tug_series_hist all;
    s = tug_series_new(8, 2, NULL);
    for (int i = 1; i <= 1000; i++) { /* waits of 1 to 1000 minutes */
        char id[16];
        snprintf(id, sizeof id, "j%d", i);
        note(TUG_SIM_SUBMIT, 0, id, "u", 1 + (uint32_t) i % 2 * 9, 0);
    }
    for (int i = 1; i <= 1000; i++) {
        char id[16];
        snprintf(id, sizeof id, "j%d", i);
        note(TUG_SIM_START, i * 60000, id, "u", 1, 0);
    }
    tug_series_hist_sum(s, &all);
    ck_assert_uint_eq(all.n, 1000);
    ck_assert_uint_eq(s->sum.wait[0].n, 500);
    ck_assert_uint_eq(s->sum.wait[2].n, 500);
    static const double qs[] = {0.01, 0.5, 0.9, 0.99};
    for (int i = 0; i < 4; i++) {
        double want = (1000 * qs[i] + 1) * 60, got = tug_series_quantile_s(&all, qs[i]);
        ck_assert_msg(got >= want * 31 / 32 && got <= want * 33 / 32, "q %g: %g, not %g", qs[i],
                      got, want);
    }
    ck_assert_double_eq_tol(tug_series_quantile_s(&all, 1), 60000, 1e-9);
    ck_assert_uint_eq(tug_series_up_to(&all, 60000000), 1000);
    ck_assert_uint_eq(tug_series_up_to(&all, 59999), 0);
    tug_series_free(s);
}
END_TEST

START_TEST(a_job_that_was_stopped_waits_again_and_its_row_says_how_often)
{
    FILE *f = tmpfile();
    s = tug_series_new(8, 2, NULL);
    tug_series_csv(s, f);
    note(TUG_SIM_SUBMIT, 1000, "a,\"b", "=cmd", 2, 1000);
    note(TUG_SIM_START, 2000, "a,\"b", "=cmd", 2, 1000);
    ck_assert_uint_eq(s->used_gpus, 2);
    note(TUG_SIM_STOP, 5000, "a,\"b", "=cmd", 2, 1000);
    ck_assert_uint_eq(s->used_gpus, 0);
    ck_assert_uint_eq(s->waiting, 1);
    note(TUG_SIM_START, 7000, "a,\"b", "=cmd", 2, 1000);
    note(TUG_SIM_END, 7500, "a,\"b", "=cmd", 2, 1000);
    note(TUG_SIM_SUBMIT, 8000, "never", "u", 4, 8000);
    note(TUG_SIM_SUBMIT, 8000, "still", "u", 2, 8000); /* runs when all is interrupted */
    note(TUG_SIM_START, 8000, "still", "u", 2, 8000);
    note(TUG_SIM_SUBMIT, 8500, "never2", "u", 4, 8500);
    tug_series_finish(s);
    char *text = text_of(f);
    ck_assert_str_eq(
        text, "job_id,user,queue,gpus,submit_s,start_s,end_s,wait_s,ran_s,preemptions,nodes\n"
              "\"a,\"\"b\",=cmd,q,2,1.000,2.000,7.500,1.000,3.500,1,n2\n"
              "never,u,q,4,8.000,,,,0.000,0,\n"
              "still,u,q,2,8.000,8.000,,0.000,0.500,0,n2\n"
              "never2,u,q,4,8.500,,,,0.000,0,\n");
    free(text);
    ck_assert_uint_eq(s->bars.len, 2);
    ck_assert_int_eq(s->bars.at[0]->stopped, 1);
    ck_assert_int_eq(s->bars.at[1]->stopped, 0);
    tug_series_free(s);
}
END_TEST

START_TEST(of_many_runs_the_largest_become_bars_and_memory_stays)
{
    struct tug_rand r = tug_rand_seed(7);
    s = tug_series_new(8, 2, NULL);
    int64_t now_ms = 0;
    for (int i = 0; i < 20000; i++) {
        char id[16];
        snprintf(id, sizeof id, "j%d", i);
        int64_t d = i == 777 ? 100000000 : 1 + (int64_t) tug_rand_below(&r, 10000);
        note(TUG_SIM_SUBMIT, now_ms, id, id, 2, now_ms);
        note(TUG_SIM_START, now_ms, id, id, 2, now_ms);
        now_ms += d;
        note(TUG_SIM_END, now_ms, id, id, 2, now_ms - d);
    }
    tug_series_finish(s);
    int found = 0;
    int64_t least = INT64_MAX;
    ck_assert_uint_eq(s->bars_seen, 20000);
    ck_assert_uint_eq(s->bars.len, TUG_SERIES_BARS_MAX);
    for (size_t i = 0; i < s->bars.len; i++) {
        int64_t d = s->bars.at[i]->end_ms - s->bars.at[i]->start_ms;
        found |= !strcmp(s->bars.at[i]->id, "j777");
        least = d < least ? d : least;
        ck_assert(i == 0 || s->bars.at[i - 1]->start_ms <= s->bars.at[i]->start_ms);
    }
    ck_assert_int_eq(found, 1);
    ck_assert_int_gt(least, 8500); /* 12.5 % of values up to 10000 */
    ck_assert_uint_eq(s->users.len, TUG_SERIES_USERS_MAX + 1);
    ck_assert_str_eq(s->users.at[TUG_SERIES_USERS_MAX].name, "(all others)");
    ck_assert_uint_eq(s->users.at[TUG_SERIES_USERS_MAX].ended, 20000 - TUG_SERIES_USERS_MAX);
    tug_series_free(s);
}
END_TEST

START_TEST(slowdown_is_of_ten_seconds_at_least)
{
    s = tug_series_new(8, 2, NULL);
    duration_ms = 50000; /* what it ran twice it needed once */
    note(TUG_SIM_SUBMIT, 0, "a", "a", 1, 0);
    note(TUG_SIM_START, 0, "a", "a", 1, 0);
    note(TUG_SIM_STOP, 50000, "a", "a", 1, 0);
    note(TUG_SIM_START, 50000, "a", "a", 1, 0);
    note(TUG_SIM_END, 100000, "a", "a", 1, 0);
    ck_assert_double_eq_tol(tug_series_slowdown(s), 2, 1e-12);
    duration_ms = 1000;
    note(TUG_SIM_SUBMIT, 200000, "b", "b", 1, 200000);
    note(TUG_SIM_START, 239000, "b", "b", 1, 200000);
    note(TUG_SIM_END, 240000, "b", "b", 1, 200000); /* 40 s for one of 1 s */
    ck_assert_double_eq_tol(tug_series_slowdown(s), (2 + 4) / 2.0, 1e-12);
    tug_series_free(s);
}
END_TEST

START_TEST(what_is_saved_is_loaded)
{
    FILE *f = tmpfile();
    s = tug_series_new(8, 2, NULL);
    tug_series_keep_jobs(s);
    note(TUG_SIM_SUBMIT, 0, "a", "ann", 1, 0);
    note(TUG_SIM_START, 1000, "a", "ann", 1, 0);
    note(TUG_SIM_END, 3000, "a", "ann", 1, 0);
    note(TUG_SIM_SUBMIT, 3000, "b", "bob", 1, 0);
    tug_series_finish(s);
    ck_assert_int_eq(tug_series_save(s, f), 0);
    rewind(f);
    struct tug_series *t = tug_series_load(f);
    ck_assert(!memcmp(&s->sum, &t->sum, sizeof s->sum));
    ck_assert_uint_eq(t->users.len, 2);
    ck_assert_str_eq(t->users.at[1].name, "bob");
    ck_assert_uint_eq(t->jobs.len, 2);
    ck_assert_int_eq(t->jobs.at[0].jct_ms, 3000);
    ck_assert_int_eq(t->jobs.at[1].jct_ms, -1);
    tug_series_free(t);
    ck_assert_ptr_null(tug_series_load(f)); /* there is no more of it */
    tug_series_free(s);
    fclose(f);
}
END_TEST

static void ticks_are(enum tug_plot_kind kind, double max, const char *want)
{
    double at[TUG_PLOT_TICKS_MAX];
    struct tug_buf b = {0};
    char text[32];
    size_t n = tug_plot_ticks(kind, max, 6, at);
    for (size_t i = 0; i < n; i++)
        tug_buf_addf(&b, "%s|", tug_plot_label(kind, at[i], n > 1 ? at[1] : 1, text, sizeof text));
    ck_assert_str_eq(tug_buf_str(&b), want);
    tug_buf_clear(&b);
}

START_TEST(ticks_stand_at_round_values_with_their_units)
{
    ticks_are(TUG_PLOT_COUNT, 43, "0|10|20|30|40|");
    ticks_are(TUG_PLOT_COUNT, 2, "0|1|2|");
    ticks_are(TUG_PLOT_COUNT, 123456, "0|50 k|100 k|");
    ticks_are(TUG_PLOT_SHARE, 1, "0 %|20 %|40 %|60 %|80 %|100 %|");
    ticks_are(TUG_PLOT_TIME, 50, "0|10 s|20 s|30 s|40 s|50 s|");
    ticks_are(TUG_PLOT_TIME, 7000, "0|30 min|60 min|90 min|");
    ticks_are(TUG_PLOT_TIME, 90000, "0|6 h|12 h|18 h|24 h|");
    ticks_are(TUG_PLOT_TIME, 40 * 86400.0, "0|10 d|20 d|30 d|40 d|");
    ticks_are(TUG_PLOT_LOG_TIME, 90000, "1 s|10 s|1 min|10 min|1 h|6 h|1 d|");
}
END_TEST

START_TEST(a_page_shows_hostile_names_as_text)
{
    static const char evil[] = "<script>alert('1')</script>\" onload=x&\x1b[31m\xff";
    const struct tug_sim_conf conf = {.nodes = 2, .gpus_per_node = 4};
    const struct tug_sim_result result = {.jobs = 1, .finished = 1};
    const struct tug_report report = {.trace = evil,
                                      .policy = evil,
                                      .placement = "first-fit",
                                      .estimates = "exact",
                                      .conf = &conf,
                                      .result = &result,
                                      .wall_s = 1.5};
    const char *const names[] = {evil, evil};
    FILE *f = tmpfile();
    s = tug_series_new(8, 2, names);
    note(TUG_SIM_SUBMIT, 0, evil, evil, 2, 0);
    note(TUG_SIM_START, 1000, evil, evil, 2, 0);
    note(TUG_SIM_END, 30000, evil, evil, 2, 0);
    tug_series_finish(s);
    ck_assert_int_eq(tug_html_report(f, &report, s), 0);
    char *page = text_of(f);
    ck_assert_ptr_null(strstr(page, "<script"));
    ck_assert_ptr_null(strstr(page, "\" onload"));
    ck_assert_ptr_null(strchr(page, '\x1b'));
    ck_assert_ptr_nonnull(strstr(page, "&lt;script&gt;alert(&#39;1&#39;)"));
    ck_assert_ptr_nonnull(strstr(page, "</html>"));
    ck_assert_ptr_null(strstr(page, "http:")); /* nothing is fetched */
    ck_assert_ptr_null(strstr(page, "url("));
    ck_assert_ptr_null(strstr(page, "nan"));
    free(page);
    f = tmpfile();
    const struct tug_html_run runs[] = {{evil, s}, {"b", s}};
    ck_assert_int_eq(tug_html_compare(f, evil, evil, "", runs, 2), 0);
    page = text_of(f);
    ck_assert_ptr_null(strstr(page, "<script"));
    free(page);
    tug_series_free(s);
}
END_TEST

START_TEST(a_page_of_nothing_is_a_page)
{
    const struct tug_sim_conf conf = {.nodes = 4000, .gpus_per_node = 8};
    const struct tug_sim_result result = {0};
    const struct tug_report report = {.trace = "t",
                                      .policy = "p",
                                      .placement = "x",
                                      .estimates = "y",
                                      .conf = &conf,
                                      .result = &result};
    FILE *f = tmpfile();
    s = tug_series_new(32000, 4000, NULL);
    tug_series_finish(s);
    ck_assert_int_eq(tug_html_report(f, &report, s), 0);
    char *page = text_of(f);
    ck_assert_ptr_nonnull(strstr(page, "</html>"));
    ck_assert_ptr_null(strstr(page, "nan"));
    ck_assert_ptr_null(strstr(page, "inf"));
    free(page);
    tug_series_free(s);
}
END_TEST

UNIT_MAIN("sim/series", integrals_over_time_are_exact_however_often_the_buckets_widen,
          quantiles_are_within_one_part_in_32,
          a_job_that_was_stopped_waits_again_and_its_row_says_how_often,
          of_many_runs_the_largest_become_bars_and_memory_stays,
          slowdown_is_of_ten_seconds_at_least, what_is_saved_is_loaded,
          ticks_stand_at_round_values_with_their_units, a_page_shows_hostile_names_as_text,
          a_page_of_nothing_is_a_page)
