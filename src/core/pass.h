/* pass.h - a scheduler pass under way, for the files of src/core that answer a policy's calls
 *
 * Which hook of which plugin is asked, and the table of calls, is pass.c's; what a call does stands where it belongs:
 * plan.c reservations, preempt.c who gives way, place.c where a gang goes. Layer: core.
 */
#ifndef TUG_CORE_PASS_H
#define TUG_CORE_PASS_H

#include "core/state.h"

struct tug_policy_pass {
    struct tug_core *c;
    const struct tug_policy_host *host;
    struct tug_policy_view view; /* what every hook of this pass sees */
    size_t at;          /* the plugin that is asked, in c->policies */
    const char *policy; /* its name; NULL = the built-in order */
    int failed; /* what the first hook that failed returned; 0 = none did */
    struct tug_pass_stats stats;
    struct tug_err *err; /* the first thing that was refused */
    struct tug_vec(struct tug_entry *) started;
    uint32_t lowest_tier;      /* scratch of preempt.c */
    int has_lowest, knows_lowest;
    int64_t next_safe_ms; /* when the next may give way that may not yet; INT64_MAX = none */
    struct tug_vec(struct tug_entry *) preempted; /* without notice: their end comes after the pass */
    tug_job_id blocker;
    int alone;   /* no plugin is asked in this pass */
    int placing; /* place() is being asked: what it asks the host is not put to it again */
    uint32_t logged; /* bit i: plugin i has had its word */
};

#define TUG_HAS_HOOK(ops, hook) (TUG_POLICY_HAS(ops, hook) && (ops)->hook)

/* What hooks see, as of then: p->view. The order is compact. */
void tug_pass_show(struct tug_policy_pass *p, int64_t now_ms);
/* Plugin 'at' of c->policies is asked for 'hook' from now on; end() with what begin() returned goes back to who was asked
 * before. Whatever calls a hook stands between the two. */
size_t tug_pass_hook_begin(struct tug_policy_pass *p, size_t at, const char *hook);
void tug_pass_hook_end(struct tug_policy_pass *p, size_t before);
/* A hook of the plugin 'at' returned an error: the first one is what the pass fails with. */
void tug_pass_hook_failed(struct tug_policy_pass *p, size_t at, const char *hook, int rc);

/* Count a proposal that breaks a rule, keep the sentence of the first ("policy 'x' " goes in front). Returns code. */
int tug_pass_refuse(struct tug_policy_pass *p, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The job, which must wait: 0, or -ENOENT ("<verb> job 7, which ..."). */
int tug_pass_find(struct tug_policy_pass *p, uint64_t id, const char *verb, struct tug_entry **out);
/* Against the pass's budget of jobs: 0 or -E2BIG. */
int tug_pass_look(struct tug_policy_pass *p, struct tug_entry *e);
/* Looks at it; -EPERM when nothing could start it now however much were free, -EDQUOT when its queue may not have more. */
int tug_pass_may_start(struct tug_policy_pass *p, struct tug_entry *e);
/* The same for one that others are to give way to: what other queues do not lend is not looked at,
 * as who gives way may make up for it. */
int tug_pass_may_preempt(struct tug_policy_pass *p, struct tug_entry *e);
/* Starts it on these slices, which are taken over: 0, or -EDQUOT (whole nodes may have more GPUs than were asked for). */
int tug_pass_start(struct tug_policy_pass *p, struct tug_entry *e, struct tug_slice *slices);

/* Slices that a plugin proposes, against what the job asked for and what is free: 0, or refused as start_on() says. */
int tug_pass_check_slices(struct tug_policy_pass *p, const struct tug_entry *e, const struct tug_policy_slice *at);

/* Where the gang goes now, into c->chosen: as the plugin that places says, or else as the core does. -EAGAIN: nowhere, and
 * nor do others of its shape until something is freed. Whatever starts a job where no one else has chosen asks here. */
int tug_place_choose(struct tug_policy_pass *p, struct tug_entry *e);

/* plan.c: calls of struct tug_policy_host */
int64_t tug_plan_expected_end(struct tug_policy_pass *p, uint64_t job);
int tug_plan_earliest(struct tug_policy_pass *p, uint64_t job, int64_t *start_ms);
int tug_plan_reserve(struct tug_policy_pass *p, uint64_t job, int64_t *start_ms);
int tug_plan_backfill(struct tug_policy_pass *p, uint64_t job);
size_t tug_plan_next(struct tug_policy_pass *p, size_t from);
/* A job was started, by whatever call. */
void tug_plan_started(struct tug_policy_pass *p, const struct tug_entry *e);
int tug_plan_horizon(struct tug_policy_pass *p, int64_t horizon_ms, int64_t step_ms);

/* preempt.c: likewise */
int tug_preempt_victims(struct tug_policy_pass *p, uint64_t job, uint64_t *victims, size_t n);
int tug_preempt_propose(struct tug_policy_pass *p, uint64_t job, const uint64_t *victims, size_t n);
int tug_preempt_may_propose(struct tug_policy_pass *p, uint64_t job, uint64_t victim);
/* The pass is over: those without notice go. */
void tug_preempt_settle(struct tug_policy_pass *p);
/* Suspended jobs and those that others give way to start where it was decided: has it such a place;
 * as tug_place_choose(), into core.chosen; and start it there. -EAGAIN: not yet. */
int tug_preempt_has_place(const struct tug_entry *e);
int tug_preempt_choose(struct tug_policy_pass *p, struct tug_entry *e);
int tug_preempt_start(struct tug_policy_pass *p, struct tug_entry *e);

#endif
