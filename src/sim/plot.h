/* plot.h - line plots and Gantt charts as SVG, and text made safe for HTML
 *
 * The SVG stands inside a page that has the colours: classes c0..c7 for lines and bars, "axis",
 * "grid", "ref". Layer: sim.
 */
#ifndef TUG_SIM_PLOT_H
#define TUG_SIM_PLOT_H

#include <stddef.h>

#include "base/buf.h"
#include "sim/series.h"

enum tug_plot_kind {
    TUG_PLOT_COUNT,   /* from 0 */
    TUG_PLOT_SHARE,   /* 0..1, shown in % */
    TUG_PLOT_TIME,    /* s, from 0 */
    TUG_PLOT_LOG_TIME /* s, from 1 or less to max */
};

struct tug_plot_line {
    const char *name;
    int colour; /* 0..7 */
    const double *x, *y;
    size_t n;
};

struct tug_plot {
    const char *title; /* for who cannot see it */
    const char *x_name, *y_name;
    enum tug_plot_kind x_kind, y_kind;
    double x_max, y_max; /* y_max is rounded up */
    const struct tug_plot_line *lines;
    size_t n_lines;
    int fill;     /* the area under the first line */
    double y_ref; /* a line across; 0 = none */
    const char *ref_name;
};

#define TUG_PLOT_TICKS_MAX 16
/* Round values from 0 (of LOG_TIME: 1 s) to max, about as many as wanted. How many. */
size_t tug_plot_ticks(enum tug_plot_kind kind, double max, int wanted,
                      double at[TUG_PLOT_TICKS_MAX]);
/* One tick's text; 'step' is the distance of ticks. "30 min", "2 d", "1,500", "40 %" */
const char *tug_plot_label(enum tug_plot_kind kind, double value, double step, char *out,
                           size_t size_bytes);

void tug_plot_svg(struct tug_buf *out, const struct tug_plot *p);
/* Nodes (or GPUs, where there is room for a row each) by time. */
void tug_plot_gantt(struct tug_buf *out, const struct tug_series *s, uint32_t n_nodes,
                    uint32_t gpus_per_node);

/* Text from outside: controls and what is not UTF-8 become visible, and nothing is markup. */
void tug_html_text(struct tug_buf *out, const char *text);

#endif
