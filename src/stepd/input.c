/* input.c - standard input of the ranks. Layer: stepd. */
#include "stepd/input.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

#define CAP_BYTES ((size_t) 1 << 20)

struct tug_input {
    const struct tug_payload *p;
    struct event_base *base;
    void (*on_room)(void *arg);
    void *arg;
    int fd; /* our end of rank 0's pipe, -1: none (any more) */
    struct event *ev;
    struct tug_buf waiting;
    bool eof, gone;
};

struct tug_input *tug_input_new(struct event_base *base, const struct tug_payload *p,
                                void (*on_room)(void *arg), void *arg)
{
    struct tug_input *in = tug_new(struct tug_input);

    in->p = p;
    in->base = base;
    in->on_room = on_room;
    in->arg = arg;
    in->fd = -1;
    return in;
}

static void finish(struct tug_input *in)
{
    if (in->fd < 0)
        return;
    event_free(in->ev);
    close(in->fd);
    in->fd = -1;
    in->gone = true;
    tug_buf_clear(&in->waiting);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct tug_input *in = arg;
    bool was_full = tug_input_full(in);
    ssize_t n = in->waiting.len ? write(fd, in->waiting.data, in->waiting.len) : 0;

    (void) what;
    if (n > 0)
        tug_buf_consume(&in->waiting, (size_t) n);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        finish(in); /* rank 0 closed its input: the rest is nobody's */
    else if (in->waiting.len == 0 && in->eof)
        finish(in);
    else if (in->waiting.len == 0)
        event_del(in->ev);
    if (was_full && !tug_input_full(in))
        in->on_room(in->arg);
}

static int rank0_pipe(struct tug_input *in, struct tug_err *err)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC))
        return tug_fail(err, -errno, "cannot make a pipe for the input of rank 0: %s",
                        strerror(errno));
    in->fd = fds[1];
    fcntl(in->fd, F_SETFL, O_NONBLOCK);
    in->ev = event_new(in->base, in->fd, EV_WRITE | EV_PERSIST, on_writable, in);
    tug_assert(in->ev);
    if (in->waiting.len || in->eof)
        event_add(in->ev, NULL);
    return fds[0];
}

int tug_input_rank_fd(struct tug_input *in, unsigned local, struct tug_err *err)
{
    const struct tug_payload *p = in->p;
    unsigned rank = tug_payload_rank(p, local);
    const char *named = p->spec->interactive ? "" : p->spec->stdin_path;
    char *path;
    int fd;

    if (p->spec->interactive && rank == 0)
        return rank0_pipe(in, err);
    path = named[0] ? tug_payload_path(p, named, rank) : tug_xstrdup("/dev/null");
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        fd = tug_fail(err, -errno, "cannot read input from '%s' on node %s: %s; check --input",
                      path, p->node, strerror(errno));
    free(path);
    return fd;
}

void tug_input_put(struct tug_input *in, const void *data, size_t len, bool eof)
{
    if (in->gone || in->eof)
        return;
    tug_buf_add(&in->waiting, data, len);
    in->eof = eof;
    if (in->fd >= 0 && (in->waiting.len || eof))
        event_add(in->ev, NULL);
}

bool tug_input_full(const struct tug_input *in)
{
    return in->waiting.len > CAP_BYTES;
}
