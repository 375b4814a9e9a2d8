/* test_net_door.c - peers that say nothing, in crowds. Layer: tests. */
#include "unit.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/net_impl.h"

#define CROWD 100

struct side {
    struct tug_conn *conn; /* the last one that opened */
    unsigned opened, frames, closed;
};

static struct event_base *loop;
static struct tug_listener *listener;
static struct side server, client;
static struct tug_keypair server_key, node_key;
static int crowd[CROWD];

/* ---- both sides ---- */

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
    if (s == &server)
        tug_conn_send_raw(c, f->number, f->rid, f->body, f->len);
}

static void on_close(void *arg, struct tug_conn *c, const char *why)
{
    struct side *s = arg;
    (void) why;
    s->closed++;
    if (s->conn == c)
        s->conn = NULL;
}

static const struct tug_net_ops ops = {on_open, on_frame, on_close};

static int knows_node(void *arg, const char *name, uint8_t pub[32])
{
    (void) arg;
    (void) name;
    memcpy(pub, node_key.pub, 32);
    return 0;
}

static void setup(struct tug_net_opts *o, const char *endpoint)
{
    struct tug_err err = {0};
    loop = event_base_new();
    ck_assert_int_eq(tug_keypair_make(&server_key), 0);
    ck_assert_int_eq(tug_keypair_make(&node_key), 0);
    o->auth = TUG_AUTH_NODE;
    o->channel = TUG_CH_STAR;
    o->ops = &ops;
    o->arg = &server;
    o->own = &server_key;
    o->node_key = knows_node;
    ck_assert_msg(tug_net_listen(&listener, loop, endpoint, 0600, o, &err) == 0, "%s", err.msg);
}

static void teardown(void)
{
    for (int i = 0; i < CROWD; i++)
        if (crowd[i] > 0)
            close(crowd[i]);
    tug_conn_drop(server.conn);
    tug_conn_drop(client.conn);
    tug_listener_free(listener);
    event_base_dispatch(loop);
    event_base_free(loop);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
    ck_abort_msg("nothing happens: server %u/%u/%u client %u/%u/%u", server.opened, server.frames,
                 server.closed, client.opened, client.frames, client.closed);
}

static void turn(void)
{
    struct timeval limit = {40, 0};
    struct event *dog = event_new(loop, -1, EV_TIMEOUT, on_watchdog, NULL);
    event_add(dog, &limit);
    ck_assert_int_eq(event_base_loop(loop, EVLOOP_ONCE), 0);
    event_free(dog);
}

#define UNTIL(cond)                                                                                \
    while (!(cond))                                                                                \
    turn()

static uint16_t port(void)
{
    return (uint16_t) atoi(strrchr(tug_listener_endpoint(listener), ':') + 1);
}

/* A peer that says nothing; 'from' and 'to' in host order. */
static int silent_peer(uint32_t from, uint32_t to)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    in.sin_addr.s_addr = htonl(from);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &in, sizeof in), 0);
    in.sin_port = htons(port());
    in.sin_addr.s_addr = htonl(to);
    ck_assert_int_eq(connect(fd, (struct sockaddr *) &in, sizeof in), 0);
    return fd;
}

/* Each from an address of its own. */
static void come(int n)
{
    for (int i = 0; i < n; i++)
        crowd[i] = silent_peer(INADDR_LOOPBACK + (uint32_t) i, INADDR_LOOPBACK);
}

static bool is_closed(int fd)
{
    char c[256];
    ssize_t n;
    while ((n = recv(fd, c, sizeof c, MSG_DONTWAIT)) > 0)
        ;
    return n == 0 || (errno != EAGAIN && errno != EINTR);
}

static struct tug_conn *dial(void)
{
    struct tug_net_opts o = {.auth = TUG_AUTH_NODE, .channel = TUG_CH_STAR, .ops = &ops, .arg = &client, .own = &node_key,
                             .own_name = "gpu001", .peer_pub = server_key.pub};
    struct tug_conn *c = NULL;
    struct tug_err err = {0};
    ck_assert_msg(tug_net_dial(&c, loop, tug_listener_endpoint(listener), &o, &err) == 0, "%s", err.msg);
    return c;
}

/* ---- what one address is ---- */

static struct tug_door_from from(const char *text, uid_t uid)
{
    struct tug_door_from out;
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr un = {.sa_family = AF_UNIX};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        tug_door_from((struct sockaddr *) &in, uid, &out);
    else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
        tug_door_from((struct sockaddr *) &in6, uid, &out);
    else
        tug_door_from(&un, uid, &out);
    return out;
}

static bool same(const char *a, const char *b)
{
    struct tug_door_from x = from(a, 1), y = from(b, 1);
    return memcmp(&x, &y, sizeof x) == 0;
}

START_TEST(an_address_is_ipv4_as_it_is_ipv6_by_64_bits_loopback_as_a_whole_and_a_local_user)
{
    ck_assert(same("10.0.0.1", "10.0.0.1") && !same("10.0.0.1", "10.0.0.2"));
    ck_assert(same("::ffff:10.0.0.1", "10.0.0.1"));
    ck_assert(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2") && !same("2001:db8:0:1::1", "2001:db8:0:2::1"));
    ck_assert(same("127.0.0.1", "127.9.8.7") && same("::1", "127.0.0.1") && !same("::1", "::2"));
    struct tug_door_from a = from("local", 1), b = from("local", 2), c = from("0.0.0.1", 1);
    ck_assert(memcmp(&a, &b, sizeof a) && memcmp(&a, &c, sizeof a));
}
END_TEST

/* ---- crowds ---- */

/* An address of this machine that is not of loopback; 0: it has none. */
static uint32_t own_address(void)
{
    struct ifaddrs *list, *i;
    uint32_t found = 0;
    if (getifaddrs(&list) < 0)
        return 0;
    for (i = list; i; i = i->ifa_next)
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET) {
            uint32_t a = ntohl(((struct sockaddr_in *) (void *) i->ifa_addr)->sin_addr.s_addr);
            found = a >> 24 != 127 ? a : found;
        }
    freeifaddrs(list);
    return found;
}

START_TEST(a_crowd_of_one_address_pushes_out_its_own_oldest_and_nobody_else)
{
    struct tug_net_opts o = {.max_unauth = 40, .max_unauth_address = 10};
    uint32_t other = own_address();
    if (!other)
        return;
    setup(&o, "0.0.0.0:0");
    int quiet = silent_peer(other, other);
    come(CROWD);
    UNTIL(server.closed == CROWD - 10);
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(is_closed(crowd[i]), i < CROWD - 10);
    ck_assert_msg(!is_closed(quiet), "the oldest of all, of another address, was dropped");
    dial(); /* from that very address: the crowd does not keep it out */
    UNTIL(client.opened && server.opened);
    close(quiet);
    teardown();
}
END_TEST

static int greeted(void)
{
    int n = 0;
    for (int i = 0; i < CROWD; i++)
        n += recv(crowd[i], &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    return n;
}

START_TEST(who_is_in_is_answered_before_the_crowd_at_the_door_is_dealt_with)
{
    struct tug_net_opts o = {.max_unauth_address = 2 * CROWD};
    setup(&o, "127.0.0.1:0");
    dial();
    UNTIL(client.opened && server.opened);
    come(CROWD); /* all of them wait in the kernel's queue */
    tug_conn_send_raw(client.conn, TUG_MSG_STAR_WIRED, 0, NULL, 0);
    UNTIL(client.frames);
    ck_assert_msg(greeted() < CROWD / 2, "%d of %d were greeted first", greeted(), CROWD);
    UNTIL(greeted() == CROWD);
    teardown();
}
END_TEST

START_TEST(a_herd_that_proves_itself_gets_in_without_pushing_out_its_own)
{
    struct tug_net_opts o = {.max_unauth_address = 40};
    struct tug_conn *c[3 * CROWD];
    setup(&o, "127.0.0.1:0");
    for (int i = 0; i < 3 * CROWD; i++)
        c[i] = dial();
    UNTIL(client.opened == 3 * CROWD && server.opened == 3 * CROWD);
    ck_assert_uint_eq(server.closed + client.closed, 0);
    for (int i = 0; i < 3 * CROWD; i++)
        tug_conn_drop(c[i]);
    client.conn = NULL;
    UNTIL(server.closed == 3 * CROWD);
    teardown();
}
END_TEST

START_TEST(a_peer_costs_less_than_16_kib_before_its_handshake_is_done)
{
    struct tug_net_opts o = {.max_unauth_address = 2 * CROWD};
    setup(&o, "127.0.0.1:0");
    come(CROWD);
    struct mallinfo2 before = mallinfo2();
    UNTIL(greeted() == CROWD);
    struct mallinfo2 after = mallinfo2();
    size_t each = (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / CROWD;
    ck_assert_msg(each < 16384, "%zu bytes each", each);
    teardown();
}
END_TEST

/* In a child, which has descriptors of its own: so many that say nothing, until it is killed. */
static pid_t crowd_of(int n)
{
    struct rlimit r;
    pid_t pid = fork();
    if (pid)
        return pid;
    getrlimit(RLIMIT_NOFILE, &r);
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
    while (n-- > 0)
        silent_peer(INADDR_LOOPBACK, INADDR_LOOPBACK);
    for (;;)
        pause();
}

START_TEST(a_crowd_leaves_the_last_descriptors_to_the_daemon)
{
    enum { ALL = 96, OWN = ALL / 8 };
    struct tug_net_opts o = {.max_unauth = 1000, .max_unauth_address = 1000};
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    r.rlim_cur = ALL;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
    setup(&o, "127.0.0.1:0");
    pid_t pid = crowd_of(2 * ALL);
    UNTIL(server.closed >= ALL); /* the oldest go */
    int fd[OWN];
    for (int i = 0; i < OWN; i++)
        ck_assert_msg((fd[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0, "%d of %d, then: %m", i, OWN);
    for (int i = 0; i < OWN; i++)
        close(fd[i]);
    dial();
    UNTIL(client.opened && server.opened);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    UNTIL(server.closed == 2 * ALL);
    teardown();
}
END_TEST

UNIT_MAIN("host/net_door",
          an_address_is_ipv4_as_it_is_ipv6_by_64_bits_loopback_as_a_whole_and_a_local_user,
          a_crowd_of_one_address_pushes_out_its_own_oldest_and_nobody_else,
          who_is_in_is_answered_before_the_crowd_at_the_door_is_dealt_with,
          a_herd_that_proves_itself_gets_in_without_pushing_out_its_own,
          a_peer_costs_less_than_16_kib_before_its_handshake_is_done,
          a_crowd_leaves_the_last_descriptors_to_the_daemon)
