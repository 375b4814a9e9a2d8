/* exchange.h - what ranks exchange through PMIx across nodes: fences, direct gets, published data
 *
 * Sits between the PMIx server of this node and the star. The head joins fences and keeps what was
 * published. Layer: stepd.
 */
#ifndef TUG_STEPD_EXCHANGE_H
#define TUG_STEPD_EXCHANGE_H

#include <stdbool.h>

#include "host/pmix.h"
#include "stepd/payload.h"
#include "stepd/star.h"

struct event_base;
struct tug_exchange;

struct tug_exchange_ops {
    void (*on_up)(void *arg, const struct tug_err *err);
    void (*on_connected)(void *arg, unsigned rank);
    void (*on_abort)(void *arg, unsigned rank, int status, const char *text);
};

/* Starts the PMIx server; 'run_dir' is where it keeps its files. */
int tug_exchange_new(struct tug_exchange **out, struct event_base *base,
                     const struct tug_payload *p, struct tug_star *star, const char *run_dir,
                     const struct tug_exchange_ops *ops, void *arg, struct tug_err *err);
struct tug_pmix *tug_exchange_pmix(struct tug_exchange *x);
/* A message of the star; false: it is not for us. */
bool tug_exchange_message(struct tug_exchange *x, unsigned from, enum tug_msg number,
                          const ProtobufCMessage *m);

#endif
