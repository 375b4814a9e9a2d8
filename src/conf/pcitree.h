/* pcitree.h - a tree of PCIe switches that gives the classes of a machine
 *
 * A sheet has classes of paths, files of others have trees. Devices are GPUs, then NICs. Whoever is joined by a class or a
 * nearer one, also by way of others, is one group; a group is called by the least of its devices. Layer: conf.
 */
#ifndef TUG_CONF_PCITREE_H
#define TUG_CONF_PCITREE_H

#include "base/machine.h"

#define TUG_PCITREE_MAX (TUG_GPUS_MAX + TUG_MACHINE_NICS_MAX)

struct tug_pcitree {
    uint32_t n, n_gpus;              /* devices; the first of them are GPUs */
    uint32_t numa[TUG_PCITREE_MAX];  /* 0 where nobody knows */
    uint8_t low[TUG_PCITREE_MAX];    /* below one switch: PIX */
    uint8_t high[TUG_PCITREE_MAX];   /* below switches of one host bridge: PXB */
    uint8_t host[TUG_PCITREE_MAX];   /* at one host bridge: PHB */
    uint32_t generation;             /* of PCIe: that which most pairs agree with, 3 to 6 */
};

void tug_pcitree_make(struct tug_pcitree *t, const struct tug_machine *m);
/* Does that group need a switch above those of its parts? */
int tug_pcitree_is_high(const struct tug_pcitree *t, uint32_t which);
/* ... one of its own? Below a common one a GPU has one, or it would be PIX to the others there. */
int tug_pcitree_is_low(const struct tug_pcitree *t, uint32_t which, int below_common);

#endif
