/* logs.c - tug logs: what a job has printed
 *
 * The output file is read where the job wrote it (a shared directory, or this host). Layer: cli.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/jobview.h"
#include "cli/loglines.h"
#include "cli/verb.h"

#define FAILURE_LINES 20
#define POLL_MS                                                                                    \
    500 /* where inotify does not see writes: a file system that other hosts write to              \
         */

enum { OPT_FOLLOW = 1, OPT_RANK, OPT_FAILURE, OPT_LINES, OPT_STDERR };
static const struct tug_opt opts[] = {
    {OPT_FOLLOW, "follow", 'f', TUG_ARG_NONE, NULL,
     "go on until the job has ended; wait for it when it has not started"},
    {OPT_RANK, "rank", 'r', TUG_ARG_NEED, "N", "only this rank's lines, without the label"},
    {OPT_FAILURE, "first-failure", 0, TUG_ARG_NONE, NULL,
     "the last lines of the rank that failed first, and how it failed"},
    {OPT_LINES, "lines", 'n', TUG_ARG_NEED, "N", "only the last N lines"},
    {OPT_STDERR, "stderr", 'e', TUG_ARG_NONE, NULL,
     "the file of --error, when the job has one of its own"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_logs(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct logs_args {
    bool follow, failure, err_file;
    int64_t rank;
    uint64_t lines;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct logs_args *a = ctx;
    uint64_t n;
    switch (o->id) {
    case OPT_FOLLOW:
        a->follow = true;
        break;
    case OPT_FAILURE:
        a->failure = true;
        break;
    case OPT_STDERR:
        a->err_file = true;
        break;
    case OPT_RANK:
        if (tug_str_u64(value, UINT32_MAX, &n))
            return tug_fail(err, -EINVAL, "--rank: '%.64s' is not a number from 0", value);
        a->rank = (int64_t) n;
        break;
    case OPT_LINES:
        if (tug_str_u64(value, 10000000, &n) || n == 0)
            return tug_fail(err, -EINVAL, "--lines: '%.64s' is not a number from 1 to 10000000",
                            value);
        a->lines = n;
        break;
    }
    return 0;
}

/* ---- the job ---- */

struct logs {
    struct logs_args a;
    uint64_t id;
    struct tug_client ask;  /* answers are copied out of it */
    struct tug_client wait; /* the job's end is asked for here */
    struct tug_loglines lines;
    char *path;
    struct tug_buf cause;
    int64_t failed_rank;
    uint32_t ntasks;
    bool over, ran, started, gang;
    char state[32];
    int fd, watch;
};

static void take_view(struct logs *l, const Tugpb__JobView *j)
{
    const char *path = l->a.err_file && *j->stderr_path ? j->stderr_path : j->stdout_path;
    free(l->path);
    l->path = tug_xstrdup(path);
    l->over = tug_jobview_is_over(j);
    l->ran = j->launched_ms != 0;
    l->started = j->launched_ms != 0 || l->over;
    l->gang = strcmp(j->kind, "batch") != 0;
    l->ntasks = j->ntasks;
    l->lines.labelled = l->gang && j->ntasks > 1 && !strstr(path, "%t");
    tug_str_copy(l->state, sizeof l->state, j->state);
    tug_buf_reset(&l->cause);
    tug_jobview_cause(&l->cause, j->cause);
    l->failed_rank = j->cause && !strcmp(j->cause->kind, "rank") ? (int64_t) j->cause->rank : -1;
}

static int ask_view(struct logs *l, struct tug_buf *explain, struct tug_err *err)
{
    Tugpb__ShowRequest request = TUGPB__SHOW_REQUEST__INIT;
    ProtobufCMessage *m;
    request.job = l->id;
    int rc = l->ask.call ? 0 : tug_client_open(&l->ask, err);
    if (rc == 0)
        rc = tug_client_ask(&l->ask, TUG_MSG_SHOW_REQUEST, &request.base, TUG_MSG_SHOW_REPLY, &m,
                            TUG_ANSWER_MS, err);
    if (rc)
        return rc;
    const Tugpb__JobView *j = ((Tugpb__ShowReply *) m)->job;
    if (!j)
        return tug_fail(err, -EPROTO, "the controller's answer about job %" PRIu64 " is empty",
                        l->id);
    if (j->interactive)
        return tug_fail(
            err, -ENOENT,
            "job %" PRIu64 " is a tug run: its output went to the terminal that started it", l->id);
    tug_buf_reset(explain);
    tug_buf_addf(explain, "%s%s%s", j->reason, *j->reason && *j->explain ? ": " : "", j->explain);
    take_view(l, j);
    return 0;
}

static int wait_for(struct tug_client *c, uint64_t id, Tugpb__WaitFor until, bool only_send,
                    struct tug_err *err)
{
    Tugpb__WaitRequest request = TUGPB__WAIT_REQUEST__INIT;
    ProtobufCMessage *m;
    request.job = id;
    request.until = until;
    int rc = c->call ? 0 : tug_client_open(c, err);
    if (rc == 0)
        rc = tug_client_send(c, TUG_MSG_WAIT_REQUEST, &request.base, err);
    if (rc == 0 && !only_send)
        rc = tug_client_recv(c, TUG_MSG_WAIT_REPLY, &m, -1, err);
    return rc;
}

/* Until there may be output. -EAGAIN: it has not started and we don't wait. */
static int await_start(struct logs *l, struct tug_err *err)
{
    struct tug_buf explain = {0};
    int rc = ask_view(l, &explain, err);
    if (rc == 0 && !l->started && !l->a.follow)
        rc =
            tug_fail(err, -EAGAIN,
                     "job %" PRIu64 " has not started (%s%s%s); to follow it: tug logs -f %" PRIu64,
                     l->id, l->state, explain.len ? ", " : "", tug_buf_str(&explain), l->id);
    while (rc == 0 && !l->started) {
        if (!tug_out.json && !strcmp(l->state, "PENDING"))
            tug_out_note("job %" PRIu64 " has not started (%s%s%s); waiting for it", l->id,
                         l->state, explain.len ? ", " : "", tug_buf_str(&explain));
        rc = wait_for(&l->wait, l->id, TUGPB__WAIT_FOR__WAIT_START, false, err);
        if (rc == 0)
            rc = ask_view(l, &explain, err);
    }
    tug_buf_clear(&explain);
    return rc;
}

/* ---- the file ---- */

static void flush(struct logs *l)
{
    tug_buf_add(&tug_out.buf, l->lines.out.data, l->lines.out.len);
    tug_buf_reset(&l->lines.out);
    tug_out_flush();
}

/* To the present end. A file that got shorter was started anew by a requeued job. */
static int read_on(struct logs *l, struct tug_err *err)
{
    static char chunk[262144];
    struct stat st;
    if (fstat(l->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size < lseek(l->fd, 0, SEEK_CUR))
        lseek(l->fd, 0, SEEK_SET);
    for (;;) {
        ssize_t n = read(l->fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tug_fail(err, -errno, "reading %s: %s", l->path, strerror(errno));
        if (n == 0)
            return 0;
        tug_loglines_data(&l->lines, chunk, (size_t) n);
        if (l->lines.out.len > sizeof chunk || l->a.follow)
            flush(l);
    }
}

static int open_file(struct logs *l, struct tug_err *err)
{
    if (!*l->path)
        return tug_fail(err, -ENOENT, "job %" PRIu64 " has no output file", l->id);
    l->fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (l->fd < 0 && errno == ENOENT && !l->over && l->a.follow)
        return 0; /* it will come */
    if (l->fd < 0 && errno == ENOENT && !l->ran)
        return tug_fail(err, -ENOENT, "job %" PRIu64 " has no output: it never ran (%s%s%s)", l->id,
                        l->state, l->cause.len ? ", " : "", tug_buf_str(&l->cause));
    if (l->fd < 0)
        return tug_fail(err, -errno, "the output of job %" PRIu64 " is in %s: %s%s", l->id, l->path,
                        strerror(errno),
                        errno == ENOENT ? " (is it on another host's own disk?)" : "");
    return 0;
}

/* Until something was written, the job has ended (true), or half a second is over. */
static int await_more(struct logs *l, bool *ended, struct tug_err *err)
{
    struct pollfd p[2] = {{.fd = tug_call_fd(l->wait.call), .events = POLLIN},
                          {.fd = l->watch, .events = POLLIN}};
    char events[4096];
    int n = poll(p, l->watch >= 0 ? 2 : 1, POLL_MS);
    if (l->watch >= 0 && n > 0 && (p[1].revents & POLLIN) &&
        read(l->watch, events, sizeof events) < 0)
        l->watch = -1;
    if (n <= 0 || !p[0].revents)
        return 0;
    ProtobufCMessage *m;
    int rc = tug_client_recv(&l->wait, TUG_MSG_WAIT_REPLY, &m, TUG_ANSWER_MS, err);
    if (rc == 0) {
        take_view(l, ((Tugpb__WaitReply *) m)->job);
        *ended = true;
        return 0;
    }
    if (rc != -ECONNRESET && rc != -EPIPE)
        return rc;
    /* The controller went away: the job goes on, and so do we. */
    for (int i = 0; i < 120; i++) {
        tug_client_close(&l->wait);
        if (wait_for(&l->wait, l->id, TUGPB__WAIT_FOR__WAIT_END, true, err) == 0)
            return 0;
        poll(NULL, 0, POLL_MS);
        if (l->fd >= 0 && read_on(l, err))
            break;
    }
    return err->code;
}

static int follow(struct logs *l, struct tug_err *err)
{
    bool ended = l->over;
    int rc = ended ? 0 : wait_for(&l->wait, l->id, TUGPB__WAIT_FOR__WAIT_END, true, err);
    while (rc == 0) {
        if (l->fd < 0)
            rc = open_file(l, err);
        if (rc == 0 && l->fd >= 0 && l->watch < 0) {
            l->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
            inotify_add_watch(l->watch, l->path, IN_MODIFY);
        }
        if (rc == 0 && l->fd >= 0)
            rc = read_on(l, err);
        if (rc == 0 && l->fd >= 0 &&
            l->lines.last) { /* --lines: the last ones of what is there, then all that comes */
            tug_loglines_release(&l->lines);
            flush(l);
        }
        if (ended)
            break;
        if (rc == 0)
            rc = await_more(l, &ended, err);
    }
    return rc;
}

/* Files of single ranks ("%t"): the one that was asked for, or all of them, labelled. */
static char *path_of_rank(const char *path, uint32_t rank)
{
    struct tug_buf out = {0};
    for (const char *at = path; *at; at++)
        if (at[0] == '%' && at[1] == 't') {
            tug_buf_addf(&out, "%u", rank);
            at++;
        } else {
            tug_buf_addc(&out, *at);
        }
    return tug_buf_take(&out);
}

static int read_ranks(struct logs *l, struct tug_err *err)
{
    char *pattern = l->path;
    int rc = 0;
    if (l->a.follow && l->a.rank < 0)
        return tug_fail(err, -EINVAL,
                        "job %" PRIu64
                        " has a file for each rank (%s); follow one: tug logs -f --rank N %" PRIu64,
                        l->id, l->path, l->id);
    for (uint32_t rank = 0; rank < l->ntasks && rc == 0; rank++) {
        if (l->a.rank >= 0 && (int64_t) rank != l->a.rank)
            continue;
        l->path = path_of_rank(pattern, rank);
        if (l->a.rank < 0 && !tug_out.json)
            tug_buf_addf(&l->lines.out, "==> rank %u: %s <==\n", rank, l->path);
        rc = l->a.follow ? follow(l, err) : open_file(l, err);
        if (rc == 0 && !l->a.follow)
            rc = read_on(l, err);
        if (l->fd >= 0)
            close(l->fd);
        l->fd = -1;
        free(l->path);
    }
    l->path = pattern;
    return rc;
}

/* ---- the verb ---- */

static int say(struct logs *l, struct tug_err *err)
{
    int rc = await_start(l, err);
    if (rc)
        return rc;
    if (l->a.rank >= 0 && !l->gang)
        return tug_fail(err, -EINVAL,
                        "job %" PRIu64
                        " is a script, and its output has no ranks; all of it: tug logs %" PRIu64,
                        l->id, l->id);
    if (l->a.failure) {
        if (!l->cause.len)
            return tug_fail(err, -ENOENT, "job %" PRIu64 " has no failure: it is %s", l->id,
                            l->state);
        l->a.rank = l->failed_rank;
        l->a.lines = l->a.lines ? l->a.lines : FAILURE_LINES;
    }
    if (l->a.rank >= (int64_t) l->ntasks && l->gang)
        return tug_fail(err, -EINVAL, "job %" PRIu64 " has no rank %lld; its ranks are 0 to %u",
                        l->id, (long long) l->a.rank, l->ntasks - 1);
    bool array = tug_out.json && !l->a.follow;
    l->lines.rank = l->gang ? l->a.rank : -1;
    l->lines.last = (size_t) l->a.lines;
    l->lines.json = tug_out.json;
    if (l->gang && strstr(l->path, "%t"))
        rc = read_ranks(l, err);
    else if (l->a.follow)
        rc = follow(l, err);
    else if ((rc = open_file(l, err)) == 0)
        rc = read_on(l, err);
    tug_loglines_end(&l->lines);
    if (array && rc == 0) { /* lines of JSON become one array */
        for (size_t i = 0; i + 1 < l->lines.out.len; i++)
            if (l->lines.out.data[i] == '\n')
                l->lines.out.data[i] = ',';
        if (l->lines.out.len)
            l->lines.out.data[l->lines.out.len - 1] = ' ';
        tug_out_addf("{\"job\":%" PRIu64 ",\"state\":", l->id);
        tug_out_json_string(&tug_out.buf, l->state, strlen(l->state));
        tug_out_adds(",\"path\":");
        tug_out_json_string(&tug_out.buf, l->path, strlen(l->path));
        tug_out_adds(",\"cause\":");
        tug_out_json_string(&tug_out.buf, tug_buf_str(&l->cause), l->cause.len);
        tug_out_adds(",\"lines\":[");
    }
    if (rc == 0 || !tug_out.json)
        tug_buf_add(&tug_out.buf, tug_buf_str(&l->lines.out), l->lines.out.len);
    if (array && rc == 0)
        tug_out_adds("]}\n");
    tug_out_flush();
    if (l->a.failure && rc == 0 && !tug_out.json)
        tug_out_note("job %" PRIu64 ": %s: %s", l->id, l->state, tug_buf_str(&l->cause));
    return rc;
}

int tug_do_logs(int argc, char **argv)
{
    struct logs l = {.a.rank = -1, .fd = -1, .watch = -1, .lines.rank = -1};
    struct tug_err err = {0};
    int words, status = tug_verb_parse("logs", argc, argv, take, &l.a, &words);
    if (status >= 0)
        return status;
    if (words != 1) {
        tug_fail(&err, -EINVAL, "%s; tug logs [OPTIONS] JOB",
                 words ? "one job at a time" : "no job given");
        return tug_out_usage(&err);
    }
    if (tug_verb_job_id(argv[1], &l.id, &err))
        return tug_out_usage(&err);
    status = say(&l, &err) ? tug_out_fail(&err) : TUG_EXIT_OK;
    if (l.fd >= 0)
        close(l.fd);
    if (l.watch >= 0)
        close(l.watch);
    free(l.path);
    tug_buf_clear(&l.cause);
    tug_loglines_clear(&l.lines);
    tug_client_close(&l.ask);
    tug_client_close(&l.wait);
    return status;
}
