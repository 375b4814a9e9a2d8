/* drain.c - tug drain, tug resume: nodes out of use, and back
 *
 * Layer: cli.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cli/client.h"
#include "cli/verb.h"

enum { OPT_REASON = 1, OPT_QUIET, OPT_FORCE };
static const struct tug_opt drain_opts[] = {
    {OPT_REASON, "reason", 'r', TUG_ARG_NEED, "TEXT",
     "why; needed, 'tug nodes' shows it to everybody"},
    {OPT_QUIET, "quiet", 'Q', TUG_ARG_NONE, NULL, "don't say what was done"},
    TUG_COMMON_OPTS,
};
static const struct tug_opt resume_opts[] = {
    {OPT_FORCE, "force", 'f', TUG_ARG_NONE, NULL,
     "also where the health check found them sick, until it finds that again"},
    {OPT_QUIET, "quiet", 'Q', TUG_ARG_NONE, NULL, "don't say what was done"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_drain(size_t *n)
{
    *n = sizeof drain_opts / sizeof *drain_opts;
    return drain_opts;
}

const struct tug_opt *tug_opts_of_resume(size_t *n)
{
    *n = sizeof resume_opts / sizeof *resume_opts;
    return resume_opts;
}

struct drain_args {
    Tugpb__DrainRequest request;
    bool quiet;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct drain_args *a = ctx;
    (void) err;
    if (o->id == OPT_REASON)
        a->request.reason = (char *) value;
    else if (o->id == OPT_FORCE)
        a->request.force = true;
    else
        a->quiet = true;
    return 0;
}

static int check(const struct drain_args *a, int words, struct tug_err *err)
{
    const char *verb = a->request.resume ? "resume" : "drain";
    if (words == 0)
        return tug_fail(err, -EINVAL, "nothing says which nodes; tug %s%s HOSTS, such as n[1-4]",
                        verb, a->request.resume ? "" : " --reason TEXT");
    if (!a->request.resume && !*a->request.reason)
        return tug_fail(err, -EINVAL,
                        "--reason TEXT is missing; those whose jobs wait for the node read it");
    return 0;
}

/* What keeps it out of use after it was resumed: only the health check's own reason may. */
static const char *left_of(const Tugpb__NodeView *n)
{
    return n->n_drains ? n->drains[0]->reason : "";
}

static void say(const Tugpb__DrainReply *r, const struct drain_args *a)
{
    if (tug_out.json) {
        tug_out_message(&r->base);
        return;
    }
    for (size_t i = 0; i < r->n_nodes && !a->quiet; i++) {
        const Tugpb__NodeView *n = r->nodes[i];
        bool changed = false;
        for (size_t k = 0; k < r->n_changed && !changed; k++)
            changed = !strcmp(r->changed[k], n->name);
        tug_out_text(n->name);
        tug_out_adds(" ");
        tug_out_text(n->state);
        if (a->request.resume && *left_of(n)) {
            bool health = !strcmp(n->drains[0]->by, "health");
            tug_out_addf(" still, %s: ", health ? "by its health check" : "for what runs there and does not end");
            tug_out_text(left_of(n));
            tug_out_addf("; it is back when %s, or with --force\n", health ? "the check succeeds" : "that has gone");
        } else if (!changed)
            tug_out_adds(": it was so already\n");
        else
            tug_out_addf("%s\n", !strcmp(n->state, "DRAINING") ? ": what runs there goes on to its end" : "");
    }
}

static int drain(const char *verb, int argc, char **argv, bool resume)
{
    struct drain_args a = {.request = TUGPB__DRAIN_REQUEST__INIT};
    struct tug_client c = {0};
    struct tug_buf hosts = {0};
    struct tug_err err = {0};
    ProtobufCMessage *m;
    int words, status;
    a.request.resume = resume;
    status = tug_verb_parse(verb, argc, argv, take, &a, &words);
    if (status >= 0)
        return status;
    if (check(&a, words, &err))
        return tug_out_usage(&err);
    for (int i = 0; i < words; i++)
        tug_buf_addf(&hosts, "%s%s", i ? "," : "", argv[i + 1]);
    a.request.nodes = (char *) (uintptr_t) tug_buf_str(&hosts);
    status = TUG_EXIT_OK;
    if (tug_client_once(TUG_MSG_DRAIN_REQUEST, &a.request.base, TUG_MSG_DRAIN_REPLY, &c, &m, &err))
        status = tug_out_fail(&err);
    else
        say((Tugpb__DrainReply *) m, &a);
    tug_client_close(&c);
    tug_buf_clear(&hosts);
    return status;
}

int tug_do_drain(int argc, char **argv)
{
    return drain("drain", argc, argv, false);
}

int tug_do_resume(int argc, char **argv)
{
    return drain("resume", argc, argv, true);
}
