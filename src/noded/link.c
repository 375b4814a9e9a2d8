/* link.c - the connection to the controller, and the socket for step daemons
 *
 * We dial the controller and dial again, at first after 100 ms, at most every 5 s, at random times in between so that
 * a cluster does not come back all at once. Anybody on this machine may connect to our own socket; the agent decides
 * by the kernel's word on pid and uid who is a step daemon. Layer: programs.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "noded/daemon.h"

#define REDIAL_MIN_MS 100
#define REDIAL_MAX_MS 5000
#define REDIAL_SEVERAL_MS 1000
#define SOCKET_MODE 0666
#define STEPDS_MAX 4096
#define STEPDS_USER_MAX 512 /* of one user, so that nobody keeps the others' out */

/* ---- messages, whoever sent them */

static int hand_over(struct noded *d, tug_peer_id id, const struct tug_frame *f, struct tug_err *err)
{
    struct tug_arena arena = {0};
    ProtobufCMessage *m;
    int rc = tug_msg_decode(&arena, f->number, f->body, f->len, &m, err);
    if (!rc)
        tug_agent_message(d->agent, id, f->number, f->rid, m);
    tug_arena_clear(&arena);
    return rc;
}

/* ---- the controller */

static const char *endpoint(const struct noded *d)
{
    return d->controllers.at[d->dialling];
}

static void dial_later(struct noded *d)
{
    uint32_t ms = d->redial_ms / 2 + randombytes_uniform(d->redial_ms / 2 + 1);
    d->redial_ms = d->redial_ms * 2 > REDIAL_MAX_MS ? REDIAL_MAX_MS : d->redial_ms * 2;
    tug_timer_set(d->redial, tug_now_ms() + ms);
}

/* Of several controllers one leads, and only that one listens: the next is tried at once, and after all of them we wait. */
static void dial_next(struct noded *d)
{
    if (++d->dialling < d->controllers.len) {
        tug_timer_set(d->redial, tug_now_ms());
        return;
    }
    d->dialling = 0;
    unsigned most_ms = d->controllers.len > 1 ? REDIAL_SEVERAL_MS : REDIAL_MAX_MS;
    if (d->redial_ms > most_ms)
        d->redial_ms = most_ms;
    dial_later(d);
}

static void controller_gone(struct noded *d)
{
    d->controller = NULL;
    d->controller_id = 0;
    dial_next(d);
}

static void on_controller_open(void *arg, struct tug_conn *c)
{
    struct noded *d = arg;
    (void) c;
    d->controller_id = ++d->next_peer;
    d->said_down = false;
    tug_info("connected to the controller at %s", endpoint(d));
    tug_agent_controller_up(d->agent, d->controller_id);
    world_check(d);
}

static void on_controller_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct noded *d = arg;
    struct tug_err err = {0};
    if (c != d->controller || !d->controller_id)
        return;
    if (f->number == TUG_MSG_NODE_WELCOME)
        d->redial_ms = REDIAL_MIN_MS;
    if (hand_over(d, d->controller_id, f, &err)) {
        tug_error("a message of the controller cannot be read, connecting anew: %s", err.msg);
        tug_peer_id id = d->controller_id;
        link_close(d, id);
        tug_agent_controller_down(d->agent, id);
    }
    world_check(d);
}

static void on_controller_close(void *arg, struct tug_conn *c, const char *why)
{
    struct noded *d = arg;
    tug_peer_id id = d->controller_id;
    if (c != d->controller)
        return;
    if (!d->said_down)
        tug_warn("no connection to the controller at %s: %s; trying again", endpoint(d), why);
    d->said_down = true;
    controller_gone(d);
    if (id)
        tug_agent_controller_down(d->agent, id);
}

static const struct tug_net_ops controller_ops = {on_controller_open, on_controller_frame, on_controller_close};

static void dial(void *arg)
{
    struct noded *d = arg;
    struct tug_err err = {0};
    struct tug_net_opts o = {.auth = strncmp(endpoint(d), "unix:", 5) ? TUG_AUTH_NODE : TUG_AUTH_UNIX,
                             .channel = TUG_CH_NODE, .ops = &controller_ops, .arg = d, .own = &d->key,
                             .own_name = d->o.node, .peer_pub = d->controller_pub};
    if (tug_net_dial(&d->controller, tug_loop_base(d->loop), endpoint(d), &o, &err)) {
        if (!d->said_down)
            tug_warn("cannot connect to the controller at %s: %s; trying again", endpoint(d), err.msg);
        d->said_down = true;
        controller_gone(d);
    }
}

/* ---- step daemons */

static void on_stepd_open(void *arg, struct tug_conn *c)
{
    struct noded *d = arg;
    const struct tug_peer *who = tug_conn_peer(c);
    struct stepd *s = tug_new(struct stepd);
    s->id = ++d->next_peer;
    s->conn = c;
    s->d = d;
    tug_vec_push(&d->stepds, s);
    tug_conn_set_data(c, s);
    tug_agent_stepd_up(d->agent, s->id, (uint32_t) who->pid, (uint32_t) who->uid);
}

static void forget_stepd(struct noded *d, struct stepd *s)
{
    for (size_t i = 0; i < d->stepds.len; i++)
        if (d->stepds.at[i] == s) {
            tug_vec_remove(&d->stepds, i);
            break;
        }
    tug_conn_set_data(s->conn, NULL);
    free(s);
}

static void on_stepd_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct noded *d = arg;
    struct stepd *s = tug_conn_data(c);
    struct tug_err err = {0};
    if (!s)
        return;
    tug_peer_id id = s->id;
    if (hand_over(d, id, f, &err)) {
        tug_warn("connection of pid %d closed: %s", (int) tug_conn_peer(c)->pid, err.msg);
        link_close(d, id);
        tug_agent_stepd_down(d->agent, id);
    }
    world_check(d);
}

static void on_stepd_close(void *arg, struct tug_conn *c, const char *why)
{
    struct noded *d = arg;
    struct stepd *s = tug_conn_data(c);
    if (!s)
        return;
    tug_peer_id id = s->id;
    tug_debug("connection of pid %d ended: %s", (int) tug_conn_peer(c)->pid, why);
    forget_stepd(d, s);
    tug_agent_stepd_down(d->agent, id);
    world_check(d);
}

static const struct tug_net_ops stepd_ops = {on_stepd_open, on_stepd_frame, on_stepd_close};

/* ---- both */

struct tug_conn *link_conn(struct noded *d, tug_peer_id id)
{
    if (id == d->controller_id)
        return d->controller;
    for (size_t i = 0; i < d->stepds.len; i++)
        if (d->stepds.at[i]->id == id)
            return d->stepds.at[i]->conn;
    return NULL;
}

void link_close(struct noded *d, tug_peer_id id)
{
    if (id == d->controller_id) {
        struct tug_conn *c = d->controller;
        controller_gone(d);
        tug_conn_close(c);
        return;
    }
    for (size_t i = 0; i < d->stepds.len; i++)
        if (d->stepds.at[i]->id == id) {
            struct tug_conn *c = d->stepds.at[i]->conn;
            forget_stepd(d, d->stepds.at[i]);
            tug_conn_close(c);
            return;
        }
}

static void split_controllers(struct noded *d)
{
    const char *rest = d->o.controller, *word;
    size_t len;
    while (tug_str_split(&rest, ',', &word, &len))
        if (len)
            tug_vec_push(&d->controllers, tug_xasprintf("%.*s", (int) len, word));
}

int link_start(struct noded *d, struct tug_err *err)
{
    split_controllers(d);
    struct tug_net_opts o = {.auth = TUG_AUTH_UNIX, .channel = TUG_CH_STEPD, .ops = &stepd_ops, .arg = d,
                             .max_conns = STEPDS_MAX, .max_conns_uid = STEPDS_USER_MAX};
    char *endpoint = tug_xasprintf("unix:%s/noded.sock", d->o.run_dir);
    d->redial_ms = REDIAL_MIN_MS;
    int rc = tug_timer_new(&d->redial, tug_loop_base(d->loop), dial, d, err);
    if (!rc)
        rc = tug_net_listen(&d->listener, tug_loop_base(d->loop), endpoint, SOCKET_MODE, &o, err);
    if (!rc)
        dial(d);
    free(endpoint);
    return rc;
}

void link_stop(struct noded *d)
{
    if (d->controller)
        tug_conn_drop(d->controller);
    while (d->stepds.len) {
        struct tug_conn *c = d->stepds.at[0]->conn;
        forget_stepd(d, d->stepds.at[0]);
        tug_conn_drop(c);
    }
    tug_vec_clear(&d->stepds);
    for (size_t i = 0; i < d->controllers.len; i++)
        free(d->controllers.at[i]);
    tug_vec_clear(&d->controllers);
    tug_listener_free(d->listener);
    tug_timer_free(d->redial);
}
