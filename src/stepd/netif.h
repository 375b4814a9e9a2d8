/* netif.h - which network interface carries the node's address. Layer: stepd. */
#ifndef TUG_STEPD_NETIF_H
#define TUG_STEPD_NETIF_H

#include <stddef.h>

/* The interface that has 'address' (numeric), or whose network holds it (127.0.0.5 is on lo), and
 * that network as "10.1.0.0/16". Both "" when there is none. */
void tug_netif_find(const char *address, char *name, size_t name_size, char *cidr,
                    size_t cidr_size);

#endif
