/* failures.c - what is remembered of nodes that failed, and what follows from it
 *
 * The last TUG_FAILURES_MAX of each node, for as long as core.failures_kept_ms; a node that has any is shaky, which is
 * a bit of the index: of nodes that are as good for a gang, those that are not are taken first (place.c). A node that
 * goes and comes back too often is drained. Where more nodes are away than are here it is rather the controller, or
 * its network, that was away: such a loss is forgiven, as are those of a node that an admin has drained, and those
 * that he has seen when he resumes it; they are remembered all the same. Layer: core.
 */
#include <stdio.h>
#include <string.h>

#include "base/duration.h"
#include "core/state.h"

static const struct {
    const char *name, *text;
} kinds[] = {
#define TUG_FAILURE(NAME, name, text) [TUG_FAILURE_##NAME] = {#name, text},
#include "core/failures.def"
#undef TUG_FAILURE
};

const char *tug_failure_name(enum tug_failure_kind k)
{
    return (unsigned) k < TUG_FAILURE_KINDS ? kinds[k].name : "?";
}

const char *tug_failure_text(enum tug_failure_kind k)
{
    return (unsigned) k < TUG_FAILURE_KINDS ? kinds[k].text : "?";
}

int tug_failure_parse(const char *name)
{
    for (int i = 0; i < TUG_FAILURE_KINDS; i++)
        if (!strcmp(name, kinds[i].name))
            return i;
    return -1;
}

/* ---- the memory */

static int64_t forgotten_ms(const struct tug_core *c, const struct tug_core_failure *f)
{
    return f->at_ms + c->failures_kept_ms;
}

static void settle(struct tug_core *c, uint32_t node)
{
    struct tug_node *n = &c->nodes.at[node];
    while (n->failures.len &&
           (n->failures.len > TUG_FAILURES_MAX || forgotten_ms(c, &n->failures.at[0]) <= c->now_ms))
        tug_vec_remove(&n->failures, 0);
    tug_index_set_shaky(&c->index, node, n->failures.len > 0);
    if (n->failures.len && forgotten_ms(c, &n->failures.at[0]) < c->failures_next_ms)
        c->failures_next_ms = forgotten_ms(c, &n->failures.at[0]);
}

void tug_failure_put(struct tug_core *c, uint32_t node, const struct tug_core_failure *f)
{
    struct tug_node *n = &c->nodes.at[node];
    /* Times rise, also where the clock was put back over a restart. */
    struct tug_core_failure mine = *f;
    if (n->failures.len && n->failures.at[n->failures.len - 1].at_ms > mine.at_ms)
        mine.at_ms = n->failures.at[n->failures.len - 1].at_ms;
    tug_vec_push(&n->failures, mine);
    settle(c, node);
}

void tug_failure_note(struct tug_core *c, uint32_t node, enum tug_failure_kind what, tug_job_id job)
{
    const struct tug_core_failure f = {.what = what, .at_ms = c->now_ms, .job = job};
    if (node >= c->nodes.len || !c->failures_kept_ms)
        return;
    tug_failure_put(c, node, &f);
    tug_act_node_changed(c, node);
}

void tug_failures_due(struct tug_core *c)
{
    c->failures_next_ms = INT64_MAX;
    for (size_t w = 0; w < c->index.words && c->index.n_shaky; w++)
        for (uint64_t m = c->index.shaky[w]; m; m &= m - 1)
            settle(c, (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(m));
}

/* ---- nodes that go and come back */

static int is_absence(const struct tug_core_failure *f)
{
    return f->what == TUG_FAILURE_LOST || f->what == TUG_FAILURE_RESTART;
}

void tug_failures_forgive(struct tug_core *c, uint32_t node)
{
    struct tug_node *n = &c->nodes.at[node];
    for (size_t i = 0; i < n->failures.len; i++)
        n->failures.at[i].forgiven |= is_absence(&n->failures.at[i]);
}

void tug_failure_lost(struct tug_core *c, uint32_t node)
{
    struct tug_node *n = &c->nodes.at[node];
    n->lost = 1;
    c->n_lost++;
    if (c->n_lost > c->nodes_up)
        c->mass_ms = c->now_ms;
    tug_failure_note(c, node, TUG_FAILURE_LOST, n->gangs.len ? n->gangs.at[0]->j.id : 0);
}

static uint32_t absences_since(const struct tug_node *n, int64_t since_ms)
{
    uint32_t count = 0;
    for (size_t i = 0; i < n->failures.len; i++)
        count += n->failures.at[i].at_ms >= since_ms && is_absence(&n->failures.at[i]) && !n->failures.at[i].forgiven;
    return count;
}

static void drain_if_it_flaps(struct tug_core *c, uint32_t node)
{
    const struct tug_node *n = &c->nodes.at[node];
    uint32_t count = absences_since(n, c->now_ms - (int64_t) c->flap_period_s * 1000 + 1);
    char text[TUG_ACTION_TEXT], period[TUG_DURATION_TEXT_MAX];
    if (!c->flap_losses || count < c->flap_losses || tug_node_drained_by(n, TUG_DRAIN_FLAPPING))
        return;
    snprintf(text, sizeof text, "was lost or started anew and came back %u times within %s", count,
             tug_duration_format(c->flap_period_s, period, sizeof period));
    tug_node_drain(c, node, TUG_DRAIN_FLAPPING, text);
}

void tug_failure_back(struct tug_core *c, uint32_t node, int64_t lost_ms, int is_other_boot)
{
    struct tug_node *n = &c->nodes.at[node];
    int was_lost = n->lost, is_excused = tug_node_drained_by(n, TUG_DRAIN_ADMIN) != NULL;
    n->lost = 0;
    c->n_lost -= (uint32_t) was_lost;
    if (!was_lost && !is_other_boot)
        return;
    if (!was_lost)
        tug_failure_note(c, node, TUG_FAILURE_RESTART, n->gangs.len ? n->gangs.at[0]->j.id : 0);
    if (n->failures.len && (is_excused || (was_lost && c->mass_ms >= lost_ms)))
        n->failures.at[n->failures.len - 1].forgiven = 1;
    drain_if_it_flaps(c, node);
}

void tug_failures_removed(struct tug_core *c, uint32_t node)
{
    c->n_lost -= c->nodes.at[node].lost;
    c->nodes.at[node].lost = 0;
}
