/* node_show.h - tug node show, tug node history: why nodes are as they are
 *
 * Layer: cli.
 */
#ifndef TUG_CLI_NODE_SHOW_H
#define TUG_CLI_NODE_SHOW_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* 'words' are n host lists. On failure the sentence is in 'err'; -EINVAL: wrong usage. */
int tug_node_show(int n, char **words, struct tug_err *err);
int tug_node_history(int n, char **words, uint32_t limit, struct tug_err *err);
/* Adds who gave a reason: a user's name or uid, or which part of Tugline. */
void tug_node_whose(const char *by, const char *user, uint32_t uid, struct tug_buf *out);

#endif
