/* net_lookup.c - the address of a host name, asked for on a thread of its own
 *
 * The resolver may block for many seconds; the loop never waits for it. A lookup is shared by the
 * loop and its thread: whoever lets go last frees it, so one that nobody waits for any more ends by
 * itself. Layer: host.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/net_impl.h"
#include "host/thread.h"

struct tug_lookup {
    atomic_int refs;
    int wake[2]; /* the thread writes one byte when it is done */
    struct event ev;
    struct tug_endpoint e;
    struct tug_sockaddr addr;
    int rc;
    struct tug_err err;
    tug_lookup_cb *cb;
    void *arg;
};

int tug_endpoint_is_quick(const struct tug_endpoint *e)
{
    struct in6_addr a;
    return e->is_unix || strcmp(e->host, "localhost") == 0 || !e->host[0] ||
           inet_pton(AF_INET, e->host, &a) == 1 || inet_pton(AF_INET6, e->host, &a) == 1;
}

static void unref(struct tug_lookup *l)
{
    if (atomic_fetch_sub(&l->refs, 1) > 1)
        return;
    close(l->wake[0]);
    close(l->wake[1]);
    tug_sockaddr_clear(&l->addr);
    free(l);
}

static void *ask(void *arg)
{
    struct tug_lookup *l = arg;
    l->rc = tug_sockaddr_tcp(&l->e, 0, &l->addr, &l->err);
    ssize_t n = write(l->wake[1], "", 1); /* the pipe is empty: cannot fail */
    (void) n;
    unref(l);
    return NULL;
}

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
    struct tug_lookup *l = arg;
    char byte;
    (void) what;
    if (read(fd, &byte, 1) == 1)
        l->cb(l->arg, l->rc, &l->addr, &l->err); /* may free l */
}

int tug_lookup_new(struct tug_lookup **out, struct event_base *loop, const struct tug_endpoint *e,
                   tug_lookup_cb *cb, void *arg, struct tug_err *err)
{
    struct tug_lookup *l = tug_new(struct tug_lookup);
    pthread_t thread;
    l->e = *e;
    l->addr.dir_fd = -1;
    l->cb = cb;
    l->arg = arg;
    if (pipe2(l->wake, O_CLOEXEC | O_NONBLOCK) < 0) {
        int rc = tug_fail(err, -errno, "looking up %s: %s", e->host, strerror(errno));
        free(l);
        return rc;
    }
    atomic_init(&l->refs, 2);
    event_assign(&l->ev, loop, l->wake[0], EV_READ, on_answer, l);
    event_add(&l->ev, NULL);
    int rc = tug_thread_start(&thread, ask, l);
    if (rc) {
        unref(l);
        tug_lookup_free(l);
        return tug_fail(err, rc, "looking up %s: %s", e->host, strerror(-rc));
    }
    pthread_detach(thread);
    *out = l;
    return 0;
}

void tug_lookup_free(struct tug_lookup *l)
{
    if (!l)
        return;
    event_del(&l->ev);
    unref(l);
}
