/* hwlocxml.h - a machine as hwloc's XML has it (lstopo --of xml), in and out
 *
 * Read with our own parser: files of hwloc 2 and 3 alike, matrices of NVLinks as they are written (hwloc 2.9.0 loses some when it
 * folds switches away), and nothing that a stranger wrote reaches another library. The format is that of hwloc2.dtd. Layer: conf.
 */
#ifndef TUG_CONF_HWLOCXML_H
#define TUG_CONF_HWLOCXML_H

#include "conf/machine.h"

enum {
    TUG_HWLOCXML_BYTES_MAX = 16 * 1024 * 1024,
    TUG_HWLOCXML_DEPTH_MAX = 64,
    TUG_HWLOCXML_ELEMENTS_MAX = 200 * 1000,
};

/* As tug_ncclxml_read(): NVIDIA's GPUs in the order of their bus ids, adapters that have a network or verbs device, and the matrix
 * "NVLinkBandwidth". Speeds of adapters are not in such files. */
int tug_hwlocxml_read(const char *file, const char *text, size_t len, const char *name, struct tug_sheet **out,
                      struct tug_buf *warnings, struct tug_conf_errors *errs);

/* A file that hwloc 2 loads: a package for each NUMA node, with its CPUs, memory, PCI devices and the matrix of NVLinks. Bus ids are
 * made up. */
void tug_hwlocxml_write(const struct tug_sheet *s, struct tug_buf *out);

#endif
