/* test_guard.c - the watch of whole steps: real step daemons, real ranks that stop, sleep and wait */
#include "unit.h"

#include <signal.h>

#include "stepd/stepdrive.h"

#define HANG_S 3
/* Some CPU time: who has used none is not taken for somebody that others wait for. */
#define WORK "while [ $(cut -d' ' -f14 /proc/$$/stat) -lt 60 ]; do m=0; while [ $m -lt 50000 ]; do m=$((m + 1)); done; done; "

/* Rank 'odd' does 'what' when all are up, the others wait for what never comes. */
static struct drive *gang(const char *odd, const char *what)
{
    struct drive *d = drive_new(2, 2);

    d->spec.hang_timeout_s = HANG_S;
    d->inv.gpus = 8;
    d->pay.slices[0]->gpus = 3;
    d->pay.slices[1]->gpus = 0x30;
    drive_env(d, odd);
    drive_env(d, what);
    drive_argv(d, "sh", "-c",
               "echo $$ >pid$RANK; if [ $RANK = $ODD ]; then eval \"$WHAT\"; fi; "
               "mkfifo f$RANK; exec 3<>f$RANK; exec cat <&3",
               NULL);
    return d;
}

static bool somebody_is_named(struct drive *d)
{
    return d->nodes[0].hang && d->nodes[0].hang->kind[0];
}

static bool nobody_is_named_any_more(struct drive *d)
{
    return d->nodes[0].hang && !d->nodes[0].hang->kind[0];
}

static bool output_says(struct drive *d, const char *words)
{
    return strstr(drive_output(d), words) != NULL;
}

static bool output_says_that_they_go_on(struct drive *d)
{
    return output_says(d, "the ranks go on]");
}

static void signal_rank(struct drive *d, unsigned rank, int signo)
{
    char name[16];

    snprintf(name, sizeof name, "pid%u", rank);
    ck_assert_int_eq(kill((pid_t) atoi(drive_file(d, name)), signo), 0);
}

static void end(struct drive *d)
{
    Tugpb__SdKill m = TUGPB__SD_KILL__INIT;

    m.why = "enough";
    drive_send(d, 0, TUG_MSG_SD_KILL, &m.base);
    drive_until(d, drive_all_gone, "all are gone");
    drive_free(d);
}

START_TEST(a_rank_that_stops_is_named_with_its_node_and_gpu_and_let_off_when_it_goes_on)
{
    struct drive *d = gang("ODD=3", "WHAT=kill -STOP $$");
    const Tugpb__Hang *h;

    drive_start(d);
    drive_until(d, somebody_is_named, "somebody is named");
    h = d->nodes[0].hang;
    printf("# named %llu ms after the start\n", (unsigned long long) (tug_now_ms() - d->began_ms));
    ck_assert_str_eq(h->kind, "stopped");
    ck_assert_uint_eq(h->rank, 3);
    ck_assert_str_eq(h->node, "n01");
    ck_assert_uint_eq(h->gpus, 0x20);
    ck_assert_msg(strstr(h->text, "rank 3 on node n01 (GPU 5) is stopped by a signal (sh, pid ") == h->text, "%s",
                  h->text);
    ck_assert_uint_eq(d->nodes[1].n_watches, 0); /* only the head speaks */
    signal_rank(d, 3, SIGCONT);
    drive_until(d, nobody_is_named_any_more, "nobody is named any more");
    drive_until(d, output_says_that_they_go_on, "the output says so");
    ck_assert(output_says(d, " rank 3 on node n01 (GPU 5) is stopped by a signal"));
    end(d);
}
END_TEST

START_TEST(a_rank_that_sleeps_while_the_others_wait_is_named_with_where_it_sleeps)
{
    struct drive *d = gang("ODD=1", "WHAT=" WORK "exec sleep 1000");
    const Tugpb__Hang *h;

    drive_start(d);
    drive_until(d, somebody_is_named, "somebody is named");
    h = d->nodes[0].hang;
    ck_assert_str_eq(h->kind, "stuck");
    ck_assert_uint_eq(h->rank, 1);
    ck_assert_str_eq(h->node, "n00");
    ck_assert_msg(strstr(h->text, "rank 1 on node n00 (GPU 1) sleeps in ") == h->text, "%s", h->text);
    ck_assert_msg(strstr(h->text, "nanosleep, using no CPU, while all 3 others wait for it (") != NULL, "%s", h->text);
    end(d);
}
END_TEST

START_TEST(a_rank_that_has_left_is_named)
{
    struct drive *d = gang("ODD=2", "WHAT=exit 0");

    drive_start(d);
    drive_until(d, somebody_is_named, "somebody is named");
    ck_assert_str_eq(d->nodes[0].hang->kind, "left");
    ck_assert_uint_eq(d->nodes[0].hang->rank, 2);
    end(d);
}
END_TEST

START_TEST(the_node_daemon_that_comes_back_hears_of_it_again)
{
    struct drive *d = gang("ODD=3", "WHAT=kill -STOP $$");

    drive_start(d);
    drive_until(d, somebody_is_named, "somebody is named");
    drive_deaf(d, 0);
    drive_forget_hang(d, 0);
    drive_listen(d, 0);
    drive_until(d, somebody_is_named, "somebody is named again");
    end(d);
}
END_TEST

START_TEST(ranks_that_all_sleep_or_compute_are_left_alone)
{
    struct drive *d = drive_new(2, 2);

    d->spec.hang_timeout_s = 2;
    drive_argv(d, "sh", "-c",
               "if [ $RANK = 0 ]; then n=$(date +%s); while [ $(date +%s) -lt $((n + 5)) ]; do :; done; "
               "else sleep 5; fi",
               NULL);
    drive_run(d);
    ck_assert_uint_eq(d->nodes[0].n_watches, 0);
    ck_assert_str_eq(drive_output(d), "");
    drive_free(d);
}
END_TEST

START_TEST(nobody_looks_where_it_is_switched_off)
{
    struct drive *d = drive_new(1, 2);

    d->spec.hang_timeout_s = 1;
    d->spec.on_hang = TUGPB__ON_HANG__HANG_OFF;
    drive_argv(d, "sh", "-c", "test $RANK = 0 || exec sleep 4; (sleep 4; kill -CONT $$) & kill -STOP $$; wait", NULL);
    drive_run(d);
    ck_assert_uint_eq(d->nodes[0].n_watches, 0);
    drive_free(d);
}
END_TEST

/* Rank 0 also plays NCCL's status service, all ranks spin as its host threads do, and rank 2 has launched one less. */
static const char ras_py[] =
    "import json, os, socket, threading, time\n"
    "rank = int(os.environ['RANK'])\n"
    "def serve():\n"
    "    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
    "    s.bind(('127.0.0.1', int(os.environ['NCCL_RAS_ADDR'].split(':')[1]))); s.listen()\n"
    "    while True:\n"
    "        c, _ = s.accept(); f = c.makefile('rw')\n"
    "        for line in f:\n"
    "            if line.startswith('VERBOSE'): break\n"
    "            f.write('SERVER PROTOCOL 2\\n' if 'PROTOCOL' in line else 'OK\\n'); f.flush()\n"
    "        ranks = [{'rank': 3 - r, 'host': '127.0.0.1', 'pid': int(open('pid%d' % r).read()),\n"
    "                  'status': {'init_state': 0, 'async_error': 0},\n"
    "                  'collective_counts': {'AllReduce': 41 if r == 2 else 42}} for r in range(4)]\n"
    "        f.write(json.dumps({'nccl_version': '2.28.9', 'communicators': [\n"
    "            {'hash': '0x1', 'size': 4, 'ranks': ranks, 'missing_ranks': []}]})); f.flush(); c.close(); f.close()\n"
    "if rank == 0: threading.Thread(target=serve, daemon=True).start()\n"
    "open('pid%d.new' % rank, 'w').write(str(os.getpid())); os.rename('pid%d.new' % rank, 'pid%d' % rank)\n"
    "while True:\n"
    "    for i in range(100000): pass\n"
    "    time.sleep(0.02)\n";

START_TEST(with_nccl_the_rank_that_is_behind_is_named_although_all_are_busy)
{
    struct drive *d = drive_new(2, 2);
    const Tugpb__Hang *h;

    d->spec.hang_timeout_s = HANG_S;
    d->inv.gpus = 8;
    d->pay.slices[0]->gpus = 3;
    d->pay.slices[1]->gpus = 0x30;
    drive_argv(d, "python3", "-c", ras_py, NULL);
    drive_start(d);
    drive_until(d, somebody_is_named, "somebody is named");
    h = d->nodes[0].hang;
    ck_assert_str_eq(h->kind, "behind");
    ck_assert_str_eq(h->text, "rank 2 on node n01 (GPU 4) has launched 41 collectives where others of the 4 in that NCCL "
                              "communicator have launched 42, and nothing moves");
    end(d);
}
END_TEST

/* Rank 0 plays PyTorch's recorder, too. */
static const char recorder[] =
    "if [ $RANK = 0 ]; then f=${TORCH_NCCL_DEBUG_INFO_PIPE_FILE}0.pipe; mkfifo $f; (read x <$f; echo $x >recorded) & fi; "
    "if [ $RANK = 3 ]; then kill -STOP $$; fi; mkfifo f$RANK; exec 3<>f$RANK; exec cat <&3";

static bool output_says_where_it_stands(struct drive *d)
{
    return output_says(d, "what they are at stands in ");
}

static bool the_recorder_was_asked(struct drive *d)
{
    return strcmp(drive_file(d, "recorded"), "1\n") == 0;
}

START_TEST(what_a_hanging_rank_is_at_is_written_down)
{
    struct drive *d = drive_new(2, 2);
    const char *text;

    d->spec.hang_timeout_s = 2;
    d->spec.on_hang = TUGPB__ON_HANG__HANG_DUMP;
    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_TORCH;
    d->inv.gpus = 8;
    d->pay.slices[0]->gpus = 3;
    d->pay.slices[1]->gpus = 0x30;
    drive_argv(d, "sh", "-c", recorder, NULL);
    drive_start(d);
    drive_until(d, somebody_is_named, "somebody is named");
    drive_until(d, output_says_where_it_stands, "the output says where it stands");
    drive_until(d, the_recorder_was_asked, "the recorder was asked");
    text = drive_file(d, "tug-7.hang/1.0.rank3.txt");
    ck_assert_msg(strstr(text, "rank 3 on node n01 (GPU 5) is stopped by a signal (sh, pid ") == text, "%s", text);
    ck_assert_msg(strstr(text, "== process ") && strstr(text, "State:\tT (stopped)"), "%s", text);
    ck_assert_msg(strstr(text, "-- threads: id, state, kernel function, name") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "-- gdb is not installed") || strstr(text, "#0 "), "%s", text);
    ck_assert_str_eq(drive_file(d, "tug-7.hang/1.0.rank0.txt"), "");
    ck_assert(somebody_is_named(d)); /* still */
    end(d);
}
END_TEST

START_TEST(a_gang_that_hangs_is_ended_when_it_shall_be_run_again)
{
    struct drive *d = gang("ODD=1", "WHAT=" WORK "exec sleep 1000");
    const Tugpb__Cause *c;

    d->spec.hang_timeout_s = 2;
    d->spec.on_hang = TUGPB__ON_HANG__HANG_REQUEUE;
    drive_run(d);
    c = drive_cause(d);
    ck_assert_ptr_nonnull(c);
    ck_assert_str_eq(c->kind, "hang");
    ck_assert_uint_eq(c->rank, 1);
    ck_assert_str_eq(c->node, "n00");
    ck_assert_msg(strstr(c->text, "the gang hung: rank 1 on node n00 (GPU 1) sleeps in ") == c->text, "%s", c->text);
    drive_free(d);
}
END_TEST

static bool the_terminal_says_it(struct drive *d)
{
    return strstr(tug_buf_str(&d->run_out[2]), " rank 1 on node n00 (GPU 1) is stopped by a signal") != NULL;
}

START_TEST(an_interactive_gang_has_it_said_on_the_terminal)
{
    struct drive *d = gang("ODD=1", "WHAT=kill -STOP $$");

    d->spec.hang_timeout_s = 2;
    drive_interactive(d);
    drive_start(d);
    drive_until(d, the_terminal_says_it, "the terminal says it");
    end(d);
}
END_TEST

static uint64_t later_ms;

static bool it_is_later(struct drive *d)
{
    (void) d;
    return tug_now_ms() >= later_ms;
}

static bool both_nodes_are_up(struct drive *d)
{
    const char *o = drive_output(d);
    return strstr(o, "0: up") && strstr(o, "1: up") && strstr(o, "2: up") && strstr(o, "3: up");
}

static bool both_nodes_have_stopped(struct drive *d)
{
    return d->nodes[0].stopped == 7 && d->nodes[1].stopped == 7;
}

/* Ranks say their pids. */
static char state_of_rank(struct drive *d, unsigned rank)
{
    char key[32], path[64], state = 0;
    snprintf(key, sizeof key, "%u: up ", rank);
    const char *at = strstr(drive_output(d), key);
    ck_assert_ptr_nonnull(at);
    snprintf(path, sizeof path, "/proc/%d/stat", atoi(at + strlen(key)));
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
    fclose(f);
    return state;
}

START_TEST(a_suspended_gang_does_not_hang)
{
    struct drive *d = drive_new(2, 2);
    Tugpb__SdSignal m = TUGPB__SD_SIGNAL__INIT;

    d->spec.hang_timeout_s = 1;
    drive_argv(d, "sh", "-c", "echo up $$; while ! test -e go; do sleep 0.01; done", NULL);
    drive_start(d);
    drive_until(d, both_nodes_are_up, "both nodes are up");
    m.signal = SIGSTOP;
    m.serial = 7;
    for (unsigned i = 0; i < 2; i++)
        drive_send(d, i, TUG_MSG_SD_SIGNAL, &m.base);
    drive_until(d, both_nodes_have_stopped, "both nodes say that their ranks are stopped");
    for (unsigned rank = 0; rank < 4; rank++)
        ck_assert_int_eq(state_of_rank(d, rank), 'T');
    later_ms = tug_now_ms() + 3000;
    drive_until(d, it_is_later, "it is later");
    m.signal = SIGCONT;
    for (unsigned i = 0; i < 2; i++)
        drive_send(d, i, TUG_MSG_SD_SIGNAL, &m.base);
    drive_touch(d, "go");
    drive_until(d, drive_all_gone, "all are gone");
    ck_assert_uint_eq(d->nodes[0].n_watches, 0);
    drive_free(d);
}
END_TEST

static bool both_vforkers_are_up(struct drive *d)
{
    const char *o = drive_output(d);
    return strstr(o, "0: up") && strstr(o, "1: up");
}

START_TEST(ranks_whose_child_was_stopped_inside_vfork_can_be_suspended)
{
    struct drive *d = drive_new(2, 1);
    Tugpb__SdSignal m = TUGPB__SD_SIGNAL__INIT;
    const char *program = drive_program(d, "vforker", "cc -o %2$s %1$s");

    ck_assert_ptr_nonnull(program);
    drive_argv(d, program, NULL);
    drive_start(d);
    drive_until(d, both_vforkers_are_up, "both are up");
    m.signal = SIGSTOP;
    m.serial = 7;
    for (unsigned i = 0; i < 2; i++)
        drive_send(d, i, TUG_MSG_SD_SIGNAL, &m.base);
    drive_until(d, both_nodes_have_stopped, "both nodes say that their ranks are stopped");
    m.signal = SIGCONT;
    for (unsigned i = 0; i < 2; i++)
        drive_send(d, i, TUG_MSG_SD_SIGNAL, &m.base);
    drive_touch(d, "go");
    drive_until(d, drive_all_gone, "all are gone");
    drive_free(d);
}
END_TEST

UNIT_MAIN("stepd/guard",
          a_rank_that_stops_is_named_with_its_node_and_gpu_and_let_off_when_it_goes_on,
          a_rank_that_sleeps_while_the_others_wait_is_named_with_where_it_sleeps,
          a_rank_that_has_left_is_named,
          the_node_daemon_that_comes_back_hears_of_it_again,
          ranks_that_all_sleep_or_compute_are_left_alone,
          nobody_looks_where_it_is_switched_off,
          an_interactive_gang_has_it_said_on_the_terminal,
          a_suspended_gang_does_not_hang,
          ranks_whose_child_was_stopped_inside_vfork_can_be_suspended,
          what_a_hanging_rank_is_at_is_written_down,
          a_gang_that_hangs_is_ended_when_it_shall_be_run_again,
          with_nccl_the_rank_that_is_behind_is_named_although_all_are_busy)
