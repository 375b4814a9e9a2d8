/* requeue.c - tug requeue: run jobs again from the beginning
 *
 * Layer: cli.
 */
#include "cli/jobpick.h"

enum { OPT_HOLD = 1, OPT_WHY, OPT_QUIET };
static const struct tug_opt opts[] = {
    TUG_PICK_OPTS,
    {OPT_HOLD, "hold", 0, TUG_ARG_NONE, NULL, "and hold them, until tug release"},
    {OPT_WHY, "why", 0, TUG_ARG_NEED, "TEXT", "kept as the cause of the attempt's end"},
    {OPT_QUIET, "quiet", 'Q', TUG_ARG_NONE, NULL, "don't say what was queued again"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_requeue(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct requeue_args {
    Tugpb__RequeueRequest request;
    struct tug_pick pick;
    bool quiet;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct requeue_args *a = ctx;
    (void) err;
    if (tug_pick_option(&a->pick, o, value))
        return 0;
    if (o->id == OPT_WHY)
        a->request.why = (char *) value;
    else if (o->id == OPT_HOLD)
        a->request.hold = true;
    else
        a->quiet = true;
    return 0;
}

static int say(const Tugpb__RequeueReply *r, const struct requeue_args *a)
{
    if (!tug_out.json)
        return tug_pick_say(&a->pick, a->quiet ? NULL : "Requeued", a->request.hold ? ", held" : "", r->done, r->n_done, r->failed, r->n_failed);
    tug_out_message(&r->base);
    return r->n_failed ? TUG_EXIT_REFUSED : TUG_EXIT_OK;
}

int tug_do_requeue(int argc, char **argv)
{
    struct requeue_args a = {.request = TUGPB__REQUEUE_REQUEST__INIT, .pick = TUG_PICK_INIT};
    struct tug_client c = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;
    int words, status = tug_verb_parse("requeue", argc, argv, take, &a, &words);
    if (status >= 0)
        goto out;
    if (tug_pick_words(&a.pick, "requeue", words, argv + 1, NULL, &err)) {
        status = tug_out_usage(&err);
        goto out;
    }
    a.request.jobs = a.pick.ids;
    a.request.n_jobs = a.pick.n_ids;
    a.request.filter = a.pick.by_option ? &a.pick.filter : NULL;
    if (tug_client_once(TUG_MSG_REQUEUE_REQUEST, &a.request.base, TUG_MSG_REQUEUE_REPLY, &c, &m, &err))
        status = tug_out_fail(&err);
    else
        status = say((Tugpb__RequeueReply *) m, &a);
out:
    tug_client_close(&c);
    tug_pick_clear(&a.pick);
    return status;
}
