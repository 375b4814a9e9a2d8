/* submit.c - tug submit: a script, or a gang of one command, into the queue
 *
 * Layer: cli.
 */
#include "cli/submit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/script.h"
#include "cli/verb.h"
#include "cli/wait.h"

#define ARGV_TOTAL_MAX 1048576u /* as caps.def: job_spec.argv */
#define ARGV_ONE_MAX   131071u
#define RETRY_MS       30000

const struct tug_opt *tug_opts_of_submit(size_t *n)
{
    return tug_jobopts_table('S', n);
}

/* ---- shared with run ---- */

void tug_submit_token(char out[TUG_TOKEN_MAX])
{
    uint8_t bytes[20];
    tug_assert(getrandom(bytes, sizeof bytes, 0) == (ssize_t) sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

const char *tug_submit_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

int tug_submit_argv(struct tug_jobopts *o, int argc, char **argv, struct tug_err *err)
{
    size_t total = 0;
    for (int i = 0; i < argc; i++) {
        size_t len = strlen(argv[i]);
        total += len + 1;
        if (len > ARGV_ONE_MAX)
            return tug_fail(err, -E2BIG,
                            "argument %d has %zu bytes; one may have %u (the kernel takes no more)",
                            i + 1, len, ARGV_ONE_MAX);
    }
    if (total > ARGV_TOTAL_MAX)
        return tug_fail(err, -E2BIG,
                        "the arguments have %zu bytes; they may have %u; put them into a file",
                        total, ARGV_TOTAL_MAX);
    o->spec.argv = argv;
    o->spec.n_argv = (size_t) argc;
    return 0;
}

static int64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int tug_submit_send(struct tug_client *c, const Tugpb__SubmitRequest *request,
                    Tugpb__SubmitReply **answer, struct tug_err *err)
{
    ProtobufCMessage *m = NULL;
    int64_t until = 0;
    int pause_ms = 50;
    for (;;) {
        int rc = c->call ? 0 : tug_client_open(c, err);
        bool was_open = rc == 0;
        if (rc == 0)
            rc = tug_client_ask(c, TUG_MSG_SUBMIT_REQUEST, &request->base, TUG_MSG_SUBMIT_REPLY, &m,
                                TUG_ANSWER_MS, err);
        if (rc == 0) {
            *answer = (Tugpb__SubmitReply *) m;
            return 0;
        }
        bool broke = was_open && (rc == -ECONNRESET || rc == -EPIPE);
        if (!broke && !(rc == TUG_UNREACHABLE && until))
            return rc;
        if (!until) {
            until = mono_ms() + RETRY_MS;
            tug_out_note("the connection broke before the answer; trying again (there will be one "
                         "job, not two)");
        }
        tug_client_close(c);
        if (mono_ms() >= until)
            return tug_fail_ctx(
                err, rc,
                "no answer for %d s; whether the job was taken is not known, tug queue tells",
                RETRY_MS / 1000);
        struct timespec t = {0, pause_ms * 1000000L};
        nanosleep(&t, NULL);
        pause_ms = pause_ms < 400 ? pause_ms * 2 : 800;
    }
}

void tug_submit_warnings(const struct tug_jobopts *o)
{
    for (size_t i = 0; i < o->warnings.len; i++)
        tug_out_warn("%s", o->warnings.at[i]);
}

/* ---- the verb ---- */

static int take_script(struct tug_jobopts *o, const char *path, struct tug_err *err)
{
    struct tug_buf text = {0};
    int rc = tug_script_read(path, &text, err);
    const char *name = strcmp(path, "-") ? path : "standard input";
    if (rc == 0)
        rc = tug_jobopts_script(o, name, text.data, text.len, err);
    if (rc == 0 && !*o->spec.name)
        o->spec.name = (char *) (strcmp(path, "-") ? tug_submit_base(path) : "stdin");
    o->spec.script.len = text.len;
    o->spec.script.data = tug_jobopts_own(o, tug_buf_take(&text));
    return rc;
}

static void take_wrap(struct tug_jobopts *o)
{
    char *text =
        tug_jobopts_own(o, tug_xasprintf("#!/bin/sh\n# made by tug submit --wrap\n%s\n", o->wrap));
    o->spec.script.data = (uint8_t *) text;
    o->spec.script.len = strlen(text);
    if (!*o->spec.name)
        o->spec.name = (char *) "wrap";
}

/* What is to run: --wrap, a command behind "--", a script, or standard input. 'words' is argc -
 * first of argv + first. */
static int take_work(struct tug_jobopts *o, int n, char **words, bool gang, struct tug_err *err)
{
    int rc = 0;
    o->spec.kind = gang ? TUGPB__JOB_KIND__JOB_GANG : TUGPB__JOB_KIND__JOB_BATCH;
    if (o->wrap && n)
        return tug_fail(err, -EINVAL, "--wrap makes the script, so '%.64s' is one too many",
                        words[0]);
    if (gang && !n)
        return tug_fail(err, -EINVAL, "there is no command behind --");
    if (o->wrap) {
        take_wrap(o);
    } else if (gang) {
        if (!*o->spec.name)
            o->spec.name = (char *) tug_submit_base(words[0]);
        rc = tug_submit_argv(o, n, words, err);
    } else if (n) {
        rc = take_script(o, words[0], err);
        if (rc == 0)
            rc = tug_submit_argv(o, n - 1, words + 1, err);
    } else if (!isatty(0)) {
        rc = take_script(o, "-", err);
    } else {
        rc = tug_fail(err, -EINVAL,
                      "no script and no command; tug submit SCRIPT, or tug submit -- COMMAND");
    }
    return rc;
}

static void say_json(const Tugpb__SubmitReply *r, const struct tug_jobopts *o)
{
    struct tug_buf *out = &tug_out.buf;
    tug_out_addf("{\"job\":%llu,\"step\":%u,\"existed\":%s,\"warnings\":[",
                 (unsigned long long) r->job, r->step, r->existed ? "true" : "false");
    size_t n = 0;
    for (size_t i = 0; i < o->warnings.len; i++) {
        tug_buf_adds(out, n++ ? "," : "");
        tug_out_json_string(out, o->warnings.at[i], strlen(o->warnings.at[i]));
    }
    for (size_t i = 0; i < r->n_warnings; i++) {
        tug_buf_adds(out, n++ ? "," : "");
        tug_out_json_string(out, r->warnings[i], strlen(r->warnings[i]));
    }
    tug_buf_adds(out, "]}\n");
}

static void say(const Tugpb__SubmitReply *r, const struct tug_jobopts *o)
{
    if (tug_out.json) {
        say_json(r, o);
    } else {
        for (size_t i = 0; i < r->n_warnings; i++)
            tug_out_warn("%s", r->warnings[i]);
        tug_out_addf(o->parsable ? "%llu\n" : "Submitted job %llu\n", (unsigned long long) r->job);
    }
    tug_out_flush(); /* before --wait: somebody may read the id */
}

static int submit(struct tug_jobopts *o, struct tug_err *err)
{
    char token[TUG_TOKEN_MAX];
    Tugpb__SubmitRequest request = TUGPB__SUBMIT_REQUEST__INIT;
    Tugpb__SubmitReply *answer = NULL;
    struct tug_client c = {0};
    tug_submit_token(token);
    request.token = token;
    request.spec = &o->spec;
    int rc = tug_submit_send(&c, &request, &answer, err);
    if (rc) {
        tug_client_close(&c);
        return tug_out_fail(err);
    }
    uint64_t job = answer->job;
    say(answer, o);
    int status = o->wait ? tug_wait_job(&c, job, o->quiet || tug_out.json) : TUG_EXIT_OK;
    tug_client_close(&c);
    return status;
}

int tug_do_submit(int argc, char **argv)
{
    struct tug_jobopts o;
    struct tug_err err = {0};
    struct timespec now;
    int first = argc, status;
    clock_gettime(CLOCK_REALTIME, &now);
    tug_jobopts_init(&o, 'S', (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000);
    int rc = tug_jobopts_command(&o, argc, argv, &first, &err);
    if (rc == 0 && o.help) {
        tug_verb_help("submit");
        tug_jobopts_clear(&o);
        return TUG_EXIT_OK;
    }
    bool gang = first > 1 && !strcmp(argv[first - 1], "--");
    if (rc == 0)
        rc = tug_jobopts_environ(&o, environ, &err);
    if (rc) {
        status = tug_out_usage(&err);
    } else if ((rc = take_work(&o, argc - first, argv + first, gang, &err))) {
        status = rc == -EINVAL ? tug_out_usage(&err) : tug_out_fail(&err);
    } else if ((rc = tug_jobopts_finish(&o, environ, &err))) {
        status = tug_out_fail(&err);
    } else {
        if (!tug_out.json)
            tug_submit_warnings(&o);
        status = submit(&o, &err);
    }
    tug_jobopts_clear(&o);
    return status;
}
