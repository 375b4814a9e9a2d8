/* colls.c - how far each rank is in the collectives of its communicators
 *
 * A rank that is behind in one communicator may be so because it waits in another: with tensor and data parallelism the
 * neighbours of a rank that hangs are behind, too. Only who is ahead of nobody anywhere is to blame. Layer: stepd.
 */
#include "stepd/colls.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define SLOW_FROM    18 /* of TUG_COLLS_TURNS: it is called slow ... */
#define SLOW_UNTIL   12 /* ... until it is behind less often than this */
#define REMOTE_ERROR 6  /* ncclRemoteError: another one's */

struct tug_colls {
    unsigned n;
    struct tug_coll *last; /* by communicator, then rank */
    size_t n_last;
    uint64_t last_ms; /* 0: no snapshot */
    uint64_t moved_ms;
    uint64_t dead_ms, error_ms; /* since when somebody is; 0: nobody */
    unsigned error_turns;
    uint32_t *late; /* of each rank, a bit for each snapshot with movement: it was behind */
    bool *slow;
    unsigned turns; /* bits that count */
    uint64_t turns_ms;
};

struct tug_colls *tug_colls_new(unsigned n_ranks)
{
    struct tug_colls *c = tug_new(struct tug_colls);

    c->n = n_ranks;
    c->late = tug_xcalloc(n_ranks + 1, sizeof *c->late);
    c->slow = tug_xcalloc(n_ranks + 1, sizeof *c->slow);
    return c;
}

void tug_colls_free(struct tug_colls *c)
{
    if (!c)
        return;
    free(c->last);
    free(c->late);
    free(c->slow);
    free(c);
}

void tug_colls_forget(struct tug_colls *c)
{
    c->n_last = 0;
    c->last_ms = c->dead_ms = c->error_ms = 0;
    c->error_turns = c->turns = 0;
    memset(c->slow, 0, c->n * sizeof *c->slow);
}

/* ---- who is behind in one snapshot ---- */

struct group { /* a communicator: last[from..to) */
    size_t from, to;
    uint64_t most;
    unsigned behind;
    bool whole; /* all its ranks answered */
};

static bool next_group(const struct tug_colls *c, struct group *g)
{
    unsigned answered = 0;

    *g = (struct group){.from = g->to, .to = g->to};
    if (g->from == c->n_last)
        return false;
    for (; g->to < c->n_last && c->last[g->to].comm == c->last[g->from].comm; g->to++)
        if (!c->last[g->to].missing) {
            answered++;
            if (c->last[g->to].count > g->most)
                g->most = c->last[g->to].count;
        }
    for (size_t i = g->from; i < g->to; i++)
        g->behind += !c->last[i].missing && c->last[i].count < g->most;
    g->whole = answered == c->last[g->from].comm_size && answered == g->to - g->from;
    return true;
}

static unsigned mark_behind(const struct tug_colls *c, bool *who)
{
    struct group g = {0};
    bool *ahead = tug_xcalloc(c->n + 1, sizeof *ahead);
    unsigned n = 0;

    memset(who, 0, c->n * sizeof *who);
    while (next_group(c, &g)) {
        if (!g.whole || !g.behind)
            continue;
        for (size_t i = g.from; i < g.to; i++)
            if (c->last[i].count == g.most)
                ahead[c->last[i].rank] = true;
            else if (g.behind * 2 <= g.to - g.from)
                who[c->last[i].rank] = true;
    }
    for (unsigned i = 0; i < c->n; i++) {
        who[i] = who[i] && !ahead[i];
        n += who[i];
    }
    free(ahead);
    return n;
}

/* ---- snapshots ---- */

static int by_comm_and_rank(const void *a, const void *b)
{
    const struct tug_coll *x = a, *y = b;

    if (x->comm != y->comm)
        return x->comm < y->comm ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static bool has_moved(const struct tug_colls *c, const struct tug_coll *now, size_t n)
{
    if (n != c->n_last)
        return true;
    for (size_t i = 0; i < n; i++)
        if (now[i].comm != c->last[i].comm || now[i].rank != c->last[i].rank || now[i].count != c->last[i].count ||
            now[i].missing != c->last[i].missing)
            return true;
    return false;
}

static void count_turn(struct tug_colls *c, uint64_t now_ms)
{
    bool *who = tug_xcalloc(c->n + 1, sizeof *who);

    mark_behind(c, who);
    if (!c->turns)
        c->turns_ms = now_ms;
    if (c->turns < TUG_COLLS_TURNS)
        c->turns++;
    for (unsigned i = 0; i < c->n; i++) {
        unsigned times;
        c->late[i] = (c->late[i] << 1 | who[i]) & ((1u << c->turns) - 1);
        times = (unsigned) __builtin_popcount(c->late[i]);
        c->slow[i] = times >= SLOW_FROM || (c->slow[i] && times >= SLOW_UNTIL);
    }
    free(who);
}

void tug_colls_take(struct tug_colls *c, uint64_t now_ms, uint64_t stale_ms, const struct tug_coll *all, size_t n)
{
    struct tug_coll *now = tug_xcalloc(n + 1, sizeof *now);
    size_t kept = 0;
    bool dead = false, error = false, fresh, moved;

    if (c->last_ms && now_ms > c->last_ms + stale_ms)
        tug_colls_forget(c);
    fresh = c->last_ms != 0;
    for (size_t i = 0; i < n; i++)
        if (all[i].rank < c->n) {
            now[kept++] = all[i];
            dead |= all[i].missing && all[i].dead;
            error |= !all[i].missing && all[i].error;
        }
    qsort(now, kept, sizeof *now, by_comm_and_rank);
    moved = !fresh || has_moved(c, now, kept);
    free(c->last);
    c->last = now;
    c->n_last = kept;
    c->last_ms = now_ms;
    if (moved)
        c->moved_ms = now_ms;
    if (moved && fresh)
        count_turn(c, now_ms);
    c->dead_ms = !dead ? 0 : c->dead_ms ? c->dead_ms : now_ms;
    c->error_turns = error ? c->error_turns + 1 : 0;
    c->error_ms = !error ? 0 : c->error_ms ? c->error_ms : now_ms;
}

/* ---- what they show ---- */

unsigned tug_colls_dead(const struct tug_colls *c, bool *who, uint64_t *since_ms)
{
    unsigned n = 0;

    memset(who, 0, c->n * sizeof *who);
    for (size_t i = 0; i < c->n_last; i++)
        if (c->last[i].missing && c->last[i].dead && !who[c->last[i].rank]) {
            who[c->last[i].rank] = true;
            n++;
        }
    *since_ms = c->dead_ms;
    return n;
}

unsigned tug_colls_failed(const struct tug_colls *c, bool *who, uint64_t *since_ms, int *error)
{
    unsigned n = 0;
    bool own = false;

    memset(who, 0, c->n * sizeof *who);
    *error = 0;
    if (c->error_turns < 2)
        return 0;
    for (size_t i = 0; i < c->n_last; i++)
        own |= !c->last[i].missing && c->last[i].error && c->last[i].error != REMOTE_ERROR;
    for (size_t i = 0; i < c->n_last; i++) {
        const struct tug_coll *at = &c->last[i];
        if (at->missing || !at->error || (own && at->error == REMOTE_ERROR) || who[at->rank])
            continue;
        who[at->rank] = true;
        *error = n++ ? *error : at->error;
    }
    *since_ms = c->error_ms;
    return n;
}

unsigned tug_colls_behind(const struct tug_colls *c, bool *who, uint64_t *since_ms, struct tug_coll *first,
                          uint64_t *others_at)
{
    unsigned n = mark_behind(c, who);
    struct group g = {0};

    *since_ms = c->moved_ms;
    while (n && next_group(c, &g))
        for (size_t i = g.from; i < g.to && g.whole; i++)
            if (who[c->last[i].rank] && c->last[i].count < g.most) {
                *first = c->last[i];
                *others_at = g.most;
                return n;
            }
    return n;
}

unsigned tug_colls_slow(const struct tug_colls *c, bool *who, uint64_t *since_ms, unsigned *times)
{
    unsigned n = 0;

    *times = 0;
    for (unsigned i = 0; i < c->n; i++) {
        who[i] = c->slow[i];
        if (who[i] && !n++)
            *times = (unsigned) __builtin_popcount(c->late[i]);
    }
    *since_ms = c->turns_ms;
    return n * 4 <= c->n || n == 1 ? n : 0;
}
