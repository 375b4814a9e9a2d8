/* control_int.h - what the files of the controller's logic share
 *
 * control.c    life cycle, peers, dispatch, time, flush          clients.c  what commands ask
 * nodes.c      what nodes say; leases                            orders.c   what nodes are told
 * actions.c    the core's actions, one function each             records.c  jobs and nodes to and from records
 * views.c      jobs and nodes as users see them                  waiters.c  who waits for a job
 * safe.c       a state that is older than its cluster            side.c     what is kept of a job beside the core
 * tokens.c     which request made which job                      commits.c  which commits nodes have heard of
 * restore.c    records, as they are read
 * Not for anybody outside of these. Layer: logic.
 */
#ifndef TUG_LOGIC_CONTROL_INT_H
#define TUG_LOGIC_CONTROL_INT_H

#include <sys/queue.h>
#include <uthash.h>

#include "base/hashset.h"
#include "base/hostlist.h"
#include "base/idtab.h"
#include "base/mem.h"
#include "base/vec.h"
#include "logic/blobs.h"
#include "logic/control.h"
#include "logic/cpus.h"
#include "logic/outbox.h"
#include "proto/client.pb-c.h"
#include "proto/job.pb-c.h"
#include "proto/node.pb-c.h"
#include "proto/record.pb-c.h"

#define GANG_KEY_LEN 32
#define CPU_MASK_LEN TUG_CPUS_MASK_LEN
#define TOKEN_KEPT_MS (24 * 3600 * 1000LL)
#define RECORD_BUDGET_BYTES (1u << 30)   /* a wide gang with all the steps that it may have: what is written can be read */
#define ID_BLOCK 1000             /* ids reserved at a time: never used twice, also after a crash */

/* A submitter, kept once per uid. */
struct ctl_user {
    uint32_t uid, gid;
    char *name, *home, *shell;
    uint32_t gids[TUG_CONTROL_GIDS];
    uint32_t n_gids;
    uint64_t job;                 /* whose record said so, while the state is read */
    UT_hash_handle hh;
};

struct ctl_peer {
    tug_peer_id id;
    uint64_t nth;                 /* connection of this controller's life: later ones are newer */
    enum tug_role role;
    struct ctl_user *user;        /* USER */
    char *node_name, *address;    /* NODE */
    uint32_t node;                /* NODE: index once it said hello, else TUG_NO_NODE */
    struct tug_vec(uint64_t) interactive;   /* USER: jobs that end with their client */
    UT_hash_handle hh;
};

/* What a step needs besides what the core keeps. */
struct ctl_step {
    uint32_t id, attempt;
    uint8_t gang_key[GANG_KEY_LEN];
    char nspace[96];
    char *star_addr;              /* from the head's READY; NULL = not yet */
    uint32_t master_port;
    uint8_t *spec;  size_t spec_len;   /* packed JobSpec without env; NULL for the main step */
    struct tug_blob *env;
};

/* A job's payload; the core keeps what scheduling needs. */
struct ctl_job {
    uint64_t id;
    struct ctl_user *user;
    /* Behind the struct, for good: */
    const uint8_t *spec;  size_t spec_len;   /* packed JobSpec without script and env */
    const char *token;            /* "" = none */
    const char *command;          /* shortened, for lists */
    struct tug_blob *script, *env;
    char job_token[33];
    struct tug_vec(struct ctl_step) steps;
    uint8_t (*masks)[CPU_MASK_LEN];    /* one per slice while CPUs are held */
    size_t n_masks;
    char *limits;                 /* which it hit, and where, in its attempt 'limits_of'; NULL = none */
    uint32_t limits_of;
    uint8_t dirty;
};

struct ctl_token {
    uint64_t job;
    int64_t expires_ms;           /* INT64_MAX: as long as the job is known */
    TAILQ_ENTRY(ctl_token) age;   /* once it is forgotten */
    uint32_t uid;
    char token[];
};

struct ctl_node {
    tug_peer_id peer;             /* 0 = not connected */
    uint64_t nth;                 /* of the newest connection on which it said hello */
    int64_t heard_ms;             /* last word from it; start of the epoch before the first */
    int64_t lease_end_ms;         /* nothing requeueable runs there after this without a new grant */
    int64_t old_end_ms;           /* ... of a grant of the controller before; 0 = it follows ours */
    uint64_t granted;             /* nonce of our last grant */
    uint8_t told_down, told_over; /* the core knows */
    uint8_t spared;               /* not called down once, as nobody was there to hear it */
    uint8_t dirty;
    uint8_t has_reported;         /* what it holds, to this controller */
    char boot_id[40];
    char *address, *version;
    char *nvlink_domain;          /* as in its inventory; NULL = none yet */
    uint8_t *inventory;  size_t inventory_len;   /* packed */
    Tugpb__NodeHealth *health;    /* as it said last; NULL = never */
    Tugpb__VisitFailure *visit_failures[2]; /* the last prolog and the last epilog that failed; NULL = none did */
    struct tug_vec(Tugpb__StepStuck *) stuck;    /* likewise, of each step that does not end there; remnants.c */
    uint8_t cpus_used[CPU_MASK_LEN];
};

struct ctl_waiter {
    tug_peer_id peer;
    uint32_t rid;
    uint64_t job;
    uint32_t step;
    Tugpb__WaitFor until;
    int seen_state;               /* WAIT_CHANGE */
    int64_t timeout_ms;           /* INT64_MAX = none */
    struct ctl_waiter *next;      /* of the same job */
};
struct ctl_waitlist { uint64_t job; struct ctl_waiter *first; UT_hash_handle hh; };

/* A record that waits for the others, while the state is read: of a job, or (job 0) of a node that is not configured. */
struct ctl_kept { uint64_t job; char *node; uint8_t *data; size_t len; };

/* What a node holds and this state does not know, while it is in safe mode. */
struct ctl_stray { uint32_t node; uint64_t job; uint32_t attempt, step; };

/* The last commit of an epoch that this state has; UINT64_MAX: not known. */
#define CTL_LIVES 16
struct ctl_life { uint64_t epoch, commit; };

struct tug_control {
    struct tug_env env;
    struct tug_control_conf conf; /* strings and core.* arrays: not kept */
    char *cluster, *version;
    struct tug_core *core;
    struct tug_outbox *out;
    struct tug_blobs *blobs;
    struct ctl_user *users;
    struct ctl_peer *peers;
    struct tug_idtab jobs;        /* struct ctl_job */
    struct tug_hashset tokens;    /* struct ctl_token */
    TAILQ_HEAD(, ctl_token) spent;   /* those of forgotten jobs, the first to expire first */
    struct ctl_waitlist *waits;
    int64_t wait_next_ms;         /* no waiter's time is up before */
    struct ctl_node *nodes;  size_t n_nodes;
    int64_t nodes_next_ms;        /* nobody goes down and no lease ends before */
    struct tug_vec(uint64_t) dirty_jobs;
    struct tug_vec(uint32_t) dirty_nodes;
    struct tug_vec(struct { enum tug_log_level level; char *text; }) logs;
    size_t logs_read;
    struct tug_vec(struct ctl_kept) kept;
    char *last_log;
    int64_t started_ms;
    uint64_t epoch, next_id, id_limit;
    uint64_t n_peers;             /* that ever connected */
    uint32_t leased_s;            /* the longest lease that a node may hold, ... */
    uint8_t leased_for_ever;
    char uuid[37];
    struct tug_policy_set policy;
    char *policy_name, *policy_note;
    uint32_t policy_refused[TUG_POLICIES_MAX], policy_slow;
    struct tug_hook_watch policy_watch;    /* the host's */
    int64_t hook_ms[TUG_POLICIES_MAX];     /* what each took of this pass */
    int64_t hook_since_ms;
    size_t hook_at[2], hook_depth;         /* who is asked: place() of one in pass() of another */
    int shutdown;
    struct {
        Tugpb__SafeMode state;
        char why[256];
        int64_t since_ms;
        uint64_t seen_epoch;
        uint32_t attempts_skipped;         /* in the lives of this state, and of those that it replaced */
        uint8_t forced;                    /* nobody is waited for, what is not known is ended */
        struct tug_vec(struct ctl_stray) strays;
    } safe;
    int64_t snapshot_ms;                   /* the newest; 0 = there is none, or nobody says */
    char *no_snapshot;                     /* why the last one could not be made; NULL = it could */
    char *full;                            /* the store has no room, and why; NULL = it has */
    uint64_t going_epoch, durable_epoch;   /* that of the commit under way, and of the last one made */
    struct {                               /* commits.c */
        uint64_t last, going, durable;     /* handed over or read; under way; made */
        uint8_t is_first, is_named;        /* nothing was handed over yet; a word waits for the open batch and has named it */
        struct ctl_life lives[CTL_LIVES];  /* before this one, by epoch */
        size_t n_lives;
    } commits;
};

/* control.c */
void tug_ctl_log(struct tug_control *c, enum tug_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int64_t tug_ctl_now(struct tug_control *c);
struct tug_batch *tug_ctl_batch(struct tug_control *c);
/* tug_core_apply, then carry out what came of it. */
int tug_ctl_apply(struct tug_control *c, struct tug_event *ev, struct tug_err *err);
struct ctl_user *tug_ctl_user(struct tug_control *c, const struct tug_control_peer *who);

/* side.c. What a job keeps of a request: memory is from the arena; depends on nothing else. */
struct ctl_request { const uint8_t *spec; size_t spec_len; const char *command; };
void tug_ctl_request(struct tug_arena *a, const Tugpb__JobSpec *spec, struct ctl_request *out);
/* A job without blobs, which the caller adds; the id is new. */
struct ctl_job *tug_ctl_job_new(struct tug_control *c, uint64_t id, struct ctl_user *u, const struct ctl_request *r,
                                const char *token);
struct ctl_job *tug_ctl_job(struct tug_control *c, uint64_t id);
void tug_ctl_job_free(struct tug_control *c, struct ctl_job *j, struct tug_batch *b);
void tug_ctl_jobs_free(struct tug_control *c);
void tug_ctl_keep_use(struct tug_control *c, const char *node, const Tugpb__StepResult *r);    /* the limits that it hit there */
struct ctl_step *tug_ctl_step(struct ctl_job *j, uint32_t step);
void tug_ctl_step_clear(struct tug_control *c, struct ctl_step *s, struct tug_batch *b);
void tug_ctl_job_dirty(struct tug_control *c, uint64_t id);

/* tokens.c */
void tug_ctl_token_put(struct tug_control *c, uint32_t uid, const char *token, uint64_t job, int64_t expires_ms);
/* The token's job is forgotten: known until then, so that a late repeat of its request starts nothing. */
void tug_ctl_token_spend(struct tug_control *c, struct ctl_token *t, int64_t expires_ms);
void tug_ctl_tokens_purge(struct tug_control *c, struct tug_batch *b);
struct ctl_token *tug_ctl_token(struct tug_control *c, uint32_t uid, const char *token);
void tug_ctl_tokens_restored(struct tug_control *c);     /* all are in, in whatever order */
void tug_ctl_tokens_free(struct tug_control *c);
char *tug_ctl_token_id(const struct ctl_token *t);       /* of its record, once it is spent; the caller frees */

/* clients.c, jobverbs.c, nodes.c: handlers, one a message */
typedef void tug_ctl_handler(struct tug_control *c, struct ctl_peer *p, uint32_t rid, const ProtobufCMessage *m);
#define TUG_RPC(REQUEST, handler, who, full) tug_ctl_handler handler;
#include "logic/rpc.def"
#undef TUG_RPC
int tug_ctl_no_job(struct tug_err *err, uint64_t id);   /* -ENOENT, and where to look */
/* filter.c: is the job among those that are asked for; and -EINVAL where no job could be. */
int tug_ctl_filter_takes(const Tugpb__JobsRequest *f, const struct tug_job *job);
int tug_ctl_filter_check(const Tugpb__JobsRequest *f, struct tug_err *err);
void tug_ctl_reply_error(struct tug_control *c, struct ctl_peer *p, uint32_t rid, int code, const char *text);
/* A copy of it instead of what it said before; NULL = it never said. */
struct ctl_node *tug_ctl_node_heard(struct tug_control *c, struct ctl_peer *p); /* NULL: it has not said hello, or another one has */
void tug_ctl_order_visit(struct tug_control *c, const struct tug_action *act, int leave);
void tug_ctl_keep_visit_failure(struct ctl_node *n, const Tugpb__VisitFailure *m);
void tug_ctl_forget_visit_failure(Tugpb__VisitFailure **kept);
size_t tug_ctl_visit_failures_pb(struct tug_arena *a, const struct ctl_node *n, Tugpb__VisitFailure ***out);
void tug_ctl_view_visit_failures(struct tug_arena *a, const struct ctl_node *n, const struct tug_core_node *k,
                                 Tugpb__NodeView *out);
char *tug_ctl_nodelist(struct tug_control *c, struct tug_arena *a, const struct tug_job *job);
/* An event about the step that 'key' names, from this peer's node; 0 when there is nothing to say. */
int tug_ctl_step_event(struct tug_control *c, struct ctl_peer *p, const Tugpb__StepKey *key, struct tug_event *ev);
void tug_ctl_result(struct tug_control *c, struct tug_arena *a, const Tugpb__StepResult *r, struct tug_event *ev);
void tug_ctl_keep_health(struct ctl_node *n, const Tugpb__NodeHealth *m);
void tug_ctl_nodes_check(struct tug_control *c, int64_t now_ms);
int64_t tug_ctl_nodes_next(const struct tug_control *c);
/* Take every node as leased, as long as any controller before may have granted. */
void tug_ctl_leases_start(struct tug_control *c, int64_t now_ms);
void tug_ctl_node_gone(struct tug_control *c, struct ctl_peer *p);

/* actions.c */
void tug_ctl_actions(struct tug_control *c);
void tug_ctl_node_dirty(struct tug_control *c, uint32_t node);   /* its record is to be written */

/* safe.c */
void tug_ctl_safe_start(struct tug_control *c);
int tug_ctl_safe_holds(const struct tug_control *c);   /* no gang may be started */
int tug_ctl_safe_doubts(const struct tug_control *c, struct tug_err *err);   /* -EAGAIN: nothing may be submitted either */
/* A node that has obeyed that epoch, and heard of that commit: -ESTALE = it gets no word. */
int tug_ctl_safe_hello(struct tug_control *c, const char *node, uint64_t max_epoch, uint64_t commit, struct tug_err *err);
void tug_ctl_safe_reported(struct tug_control *c, uint32_t node, const struct tug_held_step *held, size_t n);
/* Its user does not want it: then not what runs of it either, which this state does not know. */
void tug_ctl_safe_cancelled(struct tug_control *c, uint64_t job, const char *why);
void tug_ctl_safe_done(struct tug_control *c, uint32_t node, const Tugpb__StepKey *key);
/* 1: this order, a launch or a kill, is not given now. */
int tug_ctl_safe_stops(struct tug_control *c, const struct tug_action *a);
void tug_ctl_safe_check(struct tug_control *c);         /* is it over? */
char *tug_ctl_safe_text(const struct tug_control *c);   /* a sentence, to be freed; NULL = not in safe mode */

/* commits.c */
void tug_ctl_commits_restore(struct tug_control *c, const Tugpb__MetaRecord *m);
void tug_ctl_commits_put(const struct tug_control *c, struct tug_arena *a, Tugpb__MetaRecord *m);
void tug_ctl_commits_start(struct tug_control *c);      /* before the epoch is raised */
void tug_ctl_commits_number(struct tug_control *c);     /* the open batch is handed over now */
void tug_ctl_commits_made(struct tug_control *c);       /* the one under way is durable */
/* What a word to a node may name: for orders the commit that they wait for, for what waits for none the last that is durable. */
uint64_t tug_ctl_commits_of_order(struct tug_control *c);
uint64_t tug_ctl_commits_durable(const struct tug_control *c);
/* 1: a node has heard of that commit under an epoch before this one, and this state does not have it. */
int tug_ctl_commits_miss(const struct tug_control *c, uint64_t epoch, uint64_t commit);
/* Numbers go on above that one; far above all that anybody may have heard of, and nothing is held against earlier epochs. Both
 * are to be written with the record of the cluster. */
void tug_ctl_commits_heard(struct tug_control *c, uint64_t commit);
void tug_ctl_commits_skip(struct tug_control *c);

/* remnants.c: processes that do not end */
void tug_ctl_stuck_clear(struct ctl_node *n);
void tug_ctl_put_remnants(struct tug_control *c, struct tug_arena *a, const struct tug_core_node *k, Tugpb__NodeRecord *m);
/* In 'out', which has room for all of the record's; how many. */
size_t tug_ctl_restore_remnants(const Tugpb__NodeRecord *m, struct tug_core_remnant *out);
void tug_ctl_view_remnants(struct tug_control *c, struct tug_arena *a, uint32_t node, const struct tug_core_node *k,
                           Tugpb__NodeView *out);

/* full.c: while the store has no room */
enum ctl_full { CTL_FULL_ANSWERED, CTL_FULL_WAITS, CTL_FULL_REFUSED };
/* -ENOSPC: this request, of which rpc.def says so, is refused. */
int tug_ctl_full_check(struct tug_control *c, const struct ctl_peer *p, enum ctl_full full, uint16_t number,
                       const ProtobufCMessage *m, struct tug_err *err);
/* What is said from here on leaves at once if there is no room; until tug_outbox_aside(c->out, 0). */
void tug_ctl_full_aside(struct tug_control *c);

/* stepask.c: what a further step gets of its job's allocation */
struct ctl_step_ask {
    uint32_t *on;                  /* indices of the job's slices; the caller frees */
    size_t n_on;
    uint32_t ntasks;               /* 0 = as the job */
    int narrows;                   /* it asked for fewer GPUs than it will see */
};
int tug_ctl_step_ask(const struct tug_control *c, const struct tug_job *job, const Tugpb__ResourceRequest *r,
                     struct ctl_step_ask *out, struct tug_err *err);

/* orders.c */
void tug_ctl_order_launch(struct tug_control *c, const struct tug_action *a);
void tug_ctl_order_start(struct tug_control *c, const struct tug_action *a);
void tug_ctl_order_kill(struct tug_control *c, const struct tug_action *a);
void tug_ctl_order_signal(struct tug_control *c, const struct tug_action *a);
void tug_ctl_order_ack(struct tug_control *c, const struct tug_action *a);

/* cpus.c: which CPUs of its nodes a gang is bound to */
void tug_ctl_cpus_take(struct tug_control *c, struct ctl_job *j, const struct tug_job *job);
void tug_ctl_cpus_give(struct tug_control *c, struct ctl_job *j, const struct tug_job *job);
void tug_ctl_cpus_retake(struct tug_control *c, const struct ctl_job *j, const struct tug_job *job);

/* records.c */
void tug_ctl_put_job(struct tug_control *c, struct ctl_job *j, const struct tug_job *job, struct tug_batch *b);
void tug_ctl_put_node(struct tug_control *c, uint32_t node, struct tug_batch *b);
/* What row 'share' of the core's tree, a user's, has used. */
void tug_ctl_put_usage(struct tug_control *c, uint32_t share, struct tug_batch *b);
void tug_ctl_add_nodes(struct tug_control *c);             /* room for those that the core has got */
void tug_ctl_put_meta(struct tug_control *c, struct tug_batch *b);
void tug_ctl_put_token(struct tug_control *c, const struct ctl_token *t, struct tug_batch *b);
/* The request without its bulk (script and environment are blobs); and that packed, which the caller frees. */
Tugpb__JobSpec tug_ctl_lean_spec(const Tugpb__JobSpec *s);
uint8_t *tug_ctl_pack_spec(const Tugpb__JobSpec *s, size_t *len);
/* Keep a node's inventory, packed; what the core needs of it: strings are borrowed from 'inv', links are *machine, which the
 * caller frees (NULL: they are not known, or cannot be, which is logged). */
struct tug_core_inventory tug_ctl_keep_inventory(struct tug_control *c, struct ctl_node *n, const char *name,
                                                 const Tugpb__Inventory *inv, struct tug_machine **machine,
                                                 struct tug_core_mig **mig);
/* Records as they were written; a job after its blobs and nodes. */
void tug_ctl_restore_meta(struct tug_control *c, const Tugpb__MetaRecord *m);
int tug_ctl_restore_token(struct tug_control *c, const char *key, const void *data, size_t len, struct tug_err *err);
int tug_ctl_restore_usage(struct tug_control *c, const char *id, const Tugpb__UsageRecord *m, struct tug_err *err);
int tug_ctl_restore_node(struct tug_control *c, const Tugpb__NodeRecord *m, struct tug_err *err);
/* What can be made of a job's record on whatever thread, in one place, as the thread that takes it fetches every line of it from the
 * other's cache. Everything is in the record's memory. */
struct ctl_read_job {
    struct tug_job job;           /* complete, unless it names nodes */
    struct ctl_request request;
    int names_nodes;              /* of those that never started nothing is anywhere. Slices of GPUs are of kinds that nodes say */
    char *token, *job_token, *home, *shell;
    ProtobufCBinaryData script, env;
    uint32_t *gids; size_t n_gids;
    uint64_t clock_boot; int64_t clock_zero_ms;
    const Tugpb__JobRecord *m;    /* all of it, of one that names nodes */
};
int tug_ctl_read_job(struct tug_arena *a, const Tugpb__JobRecord *m, struct ctl_read_job **out, struct tug_err *err);
int tug_ctl_restore_job(struct tug_control *c, struct ctl_read_job *r, struct tug_err *err);

/* restore.c */
void tug_ctl_restore_kept_node(struct tug_control *c, const char *name);     /* its record, if there is one */
int tug_ctl_restore_finish(struct tug_control *c, struct tug_err *err);

/* views.c: memory from the arena, strings borrowed from job and c */
/* Its place in the order, and the policy's terms: hooks are asked. */
void tug_ctl_view_standing(struct tug_control *c, struct tug_arena *a, const struct tug_job *job,
                           Tugpb__JobView *out);
void tug_ctl_view_job(struct tug_control *c, struct tug_arena *a, const struct tug_job *job, int brief,
                      Tugpb__JobView *out);
/* The nodes of a host list; every name must be one. */
int tug_ctl_find_nodes(const struct tug_control *c, const char *text, struct tug_hostlist **out, struct tug_err *err);
/* drift.c: a sentence for each node that says otherwise than the fabric is configured; and into the log, of all or of one node. */
void tug_ctl_drift(const struct tug_control *c, void (*say)(void *arg, uint32_t node, const char *text), void *arg);
void tug_ctl_drift_log(struct tug_control *c, uint32_t only);
/* fabric.c: as text in the arena. */
char *tug_ctl_nodes_text(struct tug_arena *a, const struct tug_hostlist *hl);
/* fabric.c: the domains that the job is in. */
void tug_ctl_view_domains(struct tug_control *c, struct tug_arena *a, const struct tug_job *job,
                          Tugpb__JobView *out);
/* links.c */
/* Those for which it is certain by now are judged; when to look again, INT64_MAX = not at all. */
int64_t tug_ctl_links_judge(struct tug_control *c, int64_t now_ms);
Tugpb__LinkFailure **tug_ctl_links_pb(struct tug_control *c, struct tug_arena *a, uint32_t node, size_t *n); /* of its record */
Tugpb__LinkView **tug_ctl_view_links(struct tug_control *c, struct tug_arena *a, uint32_t node, size_t *n); /* TUG_NO_NODE: all */
Tugpb__NodeFailure **tug_ctl_failures_pb(struct tug_arena *a, const struct tug_core_node *k);
Tugpb__DrainReason **tug_ctl_drains_pb(struct tug_arena *a, const struct tug_core_node *k);   /* strings borrowed */
void tug_ctl_view_node(struct tug_control *c, struct tug_arena *a, uint32_t node, Tugpb__NodeView *out);
Tugpb__ExitInfo *tug_ctl_exit_pb(struct tug_arena *a, const struct tug_exit *e);
Tugpb__Cause *tug_ctl_cause_pb(struct tug_control *c, struct tug_arena *a, const struct tug_cause *cause);
struct tug_exit tug_ctl_exit(const Tugpb__ExitInfo *e);
struct tug_cause tug_ctl_cause(struct tug_control *c, const Tugpb__Cause *m);
Tugpb__Hang *tug_ctl_hang_pb(struct tug_control *c, struct tug_arena *a, const struct tug_hang *h);   /* NULL: nobody does */
struct tug_hang tug_ctl_hang(struct tug_control *c, const Tugpb__Hang *m);                            /* text borrowed */
Tugpb__JobHold *tug_ctl_onhold_pb(struct tug_arena *a, const struct tug_onhold *h);   /* NULL: nobody's; strings borrowed */
struct tug_onhold tug_ctl_onhold(const Tugpb__JobHold *m);                            /* strings borrowed */
void *tug_ctl_alloc(struct tug_arena *a, size_t len_bytes);     /* zeroed; never NULL */
char *tug_ctl_fmt(struct tug_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* clock.c: by how much times are to be moved that were written when the clock showed zero_ms at that boot */
int64_t tug_ctl_clock_shift(const struct tug_control *c, uint64_t boot, int64_t zero_ms);
void tug_ctl_clock_shift_job(struct tug_job *job, int64_t by_ms);
/* Those that were queued again; job->n_attempts of them. */
Tugpb__Attempt **tug_ctl_attempts_pb(struct tug_control *c, struct tug_arena *a, const struct tug_job *job);
Tugpb__Slice **tug_ctl_slices_pb(struct tug_control *c, struct tug_arena *a, const struct tug_job *job,
                                 const struct ctl_job *j);

/* waiters.c */
void tug_ctl_wait_add(struct tug_control *c, const struct ctl_waiter *w);
void tug_ctl_wait_job(struct tug_control *c, const struct tug_job *job);             /* it changed */
void tug_ctl_wait_step(struct tug_control *c, const struct tug_job *job, const struct tug_step *ended);
void tug_ctl_wait_gone(struct tug_control *c, uint64_t job);                         /* it is forgotten */
void tug_ctl_wait_peer_down(struct tug_control *c, tug_peer_id peer);
void tug_ctl_wait_check(struct tug_control *c, int64_t now_ms);
int64_t tug_ctl_wait_next(const struct tug_control *c);

#endif
