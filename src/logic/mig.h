/* mig.h - which numbers the slices of a node's GPUs have among its devices. Layer: logic. */
#ifndef TUG_LOGIC_MIG_H
#define TUG_LOGIC_MIG_H

#include "logic/control_int.h"
#include "proto/node.pb-c.h"

#define TUG_MIG_NO_DEVICE UINT32_MAX /* there are no numbers left: it is given to nobody */

/* The inventory with a number in each of its slices: what was there keeps the one it had, by UUID, and what is new gets
 * the lowest behind the GPUs that no slice has and nobody holds anything by. In the arena, or 'inv' itself. */
const Tugpb__Inventory *tug_ctl_mig_number(struct tug_control *c, struct tug_arena *a, uint32_t node, const Tugpb__Inventory *inv);
/* As the core takes them, inv->n_mig; the caller frees *out. Profiles are borrowed. */
struct tug_core_mig *tug_ctl_mig_rows(const Tugpb__Inventory *inv, struct tug_core_mig **out);

#endif
