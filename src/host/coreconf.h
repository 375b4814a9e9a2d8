/* coreconf.h - the scheduler's part of the configuration, as the core takes it
 *
 * conf and core don't know each other: this is the one place where keys of tugline.yaml become
 * queues, nodes and rules of the core, for the daemon and for the simulator.
 */
#ifndef TUG_HOST_CORECONF_H
#define TUG_HOST_CORECONF_H

#include "base/err.h"
#include "base/vec.h"
#include "conf/config.h"
#include "conf/machine.h"
#include "core/core.h"
#include "host/etcd.h"
#include "host/store.h"

struct tug_coreconf_kind {
    const char *file, *name; /* who asked for it */
    struct tug_sheet *sheet;
};
struct tug_coreconf_kinds tug_vec(struct tug_coreconf_kind);

struct tug_coreconf {
    struct tug_core_conf core; /* points into the configuration and into what follows */
    struct tug_core_queue *queues;
    struct tug_core_account *accounts;
    struct tug_core_node_row *nodes;
    struct tug_core_domain *domains;
    struct tug_core_level *levels;
    const struct tug_sheet **sheets; /* of each node: what its kind of machine is; NULL = the row names none */
    struct tug_coreconf_kinds kinds; /* each once, owned */
    char **strings; /* owned texts */
    size_t n_strings;
};

/* Read the files, and those of the machines that nodes name. -EINVAL: all that is wrong, a line each, in 'err'. */
int tug_coreconf_read(const char *path, struct tug_config *out, struct tug_err *err);
/* Valid as long as 'cfg' stays as it is. To be cleared. What a row does not say of GPUs, its machine does; not CPUs and memory,
 * as real nodes have a little less of these than the data sheet. */
void tug_coreconf_make(const struct tug_config *cfg, struct tug_coreconf *out);
void tug_coreconf_clear(struct tug_coreconf *c);

/* ---- where its state is */

struct tug_coreconf_store {
    struct tug_store_opts opts;    /* points into the rest */
    struct tug_etcd_opts etcd;
    char *path, *prefix, *name;
};
/* As cluster.store says; the file is in 'state_dir'. Valid as long as the configuration; clear afterwards. */
void tug_coreconf_store(const struct tug_config *cfg, const char *state_dir, struct tug_coreconf_store *out);
void tug_coreconf_store_clear(struct tug_coreconf_store *s);
enum { TUG_STORE_IN_SQLITE, TUG_STORE_IN_ETCD };   /* values of cluster.store */

#endif
