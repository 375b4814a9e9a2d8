/* life.h - the life of a step on this node, from payload to acknowledged result. Layer: stepd. */
#ifndef TUG_STEPD_LIFE_H
#define TUG_STEPD_LIFE_H

#include "base/err.h"
#include "stepd/payload.h"

struct tug_loop;
struct tug_life;

/* Dials the node daemon and begins. All arguments are borrowed for the life of the object, which is
 * that of the process. */
int tug_life_new(struct tug_life **out, struct tug_loop *loop, const struct tug_payload *p,
                 const char *noded, const char *run_dir, struct tug_err *err);
/* Runs the loop until the result was acknowledged, or nobody is left who could. */
void tug_life_run(struct tug_life *l);

#endif
