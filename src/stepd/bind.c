/* bind.c - which CPUs a rank may run on
 *
 * Ranks take turns in rank order; each takes its even share of the slice's CPUs that are still
 * free, first those of the NUMA nodes of its GPUs, lowest first. With fewer CPUs than ranks all
 * ranks may use all of them. Layer: stepd.
 */
#include "stepd/bind.h"

#include "base/gpuset.h"
#include "stepd/env.h"

static bool bit(const ProtobufCBinaryData *set, size_t i)
{
    return i / 8 < set->len && (set->data[i / 8] >> (i % 8) & 1);
}

/* CPUs that are near to a GPU of the rank. */
static void near_cpus(const struct tug_payload *p, unsigned local, cpu_set_t *out)
{
    uint64_t gpus = tug_rank_gpus(p, local);
    const Tugpb__Inventory *inv = p->inv;

    CPU_ZERO(out);
    if (!inv)
        return;
    for (size_t g = 0; g < inv->n_gpu_numa && g < TUG_GPUS_MAX; g++)
        if ((gpus >> g & 1) && inv->gpu_numa[g] < inv->n_numa_cpus)
            for (size_t c = 0; c < CPU_SETSIZE; c++)
                if (bit(&inv->numa_cpus[inv->gpu_numa[g]], c))
                    CPU_SET(c, out);
}

static unsigned take(cpu_set_t *from, const cpu_set_t *only, cpu_set_t *to, unsigned want)
{
    for (size_t c = 0; c < CPU_SETSIZE && want; c++)
        if (CPU_ISSET(c, from) && (!only || CPU_ISSET(c, only))) {
            CPU_CLR(c, from);
            CPU_SET(c, to);
            want--;
        }
    return want;
}

bool tug_bind_rank(const struct tug_payload *p, unsigned local, cpu_set_t *out)
{
    cpu_set_t all, left, near_gpus;
    unsigned each;

    CPU_ZERO(&all);
    for (size_t c = 0; c < CPU_SETSIZE; c++)
        if (bit(&p->slice->cpu_mask, c))
            CPU_SET(c, &all);
    if (CPU_COUNT(&all) == 0)
        return false;
    each = p->n_local ? (unsigned) CPU_COUNT(&all) / p->n_local : 0;
    if (each == 0 || p->n_local == 1) {
        *out = all;
        return true;
    }
    left = all;
    for (unsigned i = 0; i <= local; i++) {
        CPU_ZERO(out);
        near_cpus(p, i, &near_gpus);
        take(&left, NULL, out, take(&left, &near_gpus, out, each));
    }
    return true;
}
