/* bench.c - tug bench: how fast the gang's all-reduce is, on the very nodes it gets
 *
 * The gang is a job like any other: a child of this process is `tug run`, with the job's options and a
 * prober as its command; what the prober's rank 0 prints (src/probe/main.c says what) becomes the table.
 * Layer: cli.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rate.h"
#include "base/size.h"
#include "base/str.h"
#include "base/vec.h"
#include "cli/bench.h"
#include "cli/client.h"
#include "cli/jobopts.h"
#include "cli/sandbox.h"
#include "cli/verb.h"

enum { OPT_SIZES = 1, OPT_FLOOR, OPT_TRANSPORT };
static const struct tug_opt opts[] = {
    {OPT_SIZES, "sizes", 0, TUG_ARG_NEED, "LIST",
     "what to measure, in bytes: 64K,1M,16M or 4K..1G (in steps of 4); the default is 4K..16M, with NCCL 64K..1G"},
    {OPT_FLOOR, "floor", 0, TUG_ARG_NEED, "RATE",
     "fail when the best bus bandwidth is below: 8GB/s, 64Gb/s; or 0.8, that part of what is predicted"},
    {OPT_TRANSPORT, "transport", 0, TUG_ARG_NEED, "auto|nccl|mpi",
     "what carries it; auto (the default) is NCCL for gangs with GPUs outside of sandboxes, and else MPI"},
    TUG_COMMON_OPTS,
};
#define OPTS (sizeof opts / sizeof *opts)

const struct tug_opt *tug_opts_of_bench(size_t *n)
{
    *n = OPTS;
    return opts;
}

struct words tug_vec(char *);

struct bench {
    const char *sizes, *transport; /* NULL: not said */
    double floor;                  /* bytes/s; 0 = none, or as follows */
    int64_t part_milli;            /* of what is predicted; 0 = none */
    double predicted;              /* bytes/s, for the very placement; 0 = not known */
    bool help;
    struct words job;  /* its options, argv[0] included; borrowed */
    struct words argv; /* of the child; owned */
    pid_t child;
    struct tug_bench_run run;
    struct tug_buf rows; /* JSON */
};

/* ---- the command line: ours are taken out, the rest is the job's ---- */

/* A part of what is predicted, or a rate. */
static int take_floor(struct bench *b, const char *value, struct tug_err *err)
{
    int64_t floor = 0, part = 0;
    b->floor = 0;
    b->part_milli = 0;
    if (tug_milli_parse(value, strlen(value), 1000, &part) == 0 && part > 0) {
        b->part_milli = part;
        return 0;
    }
    if (tug_rate_parse(value, &floor, err))
        return tug_fail_ctx(err, -EINVAL, "--floor");
    b->floor = (double) floor;
    return 0;
}

static int take(struct bench *b, const struct tug_opt *o, const char *value, struct tug_err *err)
{
    switch (o->id) {
    case OPT_SIZES:
        b->sizes = value;
        return 0;
    case OPT_TRANSPORT:
        b->transport = value;
        if (strcmp(value, "auto") != 0 && strcmp(value, "nccl") != 0 && strcmp(value, "mpi") != 0)
            return tug_fail(err, -EINVAL, "--transport: '%.64s' is none of auto, nccl, mpi", value);
        return 0;
    case OPT_FLOOR:
        return take_floor(b, value, err);
    case TUG_OPT_JSON:
        tug_out.json = true;
        return 0;
    default:
        b->help = true;
        return 0;
    }
}

/* Is 'word' that option of ours? *value: what stands behind its '=', or NULL. */
static bool is_option(const char *word, const struct tug_opt *o, const char **value)
{
    size_t n = strlen(o->name);
    *value = NULL;
    if (o->letter && word[0] == '-' && word[1] == o->letter && !word[2])
        return true;
    if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, o->name, n) != 0)
        return false;
    if (word[2 + n] == '=' && o->arg != TUG_ARG_NONE)
        *value = word + 3 + n;
    return !word[2 + n] || *value;
}

static int take_words(struct bench *b, int argc, char **argv, struct tug_err *err)
{
    tug_vec_push(&b->job, argv[0]);
    for (int i = 1; i < argc; i++) {
        const struct tug_opt *o = NULL;
        const char *value = NULL;
        for (size_t k = 0; k < OPTS && !o; k++)
            o = is_option(argv[i], &opts[k], &value) ? &opts[k] : NULL;
        if (!o) {
            tug_vec_push(&b->job, argv[i]);
            continue;
        }
        if (o->arg == TUG_ARG_NEED && !value && i + 1 == argc)
            return tug_fail(err, -EINVAL, "--%s needs a value: --%s=%s", o->name, o->name, o->arg_name);
        int rc = take(b, o, o->arg == TUG_ARG_NEED && !value ? argv[++i] : value, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- the child: tug run ---- */

static void say(struct bench *b, const char *word)
{
    tug_vec_push(&b->argv, tug_xstrdup(word));
}

static bool has_gpus(const struct tug_jobopts *o)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (o->res.gpus || o->res.gpus_per_node || o->res.gpus_per_task)
        return true;
    return getenv("TUG_JOB_ID") && visible && *visible;
}

/* A path on this host, which must be the same on the nodes. */
static int find_prober(struct bench *b, const struct tug_jobopts *o, char path[TUG_PATH_MAX],
                       struct tug_err *err)
{
    char endpoint[TUG_PATH_MAX];
    bool is_auto = !b->transport || !strcmp(b->transport, "auto");
    tug_client_endpoint(endpoint, sizeof endpoint);
    if (is_auto && has_gpus(o) && !tug_client_is_local(endpoint) &&
        tug_sandbox_program("tug-probe-nccl", path, NULL) == 0)
        return 0;
    const char *name = !is_auto && !strcmp(b->transport, "nccl") ? "tug-probe-nccl" : "tug-probe-mpi";
    int rc = tug_sandbox_program(name, path, err);
    if (rc)
        return tug_fail(err, rc, "%s is not here: this Tugline was built without %s, see what configure said", name,
                        name[10] == 'n' ? "NCCL" : "MPI");
    return 0;
}

/* One GPU is one rank, unless somebody said how many ranks. */
static void ranks_follow_gpus(struct bench *b, const struct tug_jobopts *o)
{
    char text[32];
    if (o->res.ntasks || o->res.tasks_per_node || (!o->res.gpus && !o->res.gpus_per_node))
        return;
    snprintf(text, sizeof text, "--ntasks%s=%u", o->res.gpus ? "" : "-per-node",
             o->res.gpus ? o->res.gpus : o->res.gpus_per_node);
    say(b, text);
}

static int make_command(struct bench *b, struct tug_err *err)
{
    struct tug_jobopts o;
    char path[TUG_PATH_MAX];
    int first = (int) b->job.len;
    tug_jobopts_init(&o, 'R', 0);
    int rc = tug_jobopts_command(&o, (int) b->job.len, b->job.at, &first, err);
    if (rc == 0)
        rc = tug_jobopts_environ(&o, environ, err);
    if (rc == 0 && (size_t) first < b->job.len)
        rc = tug_fail(err, -EINVAL, "'%.64s' is one too many: the prober is what runs", b->job.at[first]);
    rc = rc ? -EINVAL : 0;
    if (rc == 0)
        rc = find_prober(b, &o, path, err);
    if (rc == 0) {
        say(b, "tug");
        say(b, "run");
        say(b, "--job-name=bench-allreduce");
        for (size_t i = 1; i < b->job.len; i++)
            say(b, b->job.at[i]);
        ranks_follow_gpus(b, &o);
        say(b, "--input=none");
        say(b, "--");
        say(b, path);
        if (b->sizes) {
            say(b, "--sizes");
            say(b, b->sizes);
        }
        tug_vec_push(&b->argv, NULL);
    }
    tug_jobopts_clear(&o);
    return rc;
}

/* What it prints comes out of *out. It hears the terminal's signals itself, and goes when we do. */
static int start(struct bench *b, FILE **out, struct tug_err *err)
{
    int p[2];
    pid_t parent = getpid();
    if (pipe(p) < 0)
        return tug_fail(err, -errno, "no pipe: %s", strerror(errno));
    b->child = fork();
    if (b->child == 0) {
        dup2(p[1], 1);
        close(p[0]);
        close(p[1]);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() == parent)
            execv("/proc/self/exe", b->argv.at);
        _exit(127);
    }
    close(p[1]);
    if (b->child < 0) {
        close(p[0]);
        return tug_fail(err, -errno, "no process for tug run: %s", strerror(errno));
    }
    signal(SIGINT, SIG_IGN);
    *out = fdopen(p[0], "r");
    tug_assert(*out);
    return 0;
}

/* ---- what the prober says ---- */

int tug_bench_line(struct tug_bench_run *r, const char *line, struct tug_bench_row *row)
{
    struct tug_bench_row at;
    struct tug_bench_run head = {0};
    int end = -1;
    if (sscanf(line, "probe %" SCNu64 " %7s %u %u%n", &head.job, head.transport, &head.ranks, &head.nodes,
               &end) == 4 && end >= 0 && !line[end]) {
        *r = head;
        return TUG_BENCH_HEAD;
    }
    if (sscanf(line, "row %" SCNu64 " %u %lf %lf %lf%n", &at.bytes, &at.times, &at.seconds, &at.algbw,
               &at.busbw, &end) == 5 && end >= 0 && !line[end] && r->ranks) {
        r->best = at.busbw > r->best ? at.busbw : r->best;
        r->rows++;
        *row = at;
        return TUG_BENCH_ROW;
    }
    if (!strcmp(line, "done") && r->ranks) {
        r->done = true;
        return TUG_BENCH_DONE;
    }
    return TUG_BENCH_OTHER;
}

static char *duration(double s, char *out, size_t size_bytes)
{
    const char *unit = s < 1e-3 ? "us" : s < 1 ? "ms" : "s";
    double n = s < 1e-3 ? s * 1e6 : s < 1 ? s * 1e3 : s;
    snprintf(out, size_bytes, "%.*f %s", n < 9.995 ? 2 : n < 99.95 ? 1 : 0, n, unit);
    return out;
}

/* What the controller expects of these nodes; a step of a job runs on the job's. */
static double ask_predicted(uint64_t job)
{
    Tugpb__ShowRequest request = TUGPB__SHOW_REQUEST__INIT;
    struct tug_client c = {0};
    ProtobufCMessage *m = NULL;
    double predicted = 0;
    request.job = job;
    if (tug_client_once(TUG_MSG_SHOW_REQUEST, &request.base, TUG_MSG_SHOW_REPLY, &c, &m, NULL) == 0 &&
        ((Tugpb__ShowReply *) m)->job)
        predicted = ((Tugpb__ShowReply *) m)->job->predicted_mbs * 1e6;
    tug_client_close(&c);
    return predicted;
}

static char *predicted_text(const struct bench *b, char *out, size_t size_bytes)
{
    return b->predicted > 0 ? tug_rate_short(b->predicted, out, size_bytes) : strcpy(out, "-");
}

static void show_head(struct bench *b)
{
    b->predicted = ask_predicted(b->run.job);
    if (b->part_milli)
        b->floor = b->predicted * (double) b->part_milli / 1000;
    if (tug_out.json)
        return;
    tug_out_addf("job %" PRIu64 ": all-reduce by %s, %u rank%s on %u node%s\n", b->run.job,
                 !strcmp(b->run.transport, "nccl") ? "NCCL" : "MPI", b->run.ranks, b->run.ranks == 1 ? "" : "s",
                 b->run.nodes, b->run.nodes == 1 ? "" : "s");
    tug_out_addf("%8s %10s %12s %12s %12s\n", "SIZE", "TIME", "ALGBW", "BUSBW", "PREDICTED");
}

static void show_row(struct bench *b, const struct tug_bench_row *r)
{
    char size[TUG_SIZE_TEXT_MAX], time[32], alg[32], bus[32], predicted[32];
    if (tug_out.json)
        tug_buf_addf(&b->rows,
                     "%s{\"bytes\":%" PRIu64 ",\"times\":%u,\"seconds\":%.9g,\"algbw_bytes_s\":%.9g,"
                     "\"busbw_bytes_s\":%.9g}",
                     b->rows.len ? "," : "", r->bytes, r->times, r->seconds, r->algbw, r->busbw);
    else
        tug_out_addf("%8s %10s %12s %12s %12s\n", tug_size_format_exact(r->bytes, size, sizeof size),
                     duration(r->seconds, time, sizeof time), tug_rate_short(r->algbw, alg, sizeof alg),
                     tug_rate_short(r->busbw, bus, sizeof bus), predicted_text(b, predicted, sizeof predicted));
}

static void read_all(struct bench *b, FILE *from)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    while ((n = getline(&line, &size, from)) >= 0) {
        struct tug_bench_row row;
        line[strcspn(line, "\n")] = '\0';
        switch (tug_bench_line(&b->run, line, &row)) {
        case TUG_BENCH_HEAD:
            show_head(b);
            break;
        case TUG_BENCH_ROW:
            show_row(b, &row);
            break;
        case TUG_BENCH_DONE:
            break;
        case TUG_BENCH_OTHER: /* libraries talk, too */
            tug_out_note("%s", line);
            break;
        }
        tug_out_flush();
    }
    free(line);
}

/* ---- the verdict ---- */

static bool is_below(const struct bench *b)
{
    return b->floor > 0 && b->run.best < b->floor;
}

static void show_json(struct bench *b)
{
    tug_out_addf("{\"job\":%" PRIu64 ",\"transport\":\"%s\",\"ranks\":%u,\"nodes\":%u,\"rows\":[%s],"
                 "\"busbw_bytes_s\":%.9g,\"predicted_bytes_s\":%.9g,\"floor_bytes_s\":%.9g,\"passed\":%s}\n",
                 b->run.job, b->run.transport, b->run.ranks, b->run.nodes, tug_buf_str(&b->rows),
                 b->run.best, b->predicted, b->floor, is_below(b) ? "false" : "true");
}

static int verdict(struct bench *b, int status, struct tug_err *err)
{
    char best[32], floor[32];
    if (status) /* tug run has said why */
        return status;
    if (!b->run.done || !b->run.rows) {
        tug_fail(err, -EPROTO, "the prober ended without a figure");
        return tug_out_fail(err);
    }
    if (b->part_milli && b->predicted <= 0) {
        tug_fail(err, -ENODATA,
                 "nothing is predicted for these nodes: nobody has said how fast their links are (machine: and fabric: in "
                 "tugline.yaml); give the floor as a rate, like 8GB/s");
        return tug_out_fail(err);
    }
    if (tug_out.json)
        show_json(b);
    if (!is_below(b))
        return TUG_EXIT_OK;
    tug_out_note("the best bus bandwidth is %s, below the floor of %s", tug_rate_short(b->run.best, best, sizeof best),
                 tug_rate_short(b->floor, floor, sizeof floor));
    return TUG_EXIT_REFUSED;
}

static int run(struct bench *b, struct tug_err *err)
{
    FILE *from = NULL;
    int how, rc = start(b, &from, err);
    if (rc)
        return tug_out_fail(err);
    read_all(b, from);
    fclose(from);
    while (waitpid(b->child, &how, 0) < 0 && errno == EINTR)
        ;
    return verdict(b, WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how), err);
}

static int check_word(int argc, char **argv, const struct bench *b, struct tug_err *err)
{
    if (b->help)
        return 0;
    if (argc < 2 || argv[1][0] == '-')
        return tug_fail(err, -EINVAL, "what shall be measured? tug bench allreduce [OPTIONS]");
    if (strcmp(argv[1], "allreduce") != 0)
        return tug_fail(err, -EINVAL, "'%.64s' is not measured; allreduce is", argv[1]);
    return 0;
}

int tug_do_bench(int argc, char **argv)
{
    struct bench b = {0};
    struct tug_err err = {0};
    bool is_word = argc > 1 && argv[1][0] != '-';
    int status;
    if (take_words(&b, argc - is_word, argv + is_word, &err) || check_word(argc, argv, &b, &err)) {
        status = tug_out_usage(&err);
    } else if (b.help) {
        tug_verb_help("bench");
        status = TUG_EXIT_OK;
    } else {
        int rc = make_command(&b, &err);
        status = rc == 0 ? run(&b, &err) : rc == -EINVAL ? tug_out_usage(&err) : tug_out_fail(&err);
    }
    for (size_t i = 0; i < b.argv.len; i++)
        free(b.argv.at[i]);
    tug_vec_clear(&b.argv);
    tug_vec_clear(&b.job);
    tug_buf_clear(&b.rows);
    return status;
}
