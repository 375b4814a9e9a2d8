/* agent_visit.c - an attempt's visit to this node: the prolog before anything of it, the epilog behind all of it
 *
 * told to begin -> (health check) -> STARTING, the prolog runs -> READY -> told to end -> ENDING, until nothing else of the
 * attempt is left here, then the epilog runs -> DONE -> acknowledged. What the visit is, and that it is here, is kept before
 * the prolog runs, so whoever comes after this daemon goes on: a prolog of which it is not known that it succeeded is run
 * again, and so is an epilog of which it is not known that it ended. Both are run by the peer TUG_PEER_PROGRAMS, which
 * answers every VS_RUN with one VS_DONE. Layer: logic.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/gpuset.h"
#include "base/str.h"
#include "core/job.h"
#include "logic/agent_impl.h"

static const char *const names[] = {"prolog", "epilog"};

/* ---- what is configured */

static struct tug_agent_program copy_of(const struct tug_agent_program *p)
{
    struct tug_agent_program mine = {0};
    if (!p || !p->program)
        return mine;
    mine.program = tug_xstrdup(p->program);
    mine.timeout_s = p->timeout_s;
    mine.n_args = p->n_args;
    char **args = tug_xcalloc(p->n_args + 1, sizeof *args);
    for (size_t i = 0; i < p->n_args; i++)
        args[i] = tug_xstrdup(p->args[i]);
    mine.args = (const char *const *) args;
    return mine;
}

static void clear_program(struct tug_agent_program *p)
{
    for (size_t i = 0; i < p->n_args; i++)
        free((char *) (uintptr_t) p->args[i]);
    free((void *) (uintptr_t) p->args);
    free((char *) (uintptr_t) p->program);
}

void tug_agent_visits_init(struct tug_agent *a, const struct tug_agent_program *prolog, const struct tug_agent_program *epilog)
{
    a->programs[AGENT_PROLOG] = copy_of(prolog);
    a->programs[AGENT_EPILOG] = copy_of(epilog);
}

static void free_visit(struct agent_visit *v)
{
    tug_proto_drop(v->told);
    tug_proto_drop(v->failed[AGENT_PROLOG]);
    tug_proto_drop(v->failed[AGENT_EPILOG]);
    free(v);
}

void tug_agent_visits_clear(struct tug_agent *a)
{
    for (size_t i = 0; i < a->visits.len; i++)
        free_visit(a->visits.at[i]);
    tug_vec_clear(&a->visits);
    clear_program(&a->programs[AGENT_PROLOG]);
    clear_program(&a->programs[AGENT_EPILOG]);
}

void tug_agent_visits_declare(const struct tug_agent *a, Tugpb__Inventory *inv)
{
    const struct tug_agent_program *p = a->programs;
    inv->prolog_s = p[AGENT_PROLOG].program ? p[AGENT_PROLOG].timeout_s : 0;
    inv->epilog_s = p[AGENT_EPILOG].program ? p[AGENT_EPILOG].timeout_s : 0;
}

/* ---- which there are */

struct agent_visit *tug_agent_visit_of(const struct tug_agent *a, struct agent_key key)
{
    for (size_t i = 0; i < a->visits.len; i++)
        if (a->visits.at[i]->key.job == key.job && a->visits.at[i]->key.attempt == key.attempt)
            return a->visits.at[i];
    return NULL;
}

static struct agent_visit *add(struct tug_agent *a, const Tugpb__StepVisit *told)
{
    struct agent_visit *v = tug_new(struct agent_visit);
    tug_agent_key_of(told->key, &v->key);
    v->told = (Tugpb__StepVisit *) tug_proto_copy(&told->base);
    tug_vec_push(&a->visits, v);
    return v;
}

static void drop(struct tug_agent *a, struct agent_visit *v)
{
    tug_agent_unkeep_visit(a, v);
    for (size_t i = 0; i < a->visits.len; i++)
        if (a->visits.at[i] == v) {
            tug_vec_remove(&a->visits, i);
            break;
        }
    free_visit(v);
}

bool tug_agent_visit_refuses(const struct tug_agent *a, struct agent_key key, char *text, size_t size_bytes)
{
    const struct agent_visit *v = tug_agent_visit_of(a, key);
    if (v ? v->phase == TUGPB__STEP_PHASE__STEP_READY : !a->programs[AGENT_PROLOG].program && !a->programs[AGENT_EPILOG].program)
        return false;
    snprintf(text, size_bytes, v ? "the prolog of %s has not succeeded for attempt %u of job %llu"
                                 : "%s has a prolog or an epilog, and was not told to run it for attempt %u of job %llu",
             a->node, key.attempt, (unsigned long long) key.job);
    return true;
}

/* ---- what the controller hears */

static void say(struct tug_agent *a, enum tug_msg number, const void *m)
{
    if (a->welcomed) /* or all is told after the next welcome */
        tug_agent_send(a, a->controller, number, m);
}

static void say_failure(struct tug_agent *a, struct agent_visit *v, Tugpb__StepKey *key)
{
    Tugpb__StepFailed m = TUGPB__STEP_FAILED__INIT;
    Tugpb__Cause c = TUGPB__CAUSE__INIT;
    m.key = key;
    m.cause = &c;
    c.kind = (char *) "launch";
    c.node = a->node;
    c.text = v->failed[AGENT_PROLOG]->text;
    c.at_ms = v->failed[AGENT_PROLOG]->at_ms;
    say(a, TUG_MSG_STEP_FAILED, &m);
}

static void say_done(struct tug_agent *a, Tugpb__StepKey *key)
{
    Tugpb__StepDone m = TUGPB__STEP_DONE__INIT;
    Tugpb__StepResult r = TUGPB__STEP_RESULT__INIT;
    r.key = key;
    r.ended_ms = a->now_ms;
    m.result = &r;
    say(a, TUG_MSG_STEP_DONE, &m);
}

/* Failures first: they drain the node before it can be given away. */
static void report(struct tug_agent *a, struct agent_visit *v)
{
    Tugpb__StepKey key = *v->told->key;
    if (v->forget)
        return;
    for (int i = 0; i < AGENT_PROGRAMS; i++)
        if (v->failed[i])
            say(a, TUG_MSG_VISIT_FAILURE, v->failed[i]);
    if (v->phase == TUGPB__STEP_PHASE__STEP_DONE) {
        say_done(a, &key);
    } else if (v->failed[AGENT_PROLOG]) {
        say_failure(a, v, &key);
    } else if (v->phase == TUGPB__STEP_PHASE__STEP_READY) {
        Tugpb__StepReady m = TUGPB__STEP_READY__INIT;
        m.key = &key;
        say(a, TUG_MSG_STEP_READY, &m);
    }
}

void tug_agent_visits_welcomed(struct tug_agent *a)
{
    for (size_t i = 0; i < a->visits.len; i++)
        report(a, a->visits.at[i]);
}

/* One that is over is told after the welcome, behind its failures. */
void tug_agent_visit_state(const struct agent_visit *v, Tugpb__StepState *out)
{
    *out = (Tugpb__StepState) TUGPB__STEP_STATE__INIT;
    out->key = v->told->key;
    out->phase = v->phase == TUGPB__STEP_PHASE__STEP_DONE ? TUGPB__STEP_PHASE__STEP_ENDING : v->phase;
}

/* ---- the programs and what they are told */

/* Some of it is a user's words: one line each. */
static void word(struct tug_buf *out, size_t *n, const char *name, const char *value)
{
    tug_buf_addf(out, "%s=", name);
    for (; *value; value++)
        tug_buf_addc(out, (unsigned char) *value < ' ' || *value == 0x7f ? '?' : *value);
    tug_buf_addc(out, 0);
    ++*n;
}

static void number(struct tug_buf *out, size_t *n, const char *name, long long value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", value);
    word(out, n, name, text);
}

static const char *prolog_word(const struct agent_visit *v, const struct tug_agent *a)
{
    if (!a->programs[AGENT_PROLOG].program)
        return "none";
    return v->prolog_ok ? "ok" : "failed";
}

static size_t environment(const struct tug_agent *a, const struct agent_visit *v, bool epilog, struct tug_buf *out)
{
    static const Tugpb__Visit nothing = TUGPB__VISIT__INIT;
    const Tugpb__Visit *j = v->told->visit ? v->told->visit : &nothing;
    struct tug_buf uuids = {0};
    char gpus[256];
    size_t n = 0;
    for (size_t i = 0; i < j->n_gpu_uuids; i++)
        tug_buf_addf(&uuids, "%s%s", i ? "," : "", j->gpu_uuids[i]);
    word(out, &n, "TUG_PROGRAM", names[epilog]);
    word(out, &n, "TUG_NODE", a->node);
    number(out, &n, "TUG_JOB_ID", (long long) v->key.job);
    number(out, &n, "TUG_ATTEMPT", v->key.attempt);
    word(out, &n, "TUG_JOB_NAME", j->name);
    word(out, &n, "TUG_JOB_USER", j->user);
    number(out, &n, "TUG_JOB_UID", j->uid);
    number(out, &n, "TUG_JOB_GID", j->gid);
    word(out, &n, "TUG_QUEUE", j->queue);
    word(out, &n, "TUG_ACCOUNT", j->account);
    word(out, &n, "TUG_NODELIST", j->nodelist);
    word(out, &n, "TUG_GPUS", j->gpus ? tug_gpuset_format(j->gpus, gpus, sizeof gpus) : "");
    word(out, &n, "TUG_GPU_UUIDS", tug_buf_str(&uuids));
    if (epilog) {
        word(out, &n, "TUG_PROLOG", prolog_word(v, a));
        word(out, &n, "TUG_JOB_STATE", j->state);
        number(out, &n, "TUG_JOB_EXIT_CODE", j->exit ? j->exit->exit_code : 0);
        number(out, &n, "TUG_JOB_EXIT_SIGNAL", j->exit ? j->exit->signal : 0);
    }
    tug_buf_clear(&uuids);
    return n;
}

static void run(struct tug_agent *a, struct agent_visit *v, bool epilog)
{
    const struct tug_agent_program *p = &a->programs[epilog];
    Tugpb__VsRun m = TUGPB__VS_RUN__INIT;
    struct tug_buf all = {0};
    m.key = v->told->key;
    m.epilog = epilog;
    m.program = (char *) (uintptr_t) p->program;
    m.args = (char **) (uintptr_t) p->args;
    m.n_args = p->n_args;
    m.timeout_s = p->timeout_s;
    m.n_env = environment(a, v, epilog, &all);
    m.env = tug_xcalloc(m.n_env, sizeof *m.env);
    char *at = all.data;
    for (size_t i = 0; i < m.n_env; i++, at += strlen(at) + 1)
        m.env[i] = at;
    v->running = true;
    tug_agent_send(a, TUG_PEER_PROGRAMS, TUG_MSG_VS_RUN, &m);
    free(m.env);
    tug_buf_clear(&all);
}

static void stop(struct tug_agent *a, const struct agent_visit *v)
{
    Tugpb__VsRun m = TUGPB__VS_RUN__INIT;
    m.key = v->told->key;
    m.stop = true;
    m.program = (char *) "";
    tug_agent_send(a, TUG_PEER_PROGRAMS, TUG_MSG_VS_RUN, &m);
}

/* ---- the way in */

static void enter(struct tug_agent *a, struct agent_visit *v)
{
    v->waits_check = false;
    v->began = true;
    if (a->programs[AGENT_PROLOG].program)
        run(a, v, false);
    else
        v->phase = TUGPB__STEP_PHASE__STEP_READY;
    tug_agent_keep_visit(a, v, true);
    report(a, v);
}

/* It has not begun, and does not. */
static void refuse(struct tug_agent *a, struct agent_key key, char *text)
{
    a->counts.refused_launches++;
    tug_agent_log(a, TUG_LOG_WARN, "visit of job %llu attempt %u refused: %s", (unsigned long long) key.job, key.attempt, text);
    tug_agent_bury(a, key);
    tug_agent_answer_nothing(a, key, "launch", text);
}

static void begin(struct tug_agent *a, const Tugpb__StepVisit *m, struct agent_key key)
{
    char text[256];
    uint32_t other;
    if (tug_agent_is_buried(a, key)) {
        snprintf(text, sizeof text, "attempt %u of job %llu has ended on %s and is not started again", key.attempt,
                 (unsigned long long) key.job, a->node);
        refuse(a, key, text);
        return;
    }
    if (tug_agent_other_attempt(a, key, &other)) {
        snprintf(text, sizeof text, "attempt %u of job %llu is still on %s; attempt %u must wait until it is gone", other,
                 (unsigned long long) key.job, a->node, key.attempt);
        refuse(a, key, text);
        return;
    }
    struct agent_visit *v = add(a, m);
    v->waits_check = tug_agent_check_before(a, key);
    if (!v->waits_check)
        enter(a, v);
}

void tug_agent_visits_checked(struct tug_agent *a, const char *sick)
{
    char text[512];
    for (size_t i = a->visits.len; i-- > 0;) {
        struct agent_visit *v = a->visits.at[i];
        struct agent_key key = v->key;
        if (!v->waits_check)
            continue;
        if (!sick) {
            enter(a, v);
            continue;
        }
        drop(a, v);
        snprintf(text, sizeof text, "health check of %s: %s", a->node, sick);
        refuse(a, key, text);
    }
}

/* ---- the way out */

static bool others_are_here(const struct tug_agent *a, struct agent_key key)
{
    for (size_t i = 0; i < a->steps.len; i++) {
        const struct agent_step *s = a->steps.at[i];
        if (s->key.job == key.job && s->key.attempt == key.attempt && s->phase != TUGPB__STEP_PHASE__STEP_DONE)
            return true;
    }
    return false;
}

static void finish(struct tug_agent *a, struct agent_visit *v)
{
    tug_agent_bury(a, v->key);
    tug_agent_check_after(a, v->key);
    v->phase = TUGPB__STEP_PHASE__STEP_DONE;
    if (v->forget) {
        drop(a, v);
        return;
    }
    tug_agent_keep_visit(a, v, true);
    report(a, v);
}

static void leave(struct tug_agent *a, struct agent_visit *v)
{
    v->phase = TUGPB__STEP_PHASE__STEP_ENDING;
    if (v->running || others_are_here(a, v->key))
        return;
    if (v->began && a->programs[AGENT_EPILOG].program)
        run(a, v, true);
    else
        finish(a, v);
}

void tug_agent_visit_after(struct tug_agent *a, struct agent_key key)
{
    struct agent_visit *v = tug_agent_visit_of(a, key);
    if (v && v->phase == TUGPB__STEP_PHASE__STEP_ENDING)
        leave(a, v);
}

static void end(struct tug_agent *a, struct agent_visit *v)
{
    if (v->running && v->phase == TUGPB__STEP_PHASE__STEP_STARTING)
        stop(a, v);
    v->waits_check = false;
    v->phase = TUGPB__STEP_PHASE__STEP_ENDING;
    tug_agent_keep_visit(a, v, false);
    leave(a, v);
}

/* What became of the job; who it is and what it has here was said at the beginning. */
static void hear_end(struct agent_visit *v, const Tugpb__Visit *is)
{
    Tugpb__StepVisit told = *v->told;
    Tugpb__Visit all = told.visit ? *told.visit : *is;
    all.state = is->state;
    all.exit = is->exit;
    told.visit = &all;
    Tugpb__StepVisit *kept = (Tugpb__StepVisit *) tug_proto_copy(&told.base);
    tug_proto_drop(v->told);
    v->told = kept;
}

void tug_agent_visit(struct tug_agent *a, const Tugpb__StepVisit *m)
{
    struct agent_key key;
    if (!tug_agent_key_of(m->key, &key) || key.step != TUG_VISIT_STEP)
        return;
    struct agent_visit *v = tug_agent_visit_of(a, key);
    if (!m->leave && v) {
        report(a, v);
    } else if (!m->leave) {
        begin(a, m, key);
    } else if (!v) { /* and what would begin it, should it still come, finds the tombstone */
        tug_agent_bury(a, key);
        tug_agent_answer_nothing(a, key, "", NULL);
    } else if (v->phase == TUGPB__STEP_PHASE__STEP_DONE) {
        report(a, v);
    } else if (v->phase != TUGPB__STEP_PHASE__STEP_ENDING) {
        if (m->visit)
            hear_end(v, m->visit);
        end(a, v);
    }
}

void tug_agent_visit_forget(struct tug_agent *a, struct agent_key key)
{
    struct agent_visit *v = tug_agent_visit_of(a, key);
    if (!v)
        return;
    v->forget = true;
    if (v->phase == TUGPB__STEP_PHASE__STEP_DONE)
        drop(a, v);
    else if (v->phase != TUGPB__STEP_PHASE__STEP_ENDING)
        end(a, v);
}

void tug_agent_visit_acked(struct tug_agent *a, struct agent_key key)
{
    struct agent_visit *v = tug_agent_visit_of(a, key);
    if (v && v->phase == TUGPB__STEP_PHASE__STEP_DONE)
        drop(a, v);
}

/* ---- what came of them */

static void keep_failure(struct tug_agent *a, struct agent_visit *v, const Tugpb__VsDone *m)
{
    char text[512];
    Tugpb__VisitFailure f = TUGPB__VISIT_FAILURE__INIT;
    snprintf(text, sizeof text, "%s of job %llu %s", names[m->epilog], (unsigned long long) v->key.job, m->text);
    f.job = v->key.job;
    f.attempt = v->key.attempt;
    f.epilog = m->epilog;
    f.text = text;
    f.output = m->output;
    f.at_ms = a->now_ms;
    tug_proto_drop(v->failed[m->epilog]);
    v->failed[m->epilog] = (Tugpb__VisitFailure *) tug_proto_copy(&f.base);
    tug_agent_log(a, TUG_LOG_ERROR, "%s", text);
}

void tug_agent_visit_done(struct tug_agent *a, const Tugpb__VsDone *m)
{
    struct agent_key key;
    struct agent_visit *v = tug_agent_key_of(m->key, &key) ? tug_agent_visit_of(a, key) : NULL;
    if (!v || !v->running)
        return;
    v->running = false;
    v->prolog_ok |= !m->epilog && !m->failed;
    if (m->failed && (m->epilog || v->phase == TUGPB__STEP_PHASE__STEP_STARTING))
        keep_failure(a, v, m);
    if (m->epilog) {
        finish(a, v);
    } else if (v->phase == TUGPB__STEP_PHASE__STEP_ENDING) {
        leave(a, v);
    } else {
        if (!m->failed)
            v->phase = TUGPB__STEP_PHASE__STEP_READY;
        tug_agent_keep_visit(a, v, true);
        report(a, v);
    }
}

/* ---- after a restart of this daemon */

int tug_agent_visit_restore(struct tug_agent *a, const Tugpb__VisitRecord *r)
{
    struct agent_key key;
    if (!r->told || !tug_agent_key_of(r->told->key, &key) || tug_agent_visit_of(a, key))
        return -1;
    struct agent_visit *v = add(a, r->told);
    v->phase = r->phase;
    v->began = true;
    v->prolog_ok = r->prolog_ok;
    v->failed[AGENT_PROLOG] = (Tugpb__VisitFailure *) tug_proto_copy((const ProtobufCMessage *) r->prolog_failed);
    v->failed[AGENT_EPILOG] = (Tugpb__VisitFailure *) tug_proto_copy((const ProtobufCMessage *) r->epilog_failed);
    return 0;
}

void tug_agent_visits_listed(struct tug_agent *a)
{
    for (size_t i = a->visits.len; i-- > 0;) {
        struct agent_visit *v = a->visits.at[i];
        if (v->phase == TUGPB__STEP_PHASE__STEP_STARTING && !v->failed[AGENT_PROLOG])
            enter(a, v);
        else if (v->phase == TUGPB__STEP_PHASE__STEP_ENDING)
            leave(a, v);
    }
}
