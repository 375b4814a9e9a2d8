/* hold.c - tug hold and tug release: keep jobs from being started, and let them
 *
 * Layer: cli.
 */
#include <inttypes.h>

#include "cli/jobpick.h"

enum { OPT_WHY = 1, OPT_QUIET };
static const struct tug_opt hold_opts[] = {
    TUG_PICK_OPTS,
    {OPT_WHY, "why", 0, TUG_ARG_NEED, "TEXT", "shown where it says why the job waits"},
    {OPT_QUIET, "quiet", 'Q', TUG_ARG_NONE, NULL, "don't say what is held"},
    TUG_COMMON_OPTS,
};
static const struct tug_opt release_opts[] = {
    TUG_PICK_OPTS,
    {OPT_QUIET, "quiet", 'Q', TUG_ARG_NONE, NULL, "don't say what was released"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_hold(size_t *n)
{
    *n = sizeof hold_opts / sizeof *hold_opts;
    return hold_opts;
}

const struct tug_opt *tug_opts_of_release(size_t *n)
{
    *n = sizeof release_opts / sizeof *release_opts;
    return release_opts;
}

struct hold_args {
    Tugpb__HoldRequest request;
    struct tug_pick pick;
    bool quiet;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct hold_args *a = ctx;
    (void) err;
    if (tug_pick_option(&a->pick, o, value))
        return 0;
    if (o->id == OPT_WHY)
        a->request.why = (char *) value;
    else
        a->quiet = true;
    return 0;
}

/* What was so before is said, too. */
static void say_unchanged(const Tugpb__HoldReply *r, bool release)
{
    for (size_t i = 0, k = 0; i < r->n_done; i++)
        if (k < r->n_changed && r->changed[k] == r->done[i])
            k++;
        else
            tug_out_note(release ? "job %" PRIu64 " is not held" : "job %" PRIu64 " is held already", r->done[i]);
}

static int say(const Tugpb__HoldReply *r, const struct hold_args *a)
{
    if (tug_out.json) {
        tug_out_message(&r->base);
        return r->n_failed ? TUG_EXIT_REFUSED : TUG_EXIT_OK;
    }
    if (!a->quiet)
        say_unchanged(r, a->request.release);
    /* Where all were so before it is not that no job is like that. */
    bool is_told = a->quiet || (r->n_done && !r->n_changed);
    return tug_pick_say(&a->pick, is_told ? NULL : a->request.release ? "Released" : "Held", "", r->changed, r->n_changed,
                        r->failed, r->n_failed);
}

static int hold(const char *verb, bool release, int argc, char **argv)
{
    struct hold_args a = {.request = TUGPB__HOLD_REQUEST__INIT, .pick = TUG_PICK_INIT};
    struct tug_client c = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;
    int words, status = tug_verb_parse(verb, argc, argv, take, &a, &words);
    if (status >= 0)
        goto out;
    if (tug_pick_words(&a.pick, verb, words, argv + 1, NULL, &err)) {
        status = tug_out_usage(&err);
        goto out;
    }
    a.request.release = release;
    a.request.jobs = a.pick.ids;
    a.request.n_jobs = a.pick.n_ids;
    a.request.filter = a.pick.by_option ? &a.pick.filter : NULL;
    if (tug_client_once(TUG_MSG_HOLD_REQUEST, &a.request.base, TUG_MSG_HOLD_REPLY, &c, &m, &err))
        status = tug_out_fail(&err);
    else
        status = say((Tugpb__HoldReply *) m, &a);
out:
    tug_client_close(&c);
    tug_pick_clear(&a.pick);
    return status;
}

int tug_do_hold(int argc, char **argv)
{
    return hold("hold", false, argc, argv);
}

int tug_do_release(int argc, char **argv)
{
    return hold("release", true, argc, argv);
}
