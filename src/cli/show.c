/* show.c - tug show: everything about a job
 *
 * Layer: cli.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/gpuset.h"
#include "base/rate.h"
#include "base/size.h"
#include "cli/jobview.h"
#include "cli/verb.h"

enum { OPT_SCRIPT = 1, OPT_SPEC };
static const struct tug_opt opts[] = {
    {OPT_SCRIPT, "script", 0, TUG_ARG_NONE, NULL,
     "the script as it was submitted, and nothing else"},
    {OPT_SPEC, "spec", 0, TUG_ARG_NONE, NULL, "with --json: also what was asked for"},
    TUG_COMMON_OPTS,
};

const struct tug_opt *tug_opts_of_show(size_t *n)
{
    *n = sizeof opts / sizeof *opts;
    return opts;
}

struct show_args {
    bool script, spec;
};

static int take(void *ctx, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    struct show_args *a = ctx;
    (void) value, (void) err;
    if (o->id == OPT_SCRIPT)
        a->script = true;
    else
        a->spec = true;
    return 0;
}

/* ---- text ---- */

static void label(const char *name)
{
    tug_out_colour(TUG_BOLD);
    tug_out_addf("  %-11s", name);
    tug_out_colour(TUG_PLAIN);
    tug_out_adds(" ");
}

static void line(const char *name, const char *text)
{
    if (!*text)
        return;
    label(name);
    tug_out_text(text);
    tug_out_adds("\n");
}

static void say_head(const Tugpb__JobView *j)
{
    tug_out_addf("Job %" PRIu64 " ", j->id);
    tug_out_text(j->name);
    tug_out_adds(" (");
    tug_out_text(j->kind);
    tug_out_addf("%s) of ", j->interactive ? ", interactive" : "");
    tug_out_text(j->user);
    tug_out_adds(" in queue ");
    tug_out_text(j->queue);
    tug_out_adds("\n");
    label("state");
    tug_out_colour(tug_jobview_colour(j->state));
    tug_out_text(j->state);
    tug_out_colour(TUG_PLAIN);
    if (j->attempt > 1)
        tug_out_addf(", attempt %u", j->attempt);
    tug_out_adds("\n");
}

static void say_wait(const Tugpb__JobView *j)
{
    char when[32];
    if (!*j->reason && !*j->explain)
        return;
    bool is_next = !*j->reason && strcmp(j->state_code, "CF") != 0 && strcmp(j->state_code, "CG") != 0;
    label(is_next ? "next" : "waits for");
    tug_out_text(j->reason);
    if (*j->explain) {
        tug_out_adds(*j->reason ? ": " : "");
        tug_out_text(j->explain);
    }
    tug_out_adds("\n");
    if (j->expected_start_ms)
        line("expected", tug_out_time(j->expected_start_ms, when, sizeof when));
    if (j->retry_ms && !strcmp(j->reason, "BackOff"))
        line("not before", tug_out_time(j->retry_ms, when, sizeof when));
}

/* "14th of 230 that wait; priority 1234: age 100 + fair share 812 (rank 3 of 17)" */
static void say_standing(const Tugpb__JobView *j)
{
    static const char *const ends[] = {"th", "st", "nd", "rd"};
    uint64_t last = j->place % 10;
    if (!j->place && !*j->terms)
        return;
    label("order");
    if (j->place)
        tug_out_addf("%" PRIu64 "%s of %" PRIu64 " that wait%s", j->place,
                     ends[last < 4 && j->place / 10 % 10 != 1 ? last : 0], j->place_of,
                     *j->terms ? "; " : "");
    tug_out_text(j->terms);
    tug_out_adds("\n");
}

static void say_request(const Tugpb__JobView *j)
{
    char size[32], span[32];
    label("asked for");
    tug_out_addf("%u node%s, %u rank%s, ", j->nodes, j->nodes == 1 ? "" : "s", j->ntasks,
                 j->ntasks == 1 ? "" : "s");
    if (j->gpu_milli)
        tug_out_addf("%s of a GPU", tug_milli_format(j->gpu_milli, size, sizeof size));
    else if (*j->mig_profile) {
        tug_out_addf("%u slice%s ", j->gpus, j->gpus == 1 ? "" : "s");
        tug_out_text(j->mig_profile);
    } else
        tug_out_addf("%u GPU%s", j->gpus, j->gpus == 1 ? "" : "s");
    if (j->gpus_last && j->nodes > 1)
        tug_out_addf(" (%u on each node, %u on the last)",
                     (j->gpus - j->gpus_last) / (j->nodes - 1), j->gpus_last);
    tug_out_addf(", %u CPU%s", j->cpus, j->cpus == 1 ? "" : "s");
    if (j->mem_bytes)
        tug_out_addf(", %s memory", tug_size_format(j->mem_bytes, size, sizeof size));
    if (j->time_limit_s && j->time_limit_s != UINT32_MAX)
        tug_out_addf(", at most %s",
                     tug_out_span((int64_t) j->time_limit_s * 1000, span, sizeof span));
    tug_out_addf(", priority %d\n", j->priority);
}

/* "in one leaf; insists on it until 14:30" */
static void say_within(const Tugpb__JobView *j)
{
    char when[32];
    line("alone in", j->exclusive_level);
    if (j->quality_floor) {
        label("at least");
        tug_out_addf("a quality of %.2f", j->quality_floor / 1000.0);
        if (j->quality_wait_s != UINT32_MAX)
            tug_out_addf(", for %s",
                         tug_out_span((int64_t) j->quality_wait_s * 1000, when, sizeof when));
        tug_out_adds("\n");
    }
    if (!*j->asked_topology)
        return;
    label("within");
    if (j->spread)
        tug_out_adds("as many as there are of level ");
    else if (j->segment)
        tug_out_addf("segments of %u nodes, each in one ", j->segment);
    else if (j->topology_domains > 1)
        tug_out_addf("in %u domains at most of level ", j->topology_domains);
    else
        tug_out_adds(j->topology_required ? "in one " : "if it can be, in one ");
    tug_out_text(j->asked_topology);
    if (j->segment && j->topology_required)
        tug_out_adds(", all in one");
    if (j->relaxes_ms)
        tug_out_addf("; insists on it until %s", tug_out_time(j->relaxes_ms, when, sizeof when));
    tug_out_adds("\n");
}

/* "0.62: spans 2 of level leaf with oversubscription 2; predicted 46 GB/s of 74 GB/s" */
static void say_quality(const Tugpb__JobView *j)
{
    if (!(j->quality > 0))
        return;
    label("quality");
    tug_out_addf("%.2f: ", j->quality);
    tug_out_text(j->quality_why);
    tug_out_adds("\n");
}

static void say_slices(const Tugpb__JobView *j)
{
    for (size_t i = 0; i < j->n_slices; i++) {
        const Tugpb__Slice *s = j->slices[i];
        char gpus[256], size[32];
        label(i == 0 ? "where" : "");
        tug_out_text(s->node);
        if (s->gpu_milli)
            tug_out_addf(": %s of GPU %s", tug_milli_format(s->gpu_milli, size, sizeof size),
                         tug_gpuset_format(s->gpus, gpus, sizeof gpus));
        else if (*s->mig_profile) {
            tug_out_addf(": %u x ", tug_gpuset_count(s->gpus));
            tug_out_text(s->mig_profile);
            tug_out_addf(" of GPU%s %s", tug_gpuset_count(s->mig_gpus) == 1 ? "" : "s",
                         tug_gpuset_format(s->mig_gpus, gpus, sizeof gpus));
        } else
            tug_out_addf(": GPUs %s",
                         s->gpus ? tug_gpuset_format(s->gpus, gpus, sizeof gpus) : "none");
        tug_out_addf(", %u CPUs", s->cpus);
        if (s->mem_bytes)
            tug_out_addf(", %s", tug_size_format(s->mem_bytes, size, sizeof size));
        if (s->ntasks > 1)
            tug_out_addf(", ranks %u-%u\n", s->first_rank, s->first_rank + s->ntasks - 1);
        else if (s->ntasks == 1)
            tug_out_addf(", rank %u\n", s->first_rank);
        else
            tug_out_adds("\n");
    }
    if (j->n_slices == 0)
        line("where", j->nodelist);
}

static void say_domain(const char *name, const char *level)
{
    tug_out_text(name);
    if (*level) {
        tug_out_adds(" (");
        tug_out_text(level);
        tug_out_adds(")");
    }
}

/* In which domains of the fabric, and what holds them all. */
static void say_fabric(const Tugpb__JobView *j)
{
    if (j->n_domains == 0)
        return;
    label("fabric");
    for (size_t i = 0; i < j->n_domains; i++) {
        const Tugpb__JobDomain *d = j->domains[i];
        tug_out_adds(i ? ", " : "");
        if (*d->name)
            say_domain(d->name, d->level);
        else
            tug_out_adds("in no domain");
        if (j->n_domains > 1)
            tug_out_addf(": %u node%s", d->nodes, d->nodes == 1 ? "" : "s");
    }
    if (j->n_domains > 1) {
        tug_out_adds(*j->within ? "; all in " : "; in no domain together");
        tug_out_text(j->within);
    }
    tug_out_adds("\n");
}

/* One phase: from when to when, as far as both are known. */
static void say_phase(const char *name, int64_t from_ms, int64_t to_ms, int64_t now_ms, bool over)
{
    char span[32];
    if (!from_ms || (!to_ms && over))
        return;
    tug_out_addf("%s %s%s", name,
                 tug_out_precise((to_ms ? to_ms : now_ms) - from_ms, span, sizeof span),
                 to_ms ? "" : " so far");
}

static void say_times(const Tugpb__JobView *j, int64_t now_ms)
{
    char when[32];
    bool over = j->end_ms != 0;
    line("submitted", tug_out_time(j->submit_ms, when, sizeof when));
    if (j->launched_ms)
        line("started", tug_out_time(j->launched_ms, when, sizeof when));
    if (over)
        line("ended", tug_out_time(j->end_ms, when, sizeof when));
    label("took");
    say_phase("waiting", j->submit_ms, j->alloc_ms ? j->alloc_ms : j->end_ms, now_ms, over);
    if (j->held_ms > 0) {
        char span[32];
        tug_out_addf(" (held for %s of it)", tug_out_span(j->held_ms, span, sizeof span));
    }
    if (j->alloc_ms)
        say_phase(", launch", j->alloc_ms, j->launched_ms ? j->launched_ms : j->end_ms, now_ms,
                  over);
    if (j->launched_ms && j->wired_ms)
        say_phase(", wire-up", j->launched_ms, j->wired_ms, now_ms, over);
    if (j->launched_ms) {
        /* What it was stopped is shown apart. */
        int64_t whole_ms = (over ? j->end_ms : now_ms) - j->launched_ms;
        int64_t stopped_ms = whole_ms - tug_jobview_ran_ms(j, now_ms);
        int64_t from_ms = j->wired_ms ? j->wired_ms : j->launched_ms;
        say_phase(", run", from_ms + stopped_ms, j->end_ms, now_ms, over);
        if (stopped_ms > 0)
            say_phase(", suspended", j->launched_ms, j->launched_ms + stopped_ms, now_ms, over);
    }
    tug_out_adds("\n");
}

static void say_end(const Tugpb__JobView *j)
{
    struct tug_buf text = {0};
    line("limits", j->limits);
    tug_jobview_cause(&text, j->cause);
    line("cause", tug_buf_str(&text));
    tug_buf_reset(&text);
    if (j->exit && tug_jobview_is_over(j)) {
        tug_jobview_exit_text(&text, j->exit);
        line("exit", tug_buf_str(&text));
    }
    tug_buf_clear(&text);
}

/* "rank 3 on node n01 (GPU 2) is stopped by a signal, for 3m20s" */
static void say_hang(const Tugpb__JobView *j, int64_t now_ms)
{
    const Tugpb__Hang *h = j->hang;
    char span[32];
    if (!h)
        return;
    label("held up");
    tug_out_colour(TUG_YELLOW);
    tug_out_text(h->text);
    tug_out_colour(TUG_PLAIN);
    if (h->since_ms)
        tug_out_addf(", for %s",
                     tug_out_span((j->end_ms ? j->end_ms : now_ms) - h->since_ms, span, sizeof span));
    tug_out_adds("\n");
}

static void say_steps(const Tugpb__JobView *j)
{
    for (size_t i = 0; i < j->n_steps; i++) {
        const Tugpb__StepView *s = j->steps[i];
        if (s->step == 0 && j->n_steps == 1)
            break;
        label(i == 0 ? "steps" : "");
        tug_out_addf("%u: ", s->step);
        tug_out_text(s->state);
        tug_out_addf(", %u rank%s\n", s->ntasks, s->ntasks == 1 ? "" : "s");
    }
}

/* "after a lost node and exits 75,SIGBUS: 2 times of at most 10, the first 30s later" */
static void say_requeue(const Tugpb__JobView *j)
{
    char span[32];
    bool never = j->max_requeues == UINT32_MAX;
    if (never || (!*j->requeue_on && !j->requeues_counted && !j->requeue_delay_s))
        return;
    label("runs again");
    tug_out_adds("after a lost node");
    if (*j->requeue_on) {
        tug_out_adds(" and exits ");
        tug_out_text(j->requeue_on);
    }
    tug_out_addf(": %u times of at most %u", j->requeues_counted, j->max_requeues);
    if (j->requeue_delay_s)
        tug_out_addf(", at first after %s", tug_out_span((int64_t) j->requeue_delay_s * 1000, span, sizeof span));
    tug_out_adds("\n");
}

/* "1: ended 2026-11-30 14:22:10, ran 3m10s: node n02 was lost: not heard of for 60 s" */
static void say_attempts(const Tugpb__JobView *j)
{
    struct tug_buf text = {0};
    char when[32], span[32];
    for (size_t i = 0; i < j->n_attempts; i++) {
        const Tugpb__Attempt *a = j->attempts[i];
        label(i == 0 ? "attempts" : "");
        tug_out_addf("%u: ended %s, ", a->attempt, tug_out_time(a->end_ms, when, sizeof when));
        if (a->launched_ms)
            tug_out_addf("ran %s", tug_out_span(a->end_ms - a->launched_ms, span, sizeof span));
        else
            tug_out_adds("never ran");
        tug_buf_reset(&text);
        tug_jobview_cause(&text, a->cause);
        if (text.len) {
            tug_out_adds(": ");
            tug_out_text(tug_buf_str(&text));
        }
        tug_out_adds("\n");
    }
    tug_buf_clear(&text);
}

static void say_job(const Tugpb__JobView *j, int64_t now_ms)
{
    say_head(j);
    say_wait(j);
    say_standing(j);
    say_request(j);
    say_within(j);
    say_slices(j);
    say_fabric(j);
    say_quality(j);
    say_times(j, now_ms);
    say_hang(j, now_ms);
    say_end(j);
    say_requeue(j);
    say_attempts(j);
    say_steps(j);
    line("account", j->account);
    line("preflight", j->preflight);
    line("tried last", j->failed_on); /* nodes that failed it before */
    line("command", j->command);
    line("directory", j->cwd);
    line("output", j->stdout_path);
    if (strcmp(j->stderr_path, j->stdout_path) != 0)
        line("errors", j->stderr_path);
    line("comment", j->comment);
}

/* ---- the verb ---- */

static int show_one(struct tug_client *c, uint64_t id, const struct show_args *a, bool first,
                    struct tug_err *err)
{
    Tugpb__ShowRequest request = TUGPB__SHOW_REQUEST__INIT;
    ProtobufCMessage *m;
    request.job = id;
    request.spec = a->script || a->spec;
    int rc = tug_client_ask(c, TUG_MSG_SHOW_REQUEST, &request.base, TUG_MSG_SHOW_REPLY, &m,
                            TUG_ANSWER_MS, err);
    if (rc)
        return rc;
    const Tugpb__ShowReply *r = (Tugpb__ShowReply *) m;
    if (!r->job)
        return tug_fail(err, -EPROTO, "the controller's answer about job %" PRIu64 " is empty", id);
    if (a->script && !tug_out.json) {
        if (!r->spec || !r->spec->script.len)
            return tug_fail(err, -ENOENT, "job %" PRIu64 " has no script; it is a %s", id,
                            r->job->kind);
        tug_buf_add(&tug_out.buf, r->spec->script.data,
                    r->spec->script.len); /* as it is: for a file */
    } else if (tug_out.json) {
        tug_out_adds(first ? "" : ",");
        tug_msg_json(&tug_out.buf, &r->base, 0);
    } else {
        tug_out_adds(first ? "" : "\n");
        say_job(r->job, r->now_ms);
    }
    return 0;
}

int tug_do_show(int argc, char **argv)
{
    struct show_args a = {0};
    struct tug_client c = {0};
    struct tug_err err = {0};
    uint64_t id;
    int words, status = tug_verb_parse("show", argc, argv, take, &a, &words);
    if (status >= 0)
        return status;
    if (!words) {
        tug_fail(&err, -EINVAL, "no job given; tug show JOB...");
        return tug_out_usage(&err);
    }
    for (int i = 0; i < words; i++)
        if (tug_verb_job_id(argv[1 + i], &id, &err))
            return tug_out_usage(&err);
    int rc = tug_client_open(&c, &err);
    if (words > 1 && tug_out.json)
        tug_out_adds("[");
    for (int i = 0; i < words && rc == 0; i++) {
        tug_verb_job_id(argv[1 + i], &id, NULL);
        rc = show_one(&c, id, &a, i == 0, &err);
    }
    if (tug_out.json)
        tug_out_adds(words > 1 ? "]\n" : "\n");
    tug_client_close(&c);
    return rc ? tug_out_fail(&err) : TUG_EXIT_OK;
}
