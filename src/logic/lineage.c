/* lineage.c - where a state stands in the life of its cluster
 *
 * Layer: logic.
 */
#include "logic/lineage.h"

#include "base/str.h"
#include "proto/msg.h"
#include "proto/record.pb-c.h"

#define BUDGET_BYTES (1u << 20)

static int decode(struct tug_arena *a, const void *meta, size_t len, Tugpb__MetaRecord **out, struct tug_err *err)
{
    ProtobufCMessage *m = NULL;
    int rc = tug_proto_decode(a, &tugpb__meta_record__descriptor, meta, len, &m, err);

    *out = (Tugpb__MetaRecord *) m;
    return rc ? tug_fail_ctx(err, rc, "record meta/cluster") : 0;
}

int tug_lineage_read(const void *meta, size_t len, struct tug_lineage *out, struct tug_err *err)
{
    struct tug_arena a = {.budget_bytes = BUDGET_BYTES};
    Tugpb__MetaRecord *m;
    int rc = decode(&a, meta, len, &m, err);

    if (!rc) {
        *out = (struct tug_lineage){.epoch = m->epoch,
                                    .next_id_block = m->next_id_block,
                                    .commit = m->commit,
                                    .attempts_skipped = m->attempts_skipped};
        tug_str_copy(out->cluster, sizeof out->cluster, m->cluster_uuid);
    }
    tug_arena_clear(&a);
    return rc;
}

#define RAISE(number, to)                                                                                              \
    do                                                                                                                 \
        if ((number) < (to))                                                                                           \
            (number) = (to);                                                                                           \
    while (0)

void tug_lineage_raise(struct tug_lineage *to, const struct tug_lineage *from)
{
    RAISE(to->epoch, from->epoch);
    RAISE(to->commit, from->commit);
    RAISE(to->next_id_block, from->next_id_block);
    RAISE(to->attempts_skipped, from->attempts_skipped);
}

static void go_on_from(Tugpb__MetaRecord *m, const struct tug_lineage *replaced)
{
    RAISE(m->epoch, replaced->epoch);
    RAISE(m->commit, replaced->commit);
    RAISE(m->next_id_block, replaced->next_id_block);
    RAISE(m->attempts_skipped, replaced->attempts_skipped);
}

int tug_lineage_mark(struct tug_buf *out, const void *meta, size_t len, const char *why,
                     const struct tug_lineage *replaced, struct tug_err *err)
{
    struct tug_arena a = {.budget_bytes = BUDGET_BYTES};
    Tugpb__MetaRecord *m;
    int rc = decode(&a, meta, len, &m, err);

    if (!rc) {
        m->safe = TUGPB__SAFE_MODE__SAFE_MARKED;
        m->safe_why = (char *) (uintptr_t) why;
        m->safe_since_ms = 0;
        m->seen_epoch = 0;
        if (replaced)
            go_on_from(m, replaced);
        tug_msg_pack(out, &m->base);
    }
    tug_arena_clear(&a);
    return rc;
}
