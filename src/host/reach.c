/* reach.c - is there a way to a machine. Layer: host. */
#include "host/reach.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/net_impl.h"

#define BACKLOG 4096 /* as long as it fits, the kernel answers for a process that is stopped */

static int address_of(const char *host, unsigned port, struct sockaddr_storage *out, int *len)
{
    char text[320];

    snprintf(text, sizeof text, strchr(host, ':') && host[0] != '[' ? "[%s]:%u" : "%s:%u", host, port);
    *len = sizeof *out;
    return evutil_parse_sockaddr_port(text, (struct sockaddr *) out, len);
}

/* ---- reaching ---- */

struct tug_reach {
    tug_reach_cb *cb;
    void *arg;
    int fd; /* -1: it could not be tried */
    struct event *ev;
};

static enum tug_reach_word word_of(int fd, short what)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (fd < 0)
        return TUG_REACH_UNKNOWN;
    if (what & EV_TIMEOUT)
        return TUG_REACH_SILENT;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return TUG_REACH_UNKNOWN;
    return tug_socket_is_unreachable(error) ? TUG_REACH_SILENT : TUG_REACH_ANSWERED;
}

static void on_word(evutil_socket_t fd, short what, void *arg)
{
    struct tug_reach *r = arg;

    r->cb(r->arg, word_of((int) fd, what));
}

struct tug_reach *tug_reach_new(struct event_base *base, const char *host, unsigned port, unsigned limit_ms, tug_reach_cb *cb, void *arg)
{
    struct tug_reach *r = tug_new(struct tug_reach);
    struct timeval limit = {.tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000};
    struct sockaddr_storage to;
    int len, rc = -1, error = 0;

    r->cb = cb;
    r->arg = arg;
    r->fd = -1;
    if (address_of(host, port, &to, &len) == 0)
        r->fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r->fd >= 0)
        rc = connect(r->fd, (struct sockaddr *) &to, (socklen_t) len);
    error = rc < 0 ? errno : 0;
    r->ev = event_new(base, r->fd, r->fd < 0 ? 0 : EV_WRITE, on_word, r);
    event_add(r->ev, &limit);
    if (r->fd < 0 || (rc < 0 && error != EINPROGRESS)) /* told at once, but from the loop */
        event_active(r->ev, tug_socket_is_unreachable(error) ? EV_TIMEOUT : EV_WRITE, 0);
    return r;
}

void tug_reach_free(struct tug_reach *r)
{
    if (!r)
        return;
    event_free(r->ev);
    if (r->fd >= 0)
        close(r->fd);
    free(r);
}

/* ---- being reached ---- */

struct tug_reached {
    struct evconnlistener *listener;
    unsigned port;
};

static void on_visitor(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int len, void *arg)
{
    (void) l;
    (void) from;
    (void) len;
    (void) arg;
    close(fd);
}

int tug_reached_new(struct tug_reached **out, struct event_base *base, const char *host, struct tug_err *err)
{
    struct tug_reached *r = tug_new(struct tug_reached);
    struct sockaddr_storage at;
    int len, is_numeric = address_of(host, 1, &at, &len) == 0;
    socklen_t at_len = sizeof at;
    char text[64];
    int port;

    if (is_numeric && at.ss_family == AF_INET6)
        ((struct sockaddr_in6 *) &at)->sin6_port = 0;
    else if (is_numeric)
        ((struct sockaddr_in *) &at)->sin_port = 0;
    if (is_numeric)
        r->listener = evconnlistener_new_bind(base, on_visitor, r, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG,
                                              (struct sockaddr *) &at, len);
    if (!r->listener || getsockname(evconnlistener_get_fd(r->listener), (struct sockaddr *) &at, &at_len) < 0) {
        int rc = tug_fail(err, -EADDRNOTAVAIL, "cannot listen at '%.200s' for other nodes: %s", host,
                          is_numeric ? strerror(errno) : "it is not a numeric address");
        tug_reached_free(r);
        return rc;
    }
    tug_sockaddr_format((struct sockaddr *) &at, text, sizeof text, &port);
    r->port = (unsigned) port;
    *out = r;
    return 0;
}

unsigned tug_reached_port(const struct tug_reached *r)
{
    return r->port;
}

void tug_reached_free(struct tug_reached *r)
{
    if (!r)
        return;
    if (r->listener)
        evconnlistener_free(r->listener);
    free(r);
}
