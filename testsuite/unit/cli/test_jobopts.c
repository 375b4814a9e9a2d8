/* test_jobopts.c - what is said about a job, from four sources. Layer: tests. */
#include "unit.h"

#include <errno.h>
#include <unistd.h>

#include "cli/jobopts.h"
#include "cli/out.h"

#define NOW 1795225801000LL

static struct tug_jobopts o;
static struct tug_err err;

static void fresh(char verb)
{
    tug_jobopts_init(&o, verb, NOW);
    memset(&err, 0, sizeof err);
}

static int command(const char *line)
{
    static char words[1024];
    char *argv[64] = {(char *) "submit"};
    int argc = 1, first;
    snprintf(words, sizeof words, "%s", line);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    return tug_jobopts_command(&o, argc, argv, &first, &err);
}

static int script(const char *text)
{
    return tug_jobopts_script(&o, "train.sh", text, strlen(text), &err);
}

static const char *warning(const char *words)
{
    for (size_t i = 0; i < o.warnings.len; i++)
        if (strstr(o.warnings.at[i], words))
            return o.warnings.at[i];
    return NULL;
}

START_TEST(every_common_option_of_sbatch_is_read)
{
    fresh('S');
    int rc = command("-J name -N 2 -n 8 --ntasks-per-node=4 -c 6 --gpus-per-node=h100:8 -t 1-12:00 "
                     "--mem=64G -p queue -A acc "
                     "-o out.%j -e err.%j -i in -D /tmp -w n[1-4] -x n5 --exclusive "
                     "--begin=now+1hour --nice=5 --no-requeue --hold "
                     "--export=A,B=2 --comment=c --open-mode=append --wait --parsable");
    ck_assert_msg(rc == 0, "%s", err.msg);
    ck_assert_str_eq(o.spec.name, "name");
    ck_assert_uint_eq(o.res.nodes, 2);
    ck_assert_uint_eq(o.res.ntasks, 8);
    ck_assert_uint_eq(o.res.tasks_per_node, 4);
    ck_assert_uint_eq(o.res.cpus_per_task, 6);
    ck_assert_uint_eq(o.res.gpus_per_node, 8);
    ck_assert_str_eq(o.res.gpu_model, "h100");
    ck_assert_uint_eq(o.spec.time_limit_s, 36 * 3600);
    ck_assert_uint_eq(o.res.mem_per_node_bytes, 64ULL << 30);
    ck_assert_str_eq(o.spec.queue, "queue");
    ck_assert_str_eq(o.spec.account, "acc");
    ck_assert_str_eq(o.spec.stdout_path, "out.%j");
    ck_assert_str_eq(o.res.nodelist, "n[1-4]");
    ck_assert_str_eq(o.res.exclude, "n5");
    ck_assert_int_eq(o.res.exclusive, 1);
    ck_assert_int_eq(o.spec.begin_ms, NOW + 3600000);
    ck_assert_int_eq(o.spec.nice, 5);
    ck_assert_int_eq(o.spec.no_requeue, 1);
    ck_assert_int_eq(o.spec.hold, 1);
    ck_assert_int_eq(o.spec.open_append, 1);
    ck_assert(o.wait && o.parsable);
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(the_command_line_beats_tug_lines_beat_sbatch_lines_beat_the_environment)
{
    char *env[] = {(char *) "TUG_OPT_TIME=1", (char *) "TUG_OPT_NODES=1",
                   (char *) "TUG_OPT_QUEUE=env", (char *) "TUG_OPT_JOB_NAME=env", NULL};
    fresh('S');
    ck_assert_int_eq(command("-t 4"), 0);
    ck_assert_int_eq(tug_jobopts_environ(&o, env, &err), 0);
    /* #TUG before #SBATCH, so that the order in the file cannot be what decides */
    ck_assert_int_eq(script("#!/bin/sh\n#TUG -t 3 -N 3\n#SBATCH -t 2 -N 2 -p sbatch\n"), 0);
    ck_assert_uint_eq(o.spec.time_limit_s, 4 * 60);
    ck_assert_uint_eq(o.res.nodes, 3);
    ck_assert_str_eq(o.spec.queue, "sbatch");
    ck_assert_str_eq(o.spec.name, "env");
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(a_gpu_count_on_the_command_line_replaces_all_of_the_scripts)
{
    fresh('S');
    ck_assert_int_eq(script("#!/bin/sh\n#SBATCH --gpus-per-node=a100:8\n"), 0);
    ck_assert_int_eq(command("-G 4"), 0);
    ck_assert_uint_eq(o.res.gpus, 4);
    ck_assert_uint_eq(o.res.gpus_per_node, 0);
    ck_assert_str_eq(o.res.gpu_model, "");
    tug_jobopts_clear(&o);
    fresh('S'); /* and the other way round */
    ck_assert_int_eq(command("-G 4"), 0);
    ck_assert_int_eq(script("#!/bin/sh\n#SBATCH --gres=gpu:8\n"), 0);
    ck_assert_uint_eq(o.res.gpus, 4);
    ck_assert_uint_eq(o.res.gpus_per_node, 0);
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(what_only_sbatch_knows_is_a_warning_with_its_line_and_the_rest_of_the_line_counts)
{
    fresh('S');
    ck_assert_int_eq(script("#!/bin/sh\n\n#SBATCH --mail-type=END -N 2\n#SBATCH --frob 3 -c 4\n"),
                     0);
    ck_assert_ptr_nonnull(warning("train.sh:3: #SBATCH --mail-type is not used"));
    ck_assert_ptr_nonnull(warning("train.sh:4: #SBATCH unknown option --frob"));
    ck_assert_uint_eq(o.res.nodes, 2);
    ck_assert_uint_eq(o.res.cpus_per_task, 4);
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(the_letter_q_is_a_queue_for_us_and_a_quality_of_service_for_sbatch)
{
    fresh('S');
    ck_assert_int_eq(script("#!/bin/sh\n#SBATCH -q urgent\n"), 0);
    ck_assert_str_eq(o.spec.queue, "");
    ck_assert_ptr_nonnull(warning("--qos"));
    ck_assert_int_eq(script("#!/bin/sh\n#TUG -q long\n"), 0);
    ck_assert_str_eq(o.spec.queue, "long");
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(a_tug_line_with_an_unknown_option_is_an_error_that_names_the_line_and_the_near_one)
{
    fresh('S');
    unit_fails(script("#!/bin/sh\n#TUG --nodse=4\n"), -EINVAL, err,
               "train.sh:2: #TUG unknown option --nodse; did you mean --nodes?");
    unit_fails(script("#!/bin/sh\n#TUG -N 2 stray\n"), -EINVAL, err, "'stray' is no option");
    unit_fails(script("#!/bin/sh\n#SBATCH --time=soon\n"), -EINVAL, err,
               "train.sh:2: #SBATCH --time");
    unit_fails(script("#!/bin/sh\n#SBATCH -J 'open\n"), -EINVAL, err, "the quote ' is not closed");
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(quotes_blanks_and_comments_in_a_line_are_the_shells)
{
    fresh('S');
    ck_assert_int_eq(script("#!/bin/sh\n#SBATCH --job-name=\"two words\"  # a comment "
                            "--nodes=9\n#SBATCH --comment='a \"b\"'\n"),
                     0);
    ck_assert_str_eq(o.spec.name, "two words");
    ck_assert_str_eq(o.spec.comment, "a \"b\"");
    ck_assert_uint_eq(o.res.nodes, 0);
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(lines_behind_the_first_command_are_not_read_and_said_so)
{
    fresh('S');
    ck_assert_int_eq(script("#!/bin/sh\n# words\n\nmodule load x\n#SBATCH -N 4\n"), 0);
    ck_assert_uint_eq(o.res.nodes, 0);
    ck_assert_ptr_nonnull(warning("train.sh:5"));
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(what_is_not_there_yet_is_refused_wherever_it_is_said)
{
    fresh('S');
    unit_fails(command("--array=1-10"), -EINVAL, err, "job arrays are not there yet");
    unit_fails(command("-d afterok:71"), -EINVAL, err, "dependencies are not there yet");
    unit_fails(script("#!/bin/sh\n#SBATCH -a 1-10\n"), -EINVAL, err,
               "train.sh:2: #SBATCH --array: job arrays");
    unit_fails(command("--constraint=x"), -EINVAL, err, "has no effect here");
    ck_assert_int_eq(command("--mail-user=me"), 0);
    ck_assert_ptr_nonnull(warning("--mail-user"));
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(values_that_make_no_sense_are_refused_with_the_option_and_the_text)
{
    static const struct {
        const char *line, *words;
    } bad[] = {
        {"-N 0", "--nodes: '0' is not a number from 1"},
        {"-N 2-4", "is a range, which is not there yet"},
        {"-t 90x", "--time"},
        {"--mem=1.5G", "--mem"},
        {"-w n[1-", "--nodelist"},
        {"--gpus=a100:4,h100:4", "one kind a job"},
        {"--gres=shard:2", "gpu is the only generic resource"},
        {"--gres=gpu:h100", "has no number"},
        {"--begin=later", "'later' is not a time"},
        {"--open-mode=w", "neither append nor truncate"},
        {"--gpu-share=1", "'1' is not a part of a GPU: write 0.001 to 0.999"},
        {"--gpu-share=0", "is not a part of a GPU"},
        {"--gpu-share=:0.5", "is not a part of a GPU"},
        {"--gpu-share=0.0005", "is not a part of a GPU"},
        {"--launcher=mpirun", "none of auto, torch, mpi, plain"},
        {"--on-hang=panic", "none of notify, dump, requeue, off"},
        {"--hang-timeout=0s", "not between 1s and 1d"},
        {"--exclusive=user", "whole nodes"},
        {"--preflight=broadcast", "write allreduce"},
        {"--preflight=allreduce:8", "is not a bandwidth"},
        {"--nodes", "needs a value"},
        {"--wait=3", "takes no value"},
        {"--gpu=3", "may be --gpus or --gpus-per-node"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fresh('S');
        ck_assert_msg(command(bad[i].line) < 0, "%s was taken", bad[i].line);
        ck_assert_msg(strstr(err.msg, bad[i].words) != NULL, "%s: \"%s\"", bad[i].line, err.msg);
        tug_jobopts_clear(&o);
    }
}
END_TEST

START_TEST(a_variable_that_names_no_option_is_a_warning_and_one_with_a_bad_value_an_error)
{
    char *odd[] = {(char *) "TUG_OPT_FROB=1",
                   (char *) "TUG_OPT_EXCLUSIVE=", (char *) "TUG_OPT_NO_REQUEUE=0", NULL};
    char *bad[] = {(char *) "TUG_OPT_NODES=x", NULL};
    fresh('S');
    ck_assert_int_eq(tug_jobopts_environ(&o, odd, &err), 0);
    ck_assert_ptr_nonnull(warning("TUG_OPT_FROB"));
    ck_assert_int_eq(o.spec.no_requeue, 0);
    unit_fails(tug_jobopts_environ(&o, bad, &err), -EINVAL, err,
               "TUG_OPT_NODES in the environment");
    tug_jobopts_clear(&o);
}
END_TEST

/* ---- the environment that goes with the job ---- */

static bool has(const char *entry)
{
    const char *at = (const char *) o.spec.env.data, *end = at + o.spec.env.len;
    for (; at < end; at += strlen(at) + 1)
        if (!strcmp(at, entry))
            return true;
    return false;
}

static int finish(const char *export_list, char *const *env)
{
    fresh('S');
    o.export_list = (char *) export_list;
    return tug_jobopts_finish(&o, env, &err);
}

START_TEST(export_chooses_what_goes_with_the_job)
{
    char *env[] = {(char *) "HOME=/h", (char *) "A=1", (char *) "B=2", (char *) "PATH=/p", NULL};
    ck_assert_int_eq(finish(NULL, env), 0);
    ck_assert(has("A=1") && has("B=2") && has("PATH=/p"));
    tug_jobopts_clear(&o);
    ck_assert_int_eq(finish("ALL,A=9", env), 0);
    ck_assert(has("A=9") && !has("A=1") && has("B=2"));
    tug_jobopts_clear(&o);
    ck_assert_int_eq(finish("A,C=3,NOTSET", env), 0);
    ck_assert(has("A=1") && has("C=3") && !has("B=2") && has("HOME=/h") && !has("PATH=/p"));
    tug_jobopts_clear(&o);
    ck_assert_int_eq(finish("NONE", env), 0);
    ck_assert(!has("A=1") && has("HOME=/h"));
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(an_environment_over_its_limits_is_refused_with_the_way_out)
{
    char *one = calloc(1, 131080), *env[12] = {one};
    memset(one, 'x', 131072);
    memcpy(one, "BIG=", 4);
    unit_fails(finish(NULL, env), -E2BIG, err, "the variable BIG has 131072 bytes");
    tug_jobopts_clear(&o);
    one[131071] = '\0'; /* as much as the kernel takes */
    ck_assert_int_eq(finish(NULL, env), 0);
    tug_jobopts_clear(&o);
    for (int i = 0; i < 9; i++)
        env[i] = one;
    unit_fails(finish(NULL, env), -E2BIG, err, "over 1048576 bytes; use --export=NONE");
    tug_jobopts_clear(&o);
    free(one);
}
END_TEST

START_TEST(a_preflight_alone_is_that_it_works_and_may_say_more)
{
    fresh('S');
    ck_assert_int_eq(command("--preflight"), 0);
    ck_assert_str_eq(o.spec.preflight, "allreduce");
    ck_assert_uint_eq(o.spec.preflight_floor, 0);
    tug_jobopts_clear(&o);
    fresh('R');
    ck_assert_int_eq(command("-N 2 --preflight=allreduce:8GB/s@90s -n 4"), 0);
    ck_assert_uint_eq(o.spec.preflight_floor, 8000000000);
    ck_assert_uint_eq(o.spec.preflight_s, 90);
    ck_assert_uint_eq(o.res.ntasks, 4);
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(a_relative_directory_is_made_absolute)
{
    char *env[] = {NULL}, here[256];
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    fresh('S');
    ck_assert_int_eq(command("-D sub"), 0);
    ck_assert_int_eq(tug_jobopts_finish(&o, env, &err), 0);
    ck_assert(o.spec.cwd[0] == '/' && strstr(o.spec.cwd, here) == o.spec.cwd &&
              strstr(o.spec.cwd, "/sub"));
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(a_level_of_the_fabric_is_wished_for_or_waited_for)
{
    static const struct {
        const char *line, *level;
        int required;
        uint32_t domains, wait_s;
    } table[] = {{"--topology=leaf", "leaf", 0, 0, 0},
                 {"--topology=leaf!", "leaf", 1, 0, 0},
                 {"--topology=leaf!@30m", "leaf", 1, 0, 1800},
                 {"--switches=1", "", 1, 1, 300},
                 {"--switches=2@1:00:00", "", 1, 2, 3600},
                 {"--switches=0", "", 0, 0, 0}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        fresh('S');
        ck_assert_msg(command(table[i].line) == 0, "%s", err.msg);
        ck_assert_str_eq(o.res.topology, table[i].level);
        ck_assert_int_eq(o.res.topology_required, table[i].required);
        ck_assert_uint_eq(o.spec.topology_domains, table[i].domains);
        ck_assert_uint_eq(o.spec.topology_wait_s, table[i].wait_s);
        tug_jobopts_clear(&o);
    }
    fresh('S');
    ck_assert_int_eq(command("--topology=leaf!@2h --segment=4"), 0);
    ck_assert_int_eq(script("#!/bin/sh\n#SBATCH --switches=2@5\n"), 0); /* the command line goes before it */
    ck_assert_str_eq(o.res.topology, "leaf");
    ck_assert_uint_eq(o.spec.topology_domains, 0);
    ck_assert_uint_eq(o.spec.topology_wait_s, 7200);
    ck_assert_uint_eq(o.res.segment, 4);
    tug_jobopts_clear(&o);
    fresh('S');
    ck_assert_int_eq(command("--spread --exclusive-topology=leaf"), 0);
    ck_assert_int_eq(o.res.spread, 1);
    ck_assert_str_eq(o.res.exclusive_level, "leaf");
    ck_assert_int_eq(command("--exclusive-topology=leaf!"), -EINVAL);
    ck_assert_int_eq(command("--quality=0.8"), 0);
    ck_assert_uint_eq(o.res.quality_milli, 800);
    ck_assert_uint_eq(o.res.quality_wait_s, UINT32_MAX);
    ck_assert_int_eq(command("--quality=.65@30m"), 0);
    ck_assert_uint_eq(o.res.quality_milli, 650);
    ck_assert_uint_eq(o.res.quality_wait_s, 1800);
    ck_assert_int_eq(command("--quality=1.5"), -EINVAL);
    ck_assert_int_eq(command("--quality=good"), -EINVAL);
    ck_assert_int_eq(command("--quality=0.8@soon"), -EINVAL);
    tug_jobopts_clear(&o);
    fresh('S');
    ck_assert_int_eq(command("--topology=leaf@30m"), -EINVAL);
    ck_assert_str_eq(err.msg, "--topology: 'leaf@30m': only what is required is waited for; write "
                              "leaf!@30m");
    ck_assert_int_eq(command("--topology=!"), -EINVAL);
    ck_assert_int_eq(command("--switches=two"), -EINVAL);
    ck_assert_int_eq(command("--segment=0"), -EINVAL);
    tug_jobopts_clear(&o);
}
END_TEST

START_TEST(when_a_job_is_run_again_is_read_and_zero_is_told_from_nothing_said)
{
    fresh('S');
    ck_assert_int_eq(command("--requeue-on=75,100-110,SIGBUS --max-requeues=4 --requeue-delay=30s"), 0);
    ck_assert_str_eq(o.spec.requeue_on, "75,100-110,SIGBUS");
    ck_assert_uint_eq(o.spec.max_requeues, 4);
    ck_assert_uint_eq(o.spec.requeue_delay_s, 30);
    tug_jobopts_clear(&o);
    fresh('S');
    ck_assert_int_eq(command("--max-requeues=0 --requeue-delay=0s"), 0);
    ck_assert_uint_eq(o.spec.max_requeues, UINT32_MAX);
    ck_assert_uint_eq(o.spec.requeue_delay_s, UINT32_MAX);
    tug_jobopts_clear(&o);
    fresh('S');
    unit_fails(command("--requeue-on=75,SIGFOO"), -EINVAL, err, "--requeue-on: 'SIGFOO' is neither");
    unit_fails(command("--requeue-on="), -EINVAL, err, "an empty list");
    unit_fails(command("--requeue-on=256"), -EINVAL, err, "exit codes are 1 to 255");
    unit_fails(command("--max-requeues=-1"), -EINVAL, err, "'-1' is not a number from 0 to 1000000");
    unit_fails(command("--requeue-delay=2d"), -EINVAL, err, "not between 0s and 1d");
    tug_jobopts_clear(&o);
}
END_TEST

UNIT_MAIN("cli/jobopts", every_common_option_of_sbatch_is_read,
          the_command_line_beats_tug_lines_beat_sbatch_lines_beat_the_environment,
          a_gpu_count_on_the_command_line_replaces_all_of_the_scripts,
          what_only_sbatch_knows_is_a_warning_with_its_line_and_the_rest_of_the_line_counts,
          the_letter_q_is_a_queue_for_us_and_a_quality_of_service_for_sbatch,
          a_tug_line_with_an_unknown_option_is_an_error_that_names_the_line_and_the_near_one,
          quotes_blanks_and_comments_in_a_line_are_the_shells,
          lines_behind_the_first_command_are_not_read_and_said_so,
          what_is_not_there_yet_is_refused_wherever_it_is_said,
          values_that_make_no_sense_are_refused_with_the_option_and_the_text,
          a_variable_that_names_no_option_is_a_warning_and_one_with_a_bad_value_an_error,
          export_chooses_what_goes_with_the_job,
          an_environment_over_its_limits_is_refused_with_the_way_out,
          a_relative_directory_is_made_absolute,
          a_level_of_the_fabric_is_wished_for_or_waited_for, a_preflight_alone_is_that_it_works_and_may_say_more,
          when_a_job_is_run_again_is_read_and_zero_is_told_from_nothing_said)
