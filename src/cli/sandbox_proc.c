/* sandbox_proc.c - the processes of a sandbox: start, remember, know again, end
 *
 * A process is known by its pid and its start time, so that no later process of the same pid is
 * ever hit. Each is started as the leader of a session of its own; what a killed launcher leaves
 * behind is found by that. Layer: cli.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/version.h"
#include "cli/sandbox.h"
#include "host/proc.h"

#define TERM_MS 8000 /* for the launchers to end what they started */
#define KILL_MS 5000
#define POLL_MS 5

void tug_sandbox_procs_clear(struct tug_sandbox_procs *p)
{
    for (size_t i = 0; i < p->len; i++)
        free(p->at[i].name);
    tug_vec_clear(p);
}

/* ---- remember ---- */

int tug_sandbox_load(const char *dir, struct tug_sandbox_procs *out, struct tug_err *err)
{
    char path[TUG_PATH_MAX], name[256];
    long pid;
    uint64_t ticks;
    snprintf(path, sizeof path, "%s/sandbox.state", dir);
    FILE *f = fopen(path, "re");
    if (!f)
        return tug_fail(err, -errno,
                        errno == ENOENT
                            ? "there is no sandbox in %s; start one with: tug sandbox start"
                            : "%s/sandbox.state cannot be read",
                        dir);
    while (fscanf(f, "%ld %" SCNu64 " %255s", &pid, &ticks, name) == 3)
        if (pid > 1)
            tug_vec_push(out, ((struct tug_sandbox_proc){(pid_t) pid, ticks, tug_xstrdup(name)}));
    fclose(f);
    return 0;
}

int tug_sandbox_save(const char *dir, const struct tug_sandbox_procs *p, struct tug_err *err)
{
    char path[TUG_PATH_MAX], fresh[TUG_PATH_MAX];
    snprintf(path, sizeof path, "%s/sandbox.state", dir);
    snprintf(fresh, sizeof fresh, "%s/sandbox.state.new", dir);
    FILE *f = fopen(fresh, "we");
    if (!f)
        return tug_fail(err, -errno, "%s: %s", fresh, strerror(errno));
    for (size_t i = 0; i < p->len; i++)
        fprintf(f, "%ld %" PRIu64 " %s\n", (long) p->at[i].pid, p->at[i].ticks, p->at[i].name);
    if (fclose(f) != 0 || rename(fresh, path) < 0)
        return tug_fail(err, -errno, "%s: %s", path, strerror(errno));
    return 0;
}

bool tug_sandbox_alive(const struct tug_sandbox_proc *p)
{
    uint64_t ticks;
    siginfo_t info = {0};
    /* Our own dead child is no longer alive, though /proc still has it. */
    if (waitid(P_PID, (id_t) p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == p->pid)
        return false;
    return tug_proc_start_ticks(p->pid, &ticks, NULL) == 0 && ticks == p->ticks;
}

size_t tug_sandbox_alive_n(const struct tug_sandbox_procs *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->len; i++)
        n += tug_sandbox_alive(&p->at[i]);
    return n;
}

/* ---- end ---- */

static void signal_all(const struct tug_sandbox_procs *p, int signo)
{
    for (size_t i = 0; i < p->len; i++)
        if (tug_sandbox_alive(&p->at[i]))
            kill(p->at[i].pid, signo);
}

static bool await_end(const struct tug_sandbox_procs *p, int ms)
{
    for (int waited = 0; tug_sandbox_alive_n(p); waited += POLL_MS) {
        if (waited >= ms)
            return false;
        nanosleep(&(struct timespec){0, POLL_MS * 1000000L}, NULL);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
    return true;
}

/* Session of a process, 0 = gone. A zombie counts as gone. */
static pid_t session_of(pid_t pid)
{
    char path[64], text[512], state;
    int sid = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int) pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *at = strrchr(text, ')');
    if (!at || sscanf(at + 1, " %c %*d %*d %d", &state, &sid) != 2 || state == 'Z')
        return 0;
    return (pid_t) sid;
}

/* SIGKILL to all that is still in one of the sessions; how many there were. */
static size_t kill_sessions(const struct tug_sandbox_procs *p)
{
    DIR *d = opendir("/proc");
    size_t n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        pid_t pid = isdigit((unsigned char) e->d_name[0]) ? (pid_t) atoi(e->d_name) : 0;
        pid_t sid = pid ? session_of(pid) : 0;
        for (size_t i = 0; sid && i < p->len; i++)
            if (p->at[i].pid == sid && pid != sid) {
                kill(pid, SIGKILL);
                n++;
            }
    }
    if (d)
        closedir(d);
    return n;
}

int tug_sandbox_end(const struct tug_sandbox_procs *p, struct tug_err *err)
{
    signal_all(p, SIGTERM);
    if (!await_end(p, TERM_MS)) {
        signal_all(p, SIGKILL);
        if (!await_end(p, KILL_MS))
            return tug_fail(
                err, -ETIMEDOUT,
                "%zu processes of the sandbox don't end, even by SIGKILL; the first is pid %d (%s)",
                tug_sandbox_alive_n(p), (int) p->at[0].pid, p->at[0].name);
    }
    for (int waited = 0; kill_sessions(p) > 0 && waited < KILL_MS; waited += POLL_MS)
        nanosleep(&(struct timespec){0, POLL_MS * 1000000L}, NULL);
    return 0;
}

/* ---- start ---- */

static void become(char *const *argv, int log_fd, int ready_fd)
{
    int null = open("/dev/null", O_RDONLY);
    sigset_t none;
    sigemptyset(&none);
    for (int s = 1; s < 32; s++)
        signal(s, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    dup2(null, 0);
    dup2(log_fd, 1);
    dup2(log_fd, 2);
    if (ready_fd >= 0)
        dup2(ready_fd, 3);
    for (int fd = ready_fd >= 0 ? 4 : 3; fd < 256; fd++)
        close(fd);
    execv(argv[0], argv);
    dprintf(2, "%s cannot be run: %s\n", argv[0], strerror(errno));
    _exit(127);
}

int tug_sandbox_spawn(struct tug_sandbox_procs *procs, const char *name, char *const *argv,
                      const char *log, int ready_fd, struct tug_err *err)
{
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return tug_fail(err, -errno, "%s: %s", log, strerror(errno));
    sigset_t all, before; /* no handler of ours may run in the child */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        become(argv, fd, ready_fd);
    sigprocmask(SIG_SETMASK, &before, NULL);
    int rc = pid < 0 ? tug_fail(err, -errno, "starting %s: %s", argv[0], strerror(errno)) : 0;
    close(fd);
    if (rc)
        return rc;
    struct tug_sandbox_proc p = {pid, 0, tug_xstrdup(name)};
    tug_proc_start_ticks(pid, &p.ticks, NULL); /* it cannot be reaped before we do it */
    tug_vec_push(procs, p);
    return 0;
}

int tug_sandbox_program(const char *name, char out[TUG_PATH_MAX], struct tug_err *err)
{
    static const char *const beside[] = {"", "/../sbin", "/../libexec/tugline", "/../bin"};
    static const char *const installed[] = {TUG_SBINDIR, TUG_LIBEXECDIR, TUG_BINDIR};
    char self[TUG_PATH_MAX - 300]; /* leaves room for what is put behind it */
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; i < sizeof beside / sizeof *beside && slash; i++) {
        snprintf(out, TUG_PATH_MAX, "%s%s/%s", self, beside[i], name);
        if (access(out, X_OK) == 0)
            return 0;
    }
    for (size_t i = 0; i < sizeof installed / sizeof *installed; i++) {
        snprintf(out, TUG_PATH_MAX, "%s/%s", installed[i], name);
        if (access(out, X_OK) == 0)
            return 0;
    }
    return tug_fail(
        err, -ENOENT,
        "the program %s is not beside tug (%s) and not installed (%s, %s); build or install it",
        name, self, TUG_SBINDIR, TUG_LIBEXECDIR);
}
