/* cpus.c - which CPUs of its nodes a gang is bound to
 *
 * The core counts CPUs; here they get numbers. A slice with GPUs on two NUMA nodes has CPUs of both,
 * as many as GPUs there, so that each of its ranks finds its own next to its GPUs (stepd/bind.c). A
 * node that is emulated or did not say which CPUs it has gets no mask, and its ranks are not bound.
 * Layer: logic.
 */
#include "logic/cpus.h"

#include <stdlib.h>
#include <string.h>

#include "logic/control_int.h"

struct picking {
    const Tugpb__Inventory *inv;
    uint8_t *used, *mine;
    uint32_t left; /* still wanted */
};

static int has(const uint8_t *mask, size_t len, uint32_t cpu)
{
    return cpu / 8 < len && (mask[cpu / 8] >> (cpu % 8) & 1);
}

static uint32_t count_free(const struct picking *p, size_t numa)
{
    const ProtobufCBinaryData *cpus = &p->inv->numa_cpus[numa];
    uint32_t n = 0;

    for (size_t i = 0; i < cpus->len && i < CPU_MASK_LEN; i++)
        n += (uint32_t) __builtin_popcount(cpus->data[i] & (unsigned) ~p->used[i]);
    return n;
}

static void take(struct picking *p, size_t numa, uint32_t want)
{
    const ProtobufCBinaryData *cpus = &p->inv->numa_cpus[numa];

    for (uint32_t cpu = 0; cpu < CPU_MASK_LEN * 8 && want && p->left; cpu++)
        if (has(cpus->data, cpus->len, cpu) && !has(p->used, CPU_MASK_LEN, cpu)) {
            p->used[cpu / 8] |= (uint8_t) (1u << (cpu % 8));
            p->mine[cpu / 8] |= (uint8_t) (1u << (cpu % 8));
            want--;
            p->left--;
        }
}

static uint32_t gpus_on(const struct picking *p, uint64_t gpus, size_t numa)
{
    uint32_t n = 0;

    for (uint32_t g = 0; g < p->inv->n_gpu_numa && g < 64; g++)
        n += (gpus >> g & 1) && p->inv->gpu_numa[g] == numa;
    return n;
}

/* In proportion: rounded sums, so that no share is off by one CPU or more. */
static void take_near(struct picking *p, uint64_t gpus)
{
    uint32_t want = p->left, all = 0, seen = 0, due = 0;

    for (size_t i = 0; i < p->inv->n_numa_cpus; i++)
        all += gpus_on(p, gpus, i);
    for (size_t i = 0; i < p->inv->n_numa_cpus && all; i++) {
        uint32_t before = due;
        seen += gpus_on(p, gpus, i);
        due = (uint32_t) ((uint64_t) want * seen / all);
        take(p, i, due - before);
    }
    for (size_t i = 0; i < p->inv->n_numa_cpus && all; i++)
        if (gpus_on(p, gpus, i))
            take(p, i, p->left);
}

/* The NUMA node that has just enough, else the one that has the most; again until nothing is wanted. */
static void take_rest(struct picking *p)
{
    while (p->left) {
        size_t best = 0;
        uint32_t there = 0;
        for (size_t i = 0; i < p->inv->n_numa_cpus; i++) {
            uint32_t here = count_free(p, i);
            if (here >= p->left ? there < p->left || here < there : here > there) {
                best = i;
                there = here;
            }
        }
        if (!there)
            return;
        take(p, best, there);
    }
}

uint32_t tug_cpus_pick(const Tugpb__Inventory *inv, uint64_t gpus, uint32_t want,
                       uint8_t used[TUG_CPUS_MASK_LEN], uint8_t mine[TUG_CPUS_MASK_LEN])
{
    struct picking p = {inv, used, mine, want};

    take_near(&p, gpus);
    take_rest(&p);
    return want - p.left;
}

void tug_ctl_cpus_take(struct tug_control *c, struct ctl_job *j, const struct tug_job *job)
{
    if (j->n_masks || job->n_slices == 0)
        return;
    j->masks = tug_xcalloc(job->n_slices, CPU_MASK_LEN);
    j->n_masks = job->n_slices;
    for (size_t i = 0; i < job->n_slices; i++) {
        struct ctl_node *n = &c->nodes[job->slices[i].node];
        struct tug_arena a = {.budget_bytes = 16 << 20};
        ProtobufCMessage *m = NULL;

        if (n->inventory_len &&
            tug_proto_decode(&a, &tugpb__inventory__descriptor, n->inventory, n->inventory_len, &m,
                             NULL) == 0 &&
            !((Tugpb__Inventory *) m)->emulated)
            tug_cpus_pick((Tugpb__Inventory *) m, tug_core_gpus_of(c->core, job->slices[i].node, job->slices[i].gpus), job->slices[i].cpus,
                          n->cpus_used, j->masks[i]);
        tug_arena_clear(&a);
    }
}

void tug_ctl_cpus_give(struct tug_control *c, struct ctl_job *j, const struct tug_job *job)
{
    for (size_t i = 0; i < j->n_masks && i < job->n_slices; i++)
        for (size_t k = 0; k < CPU_MASK_LEN; k++)
            c->nodes[job->slices[i].node].cpus_used[k] &= (uint8_t) ~j->masks[i][k];
    free(j->masks);
    j->masks = NULL;
    j->n_masks = 0;
}

void tug_ctl_cpus_retake(struct tug_control *c, const struct ctl_job *j, const struct tug_job *job)
{
    if (!tug_job_state_holds(job->state))
        return;
    for (size_t i = 0; i < j->n_masks && i < job->n_slices; i++)
        for (size_t k = 0; k < CPU_MASK_LEN; k++)
            c->nodes[job->slices[i].node].cpus_used[k] |= j->masks[i][k];
}
