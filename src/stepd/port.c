/* port.c - the rendezvous port of a gang, and that of NCCL's status service
 *
 * A port between 61000 and 65535 lies outside what Linux gives to outgoing connections
 * (ip_local_port_range, 32768 to 60999 unless an admin changed it; then we move below it) and above
 * where Open MPI listens (1024 upwards). Two things hold it:
 *   - sockets bound to the pair until just before the ranks start: nobody can listen there
 * meanwhile;
 *   - an abstract unix socket named after the port until the step ends: other step daemons on this
 * host, of whatever user, pass the port by. Abstract names live in the network namespace, as ports
 * do, and go with the process. The race that is left: a program that is not ours, and asks for
 * exactly this port, between release and rank 0's own bind. Layer: stepd.
 */
#include "stepd/port.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

struct tug_port {
    unsigned number;
    int lock;
    int held[2];
};

/* Both ends even, so that pairs do not overlap and the last one fits. */
static void range(unsigned *first, unsigned *last)
{
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    unsigned lo = 32768, hi = 60999;

    if (f && fscanf(f, "%u %u", &lo, &hi) != 2)
        lo = 32768, hi = 60999;
    if (f)
        fclose(f);
    *first = 61000;
    *last = 65534;
    if (hi < 61000)
        return;
    if (hi < 65000) {
        *first = (hi + 2) & ~1u;
    } else {
        *first = 20000;
        *last = lo > 20100 ? (lo - 2) & ~1u : 32766;
    }
}

static int lock_name(unsigned number)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int n = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "tugline/port/%u", number);

    if (fd >= 0 && bind(fd, (struct sockaddr *) &a,
                        (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + (size_t) n))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Without SO_REUSEADDR: a port with connections of an earlier job in TIME_WAIT is not good enough.
 */
static int hold(unsigned number)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t) number)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t) number)};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

    if (fd >= 0) { /* dual stack: takes the IPv4 port too */
        rc = bind(fd, (struct sockaddr *) &six, sizeof six);
    } else {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *) &four, sizeof four);
    }
    if (rc && fd >= 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool try_pair(struct tug_port *p, unsigned number)
{
    p->number = number;
    p->held[0] = p->held[1] = -1;
    p->lock = lock_name(number);
    if (p->lock < 0)
        return false;
    if ((p->held[0] = hold(number)) >= 0 && (p->held[1] = hold(number + 1)) >= 0)
        return true;
    tug_port_release(p);
    close(p->lock);
    return false;
}

int tug_port_reserve(struct tug_port **out, struct tug_err *err)
{
    struct tug_port *p = tug_new(struct tug_port);
    unsigned first, last, pairs;
    uint32_t start = (uint32_t) getpid() * 2654435761u;

    range(&first, &last);
    pairs = (last - first) / 2 + 1;
    if (getrandom(&start, sizeof start, GRND_NONBLOCK) < 0)
        start ^= (uint32_t) errno; /* the start only spreads the tries */
    for (unsigned i = 0; i < pairs; i++)
        if (try_pair(p, first + 2 * ((start + i) % pairs))) {
            *out = p;
            return 0;
        }
    free(p);
    return tug_fail(
        err, -EADDRINUSE,
        "no free port between %u and %u for the gang's rendezvous; close what listens there", first,
        last + 1);
}

unsigned tug_port_number(const struct tug_port *p)
{
    return p->number;
}

unsigned tug_port_ras(const struct tug_port *p)
{
    return p->number + 1;
}

void tug_port_release(struct tug_port *p)
{
    for (int i = 0; i < 2; i++) {
        if (p->held[i] >= 0)
            close(p->held[i]);
        p->held[i] = -1;
    }
}

void tug_port_free(struct tug_port *p)
{
    if (!p)
        return;
    tug_port_release(p);
    close(p->lock);
    free(p);
}
