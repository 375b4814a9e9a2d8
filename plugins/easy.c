/* easy.c - EASY backfill: in order, and past the first job that waits whatever does not delay it
 *
 * Lifka, "The ANL/IBM SP scheduling system" (1995), counted in GPUs, CPUs and memory of each node
 * rather than in whole nodes. The first job that has to wait gets a reservation: nodes that the
 * host's plan keeps for it from when they are expected to be free. A job behind it starts now where
 * that does not delay it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <tugline/policy.h>

struct easy {
    int64_t depth, reservations;
    char delays[160]; /* what is said to a job that would delay another */
};

static const struct tug_policy_param params[] = {
    {.name = "depth",
     .type = TUG_POLICY_INT,
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .text = "how many jobs behind the first that waits are looked at; 0 = all"},
    {.name = "reservations",
     .type = TUG_POLICY_INT,
     .fallback = "1",
     .min = 1,
     .max = 1e6,
     .text = "so many of the first jobs that have to wait are not delayed by those behind them"},
    {.name = NULL},
};

static int easy_create(void **self, const struct tug_policy_value *values, char *why,
                       size_t why_size)
{
    (void) why;
    (void) why_size;
    struct easy *e = calloc(1, sizeof *e);
    if (!e)
        return -ENOMEM;
    e->depth = values[0].i;
    e->reservations = values[1].i;
    *self = e;
    return 0;
}

static void easy_destroy(void *self)
{
    free(self);
}

/* Days since 1970 to a date: Hinnant, "chrono-compatible low-level date algorithms". */
static void print_utc(char *buf, size_t size, int64_t ms)
{
    int64_t s = ms / 1000, days = s / 86400, rest = s % 86400;
    int64_t z = days + 719468, era = z / 146097, doe = z % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;
    snprintf(buf, size,
             "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64 ":%02" PRId64 "Z",
             yoe + era * 400 + (month <= 2), month, doy - (153 * mp + 2) / 5 + 1, rest / 3600,
             rest / 60 % 60, rest % 60);
}

/* A job that has to wait gets a reservation: 0, or -E2BIG. */
static int reserve(struct easy *e, const struct tug_policy_host *host, struct tug_policy_pass *pass,
                   uint64_t job, int64_t n)
{
    char when[64] = "a time that nobody knows";
    int64_t start_ms;
    int rc = host->reserve(pass, job, &start_ms);
    if (rc == 0)
        print_utc(when, sizeof when, start_ms);
    if (n == 0)
        snprintf(e->delays, sizeof e->delays, "would delay job %" PRIu64 ", which starts at %s",
                 job, when);
    else
        snprintf(e->delays, sizeof e->delays,
                 "would delay one of the first %" PRId64 " jobs that wait", n + 1);
    host->explain(pass, job, TUG_REASON_RESOURCES, NULL);
    return rc == -E2BIG ? rc : 0;
}

static void explain(const struct easy *e, const struct tug_policy_host *host,
                    struct tug_policy_pass *pass, uint64_t job, int rc)
{
    if (host->explains && rc == -EAGAIN)
        host->explain(pass, job, TUG_REASON_RESOURCES, NULL);
    else if (host->explains && rc == -EBUSY)
        host->explain(pass, job, TUG_REASON_PRIORITY, e->delays);
}

/* From row i on, behind the jobs that have reservations. */
static void backfill(const struct easy *e, const struct tug_policy_view *view,
                     const struct tug_policy_host *host, struct tug_policy_pass *pass, size_t i,
                     size_t end)
{
    int rc = 0;
    for (i = host->next(pass, i); i < end && rc != -E2BIG; i = host->next(pass, i + 1)) {
        uint64_t job = TUG_POLICY_WAITING(view, i)->id;
        rc = host->backfill(pass, job);
        explain(e, host, pass, job, rc);
    }
}

static int easy_pass(void *self, const struct tug_policy_view *view,
                     const struct tug_policy_host *host, struct tug_policy_pass *pass)
{
    struct easy *e = self;
    int64_t reserved = 0;
    size_t end = view->n_waiting, i;
    if (!TUG_POLICY_HAS(host, next))
        return -ENOTSUP;
    for (i = 0; i < end && reserved < e->reservations; i++) {
        uint64_t job = TUG_POLICY_WAITING(view, i)->id;
        int rc = reserved ? host->backfill(pass, job) : host->start(pass, job);
        if (rc == -E2BIG)
            return 0;
        if (rc != -EAGAIN && rc != -EBUSY)
            continue;
        if (!reserved && e->depth && (uint64_t) e->depth < end - i - 1)
            end = i + 1 + (size_t) e->depth;
        /* Not with a depth: whoever is looked at and cannot be started leaves the rows, which counts
         * for it. */
        if (!host->explains && !e->depth && host->next(pass, i + 1) >= end)
            return 0; /* nobody to let past, and nobody asks when this one starts */
        if (reserve(e, host, pass, job, reserved++) == -E2BIG)
            return 0;
    }
    backfill(e, view, host, pass, i, end);
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "easy",
    .summary = "in order, with backfill that does not delay the first job that waits",
    .params = params,
    .create = easy_create,
    .destroy = easy_destroy,
    .pass = easy_pass,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
