/* check.c - run the node's health check
 *
 * With an environment that is made here. One at a time: one that cannot even be killed is waited for, and until then every
 * run has failed. Layer: programs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/capture.h"
#include "host/proc.h"
#include "noded/daemon.h"

#define OUTPUT_MAX 4096u               /* the last bytes that it wrote */
#define REASON_MAX 200u                /* of its last lines */

struct check {
    struct noded *d;
    struct tug_timer *later;           /* at once, to say why it could not begin */
    struct tug_capture *run;
    char *program, *trouble;           /* trouble: why it could not begin; NULL = it did */
    bool failed;                       /* with that: the node is sick */
    uint32_t timeout_s;
};

/* ---- the answer */

static void answer(struct check *k, bool failed, bool trouble, const char *text)
{
    Tugpb__HcDone m = TUGPB__HC_DONE__INIT;
    m.failed = failed;
    m.trouble = trouble;
    m.text = (char *) (uintptr_t) text;
    tug_agent_message(k->d->agent, TUG_PEER_CHECKER, TUG_MSG_HC_DONE, 0, &m.base);
    world_check(k->d);
}

static void on_end(void *arg, const struct tug_capture_end *e)
{
    struct check *k = arg;
    struct tug_buf text = {0}, lines = {0};
    char how[64];
    tug_capture_last_lines(e->output, REASON_MAX, &lines);
    if (e->late)
        tug_buf_addf(&text, "the health check did not end within %u s%s%s", k->timeout_s, lines.len ? ": " : "", tug_buf_str(&lines));
    else if (lines.len || !e->status)
        tug_buf_adds(&text, tug_buf_str(&lines));
    else
        tug_buf_addf(&text, "the health check ended with %s and said nothing", tug_status_text(e->status, how, sizeof how));
    answer(k, e->late || e->status != 0, false, tug_buf_str(&text));
    tug_buf_clear(&text);
    tug_buf_clear(&lines);
}

static void on_later(void *arg)
{
    struct check *k = arg;
    char *trouble = k->trouble;
    k->trouble = NULL;
    answer(k, k->failed, !k->failed, trouble);
    free(trouble);
}

/* ---- one run */

static int start(struct check *k, const char *why, struct tug_err *err)
{
    char node[300], when[32];
    char *argv[] = {k->program, NULL},
         *envp[] = {(char *) PROGRAM_PATH, (char *) "HOME=/", (char *) "LANG=C.UTF-8", node, when, NULL};
    struct tug_capture_run run = {.path = k->program, .argv = argv, .envp = envp, .cwd = "/", .trusted = true,
                                  .limit_ms = 1000ULL * k->timeout_s, .keep_bytes = OUTPUT_MAX};
    snprintf(node, sizeof node, "TUG_NODE=%s", k->d->o.node);
    snprintf(when, sizeof when, "TUG_CHECK=%s", why);
    return tug_capture_start(k->run, &run, err);
}

void check_run(struct noded *d, const Tugpb__HcRun *m)
{
    struct check *k = d->check;
    struct tug_err err = {0};
    free(k->program);
    k->program = tug_xstrdup(m->program);
    k->timeout_s = m->timeout_s;
    k->failed = tug_capture_is_busy(k->run);
    if (k->failed)
        k->trouble = tug_xstrdup("the health check before this one cannot be killed");
    else if (start(k, m->why, &err))
        k->trouble = tug_xasprintf("the health check cannot be run: %s", err.msg);
    if (k->trouble)
        tug_timer_set(k->later, tug_now_ms()); /* never from inside of the question */
}

int check_start(struct noded *d, struct tug_err *err)
{
    struct check *k = tug_new(struct check);
    k->d = d;
    int rc = tug_timer_new(&k->later, tug_loop_base(d->loop), on_later, k, err);
    rc = rc ? rc : tug_capture_new(&k->run, tug_loop_base(d->loop), on_end, k, err);
    if (!rc) {
        d->check = k;
        return 0;
    }
    tug_timer_free(k->later);
    free(k);
    return rc;
}

void check_stop(struct noded *d)
{
    struct check *k = d->check;
    if (!k)
        return;
    d->check = NULL;
    tug_capture_free(k->run);
    tug_timer_free(k->later);
    free(k->program);
    free(k->trouble);
    free(k);
}
