/* snapshot.c - has a copy of the state made every few hours, by another process
 *
 * tug-admin makes it, reads it back and forgets the oldest: this process waits for nothing of that. One that cannot be made
 * stops nothing; `tug ping` says so until one can. When the next is due goes by the newest that is there, so a restart costs
 * none. Layer: programs.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "host/capture.h"
#include "host/proc.h"
#include "host/snapshots.h"
#include "queued/daemon.h"

#define FIRST_MS  (10 * 60000LL)   /* after the start, where there is none; and after one that failed */
#define LIMIT_MS  (3600 * 1000ULL) /* behind everybody else at the disk, it may take a while */
#define SAID_MAX  4096
#define SHOWN_MAX 480

struct snapshots {
    struct tugd *d;
    struct tug_timer *timer;
    struct tug_capture *run;
    char *program;
    bool failed;                   /* the last one, which was told */
};

static int64_t newest(const struct tugd *d)
{
    char *dir = tug_snapshots_dir(&d->cfg, d->state_dir);
    struct tug_snapshots all = {0};
    int64_t at_ms;

    tug_snapshots_list(dir, &all);
    at_ms = all.len ? all.at[0].at_ms : 0;
    tug_snapshots_clear(&all);
    free(dir);
    return at_ms;
}

static int64_t first_ms(const struct tugd *d)
{
    int64_t every_ms = d->cfg.snapshots.every_s * 1000LL;

    return every_ms < FIRST_MS ? every_ms : FIRST_MS;
}

/* In so long at the soonest. */
static void plan(struct snapshots *s, int64_t least_ms)
{
    int64_t at_ms = newest(s->d), in_ms = at_ms + s->d->cfg.snapshots.every_s * 1000LL - tug_wall_ms();

    if (!s->d->cfg.snapshots.every_s) {
        tug_timer_stop(s->timer);
        return;
    }
    if (!at_ms || in_ms < least_ms)
        in_ms = least_ms;
    if (in_ms > s->d->cfg.snapshots.every_s * 1000LL) /* of a clock that was ahead */
        in_ms = s->d->cfg.snapshots.every_s * 1000LL;
    tug_timer_set(s->timer, tug_now_ms() + (uint64_t) in_ms);
}

static void tell(struct snapshots *s, const char *why)
{
    if (why && !s->failed)
        tug_warn("no snapshot of the state was made: %s; it is tried again, and tug ping says when it was in vain", why);
    if (!why && s->failed)
        tug_info("snapshots of the state are made again");
    s->failed = why != NULL;
    tug_control_snapshot(s->d->control, newest(s->d), why);
}

static void on_end(void *arg, const struct tug_capture_end *e)
{
    struct snapshots *s = arg;
    struct tug_buf said = {0};
    char how[64];

    tug_capture_last_lines(e->output, SHOWN_MAX, &said);
    if (!e->late && e->status == 0) {
        tug_info("snapshot of the state: %s", tug_buf_str(&said));
        tell(s, NULL);
    } else if (e->late) {
        tell(s, "it took longer than an hour");
    } else {
        tell(s, said.len ? tug_buf_str(&said) : tug_status_text(e->status, how, sizeof how));
    }
    tug_buf_clear(&said);
    plan(s, first_ms(s->d));
}

static void on_due(void *arg)
{
    struct snapshots *s = arg;
    char *argv[] = {(char *) "tug-admin", (char *) "--config", (char *) (uintptr_t) s->d->config_path, (char *) "--",
                    (char *) "snapshot", NULL};
    struct tug_capture_run run = {.path = s->program, .argv = argv, .limit_ms = LIMIT_MS, .keep_bytes = SAID_MAX};
    struct tug_err err = {0};

    if (tug_capture_is_busy(s->run))
        return; /* its end plans the next one */
    if (tug_capture_start(s->run, &run, &err)) {
        tell(s, err.msg);
        plan(s, first_ms(s->d));
    }
}

/* Beside this program, as in a build tree, or where it is installed. */
static char *find_program(void)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash, *beside;

    self[n > 0 ? n : 0] = '\0';
    slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    beside = tug_xasprintf("%s/tug-admin", self);
    if (access(beside, X_OK) == 0)
        return beside;
    free(beside);
    return tug_xstrdup(TUG_LIBEXECDIR "/tug-admin");
}

int snapshot_start(struct tugd *d, struct tug_err *err)
{
    struct snapshots *s = tug_new(struct snapshots);
    int rc;

    s->d = d;
    s->program = find_program();
    d->snapshots = s;
    rc = tug_timer_new(&s->timer, tug_loop_base(d->loop), on_due, s, err);
    rc = rc ? rc : tug_capture_new(&s->run, tug_loop_base(d->loop), on_end, s, err);
    if (!rc) {
        tug_control_snapshot(d->control, newest(d), NULL);
        plan(s, first_ms(d));
    }
    return rc;
}

void snapshot_replan(struct tugd *d)
{
    if (d->snapshots && !tug_capture_is_busy(d->snapshots->run))
        plan(d->snapshots, first_ms(d));
}

void snapshot_stop(struct tugd *d)
{
    struct snapshots *s = d->snapshots;

    if (!s)
        return;
    tug_capture_free(s->run);
    tug_timer_free(s->timer);
    free(s->program);
    free(s);
    d->snapshots = NULL;
}
