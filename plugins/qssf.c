/* qssf.c - quasi shortest service first: an order by predicted run time x GPUs
 *
 * Nobody is asked how long a job will run: it is predicted from how long the user's runs lasted,
 * those of the same name and size first. Source: Helios (SC'21), QSSF, with rolling means in place
 * of its trained model. The key is in GPU-seconds.
 *
 * Memory is bounded: a user that did not run anything for the longest time is forgotten first, and
 * so is the name of a user.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tugline/policy.h>

#define RUNS_MAX        16
#define STEM_BYTES      40
#define QUEUES_MAX      256
#define WAITED_TOO_LONG 1e15 /* more seconds than there are */

struct runs {
    uint32_t n; /* in all */
    float s[RUNS_MAX];
};

struct name {
    uint64_t used; /* the larger, the later */
    uint32_t gpus;
    struct runs runs;
    char stem[STEM_BYTES];
};

struct user {
    uint64_t hash, used;
    uint32_t next; /* in its bucket; row + 1 */
    uint32_t n_names;
    struct runs runs;
    struct name *names;
};

struct mean {
    uint64_t hash, n;
    double sum_s;
};

struct qssf {
    int64_t runs, users_max, names_max, unknown_s, max_wait_ms, period_ms;
    double similar;
    struct user *users;
    size_t n_users;
    uint32_t *buckets; /* row + 1 of the first user; 0 = none */
    size_t n_buckets;  /* a power of 2 */
    struct mean queues[QUEUES_MAX], cluster;
    uint64_t uses;
    int64_t keyed_ms;
    int has_news;
};

enum { RUNS, USERS, NAMES, SIMILAR, UNKNOWN, MAX_WAIT, CALC_PERIOD };
static const struct tug_policy_param params[] = {
    [RUNS] = {.name = "runs",
              .type = TUG_POLICY_INT,
              .fallback = "8",
              .min = 1,
              .max = RUNS_MAX,
              .text = "a prediction is the mean of so many last runs"},
    [USERS] = {.name = "users",
               .type = TUG_POLICY_INT,
               .fallback = "10000",
               .min = 1,
               .max = 1e6,
               .text = "users that are remembered"},
    [NAMES] = {.name = "names",
               .type = TUG_POLICY_INT,
               .fallback = "32",
               .min = 1,
               .max = 1024,
               .text = "job names and sizes that are remembered of each user"},
    [SIMILAR] = {.name = "similar",
                 .type = TUG_POLICY_REAL,
                 .fallback = "0.6",
                 .min = 0,
                 .max = 1,
                 .text = "names count as similar that begin alike for this part of the longer one"},
    [UNKNOWN] = {.name = "unknown",
                 .type = TUG_POLICY_DURATION_S,
                 .fallback = "1h",
                 .min = 1,
                 .max = 3650 * 86400.0,
                 .text =
                     "what is predicted when nothing has ended yet and the job has no time limit"},
    [MAX_WAIT] = {.name = "max_wait",
                  .type = TUG_POLICY_DURATION_S,
                  .fallback = "30d",
                  .min = 1,
                  .max = 3650 * 86400.0,
                  .text = "a job that waited longer goes before all that did not, whatever is "
                          "predicted"},
    [CALC_PERIOD] = {.name = "calc_period",
                     .type = TUG_POLICY_DURATION_S,
                     .fallback = "60s",
                     .min = 1,
                     .max = 86400,
                     .text = "waiting jobs are predicted anew at most so often"},
    {.name = NULL},
};

/* ---- life */

static void qssf_destroy(void *self)
{
    struct qssf *q = self;
    for (size_t i = 0; i < q->n_users; i++)
        free(q->users[i].names);
    free(q->users);
    free(q->buckets);
    free(q);
}

static int qssf_create(void **self, const struct tug_policy_value *values, char *why,
                       size_t why_size)
{
    (void) why;
    (void) why_size;
    struct qssf *q = calloc(1, sizeof *q);
    if (!q)
        return -ENOMEM;
    q->runs = values[RUNS].i;
    q->users_max = values[USERS].i;
    q->names_max = values[NAMES].i;
    q->similar = values[SIMILAR].d;
    q->unknown_s = values[UNKNOWN].i;
    q->max_wait_ms = values[MAX_WAIT].i * 1000;
    q->period_ms = values[CALC_PERIOD].i * 1000;
    q->keyed_ms = INT64_MIN;
    for (q->n_buckets = 64; (int64_t) q->n_buckets < q->users_max;)
        q->n_buckets *= 2;
    q->buckets = calloc(q->n_buckets, sizeof *q->buckets);
    q->users = malloc((size_t) q->users_max * sizeof *q->users);
    if (!q->buckets || !q->users) {
        qssf_destroy(q);
        return -ENOMEM;
    }
    *self = q;
    return 0;
}

/* ---- names */

static uint64_t hash_of(const char *s)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; s && *s; s++)
        h = (h ^ (unsigned char) *s) * 1099511628211u;
    return h;
}

/* What stays of a name from run to run: numbers become one '#'. */
static void stem_of(const char *name, char out[STEM_BYTES])
{
    size_t n = 0;
    for (const char *p = name ? name : ""; *p && n + 1 < STEM_BYTES; p++) {
        if (*p >= '0' && *p <= '9') {
            if (n == 0 || out[n - 1] != '#')
                out[n++] = '#';
        } else {
            out[n++] = *p;
        }
    }
    out[n] = '\0';
}

/* 1 = equal; else the part of the longer one for which they are. */
static double alike(const char *a, const char *b)
{
    size_t n = 0;
    while (a[n] && a[n] == b[n])
        n++;
    size_t x = strlen(a), y = strlen(b), longer = x > y ? x : y;
    return longer ? (double) n / (double) longer : 1;
}

/* ---- what is remembered */

static void add_run(struct runs *r, double s)
{
    r->s[r->n++ % RUNS_MAX] = (float) s;
}

static double mean_of(const struct qssf *q, const struct runs *r)
{
    double sum = 0;
    uint32_t n = r->n < q->runs ? r->n : (uint32_t) q->runs;
    for (uint32_t i = 0; i < n; i++)
        sum += (double) r->s[(r->n - 1 - i) % RUNS_MAX];
    return sum / n;
}

static uint32_t *bucket_of(const struct qssf *q, uint64_t hash)
{
    return &q->buckets[(hash ^ hash >> 32) & (q->n_buckets - 1)];
}

static struct user *find_user(const struct qssf *q, uint64_t hash)
{
    for (uint32_t at = *bucket_of(q, hash); at; at = q->users[at - 1].next)
        if (q->users[at - 1].hash == hash)
            return &q->users[at - 1];
    return NULL;
}

/* A row for one more user; that of the one who was idle longest when there is no other. */
static struct user *room_for_user(struct qssf *q)
{
    if ((int64_t) q->n_users < q->users_max) {
        q->users[q->n_users] = (struct user){0};
        return &q->users[q->n_users++];
    }
    struct user *oldest = &q->users[0];
    for (size_t i = 1; i < q->n_users; i++)
        if (q->users[i].used < oldest->used)
            oldest = &q->users[i];
    uint32_t row = (uint32_t) (oldest - q->users), *at = bucket_of(q, oldest->hash);
    while (*at != row + 1)
        at = &q->users[*at - 1].next;
    *at = oldest->next;
    *oldest = (struct user){.names = oldest->names};
    return oldest;
}

static struct user *user_of(struct qssf *q, const struct tug_policy_job *job)
{
    uint64_t hash = hash_of(job->user);
    struct user *u = find_user(q, hash);
    if (u)
        return u;
    u = room_for_user(q);
    if (!u->names)
        u->names = malloc((size_t) q->names_max * sizeof *u->names);
    u->hash = hash;
    uint32_t *bucket = bucket_of(q, hash);
    u->next = *bucket;
    *bucket = (uint32_t) (u - q->users) + 1;
    return u;
}

static struct name *name_of(const struct qssf *q, struct user *u, const char *stem, uint32_t gpus)
{
    struct name *oldest = &u->names[0];
    for (uint32_t i = 0; i < u->n_names; i++) {
        struct name *x = &u->names[i];
        if (x->gpus == gpus && !strcmp(x->stem, stem))
            return x;
        if (x->used < oldest->used)
            oldest = x;
    }
    struct name *x = (int64_t) u->n_names < q->names_max ? &u->names[u->n_names++] : oldest;
    *x = (struct name){.gpus = gpus};
    memcpy(x->stem, stem, STEM_BYTES);
    return x;
}

static struct mean *queue_of(struct qssf *q, const char *name)
{
    uint64_t hash = hash_of(name);
    for (size_t i = 0; i < QUEUES_MAX; i++) {
        struct mean *m = &q->queues[(hash + i) % QUEUES_MAX];
        if (m->hash == hash || !m->n) {
            m->hash = hash;
            return m;
        }
    }
    return &q->cluster;
}

static int remember(struct qssf *q, const struct tug_policy_job *job)
{
    char stem[STEM_BYTES] = {0};
    double s = (double) job->ran_ms / 1000;
    struct user *u = user_of(q, job);
    if (!u->names)
        return -ENOMEM;
    stem_of(job->name, stem);
    struct name *n = name_of(q, u, stem, job->gpus);
    n->used = u->used = ++q->uses;
    add_run(&n->runs, s);
    add_run(&u->runs, s);
    struct mean *m = queue_of(q, job->queue);
    m->n++;
    m->sum_s += s;
    if (m != &q->cluster) {
        q->cluster.n++;
        q->cluster.sum_s += s;
    }
    q->has_news = 1;
    return 0;
}

static int qssf_observe(void *self, const struct tug_policy_view *view,
                        const struct tug_policy_event *events, size_t n, size_t stride)
{
    (void) view;
    for (size_t i = 0; i < n; i++) {
        const struct tug_policy_event *e =
            (const struct tug_policy_event *) ((const char *) events + i * stride);
        int rc = e->type == TUG_POLICY_EV_END && e->job.ran_ms > 0 ? remember(self, &e->job) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- prediction */

/* The runs that the job is most like: same name and size, same name, similar name. NULL: none. */
static const struct name *most_like(const struct qssf *q, const struct user *u,
                                    const struct tug_policy_job *job)
{
    char stem[STEM_BYTES];
    const struct name *best = NULL;
    double best_score = 0;
    stem_of(job->name, stem);
    for (uint32_t i = 0; i < u->n_names; i++) {
        const struct name *x = &u->names[i];
        double score = alike(stem, x->stem);
        if (score < 1 && score < q->similar)
            continue;
        if (x->gpus == job->gpus)
            score += 0.5; /* a size in common is worth half a name */
        if (score > best_score || (best && score == best_score && x->used > best->used)) {
            best = x;
            best_score = score;
        }
    }
    return best;
}

/* What a prediction comes from: the first that there is. */
struct source {
    const struct name *name; /* of the user's runs those of this name, */
    const struct user *user; /* or all of them */
    const struct mean *mean; /* of the queue, or the cluster */
    int is_limit;            /* the time limit; else what is predicted for unknown ones */
};

static double predicted_s(struct qssf *q, const struct tug_policy_job *job, struct source *from)
{
    *from = (struct source){0};
    const struct user *u = find_user(q, hash_of(job->user));
    if (u && u->runs.n) {
        from->name = most_like(q, u, job);
        from->user = u;
        return mean_of(q, from->name ? &from->name->runs : &u->runs);
    }
    const struct mean *m = queue_of(q, job->queue);
    if (!m->n)
        m = &q->cluster;
    if (m->n) {
        from->mean = m;
        return m->sum_s / (double) m->n;
    }
    from->is_limit = job->time_limit_ms > 0;
    return from->is_limit ? (double) job->time_limit_ms / 1000 : (double) q->unknown_s;
}

static int waited_too_long(const struct qssf *q, const struct tug_policy_view *view,
                           int64_t since_ms)
{
    return view->now_ms - since_ms > q->max_wait_ms;
}

static double qssf_key(void *self, const struct tug_policy_view *view,
                       const struct tug_policy_job *job)
{
    const struct qssf *q = self;
    int64_t since_ms = job->eligible_ms > job->submit_ms ? job->eligible_ms : job->submit_ms;
    struct source from;
    if (waited_too_long(q, view, since_ms))
        return (double) since_ms / 1000 - WAITED_TOO_LONG;
    return predicted_s(self, job, &from) * (job->gpus ? job->gpus : 1);
}

static void say_source(const struct qssf *q, const struct source *from, const char *user,
                       char *text, size_t size)
{
    uint32_t n = !from->user ? 0 : from->name ? from->name->runs.n : from->user->runs.n;
    uint32_t last = n < q->runs ? n : (uint32_t) q->runs;
    if (from->name)
        snprintf(text, size, "the mean of %.32s's last %u run%s like '%s'", user, last,
                 last == 1 ? "" : "s", from->name->stem);
    else if (from->user)
        snprintf(text, size, "the mean of %.32s's last %u run%s", user, last, last == 1 ? "" : "s");
    else if (from->mean)
        snprintf(text, size, "the mean of all that ended in %s",
                 from->mean == &q->cluster ? "the cluster" : "its queue");
    else
        snprintf(text, size, "%s", from->is_limit ? "its time limit" : "nothing has ended yet");
}

static int qssf_why(void *self, const struct tug_policy_view *view,
                    const struct tug_policy_job *job, char *text, size_t size)
{
    struct qssf *q = self;
    struct source from;
    char source[160];
    double s = predicted_s(q, job, &from);
    if (waited_too_long(q, view,
                        job->eligible_ms > job->submit_ms ? job->eligible_ms : job->submit_ms)) {
        snprintf(text, size, "has waited longer than max_wait (%lld s) and goes before all others",
                 (long long) (q->max_wait_ms / 1000));
        return 0;
    }
    say_source(q, &from, job->user, source, sizeof source);
    snprintf(text, size, "predicted to need %.0f GPU-seconds: %.0f s (%s) x %u GPU%s",
             s * (job->gpus ? job->gpus : 1), s, source, job->gpus ? job->gpus : 1,
             job->gpus > 1 ? "s" : "");
    return 0;
}

static int qssf_rekey(void *self, const struct tug_policy_view *view)
{
    struct qssf *q = self;
    if (!q->has_news || (q->keyed_ms != INT64_MIN && view->now_ms - q->keyed_ms < q->period_ms))
        return 0;
    q->has_news = 0;
    q->keyed_ms = view->now_ms;
    return 1;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "qssf",
    .summary = "order by GPU-seconds predicted from the user's history (QSSF of Helios)",
    .params = params,
    .create = qssf_create,
    .destroy = qssf_destroy,
    .key = qssf_key,
    .rekey = qssf_rekey,
    .observe = qssf_observe,
    .observes = 1u << TUG_POLICY_EV_END,
    .why = qssf_why,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
