/* cancel.c - tug cancel: end jobs, or send them a signal
 *
 * Layer: cli.
 */
#include <stdio.h>
#include <string.h>

#include "base/signame.h"
#include "cli/jobpick.h"
#include "cli/jobview.h"

enum { OPT_SIGNAL = 1, OPT_WHY, OPT_QUIET };
static const struct tug_opt opts[] = {
    {OPT_SIGNAL, "signal", 's', TUG_ARG_NEED, "SIGNAL",
     "send this to all ranks instead: USR1, SIGTERM, 10"},
    TUG_PICK_OPTS,
    {OPT_WHY, "why", 0, TUG_ARG_NEED, "TEXT", "kept as the cause of the job's end"},
    {OPT_QUIET, "quiet", 'Q', TUG_ARG_NONE, NULL, "don't say what was cancelled"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_cancel(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct cancel_args {
    Tugpb__CancelRequest request;
    struct tug_pick pick;
    bool quiet;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct cancel_args *a = ctx;
    int rc = 0;
    if (tug_pick_option(&a->pick, o, value))
        return 0;
    switch (o->id) {
    case OPT_SIGNAL:
        rc = tug_signame_parse(value, &a->request.signal, err);
        return rc ? tug_fail_ctx(err, rc, "--signal") : 0;
    case OPT_WHY:
        a->request.why = (char *) value;
        break;
    case OPT_QUIET:
        a->quiet = true;
        break;
    }
    return 0;
}

static int say(const Tugpb__CancelReply *r, const struct cancel_args *a)
{
    char did[64] = "Cancelled";
    if (tug_out.json) {
        tug_out_message(&r->base);
        return r->n_failed ? TUG_EXIT_REFUSED : TUG_EXIT_OK;
    }
    if (a->request.signal)
        snprintf(did, sizeof did, "Sent %s to", tug_signal_name(a->request.signal));
    else if (a->request.step)
        snprintf(did, sizeof did, "Cancelled step %u of", a->request.step);
    return tug_pick_say(&a->pick, a->quiet ? NULL : did, "", r->done, r->n_done, r->failed, r->n_failed);
}

int tug_do_cancel(int argc, char **argv)
{
    struct cancel_args a = {.request = TUGPB__CANCEL_REQUEST__INIT, .pick = TUG_PICK_INIT};
    struct tug_client c = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;
    int words, status = tug_verb_parse("cancel", argc, argv, take, &a, &words);
    if (status >= 0)
        goto out;
    if (tug_pick_words(&a.pick, "cancel", words, argv + 1, &a.request.step, &err)) {
        status = tug_out_usage(&err);
        goto out;
    }
    a.request.jobs = a.pick.ids;
    a.request.n_jobs = a.pick.n_ids;
    a.request.filter = a.pick.by_option ? &a.pick.filter : NULL;
    if (tug_client_once(TUG_MSG_CANCEL_REQUEST, &a.request.base, TUG_MSG_CANCEL_REPLY, &c, &m,
                        &err))
        status = tug_out_fail(&err);
    else
        status = say((Tugpb__CancelReply *) m, &a);
out:
    tug_client_close(&c);
    tug_pick_clear(&a.pick);
    return status;
}
