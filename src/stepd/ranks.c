/* ranks.c - the processes of a step on this node: started, signalled, reaped, and nothing left
 * behind
 *
 * vfork, because this process has threads (the PMIx library) and a page table that need not be
 * copied: the child shares our memory until it execs, so it may only make system calls, with all
 * signals blocked until their handlers are gone; it reports a failed exec through that shared
 * memory. Layer: stepd.
 */
#include "stepd/ranks.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "stepd/bind.h"
#include "stepd/env.h"

#define OOM_SCORE_ADJ "500"            /* as if each had half of the node's memory, or of the job's, more */
/* Of a process in the kernel (linux/sched.h, in proc(5)'s flags): it exits, dumps its core, or a signal ends it. */
#define PF_EXITING  0x4ul
#define PF_DUMPCORE 0x200ul
#define PF_SIGNALED 0x400ul

struct rank {
    pid_t pid; /* 0: not started, or gone */
    int pidfd; /* of that; -1 where there is none */
    bool dying; /* it was when ranks were told to end */
};

struct tug_ranks {
    const struct tug_payload *p;
    struct rank *at; /* n_local */
    unsigned living;
    bool told;  /* to end */
    int deaths; /* epoll: gives the pidfds of ranks in the order in which these died, which waitpid() does not */
    struct tug_bind *bind; /* NULL: ranks are not bound */
    bool memory_warned;
    char **argv;  /* NULL at the end; argv[0] is what is looked for */
    char *script; /* path of the batch script, or NULL */
    char *interpreter, *interpreter_arg;
};

/* ---- what to run ---- */

/* "#!interpreter [one argument]" as the kernel reads it. Done here and not by the kernel so that a
 * run directory on a noexec mount is no obstacle. */
static void read_interpreter(struct tug_ranks *r, const char *s, size_t len)
{
    const char *end = memchr(s, '\n', len), *at, *to;

    if (!end)
        end = s + len;
    while (end > s && isspace((unsigned char) end[-1]))
        end--;
    if (end - s < 3 || s[0] != '#' || s[1] != '!') {
        r->interpreter = tug_xstrdup("/bin/sh");
        return;
    }
    for (at = s + 2; at < end && isspace((unsigned char) *at); at++)
        ;
    for (to = at; to < end && !isspace((unsigned char) *to); to++)
        ;
    r->interpreter = tug_xasprintf("%.*s", (int) (to - at), at);
    while (to < end && isspace((unsigned char) *to))
        to++;
    if (to < end)
        r->interpreter_arg = tug_xasprintf("%.*s", (int) (end - to), to);
}

static int write_script(struct tug_ranks *r, const char *run_dir, struct tug_err *err)
{
    const ProtobufCBinaryData *script = &r->p->spec->script;
    size_t done = 0;
    int fd;

    r->script = tug_xasprintf("%s/script", run_dir);
    unlink(r->script);
    fd = open(r->script, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    while (fd >= 0 && done < script->len) {
        ssize_t n = write(fd, script->data + done, script->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        done += (size_t) n;
    }
    if (fd < 0 || done < script->len) {
        int rc = tug_fail(err, -errno, "cannot write the batch script to %s: %s", r->script,
                          strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    close(fd);
    read_interpreter(r, (const char *) script->data, script->len);
    return 0;
}

static void make_argv(struct tug_ranks *r)
{
    const Tugpb__JobSpec *spec = r->p->spec;
    size_t n = 0;

    r->argv = tug_xcalloc(spec->n_argv + 4, sizeof *r->argv);
    if (r->script) {
        r->argv[n++] = r->interpreter;
        if (r->interpreter_arg)
            r->argv[n++] = r->interpreter_arg;
        r->argv[n++] = r->script;
    }
    for (size_t i = 0; i < spec->n_argv; i++)
        r->argv[n++] = spec->argv[i];
}

int tug_ranks_new(struct tug_ranks **out, const struct tug_payload *p, const char *run_dir,
                  struct tug_err *err)
{
    struct tug_ranks *r = tug_new(struct tug_ranks);
    int rc = 0;

    r->p = p;
    r->deaths = epoll_create1(EPOLL_CLOEXEC);
    r->at = tug_xcalloc(p->n_local ? p->n_local : 1, sizeof *r->at);
    if (p->batch && p->n_local)
        rc = write_script(r, run_dir, err);
    if (rc < 0) {
        tug_ranks_free(r);
        return rc;
    }
    make_argv(r);
    if (p->slice->cpu_mask.len) {
        uint16_t core_of[CPU_SETSIZE];
        tug_bind_cores(p, core_of);
        r->bind = tug_bind_new(p, core_of);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    *out = r;
    return 0;
}

void tug_ranks_free(struct tug_ranks *r)
{
    if (!r)
        return;
    if (r->script)
        unlink(r->script);
    if (r->deaths >= 0)
        close(r->deaths);
    free(r->script);
    free(r->bind);
    free(r->interpreter);
    free(r->interpreter_arg);
    free(r->argv);
    free(r->at);
    free(r);
}

static int not_run(struct tug_rank_end *end, int exit_code, struct tug_err *err, int code,
                   const char *sentence)
{
    end->exit_code = exit_code;
    return tug_fail(err, code, "%s", sentence);
}

/* The file behind the command, as execvp would find it but in the job's PATH and directory. NULL
 * with *exit_code and the sentence when there is none. */
static char *find_program(const struct tug_ranks *r, char **env, struct tug_rank_end *end,
                          struct tug_err *err)
{
    const char *cmd = r->argv[0], *path = tug_rank_env_get(env, "PATH"), *cwd = r->p->spec->cwd;
    bool seen = false, has_slash = strchr(cmd, '/') != NULL;
    const char *rest = has_slash || !path ? "" : path, *at;
    char text[512];
    size_t len;

    while (tug_str_split(&rest, ':', &at, &len)) {
        struct stat st;
        char *dir = len == 0       ? tug_xstrdup(cwd)
                    : at[0] == '/' ? tug_xasprintf("%.*s", (int) len, at)
                                   : tug_xasprintf("%s/%.*s", cwd, (int) len, at);
        char *file = cmd[0] == '/' ? tug_xstrdup(cmd) : tug_xasprintf("%s/%s", dir, cmd);
        free(dir);
        if (stat(file, &st) == 0) {
            seen = true;
            if (S_ISREG(st.st_mode) && access(file, X_OK) == 0)
                return file;
            if (has_slash && S_ISDIR(st.st_mode))
                snprintf(text, sizeof text, "command '%s' is a directory", cmd);
            else
                snprintf(text, sizeof text, "command '%s' is not executable; try: chmod +x %s", cmd,
                         file);
        }
        free(file);
    }
    if (seen)
        not_run(end, TUG_EXIT_NOT_RUN, err, -EACCES, text);
    else if (r->script)
        not_run(
            end, TUG_EXIT_NOT_FOUND, err, -ENOENT,
            (snprintf(text, sizeof text, "the script's interpreter '%s' does not exist on node %s",
                      cmd, r->p->node),
             text));
    else
        not_run(end, TUG_EXIT_NOT_FOUND, err, -ENOENT,
                (snprintf(text, sizeof text,
                          has_slash ? "command '%s' does not exist on node %s"
                                    : "command '%s' not found in PATH on node %s",
                          cmd, r->p->node),
                 text));
    return NULL;
}

/* ---- spawning ---- */

struct start {
    const struct tug_payload *p;
    const char *file;
    char *const *argv;
    char *const *env;
    const int *fds;
    const cpu_set_t *cpus; /* NULL: not bound */
    uint64_t numa;         /* whose memory is preferred; 0 = any's */
    pid_t parent;
    volatile int memory_error; /* errno of preferring it: the rank runs all the same */
    volatile int error;        /* errno of what failed in the child ... */
    const char *volatile what; /* ... and what that was */
};

/* Runs in the child, in our memory: system calls only. */
static void child_fail(struct start *s, const char *what)
{
    s->error = errno;
    s->what = what;
    _exit(TUG_EXIT_NOT_RUN);
}

static void set_limits(const struct tug_payload *p)
{
    for (size_t i = 0; i + 1 < p->spec->n_rlimits; i += 2) {
        struct rlimit lim;
        int what = (int) p->spec->rlimits[i];
        if (getrlimit(what, &lim))
            continue;
        lim.rlim_cur =
            p->spec->rlimits[i + 1] < lim.rlim_max ? p->spec->rlimits[i + 1] : lim.rlim_max;
        setrlimit(what, &lim);
    }
}

/* For memory the kernel kills ranks before their step daemon, which tells what happened, and before anything else of the node. */
static void be_killed_first(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, OOM_SCORE_ADJ, sizeof OOM_SCORE_ADJ - 1) < 0) {
        /* it is larger already */
    }
    close(fd);
}

static void child(struct start *s)
{
    unsigned long dfl[8] = {
        0}; /* SIG_DFL in the kernel's words: libc keeps some signals to itself */
    sigset_t none;

    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != s->parent) /* it died before the line above */
        _exit(TUG_EXIT_NOT_RUN);
    if (s->cpus)
        sched_setaffinity(0, sizeof *s->cpus,
                          s->cpus); /* an emulated node may name CPUs that aren't there */
    if (s->numa)
        s->memory_error = -tug_bind_memory(s->numa);
    set_limits(s->p);
    be_killed_first();
    umask(s->p->spec->umask & 0777);
    if (chdir(s->p->spec->cwd))
        child_fail(s, "entering the working directory");
    for (int i = 0; i < 3; i++)
        if (dup2(s->fds[i], i) < 0)
            child_fail(s, "connecting standard input and output");
    syscall(SYS_close_range, 3u, ~0u, 0u);
    for (int i = 1; i < NSIG; i++)
        syscall(SYS_rt_sigaction, i, dfl, NULL, (NSIG - 1) / 8);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(s->file, s->argv, s->env);
    child_fail(s, NULL);
}

static __attribute__((noinline)) pid_t start_child(struct start *s)
{
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = vfork();
    if (pid == 0)
        child(s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

static int explain(const struct start *s, struct tug_rank_end *end, struct tug_err *err)
{
    char text[512];

    if (s->what)
        snprintf(text, sizeof text, "cannot start '%s' on node %s: %s (%s): %s", s->argv[0],
                 s->p->node, s->what, s->p->spec->cwd, strerror(s->error));
    else if (s->error == ENOENT)
        snprintf(text, sizeof text,
                 "cannot run '%s' on node %s: the interpreter named in it does not exist", s->file,
                 s->p->node);
    else
        snprintf(text, sizeof text, "cannot run '%s' on node %s: %s", s->file, s->p->node,
                 strerror(s->error));
    return not_run(end, s->error == ENOENT && !s->what ? TUG_EXIT_NOT_FOUND : TUG_EXIT_NOT_RUN, err,
                   -s->error, text);
}

/* A text file without "#!" is a shell script, as for execvp. */
static void retry_as_script(struct tug_ranks *r, struct start *s, char *file, pid_t *pid)
{
    size_t n = 0;
    char **argv;

    while (r->argv[n])
        n++;
    argv = tug_xcalloc(n + 3, sizeof *argv);
    argv[0] = "/bin/sh";
    argv[1] = file;
    memcpy(argv + 2, r->argv + 1, n * sizeof *argv);
    waitpid(*pid, NULL, 0);
    s->file = "/bin/sh";
    s->argv = argv;
    s->error = 0;
    *pid = start_child(s);
    s->argv = r->argv;
    free(argv);
}

/* Once a step. */
static void warn_memory(struct tug_ranks *r, const struct start *s, unsigned local)
{
    if (!s->memory_error || r->memory_warned)
        return;
    r->memory_warned = true;
    tug_warn("job %llu: rank %u on node %s cannot prefer the memory next to its GPUs (%s); it gets "
             "that of the CPU which touches it first",
             (unsigned long long) r->p->pb->key->job, tug_payload_rank(r->p, local), r->p->node,
             strerror(s->memory_error));
}

static void await_death(struct tug_ranks *r, unsigned local)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = local};

    r->at[local].pidfd = (int) syscall(SYS_pidfd_open, r->at[local].pid, 0u);
    if (r->at[local].pidfd >= 0)
        epoll_ctl(r->deaths, EPOLL_CTL_ADD, r->at[local].pidfd, &ev);
}

int tug_ranks_spawn(struct tug_ranks *r, unsigned local, char **env, const int fds[3],
                    struct tug_rank_end *end, struct tug_err *err)
{
    struct start s = {.p = r->p, .argv = r->argv, .env = env, .fds = fds, .parent = getpid()};
    char *file;
    pid_t pid;
    int rc = 0;

    *end = (struct tug_rank_end){.local = local, .by_itself = true};
    file = find_program(r, env, end, err);
    if (!file)
        return -ENOENT;
    s.file = file;
    if (r->bind) {
        s.cpus = tug_bind_cpus(r->bind, local);
        s.numa = tug_bind_numa(r->bind, local);
    }
    pid = start_child(&s);
    if (pid > 0 && s.error == ENOEXEC && !s.what)
        retry_as_script(r, &s, file, &pid);
    if (pid < 0) {
        end->exit_code = TUG_EXIT_NOT_RUN;
        rc = tug_fail(err, -errno, "cannot start a process for rank %u on node %s: %s",
                      tug_payload_rank(r->p, local), r->p->node, strerror(errno));
    } else if (s.error) {
        waitpid(pid, NULL, 0);
        rc = explain(&s, end, err);
    } else {
        r->at[local].pid = pid;
        await_death(r, local);
        r->living++;
        warn_memory(r, &s, local);
    }
    free(file);
    return rc;
}

/* ---- ending ---- */

static unsigned rank_of(const struct tug_ranks *r, pid_t pid)
{
    unsigned i = 0;

    while (i < r->p->n_local && r->at[i].pid != pid)
        i++;
    return i;
}

/* Who of those that can be waited for was the first: a rank, or what ranks have left. 0: nobody. */
static pid_t next_dead(const struct tug_ranks *r)
{
    struct epoll_event ev;
    siginfo_t some = {0};

    if (epoll_wait(r->deaths, &ev, 1, 0) == 1)
        return r->at[ev.data.u32].pid;
    if (waitid(P_ALL, 0, &some, WEXITED | WNOHANG | WNOWAIT) < 0 || !some.si_pid)
        return 0;
    if (rank_of(r, some.si_pid) < r->p->n_local && epoll_wait(r->deaths, &ev, 1, 0) == 1)
        return r->at[ev.data.u32].pid; /* they died just now */
    return some.si_pid;
}

static void take_end(struct tug_ranks *r, unsigned local, int st, struct tug_rank_end *end)
{
    struct rank *rank = &r->at[local];

    if (rank->pidfd >= 0)
        close(rank->pidfd);
    rank->pid = 0;
    r->living--;
    *end = (struct tug_rank_end){.local = local, .by_itself = !r->told || rank->dying};
    if (WIFSIGNALED(st)) {
        end->signal = WTERMSIG(st);
        end->core_dumped = WCOREDUMP(st);
    } else {
        end->exit_code = WEXITSTATUS(st);
    }
}

bool tug_ranks_reap(struct tug_ranks *r, struct tug_rank_end *end)
{
    pid_t pid;
    int st;

    while ((pid = next_dead(r)) > 0) {
        unsigned local = rank_of(r, pid);

        if (waitpid(pid, &st, WNOHANG) != pid)
            return false; /* somebody traces it */
        if (local == r->p->n_local)
            continue;
        take_end(r, local, st, end);
        return true;
    }
    return false;
}

unsigned tug_ranks_living(const struct tug_ranks *r)
{
    return r->living;
}

pid_t tug_ranks_pid(const struct tug_ranks *r, unsigned local)
{
    return r->at[local].pid;
}

void tug_ranks_signal(struct tug_ranks *r, int signo)
{
    for (unsigned i = 0; i < r->p->n_local; i++)
        if (r->at[i].pid)
            kill(-r->at[i].pid, signo);
}

char *tug_ranks_name_living(const struct tug_ranks *r, char *out, size_t size)
{
    struct tug_buf b = {0};

    for (unsigned i = 0; i < r->p->n_local; i++)
        if (r->at[i].pid)
            tug_buf_addf(&b, "%s%u (pid %d)", b.len ? ", " : "", tug_payload_rank(r->p, i),
                         (int) r->at[i].pid);
    tug_str_copy(out, size, tug_buf_str(&b));
    tug_buf_clear(&b);
    return out;
}

/* Its state and its flags go to where these point, if they do. */
static pid_t parent_of(const char *pid, char *state, unsigned long *flags)
{
    char path[64], text[512], *end;
    int fd;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    end = strrchr(text, ')'); /* the name in brackets may hold anything */
    if (state && end && end[1] && end[2])
        *state = end[2];
    if (flags && end)
        sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %lu", flags);
    return end && end[1] && end[2] ? (pid_t) strtol(end + 4, NULL, 10) : 0;
}

static bool is_dying(pid_t pid)
{
    char text[16], state = 0;
    unsigned long flags = 0;

    snprintf(text, sizeof text, "%d", (int) pid);
    parent_of(text, &state, &flags);
    return state == 'Z' || state == 'X' || (flags & (PF_EXITING | PF_DUMPCORE | PF_SIGNALED));
}

void tug_ranks_told(struct tug_ranks *r)
{
    r->told = true;
    for (unsigned i = 0; i < r->p->n_local; i++)
        r->at[i].dying = r->at[i].pid && is_dying(r->at[i].pid);
}

struct pair {
    pid_t pid, parent;
    char state; /* as in proc(5); 0: it has gone */
    bool mine;
};
struct pairs tug_vec(struct pair);

static void list_processes(struct pairs *all)
{
    DIR *d = opendir("/proc");
    struct dirent *ent;

    while (d && (ent = readdir(d))) {
        struct pair p = {0};

        if (!isdigit((unsigned char) ent->d_name[0]))
            continue;
        p.pid = (pid_t) strtol(ent->d_name, NULL, 10);
        p.parent = parent_of(ent->d_name, &p.state, NULL);
        tug_vec_push(all, p);
    }
    if (d)
        closedir(d);
}

/* Marks what is below 'me'; how many. */
static size_t mark_mine(struct pairs *all, pid_t me)
{
    size_t n = 0, before;

    do {
        before = n;
        for (size_t i = 0; i < all->len; i++) {
            bool below = all->at[i].parent == me;

            for (size_t k = 0; k < all->len && !below && !all->at[i].mine; k++)
                below = all->at[k].mine && all->at[k].pid == all->at[i].parent;
            if (!below || all->at[i].mine)
                continue;
            all->at[i].mine = true;
            n++;
        }
    } while (n > before);
    return n;
}

/* Again as long as more are found: a process may fork while it is being looked for. What is
 * orphaned becomes a child of this process, so nothing is missed. */
void tug_ranks_signal_all(int signo)
{
    size_t found = 0, n = 0;

    for (int turn = 0; turn < 8 && (turn == 0 || n > found); turn++) {
        struct pairs all = {0};

        found = n;
        list_processes(&all);
        n = mark_mine(&all, getpid());
        for (size_t i = 0; i < all.len; i++)
            if (all.at[i].mine)
                kill(all.at[i].pid, signo);
        tug_vec_clear(&all);
    }
}

bool tug_ranks_all_stopped(void)
{
    struct pairs all = {0};
    bool stopped = true;

    list_processes(&all);
    mark_mine(&all, getpid());
    for (size_t i = 0; i < all.len; i++)
        if (all.at[i].mine && all.at[i].state && !strchr("TtZX", all.at[i].state))
            stopped = false;
    tug_vec_clear(&all);
    return stopped;
}

size_t tug_ranks_free_vforks(void)
{
    struct pairs all = {0};
    size_t n = 0;

    list_processes(&all);
    mark_mine(&all, getpid());
    for (size_t i = 0; i < all.len; i++) {
        if (!all.at[i].mine || all.at[i].state != 'D')
            continue;
        for (size_t k = 0; k < all.len; k++)
            if (all.at[k].parent == all.at[i].pid && all.at[k].state == 'T')
                n += kill(all.at[k].pid, SIGCONT) == 0;
    }
    tug_vec_clear(&all);
    return n;
}

bool tug_ranks_sweep(struct tug_ranks *r)
{
    struct tug_rank_end end;
    pid_t me = getpid();
    struct dirent *ent;
    DIR *d;

    while (tug_ranks_reap(r, &end))
        ;
    if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
        return true;
    d = opendir("/proc");
    while (d && (ent = readdir(d)))
        if (isdigit((unsigned char) ent->d_name[0]) && parent_of(ent->d_name, NULL, NULL) == me)
            kill((pid_t) strtol(ent->d_name, NULL, 10), SIGKILL);
    if (d)
        closedir(d);
    return false;
}
