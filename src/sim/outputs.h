/* outputs.h - the files that a simulation leaves: rows of jobs, a page with plots, figures for a
 * comparison
 *
 * A file appears under its name when it is whole. Layer: sim.
 */
#ifndef TUG_SIM_OUTPUTS_H
#define TUG_SIM_OUTPUTS_H

#include "base/err.h"
#include "sim/report.h"
#include "sim/series.h"

struct tug_outputs { /* zeroes: none; strings are borrowed */
    const char *csv_path, *html_path;
    FILE *dump; /* for tug_compare(), which reads it back; borrowed */
    /* outputs.c's */
    struct tug_series *series;
    FILE *csv;
};

/* Before anything takes long: can these be written, and are they files of their own? NULL: is not
 * wanted. -EINVAL, or what open() says. */
int tug_outputs_try(const char *csv, const char *html, const char *trace, struct tug_err *err);
/* Before the simulation: opens the files and puts note() into the configuration, if anything is
 * wanted. */
int tug_outputs_begin(struct tug_outputs *o, struct tug_sim_conf *conf, uint64_t gpus,
                      const char *const *node_names, struct tug_err *err);
/* After it. -EIO and the like name the file. */
int tug_outputs_write(struct tug_outputs *o, const struct tug_report *r, struct tug_err *err);
/* In any case; unfinished files are removed. */
void tug_outputs_clear(struct tug_outputs *o);

/* A file that gets its name when it is whole: open beside it, then close. -errno with the path. */
FILE *tug_outputs_open(const char *path, struct tug_err *err);
int tug_outputs_close(FILE *f, const char *path, struct tug_err *err);

#endif
