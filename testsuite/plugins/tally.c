/* tally.c - a policy for tests that counts what it is told: a job whose user has ended more jobs
 * goes first. With 'file' it writes the counts there whenever it is told something.
 *
 * A real policy writes no file; this one does so that tests can see what it was told.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tugline/policy.h>

struct tally {
    char *file;
    uint64_t of[TUG_POLICY_EV_CONFIG + 1];
    uint64_t ended_of[1024]; /* by uid, as far as that goes */
};

static const struct tug_policy_param params[] = {
    {.name = "depth",
     .type = TUG_POLICY_INT,
     .fallback = "1",
     .min = 0,
     .max = 9,
     .text = "unused"},
    {.name = "file",
     .type = TUG_POLICY_STRING,
     .fallback = "",
     .min = 1,
     .max = 0,
     .text = "where to write what it was told"},
    {.name = NULL},
};

static int tally_create(void **self, const struct tug_policy_value *v, char *why, size_t why_size)
{
    (void) why;
    (void) why_size;
    struct tally *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->file = strdup(v[1].s);
    *self = t;
    return 0;
}

static void tally_destroy(void *self)
{
    struct tally *t = self;
    free(t->file);
    free(t);
}

static double tally_key(void *self, const struct tug_policy_view *view,
                        const struct tug_policy_job *job)
{
    const struct tally *t = self;
    (void) view;
    return -(double) t->ended_of[job->uid % 1024];
}

static void write_down(const struct tally *t)
{
    FILE *f = *t->file ? fopen(t->file, "w") : NULL;
    if (!f)
        return;
    fprintf(f, "submit=%llu start=%llu end=%llu\n",
            (unsigned long long) t->of[TUG_POLICY_EV_SUBMIT],
            (unsigned long long) t->of[TUG_POLICY_EV_START],
            (unsigned long long) t->of[TUG_POLICY_EV_END]);
    fclose(f);
}

static int tally_observe(void *self, const struct tug_policy_view *view,
                         const struct tug_policy_event *events, size_t n, size_t stride)
{
    struct tally *t = self;
    (void) view;
    for (size_t i = 0; i < n; i++) {
        const struct tug_policy_event *ev =
            (const struct tug_policy_event *) (const void *) ((const char *) events + i * stride);
        t->of[ev->type]++;
        if (ev->type == TUG_POLICY_EV_END)
            t->ended_of[ev->job.uid % 1024]++;
    }
    write_down(t);
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "tally",
    .summary = "counts what it is told",
    .params = params,
    .create = tally_create,
    .destroy = tally_destroy,
    .key = tally_key,
    .observe = tally_observe,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
