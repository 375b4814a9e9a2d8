/* mesh.h - which nodes of a gang do not reach each other, asked once ranks have failed or hang
 *
 * The star has connections from the head to all; between two others only ranks have some, and say nothing of it but that they
 * failed. When that happens the head has all nodes try each other. Each tries those next to it in the gang's order, and some
 * farther away as trees have them, so there are at most 140 tries a node whatever the size of the gang. A pair is
 * told when one of them had no answer from the other one's machine for 10 s, and both have told the head what they saw: so both
 * were there. Gangs of fewer than three nodes have no such pairs. Layer: stepd.
 */
#ifndef TUG_STEPD_MESH_H
#define TUG_STEPD_MESH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "proto/step.pb-c.h"
#include "stepd/payload.h"
#include "stepd/star.h"

struct tug_mesh;

/* Head: node 'a' does not reach node 'b', and both are there. */
typedef void tug_mesh_cb(void *arg, unsigned a, unsigned b);

/* Listens, so that it can be reached by others, and tells the star where. */
int tug_mesh_new(struct tug_mesh **out, struct event_base *base, const struct tug_payload *p, struct tug_star *star, tug_mesh_cb *cb,
                 void *arg, struct tug_err *err);

/* Head: have all look. Nothing happens while they do already. */
void tug_mesh_ask(struct tug_mesh *m);
/* Head: nobody looks, or all who could tell have. NULL: so it is. */
bool tug_mesh_settled(const struct tug_mesh *m);
void tug_mesh_look(struct tug_mesh *m, const Tugpb__StarMesh *order);
/* Head: what 'from' has seen. */
void tug_mesh_hears(struct tug_mesh *m, unsigned from, const Tugpb__StarMeshSeen *seen);

#endif
