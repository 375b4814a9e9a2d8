/* soaknode.c - nodes as they are: they take orders in turn, late or at once, and may vanish
 *
 * What a node holds goes on while nobody hears of it; it ends what may run elsewhere before its
 * lease is over. Layer: tests.
 */
#include <signal.h>

#include "soak/soak.h"

static uint32_t dice(struct soak *s, uint32_t n)
{
    return soak_dice(s, n);
}

static int64_t delay(struct soak *s, uint32_t most_ms)
{
    return s->late ? dice(s, most_ms + 1) : 0;
}

static struct soak_piece *find(struct soak_node *n, tug_job_id job, uint32_t attempt, uint32_t step)
{
    for (size_t i = 0; i < n->held.len; i++)
        if (n->held.at[i].job == job && n->held.at[i].attempt == attempt &&
            n->held.at[i].step == step)
            return &n->held.at[i];
    return NULL;
}

static void report(struct soak *s, uint32_t node, enum tug_event_type type,
                   const struct soak_piece *p)
{
    if (!s->nodes[node].connected)
        return;
    struct tug_exit exit = {.code = p->code, .signal = p->signal};
    struct tug_event ev = {.type = type,
                           .job = p->job,
                           .attempt = p->attempt,
                           .step = p->step,
                           .node = node,
                           .exits = &exit,
                           .n_exits = 1};
    if (type == TUG_EV_STEP_FAILED)
        ev.cause = (struct tug_cause){.kind = TUG_CAUSE_LAUNCH,
                                      .node = TUG_NO_NODE,
                                      .text = (char *) (uintptr_t) "cannot be started"};
    if (p->phase == TUG_HELD_DONE && p->since_ms == -2)
        ev.n_exits = 0; /* nothing of it was ever there */
    soak_event(s, ev);
}

static void report_stopped(struct soak *s, uint32_t node, const struct soak_piece *p, uint32_t serial)
{
    soak_event(s, (struct tug_event){.type = TUG_EV_STEP_STOPPED,
                                     .job = p->job,
                                     .attempt = p->attempt,
                                     .step = p->step,
                                     .node = node,
                                     .serial = serial});
}

static void wake_piece(struct soak *s, uint32_t node, struct soak_piece *p, int64_t at_ms)
{
    p->version = ++s->versions;
    soak_at(s, at_ms,
            (struct soak_timer){.type = SOAK_PIECE,
                                .node = node,
                                .job = p->job,
                                .attempt = p->attempt,
                                .step = p->step,
                                .version = p->version});
}

static void stop_clock(struct soak *s, struct soak_piece *p)
{
    if (p->since_ms >= 0)
        p->left_ms -= s->now - p->since_ms;
    p->since_ms = -1;
    p->version = ++s->versions;
}

static void run(struct soak *s, uint32_t node, struct soak_piece *p)
{
    p->since_ms = s->now;
    wake_piece(s, node, p, s->now + (p->left_ms > 0 ? p->left_ms : 0));
}

static void ends(struct soak *s, struct soak_piece *p)
{
    stop_clock(s, p);
    p->phase = TUG_HELD_DONE;
}

/* ---- orders */

void soak_node_order(struct soak *s, const struct tug_action *a)
{
    struct soak_node *n = &s->nodes[a->node];
    if (!n->connected)
        return;
    int64_t at_ms = s->now + delay(s, 1500);
    if (at_ms > n->busy_until_ms)
        n->busy_until_ms = at_ms;
    soak_at(s, n->busy_until_ms,
            (struct soak_timer){.type = SOAK_ORDER,
                                .node = a->node,
                                .job = a->job,
                                .attempt = a->attempt,
                                .step = a->step,
                                .version = n->life,
                                .what = (int) a->type,
                                .signal = a->signal,
                                .serial = a->serial,
                                .grace_s = a->grace_s});
}

static int others_are_here(const struct soak_node *n, const struct soak_piece *visit)
{
    for (size_t i = 0; i < n->held.len; i++) {
        const struct soak_piece *p = &n->held.at[i];
        if (p->job == visit->job && p->attempt == visit->attempt && p->step != TUG_VISIT_STEP && p->phase != TUG_HELD_DONE)
            return 1;
    }
    return 0;
}

/* A prolog or an epilog: the node is drained before anybody hears that it is over. */
static void program_failed(struct soak *s, uint32_t node, int is_epilog)
{
    soak_event(s, (struct tug_event){.type = TUG_EV_NODE_VISIT_FAILED,
                                     .node = node,
                                     .is_epilog = (uint8_t) is_epilog,
                                     .text = "no scratch"});
}

static void take_launch(struct soak *s, const struct soak_timer *t)
{
    struct soak_node *n = &s->nodes[t->node];
    const struct tug_job *j = tug_core_job(s->c, t->job);
    struct soak_piece *old = find(n, t->job, t->attempt, t->step);
    if (old) {
        if (old->phase == TUG_HELD_DONE)
            report(s, t->node, TUG_EV_STEP_DONE, old);
        return;
    }
    struct soak_piece p = {.job = t->job,
                           .attempt = t->attempt,
                           .step = t->step,
                           .since_ms = -1,
                           .fails = s->faulty && !s->calm && dice(s, 60) == 0,
                           .requeueable = 1};
    if (j && j->attempt == t->attempt) {
        p.requeueable = j->req.requeue && !j->req.interactive;
        p.gpu_milli = j->req.gpu_milli;
        p.code = s->jobs.at[t->job].exit_code;
        p.left_ms = s->jobs.at[t->job].work_ms - j->ran_ms;
        for (size_t i = 0; i < j->n_slices; i++)
            if (j->slices[i].node == t->node)
                p.gpus = j->slices[i].gpus;
    }
    if (t->step == TUG_VISIT_STEP) {
        p.gpus = 0;
        p.requeueable = 1;
    } else if (t->step) {
        p.left_ms = dice(s, 60000);
        p.code = (int) dice(s, 2);
    }
    if (s->programs && t->step != TUG_VISIT_STEP) {
        const struct soak_piece *visit = find(n, t->job, t->attempt, TUG_VISIT_STEP);
        soak_holds(s, visit && visit->phase == TUG_HELD_READY && !visit->ending, "job %llu comes to a node outside of its visit there",
                   (unsigned long long) t->job);
    }
    soak_check_launch(s, n, &p);
    wake_piece(s, t->node, &p, s->now + delay(s, p.fails ? 3000 : 8000));
    tug_vec_push(&n->held, p);
}

static void take_kill(struct soak *s, const struct soak_timer *t)
{
    struct soak_piece *p = find(&s->nodes[t->node], t->job, t->attempt, t->step);
    if (!p) {
        struct soak_piece nothing = {.job = t->job,
                                     .attempt = t->attempt,
                                     .step = t->step,
                                     .phase = TUG_HELD_DONE,
                                     .since_ms = -2};
        report(s, t->node, TUG_EV_STEP_DONE, &nothing);
    } else if (p->phase == TUG_HELD_DONE) {
        report(s, t->node, TUG_EV_STEP_DONE, p);
    } else if (!p->ending) {
        stop_clock(s, p);
        p->ending = 1;
        if (t->step == TUG_VISIT_STEP) { /* its epilog runs, behind the others */
            wake_piece(s, t->node, p, s->now + delay(s, 8000));
            return;
        }
        p->signal = SIGKILL;
        if (t->grace_s) {
            wake_piece(s, t->node, p, s->now + delay(s, t->grace_s * 1000));
            return;
        }
        if (s->faulty && !s->calm && dice(s, 30) == 0) { /* it waits in the kernel for something */
            p->stuck = 1;
            wake_piece(s, t->node, p, s->now + dice(s, 300000));
            struct soak_piece stuck = *p;
            report(s, t->node, TUG_EV_STEP_STUCK, &stuck);
            return;
        }
        ends(s, p); /* before the next order is taken */
        struct soak_piece copy = *p;
        report(s, t->node, TUG_EV_STEP_DONE, &copy);
    }
}

static void take_signal(struct soak *s, const struct soak_timer *t, struct soak_piece *p)
{
    if (p->phase != TUG_HELD_RUNNING || p->ending)
        return;
    if (t->signal == SIGSTOP) {
        stop_clock(s, p);
        p->stopped = 1;
        struct soak_piece copy = *p;
        if (t->serial)
            report_stopped(s, t->node, &copy, t->serial);
    } else if (t->signal == SIGCONT && p->stopped) {
        p->stopped = 0;
        soak_check_launch(s, &s->nodes[t->node], p);
        run(s, t->node, p);
    } else if (t->signal != SIGCONT && !p->stopped && dice(s, 3) == 0) { /* it takes the hint */
        stop_clock(s, p);
        p->left_ms = dice(s, 20000);
        p->code = (int) dice(s, 2);
        run(s, t->node, p);
    }
}

void soak_node_takes(struct soak *s, const struct soak_timer *t)
{
    struct soak_node *n = &s->nodes[t->node];
    if (!n->connected || n->life != t->version)
        return;
    struct soak_piece *p = find(n, t->job, t->attempt, t->step);
    if (t->what == TUG_ACT_LAUNCH) {
        take_launch(s, t);
    } else if (t->what == TUG_ACT_KILL) {
        take_kill(s, t);
    } else if (t->what == TUG_ACT_SIGNAL && p) {
        take_signal(s, t, p);
    } else if (t->what == TUG_ACT_START && p && p->phase == TUG_HELD_READY && !p->ending) {
        p->phase = TUG_HELD_RUNNING;
        run(s, t->node, p);
    } else if (t->what == TUG_ACT_ACK && p && p->phase == TUG_HELD_DONE) {
        tug_vec_remove(&n->held, (size_t) (p - n->held.at));
    }
}

/* ---- what goes on by itself */

void soak_node_piece(struct soak *s, const struct soak_timer *t)
{
    struct soak_node *n = &s->nodes[t->node];
    struct soak_piece *p = find(n, t->job, t->attempt, t->step);
    if (!p || p->version != t->version || p->phase == TUG_HELD_DONE)
        return;
    struct soak_piece copy;
    enum tug_event_type type = TUG_EV_STEP_DONE;
    int is_visit = p->step == TUG_VISIT_STEP, program_fails = 0;
    if (is_visit && p->ending && others_are_here(n, p)) {
        wake_piece(s, t->node, p, s->now + 1000);
        return;
    }
    if (is_visit)
        program_fails = p->ending ? s->faulty && !s->calm && dice(s, 60) == 0 : p->fails;
    if (program_fails && n->connected) {
        program_failed(s, t->node, p->ending);
        p = find(n, t->job, t->attempt, t->step);
        if (!p || p->version != t->version)
            return;
    }
    if (p->ending || p->phase == TUG_HELD_RUNNING) {
        ends(s, p);
    } else if (p->phase == TUG_HELD_STARTING && p->fails) {
        type = TUG_EV_STEP_FAILED;
    } else if (p->phase == TUG_HELD_STARTING) {
        p->phase = TUG_HELD_READY;
        type = TUG_EV_STEP_READY;
    }
    copy = *p; /* the event may change the list */
    report(s, t->node, type, &copy);
}

/* ---- vanishing and coming back */

void soak_node_lose(struct soak *s, uint32_t node)
{
    s->nodes[node].connected = 0;
    s->nodes[node].life++;
    s->nodes[node].busy_until_ms = s->now;
}

enum next { DOWN, LEASE_OVER, COME, COME_REBOOTED };

static void later(struct soak *s, uint32_t node, enum next what, uint32_t most_ms)
{
    soak_at(
        s, s->now + 1 + dice(s, most_ms),
        (struct soak_timer){
            .type = SOAK_NODE, .node = node, .what = (int) what, .version = s->nodes[node].life});
}

void soak_node_fails(struct soak *s, uint32_t node)
{
    if (!s->nodes[node].connected)
        return;
    soak_node_lose(s, node);
    if (dice(s, 4) == 0)
        later(s, node, COME, 5000); /* the connection only */
    else
        later(s, node, DOWN, 30000);
}

static void lease_is_over(struct soak *s, uint32_t node)
{
    struct soak_node *n = &s->nodes[node];
    for (size_t i = 0; i < n->held.len; i++) {
        struct soak_piece *p = &n->held.at[i];
        if (p->phase == TUG_HELD_DONE || p->step == TUG_VISIT_STEP || (!p->requeueable && p->phase == TUG_HELD_RUNNING))
            continue;
        p->signal = SIGKILL;
        ends(s, p);
    }
    soak_event(s, (struct tug_event){.type = TUG_EV_NODE_LEASE_OVER, .node = node});
}

void soak_node_next(struct soak *s, const struct soak_timer *t)
{
    struct soak_node *n = &s->nodes[t->node];
    if (n->connected || n->life != t->version)
        return;
    if (t->what == DOWN) {
        n->told_down = 1;
        soak_event(s,
                   (struct tug_event){.type = TUG_EV_NODE_DOWN, .node = t->node, .text = "silent"});
        later(s, t->node, dice(s, 3) ? LEASE_OVER : COME, 60000);
    } else if (t->what == LEASE_OVER) {
        lease_is_over(s, t->node);
        later(s, t->node, dice(s, 2) ? COME : COME_REBOOTED, 600000);
    } else {
        soak_node_come(s, t->node, t->what == COME_REBOOTED);
    }
}

/* The first GPUs of one kind or the other. */
static const struct tug_machine *inside_of(const struct soak *s, const struct tug_core_node_row *r)
{
    return s->machines[(size_t) (r - s->rows) % 3];
}

void soak_node_come(struct soak *s, uint32_t node, int rebooted)
{
    struct soak_node *n = &s->nodes[node];
    const struct tug_core_node_row *r = &s->rows[node];
    if (rebooted)
        n->held.len = 0;
    size_t len = n->held.len;
    struct tug_held_step *held = tug_xcalloc(len + 1, sizeof *held);
    struct tug_exit *exits = tug_xcalloc(len + 1, sizeof *exits);
    for (size_t i = 0; i < len; i++) {
        const struct soak_piece *p = &n->held.at[i];
        exits[i] = (struct tug_exit){.code = p->code, .signal = p->signal};
        held[i] = (struct tug_held_step){
            .job = p->job,
            .attempt = p->attempt,
            .step = p->step,
            .phase = p->ending && p->phase != TUG_HELD_DONE ? TUG_HELD_ENDING : p->phase,
            .exits = &exits[i],
            .n_exits = 1};
    }
    n->connected = 1;
    n->told_down = 0;
    n->life++;
    struct tug_core_inventory inv = {.cpus = r->cpus, .gpus = r->gpus, .mem_bytes = r->mem_bytes, .gpu_model = r->gpu_model,
                                     .machine = inside_of(s, r)};
    inv.prolog_s = inv.epilog_s = s->programs ? 20 : 0;
    if (s->faulty && !s->calm && dice(s, 10) == 0 && inv.gpus)
        inv.gpus--; /* one is broken */
    soak_event(s, (struct tug_event){.type = TUG_EV_NODE_UP,
                                     .node = node,
                                     .inventory = inv,
                                     .held = held,
                                     .n_held = len,
                                     .boot_changed = (uint8_t) rebooted});
    free(held);
    free(exits);
}
