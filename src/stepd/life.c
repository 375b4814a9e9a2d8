/* life.c - the life of a step on this node, from payload to acknowledged result
 *
 * One table of phases: what begins with a phase, when it is over, which comes next. Events only
 * note facts; before the loop sleeps the table is walked as far as the facts allow. A step that
 * fails early takes the same way, with nothing to do in some phases, so that the other nodes always
 * hear of its end. Layer: stepd.
 */
#include "stepd/life.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "stepd/life_impl.h"
#include "stepd/limits.h"

#define BARRIER_MAX_MS   600000u /* the controller's own deadline is far shorter */
#define BARRIER_ALONE_MS 60000u  /* waiting for a node daemon that is gone, with nothing running */
#define JOIN_DEFAULT_S   60u
#define JOIN_GRACE_MS    3000u /* who cannot reach the head knows better why, and says so first */
#define KILL_MAX_MS      20000u
#define STOP_POLL_MS 50 /* until all ranks are seen to be stopped */
#define SWEEP_MAX_MS     5000u
#define DRAIN_MAX_MS     2000u
#define FLUSH_MAX_MS     10000u
#define RESULT_AGAIN_MS  2000u
#define REPORT_MAX_MS    (24u * 3600 * 1000)
#define LEAVE_MAX_MS     1000u

/* ---- PREPARE: everything that can fail before the gang starts ---- */

static void fail_err(struct tug_life *l, const char *kind, const struct tug_err *err)
{
    struct tug_cause c;

    tug_cause_set(&c, kind, l->p->node, 0, NULL, "%s", err->msg);
    tug_life_fail(l, &c);
}

static int check_cwd(struct tug_life *l, struct tug_err *err)
{
    const char *cwd = l->p->spec->cwd;
    struct stat st;

    if (cwd[0] != '/')
        return tug_fail(
            err, -EINVAL,
            "working directory '%s' is not absolute; submit again from a directory that exists",
            cwd);
    if (stat(cwd, &st) || !S_ISDIR(st.st_mode) || access(cwd, X_OK)) {
        int e = errno ? errno : ENOTDIR;
        return tug_fail(err, -e,
                        "cannot enter working directory '%s' on node %s: %s; submit from a "
                        "directory that all nodes share",
                        cwd, l->p->node, strerror(e));
    }
    return 0;
}

static void send_output(void *arg, enum tug_route route, unsigned rank, unsigned stream,
                        const void *data, size_t len)
{
    struct tug_life *l = arg;
    Tugpb__StarOutput m = TUGPB__STAR_OUTPUT__INIT;

    if (route == TUG_ROUTE_CLIENT) {
        tug_client_output(l->client, rank, stream, data, len);
        return;
    }
    m.rank = rank;
    m.stream = stream;
    m.data.data = (uint8_t *) data;
    m.data.len = len;
    tug_star_send(l->star, 0, TUG_MSG_STAR_OUTPUT, &m.base);
}

static size_t output_backlog(void *arg, enum tug_route route)
{
    struct tug_life *l = arg;

    return route == TUG_ROUTE_CLIENT ? tug_client_backlog(l->client) : tug_star_backlog(l->star);
}

static void pause_nodes(void *arg, bool paused)
{
    tug_star_pause(((struct tug_life *) arg)->star, paused);
}

static const struct tug_output_ops output_ops = {
    .send = send_output, .backlog = output_backlog, .pause_nodes = pause_nodes};

static void on_input_room(void *arg)
{
    struct tug_life *l = arg;

    if (l->client)
        tug_client_pause(l->client, false);
}

static void enter_prepare(struct tug_life *l)
{
    struct event_base *base = tug_loop_base(l->loop);
    const struct tug_payload *p = l->p;
    struct tug_err err = {0};

    umask(p->spec->umask & 0777);
    if (check_cwd(l, &err) < 0) {
        fail_err(l, "launch", &err);
        return;
    }
    if (tug_output_open(&l->output, base, p, &output_ops, l, &err) < 0) {
        fail_err(l, "output", &err);
        return;
    }
    l->input = tug_input_new(base, p, on_input_room, l);
    if (tug_ranks_new(&l->ranks, p, l->run_dir, &err) < 0 ||
        ((p->me == 0 || p->slice->gpus) && tug_port_reserve(&l->port, &err) < 0) ||
        tug_star_new(&l->star, base, p, &tug_life_star_ops, l, &err) < 0) {
        fail_err(l, "launch", &err);
        return;
    }
    if (p->n_stepds > 2 && tug_mesh_new(&l->mesh, base, p, l->star, tug_life_pair_lost, l, &err) < 0)
        tug_warn("job %llu: %s; whether they reach it is not known when the gang fails", (unsigned long long) p->pb->key->job, err.msg);
    if (p->spec->interactive && p->me == 0 &&
        tug_client_dial(&l->client, base, p, &tug_life_client_ops, l, &err) < 0) {
        fail_err(l, "io", &err);
        return;
    }
    /* Last, because its thread competes with the rest for the CPU. */
    if (p->pmix && tug_exchange_new(&l->exchange, base, p, l->star, l->run_dir,
                                    &tug_life_exchange_ops, l, &err) < 0)
        fail_err(l, "launch", &err);
}

static bool prepared(struct tug_life *l)
{
    (void) l;
    return true;
}

/* ---- BARRIER: all nodes ready, then all start ---- */

static void enter_barrier(struct tug_life *l)
{
    if (!l->ended)
        tug_life_send_ready(l);
}

static bool barrier_open(struct tug_life *l)
{
    uint64_t down = tug_link_down_since_ms(l->link), now = tug_now_ms();
    struct tug_cause c;

    if (l->started || l->ended)
        return true;
    if (now > l->phase_since_ms + BARRIER_MAX_MS ||
        (down && now > down + BARRIER_ALONE_MS && now > l->phase_since_ms + BARRIER_ALONE_MS)) {
        tug_cause_set(&c, "launch", l->p->node, 0, NULL,
                      "node %s waited %llu s for the gang to start and gave up", l->p->node,
                      (unsigned long long) (now - l->phase_since_ms) / 1000);
        tug_life_fail(l, &c);
    }
    return l->ended;
}

/* ---- LAUNCH: the barrier is open; what is not needed for spawning goes on in parallel ---- */

static void enter_launch(struct tug_life *l)
{
    unsigned s = l->p->pb->wireup_timeout_s ? l->p->pb->wireup_timeout_s : JOIN_DEFAULT_S;

    if (l->p->me == 0 && l->p->n_stepds > 1 && l->started)
        l->join_by_ms = tug_now_ms() + s * 1000ull + JOIN_GRACE_MS;
    if (l->ended && l->started)
        tug_life_hurry(l);
}

static bool launched(struct tug_life *l)
{
    return l->ended || !l->exchange || l->pmix_up;
}

/* ---- RUN ---- */

/* Into the output of the head's first rank, where the user looks; of other nodes into the log. */
static void warn_limits(const struct tug_life *l, int fd)
{
    struct tug_limits limits;
    struct tug_buf b = {0};

    tug_limits_of_ranks(l->p, &limits);
    tug_limits_warn(l->p, &limits, &b);
    if (b.len && l->p->me == 0)
        dprintf(fd, "[tug: %s]\n", tug_buf_str(&b));
    else if (b.len)
        tug_warn("job %llu: %s", (unsigned long long) l->p->pb->key->job, tug_buf_str(&b));
    tug_buf_clear(&b);
}

static int spawn_one(struct tug_life *l, unsigned local, struct tug_rank_end *end,
                     struct tug_err *err)
{
    struct tug_arena arena = {0};
    char **pmix_env = NULL, **env;
    int fds[3] = {-1, -1, -1}, rc;

    *end = (struct tug_rank_end){.local = local, .exit_code = TUG_EXIT_NOT_RUN, .by_itself = true};
    rc = fds[0] = tug_input_rank_fd(l->input, local, err);
    if (rc >= 0)
        rc = tug_output_rank_pipe(l->output, local, fds + 1, err);
    if (rc == 0 && l->exchange)
        rc = tug_pmix_rank_env(tug_exchange_pmix(l->exchange), tug_payload_rank(l->p, local),
                               &pmix_env, err);
    if (rc == 0) {
        if (local == 0)
            warn_limits(l, fds[2]);
        env = tug_rank_env_make(l->env, &arena, local, pmix_env);
        rc = tug_ranks_spawn(l->ranks, local, env, fds, end, err);
    }
    if (fds[2] >= 0 && fds[2] != fds[1])
        close(fds[2]);
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    tug_pmix_env_free(pmix_env);
    tug_arena_clear(&arena);
    return rc;
}

static void enter_run(struct tug_life *l)
{
    struct tug_rank_end end;
    struct tug_err err = {0};

    if (l->ended)
        return;
    l->started_wall_ms = tug_wall_ms();
    if (l->port)
        tug_port_release(l->port);
    for (unsigned i = 0; i < l->p->n_local && !l->ended; i++)
        if (spawn_one(l, i, &end, &err) < 0)
            tug_life_rank_ended(l, &end, err.msg);
    if (l->stopped) /* the word came before they were there */
        tug_ranks_signal_all(SIGSTOP);
    if (l->client)
        tug_client_state(l->client, "running", l->p->n_ranks, l->p->n_ranks);
    tug_guard_start(l);
}

static bool ranks_gone(struct tug_life *l)
{
    char who[256];

    if (!l->ranks || tug_ranks_living(l->ranks) == 0)
        return true;
    if (!l->killed_ms || tug_now_ms() < l->killed_ms + KILL_MAX_MS)
        return false;
    tug_warn("job %llu: rank %s on node %s does not end although it was killed; it probably waits "
             "for a disk or a device",
             (unsigned long long) l->p->pb->key->job,
             tug_ranks_name_living(l->ranks, who, sizeof who), l->p->node);
    return true;
}

/* ---- SWEEP: what ranks left behind ---- */

static void enter_sweep(struct tug_life *l)
{
    l->ended_wall_ms = tug_wall_ms();
    l->kill_at_ms = 0;
}

static bool swept(struct tug_life *l)
{
    if (!l->ranks || tug_ranks_sweep(l->ranks))
        return true;
    if (tug_now_ms() < l->phase_since_ms + SWEEP_MAX_MS)
        return false;
    tug_warn("job %llu: processes are left on node %s that this user may not or cannot kill",
             (unsigned long long) l->p->pb->key->job, l->p->node);
    return true;
}

/* ---- DRAIN: what ranks printed ---- */

static void enter_drain(struct tug_life *l)
{
    (void) l;
}

static bool drained(struct tug_life *l)
{
    if (!l->output || tug_output_drained(l->output))
        return true;
    if (tug_now_ms() < l->phase_since_ms + DRAIN_MAX_MS)
        return false;
    tug_output_cut(l->output);
    return true;
}

/* ---- GATHER: the other nodes ---- */

static void enter_gather(struct tug_life *l)
{
    Tugpb__StarNodeDone m = TUGPB__STAR_NODE_DONE__INIT;

    if (!l->star || !l->started)
        return;
    m.node_index = l->p->me;
    m.n_exits = l->started_wall_ms ? l->p->n_local : 0;
    m.exits = l->local_exits;
    tug_star_send(l->star, 0, TUG_MSG_STAR_NODE_DONE, &m.base);
}

static bool flushed(struct tug_life *l)
{
    bool files = !l->output || tug_output_flushed(l->output);
    bool terminal = !l->client || tug_client_backlog(l->client) == 0;

    if (files && terminal)
        return true;
    /* Counted from when the nodes were done: phase_since_ms is too early for a head that waited for
     * others. */
    if (!l->flush_since_ms)
        l->flush_since_ms = tug_now_ms();
    return tug_now_ms() > l->flush_since_ms + FLUSH_MAX_MS;
}

static bool gathered(struct tug_life *l)
{
    uint64_t patience = l->killed_ms ? l->killed_ms + 20000 : 0;
    bool late = l->ended && patience && tug_now_ms() > patience;

    if (!l->star || !l->started)
        return true;
    if (l->p->me != 0)
        return (l->released || late) && flushed(l);
    for (unsigned i = 0; i < l->p->n_stepds; i++)
        if (!l->nodes[i].done && !tug_star_lost(l->star, i) && !late)
            return false;
    return (tug_mesh_settled(l->mesh) || late) && flushed(l);
}

/* ---- REPORT ---- */

static void enter_report(struct tug_life *l)
{
    Tugpb__StarRelease m = TUGPB__STAR_RELEASE__INIT;

    if (l->output && tug_output_trouble(l->output)[0])
        tug_warn("job %llu: %s", (unsigned long long) l->p->pb->key->job,
                 tug_output_trouble(l->output));
    if (l->star) {
        tug_star_finish(l->star);
        m.cause = tug_cause_pb(&l->cause);
        if (l->p->me == 0)
            tug_star_tell_all(l->star, TUG_MSG_STAR_RELEASE, &m.base);
    }
    if (l->client) {
        Tugpb__ExitInfo **all = tug_xcalloc(l->p->n_ranks + 1, sizeof *all);
        for (unsigned i = 0; i < l->p->n_ranks; i++)
            all[i] = &l->exits[i];
        tug_client_done(l->client, all, l->started_wall_ms ? l->p->n_ranks : 0,
                        tug_cause_pb(&l->cause));
        free(all);
    }
    tug_life_send_word(l);
    tug_life_send_result(l);
}

static bool reported(struct tug_life *l)
{
    uint64_t now = tug_now_ms();

    if (!l->acked && now > l->result_sent_ms + RESULT_AGAIN_MS)
        tug_life_send_result(l);
    return l->acked || now > l->phase_since_ms + REPORT_MAX_MS;
}

/* ---- LEAVE: what was sent last must have left ---- */

static void enter_leave(struct tug_life *l)
{
    (void) l;
}

static bool may_leave(struct tug_life *l)
{
    /* The client goes first: were we to close while it has sent something unread, the kernel would
     * throw away what it has not read of ours. */
    bool client = !l->client || tug_client_gone(l->client);
    bool star = !l->star || tug_star_backlog(l->star) == 0;

    return (client && star) || tug_now_ms() > l->phase_since_ms + LEAVE_MAX_MS;
}

/* ---- the table ---- */

static const struct {
    const char *name;
    void (*enter)(struct tug_life *l);
    bool (*over)(struct tug_life *l); /* asked before each sleep; notices its own deadline */
    unsigned poll_ms; /* ask again this often although nothing happened; 0: only at deadlines */
} phases[PHASES] = {
    [PREPARE] = {"prepare", enter_prepare, prepared, 0},
    [BARRIER] = {"barrier", enter_barrier, barrier_open, 1000},
    [LAUNCH] = {"launch", enter_launch, launched, 1000},
    [RUN] = {"run", enter_run, ranks_gone, 0},
    [SWEEP] = {"sweep", enter_sweep, swept, 10},
    [DRAIN] = {"drain", enter_drain, drained, 50},
    [GATHER] = {"gather", enter_gather, gathered, 10},
    [REPORT] = {"report", enter_report, reported, 500},
    [LEAVE] = {"leave", enter_leave, may_leave, 5},
};

static void enter(struct tug_life *l, enum phase phase)
{
    l->phase = phase;
    l->phase_since_ms = tug_now_ms();
    tug_debug("job %llu: %s", (unsigned long long) l->p->pb->key->job, phases[phase].name);
    phases[phase].enter(l);
}

static void set_tick(struct tug_life *l, uint64_t now)
{
    uint64_t at[] = {phases[l->phase].poll_ms ? now + phases[l->phase].poll_ms : 0, l->kill_at_ms, l->word_by_ms,
                     l->wire_by_ms, l->gang_wire_by_ms, l->join_by_ms,
                     l->killed_ms && l->phase == RUN ? now + 1000 : 0,
                     l->stop_serial && l->phase >= RUN ? now + STOP_POLL_MS : 0};
    uint64_t first = 0;

    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        if (at[i] && (!first || at[i] < first))
            first = at[i];
    if (first)
        tug_timer_set(l->tick, first);
    else
        tug_timer_stop(l->tick);
}

static void before_sleep(void *arg)
{
    struct tug_life *l = arg;

    tug_life_check_deadlines(l, tug_now_ms());
    while (phases[l->phase].over(l)) {
        if (l->phase == LEAVE) {
            tug_loop_stop(l->loop);
            return;
        }
        enter(l, l->phase + 1);
    }
    set_tick(l, tug_now_ms());
}

/* ---- signals ---- */

static void on_child(void *arg, int signo)
{
    struct tug_life *l = arg;
    struct tug_rank_end end;

    (void) signo;
    while (l->ranks && tug_ranks_reap(l->ranks, &end))
        tug_life_rank_ended(l, &end, NULL);
}

static void on_stop(void *arg, int signo)
{
    struct tug_life *l = arg;
    struct tug_cause c;

    tug_cause_set(&c, "cancel", l->p->node, 0, NULL,
                  "the step daemon on node %s was told to stop by signal %d (%s)", l->p->node,
                  signo, strsignal(signo));
    tug_life_fail(l, &c);
}

/* tuglaunch has died, and where there are no cgroups nobody else would ever find what ranks have started. */
static void on_orphaned(void *arg, int signo)
{
    struct tug_life *l = arg;
    uint64_t until_ms = tug_now_ms() + SWEEP_MAX_MS;

    (void) signo;
    while (l->ranks && !tug_ranks_sweep(l->ranks) && tug_now_ms() < until_ms)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    _exit(1);
}

static void on_tick(void *arg)
{
    (void) arg; /* before_sleep does the work */
}

/* ---- outside ---- */

static void make_exits(struct tug_life *l)
{
    const struct tug_payload *p = l->p;

    l->exits = tug_xcalloc(p->n_ranks, sizeof *l->exits);
    l->local_exits = tug_xcalloc(p->n_local + 1, sizeof *l->local_exits);
    for (unsigned i = 0; i < p->n_ranks; i++) {
        tugpb__exit_info__init(&l->exits[i]);
        l->exits[i].signal = SIGKILL; /* of ranks that were never started, or whose node was lost */
    }
    for (unsigned i = 0; i < p->n_local; i++)
        l->local_exits[i] = &l->exits[tug_payload_rank(p, i)];
}

int tug_life_new(struct tug_life **out, struct tug_loop *loop, const struct tug_payload *p,
                 const char *noded, const char *run_dir, struct tug_err *err)
{
    struct tug_life *l = tug_new(struct tug_life);
    int rc;

    l->p = p;
    l->loop = loop;
    l->run_dir = run_dir;
    l->kill_grace_s = -1;
    l->nodes = tug_xcalloc(p->n_stepds, sizeof *l->nodes);
    l->connected = tug_xcalloc(p->n_local + 1, sizeof *l->connected);
    make_exits(l);
    rc = tug_timer_new(&l->tick, tug_loop_base(loop), on_tick, l, err);
    if (rc == 0)
        rc = tug_loop_on_signal(loop, SIGCHLD, on_child, l, err);
    if (rc == 0)
        rc = tug_loop_on_signal(loop, SIGTERM, on_stop, l, err);
    if (rc == 0)
        rc = tug_loop_on_signal(loop, SIGHUP, on_orphaned, l, err);
    if (rc == 0)
        rc = tug_link_new(&l->link, tug_loop_base(loop), noded, &tug_life_link_ops, l, err);
    *out = l;
    return rc;
}

void tug_life_run(struct tug_life *l)
{
    enter(l, PREPARE);
    tug_loop_before_sleep(l->loop, before_sleep, l);
    tug_timer_set(l->tick, tug_now_ms());
    tug_loop_run(l->loop);
    tug_port_free(l->port);
    tug_ranks_free(l->ranks);
}
