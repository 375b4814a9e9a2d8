/* fake.c - a controller, and the head of a gang, that answer from a script. Layer: tests. */
#include "cli/fake.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "host/net.h"
#include "proto/client.pb-c.h"
#include "proto/step.pb-c.h"
#include "unit.h"

#define NOW 1795225801000LL

static char dir[64];
static pid_t child;
static struct event_base *loop;
static struct tug_listener *listener;
static char first_token[128];
static pid_t client_pid;
static char run_name[64];

const char *fake_dir(void)
{
    return dir;
}

/* ---- answers ---- */

static void refuse(struct tug_conn *c, uint32_t rid, int code, const char *text)
{
    Tugpb__Error e = TUGPB__ERROR__INIT;
    e.code = code;
    e.text = (char *) (uintptr_t) text;
    tug_conn_send(c, TUG_MSG_ERROR, rid, &e.base);
}

static char *text(const char *s)
{
    return (char *) (uintptr_t) s;
}

static Tugpb__Slice slice = TUGPB__SLICE__INIT;
static Tugpb__Slice *slices[] = {&slice};
static Tugpb__ExitInfo exit_info = TUGPB__EXIT_INFO__INIT;
static Tugpb__Cause cause = TUGPB__CAUSE__INIT;

/* false: there is no such job */
static bool view(uint64_t id, Tugpb__JobView *j)
{
    static char path[128];
    tugpb__job_view__init(j);
    j->id = id;
    j->name = text(id == 72 ? "evil\033[31m\nname" : "train");
    j->user = text("alice");
    j->queue = text("main");
    j->kind = text("gang");
    j->nodes = 2;
    j->ntasks = 4;
    j->gpus = 16;
    j->submit_ms = NOW - 100000;
    snprintf(path, sizeof path, "%s/out", dir);
    j->stdout_path = path;
    if (id == 71) {
        j->state = text("RUNNING");
        j->state_code = text("R");
        j->nodelist = text("n[1-2]");
        j->alloc_ms = NOW - 70000;
        j->launched_ms = NOW - 65000;
        slice.node = text("n1");
        slice.gpus = 0xff;
        slice.ntasks = 2;
        j->slices = slices;
        j->n_slices = 1;
    } else if (id == 72) {
        j->state = text("PENDING");
        j->state_code = text("PD");
        j->reason = text("Resources");
        j->explain = text("needs 2 nodes with 8 free GPUs, 1 has them");
    } else if (id == 73) {
        j->state = text("FAILED");
        j->state_code = text("F");
        j->launched_ms = NOW - 65000;
        j->end_ms = NOW - 5000;
        exit_info.exit_code = 7;
        cause.kind = text("rank");
        cause.rank = 2;
        cause.node = text("n2");
        cause.exit = &exit_info;
        j->exit = &exit_info;
        j->cause = &cause;
    } else if (id == 76) {
        j->state = text("SUSPENDED");
        j->state_code = text("S");
        j->alloc_ms = j->launched_ms = NOW - 65000;
        j->run_before_ms = 5000;
    } else if (id == 74) {
        j->state = text("COMPLETED");
        j->state_code = text("CD");
        j->interactive = 1;
        j->end_ms = NOW;
    } else {
        return false;
    }
    return true;
}

static void h_jobs(struct tug_conn *c, uint32_t rid, const Tugpb__JobsRequest *q)
{
    Tugpb__JobsReply r = TUGPB__JOBS_REPLY__INIT;
    Tugpb__JobView views[2], *list[2] = {&views[0], &views[1]};
    r.now_ms = NOW;
    r.jobs = list;
    /* Two pages of one job each, whatever the limit is. */
    if (q->n_users == 1 && !strcmp(q->users[0], "nobody"))
        r.n_jobs = 0;
    else if (q->after_id == 0) {
        view(71, &views[0]);
        r.n_jobs = 1;
        r.more = 1;
    } else if (q->after_id == 71) {
        view(72, &views[0]);
        r.n_jobs = 1;
    }
    tug_conn_send(c, TUG_MSG_JOBS_REPLY, rid, &r.base);
}

static void h_show(struct tug_conn *c, uint32_t rid, const Tugpb__ShowRequest *q)
{
    Tugpb__ShowReply r = TUGPB__SHOW_REPLY__INIT;
    Tugpb__JobView v;
    r.now_ms = NOW;
    r.job = &v;
    if (view(q->job, &v))
        tug_conn_send(c, TUG_MSG_SHOW_REPLY, rid, &r.base);
    else
        refuse(c, rid, ENOENT, "there is no such job");
}

static void h_wait(struct tug_conn *c, uint32_t rid, const Tugpb__WaitRequest *q)
{
    Tugpb__WaitReply r = TUGPB__WAIT_REPLY__INIT;
    Tugpb__JobView v;
    r.job = &v;
    if (q->job == 81)
        return; /* never ends by itself */
    if (!view(q->job, &v)) {
        refuse(c, rid, ENOENT, "there is no such job");
        return;
    }
    r.timed_out = v.end_ms == 0;
    tug_conn_send(c, TUG_MSG_WAIT_REPLY, rid, &r.base);
}

static void h_cancel(struct tug_conn *c, uint32_t rid, const Tugpb__CancelRequest *q)
{
    Tugpb__CancelReply r = TUGPB__CANCEL_REPLY__INIT;
    Tugpb__Error e = TUGPB__ERROR__INIT, *errors[] = {&e};
    uint64_t done[] = {71};
    e.code = EPERM;
    e.text = text("job 73 is bob's");
    r.done = done;
    r.failed = errors;
    for (size_t i = 0; i < q->n_jobs; i++)
        q->jobs[i] == 71 ? r.n_done++ : r.n_failed++;
    if (q->filter)
        r.n_done = 1;
    tug_conn_send(c, TUG_MSG_CANCEL_REPLY, rid, &r.base);
}

/* Of a filter it says how many states it has. */
static void h_requeue(struct tug_conn *c, uint32_t rid, const Tugpb__RequeueRequest *q)
{
    Tugpb__RequeueReply r = TUGPB__REQUEUE_REPLY__INIT;
    uint64_t done[] = {71, 72, 73};
    r.done = q->filter ? done : q->jobs;
    r.n_done = q->filter ? q->filter->n_states : q->n_jobs;
    tug_conn_send(c, TUG_MSG_REQUEUE_REPLY, rid, &r.base);
}

/* 72 waits, and is held already; 73 has ended. */
static void h_hold(struct tug_conn *c, uint32_t rid, const Tugpb__HoldRequest *q)
{
    Tugpb__HoldReply r = TUGPB__HOLD_REPLY__INIT;
    Tugpb__Error e = TUGPB__ERROR__INIT, *errors[] = {&e};
    uint64_t done[2], changed[2];
    e.code = EALREADY;
    e.text = text("job 73 is over already (FAILED)");
    r.done = done;
    r.changed = changed;
    r.failed = errors;
    for (size_t i = 0; i < q->n_jobs; i++) {
        if (q->jobs[i] == 73) {
            r.n_failed = 1;
            continue;
        }
        if (q->jobs[i] != 72 || q->release)
            changed[r.n_changed++] = q->jobs[i];
        done[r.n_done++] = q->jobs[i];
    }
    tug_conn_send(c, TUG_MSG_HOLD_REPLY, rid, &r.base);
}

/* ---- the head of a gang, for tug run ---- */

static struct tug_buf got; /* of the input */

static void head_output(struct tug_conn *c, uint32_t rank, const char *data)
{
    Tugpb__RunOutput o = TUGPB__RUN_OUTPUT__INIT;
    o.rank = rank;
    o.stream = 1;
    o.data.data = (uint8_t *) text(data);
    o.data.len = strlen(data);
    tug_conn_send(c, TUG_MSG_RUN_OUTPUT, 0, &o.base);
}

static void head_done(struct tug_conn *c, int code0, int code1)
{
    Tugpb__RunDone d = TUGPB__RUN_DONE__INIT;
    Tugpb__ExitInfo a = TUGPB__EXIT_INFO__INIT, b = TUGPB__EXIT_INFO__INIT, *exits[] = {&a, &b};
    a.exit_code = code0;
    b.exit_code = code1;
    d.exits = exits;
    d.n_exits = 2;
    tug_conn_send(c, TUG_MSG_RUN_DONE, 0, &d.base);
}

static void head_open(void *arg, struct tug_conn *c)
{
    Tugpb__RunHello h = TUGPB__RUN_HELLO__INIT;
    (void) arg;
    h.ntasks = 2;
    tug_buf_reset(&got);
    tug_conn_send(c, TUG_MSG_RUN_HELLO, 0, &h.base);
    if (!strcmp(run_name, "two")) { /* lines of two ranks that come in pieces */
        head_output(c, 0, "first ");
        head_output(c, 1, "other\n");
        head_output(c, 0, "half\nno end");
        head_done(c, 0, 3);
    } else if (!strcmp(run_name, "vanish")) {
        tug_conn_drop(c);
    }
}

static void head_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct tug_arena a = {0};
    ProtobufCMessage *m;
    (void) arg;
    if (tug_msg_decode(&a, f->number, f->body, f->len, &m, NULL))
        return;
    if (f->number == TUG_MSG_RUN_INPUT && !strcmp(run_name, "cat")) { /* a rank that is cat */
        const Tugpb__RunInput *in = (Tugpb__RunInput *) m;
        tug_buf_add(&got, in->data.data, in->data.len);
        if (in->eof) {
            head_output(c, 0, tug_buf_str(&got));
            head_done(c, 0, 0);
        }
    } else if (f->number == TUG_MSG_RUN_INPUT && !strcmp(run_name, "signal")) {
        kill(client_pid, SIGUSR1); /* the client is at work: it has said how its input ends */
    } else if (f->number == TUG_MSG_RUN_SIGNAL) {
        char line[32];
        snprintf(line, sizeof line, "got %d\n", ((Tugpb__RunSignal *) m)->signal);
        head_output(c, 0, line);
        head_done(c, 0, 0);
    }
    tug_arena_clear(&a);
}

static void head_close(void *arg, struct tug_conn *c, const char *why)
{
    (void) arg, (void) c, (void) why;
}

static const struct tug_net_ops head_ops = {head_open, head_frame, head_close};

static void start_head(const Tugpb__JobSpec *s)
{
    struct tug_net_opts o = {.auth = TUG_AUTH_PSK, .channel = TUG_CH_RUN, .ops = &head_ops};
    struct tug_conn *c;
    memcpy(o.psk, s->io_key.data, sizeof o.psk);
    tug_net_dial(&c, loop, s->io_addr, &o, NULL);
}

/* ---- submissions ---- */

/* By name: "refuse" is refused; "break" loses the connection the first time and insists on the same
 * token the second time; "check:*" are checked and refused with what was found. */
static void h_submit(struct tug_conn *c, uint32_t rid, const Tugpb__SubmitRequest *q)
{
    Tugpb__SubmitReply r = TUGPB__SUBMIT_REPLY__INIT;
    const Tugpb__JobSpec *s = q->spec;
    char *warnings[] = {text("the controller warns")};
    char found[512];
    r.job = 81;
    if (!strcmp(s->name, "refuse")) {
        refuse(c, rid, EINVAL, "a gang of 9 nodes is wider than queue 'main', which has 4");
        return;
    }
    if (!strcmp(s->name, "break") && !*first_token) {
        snprintf(first_token, sizeof first_token, "%s", q->token);
        tug_conn_drop(c);
        return;
    }
    if (!strcmp(s->name, "break") && strcmp(first_token, q->token) != 0) {
        refuse(c, rid, EINVAL, "another token");
        return;
    }
    if (!strcmp(s->name, "tell")) {
        snprintf(found, sizeof found,
                 "kind %d nodes %u gpus %u limit %u queue %s argv %zu script %zu umask %03o",
                 s->kind, s->res->nodes, s->res->gpus_per_node, s->time_limit_s, s->queue,
                 s->n_argv, s->script.len, s->umask);
        refuse(c, rid, EINVAL, found);
        return;
    }
    if (!strcmp(s->name, "warn")) {
        r.warnings = warnings;
        r.n_warnings = 1;
    }
    tug_conn_send(c, TUG_MSG_SUBMIT_REPLY, rid, &r.base);
    if (s->interactive) {
        client_pid = tug_conn_peer(c)->pid;
        snprintf(run_name, sizeof run_name, "%s", s->name);
        if (!strcmp(run_name, "waits"))
            kill(client_pid, SIGTERM);
        else
            start_head(s);
    }
}

static void on_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct tug_arena a = {0};
    ProtobufCMessage *m;
    (void) arg;
    if (tug_msg_decode(&a, f->number, f->body, f->len, &m, NULL))
        return;
    switch (f->number) {
    case TUG_MSG_PING_REQUEST: {
        Tugpb__PingReply r = TUGPB__PING_REPLY__INIT;
        r.version = text("9.9.9");
        r.cluster = text("fake");
        r.nodes_up = 3;
        r.nodes_known = 4;
        tug_conn_send(c, TUG_MSG_PING_REPLY, f->rid, &r.base);
        break;
    }
    case TUG_MSG_SUBMIT_REQUEST:
        h_submit(c, f->rid, (Tugpb__SubmitRequest *) m);
        break;
    case TUG_MSG_JOBS_REQUEST:
        h_jobs(c, f->rid, (Tugpb__JobsRequest *) m);
        break;
    case TUG_MSG_SHOW_REQUEST:
        h_show(c, f->rid, (Tugpb__ShowRequest *) m);
        break;
    case TUG_MSG_WAIT_REQUEST:
        h_wait(c, f->rid, (Tugpb__WaitRequest *) m);
        break;
    case TUG_MSG_CANCEL_REQUEST:
        h_cancel(c, f->rid, (Tugpb__CancelRequest *) m);
        break;
    case TUG_MSG_HOLD_REQUEST:
        h_hold(c, f->rid, (Tugpb__HoldRequest *) m);
        break;
    case TUG_MSG_REQUEUE_REQUEST:
        h_requeue(c, f->rid, (Tugpb__RequeueRequest *) m);
        break;
    case TUG_MSG_NODES_REQUEST: {
        Tugpb__NodesReply r = TUGPB__NODES_REPLY__INIT;
        Tugpb__NodeView n = TUGPB__NODE_VIEW__INIT, *nodes[] = {&n};
        n.name = text("n1");
        n.state = text("MIXED");
        n.cpus = 64;
        n.gpus = 8;
        n.gpus_alloc = 0x0f;
        r.nodes = nodes;
        r.n_nodes = 1;
        tug_conn_send(c, TUG_MSG_NODES_REPLY, f->rid, &r.base);
        break;
    }
    default:
        refuse(c, f->rid, ENOSYS, "the fake does not know that");
    }
    tug_arena_clear(&a);
}

static void on_nothing(void *arg, struct tug_conn *c)
{
    (void) arg, (void) c;
}

static const struct tug_net_ops ops = {on_nothing, on_frame, head_close};

/* ---- its process ---- */

static char *texts[256]; /* what struct ran points to, until fake_stop() */
static size_t n_texts;

void fake_start(void)
{
    struct tug_net_opts o = {.auth = TUG_AUTH_UNIX, .channel = TUG_CH_CLIENT, .ops = &ops};
    struct tug_err err = {0};
    char endpoint[128], mark[128];
    snprintf(dir, sizeof dir, "/tmp/tug-fake-XXXXXX");
    ck_assert(mkdtemp(dir) != NULL);
    snprintf(endpoint, sizeof endpoint, "unix:%s/tugd.sock", dir);
    setenv("TUG_SOCKET", endpoint + 5, 1);
    setenv("XDG_RUNTIME_DIR", dir, 1);
    unsetenv("TUG_JOB_ID");
    snprintf(mark, sizeof mark, "%s/sandbox.state",
             dir); /* all on this host: tug run uses a unix socket */
    close(open(mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    loop = event_base_new();
    ck_assert_msg(tug_net_listen(&listener, loop, endpoint, 0600, &o, &err) == 0, "%s", err.msg);
    child = fork(); /* it listens already */
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        event_reinit(loop);
        event_base_dispatch(loop);
        _exit(0);
    }
}

void fake_stop(void)
{
    char command[128];
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
    while (n_texts)
        free(texts[--n_texts]);
    tug_listener_free(listener); /* ours too, from before the fork */
    event_base_free(loop);
}

/* ---- running tug ---- */

static char *read_all(const char *path)
{
    struct tug_buf b = {0};
    tug_assert(n_texts < sizeof texts / sizeof *texts);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    while (fd >= 0 && (n = read(fd, tug_buf_room(&b, 65536), 65536)) > 0)
        b.len += (size_t) n;
    close(fd);
    tug_buf_addc(&b, '\0');
    return texts[n_texts++] = tug_buf_take(&b);
}

struct ran tug(const char *args, ...)
{
    const char *build = getenv("TUG_BUILDDIR");
    struct tug_buf command = {0};
    char out[96], err[96], *line;
    struct ran r;
    va_list ap;
    va_start(ap, args);
    ck_assert(vasprintf(&line, args, ap) >= 0);
    va_end(ap);
    snprintf(out, sizeof out, "%s/stdout", dir);
    snprintf(err, sizeof err, "%s/stderr", dir);
    tug_buf_addf(&command, "exec %s/tug %s %s >%s 2>%s", build ? build : ".", line,
                 strchr(line, '<') ? "" : "</dev/null", out, err);
    int status = system(tug_buf_str(&command));
    r.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    r.out = read_all(out);
    r.err = read_all(err);
    tug_buf_clear(&command);
    free(line);
    return r;
}

const char *json_at(const struct ran *r, const char *path)
{
    static char found[4][512];
    static int turn;
    char *out = found[turn++ & 3], part[64];
    json_error_t e;
    json_t *whole = json_loads(r->out, 0, &e), *v = whole;
    ck_assert_msg(v != NULL, "not JSON (%s): %s", e.text, r->out);
    for (int n = 0; *path; path += n + (path[n] == '.')) {
        n = (int) strcspn(path, ".");
        snprintf(part, sizeof part, "%.*s", n, path);
        v = json_is_array(v) ? json_array_get(v, (size_t) atoi(part)) : json_object_get(v, part);
    }
    char *dump = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : strdup("(nothing)");
    snprintf(out, 512, "%s", json_is_string(v) ? json_string_value(v) : dump);
    free(dump);
    json_decref(whole);
    return out;
}
