/* link.c - the connection to the node daemon, made again for as long as it takes. Layer: stepd. */
#include "stepd/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "host/loop.h"
#include "host/net.h"

#define REDIAL_FIRST_MS 10
#define REDIAL_LAST_MS  1000

struct tug_link {
    struct event_base *base;
    const struct tug_link_ops *ops;
    void *arg;
    char *endpoint, *dir;
    struct tug_conn *conn;
    bool up;
    uint64_t down_since_ms;
    struct tug_timer *redial;
    unsigned wait_ms;
};

static void on_open(void *arg, struct tug_conn *c)
{
    struct tug_link *l = arg;

    l->conn = c;
    l->up = true;
    l->wait_ms = 0;
    l->ops->on_up(l->arg);
}

static void later(struct tug_link *l)
{
    if (l->dir && access(l->dir, F_OK) && errno == ENOENT) {
        l->ops->on_dismantled(l->arg);
        return;
    }
    l->wait_ms = l->wait_ms ? l->wait_ms * 2 : REDIAL_FIRST_MS;
    if (l->wait_ms > REDIAL_LAST_MS)
        l->wait_ms = REDIAL_LAST_MS;
    tug_timer_set(l->redial, tug_now_ms() + l->wait_ms);
}

static void on_close(void *arg, struct tug_conn *c, const char *why)
{
    struct tug_link *l = arg;

    (void) c;
    (void) why;
    if (l->up)
        l->down_since_ms = tug_now_ms();
    l->conn = NULL;
    l->up = false;
    later(l);
}

static void on_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct tug_link *l = arg;
    struct tug_arena arena = {0};
    ProtobufCMessage *m;

    if (tug_msg_decode(&arena, f->number, f->body, f->len, &m, NULL) == 0) {
        l->ops->on_message(l->arg, (enum tug_msg) f->number, m);
    } else {
        tug_conn_drop(c);
        on_close(l, c, "garbage");
    }
    tug_arena_clear(&arena);
}

static const struct tug_net_ops net_ops = {
    .on_open = on_open, .on_frame = on_frame, .on_close = on_close};

static void on_redial(void *arg)
{
    struct tug_link *l = arg;
    struct tug_net_opts o = {
        .auth = TUG_AUTH_UNIX, .channel = TUG_CH_STEPD, .ops = &net_ops, .arg = l};

    if (tug_net_dial(&l->conn, l->base, l->endpoint, &o, NULL) < 0) {
        l->conn = NULL;
        later(l);
    }
}

int tug_link_new(struct tug_link **out, struct event_base *base, const char *endpoint,
                 const struct tug_link_ops *ops, void *arg, struct tug_err *err)
{
    struct tug_link *l = tug_new(struct tug_link);
    char *slash;
    int rc = tug_timer_new(&l->redial, base, on_redial, l, err);

    if (rc < 0) {
        free(l);
        return rc;
    }
    l->base = base;
    l->ops = ops;
    l->arg = arg;
    l->endpoint = tug_xstrdup(endpoint);
    l->down_since_ms = tug_now_ms();
    if (tug_str_has_prefix(endpoint, "unix:/") && (slash = strrchr(endpoint, '/')) > endpoint + 5)
        l->dir = tug_xasprintf("%.*s", (int) (slash - endpoint - 5), endpoint + 5);
    *out = l;
    on_redial(l);
    return 0;
}

void tug_link_send(struct tug_link *l, enum tug_msg number, const ProtobufCMessage *m)
{
    if (l->up)
        tug_conn_send(l->conn, number, 0, m);
}

uint64_t tug_link_down_since_ms(const struct tug_link *l)
{
    return l->up ? 0 : l->down_since_ms;
}
