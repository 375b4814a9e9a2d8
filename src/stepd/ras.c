/* ras.c - asks NCCL's status service of the ranks on this node
 *
 * One connection a question, one line at a time, as NCCL's own client does it. Layer: stepd.
 */
#include "stepd/ras.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/util.h>

#include "base/mem.h"
#include "base/str.h"
#include "host/loop.h"

#define REPORT_MAX_BYTES ((size_t) 64 << 20)
#define LINE_MAX_BYTES   1024

static const struct {
    const char *say, *expect; /* NULL: all until the end */
} talk[] = {
    {"CLIENT PROTOCOL 2\n", "SERVER PROTOCOL "},
    {"TIMEOUT 5\n", "OK"},
    {"SET FORMAT json\n", "OK"},
    {"VERBOSE STATUS\n", NULL},
};
#define FORMAT 2 /* the one that old versions do not know */
#define LAST   3

struct tug_ras {
    struct event_base *base;
    struct sockaddr_storage at;
    int at_len;
    tug_ras_cb *cb;
    void *arg;
    struct bufferevent *bev; /* NULL: no question is under way */
    struct tug_timer *limit;
    unsigned turn;
    bool connected;
};

static void hang_up(struct tug_ras *r)
{
    if (r->bev)
        bufferevent_free(r->bev);
    r->bev = NULL;
    tug_timer_stop(r->limit);
}

static void fail(struct tug_ras *r, const struct tug_err *why)
{
    hang_up(r);
    r->cb(r->arg, NULL, why);
}

static void say_next(struct tug_ras *r)
{
    bufferevent_write(r->bev, talk[r->turn].say, strlen(talk[r->turn].say));
}

static void answered(struct tug_ras *r, const char *line)
{
    struct tug_err why = {0};

    if (strncasecmp(line, talk[r->turn].expect, strlen(talk[r->turn].expect)) == 0) {
        r->turn++;
        say_next(r);
        return;
    }
    if (r->turn == FORMAT && strncasecmp(line, "ERROR", 5) == 0)
        tug_fail(&why, -ENOTSUP, "this NCCL is older than 2.28.7: its status service does not speak JSON");
    else
        tug_fail(&why, -EPROTO, "NCCL's status service answered '%.80s'", line);
    fail(r, &why);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct tug_ras *r = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    struct tug_err why = {0};
    char *line;

    while (r->bev && r->turn < LAST && (line = evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF))) {
        answered(r, line);
        free(line);
    }
    if (!r->bev || evbuffer_get_length(in) <= (r->turn < LAST ? LINE_MAX_BYTES : REPORT_MAX_BYTES))
        return;
    tug_fail(&why, r->turn < LAST ? -EPROTO : -E2BIG, "NCCL's status service says more than %zu bytes",
             r->turn < LAST ? (size_t) LINE_MAX_BYTES : REPORT_MAX_BYTES);
    fail(r, &why);
}

static void finish(struct tug_ras *r)
{
    struct evbuffer *in = bufferevent_get_input(r->bev);
    size_t len = evbuffer_get_length(in);
    struct tug_ras_report report;
    struct tug_err why = {0};
    int rc = tug_ras_report_read(&report, (const char *) evbuffer_pullup(in, -1), len, &why);

    if (rc < 0) {
        fail(r, &why);
        return;
    }
    hang_up(r);
    r->cb(r->arg, &report, NULL);
    tug_ras_report_clear(&report);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct tug_ras *r = arg;
    struct tug_err why = {0};
    int e = EVUTIL_SOCKET_ERROR();

    (void) bev;
    if (what & BEV_EVENT_CONNECTED) {
        r->connected = true;
        say_next(r);
        return;
    }
    if (r->turn == LAST && (what & BEV_EVENT_EOF)) {
        finish(r);
        return;
    }
    if (what & BEV_EVENT_EOF)
        tug_fail(&why, -EPROTO, "NCCL's status service hung up");
    else
        tug_fail(&why, r->connected ? -EPROTO : -ECONNREFUSED, "NCCL's status service cannot be reached: %s",
                 strerror(e));
    fail(r, &why);
}

static void on_limit(void *arg)
{
    struct tug_ras *r = arg;
    struct tug_err why = {0};

    tug_fail(&why, -ETIMEDOUT, "NCCL's status service does not answer");
    fail(r, &why);
}

/* NCCL binds what the name resolves to, and localhost is 127.0.0.1 first almost everywhere. */
static int parse(struct tug_ras *r, const char *addr, struct tug_err *err)
{
    char text[128];
    int len = sizeof r->at;

    if (tug_str_has_prefix(addr, "localhost:"))
        snprintf(text, sizeof text, "127.0.0.1:%s", addr + strlen("localhost:"));
    else
        tug_str_copy(text, sizeof text, addr);
    if (evutil_parse_sockaddr_port(text, (struct sockaddr *) &r->at, &len) < 0 || !strrchr(text, ':'))
        return tug_fail(err, -EINVAL, "NCCL_RAS_ADDR=%.100s is not an address and a port", addr);
    r->at_len = len;
    return 0;
}

int tug_ras_new(struct tug_ras **out, struct event_base *base, const char *addr, tug_ras_cb *cb, void *arg,
                struct tug_err *err)
{
    struct tug_ras *r = tug_new(struct tug_ras);
    int rc = parse(r, addr, err);

    if (rc == 0)
        rc = tug_timer_new(&r->limit, base, on_limit, r, err);
    if (rc < 0) {
        free(r);
        return rc;
    }
    r->base = base;
    r->cb = cb;
    r->arg = arg;
    *out = r;
    return 0;
}

void tug_ras_free(struct tug_ras *r)
{
    if (!r)
        return;
    hang_up(r);
    tug_timer_free(r->limit);
    free(r);
}

void tug_ras_ask(struct tug_ras *r, unsigned limit_ms)
{
    struct tug_err why = {0};

    if (r->bev)
        return;
    r->turn = 0;
    r->connected = false;
    r->bev = bufferevent_socket_new(r->base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (!r->bev) {
        tug_fail(&why, -ENOMEM, "cannot ask NCCL's status service: no memory");
        r->cb(r->arg, NULL, &why);
        return;
    }
    bufferevent_setcb(r->bev, on_read, NULL, on_event, r);
    bufferevent_enable(r->bev, EV_READ | EV_WRITE);
    tug_timer_set(r->limit, tug_now_ms() + limit_ms);
    bufferevent_socket_connect(r->bev, (struct sockaddr *) &r->at, r->at_len); /* a failure comes to on_event */
}
