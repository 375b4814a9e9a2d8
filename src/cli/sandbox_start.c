/* sandbox_start.c - tug sandbox start: keys, configuration, processes, ready
 *
 * Layer: cli.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/version.h"
#include "cli/sandbox.h"
#include "host/net.h"
#include "host/readfile.h"

#define READY_MS  20000
#define POLL_MS   10
#define LOG_LINES 3
#define NODE_CONFIG_MAX 1000000
#define CLUSTER   "sandbox"
#define MODE_DIR  0700

struct start {
    const struct tug_sandbox_conf *conf;
    struct tug_sandbox_procs procs;
    char tugd[TUG_PATH_MAX], tuglaunch[TUG_PATH_MAX], tugnoded[TUG_PATH_MAX],
        tugstepd[TUG_PATH_MAX];
    char endpoint[256];
    int64_t until_ms;
    char *policy_note; /* why the policy in force is not the one of the configuration; or NULL */
};

static int64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nap(void)
{
    nanosleep(&(struct timespec){0, POLL_MS * 1000000L}, NULL);
}

/* A path in the sandbox; valid until the next four calls. */
static const char *in(const struct start *s, const char *fmt, const char *name)
{
    static char paths[4][TUG_PATH_MAX];
    static int turn;
    char *out = paths[turn++ & 3], tail[512];
    snprintf(tail, sizeof tail, fmt, name); /* formats are ours, below */
    snprintf(out, TUG_PATH_MAX, "%s/%s", s->conf->dir, tail);
    return out;
}

/* ---- files ---- */

static int make_dir(const char *path, struct tug_err *err)
{
    char part[TUG_PATH_MAX];
    tug_str_copy(part, sizeof part, path);
    for (char *at = part + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        if (mkdir(part, MODE_DIR) < 0 && errno != EEXIST)
            return tug_fail(err, -errno, "making the directory %s: %s", part, strerror(errno));
        *at = '/';
    }
    if (mkdir(part, MODE_DIR) < 0 && errno != EEXIST)
        return tug_fail(err, -errno, "making the directory %s: %s", part, strerror(errno));
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
    (void) st, (void) what, (void) at;
    return remove(path);
}

/* What an earlier sandbox left; the caller has made sure that the directory is a sandbox's. */
static int remove_old(const char *path, struct tug_err *err)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 && errno != ENOENT)
        return tug_fail(err, -errno, "removing %s of an earlier sandbox: %s", path,
                        strerror(errno));
    return 0;
}

static int write_file(const char *path, const char *text, size_t len, struct tug_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n = fd < 0 ? -1 : write(fd, text, len);
    int rc = n == (ssize_t) len
                 ? 0
                 : tug_fail(err, errno ? -errno : -EIO, "writing %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

static int copy_file(const char *from, const char *to, struct tug_err *err)
{
    char text[4096];
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    return n < 0 ? tug_fail(err, -errno, "reading %s: %s", from, strerror(errno))
                 : write_file(to, text, (size_t) n, err);
}

static bool same_text(const char *a, const char *b)
{
    char text[2][4096];
    const char *const paths[] = {a, b};
    ssize_t n[2];
    for (size_t i = 0; i < 2; i++) {
        int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
        n[i] = fd < 0 ? -1 : read(fd, text[i], sizeof text[i]);
        if (fd >= 0)
            close(fd);
    }
    return n[0] > 0 && n[0] == n[1] && !memcmp(text[0], text[1], (size_t) n[0]);
}

/* Nodes remember the highest epoch of their controller, and which jobs have ended. That is of use
 * for the state that they served, known by its key; for any other it would make them refuse its
 * first orders as stale. */
static int keep_nodes(const struct start *s, const char *controller_pub, struct tug_err *err)
{
    char *mine = tug_xasprintf("%s/nodes/controller.pub", s->conf->dir);
    int rc = 0;
    if (!same_text(mine, controller_pub))
        rc = remove_old(in(s, "nodes%s", ""), err);
    if (rc == 0)
        rc = make_dir(in(s, "nodes%s", ""), err);
    if (rc == 0)
        rc = copy_file(controller_pub, mine, err);
    free(mine);
    return rc;
}

/* One key for the controller and one for each node; the controller gets the nodes' public ones. */
static int make_keys(const struct start *s, struct tug_err *err)
{
    struct tug_keypair k;
    char *keys = tug_xasprintf("%s/keys/nodes", s->conf->state_dir);
    char *own = tug_xasprintf("%s/keys/controller", s->conf->state_dir);
    char *own_pub = tug_xasprintf("%s.pub", own);
    int rc = make_dir(keys, err);
    if (rc == 0)
        rc = tug_keypair_load(own, &k, 1, err);
    if (rc == 0)
        rc = keep_nodes(s, own_pub, err);
    for (size_t i = 0; i < tug_hostlist_count(s->conf->nodes) && rc == 0; i++) {
        const char *name = tug_hostlist_nth(s->conf->nodes, i);
        char *pub = tug_xasprintf("%s/%s.pub", keys, name);
        rc = make_dir(in(s, "nodes/%s/state", name), err);
        if (rc == 0)
            rc = make_dir(in(s, "nodes/%s/run", name), err);
        if (rc == 0)
            rc = tug_keypair_load(in(s, "nodes/%s/state/node.key", name), &k, 1, err);
        if (rc == 0)
            rc = copy_file(in(s, "nodes/%s/state/node.key.pub", name), pub, err);
        free(pub);
    }
    free(own_pub);
    free(own);
    free(keys);
    return rc;
}

/* YAML in double quotes. */
static void quote(struct tug_buf *out, const char *s)
{
    tug_buf_addc(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            tug_buf_addc(out, '\\');
        tug_buf_addc(out, *s);
    }
    tug_buf_addc(out, '"');
}

static void put_path(struct tug_buf *out, const char *key, const char *path)
{
    tug_buf_addf(out, "  %s: ", key);
    quote(out, path);
    tug_buf_addc(out, '\n');
}

/* Plugins stand in plugins/ of a build tree, and in lib/tugline/policy of an installed one. */
static void put_policy_dirs(struct tug_buf *out, const char *tugd)
{
    const char *slash = strrchr(tugd, '/');
    int n = (int) (slash - tugd);
    static const char *const beside[] = {"plugins", "../lib/tugline/policy"};
    tug_buf_adds(out, "  policy_dirs:\n");
    for (size_t i = 0; i < 2; i++) {
        char *dir = tug_xasprintf("%.*s/%s", n, tugd, beside[i]);
        if (access(dir, R_OK) == 0) {
            tug_buf_adds(out, "    - ");
            quote(out, dir);
            tug_buf_addc(out, '\n');
        }
        free(dir);
    }
    tug_buf_adds(out, "    - ");
    quote(out, TUG_POLICYDIR);
    tug_buf_addc(out, '\n');
}

static const char *machine_path(const struct start *s)
{
    return in(s, "machines/%s.yaml", s->conf->sheet->machine.name);
}

/* A copy of what the nodes are, so that the sandbox stays as it is whatever becomes of the original. */
static int write_machine(const struct start *s, struct tug_err *err)
{
    struct tug_buf text = {0};
    int rc = remove_old(in(s, "machines%s", ""), err);
    if (rc == 0 && s->conf->sheet)
        rc = make_dir(in(s, "machines%s", ""), err);
    if (rc == 0 && s->conf->sheet) {
        tug_sheet_write(s->conf->sheet, &text);
        rc = write_file(machine_path(s), tug_buf_str(&text), text.len, err);
    }
    tug_buf_clear(&text);
    return rc;
}

/* A copy of what the nodes are told, with where the controller is. */
static int write_node_config(const struct start *s, struct tug_err *err)
{
    bool is_path = !strncmp(s->endpoint, "unix:", 5);
    struct tug_buf y = {0};
    int rc = 0;
    if (!s->conf->node_config)
        return 0;
    tug_buf_addf(&y, "# made by tug sandbox start\ncontroller: %s\n", s->endpoint + (is_path ? 5 : 0));
    rc = tug_readfile(s->conf->node_config, NODE_CONFIG_MAX, &y, err);
    rc = rc ? tug_fail_ctx(err, rc, "--node-config") : write_file(in(s, "tugnode.yaml%s", ""), tug_buf_str(&y), y.len, err);
    tug_buf_clear(&y);
    return rc;
}

static int write_config(const struct start *s, struct tug_err *err)
{
    const struct tug_sandbox_conf *c = s->conf;
    struct tug_buf y = {0};
    tug_buf_adds(&y, "# made by tug sandbox start\ncluster:\n  name: " CLUSTER "\n");
    put_path(&y, "state_dir", c->state_dir);
    put_path(&y, "run_dir", in(s, "run%s", ""));
    put_path(&y, "socket", in(s, "tugd.sock%s", ""));
    tug_buf_addf(&y, "  listen: %s\nscheduler:\n  policy: %s\n",
                 *s->endpoint ? s->endpoint : "127.0.0.1:0", c->policy);
    put_policy_dirs(&y, s->tugd);
    /* Shorter than a cluster's: who kills a node here is looking. A beat is a quarter of
     * node_timeout, so that a busy machine may miss some. */
    /* Whoever has a sandbox may end and start its nodes as often as he likes. */
    tug_buf_adds(&y, "node_failures:\n  flap_losses: 0\n");
    tug_buf_adds(&y, "timeouts:\n  kill_grace: 5s\n  node_timeout: 20s\n  lease: 20s\n"
                     "nodes:\n  - name: ");
    struct tug_buf names = {0};
    tug_hostlist_format(c->nodes, &names);
    quote(&y, tug_buf_str(&names));
    tug_buf_addf(&y, "\n    cpus: %u\n    memory: %" PRIu64 "M\n    gpus: %u\n", c->cpus,
                 c->mem_bytes >> 20, c->gpus);
    if (*c->gpu_model && c->gpus)
        put_path(&y, "  gpu_model", c->gpu_model);
    if (c->sheet)
        put_path(&y, "  machine", c->sheet->machine.name);
    if (c->fabric)
        tug_sandbox_fabric_print(c->fabric, c->nodes, c->sheet, &y);
    int rc = write_file(in(s, "tugline.yaml%s", ""), tug_buf_str(&y), y.len, err);
    tug_buf_clear(&names);
    tug_buf_clear(&y);
    return rc;
}

/* ---- what went wrong ---- */

/* The last lines of a log, behind the sentence. */
static int fail_with_log(struct tug_err *err, int code, const char *what, const char *log)
{
    static char text[65536];
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t) sizeof text - 1 ? end - ((off_t) sizeof text - 1) : 0;
    ssize_t n = fd < 0 ? 0 : pread(fd, text, sizeof text - 1, from);
    if (fd >= 0)
        close(fd);
    n = n < 0 ? 0 : n;
    while (n > 0 && text[n - 1] == '\n')
        n--;
    text[n] = '\0';
    char *at = text + n;
    for (int lines = 0; at > text && (at[-1] != '\n' || ++lines < LOG_LINES); at--)
        ;
    while (text + n - at > 700) /* what a sentence holds */
        at++;
    for (char *nl = at; (nl = strchr(nl, '\n'));)
        *nl = '|';
    return tug_fail(err, code, "%s; the log %s ends with: %s", what, log, *at ? at : "(nothing)");
}

static const char *log_of(const struct start *s, const char *name)
{
    return in(s, "%s.log", name);
}

/* Has one of them ended already? Then that is what is wrong. */
static int check_alive(const struct start *s, struct tug_err *err)
{
    for (size_t i = 0; i < s->procs.len; i++)
        if (!tug_sandbox_alive(&s->procs.at[i])) {
            char what[320];
            snprintf(what, sizeof what, "%.250s ended at once",
                     i == 0 ? "tugd" : s->procs.at[i].name);
            return fail_with_log(err, -ECHILD, what, log_of(s, s->procs.at[i].name));
        }
    return 0;
}

/* ---- processes ---- */

static int read_endpoint(struct start *s, struct tug_err *err)
{
    const char *path = in(s, "run/endpoint%s", "");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, s->endpoint, sizeof s->endpoint - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return fail_with_log(err, -EIO, "tugd is ready but did not say where it listens",
                             log_of(s, "tugd"));
    s->endpoint[n] = '\0';
    s->endpoint[strcspn(s->endpoint, "\n")] = '\0';
    return 0;
}

static int start_tugd(struct start *s, struct tug_err *err)
{
    int ready[2];
    char c;
    char *argv[] = {s->tugd,
                    (char *) "--config",
                    tug_xstrdup(in(s, "tugline.yaml%s", "")),
                    (char *) "--foreground",
                    (char *) "--ready-fd",
                    (char *) "3",
                    NULL};
    unlink(in(s, "run/endpoint%s", ""));
    if (pipe2(ready, O_CLOEXEC) < 0)
        return tug_fail(err, -errno, "a pipe: %s", strerror(errno));
    int rc = tug_sandbox_spawn(&s->procs, "tugd", argv, log_of(s, "tugd"), ready[1], err);
    close(ready[1]);
    if (rc == 0) {
        struct pollfd p = {.fd = ready[0], .events = POLLIN};
        int n = poll(&p, 1, READY_MS);
        if (n <= 0)
            rc =
                fail_with_log(err, -ETIMEDOUT, "tugd did not get ready in 20 s", log_of(s, "tugd"));
        else if (read(ready[0], &c, 1) != 1)
            rc = fail_with_log(err, -ECHILD, "tugd did not start", log_of(s, "tugd"));
    }
    close(ready[0]);
    free(argv[2]);
    return rc ? rc : read_endpoint(s, err);
}

#define ARGS_MAX 64
struct args {
    char *at[ARGS_MAX];
    int n;
};

static void arg(struct args *a, const char *text)
{
    tug_assert(a->n < ARGS_MAX - 1);
    a->at[a->n++] = tug_xstrdup(text);
}

static void arg2(struct args *a, const char *option, const char *value)
{
    arg(a, option);
    arg(a, value);
}

static int start_node(struct start *s, size_t at, struct tug_err *err)
{
    const char *name = tug_hostlist_nth(s->conf->nodes, at);
    const struct tug_sandbox_conf *c = s->conf;
    struct args a = {0};
    char number[32], *pub = tug_xasprintf("%s/keys/controller.pub", c->state_dir);
    arg(&a, s->tuglaunch);
    arg(&a, "--emulated");
    if (geteuid() == 0)
        arg(&a, "--one-user"); /* root's own sandbox: everything stays root's */
    arg2(&a, "--node", name);
    arg2(&a, "--cluster", CLUSTER);
    arg2(&a, "--controller-pub", pub);
    arg2(&a, "--run-dir", in(s, "nodes/%s/run", name));
    arg2(&a, "--stepd", s->tugstepd);
    arg2(&a, "--cgroup-root", "none");
    arg2(&a, "--", s->tugnoded);
    if (c->node_config)
        arg2(&a, "--config", in(s, "tugnode.yaml%s", ""));
    arg2(&a, "--node", name);
    arg2(&a, "--controller", s->endpoint);
    arg2(&a, "--cluster", CLUSTER);
    arg2(&a, "--key", in(s, "nodes/%s/state/node.key", name));
    arg2(&a, "--controller-pub", pub);
    arg2(&a, "--state-dir", in(s, "nodes/%s/state", name));
    arg2(&a, "--run-dir", in(s, "nodes/%s/run", name));
    arg2(&a, "--address", "127.0.0.1");
    snprintf(number, sizeof number, "%u", c->cpus);
    arg2(&a, "--cpus", number);
    snprintf(number, sizeof number, "%" PRIu64 "M", c->mem_bytes >> 20);
    arg2(&a, "--memory", number);
    snprintf(number, sizeof number, "%u", c->gpus);
    arg2(&a, "--gpus", number);
    if (*c->gpu_model && c->gpus)
        arg2(&a, "--gpu-model", c->gpu_model);
    if (c->sheet)
        arg2(&a, "--machine", machine_path(s));
    if (c->sheet && c->fabric && c->fabric->is_nvlink && c->sheet->nvlink_nodes > 1) {
        snprintf(number, sizeof number, CLUSTER ".%u", tug_sandbox_fabric_domain(c->fabric, at));
        arg2(&a, "--nvlink-domain", number);
    }
    int rc = tug_sandbox_spawn(&s->procs, name, a.at, log_of(s, name), -1, err);
    for (int i = 0; i < a.n; i++)
        free(a.at[i]);
    free(pub);
    return rc;
}

/* ---- ready ---- */

static void note_policy(struct start *s, const char *note)
{
    free(s->policy_note);
    s->policy_note = *note ? tug_xstrdup(note) : NULL;
}

/* How many nodes the controller sees; negative: it does not answer. */
static int nodes_up(struct start *s, struct tug_call **call)
{
    Tugpb__PingRequest ping = TUGPB__PING_REQUEST__INIT;
    struct tug_net_opts o = {.auth = TUG_AUTH_UNIX, .channel = TUG_CH_CLIENT};
    struct tug_frame f;
    struct tug_arena arena = {0};
    ProtobufCMessage *m;
    char *endpoint = tug_xasprintf("unix:%s", in(s, "tugd.sock%s", ""));
    int up = -1, rc = *call ? 0 : tug_call_open(call, endpoint, &o, 2000, NULL);
    free(endpoint);
    if (rc == 0)
        rc = tug_call_send(*call, TUG_MSG_PING_REQUEST, 1, &ping.base, NULL);
    if (rc == 0)
        rc = tug_call_recv(*call, &f, 5000, NULL);
    if (rc == 0 && f.number == TUG_MSG_PING_REPLY &&
        !tug_msg_decode(&arena, f.number, f.body, f.len, &m, NULL)) {
        up = (int) ((Tugpb__PingReply *) m)->nodes_up;
        note_policy(s, ((Tugpb__PingReply *) m)->policy_note);
    }
    tug_arena_clear(&arena);
    if (rc && *call) {
        tug_call_close(*call);
        *call = NULL;
    }
    return up;
}

static int await_nodes(struct start *s, struct tug_err *err)
{
    int want = (int) tug_hostlist_count(s->conf->nodes), up, rc = 0;
    struct tug_call *call = NULL;
    while ((up = nodes_up(s, &call)) < want && rc == 0) {
        rc = check_alive(s, err);
        if (rc == 0 && mono_ms() > s->until_ms) {
            char what[128];
            snprintf(what, sizeof what, "after 20 s %d of %d nodes are up", up < 0 ? 0 : up, want);
            rc = fail_with_log(err, -ETIMEDOUT, what,
                               log_of(s, up < 0 ? "tugd" : tug_hostlist_nth(s->conf->nodes, 0)));
        }
        if (rc == 0)
            nap();
    }
    if (call)
        tug_call_close(call);
    return rc;
}

int tug_sandbox_restart(const char *dir, char **policy_note, struct tug_err *err)
{
    struct tug_sandbox_conf conf = {.dir = dir};
    struct tug_sandbox_procs old = {0}, one = {0};
    struct start s = {.conf = &conf, .until_ms = mono_ms() + READY_MS};
    int rc = tug_sandbox_load(dir, &old, err);
    if (rc == 0 && old.len == 0)
        rc = tug_fail(err, -ENOENT, "the sandbox in %s has no controller", dir);
    rc = rc ? rc : tug_sandbox_program("tugd", s.tugd, err);
    if (rc == 0) {
        tug_vec_push(&one, old.at[0]); /* the controller; its name stays with 'old' */
        rc = tug_sandbox_end(&one, err);
        tug_vec_clear(&one);
    }
    if (rc == 0)
        rc = start_tugd(&s, err);
    if (rc == 0) {
        old.at[0].pid = s.procs.at[0].pid;
        old.at[0].ticks = s.procs.at[0].ticks;
        rc = tug_sandbox_save(dir, &old, err);
        const char *dead = NULL;
        conf.nodes = tug_hostlist_new();
        for (size_t i = 1; i < old.len; i++)
            if (tug_sandbox_alive(&old.at[i]))
                tug_hostlist_add(conf.nodes, old.at[i].name, NULL);
            else
                dead = old.at[i].name;
        rc = rc ? rc : await_nodes(&s, err);
        if (rc == 0 && dead)
            rc = tug_fail(err, -ECHILD,
                          "the controller was started again, but %zu of %zu nodes have ended, %s "
                          "among them; for new ones: tug sandbox stop, then start",
                          old.len - 1 - tug_hostlist_count(conf.nodes), old.len - 1, dead);
        tug_hostlist_free(conf.nodes);
    }
    *policy_note = s.policy_note;
    tug_sandbox_procs_clear(&s.procs);
    tug_sandbox_procs_clear(&old);
    return rc;
}

/* The state is written before anything is started and after each step, so that stop finds what a
 * broken start left. */
int tug_sandbox_start(const struct tug_sandbox_conf *conf, char **policy_note, struct tug_err *err)
{
    struct start s = {.conf = conf, .until_ms = mono_ms() + READY_MS};
    int rc = tug_sandbox_program("tugd", s.tugd, err);
    if (rc == 0)
        rc = tug_sandbox_program("tuglaunch", s.tuglaunch, err);
    if (rc == 0)
        rc = tug_sandbox_program("tugnoded", s.tugnoded, err);
    if (rc == 0)
        rc = tug_sandbox_program("tugstepd", s.tugstepd, err);
    if (rc == 0 && conf->fresh)
        rc = remove_old(in(&s, "state%s", ""), err);
    if (rc == 0)
        rc = remove_old(in(&s, "run%s", ""), err);
    if (rc == 0)
        rc = make_dir(in(&s, "run%s", ""), err);
    if (rc == 0)
        rc = make_keys(&s, err);
    if (rc == 0)
        rc = write_machine(&s, err);
    if (rc == 0)
        rc = write_config(&s, err);
    if (rc)
        return rc;
    rc = start_tugd(&s, err);
    if (rc == 0)
        rc = tug_sandbox_save(conf->dir, &s.procs, err);
    if (rc == 0)
        rc = write_node_config(&s, err);
    if (rc == 0)
        rc = write_config(
            &s, err); /* with the port that it got: where the nodes look for it after a restart */
    for (size_t i = 0; i < tug_hostlist_count(conf->nodes) && rc == 0; i++)
        rc = start_node(&s, i, err);
    if (rc == 0)
        rc = tug_sandbox_save(conf->dir, &s.procs, err);
    if (rc == 0)
        rc = await_nodes(&s, err);
    if (rc) {
        tug_sandbox_end(&s.procs, NULL);
        unlink(in(&s, "sandbox.state%s", ""));
        unlink(in(&s, "tugd.sock%s", ""));
    }
    *policy_note = s.policy_note;
    tug_sandbox_procs_clear(&s.procs);
    return rc;
}
