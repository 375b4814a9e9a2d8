/* html.c - a simulation, or several on one trace, as one page that needs nothing else
 *
 * Colours: Okabe and Ito's set that colour-blind people can tell apart, a bit lighter on dark
 * ground. Layer: sim.
 */
#include "sim/html.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/plot.h"

#define SHOWN_USERS 25

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'\">\n";

static const char style[] =
    "<style>\n"
    ":root{color-scheme:light "
    "dark;--bg:#fff;--fg:#1c2024;--dim:#5c6670;--grid:#e3e6ea;--box:#f5f7f9;"
    "--c0:#0072b2;--c1:#e69f00;--c2:#009e73;--c3:#cc79a7;--c4:#d55e00;--c5:#56b4e9;--c6:#8a7f00;"
    "--c7:#777}\n"
    "@media "
    "(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e6e9ec;--dim:#9aa4ae;--grid:#2b3137;"
    "--box:#1c2126;--c0:#4aa8e0;--c1:#f0b93a;--c2:#2fc79a;--c3:#e39ac4;--c4:#f08344;--c5:#8fd0f5;"
    "--c6:#d9cc3c;--c7:#a8a8a8}}\n"
    "@media print{:root{--bg:#fff;--fg:#000;--dim:#333;--grid:#ddd;--box:#fff;--c0:#0072b2;"
    "--c1:#e69f00;--c2:#009e73;--c3:#cc79a7;--c4:#d55e00}section{break-inside:avoid}"
    "*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}\n"
    "body{background:var(--bg);color:var(--fg);font:15px/1.45 system-ui,sans-serif;max-width:60rem;"
    "margin:1.5rem auto;padding:0 1rem}\n"
    "h1{font-size:1.45rem;margin:0 0 .2rem;overflow-wrap:anywhere}h2{font-size:1.08rem;margin:2rem "
    "0 "
    ".2rem}\n"
    "p{margin:.2rem 0 .6rem}.dim,.yname,.legend{color:var(--dim)}.yname,.legend{font-size:.85rem;"
    "margin:.2rem 0}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.6rem;"
    "margin:1rem 0}\n"
    ".tiles div{background:var(--box);border:1px solid "
    "var(--grid);border-radius:.4rem;padding:.5rem "
    ".7rem}\n"
    ".tiles b{display:block;font-size:1.15rem;font-variant-numeric:tabular-nums}.tiles "
    "span{color:var(--dim);font-size:.82rem}\n"
    ".legend span{margin-right:1rem;white-space:nowrap}.legend i{display:inline-block;width:1.1em;"
    "height:.5em;margin-right:.35em;vertical-align:.1em;border-radius:2px}\n"
    "i.ref{border-top:2px dashed var(--dim);height:0!important}\n"
    "svg{display:block;width:100%;height:auto}svg text{fill:var(--dim);font:12px "
    "system-ui,sans-serif}\n"
    ".grid{stroke:var(--grid);stroke-width:1}.axis{stroke:var(--dim);stroke-width:1}"
    ".ref{stroke:var(--dim);stroke-dasharray:5 4}svg .name{fill:var(--fg)}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.22rem .7rem;text-align:right;border-bottom:1px solid var(--grid);white-space:"
    "nowrap}"
    "th{color:var(--dim);font-weight:600;font-size:.85rem}th:first-child,td:first-child{text-align:"
    "left}.best{font-weight:700}\n"
    "td "
    "i{display:inline-block;height:.6em;background:var(--c0);border-radius:2px}td.bar{text-align:"
    "left}\n";

static void page_head(struct tug_buf *out, const char *title)
{
    tug_buf_adds(out, head);
    tug_buf_adds(out, "<title>");
    tug_html_text(out, title);
    tug_buf_adds(out, "</title>\n");
    tug_buf_adds(out, style);
    for (int i = 0; i < TUG_HTML_RUNS_MAX; i++)
        tug_buf_addf(out,
                     ".l%d{fill:none;stroke:var(--c%d);stroke-width:1.8;stroke-linejoin:round}"
                     ".f%d{fill:var(--c%d);opacity:.18}.b%d{fill:var(--c%d)}.c%d{background:var("
                     "--c%d)}\n",
                     i, i, i, i, i, i, i, i);
    tug_buf_adds(out, "</style>\n</head>\n<body>\n<h1>");
    tug_html_text(out, title);
    tug_buf_adds(out, "</h1>\n");
}

static int finish(FILE *to, struct tug_buf *out)
{
    tug_buf_adds(out, "</body>\n</html>\n");
    fwrite(tug_buf_str(out), 1, out->len, to);
    tug_buf_clear(out);
    return fflush(to) || ferror(to) ? -EIO : 0;
}

static void section(struct tug_buf *out, const char *name, const char *text)
{
    tug_buf_addf(out, "<section>\n<h2>%s</h2>\n<p class=\"dim\">%s</p>\n", name, text);
}

static void end_section(struct tug_buf *out)
{
    tug_buf_adds(out, "</section>\n");
}

/* ---- what lines are made of */

struct points {
    double x[TUG_SERIES_BUCKETS + 2], y[TUG_SERIES_BUCKETS + 2];
    size_t n;
};

enum what { WAITING, WANTED, USED };

static double value(const struct tug_series_bucket *b, enum what what)
{
    double v = what == WAITING ? b->waiting_ms : what == WANTED ? b->wanted_gpu_ms : b->used_gpu_ms;
    return b->there_ms > 0 ? v / b->there_ms : 0;
}

/* The mean of each 'step' buckets, in their middle. */
static double over_time(const struct tug_series *s, enum what what, size_t step, struct points *p)
{
    const struct tug_series_sum *m = &s->sum;
    double most = 0;
    p->n = 0;
    for (size_t i = 0; i < TUG_SERIES_BUCKETS; i += step) {
        struct tug_series_bucket b = {0};
        for (size_t k = i; k < i + step; k++) {
            b.there_ms += m->bucket[k].there_ms;
            b.waiting_ms += m->bucket[k].waiting_ms;
            b.wanted_gpu_ms += m->bucket[k].wanted_gpu_ms;
            b.used_gpu_ms += m->bucket[k].used_gpu_ms;
        }
        if (b.there_ms <= 0)
            continue;
        double from = (double) ((int64_t) i * m->width_ms), v = value(&b, what);
        p->x[p->n] = (from + b.there_ms / 2) / 1000;
        p->y[p->n++] = v;
        most = v > most ? v : most;
    }
    return most;
}

static double span_s(const struct tug_series *s)
{
    return (double) (s->sum.last_ms - s->sum.origin_ms) / 1000;
}

/* The share that waited at most x, at 120 points of a logarithmic axis. */
static void up_to(const struct tug_series_hist *h, double max_s, struct points *p)
{
    double x = 1, by = max_s > 1 ? __builtin_pow(max_s, 1.0 / 120) : 2;
    p->n = 0;
    for (int i = 0; i <= 120; i++, x *= by) {
        p->x[p->n] = x;
        p->y[p->n++] =
            h->n ? (double) tug_series_up_to(h, (int64_t) (x * 1000)) / (double) h->n : 0;
    }
}

/* ---- parts of a page */

static void duration(struct tug_buf *out, double s)
{
    if (s < 60)
        tug_buf_addf(out, "%.3g s", s);
    else if (s < 3600)
        tug_buf_addf(out, "%.3g min", s / 60);
    else if (s < 2 * 86400)
        tug_buf_addf(out, "%.3g h", s / 3600);
    else
        tug_buf_addf(out, s < 1000 * 86400.0 ? "%.3g d" : "%.0f d", s / 86400);
}

static void tile(struct tug_buf *out, const char *name, const char *fmt, double v)
{
    tug_buf_adds(out, "<div><b>");
    if (fmt)
        tug_buf_addf(out, fmt, v);
    else
        duration(out, v);
    tug_buf_addf(out, "</b><span>%s</span></div>\n", name);
}

static void tiles(struct tug_buf *out, const struct tug_sim_result *r, const struct tug_series *s)
{
    tug_buf_adds(out, "<div class=\"tiles\">\n");
    tile(out, "jobs finished", "%.0f", (double) r->finished);
    tile(out, "mean wait", NULL, r->avg_wait_s);
    tile(out, "p99 wait", NULL, r->p99_wait_s);
    tile(out, "mean completion", NULL, r->avg_jct_s);
    tile(out, "p99 completion", NULL, r->p99_jct_s);
    tile(out, "GPU use", "%.1f %%", r->gpu_use * 100);
    tile(out, "mean slowdown", "%.2f", tug_series_slowdown(s));
    tile(out, "fairness of users (Jain)", "%.3f", r->fairness);
    tile(out, "preemptions", "%.0f", (double) r->preemptions);
    tile(out, "never finished", "%.0f", (double) r->unfinished);
    tug_buf_adds(out, "</div>\n");
}

static void plot_over_time(struct tug_buf *out, const struct tug_html_run *runs, size_t n,
                           enum what what, const char *title)
{
    struct points *points = tug_xcalloc(n, sizeof *points);
    struct tug_plot_line lines[TUG_HTML_RUNS_MAX];
    struct tug_plot p = {.title = title,
                         .x_name = "time since the first submission",
                         .y_name = what == WAITING ? "jobs" : "GPUs",
                         .x_kind = TUG_PLOT_TIME,
                         .lines = lines,
                         .n_lines = n,
                         .fill = n == 1};
    for (size_t i = 0; i < n; i++) {
        double most = over_time(runs[i].series, what, n > 1 ? 4 : 1, &points[i]);
        p.y_max = most > p.y_max ? most : p.y_max;
        p.x_max = span_s(runs[i].series) > p.x_max ? span_s(runs[i].series) : p.x_max;
        lines[i] =
            (struct tug_plot_line){runs[i].name, (int) i, points[i].x, points[i].y, points[i].n};
    }
    if (what == USED && runs[0].series->sum.gpus) {
        p.y_ref = (double) runs[0].series->sum.gpus;
        p.ref_name = "GPUs of the cluster";
        p.y_max = p.y_ref > p.y_max ? p.y_ref : p.y_max;
    }
    tug_plot_svg(out, &p);
    free(points);
}

static void plot_waits(struct tug_buf *out, const struct tug_plot_line *lines, size_t n,
                       double max_s)
{
    const struct tug_plot p = {.title = "share of jobs by how long they waited at most",
                               .x_name = "waited at most so long",
                               .y_name = "share of jobs",
                               .x_kind = TUG_PLOT_LOG_TIME,
                               .y_kind = TUG_PLOT_SHARE,
                               .x_max = max_s,
                               .y_max = 1,
                               .lines = lines,
                               .n_lines = n};
    tug_plot_svg(out, &p);
}

static double longest_wait_s(const struct tug_series *s)
{
    int64_t max_ms = 60000;
    for (int k = 0; k < TUG_SERIES_SIZES; k++)
        if (s->sum.wait[k].max_ms > max_ms)
            max_ms = s->sum.wait[k].max_ms;
    return (double) max_ms / 1000;
}

static void waits_by_size(struct tug_buf *out, const struct tug_series *s)
{
    struct points points[TUG_SERIES_SIZES];
    struct tug_plot_line lines[TUG_SERIES_SIZES];
    char names[TUG_SERIES_SIZES][32];
    size_t n = 0;
    for (int k = 0; k < TUG_SERIES_SIZES; k++) {
        if (!s->sum.wait[k].n)
            continue;
        up_to(&s->sum.wait[k], longest_wait_s(s), &points[n]);
        snprintf(names[n], sizeof names[n], "%s GPU%s", tug_series_size_names[k], k ? "s" : "");
        lines[n] = (struct tug_plot_line){names[n], k, points[n].x, points[n].y, points[n].n};
        n++;
    }
    plot_waits(out, lines, n, longest_wait_s(s));
    tug_buf_adds(out,
                 "<div class=\"wide\"><table>\n<tr><th>GPUs of the job</th><th>jobs</th><th>mean"
                 "</th><th>median</th><th>p90</th><th>p99</th><th>longest</th></tr>\n");
    for (int k = 0; k < TUG_SERIES_SIZES; k++) {
        const struct tug_series_hist *h = &s->sum.wait[k];
        if (!h->n)
            continue;
        tug_buf_addf(out, "<tr><td>%s</td><td>%" PRIu64 "</td><td>", tug_series_size_names[k],
                     h->n);
        duration(out, h->sum_s / (double) h->n);
        for (int i = 0; i < 4; i++) {
            static const double q[] = {0.5, 0.9, 0.99, 1};
            tug_buf_adds(out, "</td><td>");
            duration(out, i < 3 ? tug_series_quantile_s(h, q[i]) : (double) h->max_ms / 1000);
        }
        tug_buf_adds(out, "</td></tr>\n");
    }
    tug_buf_adds(out, "</table></div>\n");
}

/* ---- users */

static int by_gpu_time(const void *a, const void *b)
{
    const struct tug_series_user *x = *(const struct tug_series_user *const *) a,
                                 *y = *(const struct tug_series_user *const *) b;
    if (x->gpu_ms != y->gpu_ms)
        return x->gpu_ms > y->gpu_ms ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void user_row(struct tug_buf *out, const struct tug_series_user *u, double all_gpu_ms,
                     double worst)
{
    double slow = u->ended ? u->slowdown / (double) u->ended : 0;
    tug_buf_adds(out, "<tr><td>");
    tug_html_text(out, *u->name ? u->name : "(nobody)");
    tug_buf_addf(out, "</td><td>%" PRIu64 "</td><td>%.1f %%</td><td>", u->submitted,
                 all_gpu_ms > 0 ? 100 * u->gpu_ms / all_gpu_ms : 0);
    duration(out, u->started ? u->wait_s / (double) u->started : 0);
    tug_buf_addf(out,
                 "</td><td>%.2f</td><td class=\"bar\"><i style=\"width:%.1frem\"></i></td></tr>\n",
                 slow, worst > 0 ? 12 * slow / worst : 0);
}

static void users(struct tug_buf *out, const struct tug_series *s)
{
    size_t n = s->users.len;
    const struct tug_series_user **rows = tug_xcalloc(n + 1, sizeof *rows);
    double all = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        rows[i] = &s->users.at[i];
        all += rows[i]->gpu_ms;
    }
    qsort(rows, n, sizeof *rows, by_gpu_time);
    size_t shown = n < SHOWN_USERS ? n : SHOWN_USERS;
    for (size_t i = 0; i < shown; i++)
        if (rows[i]->ended && rows[i]->slowdown / (double) rows[i]->ended > worst)
            worst = rows[i]->slowdown / (double) rows[i]->ended;
    tug_buf_adds(
        out, "<div class=\"wide\"><table>\n<tr><th>user</th><th>jobs</th><th>GPU time</th><th>mean "
             "wait</th><th>mean slowdown</th><th></th></tr>\n");
    for (size_t i = 0; i < shown; i++)
        user_row(out, rows[i], all, worst);
    tug_buf_adds(out, "</table></div>\n");
    if (shown < n)
        tug_buf_addf(out, "<p class=\"dim\">and %zu more with less GPU time.</p>\n", n - shown);
    free(rows);
}

static const char about_users[] =
    "Slowdown is completion time divided by what the job takes alone (10 s at least): 1 is a job "
    "that never "
    "waited. Jain's index over the users' means is 1 when all are slowed down alike.";
static const char about_waits[] =
    "Where a line is higher, and further left, jobs waited less. Quantiles are within 3 %.";
static const char about_means[] = "Means over equal parts of the time.";

/* ---- one run */

static void gantt(struct tug_buf *out, const struct tug_report *r, const struct tug_series *s)
{
    section(out, "Who ran where",
            "A bar is a job on a node, coloured by the job's size; pointing at it names it.");
    tug_buf_adds(out, "<p class=\"legend\">");
    for (int k = 0; k < TUG_SERIES_SIZES; k++)
        if (s->sum.wait[k].n)
            tug_buf_addf(out, "<span><i class=\"c%d\"></i>%s GPU%s</span> ", k,
                         tug_series_size_names[k], k ? "s" : "");
    tug_buf_adds(out, "</p>\n");
    tug_plot_gantt(out, s, s->n_nodes, r->conf->gpus_per_node);
    if (s->bars_seen > s->bars.len)
        tug_buf_addf(out, "<p class=\"dim\">Shown are the %zu largest of %" PRIu64 " runs.</p>\n",
                     s->bars.len, s->bars_seen);
    end_section(out);
}

int tug_html_report(FILE *to, const struct tug_report *r, const struct tug_series *s)
{
    struct tug_buf out = {0};
    const struct tug_html_run run = {r->policy, (struct tug_series *) (uintptr_t) s};
    struct tug_buf title = {0};
    const char *slash = strrchr(r->trace, '/');
    tug_buf_addf(&title, "%s on %s", r->policy, slash ? slash + 1 : r->trace);
    page_head(&out, tug_buf_str(&title));
    tug_buf_addf(&out, "<p class=\"dim\">%u nodes, %" PRIu64 " GPUs; estimates ", s->n_nodes,
                 s->sum.gpus);
    tug_html_text(&out, r->estimates);
    tug_buf_adds(&out, "; placement ");
    tug_html_text(&out, r->placement);
    tug_buf_adds(&out, "</p>\n");
    tiles(&out, r->result, s);
    section(&out, "Jobs that wait", about_means);
    plot_over_time(&out, &run, 1, WAITING, "jobs that wait, by time");
    end_section(&out);
    section(&out, "GPUs in use", about_means);
    plot_over_time(&out, &run, 1, USED, "GPUs in use, by time");
    end_section(&out);
    section(&out, "Waiting time by size of the job", about_waits);
    waits_by_size(&out, s);
    end_section(&out);
    section(&out, "Users", about_users);
    users(&out, s);
    end_section(&out);
    gantt(&out, r, s);
    tug_buf_clear(&title);
    return finish(to, &out);
}

/* ---- several runs */

static void users_of_all(struct tug_buf *out, const struct tug_html_run *runs, size_t n)
{
    const struct tug_series *s = runs[0].series;
    const struct tug_series_user **rows = tug_xcalloc(s->users.len + 1, sizeof *rows);
    for (size_t i = 0; i < s->users.len; i++)
        rows[i] = &s->users.at[i];
    qsort(rows, s->users.len, sizeof *rows, by_gpu_time);
    tug_buf_adds(out, "<div class=\"wide\"><table>\n<tr><th>mean slowdown of user</th>");
    for (size_t k = 0; k < n; k++) {
        tug_buf_adds(out, "<th>");
        tug_html_text(out, runs[k].name);
        tug_buf_adds(out, "</th>");
    }
    tug_buf_adds(out, "</tr>\n");
    for (size_t i = 0; i < s->users.len && i < SHOWN_USERS; i++) {
        tug_buf_adds(out, "<tr><td>");
        tug_html_text(out, *rows[i]->name ? rows[i]->name : "(nobody)");
        tug_buf_adds(out, "</td>");
        /* Submissions come in the order of the trace, so users have the same row everywhere. */
        size_t at = (size_t) (rows[i] - s->users.at);
        for (size_t k = 0; k < n; k++) {
            const struct tug_series_user *u =
                at < runs[k].series->users.len ? &runs[k].series->users.at[at] : NULL;
            tug_buf_addf(out, u && u->ended ? "<td>%.2f</td>" : "<td>-</td>",
                         u && u->ended ? u->slowdown / (double) u->ended : 0);
        }
        tug_buf_adds(out, "</tr>\n");
    }
    tug_buf_adds(out, "</table></div>\n");
    free(rows);
}

static void waits_of_all(struct tug_buf *out, const struct tug_html_run *runs, size_t n)
{
    struct points *points = tug_xcalloc(n, sizeof *points);
    struct tug_series_hist *all = tug_new(struct tug_series_hist);
    struct tug_plot_line lines[TUG_HTML_RUNS_MAX];
    double max_s = 60;
    for (size_t k = 0; k < n; k++)
        if (longest_wait_s(runs[k].series) > max_s)
            max_s = longest_wait_s(runs[k].series);
    for (size_t k = 0; k < n; k++) {
        tug_series_hist_sum(runs[k].series, all);
        up_to(all, max_s, &points[k]);
        lines[k] =
            (struct tug_plot_line){runs[k].name, (int) k, points[k].x, points[k].y, points[k].n};
    }
    plot_waits(out, lines, n, max_s);
    free(points);
    free(all);
}

static void sizes_of_all(struct tug_buf *out, const struct tug_html_run *runs, size_t n)
{
    tug_buf_adds(out, "<div class=\"wide\"><table>\n<tr><th>mean wait of jobs with</th>");
    for (size_t k = 0; k < n; k++) {
        tug_buf_adds(out, "<th>");
        tug_html_text(out, runs[k].name);
        tug_buf_adds(out, "</th>");
    }
    tug_buf_adds(out, "</tr>\n");
    for (int i = 0; i < TUG_SERIES_SIZES; i++) {
        if (!runs[0].series->sum.wait[i].n)
            continue;
        tug_buf_addf(out, "<tr><td>%s GPU%s</td>", tug_series_size_names[i], i ? "s" : "");
        for (size_t k = 0; k < n; k++) {
            const struct tug_series_hist *h = &runs[k].series->sum.wait[i];
            tug_buf_adds(out, "<td>");
            duration(out, h->n ? h->sum_s / (double) h->n : 0);
            tug_buf_adds(out, "</td>");
        }
        tug_buf_adds(out, "</tr>\n");
    }
    tug_buf_adds(out, "</table></div>\n");
}

int tug_html_compare(FILE *to, const char *title, const char *subtitle, const char *table,
                     const struct tug_html_run *runs, size_t n)
{
    struct tug_buf out = {0};
    page_head(&out, title);
    tug_buf_adds(&out, "<p class=\"dim\">");
    tug_html_text(&out, subtitle);
    tug_buf_adds(&out, "</p>\n");
    tug_buf_adds(&out, table);
    section(&out, "Jobs that wait", about_means);
    plot_over_time(&out, runs, n, WAITING, "jobs that wait, by time and policy");
    end_section(&out);
    section(&out, "GPUs in use", about_means);
    plot_over_time(&out, runs, n, USED, "GPUs in use, by time and policy");
    end_section(&out);
    section(&out, "Waiting time", about_waits);
    waits_of_all(&out, runs, n);
    sizes_of_all(&out, runs, n);
    end_section(&out);
    section(&out, "Users", about_users);
    users_of_all(&out, runs, n);
    end_section(&out);
    return finish(to, &out);
}
