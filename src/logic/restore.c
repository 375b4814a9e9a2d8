/* restore.c - the controller as its records say it was
 *
 * In two steps, as there may be hundreds of thousands of records: reading makes of a record's bytes what can be made of them
 * alone, on whatever thread; taking puts that into the controller. Records come in any order. A job is taken at once, unless it
 * needs what may still come, or holds something: these wait until all records are in, and are taken in the order of their ids.
 * Layer: logic.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "logic/control_int.h"


struct tug_record {
    const struct kind *kind;
    const char *id;
    const void *data;
    size_t len;
    const ProtobufCMessage *m;         /* what it says, if it is a message */
    uint64_t job;                      /* a job's number */
    struct ctl_read_job *read;         /* and what its record says */
    uint8_t blob_id[TUG_BLOB_ID_LEN];
};

/* ---- what is done with records of each kind */

static int read_job(struct tug_arena *a, struct tug_record *r, struct tug_err *err)
{
    const Tugpb__JobRecord *m = (const Tugpb__JobRecord *) r->m;

    if (tug_str_u64(r->id, UINT64_MAX, &r->job) || !r->job)
        return tug_fail(err, -EILSEQ, "record job/%s is not named by a number", r->id);
    return tug_ctl_read_job(a, m, &r->read, err);
}

static int has_blobs(struct tug_control *c, const struct ctl_read_job *r)
{
    return tug_blobs_has(c->blobs, r->script.data, r->script.len) && tug_blobs_has(c->blobs, r->env.data, r->env.len);
}

static void keep(struct tug_control *c, const struct tug_record *r, const char *node)
{
    tug_vec_push(&c->kept,
                 ((struct ctl_kept){r->job, tug_xstrdup(node), tug_xmemdup(r->data, r->len), r->len}));
}

static int take_job(struct tug_control *c, const struct tug_record *r, struct tug_err *err)
{
    if (!r->read->names_nodes && has_blobs(c, r->read))
        return tug_ctl_restore_job(c, r->read, err);
    keep(c, r, NULL);
    return 0;
}

/* One that is not configured may turn out to be held by a gang. */
static int take_node(struct tug_control *c, const struct tug_record *r, struct tug_err *err)
{
    const Tugpb__NodeRecord *m = (const Tugpb__NodeRecord *) r->m;

    if (tug_core_node_find(c->core, m->name) == TUG_NO_NODE)
        keep(c, r, m->name);
    return tug_ctl_restore_node(c, m, err);
}

static int take_meta(struct tug_control *c, const struct tug_record *r, struct tug_err *err)
{
    (void) err;
    tug_ctl_restore_meta(c, (const Tugpb__MetaRecord *) r->m);
    return 0;
}

static int take_usage(struct tug_control *c, const struct tug_record *r, struct tug_err *err)
{
    return tug_ctl_restore_usage(c, r->id, (const Tugpb__UsageRecord *) r->m, err);
}

static int read_blob(struct tug_arena *a, struct tug_record *r, struct tug_err *err)
{
    (void) a;
    return tug_blob_check(r->id, r->data, r->len, r->blob_id, err);
}

static int take_blob(struct tug_control *c, const struct tug_record *r, struct tug_err *err)
{
    (void) err;
    tug_blobs_restore(c->blobs, r->blob_id, r->data, r->len);
    return 0;
}

static int take_token(struct tug_control *c, const struct tug_record *r, struct tug_err *err)
{
    return tug_ctl_restore_token(c, r->id, r->data, r->len, err);
}

static const struct kind {
    const char *name;
    const ProtobufCMessageDescriptor *desc; /* NULL: bytes */
    int (*read)(struct tug_arena *a, struct tug_record *r, struct tug_err *err); /* NULL: that is all */
    int (*take)(struct tug_control *c, const struct tug_record *r, struct tug_err *err);
} kinds[] = {
    {"blob", NULL, read_blob, take_blob},
    {"job", &tugpb__job_record__descriptor, read_job, take_job},
    {"meta", &tugpb__meta_record__descriptor, NULL, take_meta},
    {"node", &tugpb__node_record__descriptor, NULL, take_node},
    {"tok", NULL, NULL, take_token},
    {"usage", &tugpb__usage_record__descriptor, NULL, take_usage},
};

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

/* ---- the two steps */

static void *copy(struct tug_arena *a, const void *data, size_t len)
{
    char *p = tug_ctl_alloc(a, len + 1);

    if (len)
        memcpy(p, data, len);
    return p;
}

int tug_control_read(struct tug_arena *a, const char *kind, const char *id, const void *data, size_t len,
                     struct tug_record **out, struct tug_err *err)
{
    struct tug_record *r;
    ProtobufCMessage *m = NULL;
    int rc;

    a->budget_bytes = a->used_bytes + RECORD_BUDGET_BYTES; /* there may be others in there */
    r = tug_ctl_alloc(a, sizeof *r);
    r->kind = kind_of(kind);
    if (!r->kind)
        return tug_fail(err, -EPROTO, "record %s/%s is of a kind that this version does not know", kind, id);
    r->id = copy(a, id, strlen(id));
    r->data = copy(a, data, len);
    r->len = len;
    rc = r->kind->desc ? tug_proto_decode(a, r->kind->desc, data, len, &m, err) : 0;
    if (rc)
        return tug_fail_ctx(err, rc, "record %s/%s", kind, id);
    r->m = m;
    *out = r;
    return r->kind->read ? r->kind->read(a, r, err) : 0;
}

int tug_control_take(struct tug_control *c, const struct tug_record *r, struct tug_err *err)
{
    return r->kind->take(c, r, err);
}

int tug_control_restore(struct tug_control *c, const char *kind, const char *id, const void *data, size_t len,
                        struct tug_err *err)
{
    struct tug_arena a = {0};
    struct tug_record *r = NULL;
    int rc = tug_control_read(&a, kind, id, data, len, &r, err);

    rc = rc ? rc : tug_control_take(c, r, err);
    tug_arena_clear(&a);
    return rc;
}

/* ---- all are in */

static int by_job(const void *a, const void *b)
{
    const struct ctl_kept *x = a, *y = b;

    return (x->job > y->job) - (x->job < y->job);
}

static int take_kept(struct tug_control *c, const struct ctl_kept *k, struct tug_err *err)
{
    struct tug_arena a = {.budget_bytes = RECORD_BUDGET_BYTES};
    struct ctl_read_job *r = NULL;
    ProtobufCMessage *m = NULL;
    int rc = tug_proto_decode(&a, &tugpb__job_record__descriptor, k->data, k->len, &m, err);

    rc = rc ? rc : tug_ctl_read_job(&a, (const Tugpb__JobRecord *) m, &r, err);
    tug_assert(!rc); /* it was, when it came */
    rc = tug_ctl_restore_job(c, r, err);
    tug_arena_clear(&a);
    return rc;
}

void tug_ctl_restore_kept_node(struct tug_control *c, const char *name)
{
    struct tug_arena a = {.budget_bytes = RECORD_BUDGET_BYTES};
    ProtobufCMessage *m = NULL;

    for (size_t i = 0; i < c->kept.len; i++) {
        const struct ctl_kept *k = &c->kept.at[i];

        if (!k->node || strcmp(k->node, name) != 0)
            continue;
        tug_assert(tug_proto_decode(&a, &tugpb__node_record__descriptor, k->data, k->len, &m, NULL) == 0);
        tug_ctl_restore_node(c, (const Tugpb__NodeRecord *) m, NULL);
    }
    tug_arena_clear(&a);
}

int tug_ctl_restore_finish(struct tug_control *c, struct tug_err *err)
{
    int rc = 0;

    if (c->kept.len)
        qsort(c->kept.at, c->kept.len, sizeof *c->kept.at, by_job);
    for (size_t i = 0; i < c->kept.len && !rc; i++)
        rc = c->kept.at[i].job ? take_kept(c, &c->kept.at[i], err) : 0;
    for (size_t i = 0; i < c->kept.len; i++) {
        free(c->kept.at[i].node);
        free(c->kept.at[i].data);
    }
    tug_vec_clear(&c->kept);
    tug_ctl_tokens_restored(c);
    return rc;
}
