/* watch.c - who holds a gang up
 *
 * Of each rank it is known which group it is in, since when, and since when it has got nothing done. A group lasts while
 * looks agree; one that sees a quiet rank on a CPU for a moment changes nothing: every process wakes now and then.
 * Layer: stepd.
 */
#include "stepd/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "stepd/rasreport.h"

#define STOPPED_MS    10000u /* a rank that is stopped for so long is named; less where the hang time-out is less */
#define BUSY_PERCENT  2      /* of one CPU: who uses more gets something done */
#define BUSY_IO_BYTES 65536u /* likewise, between two looks */
#define LIVED_MS      500    /* of CPU: who has used less has never been at work, and nobody waits for it */
#define LOOKS_MIN     3      /* a state that was seen less often is not one */
#define STALE_PERIODS 4      /* what was not looked at for so many periods is not known any more */

enum group { NOTHING, BUSY, WAITING, AWAY, STOPPED, TRACED, ENDED };

static const enum group group_of[TUG_DOINGS] = {
    [TUG_DOING_UNKNOWN] = NOTHING, [TUG_DOING_RUNS] = BUSY,       [TUG_DOING_WAITS] = WAITING,
    [TUG_DOING_SLEEPS] = AWAY,     [TUG_DOING_BLOCKS] = AWAY,     [TUG_DOING_STOPPED] = STOPPED,
    [TUG_DOING_TRACED] = TRACED,   [TUG_DOING_ENDED] = ENDED,
};

struct seen {
    struct tug_look last;
    uint64_t last_ms;
    enum group group;
    uint64_t group_ms; /* in it since */
    uint64_t quiet_ms; /* has got nothing done since */
    uint64_t io_ms;    /* read or wrote a good deal last; 0: never */
    unsigned looks;    /* while in it */
};

struct tug_watch {
    unsigned n;
    uint64_t hang_ms, period_ms, stopped_ms;
    struct seen *at;
    struct tug_colls *colls;
    uint64_t colls_until_ms; /* what it shows is not too old until then; 0: nothing is known */
    bool *who;               /* room for find_*() */
};

const char *tug_verdict_name(enum tug_verdict_kind k)
{
    static const char *const names[] = {
        [TUG_VERDICT_STOPPED] = "stopped", [TUG_VERDICT_STUCK] = "stuck",   [TUG_VERDICT_LEFT] = "left",
        [TUG_VERDICT_DEAD] = "dead",       [TUG_VERDICT_FAILED] = "failed", [TUG_VERDICT_BEHIND] = "behind",
        [TUG_VERDICT_SLOW] = "slow"};

    return (size_t) k < sizeof names / sizeof *names && names[k] ? names[k] : "";
}

struct tug_watch *tug_watch_new(unsigned n_ranks, uint64_t hang_ms, uint64_t period_ms)
{
    struct tug_watch *w = tug_new(struct tug_watch);

    w->n = n_ranks;
    w->hang_ms = hang_ms;
    w->period_ms = period_ms;
    w->stopped_ms = hang_ms < STOPPED_MS ? hang_ms : STOPPED_MS;
    w->at = tug_xcalloc(n_ranks ? n_ranks : 1, sizeof *w->at);
    w->who = tug_xcalloc(n_ranks ? n_ranks : 1, sizeof *w->who);
    w->colls = tug_colls_new(n_ranks);
    return w;
}

void tug_watch_free(struct tug_watch *w)
{
    if (!w)
        return;
    tug_colls_free(w->colls);
    free(w->who);
    free(w->at);
    free(w);
}

void tug_watch_forget(struct tug_watch *w)
{
    for (unsigned i = 0; i < w->n; i++)
        if (w->at[i].group != ENDED)
            w->at[i] = (struct seen){.last = {.doing = TUG_DOING_UNKNOWN}};
    tug_colls_forget(w->colls);
    w->colls_until_ms = 0;
}

void tug_watch_colls(struct tug_watch *w, uint64_t now_ms, uint64_t period_ms, const struct tug_coll *all, size_t n)
{
    tug_colls_take(w->colls, now_ms, STALE_PERIODS * period_ms, all, n);
    w->colls_until_ms = now_ms + STALE_PERIODS * period_ms;
}

void tug_watch_blink(struct tug_watch *w, uint64_t now_ms)
{
    for (unsigned i = 0; i < w->n; i++)
        if (w->at[i].looks)
            w->at[i].last_ms = now_ms;
}

/* ---- looks ---- */

static bool got_on(const struct seen *s, uint64_t now_ms, const struct tug_look *look)
{
    uint64_t span_ms = now_ms - s->last_ms;
    uint64_t cpu_ms = look->cpu_ms - s->last.cpu_ms, io = look->io_bytes - s->last.io_bytes;

    /* Less than before: a process went with its share. That is a change, too. */
    if (look->cpu_ms < s->last.cpu_ms || look->io_bytes < s->last.io_bytes)
        return true;
    /* Who waits may well read and write a little: heartbeats, polling a store. */
    if (look->doing != TUG_DOING_WAITS && io >= BUSY_IO_BYTES)
        return true;
    return cpu_ms * 100 > span_ms * BUSY_PERCENT;
}

static void start_over(struct seen *s, enum group g, uint64_t now_ms)
{
    s->group = g;
    s->group_ms = now_ms;
    s->looks = 0;
}

void tug_watch_look(struct tug_watch *w, unsigned rank, uint64_t now_ms, const struct tug_look *look)
{
    struct seen *s = rank < w->n ? &w->at[rank] : NULL;
    enum group g;
    bool busy;

    if (!s || (unsigned) look->doing >= TUG_DOINGS)
        return;
    if (s->looks && look->io_bytes >= s->last.io_bytes + BUSY_IO_BYTES)
        s->io_ms = now_ms;
    if (s->looks == 0 || now_ms > s->last_ms + STALE_PERIODS * w->period_ms) {
        start_over(s, group_of[look->doing], now_ms);
        s->quiet_ms = now_ms;
    } else {
        busy = got_on(s, now_ms, look);
        g = group_of[look->doing];
        if (g == BUSY && !busy && (s->group == WAITING || s->group == AWAY))
            g = s->group;
        if (busy)
            s->quiet_ms = now_ms;
        if (g != s->group)
            start_over(s, g, now_ms);
    }
    s->looks++;
    if (!(look->doing == TUG_DOING_RUNS && s->group != BUSY)) /* where it sleeps stays as it was */
        s->last = *look;
    s->last.cpu_ms = look->cpu_ms;
    s->last.io_bytes = look->io_bytes;
    s->last_ms = now_ms;
}

/* ---- the verdict ---- */

static bool is_fresh(const struct tug_watch *w, const struct seen *s, uint64_t now_ms)
{
    return s->looks && (s->group == ENDED || now_ms <= s->last_ms + STALE_PERIODS * w->period_ms);
}

/* In its group, getting nothing done, for how long; the later of both began it. */
static uint64_t still_since(const struct seen *s)
{
    return s->group == ENDED || s->group_ms > s->quiet_ms ? s->group_ms : s->quiet_ms;
}

static bool is_still(const struct tug_watch *w, const struct seen *s, uint64_t now_ms)
{
    return (s->group == ENDED || s->looks >= LOOKS_MIN) && now_ms >= still_since(s) + w->hang_ms;
}

static void accuse(struct tug_verdict *v, unsigned rank)
{
    if (v->n_ranks < TUG_VERDICT_RANKS)
        v->ranks[v->n_ranks++] = rank;
    v->all++;
}

static bool find_stopped(const struct tug_watch *w, uint64_t now_ms, struct tug_verdict *v)
{
    bool traced = false, by_signal = false;

    for (unsigned i = 0; i < w->n; i++) {
        const struct seen *s = &w->at[i];
        if ((s->group != STOPPED && s->group != TRACED) || !is_fresh(w, s, now_ms) ||
            s->looks < LOOKS_MIN || now_ms < s->group_ms + w->stopped_ms)
            continue;
        accuse(v, i);
        traced |= s->group == TRACED;
        by_signal |= s->group == STOPPED;
        if (!v->since_ms || s->group_ms < v->since_ms)
            v->since_ms = s->group_ms;
    }
    if (!v->all)
        return false;
    v->kind = TUG_VERDICT_STOPPED;
    v->ripe = by_signal && now_ms >= v->since_ms + w->hang_ms; /* somebody looks into it already */
    snprintf(v->text, sizeof v->text, "%s stopped by a %s%s%s%s", v->all > 1 ? "are" : "is",
             !traced      ? "signal"
             : !by_signal ? "debugger"
                          : "signal or a debugger",
             w->at[v->ranks[0]].last.where[0] ? " (" : "", w->at[v->ranks[0]].last.where,
             w->at[v->ranks[0]].last.where[0] ? ")" : "");
    return true;
}

/* "where_a, where_b": the functions that the waiting sleep in, most of the time one or two. */
static void name_places(const struct tug_watch *w, char *out, size_t size)
{
    const char *names[2] = {0};
    size_t n = 0;

    for (unsigned i = 0; i < w->n && n < 2; i++) {
        const char *at = w->at[i].last.where;
        if (w->at[i].group != WAITING || !at[0] || (n && strcmp(names[0], at) == 0))
            continue;
        names[n++] = at;
    }
    snprintf(out, size, "%s%s%s", n ? names[0] : "", n > 1 ? ", " : "", n > 1 ? names[1] : "");
}

static void say_others(const struct tug_watch *w, struct tug_verdict *v, unsigned waiting,
                       const char *what)
{
    char places[128];

    name_places(w, places, sizeof places);
    snprintf(v->text, sizeof v->text, "%s, while %s %u other%s wait%s for it%s%s%s", what,
             waiting > 1 ? "all" : "the", waiting, waiting == 1 ? "" : "s", waiting == 1 ? "s" : "",
             places[0] ? " (" : "", places, places[0] ? ")" : "");
}

static void say_stuck(const struct tug_watch *w, struct tug_verdict *v, unsigned waiting)
{
    const struct tug_look *l = &w->at[v->ranks[0]].last;
    char what[128];
    bool several = v->all > 1;

    snprintf(what, sizeof what, "%s%s%s, using no CPU",
             l->doing == TUG_DOING_BLOCKS ? several ? "are blocked" : "is blocked"
             : several                    ? "sleep"
                                          : "sleeps",
             l->where[0] ? " in " : "", l->where);
    say_others(w, v, waiting, what);
}

/* All that are left wait or sleep elsewhere and nobody gets anything done. Those elsewhere are it, or those that have
 * ended; when they are most, nothing can be said about who waits for whom. */
static bool find_stuck(const struct tug_watch *w, uint64_t now_ms, struct tug_verdict *v)
{
    unsigned n[ENDED + 1] = {0};
    enum group guilty;

    for (unsigned i = 0; i < w->n; i++) {
        const struct seen *s = &w->at[i];
        if (!is_fresh(w, s, now_ms) || !is_still(w, s, now_ms))
            return false;
        if (s->group == AWAY && s->last.cpu_ms < LIVED_MS)
            return false; /* "sleep infinity" keeps a place for somebody who comes later */
        n[s->group]++;
        if (still_since(s) > v->since_ms)
            v->since_ms = still_since(s);
    }
    guilty = n[AWAY] ? AWAY : ENDED;
    if (n[WAITING] + n[AWAY] + n[ENDED] < w->n || !n[WAITING] || !n[guilty] ||
        n[guilty] > n[WAITING])
        return false;
    for (unsigned i = 0; i < w->n; i++)
        if (w->at[i].group == guilty)
            accuse(v, i);
    v->kind = guilty == AWAY ? TUG_VERDICT_STUCK : TUG_VERDICT_LEFT;
    v->ripe = true;
    if (guilty == AWAY)
        say_stuck(w, v, n[WAITING]);
    else
        say_others(w, v, n[WAITING], v->all > 1 ? "have ended with code 0" : "has ended with code 0");
    return true;
}

/* ---- what NCCL says ---- */

static bool colls_are_known(const struct tug_watch *w, uint64_t now_ms)
{
    return now_ms < w->colls_until_ms;
}

static void accuse_all(const struct tug_watch *w, struct tug_verdict *v, enum tug_verdict_kind kind,
                       uint64_t since_ms, uint64_t now_ms)
{
    for (unsigned i = 0; i < w->n; i++)
        if (w->who[i])
            accuse(v, i);
    v->kind = kind;
    v->since_ms = since_ms;
    v->ripe = now_ms >= since_ms + w->hang_ms;
}

static bool find_dead(const struct tug_watch *w, uint64_t now_ms, struct tug_verdict *v)
{
    uint64_t since_ms;

    if (!colls_are_known(w, now_ms) || !tug_colls_dead(w->colls, w->who, &since_ms))
        return false;
    accuse_all(w, v, TUG_VERDICT_DEAD, since_ms, now_ms);
    snprintf(v->text, sizeof v->text, "%s not answer; NCCL on the other ranks has given %s up",
             v->all > 1 ? "do" : "does", v->all > 1 ? "them" : "it");
    return true;
}

static bool find_failed(const struct tug_watch *w, uint64_t now_ms, struct tug_verdict *v)
{
    uint64_t since_ms;
    int error;

    if (!colls_are_known(w, now_ms) || !tug_colls_failed(w->colls, w->who, &since_ms, &error))
        return false;
    accuse_all(w, v, TUG_VERDICT_FAILED, since_ms, now_ms);
    snprintf(v->text, sizeof v->text, "%s an NCCL communicator that has failed: %s", v->all > 1 ? "have" : "has",
             tug_ras_error_name(error));
    return true;
}

/* Who has read or written lately is at something, be it a checkpoint. */
static bool somebody_is_at_files(const struct tug_watch *w, uint64_t now_ms)
{
    for (unsigned i = 0; i < w->n; i++)
        if (w->who[i] && w->at[i].io_ms && now_ms < w->at[i].io_ms + w->hang_ms)
            return true;
    return false;
}

static bool find_behind(const struct tug_watch *w, uint64_t now_ms, struct tug_verdict *v)
{
    uint64_t since_ms, others_at = 0;
    struct tug_coll first = {0};

    if (!colls_are_known(w, now_ms) || !tug_colls_behind(w->colls, w->who, &since_ms, &first, &others_at) ||
        now_ms < since_ms + w->hang_ms || somebody_is_at_files(w, now_ms))
        return false;
    accuse_all(w, v, TUG_VERDICT_BEHIND, since_ms, now_ms);
    snprintf(v->text, sizeof v->text,
             "%s launched %llu collectives where others of the %u in that NCCL communicator have launched %llu, and "
             "nothing moves",
             v->all > 1 ? "have" : "has", (unsigned long long) first.count, first.comm_size,
             (unsigned long long) others_at);
    return true;
}

static bool find_slow(const struct tug_watch *w, uint64_t now_ms, struct tug_verdict *v)
{
    uint64_t since_ms;
    unsigned times;

    if (!colls_are_known(w, now_ms) || !tug_colls_slow(w->colls, w->who, &since_ms, &times))
        return false;
    accuse_all(w, v, TUG_VERDICT_SLOW, since_ms, now_ms);
    v->ripe = false;
    snprintf(v->text, sizeof v->text, "%s the last to launch a collective in %u of %d looks; the others wait for %s",
             v->all > 1 ? "were" : "was", times, TUG_COLLS_TURNS, v->all > 1 ? "them" : "it");
    return true;
}

void tug_watch_judge(const struct tug_watch *w, uint64_t now_ms, struct tug_verdict *out)
{
    static bool (*const find[])(const struct tug_watch *, uint64_t, struct tug_verdict *) = {
        find_stopped, find_dead, find_failed, find_behind, find_stuck, find_slow};

    for (size_t i = 0; i < sizeof find / sizeof *find; i++) {
        *out = (struct tug_verdict){0};
        if (find[i](w, now_ms, out))
            return;
    }
    *out = (struct tug_verdict){0};
}
