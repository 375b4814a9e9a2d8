/* jobview.c - what several verbs say about a job
 *
 * Layer: cli.
 */
#include "cli/jobview.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/signame.h"
#include "base/str.h"

/* ---- the states, from the core's own table ---- */

static const struct {
    const char *name, *flags;
} states[] = {
#define W                                  "W"
#define H                                  "H"
#define S                                  "S"
#define E                                  "E"
#define TUG_STATE(NAME, code, flags, text) {#NAME, flags},
#include "core/states.def"
#undef TUG_STATE
#undef W
#undef H
#undef S
#undef E
};

int64_t tug_jobview_ran_ms(const Tugpb__JobView *j, int64_t now_ms)
{
    int64_t to_ms = j->end_ms ? j->end_ms : now_ms;
    if (!j->launched_ms)
        return 0;
    if (!j->run_since_ms && !j->run_before_ms) /* a controller of old does not say */
        return to_ms - j->launched_ms;
    return j->run_before_ms + (j->run_since_ms ? to_ms - j->run_since_ms : 0);
}

bool tug_jobview_is_over(const Tugpb__JobView *j)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (!strcmp(states[i].name, j->state))
            return *states[i].flags == 'E';
    return j->end_ms != 0; /* a newer controller's state */
}

enum tug_colour tug_jobview_colour(const char *state)
{
    if (!strcmp(state, "RUNNING") || !strcmp(state, "COMPLETED"))
        return TUG_GREEN;
    if (!strcmp(state, "PENDING"))
        return TUG_PLAIN;
    if (!strcmp(state, "CONFIGURING") || !strcmp(state, "COMPLETING") || !strcmp(state, "REQUEUED"))
        return TUG_CYAN;
    return !strcmp(state, "CANCELLED") || !strcmp(state, "SUSPENDED") || !strcmp(state, "SUSPENDING") || !strcmp(state, "PREEMPTED")
               ? TUG_YELLOW
               : TUG_RED;
}

/* ---- how it ended ---- */

int tug_jobview_exit(const Tugpb__ExitInfo *e)
{
    if (!e)
        return 0;
    return e->signal > 0 ? 128 + (e->signal & 127) : e->exit_code & 255;
}

int tug_jobview_status(const Tugpb__JobView *j)
{
    int status = tug_jobview_exit(j->exit);
    return status || !strcmp(j->state, "COMPLETED") ? status : 1;
}

void tug_jobview_exit_text(struct tug_buf *out, const Tugpb__ExitInfo *e)
{
    if (e->signal > 0)
        tug_buf_addf(out, "was ended by signal %d (%s)%s", e->signal, tug_signal_name(e->signal),
                     e->core_dumped ? ", core dumped" : "");
    else
        tug_buf_addf(out, "exited with code %d", e->exit_code);
    if (e->oom)
        tug_buf_adds(out, ", out of memory");
}

void tug_jobview_cause(struct tug_buf *out, const Tugpb__Cause *c)
{
    if (!c)
        return;
    if (*c->text) {
        tug_buf_adds(out, c->text);
    } else if (!strcmp(c->kind, "rank") && c->exit) {
        tug_buf_addf(out, "rank %u on %s ", c->rank, *c->node ? c->node : "an unknown node");
        tug_jobview_exit_text(out, c->exit);
    } else if (*c->kind) {
        tug_buf_addf(out, "ended because of: %s", c->kind);
        if (*c->node)
            tug_buf_addf(out, " on %s", c->node);
    }
}

/* ---- signals ---- */

const char *tug_signal_name(int signo)
{
    static char text[32];
    const char *name = tug_signame(signo);
    if (name)
        return name;
    snprintf(text, sizeof text, "signal %d", signo);
    return text;
}
