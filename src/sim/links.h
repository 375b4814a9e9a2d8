/* links.h - what gangs had of the links between their GPUs, and how broken up the rest was
 *
 * Of every start of a gang whose bandwidth the core predicts (core/quality.h): that and its quality. And the share of the free GPUs
 * that gangs like those that came by then could not use (core/frag.h), looked at once an hour of the trace. Layer: sim.
 */
#ifndef TUG_SIM_LINKS_H
#define TUG_SIM_LINKS_H

#include "core/core.h"

struct tug_links; /* opaque: see links.c */
struct tug_sim_result;

struct tug_links *tug_links_new(void);
void tug_links_free(struct tug_links *l); /* NULL is fine */
/* A job that came. */
void tug_links_came(struct tug_links *l, const struct tug_job_req *r);
void tug_links_started(struct tug_links *l, const struct tug_job *j);
/* It is that late now. */
void tug_links_look(struct tug_links *l, const struct tug_core *c, int64_t now_ms);
/* Fills in result's 'links'. */
void tug_links_finish(const struct tug_links *l, struct tug_sim_result *r);

#endif
