/* stepdrive.c - plays the node daemons of a gang. Layer: tests. */
#include "stepd/stepdrive.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define JOB 7

static void *keep(struct drive *d, void *p)
{
    tug_vec_push(&d->kept, p);
    return p;
}

/* ---- the payload ---- */

static void add_slice(struct drive *d, unsigned i, unsigned tasks)
{
    Tugpb__Slice *s = keep(d, tug_new(Tugpb__Slice));

    tugpb__slice__init(s);
    s->node = d->nodes[i].name;
    s->cpus = tasks;
    s->ntasks = tasks;
    s->first_rank = i * tasks;
    d->pay.slices[i] = s;
    d->pay.addresses[i] = "127.0.0.1";
}

struct drive *drive_new(unsigned n_nodes, unsigned tasks)
{
    struct drive *d = tug_new(struct drive);
    const char *tmp = getenv("TMPDIR");
    static uint8_t key[32] = "thirty-two bytes of a gang's key";

    snprintf(d->dir, sizeof d->dir, "%s/stepdrive.XXXXXX", tmp ? tmp : "/tmp");
    ck_assert(mkdtemp(d->dir) != NULL);
    ck_assert_int_eq(tug_loop_new(&d->loop, NULL), 0);
    d->n_nodes = n_nodes;
    d->nodes = keep(d, tug_xcalloc(n_nodes, sizeof *d->nodes));
    tugpb__step_payload__init(&d->pay);
    tugpb__job_spec__init(&d->spec);
    tugpb__step_key__init(&d->key);
    tugpb__resource_request__init(&d->res);
    tugpb__inventory__init(&d->inv);
    d->key.job = JOB;
    d->key.attempt = 1;
    d->inv.emulated = true;
    d->inv.cpus = 8;
    d->spec.kind = TUGPB__JOB_KIND__JOB_GANG;
    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_TORCH; /* no PMIx server */
    d->spec.name = "test";
    d->spec.cwd = d->dir;
    d->spec.umask = 022;
    d->spec.res = &d->res;
    d->pay.key = &d->key;
    d->pay.spec = &d->spec;
    d->pay.cluster = "test";
    d->pay.user = "tester";
    d->pay.home = d->dir;
    d->pay.shell = "/bin/sh";
    d->pay.queue = "train";
    d->pay.nspace =
        keep(d, tug_xasprintf("tug.7.1.0.%08x%08x", (unsigned) getpid(), (unsigned) time(NULL)));
    d->pay.job_token = "token";
    d->pay.gang_key.data = key;
    d->pay.gang_key.len = 32;
    d->pay.wireup_timeout_s = 30;
    d->pay.kill_grace_s = 2;
    d->pay.n_slices = d->pay.n_addresses = n_nodes;
    d->pay.slices = keep(d, tug_xcalloc(n_nodes, sizeof *d->pay.slices));
    d->pay.addresses = keep(d, tug_xcalloc(n_nodes, sizeof *d->pay.addresses));
    for (unsigned i = 0; i < n_nodes; i++) {
        d->nodes[i].d = d;
        d->nodes[i].index = i;
        snprintf(d->nodes[i].name, sizeof d->nodes[i].name, "n%02u", i);
        add_slice(d, i, tasks);
    }
    drive_env(d, "PATH=/usr/local/bin:/usr/bin:/bin");
    drive_env(d, "LC_ALL=C");
    return d;
}

void drive_argv(struct drive *d, const char *first, ...)
{
    va_list ap;

    d->spec.argv = keep(d, tug_xcalloc(64, sizeof *d->spec.argv));
    d->spec.n_argv = 0;
    va_start(ap, first);
    for (const char *s = first; s; s = va_arg(ap, const char *))
        d->spec.argv[d->spec.n_argv++] = keep(d, tug_xstrdup(s));
    va_end(ap);
}

void drive_script(struct drive *d, const char *text)
{
    d->spec.kind = TUGPB__JOB_KIND__JOB_BATCH;
    d->n_nodes = 1; /* as the controller does it */
    d->spec.script.data = keep(d, tug_xstrdup(text));
    d->spec.script.len = strlen(text);
}

void drive_env(struct drive *d, const char *kv)
{
    tug_buf_add(&d->env, kv, strlen(kv) + 1);
}

/* ---- what step daemons say ---- */

static void *copy(const ProtobufCMessage *m)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *b = tug_xmalloc(len + 1);
    ProtobufCMessage *out;

    protobuf_c_message_pack(m, b);
    out = protobuf_c_message_unpack(m->descriptor, NULL, len, b);
    free(b);
    ck_assert(out != NULL);
    return out;
}

void drive_send(struct drive *d, unsigned node, enum tug_msg number, const ProtobufCMessage *m)
{
    ck_assert(d->nodes[node].conn != NULL);
    ck_assert_int_eq(tug_conn_send(d->nodes[node].conn, number, 0, m), 0);
}

bool drive_all_ready(struct drive *d)
{
    for (unsigned i = 0; i < d->n_nodes; i++)
        if (!d->nodes[i].ready)
            return false;
    return true;
}

bool drive_all_results(struct drive *d)
{
    for (unsigned i = 0; i < d->n_nodes; i++)
        if (!d->nodes[i].result)
            return false;
    return true;
}

bool drive_all_gone(struct drive *d)
{
    for (unsigned i = 0; i < d->n_nodes; i++) {
        struct drive_node *n = &d->nodes[i];
        if (!n->gone && waitpid(n->pid, &n->wait_status, WNOHANG) == n->pid)
            n->gone = true;
        if (!n->gone)
            return false;
    }
    return true;
}

void drive_start_gang(struct drive *d)
{
    Tugpb__SdStart m = TUGPB__SD_START__INIT;

    d->started = true;
    m.star_addr = d->nodes[0].ready->star_addr;
    m.master_addr = "127.0.0.1";
    m.master_port = d->nodes[0].ready->master_port;
    for (unsigned i = 0; i < d->n_nodes; i++)
        drive_send(d, i, TUG_MSG_SD_START, &m.base);
}

static void ack(struct drive_node *n)
{
    Tugpb__SdResultAck m = TUGPB__SD_RESULT_ACK__INIT;

    tug_conn_send(n->conn, TUG_MSG_SD_RESULT_ACK, 0, &m.base);
}

static void on_result(struct drive_node *n, const Tugpb__SdResult *m)
{
    struct drive *d = n->d;

    n->n_results++;
    if (!n->result)
        n->result = copy(&m->result->base);
    if (n->result->cause && !d->failed_ms)
        d->failed_ms = tug_now_ms();
    if (drive_all_results(d) && !d->ended_ms)
        d->ended_ms = tug_now_ms();
    if (!d->no_ack)
        ack(n);
}

static void on_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct drive_node *n = arg;
    struct tug_arena arena = {0};
    struct tug_err err;
    ProtobufCMessage *m;

    ck_assert_msg(tug_msg_decode(&arena, f->number, f->body, f->len, &m, &err) == 0, "%s", err.msg);
    switch (f->number) {
    case TUG_MSG_SD_HELLO:
        n->conn = c;
        n->n_hellos++;
        n->phase = ((Tugpb__SdHello *) m)->phase;
        ck_assert_uint_eq(((Tugpb__SdHello *) m)->key->job, JOB);
        break;
    case TUG_MSG_SD_READY:
        if (!n->ready)
            n->ready = copy(&((Tugpb__SdReady *) m)->ready->base);
        if (drive_all_ready(n->d) && !n->d->no_start && !n->d->started)
            drive_start_gang(n->d);
        break;
    case TUG_MSG_SD_WIRED:
        n->wired = true;
        break;
    case TUG_MSG_SD_FAILURE:
        if (!n->failure)
            n->failure = copy(&((Tugpb__SdFailure *) m)->cause->base);
        if (!n->d->failed_ms)
            n->d->failed_ms = tug_now_ms();
        break;
    case TUG_MSG_SD_WATCH:
        drive_forget_hang(n->d, n->index);
        n->hang = copy(&((Tugpb__SdWatch *) m)->hang->base);
        n->n_watches++;
        break;
    case TUG_MSG_SD_STOPPED:
        n->stopped = ((Tugpb__SdStopped *) m)->serial;
        break;
    case TUG_MSG_SD_RESULT:
        on_result(n, (Tugpb__SdResult *) m);
        break;
    default:
        ck_abort_msg("a step daemon sent message %u", f->number);
    }
    tug_arena_clear(&arena);
}

static void on_open(void *arg, struct tug_conn *c)
{
    struct drive_node *n = arg;

    n->silent = c;
}

static void on_words(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct drive_node *n = arg;

    if (n->silent == c)
        n->silent = NULL;
    on_frame(arg, c, f);
}

static void on_close(void *arg, struct tug_conn *c, const char *why)
{
    struct drive_node *n = arg;

    (void) why;
    if (n->conn == c)
        n->conn = NULL;
    if (n->silent == c)
        n->silent = NULL;
}

static const struct tug_net_ops ops = {
    .on_open = on_open, .on_frame = on_words, .on_close = on_close};

void drive_listen(struct drive *d, unsigned node)
{
    struct drive_node *n = &d->nodes[node];
    struct tug_net_opts o = {.auth = TUG_AUTH_UNIX, .channel = TUG_CH_STEPD, .ops = &ops, .arg = n};
    struct tug_err err;

    snprintf(n->endpoint, sizeof n->endpoint, "unix:%s/node%u/sock", d->dir, node);
    ck_assert_msg(
        tug_net_listen(&n->listener, tug_loop_base(d->loop), n->endpoint, 0600, &o, &err) == 0,
        "%s", err.msg);
}

void drive_deaf(struct drive *d, unsigned node)
{
    tug_listener_free(d->nodes[node].listener);
    d->nodes[node].listener = NULL;
    if (d->nodes[node].conn)
        tug_conn_drop(d->nodes[node].conn);
    d->nodes[node].conn = NULL;
    if (d->nodes[node].silent)
        tug_conn_drop(d->nodes[node].silent);
    d->nodes[node].silent = NULL;
}

/* ---- `tug run` ---- */

static void on_run_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct drive *d = arg;
    struct tug_arena arena = {0};
    ProtobufCMessage *m;

    d->run_conn = c;
    ck_assert_int_eq(tug_msg_decode(&arena, f->number, f->body, f->len, &m, NULL), 0);
    if (f->number == TUG_MSG_RUN_OUTPUT) {
        Tugpb__RunOutput *o = (Tugpb__RunOutput *) m;
        tug_buf_addf(&d->run_out[o->stream], "<%u>", o->rank);
        tug_buf_add(&d->run_out[o->stream], o->data.data, o->data.len);
    } else if (f->number == TUG_MSG_RUN_DONE) {
        d->run_done = copy(m);
        tug_conn_drop(c); /* not close: the loop may not run any more to do it */
        d->run_conn = NULL;
    }
    tug_arena_clear(&arena);
}

static void on_run_close(void *arg, struct tug_conn *c, const char *why)
{
    struct drive *d = arg;

    (void) c;
    (void) why;
    d->run_conn = NULL;
}

void drive_interactive(struct drive *d)
{
    static const struct tug_net_ops run_ops = {.on_frame = on_run_frame, .on_close = on_run_close};
    struct tug_net_opts o = {
        .auth = TUG_AUTH_PSK, .channel = TUG_CH_RUN, .ops = &run_ops, .arg = d};
    static uint8_t key[32] = "another key, of the terminal....";

    memcpy(o.psk, key, 32);
    ck_assert_int_eq(
        tug_net_listen(&d->run_listener, tug_loop_base(d->loop), "127.0.0.1:0", 0, &o, NULL), 0);
    d->spec.interactive = true;
    d->spec.io_addr = (char *) tug_listener_endpoint(d->run_listener);
    d->spec.io_key.data = key;
    d->spec.io_key.len = 32;
}

/* ---- running ---- */

static int payload_fd(struct drive *d, unsigned node)
{
    Tugpb__Inventory *invs[1] = {&d->inv};
    int fd = memfd_create("payload", MFD_CLOEXEC);
    size_t len;
    uint8_t *b;

    d->spec.env.data = (uint8_t *) d->env.data;
    d->spec.env.len = d->env.len;
    d->pay.node_index = node;
    d->pay.n_nodes = 1;
    d->pay.nodes = invs;
    if (d->unseen)
        d->pay.addresses[d->unseen] = node == d->blind ? "224.0.0.1" : "127.0.0.1"; /* a multicast address: no way there for TCP */
    len = tugpb__step_payload__get_packed_size(&d->pay);
    b = tug_xmalloc(len);
    tugpb__step_payload__pack(&d->pay, b);
    ck_assert_int_eq(write(fd, b, len), (ssize_t) len);
    free(b);
    d->pay.n_nodes = 0;
    return fd;
}

static void start_node(struct drive *d, unsigned i)
{
    struct drive_node *n = &d->nodes[i];
    const char *build = getenv("TUG_BUILDDIR"), *level = getenv("TUG_TEST_LOG");
    char program[512], dir[256];
    char *const env[] = {NULL};
    char cwd[256];
    int fd;

    snprintf(program, sizeof program, "%s/tugstepd", build ? build : getcwd(cwd, sizeof cwd));
    snprintf(dir, sizeof dir, "%s/node%u", d->dir, i);
    ck_assert(mkdir(dir, 0700) == 0);
    drive_listen(d, i);
    fd = payload_fd(d, i);
    n->pid = fork();
    if (n->pid == 0) {
        char *const argv[] = {"tugstepd",
                              "--run-dir",
                              dir,
                              "--noded",
                              n->endpoint,
                              "--log-level",
                              (char *) (level ? level : "error"),
                              NULL};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fd, 3);
        fcntl(3, F_SETFD, 0);
        if (chdir("/") ==
            0) /* no ck_assert in here: libcheck keeps notes in some descriptor, perhaps in 3 */
            execve(program, argv, env);
        fprintf(stderr, "cannot run %s: %s\n", program, strerror(errno));
        _exit(99);
    }
    close(fd);
}

void drive_start(struct drive *d)
{
    d->began_ms = tug_now_ms();
    for (unsigned i = 0; i < d->n_nodes; i++)
        start_node(d, i);
}

struct until {
    struct drive *d;
    bool (*is_so)(struct drive *d);
    struct tug_timer *limit, *poll;
    bool done, late;
};

static void look(void *arg)
{
    struct until *u = arg;

    if (!u->done && u->is_so(u->d)) {
        u->done = true;
        tug_loop_stop(u->d->loop);
    }
}

static void on_child(void *arg, int signo)
{
    (void) arg;
    (void) signo;
}

/* Some things that tests wait for are files, which wake nobody. */
static void on_poll(void *arg)
{
    struct until *u = arg;

    tug_timer_set(u->poll, tug_now_ms() + 2);
}

static void on_limit(void *arg)
{
    struct until *u = arg;

    u->late = true;
    tug_loop_stop(u->d->loop);
}

void drive_until(struct drive *d, bool (*is_so)(struct drive *d), const char *what)
{
    struct until u = {.d = d, .is_so = is_so};

    if (is_so(d))
        return;
    ck_assert_int_eq(tug_timer_new(&u.limit, tug_loop_base(d->loop), on_limit, &u, NULL), 0);
    ck_assert_int_eq(tug_timer_new(&u.poll, tug_loop_base(d->loop), on_poll, &u, NULL), 0);
    tug_timer_set(u.limit, tug_now_ms() + DRIVE_LIMIT_MS);
    on_poll(&u);
    tug_loop_on_signal(d->loop, SIGCHLD, on_child, d, NULL);
    tug_loop_before_sleep(d->loop, look, &u);
    tug_loop_run(d->loop);
    tug_loop_before_sleep(d->loop, NULL, NULL);
    tug_timer_free(u.limit);
    tug_timer_free(u.poll);
    ck_assert_msg(!u.late, "not within %d ms: %s", DRIVE_LIMIT_MS, what);
}

void drive_run(struct drive *d)
{
    drive_start(d);
    drive_until(d, drive_all_results, "results of all nodes");
    drive_until(d, drive_all_gone, "step daemons end after their result was acknowledged");
    for (unsigned i = 0; i < d->n_nodes; i++)
        ck_assert_msg(
            WIFEXITED(d->nodes[i].wait_status) && WEXITSTATUS(d->nodes[i].wait_status) == 0,
            "step daemon %u ended with status 0x%x", i, (unsigned) d->nodes[i].wait_status);
}

const char *drive_file(struct drive *d, const char *name)
{
    char path[512];
    ssize_t n = 1;
    int fd;

    tug_buf_reset(&d->text);
    snprintf(path, sizeof path, "%s/%s", d->dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (n = read(fd, tug_buf_room(&d->text, 65536), 65536)) > 0)
        d->text.len += (size_t) n;
    if (fd >= 0)
        close(fd);
    tug_buf_addc(&d->text, 0);
    return d->text.data;
}

void drive_touch(struct drive *d, const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", d->dir, name);
    ck_assert_int_eq(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
}

const char *drive_output(struct drive *d)
{
    return drive_file(d, "tug-7.out");
}

const Tugpb__Cause *drive_cause(struct drive *d)
{
    const Tugpb__Cause *c = d->nodes[0].result->cause;

    for (unsigned i = 1; i < d->n_nodes; i++) {
        const Tugpb__Cause *other = d->nodes[i].result->cause;
        ck_assert_msg(!c == !other, "node %u %s", i, other ? other->text : "reports no cause");
        if (c)
            ck_assert_str_eq(c->text, other->text);
    }
    return c;
}

const char *drive_program(struct drive *d, const char *name, const char *how)
{
    const char *src = getenv("TUG_SRCDIR");
    char from[512], to[512], command[2048];

    snprintf(from, sizeof from, "%s/testsuite/unit/stepd/programs/%s.c", src ? src : ".", name);
    snprintf(to, sizeof to, "%s/%s", d->dir, name);
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wformat-nonliteral\"")
        snprintf(command, sizeof command, how, from, to);
    _Pragma("GCC diagnostic pop") if (system(command) != 0) return NULL;
    return keep(d, tug_xstrdup(to));
}

static void forget(void *m)
{
    if (m)
        protobuf_c_message_free_unpacked(m, NULL);
}

void drive_forget_ready(struct drive *d, unsigned node)
{
    forget(d->nodes[node].ready);
    d->nodes[node].ready = NULL;
}

void drive_forget_hang(struct drive *d, unsigned node)
{
    forget(d->nodes[node].hang);
    d->nodes[node].hang = NULL;
}

static void remove_tree(const char *dir)
{
    char command[256];

    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command))
        fprintf(stderr, "# left behind: %s\n", dir);
}

void drive_free(struct drive *d)
{
    for (unsigned i = 0; i < d->n_nodes; i++) {
        if (d->nodes[i].pid > 0 && !d->nodes[i].gone) {
            kill(d->nodes[i].pid, SIGKILL);
            waitpid(d->nodes[i].pid, NULL, 0);
        }
        drive_deaf(d, i);
        forget(d->nodes[i].ready);
        forget(d->nodes[i].hang);
        forget(d->nodes[i].failure);
        forget(d->nodes[i].result);
    }
    forget(d->run_done);
    if (d->run_conn)
        tug_conn_drop(d->run_conn);
    tug_listener_free(d->run_listener);
    tug_loop_free(d->loop);
    remove_tree(d->dir);
    tug_buf_clear(&d->env);
    tug_buf_clear(&d->text);
    for (int i = 0; i < 3; i++)
        tug_buf_clear(&d->run_out[i]);
    for (size_t i = 0; i < d->kept.len; i++)
        free(d->kept.at[i]);
    tug_vec_clear(&d->kept);
    free(d);
}
