/* again.c - how often a job is run again, after which ends, and how long it waits before (doc/design/0010)
 *
 * Counted here by what is durable: rows of the history say which attempt ran and why it was queued again. Held against that
 * are the counts in the job's record, its back-off by the formula, and when its ranks really run again. Layer: tests.
 */
#include "dst.h"

#include <stdlib.h>
#include <string.h>

#include "base/exitset.h"

#define MAX_REQUEUES 10            /* where a job does not say */
#define BACKOFF_MAX_S 600
#define RAN_WELL_MS 600000
#define ull(x) ((unsigned long long) (x))

/* ---- what is asked for */

void dst_again_draw(struct dst *w, struct dst_again *a)
{
    static const char *const ons[] = {"", "1-60", "75,100-110,SIGBUS", "any", "SIGBUS,42"};
    static const uint32_t maxes[] = {0, 0, 1, 2, UINT32_MAX}, delays_s[] = {0, 0, 5, 60, 700, UINT32_MAX};
    struct tug_rand *r = &w->of_more;

    if (!w->conf.requeues)
        return;
    a->on = ons[tug_rand_below(r, 5)];
    a->max = maxes[tug_rand_below(r, 5)];
    a->delay_s = delays_s[tug_rand_below(r, 6)];
}

static uint32_t most(const struct dst_again *a)
{
    return a->max == UINT32_MAX ? 0 : a->max ? a->max : MAX_REQUEUES;
}

static int64_t backoff_ms(const struct dst *w, const struct dst_again *a, uint32_t nth)
{
    int64_t s = a->delay_s == UINT32_MAX ? 0 : a->delay_s ? a->delay_s : w->conf.requeue_delay_s;
    int64_t top_s = s > BACKOFF_MAX_S ? s : BACKOFF_MAX_S;

    while (nth-- > 1 && s && s < top_s)
        s *= 2;
    return (s < top_s ? s : top_s) * 1000;
}

bool dst_again_wants(const struct dst_job *j, const Tugpb__Cause *cause)
{
    struct tug_exitset on;

    return cause && !strcmp(cause->kind, "rank") && cause->exit && j->again.on[0] &&
           tug_exitset_parse(j->again.on, &on, NULL) == 0 && tug_exitset_has(&on, cause->exit->exit_code, cause->exit->signal);
}

bool dst_again_is_spent(const struct dst_job *j)
{
    return j->again.failures >= most(&j->again);
}

/* ---- what is durable */

void dst_again_began(struct dst_job *j)
{
    j->again.runs = true;
}

static bool counts(struct dst *w, const struct dst_job *j, uint32_t attempt, const Tugpb__JobView *v)
{
    const char *kind = v->cause ? v->cause->kind : "";

    if (!strcmp(kind, "rank") && !dst_again_wants(j, v->cause))
        dst_fail(w, "job %llu.%u is run again after %s, and asked for that after '%s'", ull(j->id), attempt, v->cause->text,
                 j->again.on);
    return j->again.runs && (!strcmp(kind, "rank") || !strcmp(kind, "node") || !strcmp(kind, "link") || !strcmp(kind, "hang"));
}

/* Its back-off goes by how often it has failed lately; how long it ran is known here but for what clocks are off. */
static void check_backoff(struct dst *w, struct dst_job *j, const struct tug_history_row *row, const Tugpb__JobRecord *r,
                          int64_t ran_ms)
{
    struct dst_again *a = &j->again;
    bool is_sure = ran_ms >= 0 && llabs(ran_ms - RAN_WELL_MS) > 5000;
    uint32_t expected = is_sure && ran_ms >= RAN_WELL_MS ? 1 : a->backoffs + 1;

    if (is_sure && r->backoffs != expected)
        dst_fail(w, "job %llu.%u is queued again after it ran for %lld ms, failure %u in a row; its record says %u", ull(j->id),
                 row->attempt, (long long) ran_ms, expected, r->backoffs);
    a->backoffs = r->backoffs;
    a->waits_ms = backoff_ms(w, a, a->backoffs);
    int64_t until_ms = a->waits_ms ? row->at_ms + a->waits_ms : 0;
    if (strcmp(r->state, "REQUEUED") != 0 && strcmp(r->state, "PENDING") != 0)
        return; /* that is in the same commit */
    if (llabs(r->retry_ms - until_ms) > 5)
        dst_fail(w, "job %llu.%u, failure %u in a row, waits for %lld ms; by what it asked for it is %lld", ull(j->id), row->attempt,
                 a->backoffs, (long long) (r->retry_ms ? r->retry_ms - row->at_ms : 0), (long long) a->waits_ms);
}

/* ran_ms: that attempt, without a break; -1 = not known */
void dst_again_row(struct dst *w, struct dst_job *j, const struct tug_history_row *row, const Tugpb__JobView *v,
                   const Tugpb__JobRecord *r, int64_t ran_ms)
{
    struct dst_again *a = &j->again;

    dst_visits_requeued(w, j->id, row->attempt, v->cause);
    a->waits_ms = 0;
    a->waits_since_ms = dst_clock_when(&w->ctls[w->leader].clock, row->at_ms);
    a->ctl = w->leader;
    a->takeovers = w->n.takeovers;
    if (v->cause && !strcmp(v->cause->kind, "cancel")) {
        a->failures = a->backoffs = 0; /* by hand */
    } else if (counts(w, j, row->attempt, v)) {
        a->failures++;
        w->n.again++;
        if (a->failures > most(a))
            dst_fail(w, "job %llu is run again after %u failures, %u are the most", ull(j->id), a->failures, most(a));
        if (r && r->failures == a->failures)
            check_backoff(w, j, row, r, ran_ms);
    }
    a->runs = false;
    if (v->requeues_counted != a->failures)
        dst_fail(w, "job %llu has been run again after %u failures; the history says %u", ull(j->id), a->failures, v->requeues_counted);
}

void dst_again_put_back(struct dst_job *j, const Tugpb__JobRecord *r)
{
    j->again.failures = r->failures;
    j->again.backoffs = r->backoffs;
    j->again.waits_ms = 0;
    j->again.runs = r->launched_ms > 0 && strcmp(r->state, "REQUEUED") != 0; /* that attempt is counted */
}

/* ---- what really happens */

void dst_again_asked(struct dst *w, struct dst_job *j)
{
    j->again.hand_ms = w->now_ms;
}

/* By the clock of the controller that has queued it again; another machine's shows another time. */
void dst_again_runs(struct dst *w, struct dst_job *j, uint32_t attempt)
{
    struct dst_again *a = &j->again;
    int64_t waited_ms = w->now_ms - a->waits_since_ms;
    bool is_first = attempt > a->began; /* of its ranks */

    a->began = is_first ? attempt : a->began;
    if (!is_first || !a->waits_ms || a->ctl != w->leader || a->takeovers != w->n.takeovers || a->hand_ms > a->waits_since_ms - 20000)
        return;
    if (waited_ms < a->waits_ms - a->waits_ms / 150 - 1000)
        dst_fail(w, "job %llu.%u runs %lld ms after it failed, it was to wait for %lld", ull(j->id), attempt, (long long) waited_ms,
                 (long long) a->waits_ms);
    w->n.backoffs++;
}
