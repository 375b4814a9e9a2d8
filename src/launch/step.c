/* step.c - the steps that this launcher started, until nothing is left of them
 *
 * A step daemon is the subreaper of everything below it, so nothing of a living step ever becomes our child; we are the
 * next subreaper, so when the daemon is gone all its orphans become our children, whatever sessions or groups they made.
 * A child of ours that is neither tugnoded, a living step daemon nor a cleaner is such an orphan, and is killed. With
 * cgroups a step is also what is in its cgroup, and one write kills it all at once. Layer: launch.
 */
#include "launch/step.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "launch/cgroup.h"

#define PAYLOAD_FD 3
#define EXIT_NO_EXEC 127
#define EXIT_NO_DROP 126
#define NAME_MAX_BYTES 64
#define EARLIER_MAX_MS 5000
#define SWEEP_MIN_MS 1
#define SWEEP_MAX_MS 1000
#define BURIAL_MAX_MS 1000
#define STAYS_ROUNDS 8                 /* an orphan that was killed so many rounds ago stays for now */
#define BELOW_MAX 64
#define SWEEP_PART 8                   /* what has been ending for so long is looked at after that part of it */

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static char *dir_name(const struct tug_step *st, char out[NAME_MAX_BYTES])
{
    snprintf(out, NAME_MAX_BYTES, "%llu.%u.%u", (unsigned long long) st->job, st->attempt, st->step);
    return out;
}

static char *part_name(const struct tug_step *st, char out[NAME_MAX_BYTES])
{
    snprintf(out, NAME_MAX_BYTES, "%llu.%u", (unsigned long long) st->job, st->attempt);
    return out;
}

int tug_drop(uid_t uid, gid_t gid, const gid_t *gids, size_t n_gids)
{
    if (geteuid() == 0) {
        if (setgroups(n_gids, gids) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
            return -1;
        if (uid != 0 && setuid(0) == 0) {
            errno = EPERM;
            return -1;
        }
    }
    if (geteuid() != uid || getuid() != uid)
        return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* ---- starting */

static void say(const char *text)
{
    if (write(2, text, strlen(text)) < 0) {
        /* nobody listens */
    }
}

struct child {
    char *argv[8];
    char *envp[8];
    char dir[4200], noded[4200], topology[4200];
    gid_t gids[TUG_ORDER_GIDS_MAX];
    size_t n_gids;
    int join[TUG_LIMITS];
    pid_t parent;
};

static void make_child(const struct tug_steps *s, const struct tug_step *st, const struct tug_order *o, struct child *c)
{
    char name[NAME_MAX_BYTES];
    memset(c, 0, sizeof *c);
    snprintf(c->dir, sizeof c->dir, "%s/steps/%s", s->run_dir, dir_name(st, name));
    snprintf(c->noded, sizeof c->noded, "unix:%s/noded.sock", s->run_dir);
    snprintf(c->topology, sizeof c->topology, "HWLOC_XMLFILE=%s/topology.xml", s->run_dir);
    char *argv[] = {(char *) (uintptr_t) s->stepd, "--run-dir", c->dir, "--noded", c->noded, NULL};
    char *envp[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", c->topology, "HWLOC_THISSYSTEM=1", NULL};
    memcpy(c->argv, argv, sizeof argv);
    memcpy(c->envp, envp, sizeof envp);
    c->n_gids = o->n_gids;
    for (size_t i = 0; i < c->n_gids; i++)
        c->gids[i] = o->gids[i];
    c->parent = getpid();
    for (int i = 0; i < TUG_LIMITS; i++)
        c->join[i] = -1;
}

/* In the child, from here to exec: async-signal-safe calls only. */
static void enter_limits(const struct child *c)
{
    for (int i = 0; i < TUG_LIMITS; i++)
        if (c->join[i] >= 0 && write(c->join[i], "0", 1) != 1) {
            say("tuglaunch: a step could not be put under its limits\n");
            _exit(EXIT_NO_DROP);
        }
}

/* We are the last that the kernel kills for memory (main.c); what we start is not. */
static void be_as_others(void)
{
    int fd = geteuid() != 0 ? -1 : open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "0", 1) < 0)
        say("tuglaunch: the oom_score_adj of a step is not 0\n");
    if (fd >= 0)
        close(fd);
}

static void become_stepd(const struct tug_steps *s, const struct tug_step *st, const struct child *c, int payload_fd)
{
    sigset_t none;
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    umask(077);
    enter_limits(c);
    be_as_others();
    if (tug_drop(st->uid, st->gid, c->gids, c->n_gids) < 0) {
        say("tuglaunch: a step could not become its user\n");
        _exit(EXIT_NO_DROP);
    }
    /* The subreaper mark stays over exec; the parent's death must be asked for after the change of uid. In a cgroup the next
     * launcher finds what is left of the step; without one only the step daemon can, so it is told and not killed. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_PDEATHSIG, st->cgroup >= 0 ? SIGKILL : SIGHUP, 0, 0, 0) < 0 ||
        getppid() != c->parent || chdir("/") < 0)
        _exit(EXIT_NO_DROP);
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || (!s->log && (dup2(null, 1) < 0 || dup2(null, 2) < 0)) ||
        (s->log && dup2(2, 1) < 0))
        _exit(EXIT_NO_DROP);
    if (payload_fd == PAYLOAD_FD ? fcntl(PAYLOAD_FD, F_SETFD, 0) < 0 : dup2(payload_fd, PAYLOAD_FD) < 0)
        _exit(EXIT_NO_DROP);
    if (syscall(SYS_close_range, PAYLOAD_FD + 1, ~0U, 0) < 0)
        _exit(EXIT_NO_DROP);
    execve(s->stepd, c->argv, c->envp);
    say("tuglaunch: the step daemon cannot be executed\n");
    _exit(EXIT_NO_EXEC);
}

static pid_t clone_into(int cgroup)
{
    if (cgroup < 0)
        return fork();
    struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t) cgroup};
    return (pid_t) syscall(SYS_clone3, &args, sizeof args);
}

/* Room for one more order, after forgetting the expired: an order is obeyed once while it could be. */
static int remember(struct tug_steps *s, const struct tug_order *o, struct tug_err *err)
{
    int64_t now_ms = wall_ms();
    while (s->n_seen > 0 && s->seen[s->first_seen].expires_ms < now_ms) {
        s->first_seen = (s->first_seen + 1) % TUG_ORDERS_MAX;
        s->n_seen--;
    }
    for (unsigned i = 0; i < s->n_seen; i++) {
        unsigned at = (s->first_seen + i) % TUG_ORDERS_MAX;
        if (s->seen[at].job == o->job && s->seen[at].attempt == o->attempt && s->seen[at].step == o->step)
            return tug_fail(err, -EPERM, "this order was obeyed already");
    }
    if (s->n_seen == TUG_ORDERS_MAX)
        return tug_fail(err, -EPERM, "%d orders have not expired yet; more are not taken", TUG_ORDERS_MAX);
    unsigned at = (s->first_seen + s->n_seen++) % TUG_ORDERS_MAX;
    s->seen[at].job = o->job;
    s->seen[at].attempt = o->attempt;
    s->seen[at].step = o->step;
    s->seen[at].expires_ms = o->expires_wall_ms;
    return 0;
}

static int make_dir(struct tug_steps *s, const struct tug_step *st, struct tug_err *err)
{
    char name[NAME_MAX_BYTES];
    if (mkdirat(s->dir, dir_name(st, name), 0700) < 0)
        return tug_fail(err, -errno, "the step's directory steps/%s cannot be made: %s", name, strerror(errno));
    if (!s->rules.one_user && fchownat(s->dir, name, st->uid, st->gid, AT_SYMLINK_NOFOLLOW) < 0) {
        int code = -errno;
        unlinkat(s->dir, name, AT_REMOVEDIR);
        return tug_fail(err, code, "the step's directory steps/%s cannot be given to uid %u: %s", name, st->uid,
                        strerror(-code));
    }
    return 0;
}

static bool is_last_of_attempt(const struct tug_steps *s, const struct tug_step *of)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct tug_step *st = &s->at[i];
        if (st != of && st->job == of->job && st->attempt == of->attempt &&
            (st->phase == TUG_STEP_RUNNING || st->phase == TUG_STEP_ENDING))
            return false;
    }
    return true;
}

/* Nothing is left of it in there. */
static void unconfine(struct tug_steps *s, struct tug_step *st)
{
    char name[NAME_MAX_BYTES];
    struct tug_limit_use came = st->use;
    tug_limits_read(&s->limits, part_name(st, name), &st->use);
    st->use.pids_hits -= came.pids_hits;
    st->use.oom_kills -= came.oom_kills;
    if (st->cgroup >= 0) {
        close(st->cgroup);
        st->cgroup = -1;
        tug_cgroup_remove(s->cgroup, dir_name(st, name));
    }
    if (is_last_of_attempt(s, st))
        tug_limits_remove(&s->limits, part_name(st, name));
}

static int confine(struct tug_steps *s, struct tug_step *st, const struct tug_order *o, int join[TUG_LIMITS], struct tug_err *err)
{
    char name[NAME_MAX_BYTES];
    int rc = s->cgroup >= 0 ? tug_cgroup_make(s->cgroup, dir_name(st, name), &st->cgroup, err) : 0;
    if (!rc)
        rc = tug_limits_make(&s->limits, part_name(st, name), o->pids_max, o->mem_bytes, join, err);
    if (!rc)
        tug_limits_read(&s->limits, part_name(st, name), &st->use);
    return rc;
}

int tug_steps_start(struct tug_steps *s, const uint8_t order[TUG_ORDER_LEN], const uint8_t *signature, int payload_fd,
                    struct tug_step **out, struct tug_err *err)
{
    struct tug_order o;
    struct child c;
    char name[NAME_MAX_BYTES];
    struct tug_step *st = NULL;
    int rc = tug_check_order(&s->rules, order, signature, payload_fd, wall_ms(), &o, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < TUG_STEPS_MAX && !st; i++)
        if (s->at[i].phase == TUG_STEP_FREE) {
            st = &s->at[i];
            s->n = i < s->n ? s->n : i + 1;
        }
    if (!st)
        return tug_fail(err, -EBUSY, "%d steps are held; no more fit on one node", TUG_STEPS_MAX);
    rc = remember(s, &o, err);
    if (rc)
        return rc;
    s->rules.max_epoch = o.epoch;
    *st = (struct tug_step){.job = o.job, .attempt = o.attempt, .step = o.step, .uid = o.uid, .gid = o.gid,
                            .requeueable = o.flags & TUG_ORDER_REQUEUEABLE, .cgroup = -1};
    make_child(s, st, &o, &c);
    rc = make_dir(s, st, err);
    if (rc)
        return rc;
    rc = confine(s, st, &o, c.join, err);
    if (!rc) {
        lseek(payload_fd, 0, SEEK_SET);
        st->pid = clone_into(st->cgroup);
        if (st->pid == 0)
            become_stepd(s, st, &c, payload_fd);
        rc = st->pid < 0 ? tug_fail(err, -errno, "the step daemon cannot be started: %s", strerror(errno)) : 0;
    }
    for (int i = 0; i < TUG_LIMITS; i++)
        if (c.join[i] >= 0)
            close(c.join[i]);
    if (rc) {
        unconfine(s, st);
        unlinkat(s->dir, dir_name(st, name), AT_REMOVEDIR);
        return rc;
    }
    st->phase = TUG_STEP_RUNNING;
    *out = st;
    return 0;
}

struct tug_step *tug_steps_find(struct tug_steps *s, uint64_t job, uint32_t attempt, uint32_t step)
{
    for (size_t i = 0; i < s->n; i++) {
        struct tug_step *st = &s->at[i];
        if (st->phase != TUG_STEP_FREE && st->job == job && st->attempt == attempt && st->step == step)
            return st;
    }
    return NULL;
}

size_t tug_steps_live(const struct tug_steps *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->at[i].phase == TUG_STEP_RUNNING || s->at[i].phase == TUG_STEP_ENDING;
    return n;
}

/* ---- ending */

static int64_t boot_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void begin_ending(const struct tug_steps *s, struct tug_step *st)
{
    st->phase = TUG_STEP_ENDING;
    st->ending_ms = boot_ms();
    st->ending_round = s->round;
    st->wait_status = SIGKILL;          /* until it was waited for */
    st->tell_ms = st->ending_ms + TUG_STUCK_MS;
}

void tug_steps_kill(struct tug_steps *s, struct tug_step *st)
{
    if (st->phase == TUG_STEP_RUNNING)
        begin_ending(s, st);
    if (st->phase == TUG_STEP_ENDING && !st->reaped)
        kill(st->pid, SIGKILL);         /* not yet waited for, so the pid is still its own */
    if (st->cgroup >= 0 && st->phase == TUG_STEP_ENDING)
        tug_cgroup_kill(st->cgroup);
}

/* Its pid may be another's next. */
static void forget_orphan(struct tug_steps *s, pid_t pid)
{
    for (size_t i = 0; i < s->n_orphans; i++)
        if (s->orphans[i].pid == pid) {
            s->orphans[i] = s->orphans[--s->n_orphans];
            return;
        }
}

static bool is_daemon(const struct tug_step *st, pid_t pid)
{
    return st->pid == pid && (st->phase == TUG_STEP_RUNNING || (st->phase == TUG_STEP_ENDING && !st->reaped));
}

bool tug_steps_reap(struct tug_steps *s, int *noded_status)
{
    bool noded = false;
    struct rusage usage;
    int status;
    for (pid_t pid; (pid = wait4(-1, &status, WNOHANG, &usage)) > 0;) {
        if (pid == s->noded) {
            s->noded = 0;
            *noded_status = status;
            noded = true;
            continue;
        }
        forget_orphan(s, pid);
        for (size_t i = 0; i < s->n; i++) {
            struct tug_step *st = &s->at[i];
            if (is_daemon(st, pid)) {
                if (st->phase == TUG_STEP_RUNNING)
                    begin_ending(s, st);
                st->reaped = true;
                st->wait_status = status;
                st->usage = usage;
            } else if (st->phase == TUG_STEP_GONE && st->cleaner == pid) {
                char name[NAME_MAX_BYTES];
                st->cleaner = 0;
                unlinkat(s->dir, dir_name(st, name), AT_REMOVEDIR);
                if (st->told)
                    st->phase = TUG_STEP_FREE;
            }
        }
    }
    return noded;
}

static bool is_known(const struct tug_steps *s, pid_t pid)
{
    if (pid == s->noded)
        return true;
    for (size_t i = 0; i < s->n; i++) {
        const struct tug_step *st = &s->at[i];
        if (is_daemon(st, pid) || (st->phase == TUG_STEP_GONE && st->cleaner == pid))
            return true;
    }
    return false;
}

/* In which round it was found first. One that there is no room for is always new. */
static uint64_t orphan_round(struct tug_steps *s, pid_t pid)
{
    for (size_t i = 0; i < s->n_orphans; i++)
        if (s->orphans[i].pid == pid)
            return s->orphans[i].round;
    if (s->n_orphans < TUG_ORPHANS_MAX) {
        s->orphans[s->n_orphans].pid = pid;
        s->orphans[s->n_orphans++].round = s->round;
    }
    return s->round;
}

/* The pids of a list of children, 0-terminated in 'text' itself; -1: it cannot be read. */
static int read_children(const char *path, char *text, size_t size_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t len = read(fd, text, size_bytes - 1);
    close(fd);
    while (len > 0 && text[len - 1] != ' ')
        len--;                          /* a pid that was cut off is another process's */
    text[len > 0 ? len : 0] = 0;
    return 0;
}

/* What is below a process that stays does not become ours: SIGKILL to all of it. */
static void kill_below(struct tug_steps *s, pid_t pid, int depth)
{
    char path[64], text[4096], *end;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *d = depth < BELOW_MAX ? opendir(path) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char list[384];
        snprintf(list, sizeof list, "%s/%s/children", path, e->d_name);
        if (e->d_name[0] == '.' || read_children(list, text, sizeof text) < 0)
            continue;
        char *at = text;
        for (unsigned long child; (child = strtoul(at, &end, 10)) > 0 && end != at; at = end) {
            kill((pid_t) child, SIGKILL);
            s->below += child;
            s->n_below++;
            kill_below(s, (pid_t) child, depth + 1);
        }
    }
    if (d)
        closedir(d);
}

/* SIGKILL to every adopted orphan. Their children come to us in the next round, but for those of orphans that stay. In which
 * round was the last one found that is still here (0: there is none)? A step daemon can be waited for as soon as what it leaves is listed, and is
 * before the next listing: a step cannot have left what was found in a round before the last one that it lived in. */
static uint64_t kill_orphans(struct tug_steps *s)
{
    char text[65536], *end, *at = text;
    uint64_t last = 0;
    s->round++;
    s->below = s->n_below = 0;
    if (read_children("/proc/thread-self/children", text, sizeof text) < 0)
        return s->round;                /* cannot know: nothing is called gone */
    for (unsigned long pid; (pid = strtoul(at, &end, 10)) > 0 && end != at; at = end)
        if (!is_known(s, (pid_t) pid)) {
            uint64_t round = orphan_round(s, (pid_t) pid);
            kill((pid_t) pid, SIGKILL);
            if (round + STAYS_ROUNDS < s->round)
                kill_below(s, (pid_t) pid, 0);
            last = round > last ? round : last;
        }
    return last;
}

/* Remove what a user left in his own directory, as that user: root follows no path in there. */
static void remove_tree(int dir, const char *name, int depth)
{
    if (unlinkat(dir, name, 0) == 0 || depth > 64)
        return;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_tree(dirfd(d), e->d_name, depth + 1);
    closedir(d);
    unlinkat(dir, name, AT_REMOVEDIR);
}

static pid_t start_cleaner(struct tug_steps *s, const char *name, uid_t uid, gid_t gid)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid > 0 ? pid : 0;
    int dir = openat(s->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int fd = dir >= 0 && tug_drop(uid, gid, NULL, 0) == 0 ? openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_tree(fd, e->d_name, 0);
    _exit(0);
}

static void gone(struct tug_steps *s, struct tug_step *st)
{
    char name[NAME_MAX_BYTES];
    unconfine(s, st);
    st->phase = TUG_STEP_GONE;
    if (unlinkat(s->dir, dir_name(st, name), AT_REMOVEDIR) < 0 && errno != ENOENT)
        st->cleaner = start_cleaner(s, name, st->uid, st->gid);
}

/* An empty cgroup may still have members that are being buried, so both must be quiet; but whose orphans these are is not
 * certain where steps end at the same time, and nothing leaves a cgroup. */
static bool is_empty(const struct tug_step *st, uint64_t last_orphan, int64_t now_ms)
{
    if (!st->reaped)
        return false;
    bool none = !last_orphan || last_orphan < st->ending_round;
    if (st->cgroup < 0)
        return none;
    return tug_cgroup_empty(st->cgroup) && (none || now_ms > st->ending_ms + BURIAL_MAX_MS);
}

int tug_steps_sweep(struct tug_steps *s, int64_t now_ms)
{
    int64_t next_ms = -1;
    uint64_t last_orphan = 0, below = s->below, n_below = s->n_below;
    bool listed = false;
    for (size_t i = 0; i < s->n; i++) {
        struct tug_step *st = &s->at[i];
        if (st->phase != TUG_STEP_ENDING)
            continue;
        bool killed = st->cgroup >= 0 && tug_cgroup_kill(st->cgroup);
        if (!listed)
            last_orphan = kill_orphans(s);
        listed = true;
        if (!st->reaped && st->cgroup < 0)
            kill_below(s, st->pid, 0);
        if (is_empty(st, last_orphan, now_ms)) {
            gone(s, st);
            continue;
        }
        /* Without a cgroup: nobody has come who was not killed in the round before already. */
        st->killed = killed || (st->cgroup < 0 && last_orphan < s->round && s->below == below && s->n_below == n_below);
        int64_t wait_ms = (now_ms - st->ending_ms) / SWEEP_PART;
        wait_ms = wait_ms < SWEEP_MIN_MS ? SWEEP_MIN_MS : wait_ms > SWEEP_MAX_MS ? SWEEP_MAX_MS : wait_ms;
        if (next_ms < 0 || wait_ms < next_ms)
            next_ms = wait_ms;
    }
    return (int) next_ms;
}

size_t tug_steps_left(const struct tug_steps *s, const struct tug_step *st, pid_t out[TUG_WIRE_STUCK_MAX], size_t *all)
{
    size_t n = 0;
    if (st->cgroup >= 0)
        return tug_cgroup_pids(st->cgroup, out, TUG_WIRE_STUCK_MAX, all);
    *all = !st->reaped;
    if (!st->reaped)
        out[n++] = st->pid;
    for (size_t i = 0; i < s->n_orphans; i++)
        if (s->orphans[i].round >= st->ending_round && ++*all <= TUG_WIRE_STUCK_MAX)
            out[n++] = s->orphans[i].pid;
    return n;
}

void tug_steps_told(struct tug_steps *s, struct tug_step *st)
{
    (void) s;
    st->told = true;
    if (!st->cleaner)
        st->phase = TUG_STEP_FREE;
}

/* ---- at the start */

/* A step daemon locks its directory for as long as it lives: one of an earlier launcher may be ending its ranks. */
static void await_earlier(const struct tug_steps *s, const char *name, int *left_ms)
{
    int fd = openat(s->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    for (; flock(fd, LOCK_EX | LOCK_NB) < 0 && *left_ms > 0; *left_ms -= 10)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    if (*left_ms <= 0)
        tug_warn("step %s of an earlier launcher is still there", name);
    close(fd);
}

static int empty_dir(struct tug_steps *s, struct tug_err *err)
{
    int left_ms = EARLIER_MAX_MS;
    int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    struct stat st;
    if (!d)
        return tug_fail(err, -errno, "%s/steps cannot be listed: %s", s->run_dir, strerror(errno));
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.' || fstatat(s->dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        await_earlier(s, e->d_name, &left_ms);
        if (unlinkat(s->dir, e->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) == 0)
            continue;
        pid_t cleaner = start_cleaner(s, e->d_name, st.st_uid, st.st_gid);
        if (cleaner > 0)
            waitpid(cleaner, NULL, 0);
        unlinkat(s->dir, e->d_name, AT_REMOVEDIR);
    }
    closedir(d);
    return 0;
}

/* What an earlier launcher left in a cgroup, and does not end: it is ours to end now. */
static void adopt_step(struct tug_steps *s, const char *name)
{
    unsigned long long job;
    unsigned attempt, step;
    struct stat dir;
    struct tug_step *st = &s->at[s->n];
    if (s->n == TUG_STEPS_MAX || sscanf(name, "%llu.%u.%u", &job, &attempt, &step) != 3)
        return;
    *st = (struct tug_step){.job = job, .attempt = attempt, .step = step, .reaped = true};
    st->cgroup = tug_cgroup_reopen(s->cgroup, name);
    if (st->cgroup < 0)
        return;
    int has_dir = fstatat(s->dir, name, &dir, AT_SYMLINK_NOFOLLOW) == 0;
    st->uid = has_dir ? dir.st_uid : (uid_t) -1;
    st->gid = has_dir ? dir.st_gid : (gid_t) -1;
    tug_warn("step %s of an earlier launcher does not end", name);
    begin_ending(s, st);
    s->n++;
}

static void adopt(struct tug_steps *s)
{
    void *parts = NULL, *list = NULL;
    char part[NAME_MAX_BYTES], name[NAME_MAX_BYTES];
    while (s->cgroup >= 0 && tug_cgroup_next(s->cgroup, &parts, part)) {
        int fd = openat(s->cgroup, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        while (fd >= 0 && tug_cgroup_next(fd, &list, name))
            adopt_step(s, name);
        if (fd >= 0)
            close(fd);
    }
}

int tug_steps_open(struct tug_steps *s, struct tug_err *err)
{
    char path[4400];
    struct stat st;
    snprintf(path, sizeof path, "%s/steps", s->run_dir);
    /* 0711: a user can reach his step's directory, and cannot list the others' */
    if (mkdir(path, 0711) < 0 && errno != EEXIST)
        return tug_fail(err, -errno, "%s cannot be made: %s", path, strerror(errno));
    s->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->dir < 0 || fstat(s->dir, &st) < 0)
        return tug_fail(err, -errno, "%s cannot be opened: %s", path, strerror(errno));
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return tug_fail(err, -EPERM, "%s must belong to uid %u and be writable by nobody else; remove it", path,
                        geteuid());
    if (fchmod(s->dir, 0711) < 0)
        return tug_fail(err, -errno, "%s: %s", path, strerror(errno));
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return tug_fail(err, -errno, "cannot become the subreaper of steps: %s", strerror(errno));
    if (access("/proc/thread-self/children", R_OK) < 0)
        return tug_fail(err, -ENOSYS, "/proc/thread-self/children is needed to find what a step left behind, and this "
                        "kernel lacks it (CONFIG_PROC_CHILDREN)");
    if (access(s->stepd, X_OK) < 0)
        return tug_fail(err, -errno, "step daemon %s cannot be executed: %s", s->stepd, strerror(errno));
    adopt(s);
    return empty_dir(s, err);
}
