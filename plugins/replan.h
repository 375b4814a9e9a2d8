/* replan.h - where jobs would go if the whole cluster were given out anew, and getting there
 *
 * For policies that decide at every event who runs (srtf, srsf, las): put() each job in order,
 * running ones too, then carry_out() stops what does not run where it was put and starts the
 * others, as far as what they need is free by now; the rest starts in a later pass, when those that
 * were stopped are gone. Compiled into each of these policies.
 */
#ifndef REPLAN_H
#define REPLAN_H

#include <tugline/policy.h>

/* Waiting, and running. */
struct replan_job {
    const struct tug_policy_job *job;
    int runs;
};

struct replan; /* opaque */

struct replan *replan_new(void); /* NULL: no memory */
void replan_free(struct replan *r);

/* From an empty cluster. What may not be stopped now (its minimum run time, its queue) keeps its
 * place and is put first, by itself; put() leaves it alone. 0 or -ENOMEM, -ENOTSUP. */
int replan_begin(struct replan *r, const struct tug_policy_view *view,
                 const struct tug_policy_host *host, struct tug_policy_pass *pass);
/* First fit: whole slices on the first nodes with room, a smaller last slice on the first other
 * one; no queue beyond its cap. 'stays': a running job keeps its place while that is free, and a
 * waiting one goes where nobody has to be stopped, if it can. 1 = has a place (kept or new), 0 =
 * does not fit, or -ENOMEM.
 */
int replan_put(struct replan *r, const struct replan_job *job, int stays);
/* GPUs that are not given out yet. */
uint32_t replan_gpus_left(const struct replan *r);
/* Stop, start, explain what was put and has to wait for those that leave. 0 or what preempt() said.
 */
int replan_carry_out(struct replan *r);

#endif
