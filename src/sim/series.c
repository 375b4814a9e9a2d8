/* series.c - what plots, tables per user and comparisons need, collected while a simulation runs
 *
 * Always: 'waiting', 'wanted_gpus' and 'used_gpus' are those at sum.last_ms; all before that is in
 * the buckets. Layer: sim.
 */
#include "sim/series.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

#include <uthash.h>

const char *const tug_series_size_names[TUG_SERIES_SIZES] = {"1", "2-8", "9-32", "33-64", "65+"};

struct tug_series_live {
    UT_hash_handle hh;
    int64_t submit_ms, first_start_ms, start_ms, ran_ms; /* start_ms: -1 while it waits */
    uint32_t gpus, stops;
    size_t user, row;
    size_t n_slices;
    struct tug_series_slice *slices;
    char *queue;
    char id[];
};

struct tug_series_by_name {
    UT_hash_handle hh;
    size_t user;
    char name[];
};

/* ---- histograms: 32 equal steps to each power of two */

static size_t step_of(int64_t ms)
{
    uint64_t v = ms > 0 ? (uint64_t) ms : 0;
    if (v < 32)
        return (size_t) v;
    int e = 63 - __builtin_clzll(v);
    return 32 * (size_t) (e - 4) + ((v >> (e - 5)) & 31);
}

/* The largest value of that step. */
static int64_t top_of(size_t step)
{
    if (step < 32)
        return (int64_t) step;
    int e = (int) (step / 32) + 4;
    return (int64_t) (((33 + step % 32) << (e - 5)) - 1);
}

static void count(struct tug_series_hist *h, int64_t ms)
{
    h->n++;
    h->sum_s += (double) ms / 1000;
    h->count[step_of(ms)]++;
    if (ms > h->max_ms)
        h->max_ms = ms;
}

double tug_series_quantile_s(const struct tug_series_hist *h, double q)
{
    uint64_t want = (uint64_t) (q * (double) h->n), seen = 0;
    if (h->n == 0)
        return 0;
    for (size_t i = 0; i < TUG_SERIES_HIST; i++) {
        seen += h->count[i];
        if (seen > want || seen == h->n)
            return (double) (top_of(i) < h->max_ms ? top_of(i) : h->max_ms) / 1000;
    }
    return (double) h->max_ms / 1000;
}

uint64_t tug_series_up_to(const struct tug_series_hist *h, int64_t ms)
{
    uint64_t n = 0;
    for (size_t i = 0; i < TUG_SERIES_HIST && top_of(i) <= ms; i++)
        n += h->count[i];
    return ms >= h->max_ms ? h->n : n;
}

void tug_series_hist_sum(const struct tug_series *s, struct tug_series_hist *all)
{
    memset(all, 0, sizeof *all);
    for (int k = 0; k < TUG_SERIES_SIZES; k++) {
        const struct tug_series_hist *h = &s->sum.wait[k];
        all->n += h->n;
        all->sum_s += h->sum_s;
        if (h->max_ms > all->max_ms)
            all->max_ms = h->max_ms;
        for (size_t i = 0; i < TUG_SERIES_HIST; i++)
            all->count[i] += h->count[i];
    }
}

int tug_series_size_of(uint32_t gpus)
{
    return gpus <= 1 ? 0 : gpus <= 8 ? 1 : gpus <= 32 ? 2 : gpus <= 64 ? 3 : 4;
}

/* ---- time */

/* Twice as much time in as many buckets. */
static void widen(struct tug_series_sum *m)
{
    for (size_t i = 0; i < TUG_SERIES_BUCKETS / 2; i++) {
        const struct tug_series_bucket *a = &m->bucket[2 * i], *b = a + 1;
        m->bucket[i] = (struct tug_series_bucket){
            a->waiting_ms + b->waiting_ms, a->wanted_gpu_ms + b->wanted_gpu_ms,
            a->used_gpu_ms + b->used_gpu_ms, a->there_ms + b->there_ms};
    }
    memset(&m->bucket[TUG_SERIES_BUCKETS / 2], 0, TUG_SERIES_BUCKETS / 2 * sizeof *m->bucket);
    m->width_ms *= 2;
}

static void advance(struct tug_series *s, int64_t to_ms)
{
    struct tug_series_sum *m = &s->sum;
    if (!s->has_begun) {
        s->has_begun = 1;
        m->origin_ms = m->last_ms = to_ms;
        m->width_ms = 1000;
    }
    while (to_ms - m->origin_ms > m->width_ms * TUG_SERIES_BUCKETS)
        widen(m);
    while (m->last_ms < to_ms) {
        int64_t i = (m->last_ms - m->origin_ms) / m->width_ms;
        int64_t end_ms = m->origin_ms + (i + 1) * m->width_ms;
        double part = (double) ((end_ms < to_ms ? end_ms : to_ms) - m->last_ms);
        struct tug_series_bucket *b = &m->bucket[i];
        b->there_ms += part;
        b->waiting_ms += part * (double) s->waiting;
        b->wanted_gpu_ms += part * (double) s->wanted_gpus;
        b->used_gpu_ms += part * (double) s->used_gpus;
        m->last_ms = end_ms < to_ms ? end_ms : to_ms;
    }
}

/* ---- users */

static size_t user_of(struct tug_series *s, const char *name)
{
    struct tug_series_by_name *row;
    HASH_FIND_STR(s->by_name, name, row);
    if (row)
        return row->user;
    if (s->users.len > TUG_SERIES_USERS_MAX)
        return TUG_SERIES_USERS_MAX; /* the last row is all others' */
    int others = s->users.len == TUG_SERIES_USERS_MAX;
    struct tug_series_user user = {.name = tug_xstrdup(others ? "(all others)" : name)};
    tug_vec_push(&s->users, user);
    if (others)
        return TUG_SERIES_USERS_MAX;
    size_t len = strlen(name) + 1;
    row = tug_xcalloc(1, sizeof *row + len);
    memcpy(row->name, name, len);
    row->user = s->users.len - 1;
    HASH_ADD_STR(s->by_name, name, row);
    return row->user;
}

double tug_series_slowdown(const struct tug_series *s)
{
    return s->sum.ended ? s->sum.slowdown / (double) s->sum.ended : 0;
}

/* ---- bars of the Gantt chart: the largest are kept */

static long double area_of(const struct tug_series_bar *b)
{
    return (long double) (b->end_ms - b->start_ms) * b->gpus;
}

static bool is_smaller(const struct tug_heap_node *a, const struct tug_heap_node *b)
{
    const struct tug_series_bar *x = tug_heap_entry(a, struct tug_series_bar, area),
                                *y = tug_heap_entry(b, struct tug_series_bar, area);
    return area_of(x) != area_of(y) ? area_of(x) < area_of(y) : x->seq > y->seq;
}

static void bar_free(struct tug_series_bar *b)
{
    free(b->slices);
    free(b->id);
    free(b->user);
    free(b);
}

static void add_bar(struct tug_series *s, const struct tug_series_live *l, int64_t end_ms,
                    int stopped)
{
    if (end_ms <= l->start_ms || !l->n_slices)
        return;
    struct tug_series_bar key = {
        .start_ms = l->start_ms, .end_ms = end_ms, .gpus = l->gpus, .seq = s->bars_seen++};
    const struct tug_heap_node *first = tug_heap_first(&s->smallest);
    int full = s->smallest.len >= TUG_SERIES_BARS_MAX || s->n_slices >= TUG_SERIES_SLICES_MAX;
    if (full && first && is_smaller(&key.area, first))
        return;
    struct tug_series_bar *b = tug_xmemdup(&key, sizeof key);
    b->stopped = stopped;
    b->n_slices = l->n_slices;
    b->slices = tug_xmemdup(l->slices, l->n_slices * sizeof *l->slices);
    b->id = tug_xasprintf("%.60s", l->id);
    b->user = tug_xasprintf("%.40s", s->users.at[l->user].name);
    tug_heap_push(&s->smallest, &b->area);
    s->n_slices += b->n_slices;
    while (s->smallest.len > 1 &&
           (s->smallest.len > TUG_SERIES_BARS_MAX || s->n_slices > TUG_SERIES_SLICES_MAX)) {
        b = tug_heap_entry(tug_heap_pop(&s->smallest), struct tug_series_bar, area);
        s->n_slices -= b->n_slices;
        bar_free(b);
    }
}

static int by_start(const void *a, const void *b)
{
    const struct tug_series_bar *x = *(struct tug_series_bar *const *) a,
                                *y = *(struct tug_series_bar *const *) b;
    if (x->start_ms != y->start_ms)
        return x->start_ms < y->start_ms ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* ---- rows for spreadsheets */

static void put_field(FILE *to, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, to);
        return;
    }
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', to);
        fputc(*text, to);
    }
    fputc('"', to);
}

static void put_seconds(FILE *to, int64_t ms)
{
    if (ms >= 0)
        fprintf(to, ",%" PRId64 ".%03d", ms / 1000, (int) (ms % 1000));
    else
        fputc(',', to);
}

static void put_node(FILE *to, const struct tug_series *s, uint32_t node)
{
    if (s->node_names && node < s->n_nodes)
        put_field(to, s->node_names[node]);
    else
        fprintf(to, "n%u", node + 1);
}

/* Where it ran last; names that follow each other are not folded: spreadsheets split at blanks. */
static void put_row(const struct tug_series *s, const struct tug_series_live *l, int64_t end_ms)
{
    FILE *to = s->csv;
    put_field(to, l->id);
    fputc(',', to);
    put_field(to, s->users.at[l->user].name);
    fputc(',', to);
    put_field(to, l->queue);
    fprintf(to, ",%u", l->gpus);
    put_seconds(to, l->submit_ms);
    put_seconds(to, l->first_start_ms);
    put_seconds(to, end_ms);
    put_seconds(to, l->first_start_ms < 0 ? -1 : l->first_start_ms - l->submit_ms);
    put_seconds(to, l->ran_ms);
    fprintf(to, ",%u,", l->stops);
    for (size_t i = 0; i < l->n_slices; i++) {
        if (i)
            fputc(' ', to);
        put_node(to, s, l->slices[i].node);
    }
    fputc('\n', to);
}

void tug_series_csv(struct tug_series *s, FILE *to)
{
    s->csv = to;
    fputs("job_id,user,queue,gpus,submit_s,start_s,end_s,wait_s,ran_s,preemptions,nodes\n", to);
}

/* ---- what happens */

static uint64_t hash_of(const char *id)
{
    uint64_t h = 14695981039346656037ULL; /* FNV-1a */
    for (; *id; id++)
        h = (h ^ (unsigned char) *id) * 1099511628211ULL;
    return h;
}

static struct tug_series_live *on_submit(struct tug_series *s, const struct tug_sim_note *n)
{
    size_t len = strlen(n->id) + 1;
    struct tug_series_live *l = tug_xcalloc(1, sizeof *l + len);
    memcpy(l->id, n->id, len);
    l->queue = tug_xstrdup(n->queue ? n->queue : "");
    l->submit_ms = n->submit_ms;
    l->first_start_ms = l->start_ms = -1;
    l->gpus = n->gpus;
    l->user = user_of(s, n->user ? n->user : "");
    s->users.at[l->user].submitted++;
    s->sum.submitted++;
    if (s->keep_jobs) {
        const struct tug_series_job job = {hash_of(n->id), -1, -1};
        l->row = s->jobs.len;
        tug_vec_push(&s->jobs, job);
    }
    HASH_ADD_STR(s->live, id, l);
    s->waiting++;
    s->wanted_gpus += l->gpus;
    return l;
}

static void on_start(struct tug_series *s, struct tug_series_live *l, const struct tug_sim_note *n)
{
    if (l->start_ms >= 0)
        return;
    s->waiting--;
    s->wanted_gpus -= l->gpus;
    s->used_gpus += l->gpus;
    l->start_ms = n->at_ms;
    if (n->n_slices) {
        l->slices = tug_xrealloc(l->slices, n->n_slices * sizeof *l->slices);
        for (size_t i = 0; i < n->n_slices; i++)
            l->slices[i] = (struct tug_series_slice){n->slices[i].node, n->slices[i].gpus};
        l->n_slices = n->n_slices;
    }
    if (l->first_start_ms >= 0)
        return;
    int64_t wait_ms = n->at_ms - l->submit_ms;
    l->first_start_ms = n->at_ms;
    s->sum.started++;
    s->users.at[l->user].started++;
    s->users.at[l->user].wait_s += (double) wait_ms / 1000;
    count(&s->sum.wait[tug_series_size_of(l->gpus)], wait_ms);
    if (s->keep_jobs)
        s->jobs.at[l->row].wait_ms = wait_ms;
}

/* It no longer runs. */
static void leave(struct tug_series *s, struct tug_series_live *l, int64_t at_ms, int stopped)
{
    if (l->start_ms < 0)
        return;
    int64_t ran_ms = at_ms - l->start_ms;
    s->used_gpus -= l->gpus;
    l->ran_ms += ran_ms;
    s->users.at[l->user].gpu_ms += (double) ran_ms * l->gpus;
    add_bar(s, l, at_ms, stopped);
    l->start_ms = -1;
}

static void live_free(struct tug_series *s, struct tug_series_live *l)
{
    HASH_DEL(s->live, l);
    free(l->slices);
    free(l->queue);
    free(l);
}

static void on_stop(struct tug_series *s, struct tug_series_live *l, int64_t at_ms)
{
    if (l->start_ms < 0)
        return;
    leave(s, l, at_ms, 1);
    l->stops++;
    s->sum.stops++;
    s->waiting++;
    s->wanted_gpus += l->gpus;
}

static void on_end(struct tug_series *s, struct tug_series_live *l, const struct tug_sim_note *n)
{
    int64_t at_ms = n->at_ms;
    if (l->start_ms < 0) { /* it was cancelled while it waited */
        s->waiting--;
        s->wanted_gpus -= l->gpus;
    }
    leave(s, l, at_ms, 0);
    int64_t jct_ms = at_ms - l->submit_ms;
    double run_s = (double) n->duration_ms / 1000; /* as a policy that wastes runs is no better */
    double slow =
        (double) jct_ms / 1000 / (run_s > TUG_SERIES_SLOW_MIN_S ? run_s : TUG_SERIES_SLOW_MIN_S);
    slow = slow < 1 ? 1 : slow;
    s->sum.ended++;
    s->sum.slowdown += slow;
    s->users.at[l->user].ended++;
    s->users.at[l->user].slowdown += slow;
    if (s->keep_jobs)
        s->jobs.at[l->row].jct_ms = jct_ms;
    if (s->csv)
        put_row(s, l, at_ms);
    live_free(s, l);
}

void tug_series_note(void *series, const struct tug_sim_note *n)
{
    struct tug_series *s = series;
    struct tug_series_live *l;
    advance(s, n->at_ms);
    HASH_FIND_STR(s->live, n->id, l);
    if (!l && n->point == TUG_SIM_SUBMIT)
        l = on_submit(s, n);
    if (!l)
        return;
    switch (n->point) {
    case TUG_SIM_SUBMIT:
        break;
    case TUG_SIM_START:
        on_start(s, l, n);
        break;
    case TUG_SIM_STOP:
        on_stop(s, l, n->at_ms);
        break;
    case TUG_SIM_END:
        on_end(s, l, n);
        break;
    }
}

void tug_series_finish(struct tug_series *s)
{
    struct tug_series_live *l, *next;
    HASH_ITER (hh, s->live, l, next) {
        if (l->start_ms >= 0) /* the simulation was interrupted */
            l->ran_ms += s->sum.last_ms - l->start_ms;
        if (s->csv)
            put_row(s, l, -1);
        live_free(s, l);
    }
    struct tug_heap_node *first;
    while ((first = tug_heap_pop(&s->smallest)))
        tug_vec_push(&s->bars, tug_heap_entry(first, struct tug_series_bar, area));
    if (s->bars.len)
        qsort(s->bars.at, s->bars.len, sizeof *s->bars.at, by_start);
}

/* ---- life */

struct tug_series *tug_series_new(uint64_t gpus, uint32_t n_nodes, const char *const *node_names)
{
    struct tug_series *s = tug_new(struct tug_series);
    s->sum.gpus = gpus;
    s->sum.width_ms = 1000;
    s->n_nodes = n_nodes;
    s->node_names = node_names;
    s->smallest.less = is_smaller;
    return s;
}

void tug_series_keep_jobs(struct tug_series *s)
{
    s->keep_jobs = 1;
}

void tug_series_free(struct tug_series *s)
{
    struct tug_series_live *l, *next;
    struct tug_series_by_name *row, *after;
    if (!s)
        return;
    HASH_ITER (hh, s->live, l, next)
        live_free(s, l);
    HASH_ITER (hh, s->by_name, row, after) {
        HASH_DEL(s->by_name, row);
        free(row);
    }
    struct tug_heap_node *bar;
    while ((bar = tug_heap_pop(&s->smallest))) /* finish() was not called */
        bar_free(tug_heap_entry(bar, struct tug_series_bar, area));
    for (size_t i = 0; i < s->bars.len; i++)
        bar_free(s->bars.at[i]);
    for (size_t i = 0; i < s->users.len; i++)
        free(s->users.at[i].name);
    tug_heap_clear(&s->smallest);
    tug_vec_clear(&s->bars);
    tug_vec_clear(&s->users);
    tug_vec_clear(&s->jobs);
    free(s);
}

/* ---- from one process to another */

#define NAME_BYTES_MAX 65536

int tug_series_save(const struct tug_series *s, FILE *to)
{
    uint64_t n[2] = {s->users.len, s->jobs.len};
    fwrite(&s->sum, sizeof s->sum, 1, to);
    fwrite(n, sizeof n, 1, to);
    for (size_t i = 0; i < s->users.len; i++) {
        uint64_t len = strlen(s->users.at[i].name);
        fwrite(&s->users.at[i], sizeof *s->users.at, 1, to);
        fwrite(&len, sizeof len, 1, to);
        fwrite(s->users.at[i].name, 1, len, to);
    }
    if (s->jobs.len)
        fwrite(s->jobs.at, sizeof *s->jobs.at, s->jobs.len, to);
    return fflush(to) || ferror(to) ? -EIO : 0;
}

struct tug_series *tug_series_load(FILE *from)
{
    struct tug_series *s = tug_series_new(0, 0, NULL);
    uint64_t n[2], len;
    if (fread(&s->sum, sizeof s->sum, 1, from) != 1 || fread(n, sizeof n, 1, from) != 1)
        goto fail;
    for (uint64_t i = 0; i < n[0]; i++) {
        struct tug_series_user user;
        if (fread(&user, sizeof user, 1, from) != 1 || fread(&len, sizeof len, 1, from) != 1 ||
            len > NAME_BYTES_MAX)
            goto fail;
        user.name = tug_xcalloc(1, len + 1);
        tug_vec_push(&s->users, user);
        if (fread(user.name, 1, len, from) != len)
            goto fail;
    }
    tug_vec_reserve(&s->jobs, n[1] + 1);
    if (fread(s->jobs.at, sizeof *s->jobs.at, n[1], from) != n[1])
        goto fail;
    s->jobs.len = n[1];
    s->keep_jobs = 1;
    return s;
fail:
    tug_series_free(s);
    return NULL;
}
