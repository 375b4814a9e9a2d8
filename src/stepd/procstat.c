/* procstat.c - what the processes of a rank do, read from /proc
 *
 * Formats: proc(5), and for /proc/PID/wchan and syscall the kernel's fs/proc/base.c. Both need the right to trace the
 * process, which its own user has unless the kernel is told otherwise; without it the place is not known.
 * Layer: stepd.
 */
#include "stepd/procstat.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "base/vec.h"

#define PROCESSES_MAX 256
#define THREADS_MAX   512 /* of a process, that are asked for children */

struct process {
    pid_t pid;
    char state;
    char name[16];
    uint64_t own, all; /* clock ticks: its own, and with those of children that it has waited for */
    unsigned threads;
    bool has_children;
};
struct processes tug_vec(struct process);

static size_t read_text(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static size_t read_text(char *out, size_t size, const char *fmt, ...)
{
    char path[96];
    va_list ap;
    int fd;
    ssize_t n;

    va_start(ap, fmt);
    vsnprintf(path, sizeof path, fmt, ap);
    va_end(ap);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, out, size - 1);
    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t) n : 0;
}

/* "4711 (name) S 1 ...": the name may hold anything, also brackets and blanks. */
static bool read_stat(pid_t pid, struct process *p)
{
    char text[1024], *open_at, *at;
    unsigned long long utime, stime;
    long long cutime, cstime;
    long threads;

    *p = (struct process){.pid = pid};
    if (!read_text(text, sizeof text, "/proc/%d/stat", (int) pid))
        return false;
    open_at = strchr(text, '(');
    at = strrchr(text, ')');
    if (!open_at || !at || at < open_at)
        return false;
    *at = 0;
    tug_str_copy(p->name, sizeof p->name, open_at + 1);
    if (sscanf(at + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld %*d %*d %ld",
               &p->state, &utime, &stime, &cutime, &cstime, &threads) != 6)
        return false;
    p->own = utime + stime;
    p->all = p->own + (uint64_t) cutime + (uint64_t) cstime;
    p->threads = threads > 0 ? (unsigned) threads : 1;
    return true;
}

static uint64_t io_of(pid_t pid)
{
    char text[512];
    unsigned long long in, out;

    if (!read_text(text, sizeof text, "/proc/%d/io", (int) pid) ||
        sscanf(text, "rchar: %llu wchar: %llu", &in, &out) != 2)
        return 0;
    return in + out;
}

/* ---- the tree ---- */

static void add_process(struct processes *all, pid_t pid)
{
    struct process p;

    if (all->len < PROCESSES_MAX && read_stat(pid, &p))
        tug_vec_push(all, p);
}

static void add_children_of(struct processes *all, pid_t pid, pid_t thread)
{
    char text[4096], *at = text, *end;

    if (!read_text(text, sizeof text, "/proc/%d/task/%d/children", (int) pid, (int) thread))
        return;
    for (;; at = end) {
        long child = strtol(at, &end, 10);
        if (end == at || child <= 0)
            return;
        add_process(all, (pid_t) child);
    }
}

/* A child belongs to the thread that forked it. */
static void add_children(struct processes *all, const struct process *p)
{
    char path[64];
    struct dirent *ent;
    DIR *d;

    if (p->threads <= 1) {
        add_children_of(all, p->pid, p->pid);
        return;
    }
    snprintf(path, sizeof path, "/proc/%d/task", (int) p->pid);
    d = opendir(path);
    for (unsigned n = 0; d && n < THREADS_MAX && (ent = readdir(d));)
        if (isdigit((unsigned char) ent->d_name[0])) {
            add_children_of(all, p->pid, (pid_t) strtol(ent->d_name, NULL, 10));
            n++;
        }
    if (d)
        closedir(d);
}

/* ---- where it sleeps ---- */

static const char *const waits[] = {
    "futex",      "ep_poll",   "do_epoll",  "poll_sched", "do_poll",  "do_sys_poll", "do_select",     "do_pselect",
    "sk_wait",    "wait_wok",  "inet_csk",  "inet_wait",  "tcp_",     "unix_stream", "unix_wait",     "skb_wait",
    "__skb_wait", "skb_recv",  "pipe_read", "pipe_wait",  "anon_pipe", "eventfd_",   "io_cqring_wait", "do_msgrcv",
    "do_semtimed"};

bool tug_procstat_is_wait(const char *function)
{
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        if (tug_str_has_prefix(function, waits[i]))
            return true;
    return false;
}

static const struct {
    long number;
    const char *name;
    bool wait;
} calls[] = {
#ifdef SYS_poll
    {SYS_poll, "poll", true},
    {SYS_select, "select", true},
    {SYS_epoll_wait, "epoll_wait", true},
    {SYS_nanosleep, "nanosleep", false},
    {SYS_pause, "pause", false},
#endif
    {SYS_futex, "futex", true},
    {SYS_ppoll, "ppoll", true},
    {SYS_pselect6, "pselect6", true},
    {SYS_epoll_pwait, "epoll_pwait", true},
    {SYS_recvfrom, "recvfrom", true},
    {SYS_recvmsg, "recvmsg", true},
    {SYS_accept, "accept", true},
    {SYS_accept4, "accept4", true},
    {SYS_connect, "connect", true},
    {SYS_wait4, "do_wait", false},
    {SYS_clock_nanosleep, "clock_nanosleep", false},
};

/* Kernels that keep the function to themselves may still tell the system call. */
static enum tug_doing by_call(pid_t pid, char *where, size_t size)
{
    char text[128];
    long number;

    if (!read_text(text, sizeof text, "/proc/%d/syscall", (int) pid) || sscanf(text, "%ld", &number) != 1)
        return TUG_DOING_UNKNOWN;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i].number == number) {
            tug_str_copy(where, size, calls[i].name);
            return calls[i].wait ? TUG_DOING_WAITS : TUG_DOING_SLEEPS;
        }
    return TUG_DOING_UNKNOWN;
}

static enum tug_doing by_function(pid_t pid, char *where, size_t size)
{
    char text[64];

    read_text(text, sizeof text, "/proc/%d/wchan", (int) pid);
    if (!text[0] || strcmp(text, "0") == 0)
        return by_call(pid, where, size);
    text[strcspn(text, ".")] = 0; /* what compilers append: "poll_schedule_timeout.constprop.0" */
    tug_str_copy(where, size, text);
    return tug_procstat_is_wait(text) ? TUG_DOING_WAITS : TUG_DOING_SLEEPS;
}

static enum tug_doing doing_of(const struct process *p, char *where, size_t size)
{
    enum tug_doing d;

    where[0] = 0;
    switch (p->state) {
    case 'R':
        return TUG_DOING_RUNS;
    case 'D':
        d = by_function(p->pid, where, size);
        return d == TUG_DOING_WAITS ? TUG_DOING_WAITS : TUG_DOING_BLOCKS;
    case 'S':
    case 'I':
        return by_function(p->pid, where, size);
    default:
        return TUG_DOING_UNKNOWN;
    }
}

/* ---- which of them counts ---- */

static bool find_stopped(const struct processes *all, struct tug_look *out, pid_t *worker)
{
    for (size_t i = 0; i < all->len; i++) {
        const struct process *p = &all->at[i];
        if (p->state != 'T' && p->state != 't')
            continue;
        out->doing = p->state == 'T' ? TUG_DOING_STOPPED : TUG_DOING_TRACED;
        snprintf(out->where, sizeof out->where, "%s, pid %d", p->name, (int) p->pid);
        *worker = p->pid;
        return true;
    }
    return false;
}

static void find_worker(const struct processes *all, struct tug_look *out, pid_t *worker)
{
    uint64_t under = UINT64_MAX;
    size_t before = all->len;

    /* The one with the most CPU, of equal ones the last, which is further down; and then the next one, as long as it
     * only waits for a child. */
    for (size_t turn = 0; turn < all->len; turn++) {
        size_t best = all->len;
        for (size_t i = 0; i < all->len; i++) {
            const struct process *p = &all->at[i];
            bool later = p->own < under || (p->own == under && i < before);
            if (p->state != 'Z' && later && (best == all->len || p->own >= all->at[best].own))
                best = i;
        }
        if (best == all->len)
            return;
        under = all->at[best].own;
        before = best;
        *worker = all->at[best].pid;
        out->doing = doing_of(&all->at[best], out->where, sizeof out->where);
        if (!(all->at[best].has_children && strcmp(out->where, "do_wait") == 0))
            return;
    }
}

size_t tug_procstat_list(pid_t pid, pid_t *out, size_t max)
{
    struct processes all = {0};
    size_t n;

    add_process(&all, pid);
    for (size_t i = 0; i < all.len && all.len < max; i++) {
        struct process p = all.at[i];
        add_children(&all, &p);
    }
    for (n = 0; n < all.len && n < max; n++)
        out[n] = all.at[n].pid;
    tug_vec_clear(&all);
    return n;
}

void tug_procstat_look(pid_t pid, struct tug_look *out, pid_t *worker)
{
    static long ticks;
    struct processes all = {0};
    uint64_t used = 0;
    pid_t which = 0;

    if (!ticks)
        ticks = sysconf(_SC_CLK_TCK);
    *out = (struct tug_look){.doing = TUG_DOING_UNKNOWN};
    add_process(&all, pid);
    for (size_t i = 0; i < all.len; i++) {
        size_t before = all.len;
        struct process p = all.at[i];
        add_children(&all, &p);
        all.at[i].has_children = all.len > before;
        used += p.all;
        out->io_bytes += io_of(p.pid);
    }
    out->cpu_ms = used * 1000 / (uint64_t) ticks;
    if (!find_stopped(&all, out, &which))
        find_worker(&all, out, &which);
    if (worker)
        *worker = which;
    tug_vec_clear(&all);
}
