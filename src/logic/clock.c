/* clock.c - times of records that were written before the wall clock was put
 *
 * A controller's clock starts at the wall clock and then runs with the machine's: putting the wall clock moves nothing while
 * it runs. The next controller starts at the wall clock as it is by then. Records say against which boot of the machine, and
 * from where, their times counted; in the same boot that gives the difference between the two clocks, and all times move by
 * it: what has passed is what really passed. After another boot, or on another machine, nobody can know, and the
 * wall clock counts. A time that a user gave (--begin) is wall clock, and stays. Layer: logic.
 */
#include "logic/control_int.h"

int64_t tug_ctl_clock_shift(const struct tug_control *c, uint64_t boot, int64_t zero_ms)
{
    return boot && boot == c->conf.clock_boot ? c->conf.clock_zero_ms - zero_ms : 0;
}

/* 0 and below: not yet, or none. */
static void shift(int64_t *at_ms, int64_t by_ms)
{
    if (*at_ms > 0)
        *at_ms += by_ms;
}

void tug_ctl_clock_shift_job(struct tug_job *job, int64_t by_ms)
{
    int64_t *const times[] = {&job->submit_ms,    &job->alloc_ms,   &job->launched_ms, &job->wired_ms, &job->end_ms,
                              &job->limit_ms,     &job->notice_ms, &job->stopping_ms,  &job->suspended_ms, &job->resumed_ms, &job->retry_ms,
                              &job->onhold.since_ms, &job->released_ms, &job->cause.at_ms,  &job->hang.since_ms};

    if (!by_ms)
        return;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        shift(times[i], by_ms);
    if (job->eligible_ms != job->req.begin_ms)
        shift(&job->eligible_ms, by_ms);
    if (job->wants_since_ms != job->req.begin_ms)
        shift(&job->wants_since_ms, by_ms);
    for (size_t i = 0; i < job->n_steps; i++) {
        shift(&job->steps[i].start_ms, by_ms);
        shift(&job->steps[i].end_ms, by_ms);
        shift(&job->steps[i].cause.at_ms, by_ms);
    }
    if (job->visit)
        shift(&job->visit->start_ms, by_ms);
    for (size_t i = 0; i < job->n_attempts; i++) {
        shift(&job->attempts[i].alloc_ms, by_ms);
        shift(&job->attempts[i].launched_ms, by_ms);
        shift(&job->attempts[i].end_ms, by_ms);
        shift(&job->attempts[i].cause.at_ms, by_ms);
    }
}
