/* test_output.c - what ranks print, where it goes, and what they see of descriptors */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stepd/stepdrive.h"

START_TEST(lines_of_several_ranks_are_labelled_whole_and_in_order)
{
    struct drive *d = drive_new(4, 2);
    const char *text, *line;
    unsigned next[8] = {0};

    drive_argv(d, "sh", "-c",
               "i=0; while test $i -lt 500; do echo line $i of $RANK; i=$((i+1)); done", NULL);
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    text = drive_output(d);
    for (line = text; *line; line = strchr(line, '\n') + 1) {
        unsigned label, n, rank;
        int end = 0;
        ck_assert_msg(sscanf(line, "%u: line %u of %u%n", &label, &n, &rank, &end) == 3 &&
                          line[end] == '\n' && label == rank && rank < 8,
                      "a line is \"%.60s\"", line);
        ck_assert_uint_eq(n, next[rank]++);
    }
    for (int r = 0; r < 8; r++)
        ck_assert_uint_eq(next[r], 500);
    drive_free(d);
}
END_TEST

START_TEST(a_rank_alone_is_not_labelled_and_keeps_every_byte)
{
    struct drive *d = drive_new(1, 1);
    struct stat st;
    char path[300];

    drive_argv(d, "sh", "-c", "head -c 10000000 /dev/zero; echo end", NULL);
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    snprintf(path, sizeof path, "%s/tug-7.out", d->dir);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, 10000004);
    drive_free(d);
}
END_TEST

START_TEST(ten_megabytes_through_the_star_arrive_whole)
{
    struct drive *d = drive_new(2, 1);
    struct stat st;
    char path[300];

    drive_argv(d, "sh", "-c", "yes 0123456789abcdefghijklmnopqrstuvwxyz | head -n 270000", NULL);
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    snprintf(path, sizeof path, "%s/tug-7.out", d->dir);
    ck_assert_int_eq(stat(path, &st), 0);
    /* A line whose end is late (a busy machine) is closed and goes on behind a label of its own: "\n0: ". */
    off_t more = st.st_size - (off_t) 2 * 270000 * 40;
    ck_assert_msg(more >= 0 && more < 400 && more % 4 == 0, "%lld bytes too many", (long long) more);
    drive_free(d);
}
END_TEST

START_TEST(a_line_without_an_end_comes_out_and_is_closed_before_another_rank_speaks)
{
    struct drive *d = drive_new(2, 1);

    drive_argv(d, "sh", "-c",
               "if test $RANK = 0; then printf no-end; touch said; while ! test -e seen; do sleep "
               "0.01; done; else "
               "while ! grep -q no-end tug-7.out; do sleep 0.01; done; echo whole; touch seen; fi",
               NULL);
    drive_run(d);
    ck_assert_str_eq(drive_output(d), "0: no-end\n1: whole\n");
    drive_free(d);
}
END_TEST

START_TEST(a_pattern_with_the_rank_or_node_makes_files_without_labels)
{
    struct drive *d = drive_new(2, 2);

    d->spec.stdout_path = "out-%j-%2t";
    d->spec.stderr_path = "err-%n";
    drive_argv(d, "sh", "-c", "echo out $RANK; echo err $RANK >&2", NULL);
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    ck_assert_str_eq(drive_file(d, "out-7-00"), "out 0\n");
    ck_assert_str_eq(drive_file(d, "out-7-03"), "out 3\n");
    ck_assert_ptr_nonnull(strstr(drive_file(d, "err-1"), "err 2\n"));
    ck_assert_ptr_nonnull(strstr(drive_file(d, "err-1"), "err 3\n"));
    ck_assert_uint_eq(strlen(drive_file(d, "err-1")), 12);
    drive_free(d);
}
END_TEST

START_TEST(stderr_has_its_own_file_when_asked_for)
{
    struct drive *d = drive_new(1, 1);

    d->spec.stderr_path = "%x.err";
    drive_argv(d, "sh", "-c", "echo out; echo err >&2", NULL);
    drive_run(d);
    ck_assert_str_eq(drive_output(d), "out\n");
    ck_assert_str_eq(drive_file(d, "test.err"), "err\n");
    drive_free(d);
}
END_TEST

START_TEST(a_rank_has_descriptors_0_1_and_2_only)
{
    struct drive *d = drive_new(2, 2);

    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_AUTO; /* with the PMIx server's sockets about */
    drive_argv(d, "sh", "-c", "exec ls /proc/self/fd", NULL);
    d->spec.stdout_path = "fds-%t";
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    ck_assert_str_eq(drive_file(d, "fds-0"), "0\n1\n2\n3\n"); /* 3 is ls reading the directory */
    ck_assert_str_eq(drive_file(d, "fds-3"), "0\n1\n2\n3\n");
    drive_free(d);
}
END_TEST

START_TEST(signals_are_as_in_a_fresh_shell)
{
    struct drive *d = drive_new(1, 1);

    drive_argv(d, "grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL);
    drive_run(d);
    ck_assert_str_eq(drive_output(d), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    drive_free(d);
}
END_TEST

START_TEST(ranks_read_the_jobs_input_file_or_nothing)
{
    struct drive *d = drive_new(1, 2);
    char path[300];
    int fd;

    d->spec.stdin_path = "in-%t";
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/in-%d", d->dir, i);
        fd = creat(path, 0600);
        ck_assert_int_eq(write(fd, i ? "one\n" : "nul\n", 4), 4);
        close(fd);
    }
    drive_argv(d, "cat", NULL);
    d->spec.stdout_path = "out-%t";
    drive_run(d);
    ck_assert_str_eq(drive_file(d, "out-0"), "nul\n");
    ck_assert_str_eq(drive_file(d, "out-1"), "one\n");
    drive_free(d);

    d = drive_new(1, 1);
    drive_argv(d, "cat", NULL);
    drive_run(d);
    ck_assert_str_eq(drive_output(d), "");
    drive_free(d);

    d = drive_new(1, 1);
    d->spec.stdin_path = "missing";
    drive_argv(d, "cat", NULL);
    drive_run(d);
    ck_assert_ptr_nonnull(strstr(
        drive_cause(d)->text, "/missing' on node n00: No such file or directory; check --input"));
    drive_free(d);
}
END_TEST

START_TEST(an_output_file_that_takes_nothing_does_not_hold_up_the_job)
{
    struct drive *d = drive_new(1, 1);

    d->spec.stdout_path = "/dev/full";
    drive_argv(d, "sh", "-c", "head -c 3000000 /dev/zero && echo survived >proof", NULL);
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    ck_assert_str_eq(drive_file(d, "proof"), "survived\n");
    drive_free(d);
}
END_TEST

static bool rank_got_through(struct drive *d)
{
    return strstr(drive_file(d, "proof"), "survived") != NULL;
}

static int fifo = -1;
static struct tug_buf from_fifo;

static void read_fifo(void)
{
    ssize_t n;

    while ((n = read(fifo, tug_buf_room(&from_fifo, 65536), 65536)) > 0)
        from_fifo.len += (size_t) n;
}

/* What was kept for the target has left: there is room again. */
static bool is_read(struct drive *d)
{
    (void) d;
    read_fifo();
    return from_fifo.len >= 1 << 20;
}

/* True when all is over; reads meanwhile. */
static bool results_while_reading(struct drive *d)
{
    read_fifo();
    return drive_all_results(d);
}

START_TEST(a_target_that_stands_still_makes_output_drop_with_a_marker)
{
    struct drive *d = drive_new(1, 1);
    char path[300];

    snprintf(path, sizeof path, "%s/fifo", d->dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    fifo = open(path, O_RDONLY | O_NONBLOCK);
    d->spec.stdout_path = "fifo";
    /* 8 MB fit nowhere; once the rank got through, the fifo is read and the last line must come */
    drive_argv(d, "sh", "-c",
               "yes aaaaaaa | head -c 8000000; echo survived >proof; while ! test -e read; do "
               "sleep 0.01; done; echo last",
               NULL);
    drive_start(d);
    drive_until(d, rank_got_through, "the rank goes on although nobody reads");
    drive_until(d, is_read, "what was kept");
    snprintf(path, sizeof path, "%s/read", d->dir);
    close(creat(path, 0600));
    drive_until(d, results_while_reading, "result");
    results_while_reading(d);
    tug_buf_addc(&from_fifo, 0);
    ck_assert_ptr_nonnull(strstr(from_fifo.data, "[tug: output dropped "));
    ck_assert_ptr_nonnull(strstr(from_fifo.data, " bytes]\nlast\n"));
    ck_assert_uint_lt(from_fifo.len, 8000000);
    ck_assert_ptr_null(drive_cause(d));
    drive_free(d);
}
END_TEST

UNIT_MAIN("stepd/output", lines_of_several_ranks_are_labelled_whole_and_in_order,
          a_rank_alone_is_not_labelled_and_keeps_every_byte,
          ten_megabytes_through_the_star_arrive_whole,
          a_line_without_an_end_comes_out_and_is_closed_before_another_rank_speaks,
          a_pattern_with_the_rank_or_node_makes_files_without_labels,
          stderr_has_its_own_file_when_asked_for, a_rank_has_descriptors_0_1_and_2_only,
          signals_are_as_in_a_fresh_shell, ranks_read_the_jobs_input_file_or_nothing,
          an_output_file_that_takes_nothing_does_not_hold_up_the_job,
          a_target_that_stands_still_makes_output_drop_with_a_marker)
