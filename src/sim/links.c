/* links.c - what gangs had of the links between their GPUs, and how broken up the rest was. Layer: sim. */
#include "sim/links.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/vec.h"
#include "core/frag.h"
#include "sim/sim.h"

#define LOOK_MS   3600000
#define KINDS_MAX 256 /* of gangs; rarer ones that come later are not looked for */

struct tug_links {
    struct tug_vec(struct tug_frag_kind) kinds;
    struct tug_sim_links sum; /* sums, until they are finished */
    int64_t looked_ms;
    uint64_t looks;
};

struct tug_links *tug_links_new(void)
{
    struct tug_links *l = tug_new(struct tug_links);
    l->looked_ms = -LOOK_MS;
    return l;
}

void tug_links_free(struct tug_links *l)
{
    if (!l)
        return;
    tug_vec_clear(&l->kinds);
    free(l);
}

void tug_links_came(struct tug_links *l, const struct tug_job_req *r)
{
    struct tug_frag_kind kind = {r->nodes, r->gpus_per_node, 1};
    if (!r->gpus_per_node || r->gpu_milli)
        return;
    for (size_t i = 0; i < l->kinds.len; i++)
        if (l->kinds.at[i].nodes == kind.nodes && l->kinds.at[i].gpus == kind.gpus) {
            l->kinds.at[i].weight++;
            return;
        }
    if (l->kinds.len < KINDS_MAX)
        tug_vec_push(&l->kinds, kind);
}

void tug_links_started(struct tug_links *l, const struct tug_job *j)
{
    const struct tug_job_quality *q = &j->quality;
    if (!q->mbs || !q->best_mbs)
        return;
    double quality = tug_job_quality_milli(q->mbs, q->best_mbs) / 1e3;
    l->sum.gangs++;
    l->sum.gbs_avg += q->mbs / 1e3;
    l->sum.quality_avg += quality;
    if (j->n_slices < 2)
        return;
    l->sum.wide++;
    l->sum.wide_gbs_avg += q->mbs / 1e3;
    l->sum.wide_quality_avg += quality;
}

void tug_links_look(struct tug_links *l, const struct tug_core *c, int64_t now_ms)
{
    if (now_ms - l->looked_ms < LOOK_MS || !l->kinds.len)
        return;
    l->looked_ms = now_ms;
    l->looks++;
    l->sum.fragmented_avg += tug_frag_share(c, l->kinds.at, l->kinds.len);
}

static double mean(double sum, uint64_t n)
{
    return n ? sum / (double) n : 0;
}

void tug_links_finish(const struct tug_links *l, struct tug_sim_result *r)
{
    r->links = (struct tug_sim_links){.gangs = l->sum.gangs,
                                      .wide = l->sum.wide,
                                      .gbs_avg = mean(l->sum.gbs_avg, l->sum.gangs),
                                      .quality_avg = mean(l->sum.quality_avg, l->sum.gangs),
                                      .wide_gbs_avg = mean(l->sum.wide_gbs_avg, l->sum.wide),
                                      .wide_quality_avg = mean(l->sum.wide_quality_avg, l->sum.wide),
                                      .fragmented_avg = mean(l->sum.fragmented_avg, l->looks)};
}
