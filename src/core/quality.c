/* quality.c - how good the nodes and GPUs of a gang are
 *
 * Layer: core.
 */
#include "core/quality.h"

#include <stdio.h>

#include "core/state.h"

uint32_t tug_quality_best(struct tug_core *c, struct tug_shape *s)
{
    if (s->best_at != c->reshaped) {
        s->best_at = c->reshaped;
        s->best_mbs = tug_topology_most(c, s);
    }
    return s->best_mbs;
}

void tug_quality_of(struct tug_core *c, struct tug_shape *s, const struct tug_policy_slice *at, size_t n,
                    struct tug_quality *out)
{
    *out = (struct tug_quality){0};
    if (s->key.milli || s->key.cut)
        return;
    tug_span_forecast(c, at, n, &out->has);
    if (out->has.mbs)
        out->best_mbs = tug_quality_best(c, s);
    out->milli = tug_job_quality_milli(out->has.mbs, out->best_mbs);
}

/* ---- in words */

/* Domains of the level that have nodes of it. */
static unsigned spanned(struct tug_core *c, const char *level, const struct tug_policy_slice *at, size_t n)
{
    struct tug_fabric *f = &c->fabric;
    unsigned found = 0;
    c->marks++;
    for (size_t i = 0; i < n; i++)
        for (uint32_t d = c->nodes.at[at[i].node].domain; d != TUG_NO_DOMAIN; d = f->at[d].parent) {
            if (f->at[d].level != level || f->at[d].mark == c->marks)
                continue;
            f->at[d].mark = c->marks;
            found++;
        }
    return found;
}

static int say_limit(struct tug_core *c, const struct tug_forecast *f, const struct tug_policy_slice *at, size_t n, char *buf,
                     size_t size)
{
    const struct tug_domain *d = f->domain == TUG_NO_DOMAIN ? NULL : &c->fabric.at[f->domain];
    const char *node = f->node == TUG_NO_NODE ? "" : c->nodes.at[f->node].name;
    char gpus[128];
    switch (f->limit) {
    case TUG_SPAN_INSIDE:
        for (size_t i = 0; i < n; i++)
            if (at[i].node == f->node)
                tug_gpuset_format(at[i].gpus, gpus, sizeof gpus);
        return snprintf(buf, size, "limited by the links between GPUs %s of node %s", gpus, node);
    case TUG_SPAN_NICS:
        return snprintf(buf, size, "limited by the NICs of node %s", node);
    case TUG_SPAN_LEVEL:
        return snprintf(buf, size, "limited by the bandwidth of level %s", d->level);
    case TUG_SPAN_OVER:
        return snprintf(buf, size, "spans %u of level %s with oversubscription %g", spanned(c, d->level, at, n), d->level,
                        c->fabric.levels[d->level_row].oversubscription);
    default:
        return 0;
    }
}

const char *tug_quality_say(struct tug_core *c, const struct tug_quality *q, const struct tug_policy_slice *at, size_t n,
                            char *buf, size_t size_bytes)
{
    *buf = 0;
    if (!q->milli)
        return buf;
    int len = say_limit(c, &q->has, at, n, buf, size_bytes);
    snprintf(buf + len, size_bytes - (size_t) len, "; predicted %.3g GB/s of %.3g GB/s", q->has.mbs / 1e3, q->best_mbs / 1e3);
    return buf;
}
