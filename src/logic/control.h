/* control.h - the controller's logic: messages in, messages and commits out
 *
 * Feeds the scheduler core with what clients and nodes say, and carries out its actions: orders to nodes, replies,
 * records. Nothing is acknowledged and no order leaves before the commit that it relies on is durable: everything
 * that goes out rides on the batch that was open when it was said (outbox.h).
 *
 * The host (tugd, or a test) restores records, starts it, feeds it peers, messages and time, and calls
 * tug_control_flush() once it has handed over everything that is at hand. Layer: logic.
 */
#ifndef TUG_LOGIC_CONTROL_H
#define TUG_LOGIC_CONTROL_H

#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "core/core.h"
#include "logic/env.h"
#include "tugline/policy.h"

struct tug_control;

struct tug_control_conf {
    const char *cluster;
    const char *version;
    uint32_t node_timeout_s;       /* a node not heard of for so long is down */
    uint32_t lease_s;              /* node lease (shared reliability 6.3) */
    uint32_t wireup_timeout_s;
    uint32_t launch_timeout_s;         /* step daemons are told; 0 = not known */
    uint32_t kill_grace_s;
    uint32_t max_jobs;             /* that are not over */
    uint64_t max_script_bytes, max_env_bytes;   /* 0 = only the protocol's caps */
    uint32_t operator_uid;         /* besides 0: may do everything (the daemon's own uid) */
    uint32_t min_uid;              /* jobs of lower uids are refused, unless it is the operator's */
    /* Of env.now, for as long as this controller runs: what it showed when the machine was booted, and which boot that was. By
     * that, records of an earlier controller tell how much time has passed, whatever the wall clock was put to meanwhile. */
    uint64_t clock_boot;           /* 0 = not known: the wall clock counts */
    int64_t clock_zero_ms;
    struct tug_core_conf core;
};

/* Who is at the other end; strings are copied. */
enum tug_role { TUG_ROLE_USER, TUG_ROLE_NODE };
#define TUG_CONTROL_GIDS 64
struct tug_control_peer {
    enum tug_role role;
    uint32_t uid, gid;             /* USER */
    const char *user, *home, *shell;
    uint32_t gids[TUG_CONTROL_GIDS];
    uint32_t n_gids;
    const char *node;              /* NODE: proven name */
    const char *address;           /* NODE: where the connection comes from */
};

struct tug_control *tug_control_new(const struct tug_env *env, const struct tug_control_conf *conf, struct tug_err *err);
void tug_control_free(struct tug_control *c);

/* One record of the store; any order. -EPROTO names the record that does not make sense. */
int tug_control_restore(struct tug_control *c, const char *kind, const char *id, const void *data, size_t len,
                        struct tug_err *err);
/* The same in two steps. The first one is a function of the record alone, which may be called by any thread; what it gives is
 * in the arena, together with what is there already. */
struct tug_arena;
struct tug_record;
int tug_control_read(struct tug_arena *a, const char *kind, const char *id, const void *data, size_t len,
                     struct tug_record **out, struct tug_err *err);
int tug_control_take(struct tug_control *c, const struct tug_record *r, struct tug_err *err);
/* All records are in: a new epoch begins (its commit is the first thing that flush hands out). */
int tug_control_start(struct tug_control *c, struct tug_err *err);
/* ... or none, and what is there is only shown, until this one is freed: no pass, no time, nothing to commit. To be told
 * tug_control_full() next, which has all refused that would change anything. */
int tug_control_show(struct tug_control *c, struct tug_err *err);

/* Another configuration, while it runs. Nothing but numbers, queues and nodes is taken: name, version, operator and lease
 * stay. Fails as tug_core_configure() does, and then nothing has changed. */
int tug_control_configure(struct tug_control *c, const struct tug_control_conf *conf, struct tug_err *err);

/* From the next pass on, which comes soon. NULL or none: the built-in order. The set is copied; it is told everything anew.
 * 'note' says why when it is not the configured policy. */
void tug_control_set_policy(struct tug_control *c, const char *name, const struct tug_policy_set *set,
                            const char *note);
void tug_control_note_policy(struct tug_control *c, const char *note);
/* Is a policy in force, and not the built-in order (any more)? */
int tug_control_has_policy(const struct tug_control *c);
/* A job of the past, for the next policies: tug_core_recall(). */
void tug_control_recall(struct tug_control *c, const struct tug_policy_job *row, int64_t end_ms, int ok);
/* Who else is told when a hook is asked: a watchdog. NULL = nobody. Copied. */
void tug_control_watch_hooks(struct tug_control *c, const struct tug_hook_watch *w);

void tug_control_peer_up(struct tug_control *c, tug_peer_id peer, const struct tug_control_peer *who);
void tug_control_peer_down(struct tug_control *c, tug_peer_id peer);
/* A decoded message (borrowed). */
void tug_control_message(struct tug_control *c, tug_peer_id peer, uint16_t number, uint32_t rid,
                         const ProtobufCMessage *m);
void tug_control_timer(struct tug_control *c);
/* Scheduler pass if one is due, then everything that changed goes to env->persist. */
void tug_control_flush(struct tug_control *c);
void tug_control_persisted(struct tug_control *c, uint64_t ticket);

/* The store has no room: the commit under way is made by itself once it has ('why' says where and what to do; copied). Until
 * then, NULL, what would change the state is refused and no gang is started; what is asked is answered with what is in
 * memory, leases go on, and what nodes say is taken and waits for its commit. */
void tug_control_full(struct tug_control *c, const char *why);

/* The newest snapshot of the state that is whole (0: there is none), and why the last one could not be made (NULL: it could;
 * copied). For whoever asks. */
void tug_control_snapshot(struct tug_control *c, int64_t newest_ms, const char *why_not);

/* Sentences for the log, in order: 1 = got one ('text' valid until the next call into 'c'). */
int tug_control_next_log(struct tug_control *c, enum tug_log_level *level, const char **text);
/* Set once an operator asked for it. */
int tug_control_wants_shutdown(const struct tug_control *c);

const struct tug_core *tug_control_core(const struct tug_control *c);
uint64_t tug_control_epoch(const struct tug_control *c);
/* May the user behind 'peer' see everything of everybody? (history rides outside of here) */
int tug_control_is_operator(const struct tug_control *c, uint32_t uid);

#endif
