/* chaos_bytes.c - bytes that come late, one by one, changed, or with the end of the connection not at all
 *
 * A piece is what one read gave, mostly a frame or a few. The connection may end in the middle of a piece, with a reset or
 * without, or in one direction only. Layer: tests.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "chaos.h"

#define READ_BYTES      16384
#define ON_THE_WAY      64   /* pieces; then no more is read */
#define TRICKLE_BYTES   48   /* so many come alone ... */
#define TRICKLE_US      2000 /* ... so far from each other */
#define OVERTAKEN_US    200000

enum then { GO_ON, RESET, END, HALF_CLOSE };

struct relay {
    struct relay *next;
    enum kind kind;
    char to[128], at[128];
    int fd;
    struct event *ev;
};

struct flow {
    struct relay *r;
    int fd[2];
    struct event *ev[2];      /* reading of that side */
    struct chaos_line *to[2]; /* what is on its way to that side */
    unsigned on_the_way[2];
    bool ended[2];            /* nothing more comes from that side */
};

/* ---- sockets */

static socklen_t address(const char *endpoint, struct sockaddr_storage *ss)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET};
    char host[64];
    unsigned port;
    memset(ss, 0, sizeof *ss);
    if (!strncmp(endpoint, "unix:", 5) && strlen(endpoint + 5) < sizeof un.sun_path) {
        strcpy(un.sun_path, endpoint + 5);
        memcpy(ss, &un, sizeof un);
        return sizeof un;
    }
    if (sscanf(endpoint, "%63[0-9.]:%u", host, &port) != 2 || inet_pton(AF_INET, host, &in.sin_addr) != 1)
        return 0;
    in.sin_port = htons((uint16_t) port);
    memcpy(ss, &in, sizeof in);
    return sizeof in;
}

static int new_socket(int family)
{
    int one = 1, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && family == AF_INET)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* To this machine: does not block for long. */
static int dial(const char *endpoint)
{
    struct sockaddr_storage ss;
    socklen_t len = endpoint ? address(endpoint, &ss) : 0;
    int fd = len ? new_socket(ss.ss_family) : -1;
    if (fd >= 0 && connect(fd, (struct sockaddr *) &ss, len) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* ---- a connection */

static void flow_free(struct flow *f)
{
    for (int s = 0; s < 2; s++) {
        event_free(f->ev[s]);
        chaos_line_free(f->to[s]);
        close(f->fd[s]);
    }
    free(f);
}

static void reset(struct flow *f)
{
    struct linger l = {.l_onoff = 1};
    for (int s = 0; s < 2; s++)
        setsockopt(f->fd[s], SOL_SOCKET, SO_LINGER, &l, sizeof l);
}

static void arrived(void *arg, struct chaos_line *l, struct chaos_piece *p)
{
    struct flow *f = arg;
    int to = l == f->to[1], from = !to;
    size_t at = 0;
    while (at < p->len) {
        ssize_t n = send(f->fd[to], p->body + at, p->len - at, MSG_NOSIGNAL); /* blocks: who does not read here is a bug */
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        at += (size_t) n;
    }
    if (f->on_the_way[to]-- == ON_THE_WAY && !f->ended[from])
        event_add(f->ev[from], NULL);
    if (p->then == HALF_CLOSE) {
        shutdown(f->fd[to], SHUT_WR);
        f->ended[from] = true;
    }
    if (p->then == RESET)
        reset(f);
    if (at < p->len || p->then == RESET || p->then == END || (f->ended[0] && f->ended[1]))
        flow_free(f);
}

static struct chaos_piece *put(struct flow *f, int to, const void *data, size_t len, int64_t after_us, bool ordered)
{
    if (++f->on_the_way[to] == ON_THE_WAY)
        event_del(f->ev[!to]);
    return chaos_line_put(f->to[to], data, len, after_us, ordered);
}

static size_t trickle(struct flow *f, int to, const uint8_t *data, size_t len, int64_t after_us)
{
    size_t n = len < TRICKLE_BYTES ? len : TRICKLE_BYTES;
    if (f->on_the_way[to] + n >= ON_THE_WAY)
        return 0;
    for (size_t i = 0; i < n; i++)
        put(f, to, data + i, 1, after_us + (int64_t) i * TRICKLE_US, true);
    return n;
}

static void pass(struct flow *f, int to, uint8_t *data, size_t len)
{
    enum kind kind = f->r->kind;
    int64_t us = chaos_delay_us();
    size_t at = 0;
    chaos_passed(kind);
    if (chaos_strikes(kind, FAULT_FLIPPED))
        data[chaos_below((unsigned) len)] ^= (uint8_t) (1u << chaos_below(8));
    if (chaos_strikes(kind, FAULT_CUT)) {
        put(f, to, data, chaos_below((unsigned) len), us, true)->then = chaos_below(2) ? RESET : END;
        return;
    }
    if (chaos_strikes(kind, FAULT_HALF)) {
        put(f, to, data, len, us, true)->then = HALF_CLOSE;
        return;
    }
    if (chaos_strikes(kind, FAULT_TRICKLED))
        at = trickle(f, to, data, len, us);
    bool swapped = chaos_strikes(kind, FAULT_SWAPPED);
    if (at < len)
        put(f, to, data + at, len - at, us + (swapped ? chaos_below(OVERTAKEN_US) : 0), !swapped);
    if (chaos_strikes(kind, FAULT_TWICE))
        put(f, to, data, len, us, true);
    if (chaos_strikes(kind, FAULT_HOLE))
        chaos_line_stall(f->to[to], 200000 + chaos_below(2800000));
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct flow *f = arg;
    uint8_t data[READ_BYTES];
    int from = fd == f->fd[1], to = !from;
    (void) what;
    ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);
    if (n > 0 && !f->ended[from]) {
        pass(f, to, data, (size_t) n);
    } else if (n == 0) {
        event_del(f->ev[from]);
        put(f, to, NULL, 0, 0, true)->then = HALF_CLOSE; /* behind what it said */
    } else if (errno != EAGAIN && errno != EINTR) {
        reset(f);
        flow_free(f);
    }
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    struct relay *r = arg;
    (void) what;
    int near = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC), far = near < 0 ? -1 : dial(chaos_endpoint(r->to));
    if (far < 0) {
        if (near >= 0)
            close(near);
        return;
    }
    struct flow *f = tug_new(struct flow);
    f->r = r;
    f->fd[0] = near;
    f->fd[1] = far;
    for (int s = 0; s < 2; s++) {
        f->to[s] = chaos_line_new(arrived, f);
        f->ev[s] = event_new(chaos_loop(), f->fd[s], EV_READ | EV_PERSIST, on_readable, f);
        event_add(f->ev[s], NULL);
    }
}

/* ---- relays */

static struct relay *relay_new(enum kind kind, const char *from, const char *to)
{
    struct relay *r = tug_new(struct relay);
    struct sockaddr_storage ss;
    struct sockaddr_in in;
    socklen_t len = address(from, &ss), in_len = sizeof in;
    int one = 1;
    r->kind = kind;
    snprintf(r->to, sizeof r->to, "%s", to);
    r->fd = len ? new_socket(ss.ss_family) : -1;
    setsockopt(r->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (r->fd < 0 || bind(r->fd, (struct sockaddr *) &ss, len) < 0 || listen(r->fd, 128) < 0)
        chaos_fail(from, strerror(errno));
    if (ss.ss_family == AF_INET && getsockname(r->fd, (struct sockaddr *) &in, &in_len) == 0)
        snprintf(r->at, sizeof r->at, "127.0.0.1:%u", ntohs(in.sin_port));
    r->ev = event_new(chaos_loop(), r->fd, EV_READ | EV_PERSIST, on_accept, r);
    event_add(r->ev, NULL);
    return r;
}

void chaos_bytes(enum kind kind, const char *from, const char *to)
{
    relay_new(kind, from, to);
}

/* Stars are asked for again when a node says READY again; a thousand of them is what --full has. */
const char *chaos_bytes_star(const char *to)
{
    static struct relay *stars;
    struct relay *r = stars;
    while (r && strcmp(r->to, to) != 0)
        r = r->next;
    if (!r) {
        r = relay_new(KIND_STAR, "127.0.0.1:0", to);
        r->next = stars;
        stars = r;
    }
    return r->at;
}
