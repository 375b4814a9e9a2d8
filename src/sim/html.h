/* html.h - a simulation, or several on one trace, as one page that needs nothing else
 *
 * Inline SVG and CSS, no script, nothing fetched. Every text of the trace is escaped. The same
 * simulation gives the same bytes: how long it took is not in it. Layer: sim.
 */
#ifndef TUG_SIM_HTML_H
#define TUG_SIM_HTML_H

#include "sim/report.h"
#include "sim/series.h"

struct tug_html_run {
    const char *name; /* of the policy */
    struct tug_series *series;
};

/* The report's figures and the plots of one run. 0, or -errno of writing. */
int tug_html_report(FILE *to, const struct tug_report *r, const struct tug_series *s);

/* Plots with a line for each of several runs, up to 8; 'table' is HTML that stands before them. */
#define TUG_HTML_RUNS_MAX 8
int tug_html_compare(FILE *to, const char *title, const char *subtitle, const char *table,
                     const struct tug_html_run *runs, size_t n);

#endif
