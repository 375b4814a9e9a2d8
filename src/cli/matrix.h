/* matrix.h - a machine as `nvidia-smi topo -m` shows one
 *
 * A row for each GPU: what is between it and each GPU and NIC, its NUMA node and the CPUs there; below it, what those
 * words mean, with the bandwidths, and the names of the NICs. Only what occurs is explained. Layer: cli.
 */
#ifndef TUG_CLI_MATRIX_H
#define TUG_CLI_MATRIX_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/gpuset.h"
#include "base/machine.h"

struct tug_matrix_more {           /* zeroes: nothing more is known */
    const char *const *numa_cpus;  /* m->n_numa texts like "0-55,112-167"; NULL: no such column */
    tug_gpuset lost;               /* GPUs that the driver cannot reach */
};

/* Appends it; 'more' may be NULL. A machine that passed tug_machine_check(). */
void tug_matrix_print(const struct tug_machine *m, const struct tug_matrix_more *more, bool colour, struct tug_buf *out);

#endif
