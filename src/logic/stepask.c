/* stepask.c - which nodes of its job, and how many ranks, a further step gets
 *
 * A step asks in the words of a job (-N, -n, --ntasks-per-node, -w, -x). What it does not say is as
 * its job has it; what its job does not have is refused. GPUs are not divided between steps: each
 * sees all that its job holds on its nodes, and who asks for another number is told. Layer: logic.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostlist.h"
#include "base/mem.h"
#include "base/str.h"
#include "logic/control_int.h"

static const char *name_at(const struct tug_control *c, const struct tug_job *job, size_t slice)
{
    struct tug_core_node n;

    tug_core_node(c->core, job->slices[slice].node, &n);
    return n.name;
}

static int has(const struct tug_control *c, const struct tug_job *job, const char *name)
{
    for (size_t i = 0; i < job->n_slices; i++)
        if (!strcmp(name_at(c, job, i), name))
            return 1;
    return 0;
}

/* The slices that --nodelist and --exclude leave, in on[]; how many in *n. */
static int take_hosts(const struct tug_control *c, const struct tug_job *job,
                      const Tugpb__ResourceRequest *r, uint32_t *on, size_t *n, struct tug_err *err)
{
    struct tug_hostlist *only = NULL, *not = NULL;
    int rc = *r->nodelist ? tug_hostlist_parse(r->nodelist, &only, err) : 0;

    if (rc == 0 && *r->exclude)
        rc = tug_hostlist_parse(r->exclude, &not, err);
    for (size_t i = 0; rc == 0 && only && i < tug_hostlist_count(only); i++)
        if (!has(c, job, tug_hostlist_nth(only, i)))
            rc = tug_fail(err, -EINVAL,
                          "node %s is not one of job %llu's; a step runs on nodes of its job",
                          tug_hostlist_nth(only, i), (unsigned long long) job->id);
    *n = 0;
    for (size_t i = 0; rc == 0 && i < job->n_slices; i++)
        if ((!only || tug_hostlist_contains(only, name_at(c, job, i))) &&
            !(not &&tug_hostlist_contains(not, name_at(c, job, i))))
            on[(*n)++] = (uint32_t) i;
    tug_hostlist_free(only);
    tug_hostlist_free(not );
    return rc;
}

static uint32_t ranks_of_job(const struct tug_job *job, const uint32_t *on, size_t n)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += job->slices[on[i]].ntasks;
    return sum ? sum : (uint32_t) n;
}

static int count_ranks(const struct tug_job *job, const Tugpb__ResourceRequest *r,
                       struct ctl_step_ask *ask, struct tug_err *err)
{
    size_t n = ask->n_on;
    uint32_t per = r->tasks_per_node;

    if (r->nodes > n)
        return tug_fail(err, -EINVAL, "the step asks for %u nodes, and job %llu has %zu for it",
                        r->nodes, (unsigned long long) job->id, n);
    if (n == 0)
        return tug_fail(err, -EINVAL, "--exclude leaves the step no node of job %llu",
                        (unsigned long long) job->id);
    if (r->nodes)
        n = r->nodes;
    else if (per && r->ntasks && (r->ntasks - 1) / per + 1 < n)
        n = (r->ntasks - 1) / per + 1;
    if (r->ntasks && r->ntasks < n && r->nodes == 0)
        n = r->ntasks;
    if (per && (uint64_t) per * n > UINT32_MAX)
        return tug_fail(err, -EINVAL, "%u ranks on each of %zu nodes are too many", per, n);
    ask->n_on = n;
    ask->ntasks = r->ntasks ? r->ntasks : per ? per * (uint32_t) n : ranks_of_job(job, ask->on, n);
    if (ask->ntasks < n)
        return tug_fail(err, -EINVAL, "%u ranks cannot be on %zu nodes: each has one at least",
                        ask->ntasks, n);
    if (per && ask->ntasks > (uint64_t) per * n)
        return tug_fail(err, -EINVAL, "%u ranks are more than %u on each of %zu nodes", ask->ntasks,
                        per, n);
    return 0;
}

/* GPUs that the step wants of its nodes, against those that it sees there. */
static int check_gpus(const struct tug_control *c, const struct tug_job *job,
                      const Tugpb__ResourceRequest *r, struct ctl_step_ask *ask,
                      struct tug_err *err)
{
    uint64_t want = r->gpus, sees = 0;

    for (size_t i = 0; i < ask->n_on; i++) {
        unsigned here = tug_gpuset_count(job->slices[ask->on[i]].gpus);

        sees += here;
        if (r->gpus_per_node > here)
            return tug_fail(
                err, -EINVAL, "the step asks for %u GPUs per node, and job %llu holds %u on %s",
                r->gpus_per_node, (unsigned long long) job->id, here, name_at(c, job, ask->on[i]));
    }
    if (!want)
        want = r->gpus_per_task ? (uint64_t) r->gpus_per_task * ask->ntasks
                                : (uint64_t) r->gpus_per_node * ask->n_on;
    if (want > sees)
        return tug_fail(err, -EINVAL,
                        "the step asks for %llu GPUs, and job %llu holds %llu on its %zu node%s",
                        (unsigned long long) want, (unsigned long long) job->id,
                        (unsigned long long) sees, ask->n_on, ask->n_on == 1 ? "" : "s");
    ask->narrows = want && want < sees;
    return 0;
}

int tug_ctl_step_ask(const struct tug_control *c, const struct tug_job *job,
                     const Tugpb__ResourceRequest *r, struct ctl_step_ask *out, struct tug_err *err)
{
    int rc;

    *out = (struct ctl_step_ask){0};
    if (!r || job->n_slices == 0) /* the core says what is wrong with a job that holds nothing */
        return 0;
    out->on = tug_xcalloc(job->n_slices, sizeof *out->on);
    rc = take_hosts(c, job, r, out->on, &out->n_on, err);
    if (rc == 0)
        rc = count_ranks(job, r, out, err);
    if (rc == 0)
        rc = check_gpus(c, job, r, out, err);
    if (rc) {
        free(out->on);
        out->on = NULL;
    }
    return rc;
}
