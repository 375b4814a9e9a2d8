/* remnants.c - processes that SIGKILL does not end: what nodes say of them, and how that is kept and shown
 *
 * What is decided by it is the core's business (core/remnant.c). Which processes there are and where they wait is kept as the
 * node said it last; it says so again to every controller. Layer: logic.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "logic/control_int.h"

static int is_of(const Tugpb__StepKey *k, uint64_t job, uint32_t attempt, uint32_t step)
{
    return k->job == job && k->attempt == attempt && k->step == step;
}

/* ---- what a node says */

static void forget(struct ctl_node *n, const Tugpb__StepKey *k)
{
    for (size_t i = n->stuck.len; i-- > 0;)
        if (is_of(n->stuck.at[i]->result->key, k->job, k->attempt, k->step)) {
            tug_proto_drop(n->stuck.at[i]);
            tug_vec_remove(&n->stuck, i);
        }
}

void tug_ctl_stuck_clear(struct ctl_node *n)
{
    for (size_t i = 0; i < n->stuck.len; i++)
        tug_proto_drop(n->stuck.at[i]);
    tug_vec_clear(&n->stuck);
}

static void keep(struct ctl_node *n, const Tugpb__StepStuck *m)
{
    Tugpb__StepStuck *copy = (Tugpb__StepStuck *) tug_proto_copy(&m->base);

    forget(n, m->result->key);
    tug_vec_push(&n->stuck, copy);
}

/* Those of steps that the core does not know as such any more. */
static void prune(struct ctl_node *n, const struct tug_core_node *k)
{
    for (size_t i = n->stuck.len; i-- > 0;) {
        const Tugpb__StepKey *key = n->stuck.at[i]->result->key;
        size_t r = 0;

        while (r < k->n_remnants && !is_of(key, k->remnants[r].job, k->remnants[r].attempt, k->remnants[r].step))
            r++;
        if (r == k->n_remnants) {
            tug_proto_drop(n->stuck.at[i]);
            tug_vec_remove(&n->stuck, i);
        }
    }
}

/* "pid 4711 (python3) in D at rpc_wait_bit_killable, and 3 more" */
static char *summary(struct tug_arena *a, const Tugpb__StepStuck *m)
{
    const Tugpb__StuckProcess *p = m->n_processes ? m->processes[0] : NULL;
    uint32_t all = m->n > m->n_processes ? m->n : (uint32_t) m->n_processes;
    char *more = all > 1 ? tug_ctl_fmt(a, ", and %u more", all - 1) : (char *) "";

    if (!p)
        return (char *) "nothing is known of them";
    return tug_ctl_fmt(a, "pid %u%s%.32s%s%s%.8s%s%.48s%s", p->pid, *p->command ? " (" : "", p->command,
                       *p->command ? ")" : "", *p->state ? " in " : "", p->state, *p->wchan ? " at " : "", p->wchan, more);
}

void h_step_stuck(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *msg)
{
    const Tugpb__StepStuck *m = (const Tugpb__StepStuck *) msg;
    struct tug_arena a = {.budget_bytes = 16 << 20};
    struct tug_event ev = {.type = TUG_EV_STEP_STUCK};
    struct tug_core_node k;

    (void) rid;
    if (!m->result || !tug_ctl_step_event(c, p, m->result->key, &ev))
        return;
    tug_ctl_result(c, &a, m->result, &ev);
    ev.text = summary(&a, m);
    keep(&c->nodes[ev.node], m);
    tug_ctl_apply(c, &ev, NULL);
    tug_core_node(c->core, ev.node, &k);
    prune(&c->nodes[ev.node], &k);
    tug_arena_clear(&a);
}

/* ---- records */

void tug_ctl_put_remnants(struct tug_control *c, struct tug_arena *a, const struct tug_core_node *k, Tugpb__NodeRecord *m)
{
    (void) c;
    m->remnants = tug_ctl_alloc(a, (k->n_remnants + 1) * sizeof *m->remnants);
    for (size_t i = 0; i < k->n_remnants; i++) {
        const struct tug_core_remnant *r = &k->remnants[i];
        Tugpb__RemnantRecord *out = m->remnants[m->n_remnants++] = tug_ctl_alloc(a, sizeof *out);

        tugpb__remnant_record__init(out);
        out->job = r->job;
        out->attempt = r->attempt;
        out->step = r->step;
        out->holds = r->holds;
        out->late = r->late;
        out->since_ms = r->since_ms;
        out->text = (char *) r->text;
        out->gpu_user = r->slice.gpu_user;
        out->slice = tug_ctl_alloc(a, sizeof *out->slice);
        tugpb__slice__init(out->slice);
        out->slice->node = (char *) k->name;
        out->slice->gpus = r->slice.gpus;
        out->slice->cpus = r->slice.cpus;
        out->slice->mem_bytes = r->slice.mem_bytes;
        out->slice->gpu_milli = r->slice.gpu_milli;
        out->slice->gpu_mixed = r->slice.gpu_mixed;
    }
}

size_t tug_ctl_restore_remnants(const Tugpb__NodeRecord *m, struct tug_core_remnant *out)
{
    for (size_t i = 0; i < m->n_remnants; i++) {
        const Tugpb__RemnantRecord *r = m->remnants[i];

        out[i] = (struct tug_core_remnant){.job = r->job,
                                           .attempt = r->attempt,
                                           .step = r->step,
                                           .holds = (uint8_t) (r->holds > TUG_REMNANT_NOTHING ? TUG_REMNANT_NOTHING : r->holds),
                                           .late = r->late != 0,
                                           .since_ms = r->since_ms,
                                           .text = r->text};
        if (r->slice)
            out[i].slice = (struct tug_slice){.gpus = r->slice->gpus,
                                              .cpus = r->slice->cpus,
                                              .mem_bytes = r->slice->mem_bytes,
                                              .gpu_milli = r->slice->gpu_milli,
                                              .gpu_user = r->gpu_user,
                                              .gpu_mixed = r->slice->gpu_mixed != 0};
    }
    return m->n_remnants;
}

/* ---- views */

static void view_processes(const struct ctl_node *n, const struct tug_core_remnant *r, Tugpb__NodeRemnant *out)
{
    for (size_t i = 0; i < n->stuck.len; i++) {
        const Tugpb__StepStuck *m = n->stuck.at[i];

        if (!is_of(m->result->key, r->job, r->attempt, r->step))
            continue;
        out->processes = m->processes;
        out->n_processes = m->n_processes;
        out->n = m->n;
    }
}

void tug_ctl_view_remnants(struct tug_control *c, struct tug_arena *a, uint32_t node, const struct tug_core_node *k,
                           Tugpb__NodeView *out)
{
    out->remnants = tug_ctl_alloc(a, (k->n_remnants + 1) * sizeof *out->remnants);
    for (size_t i = 0; i < k->n_remnants; i++) {
        const struct tug_core_remnant *r = &k->remnants[i];
        Tugpb__NodeRemnant *v = out->remnants[out->n_remnants++] = tug_ctl_alloc(a, sizeof *v);

        tugpb__node_remnant__init(v);
        v->job = r->job;
        v->attempt = r->attempt;
        v->step = r->step;
        v->since_ms = r->since_ms;
        if (r->holds != TUG_REMNANT_OF_GANG) {
            v->gpus = r->slice.gpus;
            v->cpus = r->slice.cpus;
            v->mem_bytes = r->slice.mem_bytes;
        }
        v->text = (char *) r->text;
        view_processes(&c->nodes[node], r, v);
    }
}
