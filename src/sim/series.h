/* series.h - what plots, tables per user and comparisons need, collected while a simulation runs
 *
 * tug_series_note() is given to struct tug_sim_conf as note(). Memory does not grow with the length
 * of a trace, but with what is alive in it: time is kept in TUG_SERIES_BUCKETS equal parts (they
 * double in width when it runs out), waiting times in histograms (each value within 1/32 of
 * itself), bars for the Gantt chart are the largest ones. Only tug_series_keep_jobs() keeps
 * something of every job, 24 bytes. Layer: sim.
 */
#ifndef TUG_SIM_SERIES_H
#define TUG_SIM_SERIES_H

#include <stdint.h>
#include <stdio.h>

#include "base/heap.h"
#include "base/vec.h"
#include "sim/sim.h"

#define TUG_SERIES_BUCKETS    480
#define TUG_SERIES_HIST       1920
#define TUG_SERIES_BARS_MAX   2500 /* runs of jobs */
#define TUG_SERIES_SLICES_MAX 6000 /* their parts on nodes */
#define TUG_SERIES_USERS_MAX  5000 /* further ones are counted as one */
#define TUG_SERIES_SLOW_MIN_S 10   /* of slowdown: shorter jobs count as that long */

enum { TUG_SERIES_SIZES = 5 };
extern const char *const tug_series_size_names[TUG_SERIES_SIZES]; /* "1", "2-8", ... GPUs */

struct tug_series_bucket { /* integrals over its part of the time */
    double waiting_ms, wanted_gpu_ms, used_gpu_ms, there_ms;
};

struct tug_series_hist {
    uint64_t n;
    double sum_s;
    int64_t max_ms;
    uint64_t count[TUG_SERIES_HIST];
};

struct tug_series_sum { /* no pointers: written and read back as it is */
    uint64_t gpus;
    int64_t origin_ms, last_ms, width_ms;
    struct tug_series_bucket bucket[TUG_SERIES_BUCKETS];
    struct tug_series_hist wait[TUG_SERIES_SIZES]; /* submit to first start, of jobs that started */
    uint64_t submitted, started, ended, stops;
    double slowdown; /* the sum over those that ended */
};

struct tug_series_user {
    char *name;
    uint64_t submitted, started, ended;
    double wait_s, slowdown, gpu_ms; /* sums: of those that started, that ended, of all that ran */
};

struct tug_series_slice {
    uint32_t node;
    uint64_t gpus;
};

struct tug_series_bar { /* a run of a job */
    struct tug_heap_node area;
    int64_t start_ms, end_ms;
    uint64_t seq;
    uint32_t gpus;
    int stopped; /* it was not its last run */
    size_t n_slices;
    struct tug_series_slice *slices;
    char *id, *user;
};

struct tug_series_job {
    uint64_t id_hash;
    int64_t wait_ms, jct_ms; /* -1: never started, never ended */
};

struct tug_series_live; /* a job that is not over */

struct tug_series {
    struct tug_series_sum sum;
    struct tug_vec(struct tug_series_user) users; /* as they came */
    struct tug_vec(struct tug_series_job) jobs;   /* as they came; only with keep_jobs */
    struct tug_vec(struct tug_series_bar *) bars; /* after finish(): by start */
    uint64_t bars_seen;
    /* the rest is series.c's */
    struct tug_series_live *live;
    struct tug_series_by_name *by_name;
    struct tug_heap smallest;
    size_t n_slices;
    uint64_t waiting, wanted_gpus, used_gpus;
    int keep_jobs, has_begun;
    FILE *csv;
    const char *const *node_names;
    uint32_t n_nodes;
};

/* node_names: borrowed, one for each node; NULL = n1, n2, ... */
struct tug_series *tug_series_new(uint64_t gpus, uint32_t n_nodes, const char *const *node_names);
void tug_series_free(struct tug_series *s);
void tug_series_keep_jobs(struct tug_series *s);
/* From now on, a row for every job that ends; finish() adds those that did not. The header is
 * written at once. */
void tug_series_csv(struct tug_series *s, FILE *to);
void tug_series_note(void *series, const struct tug_sim_note *n);
/* The simulation is over. Once, before anything is read. */
void tug_series_finish(struct tug_series *s);

int tug_series_size_of(uint32_t gpus);
/* The value that the share q of all does not exceed, in s; 0 of none. */
double tug_series_quantile_s(const struct tug_series_hist *h, double q);
/* How many are at most that. */
uint64_t tug_series_up_to(const struct tug_series_hist *h, int64_t ms);
void tug_series_hist_sum(const struct tug_series *s, struct tug_series_hist *all);
double tug_series_slowdown(const struct tug_series *s); /* mean of all that ended */

/* To another process of this same program: what comparisons need; bars stay behind. -EIO. */
int tug_series_save(const struct tug_series *s, FILE *to);
struct tug_series *tug_series_load(FILE *from);

#endif
