/* requeue.c - is a job run again, when, and what became of its attempts
 *
 * After the loss of a node, after an end that the job asked for (--requeue-on) and after a hang (--on-hang) it is, so often
 * at most, and each time after a longer back-off. One limit for all three: whatever a job does to nodes, it stops. What is
 * not its own failure does not count: that it gave way (preempt_max), that it could not be launched (launch_retries), that
 * somebody asked for it. An attempt that ran for long had begun well: the back-off starts anew after it, the limit does not.
 * Back-offs are not spread by chance, as nothing is overrun when many end at once: who starts is for a pass to say.
 * Layer: core.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/exitset.h"
#include "core/state.h"

#define BACKOFF_MAX_S 600  /* it grows to that, or is what was asked for if that is longer */
#define RAN_WELL_MS   (600 * 1000)

int tug_requeue_may(const struct tug_entry *e)
{
    return e->j.req.requeue && !e->j.req.interactive;
}

int tug_requeue_wants(const struct tug_entry *e, const struct tug_cause *cause)
{
    struct tug_exitset on;
    const char *list = e->j.req.requeue_on;
    return cause->kind == TUG_CAUSE_RANK && list && *list && tug_exitset_parse(list, &on, NULL) == 0 &&
           tug_exitset_has(&on, cause->exit.code, cause->exit.signal);
}

/* 0 = what the cluster says, UINT32_MAX = 0 */
static uint32_t said(uint32_t asked, uint32_t ours)
{
    return asked == UINT32_MAX ? 0 : asked ? asked : ours;
}

uint32_t tug_core_max_requeues(const struct tug_core *c, const struct tug_job *j)
{
    return said(j->req.max_requeues, c->max_requeues);
}

uint32_t tug_core_requeue_delay_s(const struct tug_core *c, const struct tug_job *j)
{
    return said(j->req.requeue_delay_s, c->requeue_delay_s);
}

/* Of the n-th failure in a row, from 1. */
static int64_t backoff_s(const struct tug_core *c, const struct tug_job *j, uint32_t n)
{
    int64_t first = tug_core_requeue_delay_s(c, j);
    int64_t most = first > BACKOFF_MAX_S ? first : BACKOFF_MAX_S, s = first;
    for (uint32_t i = 1; i < n && s && s < most; i++)
        s *= 2;
    return s < most ? s : most;
}

int tug_requeue_failed(struct tug_core *c, struct tug_entry *e, struct tug_cause *cause, char *buf, size_t size_bytes)
{
    struct tug_job *j = &e->j;
    uint32_t most = tug_core_max_requeues(c, j);
    if (!tug_requeue_may(e))
        return 0;
    if (j->failures >= most) {
        snprintf(buf, size_bytes, most ? "%.180s; it was run again %u times already, and is not once more (max_requeues)"
                                       : "%.180s; it is not run again (max_requeues is 0)",
                 cause->text ? cause->text : tug_cause_kind_name(cause->kind), most);
        cause->text = buf;
        return 0;
    }
    int64_t run_ms = tug_job_run_start_ms(j);
    if (j->sliced_ms + (run_ms >= 0 ? tug_since(c, run_ms) : 0) >= RAN_WELL_MS)
        j->backoffs = 0;
    j->failures++;
    j->backoffs++;
    int64_t wait_s = backoff_s(c, j, j->backoffs);
    j->retry_ms = wait_s ? c->now_ms + wait_s * 1000 : -1;
    tug_job_requeue(c, e, cause);
    return 1;
}

void tug_requeue_restored(const struct tug_core *c, struct tug_job *j)
{
    int64_t most_ms = c->now_ms + backoff_s(c, j, j->backoffs) * 1000;
    if (j->retry_ms > most_ms)
        j->retry_ms = most_ms;
}

/* ---- attempts */

static int counts(const struct tug_cause *cause)
{
    return cause->kind == TUG_CAUSE_RANK || cause->kind == TUG_CAUSE_NODE || cause->kind == TUG_CAUSE_HANG ||
           cause->kind == TUG_CAUSE_LINK;
}

void tug_requeue_keep(struct tug_core *c, struct tug_job *j)
{
    if (j->n_attempts == TUG_ATTEMPTS_MAX) {
        tug_cause_clear(&j->attempts[0].cause);
        for (size_t i = 1; i < j->n_attempts; i++)
            j->attempts[i - 1] = j->attempts[i];
        j->n_attempts--;
    }
    j->attempts = tug_xrealloc(j->attempts, (j->n_attempts + 1) * sizeof *j->attempts);
    struct tug_attempt *a = &j->attempts[j->n_attempts++];
    *a = (struct tug_attempt){.attempt = j->attempt,
                              .alloc_ms = j->alloc_ms,
                              .launched_ms = j->launched_ms,
                              .end_ms = tug_not_before(c, j->alloc_ms),
                              .counts = (uint8_t) (j->launched_ms >= 0 && counts(&j->cause))};
    tug_cause_set(&a->cause, &j->cause);
    if (a->cause.kind != TUG_CAUSE_RANK)
        a->cause.exit = j->exit; /* its epilogs may come later than the next attempt */
}

void tug_requeue_forget(struct tug_job *j)
{
    for (size_t i = 0; i < j->n_attempts; i++)
        tug_cause_clear(&j->attempts[i].cause);
    free(j->attempts);
    j->attempts = NULL;
    j->n_attempts = 0;
}

void tug_requeue_copy(struct tug_job *to, const struct tug_job *from)
{
    to->n_attempts = from->n_attempts;
    to->attempts = from->n_attempts ? tug_xmemdup(from->attempts, from->n_attempts * sizeof *from->attempts) : NULL;
    for (size_t i = 0; i < to->n_attempts; i++)
        to->attempts[i].cause.text = tug_xstrdup(from->attempts[i].cause.text);
}
