/* ncclxml.h - a machine as NCCL's topology file has it (NCCL_TOPO_FILE, NCCL_TOPO_DUMP_FILE), in and out
 *
 * The format is that of NCCL's src/graph/xml.cc: system > cpu > pci > ... > gpu > nvlink, and nic > net. A file may leave out what
 * NCCL then looks for on the machine itself (NVLinks, most often): that is left out here as well, with a warning. expat parses a text
 * that is handed over; like the readers of YAML it touches no file, so it stands beside them. Layer: conf.
 */
#ifndef TUG_CONF_NCCLXML_H
#define TUG_CONF_NCCLXML_H

#include "conf/machine.h"

enum {
    TUG_NCCLXML_BYTES_MAX = 1024 * 1024,
    TUG_NCCLXML_DEPTH_MAX = 32,
    TUG_NCCLXML_ELEMENTS_MAX = 4096,
};

struct tug_ncclxml_opts {
    const char *name; /* of the machine */
    const char *nics; /* bus ids with commas between: devices without a class that are adapters, not GPUs. NULL = none */
};

/* Read 'text', which 'file' has. GPUs are in the order of their 'dev', or else of their bus ids. 0 with a new sheet that is sound;
 * what is odd but was read is a line each in 'warnings'. -EINVAL: what is wrong is in 'errs' with its line: no such XML, entities, a
 * DOCTYPE, too large or too deep, over 64 GPUs, NVLinks that are not the same in both directions. */
int tug_ncclxml_read(const char *file, const char *text, size_t len, const struct tug_ncclxml_opts *opts,
                     struct tug_sheet **out, struct tug_buf *warnings, struct tug_conf_errors *errs);

/* A file that NCCL loads. Bus ids are made up (a sheet has none) and must be those of the machine before NCCL runs there; NODE is
 * PHB to NCCL. Bandwidths are not in such a file, and CPUs are Intel's in it: a sheet does not say which. */
void tug_ncclxml_write(const struct tug_sheet *s, struct tug_buf *out);

#endif
