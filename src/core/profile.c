/* profile.c - what is free on which node when
 *
 * Two pictures of the same. Each node has a list of points: from the begin of a slot on, so much is
 * free there, until the next point. And for each kind of need that was asked for there is a bitmap
 * a slot: the nodes that could serve it. A gang fits from slot a to slot b where the AND of the
 * bitmaps a..b-1 has enough bits. Slots keep their row of the bitmaps when others come between
 * them: row_of says which.
 *
 * Bitmaps are cut into blocks of 512 nodes, a cache line each, and those of one block lie together
 * for all slots. A search goes from block to block and stops where it has nodes enough, so what a
 * job costs depends on what it wants, not on how many nodes there are; only to learn that there is
 * no room until a later slot it looks at all of them.
 *
 * Always: t[] rises, t[0] is now and the last is TUG_NOWHEN; points of a node rise; a bit is set
 * exactly when the node's point of that slot serves the need. Layer: core.
 */
#include "core/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/vec.h"

#define SLOTS      1024 /* at most */
#define EXACT      512  /* so many edges are kept as they are; with more of them comes the grid */
#define GRID       400  /* edges of the grid at most */
#define KINDS      32   /* needs that have bitmaps of their own */
#define BLOCK      8    /* words of a block */
#define LINE_BYTES 64

struct point {
    int64_t mem_bytes;
    int32_t cpus;
    int16_t gpus;
    uint16_t row; /* of the slot from which on it holds */
    uint32_t gangs;
    int8_t slices[TUG_PROFILE_CUTS];
};

struct node {
    struct tug_vec(struct point) points;
    int32_t cpus, gpus; /* in all */
    uint32_t kinds[TUG_PROFILE_CUTS]; /* of point.slices */
};

struct kind {
    struct tug_need need;
    uint64_t *rows; /* of each block, SLOTS rows of 'width' words */
    void *memory;   /* that they are in, from the begin of a cache line on */
    size_t cap_words;
    size_t begin;          /* the block where the next search begins: where the last one ended */
    uint32_t count[SLOTS]; /* bits in the row of slot i, of all blocks */
};

struct found {       /* nodes, as a search left them */
    size_t first, n; /* so many blocks from that one on, and on from 0 behind the last */
    struct tug_vec(uint64_t) at; /* their words */
};

struct tug_profile {
    int64_t now_ms, horizon_ms, step_ms;
    size_t n_nodes, words;
    size_t width, blocks; /* words of a block; how many */
    struct tug_vec(struct node) nodes;
    size_t n_slots;
    int64_t t[SLOTS];
    uint16_t row_of[SLOTS], slot_of[SLOTS]; /* slot -> row and back */
    int has_grid, is_rounded;
    struct kind *kinds[KINDS];
    size_t n_kinds;
    struct found found[2]; /* nodes for 'each' and for 'last' */
    struct tug_vec(uint64_t) spare[2];
    struct tug_vec(size_t) live; /* blocks */
    struct tug_vec(struct {
        uint32_t node;
        int32_t gpus;
    }) nearly; /* chosen, if there are not enough that are fuller */
    struct tug_vec(struct {
        size_t word;
        size_t at; /* from the begin of the slot's row of block 0 */
        uint64_t bits;
    }) gone;
};

/* And-ing and counting bits is most of what a search does; a block is one register, or two. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) &&                  \
    !defined(__SANITIZE_THREAD__)
#define FAST __attribute__((target_clones("avx512f", "avx2", "popcnt", "default")))
#else
#define FAST
#endif

struct tug_profile *tug_profile_new(void)
{
    return tug_new(struct tug_profile);
}

void tug_profile_free(struct tug_profile *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->nodes.len; i++)
        tug_vec_clear(&p->nodes.at[i].points);
    tug_vec_clear(&p->nodes);
    for (size_t i = 0; i < KINDS && p->kinds[i]; i++) {
        free(p->kinds[i]->memory);
        free(p->kinds[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        tug_vec_clear(&p->found[i].at);
        tug_vec_clear(&p->spare[i]);
    }
    tug_vec_clear(&p->live);
    tug_vec_clear(&p->nearly);
    tug_vec_clear(&p->gone);
    free(p);
}

size_t tug_profile_bytes(const struct tug_profile *p)
{
    if (!p)
        return 0;
    size_t bytes = sizeof *p + p->nodes.cap * sizeof *p->nodes.at;
    for (size_t i = 0; i < p->nodes.len; i++)
        bytes += p->nodes.at[i].points.cap * sizeof(struct point);
    for (size_t i = 0; i < KINDS && p->kinds[i]; i++)
        bytes += sizeof *p->kinds[i] + SLOTS * p->kinds[i]->cap_words * sizeof(uint64_t);
    return bytes;
}

/* ---- slots */

/* The slot that begins at t or, if none does, the next. */
static size_t slot_from(const struct tug_profile *p, int64_t t)
{
    size_t low = 0, high = p->n_slots;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (p->t[mid] < t)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int64_t plus(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) || sum > TUG_NOWHEN ? TUG_NOWHEN : sum;
}

/* The slot behind the last that a run of the gang from slot s takes, ends rounded up. */
static size_t slot_behind(const struct tug_profile *p, size_t s, int64_t run_ms)
{
    if (run_ms == TUG_NEVER || p->t[s] == TUG_NOWHEN)
        return p->n_slots;
    size_t end = slot_from(p, plus(p->t[s], run_ms));
    return end > s ? end : s + 1;
}

static uint64_t *row(const struct tug_profile *p, const struct kind *k, size_t block, size_t slot)
{
    return &k->rows[(block * SLOTS + p->row_of[slot]) * p->width];
}

/* A slot that begins at t, in the middle of another: the same is free in both halves. */
static void insert_slot(struct tug_profile *p, size_t at, int64_t t)
{
    size_t behind = p->n_slots - at;
    uint16_t fresh = (uint16_t) p->n_slots;
    memmove(&p->t[at + 1], &p->t[at], behind * sizeof *p->t);
    memmove(&p->row_of[at + 1], &p->row_of[at], behind * sizeof *p->row_of);
    p->t[at] = t;
    p->row_of[at] = fresh;
    p->n_slots++;
    for (size_t i = at; i < p->n_slots; i++)
        p->slot_of[p->row_of[i]] = (uint16_t) i;
    for (size_t i = 0; i < p->n_kinds; i++) {
        struct kind *k = p->kinds[i];
        memmove(&k->count[at + 1], &k->count[at], behind * sizeof *k->count);
        k->count[at] = k->count[at - 1];
        for (size_t b = 0; b < p->blocks; b++)
            memcpy(row(p, k, b, at), row(p, k, b, at - 1), p->width * sizeof(uint64_t));
    }
}

/* Edges of the grid: a step apart at first, then a part of the time until there. */
static int64_t grid_after(const struct tug_profile *p, int64_t t, int64_t step_ms, int part)
{
    int64_t apart = (t - p->now_ms) / part;
    return plus(t, apart > step_ms ? apart : step_ms);
}

static size_t count_grid(const struct tug_profile *p, int64_t step_ms, int part)
{
    size_t n = 0;
    for (int64_t t = grid_after(p, p->now_ms, step_ms, part); t <= p->horizon_ms && n <= GRID; n++)
        t = grid_after(p, t, step_ms, part);
    return n;
}

/* As fine as it goes with GRID edges. */
static void lay_grid(struct tug_profile *p)
{
    int64_t step_ms = p->step_ms > 0 ? p->step_ms : 1;
    int part = 256;
    p->has_grid = 1;
    while (count_grid(p, step_ms, part) > GRID)
        if (part > 16)
            part /= 2;
        else
            step_ms *= 2;
    for (int64_t t = grid_after(p, p->now_ms, step_ms, part); t <= p->horizon_ms;
         t = grid_after(p, t, step_ms, part)) {
        size_t at = slot_from(p, t);
        if (p->t[at] != t && p->n_slots < SLOTS)
            insert_slot(p, at, t);
    }
}
/* Let a slot begin at t, or the next one do where there are too many. */
static size_t cut_at(struct tug_profile *p, int64_t t)
{
    if (t > p->horizon_ms)
        return p->n_slots - 1;
    if (p->n_slots >= SLOTS - GRID - 8 && !p->has_grid)
        lay_grid(p);
    size_t at = slot_from(p, t);
    if (p->t[at] == t)
        return at;
    if (p->n_slots < SLOTS)
        insert_slot(p, at, t);
    else
        p->is_rounded = 1;
    return at;
}

void tug_profile_edge_at(struct tug_profile *p, int64_t t)
{
    if (t > p->now_ms)
        cut_at(p, t);
}

static int by_time(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The different ones of 'ends' up to the horizon, sorted, into t[1..]: how many, EXACT + 1 = too
 * many. */
static size_t distinct_ends(struct tug_profile *p, const int64_t *ends, size_t n_ends)
{
    enum { BUCKETS = 4 * EXACT };
    int64_t seen[BUCKETS]; /* now = free: no end is at now */
    size_t n = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        seen[i] = p->now_ms;
    for (size_t i = 0; i < n_ends && n <= EXACT; i++) {
        int64_t end = ends[i];
        if (end > p->horizon_ms || end <= p->now_ms)
            continue;
        size_t b = ((uint64_t) end * 0x9e3779b97f4a7c15ULL) >> 32 & (BUCKETS - 1);
        while (seen[b] != p->now_ms && seen[b] != end)
            b = (b + 1) & (BUCKETS - 1);
        if (seen[b] == end)
            continue;
        seen[b] = end;
        if (n < EXACT)
            p->t[1 + n] = end;
        n++;
    }
    if (n <= EXACT)
        qsort(&p->t[1], n, sizeof *p->t, by_time);
    return n;
}

void tug_profile_begin(struct tug_profile *p, int64_t now_ms, int64_t horizon_ms, int64_t step_ms,
                       size_t n_nodes, const int64_t *ends, size_t n_ends)
{
    static const struct node none;
    p->now_ms = now_ms;
    p->horizon_ms = horizon_ms < TUG_NOWHEN ? horizon_ms : TUG_NOWHEN - 1;
    p->step_ms = step_ms;
    p->n_nodes = n_nodes;
    p->words = (n_nodes + 63) / 64;
    p->width = p->words < BLOCK ? p->words : BLOCK;
    p->blocks = (p->words + BLOCK - 1) / BLOCK;
    while (p->nodes.len < n_nodes)
        tug_vec_push(&p->nodes, none);
    for (size_t i = 0; i < n_nodes; i++)
        p->nodes.at[i].points.len = 0;
    for (size_t i = 0; i < 2; i++) {
        tug_vec_reserve(&p->found[i].at, p->blocks * p->width + 1);
        tug_vec_reserve(&p->spare[i], p->blocks * p->width + 1);
    }
    tug_vec_reserve(&p->live, p->blocks + 1);
    tug_vec_reserve(&p->nearly, n_nodes + 1);
    p->n_kinds = 0;
    p->has_grid = p->is_rounded = 0;
    p->t[0] = now_ms;
    size_t n = distinct_ends(p, ends, n_ends);
    p->is_rounded = n > EXACT;
    p->n_slots = 1 + (p->is_rounded ? 0 : n);
    p->t[p->n_slots++] = TUG_NOWHEN;
    for (size_t i = 0; i < p->n_slots; i++)
        p->row_of[i] = p->slot_of[i] = (uint16_t) i;
    if (p->is_rounded)
        lay_grid(p);
}

int tug_profile_is_exact(const struct tug_profile *p)
{
    return !p->is_rounded;
}

/* ---- nodes */

void tug_profile_node(struct tug_profile *p, uint32_t node, const struct tug_stock *has,
                      const struct tug_stock *free_now)
{
    tug_assert(node < p->n_nodes);
    struct node *n = &p->nodes.at[node];
    n->cpus = has->cpus;
    n->gpus = has->gpus;
    memset(n->kinds, 0, sizeof n->kinds);
    n->points.len = 0;
    struct point first = {.mem_bytes = free_now->mem_bytes,
                          .cpus = free_now->cpus,
                          .gpus = (int16_t) free_now->gpus,
                          .row = p->row_of[0],
                          .gangs = free_now->gangs};
    memcpy(first.slices, free_now->slices, sizeof first.slices);
    tug_vec_push(&n->points, first);
}

void tug_profile_cuts(struct tug_profile *p, uint32_t node, const uint32_t kinds[TUG_PROFILE_CUTS])
{
    tug_assert(node < p->n_nodes);
    memcpy(p->nodes.at[node].kinds, kinds, sizeof p->nodes.at[node].kinds);
}

static size_t slot_of(const struct tug_profile *p, const struct point *x)
{
    return p->slot_of[x->row];
}

/* The point that says what is free in that slot. */
static size_t point_of(const struct tug_profile *p, const struct node *n, size_t slot)
{
    size_t low = 0, high = n->points.len;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (slot_of(p, &n->points.at[mid]) <= slot)
            low = mid;
        else
            high = mid;
    }
    return low;
}

/* Make a point at the begin of that slot: its index. */
static size_t point_at(const struct tug_profile *p, struct node *n, size_t slot)
{
    size_t i = point_of(p, n, slot);
    if (slot_of(p, &n->points.at[i]) == slot)
        return i;
    struct point x = n->points.at[i];
    x.row = p->row_of[slot];
    tug_vec_push(&n->points, x);
    i++;
    memmove(&n->points.at[i + 1], &n->points.at[i], (n->points.len - 1 - i) * sizeof x);
    n->points.at[i] = x;
    return i;
}

void tug_profile_ends(struct tug_profile *p, uint32_t node, int64_t end_ms,
                      const struct tug_stock *held)
{
    tug_assert(node < p->n_nodes && p->n_kinds == 0 && p->nodes.at[node].points.len);
    struct node *n = &p->nodes.at[node];
    size_t slot = end_ms > p->horizon_ms ? p->n_slots - 1 : slot_from(p, end_ms);
    for (size_t i = point_at(p, n, slot); i < n->points.len; i++) {
        struct point *x = &n->points.at[i];
        x->mem_bytes += held->mem_bytes;
        x->cpus += held->cpus;
        x->gpus = (int16_t) (x->gpus + held->gpus);
        x->gangs -= held->gangs;
        for (size_t k = 0; k < TUG_PROFILE_CUTS && n->kinds[k]; k++)
            x->slices[k] = (int8_t) (x->slices[k] + held->slices[k]);
    }
}

void tug_profile_at(const struct tug_profile *p, uint32_t node, int64_t at_ms,
                    struct tug_stock *out)
{
    size_t slot = slot_from(p, at_ms);
    if (p->t[slot] > at_ms)
        slot--;
    const struct node *n = &p->nodes.at[node];
    const struct point *x = &n->points.at[point_of(p, n, slot)];
    *out = (struct tug_stock){
        .mem_bytes = x->mem_bytes, .cpus = x->cpus, .gpus = x->gpus, .gangs = x->gangs};
    memcpy(out->slices, x->slices, sizeof out->slices);
}

/* Slices of the need's kind. */
static __attribute__((noinline)) int32_t slices_of(const struct node *n, const struct point *x, const struct tug_need *need)
{
    for (size_t k = 0; k < TUG_PROFILE_CUTS; k++)
        if (n->kinds[k] == need->cut)
            return x->slices[k];
    return 0;
}

/* 'cut' is 0 where the need is known to be of GPUs: most are, and this is asked often. */
static inline __attribute__((always_inline)) int serves(const struct node *n, const struct point *x, const struct tug_need *need,
                                                        uint32_t cut)
{
    return (cut ? slices_of(n, x, need) : x->gpus) >= (int64_t) need->gpus && x->cpus >= (int64_t) need->cpus &&
           x->mem_bytes >= (int64_t) need->mem_bytes && (!need->exclusive || x->gangs == 0);
}

static int serves_during(const struct tug_profile *p, uint32_t node, const struct tug_need *need,
                         size_t from, size_t end)
{
    const struct node *n = &p->nodes.at[node];
    for (size_t i = point_of(p, n, from); i < n->points.len && slot_of(p, &n->points.at[i]) < end;
         i++)
        if (!serves(n, &n->points.at[i], need, need->cut))
            return 0;
    return 1;
}

/* ---- kinds */

static int is_same_need(const struct tug_need *a, const struct tug_need *b)
{
    return a->gpus == b->gpus && a->cpus == b->cpus && a->mem_bytes == b->mem_bytes &&
           a->exclusive == b->exclusive && a->cut == b->cut;
}

/* Of the slots' counts those of one block. */
FAST static void fill_block(struct tug_profile *p, struct kind *k, size_t block)
{
    for (size_t s = 0; s < p->n_slots; s++) {
        uint64_t *r = row(p, k, block, s);
        const uint64_t *last = s ? row(p, k, block, s - 1) : NULL;
        for (size_t w = 0; w < p->width; w++) {
            if (last)
                r[w] ^= last[w];
            k->count[s] += (uint32_t) __builtin_popcountll(r[w]);
        }
    }
}

/* Where a node begins or ceases to serve the need a bit is turned over; from slot to slot they add
 * up. */
static void fill_rows(struct tug_profile *p, struct kind *k)
{
    memset(k->count, 0, p->n_slots * sizeof *k->count);
    for (size_t b = 0; b < p->blocks; b++)
        memset(&k->rows[b * SLOTS * p->width], 0, p->n_slots * p->width * sizeof *k->rows);
    for (uint32_t i = 0; i < p->n_nodes; i++) {
        const struct node *n = &p->nodes.at[i];
        size_t word = i / 64;
        uint64_t *rows = &k->rows[word / BLOCK * SLOTS * p->width + word % BLOCK];
        int before = 0;
        for (size_t x = 0; x < n->points.len; x++) {
            int now = serves(n, &n->points.at[x], &k->need, k->need.cut);
            if (now != before)
                rows[n->points.at[x].row * p->width] ^= 1ULL << (i % 64);
            before = now;
        }
    }
    for (size_t b = 0; b < p->blocks; b++)
        fill_block(p, k, b);
}

static struct kind *add_kind(struct tug_profile *p, const struct tug_need *need)
{
    struct kind *k = p->kinds[p->n_kinds];
    if (!k)
        k = p->kinds[p->n_kinds] = tug_new(struct kind);
    size_t words = p->blocks * p->width;
    if (k->cap_words < words) {
        free(k->memory);
        k->memory = tug_xmalloc(SLOTS * words * sizeof *k->rows + LINE_BYTES);
        k->rows = (uint64_t *) (((uintptr_t) k->memory + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES);
        k->cap_words = words;
    }
    k->begin = 0;
    p->n_kinds++;
    k->need = *need;
    fill_rows(p, k);
    return k;
}

/* The kind for that need. When there are too many of them it is one that is easier to serve. */
static struct kind *kind_of(struct tug_profile *p, const struct tug_need *need)
{
    struct tug_need least = {.gpus = need->gpus};
    struct kind *easier = NULL;
    for (size_t i = 0; i < p->n_kinds; i++) {
        if (is_same_need(&p->kinds[i]->need, need))
            return p->kinds[i];
        const struct tug_need *has = &p->kinds[i]->need;
        if ((has->cut == need->cut || !has->gpus) && has->gpus <= need->gpus && has->cpus <= need->cpus &&
            has->mem_bytes <= need->mem_bytes && has->exclusive <= need->exclusive &&
            (!easier || has->gpus > easier->need.gpus))
            easier = p->kinds[i];
    }
    if (p->n_kinds < KINDS - 1)
        return add_kind(p, need);
    if (easier)
        return easier;
    least.gpus = 0; /* the last place is for what serves all */
    return add_kind(p, &least);
}

/* ---- searching */

FAST static uint32_t count_bits(const uint64_t *bits, size_t words)
{
    uint32_t n = 0;
    for (size_t w = 0; w < words; w++)
        n += (uint32_t) __builtin_popcountll(bits[w]);
    return n;
}

static inline __attribute__((always_inline)) uint32_t
keep_words(uint64_t *restrict bits, const uint64_t *restrict which, size_t width)
{
    uint64_t n = 0;
    for (size_t w = 0; w < width; w++) {
        bits[w] &= which[w];
        n += (uint64_t) __builtin_popcountll(bits[w]);
    }
    return (uint32_t) n;
}

/* Those of a block that serve the kind in all of the slots: how many. Few do in the first ones. */
static inline __attribute__((always_inline)) uint32_t and_slots_of(uint64_t *restrict bits,
                                                                   const uint64_t *restrict rows,
                                                                   const uint16_t *restrict row_of,
                                                                   size_t n, size_t width)
{
    for (size_t s = 0; s < n; s++) {
        uint64_t any = 0;
        for (size_t w = 0; w < width; w++)
            any |= bits[w] &= rows[row_of[s] * width + w];
        if (!any)
            return 0;
    }
    uint64_t have = 0;
    for (size_t w = 0; w < width; w++)
        have += (uint64_t) __builtin_popcountll(bits[w]);
    return (uint32_t) have;
}

/* With a width that the compiler knows it makes one instruction or two of it. */
FAST static uint32_t and_slots(const struct tug_profile *p, const struct kind *k, size_t block,
                               size_t from, size_t end, uint64_t *bits)
{
    const uint64_t *rows = &k->rows[block * SLOTS * p->width];
    if (p->width == BLOCK)
        return and_slots_of(bits, rows, &p->row_of[from], end - from, BLOCK);
    return and_slots_of(bits, rows, &p->row_of[from], end - from, p->width);
}

/* Of the bits of a block those nodes that serve the need itself, where the kind is an easier one.
 */
static uint32_t keep_serving(const struct tug_profile *p, const struct tug_need *need, size_t block,
                             uint64_t *bits, size_t from, size_t end)
{
    for (size_t w = 0; w < p->width; w++)
        for (uint64_t m = bits[w]; m; m &= m - 1) {
            uint32_t node = (uint32_t) ((block * BLOCK + w) * 64 + (size_t) __builtin_ctzll(m));
            if (!serves_during(p, node, need, from, end))
                bits[w] &= ~(m & -m);
        }
    return count_bits(bits, p->width);
}

static void copy_block(const struct tug_profile *p, uint64_t *to, const uint64_t *all, size_t block)
{
    size_t at = block * BLOCK, n = p->words - at < p->width ? p->words - at : p->width;
    memcpy(to, &all[at], n * sizeof *to);
    memset(&to[n], 0, (p->width - n) * sizeof *to);
}

static size_t block_of(const struct tug_profile *p, const struct found *f, size_t i)
{
    return f->first + i < p->blocks ? f->first + i : f->first + i - p->blocks;
}

/* Nodes that serve the need in all slots from..end-1, from block f->first on, until they are n or
 * there are no more blocks: how many. */
static uint32_t gather(struct tug_profile *p, const struct kind *k, const struct tug_need *need,
                       const uint64_t *allowed, uint32_t n, size_t from, size_t end,
                       struct found *f)
{
    int easier = !is_same_need(&k->need, need);
    uint32_t have = 0;
    for (f->n = 0; f->n < p->blocks && have < n; f->n++) {
        size_t block = block_of(p, f, f->n);
        uint64_t *bits = &f->at.at[f->n * p->width];
        copy_block(p, bits, allowed, block);
        uint32_t more = and_slots(p, k, block, from, end, bits);
        have += more && easier ? keep_serving(p, need, block, bits, from, end) : more;
    }
    return have;
}

/* Of those blocks of 'bits' where any are left only what serves the kind in that slot: how many. */
FAST static uint32_t and_live(struct tug_profile *p, const struct kind *k, size_t slot,
                              uint64_t *bits)
{
    const uint64_t *rows = &k->rows[p->row_of[slot] * p->width];
    size_t n = 0, apart = SLOTS * p->width;
    uint32_t have = 0, more;
    for (size_t i = 0; i < p->live.len; i++) {
        size_t b = p->live.at[i];
        uint64_t *x = &bits[b * p->width];
        if (p->width == BLOCK)
            more = keep_words(x, &rows[b * apart], BLOCK);
        else
            more = keep_words(x, &rows[b * apart], p->width);
        p->live.at[n] = b;
        n += more != 0;
        have += more;
    }
    p->live.len = n;
    return have;
}

/* Less than n nodes serve the need in all of the slots: a slot at or behind which a run has to
 * begin, from + 1 or more. */
static size_t begin_behind(struct tug_profile *p, const struct kind *k, const uint64_t *allowed,
                           uint32_t n, size_t from, size_t end, uint64_t *scratch)
{
    p->live.len = 0;
    for (size_t b = 0; b < p->blocks; b++) {
        copy_block(p, &scratch[b * p->width], allowed, b);
        p->live.at[p->live.len++] = b;
    }
    for (size_t s = end; s > from; s--)
        if (and_live(p, k, s - 1, scratch) < n)
            return s;
    return from + 1; /* the kind is an easier one */
}

#define FITS SIZE_MAX
/* FITS, or as begin_behind(). */
static size_t narrow(struct tug_profile *p, struct kind *k, const struct tug_need *need,
                     const uint64_t *allowed, uint32_t n, size_t from, size_t end, struct found *f)
{
    f->first = k->begin;
    if (gather(p, k, need, allowed, n, from, end, f) < n)
        return begin_behind(p, k, allowed, n, from, end, f->at.at);
    k->begin = f->n ? block_of(p, f, f->n - 1) : 0;
    return FITS;
}

static int is_even(const struct tug_want *w)
{
    return w->nodes == 1 || is_same_need(&w->each, &w->last);
}

static int64_t end_ms_of(const struct tug_profile *p, size_t s, int64_t run_ms)
{
    return run_ms == TUG_NEVER || p->t[s] == TUG_NOWHEN ? TUG_NEVER : plus(p->t[s], run_ms);
}

int64_t tug_profile_earliest(struct tug_profile *p, const struct tug_want *w, int64_t from_ms)
{
    int even = is_even(w);
    const struct tug_need *each = w->nodes == 1 ? &w->last : &w->each;
    struct kind *k = kind_of(p, each), *last = even ? k : kind_of(p, &w->last);
    uint32_t n = even ? w->nodes : w->nodes - 1;
    size_t s = slot_from(p, from_ms), end = s;
    while (s < p->n_slots) {
        int64_t end_ms = end_ms_of(p, s, w->run_ms);
        size_t next = s;
        for (end = end > s ? end : s; end < p->n_slots && (end == s || p->t[end] < end_ms); end++)
            if (k->count[end] < n || last->count[end] < w->nodes)
                next = end + 1;
        if (next == s)
            next = narrow(p, k, each, w->allowed, n, s, end, &p->found[0]);
        if (next == FITS && !even)
            next = narrow(p, last, &w->last, w->allowed, w->nodes, s, end, &p->found[1]);
        if (next == FITS)
            return p->t[s];
        s = next;
    }
    return TUG_NEVER;
}

/* ---- choosing */

static uint32_t node_of(const struct tug_profile *p, const struct found *f, size_t word,
                        uint64_t bits)
{
    size_t block = block_of(p, f, word / p->width);
    return (uint32_t) ((block * BLOCK + word % p->width) * 64 + (size_t) __builtin_ctzll(bits));
}

/* n of the nodes in 'bits' (words of f's blocks), those with the fewest GPUs free in that slot. */
static void choose_fullest(struct tug_profile *p, const struct found *f, const uint64_t *bits,
                           uint32_t n, size_t slot, uint32_t *out)
{
    int32_t fewest = INT32_MAX;
    p->nearly.len = 0;
    for (size_t w = 0; w < f->n * p->width; w++)
        for (uint64_t m = bits[w]; m && n; m &= m - 1) {
            uint32_t node = node_of(p, f, w, m);
            const struct node *x = &p->nodes.at[node];
            int32_t gpus = x->points.at[point_of(p, x, slot)].gpus;
            if (gpus <= 0) {
                *out++ = node;
                n--;
                continue;
            }
            fewest = gpus < fewest ? gpus : fewest;
            p->nearly.at[p->nearly.len].gpus = gpus;
            p->nearly.at[p->nearly.len++].node = node;
        }
    for (int32_t next; n; fewest = next) {
        next = INT32_MAX;
        for (size_t i = 0; i < p->nearly.len && n; i++) {
            int32_t gpus = p->nearly.at[i].gpus;
            if (gpus > fewest && gpus < next)
                next = gpus;
            if (gpus != fewest)
                continue;
            *out++ = p->nearly.at[i].node;
            n--;
        }
    }
}

static uint32_t take_all(const struct tug_profile *p, const struct found *f, const uint64_t *bits,
                         uint32_t *out)
{
    uint32_t n = 0;
    for (size_t w = 0; w < f->n * p->width; w++)
        for (uint64_t m = bits[w]; m; m &= m - 1)
            out[n++] = node_of(p, f, w, m);
    return n;
}

/* Of the bits those that served the kind in that slot already: how many. */
FAST static uint32_t and_before(const struct tug_profile *p, const struct kind *k,
                                const struct found *f, size_t slot, const uint64_t *bits,
                                uint64_t *came)
{
    uint32_t n = 0;
    memcpy(came, bits, f->n * p->width * sizeof *came);
    for (size_t i = 0, w = 0; i < f->n; i++, w += p->width) {
        const uint64_t *r = row(p, k, block_of(p, f, i), slot);
        if (p->width == BLOCK)
            n += keep_words(&came[w], r, BLOCK);
        else
            n += keep_words(&came[w], r, p->width);
    }
    return n;
}

/* n nodes of those found, which serve the kind in slot s: those that came to do so last. */
static void choose_latest(struct tug_profile *p, const struct kind *k, const struct found *f,
                          uint32_t n, size_t s, uint32_t *out)
{
    uint64_t *still = p->spare[0].at, *came = p->spare[1].at;
    size_t words = f->n * p->width;
    uint32_t left = count_bits(f->at.at, words);
    memcpy(still, f->at.at, words * sizeof *still);
    for (; s > 0 && n; s--) {
        uint32_t before = and_before(p, k, f, s - 1, still, came);
        if (before == left)
            continue;
        for (size_t w = 0; w < words; w++) {
            uint64_t stays = came[w];
            came[w] = still[w] & ~stays;
            still[w] = stays;
        }
        uint32_t n_came = left - before;
        left = before;
        if (n_came > n) {
            choose_fullest(p, f, came, n, s - 1, out);
            return;
        }
        out += take_all(p, f, came, out);
        n -= n_came;
    }
    if (n)
        choose_fullest(p, f, still, n, 0, out);
}

/* It is not to be chosen again. */
static void take_out(const struct tug_profile *p, struct found *f, uint32_t node)
{
    size_t word = node / 64,
           i = word / BLOCK + (word / BLOCK < f->first ? p->blocks : 0) - f->first;
    if (i < f->n)
        f->at.at[i * p->width + word % BLOCK] &= ~(1ULL << (node % 64));
}

static int by_index(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

void tug_profile_choose(struct tug_profile *p, const struct tug_want *w, int64_t start_ms,
                        uint32_t *nodes)
{
    size_t s = slot_from(p, start_ms);
    if (is_even(w)) {
        const struct tug_need *each = w->nodes == 1 ? &w->last : &w->each;
        choose_latest(p, kind_of(p, each), &p->found[0], w->nodes, s, nodes);
        qsort(nodes, w->nodes, sizeof *nodes, by_index);
        return;
    }
    uint32_t n = w->nodes - 1;
    choose_latest(p, kind_of(p, &w->each), &p->found[0], n, s, nodes);
    qsort(nodes, n, sizeof *nodes, by_index);
    for (uint32_t i = 0; i < n; i++)
        take_out(p, &p->found[1], nodes[i]);
    choose_latest(p, kind_of(p, &w->last), &p->found[1], 1, s, &nodes[n]);
}

int64_t tug_profile_edge_after(const struct tug_profile *p, int64_t at_ms)
{
    size_t s = at_ms == TUG_NEVER ? p->n_slots : slot_from(p, at_ms + 1);
    return s < p->n_slots ? p->t[s] : TUG_NEVER;
}

uint32_t tug_profile_serving(struct tug_profile *p, const struct tug_need *need,
                             const uint64_t *allowed, int64_t at_ms, int64_t run_ms, uint64_t *bits)
{
    struct kind *k = kind_of(p, need);
    struct found *f = &p->found[0];
    size_t s = slot_from(p, at_ms);
    f->first = 0; /* and all of them, so that they stand in order */
    uint32_t n = gather(p, k, need, allowed, UINT32_MAX, s, slot_behind(p, s, run_ms), f);
    memcpy(bits, f->at.at, p->words * sizeof *bits);
    return n;
}

uint64_t *tug_profile_open_now(struct tug_profile *p, const struct tug_want *w)
{
    const struct tug_need *need = w->nodes == 1 ? &w->last : &w->each;
    struct kind *k = kind_of(p, need);
    p->found[0].first = 0; /* and all of them, so that they stand in order */
    gather(p, k, need, w->allowed, UINT32_MAX, 0, slot_behind(p, 0, w->run_ms), &p->found[0]);
    return p->found[0].at.at;
}

int tug_profile_fits_now(const struct tug_profile *p, const struct tug_want *w,
                         const uint32_t *nodes)
{
    size_t end = slot_behind(p, 0, w->run_ms);
    for (uint32_t i = 0; i < w->nodes; i++)
        if (!serves_during(p, nodes[i], i + 1 < w->nodes ? &w->each : &w->last, 0, end))
            return 0;
    return 1;
}

/* ---- booking */

struct range { /* of what is free on a node while something is booked there */
    struct point most, least;
    struct point most_before; /* it was booked */
};

static void widen(struct range *r, const struct point *x)
{
    r->most.gpus = x->gpus > r->most.gpus ? x->gpus : r->most.gpus;
    r->most.cpus = x->cpus > r->most.cpus ? x->cpus : r->most.cpus;
    r->most.mem_bytes = x->mem_bytes > r->most.mem_bytes ? x->mem_bytes : r->most.mem_bytes;
    r->most.gangs = x->gangs < r->most.gangs ? x->gangs : r->most.gangs;
    r->least.gpus = x->gpus < r->least.gpus ? x->gpus : r->least.gpus;
    r->least.cpus = x->cpus < r->least.cpus ? x->cpus : r->least.cpus;
    r->least.mem_bytes = x->mem_bytes < r->least.mem_bytes ? x->mem_bytes : r->least.mem_bytes;
    r->least.gangs = x->gangs > r->least.gangs ? x->gangs : r->least.gangs;
}

static void widen_slices(struct range *r, const struct point *x)
{
    for (size_t k = 0; k < TUG_PROFILE_CUTS; k++) {
        r->most.slices[k] = x->slices[k] > r->most.slices[k] ? x->slices[k] : r->most.slices[k];
        r->least.slices[k] = x->slices[k] < r->least.slices[k] ? x->slices[k] : r->least.slices[k];
    }
}

static struct range book_node(struct tug_profile *p, uint32_t node, const struct tug_need *need,
                              size_t from, size_t end)
{
    struct node *n = &p->nodes.at[node];
    size_t first = point_at(p, n, from);
    size_t behind = end < p->n_slots ? point_at(p, n, end) : n->points.len;
    int32_t cpus = need->exclusive ? n->cpus : (int32_t) need->cpus;
    int32_t gpus = need->exclusive ? n->gpus : need->cut ? 0 : (int32_t) need->gpus;
    int8_t slices[TUG_PROFILE_CUTS] = {0};
    for (size_t k = 0; k < TUG_PROFILE_CUTS && n->kinds[k]; k++)
        slices[k] = n->kinds[k] == need->cut ? (int8_t) need->gpus : 0;
    struct range r = {.most = n->points.at[first]};
    for (size_t i = first; i < behind; i++) {
        struct point *x = &n->points.at[i];
        x->mem_bytes -= (int64_t) need->mem_bytes;
        x->cpus -= cpus;
        x->gpus = (int16_t) (x->gpus - gpus);
        for (size_t k = 0; k < TUG_PROFILE_CUTS && n->kinds[k]; k++)
            x->slices[k] = (int8_t) (x->slices[k] - slices[k]);
        x->gangs++;
        if (i == first)
            r.least = r.most = *x;
        widen(&r, x);
        if (n->kinds[0])
            widen_slices(&r, x);
    }
    r.most_before = r.most;
    r.most_before.mem_bytes += (int64_t) need->mem_bytes;
    r.most_before.cpus += cpus;
    r.most_before.gpus = (int16_t) (r.most.gpus + gpus);
    for (size_t k = 0; k < TUG_PROFILE_CUTS && n->kinds[k]; k++)
        r.most_before.slices[k] = (int8_t) (r.most.slices[k] + slices[k]);
    r.most_before.gangs--;
    return r;
}

/* The bits of a node where it does not serve the kind any more in some of the slots. */
static void clear_some(struct tug_profile *p, struct kind *k, uint32_t node, size_t from,
                       size_t end)
{
    const struct node *n = &p->nodes.at[node];
    uint64_t bit = 1ULL << (node % 64);
    size_t i = point_of(p, n, from);
    for (size_t s = from; s < end; i++) {
        size_t next = i + 1 < n->points.len ? slot_of(p, &n->points.at[i + 1]) : p->n_slots;
        if (serves(n, &n->points.at[i], &k->need, k->need.cut)) {
            s = next;
            continue;
        }
        for (; s < next && s < end; s++) {
            uint64_t *w = &row(p, k, node / 64 / BLOCK, s)[node / 64 % BLOCK];
            k->count[s] -= (*w & bit) != 0;
            *w &= ~bit;
        }
    }
}

FAST static void clear_all(struct tug_profile *p, struct kind *k, size_t from, size_t end)
{
    for (size_t s = from; s < end; s++) {
        uint64_t *r = row(p, k, 0, s);
        for (size_t i = 0; i < p->gone.len; i++) {
            uint64_t *w = &r[p->gone.at[i].at], was = *w & p->gone.at[i].bits;
            if (!was)
                continue;
            *w &= ~was;
            k->count[s] -= (uint32_t) __builtin_popcountll(was);
        }
    }
}

static inline __attribute__((always_inline)) void update_bits(struct tug_profile *p, struct kind *k, const uint32_t *nodes,
                                                              const struct range *ranges, uint32_t n, size_t from, size_t end,
                                                              uint32_t cut)
{
    p->gone.len = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct node *x = &p->nodes.at[nodes[i]];
        if (serves(x, &ranges[i].least, &k->need, cut) || !serves(x, &ranges[i].most_before, &k->need, cut))
            continue; /* still, or not before either */
        if (serves(x, &ranges[i].most, &k->need, cut)) {
            clear_some(p, k, nodes[i], from, end);
            continue;
        }
        size_t word = nodes[i] / 64;
        if (p->gone.len && p->gone.at[p->gone.len - 1].word == word) {
            p->gone.at[p->gone.len - 1].bits |= 1ULL << (nodes[i] % 64);
        } else {
            tug_vec_reserve(&p->gone, p->gone.len + 1);
            p->gone.at[p->gone.len].word = word;
            p->gone.at[p->gone.len].at = word / BLOCK * SLOTS * p->width + word % BLOCK;
            p->gone.at[p->gone.len++].bits = 1ULL << (nodes[i] % 64);
        }
    }
    clear_all(p, k, from, end);
}

FAST static void update_kind(struct tug_profile *p, struct kind *k, const uint32_t *nodes,
                             const struct range *ranges, uint32_t n, size_t from, size_t end)
{
    if (k->need.cut)
        update_bits(p, k, nodes, ranges, n, from, end, k->need.cut);
    else
        update_bits(p, k, nodes, ranges, n, from, end, 0);
}

void tug_profile_book(struct tug_profile *p, const struct tug_want *w, const uint32_t *nodes,
                      int64_t start_ms)
{
    enum { AT_ONCE = 64 };
    struct range ranges[AT_ONCE];
    size_t from = slot_from(p, start_ms), end = p->n_slots;
    tug_assert(from < p->n_slots && p->t[from] == start_ms);
    if (w->run_ms != TUG_NEVER && start_ms != TUG_NOWHEN) {
        end = cut_at(p, plus(start_ms, w->run_ms > 0 ? w->run_ms : 1));
        from = slot_from(p, start_ms); /* the grid may have come */
    }
    for (uint32_t done = 0; done < w->nodes; done += AT_ONCE) {
        uint32_t n = w->nodes - done < AT_ONCE ? w->nodes - done : AT_ONCE;
        for (uint32_t i = 0; i < n; i++)
            ranges[i] = book_node(p, nodes[done + i], done + i + 1 < w->nodes ? &w->each : &w->last,
                                  from, end);
        for (size_t i = 0; i < p->n_kinds; i++)
            update_kind(p, p->kinds[i], &nodes[done], ranges, n, from, end);
    }
}

/* ---- checking */

static int check_kind(const struct tug_profile *p, const struct kind *k)
{
    for (size_t s = 0; s < p->n_slots; s++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < p->n_nodes; i++) {
            const struct node *n = &p->nodes.at[i];
            int is = n->points.len && serves(n, &n->points.at[point_of(p, n, s)], &k->need, k->need.cut);
            if (is != (int) (row(p, k, i / 64 / BLOCK, s)[i / 64 % BLOCK] >> (i % 64) & 1))
                return -EINVAL;
            count += (uint32_t) is;
        }
        if (count != k->count[s])
            return -EINVAL;
    }
    return 0;
}

int tug_profile_check(const struct tug_profile *p)
{
    for (size_t s = 0; s < p->n_slots; s++)
        if (p->slot_of[p->row_of[s]] != s || (s && p->t[s] <= p->t[s - 1]))
            return -EINVAL;
    for (uint32_t i = 0; i < p->n_nodes; i++)
        for (size_t x = 1; x < p->nodes.at[i].points.len; x++)
            if (slot_of(p, &p->nodes.at[i].points.at[x]) <=
                slot_of(p, &p->nodes.at[i].points.at[x - 1]))
                return -EINVAL;
    for (size_t i = 0; i < p->n_kinds; i++) {
        int rc = check_kind(p, p->kinds[i]);
        if (rc)
            return rc;
    }
    return 0;
}
