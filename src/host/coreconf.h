/* coreconf.h - the scheduler's part of the configuration, as the core takes it
 *
 * conf and core don't know each other: this is the one place where keys of tugline.yaml become
 * queues, nodes and rules of the core, for the daemon and for the simulator.
 */
#ifndef TUG_HOST_CORECONF_H
#define TUG_HOST_CORECONF_H

#include "base/err.h"
#include "conf/config.h"
#include "core/core.h"

struct tug_coreconf {
    struct tug_core_conf core; /* points into the configuration and into what follows */
    struct tug_core_queue *queues;
    struct tug_core_account *accounts;
    struct tug_core_node_row *nodes;
    struct tug_core_domain *domains;
    struct tug_core_level *levels;
    char **strings; /* owned texts */
    size_t n_strings;
};

/* Read the files. -EINVAL: all that is wrong, a line each, in 'err'. */
int tug_coreconf_read(const char *path, struct tug_config *out, struct tug_err *err);
/* Valid as long as 'cfg' stays as it is. To be cleared. */
void tug_coreconf_make(const struct tug_config *cfg, struct tug_coreconf *out);
void tug_coreconf_clear(struct tug_coreconf *c);

#endif
