/* net_listen.c - accepting connections
 *
 * What always holds: no more than max_conns at once, and no more than max_unauth of them before
 * their handshake is done: the oldest of these goes first, so that peers who say nothing cannot
 * keep others out. Layer: host.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "base/mem.h"
#include "host/loop.h"
#include "host/net_impl.h"
#include "host/session.h"

#define BACKLOG 4096
#define ACCEPTS 64  /* in one wake-up */
#define REST_MS 100 /* when descriptors ran out */

TAILQ_HEAD(conn_list, tug_conn);

struct user {
    uid_t uid;
    unsigned conns;
    UT_hash_handle hh;
};

struct tug_listener {
    struct tug_net_conf *conf;
    struct event_base *loop;
    struct event ev_accept, ev_rest;
    int fd;
    struct conn_list all, unauth; /* unauth: oldest first */
    unsigned n_all, n_unauth;
    struct user *users; /* of local connections, except root and us */
    char *path;         /* unix socket to remove, if it is still the one that we made */
    dev_t dev;
    ino_t ino;
    char *endpoint;
};

/* Count the connection with its user's: 0, or -EUSERS. Root and we ourselves are not limited. */
static int user_added(struct tug_listener *l, uid_t uid)
{
    struct user *u;
    if (uid == (uid_t) -1 || uid == 0 || uid == geteuid())
        return 0;
    HASH_FIND(hh, l->users, &uid, sizeof uid, u);
    if (!u) {
        u = tug_new(struct user);
        u->uid = uid;
        HASH_ADD(hh, l->users, uid, sizeof u->uid, u);
    }
    return ++u->conns > l->conf->o.max_conns_uid ? -EUSERS : 0;
}

static void user_gone(struct tug_listener *l, uid_t uid)
{
    struct user *u;
    HASH_FIND(hh, l->users, &uid, sizeof uid, u);
    if (!u || --u->conns)
        return;
    HASH_DEL(l->users, u);
    free(u);
}

int tug_listener_conn_added(struct tug_listener *l, struct tug_conn *c, int unauth)
{
    TAILQ_INSERT_TAIL(&l->all, c, all);
    l->n_all++;
    int rc = user_added(l, c->peer.uid);
    if (!unauth)
        return rc;
    c->in_unauth = 1;
    TAILQ_INSERT_TAIL(&l->unauth, c, unauth);
    if (++l->n_unauth > l->conf->o.max_unauth)
        tug_conn_refuse(TAILQ_FIRST(&l->unauth), "dropped before its handshake was done: too many "
                                                 "others wait for theirs");
    return rc;
}

void tug_listener_conn_up(struct tug_listener *l, struct tug_conn *c)
{
    if (!c->in_unauth)
        return;
    TAILQ_REMOVE(&l->unauth, c, unauth);
    c->in_unauth = 0;
    l->n_unauth--;
}

void tug_listener_conn_gone(struct tug_listener *l, struct tug_conn *c)
{
    tug_listener_conn_up(l, c);
    TAILQ_REMOVE(&l->all, c, all);
    l->n_all--;
    user_gone(l, c->peer.uid);
}

static void on_rest(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    struct tug_listener *l = arg;
    event_add(&l->ev_accept, NULL);
}

/* No descriptors left: waiting connections stay in the kernel's queue; don't spin on them. */
static void rest(struct tug_listener *l)
{
    struct timeval tv = {0, REST_MS * 1000};
    if (!TAILQ_EMPTY(&l->unauth))
        tug_conn_refuse(TAILQ_FIRST(&l->unauth),
                        "dropped before its handshake was done: no descriptors are left");
    event_del(&l->ev_accept);
    event_add(&l->ev_rest, &tv);
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    (void) what;
    struct tug_listener *l = arg;
    tug_loop_callback();
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                rest(l);
            if (errno == ECONNABORTED || errno == EINTR)
                continue;
            return;
        }
        if (l->n_all >= l->conf->o.max_conns) {
            close(fd);
            continue;
        }
        tug_socket_tune(fd, l->path ? AF_UNIX : AF_INET);
        tug_conn_accepted(l, l->loop, fd, l->conf);
    }
}

/* ---- opening ---- */

/* Is anybody behind the socket file? */
static int is_live(const struct tug_sockaddr *a)
{
    int fd = tug_socket_new(AF_UNIX, 1);
    if (fd < 0)
        return 1;
    int rc = connect(fd, (const struct sockaddr *) &a->ss, a->len);
    int live = rc == 0 || errno == EAGAIN || errno == EACCES || errno == EPERM;
    close(fd);
    return live;
}

static int bind_unix(struct tug_listener *l, const char *path, unsigned mode, struct tug_err *err)
{
    struct tug_sockaddr a;
    struct stat st;
    int rc = tug_sockaddr_unix(path, &a, err);
    if (rc)
        return rc;
    fchmod(l->fd,
           mode); /* what bind() starts from, so that the file is never wider open than 'mode' */
    rc = bind(l->fd, (struct sockaddr *) &a.ss, a.len) == 0 ? 0 : -errno;
    if (rc == -EADDRINUSE && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && !is_live(&a)) {
        unlink(path);
        rc = bind(l->fd, (struct sockaddr *) &a.ss, a.len) == 0 ? 0 : -errno;
    }
    tug_sockaddr_clear(&a);
    if (rc == -EADDRINUSE)
        return tug_fail(err, rc,
                        "%s is in use: another daemon listens there, or it is not a socket", path);
    if (rc)
        return tug_fail(err, rc, "socket %s cannot be made: %s", path, strerror(-rc));
    if (chmod(path, mode) < 0 || lstat(path, &st) < 0)
        return tug_fail(err, -errno, "socket %s: %s", path, strerror(errno));
    l->path = tug_xstrdup(path);
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    l->endpoint = tug_xasprintf("unix:%s", path);
    return 0;
}

static int bind_tcp(struct tug_listener *l, const struct tug_sockaddr *a, const char *endpoint,
                    struct tug_err *err)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    char address[64];
    int one = 1, zero = 0, port;
    setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->ss.ss_family == AF_INET6)
        setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(l->fd, (const struct sockaddr *) &a->ss, a->len) < 0)
        return tug_fail(err, -errno, "cannot listen at %s: %s", endpoint, strerror(errno));
    if (getsockname(l->fd, (struct sockaddr *) &ss, &len) < 0)
        return tug_fail(err, -errno, "cannot listen at %s: %s", endpoint, strerror(errno));
    tug_sockaddr_format((struct sockaddr *) &ss, address, sizeof address, &port);
    l->endpoint = tug_xasprintf(strchr(address, ':') ? "[%s]:%d" : "%s:%d", address, port);
    return 0;
}

static int open_socket(struct tug_listener *l, const char *endpoint, unsigned mode,
                       struct tug_err *err)
{
    struct tug_endpoint *e = tug_new(struct tug_endpoint);
    struct tug_sockaddr a = {.dir_fd = -1};
    int rc = tug_endpoint_parse(endpoint, e, err);
    rc = rc ? rc : tug_endpoint_allows(e, endpoint, &l->conf->o, err);
    if (!rc && !e->is_unix)
        rc = tug_sockaddr_tcp(e, 1, &a, err);
    if (rc)
        goto out;
    l->fd = tug_socket_new(e->is_unix ? AF_UNIX : a.ss.ss_family, 1);
    if (l->fd < 0)
        rc = tug_fail(err, l->fd, "socket for %s: %s", endpoint, strerror(-l->fd));
    else
        rc = e->is_unix ? bind_unix(l, e->path, mode, err) : bind_tcp(l, &a, endpoint, err);
    if (!rc && listen(l->fd, BACKLOG) < 0)
        rc = tug_fail(err, -errno, "cannot listen at %s: %s", endpoint, strerror(errno));
out:
    free(e);
    return rc;
}

/* Keys that are missing are the daemon's mistake: say so at start, not at the first connection. */
static int check_keys(const struct tug_net_opts *o, struct tug_err *err)
{
    struct tug_session *s = NULL;
    struct tug_buf said = {0};
    if (o->auth == TUG_AUTH_UNIX)
        return 0;
    int rc = tug_session_new(&s, TUG_SIDE_SERVER, o, &said, err);
    tug_session_free(s);
    tug_buf_clear(&said);
    return rc;
}

int tug_net_listen(struct tug_listener **out, struct event_base *loop, const char *endpoint,
                   unsigned mode, const struct tug_net_opts *o, struct tug_err *err)
{
    struct tug_net_conf *conf;
    int rc = check_keys(o, err);
    rc = rc ? rc : tug_net_conf_new(&conf, o, err);
    if (rc)
        return rc;
    struct tug_listener *l = tug_new(struct tug_listener);
    l->conf = conf;
    l->loop = loop;
    l->fd = -1;
    TAILQ_INIT(&l->all);
    TAILQ_INIT(&l->unauth);
    rc = open_socket(l, endpoint, mode, err);
    event_assign(&l->ev_accept, loop, l->fd, EV_READ | EV_PERSIST, on_accept, l);
    event_assign(&l->ev_rest, loop, -1, EV_TIMEOUT, on_rest, l);
    if (rc) {
        tug_listener_free(l);
        return rc;
    }
    event_add(&l->ev_accept, NULL);
    *out = l;
    return 0;
}

void tug_listener_free(struct tug_listener *l)
{
    struct tug_conn *c, *next;
    struct user *u, *other;
    struct stat st;
    if (!l)
        return;
    for (c = TAILQ_FIRST(&l->unauth); c; c = next) {
        next = TAILQ_NEXT(c, unauth);
        tug_conn_drop(c);
    }
    TAILQ_FOREACH (c, &l->all, all)
        c->listener = NULL; /* those that are up go on */
    HASH_ITER (hh, l->users, u, other) {
        HASH_DEL(l->users, u);
        free(u);
    }
    event_del(&l->ev_accept);
    event_del(&l->ev_rest);
    if (l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
        unlink(l->path);
    if (l->fd >= 0)
        close(l->fd);
    tug_net_conf_unref(l->conf);
    free(l->path);
    free(l->endpoint);
    free(l);
}

const char *tug_listener_endpoint(const struct tug_listener *l)
{
    return l->endpoint;
}
