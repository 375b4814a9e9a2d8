/* agent_world.c - see agent_world.h */
#include "agent_world.h"

#include "proto/order.h"
#include "unit.h"

static int64_t env_now(void *ctx)
{
    return ((struct world *) ctx)->now_ms;
}

static void env_timer(void *ctx, int64_t at_ms)
{
    ((struct world *) ctx)->timer_ms = at_ms;
}

static ProtobufCMessage *copy(const ProtobufCMessage *m)
{
    if (!m)
        return NULL;
    size_t len = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = tug_xmalloc(len + 1);
    protobuf_c_message_pack(m, bytes);
    ProtobufCMessage *c = protobuf_c_message_unpack(m->descriptor, NULL, len, bytes);
    free(bytes);
    return c;
}

static void env_send(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m)
{
    struct world *w = ctx;
    (void) rid;
    if (m) {
        struct tug_err err = {0};
        ck_assert_msg(tug_msg_info((uint16_t) number) && tug_msg_info((uint16_t) number)->desc == m->descriptor,
                      "message %d is not a %s", number, m->descriptor->name);
        ck_assert_msg(tug_msg_check(m, &err) == 0, "%s", err.msg);
    }
    struct world_sent s = {peer, number, copy(m)};
    tug_vec_push(&w->sent, s);
}

static void store_del(struct world *w, const char *kind, const char *id)
{
    for (size_t i = 0; i < w->store.len; i++)
        if (!strcmp(w->store.at[i].kind, kind) && !strcmp(w->store.at[i].id, id)) {
            free(w->store.at[i].kind);
            free(w->store.at[i].id);
            free(w->store.at[i].data);
            tug_vec_remove(&w->store, i);
            return;
        }
}

static void store_apply(struct world *w, struct tug_batch *b)
{
    struct tug_batch_item it;
    for (size_t pos = 0; tug_batch_next(b, &pos, &it);) {
        ck_assert_int_ne(it.op, TUG_BATCH_HISTORY);
        store_del(w, it.kind, it.id);
        if (it.op == TUG_BATCH_PUT) {
            struct world_record r = {tug_xstrdup(it.kind), tug_xstrdup(it.id), tug_xmemdup(it.data, it.len), it.len};
            tug_vec_push(&w->store, r);
        }
    }
    tug_batch_free(b);
}

static void env_persist(void *ctx, struct tug_batch *b, uint64_t ticket)
{
    struct world *w = ctx;
    if (w->slow_disk) {
        tug_vec_push(&w->pending, b);
        w->pending_ticket = ticket;
        return;
    }
    store_apply(w, b);
    tug_agent_persisted(w->agent, ticket);
}

static void env_random(void *ctx, void *out, size_t len_bytes)
{
    uint8_t *p = out;
    for (size_t i = 0; i < len_bytes; i++)
        p[i] = (uint8_t) ++((struct world *) ctx)->random;
}

void world_sync(struct world *w)
{
    for (size_t i = 0; i < w->pending.len; i++)
        store_apply(w, w->pending.at[i]);
    w->pending.len = 0;
    tug_agent_persisted(w->agent, w->pending_ticket);
}

static void on_log(void *arg, enum tug_log_level level, const char *sentence)
{
    struct world *w = arg;
    (void) level;
    snprintf(w->log, sizeof w->log, "%s", sentence);
}

void world_boot(struct world *w)
{
    struct tug_env env = {.ctx = w, .now = env_now, .timer = env_timer, .send = env_send, .persist = env_persist,
                          .random = env_random};
    Tugpb__Inventory inv = TUGPB__INVENTORY__INIT;
    inv.cpus = 64;
    inv.gpus = 8;
    inv.mem_bytes = 1ULL << 40;
    inv.gpu_model = (char *) (uintptr_t) "H100";
    struct tug_agent_conf conf = {.node = "gpu03", .boot_id = w->boot_id, .version = "test", .address = "10.0.0.3",
                                  .inventory = &inv, .check = w->check, .prolog = w->prolog, .epilog = w->epilog, .log = on_log, .log_arg = w};
    w->timer_ms = INT64_MAX;
    w->agent = tug_agent_new(&env, &conf);
    for (size_t i = 0; i < w->store.len; i++) {
        struct tug_err err = {0};
        int rc = tug_agent_restore(w->agent, w->store.at[i].kind, w->store.at[i].id, w->store.at[i].data,
                                   w->store.at[i].len, &err);
        ck_assert_msg(rc == 0, "%s", err.msg);
    }
    tug_agent_start(w->agent);
    world_next(w, TUG_PEER_LAUNCHER, TUG_MSG_LN_LIST);
}

static void clear_sent(struct world *w)
{
    for (size_t i = 0; i < w->sent.len; i++)
        if (w->sent.at[i].m)
            protobuf_c_message_free_unpacked(w->sent.at[i].m, NULL);
    w->sent.len = 0;
}

void world_start(struct world *w)
{
    *w = (struct world){.now_ms = 1000000, .boot_id = "000102030405060708090a0b0c0d0e0f"};
    world_boot(w);
    world_held(w, NULL);
    world_quiet(w);
}

void world_crash(struct world *w)
{
    tug_agent_free(w->agent);
    w->agent = NULL;
    clear_sent(w);
    for (size_t i = 0; i < w->pending.len; i++)
        tug_batch_free(w->pending.at[i]);
    w->pending.len = 0;
}

void world_end(struct world *w)
{
    world_crash(w);
    while (w->store.len)
        store_del(w, w->store.at[0].kind, w->store.at[0].id);
    if (w->last)
        protobuf_c_message_free_unpacked(w->last, NULL);
    tug_vec_clear(&w->store);
    tug_vec_clear(&w->sent);
    tug_vec_clear(&w->pending);
}

void world_to(struct world *w, int64_t now_ms)
{
    ck_assert_int_ge(now_ms, w->now_ms);
    while (w->timer_ms <= now_ms) {
        if (w->timer_ms > w->now_ms)
            w->now_ms = w->timer_ms;
        w->timer_ms = INT64_MAX;
        tug_agent_timer(w->agent, w->now_ms);
    }
    w->now_ms = now_ms;
}

static const char *name_of(enum tug_msg number)
{
    return number ? tug_msg_info((uint16_t) number)->name : "(close)";
}

const void *world_next(struct world *w, tug_peer_id peer, enum tug_msg number)
{
    ck_assert_msg(w->sent.len > 0, "nothing was sent where %s was expected", name_of(number));
    struct world_sent s = w->sent.at[0];
    ck_assert_msg(s.number == number && s.peer == peer, "sent %s to %llu where %s to %llu was expected",
                  name_of(s.number), (unsigned long long) s.peer, name_of(number), (unsigned long long) peer);
    tug_vec_remove(&w->sent, 0);
    if (w->last)
        protobuf_c_message_free_unpacked(w->last, NULL);
    w->last = s.m;
    return s.m;
}

void world_quiet(struct world *w)
{
    ck_assert_msg(w->sent.len == 0, "%s was sent to %llu where nothing was expected", name_of(w->sent.at[0].number),
                  (unsigned long long) w->sent.at[0].peer);
}

size_t world_skip(struct world *w, enum tug_msg number)
{
    size_t n = 0;
    for (size_t i = w->sent.len; i-- > 0;)
        if (w->sent.at[i].number == number) {
            if (w->sent.at[i].m)
                protobuf_c_message_free_unpacked(w->sent.at[i].m, NULL);
            tug_vec_remove(&w->sent, i);
            n++;
        }
    return n;
}

size_t world_records(const struct world *w, const char *kind)
{
    size_t n = 0;
    for (size_t i = 0; i < w->store.len; i++)
        n += !strcmp(w->store.at[i].kind, kind);
    return n;
}

/* ---- what others say to the agent */

static void say(struct world *w, tug_peer_id peer, enum tug_msg number, void *m)
{
    tug_agent_message(w->agent, peer, number, 0, m);
}

#define KEY(name, job_, attempt_)                  \
    Tugpb__StepKey name = TUGPB__STEP_KEY__INIT;   \
    name.job = (job_);                             \
    name.attempt = (attempt_)

void world_held(struct world *w, const Tugpb__LnHeld *held)
{
    Tugpb__LnHeld none = TUGPB__LN_HELD__INIT;
    say(w, TUG_PEER_LAUNCHER, TUG_MSG_LN_HELD, held ? (void *) (uintptr_t) held : &none);
}

void world_welcome(struct world *w, uint64_t epoch)
{
    Tugpb__NodeWelcome m = TUGPB__NODE_WELCOME__INIT;
    m.epoch = epoch;
    m.lease_s = 300;
    m.heartbeat_ms = 5000;
    m.kill_grace_s = 30;
    m.takes_health = w->takes_health;
    say(w, CONTROLLER, TUG_MSG_NODE_WELCOME, &m);
}

void world_join(struct world *w, uint64_t epoch)
{
    tug_agent_controller_up(w->agent, CONTROLLER);
    world_next(w, CONTROLLER, TUG_MSG_NODE_HELLO);
    world_welcome(w, epoch);
    world_next(w, CONTROLLER, TUG_MSG_LEASE_REQUEST);
    world_quiet(w);
}

void world_grant(struct world *w, const Tugpb__LeaseRequest *asked, uint32_t lease_s, uint64_t epoch)
{
    Tugpb__LeaseGrant m = TUGPB__LEASE_GRANT__INIT;
    m.nonce = asked->nonce;
    m.sent_ms = asked->sent_ms;
    m.lease_s = lease_s;
    m.epoch = epoch;
    say(w, CONTROLLER, TUG_MSG_LEASE_GRANT, &m);
}

void world_lease(struct world *w, uint32_t lease_s)
{
    while (w->sent.len == 0)
        world_to(w, w->timer_ms);
    world_grant(w, world_next(w, CONTROLLER, TUG_MSG_LEASE_REQUEST), lease_s, tug_agent_epoch(w->agent));
    world_next(w, TUG_PEER_LAUNCHER, TUG_MSG_LN_LEASE);
}

void world_launch(struct world *w, uint64_t epoch, uint64_t job, uint32_t attempt, bool requeueable)
{
    KEY(key, job, attempt);
    struct tug_order order = {.cluster = "c", .node = "gpu03", .epoch = epoch, .job = job, .attempt = attempt,
                              .flags = requeueable ? TUG_ORDER_REQUEUEABLE : 0};
    uint8_t wire[TUG_ORDER_LEN], sig[TUG_ORDER_SIG_LEN] = {0};
    ck_assert_int_eq(tug_order_pack(&order, wire, NULL), 0);
    Tugpb__StepLaunch m = TUGPB__STEP_LAUNCH__INIT;
    m.epoch = epoch;
    m.key = &key;
    m.order = (ProtobufCBinaryData){sizeof wire, wire};
    m.signature = (ProtobufCBinaryData){sizeof sig, sig};
    m.payload = (ProtobufCBinaryData){3, (uint8_t *) (uintptr_t) "abc"};
    m.requeueable = requeueable;
    say(w, CONTROLLER, TUG_MSG_STEP_LAUNCH, &m);
}

void world_kill(struct world *w, uint64_t epoch, uint64_t job, uint32_t attempt, uint32_t grace_s)
{
    KEY(key, job, attempt);
    Tugpb__StepKill m = TUGPB__STEP_KILL__INIT;
    m.epoch = epoch;
    m.key = &key;
    m.grace_s = grace_s;
    m.why = (char *) (uintptr_t) "cancelled by ada";
    say(w, CONTROLLER, TUG_MSG_STEP_KILL, &m);
}

void world_ack(struct world *w, uint64_t epoch, uint64_t job, uint32_t attempt)
{
    KEY(key, job, attempt);
    Tugpb__StepAck m = TUGPB__STEP_ACK__INIT;
    m.epoch = epoch;
    m.key = &key;
    say(w, CONTROLLER, TUG_MSG_STEP_ACK, &m);
}

void world_open(struct world *w, uint64_t epoch, uint64_t job, uint32_t attempt)
{
    KEY(key, job, attempt);
    Tugpb__StepStart m = TUGPB__STEP_START__INIT;
    m.epoch = epoch;
    m.key = &key;
    m.star_addr = (char *) (uintptr_t) "10.0.0.1:4000";
    m.master_addr = (char *) (uintptr_t) "10.0.0.1";
    m.master_port = 29500;
    say(w, CONTROLLER, TUG_MSG_STEP_START, &m);
}

void world_started(struct world *w, uint64_t job, uint32_t attempt, uint32_t pid, uint32_t uid)
{
    KEY(key, job, attempt);
    Tugpb__LnStarted m = TUGPB__LN_STARTED__INIT;
    m.key = &key;
    m.pid = pid;
    m.uid = uid;
    say(w, TUG_PEER_LAUNCHER, TUG_MSG_LN_STARTED, &m);
}

void world_gone(struct world *w, uint64_t job, uint32_t attempt, int32_t wait_status)
{
    KEY(key, job, attempt);
    Tugpb__LnGone m = TUGPB__LN_GONE__INIT;
    m.key = &key;
    m.wait_status = wait_status;
    m.cpu_us = 1500000;
    m.max_rss_bytes = 1 << 20;
    say(w, TUG_PEER_LAUNCHER, TUG_MSG_LN_GONE, &m);
}

void world_stepd(struct world *w, tug_peer_id peer, uint64_t job, uint32_t attempt, uint32_t pid, uint32_t uid,
                 Tugpb__StepPhase phase)
{
    KEY(key, job, attempt);
    Tugpb__SdHello m = TUGPB__SD_HELLO__INIT;
    m.key = &key;
    m.phase = phase;
    tug_agent_stepd_up(w->agent, peer, pid, uid);
    say(w, peer, TUG_MSG_SD_HELLO, &m);
}

void world_ready(struct world *w, tug_peer_id peer)
{
    KEY(key, 999, 999);           /* what a user's daemon claims here does not count */
    Tugpb__StepReady ready = TUGPB__STEP_READY__INIT;
    ready.key = &key;
    ready.star_addr = (char *) (uintptr_t) "10.0.0.3:4000";
    ready.master_port = 29500;
    Tugpb__SdReady m = TUGPB__SD_READY__INIT;
    m.ready = &ready;
    say(w, peer, TUG_MSG_SD_READY, &m);
}

void world_result(struct world *w, tug_peer_id peer, int exit_code)
{
    KEY(key, 999, 999);
    Tugpb__ExitInfo exit_ok = TUGPB__EXIT_INFO__INIT, exit_bad = TUGPB__EXIT_INFO__INIT;
    Tugpb__ExitInfo *exits[] = {&exit_ok, &exit_bad};
    exit_bad.exit_code = exit_code;
    Tugpb__StepResult result = TUGPB__STEP_RESULT__INIT;
    result.key = &key;
    result.n_exits = 2;
    result.exits = exits;
    result.ended_ms = w->now_ms;
    Tugpb__SdResult m = TUGPB__SD_RESULT__INIT;
    m.result = &result;
    say(w, peer, TUG_MSG_SD_RESULT, &m);
}

void world_running(struct world *w, uint64_t job, tug_peer_id peer, bool requeueable)
{
    uint64_t epoch = tug_agent_epoch(w->agent);
    world_launch(w, epoch, job, 1, requeueable);
    world_next(w, TUG_PEER_LAUNCHER, TUG_MSG_LN_START);
    world_started(w, job, 1, (uint32_t) peer, 1000);
    world_stepd(w, peer, job, 1, (uint32_t) peer, 1000, TUGPB__STEP_PHASE__STEP_STARTING);
    world_ready(w, peer);
    world_next(w, CONTROLLER, TUG_MSG_STEP_READY);
    world_open(w, epoch, job, 1);
    world_next(w, peer, TUG_MSG_SD_START);
    world_quiet(w);
}
