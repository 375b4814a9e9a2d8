/* job.c - the life of a job
 *
 * states.def says which states there are, transitions.def which may follow which; every other move
 * is asserted. A job that waits stands in exactly one place (bench.c); a job that holds
 * resources has its slices in the ledger and gives them back in one go, when nothing of any of its
 * steps is left anywhere. Layer: core.
 */
#include "core/job.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

#define FAILED_ON_MAX     16 /* nodes that a job knows to have failed it */
#define HANG_REQUEUES_MAX 3 /* what hangs every time is not cured by that */

/* ---- names */

static const struct {
    const char *name, *code, *flags;
} states[] = {
#define TUG_STATE(NAME, code, flags, text) [TUG_JOB_##NAME] = {#NAME, #code, #flags},
#include "core/states.def"
#undef TUG_STATE
};

static const char may_move[TUG_JOB_STATES][TUG_JOB_STATES] = {
#define TUG_MOVE(FROM, TO, text) [TUG_JOB_##FROM][TUG_JOB_##TO] = 1,
#include "core/transitions.def"
#undef TUG_MOVE
};

const char *tug_job_state_name(enum tug_job_state s)
{
    return (unsigned) s < TUG_JOB_STATES ? states[s].name : "?";
}

const char *tug_job_state_code(enum tug_job_state s)
{
    return (unsigned) s < TUG_JOB_STATES ? states[s].code : "?";
}

int tug_job_state_parse(const char *name)
{
    for (int s = 0; s < TUG_JOB_STATES; s++)
        if (!strcmp(name, states[s].name) || !strcmp(name, states[s].code))
            return s;
    return -1;
}

static const struct {
    const char *name, *code;
} shown[] = {
#define TUG_STATE(NAME, code, flags, text) {#NAME, #code},
#define TUG_SHOWN(NAME, code, OF, text) {#NAME, #code},
#include "core/states.def"
#undef TUG_STATE
};

const char *tug_job_shown_name(enum tug_job_shown s)
{
    return (unsigned) s < TUG_JOB_SHOWN ? shown[s].name : "?";
}

int tug_job_shown_parse(const char *name)
{
    for (int s = 0; s < TUG_JOB_SHOWN; s++)
        if (!strcmp(name, shown[s].name) || !strcmp(name, shown[s].code))
            return s;
    return -1;
}

enum tug_job_shown tug_job_shown(const struct tug_job *j)
{
    return j->stopping_ms >= 0 ? TUG_JOB_SHOWN_SUSPENDING : (enum tug_job_shown) j->state;
}

const char *tug_job_shown_state(const struct tug_job *j)
{
    return shown[tug_job_shown(j)].name;
}

const char *tug_job_shown_code(const struct tug_job *j)
{
    return shown[tug_job_shown(j)].code;
}

int tug_job_state_is_over(enum tug_job_state s)
{
    return states[s].flags[0] == 'E';
}

const struct tug_slice *tug_job_slice_on(const struct tug_job *j, uint32_t node)
{
    for (size_t i = 0; i < j->n_slices; i++)
        if (j->slices[i].node == node)
            return &j->slices[i];
    return NULL;
}

int tug_job_state_holds(enum tug_job_state s)
{
    return states[s].flags[0] == 'H' || states[s].flags[0] == 'S';
}

int tug_job_state_waits(enum tug_job_state s)
{
    return states[s].flags[0] == 'W' || states[s].flags[0] == 'S';
}

int64_t tug_job_run_start_ms(const struct tug_job *j)
{
    return j->suspended_ms >= 0 ? -1 : j->resumed_ms >= 0 ? j->resumed_ms : j->launched_ms;
}

int64_t tug_job_ran_ms(const struct tug_job *j)
{
    int64_t since_ms = tug_job_held_since_ms(j);
    return j->ran_ms + j->sliced_ms +
           (since_ms >= 0 && j->end_ms > since_ms ? j->end_ms - since_ms : 0);
}

int tug_job_may_move(enum tug_job_state from, enum tug_job_state to)
{
    return may_move[from][to];
}

static const char *const causes[] = {[TUG_CAUSE_NONE] = "",
                                     [TUG_CAUSE_RANK] = "rank",
                                     [TUG_CAUSE_NODE] = "node",
                                     [TUG_CAUSE_STEPD] = "stepd",
                                     [TUG_CAUSE_LAUNCH] = "launch",
                                     [TUG_CAUSE_WIREUP] = "wireup",
                                     [TUG_CAUSE_TIMELIMIT] = "timelimit",
                                     [TUG_CAUSE_CANCEL] = "cancel",
                                     [TUG_CAUSE_OUTPUT] = "output",
                                     [TUG_CAUSE_IO] = "io",
                                     [TUG_CAUSE_PREEMPT] = "preempt",
                                     [TUG_CAUSE_HANG] = "hang",
                                     [TUG_CAUSE_PREFLIGHT] = "preflight",
                                     [TUG_CAUSE_LINK] = "link"};

const char *tug_cause_kind_name(enum tug_cause_kind k)
{
    return (size_t) k < sizeof causes / sizeof *causes ? causes[k] : "";
}

enum tug_cause_kind tug_cause_kind_parse(const char *name)
{
    for (size_t k = 0; k < sizeof causes / sizeof *causes; k++)
        if (!strcmp(name, causes[k]))
            return (enum tug_cause_kind) k;
    return TUG_CAUSE_NONE;
}

void tug_cause_set(struct tug_cause *to, const struct tug_cause *from)
{
    char *text = tug_xstrdup(from->text);
    free(to->text);
    *to = *from;
    to->text = text;
}

void tug_cause_clear(struct tug_cause *c)
{
    free(c->text);
    *c = (struct tug_cause){.node = TUG_NO_NODE};
}

void tug_hang_set(struct tug_hang *to, const struct tug_hang *from)
{
    char *text = tug_xstrdup(from->text);
    free(to->text);
    *to = *from;
    to->text = text;
}

void tug_hang_clear(struct tug_hang *h)
{
    free(h->text);
    *h = (struct tug_hang){.node = TUG_NO_NODE};
}

/* ---- what each node of a gang gets */

uint32_t tug_job_req_tasks(const struct tug_job_req *r, uint32_t i)
{
    uint32_t nodes = r->nodes, ntasks = r->ntasks;
    if (r->gpus_last && nodes > 1) {
        uint64_t mine = (uint64_t) ntasks * r->gpus_last / tug_job_req_all_gpus(r);
        uint32_t last = mine ? (uint32_t) mine : 1;
        if (i == nodes - 1)
            return last;
        nodes--;
        ntasks -= last;
    }
    return ntasks / nodes + (i < ntasks % nodes);
}

uint32_t tug_job_req_all_gpus(const struct tug_job_req *r)
{
    return (r->nodes - 1) * r->gpus_per_node + tug_job_req_gpus(r, r->nodes - 1);
}

uint32_t tug_job_req_all_cpus(const struct tug_job_req *r)
{
    return (r->nodes - 1) * r->cpus_per_node + tug_job_req_cpus(r, r->nodes - 1);
}

int tug_job_req_is_whole(const struct tug_job_req *r)
{
    int uneven = r->gpus_last || r->cpus_last;
    if ((r->segment && r->nodes % r->segment) || r->quality_milli > 1000)
        return 0;
    if (r->mig_profile && *r->mig_profile &&
        (r->gpu_milli || !r->gpus_per_node || !tug_mig_is_profile(r->mig_profile, strlen(r->mig_profile))))
        return 0;
    if (r->gpu_milli && (r->gpu_milli >= TUG_GPU_MILLI || r->nodes != 1 || r->gpus_per_node != 1 ||
                         r->exclusive))
        return 0;
    if (r->nodes == 0 || r->ntasks == 0 || r->gpus_per_node > TUG_GPUS_MAX)
        return 0;
    return !uneven || (r->nodes > 1 && r->ntasks >= r->nodes && r->gpus_last &&
                       r->gpus_last < r->gpus_per_node && r->cpus_last <= r->cpus_per_node);
}

/* ---- making and freeing */

static void intern_req(struct tug_core *c, struct tug_job_req *r)
{
    r->user = tug_intern(c->texts, r->user);
    r->queue = tug_intern(c->texts, r->queue);
    r->account = tug_intern(c->texts, r->account);
    r->name = tug_intern(c->texts, r->name);
    r->gpu_model = tug_intern(c->texts, r->gpu_model);
    r->mig_profile = tug_intern(c->texts, r->mig_profile);
    r->nodelist = tug_intern(c->texts, r->nodelist);
    r->exclude = tug_intern(c->texts, r->exclude);
    r->topology = tug_intern(c->texts, r->topology);
    r->exclusive_level = tug_intern(c->texts, r->exclusive_level);
    r->preflight = tug_intern(c->texts, r->preflight);
    r->requeue_on = tug_intern(c->texts, r->requeue_on);
}

static void drop_req(struct tug_core *c, struct tug_job_req *r)
{
    tug_intern_drop(c->texts, r->user);
    tug_intern_drop(c->texts, r->queue);
    tug_intern_drop(c->texts, r->account);
    tug_intern_drop(c->texts, r->name);
    tug_intern_drop(c->texts, r->gpu_model);
    tug_intern_drop(c->texts, r->mig_profile);
    tug_intern_drop(c->texts, r->nodelist);
    tug_intern_drop(c->texts, r->exclude);
    tug_intern_drop(c->texts, r->topology);
    tug_intern_drop(c->texts, r->exclusive_level);
    tug_intern_drop(c->texts, r->preflight);
    tug_intern_drop(c->texts, r->requeue_on);
}

static uint64_t *counter_of(struct tug_core *c, enum tug_job_state s)
{
    if (tug_job_state_is_over(s))
        return &c->n_ended;
    return tug_job_state_waits(s) ? &c->n_pending : &c->n_running;
}

struct tug_entry *tug_entry_new(struct tug_core *c, tug_job_id id, const struct tug_job_req *req,
                                enum tug_job_state state)
{
    struct tug_entry *e = tug_new(struct tug_entry);
    struct tug_job *j = &e->j;
    j->id = id;
    j->req = *req;
    intern_req(c, &j->req);
    j->attempt = 1;
    j->next_step = 1;
    j->submit_ms = j->eligible_ms = j->wants_since_ms = c->now_ms;
    j->alloc_ms = j->launched_ms = j->wired_ms = j->end_ms = j->limit_ms = -1;
    j->notice_ms = j->stopping_ms = j->suspended_ms = j->resumed_ms = j->retry_ms = j->released_ms = -1;
    j->cause.node = j->hang.node = TUG_NO_NODE;
    j->failed_on = tug_intern(c->texts, "");
    e->wake_ms = INT64_MAX;
    e->charged_ms = -1;
    e->queue_row = e->share_row = UINT32_MAX;
    j->state = state;
    ++*counter_of(c, state);
    c->n_suspended += state == TUG_JOB_SUSPENDED;
    tug_idtab_add(&c->jobs, id, e);
    if (tug_job_state_is_over(state))
        return e;
    struct tug_queue *q = tug_queue_find(c, j->req.queue);
    tug_assert(q);
    j->priority = (int64_t) q->priority - j->req.nice;
    q->n_jobs++;
    tug_shape_hold(c, e);
    tug_share_hold(c, e);
    return e;
}

static void free_steps(struct tug_job *j)
{
    tug_visit_clear(j);
    for (size_t i = 0; i < j->n_steps; i++)
        tug_step_clear(&j->steps[i]);
    free(j->steps);
    j->steps = NULL;
    j->n_steps = 0;
}

void tug_entry_free(struct tug_core *c, struct tug_entry *e)
{
    tug_assert(!e->hold);
    --*counter_of(c, e->j.state);
    c->n_suspended -= e->j.state == TUG_JOB_SUSPENDED;
    tug_heap_remove(&c->wakes, &e->wake);
    tug_idtab_remove(&c->jobs, e->j.id);
    tug_shape_drop(c, e);
    free_steps(&e->j);
    tug_cause_clear(&e->j.cause);
    tug_hang_clear(&e->j.hang);
    tug_requeue_forget(&e->j);
    tug_onhold_drop(c, &e->j.onhold);
    free(e->j.quality.text);
    free(e->j.slices);
    free(e->j.explain);
    free(e->shuts);
    tug_intern_drop(c->texts, e->j.failed_on);
    drop_req(c, &e->j.req);
    free(e);
}

/* ---- the life cycle */

void tug_job_move(struct tug_core *c, struct tug_entry *e, enum tug_job_state to)
{
    tug_assert(tug_job_may_move(e->j.state, to));
    --*counter_of(c, e->j.state);
    ++*counter_of(c, to);
    c->n_suspended += (uint32_t) (to == TUG_JOB_SUSPENDED) - (uint32_t) (e->j.state == TUG_JOB_SUSPENDED);
    if (tug_job_state_is_over(to)) {
        struct tug_queue *q = tug_queue_find(c, e->j.req.queue);
        tug_assert(q && q->n_jobs > 0);
        q->n_jobs--;
        tug_shape_drop(c, e); /* it is never placed again */
        tug_onhold_end(c, &e->j);
        e->j.end_ms = tug_not_before(c, e->j.alloc_ms);
    }
    e->j.state = to;
    if (tug_job_state_is_over(to))
        tug_observe_job(c, TUG_POLICY_EV_END, e);
    tug_act_changed(c, e);
    tug_job_refresh_row(c, e);
}

struct tug_step *tug_job_step(const struct tug_entry *e, uint32_t step)
{
    if (step == TUG_VISIT_STEP)
        return e->j.visit;
    for (size_t i = 0; i < e->j.n_steps; i++)
        if (e->j.steps[i].id == step)
            return &e->j.steps[i];
    return NULL;
}

void tug_job_set_explain(struct tug_entry *e, int reason, const char *text)
{
    e->j.reason = reason;
    if (text && e->j.explain && !strcmp(text, e->j.explain))
        return;
    free(e->j.explain);
    e->j.explain = text ? tug_xstrdup(text) : NULL;
}

/* In a quiet core nobody reads why. */
static void set_quality(struct tug_core *c, struct tug_entry *e)
{
    struct tug_policy_slice small[16], *at = small;
    struct tug_quality q;
    char text[TUG_ACTION_TEXT];
    if (e->j.n_slices > sizeof small / sizeof *small)
        at = tug_xcalloc(e->j.n_slices, sizeof *at);
    for (size_t i = 0; i < e->j.n_slices; i++)
        at[i] = (struct tug_policy_slice){e->j.slices[i].node, e->j.slices[i].gpus};
    tug_quality_of(c, e->shape, at, e->j.n_slices, &q);
    free(e->j.quality.text);
    e->j.quality = (struct tug_job_quality){.mbs = q.has.mbs, .best_mbs = q.best_mbs};
    if (q.milli && !c->quiet)
        e->j.quality.text = tug_xstrdup(tug_quality_say(c, &q, at, e->j.n_slices, text, sizeof text));
    if (at != small)
        free(at);
}

void tug_job_start(struct tug_core *c, struct tug_entry *e, struct tug_slice *slices)
{
    struct tug_job *j = &e->j;
    struct tug_hold *kept = tug_hold_detach(c, e);
    tug_job_unbench(c, e);
    j->slices = slices;
    j->n_slices = j->req.nodes;
    set_quality(c, e);
    int rc = tug_gang_claim(c, e, TUG_LEDGER_FREE, NULL);
    tug_assert(rc == 0);
    e->placed_in = c->fabrics;
    e->placed_within = e->shape->key.within;
    e->placed_nth = ++c->links.placed;
    tug_hold_scatter(c, kept);
    tug_job_set_explain(e, TUG_REASON_NONE, NULL);
    e->explained = 0;
    tug_job_move(c, e, TUG_JOB_CONFIGURING);
    j->alloc_ms = c->now_ms;
    j->retry_ms = -1;
    tug_observe_job(c, TUG_POLICY_EV_START, e);
    if (!tug_visit_start(c, e))
        tug_job_go(c, e);
    tug_job_arm(c, e);
}

void tug_job_go(struct tug_core *c, struct tug_entry *e)
{
    if (e->j.req.preflight_s)
        tug_preflight_start(c, e);
    else
        tug_job_launch(c, e);
}

void tug_job_launch(struct tug_core *c, struct tug_entry *e)
{
    struct tug_job *j = &e->j;
    j->next_step = 0;
    struct tug_step *s = j->req.batch ? tug_step_new(c, e, 1, NULL, 1)
                                      : tug_step_new(c, e, j->req.ntasks, NULL, j->n_slices);
    if (j->req.preflight_s)
        j->next_step = TUG_PREFLIGHT_STEP + 1;
    tug_step_launch(c, e, s);
}

void tug_job_avoid(struct tug_core *c, struct tug_entry *e, uint32_t node)
{
    struct tug_buf all = {0};
    tug_buf_addf(&all, "%s%s%s", e->j.req.exclude, *e->j.req.exclude ? "," : "", c->nodes.at[node].name);
    tug_shape_drop(c, e);
    tug_intern_drop(c->texts, e->j.req.exclude);
    e->j.req.exclude = tug_intern(c->texts, tug_buf_str(&all));
    tug_shape_hold(c, e);
    tug_buf_clear(&all);
    tug_job_refresh_row(c, e);
    tug_act_changed(c, e);
}

/* Is it among them? Names have no commas. */
static int is_listed(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
        if (!strncmp(at, name, len) && (at[len] == ',' || !at[len]))
            return 1;
    return 0;
}

static size_t count_listed(const char *list)
{
    size_t n = *list != 0;
    for (; *list; list++)
        n += *list == ',';
    return n;
}

void tug_job_shun(struct tug_core *c, struct tug_entry *e, uint32_t node)
{
    struct tug_buf all = {0};
    const char *old = e->j.failed_on, *kept = old;
    if (node >= c->nodes.len || !c->failures_kept_ms || is_listed(old, c->nodes.at[node].name))
        return;
    if (count_listed(old) >= FAILED_ON_MAX)
        kept = strchr(old, ',') + 1; /* without the one that it has known longest */
    tug_buf_addf(&all, "%s%s%s", kept, *kept ? "," : "", c->nodes.at[node].name);
    e->j.failed_on = tug_intern(c->texts, tug_buf_str(&all));
    tug_intern_drop(c->texts, old);
    tug_buf_clear(&all);
    tug_act_changed(c, e);
}

static void kill_steps(struct tug_core *c, struct tug_entry *e, const struct tug_cause *cause)
{
    struct tug_cause over = {.kind = TUG_CAUSE_CANCEL,
                             .node = TUG_NO_NODE,
                             .at_ms = c->now_ms,
                             .text = (char *) (uintptr_t) "its job is being ended"};
    for (size_t i = 0; i < e->j.n_steps; i++) {
        struct tug_step *s = &e->j.steps[i];
        tug_step_kill(c, e, s, s->id == 0 && cause ? cause : &over);
    }
}

void tug_job_end(struct tug_core *c, struct tug_entry *e, enum tug_job_state end,
                 const struct tug_cause *cause)
{
    tug_job_unbench(c, e); /* one that was suspended */
    e->j.stopping_ms = -1;
    tug_job_move(c, e, TUG_JOB_COMPLETING);
    e->ending_ms = c->now_ms;
    e->j.end_state = end;
    if (cause)
        tug_cause_set(&e->j.cause, cause);
    kill_steps(c, e, cause);
    tug_job_arm(c, e);
    tug_job_settle(c, e);
}

void tug_job_requeue(struct tug_core *c, struct tug_entry *e, const struct tug_cause *cause)
{
    struct tug_job *j = &e->j;
    tug_job_unbench(c, e);
    if (cause->kind == TUG_CAUSE_PREEMPT)
        j->ran_ms += j->sliced_ms + tug_since(c, tug_job_run_start_ms(j));
    j->stopping_ms = -1;
    tug_job_move(c, e, TUG_JOB_REQUEUED);
    e->ending_ms = c->now_ms;
    tug_cause_set(&e->j.cause, cause);
    tug_act_job(c, TUG_ACT_JOB_HISTORY, e, "requeue");
    kill_steps(c, e, cause);
    tug_job_arm(c, e);
    tug_job_settle(c, e);
}

static void wait_again(struct tug_core *c, struct tug_entry *e)
{
    struct tug_job *j = &e->j;
    tug_requeue_keep(c, j);
    free_steps(j);
    free(j->slices);
    j->slices = NULL;
    j->n_slices = 0;
    j->attempt = j->next_attempt > j->attempt ? j->next_attempt : j->attempt + 1;
    j->next_attempt = 0;
    j->requeues++;
    j->alloc_ms = j->launched_ms = j->wired_ms = j->limit_ms = -1;
    j->exit = (struct tug_exit){0};
    tug_hang_clear(&j->hang);
    free(j->quality.text);
    j->quality = (struct tug_job_quality){0};
    j->next_step = 1;
    j->gives_way = TUG_PREEMPT_NEVER;
    j->preemptor = 0;
    j->notice_ms = j->suspended_ms = j->resumed_ms = -1;
    j->sliced_ms = 0;
    j->stop_serial = 0;
    j->wants_since_ms = c->now_ms;
    tug_job_move(c, e, TUG_JOB_PENDING);
    tug_shape_renew(c, e);
    tug_job_bench(c, e);
    tug_observe_job(c, TUG_POLICY_EV_REQUEUE, e);
}

void tug_job_settle(struct tug_core *c, struct tug_entry *e)
{
    struct tug_job *j = &e->j;
    if (j->state != TUG_JOB_COMPLETING && j->state != TUG_JOB_REQUEUED)
        return;
    tug_visit_leave(c, e);
    for (size_t i = 0; i < j->n_steps; i++)
        if (j->steps[i].in_phase[TUG_PART_GONE] < j->steps[i].n_parts)
            return;
    if (!tug_visit_is_over(j))
        return;
    tug_visit_clear(j);
    tug_gang_release(c, e);
    if (j->state == TUG_JOB_REQUEUED) {
        wait_again(c, e);
    } else {
        tug_job_move(c, e, j->end_state);
        tug_act_job(c, TUG_ACT_JOB_HISTORY, e, "end");
    }
    tug_job_arm(c, e);
}

/* ---- why an attempt ends early */

static int is_users_fault(enum tug_cause_kind k)
{
    return k == TUG_CAUSE_OUTPUT || k == TUG_CAUSE_RANK;
}

void tug_job_launch_failed(struct tug_core *c, struct tug_entry *e, const struct tug_cause *cause)
{
    struct tug_job *j = &e->j;
    if (is_users_fault(cause->kind) || j->req.interactive) {
        tug_job_end(c, e,
                    cause->kind == TUG_CAUSE_NODE || cause->kind == TUG_CAUSE_LINK ? TUG_JOB_NODE_FAIL : TUG_JOB_FAILED,
                    cause);
        return;
    }
    j->launch_failures++;
    if (j->launch_failures >= c->launch_retries)
        tug_job_end(c, e, TUG_JOB_BOOT_FAIL, cause);
    else
        tug_job_requeue(c, e, cause);
}

int tug_job_hung(struct tug_core *c, struct tug_entry *e, struct tug_cause *cause, char *buf, size_t size_bytes)
{
    struct tug_job *j = &e->j;
    if (j->state != TUG_JOB_RUNNING || j->gives_way || j->hang_requeues >= HANG_REQUEUES_MAX ||
        !tug_requeue_failed(c, e, cause, buf, size_bytes))
        return 0;
    j->hang_requeues++;
    tug_job_shun(c, e, cause->node);
    return 1;
}

/* The step daemons of a gang notice sooner than the controller that one of them has gone: the gang
 * is ended as failed at once, and only later it shows that the node was lost. */
int tug_job_failed_with(const struct tug_job *j, uint32_t node)
{
    return j->state == TUG_JOB_COMPLETING && j->end_state == TUG_JOB_FAILED &&
           j->cause.kind == TUG_CAUSE_STEPD && j->cause.node == node;
}

/* 'late': it is being ended already, for what this brought about. */
static void lost(struct tug_core *c, struct tug_entry *e, struct tug_cause *cause, int late)
{
    struct tug_job *j = &e->j;
    char more[TUG_ACTION_TEXT];
    int runs = j->state == TUG_JOB_RUNNING || j->state == TUG_JOB_SUSPENDED;
    if (j->state == TUG_JOB_CONFIGURING) {
        tug_job_launch_failed(c, e, cause);
    } else if ((late || runs) && tug_requeue_failed(c, e, cause, more, sizeof more)) {
        return;
    } else if (late) {
        j->end_state = TUG_JOB_NODE_FAIL;
        tug_cause_set(&j->cause, cause);
        tug_act_changed(c, e);
    } else if (runs) {
        tug_job_end(c, e, TUG_JOB_NODE_FAIL, cause);
    }
}

void tug_job_node_lost(struct tug_core *c, struct tug_entry *e, uint32_t node, const char *why)
{
    char text[TUG_ACTION_TEXT];
    snprintf(text, sizeof text, "node %s was lost: %s", c->nodes.at[node].name, why);
    struct tug_cause cause = {
        .kind = TUG_CAUSE_NODE, .node = node, .at_ms = c->now_ms, .text = text};
    int late = tug_job_failed_with(&e->j, node);
    if (!tug_job_state_is_over(e->j.state))
        tug_job_shun(c, e, node);
    lost(c, e, &cause, late);
}

/* Ranks that lose each other may well end, or not find each other, before that is noticed. */
void tug_job_link_lost(struct tug_core *c, struct tug_entry *e, struct tug_cause *cause)
{
    const struct tug_job *j = &e->j;
    enum tug_cause_kind was = j->cause.kind;
    lost(c, e, cause,
         j->state == TUG_JOB_COMPLETING && j->end_state == TUG_JOB_FAILED &&
             (was == TUG_CAUSE_RANK || was == TUG_CAUSE_STEPD || was == TUG_CAUSE_WIREUP));
}

/* ---- deadlines */

int64_t tug_job_wake(const struct tug_core *c, const struct tug_entry *e)
{
    const struct tug_job *j = &e->j;
    int64_t at = INT64_MAX;
    if (tug_job_state_is_over(j->state))
        return j->end_ms + c->kept_ms;
    if (tug_job_state_waits(j->state))
        return e->bench == TUG_BENCH_HELD    ? INT64_MAX
               : e->bench == TUG_BENCH_BEGIN ? (j->reason == TUG_REASON_BACKOFF ? j->retry_ms : j->req.begin_ms)
               : e->hold                   ? tug_hold_until(e)
                                           : tug_within_relaxes_ms(e);
    if (j->state != TUG_JOB_RUNNING && j->state != TUG_JOB_CONFIGURING)
        return INT64_MAX;
    if (j->limit_ms >= 0)
        at = j->limit_ms;
    if (j->state == TUG_JOB_RUNNING && j->notice_ms >= 0 && j->notice_ms < at)
        at = j->notice_ms;
    if (j->stopping_ms >= 0)
        return tug_suspend_late_ms(c, e) < at ? tug_suspend_late_ms(c, e) : at;
    if (j->visit && j->visit->state == TUG_STEP_STARTING && j->visit->deadline_ms < at)
        at = j->visit->deadline_ms;
    for (size_t i = 0; i < j->n_steps; i++)
        if (j->steps[i].state == TUG_STEP_STARTING && j->steps[i].deadline_ms < at)
            at = j->steps[i].deadline_ms;
        else if (tug_preflight_deadline(e, &j->steps[i]) < at)
            at = j->steps[i].deadline_ms;
    return at;
}

void tug_job_arm(struct tug_core *c, struct tug_entry *e)
{
    int64_t at = tug_job_wake(c, e);
    if (at == e->wake_ms && (at == INT64_MAX) == !tug_heap_holds(&e->wake))
        return;
    e->wake_ms = at;
    if (at == INT64_MAX)
        tug_heap_remove(&c->wakes, &e->wake);
    else if (tug_heap_holds(&e->wake))
        tug_heap_moved(&c->wakes, &e->wake);
    else
        tug_heap_push(&c->wakes, &e->wake);
}

static void limit_struck(struct tug_core *c, struct tug_entry *e)
{
    struct tug_cause cause = {.kind = TUG_CAUSE_TIMELIMIT, .node = TUG_NO_NODE, .at_ms = c->now_ms};
    char text[TUG_ACTION_TEXT];
    snprintf(text, sizeof text, "ran into its time limit of %u s", e->j.req.time_limit_s);
    cause.text = text;
    tug_job_end(c, e, TUG_JOB_TIMEOUT, &cause);
}

/* Its time to begin has come, or it no longer insists on all that it asked of the fabric. */
static void wait_otherwise(struct tug_core *c, struct tug_entry *e)
{
    tug_job_unbench(c, e);
    if (e->j.state == TUG_JOB_PENDING)
        tug_shape_renew(c, e);
    tug_job_bench(c, e);
}

static void step_deadlines(struct tug_core *c, struct tug_entry *e)
{
    for (size_t i = e->j.n_steps; i > 0; i--) {
        if (i > e->j.n_steps) /* one of them took the rest with it */
            continue;
        struct tug_step *s = &e->j.steps[i - 1];
        if (s->state == TUG_STEP_STARTING && s->deadline_ms <= c->now_ms)
            tug_step_late(c, e, s);
        else if (tug_preflight_deadline(e, s) <= c->now_ms)
            tug_preflight_late(c, e, s);
    }
    if (e->j.visit && e->j.visit->state == TUG_STEP_STARTING && e->j.visit->deadline_ms <= c->now_ms)
        tug_step_late(c, e, e->j.visit);
}

void tug_job_due(struct tug_core *c, struct tug_entry *e)
{
    struct tug_job *j = &e->j;
    if (tug_job_state_is_over(j->state)) {
        tug_act_forgotten(c, j->id);
        tug_entry_free(c, e);
        return;
    }
    if (tug_job_state_waits(j->state) && e->hold)
        tug_hold_drop(c, e);
    else if (tug_job_state_waits(j->state))
        wait_otherwise(c, e);
    else if (j->state == TUG_JOB_RUNNING && j->limit_ms >= 0 && j->limit_ms <= c->now_ms)
        limit_struck(c, e);
    else if (j->state == TUG_JOB_RUNNING && j->notice_ms >= 0 && j->notice_ms <= c->now_ms)
        tug_preempt_now(c, e);
    else if (tug_suspend_late_ms(c, e) <= c->now_ms)
        tug_suspend_late(c, e);
    else if (j->stopping_ms < 0)
        step_deadlines(c, e);
    tug_job_arm(c, e);
}

int tug_ev_tick(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    (void) ev;
    (void) err;
    if (c->failures_next_ms <= c->now_ms)
        tug_failures_due(c);
    if (c->links.next_ms <= c->now_ms)
        tug_links_due(c);
    if (c->cleaning_next_ms <= c->now_ms)
        tug_remnants_due(c);
    if (c->policy_wake_ms <= c->now_ms) {
        c->policy_wake_ms = INT64_MAX;
        c->wants_pass = 1;
    }
    struct tug_heap_node *first;
    while ((first = tug_heap_first(&c->wakes))) {
        struct tug_entry *e = tug_heap_entry(first, struct tug_entry, wake);
        if (e->wake_ms > c->now_ms)
            break;
        tug_job_due(c, e);
    }
    return 0;
}

/* ---- events */

int tug_job_find(const struct tug_core *c, tug_job_id id, struct tug_entry **out, struct tug_err *err)
{
    *out = tug_jobtab_find(&c->jobs, id);
    if (!*out)
        return tug_fail(err, -ENOENT, "there is no job %llu", (unsigned long long) id);
    return 0;
}

static int over_already(const struct tug_entry *e, struct tug_err *err)
{
    return tug_fail(
        err, -EALREADY,
        e->j.state == TUG_JOB_COMPLETING ? "job %llu is being ended already (%s)"
                                         : "job %llu is over already (%s)",
        (unsigned long long) e->j.id,
        tug_job_state_name(e->j.state == TUG_JOB_COMPLETING ? e->j.end_state : e->j.state));
}

int tug_job_find_alive(const struct tug_core *c, tug_job_id id, struct tug_entry **out, struct tug_err *err)
{
    struct tug_entry *e;
    int rc = tug_job_find(c, id, &e, err);
    if (rc)
        return rc;
    if (tug_job_state_is_over(e->j.state) || e->j.state == TUG_JOB_COMPLETING)
        return over_already(e, err);
    *out = e;
    return 0;
}

void tug_job_makes_way(struct tug_core *c, const struct tug_entry *e)
{
    if (c->blocker == e->j.id)
        c->blocker = 0;
    c->wants_pass = 1; /* it may have held up those behind it */
}

int tug_ev_job_submit(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    const struct tug_job_req *r = ev->req;
    if (!r || ev->job == 0 || !tug_job_req_is_whole(r) || !r->queue)
        return tug_fail(err, -EINVAL, "the request of job %llu did not go through admission",
                        (unsigned long long) ev->job);
    if (tug_jobtab_find(&c->jobs, ev->job))
        return tug_fail(err, -EEXIST, "there is a job %llu already", (unsigned long long) ev->job);
    if (!tug_queue_find(c, r->queue))
        return tug_fail(err, -ENOENT, "queue '%s' is not configured", r->queue);
    if (!c->queue_rows.at[tug_queue_find(c, r->queue) - c->queues.at].is_leaf)
        return tug_fail(err, -EINVAL, "queue '%s' is divided and takes no jobs itself", r->queue);
    struct tug_entry *e = tug_entry_new(c, ev->job, r, TUG_JOB_PENDING);
    if (r->begin_ms > c->now_ms)
        e->j.eligible_ms = e->j.wants_since_ms = r->begin_ms;
    tug_act_changed(c, e);
    tug_act_job(c, TUG_ACT_JOB_HISTORY, e, "submit");
    tug_job_bench(c, e);
    tug_observe_job(c, TUG_POLICY_EV_SUBMIT, e);
    return 0;
}

int tug_ev_job_cancel(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct tug_entry *e;
    int rc = tug_job_find_alive(c, ev->job, &e, err);
    if (rc)
        return rc;
    struct tug_cause cause = {.kind = TUG_CAUSE_CANCEL,
                              .node = TUG_NO_NODE,
                              .at_ms = c->now_ms,
                              .text = (char *) (uintptr_t) (ev->text ? ev->text : "cancelled")};
    if (e->j.state != TUG_JOB_PENDING) {
        tug_job_end(c, e, TUG_JOB_CANCELLED, &cause);
        return 0;
    }
    tug_job_unbench(c, e);
    tug_job_set_explain(e, TUG_REASON_NONE, NULL);
    tug_cause_set(&e->j.cause, &cause);
    tug_job_move(c, e, TUG_JOB_CANCELLED);
    tug_act_job(c, TUG_ACT_JOB_HISTORY, e, "end");
    tug_job_arm(c, e);
    tug_job_makes_way(c, e);
    return 0;
}

int tug_ev_job_signal(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct tug_entry *e;
    int rc = tug_job_find(c, ev->job, &e, err);
    if (rc)
        return rc;
    const struct tug_step *s = tug_job_step(e, ev->step);
    if ((e->j.state == TUG_JOB_SUSPENDED || e->j.stopping_ms >= 0) && ev->signal == SIGCONT)
        return tug_fail(err, -EPERM,
                        "job %llu is suspended: others have its GPUs and CPUs; it goes on by itself "
                        "when they are free again",
                        (unsigned long long) ev->job);
    if (!s || s->state != TUG_STEP_RUNNING)
        return tug_fail(err, s ? -EINVAL : -ENOENT,
                        s ? "step %u of job %llu does not run" : "there is no step %u in job %llu",
                        ev->step, (unsigned long long) ev->job);
    for (size_t i = 0; i < s->n_parts; i++)
        if (s->parts[i].phase == TUG_PART_STARTED)
            tug_act_part(c, TUG_ACT_SIGNAL, e->j.id, e->j.attempt, s->id,
                         e->j.slices[s->parts[i].slice].node, 0, ev->signal, ev->text);
    return 0;
}

int tug_ev_job_requeue(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct tug_entry *e;
    int rc = tug_job_find_alive(c, ev->job, &e, err);
    if (rc)
        return rc;
    unsigned long long id = ev->job;
    if (e->j.state == TUG_JOB_PENDING && e->bench == TUG_BENCH_BEGIN && e->j.reason == TUG_REASON_BACKOFF) {
        e->j.retry_ms = -1;
        wait_otherwise(c, e);
        tug_act_changed(c, e);
        return 0;
    }
    if (e->j.state == TUG_JOB_PENDING || e->j.state == TUG_JOB_REQUEUED)
        return tug_fail(err, -EALREADY, "job %llu waits already", id);
    if (e->j.req.interactive)
        return tug_fail(err, -EPERM,
                        "job %llu is interactive: a client holds on to it, so it cannot wait again",
                        id);
    if (!e->j.req.requeue)
        return tug_fail(err, -EPERM,
                        "job %llu was submitted not to be requeued; cancel it and submit it again",
                        id);
    struct tug_cause cause = {.kind = TUG_CAUSE_CANCEL,
                              .node = TUG_NO_NODE,
                              .at_ms = c->now_ms,
                              .text = (char *) (uintptr_t) (ev->text ? ev->text : "requeued")};
    e->j.failures = e->j.backoffs = 0; /* somebody has looked after it */
    tug_job_requeue(c, e, &cause);
    return 0;
}
