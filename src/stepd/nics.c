/* nics.c - which verbs NICs (InfiniBand, RoCE) are the nearest to GPUs
 *
 * Nearest is the smallest link class of base/machine.h. Layer: stepd.
 */
#include "stepd/nics.h"

#include "stepd/gpus.h"

/* Those of the smallest class that is known. */
static uint32_t nearest(const struct tug_machine *m, unsigned gpu)
{
    unsigned best = TUG_LINK_SYS + 1;
    uint32_t found = 0;

    for (uint32_t i = 0; gpu < m->n_gpus && i < m->n_nics; i++) {
        unsigned class = m->nic_class[gpu][i];
        if (!m->nic[i].is_ib || class == TUG_LINK_UNKNOWN || class > best)
            continue;
        if (class < best)
            found = 0;
        best = class;
        found |= 1u << i;
    }
    return found;
}

uint32_t tug_nics_of_node(const struct tug_payload *p)
{
    struct tug_gpu_list gpus;
    uint32_t all = 0;

    tug_gpus_of_node(p, &gpus);
    for (unsigned i = 0; p->machine && i < gpus.n; i++)
        all |= nearest(p->machine, tug_gpus_gpu(p, gpus.at[i]));
    return all;
}

/* The turn-th of the set, round and round. */
static uint32_t in_turn(uint32_t set, unsigned turn)
{
    for (turn %= (unsigned) __builtin_popcount(set); turn; turn--)
        set &= set - 1;
    return set & -set;
}

/* The gang's GPU 'gpu' gets the next NIC after those that GPUs with the same choice got before it. */
static uint32_t nic_of(const struct tug_payload *p, const struct tug_gpu_list *all, unsigned gpu)
{
    uint32_t choice = nearest(p->machine, tug_gpus_gpu(p, gpu));
    unsigned turn = 0;

    for (unsigned i = 0; i < all->n && all->at[i] != gpu; i++)
        turn += nearest(p->machine, tug_gpus_gpu(p, all->at[i])) == choice;
    return choice ? in_turn(choice, turn) : 0;
}

uint32_t tug_nics_of_rank(const struct tug_payload *p, unsigned local)
{
    struct tug_gpu_list all, mine;
    uint32_t nics = 0;

    tug_gpus_of_node(p, &all);
    tug_gpus_of_rank(p, local, &mine);
    for (unsigned i = 0; p->machine && i < mine.n; i++)
        nics |= nic_of(p, &all, mine.at[i]);
    return nics;
}

void tug_nics_print(const struct tug_payload *p, uint32_t nics, const char *suffix,
                    struct tug_buf *out)
{
    const char *comma = "";

    for (; nics; nics &= nics - 1, comma = ",")
        tug_buf_addf(out, "%s%s%s", comma, p->machine->nic[__builtin_ctz(nics)].name, suffix);
}
