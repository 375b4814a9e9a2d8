/* links.h - pairs of nodes whose link failed: tug nodes --links, tug node show, tug node link clear
 *
 * Layer: cli.
 */
#ifndef TUG_CLI_LINKS_H
#define TUG_CLI_LINKS_H

#include <stdbool.h>

#include "base/err.h"
#include "proto/client.pb-c.h"

struct tug_hostlist;

/* Pairs with a node of the list (NULL = all) as a table, or as JSON. */
int tug_links_list(const struct tug_hostlist *of, bool no_head, struct tug_err *err);
/* "n7: not used together until ...; failed 2 times, last in job 12, ...": what there is to say of the link of that node. */
void tug_link_say(const Tugpb__LinkView *l, const char *node);
/* tug node link clear A B: -EINVAL is wrong usage. */
int tug_link_clear(int n, char **words, struct tug_err *err);

#endif
