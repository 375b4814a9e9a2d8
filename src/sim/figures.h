/* figures.h - what came of a simulation, in numbers
 *
 * Of every job that ends three numbers are kept, and one row for each user. Layer: sim.
 */
#ifndef TUG_SIM_FIGURES_H
#define TUG_SIM_FIGURES_H

#include <stdint.h>

struct tug_figures; /* opaque: see figures.c */
struct tug_sim_result;

struct tug_figures_job { /* one that ended; times in the simulation's ticks */
    const char *user;
    uint32_t gpus;
    int64_t jct, wait, duration;
};

/* ticks_per_s: of the times that are told. */
struct tug_figures *tug_figures_new(int64_t ticks_per_s);
void tug_figures_free(struct tug_figures *f); /* NULL is fine */
/* A number for that user, from 0 on. */
uint32_t tug_figures_user(struct tug_figures *f, const char *name);
void tug_figures_add(struct tug_figures *f, const struct tug_figures_job *j);
/* Fills in 'finished', averages, percentiles, classes and fairness. */
void tug_figures_finish(struct tug_figures *f, struct tug_sim_result *r);

#endif
