/* truth.c - what really happened, and the promises it is held against (doc/reliability.md)
 *
 * Not what a controller believes: the ranks of the machines, the rows on the disk, the answers that clients got. Each
 * promise is one function or one sentence below; the first that is broken ends the world. Layer: tests.
 */
#include "dst.h"

#include <stdlib.h>
#include <string.h>

#include "proto/order.h"

#define ull(x) ((unsigned long long) (x))

/* ---- what is known */

struct dst_job *dst_truth_job(struct dst *w, uint64_t id)
{
    for (size_t i = w->jobs.len; id && i-- > 0;)
        if (w->jobs.at[i].id == id)
            return &w->jobs.at[i];
    return NULL;
}

static struct dst_job *by_token(struct dst *w, const char *token)
{
    for (size_t i = w->jobs.len; i-- > 0;)
        if (!strcmp(w->jobs.at[i].token, token))
            return &w->jobs.at[i];
    return NULL;
}

struct dst_run *dst_truth_run(struct dst *w, uint64_t job, uint32_t attempt, uint32_t step, unsigned node)
{
    struct dst_run fresh = {.job = job, .attempt = attempt, .step = step, .node = node};

    for (size_t i = w->runs.len; i-- > 0;) {
        struct dst_run *r = &w->runs.at[i];
        if (r->job == job && r->attempt == attempt && r->step == step && r->node == node)
            return r;
    }
    tug_vec_push(&w->runs, fresh);
    return &w->runs.at[w->runs.len - 1];
}

static Tugpb__JobRecord *record_of(struct dst *w, struct tug_arena *a, uint64_t job)
{
    char id[24];
    size_t len;
    const void *data;
    ProtobufCMessage *m = NULL;

    snprintf(id, sizeof id, "%llu", ull(job));
    data = dst_disk_get(w->store.disk, "job", id, &len);
    if (!data)
        return NULL;
    a->budget_bytes = 1 << 20;
    int rc = tug_proto_decode(a, &tugpb__job_record__descriptor, data, len, &m, NULL);
    tug_assert(rc == 0);
    return (Tugpb__JobRecord *) m;
}

/* ---- never two attempts at once; no GPU twice; nobody before all are ready */

static const char *states_that_run[] = {"CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED"};

static bool holds(const char *state)
{
    for (size_t i = 0; i < sizeof states_that_run / sizeof *states_that_run; i++)
        if (!strcmp(state, states_that_run[i]))
            return true;
    return false;
}

void dst_truth_launched(struct dst *w, struct dst_part *p)
{
    struct dst_node *n = &w->nodes[p->node];

    if (p->epoch < n->max_epoch_started)
        dst_fail(w, "n%u starts job %llu.%u.%u by an order of epoch %llu after one of epoch %llu", p->node, ull(p->job),
                 p->attempt, p->step, ull(p->epoch), ull(n->max_epoch_started));
    n->max_epoch_started = p->epoch;
    for (size_t i = 0; i < w->runs.len && !p->step && p->epoch > w->put_back_epoch; i++)
        if (w->runs.at[i].job == p->job && w->runs.at[i].attempt == p->attempt && !w->runs.at[i].step && w->runs.at[i].epoch <= w->put_back_epoch &&
            w->runs.at[i].epoch)
            dst_fail(w, "n%u sets up job %llu.%u, an attempt of that number was on n%u before the backup was put back", p->node, ull(p->job),
                     p->attempt, w->runs.at[i].node);
    dst_truth_run(w, p->job, p->attempt, p->step, p->node)->epoch = p->epoch;
    dst_visit_check_start(w, p, "sets up");
    if (dst_truth_run(w, p->job, p->attempt, p->step, p->node)->over)
        dst_fail(w, "n%u sets up job %llu.%u.%u, and has said that it is over", p->node, ull(p->job), p->attempt, p->step);
    for (size_t i = 0; i < w->parts.len; i++) {
        const struct dst_part *o = w->parts.at[i];
        if (o != p && o->node == p->node && o->job == p->job && o->step == p->step && o->phase != DST_DEAD &&
            o->phase != DST_STUCK)
            dst_fail(w, "n%u sets up job %llu.%u.%u while attempt %u is there", p->node, ull(p->job), p->attempt,
                     p->step, o->attempt);
    }
}

/* An old state does not know that attempt, and may be over with the job by itself. */
static bool is_of_a_life_before(const struct dst *w, const struct dst_part *p)
{
    return p->epoch <= w->put_back_epoch;
}

static void check_barrier(struct dst *w, const struct dst_part *p)
{
    struct tug_arena a = {0};
    const Tugpb__JobRecord *r = record_of(w, &a, p->job);
    size_t ready = 0;

    if (!r || r->attempt != p->attempt || !holds(r->state))
        dst_fail(w, "n%u runs job %llu.%u.%u, which is over: its record says %s, attempt %u", p->node, ull(p->job),
                 p->attempt, p->step, r ? r->state : "nothing", r ? r->attempt : 0);
    if (p->step == 0 && r->spec->kind == TUGPB__JOB_KIND__JOB_GANG) {
        for (size_t i = 0; i < w->runs.len; i++) {
            const struct dst_run *o = &w->runs.at[i];
            ready += o->job == p->job && o->attempt == p->attempt && o->step == 0 && o->ready;
        }
        if (ready != r->n_slices)
            dst_fail(w, "n%u runs job %llu.%u while %zu of its %zu nodes have been ready", p->node, ull(p->job),
                     p->attempt, ready, r->n_slices);
    }
    tug_arena_clear(&a);
}

void dst_truth_started(struct dst *w, struct dst_part *p)
{
    uint32_t shared = p->uses.milli;

    dst_visit_check_start(w, p, "runs");
    for (size_t i = 0; i < w->parts.len; i++) {
        const struct dst_part *o = w->parts.at[i];
        if (o == p || (o->phase != DST_RUNNING && o->phase != DST_STUCK))
            continue;
        if (o->job == p->job && o->attempt != p->attempt && o->phase == DST_RUNNING)
            dst_fail(w, "two attempts of job %llu run at once: %u on n%u, and %u on n%u", ull(p->job), o->attempt,
                     o->node, p->attempt, p->node);
        if (o->node != p->node || (o->job == p->job && o->attempt == p->attempt) || o->stopped)
            continue;
        if (dst_devices_meet(&o->uses, &p->uses))
            dst_fail(w, "n%u %s job %llu.%u and runs job %llu.%u on one GPU%s", p->node, o->phase == DST_STUCK ? "is stuck with" : "runs",
                     ull(o->job), o->attempt, ull(p->job), p->attempt,
                     o->uses.n_slices && p->uses.n_slices ? "'s slice" : "");
        if (o->uses.milli && o->uses.gpus & p->uses.gpus)
            shared += o->uses.milli;
    }
    if (shared > 1000)
        dst_fail(w, "n%u runs job %llu on %u thousandths of a GPU, and with the others that is %u of them", p->node, ull(p->job),
                 p->uses.milli, shared);
    if (p->step == 0 && dst_truth_job(w, p->job))
        dst_again_runs(w, dst_truth_job(w, p->job), p->attempt);
    if (!is_of_a_life_before(w, p)) /* or what it rests on is not there any more */
        check_barrier(w, p);
    dst_truth_run(w, p->job, p->attempt, p->step, p->node)->started = true;
    w->n.attempts += p->step == 0;
}

/* ---- how a job ended is what its ranks did, once */

static bool some_run(struct dst *w, uint64_t job, uint32_t attempt, int code)
{
    for (size_t i = 0; i < w->runs.len; i++) {
        const struct dst_run *r = &w->runs.at[i];
        if (r->job == job && r->attempt == attempt && r->step == 0 &&
            (code >= 0 ? r->ended && r->code == code : r->lost || (r->ended && (r->code || r->signal))))
            return true;
    }
    return false;
}

static void check_completed(struct dst *w, const struct dst_job *j, const Tugpb__JobView *v)
{
    size_t ok = 0;

    for (size_t i = 0; i < w->runs.len; i++) {
        const struct dst_run *r = &w->runs.at[i];
        if (r->job != j->id || r->attempt != v->attempt || r->step)
            continue;
        if (!r->ended || r->code || r->signal)
            dst_fail(w, "job %llu is recorded as COMPLETED; on n%u attempt %u %s (code %d, signal %d)", ull(j->id),
                     r->node, r->attempt, r->ended ? "failed" : r->started ? "runs" : "never ran", r->code, r->signal);
        ok++;
    }
    if (ok != (j->batch ? 1 : v->n_slices))
        dst_fail(w, "job %llu is recorded as COMPLETED; %zu of %zu nodes ran it", ull(j->id), ok, v->n_slices);
}

/* The step daemon whose loss is named as the cause did not die by itself: its node ended it. */
static bool was_the_nodes(struct dst *w, uint64_t job, const Tugpb__JobView *v)
{
    for (size_t i = 0; i < w->runs.len; i++) {
        const struct dst_run *r = &w->runs.at[i];
        if (r->job == job && r->attempt == v->attempt && !r->step && r->by_node && !strcmp(w->nodes[r->node].name, v->cause->node))
            return true;
    }
    return false;
}

static void check_failed(struct dst *w, const struct dst_job *j, const Tugpb__JobView *v)
{
    const char *kind = v->cause ? v->cause->kind : "";

    if (j->requeue && !strcmp(kind, "node") && !dst_again_is_spent(j))
        dst_fail(w, "job %llu may be requeued and is recorded as %s for its node's sake: %s", ull(j->id), v->state,
                 v->cause->text);
    if (j->requeue && !strcmp(kind, "stepd") && !dst_again_is_spent(j) && was_the_nodes(w, j->id, v))
        dst_fail(w, "job %llu may be requeued and is recorded as %s, though %s itself ended its step: %s", ull(j->id), v->state,
                 v->cause->node, v->cause->text);
    if (j->requeue && dst_again_wants(j, v->cause) && !dst_again_is_spent(j))
        dst_fail(w, "job %llu asked to be run again after '%s' and is recorded as %s: %s", ull(j->id), j->again.on, v->state,
                 v->cause->text);
    if (!some_run(w, j->id, v->attempt, -1))
        dst_fail(w, "job %llu is recorded as %s (%s: %s); no rank of attempt %u failed", ull(j->id), v->state, kind,
                 v->cause ? v->cause->text : "", v->attempt);
    if (v->exit && v->exit->exit_code && !some_run(w, j->id, v->attempt, v->exit->exit_code))
        dst_fail(w, "job %llu is recorded with exit code %d; no rank of attempt %u exited so", ull(j->id),
                 v->exit->exit_code, v->attempt);
}

static void check_end(struct dst *w, const struct dst_job *j, const Tugpb__JobView *v)
{
    for (size_t i = 0; i < w->parts.len; i++)
        if (w->parts.at[i]->job == j->id && w->parts.at[i]->phase == DST_RUNNING && j->requeue &&
            !is_of_a_life_before(w, w->parts.at[i]))
            dst_fail(w, "job %llu is recorded as %s while attempt %u runs on n%u", ull(j->id), v->state,
                     w->parts.at[i]->attempt, w->parts.at[i]->node);
    if (!strcmp(v->state, "COMPLETED"))
        check_completed(w, j, v);
    else if (!strcmp(v->state, "FAILED") || !strcmp(v->state, "OUT_OF_MEMORY"))
        check_failed(w, j, v);
    else if (!strcmp(v->state, "CANCELLED") ? !j->cancelled
             : !strcmp(v->state, "TIMEOUT") ? !j->time_limit_s
             : !strcmp(v->state, "NODE_FAIL") ? j->requeue && !dst_again_is_spent(j)
             : !strcmp(v->state, "PREEMPTED") ? !w->conf.preempts || j->requeue
                                              : strcmp(v->state, "BOOT_FAIL") != 0)
        dst_fail(w, "job %llu is recorded as %s, for which there was no reason", ull(j->id), v->state);
}

static void on_row(struct dst *w, const struct tug_history_row *row)
{
    struct dst_job *j = dst_truth_job(w, row->job);
    struct tug_arena a = {.budget_bytes = 1 << 20};
    ProtobufCMessage *m;

    if (j && !strcmp(row->what, "start")) {
        dst_again_began(j);
        j->timed = row->attempt;
        j->started_ms = dst_clock_when(&w->ctls[w->leader].clock, row->at_ms);
    }
    int64_t ran_ms = j && j->timed ? dst_clock_when(&w->ctls[w->leader].clock, row->at_ms) - j->started_ms : -1;
    if (j && (!strcmp(row->what, "suspend") || !strcmp(row->what, "requeue")))
        j->timed = 0;
    if (!j || (strcmp(row->what, "end") != 0 && strcmp(row->what, "requeue") != 0))
        return;
    int rc = tug_proto_decode(&a, &tugpb__job_view__descriptor, row->view, row->view_len, &m, NULL);
    tug_assert(rc == 0);
    const Tugpb__JobView *v = (const Tugpb__JobView *) m;
    dst_log(w, "durable: job %llu.%u %s, %s%s%s", ull(row->job), row->attempt, row->what, v->state,
            v->cause ? ": " : "", v->cause ? v->cause->text : "");
    if (!strcmp(row->what, "requeue")) {
        struct tug_arena kept = {0};
        dst_again_row(w, j, row, v, record_of(w, &kept, j->id), ran_ms);
        tug_arena_clear(&kept);
    }
    if (!strcmp(row->what, "end")) {
        if (j->ends++)
            dst_fail(w, "the end of job %llu is recorded twice: %s, and %s", ull(j->id), j->end_state, v->state);
        snprintf(j->end_state, sizeof j->end_state, "%s", v->state);
        j->end_attempt = v->attempt;
        w->active_jobs--;
        w->n.ended++;
        check_end(w, j, v);
    }
    tug_arena_clear(&a);
}

/* ---- what is on the disk */

/* What a job is given of a node goes by what is known of it: nothing while it is drained for its health, no GPU as a whole
 * that is cut, no slice that is not there. The same commit may know another state. */
static void check_place(struct dst *w, const struct tug_batch *b, const Tugpb__JobRecord *r, const Tugpb__Slice *s)
{
    const char *node = s->node;
    struct tug_batch_item it;
    size_t pos = 0;

    while (tug_batch_next(b, &pos, &it))
        if (it.op == TUG_BATCH_PUT && !strcmp(it.kind, "node") && !strcmp(it.id, node))
            return;
    for (unsigned i = 0; i < w->conf.nodes; i++)
        if (!strcmp(w->nodes[i].name, node)) {
            if (w->nodes[i].drained_sick)
                dst_fail(w, "job %llu.%u is given %s, which is drained by its health check, a prolog or an epilog", ull(r->id), r->attempt, node);
            dst_devices_given(w, &w->nodes[i], r, s);
        }
}

static void on_job_record(struct dst *w, const struct tug_batch *b, const struct tug_batch_item *it)
{
    struct tug_arena a = {.budget_bytes = 1 << 20};
    ProtobufCMessage *m;
    int rc = tug_proto_decode(&a, &tugpb__job_record__descriptor, it->data, it->len, &m, NULL);
    const Tugpb__JobRecord *r = (const Tugpb__JobRecord *) m;

    tug_assert(rc == 0);
    struct dst_job *j = by_token(w, r->token), *other = dst_truth_job(w, r->id);
    if (!j)
        dst_fail(w, "there is a job %llu that nobody submitted", ull(r->id));
    for (size_t i = 0; i < w->gone_ids.len; i++)
        if (w->gone_ids.at[i] == r->id)
            dst_fail(w, "id %llu is used again", ull(r->id));
    if (j->forgotten) { /* its submit is asked again, of a state that never heard of it */
        if (j->id == r->id)
            dst_fail(w, "id %llu is used again", ull(r->id));
        tug_vec_push(&w->gone_ids, j->id);
        j->id = j->attempt = j->ends = 0;
        j->forgotten = false;
        w->active_jobs++;
    }
    if (j->id && j->id != r->id)
        dst_fail(w, "one request made two jobs, %llu and %llu", ull(j->id), ull(r->id));
    if (other && other != j)
        dst_fail(w, "id %llu is used twice", ull(r->id));
    j->id = r->id;
    if (r->attempt < j->attempt)
        dst_fail(w, "job %llu goes back from attempt %u to %u", ull(j->id), j->attempt, r->attempt);
    for (size_t i = 0; r->attempt > j->attempt && i < w->parts.len; i++)
        if (w->parts.at[i]->job == j->id && w->parts.at[i]->attempt < r->attempt &&
            w->parts.at[i]->phase == DST_RUNNING)
            dst_fail(w, "job %llu comes to attempt %u while attempt %u runs on n%u", ull(j->id), r->attempt,
                     w->parts.at[i]->attempt, w->parts.at[i]->node);
    j->attempt = r->attempt;
    if ((j->held || r->held) && (!strcmp(r->state, "CONFIGURING") || !strcmp(r->state, "RUNNING")))
        dst_fail(w, "job %llu is held, and is %s in attempt %u", ull(j->id), r->state, r->attempt);
    if (!strcmp(r->state, "CONFIGURING") && j->placed != r->attempt) {
        for (size_t i = 0; i < r->n_slices && j->placed != UINT32_MAX; i++)
            check_place(w, b, r, r->slices[i]);
        if (j->placed != UINT32_MAX)
            dst_pairs_placed(w, r);
        j->placed = r->attempt;
    }
    tug_arena_clear(&a);
}

static void on_node_record(struct dst *w, const struct tug_batch_item *it)
{
    struct tug_arena a = {.budget_bytes = 1 << 20};
    ProtobufCMessage *m;
    int rc = tug_proto_decode(&a, &tugpb__node_record__descriptor, it->data, it->len, &m, NULL);
    const Tugpb__NodeRecord *r = (const Tugpb__NodeRecord *) m;
    bool sick = false;

    tug_assert(rc == 0);
    for (size_t i = 0; i < r->n_drains; i++)
        sick |= !strcmp(r->drains[i]->by, "health") || !strcmp(r->drains[i]->by, "prolog") || !strcmp(r->drains[i]->by, "epilog");
    for (unsigned i = 0; i < w->conf.nodes; i++)
        if (!strcmp(w->nodes[i].name, r->name)) {
            w->nodes[i].drained_sick = sick;
            dst_devices_known(&w->nodes[i], r->inventory);
        }
    dst_pairs_record(w, r);
    tug_arena_clear(&a);
}

void dst_truth_durable(struct dst *w, const struct tug_batch *b)
{
    struct tug_batch_item it;
    size_t pos = 0;

    while (tug_batch_next(b, &pos, &it)) {
        if (it.op == TUG_BATCH_PUT && !strcmp(it.kind, "job"))
            on_job_record(w, b, &it);
        else if (it.op == TUG_BATCH_HISTORY)
            on_row(w, &it.row);
        else if (it.op == TUG_BATCH_DEL && !strcmp(it.kind, "job")) {
            const struct dst_job *j = dst_truth_job(w, strtoull(it.id, NULL, 10));
            if (!j || !j->ends)
                dst_fail(w, "job %s is forgotten before it ended", it.id);
        }
    }
    for (pos = 0; tug_batch_next(b, &pos, &it);)
        if (it.op == TUG_BATCH_PUT && !strcmp(it.kind, "node"))
            on_node_record(w, &it);
}

/* ---- what is said rests on what is durable */

static void check_epoch(struct dst *w, const struct dst_ctl *c, uint64_t epoch)
{
    for (size_t i = w->epochs.len; i-- > 0;)
        if (w->epochs.at[i].epoch == epoch) {
            if (w->epochs.at[i].ctl != c->index || w->epochs.at[i].life != c->life)
                dst_fail(w, "controller %u speaks with epoch %llu, as another one did", c->index, ull(epoch));
            return;
        }
    tug_vec_reserve(&w->epochs, w->epochs.len + 1);
    w->epochs.at[w->epochs.len].epoch = epoch;
    w->epochs.at[w->epochs.len].ctl = c->index;
    w->epochs.at[w->epochs.len++].life = c->life;
}

/* What is durable may be further: the word to start is held behind a commit in which all parts have ended by then.
 * Whether a rank runs after that is another question, which is asked where it starts. */
static void check_launch(struct dst *w, const Tugpb__StepKey *k, const char *what, bool runs)
{
    struct tug_arena a = {0};
    const Tugpb__JobRecord *r = record_of(w, &a, k->job);
    bool over = r && (r->attempt > k->attempt || (r->attempt == k->attempt && !holds(r->state) && strcmp(r->state, "PENDING") != 0));

    bool there = r && r->attempt == k->attempt && holds(r->state) && !(runs && !strcmp(r->state, "CONFIGURING"));

    /* A launch, too, where it waited for room: until the attempt after it was durable, or the job was over. */
    bool waited = r && (r->attempt > k->attempt || w->now_ms < w->store.full_until_ms + 600000);

    if (!there && !((runs || waited) && over))
        dst_fail(w, "%s for job %llu.%u.%u leaves, and durable is %s, attempt %u", what, ull(k->job), k->attempt, k->step,
                 r ? r->state : "nothing", r ? r->attempt : 0);
    tug_arena_clear(&a);
}

static void check_ack(struct dst *w, const Tugpb__StepKey *k, const struct dst_node *n)
{
    struct tug_arena a = {0};
    const Tugpb__JobRecord *r = record_of(w, &a, k->job);

    for (size_t i = 0; r && r->attempt == k->attempt && holds(r->state) && i < r->n_steps; i++)
        for (size_t p = 0; r->steps[i]->step == k->step && p < r->steps[i]->n_nodes; p++) {
            const Tugpb__StepNodeRecord *part = r->steps[i]->nodes[p];
            if (!strcmp(r->slices[part->slice]->node, n->name) && part->part != TUGPB__PART_PHASE__PART_GONE)
                dst_fail(w, "the result of job %llu.%u.%u on %s is acknowledged, and durable is that it is there",
                         ull(k->job), k->attempt, k->step, n->name);
        }
    tug_arena_clear(&a);
}

static void check_held(struct dst *w, const Tugpb__HoldReply *m)
{
    for (size_t i = 0; i < m->n_changed; i++) {
        struct tug_arena a = {0};
        const Tugpb__JobRecord *r = record_of(w, &a, m->changed[i]);
        const struct dst_job *j = dst_truth_job(w, m->changed[i]);
        if (r && j && !strcmp(r->state, "PENDING") && !r->held && !r->released_ms)
            dst_fail(w, "job %llu is said to be held or released, and of neither anything is durable", ull(m->changed[i]));
        tug_arena_clear(&a);
    }
}

void dst_truth_ctl_says(struct dst *w, const struct dst_ctl *c, tug_peer_id peer, uint16_t number,
                        const ProtobufCMessage *m)
{
    const struct dst_link *l = dst_link(w, peer);
    const struct dst_job *j;

    switch (number) {
    case TUG_MSG_SUBMIT_REPLY:
        j = dst_truth_job(w, ((const Tugpb__SubmitReply *) m)->job);
        if (!j && !c->fenced)
            dst_fail(w, "job %llu is acknowledged and not durable", ull(((const Tugpb__SubmitReply *) m)->job));
        break;
    case TUG_MSG_HOLD_REPLY:
        if (!c->fenced)
            check_held(w, (const Tugpb__HoldReply *) m);
        break;
    case TUG_MSG_NODE_WELCOME:
        check_epoch(w, c, ((const Tugpb__NodeWelcome *) m)->epoch);
        break;
    case TUG_MSG_LEASE_GRANT:
        check_epoch(w, c, ((const Tugpb__LeaseGrant *) m)->epoch);
        break;
    case TUG_MSG_STEP_LAUNCH:
        check_epoch(w, c, ((const Tugpb__StepLaunch *) m)->epoch);
        if (!c->fenced)
            check_launch(w, ((const Tugpb__StepLaunch *) m)->key, "a launch", false);
        break;
    case TUG_MSG_STEP_START:
        if (!c->fenced)
            check_launch(w, ((const Tugpb__StepStart *) m)->key, "the start", true);
        break;
    case TUG_MSG_STEP_ACK:
        if (!c->fenced && l)
            check_ack(w, ((const Tugpb__StepAck *) m)->key, &w->nodes[l->node]);
        break;
    default:
        break;
    }
}

static void check_node_epoch(struct dst *w, struct dst_node *n, const char *what)
{
    ProtobufCMessage *m = NULL;
    struct tug_arena a = {0};
    size_t len;
    const void *data = dst_disk_get(n->store.disk, "agent", "self", &len);
    uint64_t epoch = tug_agent_epoch(n->agent), durable = 0;

    if (data && tug_proto_decode(&a, &tugpb__agent_record__descriptor, data, len, &m, NULL) == 0)
        durable = ((const Tugpb__AgentRecord *) m)->max_epoch;
    tug_arena_clear(&a);
    if (durable < epoch)
        dst_fail(w, "n%u acts (%s) under epoch %llu, and durable is %llu", n->index, what, ull(epoch), ull(durable));
    if (epoch < n->max_epoch_obeyed)
        dst_fail(w, "n%u is back at epoch %llu, it has obeyed %llu", n->index, ull(epoch), ull(n->max_epoch_obeyed));
    n->max_epoch_obeyed = epoch;
}

static void check_order_epoch(struct dst *w, const struct dst_node *n, const Tugpb__LnStart *m)
{
    struct tug_order o;

    if (tug_order_unpack(m->order.data, &o, NULL) == 0 && o.epoch < tug_agent_epoch(n->agent))
        dst_fail(w, "n%u obeys an order of epoch %llu, and has seen epoch %llu", n->index, ull(o.epoch),
                 ull(tug_agent_epoch(n->agent)));
}

static void check_result_kept(struct dst *w, const struct dst_node *n, tug_peer_id peer)
{
    char id[64];
    size_t len;

    for (size_t i = 0; i < w->parts.len; i++) {
        const struct dst_part *p = w->parts.at[i];
        if (p->node != n->index || p->peer != peer)
            continue;
        snprintf(id, sizeof id, "%llu.%u.%u", ull(p->job), p->attempt, p->step);
        const void *data = dst_disk_get(n->store.disk, "held", id, &len);
        ProtobufCMessage *m = NULL;
        struct tug_arena a = {0};
        bool kept = data && tug_proto_decode(&a, &tugpb__held_record__descriptor, data, len, &m, NULL) == 0 &&
                    ((const Tugpb__HeldRecord *) m)->state->result;
        tug_arena_clear(&a);
        if (!kept)
            dst_fail(w, "n%u acknowledges the result of job %s and has not kept it", n->index, id);
    }
}

static void check_health_kept(struct dst *w, const struct dst_node *n, const Tugpb__NodeHealth *m)
{
    struct tug_arena a = {0};
    ProtobufCMessage *kept = NULL;
    size_t len;
    const void *data = dst_disk_get(n->store.disk, "health", "self", &len);

    if (m->state == TUGPB__HEALTH_STATE__HEALTH_NONE || !strncmp(m->text, "STATE_FULL", strlen("STATE_FULL")))
        return; /* what it finds there is not kept: it could not be */
    if (!data || tug_proto_decode(&a, &tugpb__node_health__descriptor, data, len, &kept, NULL) != 0 ||
        ((const Tugpb__NodeHealth *) kept)->state != m->state || strcmp(((const Tugpb__NodeHealth *) kept)->text, m->text) != 0)
        dst_fail(w, "n%u tells of its health what it has not kept: %s", n->index, m->text);
    tug_arena_clear(&a);
}

static void check_nothing_left(struct dst *w, const struct dst_node *n, const Tugpb__StepKey *k)
{
    for (size_t i = 0; i < w->parts.len; i++) {
        const struct dst_part *p = w->parts.at[i];
        if (p->node == n->index && p->job == k->job && p->attempt == k->attempt && p->step == k->step &&
            (p->phase < DST_ENDED || p->phase == DST_STUCK))
            dst_fail(w, "n%u says that nothing is left of job %llu.%u.%u, and it %s", n->index, ull(k->job), k->attempt,
                     k->step, p->phase == DST_RUNNING ? "runs" : "is there");
    }
}

/* Then others may run as the next attempt of it. */
static void check_runs_no_more(struct dst *w, const struct dst_node *n, const Tugpb__StepKey *k)
{
    const struct dst_part *p = dst_part_find(w, n->index, k);

    if (p && p->phase < DST_ENDED)
        dst_fail(w, "n%u says that job %llu.%u.%u is stuck, and it %s", n->index, ull(k->job), k->attempt, k->step,
                 p->phase == DST_RUNNING ? "runs" : "is being set up");
}

void dst_truth_agent_says(struct dst *w, struct dst_node *n, tug_peer_id peer, uint16_t number,
                          const ProtobufCMessage *m)
{
    const Tugpb__StepResult *r;

    if (number == TUG_MSG_LN_START)
        check_order_epoch(w, n, (const Tugpb__LnStart *) m);
    switch (number) {
    case TUG_MSG_LN_START:
    case TUG_MSG_LN_LEASE:
    case TUG_MSG_LN_KILL:
    case TUG_MSG_LEASE_REQUEST:
        check_node_epoch(w, n, tug_msg_info(number)->name);
        break;
    case TUG_MSG_NODE_HEALTH:
        check_health_kept(w, n, (const Tugpb__NodeHealth *) m);
        break;
    case TUG_MSG_SD_RESULT_ACK:
        check_result_kept(w, n, peer);
        break;
    case TUG_MSG_STEP_STUCK:
        check_runs_no_more(w, n, ((const Tugpb__StepStuck *) m)->result->key);
        break;
    case TUG_MSG_STEP_DONE:
        r = ((const Tugpb__StepDone *) m)->result;
        check_nothing_left(w, n, r->key);
        dst_visit_over(w, n, r->key);
        dst_truth_run(w, r->key->job, r->key->attempt, r->key->step, n->index)->over = true;
        break;
    default:
        break;
    }
}

/* ---- acknowledged is there, also after a restart */

void dst_truth_acked(struct dst *w, struct dst_job *j, uint64_t id)
{
    const struct dst_job *other = dst_truth_job(w, id);

    if (other && other != j)
        dst_fail(w, "id %llu is given to two requests", ull(id));
    if (!j->id || j->id != id)
        dst_fail(w, "job %llu is acknowledged; durable is %llu", ull(id), ull(j->id));
    j->acked = true;
}

/* A controller that comes back to its machine knows how long a job has run, wherever the wall clock is by now. One that comes
 * to another machine has the wall clocks only. */
static void check_ran(struct dst *w, const struct dst_ctl *c, struct dst_job *j)
{
    const struct tug_job *job = tug_core_job(tug_control_core(c->control), j->id);
    struct tug_arena a = {0};
    const Tugpb__JobRecord *r = j->timed ? record_of(w, &a, j->id) : NULL;
    int64_t really_ms = w->now_ms - j->started_ms, ran_ms;

    if (r && r->clock_boot != c->index + 1)
        j->timed = 0;
    tug_arena_clear(&a);
    if (!j->timed || !job || job->state != TUG_JOB_RUNNING || job->attempt != j->timed)
        return;
    if (job->launched_ms == job->alloc_ms) /* nodes were given to it by another machine's clock, which was ahead */
        return;
    ran_ms = dst_clock_at(&c->clock, w->now_ms) - job->launched_ms;
    if (llabs(ran_ms - really_ms) > 1000 + really_ms / 200)
        dst_fail(w, "job %llu has run for %lld ms, and controller %u takes it for %lld", ull(j->id), (long long) really_ms,
                 c->index, (long long) ran_ms);
    if (j->time_limit_s && job->limit_ms != job->launched_ms + j->time_limit_s * 1000LL)
        dst_fail(w, "job %llu has a limit of %u s, and controller %u ends it after %lld ms", ull(j->id), j->time_limit_s,
                 c->index, (long long) (job->limit_ms - job->launched_ms));
    w->n.timed++;
}

/* What it does not know is nobody's any more, but for its id and its ranks; what it knows not to be over will be again. */
void dst_truth_put_back(struct dst *w)
{
    dst_visits_put_back(w);
    for (unsigned i = 0; i < w->conf.nodes; i++) {
        struct tug_batch_item it = {.kind = "node", .id = w->nodes[i].name};
        w->nodes[i].drained_sick = false;
        it.data = dst_disk_get(w->store.disk, it.kind, it.id, &it.len);
        if (it.data)
            on_node_record(w, &it);
    }
    for (size_t i = 0; i < w->jobs.len; i++)
        w->jobs.at[i].placed = UINT32_MAX;
    for (size_t i = 0; i < w->jobs.len; i++) {
        struct dst_job *j = &w->jobs.at[i];
        struct tug_arena a = {0};
        const Tugpb__JobRecord *r = j->id && !j->forgotten ? record_of(w, &a, j->id) : NULL;

        if (r && (holds(r->state) || !strcmp(r->state, "PENDING"))) {
            w->active_jobs += j->ends != 0;
            j->ends = j->timed = 0;
            j->attempt = r->attempt;
            dst_again_put_back(j, r);
        } else if (j->id && !j->forgotten && !r) { /* also if it is over: who was not told of it submits it again */
            j->forgotten = true;
            w->active_jobs -= !j->ends;
            w->n.forgotten += !j->ends;
        }
        tug_arena_clear(&a);
    }
    w->epochs.len = 0; /* the same backup may have been put back before; then nodes tell the later life from this one */
    w->put_back_ms = w->now_ms;
}

void dst_truth_restored(struct dst *w, const struct dst_ctl *c)
{
    for (size_t i = 0; i < w->jobs.len; i++) {
        struct dst_job *j = &w->jobs.at[i];
        if (j->id && !j->ends && !j->forgotten)
            check_ran(w, c, j);
        const struct tug_job *job = j->held && j->id ? tug_core_job(tug_control_core(c->control), j->id) : NULL;
        if (job && job->state == TUG_JOB_PENDING && !job->onhold.by)
            dst_fail(w, "job %llu is held, and controller %u does not know it", ull(j->id), c->index);
        if (j->id && !j->ends && !j->forgotten && !tug_core_job(tug_control_core(c->control), j->id))
            dst_fail(w, "job %llu is lost: controller %u does not know it", ull(j->id), c->index);
    }
}

/* ---- the end: every job is over, and nothing is left anywhere */

/* What the controller believes, for whoever looks for the reason. */
static void dump(struct dst *w, const struct dst_ctl *c, const struct tug_job *job)
{
    const struct tug_core *core = tug_control_core(c->control);
    char text[512];

    printf("# job %llu: %s\n", ull(job->id), tug_core_explain(core, job, NULL, text, sizeof text));
    for (uint32_t i = 0; i < w->conf.nodes; i++) {
        struct tug_core_node k;
        tug_core_node(core, i, &k);
        printf("# node %s: %s %s, %u jobs, GPUs used %llx\n", k.name, tug_core_node_state(&k), k.reason, k.n_jobs,
               ull(k.gpus_used));
    }
}

void dst_truth_end(struct dst *w)
{
    for (size_t i = 0; i < w->jobs.len; i++) {
        const struct dst_job *j = &w->jobs.at[i];
        if (!j->ends && !j->forgotten) {
            const struct dst_ctl *c = &w->ctls[w->leader];
            const struct tug_job *job = c->control && j->id ? tug_core_job(tug_control_core(c->control), j->id) : NULL;
            if (job)
                dump(w, c, job);
            dst_fail(w, "job %llu is not over %d hours after the last fault: %s", ull(j->id), 6,
                     job ? tug_job_state_name(job->state) : c->control ? "not known" : "there is no controller");
        }
    }
    for (size_t i = 0; i < w->parts.len; i++) {
        const struct dst_part *p = w->parts.at[i];
        if (p->phase != DST_DEAD)
            dst_fail(w, "n%u still holds job %llu.%u.%u, and all jobs are over", p->node, ull(p->job), p->attempt, p->step);
    }
    for (unsigned i = 0; i < w->conf.nodes; i++)
        if (!w->nodes[i].agent || tug_agent_steps(w->nodes[i].agent) || tug_agent_visits(w->nodes[i].agent))
            dst_fail(w, "n%u: its daemon %s, and all jobs are over", i,
                     w->nodes[i].agent ? "still keeps steps" : "does not run");
    dst_visits_end(w);
    for (size_t i = 0; i < w->errands.len; i++)
        if (!w->errands.at[i].done)
            dst_fail(w, "a client never got its answer (kind %d)", (int) w->errands.at[i].kind);
}
