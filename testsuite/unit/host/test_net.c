/* test_net.c - connections over real sockets, both ends in one loop. Layer: tests. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/net.h"
#include "host/session.h"
#include "proto/step.pb-c.h"

/* ---- one side of the test: what it saw ---- */

struct side {
    struct tug_conn *conn; /* the last one that opened, NULL once it closed */
    unsigned opened, frames, closed;
    size_t bytes;
    uint32_t last_rid;
    uint64_t sum; /* over all body bytes */
    char why[512];
    int echo;
    int drop_on_frame; /* 1 drop, 2 close */
    int pause_after;   /* frames; 0 never */
};

static struct event_base *loop;
static struct tug_listener *listener;
static struct side server, client;
static struct tug_keypair server_key, node_key, other_key;
static char dir[64];

static uint64_t sum_of(const uint8_t *p, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + p[i];
    return sum;
}

static void on_open(void *arg, struct tug_conn *c)
{
    struct side *s = arg;
    s->opened++;
    s->conn = c;
}

static void on_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    struct side *s = arg;
    s->frames++;
    s->bytes += f->len;
    s->last_rid = f->rid;
    s->sum = sum_of(f->body, f->len);
    if (s->echo)
        tug_conn_send_raw(c, f->number, f->rid, f->body, f->len);
    if (s->pause_after && s->frames == (unsigned) s->pause_after)
        tug_conn_pause(c, 1);
    if (s->drop_on_frame) {
        s->conn = NULL;
        if (s->drop_on_frame == 1)
            tug_conn_drop(c);
        else
            tug_conn_close(c);
    }
}

static void on_close(void *arg, struct tug_conn *c, const char *why)
{
    struct side *s = arg;
    s->closed++;
    snprintf(s->why, sizeof s->why, "%s", why);
    if (s->conn == c)
        s->conn = NULL;
}

static const struct tug_net_ops ops = {on_open, on_frame, on_close};

static int knows_node(void *arg, const char *name, uint8_t pub[32])
{
    (void) arg;
    if (strcmp(name, "gpu001") != 0)
        return -ENOENT;
    memcpy(pub, node_key.pub, 32);
    return 0;
}

static struct tug_net_opts opts(enum tug_auth auth, int is_server)
{
    struct tug_net_opts o = {.auth = auth, .channel = TUG_CH_STAR, .ops = &ops};
    o.arg = is_server ? &server : &client;
    memset(o.psk, 9, sizeof o.psk);
    if (is_server) {
        o.own = &server_key;
        o.node_key = knows_node;
    } else {
        o.own = &node_key;
        o.own_name = "gpu001";
        o.peer_pub = server_key.pub;
    }
    return o;
}

static void setup(void)
{
    strcpy(dir, "/tmp/tug-net-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    loop = event_base_new();
    ck_assert_int_eq(tug_keypair_make(&server_key), 0);
    ck_assert_int_eq(tug_keypair_make(&node_key), 0);
    ck_assert_int_eq(tug_keypair_make(&other_key), 0);
}

static void teardown(void)
{
    if (server.conn)
        tug_conn_drop(server.conn);
    if (client.conn)
        tug_conn_drop(client.conn);
    tug_listener_free(listener);
    event_base_dispatch(loop); /* those that were closed end by themselves */
    event_base_free(loop);
    ck_assert_msg(rmdir(dir) == 0, "something was left in %s", dir);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
    ck_abort_msg("nothing happens: server %u/%u/%u '%s' client %u/%u/%u '%s'", server.opened,
                 server.frames, server.closed, server.why, client.opened, client.frames,
                 client.closed, client.why);
}

#define UNTIL(cond)                                                                                \
    do {                                                                                           \
        struct timeval limit_ = {40, 0};                                                           \
        struct event *dog_ = event_new(loop, -1, EV_TIMEOUT, on_watchdog, NULL);                   \
        event_add(dog_, &limit_);                                                                  \
        while (!(cond))                                                                            \
            ck_assert_int_eq(event_base_loop(loop, EVLOOP_ONCE), 0);                               \
        event_free(dog_);                                                                          \
    } while (0)

static const char *unix_endpoint(void)
{
    static char e[80];
    snprintf(e, sizeof e, "unix:%s/s", dir);
    return e;
}

static void start(const struct tug_net_opts *o, const char *endpoint)
{
    struct tug_err err = {0};
    ck_assert_msg(tug_net_listen(&listener, loop, endpoint, 0600, o, &err) == 0, "%s", err.msg);
}

static struct tug_conn *dial(const struct tug_net_opts *o)
{
    struct tug_err err = {0};
    struct tug_conn *c = NULL;
    ck_assert_msg(tug_net_dial(&c, loop, tug_listener_endpoint(listener), o, &err) == 0, "%s",
                  err.msg);
    return c;
}

/* Listen and connect; both sides are up after it. */
static void connect_both(enum tug_auth auth, const char *endpoint)
{
    struct tug_net_opts so = opts(auth, 1), co = opts(auth, 0);
    start(&so, endpoint);
    dial(&co);
    UNTIL((server.opened && client.opened) || client.closed);
    ck_assert_msg(server.opened && client.opened, "server '%s' client '%s'", server.why,
                  client.why);
}

/* A plain blocking socket to the listener, for peers that don't keep to the protocol. */
static int raw_peer(void)
{
    const char *e = tug_listener_endpoint(listener);
    int fd;
    if (strncmp(e, "unix:", 5) == 0) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        strcpy(un.sun_path, e + 5);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(fd, (struct sockaddr *) &un, sizeof un), 0);
    } else {
        struct sockaddr_in in = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t) atoi(strrchr(e, ':') + 1))};
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(fd, (struct sockaddr *) &in, sizeof in), 0);
    }
    return fd;
}

static int says_eof(int fd)
{
    char c[256];
    ssize_t n;
    while ((n = recv(fd, c, sizeof c, MSG_DONTWAIT)) > 0)
        ;
    return n == 0 || (errno != EAGAIN && errno != EINTR);
}

struct way {
    enum tug_auth auth;
    int tcp;
};
static const struct way ways[] = {
    {TUG_AUTH_UNIX, 0}, {TUG_AUTH_PSK, 0}, {TUG_AUTH_PSK, 1}, {TUG_AUTH_NODE, 1}};
#define N_WAYS 4

static void connect_way(int i)
{
    setup();
    connect_both(ways[i].auth, ways[i].tcp ? "127.0.0.1:0" : unix_endpoint());
}

/* ---- frames ---- */

START_TEST(frames_come_back_as_they_were_sent)
{
    connect_way(_i);
    server.echo = 1;
    Tugpb__StarInput in = TUGPB__STAR_INPUT__INIT;
    in.rank = -1;
    in.data = (ProtobufCBinaryData){5, (uint8_t *) (uintptr_t) "hello"};
    ck_assert_int_eq(tug_conn_send(client.conn, TUG_MSG_STAR_INPUT, 77, &in.base), 0);
    UNTIL(client.frames == 1);
    ck_assert_uint_eq(client.last_rid, 77);
    ck_assert_uint_eq(client.sum, server.sum);
    ck_assert_uint_eq(tug_conn_out_bytes(client.conn), 0);
    teardown();
}
END_TEST

START_TEST(who_is_at_the_other_end_is_known)
{
    connect_way(_i);
    const struct tug_peer *p = tug_conn_peer(server.conn);
    ck_assert_int_eq(p->auth, ways[_i].auth);
    if (ways[_i].tcp) {
        ck_assert_str_eq(p->address, "127.0.0.1");
    } else {
        ck_assert_int_eq(p->pid, getpid());
        ck_assert_int_eq((int) p->uid, (int) getuid());
    }
    ck_assert_str_eq(p->name, ways[_i].auth == TUG_AUTH_NODE ? "gpu001" : "");
    teardown();
}
END_TEST

START_TEST(thousands_of_small_frames_come_in_order)
{
    connect_way(_i);
    server.echo = 1;
    for (uint32_t i = 1; i <= 20000; i++)
        ck_assert_int_eq(tug_conn_send_raw(client.conn, TUG_MSG_STAR_INPUT, i, "abc", i % 4), 0);
    UNTIL(client.frames == 20000);
    ck_assert_uint_eq(client.last_rid, 20000);
    ck_assert_uint_eq(client.bytes, 20000 / 4 * 6);
    teardown();
}
END_TEST

START_TEST(a_frame_of_60_mb_goes_there_and_back)
{
    connect_way(_i);
    size_t len = 60 << 20;
    uint8_t *body = malloc(len);
    for (size_t i = 0; i < len; i++)
        body[i] = (uint8_t) (i * 2654435761u >> 24);
    server.echo = 1;
    ck_assert_int_eq(tug_conn_send_raw(client.conn, TUG_MSG_STAR_FENCE, 5, body, len), 0);
    UNTIL(client.frames == 1 || client.closed || server.closed);
    ck_assert_uint_eq(client.bytes, len);
    ck_assert_uint_eq(client.sum, sum_of(body, len));
    free(body);
    teardown();
}
END_TEST

START_TEST(a_body_over_the_cap_of_its_message_is_not_sent)
{
    connect_way(0);
    uint8_t *body = calloc(1, 5000);
    ck_assert_int_eq(tug_conn_send_raw(client.conn, TUG_MSG_STAR_HELLO, 1, body, 4097), -EMSGSIZE);
    Tugpb__StarInput in = TUGPB__STAR_INPUT__INIT;
    in.data.len = (1 << 20) + 1;
    in.data.data = calloc(1, in.data.len);
    ck_assert_int_eq(tug_conn_send(client.conn, TUG_MSG_STAR_INPUT, 1, &in.base), -EMSGSIZE);
    ck_assert_uint_eq(tug_conn_out_bytes(client.conn), 0);
    free(in.data.data);
    free(body);
    teardown();
}
END_TEST

START_TEST(many_connections_at_once_all_get_their_answers)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_NODE, 1), co = opts(TUG_AUTH_NODE, 0);
    start(&so, "127.0.0.1:0");
    server.echo = 1;
    struct tug_conn *c[100];
    for (int i = 0; i < 100; i++) {
        c[i] = dial(&co);
        ck_assert_int_eq(tug_conn_send_raw(c[i], TUG_MSG_STAR_INPUT, 1, "before it is up", 15), 0);
    }
    UNTIL(client.frames == 100);
    ck_assert_uint_eq(server.opened, 100);
    for (int i = 0; i < 100; i++)
        tug_conn_drop(c[i]);
    client.conn = NULL;
    UNTIL(server.closed == 100);
    teardown();
}
END_TEST

/* ---- closing ---- */

START_TEST(a_peer_that_goes_is_noticed)
{
    connect_way(_i);
    tug_conn_drop(client.conn);
    client.conn = NULL;
    UNTIL(server.closed);
    ck_assert_str_eq(server.why, "the peer closed the connection");
    ck_assert_uint_eq(client.closed, 0); /* who drops is not called back */
    teardown();
}
END_TEST

START_TEST(closing_sends_what_waits_first)
{
    connect_way(_i);
    uint8_t *body = calloc(1, 8 << 20);
    ck_assert_int_eq(tug_conn_send_raw(client.conn, TUG_MSG_STAR_FENCE, 1, body, 8 << 20), 0);
    ck_assert_int_eq(tug_conn_send_raw(server.conn, TUG_MSG_STAR_INPUT, 1, "unread", 6),
                     0); /* a reset would eat ours */
    tug_conn_close(client.conn);
    client.conn = NULL;
    UNTIL(server.closed);
    ck_assert_uint_eq(server.bytes, 8 << 20);
    ck_assert_str_eq(server.why, "the peer closed the connection");
    ck_assert_uint_eq(client.closed, 0);
    free(body);
    teardown();
}
END_TEST

START_TEST(a_connection_may_be_dropped_or_closed_inside_its_callback)
{
    for (int how = 1; how <= 2; how++) {
        memset(&server, 0, sizeof server);
        memset(&client, 0, sizeof client);
        connect_way(_i);
        server.drop_on_frame = how;
        for (int i = 0; i < 100; i++)
            tug_conn_send_raw(client.conn, TUG_MSG_STAR_INPUT, 1, "x", 1);
        UNTIL(client.closed);
        ck_assert_uint_eq(server.frames, 1); /* the others were never handed out */
        ck_assert_uint_eq(server.closed, 0);
        server.conn = NULL;
        teardown();
    }
}
END_TEST

START_TEST(closing_in_the_middle_of_a_frame_is_named)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_UNIX, 1);
    start(&so, unix_endpoint());
    int fd = raw_peer();
    uint8_t head[TUG_FRAME_HEAD];
    tug_frame_head(head, TUG_MSG_STAR_INPUT, 1, 100);
    ck_assert_int_eq(send(fd, head, sizeof head, 0), sizeof head);
    close(fd);
    UNTIL(server.closed);
    ck_assert_str_eq(server.why, "the peer closed the connection in the middle of a frame");
    teardown();
}
END_TEST

/* ---- bad peers ---- */

START_TEST(bad_frames_close_their_connection_with_the_reason_and_no_other)
{
    static const struct {
        uint16_t number;
        uint32_t len;
        const char *why;
    } bad[] = {{0xffff, 0, "does not know"},
               {TUG_MSG_PING_REQUEST, 0, "does not belong on a gang connection"},
               {TUG_MSG_STAR_HELLO, 4097, "at most 4096 are taken"},
               {TUG_MSG_STAR_FENCE, 0xffffffff, "at most"}};
    connect_way(0);
    struct tug_conn *good = server.conn;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int fd = raw_peer();
        uint8_t head[TUG_FRAME_HEAD];
        tug_frame_head(head, bad[i].number, 1, bad[i].len);
        ck_assert_int_eq(send(fd, head, sizeof head, 0), sizeof head);
        UNTIL(server.closed == i + 1);
        ck_assert_msg(strstr(server.why, bad[i].why) != NULL, "%s", server.why);
        ck_assert(says_eof(fd));
        close(fd);
    }
    server.conn = good;
    server.echo = 1;
    tug_conn_send_raw(client.conn, TUG_MSG_STAR_INPUT, 3, "still here", 10);
    UNTIL(client.frames == 1);
    teardown();
}
END_TEST

START_TEST(garbage_before_authentication_closes)
{
    static const enum tug_auth keyed[] = {TUG_AUTH_NODE, TUG_AUTH_PSK};
    setup();
    struct tug_net_opts so = opts(keyed[_i], 1);
    start(&so, "127.0.0.1:0");
    uint8_t junk[8192];
    memset(junk, 'G', sizeof junk);
    int fd = raw_peer();
    ck_assert_int_gt(send(fd, junk, sizeof junk, MSG_NOSIGNAL), 0);
    UNTIL(server.closed);
    ck_assert_str_eq(server.why, "handshake refused: what came is not a Tugline handshake");
    ck_assert_uint_eq(server.opened, 0);
    UNTIL(says_eof(fd));
    close(fd);
    teardown();
}
END_TEST

START_TEST(a_handshake_that_comes_slowly_is_closed)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_NODE, 1);
    so.handshake_ms = 100;
    start(&so, "127.0.0.1:0");
    int silent = raw_peer(), slow = raw_peer();
    ck_assert_int_eq(send(slow, "TUGLINE1", 8, 0), 8);
    UNTIL(server.closed == 2);
    ck_assert_str_eq(server.why, "the handshake took longer than 100 ms");
    ck_assert(says_eof(silent) && says_eof(slow));
    close(silent);
    close(slow);
    teardown();
}
END_TEST

START_TEST(a_session_that_is_up_has_no_deadline)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_NODE, 1), co = opts(TUG_AUTH_NODE, 0);
    so.handshake_ms = 300;
    start(&so, "127.0.0.1:0");
    dial(&co);
    UNTIL(server.opened && client.opened);
    int silent =
        raw_peer(); /* comes later: when its deadline has passed, so has that of the first */
    UNTIL(server.closed);
    ck_assert_ptr_nonnull(client.conn);
    ck_assert_uint_eq(client.closed, 0);
    close(silent);
    teardown();
}
END_TEST

START_TEST(too_many_that_say_nothing_drop_the_oldest_and_others_still_get_in)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_NODE, 1), co = opts(TUG_AUTH_NODE, 0);
    so.max_unauth = so.max_unauth_address = 4;
    start(&so, "127.0.0.1:0");
    int fd[10];
    for (int i = 0; i < 10; i++)
        fd[i] = raw_peer();
    UNTIL(server.closed == 6);
    ck_assert_msg(strstr(server.why, "too many others") != NULL, "%s", server.why);
    dial(&co);
    UNTIL(client.opened && server.opened);
    ck_assert_uint_eq(server.closed, 7);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(says_eof(fd[i]), i < 7);
        close(fd[i]);
    }
    teardown();
}
END_TEST

START_TEST(connections_over_the_limit_are_closed_at_once)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_UNIX, 1);
    so.max_conns = 2;
    start(&so, unix_endpoint());
    int a = raw_peer(), b = raw_peer(), c = raw_peer();
    UNTIL(says_eof(c));
    ck_assert(!says_eof(a) && !says_eof(b));
    close(a);
    UNTIL(server.closed == 1);
    int d = raw_peer();
    UNTIL(server.opened == 3);
    close(b);
    close(c);
    close(d);
    UNTIL(server.closed == 3);
    teardown();
}
END_TEST

/* In a child: connect 5 times as another user, and exit with how many were closed at once. */
static pid_t five_as_nobody(void)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    if (setgid(65534) || setuid(65534))
        _exit(99);
    int fd[5], refused = 0;
    char c;
    for (int i = 0; i < 5; i++)
        fd[i] = raw_peer();
    for (int i = 0; i < 5; i++) {
        struct pollfd p = {.fd = fd[i], .events = POLLIN};
        refused += poll(&p, 1, i < 2 ? 0 : 20000) == 1 && recv(fd[i], &c, 1, 0) <= 0;
    }
    _exit(refused);
}

START_TEST(one_user_cannot_take_all_connections)
{
    if (geteuid() != 0)
        return; /* only root can be two users */
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_UNIX, 1), co = opts(TUG_AUTH_UNIX, 0);
    struct tug_err err = {0};
    int status = 0;
    so.max_conns = 100;
    so.max_conns_uid = 2;
    ck_assert_int_eq(chmod(dir, 0755), 0);
    ck_assert_msg(tug_net_listen(&listener, loop, unix_endpoint(), 0666, &so, &err) == 0, "%s",
                  err.msg);
    for (int round = 1; round <= 2; round++) { /* those that are gone don't count */
        pid_t pid = five_as_nobody();
        UNTIL(server.closed == 2u * (unsigned) round);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 3, "status 0x%x", status);
        ck_assert_uint_eq(server.opened, 2u * (unsigned) round);
    }
    struct tug_conn *c[5];
    for (int i = 0; i < 5; i++) /* root may */
        c[i] = dial(&co);
    UNTIL(client.opened == 5 && server.opened == 9);
    for (int i = 0; i < 5; i++)
        tug_conn_drop(c[i]);
    client.conn = NULL;
    UNTIL(server.closed == 9);
    teardown();
}
END_TEST

/* ---- wrong keys ---- */

START_TEST(a_wrong_key_is_refused_on_either_side_and_both_say_why)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_NODE, 1), co = opts(TUG_AUTH_NODE, 0);
    start(&so, "127.0.0.1:0");
    co.own = &other_key;
    dial(&co);
    UNTIL(server.closed && client.closed);
    ck_assert_msg(strstr(server.why, "does not have its key") != NULL, "%s", server.why);
    ck_assert_msg(strstr(client.why, "may not know node 'gpu001'") != NULL, "%s", client.why);
    co = opts(TUG_AUTH_NODE, 0);
    co.peer_pub = other_key.pub;
    dial(&co);
    UNTIL(server.closed == 2 && client.closed == 2);
    ck_assert_msg(strstr(client.why, "another key than the one") != NULL, "%s", client.why);
    ck_assert_uint_eq(server.opened + client.opened, 0);
    teardown();
}
END_TEST

START_TEST(a_wrong_shared_key_is_refused)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_PSK, 1), co = opts(TUG_AUTH_PSK, 0);
    start(&so, "127.0.0.1:0");
    co.psk[0] ^= 1;
    dial(&co);
    UNTIL(server.closed && client.closed);
    ck_assert_msg(strstr(server.why, "does not have the shared key") != NULL, "%s", server.why);
    ck_assert_uint_eq(server.opened + client.opened, 0);
    teardown();
}
END_TEST

START_TEST(a_network_endpoint_without_keys_is_refused)
{
    setup();
    struct tug_err err;
    struct tug_net_opts so = opts(TUG_AUTH_UNIX, 1);
    struct tug_conn *c = NULL;
    struct tug_call *call = NULL;
    unit_fails(tug_net_listen(&listener, loop, "127.0.0.1:0", 0, &so, &err), -EINVAL, err,
               "not a local socket");
    unit_fails(tug_net_dial(&c, loop, "127.0.0.1:1", &so, &err), -EINVAL, err,
               "not a local socket");
    unit_fails(tug_call_open(&call, "127.0.0.1:1", &so, 100, &err), -EINVAL, err,
               "not a local socket");
    so = opts(TUG_AUTH_NODE, 1);
    so.own = NULL;
    unit_fails(tug_net_listen(&listener, loop, "127.0.0.1:0", 0, &so, &err), -EINVAL, err,
               "no own key");
    teardown();
}
END_TEST

/* ---- back-pressure ---- */

START_TEST(a_peer_that_does_not_read_is_closed_at_the_limit)
{
    setup();
    struct tug_net_opts so = opts(ways[_i].auth, 1), co = opts(ways[_i].auth, 0);
    so.out_max_bytes = 4 << 20;
    start(&so, ways[_i].tcp ? "127.0.0.1:0" : unix_endpoint());
    dial(&co);
    UNTIL(server.opened && client.opened);
    tug_conn_pause(client.conn, 1);
    uint8_t *body = calloc(1, 1 << 20);
    int rc = 0, sent = 0;
    while (!rc && sent < 100) {
        rc = tug_conn_send_raw(server.conn, TUG_MSG_STAR_INPUT, 1, body, 1 << 20);
        sent += rc == 0;
        event_base_loop(loop, EVLOOP_NONBLOCK);
    }
    ck_assert_int_eq(rc, -ENOBUFS);
    ck_assert_int_ge(sent, 4);
    ck_assert_int_lt(sent, 30); /* the limit and what the kernel takes */
    UNTIL(server.closed);
    ck_assert_msg(strstr(server.why, "does not read") != NULL, "%s", server.why);
    ck_assert_uint_eq(server.closed, 1);
    free(body);
    teardown();
}
END_TEST

START_TEST(a_burst_to_a_peer_that_reads_is_not_a_reason_to_close)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_UNIX, 1), co = opts(TUG_AUTH_UNIX, 0);
    co.out_max_bytes = 100000;
    start(&so, unix_endpoint());
    dial(&co);
    UNTIL(server.opened && client.opened);
    /* more than the limit in one callback, but the kernel takes it */
    for (int i = 0; i < 150; i++)
        ck_assert_int_eq(tug_conn_send_raw(client.conn, TUG_MSG_STAR_INPUT, 1, dir, sizeof dir), 0);
    UNTIL(server.frames == 150);
    /* one frame may be larger than the limit */
    uint8_t *body = calloc(1, 1 << 20);
    ck_assert_int_eq(tug_conn_send_raw(client.conn, TUG_MSG_STAR_INPUT, 1, body, 1 << 20), 0);
    UNTIL(server.frames == 151);
    free(body);
    teardown();
}
END_TEST

START_TEST(a_paused_connection_hands_out_nothing_until_it_goes_on)
{
    connect_way(_i);
    server.pause_after = 3;
    for (uint32_t i = 1; i <= 10; i++)
        tug_conn_send_raw(client.conn, TUG_MSG_STAR_INPUT, i, "x", 1);
    UNTIL(server.frames == 3);
    struct tug_net_opts co = opts(ways[_i].auth, 0);
    struct tug_conn *held = server.conn, *mine = client.conn;
    dial(&co); /* when another one is up, the loop has had its chance */
    UNTIL(server.opened == 2 && client.opened == 2);
    ck_assert_uint_eq(server.frames, 3);
    tug_conn_pause(held, 0);
    UNTIL(server.frames == 10);
    ck_assert_uint_eq(server.last_rid, 10);
    tug_conn_drop(mine);
    tug_conn_drop(held);
    teardown();
}
END_TEST

/* ---- endpoints ---- */

START_TEST(a_stale_socket_file_is_replaced_and_a_live_one_is_not)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_UNIX, 1), co = opts(TUG_AUTH_UNIX, 0);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct tug_listener *second = NULL;
    struct tug_err err;
    struct stat st;
    strcpy(un.sun_path, unix_endpoint() + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &un, sizeof un), 0);
    close(fd); /* leaves the file */
    start(&so, unix_endpoint());
    ck_assert_int_eq(stat(un.sun_path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    unit_fails(tug_net_listen(&second, loop, unix_endpoint(), 0600, &so, &err), -EADDRINUSE, err,
               "is in use");
    dial(&co);
    UNTIL(server.opened && client.opened);
    teardown(); /* and the file is gone after it */
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_left_alone)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_UNIX, 1);
    struct tug_err err;
    const char *path = unix_endpoint() + 5;
    close(open(path, O_CREAT | O_WRONLY, 0600));
    unit_fails(tug_net_listen(&listener, loop, unix_endpoint(), 0600, &so, &err), -EADDRINUSE, err,
               "not a socket");
    ck_assert_int_eq(unlink(path), 0);
    teardown();
}
END_TEST

START_TEST(a_path_longer_than_the_kernel_takes_works)
{
    setup();
    char deep[400], endpoint[500];
    int n = snprintf(deep, sizeof deep, "%s/", dir);
    memset(deep + n, 'd', 200);
    deep[n + 200] = '\0';
    ck_assert_int_eq(mkdir(deep, 0700), 0);
    snprintf(endpoint, sizeof endpoint, "unix:%s/s", deep);
    connect_both(TUG_AUTH_UNIX, endpoint);
    ck_assert_str_eq(tug_listener_endpoint(listener), endpoint);
    server.echo = 1;
    tug_conn_send_raw(client.conn, TUG_MSG_STAR_INPUT, 1, "x", 1);
    UNTIL(client.frames == 1);
    tug_listener_free(listener);
    listener = NULL;
    ck_assert_int_eq(rmdir(deep), 0);
    teardown();
}
END_TEST

START_TEST(connecting_to_nobody_says_so)
{
    setup();
    struct tug_net_opts co = opts(TUG_AUTH_UNIX, 0);
    struct tug_conn *c;
    struct tug_call *call = NULL;
    struct tug_err err;
    ck_assert_int_eq(tug_net_dial(&c, loop, unix_endpoint(), &co, NULL), 0);
    ck_assert_uint_eq(client.closed, 0); /* never from inside the call */
    UNTIL(client.closed);
    ck_assert_msg(strncmp(client.why, "nobody listens at unix:", 23) == 0, "%s", client.why);
    unit_fails(tug_call_open(&call, unix_endpoint(), &co, 1000, &err), -ENOENT, err,
               "nobody listens at unix:");
    co = opts(TUG_AUTH_PSK, 0);
    ck_assert_int_eq(tug_net_dial(&c, loop, "127.0.0.1:1", &co, NULL), 0);
    UNTIL(client.closed == 2);
    ck_assert_str_eq(client.why, "nobody listens at 127.0.0.1:1");
    teardown();
}
END_TEST

START_TEST(endpoints_that_are_none_are_refused)
{
    static const char *const bad[] = {
        "",       "unix:",        "gpu001",  "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
        "::1:80", "127.0.0.1:+1", "[::1]80", ":80"};
    setup();
    struct tug_net_opts co = opts(TUG_AUTH_PSK, 0);
    struct tug_conn *c = NULL;
    struct tug_err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        unit_fails(tug_net_dial(&c, loop, bad[i], &co, &err), -EINVAL, err, "endpoint");
    teardown();
}
END_TEST

START_TEST(ipv6_works_where_the_machine_has_it)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_PSK, 1);
    struct tug_err err;
    int rc = tug_net_listen(&listener, loop, "[::1]:0", 0, &so, &err);
    if (rc == 0) {
        ck_assert_msg(strncmp(tug_listener_endpoint(listener), "[::1]:", 6) == 0, "%s",
                      tug_listener_endpoint(listener));
        struct tug_net_opts co = opts(TUG_AUTH_PSK, 0);
        dial(&co);
        UNTIL(server.opened && client.opened);
        ck_assert_str_eq(tug_conn_peer(server.conn)->address, "::1");
    } else {
        ck_assert_int_eq(rc, -EADDRNOTAVAIL);
    }
    teardown();
}
END_TEST

START_TEST(a_host_name_is_looked_up_while_the_loop_goes_on)
{
    setup();
    struct tug_net_opts so = opts(TUG_AUTH_PSK, 1), co = opts(TUG_AUTH_PSK, 0);
    struct tug_conn *c = NULL, *given_up = NULL;
    char endpoint[64];
    start(&so, "*:0");
    /* in every /etc/hosts, and not the spelling that is known without looking */
    snprintf(endpoint, sizeof endpoint, "LocalHost:%s",
             strrchr(tug_listener_endpoint(listener), ':') + 1);
    ck_assert_int_eq(tug_net_dial(&given_up, loop, endpoint, &co, NULL), 0);
    ck_assert_int_eq(tug_net_dial(&c, loop, endpoint, &co, NULL), 0);
    tug_conn_drop(given_up); /* its answer finds nobody */
    ck_assert_int_eq(tug_conn_send_raw(c, TUG_MSG_STAR_INPUT, 4, "early", 5), 0);
    UNTIL(server.frames == 1 || client.closed);
    ck_assert_msg(server.frames == 1, "%s", client.why);
    ck_assert_uint_eq(server.last_rid, 4);
    teardown();
}
END_TEST

/* How many descriptors of this process would survive an exec. */
static int inherited_fds(void)
{
    int n = 0;
    for (int fd = 3; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        n += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return n;
}

START_TEST(no_descriptor_survives_an_exec_and_tcp_sends_at_once)
{
    int before = inherited_fds();
    connect_way(_i);
    ck_assert_int_eq(inherited_fds(), before);
    int tcp = 0;
    for (int fd = 3; fd < 256; fd++) {
        int on = 0, ms = 0, listening = 0;
        socklen_t len = sizeof on, ms_len = sizeof ms, l_len = sizeof listening;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &l_len) || listening ||
            getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len))
            continue;
        ck_assert_int_eq(on, 1);
        ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &ms_len), 0);
        ck_assert_int_eq(ms, 15000);
        tcp++;
    }
    ck_assert_int_eq(tcp, ways[_i].tcp ? 2 : 0);
    teardown();
}
END_TEST

/* ---- the blocking client ---- */

struct caller {
    char endpoint[128];
    struct tug_net_opts o;
    int rc;
    struct tug_err err;
    size_t big;
    volatile int done;
};

static void *call_thread(void *arg)
{
    struct caller *k = arg;
    struct tug_call *c = NULL;
    struct tug_frame f;
    Tugpb__StarInput in = TUGPB__STAR_INPUT__INIT;
    Tugpb__StarFence fence = TUGPB__STAR_FENCE__INIT;
    k->rc = tug_call_open(&c, k->endpoint, &k->o, 10000, &k->err);
    for (uint32_t i = 1; !k->rc && i <= 3; i++) { /* three in flight */
        in.rank = (int32_t) i;
        k->rc = tug_call_send(c, TUG_MSG_STAR_INPUT, i, &in.base, &k->err);
    }
    for (uint32_t i = 1; !k->rc && i <= 3; i++) {
        k->rc = tug_call_recv(c, &f, 10000, &k->err);
        if (!k->rc && f.rid != i)
            k->rc = tug_fail(&k->err, -EPROTO, "out of order");
    }
    fence.data.len = 10 << 20;
    fence.data.data = calloc(1, fence.data.len);
    if (!k->rc)
        k->rc = tug_call_send(c, TUG_MSG_STAR_FENCE, 4, &fence.base, &k->err);
    if (!k->rc)
        k->rc = tug_call_recv(c, &f, 10000, &k->err);
    if (!k->rc)
        k->big = f.len;
    if (!k->rc && tug_call_recv(c, &f, 50, &k->err) != -ETIMEDOUT)
        k->rc = tug_fail(&k->err, -EPROTO, "something came that nobody sent");
    free(fence.data.data);
    tug_call_close(c);
    k->done = 1;
    return NULL;
}

START_TEST(the_blocking_client_talks_to_the_server)
{
    setup();
    struct tug_net_opts so = opts(ways[_i].auth, 1);
    start(&so, ways[_i].tcp ? "127.0.0.1:0" : unix_endpoint());
    server.echo = 1;
    struct caller k = {.o = opts(ways[_i].auth, 0)};
    strcpy(k.endpoint, tug_listener_endpoint(listener));
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, call_thread, &k), 0);
    UNTIL(server.closed);
    pthread_join(t, NULL);
    ck_assert_msg(k.rc == 0, "%s", k.err.msg);
    ck_assert_uint_gt(k.big, 10 << 20);
    ck_assert_uint_eq(server.frames, 4);
    teardown();
}
END_TEST

START_TEST(the_blocking_client_gives_up_in_time)
{
    setup();
    struct tug_net_opts o = opts(TUG_AUTH_PSK, 0);
    struct tug_call *c = NULL;
    struct tug_err err;
    struct tug_net_opts so = opts(TUG_AUTH_PSK, 1);
    start(&so, "127.0.0.1:0"); /* the loop does not run: the kernel connects, nobody answers */
    unit_fails(tug_call_open(&c, tug_listener_endpoint(listener), &o, 50, &err), -ETIMEDOUT, err,
               "in time");
    ck_assert_ptr_null(c);
    UNTIL(server.closed);
    teardown();
}
END_TEST

/* ---- keys in files ---- */

START_TEST(keys_are_made_once_and_read_back)
{
    setup();
    struct tug_keypair a, b;
    uint8_t pub[32], sig[64];
    struct tug_err err = {0};
    struct stat st;
    char *path = tug_xasprintf("%s/key", dir), *pub_path = tug_xasprintf("%s/key.pub", dir);
    unit_fails(tug_keypair_load(path, &a, 0, &err), -ENOENT, err, "key file");
    ck_assert_msg(tug_keypair_load(path, &a, 1, &err) == 0, "%s", err.msg);
    ck_assert_int_eq(tug_keypair_load(path, &b, 1, &err), 0);
    ck_assert_mem_eq(&a, &b, sizeof a);
    ck_assert_int_eq(tug_pubkey_load(pub_path, pub, &err), 0);
    ck_assert_mem_eq(pub, a.pub, 32);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    tug_sign(&a, "tug-order-v1", "data", 4, sig);
    ck_assert_int_eq(tug_verify(pub, "tug-order-v1", "data", 4, sig), 0);
    ck_assert_int_eq(tug_verify(pub, "tug-order-v1", "dat0", 4, sig), -EACCES);
    ck_assert_int_eq(tug_verify(pub, "tug-hello-v1", "data", 4, sig), -EACCES);
    ck_assert_int_eq(tug_verify(other_key.pub, "tug-order-v1", "data", 4, sig), -EACCES);
    ck_assert_int_eq(chmod(path, 0640), 0);
    unit_fails(tug_keypair_load(path, &b, 1, &err), -EPERM, err, "chmod 600");
    unit_fails(tug_pubkey_load(path, pub, &err), -EINVAL, err, "32 bytes of base64");
    unlink(path);
    unlink(pub_path);
    free(path);
    free(pub_path);
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("host/net");
    TCase *each = tcase_create("each way to connect"), *once = tcase_create("once");
    const TTest *const each_way[] = {frames_come_back_as_they_were_sent,
                                     who_is_at_the_other_end_is_known,
                                     thousands_of_small_frames_come_in_order,
                                     a_frame_of_60_mb_goes_there_and_back,
                                     a_peer_that_goes_is_noticed,
                                     closing_sends_what_waits_first,
                                     a_connection_may_be_dropped_or_closed_inside_its_callback,
                                     a_peer_that_does_not_read_is_closed_at_the_limit,
                                     a_paused_connection_hands_out_nothing_until_it_goes_on,
                                     no_descriptor_survives_an_exec_and_tcp_sends_at_once,
                                     the_blocking_client_talks_to_the_server};
    const TTest *const one[] = {a_body_over_the_cap_of_its_message_is_not_sent,
                                many_connections_at_once_all_get_their_answers,
                                closing_in_the_middle_of_a_frame_is_named,
                                bad_frames_close_their_connection_with_the_reason_and_no_other,
                                a_handshake_that_comes_slowly_is_closed,
                                a_session_that_is_up_has_no_deadline,
                                too_many_that_say_nothing_drop_the_oldest_and_others_still_get_in,
                                connections_over_the_limit_are_closed_at_once,
                                one_user_cannot_take_all_connections,
                                a_wrong_key_is_refused_on_either_side_and_both_say_why,
                                a_wrong_shared_key_is_refused,
                                a_network_endpoint_without_keys_is_refused,
                                a_burst_to_a_peer_that_reads_is_not_a_reason_to_close,
                                a_stale_socket_file_is_replaced_and_a_live_one_is_not,
                                a_file_that_is_no_socket_is_left_alone,
                                a_path_longer_than_the_kernel_takes_works,
                                connecting_to_nobody_says_so,
                                endpoints_that_are_none_are_refused,
                                ipv6_works_where_the_machine_has_it,
                                a_host_name_is_looked_up_while_the_loop_goes_on,
                                the_blocking_client_gives_up_in_time,
                                keys_are_made_once_and_read_back};
    tcase_set_timeout(each, UNIT_TIMEOUT_S);
    tcase_set_timeout(once, UNIT_TIMEOUT_S);
    for (size_t i = 0; i < sizeof each_way / sizeof *each_way; i++)
        tcase_add_loop_test(each, each_way[i], 0, N_WAYS);
    for (size_t i = 0; i < sizeof one / sizeof *one; i++)
        tcase_add_test(once, one[i]);
    tcase_add_loop_test(once, garbage_before_authentication_closes, 0, 2);
    suite_add_tcase(suite, each);
    suite_add_tcase(suite, once);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
