/* soakworld.c - a world's life: jobs come, things happen, then it comes to rest
 *
 * Layer: tests.
 */
#include <string.h>

#include "soak/soak.h"

static uint32_t dice(struct soak *s, uint32_t n)
{
    return soak_dice(s, n);
}

/* ---- time */

static int sooner(const struct soak_timer *a, const struct soak_timer *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->seq < b->seq;
}

void soak_at(struct soak *s, int64_t at_ms, struct soak_timer t)
{
    t.at_ms = at_ms;
    t.seq = ++s->seq;
    tug_vec_push(&s->timers, t);
    for (size_t i = s->timers.len - 1; i && sooner(&s->timers.at[i], &s->timers.at[(i - 1) / 2]);
         i = (i - 1) / 2) {
        struct soak_timer up = s->timers.at[(i - 1) / 2];
        s->timers.at[(i - 1) / 2] = s->timers.at[i];
        s->timers.at[i] = up;
    }
}

static struct soak_timer take_first(struct soak *s)
{
    struct soak_timer first = s->timers.at[0], *t = s->timers.at;
    t[0] = t[--s->timers.len];
    for (size_t i = 0;;) {
        size_t k = 2 * i + 1;
        if (k + 1 < s->timers.len && sooner(&t[k + 1], &t[k]))
            k++;
        if (k >= s->timers.len || !sooner(&t[k], &t[i]))
            return first;
        struct soak_timer up = t[k];
        t[k] = t[i];
        t[i] = up;
        i = k;
    }
}

/* ---- records, kept as the actions say */

static void free_record(struct tug_job *j)
{
    for (size_t i = 0; i < j->n_steps; i++) {
        free(j->steps[i].parts);
        free(j->steps[i].cause.text);
    }
    free(j->steps);
    free(j->slices);
    free(j->cause.text);
}

static struct tug_job copy_record(const struct tug_job *from)
{
    struct tug_job j = *from;
    j.slices = tug_xmemdup(from->slices, from->n_slices * sizeof *from->slices);
    j.steps = tug_xmemdup(from->steps, from->n_steps * sizeof *from->steps);
    j.cause.text = tug_xstrdup(from->cause.text ? from->cause.text : "");
    j.explain = NULL;
    for (size_t i = 0; i < j.n_steps; i++) {
        const struct tug_step *s = &from->steps[i];
        j.steps[i].parts = tug_xmemdup(s->parts, s->n_parts * sizeof *s->parts);
        j.steps[i].cause.text = tug_xstrdup(s->cause.text ? s->cause.text : "");
    }
    return j;
}

static void write_job(struct soak *s, tug_job_id id)
{
    const struct tug_job *j = tug_core_job(s->c, id);
    size_t i = s->stored.len;
    while (i && s->stored.at[i - 1].id != id)
        i--;
    if (i) {
        free_record(&s->stored.at[i - 1]);
        if (j)
            s->stored.at[i - 1] = copy_record(j);
        else
            tug_vec_remove(&s->stored, i - 1);
    } else if (j) {
        struct tug_job made = copy_record(j);
        tug_vec_push(&s->stored, made);
    }
}

static void write_usage(struct soak *s, uint32_t share)
{
    struct tug_core_usage u;
    tug_core_usage(s->c, share, &u);
    size_t i = 0;
    while (i < s->records.len && (strcmp(s->records.at[i].account, u.account) != 0 ||
                                  strcmp(s->records.at[i].user, u.user) != 0))
        i++;
    if (i == s->records.len) {
        struct soak_usage n = {tug_xstrdup(u.account), tug_xstrdup(u.user), u.uid, 0, 0};
        tug_vec_push(&s->records, n);
    }
    s->records.at[i].gpu_s = u.gpu_s;
    s->records.at[i].at_ms = u.at_ms;
}

static void take_actions(struct soak *s)
{
    struct tug_action a;
    while (tug_core_next_action(s->c, &a)) {
        soak_check_action(s, &a);
        if (a.type < TUG_ACT_JOB_CHANGED)
            soak_node_order(s, &a);
        else if (a.type == TUG_ACT_JOB_CHANGED || a.type == TUG_ACT_JOB_FORGOTTEN)
            write_job(s, a.job);
        else if (a.type == TUG_ACT_USAGE_CHANGED)
            write_usage(s, a.share);
    }
}

/* ---- events */

static void want_pass(struct soak *s)
{
    if (s->pass_is_due || !tug_core_wants_pass(s->c))
        return;
    s->pass_is_due = 1;
    soak_at(s, s->now + (s->late ? dice(s, 300) : 0), (struct soak_timer){.type = SOAK_PASS});
}

int soak_event(struct soak *s, struct tug_event ev)
{
    static const char *const names[] = {
        [TUG_EV_JOB_SUBMIT] = "a submission",       [TUG_EV_JOB_CANCEL] = "a cancellation",
        [TUG_EV_JOB_SIGNAL] = "a signal",           [TUG_EV_JOB_REQUEUE] = "a requeue",
        [TUG_EV_JOB_HOLD] = "a hold",               [TUG_EV_JOB_RELEASE] = "a release",
        [TUG_EV_STEP_SUBMIT] = "a step",            [TUG_EV_STEP_CANCEL] = "a step's end",
        [TUG_EV_NODE_UP] = "a node that came",      [TUG_EV_NODE_CHANGED] = "other hardware",
        [TUG_EV_NODE_DOWN] = "a lost node",         [TUG_EV_NODE_LEASE_OVER] = "a lease's end",
        [TUG_EV_NODE_DRAIN] = "a drain",            [TUG_EV_NODE_RESUME] = "a resumption",
        [TUG_EV_NODE_HEALTH] = "a health check",    [TUG_EV_STEP_READY] = "a ready part",
        [TUG_EV_STEP_WIRED] = "a wired part",       [TUG_EV_STEP_FAILED] = "a failed part",
        [TUG_EV_STEP_STOPPED] = "a stopped part",   [TUG_EV_STEP_WATCH] = "a watch's word",
        [TUG_EV_STEP_DONE] = "a part's end",        [TUG_EV_STEP_STUCK] = "a part that does not end",
        [TUG_EV_NODE_VISIT_FAILED] = "a prolog or an epilog that failed", [TUG_EV_TICK] = "a tick"};
    tug_assert(names[ev.type]);
    struct tug_err err = {0};
    if (s->trace)
        printf("# %lld %s, job %llu.%u.%u node %u\n", (long long) s->now, names[ev.type],
               (unsigned long long) ev.job, ev.attempt, ev.step, ev.node);
    int rc = tug_core_apply(s->c, s->now, &ev, &err);
    soak_holds(s, rc == 0 || err.msg[0], "%s is refused without a word", names[ev.type]);
    s->n.events++;
    take_actions(s);
    soak_check_event(s, names[ev.type]);
    want_pass(s);
    return rc;
}

static void pass(struct soak *s)
{
    struct tug_pass_stats stats = {0};
    struct tug_err err = {0};
    s->pass_is_due = 0;
    if (!tug_core_wants_pass(s->c))
        return;
    if (s->trace)
        printf("# %lld a pass\n", (long long) s->now);
    int rc = tug_core_pass(s->c, s->now, tug_plugset_policies(s->set), &stats, &err);
    s->n.events++;
    s->n.passes++;
    take_actions(s);
    soak_check_event(s, "a pass");
    soak_check_pass(s, rc, &stats, &err);
    want_pass(s);
}

static void tick(struct soak *s)
{
    soak_event(s, (struct tug_event){.type = TUG_EV_TICK});
    soak_holds(s, tug_core_next_wake(s->c) > s->now, "what is due is still due after a tick");
}

static void submit(struct soak *s)
{
    struct tug_job_req r = soak_make_req(s);
    struct soak_job j = {.holds_since_ms = -1, .promised_ms = -1};
    j.work_ms = soak_make_work(s, &r);
    j.exit_code = s->exact || dice(s, 10) ? 0 : (int) dice(s, 4);
    if (s->exact && !soak_could_run(s, &s->conf, &r))
        return;
    tug_vec_push(&s->jobs, j);
    int rc = soak_event(
        s, (struct tug_event){.type = TUG_EV_JOB_SUBMIT, .job = s->jobs.len - 1, .req = &r});
    soak_holds(s, rc == 0, "job %zu is refused", s->jobs.len - 1);
    s->n.jobs++;
}

static void arrive(struct soak *s)
{
    for (uint32_t n = dice(s, 4) ? 1 : 1 + dice(s, 8); n && s->jobs_to_come; n--, s->jobs_to_come--)
        submit(s);
    if (s->jobs_to_come)
        soak_at(s, s->now + dice(s, s->burst_ms), (struct soak_timer){.type = SOAK_ARRIVE});
}

/* ---- what happens besides */

static const struct tug_job *some_job(struct soak *s)
{
    return s->jobs.len > 1 ? tug_core_job_after(s->c, dice(s, (uint32_t) s->jobs.len)) : NULL;
}

static void something_about_a_job(struct soak *s)
{
    static const enum tug_event_type types[] = {TUG_EV_JOB_CANCEL,  TUG_EV_JOB_REQUEUE, TUG_EV_STEP_SUBMIT,
                                                TUG_EV_JOB_HOLD,    TUG_EV_JOB_HOLD,    TUG_EV_JOB_HOLD,
                                                TUG_EV_JOB_RELEASE, TUG_EV_JOB_RELEASE};
    const struct tug_job *j = some_job(s);
    if (j)
        soak_event(s, (struct tug_event){.type = types[dice(s, sizeof types / sizeof *types)],
                                         .job = j->id,
                                         .user = "a user",
                                         .force = dice(s, 3) == 0,
                                         .ntasks = dice(s, 4),
                                         .text = "a user"});
}

static struct tug_core *from_records(struct soak *s)
{
    struct tug_err err = {0};
    struct tug_core *made = tug_core_new(&s->conf, &err);
    soak_holds(s, made != NULL, "no restart: %s", err.msg);
    for (uint32_t i = 0; i < tug_core_nodes(s->c); i++) {
        struct tug_core_node n;
        tug_core_node(s->c, i, &n);
        struct tug_core_inventory inv = {.cpus = n.cpus,
                                         .gpus = n.gpus,
                                         .mem_bytes = n.mem_bytes,
                                         .gpu_model = n.gpu_model,
                                         .machine = n.machine,
                                         .prolog_s = n.prolog_s,
                                         .epilog_s = n.epilog_s};
        const struct tug_core_node_past past = {.inv = n.known ? &inv : NULL,
                                                .drains = n.drains,
                                                .n_drains = n.n_drains,
                                                .bad_launches = n.bad_launches,
                                                .failures = n.failures,
                                                .n_failures = n.n_failures, .remnants = n.remnants, .n_remnants = n.n_remnants};
        soak_holds(s, !tug_core_restore_node(made, n.name, &past, &err), "no restart: %s", err.msg);
    }
    for (size_t i = 0; i < s->records.len; i++) {
        const struct soak_usage *u = &s->records.at[i];
        tug_core_restore_usage(made, u->account, u->user, u->uid, u->gpu_s, u->at_ms);
    }
    for (size_t i = 0; i < s->stored.len; i++)
        soak_holds(s, !tug_core_restore_job(made, &s->stored.at[i], &err), "no restart: %s",
                   err.msg);
    tug_core_restored(made, s->now);
    return made;
}

/* 0: not in this world. */
static int open_set(struct soak *s, const char *policy)
{
    struct tug_plugset *set = soak_open_set(s, policy);
    if (!set)
        return 0;
    tug_plugset_close(s->set);
    s->set = set;
    s->needs_order = 0;
    for (size_t i = 0; i < tug_plugset_count(set); i++)
        s->needs_order |= (tug_plugload_ops(tug_plugset_at(set, i))->needs &
                           TUG_POLICY_NEEDS_ORDER_PREEMPTION) != 0;
    return 1;
}

static void use_set(struct soak *s, const char *policy)
{
    if (!open_set(s, policy))
        return;
    tug_core_forget_policies(s->c);
    want_pass(s);
}

static void restart(struct soak *s)
{
    struct tug_core *made = from_records(s);
    soak_check_restart(s, made);
    tug_core_free(s->c);
    s->c = made;
    s->n.restarts++;
    for (size_t i = 0; i < s->stored.len; i++) { /* its texts are the new core's */
        free_record(&s->stored.at[i]);
        s->stored.at[i] = copy_record(tug_core_job(made, s->stored.at[i].id));
    }
    s->pass_is_due = 0;
    open_set(s, s->policy);
    soak_forget_used(s);
    soak_check_event(s, "a restart");
    for (uint32_t i = 0; i < s->conf.n_nodes; i++) {
        if (!s->nodes[i].connected)
            continue;
        soak_node_lose(s, i);
        soak_at(s, s->now + dice(s, 5000),
                (struct soak_timer){.type = SOAK_NODE,
                                    .node = i,
                                    .what = dice(s, 12) ? 2 : 0,
                                    .version = s->nodes[i].life});
    }
    want_pass(s);
}

static void something_about_a_node(struct soak *s)
{
    uint32_t node = dice(s, (uint32_t) s->conf.n_nodes);
    uint32_t what = dice(s, 8);
    if (what < 5)
        soak_node_fails(s, node);
    else
        soak_event(s, (struct tug_event){.type = what == 5 ? TUG_EV_NODE_DRAIN : TUG_EV_NODE_RESUME,
                                         .node = node,
                                         .text = "an admin"});
}

static void come_to_rest(struct soak *s);

static void something_happens(struct soak *s, const struct soak_timer *t)
{
    if (s->calm)
        return;
    if (t->what) {
        come_to_rest(s);
        return;
    }
    uint32_t what = dice(s, 20);
    s->n.faults++;
    if (what < 7 && s->faulty) {
        something_about_a_node(s);
    } else if (what == 7 && s->faulty) {
        restart(s);
    } else if (what < 14) {
        something_about_a_job(s);
    } else if (what < 16 || !s->switches) {
        soak_change_conf(s);
        s->n.events++;
        take_actions(s);
        soak_check_event(s, "a new configuration");
        want_pass(s);
    } else {
        s->n.switches++;
        use_set(s,
                s->n_others && dice(s, 2) ? s->others[dice(s, (uint32_t) s->n_others)] : s->policy);
    }
    soak_at(s, s->now + dice(s, 60000), (struct soak_timer){.type = SOAK_FAULT});
}

/* ---- the end: nobody comes, nothing goes wrong */

static void set_right(struct soak *s)
{
    for (uint32_t i = 0; i < s->conf.n_nodes; i++) {
        struct tug_core_node n;
        tug_core_node(s->c, i, &n);
        if (n.drained)
            soak_event(s, (struct tug_event){.type = TUG_EV_NODE_RESUME, .node = i});
    }
    for (const struct tug_job *j = tug_core_job_after(s->c, 0); j; j = tug_core_job_after(s->c, j->id))
        if (j->onhold.by)
            soak_event(s, (struct tug_event){.type = TUG_EV_JOB_RELEASE, .job = j->id, .user = "root", .force = 1});
}

static void come_to_rest(struct soak *s)
{
    s->calm = 1;
    s->jobs_to_come = 0;
    if (!s->exact) {
        soak_change_conf(s);
        take_actions(s);
        soak_check_event(s, "the last configuration");
        for (uint32_t i = 0; i < s->conf.n_nodes; i++) {
            soak_node_lose(s, i);
            for (size_t k = 0; k < s->nodes[i].held.len; k++)
                s->nodes[i].held.at[k].fails = 0;
            soak_node_come(s, i, 0);
        }
    }
    if (s->switches)
        use_set(s, s->policy);
    set_right(s);
    for (const struct tug_job *j = tug_core_job_after(s->c, 0); j;
         j = tug_core_job_after(s->c, j->id))
        if (!tug_job_state_is_over(j->state) && j->state != TUG_JOB_COMPLETING &&
            !soak_could_run(s, &s->conf, &j->req))
            soak_event(s, (struct tug_event){
                              .type = TUG_EV_JOB_CANCEL, .job = j->id, .text = "cannot run"});
    want_pass(s);
}

/* ---- all of it */

static void step(struct soak *s)
{
    struct soak_timer t = take_first(s);
    s->now = t.at_ms;
    if (tug_core_next_wake(s->c) <= s->now)
        tick(s);
    void (*const takes[])(struct soak *,
                          const struct soak_timer *) = {[SOAK_ORDER] = soak_node_takes,
                                                        [SOAK_PIECE] = soak_node_piece,
                                                        [SOAK_FAULT] = something_happens,
                                                        [SOAK_NODE] = soak_node_next};
    if (t.type == SOAK_PASS)
        pass(s);
    else if (t.type == SOAK_ARRIVE)
        arrive(s);
    else
        takes[t.type](s, &t);
}

/* Where nobody could be waiting for anything any more. */
static int64_t the_end_ms(const struct soak *s)
{
    int64_t sum = 24 * 3600 * 1000LL;
    for (size_t i = 1; i < s->jobs.len; i++)
        sum += s->jobs.at[i].work_ms + 600000LL * (s->largest_preempt_max + 1);
    return s->now + sum;
}

static void live(struct soak *s)
{
    uint64_t passes = 0, jobs = 0;
    int64_t end_ms = INT64_MAX;
    struct tug_core_counts n;
    do {
        int64_t wake_ms = tug_core_next_wake(s->c);
        if (s->timers.len && s->timers.at[0].at_ms < wake_ms) {
            step(s);
        } else if (wake_ms != INT64_MAX) {
            s->now = wake_ms > s->now ? wake_ms : s->now;
            tick(s);
        } else if (s->timers.len) {
            step(s);
        } else {
            break;
        }
        if (s->calm)
            set_right(s);
        else if (!s->jobs_to_come && s->exact)
            come_to_rest(s);
        tug_core_count(s->c, &n);
        if (s->calm && end_ms == INT64_MAX) {
            end_ms = the_end_ms(s);
            passes = s->n.passes;
            jobs = n.pending + n.running;
        }
    } while ((!s->calm || n.pending || n.running) && s->now < end_ms &&
             s->n.passes - passes < 2000000);
    soak_check_usage(s);
    soak_check_end(s, s->n.passes - passes, jobs);
}

static void begin(struct soak *s)
{
    static const uint32_t bursts_ms[] = {15000, 60000, 400000};
    struct tug_err err = {0};
    s->rand = tug_rand_seed(s->seed);
    s->now = 1000000;
    s->late = (int) dice(s, 3);
    s->exact = dice(s, 6) == 0 && !s->needs_order;
    s->faulty = !s->exact && dice(s, 3);
    s->programs = !s->exact && s->seed % 4 == 3; /* by no dice: other worlds are what they were */
    s->switches = s->faulty && s->n_others && dice(s, 4) == 0;
    s->needs_expected |= !s->exact && (s->switches || dice(s, 4) == 0);
    s->late &= !s->exact;
    s->jobs_to_come = 20 + dice(s, 80);
    s->burst_ms = 1 + dice(s, bursts_ms[dice(s, 3)]);
    soak_make_world(s);
    s->c = tug_core_new(&s->conf, &err);
    soak_holds(s, s->c != NULL, "%s", err.msg);
    open_set(s, s->policy);
    struct soak_job none = {.holds_since_ms = -1, .promised_ms = -1};
    tug_vec_push(&s->jobs, none);
}

static void end(struct soak *s)
{
    tug_core_free(s->c);
    for (size_t i = 0; i < sizeof s->machines / sizeof *s->machines; i++)
        free(s->machines[i]);
    tug_plugset_close(s->set);
    for (size_t i = 0; i < s->stored.len; i++)
        free_record(&s->stored.at[i]);
    for (size_t i = 0; i < s->records.len; i++) {
        free((char *) (uintptr_t) s->records.at[i].account);
        free((char *) (uintptr_t) s->records.at[i].user);
    }
    for (size_t i = 0; i < s->shares.len; i++) {
        free((char *) (uintptr_t) s->shares.at[i].account);
        free((char *) (uintptr_t) s->shares.at[i].user);
    }
    for (size_t i = 0; i < SOAK_NODES; i++)
        tug_vec_clear(&s->nodes[i].held);
    tug_vec_clear(&s->stored);
    tug_vec_clear(&s->records);
    tug_vec_clear(&s->shares);
    tug_vec_clear(&s->jobs);
    tug_vec_clear(&s->timers);
}

void soak_run(struct soak *s)
{
    begin(s);
    soak_holds(s, s->set != NULL, "these policies cannot be had");
    for (uint32_t i = 0; i < s->conf.n_nodes; i++)
        soak_node_come(s, i, 1);
    soak_at(s, s->now + 1, (struct soak_timer){.type = SOAK_ARRIVE});
    if (!s->exact) {
        soak_at(s, s->now + dice(s, 60000), (struct soak_timer){.type = SOAK_FAULT});
        soak_at(s, s->now + (int64_t) s->jobs_to_come * (2000 + s->burst_ms / 3),
                (struct soak_timer){.type = SOAK_FAULT, .what = 1});
    }
    live(s);
    s->n.worlds++;
    end(s);
}
