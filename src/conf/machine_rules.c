/* machine_rules.c - what the few words of a sheet say of every pair
 *
 * Layer: conf.
 */
#include "conf/machine_rules.h"

static uint32_t times(uint64_t n, uint32_t mbs)
{
    uint64_t all = n * mbs;
    return all > UINT32_MAX ? UINT32_MAX : (uint32_t) all;
}

static uint8_t by_numa(const struct tug_machine_rules *r, uint32_t a, uint32_t b)
{
    if (a == TUG_MACHINE_NO_NUMA || b == TUG_MACHINE_NO_NUMA)
        return TUG_LINK_UNKNOWN;
    return a == b ? r->near : TUG_LINK_SYS;
}

uint8_t tug_rule_class(const struct tug_machine_rules *r, const struct tug_machine *m, uint32_t i, uint32_t k)
{
    if (i == k)
        return TUG_LINK_SELF;
    if (r->below[i] >> k & 1)
        return TUG_LINK_PIX;
    return by_numa(r, m->gpu[i].numa, m->gpu[k].numa);
}

uint8_t tug_rule_nic_class(const struct tug_machine_rules *r, const struct tug_machine *m, uint32_t gpu, uint32_t nic)
{
    return by_numa(r, m->gpu[gpu].numa, m->nic[nic].numa);
}

uint8_t tug_rule_nvlinks(const struct tug_machine_rules *r, const struct tug_machine *m, uint32_t i, uint32_t k)
{
    return m->nvswitch && i != k ? (uint8_t) r->links : 0;
}

uint32_t tug_rule_mbs(const struct tug_machine_rules *r, const struct tug_machine_link *l)
{
    if (l->nvlinks)
        return times(l->nvlinks, r->per_link_mbs);
    return r->generation ? tug_link_class_mbs((enum tug_link_class) l->class, r->generation) : 0;
}

uint32_t tug_rule_port(const struct tug_machine_rules *r, const struct tug_machine *m, uint32_t i)
{
    unsigned links = 0;
    for (uint32_t k = 0; k < m->n_gpus; k++) {
        unsigned n = m->link[i][k].nvlinks;
        if (!m->nvswitch)
            links += n;
        else if (n > links)
            links = n; /* the same ones for every pair */
    }
    if (links)
        return times(links, r->per_link_mbs);
    return r->generation ? tug_link_class_mbs(TUG_LINK_PIX, r->generation) : 0;
}
