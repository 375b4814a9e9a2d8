/* batch.c - what one transaction changes: records put and deleted, rows added to the history
 *
 * The buffer is a run of operations: a fixed header with the length of each field, then the fields
 * one after the other, strings with their NUL. It never leaves the process, so its layout may
 * change at will.
 * Layer: base.
 */
#include "base/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

enum { N_STRINGS = 6 }; /* what user queue account name state */

struct tug_batch {
    struct tug_buf buf;
    size_t n;
};

/* Lengths of strings count the NUL, so 0 is NULL. */
struct head {
    uint32_t op, uid, attempt, pad;
    uint64_t job;
    int64_t at_ms;
    size_t len;              /* data or view */
    uint32_t has_data;       /* an empty view is not the same as none */
    uint32_t str[N_STRINGS]; /* put and del: 0 = kind, 1 = id */
};

struct tug_batch *tug_batch_new(void)
{
    return tug_new(struct tug_batch);
}

void tug_batch_free(struct tug_batch *b)
{
    if (b == NULL)
        return;
    tug_buf_clear(&b->buf);
    free(b);
}

void tug_batch_reset(struct tug_batch *b)
{
    tug_buf_reset(&b->buf);
    b->n = 0;
}

static void append(struct tug_batch *b, struct head *h, const char *const *str, size_t n_str,
                   const void *data)
{
    h->has_data = data != NULL;
    for (size_t i = 0; i < n_str; i++)
        h->str[i] = str[i] == NULL ? 0 : (uint32_t) strlen(str[i]) + 1;
    tug_buf_add(&b->buf, h, sizeof *h);
    for (size_t i = 0; i < n_str; i++)
        if (str[i] != NULL)
            tug_buf_add(&b->buf, str[i], h->str[i]);
    if (h->len > 0)
        tug_buf_add(&b->buf, data, h->len);
    b->n++;
}

void tug_batch_put(struct tug_batch *b, const char *kind, const char *id, const void *data,
                   size_t len)
{
    struct head h = {.op = TUG_BATCH_PUT, .len = len};

    tug_assert(kind[0] != '\0' && id[0] != '\0' && (data != NULL || len == 0));
    append(b, &h, (const char *const[]){kind, id}, 2, data != NULL ? data : "");
}

void tug_batch_del(struct tug_batch *b, const char *kind, const char *id)
{
    struct head h = {.op = TUG_BATCH_DEL};

    tug_assert(kind[0] != '\0' && id[0] != '\0');
    append(b, &h, (const char *const[]){kind, id}, 2, NULL);
}

void tug_batch_history(struct tug_batch *b, const struct tug_history_row *r)
{
    struct head h = {.op = TUG_BATCH_HISTORY,
                     .uid = r->uid,
                     .attempt = r->attempt,
                     .job = r->job,
                     .at_ms = r->at_ms,
                     .len = r->view != NULL ? r->view_len : 0};

    append(b, &h, (const char *const[]){r->what, r->user, r->queue, r->account, r->name, r->state},
           N_STRINGS, r->view);
}

size_t tug_batch_len(const struct tug_batch *b)
{
    return b->n;
}

size_t tug_batch_bytes(const struct tug_batch *b)
{
    return b->buf.len;
}

bool tug_batch_next(const struct tug_batch *b, size_t *pos, struct tug_batch_item *item)
{
    struct head h;
    const char *at, *str[N_STRINGS];

    if (*pos >= b->buf.len)
        return false;
    memcpy(&h, b->buf.data + *pos, sizeof h); /* operations are packed: not aligned */
    at = b->buf.data + *pos + sizeof h;
    for (size_t i = 0; i < N_STRINGS; i++) {
        str[i] = h.str[i] > 0 ? at : NULL;
        at += h.str[i];
    }
    *pos = (size_t) (at + h.len - b->buf.data);

    *item = (struct tug_batch_item){.op = (enum tug_batch_op) h.op};
    if (h.op == TUG_BATCH_HISTORY) {
        item->row = (struct tug_history_row){
            .job = h.job,
            .attempt = h.attempt,
            .what = str[0],
            .at_ms = h.at_ms,
            .uid = h.uid,
            .user = str[1],
            .queue = str[2],
            .account = str[3],
            .name = str[4],
            .state = str[5],
            .view = h.has_data ? at : NULL,
            .view_len = h.len,
        };
        return true;
    }
    item->kind = str[0];
    item->id = str[1];
    item->data = h.op == TUG_BATCH_PUT ? at : NULL;
    item->len = h.len;
    return true;
}
