/* export.c - everything as lines of JSON, in an order that does not change
 *
 * Records by kind and id (as text), then the history, oldest first. Layer: programs.
 */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "base/buf.h"
#include "base/mem.h"
#include "proto/msg.h"
#include "proto/record.pb-c.h"

struct to {
    struct tug_err *err;
    int failed; /* to write */
};

static const struct {
    const char *kind;
    const ProtobufCMessageDescriptor *desc;
} kinds[] = {
    {"job", &tugpb__job_record__descriptor},
    {"meta", &tugpb__meta_record__descriptor},
    {"node", &tugpb__node_record__descriptor},
    {"usage", &tugpb__usage_record__descriptor},
};

static void add_string(struct tug_buf *b, const char *s, size_t n)
{
    tug_buf_addc(b, '"');
    for (size_t i = 0; i < n; i++)
        if ((unsigned char) s[i] < 0x20 || s[i] == '"' || s[i] == '\\' || s[i] == 0x7f)
            tug_buf_addf(b, "\\u%04x", (unsigned char) s[i]);
        else
            tug_buf_addc(b, s[i]);
    tug_buf_addc(b, '"');
}

static void add_text(struct tug_buf *b, const char *key, const char *s)
{
    tug_buf_addf(b, ",\"%s\":", key);
    if (s)
        add_string(b, s, strlen(s));
    else
        tug_buf_adds(b, "null");
}

static int add_message(struct tug_buf *b, const ProtobufCMessageDescriptor *desc, const void *data,
                       size_t len, struct tug_err *err)
{
    struct tug_arena a = {.budget_bytes = 1u << 30};
    ProtobufCMessage *m = NULL;
    int rc = tug_proto_decode(&a, desc, data, len, &m, err);

    if (rc == 0)
        tug_msg_json(b, m, 0);
    tug_arena_clear(&a);
    return rc;
}

/* "17\0" and a time. */
static void add_token(struct tug_buf *b, const char *data, size_t len)
{
    size_t n = strnlen(data, len);

    tug_buf_addf(b, "{\"job\":%.*s,\"expires_ms\":%.*s}", (int) n, data,
                 n < len ? (int) (len - n - 1) : 1, n < len ? data + n + 1 : "0");
}

static void add_base64(struct tug_buf *b, const void *data, size_t len)
{
    size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
    char *text = tug_xmalloc(size);

    sodium_bin2base64(text, size, data, len, sodium_base64_VARIANT_ORIGINAL);
    tug_buf_addf(b, "{\"bytes\":%zu,\"base64\":\"", len);
    tug_buf_adds(b, text);
    tug_buf_adds(b, "\"}");
    free(text);
}

static void put_line(struct tug_buf *b, struct to *to)
{
    tug_buf_adds(b, "}\n");
    to->failed |= fwrite(b->data, 1, b->len, stdout) != b->len;
    tug_buf_clear(b);
}

static int on_record(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct to *to = arg;
    struct tug_buf b = {0};
    size_t i = 0;
    int rc = 0;

    tug_buf_adds(&b, "{\"kind\":");
    add_string(&b, kind, strlen(kind));
    add_text(&b, "id", id);
    tug_buf_adds(&b, ",\"record\":");
    while (i < sizeof kinds / sizeof *kinds && strcmp(kinds[i].kind, kind) != 0)
        i++;
    if (i < sizeof kinds / sizeof *kinds)
        rc = add_message(&b, kinds[i].desc, data, len, to->err);
    else if (strcmp(kind, "tok") == 0)
        add_token(&b, data, len);
    else
        add_base64(&b, data, len);
    if (rc < 0) {
        tug_buf_clear(&b);
        return tug_fail_ctx(to->err, rc, "record %s/%s", kind, id);
    }
    put_line(&b, to);
    return 0;
}

static int on_row(void *arg, int64_t id, const struct tug_history_row *r)
{
    struct to *to = arg;
    struct tug_buf b = {0};
    int rc = 0;

    tug_buf_addf(&b,
                 "{\"kind\":\"history\",\"id\":\"%" PRId64 "\",\"at_ms\":%" PRId64
                 ",\"job\":%" PRIu64 ",\"attempt\":%u,\"uid\":%u",
                 id, r->at_ms, r->job, r->attempt, r->uid);
    add_text(&b, "what", r->what);
    add_text(&b, "user", r->user);
    add_text(&b, "queue", r->queue);
    add_text(&b, "account", r->account);
    add_text(&b, "name", r->name);
    add_text(&b, "state", r->state);
    tug_buf_adds(&b, ",\"view\":");
    if (r->view)
        rc = add_message(&b, strcmp(r->what, "node") ? &tugpb__job_view__descriptor : &tugpb__node_event__descriptor, r->view, r->view_len, to->err);
    else
        tug_buf_adds(&b, "null");
    if (rc < 0) {
        tug_buf_clear(&b);
        return tug_fail_ctx(to->err, rc, "history row %" PRId64, id);
    }
    put_line(&b, to);
    return 0;
}

int do_export(struct admin *a, struct tug_err *err)
{
    struct to to = {err, 0};
    struct state s;
    int rc = a->file ? state_open(&s, a->file, err) : state_open_default(&s, a, err);

    if (rc < 0)
        return rc;
    rc = tug_store_db_load(s.path, s.db, NULL, &s.tallies, on_record, &to, err);
    rc = rc < 0
             ? rc
             : tug_store_db_rows(s.path, s.db, s.version < 2 ? NULL : &s.tallies, on_row, &to, err);
    if (rc == 0 && (fflush(stdout) != 0 || to.failed))
        rc = tug_fail(err, -EIO, "cannot write what was asked for");
    state_close(&s);
    return rc;
}
