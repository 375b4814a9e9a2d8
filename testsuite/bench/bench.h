/* bench.h - a core with a cluster, jobs that come and go, and clocks: what the benches of the core share. Layer: tests. */
#ifndef TUG_BENCH_H
#define TUG_BENCH_H

#include "base/rand.h"
#include "core/core.h"

enum { BENCH_GPUS = 8 };

extern struct tug_core *bench_core;
extern struct tug_rand bench_rand; /* seeded by bench_open() */
extern int64_t bench_now_ms;
extern tug_job_id bench_last_id;

_Noreturn void bench_die(const char *what);
/* Of this thread on a CPU: whoever else runs on the machine does not count. And of the wall. */
double bench_cpu_us(void);
double bench_wall_ms(void);

/* Nodes n0, n1, ... of 8 GPUs and 64 CPUs, all up, in queue 'all'; jobs of queue 'low' give way to those of it. */
struct bench_cluster {
    uint32_t nodes;
    uint32_t leaf;                     /* nodes in each; 0 = no fabric, and first fit */
    uint32_t spine;                    /* leaves below each; 0 = all below one */
    double spine_over;                 /* its oversubscription; leaves have 2 */
    const struct tug_machine *machine; /* NULL = not known */
    uint32_t failed; /* so many nodes have failed lately */
    uint32_t pairs;  /* so many pairs of nodes, each of one leaf, are not used together */
    uint64_t seed;
    int quiet;
};
void bench_open(const struct bench_cluster *cluster); /* instead of the last one */
void bench_close(void);

void bench_apply(struct tug_event ev); /* or ends the program */
void bench_drain(void);                /* nodes do at once what they are told */
struct tug_job_req bench_ask(uint32_t nodes, uint32_t gpus); /* 4 CPUs a GPU, an hour */
void bench_submit(const struct tug_job_req *r); /* as bench_last_id */
void bench_cancel(tug_job_id id);
void bench_end(const struct tug_job *j); /* all of it is done, well */

/* The one at so many thousandths of the sorted values, which are sorted then. */
double bench_quantile(double *values, size_t n, unsigned milli);

#endif
