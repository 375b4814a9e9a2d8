/* devices.c - what is in the machines: GPUs, the slices that some are cut into (MIG), and who uses which
 *
 * In some worlds an administrator cuts GPUs otherwise, or a boot forgets what they were cut into. A driver cuts no GPU that
 * is in use. What a part uses is told from its payload, as a step daemon does: GPUs by their index, slices by UUID; these
 * may have gone since the order was given. Layer: tests.
 */
#include "dst.h"

#include <stdlib.h>
#include <string.h>

static const struct { const char *profile; unsigned slices; } cuts[] = {{"", 0}, {"1g.10gb", 7}, {"3g.40gb", 2}};
static const uint8_t cuttable[DST_CUTTABLE] = {0, 7, 3};

/* ---- cutting */

static bool is_used(const struct dst *w, unsigned node, unsigned gpu)
{
    for (size_t i = 0; i < w->parts.len; i++)
        if (w->parts.at[i]->node == node && w->parts.at[i]->phase != DST_DEAD && w->parts.at[i]->uses.gpus >> gpu & 1)
            return true;
    return false;
}

static void cut_gpu(struct dst *w, struct dst_node *n, unsigned at, unsigned cut)
{
    if (n->mig[at] == cut || is_used(w, n->index, cuttable[at]))
        return;
    n->mig[at] = (uint8_t) cut;
    for (unsigned i = 0; i < cuts[cut].slices; i++)
        n->slice[at][i] = ++w->slices;
    dst_log(w, "n%u: GPU %u is %s%s", n->index, cuttable[at], cut ? "cut into " : "whole", cuts[cut].profile);
}

/* Of the first two kinds there are some on every node, so that jobs for them can start in the end. */
void dst_devices_usual(struct dst *w, unsigned node)
{
    for (unsigned i = 0; w->conf.slices && i < DST_CUTTABLE; i++)
        cut_gpu(w, &w->nodes[node], i, i < 2 ? i + 1 : w->conf.third_cut);
}

void dst_devices_cut(struct dst *w, unsigned node)
{
    for (unsigned i = 0; w->conf.slices && i < DST_CUTTABLE; i++)
        if (dst_chance(&w->of_more, 0.5))
            cut_gpu(w, &w->nodes[node], i, (unsigned) tug_rand_below(&w->of_more, 3));
}

/* ---- as the driver lists it */

void dst_devices_list(const struct dst_node *n, struct dst_inventory *out)
{
    tugpb__inventory__init(&out->inv);
    out->inv.cpus = 64;
    out->inv.gpus = DST_GPUS;
    out->inv.mem_bytes = 1ULL << 38;
    out->inv.emulated = 1;
    out->inv.mig = out->ptr;
    for (unsigned gpu = 0; gpu < DST_GPUS; gpu++)
        for (unsigned at = 0; at < DST_CUTTABLE; at++)
            for (unsigned i = 0; cuttable[at] == gpu && i < cuts[n->mig[at]].slices; i++) {
                size_t k = out->inv.n_mig++;
                Tugpb__MigSlice *s = out->ptr[k] = &out->mig[k];
                tugpb__mig_slice__init(s);
                snprintf(out->uuid[k], sizeof out->uuid[k], "MIG-%u", (unsigned) n->slice[at][i]);
                s->gpu = gpu;
                s->uuid = out->uuid[k];
                s->profile = (char *) (uintptr_t) cuts[n->mig[at]].profile;
                s->of = 7;
            }
}

/* ---- who uses what */

static bool has_slice(const struct dst_node *n, uint32_t serial)
{
    for (unsigned at = 0; at < DST_CUTTABLE; at++)
        for (unsigned i = 0; i < cuts[n->mig[at]].slices; i++)
            if (n->slice[at][i] == serial)
                return true;
    return false;
}

static uint64_t cut_gpus(const struct dst_node *n)
{
    uint64_t gpus = 0;

    for (unsigned at = 0; at < DST_CUTTABLE; at++)
        gpus |= n->mig[at] ? 1ULL << cuttable[at] : 0;
    return gpus;
}

void dst_devices_known(struct dst_node *n, const Tugpb__Inventory *inv)
{
    n->known_cut = n->known[0] = n->known[1] = 0;
    for (size_t i = 0; inv && i < inv->n_mig; i++) {
        n->known_cut |= 1ULL << inv->mig[i]->gpu;
        if (inv->mig[i]->device < TUG_GPUS_MAX)
            n->known[!strcmp(inv->mig[i]->profile, cuts[2].profile)] |= 1ULL << inv->mig[i]->device;
    }
}

void dst_devices_given(struct dst *w, const struct dst_node *n, const Tugpb__JobRecord *r, const Tugpb__Slice *s)
{
    bool small = !strcmp(s->mig_profile, cuts[1].profile);

    if (s->mig_profile[0] ? s->gpus & ~n->known[!small] : s->gpus & n->known_cut)
        dst_fail(w, "job %llu.%u is given devices %llx of %s as %s%s; it has cut GPUs %llx and such slices %llx", (unsigned long long) r->id,
                 r->attempt, (unsigned long long) s->gpus, n->name, s->mig_profile[0] ? "slices " : "GPUs", s->mig_profile,
                 (unsigned long long) n->known_cut, (unsigned long long) n->known[!small]);
}

static const Tugpb__MigSlice *listed(const Tugpb__StepPayload *load, unsigned device)
{
    for (size_t i = 0; load->n_nodes && i < load->nodes[0]->n_mig; i++)
        if (load->nodes[0]->mig[i]->device == device)
            return load->nodes[0]->mig[i];
    return NULL;
}

void dst_devices_use(struct dst *w, const struct dst_node *n, const Tugpb__StepPayload *load, struct dst_uses *out)
{
    const Tugpb__Slice *s = load->slices[load->node_index];

    *out = (struct dst_uses){.milli = s->gpu_milli};
    if (!s->mig_profile[0]) {
        out->gpus = s->gpus;
        out->gone = (s->gpus & cut_gpus(n)) != 0;
        return;
    }
    for (uint64_t left = s->gpus; left; left &= left - 1) {
        const Tugpb__MigSlice *one = listed(load, (unsigned) __builtin_ctzll(left));
        if (!one || !has_slice(n, (uint32_t) strtoul(one->uuid + 4, NULL, 10))) {
            out->gone = true;
            continue;
        }
        if (strcmp(one->profile, s->mig_profile) != 0)
            dst_fail(w, "n%u: job %llu asked for %s and is given a %s", n->index, (unsigned long long) load->key->job,
                     s->mig_profile, one->profile);
        tug_assert(out->n_slices < sizeof out->slices / sizeof *out->slices);
        out->slices[out->n_slices++] = (uint32_t) strtoul(one->uuid + 4, NULL, 10);
        out->gpus |= 1ULL << one->gpu;
    }
}

bool dst_devices_meet(const struct dst_uses *a, const struct dst_uses *b)
{
    if (!(a->gpus & b->gpus) || (a->milli && b->milli))
        return false;
    if (!a->n_slices || !b->n_slices)
        return true; /* a whole GPU, and somebody on it */
    for (size_t i = 0; i < a->n_slices; i++)
        for (size_t k = 0; k < b->n_slices; k++)
            if (a->slices[i] == b->slices[k])
                return true;
    return false;
}
