/* ledger.c - which gang holds which GPUs, CPUs and memory, and nothing else
 *
 * Always: milli_used[i] is the sum of what is claimed of GPU i, a thousand for a whole one, and
 * never more; bit i of gpus_used is set exactly when it is not 0, and owner[i] is the job that
 * holds all of it. 'parts' are the claims of less. 'slices' are all_slices but those of GPUs that are held.
 * cpus_used and mem_used_bytes are the sums of the slices that are claimed. Layer:
 * core.
 */
#include "core/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct tug_ledger {
    struct tug_ledger_node *at;
    size_t n, cap;
};

struct tug_ledger *tug_ledger_new(void)
{
    return tug_new(struct tug_ledger);
}

void tug_ledger_free(struct tug_ledger *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->n; i++)
        tug_vec_clear(&l->at[i].parts);
    free(l->at);
    free(l);
}

void tug_ledger_grow(struct tug_ledger *l, size_t n)
{
    if (n <= l->n)
        return;
    if (n > l->cap) {
        l->cap = n > 2 * l->cap ? n : 2 * l->cap;
        l->at = tug_xrealloc(l->at, l->cap * sizeof *l->at);
    }
    memset(&l->at[l->n], 0, (n - l->n) * sizeof *l->at);
    l->n = n;
}

size_t tug_ledger_nodes(const struct tug_ledger *l)
{
    return l->n;
}

const struct tug_ledger_node *tug_ledger_node(const struct tug_ledger *l, uint32_t node)
{
    tug_assert(node < l->n);
    return &l->at[node];
}

static void set_free(struct tug_ledger_node *n, unsigned gpu)
{
    n->milli_free[gpu] = n->gpus >> gpu & 1 ? (uint16_t) (TUG_GPU_MILLI - n->milli_used[gpu]) : 0;
}

void tug_ledger_resize(struct tug_ledger *l, uint32_t node, uint32_t cpus, tug_gpuset gpus,
                       uint64_t mem_bytes)
{
    tug_assert(node < l->n);
    struct tug_ledger_node *n = &l->at[node];
    l->at[node].cpus = cpus;
    l->at[node].gpus = gpus;
    l->at[node].mem_bytes = mem_bytes;
    for (unsigned i = 0; i < TUG_GPUS_MAX; i++)
        set_free(n, i);
}

/* Somebody may still hold all of a GPU that was cut since. */
static void open_slices(struct tug_ledger_node *n)
{
    n->slices = n->all_slices;
    for (tug_gpuset s = n->cut & n->gpus_used ? n->all_slices : 0; s; s &= s - 1)
        if (n->gpus_used >> n->gpu_of[__builtin_ctzll(s)] & 1)
            n->slices &= ~(s & -s);
}

void tug_ledger_set_slices(struct tug_ledger *l, uint32_t node, tug_gpuset slices, tug_gpuset cut, const uint8_t *gpu_of)
{
    struct tug_ledger_node *n = &l->at[node];
    n->all_slices = slices;
    n->cut = cut;
    n->gpu_of = gpu_of;
    open_slices(n);
}

/* Parts of two users on one GPU have both said that they may be there. */
int tug_ledger_part_may(const struct tug_ledger_node *n, unsigned gpu, const struct tug_slice *part)
{
    for (size_t i = 0; i < n->parts.len; i++) {
        const struct tug_ledger_part *p = &n->parts.at[i];
        if (p->gpu == gpu && p->user != part->gpu_user && !(p->mixed && part->gpu_mixed))
            return 0;
    }
    return 1;
}

int tug_ledger_part_fits(const struct tug_ledger_node *n, unsigned gpu, const struct tug_slice *part)
{
    return n->milli_free[gpu] >= part->gpu_milli && tug_ledger_part_may(n, gpu, part);
}

static int gpu_is_held(const struct tug_ledger_node *n, const struct tug_slice *s,
                       struct tug_err *err)
{
    unsigned gpu = (unsigned) __builtin_ctzll(s->gpus & n->gpus_used);
    if (s->gpu_milli && n->gpus_shared >> gpu & 1 && !tug_ledger_part_may(n, gpu, s))
        return tug_fail(err, -EBUSY, "node %u: parts of GPU %u are another user's", s->node, gpu);
    if (s->gpu_milli && n->gpus_shared >> gpu & 1)
        return tug_fail(err, -EBUSY, "node %u: %d of %d of GPU %u are free, %u are wanted", s->node,
                        TUG_GPU_MILLI - n->milli_used[gpu], TUG_GPU_MILLI, gpu, s->gpu_milli);
    if (n->gpus_shared >> gpu & 1)
        return tug_fail(err, -EBUSY, "node %u: GPU %u is held in parts", s->node, gpu);
    return tug_fail(err, -EBUSY, "node %u: GPU %u is held by job %llu", s->node, gpu,
                    (unsigned long long) n->owner[gpu]);
}

/* Does its part fit on a GPU that others have parts of? */
static int has_room(const struct tug_ledger_node *n, const struct tug_slice *s)
{
    return s->gpu_milli && (s->gpus & n->gpus_shared) &&
           n->milli_used[__builtin_ctzll(s->gpus)] + s->gpu_milli <= TUG_GPU_MILLI &&
           tug_ledger_part_may(n, (unsigned) __builtin_ctzll(s->gpus), s);
}

static int check_slice(const struct tug_ledger *l, const struct tug_slice *s,
                       enum tug_ledger_rule rule, struct tug_err *err)
{
    if (s->node >= l->n)
        return tug_fail(err, -EINVAL, "there is no node %u", s->node);
    const struct tug_ledger_node *n = &l->at[s->node];
    if (s->gpu_milli && (tug_gpuset_count(s->gpus) != 1 || s->gpu_milli >= TUG_GPU_MILLI))
        return tug_fail(err, -EINVAL, "node %u: a part of a GPU is less than one of one GPU",
                        s->node);
    if (s->gpus & n->gpus_used && !has_room(n, s))
        return gpu_is_held(n, s, err);
    if (rule == TUG_LEDGER_RESTORE)
        return 0;
    if (s->gpus & ~(n->gpus | n->slices))
        return tug_fail(err, -EINVAL, "node %u: there is no GPU %d", s->node,
                        __builtin_ctzll(s->gpus & ~(n->gpus | n->slices)));
    if (s->cpus > tug_ledger_cpus_free(n))
        return tug_fail(err, -EBUSY, "node %u: %u CPUs are free, %u are wanted", s->node,
                        tug_ledger_cpus_free(n), s->cpus);
    if (s->mem_bytes > tug_ledger_mem_free(n))
        return tug_fail(err, -EBUSY, "node %u: %llu bytes of memory are free, %llu are wanted",
                        s->node, (unsigned long long) tug_ledger_mem_free(n),
                        (unsigned long long) s->mem_bytes);
    return 0;
}

static void take_gpus(struct tug_ledger_node *n, tug_job_id job, const struct tug_slice *s)
{
    uint16_t milli = (uint16_t) (s->gpu_milli ? s->gpu_milli : TUG_GPU_MILLI);
    n->gpus_used |= s->gpus;
    if (s->gpu_milli)
        n->gpus_shared |= s->gpus;
    for (tug_gpuset g = s->gpus; g; g &= g - 1) {
        unsigned gpu = (unsigned) __builtin_ctzll(g);
        n->milli_used[gpu] = (uint16_t) (n->milli_used[gpu] + milli);
        struct tug_ledger_part part = {job, s->gpu_user, milli, (uint8_t) gpu, s->gpu_mixed};
        if (s->gpu_milli)
            tug_vec_push(&n->parts, part);
        else
            n->owner[gpu] = job;
        set_free(n, gpu);
    }
    if (s->gpus & n->cut)
        open_slices(n);
}

static void drop_part(struct tug_ledger_node *n, tug_job_id job, unsigned gpu)
{
    size_t i = 0;
    while (i < n->parts.len && (n->parts.at[i].job != job || n->parts.at[i].gpu != gpu))
        i++;
    tug_assert(i < n->parts.len);
    n->parts.at[i] = n->parts.at[--n->parts.len];
}

static void give_gpus(struct tug_ledger_node *n, tug_job_id job, const struct tug_slice *s)
{
    uint16_t milli = (uint16_t) (s->gpu_milli ? s->gpu_milli : TUG_GPU_MILLI);
    for (tug_gpuset g = s->gpus; g; g &= g - 1) {
        unsigned gpu = (unsigned) __builtin_ctzll(g);
        tug_assert(n->milli_used[gpu] >= milli);
        tug_assert(n->owner[gpu] == (s->gpu_milli ? 0 : job));
        n->milli_used[gpu] = (uint16_t) (n->milli_used[gpu] - milli);
        n->owner[gpu] = 0;
        if (s->gpu_milli)
            drop_part(n, job, gpu);
        if (!n->milli_used[gpu]) {
            n->gpus_used &= ~(1ULL << gpu);
            n->gpus_shared &= ~(1ULL << gpu);
        }
        set_free(n, gpu);
    }
    if (s->gpus & n->cut)
        open_slices(n);
}

void tug_ledger_keep(struct tug_ledger *l, tug_job_id job, const struct tug_slice *s)
{
    struct tug_ledger_node *n = &l->at[s->node];
    n->cpus_used += s->cpus;
    n->mem_used_bytes += s->mem_bytes;
    take_gpus(n, job, s);
}

static void take(struct tug_ledger *l, tug_job_id job, const struct tug_slice *s)
{
    tug_ledger_keep(l, job, s);
    l->at[s->node].gangs++;
}

void tug_ledger_unkeep(struct tug_ledger *l, tug_job_id job, const struct tug_slice *s)
{
    tug_assert(s->node < l->n);
    struct tug_ledger_node *n = &l->at[s->node];
    tug_assert((n->gpus_used & s->gpus) == s->gpus && n->cpus_used >= s->cpus);
    tug_assert(n->mem_used_bytes >= s->mem_bytes);
    give_gpus(n, job, s);
    n->cpus_used -= s->cpus;
    n->mem_used_bytes -= s->mem_bytes;
}

static void give(struct tug_ledger *l, tug_job_id job, const struct tug_slice *s)
{
    tug_ledger_unkeep(l, job, s);
    tug_assert(l->at[s->node].gangs > 0);
    l->at[s->node].gangs--;
}

unsigned tug_ledger_share(const struct tug_ledger_node *n, const struct tug_slice *part,
                          uint32_t *left)
{
    unsigned best = TUG_GPUS_MAX;
    *left = UINT32_MAX;
    for (tug_gpuset g = n->gpus_shared & n->gpus; g; g &= g - 1) {
        unsigned gpu = (unsigned) __builtin_ctzll(g);
        if (!tug_ledger_part_fits(n, gpu, part) || n->milli_free[gpu] - part->gpu_milli >= *left)
            continue;
        best = gpu;
        *left = n->milli_free[gpu] - part->gpu_milli;
    }
    if (best == TUG_GPUS_MAX && tug_ledger_gpus_free(n))
        best = (unsigned) __builtin_ctzll(tug_ledger_gpus_free(n));
    return best;
}

int tug_ledger_claim(struct tug_ledger *l, tug_job_id job, const struct tug_slice *at, size_t n,
                     enum tug_ledger_rule rule, struct tug_err *err)
{
    tug_assert(job != 0);
    for (size_t i = 0; i < n; i++) {
        int rc = check_slice(l, &at[i], rule, err);
        if (rc) {
            while (i > 0)
                give(l, job, &at[--i]);
            return rc;
        }
        take(l, job, &at[i]);
    }
    return 0;
}

void tug_ledger_release(struct tug_ledger *l, tug_job_id job, const struct tug_slice *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        give(l, job, &at[i]);
}

void tug_ledger_claim_memory(struct tug_ledger *l, const struct tug_slice *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tug_assert(at[i].node < l->n);
        l->at[at[i].node].mem_used_bytes += at[i].mem_bytes;
        l->at[at[i].node].stopped++;
    }
}

void tug_ledger_release_memory(struct tug_ledger *l, const struct tug_slice *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct tug_ledger_node *node = &l->at[at[i].node];
        tug_assert(node->mem_used_bytes >= at[i].mem_bytes && node->stopped > 0);
        node->mem_used_bytes -= at[i].mem_bytes;
        node->stopped--;
    }
}
