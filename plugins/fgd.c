/* fgd.c - where the least is wasted: fragmentation gradient descent, and the scores it is compared
 * with
 *
 * Weng et al., "Beware of Fragmentation" (ATC 2023). The typical shapes of the workload say what a
 * free GPU is good for: F of a node is the part of its idle GPUs, in thousandths, that a job drawn
 * from them could not use, and a job goes where F grows least. A shape is what a job wants of one
 * node, so a gang over several nodes counts once for each and takes the nodes with the best scores.
 *
 * Scores are whole numbers up to 100, so equal ones are common; they go to the first node of an
 * order that is drawn once. bestfit leaves the least CPU and GPU free, packing goes to GPUs in
 * parts, then to nodes in use, random anywhere.
 *
 * A score hangs on the node and on what the job wants of it alone, and is kept until the node
 * changes. Of equal ones, nodes that failed lately come last. Two nodes whose link failed are not
 * taken together, unless the gang finds no place otherwise.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tugline/policy.h>

#define WHOLE      1000u /* thousandths of a GPU */
#define GPUS_MAX   64u
#define SHAPES_MAX 512u /* that are told apart; what comes after is not learnt */
#define WANTS_MAX  256u /* kinds of jobs whose scores are kept */
#define MODEL_MAX  64
#define NO_FIT     (-1)
#define APART_MAX  64u /* nodes that are not taken beside another one; of more, some are */

enum mode { FGD, BESTFIT, PACKING, RANDOM, MODES };
static const char *const modes[MODES] = {"fgd", "bestfit", "packing", "random"};

struct shape { /* what a job wants of one node */
    uint32_t cpus, gpus, milli;
    char model[MODEL_MAX]; /* "" = any */
    double count;
    double part; /* of the typical ones; 0 = is none of them */
};

struct node { /* as it was when it was last looked at */
    uint32_t cpus_free, n_gpus;
    uint16_t milli[GPUS_MAX];
    uint64_t version; /* grows with each change */
    double f;
    uint64_t f_at; /* version that f is of */
};

struct want { /* scores of one kind of job, one for each node */
    uint32_t cpus, gpus, milli;
    int8_t *score;
    uint64_t *at; /* version of the node that it is of */
    uint64_t used;
};

struct fgd {
    enum mode mode;
    double coverage;
    struct shape shapes[SHAPES_MAX];
    size_t n_shapes;
    struct shape *typical[SHAPES_MAX]; /* most frequent first */
    size_t n_typical;
    double seen, learnt; /* counts now, and when the typical ones were last chosen */
    struct node *nodes;
    uint32_t *order; /* nodes as they were drawn */
    size_t n_nodes;
    uint64_t versions;
    struct want wants[WANTS_MAX];
    uint64_t uses;
    int *scores; /* scratch: of each node, for one job: twice its score, and one for having not failed */
};

enum { P_SCORE, P_COVERAGE, P_TYPICAL };
static const struct tug_policy_param params[] = {
    [P_SCORE] = {"score", TUG_POLICY_STRING, "fgd", 1, 0,
                 "what a place is judged by: fgd, bestfit, packing or random"},
    [P_COVERAGE] = {"coverage", TUG_POLICY_REAL, "0.95", 0, 1,
                    "the most frequent shapes that make up this part of the jobs are typical"},
    [P_TYPICAL] = {"typical", TUG_POLICY_STRING, "", 1, 0,
                   "shapes to begin with, as CPUS/GPUS/THOUSANDTHS[/MODEL]*COUNT with commas in "
                   "between; those of submitted jobs are added"},
    {0},
};

/* ---- the typical shapes */

static int by_count(const void *a, const void *b)
{
    const struct shape *x = *(struct shape *const *) a, *y = *(struct shape *const *) b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x < y ? -1 : x > y;
}

static void choose_typical(struct fgd *f)
{
    double covered = 0, all = 0;
    for (size_t i = 0; i < f->n_shapes; i++) {
        f->typical[i] = &f->shapes[i];
        f->shapes[i].part = 0;
        all += f->shapes[i].count;
    }
    if (f->n_shapes)
        qsort(f->typical, f->n_shapes, sizeof *f->typical, by_count);
    f->n_typical = 0;
    while (f->n_typical < f->n_shapes && covered < f->coverage * all)
        covered += f->typical[f->n_typical++]->count;
    for (size_t i = 0; i < f->n_typical; i++)
        f->typical[i]->part = f->typical[i]->count / covered;
    f->learnt = f->seen;
    for (size_t i = 0; i < f->n_nodes; i++)
        f->nodes[i].version = ++f->versions; /* no score is right any more */
}

static void add_shape(struct fgd *f, uint32_t cpus, uint32_t gpus, uint32_t milli,
                      const char *model, double count)
{
    size_t i = 0;
    f->seen += count;
    for (; i < f->n_shapes; i++) {
        const struct shape *s = &f->shapes[i];
        if (s->cpus == cpus && s->gpus == gpus && s->milli == milli && !strcmp(s->model, model))
            break;
    }
    if (i == SHAPES_MAX)
        return;
    if (i == f->n_shapes) {
        f->shapes[f->n_shapes++] = (struct shape){.cpus = cpus, .gpus = gpus, .milli = milli};
        snprintf(f->shapes[i].model, MODEL_MAX, "%s", model);
    }
    f->shapes[i].count += count;
}

static int bad_typical(const char *at, char *why, size_t why_size)
{
    snprintf(why, why_size, "typical: '%.40s' is not CPUS/GPUS/THOUSANDTHS[/MODEL]*COUNT", at);
    return -EINVAL;
}

static int read_typical(struct fgd *f, const char *text, char *why, size_t why_size)
{
    while (*text) {
        unsigned cpus, gpus, milli, count;
        char model[MODEL_MAX] = "";
        int len = 0;
        if (sscanf(text, "%u/%u/%u%n", &cpus, &gpus, &milli, &len) < 3 || milli > WHOLE)
            return bad_typical(text, why, why_size);
        const char *at = text + len;
        if (*at == '/') {
            size_t n = strcspn(++at, "*");
            if (n == 0 || n >= MODEL_MAX)
                return bad_typical(text, why, why_size);
            memcpy(model, at, n);
            at += n;
        }
        if (sscanf(at, "*%u%n", &count, &len) < 1)
            return bad_typical(text, why, why_size);
        at += len;
        if (*at && (*at != ',' || !at[1]))
            return bad_typical(text, why, why_size);
        add_shape(f, cpus, gpus, gpus ? milli : 0, model, count);
        text = *at ? at + 1 : at;
    }
    return 0;
}

static void fgd_destroy(void *self)
{
    struct fgd *f = self;
    if (!f)
        return;
    for (size_t i = 0; i < WANTS_MAX; i++) {
        free(f->wants[i].score);
        free(f->wants[i].at);
    }
    free(f->nodes);
    free(f->order);
    free(f->scores);
    free(f);
}

static int fgd_create(void **self, const struct tug_policy_value *values, char *why,
                      size_t why_size)
{
    struct fgd *f = calloc(1, sizeof *f);
    if (!f)
        return -ENOMEM;
    while (f->mode < MODES && strcmp(values[P_SCORE].s, modes[f->mode]))
        f->mode++;
    f->coverage = values[P_COVERAGE].d;
    int rc = 0;
    if (f->mode == MODES) {
        snprintf(why, why_size, "score: '%.40s' is none of fgd, bestfit, packing and random",
                 values[P_SCORE].s);
        rc = -EINVAL;
    }
    if (!rc)
        rc = read_typical(f, values[P_TYPICAL].s, why, why_size);
    if (rc) {
        fgd_destroy(f);
        return rc;
    }
    choose_typical(f);
    *self = f;
    return 0;
}

/* ---- what is free */

static int is_word(char ch)
{
    return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

static int begins_with(const char *text, const char *word, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char a = text[i], b = word[i];
        a = (char) (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a);
        b = (char) (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b);
        if (a != b)
            return 0;
    }
    return 1;
}

/* As the core: one of the alternatives stands in the model as whole words, in any letter case. */
static int model_fits(const char *model, const char *asked)
{
    if (!*asked || !*model)
        return 1;
    for (const char *at = asked; *at;) {
        size_t n = strcspn(at, "|");
        for (const char *p = model; n && *p; p++)
            if (begins_with(p, at, n) && (p == model || !is_word(p[-1])) && !is_word(p[n]))
                return 1;
        at += n + (at[n] == '|');
    }
    return 0;
}

static int make_nodes(struct fgd *f, const struct tug_policy_view *view)
{
    size_t n = view->n_nodes;
    for (size_t i = 0; i < WANTS_MAX; i++) {
        free(f->wants[i].score);
        free(f->wants[i].at);
        f->wants[i] = (struct want){0};
    }
    free(f->nodes);
    free(f->order);
    free(f->scores);
    f->n_nodes = 0;
    f->nodes = calloc(n, sizeof *f->nodes);
    f->order = calloc(n, sizeof *f->order);
    f->scores = calloc(n, sizeof *f->scores);
    if (!f->nodes || !f->order || !f->scores)
        return -ENOMEM;
    f->n_nodes = n;
    return 0;
}

static void draw_order(struct fgd *f, const struct tug_policy_host *host,
                       struct tug_policy_pass *pass)
{
    for (uint32_t i = 0; i < f->n_nodes; i++)
        f->order[i] = i;
    for (size_t i = f->n_nodes; i > 1; i--) {
        size_t k = (size_t) (host->random(pass) % i);
        uint32_t other = f->order[k];
        f->order[k] = f->order[i - 1];
        f->order[i - 1] = other;
    }
}

/* Nodes as they are now; a change makes a new version. */
static void look(struct fgd *f, const struct tug_policy_view *view)
{
    for (size_t i = 0; i < f->n_nodes; i++) {
        const struct tug_policy_node *x = TUG_POLICY_NODE(view, i);
        struct node *n = &f->nodes[i];
        uint32_t gpus = x->gpus < GPUS_MAX ? x->gpus : GPUS_MAX;
        if (n->version && n->cpus_free == x->cpus_free && n->n_gpus == gpus &&
            !memcmp(n->milli, x->gpu_milli_free, gpus * sizeof *n->milli))
            continue;
        n->cpus_free = x->cpus_free;
        n->n_gpus = gpus;
        memcpy(n->milli, x->gpu_milli_free, gpus * sizeof *n->milli);
        n->version = ++f->versions;
    }
}

/* ---- F */

/* Thousandths of the node's idle GPUs that this shape cannot use. */
static uint32_t unusable(const struct node *n, const struct shape *s, int model_ok)
{
    uint32_t idle = 0, small = 0, fit = 0;
    for (uint32_t i = 0; i < n->n_gpus; i++) {
        idle += n->milli[i];
        small += n->milli[i] < s->milli ? n->milli[i] : 0;
        fit += n->milli[i] >= s->milli;
    }
    if (!s->gpus || !model_ok || n->cpus_free < s->cpus || fit < s->gpus)
        return idle;
    return small;
}

static double f_of(const struct fgd *f, const struct node *n, const char *model)
{
    double sum = 0;
    for (size_t i = 0; i < f->n_typical; i++) {
        const struct shape *s = f->typical[i];
        sum += s->part * unusable(n, s, model_fits(model, s->model));
    }
    return sum;
}

/* ---- scores; NO_FIT: the GPUs do not suffice */

static uint32_t free_whole(const struct node *n)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n->n_gpus; i++)
        count += n->milli[i] == WHOLE;
    return count;
}

static int fits(const struct node *n, const struct want *w)
{
    if (n->cpus_free < w->cpus)
        return 0;
    if (!w->gpus || w->milli == WHOLE)
        return free_whole(n) >= w->gpus;
    for (uint32_t i = 0; i < n->n_gpus; i++)
        if (n->milli[i] >= w->milli)
            return 1;
    return 0;
}

/* What is left once the job is there, whole GPUs from the lowest on. */
static struct node after_whole(const struct node *n, const struct want *w)
{
    struct node left = *n;
    uint32_t gpus = w->gpus;
    left.cpus_free -= w->cpus;
    for (uint32_t i = 0; i < left.n_gpus && gpus; i++)
        if (left.milli[i] == WHOLE) {
            left.milli[i] = 0;
            gpus--;
        }
    return left;
}

static int fgd_points(double before, double after)
{
    return (int) (100 / (1 + exp(-(before - after) / WHOLE)));
}

/* *gpu: of a part, the GPU that it should be of. */
static int score_fgd(const struct fgd *f, struct node *n, const struct want *w, const char *model,
                     uint32_t *gpu)
{
    int best = NO_FIT;
    if (n->f_at != n->version) {
        n->f = f_of(f, n, model);
        n->f_at = n->version;
    }
    if (!w->gpus || w->milli == WHOLE) {
        struct node left = after_whole(n, w);
        return fgd_points(n->f, f_of(f, &left, model));
    }
    for (uint32_t i = 0; i < n->n_gpus; i++) {
        if (n->milli[i] < w->milli)
            continue;
        struct node left = *n;
        left.cpus_free -= w->cpus;
        left.milli[i] = (uint16_t) (left.milli[i] - w->milli);
        int points = fgd_points(n->f, f_of(f, &left, model));
        if (points <= best)
            continue;
        best = points;
        *gpu = i;
    }
    return best;
}

/* The GPU that a part leaves the least of. */
static uint32_t tightest(const struct node *n, uint32_t milli)
{
    uint32_t best = GPUS_MAX;
    for (uint32_t i = 0; i < n->n_gpus; i++)
        if (n->milli[i] >= milli && (best == GPUS_MAX || n->milli[i] < n->milli[best]))
            best = i;
    return best;
}

static int score_bestfit(const struct node *n, const struct want *w)
{
    uint32_t idle = 0;
    for (uint32_t i = 0; i < n->n_gpus; i++)
        idle += n->milli[i];
    double cpus_left = n->cpus_free - w->cpus, gpus_left = idle - w->gpus * w->milli;
    double points = 100 * (1 - .5 * cpus_left / 128000 - .5 * gpus_left / 8000);
    return points > 0 ? (int) points : 0;
}

static int score_packing(const struct node *n, const struct want *w)
{
    uint32_t whole = free_whole(n), gpu = tightest(n, w->milli);
    if (w->gpus && w->milli < WHOLE && n->milli[gpu] < WHOLE) {
        int left = (int) (n->milli[gpu] / 10);
        return left < 50 ? 100 - left : 50;
    }
    if (!w->gpus)
        return 0;
    if (whole < n->n_gpus)
        return 50 - (int) (whole < 17 ? whole : 17);
    return 33 - (int) (whole < 33 ? whole : 33);
}

static int score(const struct fgd *f, struct node *n, const struct want *w, const char *model,
                 uint32_t *gpu)
{
    if (!fits(n, w))
        return NO_FIT;
    if (w->gpus && w->milli < WHOLE)
        *gpu = tightest(n, w->milli);
    switch (f->mode) {
    case FGD:
        return score_fgd(f, n, w, model, gpu);
    case BESTFIT:
        return score_bestfit(n, w);
    case PACKING:
        return score_packing(n, w);
    default:
        return 0;
    }
}

/* The row of scores for jobs that want this; the one that was not used for longest gives way. */
static struct want *want_of(struct fgd *f, uint32_t cpus, uint32_t gpus, uint32_t milli)
{
    struct want *oldest = &f->wants[0];
    f->uses++;
    for (size_t i = 0; i < WANTS_MAX; i++) {
        struct want *w = &f->wants[i];
        if (w->score && w->cpus == cpus && w->gpus == gpus && w->milli == milli) {
            w->used = f->uses;
            return w;
        }
        if (w->used < oldest->used)
            oldest = w;
    }
    if (!oldest->score) {
        oldest->score = calloc(f->n_nodes, sizeof *oldest->score);
        oldest->at = calloc(f->n_nodes, sizeof *oldest->at);
    }
    if (!oldest->score || !oldest->at)
        return NULL;
    memset(oldest->at, 0, f->n_nodes * sizeof *oldest->at);
    oldest->cpus = cpus;
    oldest->gpus = gpus;
    oldest->milli = milli;
    oldest->used = f->uses;
    return oldest;
}

/* ---- placing */

static uint32_t any_gpu(const struct node *n, uint32_t milli, const struct tug_policy_host *host,
                        struct tug_policy_pass *pass)
{
    uint32_t gpu = 0, seen = 0;
    for (uint32_t i = 0; i < n->n_gpus; i++)
        if (n->milli[i] >= milli && host->random(pass) % ++seen == 0)
            gpu = i;
    return gpu;
}

static uint64_t gpus_at(const struct fgd *f, const struct tug_policy_view *view,
                        const struct tug_policy_host *host, struct tug_policy_pass *pass,
                        uint32_t node, const struct want *w)
{
    const struct tug_policy_node *x = TUG_POLICY_NODE(view, node);
    uint32_t gpu = 0;
    uint64_t set = 0, from = x->gpus_free;
    if (w->gpus && w->milli < WHOLE && f->mode == RANDOM)
        return 1ULL << any_gpu(&f->nodes[node], w->milli, host, pass);
    if (w->gpus && w->milli < WHOLE) {
        score(f, &f->nodes[node], w, x->gpu_model, &gpu);
        return 1ULL << gpu;
    }
    for (uint32_t i = 0; i < w->gpus; i++, from &= from - 1)
        set |= from & -from;
    return set;
}

/* The best node that is not taken; f->scores of all that come into question are filled in. */
static int best_node(const struct fgd *f, const struct tug_policy_host *host,
                     struct tug_policy_pass *pass, uint32_t *node)
{
    int best = NO_FIT;
    uint32_t n_best = 0;
    for (size_t i = 0; i < f->n_nodes; i++) {
        int s = f->scores[f->order[i]];
        if (s == NO_FIT || s < best)
            continue;
        n_best = s > best ? 1 : n_best + 1;
        /* of equal ones the first, or any of them */
        if (s > best || (f->mode == RANDOM && host->random(pass) % n_best == 0))
            *node = f->order[i];
        best = s;
    }
    return best == NO_FIT ? -EAGAIN : 0;
}

static int has_failed(const struct tug_policy_host *host, struct tug_policy_pass *pass, uint32_t node)
{
    return TUG_POLICY_HAS(host, failures) && host->failures(pass, node) > 0;
}

/* It is no choice any more, nor are those that a gang on it should not be on. */
static void take(struct fgd *f, const struct tug_policy_host *host, struct tug_policy_pass *pass,
                 uint32_t node, int apart)
{
    uint32_t others[APART_MAX], n = 0;
    f->scores[node] = NO_FIT;
    if (apart && TUG_POLICY_HAS(host, apart_from))
        n = host->apart_from(pass, node, 0, others, APART_MAX);
    for (uint32_t i = 0; i < n && i < APART_MAX; i++)
        f->scores[others[i]] = NO_FIT;
}

static int score_all(struct fgd *f, const struct tug_policy_view *view,
                     const struct tug_policy_host *host, struct tug_policy_pass *pass,
                     const struct tug_policy_job *job, const struct want *w,
                     const struct tug_policy_slice *taken, size_t n_taken, int apart)
{
    for (uint32_t i = 0; i < f->n_nodes; i++) {
        const struct tug_policy_node *x = TUG_POLICY_NODE(view, i);
        uint32_t gpu;
        f->scores[i] = NO_FIT;
        if (!x->usable || x->mem_free_bytes < job->mem_per_node_bytes ||
            (job->exclusive && x->cpus_free < x->cpus))
            continue;
        if (w->at[i] != f->nodes[i].version) {
            w->score[i] = (int8_t) score(f, &f->nodes[i], w, x->gpu_model, &gpu);
            w->at[i] = f->nodes[i].version;
        }
        if (w->score[i] != NO_FIT && host->may_use(pass, job->id, i))
            f->scores[i] = 2 * w->score[i] + !has_failed(host, pass, i);
    }
    for (size_t i = 0; i < n_taken; i++)
        take(f, host, pass, taken[i].node, apart);
    return 0;
}

static int place_gang(struct fgd *f, const struct tug_policy_view *view,
                      const struct tug_policy_host *host, struct tug_policy_pass *pass,
                      const struct tug_policy_job *job, struct tug_policy_slice *at, size_t n, int apart)
{
    for (size_t i = 0; i < n; i++) {
        int last = i + 1 == n;
        uint32_t gpus = last ? job->gpus_last : job->gpus_per_node;
        struct want *w =
            want_of(f, last ? job->cpus_last : job->cpus_per_node, gpus, gpus ? job->gpu_milli : 0);
        if (!w)
            return -ENOMEM;
        if (i == 0 || last)
            score_all(f, view, host, pass, job, w, at, i, apart);
        if (best_node(f, host, pass, &at[i].node))
            return -EAGAIN;
        at[i].gpus = gpus_at(f, view, host, pass, at[i].node, w);
        take(f, host, pass, at[i].node, apart);
    }
    return 0;
}

static int fgd_place(void *self, const struct tug_policy_view *view,
                     const struct tug_policy_host *host, struct tug_policy_pass *pass,
                     const struct tug_policy_job *job, struct tug_policy_slice *at, size_t n)
{
    struct fgd *f = self;
    if (f->n_nodes != view->n_nodes) {
        if (make_nodes(f, view))
            return -ENOMEM;
        draw_order(f, host, pass);
    }
    look(f, view);
    int rc = place_gang(f, view, host, pass, job, at, n, n > 1);
    return rc == -EAGAIN && n > 1 ? place_gang(f, view, host, pass, job, at, n, 0) : rc;
}

/* What is typical is chosen anew once a tenth more has been seen. */
static int fgd_observe(void *self, const struct tug_policy_view *view,
                       const struct tug_policy_event *events, size_t n, size_t stride)
{
    struct fgd *f = self;
    (void) view;
    for (size_t i = 0; i < n; i++) {
        const struct tug_policy_event *ev = (const void *) ((const char *) events + i * stride);
        if (ev->type != TUG_POLICY_EV_SUBMIT)
            continue;
        const struct tug_policy_job *j = &ev->job;
        uint32_t milli = j->gpus ? j->gpu_milli : 0;
        if (j->nodes > 1)
            add_shape(f, j->cpus_per_node, j->gpus_per_node, milli, j->gpu_model, j->nodes - 1);
        add_shape(f, j->cpus_last, j->gpus_last, milli, j->gpu_model, 1);
    }
    if (f->seen > f->learnt * 1.1)
        choose_typical(f);
    return 0;
}

static const struct tug_policy_ops ops = {
    .size = sizeof ops,
    .abi = TUG_POLICY_ABI,
    .name = "fgd",
    .summary = "places jobs where they leave the least of the GPUs unusable",
    .params = params,
    .create = fgd_create,
    .destroy = fgd_destroy,
    .place = fgd_place,
    .observe = fgd_observe,
    .observes = 1u << TUG_POLICY_EV_SUBMIT,
};

const struct tug_policy_ops *tug_policy(void)
{
    return &ops;
}
