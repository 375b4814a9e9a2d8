/* machine.h - a kind of machine as a small YAML text: what is inside such a node, and where that is known from
 *
 * machine.def has every key. A sheet says in a few words what holds for all GPUs (switches, classes, bandwidth of a link) and
 * names the pairs that are different, so that a matrix of 8 x 8 takes three lines and can't be asymmetric.
 * Reading what was written gives an equal sheet. Nothing here touches a file; host/machines.h finds them. Layer: conf.
 */
#ifndef TUG_CONF_MACHINE_H
#define TUG_CONF_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/machine.h"
#include "base/mig.h"
#include "conf/errors.h"
#include "conf/schema.h"

struct tug_sheet {
    struct tug_machine machine;
    struct tug_mig mig;         /* what its GPUs are cut into, by GPU */
    uint32_t cpus;              /* 0 = not known */
    uint64_t mem_bytes;         /* 0 = not known */
    uint32_t nvlink_nodes;      /* that one NVLink network joins; 1 = it ends in the node */
    char *about;                /* "" = nothing */
    struct tug_conf_strings source, aliases;
};

/* Of machine.def; for the manual. */
extern const struct tug_schema tug_sheet_text_schema;

struct tug_sheet *tug_sheet_new(void);
void tug_sheet_free(struct tug_sheet *s);

/* Read 'text', which 'file' has. 0 with a new sheet whose machine is sound by tug_machine_check(), or -EINVAL with everything
 * that is wrong in 'errs', sorted, each at its line and column; '*out' is then as it was. */
int tug_sheet_read(const char *file, const char *text, size_t len, struct tug_sheet **out, struct tug_conf_errors *errs);

/* As YAML that reads to an equal sheet. Names that no key may have (machine and NICs: letters, digits, '.', '_', '-') are
 * changed to such: what cannot stand there becomes '_'. Bandwidths are in MB/s and so exact. */
void tug_sheet_write(const struct tug_sheet *s, struct tug_buf *out);

/* Keep the first 'n' GPUs, all NICs and all the rest; for emulated nodes with fewer GPUs than the machine has. */
void tug_sheet_cut(struct tug_sheet *s, uint32_t n);

#endif
