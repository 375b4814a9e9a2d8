/* dump.c - what the processes of a hanging gang are at, written down
 *
 * A shell script does the work: it may hang in a file system or in gdb, and is then killed with all it has started.
 * Layer: stepd.
 */
#include "stepd/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/vec.h"
#include "host/loop.h"
#include "host/proc.h"
#include "stepd/procstat.h"

#define PROCESSES_MAX 8 /* of a rank */

struct tug_dump {
    struct tug_child *child;
    struct tug_timer *limit;
    void (*on_end)(void *arg);
    void *arg;
};

/* $1 directory, $2 title, then for each rank: name of its file, its processes as "1,2,3". */
static const char script[] =
    "dir=$1 title=$2; shift 2\n"
    "mkdir -p \"$dir\" || exit 1\n"
    "bounded() { if command -v timeout >/dev/null; then timeout -k 1 20 \"$@\"; else \"$@\"; fi 2>&1; }\n"
    "process() {\n"
    "    echo; echo \"== process $1: $(tr '\\0' ' ' <\"/proc/$1/cmdline\")\"\n"
    "    grep -E '^(State|Threads|VmRSS|SigPnd|ShdPnd|SigBlk)' \"/proc/$1/status\"\n"
    "    echo; echo '-- threads: id, state, kernel function, name'\n"
    "    for t in \"/proc/$1\"/task/*; do\n"
    "        n=$((${n:-0} + 1)); [ \"$n\" -le 256 ] || break\n"
    "        echo \"${t##*/} $(sed 's/.*) \\(.\\).*/\\1/' \"$t/stat\") $(cat \"$t/wchan\") $(cat \"$t/comm\")\"\n"
    "    done\n"
    "    if command -v py-spy >/dev/null; then echo; echo '-- py-spy'; bounded py-spy dump --pid \"$1\"; fi\n"
    "    if command -v gdb >/dev/null; then echo; echo '-- gdb'\n"
    "        bounded gdb -p \"$1\" -batch -nx -ex 'set pagination off' -ex 'thread apply all bt' </dev/null\n"
    "    else echo; echo '-- gdb is not installed on this node'; fi\n"
    "}\n"
    "while [ $# -ge 2 ]; do\n"
    "    { echo \"$title\"; date; IFS=,; for p in $2; do process \"$p\"; done; unset IFS; } >\"$dir/$1\" 2>/dev/null\n"
    "    shift 2\n"
    "done\n";

static char *list_processes(pid_t top)
{
    pid_t pids[PROCESSES_MAX];
    size_t n = tug_procstat_list(top, pids, PROCESSES_MAX);
    struct tug_buf b = {0};

    for (size_t i = 0; i < n; i++)
        tug_buf_addf(&b, "%s%d", i ? "," : "", (int) pids[i]);
    return b.data ? tug_buf_take(&b) : tug_xstrdup("");
}

static void end(struct tug_dump *d)
{
    void (*on_end)(void *arg) = d->on_end;

    d->on_end = NULL;
    tug_timer_stop(d->limit);
    if (on_end)
        on_end(d->arg);
}

static void on_child(void *arg, struct tug_child *c, int status)
{
    (void) c, (void) status;
    end(arg);
}

static void on_limit(void *arg)
{
    struct tug_dump *d = arg;

    kill(-tug_child_pid(d->child), SIGKILL); /* it leads a session of its own */
    end(d);
}

int tug_dump_start(struct tug_dump **out, struct event_base *base, char *const *env, const char *dir, const char *title,
                   char *const *names, const pid_t *pids, unsigned n, void (*on_end)(void *arg), void *arg,
                   struct tug_err *err)
{
    struct tug_dump *d = tug_new(struct tug_dump);
    struct tug_vec(char *) argv = {0};
    const char *const first[] = {"sh", "-c", script, "sh", dir, title};
    struct tug_spawn s = {.path = "/bin/sh", .envp = env, .new_session = 1, .die_with_us = 1};
    int rc;

    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        tug_vec_push(&argv, tug_xstrdup(first[i]));
    for (unsigned i = 0; i < n; i++) {
        tug_vec_push(&argv, tug_xstrdup(names[i]));
        tug_vec_push(&argv, list_processes(pids[i]));
    }
    tug_vec_push(&argv, NULL);
    s.argv = argv.at;
    rc = tug_timer_new(&d->limit, base, on_limit, d, err);
    if (rc == 0)
        rc = tug_child_spawn(&d->child, base, &s, on_child, d, err);
    for (size_t i = 0; i < argv.len; i++)
        free(argv.at[i]);
    tug_vec_clear(&argv);
    if (rc < 0) {
        if (d->limit)
            tug_timer_free(d->limit);
        free(d);
        return rc;
    }
    d->on_end = on_end;
    d->arg = arg;
    tug_timer_set(d->limit, tug_now_ms() + TUG_DUMP_MAX_MS);
    *out = d;
    return 0;
}

bool tug_dump_runs(const struct tug_dump *d)
{
    return d->on_end != NULL;
}

void tug_dump_free(struct tug_dump *d)
{
    if (!d)
        return;
    if (d->on_end)
        kill(-tug_child_pid(d->child), SIGKILL);
    tug_child_free(d->child);
    tug_timer_free(d->limit);
    free(d);
}

int tug_dump_recorder(const char *fifo)
{
    struct stat st;
    int fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW), rc = 0;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
        rc = -EINVAL;
    else if (write(fd, "1\n", 2) != 2)
        rc = -EIO;
    close(fd);
    return rc;
}
