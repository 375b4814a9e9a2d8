/* visit.c - prologs and epilogs, and what must hold of them
 *
 * They take their time, fail, hang until their time is over, and are cut short with their daemon: then the next one waits
 * until nothing is left of them, as noded/programs.c does. Layer: tests.
 */
#include "dst.h"

#include <stdlib.h>
#include <string.h>

#include "core/job.h"

#define ull(x) ((unsigned long long) (x))

/* Of another stream than the rest: worlds without them are what they were before there were any. Where GPUs are cut or shared several
 * may have one, and who came too early could not be told. */
void dst_visits_draw(struct dst *w)
{
    struct tug_rand *r = &w->of_visits;
    uint64_t which;

    *r = tug_rand_seed(w->opts.seed * 40503u + 9);
    which = dst_chance(r, 0.6) && !w->conf.slices && !w->conf.shares ? tug_rand_below(r, 4) : 4; /* prolog, epilog, both twice as often; none */
    w->conf.prolog_s = which == 4 || which == 1 ? 0 : (uint32_t) dst_between(r, 2, 60);
    w->conf.epilog_s = which == 4 || which == 0 ? 0 : (uint32_t) dst_between(r, 2, 60);
}

static struct dst_visit *visit(struct dst *w, unsigned node, uint64_t job, uint32_t attempt)
{
    for (size_t i = w->visits.len; i-- > 0;) {
        struct dst_visit *v = &w->visits.at[i];
        if (v->node == node && v->job == job && v->attempt == attempt)
            return v;
    }
    return NULL;
}

static struct dst_visit *add(struct dst *w, unsigned node, uint64_t job, uint32_t attempt)
{
    struct dst_visit fresh = {.job = job, .attempt = attempt, .node = node};

    tug_vec_push(&w->visits, fresh);
    return &w->visits.at[w->visits.len - 1];
}

static const char *word(const Tugpb__VsRun *m, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < m->n_env; i++)
        if (!strncmp(m->env[i], name, len) && m->env[i][len] == '=')
            return m->env[i] + len + 1;
    return "";
}

/* "0,2-3" */
static uint64_t gpus_of(const char *text)
{
    uint64_t all = 0;

    while (*text) {
        char *end;
        unsigned long from = strtoul(text, &end, 10), to = *end == '-' ? strtoul(end + 1, &end, 10) : from;
        for (; from <= to && from < 64; from++)
            all |= UINT64_C(1) << from;
        text = *end ? end + 1 : end;
    }
    return all;
}

/* ---- the promises */

void dst_visits_stopped(struct dst *w, const struct dst_part *p)
{
    for (size_t i = 0; i < w->visits.len; i++)
        if (w->visits.at[i].job == p->job && w->visits.at[i].attempt == p->attempt)
            w->visits.at[i].lent = true;
}

/* Nobody comes to GPUs before the epilog of who had them is over. */
static void check_gpus(struct dst *w, unsigned node, uint64_t job, uint32_t attempt, uint64_t gpus)
{
    for (size_t i = 0; w->conf.epilog_s && i < w->visits.len; i++) {
        const struct dst_visit *o = &w->visits.at[i];
        if (o->node == node && o->began && !o->over && (o->gpus & gpus) && !o->lent &&
            (o->job != job || o->attempt != attempt))
            dst_fail(w, "n%u is given to job %llu.%u before the epilog of job %llu.%u is over, which has GPUs in common with it",
                     node, ull(job), attempt, ull(o->job), o->attempt);
    }
}

void dst_visit_check_start(struct dst *w, const struct dst_part *p, const char *what)
{
    const struct dst_visit *v = visit(w, p->node, p->job, p->attempt);

    if (w->conf.prolog_s && !(v && v->prolog_ok))
        dst_fail(w, "n%u %s job %llu.%u.%u, and its prolog has not succeeded", p->node, what, ull(p->job), p->attempt, p->step);
    if (v && (v->epilog_began || v->over))
        dst_fail(w, "n%u %s job %llu.%u.%u behind its epilog", p->node, what, ull(p->job), p->attempt, p->step);
    check_gpus(w, p->node, p->job, p->attempt, p->uses.gpus);
    if (!v && w->conf.epilog_s) { /* it has no prolog by which it would have been seen */
        struct dst_visit *fresh = add(w, p->node, p->job, p->attempt);
        fresh->gpus = p->uses.gpus;
        fresh->began = true;
    }
}

/* What an epilog hears of an attempt that is run again is how that ended, however late it comes. */
void dst_visits_requeued(struct dst *w, uint64_t job, uint32_t attempt, const Tugpb__Cause *cause)
{
    struct dst_past past = {.job = job, .attempt = attempt};

    if (!cause || strcmp(cause->kind, "rank") != 0 || !cause->exit)
        return;
    past.code = cause->exit->exit_code;
    past.signal = cause->exit->signal;
    tug_vec_push(&w->pasts, past);
}

void dst_visits_put_back(struct dst *w)
{
    tug_vec_clear(&w->pasts);
}

static void check_exit(struct dst *w, unsigned node, const Tugpb__VsRun *m)
{
    int code = atoi(word(m, "TUG_JOB_EXIT_CODE")), signal = atoi(word(m, "TUG_JOB_EXIT_SIGNAL"));

    for (size_t i = 0; *word(m, "TUG_JOB_STATE") && i < w->pasts.len; i++) {
        const struct dst_past *p = &w->pasts.at[i];
        if (p->job == m->key->job && p->attempt == m->key->attempt && (p->code != code || p->signal != signal))
            dst_fail(w, "n%u: the epilog of job %llu.%u, which is %s, is told exit code %d, signal %d; it ended with %d and %d", node,
                     ull(p->job), p->attempt, word(m, "TUG_JOB_STATE"), code, signal, p->code, p->signal);
    }
}

static void check_epilog(struct dst *w, const struct dst_visit *v)
{
    for (size_t i = 0; i < w->parts.len; i++) {
        const struct dst_part *p = w->parts.at[i];
        if (p->node == v->node && p->job == v->job && p->attempt == v->attempt && p->phase != DST_DEAD)
            dst_fail(w, "n%u: the epilog of job %llu.%u begins, and step %u is there", v->node, ull(v->job), v->attempt, p->step);
    }
}

void dst_visit_over(struct dst *w, const struct dst_node *n, const Tugpb__StepKey *key)
{
    struct dst_visit *v = key->step == TUG_VISIT_STEP ? visit(w, n->index, key->job, key->attempt) : NULL;

    if (!v)
        return;
    if (v->run || (w->conf.epilog_s && v->began && !v->epilog_began))
        dst_fail(w, "n%u says that job %llu.%u has left, and %s", n->index, ull(v->job), v->attempt,
                 v->run ? "a program of it runs" : "its epilog was not run");
    v->over = true;
}

void dst_visits_end(struct dst *w)
{
    for (size_t i = 0; i < w->visits.len; i++) {
        const struct dst_visit *v = &w->visits.at[i];
        if (v->began && !v->over)
            dst_fail(w, "all jobs are over, and n%u has not left job %llu.%u", v->node, ull(v->job), v->attempt);
    }
}

/* ---- the programs */

static void ends(struct dst *w, struct dst_visit *v, int64_t in_ms, bool failed)
{
    struct dst_event *e = dst_later(w, in_ms, DST_FROM_PROGRAM, v->node);
    Tugpb__VsDone m = TUGPB__VS_DONE__INIT;
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;

    key.job = v->job;
    key.attempt = v->attempt;
    key.step = TUG_VISIT_STEP;
    m.key = &key;
    m.epilog = v->epilog;
    m.failed = failed;
    m.text = (char *) (failed ? "ended with exit code 1" : "ended with exit code 0");
    m.output = (char *) "words";
    e->id = v->run = ++w->next_id;
    e->life = w->nodes[v->node].life;
    dst_event_body(e, TUG_MSG_VS_DONE, 0, &m.base);
}

static void start(struct dst *w, struct dst_node *n, const Tugpb__VsRun *m)
{
    struct dst_visit *v = visit(w, n->index, m->key->job, m->key->attempt);
    uint32_t limit_s = m->epilog ? w->conf.epilog_s : w->conf.prolog_s;
    int64_t wait_ms, took_ms = dst_between(&w->of_visits, 1, dst_chance(&w->of_visits, 0.2) ? limit_s * 1000 : 500);
    bool hangs = !w->calm && dst_chance(&w->of_visits, 0.01), failed = hangs || (!w->calm && dst_chance(&w->of_visits, 0.01));

    if (!v) {
        v = add(w, n->index, m->key->job, m->key->attempt);
        v->gpus = gpus_of(word(m, "TUG_GPUS"));
        v->lent = m->epilog; /* nothing of it ran here: whether it was stopped elsewhere was not seen */
    }
    if (v->run)
        dst_fail(w, "n%u runs two programs of job %llu.%u at once", n->index, ull(v->job), v->attempt);
    if (v->over)
        dst_fail(w, "n%u runs a program of job %llu.%u, and has said that it is over", n->index, ull(v->job), v->attempt);
    if (m->epilog) {
        check_epilog(w, v);
        check_exit(w, n->index, m);
    }
    if (!v->began && !m->epilog)
        check_gpus(w, n->index, v->job, v->attempt, v->gpus);
    w->n.programs_again += m->epilog ? v->epilog_began : v->began;
    v->began = true;
    v->prolog_ok &= m->epilog;
    v->epilog_began |= m->epilog;
    v->epilog = m->epilog;
    w->n.prologs += !m->epilog;
    w->n.epilogs += m->epilog;
    w->n.programs_failed += failed;
    if (failed) /* which drains the node: somebody looks after it */
        dst_client_bring_back(w, n->index, dst_about(&w->of_visits, 180000));
    wait_ms = v->dead_ms > w->now_ms ? v->dead_ms - w->now_ms : 0;
    dst_log(w, "n%u: %s of job %llu.%u%s", n->index, m->epilog ? "epilog" : "prolog", ull(v->job), v->attempt,
            hangs ? ", which hangs" : failed ? ", which fails" : "");
    ends(w, v, wait_ms + (hangs ? limit_s * 1000 : took_ms), failed);
}

void dst_visit_run(struct dst *w, struct dst_node *n, const Tugpb__VsRun *m)
{
    struct dst_visit *v;

    if (!m->stop) {
        start(w, n, m);
        return;
    }
    v = visit(w, n->index, m->key->job, m->key->attempt);
    if (v && v->run)
        ends(w, v, dst_between(&w->of_visits, 0, 50), true);
}

void dst_visit_event(struct dst *w, const struct dst_event *e)
{
    for (size_t i = 0; i < w->visits.len; i++) {
        struct dst_visit *v = &w->visits.at[i];
        struct tug_arena a = {0};
        ProtobufCMessage *m;
        if (v->run != e->id)
            continue;
        int rc = tug_proto_decode(&a, tug_msg_info(e->number)->desc, e->body, e->len, &m, NULL);
        tug_assert(rc == 0);
        v->run = 0;
        v->prolog_ok |= !v->epilog && !((const Tugpb__VsDone *) m)->failed;
        tug_arena_clear(&a);
        dst_agent_message(w, e->who, TUG_PEER_PROGRAMS, e);
        return;
    }
}

/* What they started may outlive it for a moment. */
void dst_visits_daemon_died(struct dst *w, const struct dst_node *n)
{
    for (size_t i = 0; i < w->visits.len; i++) {
        struct dst_visit *v = &w->visits.at[i];
        if (v->node != n->index || !v->run)
            continue;
        v->run = 0;
        v->dead_ms = w->now_ms + dst_between(&w->of_visits, 0, 300);
    }
}
