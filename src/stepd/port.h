/* port.h - the rendezvous port of a gang, reserved on its head, and the one of NCCL's status service,
 * reserved on every node with GPUs. Layer: stepd. */
#ifndef TUG_STEPD_PORT_H
#define TUG_STEPD_PORT_H

#include "base/err.h"

struct tug_port;

/* Reserve a pair of TCP ports on this host: tug_port_number() for rank 0 and tug_port_ras() for NCCL's
 * status service, which all ranks of a node share and no other step may. -EADDRINUSE  none is free */
int tug_port_reserve(struct tug_port **out, struct tug_err *err);
unsigned tug_port_number(const struct tug_port *p);
unsigned tug_port_ras(const struct tug_port *p);
/* Let the ranks bind them; other step daemons keep off until tug_port_free(). */
void tug_port_release(struct tug_port *p);
void tug_port_free(struct tug_port *p);

#endif
