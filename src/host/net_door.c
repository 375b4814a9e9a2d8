/* net_door.c - connections that have not proved yet who they are: how many, from where, and how long they may keep us
 *
 * What always holds: no more than max_unauth of them at once, and no more than max_unauth_address from one address; the oldest
 * goes first, of that address or of all. So who opens thousands and says nothing pushes out his own, and in what is left
 * everybody's handshake has its time. Accepting and proving take at most TURN_US each of a turn of the loop, or one connection:
 * those who are in already don't wait for those who want in. While somebody's proof is put off nobody else is accepted, or a
 * herd of good ones that come at once would push out those who are about to get in. Layer: host.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <uthash.h>

#include "base/mem.h"
#include "host/net_impl.h"

#define TURN_US 100

TAILQ_HEAD(waiting, tug_conn);

struct tug_door_side {
    struct tug_door_from from;
    struct waiting oldest_first;
    unsigned n;
    UT_hash_handle hh;
};

struct tug_door {
    unsigned max, max_side, n;
    struct waiting oldest_first;
    struct tug_door_side *sides;
    struct event turn_ends;
    int64_t spent_us[TUG_DOOR_WORKS], began_us; /* of this turn */
    bool put_off, put_off_before;               /* a proof, in this turn and in the last one */
    bool turning;
};

/* ---- where from */

static void from_ip4(struct tug_door_from *out, const uint8_t ip[4])
{
    out->family = AF_INET;
    memcpy(out->net, ip, ip[0] == 127 ? 1 : 4); /* this machine has all of 127.0.0.0/8 */
}

void tug_door_from(const struct sockaddr *sa, uid_t uid, struct tug_door_from *out)
{
    static const uint8_t local[4] = {127};
    memset(out, 0, sizeof *out);
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        from_ip4(out, (const uint8_t *) &in.sin_addr);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) || IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr)) {
            from_ip4(out, IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) ? local : in6.sin6_addr.s6_addr + 12);
            return;
        }
        out->family = AF_INET6;
        memcpy(out->net, in6.sin6_addr.s6_addr, 8); /* a machine has a /64 for itself */
    } else {
        out->family = AF_UNIX;
        memcpy(out->net, &uid, sizeof uid);
    }
}

static struct tug_door_side *side_of(struct tug_door *d, const struct tug_conn *c)
{
    struct tug_door_from from;
    struct sockaddr_storage ss = {.ss_family = AF_UNIX};
    struct tug_door_side *s;
    socklen_t len = sizeof ss;
    if (getpeername(c->fd, (struct sockaddr *) &ss, &len) < 0)
        ss.ss_family = AF_UNIX;
    tug_door_from((struct sockaddr *) &ss, c->peer.uid, &from);
    HASH_FIND(hh, d->sides, &from, sizeof from, s);
    if (s)
        return s;
    s = tug_new(struct tug_door_side);
    s->from = from;
    TAILQ_INIT(&s->oldest_first);
    HASH_ADD(hh, d->sides, from, sizeof s->from, s);
    return s;
}

/* ---- in and out */

/* Behind all callbacks that were due when the first work of the turn was done. */
static void on_turn_ends(evutil_socket_t fd, short what, void *arg)
{
    struct tug_door *d = arg;
    (void) fd;
    (void) what;
    memset(d->spent_us, 0, sizeof d->spent_us);
    d->put_off_before = d->put_off;
    d->put_off = d->turning = false;
}

struct tug_door *tug_door_new(struct event_base *loop, unsigned max, unsigned max_address)
{
    struct tug_door *d = tug_new(struct tug_door);
    event_assign(&d->turn_ends, loop, -1, EV_TIMEOUT, on_turn_ends, d);
    d->max = max;
    d->max_side = max_address;
    TAILQ_INIT(&d->oldest_first);
    return d;
}

void tug_door_free(struct tug_door *d)
{
    struct tug_conn *c;
    if (!d)
        return;
    while ((c = TAILQ_FIRST(&d->oldest_first))) {
        tug_door_leave(d, c);
        tug_conn_drop(c);
    }
    event_del(&d->turn_ends);
    free(d);
}

void tug_door_enter(struct tug_door *d, struct tug_conn *c)
{
    struct tug_door_side *s = side_of(d, c);
    c->side = s;
    TAILQ_INSERT_TAIL(&d->oldest_first, c, waiting);
    TAILQ_INSERT_TAIL(&s->oldest_first, c, beside);
    d->n++;
    if (++s->n > d->max_side)
        tug_conn_refuse(TAILQ_FIRST(&s->oldest_first),
                        "dropped before its handshake was done: too many others of its address wait for theirs");
    else if (d->n > d->max)
        tug_door_drop_oldest(d, "dropped before its handshake was done: too many others wait for theirs");
}

void tug_door_leave(struct tug_door *d, struct tug_conn *c)
{
    struct tug_door_side *s = c->side;
    if (!s)
        return;
    c->side = NULL;
    TAILQ_REMOVE(&d->oldest_first, c, waiting);
    TAILQ_REMOVE(&s->oldest_first, c, beside);
    d->n--;
    if (--s->n)
        return;
    HASH_DEL(d->sides, s);
    free(s);
}

bool tug_door_drop_oldest(struct tug_door *d, const char *why)
{
    if (!d->n)
        return false;
    tug_conn_refuse(TAILQ_FIRST(&d->oldest_first), why);
    return true;
}

/* ---- time */

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

bool tug_door_begin(struct tug_door *d, enum tug_door_work work)
{
    bool may = d->spent_us[work] < TURN_US;
    if (work == TUG_DOOR_PROVE)
        d->put_off = d->put_off || !may;
    else
        may = may && !d->put_off && !d->put_off_before;
    if (!d->turning)
        event_active(&d->turn_ends, EV_TIMEOUT, 0);
    d->turning = true;
    if (may)
        d->began_us = now_us();
    return may;
}

void tug_door_end(struct tug_door *d, enum tug_door_work work)
{
    d->spent_us[work] += now_us() - d->began_us;
}
