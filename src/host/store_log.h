/* store_log.h - the log of a state that controllers share, as it lies in etcd: read to its end, and looked over for holes
 *
 * Only the oldest entries of a log are ever deleted, one after the other, by who leads. So what is missing between two that are
 * there, or before the number that the newest one says the log begins with, was lost: deleted by hand, or etcd itself is not
 * what it was. Nobody goes on from that. Layer: host.
 */
#ifndef TUG_HOST_STORE_LOG_H
#define TUG_HOST_STORE_LOG_H

#include "base/batch.h"
#include "base/err.h"
#include "host/etcd.h"
#include "host/reclog.h"

struct tug_store_log { /* all of it borrowed */
    struct tug_etcd *etcd;
    const char *prefix;
    struct tug_reclog *log;
    const uint64_t *copied; /* rows of entries up to this one are known already */
    /* Rows of a page of the log, when there are any: takes 'rows', and moves *copied on to tug_reclog_next() - 1. */
    void (*on_rows)(void *arg, struct tug_batch *rows);
    void *arg;
};

/* Read on to the end: all that was acknowledged to anybody before this call is in 'log' afterwards.
 *   -EILSEQ  damaged, or keys are missing: names them. Others as etcd.h has them */
int tug_store_log_read(const struct tug_store_log *at, struct tug_err *err);

/* Whether a key is missing between the first of the log, *first (0 = there is none), and 'last'. -EILSEQ names it. */
int tug_store_log_look(struct tug_etcd *etcd, const char *prefix, uint64_t last, uint64_t *first, struct tug_err *err);

/* Whoever copied rows of entries up to 'copied' has read those: a log that ends with 'last' (0 = it is empty) before that is not what it
 * was. -EILSEQ says so. */
int tug_store_log_reaches(const char *prefix, uint64_t last, uint64_t copied, struct tug_err *err);

/* -EILSEQ, always: the parts from..to are missing, because... */
int tug_store_log_missing(const char *prefix, uint64_t from, uint64_t to, const char *why, struct tug_err *err);

#endif
