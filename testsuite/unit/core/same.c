/* same.c - are two jobs the same, to the last field?
 *
 * Layer: tests.
 */
#include "same.h"

#include <math.h>
#include <string.h>

#define DIFFERS(field)                                                                             \
    do {                                                                                           \
        if (a->field != b->field)                                                                  \
            return #field;                                                                         \
    } while (0)

static int same_text(const char *a, const char *b)
{
    return !strcmp(a ? a : "", b ? b : "");
}

static int same_exit(const struct tug_exit *a, const struct tug_exit *b)
{
    return a->code == b->code && a->signal == b->signal && a->core_dumped == b->core_dumped &&
           a->oom == b->oom;
}

static const char *same_cause(const struct tug_cause *a, const struct tug_cause *b)
{
    DIFFERS(kind);
    DIFFERS(rank);
    DIFFERS(node);
    DIFFERS(at_ms);
    return same_exit(&a->exit, &b->exit) && same_text(a->text, b->text) ? NULL : "cause";
}

static const char *same_req(const struct tug_job_req *a, const struct tug_job_req *b)
{
    DIFFERS(uid);
    DIFFERS(gid);
    DIFFERS(batch);
    DIFFERS(requeue);
    DIFFERS(exclusive);
    DIFFERS(interactive);
    DIFFERS(nodes);
    DIFFERS(ntasks);
    DIFFERS(cpus_per_node);
    DIFFERS(gpus_per_node);
    DIFFERS(cpus_last);
    DIFFERS(gpus_last);
    DIFFERS(gpu_milli);
    DIFFERS(mem_per_node_bytes);
    DIFFERS(time_limit_s);
    DIFFERS(begin_ms);
    DIFFERS(nice);
    DIFFERS(topology_required);
    DIFFERS(topology_domains);
    DIFFERS(topology_wait_s);
    DIFFERS(segment);
    DIFFERS(spread);
    DIFFERS(preflight_floor);
    DIFFERS(preflight_s);
    DIFFERS(max_requeues);
    DIFFERS(requeue_delay_s);
    DIFFERS(preflight_drains);
    DIFFERS(quality_milli);
    DIFFERS(quality_wait_s);
    return same_text(a->user, b->user) && same_text(a->queue, b->queue) &&
                   same_text(a->account, b->account) && same_text(a->name, b->name) &&
                   same_text(a->gpu_model, b->gpu_model) && same_text(a->nodelist, b->nodelist) &&
                   same_text(a->exclude, b->exclude) && same_text(a->topology, b->topology) &&
                   same_text(a->exclusive_level, b->exclusive_level) && same_text(a->mig_profile, b->mig_profile) &&
                   same_text(a->preflight, b->preflight) && same_text(a->requeue_on, b->requeue_on)
               ? NULL
               : "a text of the request";
}

/* The barrier's deadline is new after a restart. */
static const char *same_step(const struct tug_step *a, const struct tug_step *b)
{
    DIFFERS(id);
    DIFFERS(state);
    DIFFERS(ntasks);
    DIFFERS(n_parts);
    DIFFERS(start_ms);
    DIFFERS(wired_ms);
    DIFFERS(end_ms);
    DIFFERS(wired_parts);
    if (memcmp(a->in_phase, b->in_phase, sizeof a->in_phase) != 0 || !same_exit(&a->exit, &b->exit))
        return "a step's counts";
    for (size_t i = 0; i < a->n_parts; i++) {
        const struct tug_part *p = &a->parts[i], *q = &b->parts[i];
        if (p->slice != q->slice || p->phase != q->phase || p->first_rank != q->first_rank ||
            p->ntasks != q->ntasks || p->lost != q->lost || p->wired != q->wired)
            return "a part";
    }
    return same_cause(&a->cause, &b->cause);
}

const char *same_job(const struct tug_job *a, const struct tug_job *b)
{
    DIFFERS(id);
    DIFFERS(state);
    DIFFERS(attempt);
    DIFFERS(requeues);
    DIFFERS(launch_failures);
    DIFFERS(next_step);
    DIFFERS(priority);
    DIFFERS(submit_ms);
    DIFFERS(eligible_ms);
    DIFFERS(wants_since_ms);
    DIFFERS(alloc_ms);
    DIFFERS(launched_ms);
    DIFFERS(wired_ms);
    DIFFERS(end_ms);
    DIFFERS(limit_ms);
    DIFFERS(quality.mbs);
    DIFFERS(quality.best_mbs);
    if (!same_text(a->quality.text, b->quality.text))
        return "quality";
    DIFFERS(preemptions);
    DIFFERS(gives_way);
    DIFFERS(preemptor);
    DIFFERS(notice_ms);
    if ((a->stopping_ms >= 0) != (b->stopping_ms >= 0)) /* its time begins anew, as a barrier's does */
        return "stopping_ms";
    DIFFERS(stop_serial);
    DIFFERS(suspended_ms);
    DIFFERS(resumed_ms);
    DIFFERS(sliced_ms);
    DIFFERS(ran_ms);
    DIFFERS(onhold.by);
    DIFFERS(onhold.uid);
    DIFFERS(onhold.since_ms);
    DIFFERS(held_ms);
    DIFFERS(released_ms);
    if (!same_text(a->onhold.user, b->onhold.user) || !same_text(a->onhold.why, b->onhold.why))
        return "onhold";
    DIFFERS(failures);
    DIFFERS(backoffs);
    DIFFERS(retry_ms);
    DIFFERS(n_attempts);
    DIFFERS(n_slices);
    DIFFERS(n_steps);
    if (!a->visit != !b->visit)
        return "visit";
    if (a->state == TUG_JOB_COMPLETING && a->end_state != b->end_state)
        return "end_state";
    for (size_t i = 0; i < a->n_slices; i++)
        if (memcmp(&a->slices[i], &b->slices[i], sizeof *a->slices) != 0)
            return "a slice";
    const char *differs = same_req(&a->req, &b->req);
    for (size_t i = 0; i < a->n_attempts && !differs; i++)
        differs = a->attempts[i].attempt != b->attempts[i].attempt || a->attempts[i].counts != b->attempts[i].counts ||
                          a->attempts[i].alloc_ms != b->attempts[i].alloc_ms ||
                          a->attempts[i].launched_ms != b->attempts[i].launched_ms ||
                          a->attempts[i].end_ms != b->attempts[i].end_ms
                      ? "an attempt"
                      : same_cause(&a->attempts[i].cause, &b->attempts[i].cause);
    for (size_t i = 0; i < a->n_steps && !differs; i++)
        differs = same_step(&a->steps[i], &b->steps[i]);
    if (!differs && a->visit)
        differs = same_step(a->visit, b->visit);
    if (!differs && !same_exit(&a->exit, &b->exit))
        differs = "exit";
    return differs ? differs : same_cause(&a->cause, &b->cause);
}

/* Working figures out changes nothing that shows. */
static struct tug_core *writable(const struct tug_core *c)
{
    return (struct tug_core *) (uintptr_t) c;
}

static double usage_of(const struct tug_policy_share *rows, size_t n, const char *account,
                       const char *user)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].is_user && !strcmp(rows[i].name, user) &&
            !strcmp(rows[rows[i].parent].name, account))
            return rows[i].usage_gpu_s;
    return 0;
}

const char *same_usage(const struct tug_core *a, const struct tug_core *b, int64_t now_ms)
{
    size_t n, n_other;
    const struct tug_policy_share *rows = tug_core_share_tree(writable(a), now_ms, &n),
                                  *others = tug_core_share_tree(writable(b), now_ms, &n_other);
    for (size_t i = 0; i < n; i++) {
        if (!rows[i].is_user)
            continue;
        double x = rows[i].usage_gpu_s,
               y = usage_of(others, n_other, rows[rows[i].parent].name, rows[i].name);
        if (fabs(x - y) > 1e-6 * (x + 1))
            return rows[i].name;
    }
    return NULL;
}

static int same_node_again(struct tug_core *made, const struct tug_core_node *n,
                           const struct tug_core_inventory *inv, struct tug_err *err)
{
    const struct tug_core_node_past past = {.inv = n->known ? inv : NULL,
                                            .drains = n->drains,
                                            .n_drains = n->n_drains,
                                            .bad_launches = n->bad_launches,
                                            .failures = n->failures,
                                            .n_failures = n->n_failures,
                                            .remnants = n->remnants,
                                            .n_remnants = n->n_remnants};
    return tug_core_restore_node(made, n->name, &past, err);
}

static size_t slices_of(const struct tug_core *c, uint32_t node, struct tug_core_mig out[TUG_GPUS_MAX])
{
    struct tug_core_cut cuts[TUG_CORE_CUTS_MAX];
    size_t n_cuts = tug_core_node_cuts(c, node, cuts), n = 0;
    for (size_t i = 0; i < n_cuts; i++)
        for (tug_gpuset s = cuts[i].slices; s; s &= s - 1)
            out[n++] = (struct tug_core_mig){.profile = cuts[i].profile,
                                             .gpu = (uint8_t) __builtin_ctzll(tug_core_gpus_of(c, node, s & -s)),
                                             .device = (uint8_t) __builtin_ctzll(s)};
    return n;
}

struct tug_core *same_restart(const struct tug_core *c, const struct tug_core_conf *conf,
                              int64_t now_ms, struct tug_err *err)
{
    struct tug_core *made = tug_core_new(conf, err);
    int rc = made ? 0 : -1;
    for (uint32_t i = 0; i < tug_core_nodes(c) && !rc; i++) {
        struct tug_core_node n;
        tug_core_node(c, i, &n);
        struct tug_core_mig mig[TUG_GPUS_MAX];
        struct tug_core_inventory inv = {n.cpus, n.gpus + tug_gpuset_count(n.gpus_lost | n.gpus_cut), n.mem_bytes, n.gpu_model,
                                         n.machine, n.gpus_lost, mig, slices_of(c, i, mig), n.prolog_s, n.epilog_s};
        if (tug_core_node_find(made, n.name) != TUG_NO_NODE)
            rc = same_node_again(made, &n, &inv, err);
        else
            tug_core_restore_ghost(made, n.name);
    }
    size_t n_shares;
    const struct tug_policy_share *shares = tug_core_share_tree(writable(c), now_ms, &n_shares);
    for (uint32_t i = 0; i < n_shares; i++) {
        struct tug_core_usage u;
        if (!shares[i].is_user)
            continue;
        tug_core_usage(c, i, &u);
        if (made)
            tug_core_restore_usage(made, u.account, u.user, u.uid, u.gpu_s, u.at_ms);
    }
    for (const struct tug_job *j = tug_core_job_after(c, 0); j && !rc;
         j = tug_core_job_after(c, j->id))
        rc = tug_core_restore_job(made, j, err);
    if (rc) {
        tug_core_free(made);
        return NULL;
    }
    tug_core_restored(made, now_ms);
    return made;
}
