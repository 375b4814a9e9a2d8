/* filter.c - which jobs a request is about
 *
 * The same for lists and for whatever is done to jobs. A job's state is matched as it is shown. Layer: logic.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "logic/control_int.h"

static int in_list(char *const *list, size_t n, const char *a, const char *b)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], a) == 0 || (b && strcmp(list[i], b) == 0))
            return 1;
    return n == 0;
}

int tug_ctl_filter_takes(const Tugpb__JobsRequest *f, const struct tug_job *job)
{
    char uid[16];

    if (tug_job_state_is_over(job->state) && !f->ended && f->n_states == 0 && f->n_ids == 0)
        return 0;
    if (f->n_users) {
        snprintf(uid, sizeof uid, "%u", job->req.uid);
        if (!in_list(f->users, f->n_users, job->req.user ? job->req.user : "", uid))
            return 0;
    }
    if (!in_list(f->queues, f->n_queues, job->req.queue, NULL))
        return 0;
    if (!in_list(f->states, f->n_states, tug_job_shown_state(job), tug_job_shown_code(job)))
        return 0;
    if (f->name[0] && strcmp(f->name, job->req.name ? job->req.name : "") != 0)
        return 0;
    for (size_t i = 0; i < f->n_ids; i++)
        if (f->ids[i] == job->id)
            return 1;
    return f->n_ids == 0;
}

int tug_ctl_filter_check(const Tugpb__JobsRequest *f, struct tug_err *err)
{
    const char *names[TUG_JOB_SHOWN];

    for (int i = 0; i < TUG_JOB_SHOWN; i++)
        names[i] = tug_job_shown_name((enum tug_job_shown) i);
    for (size_t i = 0; i < f->n_states; i++)
        if (tug_job_shown_parse(f->states[i]) < 0) {
            const char *near = tug_str_nearest(f->states[i], names, TUG_JOB_SHOWN);

            return tug_fail(err, -EINVAL, "there is no job state '%s'%s%s%s", f->states[i],
                            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
    return 0;
}
