/* soakcheck.c - what must hold of every world, each in a function of its own
 *
 * Worked out from the jobs and from what was said, never from what the core keeps for itself.
 * Layer: tests.
 */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "core/same.h"
#include "soak/soak.h"

void soak_fail(const struct soak *s, const char *fmt, ...)
{
    va_list ap;
    printf("# %s, seed %llu, %lld ms, event %llu: ", s->policy, (unsigned long long) s->seed,
           (long long) s->now, (unsigned long long) s->n.events);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n# again: TUG_BUILDDIR=. testsuite/unit/soak/test_soak.t --policy %s --seed %llu "
           "--worlds 1\n",
           s->policy, (unsigned long long) s->seed);
    fflush(stdout);
    _Exit(1);
}

static int runs(const struct tug_job *j)
{
    return j && tug_job_state_holds(j->state) && j->suspended_ms < 0;
}

static uint32_t gpus_of(const struct tug_job *j)
{
    uint32_t n = 0;
    for (size_t i = 0; i < j->n_slices; i++)
        n += tug_gpuset_count(j->slices[i].gpus);
    return n;
}

/* ---- after every event */

static void every_invariant_holds(struct soak *s, const char *after)
{
    struct tug_err err = {0};
    soak_holds(s, tug_core_check(s->c, &err) == 0, "after %s: %s", after, err.msg);
}

static void nothing_is_double_booked(struct soak *s)
{
    static uint32_t milli[SOAK_NODES][TUG_GPUS_MAX];
    memset(milli, 0, sizeof milli);
    for (const struct tug_job *j = tug_core_job_after(s->c, 0); j;
         j = tug_core_job_after(s->c, j->id)) {
        for (size_t i = 0; runs(j) && i < j->n_slices; i++)
            for (tug_gpuset g = j->slices[i].gpus; g; g &= g - 1) {
                uint32_t *m = &milli[j->slices[i].node][__builtin_ctzll(g)];
                *m += j->req.gpu_milli ? j->req.gpu_milli : 1000;
                soak_holds(s, *m <= 1000,
                           "job %llu has GPU %d of node %u, and so has somebody else",
                           (unsigned long long) j->id, __builtin_ctzll(g), j->slices[i].node);
            }
    }
}

/* What its jobs have, those of queues below included. */
static void count_used(const struct soak *s, uint32_t *used)
{
    memset(used, 0, SOAK_QUEUES * sizeof *used);
    for (const struct tug_job *j = tug_core_job_after(s->c, 0); j;
         j = tug_core_job_after(s->c, j->id)) {
        const char *name = runs(j) ? j->req.queue : NULL;
        for (uint32_t i = 0; name && i < SOAK_QUEUES; i++)
            if (!strcmp(s->queues[i].name, name)) {
                used[i] += gpus_of(j);
                name = s->queues[i].parent;
                i = UINT32_MAX;
            }
    }
}

void soak_forget_used(struct soak *s)
{
    count_used(s, s->used);
}

/* A limit that was lowered below what is used lets nobody start; nobody has to go. */
static void no_queue_grows_past_its_limit(struct soak *s)
{
    uint32_t used[SOAK_QUEUES];
    count_used(s, used);
    for (uint32_t i = 0; i < SOAK_QUEUES; i++) {
        const struct tug_core_queue *q = &s->queues[i];
        soak_holds(s, !q->cap_gpus || used[i] <= q->cap_gpus || used[i] <= s->used[i],
                   "queue '%s' uses %u GPUs, and its cap is %u", q->name, used[i], q->cap_gpus);
        soak_holds(s, !q->no_borrow || used[i] <= q->guarantee_gpus || used[i] <= s->used[i],
                   "queue '%s' uses %u GPUs, may not borrow and is guaranteed %u", q->name, used[i],
                   q->guarantee_gpus);
    }
    memcpy(s->used, used, sizeof used);
}

static void nobody_gives_way_too_often(struct soak *s)
{
    for (const struct tug_job *j = tug_core_job_after(s->c, 0); j;
         j = tug_core_job_after(s->c, j->id))
        soak_holds(s, s->jobs.at[j->id].preempted <= s->largest_preempt_max,
                   "job %llu gave way %u times, %u is the most", (unsigned long long) j->id,
                   s->jobs.at[j->id].preempted, s->largest_preempt_max);
}

/* ---- usage, as GPU-seconds that decay */

static double half_life_s(const struct soak *s)
{
    return s->conf.usage_half_life_ms ? (double) s->conf.usage_half_life_ms / 1000 : 7 * 86400.0;
}

static double decayed(double gpu_s, int64_t by_ms, double half_life)
{
    return gpu_s * exp2(-(double) by_ms / 1000 / half_life);
}

/* What a run from a to b counts at b. */
static double used_by(double rate, int64_t a_ms, int64_t b_ms, double half_life)
{
    return rate * half_life / M_LN2 * -expm1(-(double) (b_ms - a_ms) / 1000 / half_life * M_LN2);
}

static double rate_of(const struct soak *s, const struct tug_job *j)
{
    double weight = s->conf.usage_cpu_weight > 0 ? s->conf.usage_cpu_weight : 0.1;
    uint32_t cpus = 0;
    for (size_t i = 0; i < j->n_slices; i++)
        cpus += j->slices[i].cpus;
    return j->req.gpu_milli ? j->req.gpu_milli / 1000.0 : gpus_of(j) ? gpus_of(j) : cpus * weight;
}

static uint32_t share_of(struct soak *s, const struct tug_job_req *r)
{
    for (uint32_t i = 0; i < s->shares.len; i++)
        if (!strcmp(s->shares.at[i].account, r->account) && !strcmp(s->shares.at[i].user, r->user))
            return i;
    struct soak_share n = {tug_xstrdup(r->account), tug_xstrdup(r->user), 0, s->now};
    tug_vec_push(&s->shares, n);
    return (uint32_t) s->shares.len - 1;
}

static void settle(struct soak_share *u, int64_t now_ms, double half_life)
{
    u->settled_gpu_s = decayed(u->settled_gpu_s, now_ms - u->at_ms, half_life);
    u->at_ms = now_ms;
}

static void take_note_of_runs(struct soak *s)
{
    for (tug_job_id id = 1; id < s->jobs.len; id++) {
        struct soak_job *mine = &s->jobs.at[id];
        const struct tug_job *j = tug_core_job(s->c, id);
        if (runs(j) && mine->holds_since_ms < 0) {
            mine->holds_since_ms = s->now;
            mine->rate = rate_of(s, j);
            mine->share = share_of(s, &j->req);
        } else if (!runs(j) && mine->holds_since_ms >= 0) {
            struct soak_share *u = &s->shares.at[mine->share];
            settle(u, s->now, half_life_s(s));
            u->settled_gpu_s += used_by(mine->rate, mine->holds_since_ms, s->now, half_life_s(s));
            mine->holds_since_ms = -1;
        }
    }
}

void soak_half_life_changes(struct soak *s, int64_t was_ms)
{
    for (size_t i = 0; i < s->shares.len; i++)
        settle(&s->shares.at[i], s->now, (double) was_ms / 1000);
    for (tug_job_id id = 1; id < s->jobs.len; id++)
        if (s->jobs.at[id].holds_since_ms >= 0)
            s->jobs.at[id].rate = rate_of(s, tug_core_job(s->c, id));
}

static const struct tug_policy_share *row_of(const struct tug_policy_share *rows, size_t n,
                                             const struct soak_share *u)
{
    for (size_t i = 1; i < n; i++) {
        const char *above = rows[i].parent ? rows[rows[i].parent].name : "";
        if (rows[i].is_user && !strcmp(rows[i].name, u->user) && !strcmp(above, u->account))
            return &rows[i];
    }
    return NULL;
}

static void usage_is_what_was_held(struct soak *s)
{
    size_t n;
    double sum = 0;
    const struct tug_policy_share *rows = tug_core_share_tree(s->c, s->now, &n);
    for (uint32_t i = 0; i < s->shares.len; i++) {
        struct soak_share *u = &s->shares.at[i];
        settle(u, s->now, half_life_s(s));
        double mine = u->settled_gpu_s;
        for (tug_job_id id = 1; id < s->jobs.len; id++)
            if (s->jobs.at[id].holds_since_ms >= 0 && s->jobs.at[id].share == i)
                mine += used_by(s->jobs.at[id].rate, s->jobs.at[id].holds_since_ms, s->now,
                                half_life_s(s));
        const struct tug_policy_share *row = row_of(rows, n, u);
        double theirs = row ? row->usage_gpu_s : 0;
        soak_holds(s, fabs(theirs - mine) < 1e-6 * mine + 1e-2,
                   "user '%s' of account '%s' is charged %f GPU-seconds, not %f", u->user,
                   u->account, theirs, mine);
        sum += mine;
    }
    soak_holds(s, fabs(rows[0].usage_gpu_s - sum) < 1e-6 * sum + 1e-1,
               "%f GPU-seconds were used in all, not %f", rows[0].usage_gpu_s, sum);
}

void soak_check_usage(struct soak *s)
{
    usage_is_what_was_held(s);
}

void soak_check_event(struct soak *s, const char *after)
{
    every_invariant_holds(s, after);
    nothing_is_double_booked(s);
    no_queue_grows_past_its_limit(s);
    nobody_gives_way_too_often(s);
    take_note_of_runs(s);
    if (s->n.events % 16 == 0)
        usage_is_what_was_held(s);
}

/* ---- after a pass */

static void no_policy_fails_or_proposes_nonsense(struct soak *s, int rc,
                                                 const struct tug_pass_stats *st,
                                                 const struct tug_err *err)
{
    soak_holds(s, rc >= 0, "a pass fails with %d: %s", rc, err->msg);
    soak_holds(s, st->refused == 0, "a proposal is refused: %s", err->msg);
}

/* At one moment there is only so much to decide. */
static void passes_come_to_an_end(struct soak *s)
{
    s->passes_now = s->pass_ms == s->now ? s->passes_now + 1 : 1;
    s->pass_ms = s->now;
    soak_holds(s, s->passes_now < 100 + 20 * s->jobs.len, "%u passes at the same time",
               s->passes_now);
}

static int fills(const struct tug_policy_ops *o, size_t hook)
{
    return hook == 0 ? o->key != NULL : o->preempt != NULL;
}

static int is_conservative(const struct soak *s)
{
    int found = 0;
    for (size_t i = 0; i < tug_plugset_count(s->set); i++) {
        const struct tug_policy_ops *o = tug_plugload_ops(tug_plugset_at(s->set, i));
        if (fills(o, 0) || fills(o, 1))
            return 0;
        found |= !strcmp(o->name, "conservative");
    }
    return found;
}

static const struct tug_job *first_in_line(const struct soak *s)
{
    for (const struct tug_job *j = tug_core_job_after(s->c, 0); j;
         j = tug_core_job_after(s->c, j->id))
        if (j->state == TUG_JOB_PENDING)
            return j;
    return NULL;
}

/* All in one queue, estimates right, nothing goes wrong: jobs start by the number of their id, and
 * who is first in line is told when. Ends that are due now count as a second away. */
static void who_is_first_does_not_start_later_than_promised(struct soak *s)
{
    const struct tug_job *j = first_in_line(s);
    for (tug_job_id id = 1; id < s->jobs.len; id++) {
        struct soak_job *mine = &s->jobs.at[id];
        const struct tug_job *is = tug_core_job(s->c, id);
        soak_holds(s,
                   mine->promised_ms < 0 || (is && is->state != TUG_JOB_PENDING) ||
                       s->now <= mine->promised_ms + 1000,
                   "job %llu was first in line and to start at %lld", (unsigned long long) id,
                   (long long) mine->promised_ms);
        if (is && is->state != TUG_JOB_PENDING)
            mine->promised_ms = -1;
    }
    int64_t at_ms = j ? tug_core_expected_start(s->c, j) : -1;
    if (!j)
        return;
    soak_holds(s, at_ms >= 0 && at_ms != INT64_MAX,
               "job %llu is first in line and is not told when it starts",
               (unsigned long long) j->id);
    struct soak_job *mine = &s->jobs.at[j->id];
    soak_holds(s, mine->promised_ms < 0 || at_ms <= mine->promised_ms + 1000,
               "job %llu is first in line, was to start at %lld, and now at %lld",
               (unsigned long long) j->id, (long long) mine->promised_ms, (long long) at_ms);
    if (mine->promised_ms < 0 || at_ms < mine->promised_ms)
        mine->promised_ms = at_ms;
    s->n.promises++;
}

void soak_check_pass(struct soak *s, int rc, const struct tug_pass_stats *st,
                     const struct tug_err *err)
{
    no_policy_fails_or_proposes_nonsense(s, rc, st, err);
    passes_come_to_an_end(s);
    if (s->exact && is_conservative(s))
        who_is_first_does_not_start_later_than_promised(s);
}

/* ---- actions, and what nodes see */

static void trace_action(const struct soak *s, const struct tug_action *a)
{
    static const char *const names[] = {"LAUNCH",     "START",        "KILL",     "SIGNAL",
                                        "ACK",        "CHANGED",      "HISTORY",  "FORGOTTEN",
                                        "STEP_ENDED", "NODE_CHANGED", "NODE_LOG", "USAGE"};
    const struct tug_job *j = tug_core_job(s->c, a->job);
    printf("#     %s job %llu.%u.%u node %d signal %d %s", names[a->type],
           (unsigned long long) a->job, a->attempt, a->step, (int) a->node, a->signal, a->text);
    if (j)
        printf(" (%s)", tug_job_state_name(j->state));
    for (size_t i = 0; j && a->type == TUG_ACT_LAUNCH && i < j->n_slices; i++)
        printf(" %u:%llx/%u", j->slices[i].node, (unsigned long long) j->slices[i].gpus,
               j->slices[i].gpu_milli);
    printf("\n");
}

void soak_check_action(struct soak *s, const struct tug_action *a)
{
    s->digest = (s->digest ^ (uint64_t) a->type ^ a->job << 8 ^ (uint64_t) a->attempt << 32 ^
                 (uint64_t) a->node << 40 ^ (uint64_t) s->now << 16) *
                0x100000001b3ULL;
    if (s->trace)
        trace_action(s, a);
    if (a->type != TUG_ACT_JOB_HISTORY)
        return;
    if (!strcmp(a->text, "preempt")) {
        s->jobs.at[a->job].preempted++;
        s->n.preemptions++;
    }
    s->n.requeues += !strcmp(a->text, "requeue");
    s->n.suspends += !strcmp(a->text, "suspend");
}

static int may_share(const struct tug_job *a, const struct tug_job *b)
{
    return !a || !b || a == b || a->req.uid == b->req.uid || !a->n_slices || !b->n_slices ||
           (a->slices[0].gpu_mixed && b->slices[0].gpu_mixed);
}

/* Seen from the node, whatever the core thinks. */
void soak_check_launch(struct soak *s, const struct soak_node *n, const struct soak_piece *p)
{
    for (size_t i = 0; i < n->held.len; i++) {
        const struct soak_piece *q = &n->held.at[i];
        const struct tug_job *its = tug_core_job(s->c, q->job);
        int at_barrier = q->phase < TUG_HELD_RUNNING && its && its->suspended_ms >= 0;
        if (q->phase == TUG_HELD_DONE || q->stopped || at_barrier)
            continue;
        soak_holds(s, q->job != p->job || q->attempt == p->attempt || q->stuck,
                   "attempts %u and %u of job %llu run at once", q->attempt, p->attempt,
                   (unsigned long long) p->job);
        soak_holds(s, q->job == p->job || !(q->gpus & p->gpus) || (q->gpu_milli && p->gpu_milli),
                   "job %llu is given GPUs that job %llu still uses", (unsigned long long) p->job,
                   (unsigned long long) q->job);
        soak_holds(s, !(q->gpus & p->gpus) || may_share(tug_core_job(s->c, p->job), its),
                   "job %llu is given a GPU beside job %llu of another user", (unsigned long long) p->job,
                   (unsigned long long) q->job);
    }
}

/* ---- restarts, and the end */

void soak_check_restart(struct soak *s, const struct tug_core *again)
{
    const struct tug_job *a = tug_core_job_after(s->c, 0), *b = tug_core_job_after(again, 0);
    for (; a && b; a = tug_core_job_after(s->c, a->id), b = tug_core_job_after(again, b->id)) {
        const char *differs = same_job(a, b);
        soak_holds(s, !differs, "job %llu differs from its record: %s", (unsigned long long) a->id,
                   differs);
    }
    soak_holds(s, !a && !b, "there are more jobs than records of them, or fewer");
}

static void say_who_waits(const struct soak *s)
{
    char text[512];
    uint32_t said = 0;
    for (const struct tug_job *j = tug_core_job_after(s->c, 0); j;
         j = tug_core_job_after(s->c, j->id)) {
        if (tug_job_state_is_over(j->state) || said++ > 12)
            continue;
        tug_core_explain(s->c, j, NULL, text, sizeof text);
        printf("#   job %llu of queue '%s' is %s, %u nodes x %u GPUs, %u CPUs%s: %s\n",
               (unsigned long long) j->id, j->req.queue, tug_job_state_name(j->state), j->req.nodes,
               j->req.gpus_per_node, j->req.cpus_per_node, j->req.exclusive ? ", alone" : "", text);
    }
}

/* Everybody who could run does, sooner or later, and passes are not made for nothing. */
void soak_check_end(struct soak *s, uint64_t passes, uint64_t jobs)
{
    struct tug_core_counts n;
    tug_core_count(s->c, &n);
    if (n.pending || n.running)
        say_who_waits(s);
    soak_holds(s, !n.pending && !n.running, "%llu jobs wait and %llu run for ever",
               (unsigned long long) n.pending, (unsigned long long) n.running);
    soak_holds(s, n.gpus_used == 0, "%u GPUs are in use by nobody", n.gpus_used);
    soak_holds(s, passes < 1000 + 200 * jobs, "%llu passes were made until %llu jobs had ended",
               (unsigned long long) passes, (unsigned long long) jobs);
}
