/* test_launch.c - the launcher as a process: what it starts, how it starts it, and that nothing is left
 *
 * This program also stands in for tugnoded (it hands its descriptor 3 to the test and waits to be killed) and for
 * tugstepd (its payload says what to do). Which of them is to be seen from the arguments. Needs ./tuglaunch.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "host/net.h"
#include "proto/wire.h"

#define WAIT_MS 20000
#define STRANGER 12345u

/* ---- the stand-ins ---------------------------------------------------------------------------- */

static void send_fd(int sock, int fd, const char *text)
{
    union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } c = {{0}};
    struct iovec iov = {.iov_base = (void *) (uintptr_t) text, .iov_len = strlen(text)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &fd, sizeof fd);
    if (sendmsg(sock, &m, MSG_NOSIGNAL) < 0)
        _exit(1);
}

static int as_noded(char **argv)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", argv[2]);
    int sock = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    char text[256];
    if (connect(sock, (struct sockaddr *) &a, sizeof a) < 0)
        return 1;
    snprintf(text, sizeof text, "%d %d %s", (int) getpid(), (int) getuid(), argv[1]);
    send_fd(sock, TUG_WIRE_FD, text);
    close(TUG_WIRE_FD);
    close(sock);
    for (;;)
        pause();
}

/* "/path: what" - write what is asked for to /path (made whole by a rename), then do as told */
static void tell(const char *path, const char *text)
{
    char tmp[300];
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0 || rename(tmp, path) < 0)
        _exit(99);
    close(fd);
}

static void self_report(const char *path, char **argv, char **envp)
{
    char text[8192], fds[128] = "";
    gid_t groups[16];
    int n_groups = getgroups(16, groups), at;
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            snprintf(fds + strlen(fds), sizeof fds - strlen(fds), "%d ", fd);
    at = snprintf(text, sizeof text, "uid %d gid %d groups %d first %d\nfds %s\nsetuid0 %d\nnnp %d\nsubreaper ",
                  (int) getuid(), (int) getgid(), n_groups, n_groups > 0 ? (int) groups[0] : -1, fds,
                  getuid() == 0 ? -1 : setuid(0), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    int subreaper = 0, deathsig = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
    prctl(PR_GET_PDEATHSIG, &deathsig);
    char cwd[256];
    at += snprintf(text + at, sizeof text - (size_t) at, "%d deathsig %d\nsession %d cwd %s\nargs", subreaper, deathsig,
                   getsid(0) == getpid(), getcwd(cwd, sizeof cwd));
    for (char **a = argv + 1; *a; a++)
        at += snprintf(text + at, sizeof text - (size_t) at, " %s", *a);
    at += snprintf(text + at, sizeof text - (size_t) at, "\nenv");
    for (char **e = envp; *e; e++)
        at += snprintf(text + at, sizeof text - (size_t) at, " %s", *e);
    tell(path, text);
}

#define SWARM 1000

/* So many that left session, group and parent behind and hear no SIGHUP; each holds the fifo open. */
static void swarm(const char *path)
{
    char fifo[300];
    int p[2];
    snprintf(fifo, sizeof fifo, "%s.fifo", path);
    int held = open(fifo, O_WRONLY);
    if (held < 0 || pipe(p) < 0)
        _exit(92);
    for (int i = 0; i < SWARM; i++)
        if (fork() == 0) {
            setsid();
            signal(SIGHUP, SIG_IGN);
            if (fork() == 0) {
                if (write(p[1], "x", 1) < 0)
                    _exit(91);
                for (;;)
                    pause();
            }
            _exit(0);
        }
    for (int i = 0; i < SWARM; i++) {
        char c;
        if (read(p[0], &c, 1) != 1)
            _exit(90);
    }
    tell(path, "all");
}

/* Three kinds of escape: a double fork, one with a session of its own, one in between that ignores signals. */
static void escape(const char *path)
{
    char text[256] = "";
    int p[2];
    if (pipe(p) < 0)
        _exit(98);
    for (int kind = 0; kind < 3; kind++) {
        if (fork() == 0) {
            if (kind == 1)
                setsid();
            pid_t pid = fork();
            if (pid == 0) {
                if (kind == 2)
                    for (int sig = 1; sig < 32; sig++)
                        signal(sig, SIG_IGN);
                pid = getpid();
                if (write(p[1], &pid, sizeof pid) < 0)
                    _exit(97);
                for (;;)
                    pause();
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++) {
        pid_t pid;
        if (read(p[0], &pid, sizeof pid) != sizeof pid)
            _exit(96);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%d ", (int) pid);
    }
    tell(path, text);
}

#define BOMB_MAX 500

/* As many children as there may be, which stay: so many. */
static void bomb(const char *path)
{
    char text[32];
    int n = 0;
    for (pid_t pid; n < BOMB_MAX && (pid = fork()) >= 0; n++)
        if (pid == 0)
            for (;;)
                pause();
    snprintf(text, sizeof text, "%d", n);
    tell(path, text);
}

/* A child that takes so many MiB of memory, and how it ended. */
static void hog(const char *path, size_t mib)
{
    char text[32];
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        for (size_t i = 0; i < mib; i++) {
            char *p = malloc(1 << 20);
            if (!p)
                _exit(89);
            memset(p, (int) i + 1, 1 << 20);
        }
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid)
        _exit(88);
    snprintf(text, sizeof text, "%d", WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status));
    tell(path, text);
}

static void oom_report(const char *path)
{
    char text[32] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
        _exit(87);
    close(fd);
    tell(path, text);
}

static int as_stepd(char **argv, char **envp)
{
    char payload[512] = "", path[256] = "", junk[300];
    if (read(3, payload, sizeof payload - 1) < 0)
        return 95;
    sscanf(payload, "%255[^:]: ", path);
    if (strstr(payload, "report"))
        self_report(path, argv, envp);
    if (strstr(payload, "escape"))
        escape(path);
    if (strstr(payload, "swarm"))
        swarm(path);
    if (strstr(payload, "bomb"))
        bomb(path);
    if (strstr(payload, "hog"))
        hog(path, strtoul(strstr(payload, "hog") + 3, NULL, 10));
    if (strstr(payload, "oom_score"))
        oom_report(path);
    if (strstr(payload, "mess")) {              /* leave files behind in the step's directory */
        snprintf(junk, sizeof junk, "%s/a", argv[2]);
        if (mkdir(junk, 0700) < 0)
            return 94;
        snprintf(junk, sizeof junk, "%s/a/b", argv[2]);
        close(open(junk, O_CREAT | O_WRONLY, 0600));
        snprintf(junk, sizeof junk, "%s/link", argv[2]);
        if (symlink("/", junk) < 0)
            return 93;
    }
    if (strstr(payload, "exit3"))
        return 3;
    if (strstr(payload, "stay"))
        for (;;)
            pause();
    return 0;
}

/* ---- the test's side ---------------------------------------------------------------------------- */

struct world {
    char dir[64], self[128], launcher[512];
    struct tug_keypair keys;
    int listener;
    pid_t pid;                     /* of the launcher */
    int fd;                        /* to it, as its tugnoded */
    pid_t noded;
    uid_t noded_uid;
    uint8_t boot_id[16];
};
static struct world w;

static char *in_dir(const char *name)
{
    static char path[16][512];
    static int at;
    at = (at + 1) % 16;
    snprintf(path[at], sizeof path[at], "%s/%s", w.dir, name);
    return path[at];
}

static void readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ck_assert_msg(poll(&p, 1, WAIT_MS) == 1, "nothing came within %d ms", WAIT_MS);
}

/* Wait until the launcher has started its tugnoded (again). */
static void meet_noded(void)
{
    union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } c;
    char text[256] = "", hex[64] = "";
    struct iovec iov = {.iov_base = text, .iov_len = sizeof text - 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
    readable(w.listener);
    int sock = accept4(w.listener, NULL, NULL, SOCK_CLOEXEC);
    readable(sock);
    ck_assert_int_gt(recvmsg(sock, &m, MSG_CMSG_CLOEXEC), 0);
    if (w.fd >= 0)
        close(w.fd);
    memcpy(&w.fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof w.fd);
    close(sock);
    int pid, uid;
    ck_assert_int_eq(sscanf(text, "%d %d --boot-id=%63s", &pid, &uid, hex), 3);
    w.noded = pid;
    w.noded_uid = (uid_t) uid;
    ck_assert_int_eq(sodium_hex2bin(w.boot_id, 16, hex, strlen(hex), NULL, NULL, NULL), 0);
}

static void start_launcher(const char *cgroup_root, char *const *more)
{
    char *argv[32] = {w.launcher, "--node", "gpu03", "--cluster", "lab", "--controller-pub", in_dir("key.pub"),
                      "--run-dir", in_dir("run"), "--stepd", w.self, "--emulated"};
    int n = 12;
    if (cgroup_root) {
        argv[n++] = "--cgroup-root";
        argv[n++] = (char *) (uintptr_t) cgroup_root;
    }
    for (; more && *more; more++)
        argv[n++] = *more;
    argv[n++] = "--";
    argv[n++] = w.self;
    argv[n++] = in_dir("sock");
    argv[n] = NULL;
    fflush(NULL);
    w.pid = fork();
    if (w.pid == 0) {
        int log = open(in_dir("log"), O_WRONLY | O_CREAT | O_APPEND, 0644);
        dup2(log, 2);
        prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
        execv(w.launcher, argv);
        _exit(127);
    }
    meet_noded();
}

static void setup(void)
{
    const char *build = getenv("TUG_BUILDDIR");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char cmd[512];
    ck_assert_int_ge(sodium_init(), 0);
    w = (struct world){.fd = -1};
    snprintf(w.launcher, sizeof w.launcher, "%s/tuglaunch", build ? build : ".");
    strcpy(w.dir, "/tmp/tug-launch-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w.dir));
    ck_assert_int_eq(chmod(w.dir, 0777), 0);
    snprintf(w.self, sizeof w.self, "%s/stand-in", w.dir);
    snprintf(cmd, sizeof cmd, "cp /proc/%d/exe %s && chmod 755 %s", (int) getpid(), w.self, w.self);
    ck_assert_int_eq(system(cmd), 0);
    ck_assert_int_eq(tug_keypair_load(in_dir("key"), &w.keys, 1, NULL), 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", in_dir("sock"));
    w.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(w.listener, (struct sockaddr *) &a, sizeof a), 0);
    ck_assert_int_eq(chmod(a.sun_path, 0777), 0);
    ck_assert_int_eq(listen(w.listener, 8), 0);
}

static void stop(void)
{
    int status;
    char cmd[128];
    kill(w.pid, SIGTERM);
    ck_assert_int_eq(waitpid(w.pid, &status, 0), w.pid);
    ck_assert_int_eq(status, 0);
    snprintf(cmd, sizeof cmd, "rm -rf %s", w.dir);
    ck_assert_int_eq(system(cmd), 0);
}

static struct tug_wire record(enum tug_wire_type type, uint64_t job)
{
    struct tug_wire r;
    memset(&r, 0, sizeof r);
    r.version = TUG_WIRE_VERSION;
    r.type = type;
    r.job = job;
    r.attempt = 1;
    return r;
}

static void put(const struct tug_wire *r)
{
    ck_assert_int_eq(send(w.fd, r, sizeof *r, MSG_NOSIGNAL), (ssize_t) sizeof *r);
}

static struct tug_wire next(enum tug_wire_type type)
{
    struct tug_wire r;
    readable(w.fd);
    ck_assert_int_eq(recv(w.fd, &r, sizeof r, 0), (ssize_t) sizeof r);
    ck_assert_msg(r.type == type, "record %u came where %u was expected (%s)", r.type, type,
                  r.type == TUG_WIRE_REFUSED ? r.refused.text : "");
    return r;
}

static struct tug_order an_order(uint64_t job, const char *payload)
{
    struct tug_order o = {.cluster = "lab", .node = "gpu03", .epoch = 1, .job = job, .attempt = 1, .uid = getuid(),
                          .gid = getgid(), .expires_wall_ms = INT64_MAX / 2};
    memcpy(o.boot_id, w.boot_id, 16);
    crypto_generichash(o.payload_digest, 32, (const uint8_t *) payload, strlen(payload), NULL, 0);
    return o;
}

static void send_order(const struct tug_order *o, const char *payload)
{
    struct tug_wire r = record(TUG_WIRE_START, o->job);
    r.step = o->step;
    ck_assert_int_eq(tug_order_pack(o, r.start.order, NULL), 0);
    tug_sign(&w.keys, "tug-order-v1", r.start.order, TUG_ORDER_LEN, r.start.signature);
    int fd = memfd_create("payload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_eq(write(fd, payload, strlen(payload)), (ssize_t) strlen(payload));
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL), 0);
    union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } c = {{0}};
    struct iovec iov = {.iov_base = &r, .iov_len = sizeof r};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &fd, sizeof fd);
    ck_assert_int_eq(sendmsg(w.fd, &m, 0), (ssize_t) sizeof r);
    close(fd);
}

/* One user's launcher, as this test's own user. */
static pid_t start_step(uint64_t job, const char *payload)
{
    struct tug_order o = an_order(job, payload);
    send_order(&o, payload);
    struct tug_wire r = next(TUG_WIRE_STARTED);
    ck_assert_int_eq(r.job, job);
    ck_assert_int_eq(r.held.uid, getuid());
    return (pid_t) r.held.pid;
}

static void list_nothing(void)
{
    struct tug_wire list = record(TUG_WIRE_LIST, 0), ping = record(TUG_WIRE_PING, 0);
    put(&list);
    ck_assert_uint_eq(next(TUG_WIRE_LISTED).lease.pongs, 1);
    put(&ping);
    next(TUG_WIRE_PONG);
}

static char *wait_for_file(const char *path)
{
    static char text[8192];
    int fd = -1;
    for (int i = 0; i < WAIT_MS && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0; i++)
        poll(NULL, 0, 1);               /* until the event (the rename) */
    ck_assert_msg(fd >= 0, "%s did not come", path);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void wait_until_removed(const char *name)
{
    struct stat st;
    for (int i = 0; i < WAIT_MS && stat(in_dir(name), &st) == 0; i++)
        poll(NULL, 0, 1);
    ck_assert_int_ne(stat(in_dir(name), &st), 0);
}

static bool is_gone(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

static char *const one_user[] = {"--one-user", NULL};

START_TEST(a_step_is_started_heard_to_end_and_leaves_nothing)
{
    setup();
    start_launcher("none", one_user);
    list_nothing();
    pid_t pid = start_step(71, "x: mess exit3");
    struct tug_wire gone = next(TUG_WIRE_GONE);
    ck_assert_int_eq(gone.job, 71);
    ck_assert_int_eq(gone.attempt, 1);
    ck_assert_int_eq(WEXITSTATUS(gone.gone.wait_status), 3);
    ck_assert_int_gt(gone.gone.max_rss_bytes, 0);
    ck_assert(is_gone(pid));
    wait_until_removed("run/steps/71.1.0");
    stop();
}
END_TEST

START_TEST(a_step_daemon_gets_its_payload_and_nothing_else)
{
    char payload[256], want[2048];
    setup();
    start_launcher("none", one_user);
    list_nothing();
    snprintf(payload, sizeof payload, "%s: report", in_dir("report"));
    start_step(5, payload);
    next(TUG_WIRE_GONE);
    char *text = wait_for_file(in_dir("report"));
    ck_assert_msg(strstr(text, "fds 0 1 2 3 \n"), "%s", text);
    ck_assert_msg(strstr(text, "nnp 1\n"), "%s", text);
    ck_assert_msg(strstr(text, "subreaper 1 deathsig 1\n"), "%s", text);
    ck_assert_msg(strstr(text, "session 1 cwd /\n"), "%s", text);
    snprintf(want, sizeof want, "\nargs --run-dir %s/run/steps/5.1.0 --noded unix:%s/run/noded.sock\nenv "
             "PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 HWLOC_XMLFILE=%s/run/topology.xml HWLOC_THISSYSTEM=1",
             w.dir, w.dir, w.dir);
    ck_assert_msg(strstr(text, want) && !strstr(text, want)[strlen(want)], "%s", text);
    stop();
}
END_TEST

START_TEST(an_order_is_obeyed_once)
{
    setup();
    start_launcher("none", one_user);
    list_nothing();
    start_step(5, "x: ");
    next(TUG_WIRE_GONE);
    struct tug_order o = an_order(5, "x: ");
    send_order(&o, "x: ");
    struct tug_wire r = next(TUG_WIRE_REFUSED);
    ck_assert_str_eq(r.refused.text, "this order was obeyed already");
    memset(o.boot_id, 0, 16);
    o.job = 6;
    send_order(&o, "x: ");
    r = next(TUG_WIRE_REFUSED);
    ck_assert_int_eq(r.job, 6);
    ck_assert_str_eq(r.refused.text, "the order is for another boot of node 'gpu03'");
    o = an_order(7, "x: ");
    send_order(&o, "y: ");
    ck_assert_ptr_nonnull(strstr(next(TUG_WIRE_REFUSED).refused.text, "digest differs"));
    stop();
}
END_TEST

START_TEST(an_epoch_that_was_obeyed_rules_out_lower_ones)
{
    setup();
    start_launcher("none", one_user);
    list_nothing();
    struct tug_order o = an_order(5, "x: ");
    o.epoch = 4;
    send_order(&o, "x: ");
    next(TUG_WIRE_STARTED);
    next(TUG_WIRE_GONE);
    o = an_order(6, "x: ");
    o.epoch = 3;
    send_order(&o, "x: ");
    ck_assert_str_eq(next(TUG_WIRE_REFUSED).refused.text, "the order is of epoch 3; epoch 4 has been obeyed");
    stop();
}
END_TEST

START_TEST(a_restarted_launcher_is_another_boot)
{
    setup();
    start_launcher("none", one_user);
    list_nothing();
    struct tug_order o = an_order(5, "x: ");
    kill(w.pid, SIGTERM);
    waitpid(w.pid, NULL, 0);
    start_launcher("none", one_user);
    list_nothing();
    send_order(&o, "x: ");
    ck_assert_str_eq(next(TUG_WIRE_REFUSED).refused.text, "the order is for another boot of node 'gpu03'");
    stop();
}
END_TEST

static void nothing_survives(const char *cgroup_root)
{
    char payload[256];
    setup();
    start_launcher(cgroup_root, one_user);
    list_nothing();
    snprintf(payload, sizeof payload, "%s: escape", in_dir("pids"));
    pid_t other = start_step(6, "x: stay");
    start_step(5, payload);
    struct tug_wire gone = next(TUG_WIRE_GONE);
    ck_assert_int_eq(gone.job, 5);
    int a, b, c;
    ck_assert_int_eq(sscanf(wait_for_file(in_dir("pids")), "%d %d %d", &a, &b, &c), 3);
    ck_assert(is_gone(a) && is_gone(b) && is_gone(c));
    ck_assert(!is_gone(other));         /* and nobody else was hit */
    struct tug_wire k = record(TUG_WIRE_KILL, 6);
    put(&k);
    gone = next(TUG_WIRE_GONE);
    ck_assert_int_eq(gone.job, 6);
    ck_assert_int_eq(WTERMSIG(gone.gone.wait_status), SIGKILL);
    stop();
}

START_TEST(nothing_of_a_step_survives_it_without_cgroups)
{
    nothing_survives("none");
}
END_TEST

START_TEST(nothing_of_a_step_survives_it_with_cgroups)
{
    if (getuid() != 0 || access("/proc/self/cgroup", R_OK) < 0) {
        printf("# not checked: cgroups need root\n");
        return;
    }
    nothing_survives(NULL);
}
END_TEST

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void a_swarm_is_gone(const char *cgroup_root)
{
    char payload[256], fifo[300], c;
    setup();
    start_launcher(cgroup_root, one_user);
    list_nothing();
    snprintf(fifo, sizeof fifo, "%s.fifo", in_dir("swarm"));
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    snprintf(payload, sizeof payload, "%s: swarm", in_dir("swarm"));
    start_step(5, payload);
    wait_for_file(in_dir("swarm"));
    int64_t began_ms = now_ms();
    next(TUG_WIRE_GONE);
    printf("# %d processes that left everything behind were gone %lld ms after their step daemon%s\n", SWARM,
           (long long) (now_ms() - began_ms), cgroup_root ? ", without cgroups" : "");
    ck_assert_int_eq(read(fd, &c, 1), 0);   /* nobody holds it any more */
    close(fd);
    stop();
}

START_TEST(a_thousand_that_left_everything_behind_are_gone_without_cgroups)
{
    a_swarm_is_gone("none");
}
END_TEST

START_TEST(a_thousand_that_left_everything_behind_are_gone_with_cgroups)
{
    if (getuid() != 0 || access("/proc/self/cgroup", R_OK) < 0) {
        printf("# not checked: cgroups need root\n");
        return;
    }
    a_swarm_is_gone(NULL);
}
END_TEST

/* ---- limits */

/* A launcher with such limits for all, where this machine has a controller for them. */
static bool limited(uint32_t pids_max, uint64_t mem_max)
{
    struct tug_wire r = record(TUG_WIRE_LIMITS, 0), list = record(TUG_WIRE_LIST, 0);
    setup();
    start_launcher(NULL, one_user);
    r.limits.pids_max = pids_max;
    r.limits.mem_max = mem_max;
    put(&r);
    put(&list);
    r = next(TUG_WIRE_LISTED);
    if (r.lease.limits_pids && r.lease.limits_memory)
        return true;
    printf("# not checked: there are no cgroup controllers for pids and memory that are ours to use\n");
    stop();
    return false;
}

static void start_confined(uint64_t job, uint32_t step, uint32_t pids, uint64_t mem, const char *payload)
{
    struct tug_order o = an_order(job, payload);
    o.step = step;
    o.pids_max = pids;
    o.mem_bytes = mem;
    send_order(&o, payload);
    next(TUG_WIRE_STARTED);
}

static struct tug_wire_use end_of(uint64_t job, uint32_t step)
{
    struct tug_wire k = record(TUG_WIRE_KILL, job);
    k.step = step;
    put(&k);
    struct tug_wire gone = next(TUG_WIRE_GONE);
    ck_assert_uint_eq(gone.job, job);
    ck_assert_uint_eq(gone.step, step);
    ck_assert_uint_eq(gone.gone.oom, gone.gone.use.oom_kills > 0);
    return gone.gone.use;
}

START_TEST(a_job_gets_so_many_processes_for_all_its_steps_and_that_it_wanted_more_is_told)
{
    char a[300], b[300], other[300];
    if (getuid() != 0 || !limited(60, 0))
        return;
    snprintf(a, sizeof a, "%s: bomb stay", in_dir("a"));
    snprintf(b, sizeof b, "%s: bomb stay", in_dir("b"));
    snprintf(other, sizeof other, "%s: bomb stay", in_dir("other"));
    start_confined(5, 0, 0, 0, a);
    ck_assert_int_eq(atoi(wait_for_file(in_dir("a"))), 59);     /* and itself */
    start_confined(6, 0, 20, 0, other);                         /* the order's own limit, and nobody else's processes */
    ck_assert_int_eq(atoi(wait_for_file(in_dir("other"))), 19);
    start_confined(5, 1, 0, 0, b);                              /* another step of the job finds no room */
    ck_assert_int_eq(atoi(wait_for_file(in_dir("b"))), 0);
    ck_assert_uint_eq(end_of(5, 1).pids_hits, 1);
    struct tug_wire_use use = end_of(5, 0);
    ck_assert_uint_eq(use.pids_max, 60);
    ck_assert_uint_ge(use.pids_hits, 1);
    use = end_of(6, 0);
    ck_assert_uint_eq(use.pids_max, 20);
    ck_assert_uint_eq(use.pids_hits, 1);
    start_confined(7, 0, 0, 0, "x: stay");
    use = end_of(7, 0);
    ck_assert_uint_eq(use.pids_hits, 0);
    stop();
}
END_TEST

START_TEST(a_job_that_takes_more_memory_than_it_asked_for_is_killed_and_nobody_else)
{
    char a[300], b[300];
    if (getuid() != 0 || !limited(0, 0))
        return;
    snprintf(a, sizeof a, "%s: hog 128 stay", in_dir("a"));
    snprintf(b, sizeof b, "%s: hog 16 stay", in_dir("b"));
    start_confined(5, 0, 100, 64 << 20, a);
    start_confined(6, 0, 100, 64 << 20, b);
    ck_assert_int_eq(atoi(wait_for_file(in_dir("a"))), SIGKILL);
    ck_assert_int_eq(atoi(wait_for_file(in_dir("b"))), 0);
    struct tug_wire_use use = end_of(5, 0);
    ck_assert_uint_eq(use.mem_max, 64 << 20);
    ck_assert_uint_le(use.mem_peak, 64 << 20);
    ck_assert_uint_ge(use.mem_peak, 60 << 20);
    ck_assert_uint_eq(use.oom_kills, 1);
    use = end_of(6, 0);
    ck_assert_uint_eq(use.oom_kills, 0);
    ck_assert_uint_ge(use.mem_peak, 16 << 20);
    stop();
}
END_TEST

START_TEST(all_jobs_together_leave_the_memory_that_is_kept_from_them)
{
    char a[300];
    if (getuid() != 0 || !limited(100, 64 << 20))
        return;
    snprintf(a, sizeof a, "%s: hog 128 stay", in_dir("a"));
    start_confined(5, 0, 0, 0, a);
    ck_assert_int_eq(atoi(wait_for_file(in_dir("a"))), SIGKILL);
    end_of(5, 0);
    struct tug_wire r = record(TUG_WIRE_LIMITS, 0);     /* the next tugnoded keeps nothing */
    r.limits.pids_max = 100;
    put(&r);
    snprintf(a, sizeof a, "%s: hog 128 stay", in_dir("b"));
    start_confined(6, 0, 0, 0, a);
    ck_assert_int_eq(atoi(wait_for_file(in_dir("b"))), 0);
    ck_assert_uint_eq(end_of(6, 0).mem_max, 0);
    stop();
}
END_TEST

static void set_oom_score_adj(const char *value)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(write(fd, value, strlen(value)), (ssize_t) strlen(value));
    close(fd);
}

START_TEST(the_launcher_is_killed_last_for_memory_and_what_it_starts_like_anybody)
{
    static char *const as_root[] = {"--noded-uid", "54321", "--noded-gid", "54321", NULL};
    char payload[300], path[64];
    if (getuid() != 0) {
        printf("# not checked: only root goes before others\n");
        return;
    }
    setup();
    set_oom_score_adj("300");           /* if root is not allowed to go below 0 here, it is not to stay so in any case */
    start_launcher("none", as_root);
    set_oom_score_adj("0");
    list_nothing();
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int) w.pid);
    int is = atoi(wait_for_file(path));
    if (is != -900)
        printf("# not checked: this root may not lower oom_score_adj\n");
    snprintf(payload, sizeof payload, "%s: oom_score", in_dir("a"));
    struct tug_order o = an_order(5, payload);
    o.uid = o.gid = STRANGER;
    send_order(&o, payload);
    next(TUG_WIRE_STARTED);
    ck_assert_int_eq(atoi(wait_for_file(in_dir("a"))), 0);
    next(TUG_WIRE_GONE);
    stop();
}
END_TEST

/* ---- what SIGKILL does not end: frozen by cgroup v1, a process is in D until it is thawed */

static char freezer[64];

static void freezer_write(const char *file, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", freezer, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t) strlen(text));
    close(fd);
}

static void what_stays_is_told(const char *cgroup_root)
{
    char text[32];
    setup();
    start_launcher(cgroup_root, one_user);
    list_nothing();
    pid_t stuck = start_step(5, "x: stay");
    start_step(6, "x: stay");
    snprintf(text, sizeof text, "%d", (int) stuck);
    freezer_write("cgroup.procs", text);
    freezer_write("freezer.state", "FROZEN");
    struct tug_wire k = record(TUG_WIRE_KILL, 5);
    put(&k);
    struct tug_wire r = next(TUG_WIRE_STUCK);
    ck_assert_int_eq(r.job, 5);
    ck_assert_uint_eq(r.stuck.pid, (uint32_t) stuck);
    ck_assert_uint_eq(r.stuck.of, 1);
    ck_assert_uint_eq(r.stuck.all, 1);
    ck_assert(*r.stuck.wchan);
    k = record(TUG_WIRE_KILL, 6);
    put(&k);
    ck_assert_int_eq(next(TUG_WIRE_GONE).job, 6);   /* others end as always */
    struct tug_wire list = record(TUG_WIRE_LIST, 0);
    put(&list);
    r = next(TUG_WIRE_HELD);
    ck_assert_int_eq(r.job, 5);
    ck_assert_uint_eq(r.held.left, 1);
    next(TUG_WIRE_LISTED);
    next(TUG_WIRE_STUCK);                           /* and who asks anew is told */
    freezer_write("freezer.state", "THAWED");
    ck_assert_int_eq(next(TUG_WIRE_GONE).job, 5);
    stop();
}

static void in_a_freezer(void (*test)(const char *cgroup_root), const char *cgroup_root)
{
    snprintf(freezer, sizeof freezer, "/sys/fs/cgroup/freezer/tug-launch-%d", (int) getpid());
    if (getuid() != 0 || mkdir(freezer, 0700) < 0) {
        printf("# not checked: only what root freezes by cgroup v1 outlives SIGKILL here\n");
        return;
    }
    test(cgroup_root);
    while (rmdir(freezer) < 0 && errno == EBUSY)
        poll(NULL, 0, 5);
}

START_TEST(what_outlives_SIGKILL_is_told_and_holds_up_nobody_without_cgroups)
{
    in_a_freezer(what_stays_is_told, "none");
}
END_TEST

START_TEST(what_outlives_SIGKILL_is_told_and_holds_up_nobody_with_cgroups)
{
    in_a_freezer(what_stays_is_told, NULL);
}
END_TEST

START_TEST(a_killed_noded_is_started_again_and_told_what_is_held_and_what_is_gone)
{
    setup();
    start_launcher("none", one_user);
    list_nothing();
    struct tug_wire lease = record(TUG_WIRE_LEASE, 0);
    lease.lease.until_boot_ms = INT64_MAX - 5;
    put(&lease);
    pid_t five = start_step(5, "x: stay"), six = start_step(6, "x: stay");
    kill(w.noded, SIGKILL);
    meet_noded();
    kill(six, SIGKILL);                 /* before the new one has asked */
    wait_until_removed("run/steps/6.1.0");
    struct tug_wire list = record(TUG_WIRE_LIST, 0), r;
    put(&list);
    r = next(TUG_WIRE_HELD);
    ck_assert_int_eq(r.job, 5);
    ck_assert_int_eq(r.held.pid, five);
    r = next(TUG_WIRE_GONE);
    ck_assert_int_eq(r.job, 6);
    r = next(TUG_WIRE_LISTED);
    ck_assert_int_eq(r.lease.until_boot_ms, INT64_MAX - 5);
    ck_assert(!is_gone(five));
    stop();
    ck_assert(is_gone(five));
}
END_TEST

START_TEST(a_lease_that_runs_out_ends_requeueable_steps_without_a_noded)
{
    struct timespec t;
    setup();
    start_launcher("none", one_user);
    list_nothing();
    struct tug_order o = an_order(5, "x: stay");
    o.flags = TUG_ORDER_REQUEUEABLE;
    send_order(&o, "x: stay");
    ck_assert_ptr_nonnull(strstr(next(TUG_WIRE_REFUSED).refused.text, "no lease"));
    pid_t stays = start_step(6, "x: stay");
    clock_gettime(CLOCK_BOOTTIME, &t);
    struct tug_wire lease = record(TUG_WIRE_LEASE, 0);
    lease.lease.until_boot_ms = (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000 + 300;
    put(&lease);
    send_order(&o, "x: stay");
    pid_t pid = (pid_t) next(TUG_WIRE_STARTED).held.pid;
    kill(w.noded, SIGKILL);
    meet_noded();                       /* it never asks for anything */
    for (int i = 0; i < WAIT_MS && !is_gone(pid); i++)
        poll(NULL, 0, 1);
    ck_assert(is_gone(pid));
    clock_gettime(CLOCK_BOOTTIME, &t);
    ck_assert_int_ge((int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000, lease.lease.until_boot_ms);
    ck_assert(!is_gone(stays));
    stop();
}
END_TEST

START_TEST(no_step_outlives_its_launcher)
{
    setup();
    start_launcher("none", one_user);
    list_nothing();
    pid_t pid = start_step(5, "x: stay");
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);  /* so that we can wait for it */
    kill(w.pid, SIGKILL);
    waitpid(w.pid, NULL, 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    start_launcher("none", one_user);
    list_nothing();
    stop();
}
END_TEST

START_TEST(garbage_from_noded_gets_it_replaced_and_steps_stay)
{
    setup();
    start_launcher("none", one_user);
    list_nothing();
    pid_t pid = start_step(5, "x: stay");
    ck_assert_int_eq(send(w.fd, "hello", 5, 0), 5);
    meet_noded();
    ck_assert(!is_gone(pid));
    struct tug_wire r = record(TUG_WIRE_LIST, 0);
    r.version = 99;
    put(&r);
    meet_noded();
    ck_assert(!is_gone(pid));
    stop();
}
END_TEST

static unsigned open_descriptors(pid_t pid)
{
    char path[64];
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int) pid);
    DIR *d = opendir(path);
    ck_assert_ptr_nonnull(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

START_TEST(descriptors_that_nobody_asked_for_do_not_stay_open)
{
    setup();
    start_launcher("none", one_user);
    list_nothing();
    unsigned before = open_descriptors(w.pid);
    struct tug_wire r = record(TUG_WIRE_KILL, 5);
    int two[2] = {w.listener, w.listener};
    union { char room[CMSG_SPACE(sizeof two)]; struct cmsghdr align; } c = {{0}};
    struct iovec iov = {.iov_base = &r, .iov_len = sizeof r};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = CMSG_SPACE(sizeof two)};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof two);
    memcpy(CMSG_DATA(h), two, sizeof two);
    ck_assert_int_eq(sendmsg(w.fd, &m, 0), (ssize_t) sizeof r);
    meet_noded();                       /* such a record is garbage */
    list_nothing();
    ck_assert_uint_eq(open_descriptors(w.pid), before);
    stop();
}
END_TEST

START_TEST(root_becomes_the_user_for_good)
{
    char payload[256], want[128];
    struct stat st;
    static char *const as_root[] = {"--noded-uid", "54321", "--noded-gid", "54321", NULL};
    if (getuid() != 0) {
        printf("# not checked: a change of user needs root\n");
        return;
    }
    setup();
    start_launcher(NULL, as_root);
    ck_assert_int_eq(w.noded_uid, 54321);
    list_nothing();
    snprintf(payload, sizeof payload, "%s: report", in_dir("report"));
    struct tug_order o = an_order(5, payload);
    o.uid = STRANGER;
    o.gid = STRANGER + 1;
    o.n_gids = 2;
    o.gids[0] = STRANGER + 2;
    o.gids[1] = STRANGER + 3;
    send_order(&o, payload);
    ck_assert_int_eq(next(TUG_WIRE_STARTED).held.uid, STRANGER);
    ck_assert_int_eq(next(TUG_WIRE_GONE).gone.wait_status, 0);
    char *text = wait_for_file(in_dir("report"));
    snprintf(want, sizeof want, "uid %u gid %u groups 2 first %u\n", STRANGER, STRANGER + 1, STRANGER + 2);
    ck_assert_msg(strstr(text, want), "%s", text);
    ck_assert_msg(strstr(text, "setuid0 -1\n"), "%s", text);
    ck_assert_msg(strstr(text, "deathsig 9\n"), "%s", text);
    o = an_order(6, "x: stay");
    send_order(&o, "x: stay");
    ck_assert_str_eq(next(TUG_WIRE_REFUSED).refused.text, "the order is for uid 0; root runs no steps");
    o.uid = STRANGER;
    o.gid = STRANGER;
    send_order(&o, "x: stay");
    next(TUG_WIRE_STARTED);
    ck_assert_int_eq(stat(in_dir("run/steps/6.1.0"), &st), 0);
    ck_assert_int_eq(st.st_uid, STRANGER);
    ck_assert_int_eq(st.st_mode & 07777, 0700);
    ck_assert_int_eq(stat(in_dir("run"), &st), 0);
    ck_assert_int_eq(st.st_uid, 0);
    ck_assert_int_eq(st.st_gid, 54321);
    ck_assert_int_eq(st.st_mode & 07777, 01775);
    stop();
}
END_TEST

int main(int argc, char **argv, char **envp)
{
    if (argc > 2 && !strncmp(argv[1], "--boot-id=", 10))
        return as_noded(argv);
    if (argc > 2 && !strcmp(argv[1], "--run-dir"))
        return as_stepd(argv, envp);
    const TTest *const tests[] = {
        a_step_is_started_heard_to_end_and_leaves_nothing, a_step_daemon_gets_its_payload_and_nothing_else,
        an_order_is_obeyed_once, an_epoch_that_was_obeyed_rules_out_lower_ones, a_restarted_launcher_is_another_boot,
        nothing_of_a_step_survives_it_without_cgroups, nothing_of_a_step_survives_it_with_cgroups,
        a_thousand_that_left_everything_behind_are_gone_without_cgroups,
        a_thousand_that_left_everything_behind_are_gone_with_cgroups,
        a_job_gets_so_many_processes_for_all_its_steps_and_that_it_wanted_more_is_told,
        a_job_that_takes_more_memory_than_it_asked_for_is_killed_and_nobody_else,
        all_jobs_together_leave_the_memory_that_is_kept_from_them,
        the_launcher_is_killed_last_for_memory_and_what_it_starts_like_anybody,
        what_outlives_SIGKILL_is_told_and_holds_up_nobody_without_cgroups,
        what_outlives_SIGKILL_is_told_and_holds_up_nobody_with_cgroups,
        a_killed_noded_is_started_again_and_told_what_is_held_and_what_is_gone,
        a_lease_that_runs_out_ends_requeueable_steps_without_a_noded, no_step_outlives_its_launcher,
        garbage_from_noded_gets_it_replaced_and_steps_stay, descriptors_that_nobody_asked_for_do_not_stay_open,
        root_becomes_the_user_for_good};
    return unit_run("launch/launch", tests, sizeof tests / sizeof *tests);
}
