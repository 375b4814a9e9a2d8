/* reclog.c - records in a log: what is said where, and which entries can go
 *
 * 'entries' are in the order of their numbers and cover them without a hole, those of entries that were never
 * completed included (with nothing that holds). A record names the entry that said it last; 'bytes' of an entry is what
 * it takes, 'held' what of it still holds. Layer: host.
 */
#include "host/reclog.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/mem.h"
#include "proto/msg.h"
#include "proto/record.pb-c.h"

#define VERSION 1
#define SUM_LEN 16

struct record {
    char *key; /* kind, NUL, id, NUL */
    size_t key_len;
    uint64_t said; /* last part of its entry */
    size_t len;
    void *data; /* NULL: not kept */
    UT_hash_handle hh;
};

struct entry {
    uint64_t first, last;
    size_t bytes, held;
};

struct tug_reclog {
    struct record *records;
    struct tug_vec(struct entry) entries;
    size_t front; /* entries before it are gone */
    size_t bytes, held;
    uint64_t next;
    uint64_t said_first; /* LogEntry.first, of the newest that says it */
    int keep;
    /* an entry of which parts are still to come */
    struct tug_buf open;
    uint64_t open_first;
    uint32_t open_parts, open_got;
};

struct tug_reclog *tug_reclog_new(void)
{
    struct tug_reclog *l = tug_new(struct tug_reclog);
    l->keep = 1;
    return l;
}

static void record_free(struct tug_reclog *l, struct record *r)
{
    HASH_DEL(l->records, r);
    free(r->key);
    free(r->data);
    free(r);
}

void tug_reclog_reset(struct tug_reclog *l)
{
    struct record *r, *next;
    HASH_ITER (hh, l->records, r, next)
        record_free(l, r);
    tug_vec_clear(&l->entries);
    tug_buf_clear(&l->open);
    *l = (struct tug_reclog){.keep = 1};
}

void tug_reclog_free(struct tug_reclog *l)
{
    if (!l)
        return;
    tug_reclog_reset(l);
    free(l);
}

uint64_t tug_reclog_next(const struct tug_reclog *l)
{
    return l->next;
}

uint64_t tug_reclog_first(const struct tug_reclog *l)
{
    if (l->front < l->entries.len)
        return l->entries.at[l->front].first;
    return l->open_got ? l->open_first : 0;
}

int tug_reclog_begins(const struct tug_reclog *l, uint64_t *from, uint64_t *to)
{
    *from = l->said_first;
    *to = tug_reclog_first(l) - 1;
    return !l->said_first || tug_reclog_first(l) <= l->said_first;
}

size_t tug_reclog_records(const struct tug_reclog *l)
{
    return HASH_COUNT(l->records);
}

/* ---- packing */

struct packer {
    struct tug_vec(Tugpb__LogItem) items;
    struct tug_vec(Tugpb__LogRow) rows;
};

static char *text_of(const char *s)
{
    return (char *) (uintptr_t) (s ? s : "");
}

static void pack_item(struct packer *p, const struct tug_batch_item *item)
{
    Tugpb__LogItem i = TUGPB__LOG_ITEM__INIT;
    i.op = item->op == TUG_BATCH_PUT   ? TUGPB__LOG_OP__LOG_PUT
           : item->op == TUG_BATCH_DEL ? TUGPB__LOG_OP__LOG_DEL
                                       : TUGPB__LOG_OP__LOG_ROW;
    if (item->op == TUG_BATCH_HISTORY) {
        const struct tug_history_row *h = &item->row;
        Tugpb__LogRow r = TUGPB__LOG_ROW__INIT;
        r.job = h->job;
        r.attempt = h->attempt;
        r.what = text_of(h->what);
        r.at_ms = h->at_ms;
        r.uid = h->uid;
        r.user = text_of(h->user);
        r.queue = text_of(h->queue);
        r.account = text_of(h->account);
        r.name = text_of(h->name);
        r.state = text_of(h->state);
        r.view = (ProtobufCBinaryData){.len = h->view_len, .data = (uint8_t *) (uintptr_t) h->view};
        tug_vec_push(&p->rows, r);
    } else {
        i.kind = text_of(item->kind);
        i.id = text_of(item->id);
        i.data = (ProtobufCBinaryData){.len = item->len, .data = (uint8_t *) (uintptr_t) item->data};
    }
    tug_vec_push(&p->items, i);
}

void tug_reclog_pack(struct tug_buf *out, struct tug_batch *const *batches, size_t n, uint64_t first)
{
    struct packer p = {0};
    struct tug_batch_item item;
    Tugpb__LogEntry e = TUGPB__LOG_ENTRY__INIT;
    for (size_t i = 0; i < n; i++)
        for (size_t pos = 0; tug_batch_next(batches[i], &pos, &item);)
            pack_item(&p, &item);
    e.first = first;
    e.n_items = p.items.len;
    e.items = tug_xcalloc(e.n_items + 1, sizeof *e.items);
    for (size_t i = 0, row = 0; i < e.n_items; i++) { /* the vectors do not move any more */
        e.items[i] = &p.items.at[i];
        if (p.items.at[i].op == TUGPB__LOG_OP__LOG_ROW)
            p.items.at[i].row = &p.rows.at[row++];
    }
    tug_msg_pack(out, &e.base);
    free(e.items);
    tug_vec_clear(&p.items);
    tug_vec_clear(&p.rows);
}

size_t tug_reclog_parts(size_t len_bytes, size_t part_bytes)
{
    size_t room = part_bytes - TUG_RECLOG_HEAD;
    return len_bytes ? (len_bytes + room - 1) / room : 1;
}

static void put_u32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t) (v >> (8 * i));
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t) at[0] | (uint32_t) at[1] << 8 | (uint32_t) at[2] << 16 | (uint32_t) at[3] << 24;
}

static void sum_of(uint8_t out[SUM_LEN], const uint8_t *head, const void *data, size_t len)
{
    crypto_generichash_state h;
    crypto_generichash_init(&h, NULL, 0, SUM_LEN);
    crypto_generichash_update(&h, head, TUG_RECLOG_HEAD - SUM_LEN);
    crypto_generichash_update(&h, data, len);
    crypto_generichash_final(&h, out, SUM_LEN);
}

void tug_reclog_part(struct tug_buf *out, const struct tug_buf *entry, size_t part_bytes, size_t i)
{
    size_t room = part_bytes - TUG_RECLOG_HEAD, from = i * room;
    size_t len = entry->len - from < room ? entry->len - from : room;
    uint8_t head[TUG_RECLOG_HEAD] = {'T', 'L', 'O', 'G', VERSION};
    put_u32(&head[8], (uint32_t) i);
    put_u32(&head[12], (uint32_t) tug_reclog_parts(entry->len, part_bytes));
    sum_of(&head[16], head, entry->data + from, len);
    tug_buf_add(out, head, sizeof head);
    tug_buf_add(out, entry->data + from, len);
}

/* ---- unpacking */

struct part {
    uint32_t i, of;
    const uint8_t *data;
    size_t len;
};

static int read_part(uint64_t number, const void *bytes, size_t len, struct part *out, struct tug_err *err)
{
    const uint8_t *b = bytes;
    uint8_t sum[SUM_LEN];
    if (len < TUG_RECLOG_HEAD || memcmp(b, "TLOG", 4) != 0)
        return tug_fail(err, -EILSEQ, "entry %llu of the log is no entry", (unsigned long long) number);
    if (b[4] != VERSION)
        return tug_fail(err, -EILSEQ, "entry %llu of the log is of version %u, this program knows %d; use a newer one",
                        (unsigned long long) number, b[4], VERSION);
    *out = (struct part){get_u32(&b[8]), get_u32(&b[12]), b + TUG_RECLOG_HEAD, len - TUG_RECLOG_HEAD};
    sum_of(sum, b, out->data, out->len);
    if (memcmp(sum, &b[16], SUM_LEN) != 0 || out->i >= out->of)
        return tug_fail(err, -EILSEQ, "entry %llu of the log is damaged", (unsigned long long) number);
    return 0;
}

/* NULL: damaged. The arena has it. */
static Tugpb__LogEntry *unpack(struct tug_arena *a, const char *data, size_t len, uint64_t number, struct tug_err *err)
{
    ProtobufCMessage *m = NULL;
    if (tug_proto_decode(a, &tugpb__log_entry__descriptor, data, len, &m, err) == 0)
        return (Tugpb__LogEntry *) m;
    tug_fail_ctx(err, -EILSEQ, "entry %llu of the log", (unsigned long long) number);
    return NULL;
}

/* ---- records and entries */

static struct entry *entry_of(struct tug_reclog *l, uint64_t last)
{
    size_t lo = l->front, hi = l->entries.len;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (l->entries.at[mid].last < last)
            lo = mid + 1;
        else
            hi = mid;
    }
    tug_assert(lo < l->entries.len && l->entries.at[lo].last == last);
    return &l->entries.at[lo];
}

static void unsay(struct tug_reclog *l, struct record *r)
{
    size_t size = r->key_len + r->len;
    entry_of(l, r->said)->held -= size;
    l->held -= size;
}

static char *key_of(const char *kind, const char *id, size_t *len)
{
    size_t k = strlen(kind) + 1, i = strlen(id) + 1;
    char *key = tug_xmalloc(k + i);
    memcpy(key, kind, k);
    memcpy(key + k, id, i);
    *len = k + i;
    return key;
}

static struct record *find(struct tug_reclog *l, const char *kind, const char *id)
{
    struct record *r;
    size_t len;
    char *key = key_of(kind, id, &len);
    HASH_FIND(hh, l->records, key, len, r);
    free(key);
    return r;
}

static void put(struct tug_reclog *l, struct entry *e, const Tugpb__LogItem *item)
{
    struct record *r = find(l, item->kind, item->id);
    if (r) {
        unsay(l, r);
        free(r->data);
    } else {
        r = tug_new(struct record);
        r->key = key_of(item->kind, item->id, &r->key_len);
        HASH_ADD_KEYPTR(hh, l->records, r->key, r->key_len, r);
    }
    r->len = item->data.len;
    r->data = l->keep ? tug_xmemdup(item->data.data, item->data.len) : NULL;
    r->said = e->last;
    e->held += r->key_len + r->len;
    l->held += r->key_len + r->len;
}

static const char *or_null(const char *s)
{
    return *s ? s : NULL;
}

static void add_row(struct tug_batch *rows, const Tugpb__LogRow *r)
{
    struct tug_history_row h = {.job = r->job,
                                .attempt = r->attempt,
                                .what = r->what,
                                .at_ms = r->at_ms,
                                .uid = r->uid,
                                .user = or_null(r->user),
                                .queue = or_null(r->queue),
                                .account = or_null(r->account),
                                .name = or_null(r->name),
                                .state = or_null(r->state),
                                .view = r->view.len ? r->view.data : NULL,
                                .view_len = r->view.len};
    tug_batch_history(rows, &h);
}

static void take(struct tug_reclog *l, struct entry *e, const Tugpb__LogEntry *said, struct tug_batch *rows)
{
    if (said->first)
        l->said_first = said->first;
    for (size_t i = 0; i < said->n_items; i++) {
        const Tugpb__LogItem *item = said->items[i];
        struct record *r;
        if (item->op == TUGPB__LOG_OP__LOG_PUT) {
            put(l, e, item);
        } else if (item->op == TUGPB__LOG_OP__LOG_ROW && item->row && rows) {
            add_row(rows, item->row);
        } else if (item->op == TUGPB__LOG_OP__LOG_DEL && (r = find(l, item->kind, item->id))) {
            unsay(l, r);
            record_free(l, r);
        }
    }
}

static struct entry *add_entry(struct tug_reclog *l, uint64_t first, uint64_t last, size_t bytes)
{
    struct entry e = {.first = first, .last = last, .bytes = bytes};
    tug_vec_push(&l->entries, e);
    l->bytes += bytes;
    l->next = last + 1;
    return &l->entries.at[l->entries.len - 1];
}

/* Whoever wrote it did not come to its end. */
static void give_up_open(struct tug_reclog *l)
{
    if (l->open_got)
        add_entry(l, l->open_first, l->open_first + l->open_got - 1, l->open.len);
    tug_buf_reset(&l->open);
    l->open_got = l->open_parts = 0;
}

static int complete(struct tug_reclog *l, uint64_t number, struct tug_batch *rows, struct tug_err *err)
{
    struct tug_arena a = {0};
    Tugpb__LogEntry *said = unpack(&a, l->open.data, l->open.len, number, err);
    if (said) {
        struct entry *e =
            add_entry(l, l->open_first, number, l->open.len + (size_t) l->open_parts * TUG_RECLOG_HEAD);
        take(l, e, said, rows);
    }
    tug_arena_clear(&a);
    tug_buf_reset(&l->open);
    l->open_got = l->open_parts = 0;
    return said ? 0 : -EILSEQ;
}

int tug_reclog_feed(struct tug_reclog *l, uint64_t number, const void *bytes, size_t len, struct tug_batch *rows,
                    struct tug_err *err)
{
    struct part p;
    if (l->next && number != l->next)
        return tug_fail(err, -ESTALE, "entries %llu to %llu of the log are gone", (unsigned long long) l->next,
                        (unsigned long long) number - 1);
    int rc = read_part(number, bytes, len, &p, err);
    if (rc)
        return rc;
    if (l->open_got && (p.i != l->open_got || p.of != l->open_parts))
        give_up_open(l);
    if (!l->open_got) {
        l->open_first = number;
        l->open_parts = p.of;
    }
    if (p.i != l->open_got) { /* the end of something whose beginning is gone: it counted once, and is said anew later */
        add_entry(l, number, number, len);
        return 0;
    }
    tug_buf_add(&l->open, p.data, p.len);
    l->open_got++;
    l->next = number + 1;
    return l->open_got == l->open_parts ? complete(l, number, rows, err) : 0;
}

void tug_reclog_wrote(struct tug_reclog *l, uint64_t first, size_t parts, const struct tug_buf *entry,
                      struct tug_batch *rows)
{
    struct tug_arena a = {0};
    struct tug_err err = {0};
    give_up_open(l);
    struct entry *e = add_entry(l, first, first + parts - 1, entry->len + parts * TUG_RECLOG_HEAD);
    Tugpb__LogEntry *said = unpack(&a, entry->data, entry->len, first, &err);
    tug_assert(said); /* we packed it ourselves */
    take(l, e, said, rows);
    tug_arena_clear(&a);
}

/* ---- reading it all */

static int by_key(const void *a, const void *b)
{
    const struct record *x = *(const struct record *const *) a, *y = *(const struct record *const *) b;
    int c = strcmp(x->key, y->key);
    return c ? c : strcmp(x->key + strlen(x->key) + 1, y->key + strlen(y->key) + 1);
}

int tug_reclog_walk(struct tug_reclog *l, const char *kind, tug_reclog_cb *cb, void *arg)
{
    size_t n = 0;
    int rc = 0;
    struct record **all = tug_xcalloc(HASH_COUNT(l->records) + 1, sizeof *all), *r, *next;
    HASH_ITER (hh, l->records, r, next)
        if (!kind || !strcmp(kind, r->key))
            all[n++] = r;
    qsort(all, n, sizeof *all, by_key);
    for (size_t i = 0; i < n && !rc; i++)
        rc = cb(arg, all[i]->key, all[i]->key + strlen(all[i]->key) + 1, all[i]->data ? all[i]->data : "", all[i]->len);
    free(all);
    return rc;
}

void tug_reclog_drop_data(struct tug_reclog *l)
{
    struct record *r, *next;
    HASH_ITER (hh, l->records, r, next) {
        free(r->data);
        r->data = NULL;
    }
    l->keep = 0;
}

/* ---- cleaning */

int tug_reclog_oldest(const struct tug_reclog *l, size_t slack_bytes, uint64_t *first, uint64_t *last, int *holds)
{
    if (l->front + 1 >= l->entries.len || l->bytes <= 2 * l->held + slack_bytes)
        return 0;
    const struct entry *e = &l->entries.at[l->front];
    *first = e->first;
    *last = e->last;
    *holds = e->held > 0;
    return 1;
}

int tug_reclog_rescue(struct tug_reclog *l, const struct tug_buf *parts, size_t n, struct tug_batch *batch,
                      struct tug_err *err)
{
    const struct entry *e = &l->entries.at[l->front];
    struct tug_arena a = {0};
    struct tug_buf all = {0};
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        struct part p;
        rc = read_part(e->first + i, parts[i].data, parts[i].len, &p, err);
        if (!rc)
            tug_buf_add(&all, p.data, p.len);
    }
    Tugpb__LogEntry *said = rc ? NULL : unpack(&a, all.data, all.len, e->first, err);
    for (size_t i = 0; said && i < said->n_items; i++) {
        const Tugpb__LogItem *item = said->items[i];
        struct record *r = item->op == TUGPB__LOG_OP__LOG_PUT ? find(l, item->kind, item->id) : NULL;
        if (r && r->said == e->last)
            tug_batch_put(batch, item->kind, item->id, item->data.data, item->data.len);
    }
    tug_arena_clear(&a);
    tug_buf_clear(&all);
    return rc ? rc : said ? 0 : -EILSEQ;
}

int tug_reclog_cut(struct tug_reclog *l, uint64_t first, struct tug_err *err)
{
    while (l->front < l->entries.len && l->entries.at[l->front].last < first) {
        const struct entry *e = &l->entries.at[l->front];
        if (e->held)
            return tug_fail(err, -EILSEQ, "entries %llu to %llu of the log are gone, and no later one says what they said",
                            (unsigned long long) e->first, (unsigned long long) e->last);
        tug_reclog_drop_oldest(l);
    }
    return 0;
}

void tug_reclog_drop_oldest(struct tug_reclog *l)
{
    const struct entry *e = &l->entries.at[l->front];
    tug_assert(e->held == 0);
    l->bytes -= e->bytes;
    l->front++;
    if (l->front > 1024 && l->front > l->entries.len / 2) {
        memmove(l->entries.at, &l->entries.at[l->front], (l->entries.len - l->front) * sizeof *l->entries.at);
        l->entries.len -= l->front;
        l->front = 0;
    }
}
