/* cancel.c - tug cancel: end jobs, or send them a signal
 *
 * Layer: cli.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/signame.h"
#include "base/str.h"
#include "cli/jobview.h"
#include "cli/verb.h"

enum { OPT_SIGNAL = 1, OPT_ME, OPT_USER, OPT_QUEUE, OPT_STATE, OPT_NAME, OPT_WHY, OPT_QUIET };
static const struct tug_opt opts[] = {
    {OPT_SIGNAL, "signal", 's', TUG_ARG_NEED, "SIGNAL",
     "send this to all ranks instead: USR1, SIGTERM, 10"},
    {OPT_ME, "me", 0, TUG_ARG_NONE, NULL, "all of my jobs"},
    {OPT_USER, "user", 'u', TUG_ARG_NEED, "LIST", "all jobs of these users"},
    {OPT_QUEUE, "queue", 'q', TUG_ARG_NEED, "LIST", "all jobs in these queues"},
    {OPT_QUEUE, "partition", 'p', TUG_ARG_NEED, "LIST", "as --queue, the way scancel writes it"},
    {OPT_STATE, "state", 't', TUG_ARG_NEED, "LIST", "all jobs in these states"},
    {OPT_NAME, "name", 'n', TUG_ARG_NEED, "NAME", "all jobs of this name"},
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
    Tugpb__JobsRequest filter;
    struct tug_words users, queues, states;
    uint64_t *ids;
    bool by_filter, quiet;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct cancel_args *a = ctx;
    char uid[16];
    switch (o->id) {
    case OPT_SIGNAL: {
        int rc = tug_signame_parse(value, &a->request.signal, err);
        return rc ? tug_fail_ctx(err, rc, "--signal") : 0;
    }
    case OPT_WHY:
        a->request.why = (char *) value;
        return 0;
    case OPT_QUIET:
        a->quiet = true;
        return 0;
    case OPT_ME:
        snprintf(uid, sizeof uid, "%u", (unsigned) getuid());
        tug_words_add(&a->users, uid);
        break;
    case OPT_USER:
        tug_words_add(&a->users, value);
        break;
    case OPT_QUEUE:
        tug_words_add(&a->queues, value);
        break;
    case OPT_STATE:
        tug_words_add(&a->states, value);
        break;
    case OPT_NAME:
        a->filter.name = (char *) value;
        break;
    }
    a->by_filter = true;
    return 0;
}

/* "71", or "71.2" for one step of it (alone). */
static int take_words(struct cancel_args *a, int n, char **words, struct tug_err *err)
{
    a->ids = tug_xcalloc((size_t) n + 1, sizeof *a->ids);
    for (int i = 0; i < n; i++) {
        const char *dot = strchr(words[i], '.');
        char id[32];
        uint64_t step = 0;
        if (!tug_str_copy(id,
                          dot && dot - words[i] < 31 ? (size_t) (dot - words[i]) + 1 : sizeof id,
                          words[i]) &&
            !dot)
            return tug_fail(err, -EINVAL, "'%.64s' is not a job id", words[i]);
        int rc = tug_verb_job_id(id, &a->ids[i], err);
        if (rc)
            return rc;
        if (dot && (tug_str_u64(dot + 1, UINT32_MAX, &step) || step == 0))
            return tug_fail(err, -EINVAL, "'%.64s' is not JOB.STEP; steps are numbers from 1",
                            words[i]);
        if (dot && n > 1)
            return tug_fail(err, -EINVAL, "'%.64s' is one step; it must be the only word",
                            words[i]);
        a->request.step = (uint32_t) step;
    }
    if (!n && !a->by_filter)
        return tug_fail(err, -EINVAL,
                        "nothing says which jobs; tug cancel JOB..., or --me, --user, --queue, "
                        "--state, --name");
    if (n && a->by_filter)
        return tug_fail(err, -EINVAL, "give job ids, or options that choose jobs, not both");
    a->request.jobs = a->ids;
    a->request.n_jobs = (size_t) n;
    return 0;
}

static void set_filter(struct cancel_args *a)
{
    a->filter.users = a->users.at;
    a->filter.n_users = a->users.len;
    a->filter.queues = a->queues.at;
    a->filter.n_queues = a->queues.len;
    a->filter.states = a->states.at;
    a->filter.n_states = a->states.len;
    if (a->by_filter)
        a->request.filter = &a->filter;
}

static int say(const Tugpb__CancelReply *r, const struct cancel_args *a)
{
    if (tug_out.json) {
        tug_out_message(&r->base);
        return r->n_failed ? TUG_EXIT_REFUSED : TUG_EXIT_OK;
    }
    for (size_t i = 0; i < r->n_done && !a->quiet; i++) {
        if (a->request.signal)
            tug_out_addf("Sent %s to job %" PRIu64 "\n", tug_signal_name(a->request.signal),
                         r->done[i]);
        else if (a->request.step)
            tug_out_addf("Cancelled step %u of job %" PRIu64 "\n", a->request.step, r->done[i]);
        else
            tug_out_addf("Cancelled job %" PRIu64 "\n", r->done[i]);
    }
    if (a->by_filter && !r->n_done && !r->n_failed && !a->quiet)
        tug_out_note("no job is like that; nothing was done");
    for (size_t i = 0; i < r->n_failed; i++) {
        struct tug_err err = {0};
        tug_client_refused(r->failed[i], &err);
        tug_out_fail(&err);
    }
    return r->n_failed ? TUG_EXIT_REFUSED : TUG_EXIT_OK;
}

int tug_do_cancel(int argc, char **argv)
{
    struct cancel_args a = {.request = TUGPB__CANCEL_REQUEST__INIT,
                            .filter = TUGPB__JOBS_REQUEST__INIT};
    struct tug_client c = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;
    int words, status = tug_verb_parse("cancel", argc, argv, take, &a, &words);
    if (status >= 0)
        goto out;
    if (take_words(&a, words, argv + 1, &err)) {
        status = tug_out_usage(&err);
        goto out;
    }
    set_filter(&a);
    if (tug_client_once(TUG_MSG_CANCEL_REQUEST, &a.request.base, TUG_MSG_CANCEL_REPLY, &c, &m,
                        &err))
        status = tug_out_fail(&err);
    else
        status = say((Tugpb__CancelReply *) m, &a);
out:
    tug_client_close(&c);
    tug_words_clear(&a.users);
    tug_words_clear(&a.queues);
    tug_words_clear(&a.states);
    free(a.ids);
    return status;
}
