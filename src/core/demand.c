/* demand.c - what a gang asks of the fabric, in words: may it, could it ever be, and why it waits for it
 *
 * What contradicts itself or no empty cluster could give is refused with what could be had. Layer: core.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "core/state.h"

static void say_levels(const struct tug_fabric *f, struct tug_buf *all)
{
    for (size_t i = 0; i < f->n_tiers; i++)
        tug_buf_addf(all, "%s'%s'", i ? ", " : "", f->tiers[i].name);
}

static int unknown_level(const struct tug_fabric *f, const char *level, struct tug_err *err)
{
    if (!f->n_tiers)
        return tug_fail(err, -ENOENT,
                        "no fabric is configured here, so there is no level '%s'; leave it out",
                        level);
    const char **names = tug_xcalloc(f->n_tiers, sizeof *names);
    for (size_t i = 0; i < f->n_tiers; i++)
        names[i] = f->tiers[i].name;
    const char *near = tug_str_nearest(level, names, f->n_tiers);
    struct tug_buf all = {0};
    say_levels(f, &all);
    int rc = tug_fail(err, -ENOENT, "the fabric has no level '%s'%s%s%s there are: %s", level,
                      near ? "; did you mean '" : ";", near ? near : "", near ? "'?" : "",
                      tug_buf_str(&all));
    tug_buf_clear(&all);
    free(names);
    return rc;
}

/* Without a fabric sbatch's --switches means nothing, to Slurm neither. */
static void say_lowest_level(const struct tug_fabric *f, struct tug_job_req *r)
{
    if (*r->topology || !(r->topology_required || r->segment || r->spread))
        return;
    if (f->n_tiers)
        r->topology = f->tiers[0].name;
    else
        r->topology_required = r->spread = 0;
}

int tug_demand_admit(const struct tug_core *c, struct tug_job_req *r, struct tug_err *err)
{
    const struct tug_fabric *f = &c->fabric;
    say_lowest_level(f, r);
    if (*r->topology && !tug_fabric_tier(f, r->topology))
        return unknown_level(f, r->topology, err);
    if (*r->exclusive_level && !tug_fabric_tier(f, r->exclusive_level))
        return unknown_level(f, r->exclusive_level, err);
    if (r->spread && (r->topology_required || r->segment))
        return tug_fail(err, -EINVAL,
                        "--spread wants many domains and %s wants few; say one of them",
                        r->segment                ? "--segment"
                        : r->topology_domains > 0 ? "--switches"
                                                  : "--topology with a !");
    if (!r->topology_required)
        r->topology_domains = r->topology_wait_s = 0;
    if (r->quality_milli > 1000)
        return tug_fail(err, -EINVAL,
                        "a quality of %u thousandths is more than the best that there is; ask for "
                        "1000 or less",
                        r->quality_milli);
    if (r->segment && !*r->topology)
        return tug_fail(err, -EINVAL,
                        "segments stay together in domains of the fabric, and no fabric is "
                        "configured here; leave --segment out");
    if (r->segment && r->nodes % r->segment)
        return tug_fail(err, -EINVAL,
                        "%u nodes do not make whole segments of %u; ask for %u nodes%s, or for "
                        "another --segment",
                        r->nodes, r->segment, (r->nodes / r->segment + 1) * r->segment,
                        r->nodes > r->segment ? " or for fewer" : "");
    if (r->segment && r->topology_domains > 1)
        return tug_fail(err, -EINVAL,
                        "segments of %u nodes and at most %u domains (--switches) contradict each "
                        "other; say one of them",
                        r->segment, r->topology_domains);
    return 0;
}

/* The domain of the level on which most slices fit. */
static size_t largest(const struct tug_core *c, const struct tug_tier *t, const uint64_t *full,
                      const char **name)
{
    size_t most = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct tug_domain *d = &c->fabric.at[t->domains[i]];
        size_t n = tug_region_count(full, &d->all);
        if (i && n <= most)
            continue;
        most = n;
        *name = d->name;
    }
    return most;
}

/* The lowest level with a domain for all of it. */
static const char *level_that_holds(const struct tug_core *c, const struct tug_job_req *r,
                                    const uint64_t *full, const uint64_t *last)
{
    for (size_t i = 0; i < c->fabric.n_tiers; i++) {
        struct tug_within w = {.level = c->fabric.tiers[i].name, .domains = 1};
        if (tug_split_choose(c, &w, r->nodes, r->gpus_last != 0, full, last, NULL))
            return w.level;
    }
    return NULL;
}

static int holds_not(const struct tug_core *c, const struct tug_job_req *r, const uint64_t *full,
                     const uint64_t *last, struct tug_err *err)
{
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, r->topology);
    const char *name = "", *other = level_that_holds(c, r, full, last);
    size_t most = largest(c, t, full, &name);
    char domains[64], gpus[48] = "", out[96];
    snprintf(domains, sizeof domains, r->topology_domains > 1 ? "%u domains" : "one domain",
             r->topology_domains);
    if (r->gpus_per_node)
        snprintf(gpus, sizeof gpus, " with %u GPU%s", r->gpus_per_node,
                 r->gpus_per_node == 1 ? "" : "s");
    if (other)
        snprintf(out, sizeof out, "--topology=%s!", other);
    else
        snprintf(out, sizeof out, "--topology=%s (without the !)", r->topology);
    if (!most)
        return tug_fail(err, -EINVAL,
                        "no %s has a node%s that the job may use; use %s or leave it out",
                        t->name, gpus, other ? out : "another level");
    return tug_fail(err, -EINVAL,
                    "%u nodes%s are to be in %s of level '%s', and no such holds them: the largest "
                    "%s, %s, has %zu node%s%s; ask for --nodes %zu or less, or %s",
                    r->nodes, gpus, domains, t->name, t->name, name, most, most == 1 ? "" : "s",
                    gpus, r->topology_domains > 1 ? most * r->topology_domains : most, out);
}

static int segments_fit_not(const struct tug_core *c, const struct tug_job_req *r,
                            const uint64_t *full, struct tug_err *err)
{
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, r->topology);
    const char *name = "";
    size_t most = largest(c, t, full, &name), n = 0;
    for (size_t i = 0; i < t->n; i++)
        n += tug_region_count(full, &c->fabric.at[t->domains[i]].all) / r->segment;
    if (most < r->segment)
        return tug_fail(err, -EINVAL,
                        "segments of %u nodes are to be in one %s each, and no %s holds one: the "
                        "largest, %s, has %zu nodes that would do; ask for --segment=%zu or less",
                        r->segment, t->name, t->name, name, most, most);
    return tug_fail(err, -EINVAL,
                    "%u segments of %u nodes are to be in one %s each, and there is room for %zu; "
                    "ask for --nodes %zu or less, or for smaller segments",
                    r->nodes / r->segment, r->segment, t->name, n, n * r->segment);
}

static size_t largest_alone(const struct tug_core *c, const struct tug_within *w,
                            const uint64_t *full)
{
    return tug_region_count(full, &tug_fabric_tier(&c->fabric, w->alone)->nodes);
}

int tug_demand_admit_size(const struct tug_core *c, const struct tug_job_req *r,
                          const uint64_t *full, const uint64_t *last, struct tug_err *err)
{
    struct tug_within w = {.level = *r->topology ? r->topology : NULL,
                           .alone = *r->exclusive_level ? r->exclusive_level : NULL,
                           .segment = r->segment};
    if (r->topology_required)
        w.domains = r->topology_domains ? r->topology_domains : 1;
    if (!tug_within_binds(&w) ||
        tug_split_choose(c, &w, r->nodes, r->gpus_last != 0, full, last, NULL))
        return 0;
    if (!w.domains && !w.segment)
        return tug_fail(err, -EINVAL,
                        "a gang of %u nodes that has its domains of level '%s' for itself does not "
                        "fit: %zu nodes that would do are in one",
                        r->nodes, w.alone, largest_alone(c, &w, full));
    return w.domains ? holds_not(c, r, full, last, err) : segments_fit_not(c, r, full, err);
}

/* ---- why it waits */

int tug_demand_explain(const struct tug_core *c, const struct tug_entry *e, char *buf,
                       size_t size_bytes)
{
    const struct tug_shape *s = e->shape;
    const struct tug_within *asked = s ? &s->key.within : NULL;
    const char *level = asked && (asked->domains || asked->segment) ? asked->level
                        : asked                                     ? asked->alone
                                                                    : NULL;
    const struct tug_tier *t = tug_fabric_tier(&c->fabric, level);
    size_t most = 0, all = 0, words = c->index.words;
    const char *name = "";
    if (!t || !tug_within_binds(&s->key.within))
        return 0;
    uint64_t *full = tug_xcalloc(words + 1, sizeof *full);
    const uint64_t *bits = tug_place_candidates(c, s, s->key.gpus);
    for (size_t w = 0; w < words; w++)
        for (uint64_t m = bits[w] & s->key.where->nodes[w]; m; m &= m - 1)
            if (tug_place_fits(c, s, (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m))) {
                full[w] |= m & -m;
                all++;
            }
    most = largest(c, t, full, &name);
    free(full);
    if (all < s->key.nodes)
        return 0;
    int n = 0;
    if (asked->alone && !asked->domains && !asked->segment) {
        snprintf(buf, size_bytes,
                 "needs %u nodes in domains of level '%s' where no other job is; %zu are free that "
                 "would do, but others are in the same domains",
                 s->key.nodes, t->name, all);
        return 1;
    }
    if (s->key.within.domains == 1)
        n = snprintf(buf, size_bytes, "needs %u nodes in one %s; ", s->key.nodes, t->name);
    else if (s->key.within.domains)
        n = snprintf(buf, size_bytes, "needs %u nodes in %u domains of level '%s' at most; ",
                     s->key.nodes, s->key.within.domains, t->name);
    else
        n = snprintf(buf, size_bytes, "needs %u nodes in segments of %u, each in one %s; ",
                     s->key.nodes, s->key.within.segment, t->name);
    if (n < 0 || (size_t) n >= size_bytes)
        return 1;
    snprintf(buf + n, size_bytes - (size_t) n,
             "%zu are free that would do, at most %zu of them in one (%s)%s", all, most, name,
             asked->alone ? ", and it wants to be alone there" : "");
    return 1;
}
