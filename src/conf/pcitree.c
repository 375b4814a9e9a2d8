/* pcitree.c - a tree of PCIe switches that gives the classes of a machine
 *
 * Layer: conf.
 */
#include "conf/pcitree.h"

#include <stddef.h>

#include "conf/gpukinds.h"

static uint8_t class_of(const struct tug_machine *m, uint32_t a, uint32_t b)
{
    if (a < m->n_gpus && b < m->n_gpus)
        return m->link[a][b].class;
    if (a < m->n_gpus || b < m->n_gpus)
        return m->nic_class[a < m->n_gpus ? a : b][(a < m->n_gpus ? b : a) - m->n_gpus];
    return TUG_LINK_UNKNOWN;
}

static void group(const struct tug_pcitree *t, const struct tug_machine *m, uint8_t farthest, uint8_t *out)
{
    for (uint32_t i = 0; i < t->n; i++)
        out[i] = (uint8_t) i;
    for (uint32_t i = 0; i < t->n; i++)
        for (uint32_t k = 0; k < i; k++) {
            uint8_t class = class_of(m, i, k), from = out[i] > out[k] ? out[i] : out[k], to = out[i] < out[k] ? out[i] : out[k];
            if (class < TUG_LINK_BOARD || class > farthest || t->numa[i] != t->numa[k])
                continue;
            for (uint32_t x = 0; x < t->n; x++)
                if (out[x] == from)
                    out[x] = to;
        }
}

/* Where NVLinks hide it: what GPUs of that kind have. */
static uint32_t usual_generation(const struct tug_machine *m)
{
    const struct tug_gpu_kind *k = m->n_gpus ? tug_gpu_kind_of_model(m->gpu[0].model) : NULL;
    return !k ? 4 : k->sm >= 90 ? 5 : k->sm >= 80 ? 4 : 3;
}

static uint32_t generation(const struct tug_machine *m)
{
    uint32_t best = usual_generation(m), most = 0;
    for (uint32_t gen = 3; gen <= 6; gen++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < m->n_gpus; i++)
            for (uint32_t k = 0; k < i; k++)
                n += !m->link[i][k].nvlinks &&
                     m->link[i][k].mbs == tug_link_class_mbs((enum tug_link_class) m->link[i][k].class, gen);
        if (n > most)
            best = gen, most = n;
    }
    return best;
}

void tug_pcitree_make(struct tug_pcitree *t, const struct tug_machine *m)
{
    *t = (struct tug_pcitree){.n = m->n_gpus + m->n_nics, .n_gpus = m->n_gpus};
    for (uint32_t d = 0; d < t->n; d++) {
        uint32_t numa = d < m->n_gpus ? m->gpu[d].numa : m->nic[d - m->n_gpus].numa;
        t->numa[d] = numa == TUG_MACHINE_NO_NUMA ? 0 : numa;
    }
    group(t, m, TUG_LINK_PIX, t->low);
    group(t, m, TUG_LINK_PXB, t->high);
    group(t, m, TUG_LINK_PHB, t->host);
    t->generation = generation(m);
}

int tug_pcitree_is_high(const struct tug_pcitree *t, uint32_t which)
{
    for (uint32_t d = 0; d < t->n; d++)
        if (t->high[d] == which && t->low[d] != t->low[which])
            return 1;
    return 0;
}

int tug_pcitree_is_low(const struct tug_pcitree *t, uint32_t which, int below_common)
{
    for (uint32_t d = 0; d < t->n; d++)
        if (t->low[d] == which && d != which)
            return 1;
    return below_common && which < t->n_gpus;
}
