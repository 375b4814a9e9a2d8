/* place.c - where a gang fits
 *
 * First fit in node order, or the fullest nodes first, or near each other (topology.c); lowest GPUs;
 * a part of a GPU beside other parts. A plugin that places is asked only about gangs that fit, and
 * what it says is checked. Four things keep a pass from looking at every node for every job: nodes
 * are indexed by how many GPUs are free there; jobs that ask for the same share one shape, and a
 * shape that did not fit is not tried again until something becomes free; nor are wider ones of its
 * family; shapes that the usable nodes could not hold even if they were empty are parked, with their
 * jobs, until more nodes are usable. Layer: core.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hostlist.h"
#include "core/pass.h"

/* ---- index */

void tug_index_clear(struct tug_index *x)
{
    for (size_t g = 0; g <= TUG_GPUS_MAX; g++) {
        free(x->free_ge[g]);
        for (size_t k = 0; k < x->cuts.len; k++)
            free(x->cuts.at[k].free_ge[g]);
    }
    tug_vec_clear(&x->cuts);
    free(x->usable);
    free(x->shared);
    free(x->shaky);
    free(x->idle);
    free(x->room);
    *x = (struct tug_index){0};
}

static uint64_t *widen(uint64_t *bits, size_t from, size_t to)
{
    bits = tug_xrealloc(bits, to * sizeof *bits);
    memset(&bits[from], 0, (to - from) * sizeof *bits);
    return bits;
}

void tug_index_grow(struct tug_index *x, size_t n_nodes)
{
    size_t words = (n_nodes + 63) / 64;
    if (words <= x->words)
        return;
    for (size_t g = 0; g <= TUG_GPUS_MAX; g++) {
        x->free_ge[g] = widen(x->free_ge[g], x->words, words);
        for (size_t k = 0; k < x->cuts.len; k++)
            x->cuts.at[k].free_ge[g] = widen(x->cuts.at[k].free_ge[g], x->words, words);
    }
    x->usable = widen(x->usable, x->words, words);
    x->shared = widen(x->shared, x->words, words);
    x->shaky = widen(x->shaky, x->words, words);
    x->idle = widen(x->idle, x->words, words);
    x->room = tug_xrealloc(x->room, words * 64 * sizeof *x->room);
    memset(&x->room[x->words * 64], 0, (words - x->words) * 64 * sizeof *x->room);
    x->words = words;
}

static void set_bit(uint64_t *bits, uint32_t i, int on)
{
    if (on)
        bits[i / 64] |= 1ULL << (i % 64);
    else
        bits[i / 64] &= ~(1ULL << (i % 64));
}

void tug_index_set(struct tug_index *x, uint32_t node, int usable, unsigned gpus_free, int cpu_free,
                   int idle)
{
    set_bit(x->usable, node, usable);
    set_bit(x->idle, node, usable && idle);
    for (unsigned g = 0; g <= TUG_GPUS_MAX; g++)
        set_bit(x->free_ge[g], node, usable && cpu_free && g <= gpus_free);
}

void tug_index_set_shared(struct tug_index *x, uint32_t node, int shared)
{
    set_bit(x->shared, node, shared);
}

void tug_index_set_shaky(struct tug_index *x, uint32_t node, int shaky)
{
    x->n_shaky += (size_t) (shaky != 0) - (size_t) tug_bit(x->shaky, node);
    set_bit(x->shaky, node, shaky);
}

/* ---- where: the nodes that a job may use */

static int is_word(char ch)
{
    return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

/* "a100" is in "NVIDIA A100-SXM4-80GB": the words asked for stand there as whole words, in any
 * letter case. "a100|h100" is either. */
int tug_gpu_model_matches(const char *model, const char *asked)
{
    if (!*asked)
        return 1;
    for (size_t n; *asked; asked += n + (asked[n] == '|')) {
        n = strcspn(asked, "|");
        for (const char *p = model; n && *p; p++)
            if (strncasecmp(p, asked, n) == 0 && (p == model || !is_word(p[-1])) && !is_word(p[n]))
                return 1;
    }
    return 0;
}

int tug_place_model_fits(const struct tug_core *c, uint32_t node, const char *asked)
{
    struct tug_core_inventory has;
    tug_node_size(c, node, &has);
    return (!c->nodes.at[node].known && !*has.gpu_model) ||
           tug_gpu_model_matches(has.gpu_model, asked);
}

/* Bits of the nodes in a hostlist that has been checked before; "" = all when 'empty_is_all'. */
static void mark_nodes(const struct tug_core *c, const char *text, int empty_is_all, uint64_t *bits)
{
    size_t words = c->index.words;
    memset(bits, 0, words * sizeof *bits);
    if (!*text) {
        if (empty_is_all)
            memset(bits, 0xff, words * sizeof *bits);
        return;
    }
    struct tug_hostlist *hl = NULL;
    if (tug_hostlist_parse(text, &hl, NULL) != 0)
        return;
    for (size_t i = 0; i < tug_hostlist_count(hl); i++) {
        uint32_t node = tug_core_node_find(c, tug_hostlist_nth(hl, i));
        if (node != TUG_NO_NODE)
            set_bit(bits, node, 1);
    }
    tug_hostlist_free(hl);
}

static void where_fill(const struct tug_core *c, struct tug_where *w)
{
    size_t words = c->index.words;
    w->nodes = tug_xrealloc(w->nodes, (words ? words : 1) * sizeof *w->nodes);
    uint64_t *more = tug_xmalloc((words ? words : 1) * sizeof *more);
    mark_nodes(c, w->key.queue_nodes, 1, w->nodes);
    mark_nodes(c, w->key.nodelist, 1, more);
    for (size_t i = 0; i < words; i++)
        w->nodes[i] &= more[i];
    mark_nodes(c, w->key.exclude, 0, more);
    for (size_t i = 0; i < words; i++)
        w->nodes[i] &= ~more[i];
    free(more);
    w->n_nodes = 0;
    for (uint32_t i = 0; i < words * 64; i++) {
        if (!tug_bit(w->nodes, i))
            continue;
        int keep = i < c->nodes.len && c->nodes.at[i].in_conf &&
                   tug_place_model_fits(c, i, w->key.gpu_model);
        set_bit(w->nodes, i, keep);
        w->n_nodes += (size_t) keep;
    }
}

struct tug_where *tug_where_get(struct tug_core *c, const char *queue_nodes, const char *nodelist,
                                const char *exclude, const char *gpu_model)
{
    struct tug_where_key key = {queue_nodes, nodelist, exclude, gpu_model};
    struct tug_where *w;
    HASH_FIND(hh, c->wheres, &key, sizeof key, w);
    if (!w) {
        w = tug_new(struct tug_where);
        w->key = (struct tug_where_key){
            tug_intern(c->texts, queue_nodes), tug_intern(c->texts, nodelist),
            tug_intern(c->texts, exclude), tug_intern(c->texts, gpu_model)};
        where_fill(c, w);
        HASH_ADD(hh, c->wheres, key, sizeof w->key, w);
    }
    w->refs++;
    return w;
}

void tug_where_drop(struct tug_core *c, struct tug_where *w)
{
    if (--w->refs)
        return;
    HASH_DEL(c->wheres, w);
    tug_intern_drop(c->texts, w->key.queue_nodes);
    tug_intern_drop(c->texts, w->key.nodelist);
    tug_intern_drop(c->texts, w->key.exclude);
    tug_intern_drop(c->texts, w->key.gpu_model);
    free(w->nodes);
    free(w);
}

void tug_wheres_renew(struct tug_core *c)
{
    struct tug_where *w, *next;
    HASH_ITER (hh, c->wheres, w, next)
        where_fill(c, w);
    c->reshaped++;
    c->freed++;
    c->wants_pass = 1;
}

/* ---- families */

static struct tug_family *family_get(struct tug_core *c, const struct tug_shape_key *shape)
{
    struct tug_shape_key key;
    struct tug_family *f;
    memcpy(&key, shape, sizeof key); /* padding is zero there */
    key.nodes = 0;
    HASH_FIND(hh, c->families_by_key, &key, sizeof key, f);
    if (!f) {
        f = tug_new(struct tug_family);
        memcpy(&f->key, &key, sizeof key);
        HASH_ADD(hh, c->families_by_key, key, sizeof f->key, f);
        if (!c->families.len)
            tug_vec_push(&c->families, NULL);
        for (f->number = 1; f->number < c->families.len && c->families.at[f->number];)
            f->number++;
        if (f->number == c->families.len)
            tug_vec_push(&c->families, NULL);
        c->families.at[f->number] = f;
        while (c->family_limits.len < c->families.len)
            tug_vec_push(&c->family_limits, UINT32_MAX);
        c->family_limits.at[f->number] = UINT32_MAX;
    }
    f->refs++;
    return f;
}

static void family_drop(struct tug_core *c, struct tug_family *f)
{
    if (--f->refs)
        return;
    c->families.at[f->number] = NULL;
    HASH_DEL(c->families_by_key, f);
    free(f);
    if (!c->families_by_key) {
        tug_vec_clear(&c->families);
        tug_vec_clear(&c->family_limits);
    }
}

const uint32_t *tug_family_limits(struct tug_core *c)
{
    if (c->family_limits_at != c->freed)
        for (size_t i = 0; i < c->family_limits.len; i++)
            c->family_limits.at[i] = UINT32_MAX;
    c->family_limits_at = c->freed;
    return c->family_limits.at;
}

void tug_family_failed(struct tug_core *c, struct tug_family *f, uint32_t nodes)
{
    if (tug_family_limits(c)[f->number] > nodes)
        c->family_limits.at[f->number] = nodes;
}

void tug_family_delays(struct tug_core *c, struct tug_family *f, uint32_t nodes, int64_t run_ms)
{
    int64_t s = run_ms / 1000 + (run_ms % 1000 != 0);
    if (s >= UINT32_MAX)
        s = UINT32_MAX - 1;
    if (f->delays_in != c->pass)
        memset(f->delays_s, 0xff, sizeof f->delays_s);
    f->delays_in = c->pass;
    for (uint32_t i = nodes; i < TUG_FAMILY_WIDTHS && f->delays_s[i] > s; i++)
        f->delays_s[i] = (uint32_t) s;
}

int tug_family_is_delaying(const struct tug_core *c, const struct tug_family *f, uint32_t nodes,
                           uint32_t run_s)
{
    uint32_t width = nodes < TUG_FAMILY_WIDTHS ? nodes : TUG_FAMILY_WIDTHS - 1;
    return f->delays_in == c->pass && f->delays_s[width] <= run_s &&
           f->delays_s[width] != UINT32_MAX;
}

int tug_family_waits_for(const struct tug_core *c, const struct tug_family *f, uint32_t nodes,
                         uint32_t run_s)
{
    if (c->family_limits_at == c->freed && nodes >= c->family_limits.at[f->number])
        return TUG_REASON_RESOURCES;
    return tug_family_is_delaying(c, f, nodes, run_s) ? TUG_REASON_PRIORITY : TUG_REASON_NONE;
}

/* ---- shapes */

/* Without those that it excludes, or that an attempt of it before has yet to leave. */
static struct tug_where *where_of(struct tug_core *c, const struct tug_queue *q, const struct tug_entry *e, const char *failed_on)
{
    const struct tug_job_req *r = &e->j.req;
    struct tug_buf all = {0};
    if (!*failed_on && !tug_remnants_may_keep_out(c, &e->j))
        return tug_where_get(c, q->nodes, r->nodelist, r->exclude, r->gpu_model);
    tug_buf_addf(&all, "%s", r->exclude);
    tug_remnants_keep_out(c, &e->j, &all);
    tug_buf_addf(&all, "%s%s", all.len && *failed_on ? "," : "", failed_on);
    const char *exclude = tug_intern(c->texts, tug_buf_str(&all)); /* places are told apart by the address */
    struct tug_where *w = tug_where_get(c, q->nodes, r->nodelist, exclude, r->gpu_model);
    tug_intern_drop(c->texts, exclude);
    tug_buf_clear(&all);
    return w;
}

static void where_drop_both(struct tug_core *c, const struct tug_where *w, const struct tug_where *first)
{
    tug_where_drop(c, (struct tug_where *) (uintptr_t) w);
    if (first)
        tug_where_drop(c, (struct tug_where *) (uintptr_t) first);
}

void tug_shape_hold(struct tug_core *c, struct tug_entry *e)
{
    const struct tug_job_req *r = &e->j.req;
    const struct tug_queue *q = tug_queue_find(c, r->queue);
    tug_assert(q && !e->shape);
    struct tug_where *w = where_of(c, q, e, ""),
                     *first = *e->j.failed_on ? where_of(c, q, e, e->j.failed_on) : NULL; /* without those that failed it */
    struct tug_shape_key key;
    memset(&key, 0, sizeof key);
    key = (struct tug_shape_key){.where = w,
                                 .first = first,
                                 .queue = r->queue,
                                 .within = tug_within_of(c, e),
                                 .mem_bytes = r->mem_per_node_bytes,
                                 .milli = r->gpu_milli,
                                 .cut = tug_cut_kind(c, r->mig_profile, 0),
                                 .nodes = r->nodes,
                                 .cpus = r->cpus_per_node,
                                 .gpus = r->gpus_per_node,
                                 .cpus_last = tug_job_req_cpus(r, r->nodes - 1),
                                 .gpus_last = tug_job_req_gpus(r, r->nodes - 1),
                                 .exclusive = r->exclusive != 0,
                                 .user = r->gpu_milli ? r->uid : 0,
                                 .mixed = r->gpu_milli && q->share_gpus == TUG_GPU_SHARING_ALL};
    struct tug_shape *s;
    HASH_FIND(hh, c->shapes, &key, sizeof key, s);
    if (s) {
        where_drop_both(c, w, first);
    } else {
        s = tug_new(struct tug_shape);
        s->key = key;
        s->number = ++c->shapes_made;
        s->micro = key.cut ? c->cuts.at[key.cut - 1].micro : 0;
        s->family = family_get(c, &key);
        TAILQ_INIT(&s->parked);
        HASH_ADD(hh, c->shapes, key, sizeof s->key, s);
    }
    s->refs++;
    e->shape = s;
}

void tug_shape_drop(struct tug_core *c, struct tug_entry *e)
{
    struct tug_shape *s = e->shape;
    e->shape = NULL;
    if (!s || --s->refs)
        return;
    tug_assert(TAILQ_EMPTY(&s->parked));
    HASH_DEL(c->shapes, s);
    family_drop(c, s->family);
    where_drop_both(c, s->key.where, s->key.first);
    free(s);
}

void tug_shape_renew(struct tug_core *c, struct tug_entry *e)
{
    tug_assert(e->bench == TUG_BENCH_NONE);
    tug_shape_drop(c, e);
    tug_shape_hold(c, e);
}

static int could_hold(const struct tug_core *c, const struct tug_shape *s, uint32_t node,
                      uint32_t cpus, uint32_t gpus)
{
    const struct tug_ledger_node *n = tug_ledger_node(c->ledger, node);
    return n->cpus >= cpus && tug_gpuset_count(tug_cut_devices(c, node, s->key.cut)) >= gpus &&
           n->mem_bytes >= s->key.mem_bytes;
}

int tug_shape_could_hold(const struct tug_core *c, const struct tug_shape *s, uint32_t node)
{
    return could_hold(c, s, node, s->key.cpus, s->key.gpus);
}

int tug_shape_could_hold_last(const struct tug_core *c, const struct tug_shape *s, uint32_t node)
{
    return could_hold(c, s, node, s->key.cpus_last, s->key.gpus_last);
}

int tug_shape_is_possible(struct tug_core *c, struct tug_shape *s)
{
    if (s->weighed_at == c->reshaped)
        return s->possible;
    uint32_t full = 0, any = 0;
    s->weighed_at = c->reshaped;
    s->possible = 0;
    for (size_t w = 0; w < c->index.words && !s->possible; w++) {
        for (uint64_t m = s->key.where->nodes[w] & c->index.usable[w]; m; m &= m - 1) {
            uint32_t node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
            full += (uint32_t) tug_shape_could_hold(c, s, node);
            any += (uint32_t) tug_shape_could_hold_last(c, s, node);
        }
        s->possible = full + 1 >= s->key.nodes && any >= s->key.nodes;
    }
    if (s->possible && tug_within_binds(&s->key.within))
        s->possible = tug_within_is_possible(c, s);
    return s->possible;
}

void tug_place_unpark(struct tug_core *c)
{
    if (c->unparked_at == c->reshaped)
        return;
    c->unparked_at = c->reshaped;
    struct tug_shape *s = LIST_FIRST(&c->parked);
    while (s) {
        struct tug_shape *next = LIST_NEXT(s, in_parked);
        if (tug_shape_is_possible(c, s))
            while (!TAILQ_EMPTY(&s->parked)) { /* in the order in which they were parked, and nearly always stand */
                struct tug_entry *e = TAILQ_FIRST(&s->parked);
                tug_job_unbench(c, e);
                tug_job_bench(c, e);
            }
        s = next;
    }
}

/* ---- placing */

static struct tug_slice part_of(const struct tug_shape *s)
{
    return (struct tug_slice){.gpu_milli = s->key.milli,
                              .gpu_user = s->key.user,
                              .gpu_mixed = s->key.mixed != 0};
}

int tug_place_part_fits(const struct tug_core *c, const struct tug_shape *s, uint32_t node,
                        tug_gpuset gpu)
{
    struct tug_slice part = part_of(s);
    return tug_ledger_part_fits(tug_ledger_node(c->ledger, node), (unsigned) __builtin_ctzll(gpu),
                                &part);
}

static int part_fits(const struct tug_core *c, const struct tug_shape *s, uint32_t node)
{
    struct tug_slice part = part_of(s);
    uint32_t left;
    return !c->nodes.at[node].shut && tug_ledger_share(tug_ledger_node(c->ledger, node), &part, &left) < TUG_GPUS_MAX;
}

/* By the index alone, where it can be: it is asked of thousands of nodes. */
static int fits(const struct tug_core *c, const struct tug_shape *s, uint32_t node, uint32_t cpus,
                uint32_t gpus)
{
    const struct tug_index *x = &c->index;
    if (!tug_bit(s->key.where->nodes, node) || !tug_bit(x->usable, node))
        return 0;
    if (c->as_if_empty)
        return !c->nodes.at[node].shut && could_hold(c, s, node, cpus, gpus);
    if (x->room[node].cpus < cpus || x->room[node].mem_bytes < s->key.mem_bytes ||
        (s->key.exclusive && !tug_bit(x->idle, node)))
        return 0;
    return s->key.milli ? part_fits(c, s, node) : tug_bit(tug_index_free(c, s->key.cut, gpus), node);
}

uint32_t tug_place_mbs(const struct tug_core *c, const struct tug_shape *s, const struct tug_span *span, uint32_t node,
                       int last)
{
    const struct tug_index_room *r = &c->index.room[node];
    tug_gpuset free = s->key.exclusive || c->as_if_empty ? tug_ledger_node(c->ledger, node)->gpus : r->gpus;
    struct tug_place_memo_key key = {
        r->machine, free, *span, r->domain,
        s->key.exclusive ? tug_gpuset_count(free) : last ? s->key.gpus_last : s->key.gpus};
    if (!key.machine)
        key.free = tug_gpuset_first_n(key.gpus); /* all are alike */
    struct tug_place_memo *memo = &c->memos[last != 0];
    if (memcmp(&key, &memo->key, sizeof key) != 0) {
        memo->key = key;
        tug_span_choose(c, span, node, free, key.gpus, &memo->mbs);
    }
    return memo->mbs;
}

/* Is it over the bar? */
static int is_fast(const struct tug_core *c, const struct tug_shape *s, uint32_t node, int last)
{
    return !c->bar.mbs || (tug_place_mbs(c, s, &c->bar.span, node, last) >= c->bar.mbs && (last || node != c->bar.keep));
}

int tug_place_fits(const struct tug_core *c, const struct tug_shape *s, uint32_t node)
{
    return fits(c, s, node, s->key.cpus, s->key.gpus) && is_fast(c, s, node, 0);
}

int tug_place_fits_last(const struct tug_core *c, const struct tug_shape *s, uint32_t node)
{
    return fits(c, s, node, s->key.cpus_last, s->key.gpus_last) && is_fast(c, s, node, 1);
}

/* Nodes that failed lately come behind those that did not and are as good: two turns, where there are any. */
static int turns(const struct tug_core *c)
{
    return c->index.n_shaky ? 2 : 1;
}

static uint64_t in_turn(const struct tug_core *c, size_t word, uint64_t m, int turn)
{
    if (!c->index.n_shaky)
        return m;
    return turn ? m & c->index.shaky[word] : m & ~c->index.shaky[word];
}

/* Of one word's candidates, those that hold a slice: 1 once there are n nodes. */
static int pick_from(struct tug_core *c, const struct tug_shape *s, size_t word, uint64_t m,
                     size_t n)
{
    for (; m; m &= m - 1) {
        uint32_t node = (uint32_t) (word * 64) + (uint32_t) __builtin_ctzll(m);
        if (!tug_place_fits(c, s, node))
            continue;
        tug_vec_push(&c->picked, node);
        if (c->picked.len == n)
            return 1;
    }
    return 0;
}

static int by_index(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int first_fit(struct tug_core *c, const struct tug_shape *s, size_t n)
{
    const uint64_t *candidates = s->key.exclusive ? c->index.idle : tug_index_free(c, s->key.cut, s->key.gpus);
    for (int turn = 0; turn < turns(c); turn++)
        for (size_t w = 0; w < c->index.words; w++)
            if (pick_from(c, s, w, in_turn(c, w, s->key.where->nodes[w] & candidates[w], turn), n)) {
                if (turn)
                    qsort(c->picked.at, c->picked.len, sizeof *c->picked.at, by_index);
                return 1;
            }
    return 0;
}

/* Nodes of a word of the region that have exactly g GPUs free. */
static uint64_t exactly(const struct tug_core *c, const struct tug_shape *s,
                        const struct tug_region *r, size_t word, uint32_t g, uint64_t *more)
{
    uint64_t m = s->key.where->nodes[word] & tug_index_free(c, s->key.cut, g)[word];
    if (r)
        m &= r->nodes[word];
    uint64_t higher = g < TUG_GPUS_MAX ? m & tug_index_free(c, s->key.cut, g + 1)[word] : 0;
    *more |= higher;
    return (s->key.exclusive ? m & c->index.idle[word] : m) & ~higher;
}

static struct tug_region region_of(const struct tug_core *c, const struct tug_region *r)
{
    return r ? *r : (struct tug_region){.to = c->index.words};
}

size_t tug_place_fullest(struct tug_core *c, const struct tug_shape *s, const struct tug_region *r,
                         size_t n)
{
    struct tug_region in = region_of(c, r);
    size_t before = c->picked.len;
    uint64_t more = n > 0; /* nodes have more free than this */
    for (uint32_t g = s->key.gpus; g <= TUG_GPUS_MAX && more; g++) {
        more = 0;
        for (int turn = 0; turn < turns(c); turn++)
            for (size_t w = in.from; w < in.to; w++)
                if (pick_from(c, s, w, in_turn(c, w, exactly(c, s, r, w, g, &more), turn), before + n))
                    return n;
    }
    return c->picked.len - before;
}

uint32_t tug_place_fullest_last(const struct tug_core *c, const struct tug_shape *s,
                                const struct tug_region *r, uint32_t *gpus_free)
{
    struct tug_region in = region_of(c, r);
    uint64_t more = 1;
    for (uint32_t g = s->key.gpus_last; g <= TUG_GPUS_MAX && more; g++) {
        more = 0;
        for (int turn = 0; turn < turns(c); turn++)
            for (size_t w = in.from; w < in.to; w++)
                for (uint64_t m = in_turn(c, w, exactly(c, s, r, w, g, &more), turn); m; m &= m - 1) {
                    uint32_t node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
                    if (c->nodes.at[node].mark == c->marks || !tug_place_fits_last(c, s, node))
                        continue;
                    *gpus_free = g;
                    return node;
                }
    }
    return TUG_NO_NODE;
}

/* Fewest free GPUs first, and the gang's nodes in node order in the end, as its ranks go there. */
static int fullest_fit(struct tug_core *c, const struct tug_shape *s, size_t n)
{
    if (tug_place_fullest(c, s, NULL, n) < n)
        return 0;
    qsort(c->picked.at, c->picked.len, sizeof *c->picked.at, by_index);
    return 1;
}

/* ---- the last slice, where it is smaller: on a node that no other slice is on */

static int pick_last_from(struct tug_core *c, const struct tug_shape *s, size_t word, uint64_t m)
{
    for (; m; m &= m - 1) {
        uint32_t node = (uint32_t) (word * 64) + (uint32_t) __builtin_ctzll(m);
        if (c->nodes.at[node].mark == c->marks || !tug_place_fits_last(c, s, node))
            continue;
        tug_vec_push(&c->picked, node);
        return 1;
    }
    return 0;
}

static int first_last(struct tug_core *c, const struct tug_shape *s)
{
    const uint64_t *candidates =
        s->key.exclusive ? c->index.idle : tug_index_free(c, s->key.cut, s->key.gpus_last);
    for (size_t w = 0; w < c->index.words; w++)
        if (pick_last_from(c, s, w, s->key.where->nodes[w] & candidates[w]))
            return 1;
    return 0;
}

static int emptiest_last(struct tug_core *c, const struct tug_shape *s)
{
    for (uint32_t g = TUG_GPUS_MAX + 1; g-- > s->key.gpus_last;)
        for (size_t w = 0; w < c->index.words; w++) {
            uint64_t m = s->key.where->nodes[w] & tug_index_free(c, s->key.cut, g)[w];
            if (g < TUG_GPUS_MAX)
                m &= ~tug_index_free(c, s->key.cut, g + 1)[w];
            if (s->key.exclusive)
                m &= c->index.idle[w];
            if (pick_last_from(c, s, w, m))
                return 1;
        }
    return 0;
}

/* ---- a part of a GPU: on the GPU in parts that it fills best, else on a free one of the fullest
 * node */

static int find_shared(struct tug_core *c, const struct tug_shape *s)
{
    uint32_t best = TUG_NO_NODE, best_left = UINT32_MAX;
    struct tug_slice part = part_of(s);
    for (size_t w = 0; w < c->index.words; w++)
        for (uint64_t m = s->key.where->nodes[w] & c->index.shared[w]; m; m &= m - 1) {
            uint32_t left, node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m);
            tug_ledger_share(tug_ledger_node(c->ledger, node), &part, &left);
            if (left >= best_left || !tug_place_fits(c, s, node))
                continue;
            best = node;
            best_left = left;
        }
    if (best == TUG_NO_NODE)
        return 0;
    tug_vec_push(&c->picked, best);
    return 1;
}

int tug_place_anywhere(struct tug_core *c, const struct tug_shape *s)
{
    int first = c->placement == TUG_PLACEMENT_FIRST_FIT && !s->key.milli;
    size_t alike = s->key.nodes - (uint32_t) tug_shape_is_uneven(s);
    c->picked.len = 0;
    if (s->key.milli && find_shared(c, s))
        return 1;
    if (c->placement == TUG_PLACEMENT_TOPOLOGY || s->key.within.quality_milli)
        return tug_topology_find(c, s);
    if (!(first ? first_fit(c, s, alike) : fullest_fit(c, s, alike)))
        return 0;
    if (alike == s->key.nodes)
        return 1;
    c->marks++;
    for (size_t i = 0; i < alike; i++)
        c->nodes.at[c->picked.at[i]].mark = c->marks;
    return first ? first_last(c, s) : emptiest_last(c, s);
}

static int search_all(struct tug_core *c, const struct tug_shape *s)
{
    return tug_within_asks(&s->key.within) ? tug_within_find(c, s) : tug_place_anywhere(c, s);
}

static int search(struct tug_core *c, const struct tug_shape *s)
{
    return tug_links_search(c, s, search_all);
}

/* Nodes that failed this very gang before are only for when it does not fit without them. */
static int find(struct tug_core *c, const struct tug_shape *s)
{
    if (s->key.first) {
        struct tug_shape others = *s;
        struct tug_where open = *s->key.where; /* which may be less than the job's own */
        tug_vec_reserve(&c->first, c->index.words + 1);
        for (size_t w = 0; w < c->index.words; w++)
            c->first.at[w] = s->key.where->nodes[w] & s->key.first->nodes[w];
        open.nodes = c->first.at;
        others.key.where = &open;
        others.key.first = NULL;
        if (search(c, &others))
            return 1;
    }
    return search(c, s);
}

int tug_place_find(struct tug_core *c, struct tug_shape *s)
{
    struct tug_family *f = s->family;
    if (s->failed_at == c->freed || (f && tug_family_limits(c)[f->number] <= s->key.nodes))
        return -EAGAIN;
    if (find(c, s))
        return 0;
    s->failed_at = c->freed;
    if (f)
        tug_family_failed(c, f, s->key.nodes);
    return -EAGAIN;
}

/* ---- who chooses */

void tug_place_gpus(struct tug_core *c, const struct tug_job_req *r, struct tug_policy_slice *at)
{
    for (uint32_t i = 0; *r->mig_profile && i < r->nodes; i++)
        at[i].gpus = tug_cut_choose(c, at[i].node, at[i].gpus, tug_job_req_gpus(r, i));
    if (*r->mig_profile)
        return;
    struct tug_span span = tug_span_of(c, at, r->nodes, tug_job_req_all_gpus(r));
    for (uint32_t i = 0; i < r->nodes; i++)
        at[i].gpus = tug_span_choose(c, &span, at[i].node, at[i].gpus, tug_job_req_gpus(r, i), NULL);
}

/* Beside other parts, else of the free GPU that leaves the best ones to others. */
static tug_gpuset place_part(const struct tug_core *c, uint32_t node, const struct tug_shape *s)
{
    const struct tug_ledger_node *n = tug_ledger_node(c->ledger, node);
    struct tug_slice part = part_of(s);
    uint32_t left;
    unsigned gpu = tug_ledger_share(n, &part, &left);
    if (left != UINT32_MAX)
        return 1ULL << gpu;
    return tug_inside_choose(c->nodes.at[node].inv.machine, tug_ledger_gpus_free(n), 1, TUG_GANG_ALONE, NULL);
}

void tug_place_as_picked(struct tug_core *c, const struct tug_entry *e)
{
    for (uint32_t i = 0; i < e->j.req.nodes; i++) {
        uint32_t node = c->picked.at[i];
        tug_gpuset free = tug_cut_free(c, node, e->shape->key.cut);
        c->chosen.at[i] = (struct tug_policy_slice){
            node, e->j.req.gpu_milli ? place_part(c, node, e->shape) : free};
    }
    if (!e->j.req.gpu_milli)
        tug_place_gpus(c, &e->j.req, c->chosen.at);
}

/* A plugin that is asked about a part is shown no room on GPUs where it may not be. */
static void veil(struct tug_core *c, const struct tug_shape *s)
{
    struct tug_slice part = part_of(s);
    c->veils.len = 0;
    for (size_t w = 0; s->key.milli && w < c->index.words; w++)
        for (uint64_t m = c->index.shared[w]; m; m &= m - 1) {
            struct tug_veil v = {.node = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m)};
            const struct tug_ledger_node *n = tug_ledger_node(c->ledger, v.node);
            int hides = 0;
            memcpy(v.milli_free, n->milli_free, sizeof v.milli_free);
            for (tug_gpuset g = n->gpus_shared; g; g &= g - 1)
                if (!tug_ledger_part_may(n, (unsigned) __builtin_ctzll(g), &part)) {
                    v.milli_free[__builtin_ctzll(g)] = 0;
                    hides = 1;
                }
            if (hides)
                tug_vec_push(&c->veils, v);
        }
    for (size_t i = 0; i < c->veils.len; i++)
        c->node_rows.at[c->veils.at[i].node].gpu_milli_free = c->veils.at[i].milli_free;
}

static void unveil(struct tug_core *c)
{
    for (size_t i = 0; i < c->veils.len; i++)
        c->node_rows.at[c->veils.at[i].node].gpu_milli_free =
            tug_ledger_node(c->ledger, c->veils.at[i].node)->milli_free;
    c->veils.len = 0;
}

/* Asks the plugin: 0 or -EAGAIN; anything else it could not decide, or decided wrongly. */
static int ask_policy(struct tug_policy_pass *p, struct tug_entry *e)
{
    struct tug_core *c = p->c;
    size_t at = c->hooks.place, n = e->j.req.nodes;
    uint32_t pair[2];
    struct tug_policy_job row;
    tug_job_row(c, e, &row);
    c->proposed.len = 0;
    for (size_t i = 0; i < n; i++)
        tug_vec_push(&c->proposed, (struct tug_policy_slice){0});
    size_t before = tug_pass_hook_begin(p, at, "place");
    p->placing = 1;
    veil(c, e->shape);
    int rc = c->policies.at[at].ops->place(c->policies.at[at].self, &p->view, p->host, p, &row,
                                           c->proposed.at, n);
    unveil(c);
    p->placing = 0;
    int failed = rc < 0 && rc != -EAGAIN;
    if (!failed && rc != -EAGAIN)
        rc = tug_pass_check_slices(p, e, c->proposed.at);
    if (!rc && tug_links_forbid_slices(c, c->proposed.at, n, pair))
        rc = -EHOSTUNREACH; /* it may not know: then it goes where the core finds room */
    if (!rc)
        memcpy(c->chosen.at, c->proposed.at, n * sizeof *c->chosen.at);
    tug_pass_hook_end(p, before);
    if (failed)
        tug_pass_hook_failed(p, at, "place", rc);
    return rc;
}

/* The plugin that places, if this job is one for it. */
static int asks_policy(const struct tug_policy_pass *p, const struct tug_entry *e)
{
    const struct tug_core *c = p->c;
    if (c->hooks.place >= c->policies.n || p->alone || p->placing || p->failed || e->shape->key.cut)
        return 0;
    const struct tug_policy_ops *ops = c->policies.at[c->hooks.place].ops;
    return !tug_within_asks(&e->shape->key.within) ||
           (TUG_POLICY_HAS(ops, needs) && (ops->needs & TUG_POLICY_NEEDS_DEMANDS));
}

int tug_place_choose(struct tug_policy_pass *p, struct tug_entry *e)
{
    struct tug_core *c = p->c;
    int rc = tug_place_find(c, e->shape);
    if (rc)
        return rc;
    while (c->chosen.len < e->j.req.nodes)
        tug_vec_push(&c->chosen, (struct tug_policy_slice){0});
    if (!asks_policy(p, e)) {
        tug_place_as_picked(c, e);
        return tug_within_is_good(c, e->shape, c->chosen.at, e->j.req.nodes) ? 0 : -EAGAIN;
    }
    rc = ask_policy(p, e);
    if (rc == -EAGAIN)
        e->shape->failed_at = c->freed;
    if (!rc || rc == -EAGAIN)
        return rc;
    rc = tug_place_find(c, e->shape); /* picked may be of something else by now */
    tug_assert(rc == 0);
    tug_place_as_picked(c, e);
    return tug_within_is_good(c, e->shape, c->chosen.at, e->j.req.nodes) ? 0 : -EAGAIN;
}

struct tug_slice *tug_place_slices(const struct tug_core *c, const struct tug_entry *e,
                                   const struct tug_policy_slice *at)
{
    const struct tug_job_req *r = &e->j.req;
    struct tug_slice *slices = tug_xcalloc(r->nodes, sizeof *slices);
    uint32_t rank = 0;
    for (uint32_t i = 0; i < r->nodes; i++) {
        struct tug_slice *s = &slices[i];
        s->node = at[i].node;
        const struct tug_ledger_node *n = tug_ledger_node(c->ledger, s->node);
        s->cpus = r->exclusive ? n->cpus : tug_job_req_cpus(r, i);
        s->mem_bytes = r->mem_per_node_bytes;
        s->gpus = r->exclusive ? tug_cut_devices(c, s->node, e->shape->key.cut) : at[i].gpus;
        s->gpu_milli = r->gpu_milli;
        s->gpu_user = e->shape->key.user;
        s->gpu_mixed = e->shape->key.mixed != 0;
        s->ntasks = tug_job_req_tasks(r, i);
        s->first_rank = rank;
        rank += s->ntasks;
    }
    return slices;
}
