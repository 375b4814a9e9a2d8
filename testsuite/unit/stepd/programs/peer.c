/* peer.c - a rank of a gang whose ranks need each other, as with NCCL or gloo: a ring of connections; whose neighbour goes, fails
 *
 *     peer RANKS FROM TO        in the directory with the socket "ctl", where it is told what to do (peer.h); FROM to TO: us that it takes to fail
 *
 * A neighbour that says goodbye first may go. Small and static, because a test runs hundreds of thousands of them.
 */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int ctl_fd;
static unsigned rank, from_us, to_us, seed;
static int ring[2] = {-1, -1}; /* the rank before and the rank after */

static struct sockaddr_un address(const char *name, unsigned i)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, name, i);
    return a;
}

static void must(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(99);
}

static void say(enum peer_word word)
{
    struct peer_hello m = {.rank = rank, .word = word, .pid = getpid()};
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    m.at_ns = t.tv_sec * 1000000000LL + t.tv_nsec;
    must(send(ctl_fd, &m, sizeof m, MSG_NOSIGNAL) == sizeof m, "ctl");
}

static struct peer_order hear(void)
{
    struct peer_order o;
    if (recv(ctl_fd, &o, sizeof o, MSG_WAITALL) != sizeof o)
        _exit(98); /* the test has gone */
    return o;
}

static void until(long long at_ns)
{
    struct timespec t = {.tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static void obey(const struct peer_order *o)
{
    if (o->what == PEER_IGNORE_TERM) {
        signal(SIGTERM, SIG_IGN);
        return;
    }
    until(o->at_ns);
    say(PEER_DIES);
    if (o->what == PEER_SIGNAL) {
        signal(o->value, SIG_DFL);
        kill(getpid(), o->value);
        pause();
    }
    for (int i = 0; i < 2 && o->what == PEER_LEAVE; i++)
        send(ring[i], "", 1, MSG_NOSIGNAL);
    _exit(o->what == PEER_LEAVE ? 0 : o->value);
}

/* It said goodbye, or has gone and this rank fails for it. */
static void neighbour(int i)
{
    char c;
    if (recv(ring[i], &c, 1, 0) != 1) {
        usleep(from_us + (unsigned) rand_r(&seed) % (to_us - from_us + 1));
        if (rand_r(&seed) % 4 == 0)
            abort();
        _exit(1);
    }
    close(ring[i]);
    ring[i] = -1;
}

static void join_ring(int listener, unsigned ranks)
{
    struct sockaddr_un next = address("s%u", (rank + 1) % ranks);
    ring[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(connect(ring[1], (struct sockaddr *) &next, sizeof next) == 0, "the next rank");
    ring[0] = accept(listener, NULL, NULL);
    must(ring[0] >= 0, "the rank before");
}

int main(int argc, char **argv)
{
    struct sockaddr_un mine, ctl = address("ctl", 0);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct peer_order o;

    if (argc != 4)
        return 2;
    rank = (unsigned) atoi(getenv("RANK"));
    mine = address("s%u", rank);
    ctl_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    from_us = (unsigned) atoi(argv[2]);
    to_us = (unsigned) atoi(argv[3]);
    seed = (unsigned) getpid();
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    must(bind(listener, (struct sockaddr *) &mine, sizeof mine) == 0 && listen(listener, 8) == 0, "socket");
    must(connect(ctl_fd, (struct sockaddr *) &ctl, sizeof ctl) == 0, "ctl");
    say(PEER_LISTENS);
    hear();
    join_ring(listener, (unsigned) atoi(argv[1]));
    say(PEER_JOINED);
    puts("up");
    fflush(stdout);
    for (;;) {
        struct pollfd p[3] = {{.fd = ctl_fd, .events = POLLIN}, {.fd = ring[0], .events = POLLIN}, {.fd = ring[1], .events = POLLIN}};
        if (poll(p, 3, -1) < 0)
            continue;
        if (p[0].revents) {
            o = hear();
            obey(&o);
        }
        for (int i = 0; i < 2; i++)
            if (p[1 + i].revents)
                neighbour(i);
    }
}
