/* test_trace.c - what a trace file may look like, and what is said of one that does not */
#include <errno.h>
#include <zlib.h>

#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/rand.h"
#include "sim/simrun.h"
#include "sim/trace.h"

#define HEAD "job_id,submit_s,duration_s,gpus,cpus,user,vc_or_queue\n"

static struct tug_trace *t;
static struct tug_trace_job j;
static struct tug_err err;

static void open_text(const char *text)
{
    const char *path = simrun_file(text, strlen(text));
    ck_assert_msg(tug_trace_open(path, &t, &err) == 0, "%s", err.msg);
}

static void done(void)
{
    tug_trace_close(t);
    simrun_forget();
}

/* The line after the header is refused, and the sentence has the line and these words. */
static void refused(const char *line, const char *words)
{
    char text[512];
    snprintf(text, sizeof text, HEAD "a,5,1,1,,,\n%s\n", line);
    open_text(text);
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 1);
    unit_fails(tug_trace_next(t, &j, &err), -EINVAL, err, words);
    ck_assert_msg(strstr(err.msg, ":3: ") != NULL, "no line number in: %s", err.msg);
    done();
}

START_TEST(columns_are_found_by_name_and_unknown_ones_passed_over)
{
    open_text("gpus,x,job_id,limit_s,duration_s,submit_s\r\n8,?,j1,60,1.5,0.0005\r\n\r\n"
              "1,,\"a,\"\"b\"\"\",,2,7\n");
    ck_assert_int_eq(tug_trace_has_limits(t), 1);
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 1);
    ck_assert_str_eq(j.id, "j1");
    ck_assert_uint_eq(j.gpus, 8);
    ck_assert_int_eq(j.submit_ms, 1);
    ck_assert_int_eq(j.duration_ms, 1500);
    ck_assert_int_eq(j.limit_ms, 60000);
    ck_assert_str_eq(j.queue, "");
    ck_assert_msg(tug_trace_next(t, &j, &err) == 1, "%s", err.msg);
    ck_assert_str_eq(j.id, "a,\"b\"");
    ck_assert_int_eq(j.limit_ms, -1);
    ck_assert_uint_eq(j.line, 4);
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 0);
    done();
}
END_TEST

START_TEST(a_compressed_file_reads_as_the_plain_one_and_a_cut_one_is_an_error)
{
    char packed[1 << 16], text[8000] = HEAD;
    for (int i = 0; i < 200; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "j%d,%d,%d,1,,,\n", i, i,
                 i * 7919 % 1000);
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *) text;
    z.avail_in = (unsigned) strlen(text);
    z.next_out = (unsigned char *) packed;
    z.avail_out = sizeof packed;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t len = z.total_out;
    deflateEnd(&z);
    for (int cut = 0; cut < 2; cut++) {
        int n = 0, rc;
        const char *path = simrun_file(packed, cut ? len / 2 : len);
        rc = tug_trace_open(path, &t, &err);
        ck_assert_int_eq(rc, 0);
        while ((rc = tug_trace_next(t, &j, &err)) == 1)
            n++;
        ck_assert_int_eq(rc, cut ? -EIO : 0);
        ck_assert(cut ? n < 200 && strstr(err.msg, "ends early") != NULL : n == 200);
        done();
    }
}
END_TEST

START_TEST(a_wrong_value_is_refused_with_its_line_column_and_what_was_expected)
{
    refused("b,x,1,1,,,", "column submit_s is 'x'; expected seconds");
    refused("b,5,-1,1,,,", "column duration_s is '-1'; expected seconds that are not negative");
    refused("b,5,nan,1,,,", "column duration_s is 'nan'; expected seconds");
    refused("b,inf,1,1,,,", "column submit_s is 'inf'; expected seconds");
    refused("b,5,1e3,1,,,", "column duration_s is '1e3'; expected seconds");
    refused("b,5,99999999999999999999,1,,,", "expected at most 10000000000 seconds");
    refused("b,5,1,1.5,,,", "column gpus is '1.5'; expected a whole number of GPUs");
    refused("b,5,1,4294967297,,,", "expected a whole number of GPUs");
    refused("b,4,1,1,,,", "column submit_s is '4'; expected no earlier time than in line 2");
    refused("a,6,1,1,,,", "column job_id is 'a'; expected a name that no earlier line has");
    refused(",6,1,1,,,", "column job_id is ''; expected the job's name");
    refused("b,5,1,1,,", "has 6 columns; expected 7");
    refused("\"b,5,1,1,,,", "a quote was opened");
}
END_TEST

START_TEST(bytes_that_are_no_text_are_refused)
{
    static const char nul[] = HEAD "a,5,1,1,,,\nb,5\0,1,1,,,\n";
    const char *path = simrun_file(nul, sizeof nul - 1);
    ck_assert_int_eq(tug_trace_open(path, &t, &err), 0);
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 1);
    unit_fails(tug_trace_next(t, &j, &err), -EINVAL, err, ":3: there is a NUL byte");
    done();
    static const char at_the_end[] = HEAD "a,5,1,1,,,\nb,5,1,1,,,\0,garbage";
    path = simrun_file(at_the_end, sizeof at_the_end - 1);
    ck_assert_int_eq(tug_trace_open(path, &t, &err), 0);
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 1);
    unit_fails(tug_trace_next(t, &j, &err), -EINVAL, err, ":3: there is a NUL byte");
    done();
    char *wide = tug_xmalloc(100000);
    memset(wide, 'x', 100000);
    path = simrun_file(wide, 100000);
    unit_fails(tug_trace_open(path, &t, &err), -EINVAL, err, ":1: the line is longer than");
    simrun_forget();
    free(wide);
}
END_TEST

START_TEST(what_was_not_recorded_is_told_as_such)
{
    open_text(HEAD "a,5,,1,,,\nb,5,0,1,,,\n");
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 1);
    ck_assert_int_eq(j.duration_ms, -1);
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 1);
    ck_assert_int_eq(j.duration_ms, 0);
    done();
}
END_TEST

START_TEST(times_are_as_fine_as_the_clock)
{
    open_text(HEAD "a,5.0000014,1.0000015,1,,,\nb,5.000001,1.9999996,1,,,\n");
    tug_trace_use_clock(t, 1000000);
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 1);
    ck_assert_int_eq(j.submit_ms, 5000001);
    ck_assert_int_eq(j.duration_ms, 1000002);
    tug_trace_use_clock(t, 1000);
    unit_fails(tug_trace_next(t, &j, &err), -EINVAL, err, "no earlier time");
    done();
}
END_TEST

#define SWF_JOB "  1   0  10 100.5  4 -1 -1  8  3600 -1 1  7  1 -1  2 -1 -1 -1\n"

START_TEST(a_standard_workload_is_known_by_its_look)
{
    uint32_t nodes, per_node;
    open_text("; Version: 2.2\n;  MaxNodes: 16\n;MaxProcs: 128\n\n" SWF_JOB
              "; between\n2 5 -1 7 4 -1 -1 -1 -1 -1 0 -1 -1 -1 -1 -1 -1 -1\n"
              "3 6 -1 -1 4 -1 -1 4 60 -1 5 1 1 1 1 1 -1 -1\n"
              "4 6 -1 9 -1 -1 -1 -1 60 -1 5 1 1 1 1 1 -1 -1");
    ck_assert_int_eq(tug_trace_cluster(t, &nodes, &per_node, &err), 0);
    ck_assert_uint_eq(nodes, 16);
    ck_assert_uint_eq(per_node, 8);
    ck_assert_int_eq(tug_trace_has_limits(t), 1);
    ck_assert_msg(tug_trace_next(t, &j, &err) == 1, "%s", err.msg);
    ck_assert_str_eq(j.id, "1");
    ck_assert_str_eq(j.user, "7");
    ck_assert_str_eq(j.queue, "2");
    ck_assert_uint_eq(j.gpus, 8); /* what it asked for */
    ck_assert_int_eq(j.duration_ms, 100500);
    ck_assert_int_eq(j.limit_ms, 3600000);
    ck_assert_msg(tug_trace_next(t, &j, &err) == 1, "%s", err.msg);
    ck_assert_uint_eq(j.gpus, 4); /* what it got */
    ck_assert_int_eq(j.limit_ms, -1);
    ck_assert_str_eq(j.user, "");
    ck_assert_uint_eq(j.line, 7);
    for (int i = 0; i < 2; i++) { /* no run time; no processors */
        ck_assert_msg(tug_trace_next(t, &j, &err) == 1, "%s", err.msg);
        ck_assert_int_eq(j.duration_ms, -1);
    }
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 0);
    done();
    open_text(SWF_JOB);
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 1);
    ck_assert_int_eq(tug_trace_cluster(t, &nodes, &per_node, &err), -ENOENT);
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 0);
    done();
    open_text("; nothing but comments\n");
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 0);
    done();
}
END_TEST

START_TEST(a_byte_order_mark_is_passed_over)
{
    open_text("\xef\xbb\xbf" HEAD "a,5,1,1,,,\n");
    ck_assert_msg(tug_trace_next(t, &j, &err) == 1, "%s", err.msg);
    ck_assert_str_eq(j.id, "a");
    done();
}
END_TEST

/* What the header of an SWF trace says of its cluster, and what becomes of it: nodes 0 = an error
 * with these words. */
START_TEST(a_cluster_that_cannot_be_simulated_as_the_header_says_it_is_refused)
{
    static const struct {
        const char *header;
        uint32_t nodes, per_node;
        const char *words;
    } rows[] = {
        {"; MaxProcs: 128\n", 128, 1, NULL},
        {"; MaxNodes: 16\n", 16, 1, NULL},
        {"; MaxNodes: 1\n; MaxProcs: 128\n", 128, 1, NULL},
        {"; MaxNodes: 0\n; MaxProcs: 5\n", 5, 1, NULL},
        {"; MaxNodes: 100\n; MaxProcs: 150\n", 0, 0, "100 nodes and 150 processors, which is not"},
        {"; MaxProcs: 999999999\n", 0, 0, "has 999999999 nodes; at most 100000"},
        {"; MaxNodes: 2\n; MaxProcs: 999999998\n", 0, 0, "has 999999998 processors; at most"},
        {"; MaxProcs: -5\n; MaxNodes: -1\n", 0, 0, "does not say how large"},
        {"; MaxProcs: 99999999999999999999\n", 0, 0, "does not say how large"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[256];
        uint32_t nodes, per_node;
        snprintf(text, sizeof text, "%s" SWF_JOB, rows[i].header);
        open_text(text);
        int rc = tug_trace_cluster(t, &nodes, &per_node, &err);
        if (rows[i].words) {
            ck_assert_int_lt(rc, 0);
            ck_assert_msg(strstr(err.msg, rows[i].words) != NULL, "%s", err.msg);
        } else {
            ck_assert_msg(rc == 0, "%s", err.msg);
            ck_assert_uint_eq(nodes, rows[i].nodes);
            ck_assert_uint_eq(per_node, rows[i].per_node);
        }
        done();
    }
}
END_TEST

/* The second line of an SWF file is refused, and the sentence has the line and these words. */
static void swf_refused(const char *line, const char *words)
{
    char text[512];
    snprintf(text, sizeof text, SWF_JOB "%s\n", line);
    open_text(text);
    ck_assert_int_eq(tug_trace_next(t, &j, &err), 1);
    unit_fails(tug_trace_next(t, &j, &err), -EINVAL, err, words);
    ck_assert_msg(strstr(err.msg, ":2: ") != NULL, "no line number in: %s", err.msg);
    done();
}

START_TEST(a_wrong_number_in_a_standard_workload_is_refused_with_its_line_and_field)
{
    swf_refused("2 5 -1 7 4", "has 5 fields; expected 18");
    swf_refused("2 5 -1 7 4 -1 -1 -1 -1 -1 0 -1 -1 -1 -1 -1 -1 -1 9", "has 19 fields");
    swf_refused("2 x -1 7 4 -1 -1 -1 -1 -1 0 -1 -1 -1 -1 -1 -1 -1",
                "field 2 (submit time) is 'x'; expected seconds");
    swf_refused("2 -5 -1 7 4 -1 -1 -1 -1 -1 0 -1 -1 -1 -1 -1 -1 -1",
                "field 2 (submit time) is '-5'; expected seconds that are not negative");
    swf_refused("2 5 -1 -7 4 -1 -1 -1 -1 -1 0 -1 -1 -1 -1 -1 -1 -1", "field 4 (run time)");
    swf_refused("2 5 -1 7 4 -1 -1 2.5 -1 -1 0 -1 -1 -1 -1 -1 -1 -1",
                "field 8 (requested processors) is '2.5'; expected a whole number of processors");
    swf_refused("1 5 -1 7 4 -1 -1 2 -1 -1 0 -1 -1 -1 -1 -1 -1 -1",
                "field 1 (job number) is '1'; expected a name that no earlier line has");
}
END_TEST

/* Any bytes are refused or read, and what is read keeps what the header promises. */
START_TEST(no_file_however_broken_gives_a_job_that_cannot_be)
{
    static const char *const pieces[] = {
        "1",      " ",        ",",          "\n",   "-1",
        ";",      ".5",       "\"",         "\t",   "99999999999999999999",
        "job_id", "submit_s", "duration_s", "gpus", "0",
        "\r\n",   "x",        "4 4 4 4 4"};
    struct tug_rand r = tug_rand_seed(unit_seed());
    int rounds = unit_rounds(2000), opened = 0, read = 0;
    for (int i = 0; i < rounds; i++) {
        struct tug_buf b = {0};
        int kind = (int) tug_rand_below(&r, 3);
        if (kind == 1)
            tug_buf_addf(&b, "job_id,submit_s,duration_s,gpus\n");
        for (uint64_t n = tug_rand_below(&r, 120); n > 0; n--)
            tug_buf_addf(&b, kind == 2 && n % 2 ? " %s" : "%s",
                         pieces[tug_rand_below(&r, sizeof pieces / sizeof *pieces)]);
        const char *path = simrun_file(tug_buf_str(&b), b.len);
        int64_t last_ms = 0;
        if (tug_trace_open(path, &t, &err) == 0) {
            opened++;
            while (tug_trace_next(t, &j, &err) == 1) {
                read++;
                ck_assert_int_ge(j.submit_ms, last_ms);
                ck_assert_int_ge(j.duration_ms, -1);
                ck_assert_int_le(j.duration_ms, TUG_TRACE_MAX_S * 1000);
                ck_assert_uint_le(j.gpus, 1000000);
                ck_assert_ptr_nonnull(j.id);
                last_ms = j.submit_ms;
            }
            tug_trace_close(t);
        }
        simrun_forget();
        tug_buf_clear(&b);
    }
    printf("# %d files opened, %d jobs read\n", opened, read);
    ck_assert_int_gt(opened, rounds / 4);
}
END_TEST

START_TEST(a_file_that_is_no_trace_is_refused_at_once)
{
    static const struct {
        const char *text, *words;
    } bad[] = {{"", "is empty"},
               {"1,2,3\n", "there is no column job_id"},
               {"job_id,submit_s,gpus\n", "there is no column duration_s"},
               {"job_id,job_id,submit_s,duration_s,gpus\n", "column job_id is there twice"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *path = simrun_file(bad[i].text, strlen(bad[i].text));
        unit_fails(tug_trace_open(path, &t, &err), -EINVAL, err, bad[i].words);
        simrun_forget();
    }
    unit_fails(tug_trace_open("/nonexistent/trace.csv", &t, &err), -ENOENT, err,
               "/nonexistent/trace.csv");
}
END_TEST

START_TEST(many_ids_are_told_apart_and_the_one_that_comes_twice_is_found)
{
    size_t size = 1 << 20, len;
    char *text = malloc(size);
    strcpy(text, HEAD);
    len = strlen(text);
    for (int i = 0; i <= 20000; i++)
        len += (size_t) snprintf(text + len, size - len, "j%d,%d,1,1,,,\n", i == 20000 ? 17 : i, i);
    open_text(text);
    for (int i = 0; i < 20000; i++)
        ck_assert_int_eq(tug_trace_next(t, &j, &err), 1);
    unit_fails(tug_trace_next(t, &j, &err), -EINVAL, err, ":20002: column job_id is 'j17'");
    free(text);
    done();
}
END_TEST

UNIT_MAIN("sim/trace", columns_are_found_by_name_and_unknown_ones_passed_over,
          a_compressed_file_reads_as_the_plain_one_and_a_cut_one_is_an_error,
          a_wrong_value_is_refused_with_its_line_column_and_what_was_expected,
          bytes_that_are_no_text_are_refused, a_byte_order_mark_is_passed_over,
          a_cluster_that_cannot_be_simulated_as_the_header_says_it_is_refused,
          what_was_not_recorded_is_told_as_such, times_are_as_fine_as_the_clock,
          a_standard_workload_is_known_by_its_look,
          a_wrong_number_in_a_standard_workload_is_refused_with_its_line_and_field,
          no_file_however_broken_gives_a_job_that_cannot_be,
          a_file_that_is_no_trace_is_refused_at_once,
          many_ids_are_told_apart_and_the_one_that_comes_twice_is_found)
