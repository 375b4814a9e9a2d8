/* flood.c - connections that say nothing, thousands at once and from many addresses
 *
 *   flood [-n CONNECTIONS] [-r MS] [-a ADDRESSES] HOST:PORT
 *
 * Opens so many (10,000) from so many source addresses of 127.1.0.0/16 (1 for any other host: its own), sends nothing, and dials
 * again so long (5,000 ms) after one was closed. Prints "held" when all were opened once; SIGTERM ends it, with one line:
 *   OPENED CLOSED HELD
 * how many connects there were, how many the other side has closed, and how many were open in the end. Layer: tests.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer {
    int fd; /* -1: waits to dial again */
    struct event *ev;
};

static struct event_base *loop;
static struct sockaddr_in to;
static struct peer *peers;
static unsigned n_peers = 10000, n_addresses = 1000, redial_ms = 5000;
static unsigned long opened, closed, held;

static void give_up(const char *what)
{
    fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void dial(struct peer *p);

static void later(struct peer *p)
{
    event_free(p->ev);
    close(p->fd);
    p->fd = -1;
    dial(p);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct peer *p = arg;
    char scrap[512];
    if (what & EV_TIMEOUT) {
        event_free(p->ev);
        p->fd = 0;
        dial(p);
        return;
    }
    ssize_t n = recv(fd, scrap, sizeof scrap, MSG_DONTWAIT); /* a hello, or the end */
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    closed++;
    held--;
    later(p);
}

/* With fd -1 after a while, else at once. */
static void dial(struct peer *p)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int one = 1;
    if (p->fd < 0) {
        p->ev = event_new(loop, -1, EV_TIMEOUT, on_event, p);
        event_add(p->ev, &(struct timeval){redial_ms / 1000, redial_ms % 1000 * 1000});
        return;
    }
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->fd < 0)
        give_up("socket (ulimit -n?)");
    setsockopt(p->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    from.sin_addr.s_addr = htonl(0x7f010000u + (unsigned) (p - peers) % n_addresses);
    if (ntohl(to.sin_addr.s_addr) >> 24 == 127 && bind(p->fd, (struct sockaddr *) &from, sizeof from) < 0)
        give_up("bind");
    if (connect(p->fd, (struct sockaddr *) &to, sizeof to) < 0 && errno != EINPROGRESS)
        give_up("connect");
    p->ev = event_new(loop, p->fd, EV_READ | EV_PERSIST, on_event, p);
    event_add(p->ev, NULL);
    opened++;
    held++;
}

/* A hundred at a time, so that the kernel's queue takes them all. */
static void on_more(evutil_socket_t fd, short what, void *arg)
{
    static unsigned n;
    struct event **more = arg;
    (void) fd;
    (void) what;
    for (unsigned i = 0; i < 100 && n < n_peers; i++)
        dial(&peers[n++]);
    if (n < n_peers) {
        event_add(*more, &(struct timeval){0, 10000});
        return;
    }
    puts("held");
    fflush(stdout);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
    event_base_loopbreak(loop);
}

int main(int argc, char **argv)
{
    struct event *more, *ended;
    char host[64];
    unsigned port;
    int o;
    while ((o = getopt(argc, argv, "n:r:a:")) > 0)
        switch (o) {
        case 'n': n_peers = (unsigned) atoi(optarg); break;
        case 'r': redial_ms = (unsigned) atoi(optarg); break;
        case 'a': n_addresses = (unsigned) atoi(optarg); break;
        default: return 2;
        }
    if (optind != argc - 1 || sscanf(argv[optind], "%63[0-9.]:%u", host, &port) != 2 || inet_pton(AF_INET, host, &to.sin_addr) != 1 ||
        !n_addresses || n_addresses > 65536) {
        fprintf(stderr, "usage: flood [-n CONNECTIONS] [-r MS] [-a ADDRESSES] HOST:PORT\n");
        return 2;
    }
    to.sin_family = AF_INET;
    to.sin_port = htons((uint16_t) port);
    peers = calloc(n_peers, sizeof *peers);
    loop = event_base_new();
    if (!peers || !loop)
        give_up("memory");
    more = event_new(loop, -1, EV_TIMEOUT, on_more, &more);
    ended = evsignal_new(loop, SIGTERM, on_end, NULL);
    event_add(ended, NULL);
    event_add(more, &(struct timeval){0, 0});
    event_base_dispatch(loop);
    printf("%lu %lu %lu\n", opened, closed, held);
    return 0;
}
