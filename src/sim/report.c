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
enum kind { COUNT, SECONDS, SHARE, HOURS, PLAIN, KIB };

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
    {"avg_stopped_s", "mean time stopped", OF_RESULT, SECONDS,
     offsetof(struct tug_sim_result, avg_stopped_s)},
    {"overhead_gpu_h", "GPU hours to start", OF_RESULT, HOURS,
     offsetof(struct tug_sim_result, overhead_gpu_h)},
    {"lost_gpu_h", "GPU hours lost", OF_RESULT, HOURS, offsetof(struct tug_sim_result, lost_gpu_h)},
    {"failures", "node failures", OF_RESULT, COUNT, offsetof(struct tug_sim_result, failures)},
    {"failed_runs", "stopped by these", OF_RESULT, COUNT,
     offsetof(struct tug_sim_result, failed_runs)},
    {"killed", "killed", OF_RESULT, COUNT, offsetof(struct tug_sim_result, killed)},
    {"users", "users", OF_RESULT, COUNT, offsetof(struct tug_sim_result, users)},
    {"fairness", "fairness", OF_RESULT, PLAIN, offsetof(struct tug_sim_result, fairness)},
    {"preemptions", "preemptions", OF_RESULT, COUNT, offsetof(struct tug_sim_result, preemptions)},
    {"unfinished", "not at their end", OF_RESULT, COUNT,
     offsetof(struct tug_sim_result, unfinished)},
    {"refused", "refused proposals", OF_RESULT, COUNT, offsetof(struct tug_sim_result, refused)},
    {"passes", "passes", OF_RESULT, COUNT, offsetof(struct tug_sim_result, passes)},
    {"events", "events", OF_RESULT, COUNT, offsetof(struct tug_sim_result, events)},
    /* the last ones: nothing but these differs from run to run */
    {"wall_s", "took", OF_REPORT, SECONDS, offsetof(struct tug_report, wall_s)},
    {"rss_kib", "memory", OF_REPORT, KIB, offsetof(struct tug_report, rss_kib)},
};
#define N_ROWS       (sizeof rows / sizeof *rows)
#define N_REPEATABLE (N_ROWS - 2)

static const struct {
    const char *key, *label;
} left_out[TUG_SIM_LEFT_OUTS] = {
    [TUG_SIM_TOO_LARGE] = {"too_large", "larger than the cluster"},
    [TUG_SIM_NO_GPU] = {"cpu_only", "without GPUs"},
    [TUG_SIM_UNKNOWN] = {"unknown", "of unknown length or size"},
    [TUG_SIM_REFUSED] = {"not_admitted", "not admitted"},
};

static const void *value(const struct tug_report *r, const struct row *row)
{
    return (const char *) (row->of == OF_RESULT ? (const void *) r->result : r) + row->offset;
}

static void print_row(FILE *to, const struct tug_report *r, const struct row *row)
{
    const void *v = value(r, row);
    fprintf(to, "%-20s", row->label);
    switch (row->kind) {
    case COUNT:
        fprintf(to, "%" PRIu64 "\n", *(const uint64_t *) v);
        break;
    case SECONDS:
        fprintf(to, "%.3f s\n", *(const double *) v);
        break;
    case HOURS:
        fprintf(to, "%.2f\n", *(const double *) v);
        break;
    case PLAIN:
        fprintf(to, "%.4f\n", *(const double *) v);
        break;
    case SHARE:
        fprintf(to, "%.1f %%\n", *(const double *) v * 100);
        break;
    case KIB:
        fprintf(to, "%ld KiB\n", *(const long *) v);
        break;
    }
}

static void print_names(FILE *to, const char *label, const struct tug_sim_names *n)
{
    fprintf(to, "%s: %" PRIu64 " not run:", label, n->n);
    for (size_t i = 0; i < n->names.len && i < SHOWN_NAMES; i++)
        fprintf(to, " %s", n->names.at[i]);
    fputs(n->n > SHOWN_NAMES ? " ...\n" : "\n", to);
}

static void print_class(FILE *to, const struct tug_sim_class *c)
{
    char gpus[32];
    if (c->jobs == 0)
        return;
    if (c->gpus_max == UINT32_MAX)
        snprintf(gpus, sizeof gpus, "%u GPUs or more", c->gpus_min);
    else if (c->gpus_min == c->gpus_max)
        snprintf(gpus, sizeof gpus, "%u GPU", c->gpus_min);
    else
        snprintf(gpus, sizeof gpus, "%u to %u GPUs", c->gpus_min, c->gpus_max);
    fprintf(to, "%-20s%" PRIu64 " jobs, mean wait %.3f s, p99 %.3f s, mean completion %.3f s\n",
            gpus, c->jobs, c->avg_wait_s, c->p99_wait_s, c->avg_jct_s);
}

static void print_spread(FILE *to, const struct tug_sim_spread *s)
{
    fprintf(to,
            "%-20s%" PRIu64 " on several nodes, over %.3f leaves on average, %.3f at least; %.3f "
            "times the fewest\n",
            "gangs", s->gangs, s->leaves_avg, s->leaves_least_avg, s->ratio_avg);
}

/* Only where nodes or levels tell something of their links. */
static void print_links(FILE *to, const struct tug_sim_links *l)
{
    if (l->gangs)
        fprintf(to, "%-20s%.1f GB/s predicted on average, quality %.3f (%" PRIu64 " starts); on several nodes %.1f GB/s, %.3f\n",
                "all-reduce", l->gbs_avg, l->quality_avg, l->gangs, l->wide_gbs_avg, l->wide_quality_avg);
    fprintf(to, "%-20s%.1f %% of the free GPUs\n", "fragmented", l->fragmented_avg * 100);
}

static int flushed(FILE *to)
{
    return fflush(to) || ferror(to) ? -EIO : 0;
}

int tug_report_table(FILE *to, const struct tug_report *r)
{
    fprintf(to, "%-20s%s\n", "trace", r->trace);
    fprintf(to, "%-20s%u nodes with %u GPUs\n", "cluster", r->conf->nodes, r->conf->gpus_per_node);
    fprintf(to, "%-20s%s, estimates %s, placement %s\n", "policy", r->policy, r->estimates,
            r->placement);
    for (size_t i = 0; i < (r->repeatable ? N_REPEATABLE : N_ROWS); i++)
        print_row(to, r, &rows[i]);
    for (size_t c = 0; c < TUG_SIM_CLASSES; c++)
        print_class(to, &r->result->classes[c]);
    if (r->result->spread.is_known)
        print_spread(to, &r->result->spread);
    print_links(to, &r->result->links);
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

/* Keys of their own: who looks for 'avg_wait_s' in the text must find the one of all. */
static json_t *classes(const struct tug_sim_result *r)
{
    json_t *out = json_array();
    for (size_t i = 0; i < TUG_SIM_CLASSES; i++) {
        const struct tug_sim_class *c = &r->classes[i];
        json_t *o = json_object();
        json_object_set_new(o, "gpus_min", json_integer(c->gpus_min));
        json_object_set_new(o, "gpus_max",
                            c->gpus_max == UINT32_MAX ? json_null() : json_integer(c->gpus_max));
        json_object_set_new(o, "count", json_integer((json_int_t) c->jobs));
        json_object_set_new(o, "wait_avg_s", json_real(c->avg_wait_s));
        json_object_set_new(o, "wait_p99_s", json_real(c->p99_wait_s));
        json_object_set_new(o, "jct_avg_s", json_real(c->avg_jct_s));
        json_array_append_new(out, o);
    }
    return out;
}

static json_t *spread(const struct tug_sim_spread *s)
{
    json_t *o = json_object(), *by = json_array();
    for (size_t i = 0; i < TUG_SIM_LEAVES; i++)
        json_array_append_new(by, json_integer((json_int_t) s->by_leaves[i]));
    json_object_set_new(o, "gangs", json_integer((json_int_t) s->gangs));
    json_object_set_new(o, "leaves_avg", json_real(s->leaves_avg));
    json_object_set_new(o, "leaves_least_avg", json_real(s->leaves_least_avg));
    json_object_set_new(o, "ratio_avg", json_real(s->ratio_avg));
    json_object_set_new(o, "by_leaves", by);
    return o;
}

static json_t *links(const struct tug_sim_links *l)
{
    json_t *o = json_object();
    json_object_set_new(o, "gangs", json_integer((json_int_t) l->gangs));
    json_object_set_new(o, "gbs_avg", json_real(l->gbs_avg));
    json_object_set_new(o, "quality_avg", json_real(l->quality_avg));
    json_object_set_new(o, "wide", json_integer((json_int_t) l->wide));
    json_object_set_new(o, "wide_gbs_avg", json_real(l->wide_gbs_avg));
    json_object_set_new(o, "wide_quality_avg", json_real(l->wide_quality_avg));
    json_object_set_new(o, "fragmented_avg", json_real(l->fragmented_avg));
    return o;
}

int tug_report_json(FILE *to, const struct tug_report *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "policy", json_string(r->policy));
    json_object_set_new(o, "placement", json_string(r->placement));
    json_object_set_new(o, "estimates", json_string(r->estimates));
    json_object_set_new(o, "nodes", json_integer(r->conf->nodes));
    json_object_set_new(o, "gpus_per_node", json_integer(r->conf->gpus_per_node));
    for (size_t i = 0; i < N_REPEATABLE; i++)
        json_object_set_new(o, rows[i].key, to_json(r, &rows[i]));
    json_object_set_new(o, "classes", classes(r->result));
    if (r->result->spread.is_known)
        json_object_set_new(o, "spread", spread(&r->result->spread));
    json_object_set_new(o, "links", links(&r->result->links));
    for (size_t w = 0; w < TUG_SIM_LEFT_OUTS; w++)
        add_left_out(o, w, &r->result->left_out[w]);
    for (size_t i = N_REPEATABLE; i < N_ROWS && !r->repeatable; i++)
        json_object_set_new(o, rows[i].key, to_json(r, &rows[i]));
    int rc = json_dumpf(o, to, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
    json_decref(o);
    fputc('\n', to);
    return rc ? -EIO : flushed(to);
}
