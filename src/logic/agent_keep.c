/* agent_keep.c - what the node keeps in its store, and what leaves only after that
 *
 * Every event gathers its records in one batch and its messages in the outbox. Messages go out in
 * order, and not before the last batch that had to be durable (held results, tombstones, epochs)
 * is. Other records (which step was started) are written as well, but nobody waits for them: the
 * launcher knows the same. Layer: logic.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "logic/agent_impl.h"

#define TOMB_STEPS_MAX 64

bool tug_agent_same(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    size_t len = protobuf_c_message_get_packed_size(a);
    if (protobuf_c_message_get_packed_size(b) != len)
        return false;
    uint8_t *bytes = tug_xmalloc(2 * len + 1);
    protobuf_c_message_pack(a, bytes);
    protobuf_c_message_pack(b, bytes + len);
    bool same = memcmp(bytes, bytes + len, len) == 0;
    free(bytes);
    return same;
}

void tug_agent_send(struct tug_agent *a, tug_peer_id peer, enum tug_msg number, const void *m)
{
    if (!peer)
        return;
    struct agent_out o = {.peer = peer, .number = number, .m = tug_proto_copy(m)};
    tug_vec_push(&a->out, o);
}

/* Send what no longer waits for a commit. */
static void flush(struct tug_agent *a)
{
    size_t n = 0;
    while (n < a->out.len && a->out.at[n].ticket <= a->durable_ticket) {
        struct agent_out *o = &a->out.at[n++];
        a->env.send(a->env.ctx, o->peer, o->number, o->rid, o->m);
        tug_proto_drop(o->m);
    }
    if (n) {
        memmove(a->out.at, a->out.at + n, (a->out.len - n) * sizeof *a->out.at);
        a->out.len -= n;
    }
}

/* While there is no room: may it leave before what waits? It rests on nothing but the epoch; and words to one peer that could mean
 * the opposite of each other keep their order. */
static bool may_overtake(const struct tug_agent *a, const struct agent_out *o, size_t waiting)
{
    switch (o->number) {
    case TUG_MSG_LEASE_REQUEST:
    case TUG_MSG_LN_LEASE:
    case TUG_MSG_NODE_HEALTH:
        return true;
    case TUG_MSG_LN_KILL:
    case TUG_MSG_SD_KILL:
    case TUG_MSG_SD_SIGNAL:
        for (size_t i = 0; i < waiting; i++)
            if (a->out.at[i].peer == o->peer)
                return false;
        return true;
    default:
        return false;
    }
}

static void overtake(struct tug_agent *a, size_t from)
{
    size_t kept = from;
    if (a->epoch_ticket > a->durable_ticket)
        return;
    for (size_t i = from; i < a->out.len; i++) {
        struct agent_out o = a->out.at[i];
        if (!may_overtake(a, &o, kept)) {
            a->out.at[kept++] = o;
            continue;
        }
        a->env.send(a->env.ctx, o.peer, o.number, o.rid, o.m);
        tug_proto_drop(o.m);
    }
    a->out.len = kept;
}

void tug_agent_commit(struct tug_agent *a)
{
    size_t fresh = a->out.len;
    while (fresh > 0 && a->out.at[fresh - 1].ticket == 0)
        fresh--;
    struct tug_batch *b = a->batch;
    a->batch = NULL;
    if (b) {
        a->ticket++;
        if (a->must)
            a->must_ticket = a->ticket;
        if (a->keeps_epoch)
            a->epoch_ticket = a->ticket;
    }
    a->must = a->keeps_epoch = false;
    for (size_t i = fresh; i < a->out.len; i++)
        a->out.at[i].ticket = a->must_ticket;
    if (b)
        a->env.persist(a->env.ctx, b, a->ticket);
    if (a->full)
        overtake(a, fresh);
    flush(a);
}

void tug_agent_persisted(struct tug_agent *a, uint64_t ticket)
{
    if (ticket > a->durable_ticket)
        a->durable_ticket = ticket;
    flush(a);
}

static void put(struct tug_agent *a, const char *kind, const char *id, const ProtobufCMessage *m)
{
    if (!a->batch)
        a->batch = tug_batch_new();
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = tug_xmalloc(len + 1);
    protobuf_c_message_pack(m, bytes);
    tug_batch_put(a->batch, kind, id, bytes, len);
    free(bytes);
}

static void del(struct tug_agent *a, const char *kind, const char *id)
{
    if (!a->batch)
        a->batch = tug_batch_new();
    tug_batch_del(a->batch, kind, id);
}

static void put_self(struct tug_agent *a)
{
    Tugpb__AgentRecord r = TUGPB__AGENT_RECORD__INIT;
    r.max_epoch = a->max_epoch;
    r.commit = a->commit;
    r.boot_id = a->boot_id;
    put(a, "agent", "self", &r.base);
    a->commit_kept_ms = a->now_ms;
}

void tug_agent_keep_self(struct tug_agent *a)
{
    put_self(a);
    a->must = true;
    a->keeps_epoch = true;
}

void tug_agent_keep_commit(struct tug_agent *a)
{
    put_self(a);
}

void tug_agent_keep_health(struct tug_agent *a, const Tugpb__NodeHealth *h)
{
    put(a, "health", "self", &h->base);
    a->must = true;
}

static char *step_id(struct agent_key key, char out[64])
{
    snprintf(out, 64, "%llu.%u.%u", (unsigned long long) key.job, key.attempt, key.step);
    return out;
}

void tug_agent_keep_step(struct tug_agent *a, const struct agent_step *s, bool must)
{
    char id[64];
    Tugpb__StepKey key = TUGPB__STEP_KEY__INIT;
    key.job = s->key.job;
    key.attempt = s->key.attempt;
    key.step = s->key.step;
    Tugpb__StepState state = TUGPB__STEP_STATE__INIT;
    state.key = &key;
    state.phase = s->phase;
    state.ready = s->ready;
    state.result = s->result;
    Tugpb__HeldRecord r = TUGPB__HELD_RECORD__INIT;
    r.state = &state;
    r.requeueable = s->requeueable;
    r.pid = s->pid;
    r.uid = s->uid;
    r.cause = s->cause;
    r.started_ms = s->started_ms;
    r.wired_ms = s->wired_ms;
    put(a, "held", step_id(s->key, id), &r.base);
    a->must |= must;
}

void tug_agent_unkeep_step(struct tug_agent *a, const struct agent_step *s)
{
    char id[64];
    del(a, "held", step_id(s->key, id));
}

static char *visit_id(struct agent_key key, char out[64])
{
    snprintf(out, 64, "%llu.%u", (unsigned long long) key.job, key.attempt);
    return out;
}

void tug_agent_keep_visit(struct tug_agent *a, const struct agent_visit *v, bool must)
{
    char id[64];
    Tugpb__VisitRecord r = TUGPB__VISIT_RECORD__INIT;
    r.told = v->told;
    r.phase = v->phase;
    r.prolog_ok = v->prolog_ok;
    r.prolog_failed = v->failed[AGENT_PROLOG];
    r.epilog_failed = v->failed[AGENT_EPILOG];
    put(a, "visit", visit_id(v->key, id), &r.base);
    a->must |= must;
}

void tug_agent_unkeep_visit(struct tug_agent *a, const struct agent_visit *v)
{
    char id[64];
    del(a, "visit", visit_id(v->key, id));
}

/* ---- tombstones */

static struct agent_tomb *find_tomb(const struct tug_agent *a, uint64_t job)
{
    struct agent_tomb *t;
    HASH_FIND(hh, a->tombs, &job, sizeof job, t);
    return t;
}

static void drop_tomb(struct tug_agent *a, struct agent_tomb *t)
{
    HASH_DEL(a->tombs, t);
    tug_vec_clear(&t->steps);
    free(t);
}

static void keep_tomb(struct tug_agent *a, const struct agent_tomb *t)
{
    char id[32];
    Tugpb__TombRecord r = TUGPB__TOMB_RECORD__INIT;
    r.attempt = t->attempt;
    r.whole = t->whole;
    r.floor = t->floor;
    r.n_steps = t->steps.len;
    r.steps = t->steps.at;
    r.expires_ms = t->expires_ms;
    snprintf(id, sizeof id, "%llu", (unsigned long long) t->job);
    put(a, "tomb", id, &r.base);
    a->must = true;
}

static bool tomb_has(const struct agent_tomb *t, uint32_t step)
{
    if (t->whole || (step && step <= t->floor))
        return true;
    for (size_t i = 0; i < t->steps.len; i++)
        if (t->steps.at[i] == step)
            return true;
    return false;
}

bool tug_agent_is_buried(const struct tug_agent *a, struct agent_key key)
{
    const struct agent_tomb *t = find_tomb(a, key.job);
    if (!t || key.attempt > t->attempt)
        return false;
    return key.attempt < t->attempt || tomb_has(t, key.step);
}

uint32_t tug_agent_tomb(const struct tug_agent *a, uint64_t job)
{
    const struct agent_tomb *t = find_tomb(a, job);
    return t ? t->attempt : 0;
}

/* Further steps are numbered upwards, so the lowest can become the floor when there are too many to
 * list: a step below it that still runs is held, and only its launch would be refused. */
static void add_step(struct agent_tomb *t, uint32_t step)
{
    if (step == 0) {
        t->whole = true;
        t->steps.len = 0;
        return;
    }
    size_t at = t->steps.len;
    while (at > 0 && t->steps.at[at - 1] > step)
        at--;
    tug_vec_push(&t->steps, step);
    memmove(&t->steps.at[at + 1], &t->steps.at[at], (t->steps.len - 1 - at) * sizeof *t->steps.at);
    t->steps.at[at] = step;
    if (t->steps.len > TOMB_STEPS_MAX) {
        t->floor = t->steps.at[0];
        tug_vec_remove(&t->steps, 0);
    }
}

void tug_agent_bury(struct tug_agent *a, struct agent_key key)
{
    if (tug_agent_is_buried(a, key))
        return;
    struct agent_tomb *t = find_tomb(a, key.job);
    if (t) {
        HASH_DEL(a->tombs, t);
    } else {
        t = tug_new(struct agent_tomb);
        t->job = key.job;
    }
    if (key.attempt > t->attempt) {
        t->attempt = key.attempt;
        t->whole = false;
        t->floor = 0;
        t->steps.len = 0;
    }
    add_step(t, key.step);
    t->expires_ms = a->now_ms + TUG_TOMB_KEPT_MS;
    HASH_ADD(hh, a->tombs, job, sizeof t->job, t);
    keep_tomb(a, t);
    tug_agent_purge_tombs(a);
}

void tug_agent_purge_tombs(struct tug_agent *a)
{
    while (a->tombs &&
           (a->tombs->expires_ms <= a->now_ms || HASH_COUNT(a->tombs) > TUG_TOMBS_MAX)) {
        char id[32];
        snprintf(id, sizeof id, "%llu", (unsigned long long) a->tombs->job);
        del(a, "tomb", id);
        drop_tomb(a, a->tombs);
    }
}

void tug_agent_clear_tombs(struct tug_agent *a)
{
    while (a->tombs)
        drop_tomb(a, a->tombs);
}

/* ---- back from the store */

static int restore_self(struct tug_agent *a, const Tugpb__AgentRecord *r)
{
    if (r->max_epoch > a->max_epoch)
        a->max_epoch = r->max_epoch;
    a->commit = r->commit;
    free(a->old_boot_id);
    a->old_boot_id = tug_xstrdup(r->boot_id);
    return 0;
}

static int restore_held(struct tug_agent *a, const Tugpb__HeldRecord *r)
{
    struct agent_key key;
    if (!r->state || !tug_agent_key_of(r->state->key, &key) || tug_agent_find(a, key))
        return -EPROTO;
    struct agent_step *s = tug_agent_add(a, key);
    s->phase = r->state->phase;
    s->ready = (Tugpb__StepReady *) tug_proto_copy((const ProtobufCMessage *) r->state->ready);
    s->result = (Tugpb__StepResult *) tug_proto_copy((const ProtobufCMessage *) r->state->result);
    s->cause = (Tugpb__Cause *) tug_proto_copy((const ProtobufCMessage *) r->cause);
    s->requeueable = r->requeueable;
    s->started_ms = r->started_ms;
    s->wired_ms = r->wired_ms;
    s->seen = true;
    return 0;
}

static int restore_tomb(struct tug_agent *a, const char *id, const Tugpb__TombRecord *r)
{
    uint64_t job = strtoull(id, NULL, 10);
    if (!job || find_tomb(a, job))
        return -EPROTO;
    struct agent_tomb *t = tug_new(struct agent_tomb);
    t->job = job;
    t->attempt = r->attempt;
    t->whole = r->whole;
    t->floor = r->floor;
    for (size_t i = 0; i < r->n_steps; i++)
        tug_vec_push(&t->steps, r->steps[i]);
    t->expires_ms = r->expires_ms;
    HASH_ADD(hh, a->tombs, job, sizeof t->job, t);
    return 0;
}

int tug_agent_restore(struct tug_agent *a, const char *kind, const char *id, const void *data,
                      size_t len_bytes, struct tug_err *err)
{
    const ProtobufCMessageDescriptor *desc =
        !strcmp(kind, "agent")  ? &tugpb__agent_record__descriptor
        : !strcmp(kind, "held") ? &tugpb__held_record__descriptor
        : !strcmp(kind, "tomb") ? &tugpb__tomb_record__descriptor
        : !strcmp(kind, "health") ? &tugpb__node_health__descriptor
        : !strcmp(kind, "visit") ? &tugpb__visit_record__descriptor
                                : NULL;
    if (!desc)
        return 0;
    struct tug_arena arena = {0};
    ProtobufCMessage *m;
    int rc = tug_proto_decode(&arena, desc, data, len_bytes, &m, err);
    if (!rc && desc == &tugpb__agent_record__descriptor)
        rc = restore_self(a, (const Tugpb__AgentRecord *) m);
    else if (!rc && desc == &tugpb__held_record__descriptor)
        rc = restore_held(a, (const Tugpb__HeldRecord *) m);
    else if (!rc && desc == &tugpb__node_health__descriptor)
        a->check.found = (Tugpb__NodeHealth *) tug_proto_copy(m);
    else if (!rc && desc == &tugpb__visit_record__descriptor)
        rc = tug_agent_visit_restore(a, (const Tugpb__VisitRecord *) m);
    else if (!rc)
        rc = restore_tomb(a, id, (const Tugpb__TombRecord *) m);
    if (rc)
        rc = tug_fail_ctx(err, -EPROTO, "the node's record %s/%s cannot be read", kind, id);
    tug_arena_clear(&arena);
    return rc;
}
