/* probe.h - a prober: measures all-reduce over the ranks of a gang; each transport is a program of its own
 *
 * Functions return 0 or -1 with a sentence in 'why' (TUG_WHY_MAX). All that take a communicator are
 * collectives of it. Layer: probe.
 */
#ifndef TUG_PROBE_PROBE_H
#define TUG_PROBE_PROBE_H

#include <stddef.h>
#include <tugline/tugline.h>

struct probe_comm {
    int rank, n; /* n = 0: this rank is in none */
    void *own;   /* the transport's */
};

struct probe_transport {
    const char *name;
    const char *sizes; /* what is measured when nobody says */
    size_t try_bytes;  /* what a preflight measures */
    /* All ranks of the gang, numbered as Tugline does. */
    int (*start)(const struct tug_world *w, struct probe_comm *all, char *why);
    /* Ranks of the same colour get one together; -1: is in none. */
    int (*split)(const struct probe_comm *of, int color, struct probe_comm *out, char *why);
    /* So many all-reduces of float over 'bytes' bytes: the time they took here. Checks that what comes out is the sum. */
    int (*reduce)(struct probe_comm *c, size_t bytes, int times, double *seconds, char *why);
    /* One number of each rank, by rank. */
    int (*gather)(struct probe_comm *c, double mine, double *all, char *why);
    void (*drop)(struct probe_comm *c);
    void (*finish)(void);
};
/* The one that this program is built with. */
extern const struct probe_transport probe_transport;

/* ---- measure.c */

struct probe_figure {
    size_t bytes;
    int times;
    double seconds; /* of one all-reduce, on the slowest rank */
    double algbw;   /* bytes a second: bytes / seconds */
    double busbw;   /* algbw x 2(n-1)/n: what each rank's link carries, the same for any n (nccl-tests, doc/PERFORMANCE.md) */
};
double probe_busbw(double algbw, int n);
int probe_measure(struct probe_comm *c, size_t bytes, struct probe_figure *out, char *why);
/* "4K,1M,16M" or "4K..16M" (in steps of 4). How many, at most 'room'; 0 = not that, which the sentence says. */
int probe_sizes(const char *text, size_t *out, int room, char *why);

/* ---- culprit.c */

/* Which node keeps the gang below the floor, and what it reached; -1 = none can be named. All ranks get the same answer. */
int probe_culprit(const struct tug_world *w, struct probe_comm *all, size_t bytes, double floor, int *node,
                  double *figure, char *why);
/* Its parts: the pair that a node is in (-1 = none); how many rounds; the worst of what nodes reached (< 0 = not known). */
int probe_pair(int node, int nodes, int round);
int probe_rounds(int nodes);
int probe_worst(const double *best, int nodes, double floor);

int probe_fail(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
