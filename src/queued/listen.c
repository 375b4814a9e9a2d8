/* listen.c - the two sockets of the controller and who is behind them
 *
 * Commands come over a local socket, where the kernel says who they are; node daemons come over TCP
 * and prove the key that STATE_DIR/keys/nodes/NAME.pub holds. Layer: programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hostlist.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/client.pb-c.h"
#include "queued/daemon.h"

static void on_open(void *arg, struct tug_conn *c)
{
    struct tugd *d = arg;
    const struct tug_peer *who = tug_conn_peer(c);
    struct tug_control_peer cp = {0};
    struct peer *p = tug_new(struct peer);

    p->id = ++d->next_peer;
    p->conn = c;
    p->d = d;
    p->uid = who->auth == TUG_AUTH_UNIX ? who->uid : (uint32_t) -1;
    HASH_ADD(hh, d->peers, id, sizeof p->id, p);
    tug_conn_set_data(c, p);
    if (who->auth == TUG_AUTH_UNIX) {
        who_fill(&cp, who->uid, who->gid);
    } else {
        cp.role = TUG_ROLE_NODE;
        cp.node = who->name;
        cp.address = who->address;
    }
    tug_control_peer_up(d->control, p->id, &cp);
}

/* A message that cannot be read: a command is told, a node daemon starts anew. */
static void refuse(struct tugd *d, struct peer *p, uint32_t rid, const struct tug_err *err)
{
    Tugpb__Error e = TUGPB__ERROR__INIT;
    const struct tug_peer *who = tug_conn_peer(p->conn);

    e.code = -err->code;
    e.text = (char *) err->msg;
    if (who->auth == TUG_AUTH_UNIX) {
        tug_info("a message of uid %u was refused: %s", who->uid, err->msg);
        tug_conn_send(p->conn, TUG_MSG_ERROR, rid, &e.base);
    } else {
        tug_warn("a message of node %s was refused, its connection is closed: %s", who->name,
                 err->msg);
        world_close(d, p->id);
    }
}

static void on_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct tugd *d = arg;
    struct peer *p = tug_conn_data(c);
    struct tug_arena a = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m = NULL;

    if (!p)
        return;
    if (tug_msg_decode(&a, f->number, f->body, f->len, &m, &err) != 0) {
        refuse(d, p, f->rid, &err);
    } else if (f->number == TUG_MSG_HISTORY_REQUEST) {
        history_ask(d, p, f->rid, m);
    } else if (f->number == TUG_MSG_JOB_HISTORY_REQUEST) {
        history_ask_events(d, p, f->rid, m);
    } else if (f->number == TUG_MSG_NODE_HISTORY_REQUEST) {
        history_ask_nodes(d, p, f->rid, m);
    } else {
        tug_control_message(d->control, p->id, f->number, f->rid, m);
    }
    tug_arena_clear(&a);
}

static void on_close(void *arg, struct tug_conn *c, const char *why)
{
    struct tugd *d = arg;
    struct peer *p = tug_conn_data(c);

    if (!p) {
        tug_debug("a connection ended before it was up: %s", why);
        return;
    }
    if (tug_conn_peer(c)->auth == TUG_AUTH_NODE)
        tug_info("connection of node %s ended: %s", tug_conn_peer(c)->name, why);
    HASH_DEL(d->peers, p);
    tug_control_peer_down(d->control, p->id);
    free(p);
}

static const struct tug_net_ops ops = {on_open, on_frame, on_close};

static int node_key(void *arg, const char *name, uint8_t pub[32])
{
    const struct tugd *d = arg;
    char path[4096];

    if (!tug_hostname_ok(name))
        return -ENOENT;
    snprintf(path, sizeof path, "%s/keys/nodes/%s.pub", d->state_dir, name);
    return tug_pubkey_load(path, pub, NULL) == 0 ? 0 : -ENOENT;
}

/* Where nodes find us, for scripts and the sandbox: port 0 in the configuration means any. */
static int write_endpoint(struct tugd *d, struct tug_err *err)
{
    char path[4096], tmp[4112];
    const char *text = tug_listener_endpoint(d->nodes);
    int fd, rc = 0;

    snprintf(path, sizeof path, "%s/endpoint", d->run_dir);
    snprintf(tmp, sizeof tmp, "%s.new", path);
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text) ||
        write(fd, "\n", 1) != 1)
        rc = tug_fail(err, -errno, "cannot write %s: %s", tmp, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (rc == 0 && rename(tmp, path) != 0)
        rc = tug_fail(err, -errno, "cannot rename %s: %s", tmp, strerror(errno));
    return rc;
}

int listen_clients(struct tugd *d, struct tug_err *err)
{
    struct tug_net_opts o = {.auth = TUG_AUTH_UNIX,
                             .channel = TUG_CH_CLIENT,
                             .ops = &ops,
                             .arg = d,
                             .max_conns = (unsigned) d->cfg.limits.max_connections};
    char *endpoint = tug_xasprintf("unix:%s", d->socket_path);
    int rc = tug_net_listen(&d->clients, tug_loop_base(d->loop), endpoint, 0666, &o, err);

    free(endpoint);
    return rc;
}

int listen_open(struct tugd *d, struct tug_err *err)
{
    struct tug_net_opts o = {.auth = TUG_AUTH_NODE,
                             .channel = TUG_CH_NODE,
                             .ops = &ops,
                             .arg = d,
                             .own = &d->key,
                             .node_key = node_key,
                             .max_conns = (unsigned) d->cfg.limits.max_connections,
                             .max_unauth = (unsigned) d->cfg.limits.max_handshakes,
                             .max_unauth_address = (unsigned) d->cfg.limits.max_handshakes_address};
    int rc = listen_clients(d, err);

    rc = rc ? rc : tug_net_listen(&d->nodes, tug_loop_base(d->loop), d->cfg.cluster.listen.text, 0, &o, err);
    return rc ? rc : write_endpoint(d, err);
}

void listen_close(struct tugd *d)
{
    struct peer *p, *next;

    tug_listener_free(d->clients);
    tug_listener_free(d->nodes);
    d->clients = d->nodes = NULL;
    HASH_ITER (hh, d->peers, p, next) {
        HASH_DEL(d->peers, p);
        tug_conn_drop(p->conn);
        free(p);
    }
}
