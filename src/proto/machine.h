/* machine.h - a machine of base/machine.h as a message, and back
 *
 * Layer: proto.
 */
#ifndef TUG_PROTO_MACHINE_H
#define TUG_PROTO_MACHINE_H

#include "base/err.h"
#include "base/machine.h"
#include "proto/msg.h"
#include "proto/node.pb-c.h"

/* In memory of the arena, whole; strings and matrices are copies. NULL: over the arena's budget. */
Tugpb__Machine *tug_machine_pb(struct tug_arena *a, const struct tug_machine *m);
/* A new machine that the caller frees; checked by tug_machine_check().
 *   -EPROTO  a matrix that is not of the size that its rows say, or what the check says: 'err' names it */
int tug_machine_of_pb(const Tugpb__Machine *pb, struct tug_machine **out, struct tug_err *err);

#endif
