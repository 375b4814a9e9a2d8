/* launchpoints.c - tuglaunch's part of points.c: its steps have the names of the core's. Layer: tests. */
#include "points.h"

#include "launch/noded.h"
#include "launch/step.h"

WRAP(tug_steps_start);
int __wrap_tug_steps_start(struct tug_steps *s, const uint8_t order[TUG_ORDER_LEN], const uint8_t *signature,
                           int payload_fd, struct tug_step **out, struct tug_err *err)
{
    crash_pass(STEPS_START, 0, BEFORE);
    int rc = __real_tug_steps_start(s, order, signature, payload_fd, out, err);
    crash_pass(STEPS_START, 0, AFTER);
    return rc;
}

WRAP(tug_noded_tell);
void __wrap_tug_noded_tell(struct tug_noded *n, struct tug_steps *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->at[i].phase == TUG_STEP_GONE && !s->at[i].told)
            crash_pass(STEPS_GONE, 0, BEFORE);
    __real_tug_noded_tell(n, s);
}

WRAP(tug_steps_told);
void __wrap_tug_steps_told(struct tug_steps *s, struct tug_step *step)
{
    crash_pass(STEPS_TOLD, 0, BEFORE);
    __real_tug_steps_told(s, step);
}
