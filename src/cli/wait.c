/* wait.c - tug wait: until jobs have ended
 *
 * Layer: cli.
 */
#include "cli/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/duration.h"
#include "base/mem.h"
#include "cli/jobview.h"
#include "cli/verb.h"

#define RETRIES 60 /* of half a second */

enum { OPT_TIMEOUT = 1, OPT_QUIET };
static const struct tug_opt opts[] = {
    {OPT_TIMEOUT, "timeout", 't', TUG_ARG_NEED, "TIME", "give up after this long: 30s, 5m, 1h"},
    {OPT_QUIET, "quiet", 'Q', TUG_ARG_NONE, NULL, "don't say how a job failed"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_wait(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

static int ask(struct tug_client *c, uint64_t id, uint32_t timeout_s, Tugpb__WaitReply **reply,
               struct tug_err *err)
{
    Tugpb__WaitRequest request = TUGPB__WAIT_REQUEST__INIT;
    ProtobufCMessage *m = NULL;
    request.job = id;
    request.until = TUGPB__WAIT_FOR__WAIT_END;
    request.timeout_s = timeout_s;
    int rc = c->call ? 0 : tug_client_open(c, err);
    if (rc == 0)
        rc =
            tug_client_ask(c, TUG_MSG_WAIT_REQUEST, &request.base, TUG_MSG_WAIT_REPLY, &m, -1, err);
    *reply = (Tugpb__WaitReply *) m;
    return rc;
}

int tug_wait_end(struct tug_client *c, uint64_t id, uint32_t timeout_s, Tugpb__JobView **job,
                 struct tug_err *err)
{
    Tugpb__WaitReply *reply;
    bool answered_once = c->call != NULL;
    int tries = 0;
    for (;;) {
        int rc = ask(c, id, timeout_s, &reply, err);
        bool gone = rc == -ECONNRESET || rc == -EPIPE || (rc == TUG_UNREACHABLE && answered_once);
        if (rc && !(gone && tries++ < RETRIES))
            return rc;
        if (rc) {
            answered_once = true;
            tug_client_close(c);
            nanosleep(&(struct timespec){0, 500000000}, NULL);
            continue;
        }
        if (reply->timed_out)
            return tug_fail(err, -ETIMEDOUT, "job %llu has not ended after %u s; it is %s",
                            (unsigned long long) id, timeout_s,
                            reply->job ? reply->job->state : "still there");
        if (!reply->job)
            return tug_fail(err, -EPROTO, "the controller's answer about job %llu is empty",
                            (unsigned long long) id);
        *job = reply->job;
        return 0;
    }
}

static void say_failure(const Tugpb__JobView *j)
{
    struct tug_buf why = {0};
    tug_jobview_cause(&why, j->cause);
    if (why.len == 0 && j->exit)
        tug_jobview_exit_text(&why, j->exit);
    tug_out_note("job %llu: %s%s%s", (unsigned long long) j->id, j->state, why.len ? ": " : "",
                 tug_buf_str(&why));
    tug_buf_clear(&why);
}

int tug_wait_job(struct tug_client *c, uint64_t id, bool quiet)
{
    struct tug_err err = {0};
    Tugpb__JobView *job;
    if (tug_wait_end(c, id, 0, &job, &err))
        return tug_out_fail(&err);
    int status = tug_jobview_status(job);
    if (status && !quiet)
        say_failure(job);
    return status;
}

struct wait_args {
    uint32_t timeout_s;
    bool quiet;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct wait_args *a = ctx;
    int64_t s;
    if (o->id == OPT_QUIET) {
        a->quiet = true;
        return 0;
    }
    int rc = tug_duration_parse(value, 0, &s, err);
    if (rc)
        return tug_fail_ctx(err, rc, "--timeout");
    a->timeout_s = s < 1 ? 1 : s > UINT32_MAX ? UINT32_MAX : (uint32_t) s;
    return 0;
}

int tug_do_wait(int argc, char **argv)
{
    struct wait_args a = {0};
    struct tug_client c = {0};
    struct tug_err err = {0};
    int words, worst = 0, status = tug_verb_parse("wait", argc, argv, take, &a, &words);
    if (status >= 0)
        return status;
    if (!words) {
        tug_fail(&err, -EINVAL, "no job given; tug wait JOB...");
        return tug_out_usage(&err);
    }
    uint64_t *ids = tug_xcalloc((size_t) words, sizeof *ids);
    for (int i = 0; i < words; i++)
        if (tug_verb_job_id(argv[1 + i], &ids[i], &err)) {
            free(ids);
            return tug_out_usage(&err);
        }
    if (tug_out.json)
        tug_out_adds("{\"jobs\":[");
    for (int i = 0; i < words; i++) {
        Tugpb__JobView *job;
        if (tug_wait_end(&c, ids[i], a.timeout_s, &job, &err)) {
            worst = tug_out_fail(&err);
            goto out;
        }
        status = tug_jobview_status(job);
        worst = status > worst ? status : worst;
        if (tug_out.json) {
            tug_out_adds(i ? "," : "");
            tug_msg_json(&tug_out.buf, &job->base, 0);
        } else if (status && !a.quiet) {
            say_failure(job);
        }
    }
    if (tug_out.json)
        tug_out_adds("]}\n");
out:
    free(ids);
    tug_client_close(&c);
    return worst;
}
