/* capture.c - run a program for so long at most, and keep the last of what it writes
 *
 * The program leads its process group: as long as anybody of that is there, the number is nobody else's. What is killed
 * and does not go within PATIENCE_MS hangs in the kernel; it is told of, and waited for. Layer: host.
 */
#include "host/capture.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "host/leash.h"
#include "host/loop.h"
#include "host/proc.h"
#include "host/trusted.h"

#define PATIENCE_MS 5000               /* between being killed and being gone */
#define READ_MAX    65536u             /* at once: it must not keep us busy */

struct tug_capture {
    struct event_base *base;
    tug_capture_cb *cb;
    void *arg;
    struct tug_timer *timer;           /* its limit, then our patience */
    struct tug_child *child;           /* NULL = none runs */
    struct event *readable;
    int fd;
    size_t keep_bytes;
    struct tug_buf output;
    bool killed, late, told;
};

/* ---- what it writes */

static bool read_some(struct tug_capture *c)
{
    ssize_t n = read(c->fd, tug_buf_room(&c->output, READ_MAX), READ_MAX);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        event_del(c->readable);
    if (n > 0)
        c->output.len += (size_t) n;
    if (c->output.len > c->keep_bytes) {
        memmove(c->output.data, c->output.data + c->output.len - c->keep_bytes, c->keep_bytes);
        c->output.len = c->keep_bytes;
    }
    return n > 0;
}

/* What it has left in the pipe, which may be filled still by who has left its group. */
static void read_rest(struct tug_capture *c)
{
    for (int i = 0; i < 16 && read_some(c); i++)
        ;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    read_some(arg);
}

void tug_capture_last_lines(const struct tug_buf *output, size_t max_bytes, struct tug_buf *out)
{
    const char *text = output->len ? output->data : "";
    size_t end = output->len, at, first = out->len;
    while (end > 0 && strchr(" \t\r\n", text[end - 1]))
        end--;
    at = end > max_bytes ? end - max_bytes : 0;
    const char *line = at ? memchr(text + at, '\n', end - at) : NULL;
    for (at = line ? (size_t) (line - text) : at; at < end; at++) {
        const char *next = memchr(text + at, '\n', end - at);
        size_t len = next ? (size_t) (next - text) - at : end - at;
        if (len && out->len > first)
            tug_buf_adds(out, "; ");
        tug_str_escape(out, text + at, len);
        at += len;
    }
}

/* ---- its end */

static void kill_group(struct tug_capture *c)
{
    c->killed = true;
    kill(-tug_child_pid(c->child), SIGKILL);
}

static void forget(struct tug_capture *c)
{
    tug_child_free(c->child);
    event_free(c->readable);
    close(c->fd);
    tug_timer_stop(c->timer);
    c->child = NULL;
}

static void tell(struct tug_capture *c, int status, bool stuck)
{
    struct tug_buf output = c->output;
    const struct tug_capture_end e = {.status = status, .late = c->late, .stuck = stuck, .output = &output};
    c->output = (struct tug_buf){0};
    c->told = true;
    c->cb(c->arg, &e); /* c may be gone */
    tug_buf_clear(&output);
}

static void on_end(void *arg, struct tug_child *child, int status)
{
    struct tug_capture *c = arg;
    bool told = c->told;
    (void) child;
    kill_group(c);
    read_rest(c);
    forget(c);
    if (!told)
        tell(c, status, false);
}

static void on_timer(void *arg)
{
    struct tug_capture *c = arg;
    if (c->killed) {
        read_some(c);
        tell(c, 0, true);
        return;
    }
    c->late = true;
    tug_capture_stop(c);
}

void tug_capture_stop(struct tug_capture *c)
{
    if (!c->child || c->killed)
        return;
    kill_group(c);
    tug_timer_set(c->timer, tug_now_ms() + PATIENCE_MS);
}

/* ---- its start */

static int open_pipe(int fds[2], int *empty, struct tug_err *err)
{
    *empty = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (*empty >= 0 && pipe2(fds, O_CLOEXEC) == 0) {
        fcntl(fds[0], F_SETFL, O_NONBLOCK);
        return 0;
    }
    int rc = tug_fail(err, -errno, "no pipe: %s", strerror(errno));
    if (*empty >= 0)
        close(*empty);
    return rc;
}

static int spawn(struct tug_capture *c, const struct tug_capture_run *run, struct tug_err *err)
{
    int fds[2], empty;
    int rc = open_pipe(fds, &empty, err);
    if (rc)
        return rc;
    struct tug_spawn_fd map[4] = {{empty, STDIN_FILENO}, {fds[1], STDOUT_FILENO}};
    struct tug_spawn s = {.path = run->path, .argv = run->argv, .envp = run->envp, .cwd = run->cwd, .fds = map, .n_fds = 2,
                          .new_session = 1, .die_with_us = 1};
    if (!run->only_output)
        map[s.n_fds++] = (struct tug_spawn_fd){fds[1], STDERR_FILENO};
    if (run->hold)
        map[s.n_fds++] = (struct tug_spawn_fd){run->hold, TUG_LEASH_FD};
    c->fd = fds[0];
    c->readable = event_new(c->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    tug_assert(c->readable && event_add(c->readable, NULL) == 0);
    rc = tug_child_spawn(&c->child, c->base, &s, on_end, c, err);
    close(fds[1]);
    close(empty);
    if (rc)
        forget(c);
    return rc;
}

int tug_capture_start(struct tug_capture *c, const struct tug_capture_run *run, struct tug_err *err)
{
    if (c->child)
        return tug_fail(err, -EBUSY, "the one before this one %s", c->killed ? "cannot be killed" : "is still at work");
    int rc = run->trusted ? tug_trusted_program(run->path, err) : 0;
    tug_buf_reset(&c->output);
    c->keep_bytes = run->keep_bytes;
    c->killed = c->late = c->told = false;
    rc = rc ? rc : spawn(c, run, err);
    if (!rc)
        tug_timer_set(c->timer, tug_now_ms() + run->limit_ms);
    return rc;
}

bool tug_capture_is_busy(const struct tug_capture *c)
{
    return c->child != NULL;
}

pid_t tug_capture_group(const struct tug_capture *c)
{
    return c->child ? tug_child_pid(c->child) : 0;
}

int tug_capture_new(struct tug_capture **out, struct event_base *base, tug_capture_cb *cb, void *arg, struct tug_err *err)
{
    struct tug_capture *c = tug_new(struct tug_capture);
    c->base = base;
    c->cb = cb;
    c->arg = arg;
    int rc = tug_timer_new(&c->timer, base, on_timer, c, err);
    if (rc)
        free(c);
    else
        *out = c;
    return rc;
}

void tug_capture_free(struct tug_capture *c)
{
    if (!c)
        return;
    if (c->child) {
        kill_group(c);
        forget(c);
    }
    tug_timer_free(c->timer);
    tug_buf_clear(&c->output);
    free(c);
}
