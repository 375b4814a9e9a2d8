/* requeue.c - tug requeue: run jobs again from the beginning
 *
 * Layer: cli.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/verb.h"

enum { OPT_WHY = 1, OPT_QUIET };
static const struct tug_opt opts[] = {
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
    bool quiet;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct requeue_args *a = ctx;
    (void) err;
    if (o->id == OPT_WHY)
        a->request.why = (char *) value;
    else
        a->quiet = true;
    return 0;
}

static int say(const Tugpb__RequeueReply *r, bool quiet)
{
    if (tug_out.json) {
        tug_out_message(&r->base);
        return r->n_failed ? TUG_EXIT_REFUSED : TUG_EXIT_OK;
    }
    for (size_t i = 0; i < r->n_done && !quiet; i++)
        tug_out_addf("Requeued job %" PRIu64 "\n", r->done[i]);
    for (size_t i = 0; i < r->n_failed; i++) {
        struct tug_err err = {0};
        tug_client_refused(r->failed[i], &err);
        tug_out_fail(&err);
    }
    return r->n_failed ? TUG_EXIT_REFUSED : TUG_EXIT_OK;
}

int tug_do_requeue(int argc, char **argv)
{
    struct requeue_args a = {.request = TUGPB__REQUEUE_REQUEST__INIT};
    struct tug_client c = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;
    uint64_t *ids = NULL;
    int words, rc = 0, status = tug_verb_parse("requeue", argc, argv, take, &a, &words);
    if (status >= 0)
        goto out;
    ids = tug_xcalloc((size_t) words + 1, sizeof *ids);
    for (int i = 0; i < words && !rc; i++)
        rc = tug_verb_job_id(argv[1 + i], &ids[i], &err);
    if (!words)
        rc = tug_fail(&err, -EINVAL, "no job given; tug requeue JOB...");
    if (rc) {
        status = tug_out_usage(&err);
        goto out;
    }
    a.request.jobs = ids;
    a.request.n_jobs = (size_t) words;
    if (tug_client_once(TUG_MSG_REQUEUE_REQUEST, &a.request.base, TUG_MSG_REQUEUE_REPLY, &c, &m, &err))
        status = tug_out_fail(&err);
    else
        status = say((Tugpb__RequeueReply *) m, a.quiet);
out:
    tug_client_close(&c);
    free(ids);
    return status;
}
