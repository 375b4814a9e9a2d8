/* onhold.c - jobs that somebody holds back
 *
 * A job has one hold at most: its owner's, or an administrator's, which takes the place of its owner's and which only an
 * administrator takes back. A held job waits on a bench of its own: no pass, no policy and no reservation sees it. It keeps its id
 * and its submit time; the time that it was held is added to the times since which it is eligible and wants something of the
 * fabric, so that its age, its place in the order by age and its patience are what they were. What runs is not held where it
 * is; an attempt that is being ended, to be queued again, may be: the job is held when it waits again. Layer: core.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/state.h"

static const char *const names[] = {[TUG_ONHOLD_NOBODY] = "", [TUG_ONHOLD_OWNER] = "user", [TUG_ONHOLD_ADMIN] = "admin"};

const char *tug_onhold_name(enum tug_onhold_by by)
{
    return (size_t) by < sizeof names / sizeof *names ? names[by] : "?";
}

enum tug_onhold_by tug_onhold_parse(const char *name)
{
    for (size_t i = 1; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i]))
            return (enum tug_onhold_by) i;
    return *name ? TUG_ONHOLD_ADMIN : TUG_ONHOLD_NOBODY;
}

int tug_onhold_may_be(enum tug_job_state s)
{
    return s == TUG_JOB_PENDING || s == TUG_JOB_REQUEUED || s == TUG_JOB_COMPLETING;
}

void tug_onhold_keep(struct tug_core *c, struct tug_onhold *h)
{
    if (!h->by)
        return;
    h->user = tug_intern(c->texts, h->user);
    h->why = tug_intern(c->texts, h->why);
}

void tug_onhold_drop(struct tug_core *c, struct tug_onhold *h)
{
    if (h->by) {
        tug_intern_drop(c->texts, h->user);
        tug_intern_drop(c->texts, h->why);
    }
    *h = (struct tug_onhold){0};
}

/* What has passed of 'since' while it was held does not count. */
static int64_t later(const struct tug_core *c, int64_t since_ms, int64_t held_since_ms)
{
    return since_ms + tug_since(c, since_ms > held_since_ms ? since_ms : held_since_ms);
}

void tug_onhold_end(struct tug_core *c, struct tug_job *j)
{
    if (!j->onhold.by)
        return;
    j->released_ms = c->now_ms;
    j->held_ms += tug_since(c, j->onhold.since_ms);
    j->eligible_ms = later(c, j->eligible_ms, j->onhold.since_ms);
    j->wants_since_ms = later(c, j->wants_since_ms, j->onhold.since_ms);
    tug_onhold_drop(c, &j->onhold);
}

/* Off its bench, and to the one where it belongs by now. */
static void sit_down(struct tug_core *c, struct tug_entry *e)
{
    if (e->j.state == TUG_JOB_PENDING) {
        tug_job_unbench(c, e);
        tug_shape_renew(c, e);
        tug_job_bench(c, e);
    }
    tug_act_changed(c, e);
}

static int has_its_nodes(const struct tug_entry *e, struct tug_err *err)
{
    unsigned long long id = e->j.id;
    const char *is = tug_job_shown_state(&e->j);
    if (!tug_requeue_may(e))
        return tug_fail(err, -EBUSY, "job %llu is %s and may not be requeued, so it cannot be held any more; it can be cancelled", id, is);
    return tug_fail(err, -EBUSY,
                    "job %llu is %s: only what waits is held; 'tug requeue --hold %llu' ends the attempt and holds the job", id, is, id);
}

int tug_ev_job_hold(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct tug_entry *e;
    enum tug_onhold_by by = ev->force ? TUG_ONHOLD_ADMIN : TUG_ONHOLD_OWNER;
    int rc = tug_job_find_alive(c, ev->job, &e, err);
    if (rc)
        return rc;
    if (e->j.state != TUG_JOB_PENDING && e->j.state != TUG_JOB_REQUEUED)
        return has_its_nodes(e, err);
    if (e->j.onhold.by >= by)
        return 0;
    tug_onhold_end(c, &e->j);
    e->j.onhold = (struct tug_onhold){.by = by, .uid = ev->uid, .user = ev->user, .why = ev->text, .since_ms = c->now_ms};
    tug_onhold_keep(c, &e->j.onhold);
    tug_act_onhold(c, e, "hold", by, ev->uid, ev->user);
    sit_down(c, e);
    tug_job_makes_way(c, e);
    return 0;
}

int tug_ev_job_release(struct tug_core *c, const struct tug_event *ev, struct tug_err *err)
{
    struct tug_entry *e;
    int rc = tug_job_find(c, ev->job, &e, err);
    if (rc)
        return rc;
    const struct tug_onhold *h = &e->j.onhold;
    if (h->by == TUG_ONHOLD_ADMIN && !ev->force)
        return tug_fail(err, -EPERM, "job %llu is held by %s, an administrator%s%s; only an administrator releases it",
                        (unsigned long long) ev->job, h->user, *h->why ? ": " : "", h->why);
    if (!h->by)
        return 0;
    tug_act_onhold(c, e, "release", h->by, ev->uid, ev->user);
    tug_onhold_end(c, &e->j);
    sit_down(c, e);
    return 0;
}
