/* multifactor.c - an order by priority: a weighted sum of age, fair share, size, queue, nice
 *
 *     priority = weight_age * age + weight_fairshare * fairshare + weight_size * size
 *              + weight_queue * queue - weight_nice * nice
 *
 * after Slurm's priority/multifactor (age, fair share, job size, partition, nice); the first four
 * are in [0, 1]. The key is -priority. All keys are as of one instant, the last calculation, so
 * that a job that came later is compared with what the others were then: between two calculations
 * the order is the right one except for ages that reach max_age.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tugline/policy.h>

enum favor { LARGE, SMALL, NEUTRAL };

struct multifactor {
    double age, fairshare, size, queue, nice; /* weights */
    int64_t max_age_ms, period_ms;
    enum favor favor;
    int64_t as_of_ms; /* of all keys; -1 = there are none */
    int is_stale;
    double queue_low, queue_high; /* priorities of queues */
};

enum { W_AGE, W_FAIRSHARE, W_SIZE, W_QUEUE, W_NICE, MAX_AGE, FAVOR, CALC_PERIOD };
#define WEIGHT(name_, fallback_, text_)                                                            \
    {                                                                                              \
        .name = name_, .type = TUG_POLICY_REAL, .fallback = fallback_, .min = 0, .max = 1e9,       \
        .text = text_                                                                              \
    }
static const struct tug_policy_param params[] = {
    [W_AGE] = WEIGHT("weight_age", "1000", "weight of the time a job has waited, 1 at max_age"),
    [W_FAIRSHARE] = WEIGHT("weight_fairshare", "10000",
                           "weight of the user's place in the fair tree, 1 = goes first"),
    [W_SIZE] = WEIGHT("weight_size", "0", "weight of the part of the cluster that a job asks for"),
    [W_QUEUE] =
        WEIGHT("weight_queue", "100000", "weight of the queue's priority, 1 = that of the highest"),
    [W_NICE] = WEIGHT("weight_nice", "1", "what one step of nice takes away"),
    [MAX_AGE] = {.name = "max_age",
                 .type = TUG_POLICY_DURATION_S,
                 .fallback = "7d",
                 .min = 1,
                 .max = 3650 * 86400.0,
                 .text = "waiting longer than this does not raise the priority any more"},
    [FAVOR] = {.name = "favor",
               .type = TUG_POLICY_STRING,
               .fallback = "large",
               .min = 1,
               .max = 0,
               .text = "which sizes weight_size is for: large, small, or neutral"},
    [CALC_PERIOD] = {.name = "calc_period",
                     .type = TUG_POLICY_DURATION_S,
                     .fallback = "60s",
                     .min = 1,
                     .max = 86400,
                     .text = "how often the priorities of all waiting jobs are worked out anew"},
    {.name = NULL},
};

static int read_favor(const char *text, enum favor *out)
{
    static const char *const words[] = {
        [LARGE] = "large", [SMALL] = "small", [NEUTRAL] = "neutral"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, words[i])) {
            *out = (enum favor) i;
            return 0;
        }
    return -EINVAL;
}

static int multifactor_create(void **self, const struct tug_policy_value *values, char *why,
                              size_t why_size)
{
    struct multifactor *m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    *m = (struct multifactor){.age = values[W_AGE].d,
                              .fairshare = values[W_FAIRSHARE].d,
                              .size = values[W_SIZE].d,
                              .queue = values[W_QUEUE].d,
                              .nice = values[W_NICE].d,
                              .max_age_ms = values[MAX_AGE].i * 1000,
                              .period_ms = values[CALC_PERIOD].i * 1000,
                              .as_of_ms = -1};
    if (read_favor(values[FAVOR].s, &m->favor)) {
        snprintf(why, why_size, "favor: '%.40s' is neither large nor small nor neutral",
                 values[FAVOR].s);
        free(m);
        return -EINVAL;
    }
    *self = m;
    return 0;
}

static void multifactor_destroy(void *self)
{
    free(self);
}

/* ---- when */

/* Queues and shares may have other weights now. */
static int multifactor_observe(void *self, const struct tug_policy_view *view,
                               const struct tug_policy_event *events, size_t n, size_t stride)
{
    struct multifactor *m = self;
    (void) view;
    for (size_t i = 0; i < n; i++)
        m->is_stale |=
            ((const struct tug_policy_event *) ((const char *) events + i * stride))->type ==
            TUG_POLICY_EV_CONFIG;
    return 0;
}

static void begin(struct multifactor *m, const struct tug_policy_view *view)
{
    m->as_of_ms = view->now_ms;
    m->is_stale = 0;
    m->queue_low = m->queue_high = 0;
    for (size_t i = 0; TUG_POLICY_HAS(view, queues_stride) && i < view->n_queues; i++) {
        const struct tug_policy_queue *q = TUG_POLICY_QUEUE(view, i);
        if (i == 0 || q->priority < m->queue_low)
            m->queue_low = q->priority;
        if (i == 0 || q->priority > m->queue_high)
            m->queue_high = q->priority;
    }
}

static int multifactor_rekey(void *self, const struct tug_policy_view *view)
{
    struct multifactor *m = self;
    if (m->as_of_ms >= 0 && !m->is_stale && view->now_ms - m->as_of_ms < m->period_ms)
        return 0;
    begin(m, view);
    return 1;
}

/* ---- the factors */

static double at_most_1(double x)
{
    return x < 1 ? x : 1;
}

/* Below 0 for jobs that came after the last calculation; see above. */
static double age_of(const struct multifactor *m, const struct tug_policy_job *job)
{
    int64_t since_ms = job->eligible_ms > job->submit_ms ? job->eligible_ms : job->submit_ms;
    return at_most_1((double) (m->as_of_ms - since_ms) / (double) m->max_age_ms);
}

static double fairshare_of(const struct tug_policy_view *view, const struct tug_policy_job *job)
{
    if (!TUG_POLICY_HAS(view, shares_stride) || job->share_row >= view->n_shares)
        return 0;
    return TUG_POLICY_SHARE(view, job->share_row)->factor;
}

static double size_of(const struct multifactor *m, const struct tug_policy_view *view,
                      const struct tug_policy_job *job)
{
    if (m->favor == NEUTRAL || !view->n_nodes)
        return 0;
    double gpus = view->gpus ? (double) job->gpus / view->gpus : 0;
    double cpus =
        !TUG_POLICY_HAS(view, cpus) || !view->cpus
            ? 0
            : ((double) job->cpus_per_node * (job->nodes - 1) + job->cpus_last) / view->cpus;
    double nodes = (double) job->nodes / (double) view->n_nodes;
    double part = (at_most_1(nodes) + at_most_1(gpus > cpus ? gpus : cpus)) / 2;
    return m->favor == LARGE ? part : 1 - part;
}

static double queue_of(const struct multifactor *m, const struct tug_policy_view *view,
                       const struct tug_policy_job *job)
{
    if (m->queue_high <= m->queue_low || job->queue_row >= view->n_queues)
        return 0;
    double priority = TUG_POLICY_QUEUE(view, job->queue_row)->priority;
    return (priority - m->queue_low) / (m->queue_high - m->queue_low);
}

static double multifactor_key(void *self, const struct tug_policy_view *view,
                              const struct tug_policy_job *job)
{
    struct multifactor *m = self;
    if (m->as_of_ms < 0)
        begin(m, view);
    return -(m->age * age_of(m, job) + m->fairshare * fairshare_of(view, job) +
             m->size * size_of(m, view, job) + m->queue * queue_of(m, view, job) -
             m->nice * job->nice);
}

/* ---- to be read */

static void add_term(char *text, size_t size, double weight, const char *name, double value)
{
    size_t len = strlen(text);
    int is_first = len && text[len - 1] == ' ', is_minus = value <= -0.5;
    if (weight != 0 && len < size)
        snprintf(text + len, size - len, "%s%s %s%.0f",
                 is_first   ? ""
                 : is_minus ? " - "
                            : " + ",
                 name, is_first && is_minus ? "-" : "", fabs(value));
}

/* Of the users: the one with the largest factor has rank 1. */
static void add_rank(char *text, size_t size, const struct tug_policy_view *view,
                     const struct tug_policy_job *job)
{
    size_t len = strlen(text), users = 0, rank = 1;
    if (!TUG_POLICY_HAS(view, shares_stride) || job->share_row >= view->n_shares)
        return;
    double mine = TUG_POLICY_SHARE(view, job->share_row)->factor;
    for (size_t i = 0; i < view->n_shares; i++) {
        const struct tug_policy_share *s = TUG_POLICY_SHARE(view, i);
        users += s->is_user;
        rank += s->is_user && s->factor > mine;
    }
    snprintf(text + len, size - len, " (rank %zu of %zu)", rank, users);
}

/* As of the last calculation, but for what the users have used since. */
static int multifactor_why(void *self, const struct tug_policy_view *view,
                           const struct tug_policy_job *job, char *text, size_t size)
{
    const struct multifactor *m = self;
    double age = m->age * age_of(m, job), fairshare = m->fairshare * fairshare_of(view, job),
           part = m->size * size_of(m, view, job), queue = m->queue * queue_of(m, view, job),
           nice = -m->nice * job->nice;
    if (m->as_of_ms < 0)
        return -EAGAIN;
    snprintf(text, size, "priority %.0f: ", age + fairshare + part + queue + nice);
    add_term(text, size, m->age, "age", age);
    add_term(text, size, m->fairshare, "fair share", fairshare);
    if (m->fairshare != 0)
        add_rank(text, size, view, job);
    add_term(text, size, m->size, "size", part);
    add_term(text, size, m->queue, "queue", queue);
    add_term(text, size, job->nice ? m->nice : 0, "nice", nice);
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "multifactor",
    .summary = "order by a weighted sum of age, fair share, size, queue and nice",
    .params = params,
    .needs = TUG_POLICY_NEEDS_SHARES,
    .create = multifactor_create,
    .destroy = multifactor_destroy,
    .key = multifactor_key,
    .rekey = multifactor_rekey,
    .observe = multifactor_observe,
    .observes = 1u << TUG_POLICY_EV_CONFIG,
    .why = multifactor_why,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
