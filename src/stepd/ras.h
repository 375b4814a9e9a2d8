/* ras.h - asks NCCL's status service (RAS) of the ranks on this node
 *
 * A line protocol over TCP (src/ras/client_support.cc of https://github.com/NVIDIA/nccl): "CLIENT PROTOCOL 2" is answered
 * by "SERVER PROTOCOL n", "TIMEOUT s" and "SET FORMAT json" by "OK", "VERBOSE STATUS" by the report, after which the
 * server closes. JSON is there since NCCL 2.28.7. The ranks of a node share the port, and whichever the kernel chooses
 * answers for the whole job. Layer: stepd.
 */
#ifndef TUG_STEPD_RAS_H
#define TUG_STEPD_RAS_H

#include <stdbool.h>

#include "base/err.h"
#include "stepd/rasreport.h"

struct event_base;
struct tug_ras;

/* One question's answer: the report, or NULL and why there is none; code -ECONNREFUSED: nobody is there (yet), -ENOTSUP:
 * NCCL is too old, -ETIMEDOUT, -E2BIG, -EPROTO. Borrowed for the call. */
typedef void tug_ras_cb(void *arg, const struct tug_ras_report *report, const struct tug_err *why);

/* 'addr' as in NCCL_RAS_ADDR: "localhost:28028", or an address of this host and a port.
 *   -EINVAL  it is not that */
int tug_ras_new(struct tug_ras **out, struct event_base *base, const char *addr, tug_ras_cb *cb, void *arg,
                struct tug_err *err);
void tug_ras_free(struct tug_ras *r);
/* Ask; the answer comes within 'limit_ms'. Does nothing while one is under way. */
void tug_ras_ask(struct tug_ras *r, unsigned limit_ms);

#endif
