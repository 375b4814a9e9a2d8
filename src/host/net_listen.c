/* net_listen.c - accepting connections
 *
 * What always holds: no more than max_conns at once, and none that takes one of the last
 * descriptors: these are for what the daemon itself has to open. Those who have not proved who they
 * are wait at the door (net_door.c), and make room first. Layer: host.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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
#define OWN_FDS 256 /* for files, programs and the like; of few an eighth */

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
    int fd, fd_end; /* a connection has a smaller descriptor than fd_end */
    struct conn_list all;
    unsigned n_all;
    struct tug_door *door;
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
    if (unauth)
        tug_door_enter(l->door, c);
    return rc;
}

void tug_listener_conn_up(struct tug_listener *l, struct tug_conn *c)
{
    tug_door_leave(l->door, c);
}

void tug_listener_conn_gone(struct tug_listener *l, struct tug_conn *c)
{
    tug_door_leave(l->door, c);
    TAILQ_REMOVE(&l->all, c, all);
    l->n_all--;
    user_gone(l, c->peer.uid);
}

struct tug_door *tug_listener_door(const struct tug_listener *l)
{
    return l->door;
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
    tug_door_drop_oldest(l->door,
                         "dropped before its handshake was done: no descriptors are left");
    event_del(&l->ev_accept);
    event_add(&l->ev_rest, &tv);
}

static int is_full(const struct tug_listener *l, int fd)
{
    return l->n_all >= l->conf->o.max_conns || fd >= l->fd_end;
}

/* In place of the oldest at the door, with its descriptor; -1: there is none. */
static int make_room(struct tug_listener *l, int fd)
{
    int low = -1;
    if (tug_door_drop_oldest(l->door, "dropped before its handshake was done: as many connections "
                                      "are open as may be"))
        low = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    close(fd);
    if (low < 0 || !is_full(l, low))
        return low;
    close(low);
    return -1;
}

static void take(struct tug_listener *l, int fd)
{
    if (is_full(l, fd))
        fd = make_room(l, fd);
    if (fd < 0)
        return;
    tug_conn_accepted(l, l->loop, fd, l->conf);
}

/* The kernel has said who local peers are, so they wait for nothing. */
static bool may_accept(struct tug_listener *l)
{
    return l->conf->o.auth == TUG_AUTH_UNIX || tug_door_begin(l->door, TUG_DOOR_ACCEPT);
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    (void) what;
    struct tug_listener *l = arg;
    tug_loop_callback();
    for (int i = 0; i < ACCEPTS && may_accept(l); i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        int error = errno;
        if (fd >= 0)
            take(l, fd);
        tug_door_end(l->door, TUG_DOOR_ACCEPT);
        if (fd >= 0 || error == ECONNABORTED || error == EINTR)
            continue;
        if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM)
            rest(l);
        return;
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

static int end_of_fds(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur > INT_MAX)
        return INT_MAX;
    int all = (int) r.rlim_cur, own = all / 8 < OWN_FDS ? all / 8 : OWN_FDS;
    return all - own;
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
    l->fd_end = end_of_fds();
    l->door = tug_door_new(loop, conf->o.max_unauth, conf->o.max_unauth_address);
    TAILQ_INIT(&l->all);
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
    struct tug_conn *c;
    struct user *u, *other;
    struct stat st;
    if (!l)
        return;
    tug_door_free(l->door);
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
