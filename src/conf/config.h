/* config.h - the controller's and the node's configuration as structs
 *
 * config.def has every key. A loaded configuration is complete and consistent: defaults are in,
 * there is at least one queue and exactly one of them is the default, every node a queue names is
 * known, no host has two rows, the fabric is a tree. It is not changed after loading; a reload makes a new one.
 *
 * Units are in the names of the fields; strings may be NULL (not set) unless they have a default.
 *
 *     struct tug_config {                      cfg.cluster.listen.port, cfg.timeouts.lease_s,
 *         cluster, scheduler, timeouts,        cfg.limits.max_env_bytes, (enum tug_log_level)
 *         limits, logging                      cfg.logging.level ...
 *         struct tug_conf_queue *queues;       in the order of the file
 *         size_t n_queues;
 *         struct tug_conf_node *nodes;         rows, each with one or many hosts
 *         size_t n_nodes;
 *         struct tug_conf_domain *fabric;      domains; n_fabric
 *         struct tug_conf_level *fabric_levels; what is known of their levels; n_fabric_levels
 *     };
 */
#ifndef TUG_CONF_CONFIG_H
#define TUG_CONF_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/errors.h"
#include "conf/schema.h"
#include "conf/source.h"

struct tug_config_files; /* opaque: the names that positions point to */
struct tug_config_hosts; /* opaque: from host name to row */

#include "conf/structs.h"
#include "conf/config.def"

enum { TUG_QUEUE_UP, TUG_QUEUE_DOWN }; /* tug_conf_queue.state */

/* Read a configuration. 0, or -EINVAL with everything that is wrong in 'errs', sorted; 'out' is
 * then as it was. 'errs' is to be zeroed before, and cleared after a failure. */
int tug_config_load(const struct tug_source_reader *reader, const char *path,
                    struct tug_config *out, struct tug_conf_errors *errs);
int tug_node_config_load(const struct tug_source_reader *reader, const char *path,
                         struct tug_node_config *out, struct tug_conf_errors *errs);

/* Zeroed is cleared. */
void tug_config_clear(struct tug_config *config);
void tug_node_config_clear(struct tug_node_config *config);

/* NULL when there is none. Valid until the configuration is cleared. */
const struct tug_conf_queue *tug_config_find_queue(const struct tug_config *config,
                                                   const char *name);
const struct tug_conf_queue *tug_config_default_queue(const struct tug_config *config);
const struct tug_conf_node *tug_config_find_node(const struct tug_config *config, const char *host);
size_t tug_config_count_hosts(const struct tug_config *config);

/* tree.c: parents are there, none is below itself; guarantees fit into what is above them and into the cluster; users can
 * be read. */
void tug_config_check_queues(const struct tug_config *config, struct tug_conf_errors *errs);
void tug_config_check_accounts(const struct tug_config *config, struct tug_conf_errors *errs);
/* fabric.c: parents are there, none is below itself, nodes are known and in one domain, described levels are used. */
void tug_config_check_fabric(const struct tug_config *config, bool nodes_known,
                             struct tug_conf_errors *errs);

bool tug_config_queue_has(const struct tug_conf_queue *queue, const char *host);
/* May this user submit? An empty list lets everyone. */
bool tug_config_queue_allows(const struct tug_conf_queue *queue, const char *user);
/* Where the value of a field of the queue was written, for "... is over queue 'train's 72:00:00
 * (queues.yaml:31)": tug_config_queue_pos(q, &q->max_time_s). */
struct tug_conf_pos tug_config_queue_pos(const struct tug_conf_queue *queue, const void *field);

/* What a reload from 'was' to 'is' changes; diff->needs_restart when a running daemon cannot take
 * all of it. The caller clears 'diff' with tug_schema_diff_clear(). */
void tug_config_diff(const struct tug_config *was, const struct tug_config *is,
                     struct tug_schema_diff *diff);
void tug_node_config_diff(const struct tug_node_config *was, const struct tug_node_config *is,
                          struct tug_schema_diff *diff);

/* As YAML that loads to an equal configuration; the comments tell where each value comes from. */
void tug_config_dump(const struct tug_config *config, struct tug_buf *out);
void tug_node_config_dump(const struct tug_node_config *config, struct tug_buf *out);

#endif
