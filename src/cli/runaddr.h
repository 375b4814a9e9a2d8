/* runaddr.h - the address at which other hosts reach this one
 *
 * Layer: cli.
 */
#ifndef TUG_CLI_RUNADDR_H
#define TUG_CLI_RUNADDR_H

#define TUG_ADDRESS_MAX 64

/* $TUG_RUN_ADDRESS, else the first address of an interface that is up and not loopback (IPv4 before
 * IPv6), else 127.0.0.1. */
void tug_runaddr_own(char out[TUG_ADDRESS_MAX]);

#endif
