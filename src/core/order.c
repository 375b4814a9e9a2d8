/* order.c - the waiting jobs that may start, in the order in which they do
 *
 * Always: rows are sorted, with those that have left still in place; after settle() none has left
 * and nothing is waiting to be merged. Free room stands at both ends of 'rows', so either the rows
 * before a change move or those after it, whichever are fewer. Layer: core.
 */
#include "core/order.h"

#include "base/err.h"

int tug_order_before(const struct tug_order *o, const struct tug_policy_job *a,
                     const struct tug_policy_job *b)
{
    if (a->tier != b->tier)
        return a->tier > b->tier;
    if (o->keyed && a->key != b->key)
        return a->key < b->key;
    if (!o->keyed && a->priority != b->priority)
        return a->priority > b->priority;
    if (a->submit_ms != b->submit_ms)
        return a->submit_ms < b->submit_ms;
    return a->id < b->id;
}

void tug_order_clear(struct tug_order *o)
{
    free(o->rows);
    free(o->briefs);
    tug_vec_clear(&o->added);
    *o = (struct tug_order){0};
}

/* How many rows go before 'key'. */
static size_t rank_of(const struct tug_order *o, const struct tug_policy_job *key)
{
    size_t low = 0, high = o->len;
    if (high && tug_order_before(o, &tug_order_row(o, high - 1)->job, key))
        return high;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (tug_order_before(o, &tug_order_row(o, mid)->job, key))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

uint32_t tug_order_run_s(const struct tug_policy_job *job)
{
    int64_t left_ms = job->expected_ms - job->ran_ms;
    if (job->expected_ms < 0 || left_ms / 1000 >= UINT32_MAX)
        return UINT32_MAX;
    return left_ms > 0 ? (uint32_t) (left_ms / 1000) : 0;
}

void tug_order_add(struct tug_order *o, const struct tug_policy_job *job, uint32_t family,
                   struct tug_entry *e)
{
    struct tug_order_row row = {
        .job = *job, .entry = e, .brief = {family, tug_order_run_s(job), job->nodes}};
    tug_vec_push(&o->added, row);
    o->n_jobs++;
    o->n_apart += family == 0;
}

static int forget_added(struct tug_order *o, const struct tug_entry *e)
{
    for (size_t i = o->added.len; i > 0; i--)
        if (o->added.at[i - 1].entry == e) {
            o->n_apart -= o->added.at[i - 1].brief.family == 0;
            o->added.at[i - 1] = o->added.at[--o->added.len];
            return 1;
        }
    return 0;
}

void tug_order_remove(struct tug_order *o, const struct tug_policy_job *key, struct tug_entry *e)
{
    o->n_jobs--;
    size_t i = rank_of(o, key);
    /* A job that left and came back has an old row with the same key beside the one in 'added'. */
    for (; i < o->len && tug_order_row(o, i)->job.id == key->id; i++)
        if (tug_order_row(o, i)->entry == e) {
            tug_order_row(o, i)->entry = NULL;
            o->n_apart -= o->briefs[o->head + i].family == 0;
            o->briefs[o->head + i].nodes = TUG_BRIEF_LEFT;
            o->left++;
            return;
        }
    int found = forget_added(o, e);
    tug_assert(found);
}

static int has_left(const struct tug_order *o, size_t i)
{
    return o->briefs[o->head + i].nodes == TUG_BRIEF_LEFT;
}

size_t tug_order_place(const struct tug_order *o, const struct tug_policy_job *key,
                       const struct tug_entry *e)
{
    size_t i = rank_of(o, key), place = 1;
    while (i < o->len && tug_order_row(o, i)->entry != e && tug_order_row(o, i)->job.id == key->id)
        i++;
    if (i >= o->len || tug_order_row(o, i)->entry != e)
        return 0;
    for (size_t k = 0; k < i; k++)
        place += !has_left(o, k);
    return place;
}

static void move_rows(struct tug_order *o, size_t to, size_t from, size_t n)
{
    memmove(&o->rows[o->head + to], &o->rows[o->head + from], n * sizeof *o->rows);
    memmove(&o->briefs[o->head + to], &o->briefs[o->head + from], n * sizeof *o->briefs);
}

/* Rows up to 'end' close up at its side. */
static void close_up_front(struct tug_order *o, size_t end)
{
    size_t to = end;
    for (size_t i = end; i > 0;) {
        size_t from = i;
        while (from > 0 && !has_left(o, from - 1))
            from--;
        to -= i - from;
        move_rows(o, to, from, i - from);
        for (i = from; i > 0 && has_left(o, i - 1);)
            i--;
    }
    o->head += to;
}

static void close_up_end(struct tug_order *o, size_t first)
{
    size_t to = first;
    for (size_t i = first; i < o->len;) {
        while (i < o->len && has_left(o, i))
            i++;
        size_t end = i;
        while (end < o->len && !has_left(o, end))
            end++;
        move_rows(o, to, i, end - i);
        to += end - i;
        i = end;
    }
}

void tug_order_compact(struct tug_order *o)
{
    for (; o->left && has_left(o, 0); o->left--, o->len--)
        o->head++;
    for (; o->left && has_left(o, o->len - 1); o->left--)
        o->len--;
    if (!o->left)
        return;
    size_t first = 0, last = o->len - 1;
    while (!has_left(o, first))
        first++;
    while (!has_left(o, last))
        last--;
    if (last < o->len - first) /* fewer rows to move at the front */
        close_up_front(o, last + 1);
    else
        close_up_end(o, first);
    o->len -= o->left;
    o->left = 0;
}

/* Make room for n more rows at both ends; half of the new memory stands in front when rows come in
 * there. */
static void make_room(struct tug_order *o, size_t n, int front)
{
    if (front ? o->head >= n : o->cap - o->head - o->len >= n)
        return;
    size_t cap = (o->len + n) / 4 * 5 + 64;
    struct tug_order_row *rows = tug_xmalloc(cap * sizeof *rows);
    struct tug_brief *briefs = tug_xmalloc(cap * sizeof *briefs);
    size_t head = front ? cap - o->len - n / 2 - 32 : 0;
    if (head < n && front)
        head = n;
    if (o->len) {
        memcpy(&rows[head], &o->rows[o->head], o->len * sizeof *rows);
        memcpy(&briefs[head], &o->briefs[o->head], o->len * sizeof *briefs);
    }
    free(o->rows);
    free(o->briefs);
    o->rows = rows;
    o->briefs = briefs;
    o->head = head;
    o->cap = cap;
}

static void merge_at_end(struct tug_order *o)
{
    size_t n = o->added.len;
    make_room(o, n, 0);
    struct tug_order_row *r = &o->rows[o->head];
    size_t from = o->len, to = o->len + n;
    while (n > 0) {
        if (from > 0 && tug_order_before(o, &o->added.at[n - 1].job, &r[from - 1].job))
            r[--to] = r[--from];
        else
            r[--to] = o->added.at[--n];
        o->briefs[o->head + to] = r[to].brief;
    }
}

static void merge_at_front(struct tug_order *o)
{
    size_t n = o->added.len, taken = 0;
    make_room(o, n, 1);
    struct tug_order_row *r = &o->rows[o->head];
    struct tug_order_row *to = r - n;
    size_t from = 0;
    while (taken < n) {
        if (from < o->len && tug_order_before(o, &r[from].job, &o->added.at[taken].job))
            *to = r[from++];
        else
            *to = o->added.at[taken++];
        o->briefs[to - o->rows] = to->brief;
        to++;
    }
    o->head -= n;
}

/* ---- many at once: all again, or all that came
 *
 * Rows are wide. What decides is taken out of them into 32 bytes each, sorted there by merging the
 * runs that are there already (from one pass to the next nearly all of it is), and then every row
 * moves once at most. */

struct place {
    uint64_t rank; /* smaller goes first: of the key, or of the priority */
    int64_t submit_ms;
    uint64_t id;
    uint32_t tier, row;
};

/* A number that is ordered as the key is. */
static uint64_t rank_of_key(double key)
{
    uint64_t bits;
    memcpy(&bits, &key, sizeof bits);
    return bits >> 63 ? ~bits : bits | 1ULL << 63;
}

static uint64_t rank_of_priority(int64_t priority)
{
    return ~((uint64_t) priority ^ 1ULL << 63);
}

static int goes_before(const struct place *a, const struct place *b)
{
    if (a->tier != b->tier)
        return a->tier > b->tier;
    if (a->rank != b->rank)
        return a->rank < b->rank;
    if (a->submit_ms != b->submit_ms)
        return a->submit_ms < b->submit_ms;
    return a->id < b->id;
}

/* Where the sorted run that begins at 'from' ends. */
static size_t run_end(const struct place *at, size_t from, size_t n)
{
    size_t end = from + 1;
    while (end < n && goes_before(&at[end - 1], &at[end]))
        end++;
    return end;
}

static void merge_runs(const struct place *from, size_t middle, size_t end, struct place *to)
{
    size_t a = 0, b = middle;
    for (size_t i = 0; i < end; i++)
        to[i] = b == end || (a < middle && goes_before(&from[a], &from[b])) ? from[a++] : from[b++];
}

/* Merge neighbouring runs of 'from' into 'to': how many were left. */
static size_t merge_once(const struct place *from, struct place *to, size_t n)
{
    size_t runs = 0;
    for (size_t i = 0; i < n; runs++) {
        size_t middle = run_end(from, i, n), end = middle < n ? run_end(from, middle, n) : n;
        merge_runs(from + i, middle - i, end - i, to + i);
        i = end;
    }
    return runs;
}

/* Row i becomes what row at[i].row was; every cycle of moves needs one row of spare room. */
static void permute(struct tug_order_row *rows, struct place *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (at[i].row == i)
            continue;
        struct tug_order_row spare = rows[i];
        size_t to = i;
        while (at[to].row != i) {
            size_t from = at[to].row;
            rows[to] = rows[from];
            at[to].row = (uint32_t) to;
            to = from;
        }
        rows[to] = spare;
        at[to].row = (uint32_t) to;
    }
}

static int is_sorted(const struct tug_order *o, const struct tug_order_row *rows, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (!tug_order_before(o, &rows[i - 1].job, &rows[i].job))
            return 0;
    return 1;
}

static void sort(const struct tug_order *o, struct tug_order_row *rows, size_t n)
{
    tug_assert(n <= UINT32_MAX);
    if (is_sorted(o, rows, n))
        return;
    struct place *at = tug_xmalloc(2 * n * sizeof *at), *to = at + n, *all = at;
    for (size_t i = 0; i < n; i++) {
        const struct tug_policy_job *j = &rows[i].job;
        at[i] = (struct place){o->keyed ? rank_of_key(j->key) : rank_of_priority(j->priority),
                               j->submit_ms, j->id, j->tier, (uint32_t) i};
    }
    for (size_t runs = 2; runs > 1;) {
        runs = merge_once(at, to, n);
        struct place *sorted = to;
        to = at;
        at = sorted;
    }
    permute(rows, at, n);
    free(all);
}

void tug_order_sort(struct tug_order *o)
{
    tug_assert(!o->left);
    if (!o->len)
        return;
    sort(o, tug_order_row(o, 0), o->len);
    for (size_t i = 0; i < o->len; i++)
        o->briefs[o->head + i] = tug_order_row(o, i)->brief;
}

/* Nobody waited, and more came than there ever was room for: what they came in becomes the order. */
static void take_over(struct tug_order *o)
{
    free(o->rows);
    free(o->briefs);
    o->rows = o->added.at;
    o->head = 0;
    o->len = o->added.len;
    o->cap = o->added.cap;
    o->briefs = tug_xmalloc(o->cap * sizeof *o->briefs);
    memset(&o->added, 0, sizeof o->added);
    for (size_t i = 0; i < o->len; i++)
        o->briefs[i] = o->rows[i].brief;
    tug_order_sort(o);
}

void tug_order_settle(struct tug_order *o)
{
    tug_order_compact(o);
    if (!o->len && o->added.len > o->cap) {
        take_over(o);
    } else if (o->added.len) {
        sort(o, o->added.at, o->added.len);
        size_t first = rank_of(o, &o->added.at[0].job);
        size_t last = rank_of(o, &o->added.at[o->added.len - 1].job);
        if (o->len - first <= last)
            merge_at_end(o);
        else
            merge_at_front(o);
        o->len += o->added.len;
        o->added.len = 0;
        if (o->added.cap > 4096)
            tug_vec_clear(&o->added);
    }
    if (o->len == 0)
        o->head = 0;
}
