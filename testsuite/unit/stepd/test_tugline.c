/* test_tugline.c - libtugline in ranks of real step daemons: bytes from one to all, over PMIx */
#include "unit.h"

#include "stepd/stepdrive.h"

/* From its source, so that it is what is built here whatever the rest is instrumented with. */
#define HOW                                                                                        \
    "${CC:-cc} -O1 -Wall -Werror -D_GNU_SOURCE -pthread -o '%2$s' '%1$s' "                         \
    "\"${TUG_SRCDIR:-.}/src/lib/tugline.c\" -I\"${TUG_SRCDIR:-.}/src/include\" "                   \
    "$(pkg-config --cflags --libs pmix) >&2"

static struct drive *drive_handout(unsigned nodes, unsigned tasks, const char *how, const char *arg)
{
    struct drive *d = drive_new(nodes, tasks);
    const char *program = drive_program(d, "handout", HOW);

    ck_assert_ptr_nonnull(program);
    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_AUTO;
    drive_argv(d, program, how, arg, NULL);
    return d;
}

static void has(struct drive *d, const char *line)
{
    ck_assert_msg(strstr(drive_output(d), line) != NULL, "no \"%s\" in:\n%s", line, drive_output(d));
}

START_TEST(all_ranks_of_all_nodes_get_the_id_of_rank_0)
{
    struct drive *d = drive_handout(3, 2, "same", NULL);
    drive_run(d);
    ck_assert_msg(!drive_cause(d), "%s\n%s", drive_cause(d)->text, drive_output(d));
    has(d, "rank 0 of 6, local 0 of 2, node 0 of 3: world by 0\n");
    has(d, "rank 3 of 6, local 1 of 2, node 1 of 3: world by 0\n");
    has(d, "rank 5 of 6, local 1 of 2, node 2 of 3: world by 0\n");
    drive_free(d);
}
END_TEST

START_TEST(several_groups_get_ids_of_their_own_one_after_the_other)
{
    struct drive *d = drive_handout(2, 2, "groups", NULL);
    drive_run(d);
    ck_assert_msg(!drive_cause(d), "%s\n%s", drive_cause(d)->text, drive_output(d));
    has(d, "rank 0: world by 0, even by 2, world by 0\n");
    has(d, "rank 1: world by 0, odd by 3, world by 0\n");
    has(d, "rank 2: world by 0, even by 2, world by 0\n");
    has(d, "rank 3: world by 0, odd by 3, world by 0\n");
    drive_free(d);
}
END_TEST

static bool three_gave_up(struct drive *d)
{
    unsigned n = 0;
    for (const char *s = drive_output(d); (s = strstr(s, "waited 3 s for rank 2 (node n01)\n")); s++)
        n++;
    return n == 3;
}

START_TEST(a_rank_that_never_comes_is_named_by_all_that_wait_and_by_no_other_name)
{
    struct drive *d = drive_handout(2, 2, "missing", "2");
    drive_start(d);
    drive_until(d, drive_all_ready, "all are ready");
    drive_start_gang(d);
    drive_until(d, three_gave_up, "three ranks name the fourth");
    ck_assert_ptr_null(strstr(drive_output(d), "rank 1 (") ? drive_output(d) : NULL);
    drive_free(d);
}
END_TEST

START_TEST(a_giver_that_has_nothing_tells_the_others_instead_of_leaving_them_waiting)
{
    struct drive *d = drive_handout(2, 1, "nothing", NULL);
    drive_run(d);
    has(d, "rank 0: -125 group 'world': rank 0 has nothing to give");
    has(d, "rank 1: -125 group 'world': rank 0 has nothing to give");
    drive_free(d);
}
END_TEST

START_TEST(lengths_that_differ_are_refused_with_both)
{
    struct drive *d = drive_handout(2, 1, "length", NULL);
    drive_run(d);
    has(d, "rank 0: 0");
    has(d, "rank 1: -71 group 'world': rank 0 gave 65 bytes and rank 1 expects 64");
    drive_free(d);
}
END_TEST

START_TEST(without_a_pmix_server_it_says_how_to_get_one)
{
    struct drive *d = drive_handout(1, 1, "same", NULL);
    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_TORCH;
    drive_run(d);
    has(d, "rank 0 has no PMIx server to hand anything out: ranks get one with --launcher=auto or pmix");
    drive_free(d);
}
END_TEST

START_TEST(outside_of_a_gang_it_says_what_is_missing)
{
    struct drive *d = drive_new(1, 1);
    const char *program = drive_program(d, "handout", HOW);
    char line[512];
    snprintf(line, sizeof line, "env -u TUG_RANK '%s' >'%s/alone'", program, d->dir);
    ck_assert_int_ne(system(line), 0);
    ck_assert_str_eq(drive_file(d, "alone"),
                     "TUG_RANK is not set: this is no rank of a gang; start it with tug run, or tug "
                     "submit -- COMMAND\n");
    drive_free(d);
}
END_TEST

UNIT_MAIN("stepd/tugline", all_ranks_of_all_nodes_get_the_id_of_rank_0,
          several_groups_get_ids_of_their_own_one_after_the_other,
          a_rank_that_never_comes_is_named_by_all_that_wait_and_by_no_other_name,
          a_giver_that_has_nothing_tells_the_others_instead_of_leaving_them_waiting,
          lengths_that_differ_are_refused_with_both, without_a_pmix_server_it_says_how_to_get_one,
          outside_of_a_gang_it_says_what_is_missing)
