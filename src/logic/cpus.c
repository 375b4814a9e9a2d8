/* cpus.c - which CPUs of its nodes a gang is bound to
 *
 * The core counts CPUs; here they get numbers: first those of the NUMA nodes that hold the gang's
 * GPUs, then the lowest free ones. A node that is emulated or did not say which CPUs it has gets no
 * mask, and its ranks are not bound. Layer: logic.
 */
#include <stdlib.h>
#include <string.h>

#include "logic/control_int.h"

static int has(const uint8_t *mask, size_t len, uint32_t cpu)
{
    return cpu / 8 < len && (mask[cpu / 8] >> (cpu % 8) & 1);
}

static void flip(uint8_t *mask, uint32_t cpu, int on)
{
    if (on)
        mask[cpu / 8] |= (uint8_t) (1u << (cpu % 8));
    else
        mask[cpu / 8] &= (uint8_t) ~(1u << (cpu % 8));
}

static uint32_t take_from(uint8_t *used, uint8_t *mine, const ProtobufCBinaryData *allowed,
                          uint32_t want)
{
    uint32_t got = 0;

    for (uint32_t cpu = 0; cpu < CPU_MASK_LEN * 8 && got < want; cpu++)
        if (has(allowed->data, allowed->len, cpu) && !has(used, CPU_MASK_LEN, cpu)) {
            flip(used, cpu, 1);
            flip(mine, cpu, 1);
            got++;
        }
    return got;
}

static void take_slice(struct ctl_node *n, const Tugpb__Inventory *inv, const struct tug_slice *s,
                       uint8_t *mine)
{
    uint32_t left = s->cpus;

    for (uint32_t gpu = 0; gpu < inv->n_gpu_numa && left; gpu++)
        if (s->gpus >> gpu & 1 && inv->gpu_numa[gpu] < inv->n_numa_cpus)
            left -= take_from(n->cpus_used, mine, &inv->numa_cpus[inv->gpu_numa[gpu]], left);
    for (size_t i = 0; i < inv->n_numa_cpus && left; i++)
        left -= take_from(n->cpus_used, mine, &inv->numa_cpus[i], left);
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
            take_slice(n, (Tugpb__Inventory *) m, &job->slices[i], j->masks[i]);
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
