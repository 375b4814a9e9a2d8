/* mig.c - which numbers the slices of a node's GPUs have among its devices
 *
 * A gang's record says by number what it holds, so a number must stay a slice's own while the slice is there and while
 * anybody holds something by it. A node lists slices by GPU, and lists others once it is cut anew. The numbers are part of
 * its inventory as it is kept, and so of its record. Layer: logic.
 */
#include "logic/mig.h"

#include <string.h>

#include "base/mig.h"

/* As it is kept; NULL: there is none. */
static const Tugpb__Inventory *kept(const struct ctl_node *n, struct tug_arena *a)
{
    ProtobufCMessage *m = NULL;

    if (!n->inventory_len ||
        tug_proto_decode(a, &tugpb__inventory__descriptor, n->inventory, n->inventory_len, &m, NULL) != 0)
        return NULL;
    return (const Tugpb__Inventory *) m;
}

static uint32_t number_before(const Tugpb__Inventory *was, const Tugpb__MigSlice *s)
{
    for (size_t i = 0; was && i < was->n_mig; i++)
        if (*s->uuid && !strcmp(was->mig[i]->uuid, s->uuid) && !strcmp(was->mig[i]->profile, s->profile) &&
            was->mig[i]->gpu == s->gpu)
            return was->mig[i]->device;
    return TUG_MIG_NO_DEVICE;
}

static uint32_t take_free(tug_gpuset *taken)
{
    if (*taken == ~0ULL)
        return TUG_MIG_NO_DEVICE;
    uint32_t device = (uint32_t) __builtin_ctzll(~*taken);
    *taken |= 1ULL << device;
    return device;
}

const Tugpb__Inventory *tug_ctl_mig_number(struct tug_control *c, struct tug_arena *a, uint32_t node, const Tugpb__Inventory *inv)
{
    Tugpb__Inventory *out = tug_ctl_alloc(a, sizeof *out);
    const Tugpb__Inventory *was = kept(&c->nodes[node], a);
    tug_gpuset taken = tug_gpuset_first_n(inv->gpus < TUG_GPUS_MAX ? inv->gpus : TUG_GPUS_MAX) |
                       tug_core_devices_had(c->core, node);

    if (!inv->n_mig)
        return inv;
    *out = *inv;
    out->mig = tug_ctl_alloc(a, inv->n_mig * sizeof *out->mig);
    for (size_t i = 0; i < inv->n_mig; i++) {
        out->mig[i] = tug_ctl_alloc(a, sizeof *out->mig[i]);
        *out->mig[i] = *inv->mig[i];
        out->mig[i]->device = number_before(was, inv->mig[i]);
        if (out->mig[i]->device < inv->gpus || out->mig[i]->device >= TUG_GPUS_MAX)
            out->mig[i]->device = TUG_MIG_NO_DEVICE;
        else
            taken |= 1ULL << out->mig[i]->device;
    }
    for (size_t i = 0; i < inv->n_mig; i++)
        if (out->mig[i]->device == TUG_MIG_NO_DEVICE)
            out->mig[i]->device = take_free(&taken);
    return out;
}

struct tug_core_mig *tug_ctl_mig_rows(const Tugpb__Inventory *inv, struct tug_core_mig **out)
{
    struct tug_core_mig *rows = *out = tug_xcalloc(inv->n_mig + 1, sizeof *rows);

    for (size_t i = 0; i < inv->n_mig; i++) {
        const Tugpb__MigSlice *s = inv->mig[i];

        rows[i] = (struct tug_core_mig){.profile = s->profile,
                                        .micro = tug_mig_micro(s->profile, s->of),
                                        .gpu = (uint8_t) (s->gpu < TUG_GPUS_MAX ? s->gpu : TUG_GPUS_MAX),
                                        .device = (uint8_t) (s->device < TUG_GPUS_MAX ? s->device : TUG_GPUS_MAX)};
    }
    return rows;
}
