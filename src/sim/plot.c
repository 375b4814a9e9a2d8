/* plot.c - line plots and Gantt charts as SVG, and text made safe for HTML
 *
 * Layer: sim.
 */
#include "sim/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define MINUTE 60.0
#define HOUR   3600.0
#define DAY    86400.0

/* The drawing, in its own units. */
enum { WIDTH = 920, LEFT = 64, RIGHT = 16, TOP = 14, BOTTOM = 44, HEIGHT = 280 };

void tug_html_text(struct tug_buf *out, const char *text)
{
    struct tug_buf safe = {0};
    tug_str_escape(&safe, text, strlen(text));
    for (const char *p = tug_buf_str(&safe); *p; p++)
        switch (*p) {
        case '&':
            tug_buf_adds(out, "&amp;");
            break;
        case '<':
            tug_buf_adds(out, "&lt;");
            break;
        case '>':
            tug_buf_adds(out, "&gt;");
            break;
        case '"':
            tug_buf_adds(out, "&quot;");
            break;
        case '\'':
            tug_buf_adds(out, "&#39;");
            break;
        default:
            tug_buf_addc(out, *p);
        }
    tug_buf_clear(&safe);
}

/* ---- ticks */

static const double time_steps[] = {1,        2,          5,          10,       15,        30,
                                    MINUTE,   2 * MINUTE, 5 * MINUTE, 600,      900,       1800,
                                    HOUR,     2 * HOUR,   3 * HOUR,   6 * HOUR, 12 * HOUR, DAY,
                                    2 * DAY,  5 * DAY,    10 * DAY,   20 * DAY, 30 * DAY,  60 * DAY,
                                    90 * DAY, 180 * DAY,  360 * DAY,  720 * DAY};

static const double log_ticks[] = {1,   10,      MINUTE,   10 * MINUTE, HOUR,      6 * HOUR,
                                   DAY, 7 * DAY, 30 * DAY, 360 * DAY,   3600 * DAY};

static double nice_step(enum tug_plot_kind kind, double max, int wanted)
{
    double raw = max / wanted;
    if (kind == TUG_PLOT_TIME && raw <= 720 * DAY) {
        size_t i = 0;
        while (time_steps[i] < raw)
            i++;
        return time_steps[i];
    }
    double ten = pow(10, floor(log10(raw)));
    double step = raw <= ten * 1.0001 ? ten
                  : raw <= 2 * ten    ? 2 * ten
                  : raw <= 5 * ten    ? 5 * ten
                                      : 10 * ten;
    return kind == TUG_PLOT_COUNT && step < 1 ? 1 : step;
}

size_t tug_plot_ticks(enum tug_plot_kind kind, double max, int wanted,
                      double at[TUG_PLOT_TICKS_MAX])
{
    size_t n = 0;
    if (kind == TUG_PLOT_LOG_TIME) {
        for (size_t i = 0; i < sizeof log_ticks / sizeof *log_ticks && log_ticks[i] <= max; i++)
            at[n++] = log_ticks[i];
        return n;
    }
    double step = nice_step(kind, max > 0 ? max : 1, wanted);
    for (int i = 0; n < TUG_PLOT_TICKS_MAX && i * step <= max * 1.0001; i++)
        at[n++] = i * step;
    return n;
}

static const char *time_label(double s, double step, char *out, size_t size_bytes)
{
    if (s == 0)
        snprintf(out, size_bytes, "0");
    else if (step < MINUTE)
        snprintf(out, size_bytes, "%.15g s", s);
    else if (step < HOUR)
        snprintf(out, size_bytes, "%.15g min", s / MINUTE);
    else if (step < DAY)
        snprintf(out, size_bytes, "%.15g h", s / HOUR);
    else
        snprintf(out, size_bytes, "%.15g d", s / DAY);
    return out;
}

const char *tug_plot_label(enum tug_plot_kind kind, double value, double step, char *out,
                           size_t size_bytes)
{
    if (kind == TUG_PLOT_TIME)
        return time_label(value, step, out, size_bytes);
    if (kind == TUG_PLOT_LOG_TIME)
        return time_label(value, value, out, size_bytes);
    if (kind == TUG_PLOT_SHARE)
        snprintf(out, size_bytes, "%.15g %%", round(value * 1000) / 10);
    else if (value >= 1e6)
        snprintf(out, size_bytes, "%.15g M", value / 1e6);
    else if (value >= 1e4)
        snprintf(out, size_bytes, "%.15g k", value / 1e3);
    else
        snprintf(out, size_bytes, "%.15g", value);
    return out;
}

/* ---- axes */

struct frame { /* what the axes span */
    enum tug_plot_kind x_kind, y_kind;
    double x_max, y_max;
    double height; /* of the drawing */
};

static double part(enum tug_plot_kind kind, double v, double max)
{
    if (kind == TUG_PLOT_LOG_TIME) {
        double top = log10(max > 10 ? max : 10);
        return v <= 1 ? 0 : log10(v) / top;
    }
    return max > 0 ? v / max : 0;
}

static double x_of(const struct frame *f, double v)
{
    return LEFT + part(f->x_kind, v, f->x_max) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct frame *f, double v)
{
    return f->height - BOTTOM - part(f->y_kind, v, f->y_max) * (f->height - TOP - BOTTOM);
}

static void x_axis(struct tug_buf *out, const struct frame *f, const char *name)
{
    double at[TUG_PLOT_TICKS_MAX];
    char text[32];
    size_t n = tug_plot_ticks(f->x_kind, f->x_max, 8, at);
    double bottom = f->height - BOTTOM;
    for (size_t i = 0; i < n; i++) {
        double x = x_of(f, at[i]);
        tug_plot_label(f->x_kind, at[i], n > 1 ? at[1] - at[0] : at[i], text, sizeof text);
        tug_buf_addf(out, "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.1f\"/>", x,
                     TOP, x, bottom + 4);
        tug_buf_addf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s%s</text>\n", x,
                     bottom + 17, i == 0 && x < LEFT + 8 ? "start" : "middle",
                     f->x_kind == TUG_PLOT_LOG_TIME && i == 0 ? "\xe2\x89\xa4 " : "", text);
    }
    tug_buf_addf(out,
                 "<line class=\"axis\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
                 "<text class=\"name\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">",
                 LEFT, bottom, WIDTH - RIGHT, bottom, WIDTH - RIGHT, f->height - 8);
    tug_html_text(out, name);
    tug_buf_adds(out, "</text>\n");
}

static void y_axis(struct tug_buf *out, const struct frame *f)
{
    double at[TUG_PLOT_TICKS_MAX];
    char text[32];
    size_t n = tug_plot_ticks(f->y_kind, f->y_max, 5, at);
    for (size_t i = 0; i < n; i++) {
        double y = y_of(f, at[i]);
        tug_plot_label(f->y_kind, at[i], n > 1 ? at[1] : 1, text, sizeof text);
        tug_buf_addf(out,
                     "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
                     "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                     LEFT, y, WIDTH - RIGHT, y, LEFT - 6, y + 4, text);
    }
}

static void open_svg(struct tug_buf *out, const char *title, double height)
{
    tug_buf_addf(out, "<svg viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"", WIDTH, height);
    tug_html_text(out, title);
    tug_buf_adds(out, "\">\n");
}

/* ---- lines */

static void legend(struct tug_buf *out, const struct tug_plot *p)
{
    tug_buf_adds(out, "<p class=\"legend\">");
    for (size_t i = 0; i < p->n_lines; i++) {
        tug_buf_addf(out, "<span><i class=\"c%d\"></i>", p->lines[i].colour);
        tug_html_text(out, p->lines[i].name);
        tug_buf_adds(out, "</span> ");
    }
    if (p->y_ref > 0) {
        tug_buf_adds(out, "<span><i class=\"ref\"></i>");
        tug_html_text(out, p->ref_name);
        tug_buf_adds(out, "</span>");
    }
    tug_buf_adds(out, "</p>\n");
}

static void polyline(struct tug_buf *out, const struct frame *f, const struct tug_plot_line *l,
                     int fill)
{
    if (fill) {
        tug_buf_addf(out, "<path class=\"f%d\" d=\"M%.1f %.1f", l->colour, x_of(f, l->x[0]),
                     y_of(f, 0));
        for (size_t i = 0; i < l->n; i++)
            tug_buf_addf(out, "L%.1f %.1f", x_of(f, l->x[i]), y_of(f, l->y[i]));
        tug_buf_addf(out, "L%.1f %.1fZ\"/>\n", x_of(f, l->x[l->n - 1]), y_of(f, 0));
    }
    tug_buf_addf(out, "<path class=\"l%d\" d=\"", l->colour);
    for (size_t i = 0; i < l->n; i++)
        tug_buf_addf(out, "%c%.1f %.1f", i ? 'L' : 'M', x_of(f, l->x[i]), y_of(f, l->y[i]));
    tug_buf_adds(out, "\"><title>");
    tug_html_text(out, l->name);
    tug_buf_adds(out, "</title></path>\n");
}

void tug_plot_svg(struct tug_buf *out, const struct tug_plot *p)
{
    double y_max = p->y_max > 0 ? p->y_max : 1;
    if (p->y_kind != TUG_PLOT_SHARE) { /* the axis ends at a tick */
        double step = nice_step(p->y_kind, y_max, 5);
        y_max = ceil(y_max / step * 0.9999) * step;
    }
    struct frame f = {p->x_kind, p->y_kind, p->x_max > 0 ? p->x_max : 1, y_max, HEIGHT};
    tug_buf_adds(out, "<p class=\"yname\">");
    tug_html_text(out, p->y_name);
    tug_buf_adds(out, "</p>\n");
    if (p->n_lines > 1 || p->y_ref > 0)
        legend(out, p);
    open_svg(out, p->title, HEIGHT);
    y_axis(out, &f);
    x_axis(out, &f, p->x_name);
    for (size_t i = 0; i < p->n_lines; i++)
        if (p->lines[i].n)
            polyline(out, &f, &p->lines[i], p->fill && i == 0);
    if (p->y_ref > 0)
        tug_buf_addf(out, "<line class=\"ref\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n",
                     LEFT, y_of(&f, p->y_ref), WIDTH - RIGHT, y_of(&f, p->y_ref));
    tug_buf_adds(out, "</svg>\n");
}

/* ---- Gantt */

#define ROWS_OF_GPUS_MAX 128 /* more: a row for each node */
#define CHART_HEIGHT_MAX 1100.0

struct gantt {
    struct frame f;
    int64_t origin_ms;
    uint32_t per_node; /* rows for each node */
    uint32_t gpus;     /* of a node; 0 = they differ */
    double row;        /* height of one */
};

static void rect(struct tug_buf *out, const struct gantt *g, const struct tug_series_bar *b,
                 double first_row, double rows)
{
    double x = x_of(&g->f, (double) (b->start_ms - g->origin_ms) / 1000);
    double w = x_of(&g->f, (double) (b->end_ms - g->origin_ms) / 1000) - x;
    double high = rows * g->row, gap = high > 5 ? 0.8 : high > 2 ? 0.3 : 0;
    tug_buf_addf(out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>", x,
                 TOP + first_row * g->row + gap / 2, w < 0.3 ? 0.3 : w, high - gap);
}

/* GPUs that follow each other are one box; where nodes differ, a job takes its row whole. */
static void slice(struct tug_buf *out, const struct gantt *g, const struct tug_series_bar *b,
                  const struct tug_series_slice *s)
{
    double gpu = g->gpus ? (double) g->per_node / g->gpus : 1; /* rows */
    if (!g->gpus || gpu * g->row < 1) {
        rect(out, g, b, (double) s->node * g->per_node, g->per_node);
        return;
    }
    for (uint32_t i = 0; i < g->gpus; i++) {
        uint32_t n = 0;
        while (i + n < g->gpus && (s->gpus >> (i + n) & 1))
            n++;
        if (n)
            rect(out, g, b, (double) s->node * g->per_node + i * gpu, n * gpu);
        i += n;
    }
}

static int is_full(const struct gantt *g, const struct tug_series_slice *s)
{
    return g->gpus && (uint32_t) __builtin_popcountll(s->gpus) == g->gpus;
}

/* Nodes that follow each other and are full are one box. */
static void bar(struct tug_buf *out, const struct gantt *g, const struct tug_series_bar *b)
{
    char span[32], at[32];
    double s = (double) (b->end_ms - b->start_ms) / 1000;
    double from = (double) (b->start_ms - g->origin_ms) / 1000;
    tug_buf_addf(out, "<g class=\"b%d\"><title>", tug_series_size_of(b->gpus));
    tug_html_text(out, b->id);
    if (*b->user) {
        tug_buf_adds(out, " of ");
        tug_html_text(out, b->user);
    }
    snprintf(at, sizeof at, "%.3g %s",
             from < HOUR  ? from / MINUTE
             : from < DAY ? from / HOUR
                          : from / DAY,
             from < HOUR  ? "min"
             : from < DAY ? "h"
                          : "d");
    snprintf(span, sizeof span, "%.3g %s",
             s < MINUTE ? s
             : s < HOUR ? s / MINUTE
                        : s / HOUR,
             s < MINUTE ? "s"
             : s < HOUR ? "min"
                        : "h");
    tug_buf_addf(out, ": %u GPUs on %zu node%s, from %s on, for %s%s</title>", b->gpus, b->n_slices,
                 b->n_slices == 1 ? "" : "s", at, span, b->stopped ? ", then it had to stop" : "");
    for (size_t i = 0; i < b->n_slices;) {
        const struct tug_series_slice *a = &b->slices[i];
        size_t n = 1;
        while (is_full(g, a) && i + n < b->n_slices && b->slices[i + n].node == a->node + n &&
               is_full(g, &b->slices[i + n]))
            n++;
        if (n > 1)
            rect(out, g, b, (double) a->node * g->per_node, (double) n * g->per_node);
        else
            slice(out, g, b, a);
        i += n;
    }
    tug_buf_adds(out, "</g>\n");
}

void tug_plot_gantt(struct tug_buf *out, const struct tug_series *s, uint32_t n_nodes,
                    uint32_t gpus_per_node)
{
    struct gantt g = {.origin_ms = s->sum.origin_ms, .per_node = 1, .gpus = gpus_per_node};
    if (gpus_per_node > 0 && (uint64_t) n_nodes * gpus_per_node <= ROWS_OF_GPUS_MAX)
        g.per_node = gpus_per_node;
    double rows = (double) n_nodes * g.per_node;
    g.row = CHART_HEIGHT_MAX / rows;
    g.row = g.row > 16 ? 16 : g.row;
    g.f = (struct frame){TUG_PLOT_TIME, TUG_PLOT_COUNT,
                         (double) (s->sum.last_ms - s->sum.origin_ms) / 1000, rows,
                         rows * g.row + TOP + BOTTOM};
    if (g.f.x_max <= 0)
        g.f.x_max = 1;
    open_svg(out, "which jobs ran on which nodes, by time", g.f.height);
    x_axis(out, &g.f, "time since the first submission");
    uint32_t every = 1; /* names of nodes have 12 units of height at least */
    while (every * g.per_node * g.row < 12)
        every *= every == 2 ? 5 : 2;
    for (uint32_t i = 0; i < n_nodes; i++) {
        double y = TOP + (double) i * g.per_node * g.row;
        if (i && g.per_node > 1)
            tug_buf_addf(out, "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>",
                         LEFT, y, WIDTH - RIGHT, y);
        if (i % every)
            continue;
        double middle = g.per_node > 1 ? g.per_node * g.row / 2 + 4 : g.row / 2 + 4;
        tug_buf_addf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 6, y + middle);
        if (s->node_names) {
            char name[32];
            snprintf(name, sizeof name, "%.12s", s->node_names[i]);
            tug_html_text(out, name);
        } else {
            tug_buf_addf(out, "n%u", i + 1);
        }
        tug_buf_adds(out, "</text>\n");
    }
    for (size_t i = 0; i < s->bars.len; i++)
        bar(out, &g, s->bars.at[i]);
    tug_buf_adds(out, "</svg>\n");
}
