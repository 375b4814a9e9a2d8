/* check.c - run the node's health check
 *
 * In a session of its own, with an environment that is made here, standard input empty, and of what it writes the last
 * 4 KiB kept. At its end or its deadline all of its process group is killed. One at a time: one that cannot even be killed
 * (it hangs in the kernel) is waited for, and until then every run has failed. Layer: programs.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/proc.h"
#include "host/trusted.h"
#include "noded/daemon.h"

#define OUTPUT_MAX 4096u               /* the last bytes that it wrote */
#define READ_MAX 65536u                /* at once: it must not keep us busy */
#define REASON_MAX 200u                /* of its last lines */
#define PATH_OF_CHECK "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct check {
    struct noded *d;
    struct tug_timer *timer;           /* the deadline; or at once, to say why it could not begin */
    struct tug_child *child;           /* NULL = none runs */
    struct event *readable;
    int fd;
    char *program, *trouble;           /* trouble: why it could not begin; NULL = it did */
    uint32_t timeout_s;
    bool is_late;                      /* and that has been told */
    struct tug_buf output;
};

/* ---- the answer */

static void answer(struct check *k, bool failed, bool trouble, const char *text)
{
    Tugpb__HcDone m = TUGPB__HC_DONE__INIT;
    m.failed = failed;
    m.trouble = trouble;
    m.text = (char *) (uintptr_t) text;
    tug_agent_message(k->d->agent, TUG_PEER_CHECKER, TUG_MSG_HC_DONE, 0, &m.base);
    world_check(k->d);
}

/* Its last lines, as many as there is room for: what people look at first. */
static void last_lines(const struct tug_buf *output, struct tug_buf *out)
{
    const char *text = tug_buf_str(output);
    size_t end = output->len, at;
    while (end > 0 && strchr(" \t\r\n", text[end - 1]))
        end--;
    at = end > REASON_MAX ? end - REASON_MAX : 0;
    const char *line = at ? memchr(text + at, '\n', end - at) : NULL;
    for (at = line ? (size_t) (line - text) : at; at < end; at++) {
        size_t len = strcspn(text + at, "\n");
        len = len < end - at ? len : end - at;
        if (len && out->len)
            tug_buf_adds(out, "; ");
        tug_str_escape(out, text + at, len);
        at += len;
    }
}

static void judge(struct check *k, int status)
{
    struct tug_buf text = {0};
    char how[64];
    last_lines(&k->output, &text);
    if (!text.len && status)
        tug_buf_addf(&text, "the health check ended with %s and said nothing", tug_status_text(status, how, sizeof how));
    answer(k, status != 0, false, tug_buf_str(&text));
    tug_buf_clear(&text);
}

/* ---- one run */

static void read_some(struct check *k)
{
    ssize_t n = read(k->fd, tug_buf_room(&k->output, READ_MAX), READ_MAX);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        event_del(k->readable);
    if (n > 0)
        k->output.len += (size_t) n;
    if (k->output.len <= OUTPUT_MAX)
        return;
    memmove(k->output.data, k->output.data + k->output.len - OUTPUT_MAX, OUTPUT_MAX);
    k->output.len = OUTPUT_MAX;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    read_some(arg);
}

/* It leads its group: as long as anybody of that is there, the number is nobody else's. */
static void kill_group(pid_t pid)
{
    kill(-pid, SIGKILL);
}

static void forget(struct check *k)
{
    tug_child_free(k->child);
    event_free(k->readable);
    close(k->fd);
    k->child = NULL;
    k->is_late = false;
}

static void on_end(void *arg, struct tug_child *child, int status)
{
    struct check *k = arg;
    bool was_late = k->is_late;
    kill_group(tug_child_pid(child));
    read_some(k);
    forget(k);
    tug_timer_stop(k->timer);
    if (!was_late)
        judge(k, status);
}

static void too_late(struct check *k)
{
    struct tug_buf text = {0}, lines = {0};
    k->is_late = true;
    kill_group(tug_child_pid(k->child));
    read_some(k);
    last_lines(&k->output, &lines);
    tug_buf_addf(&text, "the health check did not end within %u s%s%s", k->timeout_s, lines.len ? ": " : "", tug_buf_str(&lines));
    answer(k, true, false, tug_buf_str(&text));
    tug_buf_clear(&text);
    tug_buf_clear(&lines);
}

static int spawn(struct check *k, const char *why, struct tug_err *err)
{
    char node[300], when[32];
    char *argv[] = {k->program, NULL},
         *envp[] = {(char *) PATH_OF_CHECK, (char *) "HOME=/", (char *) "LANG=C.UTF-8", node, when, NULL};
    int fds[2] = {-1, -1}, empty = open("/dev/null", O_RDONLY | O_CLOEXEC);
    snprintf(node, sizeof node, "TUG_NODE=%s", k->d->o.node);
    snprintf(when, sizeof when, "TUG_CHECK=%s", why);
    if (empty < 0 || pipe2(fds, O_CLOEXEC) < 0) {
        int rc = tug_fail(err, -errno, "no pipe for the health check: %s", strerror(errno));
        if (empty >= 0)
            close(empty);
        return rc;
    }
    struct tug_spawn_fd map[] = {{empty, STDIN_FILENO}, {fds[1], STDOUT_FILENO}, {fds[1], STDERR_FILENO}};
    struct tug_spawn s = {.path = k->program, .argv = argv, .envp = envp, .cwd = "/", .fds = map, .n_fds = 3,
                          .new_session = 1, .die_with_us = 1};
    tug_buf_reset(&k->output);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    k->fd = fds[0];
    k->readable = event_new(tug_loop_base(k->d->loop), k->fd, EV_READ | EV_PERSIST, on_readable, k);
    tug_assert(k->readable && event_add(k->readable, NULL) == 0);
    int rc = tug_child_spawn(&k->child, tug_loop_base(k->d->loop), &s, on_end, k, err);
    close(fds[1]);
    close(empty);
    if (rc)
        forget(k);
    return rc;
}

static void on_timer(void *arg)
{
    struct check *k = arg;
    char *trouble = k->trouble;
    k->trouble = NULL;
    if (trouble)
        answer(k, false, true, trouble);
    else if (k->child && !k->is_late)
        too_late(k);
    else if (k->child)
        answer(k, true, false, "the health check before this one cannot be killed");
    free(trouble);
}

void check_run(struct noded *d, const Tugpb__HcRun *m)
{
    struct check *k = d->check;
    struct tug_err err = {0};
    free(k->program);
    k->program = tug_xstrdup(m->program);
    k->timeout_s = m->timeout_s;
    uint64_t due_ms = tug_now_ms(); /* never from inside of the question */
    if (!k->child) {
        int rc = tug_trusted_program(k->program, &err);
        rc = rc ? rc : spawn(k, m->why, &err);
        if (rc)
            k->trouble = tug_xasprintf("the health check cannot be run: %s", err.msg);
        else
            due_ms += 1000ULL * k->timeout_s;
    }
    tug_timer_set(k->timer, due_ms);
}

int check_start(struct noded *d, struct tug_err *err)
{
    struct check *k = tug_new(struct check);
    k->d = d;
    int rc = tug_timer_new(&k->timer, tug_loop_base(d->loop), on_timer, k, err);
    if (rc)
        free(k);
    else
        d->check = k;
    return rc;
}

void check_stop(struct noded *d)
{
    struct check *k = d->check;
    if (!k)
        return;
    d->check = NULL;
    if (k->child) {
        kill_group(tug_child_pid(k->child));
        forget(k);
    }
    tug_timer_free(k->timer);
    tug_buf_clear(&k->output);
    free(k->program);
    free(k->trouble);
    free(k);
}
