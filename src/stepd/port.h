/* port.h - the rendezvous port of a gang, reserved on its head. Layer: stepd. */
#ifndef TUG_STEPD_PORT_H
#define TUG_STEPD_PORT_H

#include "base/err.h"

struct tug_port;

/* Reserve a pair of TCP ports on this host: tug_port_number() for rank 0 and the next one for
 * NCCL's status service. -EADDRINUSE  none is free */
int tug_port_reserve(struct tug_port **out, struct tug_err *err);
unsigned tug_port_number(const struct tug_port *p);
/* Let the ranks bind them; other step daemons keep off until tug_port_free(). */
void tug_port_release(struct tug_port *p);
void tug_port_free(struct tug_port *p);

#endif
