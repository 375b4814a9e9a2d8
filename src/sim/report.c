/* report.c - a simulation's figures, for people and for programs
 *
 * One table says what there is to tell; the table on the terminal and the JSON object are made of
 * it. Layer: sim.
 */
#include "sim/report.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stddef.h>

#define SHOWN_NAMES 10 /* in the table; JSON has them all */

enum of { OF_RESULT, OF_REPORT };
enum kind { COUNT, SECONDS, SHARE, KIB };

static const struct row {
    const char *key, *label;
    enum of of;
    enum kind kind;
    size_t offset;
} rows[] = {
    {"jobs", "jobs", OF_RESULT, COUNT, offsetof(struct tug_sim_result, jobs)},
    {"finished", "finished", OF_RESULT, COUNT, offsetof(struct tug_sim_result, finished)},
    {"avg_jct_s", "mean completion", OF_RESULT, SECONDS,
     offsetof(struct tug_sim_result, avg_jct_s)},
    {"p99_jct_s", "p99 completion", OF_RESULT, SECONDS, offsetof(struct tug_sim_result, p99_jct_s)},
    {"makespan_s", "last end", OF_RESULT, SECONDS, offsetof(struct tug_sim_result, makespan_s)},
    {"avg_wait_s", "mean wait", OF_RESULT, SECONDS, offsetof(struct tug_sim_result, avg_wait_s)},
    {"p99_wait_s", "p99 wait", OF_RESULT, SECONDS, offsetof(struct tug_sim_result, p99_wait_s)},
    {"gpu_use", "GPU use", OF_RESULT, SHARE, offsetof(struct tug_sim_result, gpu_use)},
    {"preemptions", "preemptions", OF_RESULT, COUNT, offsetof(struct tug_sim_result, preemptions)},
    {"unfinished", "never started", OF_RESULT, COUNT, offsetof(struct tug_sim_result, unfinished)},
    {"refused", "refused proposals", OF_RESULT, COUNT, offsetof(struct tug_sim_result, refused)},
    {"passes", "passes", OF_RESULT, COUNT, offsetof(struct tug_sim_result, passes)},
    {"events", "events", OF_RESULT, COUNT, offsetof(struct tug_sim_result, events)},
    {"wall_s", "took", OF_REPORT, SECONDS, offsetof(struct tug_report, wall_s)},
    {"rss_kib", "memory", OF_REPORT, KIB, offsetof(struct tug_report, rss_kib)},
};
#define N_ROWS (sizeof rows / sizeof *rows)

static const struct {
    const char *key, *label;
} left_out[TUG_SIM_LEFT_OUTS] = {
    [TUG_SIM_TOO_LARGE] = {"too_large", "larger than the cluster"},
    [TUG_SIM_NO_GPU] = {"cpu_only", "without GPUs"},
};

static const void *value(const struct tug_report *r, const struct row *row)
{
    return (const char *) (row->of == OF_RESULT ? (const void *) r->result : r) + row->offset;
}

static void print_row(FILE *to, const struct tug_report *r, const struct row *row)
{
    const void *v = value(r, row);
    fprintf(to, "%-18s", row->label);
    switch (row->kind) {
    case COUNT: fprintf(to, "%" PRIu64 "\n", *(const uint64_t *) v); break;
    case SECONDS: fprintf(to, "%.3f s\n", *(const double *) v); break;
    case SHARE: fprintf(to, "%.1f %%\n", *(const double *) v * 100); break;
    case KIB: fprintf(to, "%ld KiB\n", *(const long *) v); break;
    }
}

static void print_names(FILE *to, const char *label, const struct tug_sim_names *n)
{
    fprintf(to, "%s: %" PRIu64 " not run:", label, n->n);
    for (size_t i = 0; i < n->names.len && i < SHOWN_NAMES; i++)
        fprintf(to, " %s", n->names.at[i]);
    fputs(n->n > SHOWN_NAMES ? " ...\n" : "\n", to);
}

static int flushed(FILE *to)
{
    return fflush(to) || ferror(to) ? -EIO : 0;
}

int tug_report_table(FILE *to, const struct tug_report *r)
{
    fprintf(to, "%-18s%s\n", "trace", r->trace);
    fprintf(to, "%-18s%u nodes with %u GPUs\n", "cluster", r->conf->nodes, r->conf->gpus_per_node);
    fprintf(to, "%-18s%s, estimates %s, placement %s\n", "policy", r->policy, r->estimates,
            r->placement);
    for (size_t i = 0; i < N_ROWS; i++)
        print_row(to, r, &rows[i]);
    for (size_t w = 0; w < TUG_SIM_LEFT_OUTS; w++)
        if (r->result->left_out[w].n)
            print_names(to, left_out[w].label, &r->result->left_out[w]);
    return flushed(to);
}

static json_t *to_json(const struct tug_report *r, const struct row *row)
{
    const void *v = value(r, row);
    if (row->kind == COUNT)
        return json_integer((json_int_t) * (const uint64_t *) v);
    if (row->kind == KIB)
        return json_integer(*(const long *) v);
    return json_real(*(const double *) v);
}

static void add_left_out(json_t *o, size_t why, const struct tug_sim_names *n)
{
    char key[32];
    json_t *names = json_array();
    for (size_t i = 0; i < n->names.len; i++)
        json_array_append_new(names, json_string(n->names.at[i]));
    json_object_set_new(o, left_out[why].key, json_integer((json_int_t) n->n));
    snprintf(key, sizeof key, "%s_jobs", left_out[why].key);
    json_object_set_new(o, key, names);
}

int tug_report_json(FILE *to, const struct tug_report *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "policy", json_string(r->policy));
    json_object_set_new(o, "placement", json_string(r->placement));
    json_object_set_new(o, "estimates", json_string(r->estimates));
    json_object_set_new(o, "nodes", json_integer(r->conf->nodes));
    json_object_set_new(o, "gpus_per_node", json_integer(r->conf->gpus_per_node));
    for (size_t i = 0; i < N_ROWS; i++)
        json_object_set_new(o, rows[i].key, to_json(r, &rows[i]));
    for (size_t w = 0; w < TUG_SIM_LEFT_OUTS; w++)
        add_left_out(o, w, &r->result->left_out[w]);
    int rc = json_dumpf(o, to, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
    json_decref(o);
    fputc('\n', to);
    return rc ? -EIO : flushed(to);
}
