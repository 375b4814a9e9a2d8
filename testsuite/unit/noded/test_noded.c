/* test_noded.c - tuglaunch and tugnoded as they are, between a controller and step daemons that the test plays
 *
 * The controller is a real listener with node keys; the step daemon is this program again, started by tuglaunch, and its
 * payload says what it does. Needs ./tuglaunch and ./tugnoded.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "base/vec.h"
#include "host/loop.h"
#include "host/net.h"
#include "proto/node.pb-c.h"
#include "proto/order.h"
#include "proto/step.pb-c.h"

#define WAIT_MS 20000

/* ---- the step daemon that this program stands in for --------------------------------------------- */

static struct tug_call *dial_noded(const char *endpoint, Tugpb__StepKey *key, Tugpb__StepPhase phase)
{
    struct tug_net_opts o = {.auth = TUG_AUTH_UNIX, .channel = TUG_CH_STEPD};
    Tugpb__SdHello hello = TUGPB__SD_HELLO__INIT;
    struct tug_call *call = NULL;
    hello.key = key;
    hello.phase = phase;
    for (int i = 0; i < WAIT_MS; i++) {  /* until the next tugnoded listens: the last one may take us along */
        if (tug_call_open(&call, endpoint, &o, 1000, NULL) == 0) {
            if (tug_call_send(call, TUG_MSG_SD_HELLO, 0, &hello.base, NULL) == 0)
                return call;
            tug_call_close(call);
        }
        poll(NULL, 0, 1);
    }
    _exit(90);
}

static void send_result(struct tug_call *call, int exit_code, int signo)
{
    Tugpb__ExitInfo info = TUGPB__EXIT_INFO__INIT, *exits[] = {&info};
    Tugpb__StepResult result = TUGPB__STEP_RESULT__INIT;
    Tugpb__SdResult m = TUGPB__SD_RESULT__INIT;
    info.exit_code = exit_code;
    info.signal = signo;
    result.n_exits = 1;
    result.exits = exits;
    m.result = &result;
    tug_call_send(call, TUG_MSG_SD_RESULT, 0, &m.base, NULL);
}

static int as_stepd(char **argv)
{
    char payload[64] = "";
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    Tugpb__StepPhase phase = TUGPB__STEP_PHASE__STEP_STARTING;
    unsigned long long job;
    struct tug_frame f;
    if (read(3, payload, sizeof payload - 1) < 0 || sscanf(strrchr(argv[2], '/'), "/%llu.%u.%u", &job, &key.attempt,
                                                           &key.step) != 3)
        return 91;
    key.job = job;
    struct tug_call *call = dial_noded(argv[4], &key, phase);
    Tugpb__StepReady ready = TUGPB__STEP_READY__INIT;
    ready.star_addr = "127.0.0.1:4000";
    Tugpb__SdReady m = TUGPB__SD_READY__INIT;
    m.ready = &ready;
    tug_call_send(call, TUG_MSG_SD_READY, 0, &m.base, NULL);
    phase = TUGPB__STEP_PHASE__STEP_READY;
    for (;;) {
        if (tug_call_recv(call, &f, WAIT_MS, NULL)) {
            tug_call_close(call);
            call = dial_noded(argv[4], &key, phase);
            continue;
        }
        if (f.number == TUG_MSG_SD_START) {
            phase = TUGPB__STEP_PHASE__STEP_RUNNING;
            if (!strcmp(payload, "exit7"))
                send_result(call, 7, 0);
            if (!strcmp(payload, "die"))
                raise(SIGKILL);
        } else if (f.number == TUG_MSG_SD_KILL && strcmp(payload, "deaf") != 0) {
            send_result(call, 0, SIGTERM);
        } else if (f.number == TUG_MSG_SD_RESULT_ACK) {
            return 0;
        }
    }
}

/* ---- the controller that the test plays ----------------------------------------------------------- */

struct got {
    uint16_t number;                    /* 0: the connection ended */
    struct tug_arena arena;
    ProtobufCMessage *m;
};

static struct world {
    char dir[64], self[128];
    struct tug_loop *loop;
    struct tug_listener *listener;
    struct tug_keypair controller, node;
    struct tug_conn *conn;
    struct tug_vec(struct got) got;
    struct got last;
    uint8_t boot_id[16];
    pid_t pid;                          /* tuglaunch */
} w;

static char *in_dir(const char *name)
{
    static char path[16][512];
    static int at;
    at = (at + 1) % 16;
    snprintf(path[at], sizeof path[at], "%s/%s", w.dir, name);
    return path[at];
}

static void on_open(void *arg, struct tug_conn *c)
{
    (void) arg;
    ck_assert_str_eq(tug_conn_peer(c)->name, "gpu03");
    w.conn = c;
}

static void on_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct tug_err err = {0};
    struct got g = {.number = f->number};
    (void) arg;
    (void) c;
    ck_assert_msg(tug_msg_decode(&g.arena, f->number, f->body, f->len, &g.m, &err) == 0, "%s", err.msg);
    tug_vec_push(&w.got, g);
}

static void on_close(void *arg, struct tug_conn *c, const char *why)
{
    (void) arg;
    (void) why;
    if (c == w.conn) {
        struct got g = {0};
        w.conn = NULL;
        tug_vec_push(&w.got, g);
    }
}

static int node_key(void *arg, const char *name, uint8_t pub[32])
{
    (void) arg;
    if (strcmp(name, "gpu03") != 0)
        return -ENOENT;
    memcpy(pub, w.node.pub, 32);
    return 0;
}

static void too_long(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    ck_abort_msg("%s did not come within %d ms", (const char *) arg, WAIT_MS);
}

static void wait_for_something(const char *what)
{
    struct timeval limit = {.tv_sec = WAIT_MS / 1000};
    struct event *guard = evtimer_new(tug_loop_base(w.loop), too_long, (void *) (uintptr_t) what);
    event_add(guard, &limit);
    while (w.got.len == 0)
        event_base_loop(tug_loop_base(w.loop), EVLOOP_ONCE);
    event_free(guard);
}

/* The next message that is not about leases (those are granted here and now). 0: the connection ended. */
static const void *next(uint16_t number)
{
    const char *name = number ? tug_msg_info(number)->name : "the end of the connection";
    for (;;) {
        wait_for_something(name);
        tug_arena_clear(&w.last.arena);
        w.last = w.got.at[0];
        tug_vec_remove(&w.got, 0);
        if (w.last.number == TUG_MSG_LEASE_REQUEST) {
            const Tugpb__LeaseRequest *ask = (const Tugpb__LeaseRequest *) w.last.m;
            Tugpb__LeaseGrant grant = TUGPB__LEASE_GRANT__INIT;
            grant.nonce = ask->nonce;
            grant.sent_ms = ask->sent_ms;
            grant.lease_s = 300;
            grant.epoch = 1;
            if (w.conn)
                tug_conn_send(w.conn, TUG_MSG_LEASE_GRANT, 0, &grant.base);
            continue;
        }
        ck_assert_msg(w.last.number == number, "%s came where %s was expected",
                      w.last.number ? tug_msg_info(w.last.number)->name : "the end of the connection", name);
        return w.last.m;
    }
}

static const Tugpb__NodeHello *welcome(void)
{
    const Tugpb__NodeHello *hello = next(TUG_MSG_NODE_HELLO);
    Tugpb__NodeWelcome m = TUGPB__NODE_WELCOME__INIT;
    m.epoch = 1;
    m.lease_s = 300;
    m.heartbeat_ms = 1000;
    m.kill_grace_s = 1;
    ck_assert_int_eq(sodium_hex2bin(w.boot_id, 16, hello->boot_id, strlen(hello->boot_id), NULL, NULL, NULL), 0);
    tug_conn_send(w.conn, TUG_MSG_NODE_WELCOME, 0, &m.base);
    return hello;
}

static void start(const char *node_key_file)
{
    char endpoint[64], *argv[64], *pub = in_dir("controller.pub"), *run = in_dir("run");
    const char *build = getenv("TUG_BUILDDIR");
    int n = 0;
    build = build ? build : ".";
    snprintf(endpoint, sizeof endpoint, "%s", tug_listener_endpoint(w.listener));
    const char *args[] = {"", "--node", "gpu03", "--cluster", "lab", "--controller-pub", pub, "--run-dir", run, "--stepd",
                          w.self, "--emulated", "--one-user", "--cgroup-root", "none", "--", "", "--node", "gpu03",
                          "--controller", endpoint, "--key", node_key_file, "--controller-pub", pub, "--state-dir",
                          in_dir("state"), "--run-dir", run, "--address", "127.0.0.1", "--cpus", "16", "--memory", "64G",
                          "--gpus", "8", "--gpu-model", "h100"};
    for (size_t i = 0; i < sizeof args / sizeof *args; i++)
        argv[n++] = (char *) (uintptr_t) args[i];
    argv[n] = NULL;
    char abs[PATH_MAX], tuglaunch[PATH_MAX + 16], tugnoded[PATH_MAX + 16];
    ck_assert_ptr_nonnull(realpath(build, abs));
    snprintf(tuglaunch, sizeof tuglaunch, "%s/tuglaunch", abs);
    snprintf(tugnoded, sizeof tugnoded, "%s/tugnoded", abs);
    argv[0] = tuglaunch;
    argv[16] = tugnoded;
    fflush(NULL);
    w.pid = fork();
    if (w.pid == 0) {
        int log = open(in_dir("log"), O_WRONLY | O_CREAT | O_APPEND, 0644);
        dup2(log, 2);
        prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
        execv(argv[0], argv);
        _exit(127);
    }
}

static void setup(void)
{
    static const struct tug_net_ops ops = {on_open, on_frame, on_close};
    struct tug_err err = {0};
    char cmd[512];
    w = (struct world){.pid = 0};
    strcpy(w.dir, "/tmp/tug-noded-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w.dir));
    snprintf(w.self, sizeof w.self, "%s/stand-in", w.dir);
    snprintf(cmd, sizeof cmd, "cp /proc/%d/exe %s && chmod 755 %s", (int) getpid(), w.self, w.self);
    ck_assert_int_eq(system(cmd), 0);
    ck_assert_int_eq(tug_keypair_load(in_dir("controller"), &w.controller, 1, &err), 0);
    ck_assert_int_eq(tug_keypair_load(in_dir("node.key"), &w.node, 1, &err), 0);
    ck_assert_msg(tug_loop_new(&w.loop, &err) == 0, "%s", err.msg);
    struct tug_net_opts o = {.auth = TUG_AUTH_NODE, .channel = TUG_CH_NODE, .ops = &ops, .own = &w.controller,
                             .node_key = node_key};
    ck_assert_msg(tug_net_listen(&w.listener, tug_loop_base(w.loop), "127.0.0.1:0", 0, &o, &err) == 0, "%s", err.msg);
}

static void finish(void)
{
    int status;
    char cmd[128];
    kill(w.pid, SIGTERM);
    for (pid_t got = 0; got == 0;) {
        event_base_loop(tug_loop_base(w.loop), EVLOOP_NONBLOCK);
        got = waitpid(w.pid, &status, WNOHANG);
        poll(NULL, 0, 1);
    }
    ck_assert_int_eq(status, 0);
    if (w.conn)
        tug_conn_drop(w.conn);
    tug_listener_free(w.listener);
    tug_loop_free(w.loop);
    for (size_t i = 0; i < w.got.len; i++)
        tug_arena_clear(&w.got.at[i].arena);
    tug_arena_clear(&w.last.arena);
    tug_vec_clear(&w.got);
    snprintf(cmd, sizeof cmd, "rm -rf %s", w.dir);
    ck_assert_int_eq(system(cmd), 0);
}

static void launch(uint64_t job, const char *payload)
{
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    Tugpb__StepLaunch m = TUGPB__STEP_LAUNCH__INIT;
    struct tug_order o = {.cluster = "lab", .node = "gpu03", .epoch = 1, .job = job, .attempt = 1, .uid = getuid(),
                          .gid = getgid(), .flags = TUG_ORDER_REQUEUEABLE, .expires_wall_ms = INT64_MAX / 2};
    uint8_t wire[TUG_ORDER_LEN], sig[TUG_ORDER_SIG_LEN];
    memcpy(o.boot_id, w.boot_id, 16);
    crypto_generichash(o.payload_digest, 32, (const uint8_t *) payload, strlen(payload), NULL, 0);
    ck_assert_int_eq(tug_order_pack(&o, wire, NULL), 0);
    tug_sign(&w.controller, "tug-order-v1", wire, sizeof wire, sig);
    key.job = job;
    key.attempt = 1;
    m.epoch = 1;
    m.key = &key;
    m.order = (ProtobufCBinaryData){sizeof wire, wire};
    m.signature = (ProtobufCBinaryData){sizeof sig, sig};
    m.payload = (ProtobufCBinaryData){strlen(payload), (uint8_t *) (uintptr_t) payload};
    m.requeueable = 1;
    tug_conn_send(w.conn, TUG_MSG_STEP_LAUNCH, 0, &m.base);
}

static uint32_t run_step(uint64_t job, const char *payload)
{
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    Tugpb__StepStart m = TUGPB__STEP_START__INIT;
    launch(job, payload);
    const Tugpb__StepReady *ready = next(TUG_MSG_STEP_READY);
    ck_assert_int_eq(ready->key->job, job);
    ck_assert_str_eq(ready->star_addr, "127.0.0.1:4000");
    uint32_t pid = ready->stepd_pid;
    key.job = job;
    key.attempt = 1;
    m.epoch = 1;
    m.key = &key;
    m.star_addr = "127.0.0.1:4000";
    tug_conn_send(w.conn, TUG_MSG_STEP_START, 0, &m.base);
    return pid;
}

static void kill_step(uint64_t job, uint32_t grace_s)
{
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    Tugpb__StepKill m = TUGPB__STEP_KILL__INIT;
    key.job = job;
    key.attempt = 1;
    m.epoch = 1;
    m.key = &key;
    m.grace_s = grace_s;
    tug_conn_send(w.conn, TUG_MSG_STEP_KILL, 0, &m.base);
}

static void ack(uint64_t job)
{
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    Tugpb__StepAck m = TUGPB__STEP_ACK__INIT;
    key.job = job;
    key.attempt = 1;
    m.epoch = 1;
    m.key = &key;
    tug_conn_send(w.conn, TUG_MSG_STEP_ACK, 0, &m.base);
}

static const char *log_text(void)
{
    static char text[65536];
    int fd = open(in_dir("log"), O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static pid_t child_of(pid_t pid, const char *name)
{
    char cmd[256];
    int child = 0;
    snprintf(cmd, sizeof cmd, "for p in $(cat /proc/%d/task/%d/children); do [ \"$(cat /proc/$p/comm)\" = %s ] && echo $p; "
             "done", (int) pid, (int) pid, name);
    FILE *f = popen(cmd, "r");
    ck_assert_int_eq(fscanf(f, "%d", &child), 1);
    pclose(f);
    return child;
}

START_TEST(a_step_runs_from_order_to_acknowledged_result)
{
    setup();
    start(in_dir("node.key"));
    const Tugpb__NodeHello *hello = welcome();
    ck_assert_str_eq(hello->node, "gpu03");
    ck_assert_int_eq(hello->n_steps, 0);
    ck_assert_int_eq(hello->inventory->cpus, 16);
    ck_assert_int_eq(hello->inventory->gpus, 8);
    ck_assert_uint_eq(hello->inventory->mem_bytes, 64ULL << 30);
    ck_assert_str_eq(hello->inventory->gpu_model, "h100");
    ck_assert(hello->inventory->emulated);
    ck_assert_str_eq(hello->address, "127.0.0.1");
    run_step(71, "exit7");
    const Tugpb__StepDone *done = next(TUG_MSG_STEP_DONE);
    ck_assert_int_eq(done->result->key->job, 71);
    ck_assert_int_eq(done->result->n_exits, 1);
    ck_assert_int_eq(done->result->exits[0]->exit_code, 7);
    ck_assert_ptr_null(done->result->cause);
    ck_assert_uint_gt(done->result->max_rss_bytes, 0);
    ack(71);
    launch(71, "exit7");                /* and it is not started again */
    ck_assert_ptr_nonnull(strstr(((const Tugpb__StepFailed *) next(TUG_MSG_STEP_FAILED))->cause->text, "not started again"));
    next(TUG_MSG_STEP_DONE);
    ck_assert_int_eq(access(in_dir("run/topology.xml"), R_OK), 0);
    finish();
}
END_TEST

START_TEST(a_killed_node_daemon_adopts_its_running_steps)
{
    setup();
    start(in_dir("node.key"));
    welcome();
    uint32_t stepd = run_step(5, "stay");
    for (int i = 0; i < 3; i++) {
        kill(child_of(w.pid, "tugnoded"), SIGKILL);
        next(0);
        const Tugpb__NodeHello *hello = welcome();
        ck_assert_int_eq(hello->max_epoch, 1);
        ck_assert_int_eq(hello->n_steps, 1);
        ck_assert_int_eq(hello->steps[0]->key->job, 5);
        ck_assert_int_eq(kill((pid_t) stepd, 0), 0);
    }
    kill_step(5, 5);
    const Tugpb__StepDone *done = next(TUG_MSG_STEP_DONE);
    ck_assert_int_eq(done->result->exits[0]->signal, SIGTERM);
    finish();
}
END_TEST

START_TEST(a_result_that_nobody_heard_is_said_again_by_the_next_node_daemon)
{
    setup();
    start(in_dir("node.key"));
    welcome();
    run_step(5, "exit7");
    next(TUG_MSG_STEP_DONE);
    kill(child_of(w.pid, "tugnoded"), SIGKILL);
    next(0);
    const Tugpb__NodeHello *hello = welcome();
    ck_assert_int_eq(hello->n_steps, 1);
    ck_assert_int_eq(hello->steps[0]->phase, TUGPB__STEP_PHASE__STEP_DONE);
    ck_assert_int_eq(hello->steps[0]->result->exits[0]->exit_code, 7);
    next(TUG_MSG_STEP_DONE);
    ack(5);
    launch(6, "exit7");                 /* answered after the acknowledgement: it was heard */
    next(TUG_MSG_STEP_READY);
    kill(child_of(w.pid, "tugnoded"), SIGKILL);
    next(0);
    hello = welcome();
    ck_assert_int_eq(hello->n_steps, 1);
    ck_assert_int_eq(hello->steps[0]->key->job, 6);
    finish();
}
END_TEST

START_TEST(a_lost_step_daemon_is_named)
{
    setup();
    start(in_dir("node.key"));
    welcome();
    run_step(5, "die");
    const Tugpb__StepFailed *failed = next(TUG_MSG_STEP_FAILED);
    ck_assert_str_eq(failed->cause->text, "step daemon on gpu03 ended by signal 9 before it reported a result");
    next(TUG_MSG_STEP_DONE);
    finish();
}
END_TEST

START_TEST(an_order_for_another_user_fails_with_the_launchers_sentence)
{
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    Tugpb__StepLaunch m = TUGPB__STEP_LAUNCH__INIT;
    uint8_t wire[TUG_ORDER_LEN], sig[TUG_ORDER_SIG_LEN];
    setup();
    start(in_dir("node.key"));
    welcome();
    struct tug_order o = {.cluster = "lab", .node = "gpu03", .epoch = 1, .job = 5, .attempt = 1, .uid = getuid() + 1,
                          .expires_wall_ms = INT64_MAX / 2};
    memcpy(o.boot_id, w.boot_id, 16);
    ck_assert_int_eq(tug_order_pack(&o, wire, NULL), 0);
    tug_sign(&w.controller, "tug-order-v1", wire, sizeof wire, sig);
    key.job = 5;
    key.attempt = 1;
    m.epoch = 1;
    m.key = &key;
    m.order = (ProtobufCBinaryData){sizeof wire, wire};
    m.signature = (ProtobufCBinaryData){sizeof sig, sig};
    tug_conn_send(w.conn, TUG_MSG_STEP_LAUNCH, 0, &m.base);
    const Tugpb__StepFailed *failed = next(TUG_MSG_STEP_FAILED);
    ck_assert_ptr_nonnull(strstr(failed->cause->text, "the launcher on gpu03 refused: the order is for uid"));
    next(TUG_MSG_STEP_DONE);
    finish();
}
END_TEST

START_TEST(a_node_that_is_not_wanted_says_so_and_does_not_spin)
{
    Tugpb__NodeRefused m = TUGPB__NODE_REFUSED__INIT;
    setup();
    start(in_dir("node.key"));
    next(TUG_MSG_NODE_HELLO);
    m.text = "node gpu03 is not configured; add it to nodes";
    m.final = 1;
    tug_conn_send(w.conn, TUG_MSG_NODE_REFUSED, 0, &m.base);
    next(0);
    while (!strstr(log_text(), "tugnoded ended with exit code 78"))
        poll(NULL, 0, 1);
    ck_assert_msg(strstr(log_text(), "the controller does not want this node: node gpu03 is not configured"), "%s",
                  log_text());
    ck_assert_msg(strstr(log_text(), "started again in 30000 ms"), "%s", log_text());
    finish();
}
END_TEST

START_TEST(going_down_on_purpose_is_said_and_ends_the_steps)
{
    setup();
    start(in_dir("node.key"));
    welcome();
    pid_t stepd = (pid_t) run_step(5, "stay");
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    kill(w.pid, SIGTERM);
    ck_assert_str_eq(((const Tugpb__NodeBye *) next(TUG_MSG_NODE_BYE))->reason, "the node daemon was stopped");
    next(0);
    int status;
    ck_assert_int_eq(waitpid(w.pid, &status, 0), w.pid);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(kill(stepd, 0), -1);
    start(in_dir("node.key"));          /* a new boot for the controller: it hears what became of the step */
    const Tugpb__NodeHello *hello = welcome();
    ck_assert_int_eq(hello->n_steps, 1);
    ck_assert_str_eq(hello->steps[0]->result->cause->text, "gpu03 was started anew while the step ran");
    finish();
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 4 && !strcmp(argv[1], "--run-dir"))
        return as_stepd(argv);
    const TTest *const tests[] = {
        a_step_runs_from_order_to_acknowledged_result, a_killed_node_daemon_adopts_its_running_steps,
        a_result_that_nobody_heard_is_said_again_by_the_next_node_daemon, a_lost_step_daemon_is_named,
        an_order_for_another_user_fails_with_the_launchers_sentence, a_node_that_is_not_wanted_says_so_and_does_not_spin,
        going_down_on_purpose_is_said_and_ends_the_steps};
    return unit_run("noded/noded", tests, sizeof tests / sizeof *tests);
}
