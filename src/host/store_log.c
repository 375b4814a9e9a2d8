/* store_log.c - the log of a state that controllers share, as it lies in etcd: read to its end, and looked over for holes
 *
 * One answer of etcd is of one moment, so a gap within it is a hole; between two answers whoever leads may have cleaned.
 * Layer: host.
 */
#include "host/store_log.h"

#include <errno.h>
#include <stdlib.h>

#include "host/store_keys.h"

#define PAGE 16

int tug_store_log_missing(const char *prefix, uint64_t from, uint64_t to, const char *why, struct tug_err *err)
{
    char *first = tug_store_key_log(prefix, from), *last = tug_store_key_log(prefix, to);
    int rc = from == to ? tug_fail(err, -EILSEQ, "etcd: key %s of the log is missing: %s", first, why)
                        : tug_fail(err, -EILSEQ, "etcd: keys %s to %s of the log are missing: %s", first, last, why);
    free(first);
    free(last);
    return rc;
}

static int missing_between(const char *prefix, uint64_t from, uint64_t to, struct tug_err *err)
{
    return tug_store_log_missing(prefix, from, to,
                                 "older and newer ones are there, and only the oldest are ever deleted by a controller", err);
}

/* ---- reading */

struct page {
    const struct tug_store_log *at;
    struct tug_batch *rows;
    size_t n;
};

static int on_part(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct page *p = arg;
    uint64_t number, next = tug_reclog_next(p->at->log);
    int rc = tug_store_key_number(kv->key, &number, err);
    if (rc)
        return rc;
    rc = tug_reclog_feed(p->at->log, number, kv->value, kv->len, number > *p->at->copied ? p->rows : NULL, err);
    if (rc == -ESTALE && p->n)
        return missing_between(p->at->prefix, next, number - 1, err);
    p->n++;
    return rc == -EILSEQ ? tug_fail_ctx(err, rc, "etcd: key %s", kv->key) : rc;
}

static int on_any(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    (void) err;
    return tug_store_key_number(kv->key, arg, err);
}

/* The next parts are gone. With all before them: cleaned while we were away, so begin again with what there is. */
static int begin_again(const struct tug_store_log *at, struct tug_err *err)
{
    uint64_t next = tug_reclog_next(at->log), older = 0, newer = 0;
    char *from = tug_store_key_log(at->prefix, 0), *to = tug_store_key_log(at->prefix, next);
    char *end = tug_store_key_log_end(at->prefix);
    int rc = tug_etcd_range(at->etcd, from, to, 1, on_any, &older, err);
    if (!rc && older)
        rc = tug_etcd_range(at->etcd, to, end, 1, on_any, &newer, err);
    if (!rc && older && newer > next)
        rc = missing_between(at->prefix, next, newer - 1, err);
    if (!rc)
        tug_reclog_reset(at->log);
    free(from);
    free(to);
    free(end);
    return rc;
}

/* 1: there may be more. */
static int read_page(const struct tug_store_log *at, struct tug_err *err)
{
    struct page p = {.at = at, .rows = tug_batch_new()};
    char *from = tug_store_key_log(at->prefix, tug_reclog_next(at->log)), *to = tug_store_key_log_end(at->prefix);
    int rc = tug_etcd_range(at->etcd, from, to, PAGE, on_part, &p, err);
    if (tug_batch_len(p.rows))
        at->on_rows(at->arg, p.rows);
    else
        tug_batch_free(p.rows);
    free(from);
    free(to);
    if (rc == -ESTALE)
        rc = begin_again(at, err);
    else if (!rc)
        return p.n == PAGE;
    return rc ? rc : 1;
}

int tug_store_log_read(const struct tug_store_log *at, struct tug_err *err)
{
    uint64_t from, to;
    int rc;
    do
        rc = read_page(at, err);
    while (rc == 1);
    if (!rc && !tug_reclog_begins(at->log, &from, &to))
        rc = tug_store_log_missing(at->prefix, from, to, "the newest entry says that the log begins with them", err);
    return rc;
}

/* ---- looking it over */

int tug_store_log_reaches(const char *prefix, uint64_t last, uint64_t copied, struct tug_err *err)
{
    char *end = tug_store_key_log(prefix, last), *was = tug_store_key_log(prefix, copied);
    int rc = 0;
    if (!last && copied)
        rc = tug_fail(err, -EILSEQ,
                      "there is no state at %s in etcd, but this controller has copied the history of one up to %s: is etcd.prefix "
                      "right, and was etcd emptied or put back? To begin with no job, move history.db away first", prefix, was);
    else if (last < copied)
        rc = tug_fail(err, -EILSEQ,
                      "the log in etcd ends with %s, but this controller has copied the history up to %s: etcd was put back to what it "
                      "was before. What is there is an old state: make a backup of it (`tug admin backup`) and put that back "
                      "(`tug admin restore`), so that nothing is given out or run twice", end, was);
    free(end);
    free(was);
    return rc;
}

struct walk {
    const char *prefix;
    uint64_t next;
};

static int on_key(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct walk *w = arg;
    uint64_t number;
    int rc = tug_store_key_number(kv->key, &number, err);
    if (!rc && w->next && number != w->next)
        rc = missing_between(w->prefix, w->next, number - 1, err);
    w->next = number + 1;
    return rc;
}

int tug_store_log_look(struct tug_etcd *etcd, const char *prefix, uint64_t last, uint64_t *first, struct tug_err *err)
{
    struct walk w = {.prefix = prefix};
    char *from = tug_store_key_log(prefix, 0), *to = tug_store_key_log(prefix, last + 1);
    uint64_t n;
    *first = 0;
    int rc = tug_etcd_keys(etcd, from, to, 1, &n, on_any, first, err);
    if (!rc && n && n != last + 1 - *first) { /* rare: now find out which */
        rc = tug_etcd_keys(etcd, from, to, 0, &n, on_key, &w, err);
        if (!rc && w.next != last + 1)
            rc = tug_store_log_missing(prefix, w.next, last, "it was written, and only the oldest are ever deleted by a controller",
                                       err);
    }
    free(from);
    free(to);
    return rc;
}
