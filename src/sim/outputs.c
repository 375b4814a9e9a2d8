/* outputs.c - the files that a simulation leaves: rows of jobs, a page with plots, figures for a
 * comparison
 *
 * Layer: sim.
 */
#include "sim/outputs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "sim/html.h"

/* What is no file is written to as it is: a pipe, and also a link, like /dev/stdout, which would be
 * replaced itself. */
static int is_file(const char *path)
{
    struct stat st;
    return lstat(path, &st) != 0 || S_ISREG(st.st_mode);
}

static char *beside(const char *path)
{
    return tug_xasprintf("%s.part", path);
}

FILE *tug_outputs_open(const char *path, struct tug_err *err)
{
    char *part = is_file(path) ? beside(path) : tug_xstrdup(path);
    FILE *f = fopen(part, "we");
    if (!f)
        tug_fail(err, -errno, "%s cannot be written: %s", path, strerror(errno));
    free(part);
    return f;
}

int tug_outputs_close(FILE *f, const char *path, struct tug_err *err)
{
    int rc = fflush(f) || ferror(f) ? -(errno ? errno : EIO) : 0;
    if (fclose(f) && !rc)
        rc = -errno;
    if (is_file(path)) {
        char *part = beside(path);
        if (!rc && rename(part, path))
            rc = -errno;
        if (rc)
            unlink(part);
        free(part);
    }
    return rc ? tug_fail(err, rc, "%s cannot be written: %s", path, strerror(-rc)) : 0;
}

static int is_same(const char *a, const char *b)
{
    struct stat x, y;
    if (stat(a, &x))
        return !strcmp(a, b);
    return stat(b, &y) == 0 && S_ISREG(x.st_mode) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int try_one(const char *path, const char *trace, struct tug_err *err)
{
    struct stat out, st;
    if (!path)
        return 0;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && fstat(STDOUT_FILENO, &out) == 0 &&
        out.st_dev == st.st_dev && out.st_ino == st.st_ino)
        return tug_fail(err, -EINVAL, "%s is where the result is printed; say another file", path);
    if (trace && is_same(path, trace))
        return tug_fail(err, -EINVAL, "%s is the trace itself; say another file to write to", path);
    if (!is_file(path))
        return 0;
    FILE *f = tug_outputs_open(path, err);
    if (!f)
        return err ? err->code : -EIO;
    fclose(f);
    char *part = beside(path);
    unlink(part);
    free(part);
    return 0;
}

int tug_outputs_try(const char *csv, const char *html, const char *trace, struct tug_err *err)
{
    if (csv && html && is_same(csv, html))
        return tug_fail(err, -EINVAL, "--csv and --html: both would be written to %s", csv);
    int rc = try_one(csv, trace, err);
    return rc ? rc : try_one(html, trace, err);
}

int tug_outputs_begin(struct tug_outputs *o, struct tug_sim_conf *conf, uint64_t gpus,
                      const char *const *node_names, struct tug_err *err)
{
    if (!o->csv_path && !o->html_path && !o->dump)
        return 0;
    if (o->csv_path && !(o->csv = tug_outputs_open(o->csv_path, err)))
        return err ? err->code : -EIO;
    o->series = tug_series_new(gpus, conf->nodes, node_names);
    if (o->csv)
        tug_series_csv(o->series, o->csv);
    if (o->dump)
        tug_series_keep_jobs(o->series);
    conf->note = tug_series_note;
    conf->note_ctx = o->series;
    return 0;
}

static int write_html(const struct tug_outputs *o, const struct tug_report *r, struct tug_err *err)
{
    FILE *f = tug_outputs_open(o->html_path, err);
    if (!f)
        return err ? err->code : -EIO;
    tug_html_report(f, r, o->series);
    return tug_outputs_close(f, o->html_path, err);
}

static int write_dump(const struct tug_outputs *o, const struct tug_report *r, struct tug_err *err)
{
    fwrite(r->result, sizeof *r->result, 1, o->dump);
    return tug_series_save(o->series, o->dump)
               ? tug_fail(err, -EIO, "the figures for the comparison cannot be kept: %s",
                          strerror(errno))
               : 0;
}

int tug_outputs_write(struct tug_outputs *o, const struct tug_report *r, struct tug_err *err)
{
    int rc = 0;
    if (!o->series)
        return 0;
    tug_series_finish(o->series);
    if (o->csv) {
        rc = tug_outputs_close(o->csv, o->csv_path, err);
        o->csv = NULL;
    }
    if (!rc && o->html_path)
        rc = write_html(o, r, err);
    if (!rc && o->dump)
        rc = write_dump(o, r, err);
    return rc;
}

void tug_outputs_clear(struct tug_outputs *o)
{
    if (o->csv) {
        char *part = beside(o->csv_path);
        fclose(o->csv);
        if (is_file(o->csv_path))
            unlink(part);
        free(part);
    }
    tug_series_free(o->series);
    o->csv = NULL;
    o->series = NULL;
}
