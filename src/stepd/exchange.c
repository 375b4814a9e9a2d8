/* exchange.c - what ranks exchange through PMIx across nodes: fences, direct gets, published data
 *
 * Tickets are the local PMIx server's and come back with the answer. A fence is known by who takes
 * part in it; the same ranks may fence again before the first round is over everywhere, so a node
 * that has given its part belongs to the next round. Layer: stepd.
 */
#include "stepd/exchange.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/mem.h"
#include "host/loop.h"
#include "proto/step.pb-c.h"

struct fence {
    TAILQ_ENTRY(fence) link;
    struct tug_buf sig, data;
    unsigned *waiting; /* per node: 0 not part of it, 1 has not come, 2 has */
    uint64_t *tickets;
    unsigned n_missing;
};

struct published {
    TAILQ_ENTRY(published) link;
    unsigned rank;
    char *key;
    void *value;
    size_t value_len;
};

struct lookup { /* waits for keys that nobody has published */
    TAILQ_ENTRY(lookup) link;
    struct tug_exchange *x;
    unsigned node;
    uint64_t ticket;
    char **keys;
    size_t n_keys;
    struct tug_timer *timeout; /* or NULL */
};

struct tug_exchange {
    const struct tug_payload *p;
    struct event_base *base;
    struct tug_star *star;
    struct tug_pmix *pmix;
    const struct tug_exchange_ops *ops;
    void *arg;
    /* on the head: */
    TAILQ_HEAD(, fence) fences;
    TAILQ_HEAD(, published) board;
    TAILQ_HEAD(, lookup) lookups;
};

/* ---- head: fences ---- */

static struct fence *fence_of(struct tug_exchange *x, unsigned from, const Tugpb__StarFence *m)
{
    struct fence *f;

    TAILQ_FOREACH (f, &x->fences, link)
        if (f->sig.len == m->signature.len &&
            memcmp(f->sig.data, m->signature.data, f->sig.len) == 0 && f->waiting[from] == 1)
            return f;
    f = tug_new(struct fence);
    tug_buf_add(&f->sig, m->signature.data, m->signature.len);
    f->waiting = tug_xcalloc(x->p->n_nodes, sizeof *f->waiting);
    f->tickets = tug_xcalloc(x->p->n_nodes, sizeof *f->tickets);
    for (size_t i = 0; i < m->n_nodes; i++)
        if (m->nodes[i] < x->p->n_nodes && !f->waiting[m->nodes[i]]) {
            f->waiting[m->nodes[i]] = 1;
            f->n_missing++;
        }
    TAILQ_INSERT_TAIL(&x->fences, f, link);
    return f;
}

static void fence_finish(struct tug_exchange *x, struct fence *f)
{
    Tugpb__StarFenceDone done = TUGPB__STAR_FENCE_DONE__INIT;

    TAILQ_REMOVE(&x->fences, f, link);
    done.data.data = (uint8_t *) f->data.data;
    done.data.len = f->data.len;
    for (unsigned i = x->p->n_nodes; i-- > 0;) /* ourselves last: the others have further to go */
        if (f->waiting[i]) {
            done.ticket = f->tickets[i];
            tug_star_send(x->star, i, TUG_MSG_STAR_FENCE_DONE, &done.base);
        }
    tug_buf_clear(&f->sig);
    tug_buf_clear(&f->data);
    free(f->waiting);
    free(f->tickets);
    free(f);
}

static void h_fence(struct tug_exchange *x, unsigned from, const Tugpb__StarFence *m)
{
    struct fence *f = fence_of(x, from, m);

    if (f->waiting[from] != 1)
        return; /* a node that is not part of its own fence: nothing waits for it */
    f->waiting[from] = 2;
    f->tickets[from] = m->ticket;
    tug_buf_add(&f->data, m->data.data, m->data.len);
    if (--f->n_missing == 0)
        fence_finish(x, f);
}

/* ---- head: the board of published data ---- */

static const struct published *find(const struct tug_exchange *x, const char *key)
{
    const struct published *e;

    TAILQ_FOREACH (e, &x->board, link)
        if (strcmp(e->key, key) == 0)
            return e;
    return NULL;
}

/* Answers, and returns true, when all keys are there or 'anyway'. */
static bool answer(struct tug_exchange *x, unsigned node, uint64_t ticket, char *const *keys,
                   size_t n, bool anyway, int status)
{
    Tugpb__StarLookupReply reply = TUGPB__STAR_LOOKUP_REPLY__INIT;
    struct tug_buf b = {0};
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        const struct published *e = find(x, keys[i]);
        struct tug_pmix_entry entry;
        if (!e)
            continue;
        entry = (struct tug_pmix_entry){
            .rank = e->rank, .key = e->key, .value = e->value, .value_len = e->value_len};
        tug_pmix_entry_add(&b, &entry);
        found++;
    }
    if (found < n && !anyway) {
        tug_buf_clear(&b);
        return false;
    }
    reply.ticket = ticket;
    reply.status = found ? TUG_PMIX_OK : status;
    reply.data.data = (uint8_t *) b.data;
    reply.data.len = b.len;
    tug_star_send(x->star, node, TUG_MSG_STAR_LOOKUP_REPLY, &reply.base);
    tug_buf_clear(&b);
    return true;
}

static void lookup_free(struct tug_exchange *x, struct lookup *w)
{
    TAILQ_REMOVE(&x->lookups, w, link);
    tug_timer_free(w->timeout);
    for (size_t i = 0; i < w->n_keys; i++)
        free(w->keys[i]);
    free(w->keys);
    free(w);
}

static void on_lookup_timeout(void *arg)
{
    struct lookup *w = arg;

    answer(w->x, w->node, w->ticket, w->keys, w->n_keys, true, TUG_PMIX_TIMEOUT);
    lookup_free(w->x, w);
}

static void h_lookup(struct tug_exchange *x, unsigned from, const Tugpb__StarLookup *m)
{
    struct lookup *w;

    if (answer(x, from, m->ticket, m->keys, m->n_keys, !m->wait, TUG_PMIX_NOT_FOUND))
        return;
    w = tug_new(struct lookup);
    w->x = x;
    w->node = from;
    w->ticket = m->ticket;
    w->n_keys = m->n_keys;
    w->keys = tug_xcalloc(m->n_keys, sizeof *w->keys);
    for (size_t i = 0; i < m->n_keys; i++)
        w->keys[i] = tug_xstrdup(m->keys[i]);
    TAILQ_INSERT_TAIL(&x->lookups, w, link);
    if (m->timeout_s && tug_timer_new(&w->timeout, x->base, on_lookup_timeout, w, NULL) == 0)
        tug_timer_set(w->timeout, tug_now_ms() + m->timeout_s * 1000ull);
}

static void unpublish(struct tug_exchange *x, const struct tug_pmix_entry *entry)
{
    struct published *e;

    TAILQ_FOREACH (e, &x->board, link)
        if (e->rank == entry->rank && strcmp(e->key, entry->key) == 0)
            break;
    if (!e)
        return;
    TAILQ_REMOVE(&x->board, e, link);
    free(e->key);
    free(e->value);
    free(e);
}

static int publish(struct tug_exchange *x, const struct tug_pmix_entry *entry)
{
    struct published *e;

    if (find(x, entry->key))
        return TUG_PMIX_EXISTS;
    e = tug_new(struct published);
    e->rank = entry->rank;
    e->key = tug_xstrdup(entry->key);
    e->value = tug_xmemdup(entry->value, entry->value_len);
    e->value_len = entry->value_len;
    TAILQ_INSERT_TAIL(&x->board, e, link);
    return TUG_PMIX_OK;
}

static void h_publish(struct tug_exchange *x, unsigned from, const Tugpb__StarPublish *m)
{
    Tugpb__StarPublishReply reply = TUGPB__STAR_PUBLISH_REPLY__INIT;
    const void *data = m->data.data;
    size_t len = m->data.len;
    struct tug_pmix_entry entry;
    struct lookup *w, *next;

    reply.ticket = m->ticket;
    while (tug_pmix_entry_next(&data, &len, &entry)) {
        if (m->unpublish)
            unpublish(x, &entry);
        else if (reply.status == TUG_PMIX_OK)
            reply.status = publish(x, &entry);
    }
    tug_star_send(x->star, from, TUG_MSG_STAR_PUBLISH_REPLY, &reply.base);
    for (w = TAILQ_FIRST(&x->lookups); w; w = next) {
        next = TAILQ_NEXT(w, link);
        if (answer(x, w->node, w->ticket, w->keys, w->n_keys, false, 0))
            lookup_free(x, w);
    }
}

/* ---- direct gets, through the head ---- */

static void h_modex(struct tug_exchange *x, unsigned from, const Tugpb__StarModex *m)
{
    if (m->to_node == x->p->me)
        tug_pmix_modex_ask(x->pmix, m->rank, m->from_node, m->ticket);
    else if (x->p->me == 0 && m->from_node == from)
        tug_star_send(x->star, m->to_node, TUG_MSG_STAR_MODEX, &m->base);
}

static void h_modex_reply(struct tug_exchange *x, const Tugpb__StarModexReply *m)
{
    if (m->to_node == x->p->me)
        tug_pmix_modex_done(x->pmix, m->ticket, (enum tug_pmix_status) m->status, m->data.data,
                            m->data.len);
    else if (x->p->me == 0)
        tug_star_send(x->star, m->to_node, TUG_MSG_STAR_MODEX_REPLY, &m->base);
}

/* ---- from the star ---- */

bool tug_exchange_message(struct tug_exchange *x, unsigned from, enum tug_msg number,
                          const ProtobufCMessage *m)
{
    bool head = x->p->me == 0;

    switch (number) {
    case TUG_MSG_STAR_FENCE:
        if (head)
            h_fence(x, from, (const Tugpb__StarFence *) m);
        return true;
    case TUG_MSG_STAR_PUBLISH:
        if (head)
            h_publish(x, from, (const Tugpb__StarPublish *) m);
        return true;
    case TUG_MSG_STAR_LOOKUP:
        if (head)
            h_lookup(x, from, (const Tugpb__StarLookup *) m);
        return true;
    case TUG_MSG_STAR_MODEX:
        h_modex(x, from, (const Tugpb__StarModex *) m);
        return true;
    case TUG_MSG_STAR_MODEX_REPLY:
        h_modex_reply(x, (const Tugpb__StarModexReply *) m);
        return true;
    case TUG_MSG_STAR_FENCE_DONE: {
        const Tugpb__StarFenceDone *d = (const Tugpb__StarFenceDone *) m;
        tug_pmix_fence_done(x->pmix, d->ticket, (enum tug_pmix_status) d->status, d->data.data,
                            d->data.len);
        return true;
    }
    case TUG_MSG_STAR_PUBLISH_REPLY: {
        const Tugpb__StarPublishReply *r = (const Tugpb__StarPublishReply *) m;
        tug_pmix_publish_done(x->pmix, r->ticket, (enum tug_pmix_status) r->status);
        return true;
    }
    case TUG_MSG_STAR_LOOKUP_REPLY: {
        const Tugpb__StarLookupReply *r = (const Tugpb__StarLookupReply *) m;
        tug_pmix_lookup_done(x->pmix, r->ticket, (enum tug_pmix_status) r->status, r->data.data,
                             r->data.len);
        return true;
    }
    default:
        return false;
    }
}

/* ---- from the local PMIx server ---- */

static void on_up(void *arg, const struct tug_err *err)
{
    struct tug_exchange *x = arg;

    x->ops->on_up(x->arg, err);
}

static void on_connected(void *arg, unsigned rank)
{
    struct tug_exchange *x = arg;

    x->ops->on_connected(x->arg, rank);
}

static void on_abort(void *arg, unsigned rank, int status, const char *text)
{
    struct tug_exchange *x = arg;

    x->ops->on_abort(x->arg, rank, status, text);
}

static void on_fence(void *arg, uint64_t ticket, const void *sig, size_t sig_len,
                     const uint32_t *nodes, size_t n_nodes, const void *data, size_t len)
{
    struct tug_exchange *x = arg;
    Tugpb__StarFence m = TUGPB__STAR_FENCE__INIT;

    m.signature.data = (uint8_t *) sig;
    m.signature.len = sig_len;
    m.nodes = (uint32_t *) nodes;
    m.n_nodes = n_nodes;
    m.ticket = ticket;
    m.data.data = (uint8_t *) data;
    m.data.len = len;
    tug_star_send(x->star, 0, TUG_MSG_STAR_FENCE, &m.base);
}

static void on_modex(void *arg, uint64_t ticket, unsigned rank)
{
    struct tug_exchange *x = arg;
    Tugpb__StarModex m = TUGPB__STAR_MODEX__INIT;

    m.rank = rank;
    m.from_node = x->p->me;
    m.to_node = tug_payload_node_of(x->p, rank);
    m.ticket = ticket;
    tug_star_send(x->star, 0, TUG_MSG_STAR_MODEX, &m.base);
}

static void on_modex_local(void *arg, unsigned from_node, uint64_t from_ticket,
                           enum tug_pmix_status st, const void *data, size_t len)
{
    struct tug_exchange *x = arg;
    Tugpb__StarModexReply m = TUGPB__STAR_MODEX_REPLY__INIT;

    m.to_node = from_node;
    m.ticket = from_ticket;
    m.status = (int32_t) st;
    m.data.data = (uint8_t *) data;
    m.data.len = len;
    tug_star_send(x->star, x->p->me == 0 ? from_node : 0, TUG_MSG_STAR_MODEX_REPLY, &m.base);
}

static void on_publish(void *arg, uint64_t ticket, const void *data, size_t len, bool un)
{
    struct tug_exchange *x = arg;
    Tugpb__StarPublish m = TUGPB__STAR_PUBLISH__INIT;

    m.from_node = x->p->me;
    m.ticket = ticket;
    m.data.data = (uint8_t *) data;
    m.data.len = len;
    m.unpublish = un;
    tug_star_send(x->star, 0, TUG_MSG_STAR_PUBLISH, &m.base);
}

static void on_lookup(void *arg, uint64_t ticket, char *const *keys, size_t n_keys, bool wait,
                      unsigned timeout_s)
{
    struct tug_exchange *x = arg;
    Tugpb__StarLookup m = TUGPB__STAR_LOOKUP__INIT;

    m.from_node = x->p->me;
    m.ticket = ticket;
    m.keys = (char **) keys;
    m.n_keys = n_keys;
    m.wait = wait;
    m.timeout_s = timeout_s;
    tug_star_send(x->star, 0, TUG_MSG_STAR_LOOKUP, &m.base);
}

static const struct tug_pmix_ops pmix_ops = {
    .on_up = on_up,
    .on_connected = on_connected,
    .on_abort = on_abort,
    .on_fence = on_fence,
    .on_modex = on_modex,
    .on_modex_local = on_modex_local,
    .on_publish = on_publish,
    .on_lookup = on_lookup,
};

int tug_exchange_new(struct tug_exchange **out, struct event_base *base,
                     const struct tug_payload *p, struct tug_star *star, const char *run_dir,
                     const struct tug_exchange_ops *ops, void *arg, struct tug_err *err)
{
    struct tug_exchange *x = tug_new(struct tug_exchange);
    const char **names =
        tug_xcalloc(p->n_nodes, sizeof *names); /* kept: the server borrows them until it is up */
    unsigned *ntasks = tug_xcalloc(p->n_nodes, sizeof *ntasks);
    struct tug_pmix_job job = {.nspace = p->pb->nspace,
                               .nodes = names,
                               .ntasks = ntasks,
                               .n_nodes = p->n_nodes,
                               .me = p->me,
                               .tmpdir = run_dir};
    int rc;

    for (unsigned i = 0; i < p->n_nodes; i++) {
        names[i] = p->pb->slices[i]->node;
        ntasks[i] = p->pb->slices[i]->ntasks;
    }
    x->p = p;
    x->base = base;
    x->star = star;
    x->ops = ops;
    x->arg = arg;
    TAILQ_INIT(&x->fences);
    TAILQ_INIT(&x->board);
    TAILQ_INIT(&x->lookups);
    rc = tug_pmix_start(&x->pmix, base, &job, &pmix_ops, x, err);
    if (rc < 0) {
        free(names);
        free(ntasks);
        free(x);
        return rc;
    }
    *out = x;
    return 0;
}

struct tug_pmix *tug_exchange_pmix(struct tug_exchange *x)
{
    return x->pmix;
}
