/* compare.c - several policies on one trace, side by side
 *
 * The first policy is what the others are measured against. Jobs are paired by their place in the
 * trace. Layer: sim.
 */
#include "sim/compare.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "sim/html.h"
#include "sim/outputs.h"
#include "sim/plot.h"

const char tug_compare_usage[] =
    "usage: tug-sim compare --policy SPEC --policy SPEC [...] [options of tug-sim run]\n"
    "  --policy SPEC         NAME, or NAME,KEY=VALUE,... for other parameters; up to 8\n"
    "  --jobs N              run so many at the same time (all that there are CPUs for)\n"
    "  --json                print one JSON object\n"
    "  --csv FILE            the figures as a table for spreadsheets\n"
    "  --html FILE           a page with plots\n";

#define UNFINISHED 3 /* run's exit status: jobs were left, but there are figures */

struct run {
    const char *spec;
    pid_t pid;
    FILE *dump, *said;
    int status, signal;
    struct tug_sim_result result;
    struct tug_series *series;
    double slowdown;
};

struct compare {
    struct run runs[TUG_HTML_RUNS_MAX];
    size_t n;
    struct tug_vec(char *) rest; /* options that are run's */
    const char *trace, *csv, *html;
    size_t jobs;
    int json;
};

/* ---- what is compared */

enum better { NEITHER, LESS, MORE };
enum kind { COUNT, SECONDS, SHARE, RATIO };

static const struct metric {
    const char *key, *label;
    enum kind kind;
    enum better better;
    int of_run; /* offset is into struct run, not into its result */
    size_t offset;
} metrics[] = {
#define OF(m) offsetof(struct tug_sim_result, m)
    {"finished", "finished", COUNT, MORE, 0, OF(finished)},
    {"avg_wait_s", "mean wait", SECONDS, LESS, 0, OF(avg_wait_s)},
    {"p99_wait_s", "p99 wait", SECONDS, LESS, 0, OF(p99_wait_s)},
    {"avg_jct_s", "mean completion", SECONDS, LESS, 0, OF(avg_jct_s)},
    {"p99_jct_s", "p99 completion", SECONDS, LESS, 0, OF(p99_jct_s)},
    {"slowdown", "mean slowdown", RATIO, LESS, 1, offsetof(struct run, slowdown)},
    {"fairness", "fairness (Jain)", RATIO, MORE, 0, OF(fairness)},
    {"makespan_s", "last end", SECONDS, LESS, 0, OF(makespan_s)},
    {"gpu_use", "GPU use", SHARE, MORE, 0, OF(gpu_use)},
    {"preemptions", "preemptions", COUNT, LESS, 0, OF(preemptions)},
    {"unfinished", "never finished", COUNT, LESS, 0, OF(unfinished)},
    {"refused", "refused proposals", COUNT, LESS, 0, OF(refused)},
#undef OF
};
#define N_METRICS (sizeof metrics / sizeof *metrics)

static double value(const struct run *r, const struct metric *m)
{
    const void *v = (const char *) (m->of_run ? (const void *) r : &r->result) + m->offset;
    return m->kind == COUNT ? (double) *(const uint64_t *) v : *(const double *) v;
}

/* Differences that no printed figure shows are none. */
static int alike(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b));
}

/* The run that is better than all others; NULL: several are best. */
static const struct run *best(const struct compare *c, const struct metric *m)
{
    const struct run *win = &c->runs[0];
    int tie = 0;
    for (size_t i = 1; i < c->n; i++) {
        double a = value(win, m), b = value(&c->runs[i], m);
        if (alike(a, b))
            tie = 1;
        else if (m->better == LESS ? b < a : b > a)
            win = &c->runs[i], tie = 0;
    }
    return tie || m->better == NEITHER ? NULL : win;
}

static void put_value(struct tug_buf *out, enum kind kind, double v, int sign)
{
    switch (kind) {
    case COUNT:
        tug_buf_addf(out, sign ? "%+.0f" : "%.0f", v);
        break;
    case SECONDS:
        tug_buf_addf(out, sign ? "%+.1f s" : "%.1f s", v);
        break;
    case SHARE:
        tug_buf_addf(out, sign ? "%+.1f %%" : "%.1f %%", v * 100);
        break;
    case RATIO:
        tug_buf_addf(out, sign ? "%+.3f" : "%.3f", v);
        break;
    }
}

/* ---- pairs: the same job under both */

struct pairs {
    uint64_t sooner, later, alike, only_one;
    double median_s;                        /* of the change, all pairs */
    double median_sooner_s, median_later_s; /* of those that changed so */
};

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double middle_s(const int64_t *sorted, size_t n)
{
    return n == 0 ? 0 : (double) (sorted[(n - 1) / 2] + sorted[n / 2]) / 2000;
}

static int pair(const struct run *base, const struct run *other, struct pairs *p,
                struct tug_err *err)
{
    size_t n = base->series->jobs.len, kept = 0;
    if (other->series->jobs.len != n)
        return tug_fail(err, -EINVAL,
                        "%s saw %zu jobs and %s %zu; has the trace changed meanwhile?", base->spec,
                        n, other->spec, other->series->jobs.len);
    int64_t *change = tug_xcalloc(n + 1, sizeof *change);
    *p = (struct pairs){0};
    for (size_t i = 0; i < n; i++) {
        const struct tug_series_job *a = &base->series->jobs.at[i], *b = &other->series->jobs.at[i];
        if (a->id_hash != b->id_hash) {
            free(change);
            return tug_fail(err, -EINVAL,
                            "the jobs of %s and %s differ; has the trace changed "
                            "meanwhile?",
                            base->spec, other->spec);
        }
        if (a->jct_ms < 0 || b->jct_ms < 0) {
            p->only_one += (a->jct_ms < 0) != (b->jct_ms < 0);
            continue;
        }
        change[kept] = b->jct_ms - a->jct_ms;
        p->sooner += change[kept] < 0;
        p->later += change[kept] > 0;
        p->alike += change[kept] == 0;
        kept++;
    }
    qsort(change, kept, sizeof *change, by_value);
    p->median_s = middle_s(change, kept);
    p->median_sooner_s = middle_s(change, p->sooner);
    p->median_later_s = middle_s(change + p->sooner + p->alike, p->later);
    free(change);
    return 0;
}

static double percent(uint64_t part, const struct pairs *p)
{
    uint64_t all = p->sooner + p->later + p->alike;
    return all ? 100 * (double) part / (double) all : 0;
}

static void put_pairs(struct tug_buf *out, const struct run *base, const struct run *other,
                      const struct pairs *p)
{
    tug_buf_addf(out, "%s against %s: ", other->spec, base->spec);
    tug_buf_addf(out, "%.1f %% of jobs end sooner", percent(p->sooner, p));
    if (p->sooner)
        tug_buf_addf(out, " (median %+.1f s)", p->median_sooner_s);
    tug_buf_addf(out, ", %.1f %% later", percent(p->later, p));
    if (p->later)
        tug_buf_addf(out, " (median %+.1f s)", p->median_later_s);
    tug_buf_addf(out, ", %.1f %% as before; median change of all %+.1f s", percent(p->alike, p),
                 p->median_s);
    if (p->only_one)
        tug_buf_addf(out, "; %" PRIu64 " jobs end under one of them only", p->only_one);
}

/* ---- the table, for a terminal, for spreadsheets, for the page */

/* Cell k of a row: 0 the label, then the first policy's value, then for each other its value,
 * difference and ratio, then who is best. */
static void cell(const struct compare *c, const struct metric *m, size_t k, struct tug_buf *out)
{
    tug_buf_reset(out);
    double base = value(&c->runs[0], m);
    if (k == 0) {
        tug_buf_adds(out, m->label);
    } else if (k == 1) {
        put_value(out, m->kind, base, 0);
    } else if (k == 3 * c->n - 1) {
        const struct run *b = best(c, m);
        tug_buf_adds(out, b ? b->spec : "-");
    } else {
        double v = value(&c->runs[(k - 2) / 3 + 1], m);
        if ((k - 2) % 3 == 0)
            put_value(out, m->kind, v, 0);
        else if (alike(v, base))
            tug_buf_adds(out, "=");
        else if ((k - 2) % 3 == 1)
            put_value(out, m->kind, v - base, 1);
        else if (base != 0)
            tug_buf_addf(out, "x %.3g", v / base);
        else
            tug_buf_adds(out, "-");
    }
}

static void cell_head(const struct compare *c, size_t k, struct tug_buf *out)
{
    tug_buf_reset(out);
    if (k == 1)
        tug_buf_adds(out, c->runs[0].spec);
    else if (k == 3 * c->n - 1)
        tug_buf_adds(out, "better");
    else if (k > 1 && (k - 2) % 3 == 0)
        tug_buf_adds(out, c->runs[(k - 2) / 3 + 1].spec);
    else if (k > 1 && (k - 2) % 3 == 1)
        tug_buf_adds(out, "difference");
    else if (k > 1)
        tug_buf_adds(out, "ratio");
}

static void text_of(const struct compare *c, size_t row, size_t k, struct tug_buf *out)
{
    if (row == 0)
        cell_head(c, k, out);
    else
        cell(c, &metrics[row - 1], k, out);
}

static void print_table(const struct compare *c, FILE *to)
{
    size_t columns = 3 * c->n;
    struct tug_buf text = {0}, safe = {0};
    size_t *width = tug_xcalloc(columns, sizeof *width);
    for (int print = 0; print < 2; print++)
        for (size_t row = 0; row <= N_METRICS; row++)
            for (size_t k = 0; k < columns; k++) {
                text_of(c, row, k, &text);
                tug_buf_reset(&safe);
                tug_str_escape(&safe, tug_buf_str(&text), text.len);
                int last = k + 1 == columns;
                if (!print)
                    width[k] = safe.len > width[k] ? safe.len : width[k];
                else
                    fprintf(to, "%s%*s%s", k ? "  " : "",
                            k == 0 || last ? (last ? 0 : -(int) width[k]) : (int) width[k],
                            tug_buf_str(&safe), last ? "\n" : "");
            }
    free(width);
    tug_buf_clear(&text);
    tug_buf_clear(&safe);
}

static void html_table(const struct compare *c, struct tug_buf *out)
{
    struct tug_buf text = {0};
    tug_buf_adds(out, "<div class=\"wide\"><table>\n");
    for (size_t row = 0; row <= N_METRICS; row++) {
        tug_buf_adds(out, "<tr>");
        for (size_t k = 0; k < 3 * c->n; k++) {
            if (k == 3 * c->n - 1 || (k > 1 && (k - 2) % 3 == 1))
                continue; /* the page shows ratios, and who is best in bold */
            text_of(c, row, k, &text);
            int is_best = row > 0 && (k == 1 || (k > 1 && (k - 2) % 3 == 0 && k < 3 * c->n - 1)) &&
                          best(c, &metrics[row - 1]) == &c->runs[k == 1 ? 0 : (k - 2) / 3 + 1];
            tug_buf_adds(out, row == 0 ? "<th>" : is_best ? "<td class=\"best\">" : "<td>");
            tug_html_text(out, tug_buf_str(&text));
            tug_buf_adds(out, row == 0 ? "</th>" : "</td>");
        }
        tug_buf_adds(out, "</tr>\n");
    }
    tug_buf_adds(out, "</table></div>\n");
    tug_buf_clear(&text);
}

static void csv_field(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++)
        fprintf(to, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', to);
}

static int write_csv(const struct compare *c, struct tug_err *err)
{
    FILE *to = tug_outputs_open(c->csv, err);
    if (!to)
        return err->code;
    fputs("metric", to);
    for (size_t i = 0; i < c->n; i++) {
        fputc(',', to);
        csv_field(to, c->runs[i].spec);
    }
    fputs(",better\n", to);
    for (size_t k = 0; k < N_METRICS; k++) {
        fputs(metrics[k].key, to);
        for (size_t i = 0; i < c->n; i++)
            fprintf(to, ",%.15g", value(&c->runs[i], &metrics[k]));
        const struct run *b = best(c, &metrics[k]);
        fputc(',', to);
        if (b)
            csv_field(to, b->spec);
        fputc('\n', to);
    }
    return tug_outputs_close(to, c->csv, err);
}

static json_t *text_json(const char *text)
{
    json_t *t = json_string(text);
    return t ? t : json_string("(not UTF-8)");
}

static int print_json(const struct compare *c, const struct pairs *pairs)
{
    json_t *o = json_object(), *runs = json_array(), *better = json_object(), *list = json_array();
    for (size_t i = 0; i < c->n; i++) {
        json_t *r = json_object();
        json_object_set_new(r, "policy", text_json(c->runs[i].spec));
        for (size_t k = 0; k < N_METRICS; k++) {
            double v = value(&c->runs[i], &metrics[k]);
            json_object_set_new(r, metrics[k].key,
                                metrics[k].kind == COUNT ? json_integer((json_int_t) v)
                                                         : json_real(v));
        }
        json_array_append_new(runs, r);
    }
    for (size_t k = 0; k < N_METRICS; k++) {
        const struct run *b = best(c, &metrics[k]);
        json_object_set_new(better, metrics[k].key, b ? text_json(b->spec) : json_null());
    }
    for (size_t i = 1; i < c->n; i++) {
        const struct pairs *p = &pairs[i];
        json_array_append_new(
            list,
            json_pack("{s:o,s:o,s:I,s:I,s:I,s:I,s:f,s:f,s:f}", "policy", text_json(c->runs[i].spec),
                      "against", text_json(c->runs[0].spec), "sooner", (json_int_t) p->sooner,
                      "later", (json_int_t) p->later, "alike", (json_int_t) p->alike, "only_one",
                      (json_int_t) p->only_one, "median_change_s", p->median_s, "median_sooner_s",
                      p->median_sooner_s, "median_later_s", p->median_later_s));
    }
    json_object_set_new(o, "runs", runs);
    json_object_set_new(o, "better", better);
    json_object_set_new(o, "pairs", list);
    int rc = json_dumpf(o, stdout, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
    json_decref(o);
    putchar('\n');
    return rc ? -EIO : 0;
}

/* ---- the page */

static int write_html(const struct compare *c, const struct pairs *pairs, struct tug_err *err)
{
    struct tug_html_run runs[TUG_HTML_RUNS_MAX];
    struct tug_buf table = {0}, title = {0}, line = {0}, about = {0};
    FILE *to = tug_outputs_open(c->html, err);
    if (!to)
        return err->code;
    for (size_t i = 0; i < c->n; i++) {
        runs[i] = (struct tug_html_run){c->runs[i].spec, c->runs[i].series};
        tug_buf_addf(&title, "%s%s", i ? ", " : "", c->runs[i].spec);
    }
    tug_buf_addf(&about, "%" PRIu64 " jobs on %" PRIu64 " GPUs, from %s", c->runs[0].result.jobs,
                 c->runs[0].series->sum.gpus, c->trace ? c->trace : "?");
    html_table(c, &table);
    for (size_t i = 1; i < c->n; i++) {
        tug_buf_reset(&line);
        put_pairs(&line, &c->runs[0], &c->runs[i], &pairs[i]);
        tug_buf_adds(&table, "<p>");
        tug_html_text(&table, tug_buf_str(&line));
        tug_buf_adds(&table, ".</p>\n");
    }
    tug_html_compare(to, tug_buf_str(&title), tug_buf_str(&about), tug_buf_str(&table), runs, c->n);
    tug_buf_clear(&table);
    tug_buf_clear(&title);
    tug_buf_clear(&line);
    tug_buf_clear(&about);
    return tug_outputs_close(to, c->html, err);
}

/* ---- the children */

/* "fifo,overtake=yes" becomes --policy fifo --param overtake=yes. Never returns. */
static void child(const struct compare *c, struct run *r, pid_t parent, tug_compare_run *run)
{
    struct tug_vec(char *) argv = {0};
    char *spec = tug_xstrdup(r->spec), *rest = spec, *word;
    tug_vec_push(&argv, (char *) "tug-sim");
    for (size_t i = 0; i < c->rest.len; i++)
        tug_vec_push(&argv, c->rest.at[i]);
    for (int first = 1; (word = strsep(&rest, ",")); first = 0) {
        tug_vec_push(&argv, (char *) (first ? "--policy" : "--param"));
        tug_vec_push(&argv, word);
    }
    tug_vec_push(&argv, NULL);
    /* Nobody would hear of what it finds when the comparison has been ended. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent ||
        dup2(fileno(r->said), STDERR_FILENO) < 0)
        _exit(1);
    int status = run((int) argv.len - 1, argv.at, r->dump);
    fflush(stderr);
    _exit(status);
}

static int start(const struct compare *c, struct run *r, tug_compare_run *run, struct tug_err *err)
{
    r->dump = tmpfile();
    r->said = tmpfile();
    if (!r->dump || !r->said)
        return tug_fail(err, -errno, "a temporary file cannot be made: %s", strerror(errno));
    fflush(stdout);
    pid_t parent = getpid();
    r->pid = fork();
    if (r->pid == 0)
        child(c, r, parent, run);
    return r->pid < 0 ? tug_fail(err, -errno, "a process cannot be started: %s", strerror(errno))
                      : 0;
}

static int reap(struct compare *c)
{
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0)
        return -errno;
    for (size_t i = 0; i < c->n; i++)
        if (c->runs[i].pid == pid) {
            c->runs[i].status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
            c->runs[i].signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
            c->runs[i].pid = 0;
        }
    return 0;
}

static int run_all(struct compare *c, tug_compare_run *run, struct tug_err *err)
{
    size_t going = 0;
    int rc = 0;
    for (size_t i = 0; i < c->n && !rc; i++) {
        if (going == c->jobs) {
            rc = reap(c);
            going--;
        }
        if (!rc)
            rc = start(c, &c->runs[i], run, err);
        going += !rc;
    }
    while (going-- > 0)
        reap(c);
    return rc;
}

/* What a child said, unless the one before said the same. */
static void pass_on(struct run *r, struct tug_buf *before)
{
    struct tug_buf text = {0};
    char part[4096];
    rewind(r->said);
    for (size_t n; (n = fread(part, 1, sizeof part, r->said)) > 0;)
        tug_buf_add(&text, part, n);
    if (text.len && strcmp(tug_buf_str(&text), tug_buf_str(before)) != 0)
        fprintf(stderr, "%s%s", tug_buf_str(&text), text.data[text.len - 1] == '\n' ? "" : "\n");
    tug_buf_clear(before);
    *before = text;
}

static int take(struct run *r, struct tug_err *err)
{
    if (r->signal)
        return tug_fail(err, -EPROTO, "the simulation with %s ended by signal %d (%s)", r->spec,
                        r->signal, strsignal(r->signal));
    rewind(r->dump);
    if (fread(&r->result, sizeof r->result, 1, r->dump) != 1 ||
        !(r->series = tug_series_load(r->dump)))
        return tug_fail(err, -EIO, "the figures of %s cannot be read back", r->spec);
    memset(r->result.left_out, 0, sizeof r->result.left_out); /* pointers of the child */
    r->slowdown = tug_series_slowdown(r->series);
    return 0;
}

/* ---- options */

/* The value of option 'name' at argv[*i], or NULL. */
static char *option(const char *name, int argc, char **argv, int *i, struct tug_err *err)
{
    size_t n = strlen(name);
    if (strncmp(argv[*i], name, n) != 0)
        return NULL;
    if (argv[*i][n] == '=')
        return argv[*i] + n + 1;
    if (argv[*i][n])
        return NULL;
    if (*i + 1 < argc)
        return argv[++*i];
    tug_fail(err, -EINVAL, "%s wants a value; see tug-sim --help", name);
    return NULL;
}

static int add_policy(struct compare *c, const char *spec, struct tug_err *err)
{
    if (c->n == TUG_HTML_RUNS_MAX)
        return tug_fail(err, -EINVAL, "--policy: %d policies can be compared at most",
                        TUG_HTML_RUNS_MAX);
    for (size_t i = 0; i < c->n; i++)
        if (!strcmp(c->runs[i].spec, spec))
            return tug_fail(err, -EINVAL, "--policy: %s is there twice", spec);
    c->runs[c->n++].spec = spec;
    return 0;
}

static int parse(struct compare *c, int argc, char **argv, struct tug_err *err)
{
    uint64_t jobs;
    for (int i = 1; i < argc && !err->code; i++) {
        char *v;
        if (!strcmp(argv[i], "--json"))
            c->json = 1;
        else if ((v = option("--policy", argc, argv, &i, err)))
            add_policy(c, v, err);
        else if ((v = option("--csv", argc, argv, &i, err)))
            c->csv = v;
        else if ((v = option("--html", argc, argv, &i, err)))
            c->html = v;
        else if ((v = option("--jobs", argc, argv, &i, err))) {
            if (tug_str_u64(v, 1024, &jobs) || jobs == 0)
                tug_fail(err, -EINVAL, "--jobs: '%s' is not a number from 1 to 1024", v);
            c->jobs = (size_t) jobs;
        } else if (!err->code) {
            int at = i;
            if ((v = option("--trace", argc, argv, &i, err)))
                c->trace = v;
            for (; at <= i; at++)
                tug_vec_push(&c->rest, argv[at]);
        }
    }
    if (!err->code && c->n < 2)
        tug_fail(err, -EINVAL, "a comparison needs --policy twice at least; see tug-sim --help");
    return err->code;
}

static int is_readable_again(const char *trace, struct tug_err *err)
{
    struct stat st;
    return trace && stat(trace, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)
               ? tug_fail(err, -ESPIPE,
                          "a comparison's trace is read once for each policy, and %s is no file; "
                          "write it to one first",
                          trace)
               : 0;
}

/* ---- */

static int write_all(struct compare *c, struct tug_err *err)
{
    struct pairs pairs[TUG_HTML_RUNS_MAX] = {0};
    int rc = 0;
    for (size_t i = 1; i < c->n && !rc; i++)
        rc = pair(&c->runs[0], &c->runs[i], &pairs[i], err);
    if (!rc && c->csv)
        rc = write_csv(c, err);
    if (!rc && c->html)
        rc = write_html(c, pairs, err);
    if (rc)
        return rc;
    if (c->json)
        return print_json(c, pairs) ? tug_fail(err, -EIO, "the result cannot be written") : 0;
    print_table(c, stdout);
    struct tug_buf line = {0};
    putchar('\n');
    for (size_t i = 1; i < c->n; i++) {
        tug_buf_reset(&line);
        put_pairs(&line, &c->runs[0], &c->runs[i], &pairs[i]);
        puts(tug_buf_str(&line));
    }
    tug_buf_clear(&line);
    return fflush(stdout) || ferror(stdout)
               ? tug_fail(err, -EIO, "the result cannot be written: %s", strerror(errno))
               : 0;
}

int tug_compare_main(int argc, char **argv, tug_compare_run *run)
{
    struct compare c = {.jobs = (size_t) sysconf(_SC_NPROCESSORS_ONLN)};
    struct tug_err err = {0};
    struct tug_buf said = {0};
    int status = parse(&c, argc, argv, &err) ? 2 : 0;
    if (!status && is_readable_again(c.trace, &err))
        status = 1;
    if (!status && tug_outputs_try(c.csv, c.html, c.trace, &err))
        status = 1;
    if (!status && run_all(&c, run, &err))
        status = 1;
    for (size_t i = 0; i < c.n && c.runs[i].said; i++) {
        pass_on(&c.runs[i], &said);
        if (c.runs[i].status > status)
            status = c.runs[i].status;
    }
    int whole = status == 0 || status == UNFINISHED;
    for (size_t i = 0; i < c.n && whole && !err.code; i++)
        take(&c.runs[i], &err);
    if (whole && !err.code)
        write_all(&c, &err);
    if (whole && err.code)
        status = 1;
    if (err.code)
        fprintf(stderr, "tug-sim: %s\n", err.msg);
    for (size_t i = 0; i < c.n; i++) {
        tug_series_free(c.runs[i].series);
        if (c.runs[i].dump)
            fclose(c.runs[i].dump);
        if (c.runs[i].said)
            fclose(c.runs[i].said);
    }
    tug_vec_clear(&c.rest);
    tug_buf_clear(&said);
    return status;
}
