/* queue.c - the tree of queues: what they use, what they may use
 *
 * Row i of core.queue_rows is core.queues.at[i], with the figures of the queues below it. Always:
 * gpus_used and n_running are those of the gangs that hold something, gpus_wanted and n_waiting
 * those of the jobs in core.order; gpus_held of a queue what holds of its jobs have and will have,
 * which counts to its cap; 'kept' of a queue is how many free GPUs nobody else may take:
 * its guarantee, as far as it is not used, where it does not lend, or what the queues below keep,
 * whichever is more. Every change walks up from the job's queue. Layer: core.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "core/state.h"

#define NO_ROW UINT32_MAX

/* ---- checks */

static size_t index_of(const struct tug_core_conf *conf, const char *name)
{
    size_t i = 0;
    while (i < conf->n_queues && strcmp(conf->queues[i].name, name) != 0)
        i++;
    return i;
}

static int has_parent(const struct tug_core_queue *q)
{
    return q->parent && *q->parent;
}

static int check_place(const struct tug_core_conf *conf, size_t i, struct tug_err *err)
{
    const struct tug_core_queue *q = &conf->queues[i];
    size_t at = i;
    for (size_t steps = 0; has_parent(&conf->queues[at]); steps++) {
        size_t up = index_of(conf, conf->queues[at].parent);
        if (up == conf->n_queues)
            return tug_fail(err, -EINVAL, "queue '%s': its parent '%s' is not a queue",
                            conf->queues[at].name, conf->queues[at].parent);
        if (up == i || steps > conf->n_queues)
            return tug_fail(err, -EINVAL, "queue '%s' is below itself, by way of '%s'", q->name,
                            conf->queues[at].name);
        if (conf->queues[up].is_default)
            return tug_fail(err, -EINVAL,
                            "queue '%s' is divided into others, so it takes no jobs and cannot be "
                            "the default",
                            conf->queues[up].name);
        at = up;
    }
    return 0;
}

int tug_queue_check_tree(const struct tug_core_conf *conf, struct tug_err *err)
{
    for (size_t i = 0; i < conf->n_queues; i++) {
        const struct tug_core_queue *q = &conf->queues[i];
        int rc = check_place(conf, i, err);
        if (rc)
            return rc;
        if (!(q->weight >= 0 && q->weight <= 1e9))
            return tug_fail(err, -EINVAL, "queue '%s': its weight is not from 0 to 1e9", q->name);
        if (q->cap_gpus && q->guarantee_gpus > q->cap_gpus)
            return tug_fail(err, -EINVAL,
                            "queue '%s': %u GPUs are guaranteed, but its cap is %u; a queue cannot "
                            "have more than its cap",
                            q->name, q->guarantee_gpus, q->cap_gpus);
    }
    return 0;
}

/* ---- the rows */

static uint32_t row_of(const struct tug_core *c, const struct tug_queue *q)
{
    return (uint32_t) (q - c->queues.at);
}

static struct tug_policy_queue make_row(const struct tug_core *c, uint32_t i)
{
    const struct tug_queue *q = &c->queues.at[i];
    const struct tug_queue *parent = *q->parent ? tug_queue_find(c, q->parent) : NULL;
    return (struct tug_policy_queue){.name = q->name,
                                     .parent = parent ? row_of(c, parent) : NO_ROW,
                                     .tier = q->tier,
                                     .priority = q->priority,
                                     .is_leaf = 1,
                                     .weight = q->weight,
                                     .guarantee_gpus = q->guarantee_gpus,
                                     .cap_gpus = q->cap_gpus ? q->cap_gpus : UINT32_MAX,
                                     .may_borrow = !q->no_borrow,
                                     .lends = !q->no_lend};
}

/* A change of what the queue keeps reaches the top, or stops where a queue keeps as much as before.
 */
static void keep(struct tug_core *c, uint32_t row)
{
    for (; row != NO_ROW; row = c->queue_rows.at[row].parent) {
        const struct tug_policy_queue *r = &c->queue_rows.at[row];
        struct tug_queue *q = &c->queues.at[row];
        uint32_t own =
            !r->lends && r->guarantee_gpus > r->gpus_used ? r->guarantee_gpus - r->gpus_used : 0;
        uint32_t kept = own > q->kept_below ? own : q->kept_below;
        uint32_t *sum = r->parent == NO_ROW ? &c->gpus_kept : &c->queues.at[r->parent].kept_below;
        *sum += kept - q->kept;
        q->kept = kept;
    }
}

void tug_queue_rows_renew(struct tug_core *c)
{
    c->queue_rows.len = 0;
    c->gpus_kept = 0;
    for (uint32_t i = 0; i < c->queues.len; i++) {
        tug_vec_push(&c->queue_rows, make_row(c, i));
        c->queues.at[i].kept = c->queues.at[i].kept_below = 0;
    }
    for (uint32_t i = 0; i < c->queue_rows.len; i++)
        if (c->queue_rows.at[i].parent != NO_ROW)
            c->queue_rows.at[c->queue_rows.at[i].parent].is_leaf = 0;
    for (uint32_t i = 0; i < c->queue_rows.len; i++) {
        keep(c, i);
        for (uint32_t up = c->queue_rows.at[i].parent; up != NO_ROW;
             up = c->queue_rows.at[up].parent)
            c->queues.at[i].is_down |= c->queues.at[up].is_down;
    }
}

void tug_queue_row_add(struct tug_core *c)
{
    tug_vec_push(&c->queue_rows, make_row(c, (uint32_t) c->queues.len - 1));
}

const struct tug_policy_queue *tug_queue_rows(const struct tug_core *c, size_t *n)
{
    *n = c->queue_rows.len;
    return c->queue_rows.at;
}

/* ---- what jobs do to them */

void tug_queue_waits(struct tug_core *c, const struct tug_entry *e, int sign)
{
    uint32_t gpus = tug_entry_gpus(e, tug_job_req_all_gpus(&e->j.req));
    for (uint32_t i = e->queue_row; i != NO_ROW; i = c->queue_rows.at[i].parent) {
        struct tug_policy_queue *r = &c->queue_rows.at[i];
        r->n_waiting += (uint32_t) sign;
        r->gpus_wanted += sign > 0 ? gpus : -gpus;
    }
}

void tug_queue_runs(struct tug_core *c, const struct tug_entry *e, int sign)
{
    uint32_t gpus = e->load.gpus;
    uint64_t micro = e->load.micro;
    for (uint32_t i = e->queue_row; i != NO_ROW; i = c->queue_rows.at[i].parent) {
        struct tug_policy_queue *r = &c->queue_rows.at[i];
        struct tug_queue *q = &c->queues.at[i];
        uint32_t before = tug_cut_round(q->micro_used);
        q->micro_used += sign > 0 ? micro : -micro;
        r->n_running += (uint32_t) sign;
        r->gpus_used += (sign > 0 ? gpus : -gpus) + tug_cut_round(q->micro_used) - before;
    }
    if (gpus || micro)
        keep(c, e->queue_row);
}

void tug_queue_holds(struct tug_core *c, const struct tug_entry *e, int sign)
{
    uint32_t gpus = tug_hold_gpus(e);
    for (uint32_t i = e->queue_row; i != NO_ROW; i = c->queue_rows.at[i].parent)
        c->queues.at[i].gpus_held += sign > 0 ? gpus : -gpus;
}

/* ---- what they may */

static uint32_t may_have(const struct tug_policy_queue *r)
{
    return r->may_borrow || r->cap_gpus < r->guarantee_gpus ? r->cap_gpus : r->guarantee_gpus;
}

uint32_t tug_queue_most(const struct tug_core *c, uint32_t row, uint32_t *whose)
{
    uint32_t most = UINT32_MAX;
    *whose = NO_ROW;
    for (uint32_t i = row; i != NO_ROW; i = c->queue_rows.at[i].parent) {
        const struct tug_policy_queue *r = &c->queue_rows.at[i];
        if (may_have(r) < most) {
            most = may_have(r);
            *whose = i;
        }
    }
    return most;
}

/* What the other queues would keep once this one had so many GPUs more. */
static uint32_t kept_by_others(const struct tug_core *c, uint32_t row, uint32_t gpus)
{
    uint32_t kept = 0, was = 0, below = c->queues.at[row].kept_below;
    for (uint32_t i = row; i != NO_ROW; i = c->queue_rows.at[i].parent) {
        const struct tug_policy_queue *r = &c->queue_rows.at[i];
        uint64_t used = (uint64_t) r->gpus_used + gpus;
        uint32_t own =
            !r->lends && r->guarantee_gpus > used ? (uint32_t) (r->guarantee_gpus - used) : 0;
        kept = own > below ? own : below;
        was = c->queues.at[i].kept;
        below =
            (r->parent == NO_ROW ? c->gpus_kept : c->queues.at[r->parent].kept_below) - was + kept;
    }
    return below;
}

/* The first queue that keeps some of its guarantee for itself; it has no job of that queue below
 * it. */
static const struct tug_policy_queue *who_keeps(const struct tug_core *c, uint32_t row)
{
    for (uint32_t i = 0; i < c->queue_rows.len; i++) {
        const struct tug_policy_queue *r = &c->queue_rows.at[i];
        uint32_t up = row;
        while (up != NO_ROW && up != i)
            up = c->queue_rows.at[up].parent;
        if (up == NO_ROW && !r->lends && r->guarantee_gpus > r->gpus_used)
            return r;
    }
    return NULL;
}

static void say(char *why, size_t size_bytes, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void say(char *why, size_t size_bytes, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (why)
        vsnprintf(why, size_bytes, fmt, ap);
    va_end(ap);
}

/* By so many GPUs its use would grow: what it has in slices is rounded up only once. */
static uint32_t more_of(const struct tug_entry *e, const struct tug_queue *q, uint32_t gpus)
{
    uint64_t micro = (uint64_t) e->shape->micro * tug_job_req_all_gpus(&e->j.req);
    if (!micro || e->j.req.exclusive)
        return gpus;
    return tug_cut_round(q->micro_used + micro) - tug_cut_round(q->micro_used);
}

/* The lowest queue, from the job's own up, that may not have so many GPUs more; NO_ROW = none. */
static uint32_t who_is_full(const struct tug_core *c, const struct tug_entry *e, uint32_t gpus)
{
    uint32_t own = tug_hold_gpus(e);
    for (uint32_t i = e->queue_row; i != NO_ROW; i = c->queue_rows.at[i].parent) {
        uint32_t most = may_have(&c->queue_rows.at[i]);
        uint64_t taken = (uint64_t) c->queue_rows.at[i].gpus_used + c->queues.at[i].gpus_held - own;
        if (taken + more_of(e, &c->queues.at[i], gpus) > most)
            return i;
    }
    return NO_ROW;
}

uint32_t tug_queue_needs(const struct tug_entry *e)
{
    uint32_t gpus = 0;
    for (size_t i = 0; i < e->j.n_slices; i++) /* suspended: they are known */
        gpus += tug_gpuset_count(e->j.slices[i].gpus);
    return tug_entry_gpus(e, e->j.n_slices ? gpus : tug_job_req_all_gpus(&e->j.req));
}

/* With 'free' GPUs free, of which it takes so many and has the rest already: the others have what
 * they do not lend, or no less of it than before. So whoever stays within the guarantee of its own
 * queue may always, and so may one for whom all is held. */
static int leaves_enough(const struct tug_core *c, uint32_t row, uint32_t gpus, uint32_t taken,
                         uint32_t free)
{
    uint32_t kept = kept_by_others(c, row, gpus);
    uint32_t had = free > c->gpus_kept ? free : c->gpus_kept;
    return !kept || (uint64_t) kept + taken <= had;
}

int tug_queue_leaves_enough(const struct tug_core *c, const struct tug_entry *e, uint32_t free)
{
    uint32_t gpus = tug_queue_needs(e);
    return e->shape->micro || leaves_enough(c, e->queue_row, gpus, gpus, free);
}

int tug_queue_is_full(const struct tug_core *c, const struct tug_entry *e)
{
    uint32_t gpus = tug_queue_needs(e);
    return gpus && who_is_full(c, e, gpus) != NO_ROW;
}

int tug_queue_will_be_full(const struct tug_core *c, const struct tug_entry *e, uint32_t gpus,
                           const uint32_t *coming)
{
    for (uint32_t i = e->queue_row; i != NO_ROW && gpus; i = c->queue_rows.at[i].parent) {
        const struct tug_policy_queue *r = &c->queue_rows.at[i];
        if ((uint64_t) r->gpus_used + coming[i] + gpus > may_have(r))
            return 1;
    }
    return 0;
}

/* What is held for it is not among the free ones. */
static uint32_t takes_of_free(const struct tug_entry *e, uint32_t gpus)
{
    uint32_t held = 0;
    for (size_t i = 0; e->hold && i < e->hold->n; i++)
        held += tug_gpuset_count(e->hold->have[i].gpus);
    return held < gpus ? gpus - held : 0;
}

int tug_queue_takes(const struct tug_core *c, const struct tug_entry *e, uint32_t gpus, char *why,
                    size_t size_bytes)
{
    if (!gpus)
        return 0;
    uint32_t full = who_is_full(c, e, gpus);
    if (full != NO_ROW) {
        const struct tug_policy_queue *r = &c->queue_rows.at[full];
        uint32_t promised = c->queues.at[full].gpus_held - tug_hold_gpus(e);
        char more[64] = "";
        if (promised)
            snprintf(more, sizeof more, ", and %u that others give way for,", promised);
        if (gpus > may_have(r))
            say(why, size_bytes,
                "needs %u GPUs, but queue '%s' may have %u at most by now: it cannot start; cancel "
                "it and ask for fewer, or ask an administrator for more",
                gpus, r->name, may_have(r));
        else
            say(why, size_bytes, "needs %u GPU%s; queue '%s'%s uses %u%s of the %u that %s", gpus,
                gpus == 1 ? "" : "s", r->name,
                full == e->queue_row ? "" : ", which its own is part of,", r->gpus_used, more,
                may_have(r),
                r->may_borrow || may_have(r) == r->cap_gpus
                    ? "it may have"
                    : "are guaranteed to it, and may not borrow");
        return -EDQUOT;
    }
    if (!c->gpus_kept || e->shape->micro) /* whole GPUs are kept */
        return 0;
    uint32_t kept = kept_by_others(c, e->queue_row, gpus), taken = takes_of_free(e, gpus);
    /* Without room for it anyway, it waits for resources; but one that goes on may be on a node
     * that is being drained. */
    int is_too_much = !e->j.n_slices && gpus <= c->gpus && (uint64_t) kept + gpus > c->gpus;
    if (leaves_enough(c, e->queue_row, gpus, taken, c->gpus_free) ||
        (c->gpus_free < taken && !e->j.n_slices && !is_too_much))
        return 0;
    const struct tug_policy_queue *k = why ? who_keeps(c, e->queue_row) : NULL;
    if (is_too_much)
        say(why, size_bytes,
            "needs %u GPUs; of the %u of all nodes that are up %u are kept for other queues, which "
            "do not lend what is guaranteed to them ('%s': %u): it cannot start unless that "
            "changes",
            gpus, c->gpus, kept, k ? k->name : "?", k ? k->guarantee_gpus : 0);
    else
        say(why, size_bytes,
            "needs %u GPU%s; of the %u free ones %u are kept for other queues, which do not lend "
            "what is guaranteed to them ('%s': %u)",
            gpus, gpus == 1 ? "" : "s", c->gpus_free, kept, k ? k->name : "?",
            k ? k->guarantee_gpus : 0);
    return -EDQUOT;
}

void tug_queue_hold(struct tug_core *c, const struct tug_entry *e)
{
    uint32_t full = who_is_full(c, e, tug_queue_needs(e));
    struct tug_queue *q = &c->queues.at[full == NO_ROW ? e->queue_row : full];
    q->held_at = c->pass;
    q->held_by = e->j.id;
}

tug_job_id tug_queue_held_by(const struct tug_core *c, const struct tug_entry *e)
{
    for (uint32_t i = e->queue_row; i != NO_ROW; i = c->queue_rows.at[i].parent)
        if (c->queues.at[i].held_at == c->pass)
            return c->queues.at[i].held_by;
    return 0;
}

int tug_queue_takes_user(const struct tug_core *c, const struct tug_queue *q, const char *user)
{
    for (uint32_t i = row_of(c, q); i != NO_ROW; i = c->queue_rows.at[i].parent) {
        const char *rest = c->queues.at[i].allow_users, *at;
        size_t len;
        int found = !*rest;
        while (!found && tug_str_split(&rest, ',', &at, &len))
            found = len == strlen(user) && !memcmp(at, user, len);
        if (!found)
            return 0;
    }
    return 1;
}

const struct tug_policy_queue *tug_core_queue_tree(const struct tug_core *c, size_t *n)
{
    return tug_queue_rows(c, n);
}

/* ---- invariants */

static void count(const struct tug_core *c, struct tug_policy_queue *sums, uint64_t *micro)
{
    for (struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id)) {
        int runs = e->charged_ms >= 0, waits = e->bench == TUG_BENCH_ORDER;
        for (uint32_t i = runs || waits ? e->queue_row : NO_ROW; i != NO_ROW;
             i = c->queue_rows.at[i].parent) {
            sums[i].gpus_used += runs ? e->load.gpus : 0;
            micro[i] += runs ? e->load.micro : 0;
            sums[i].gpus_wanted += waits ? tug_entry_gpus(e, tug_job_req_all_gpus(&e->j.req)) : 0;
            sums[i].n_running += (uint32_t) runs;
            sums[i].n_waiting += (uint32_t) waits;
        }
    }
}

/* What the holds of its jobs, and of those below it, will have. */
static uint32_t count_held(const struct tug_core *c, uint32_t row)
{
    uint32_t sum = 0;
    for (const struct tug_entry *e = tug_jobtab_after(&c->jobs, 0); e;
         e = tug_jobtab_after(&c->jobs, e->j.id)) {
        uint32_t i = e->hold ? e->queue_row : NO_ROW;
        while (i != NO_ROW && i != row)
            i = c->queue_rows.at[i].parent;
        sum += i == row ? tug_hold_gpus(e) : 0;
    }
    return sum;
}

/* What the queues below 'row' keep (NO_ROW: all of them), worked out from the top down. */
static uint32_t keep_below(const struct tug_core *c, uint32_t row)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < c->queue_rows.len; i++) {
        const struct tug_policy_queue *r = &c->queue_rows.at[i];
        if (r->parent != row)
            continue;
        uint32_t below = r->is_leaf ? 0 : keep_below(c, i), own = 0;
        if (!r->lends && r->guarantee_gpus > r->gpus_used)
            own = r->guarantee_gpus - r->gpus_used;
        sum += own > below ? own : below;
    }
    return sum;
}

int tug_queue_check(const struct tug_core *c, struct tug_err *err)
{
    if (c->queue_rows.len != c->queues.len)
        return tug_fail(err, -EINVAL, "%zu rows stand for %zu queues", c->queue_rows.len,
                        c->queues.len);
    struct tug_policy_queue *sums = tug_xcalloc(c->queues.len + 1, sizeof *sums);
    uint64_t *micro = tug_xcalloc(c->queues.len + 1, sizeof *micro);
    int rc = 0;
    count(c, sums, micro);
    for (size_t i = 0; i < c->queues.len && !rc; i++) {
        const struct tug_policy_queue *r = &c->queue_rows.at[i], *sum = &sums[i];
        if (r->name != c->queues.at[i].name || r->gpus_used != sum->gpus_used + tug_cut_round(micro[i]) ||
            c->queues.at[i].micro_used != micro[i] ||
            r->gpus_wanted != sum->gpus_wanted || r->n_running != sum->n_running ||
            r->n_waiting != sum->n_waiting)
            rc = tug_fail(err, -EINVAL, "queue '%s': its figures are not the sum of its jobs",
                          c->queues.at[i].name);
    }
    for (uint32_t i = 0; i < c->queues.len && !rc; i++)
        if (count_held(c, i) != c->queues.at[i].gpus_held)
            rc = tug_fail(err, -EINVAL, "queue '%s': what its holds have is not %u GPUs",
                          c->queues.at[i].name, c->queues.at[i].gpus_held);
    free(sums);
    free(micro);
    if (!rc && keep_below(c, NO_ROW) != c->gpus_kept)
        rc = tug_fail(err, -EINVAL, "the queues keep %u GPUs, not %u", keep_below(c, NO_ROW),
                      c->gpus_kept);
    return rc;
}
