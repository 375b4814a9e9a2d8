/* daemon.h - the parts of tugd, and who makes what
 *
 * main.c     options, then the parts in order        setup.c   configuration file -> control's configuration
 * world.c    the real env: clock, timer, send, persist, random
 * listen.c   the two sockets and their peers         who.c     user names and groups
 * sign.c     launch orders                           history.c rows of the past, asked from the store
 * plugin.c   the policies                            watchdog.c when one of them hangs or crashes
 * lead.c     the store, and which controller leads      offer.c   which copy of a damaged one is whole
 * snapshot.c a copy of it every few hours               view.c    a state that there is no room to begin with
 * Layer: programs.
 */
#ifndef TUG_QUEUED_DAEMON_H
#define TUG_QUEUED_DAEMON_H

#include <uthash.h>

#include "conf/config.h"
#include "host/coreconf.h"
#include "host/loop.h"
#include "host/net.h"
#include "host/store.h"
#include "logic/control.h"

struct tug_plugset;
struct recall;
struct snapshots;

/* A connection, by the number that the logic knows it by. */
struct peer {
    tug_peer_id id;
    struct tug_conn *conn;
    struct tugd *d;
    uint32_t uid;
    UT_hash_handle hh;
};

struct tugd {
    const char *program, *config_path;
    const char *lead_before;       /* it led when a policy made it execute itself anew: tug_store_lead_token(); or NULL */
    struct tug_config cfg;
    char *run_dir, *state_dir, *socket_path;
    struct tug_loop *loop;
    struct tug_timer *timer;
    struct tug_timer *alive;       /* tells the service manager that the loop turns */
    struct tug_store *store;
    struct tug_keypair key;
    struct tug_control *control;
    struct tug_listener *clients, *nodes;
    struct peer *peers;
    tug_peer_id next_peer;
    struct tug_plugset *policies;  /* NULL: the built-in order */
    struct snapshots *snapshots;   /* NULL: it does not lead */
    struct recall *recall;         /* a set that waits for the history; NULL = none does */
    int64_t wall0, mono0;          /* the daemon's clock: wall clock at start + time since */
    int exit_code;
    int stopping;
    int damaged;                   /* the state in etcd cannot be read */
    int without_policy;            /* until the configuration is read again */
    int ready_fd;                  /* -1 = nobody waits, or has been told */
    int leads, again;              /* again: execute this program anew once all is closed */
    char standing_by[256];         /* what for; while it does not lead */
    struct tug_err no_room;        /* the store is not open, and why */
    struct tug_err view_err;
    int open_rc;
};

/* main.c: commands get answers now. Once. */
void say_ready(struct tugd *d);

/* lead.c */
int lead_open(struct tugd *d, struct tug_err *err);
/* Returns when we lead, at once with a store of our own, or when we are to stop (d->stopping). */
int lead_wait(struct tugd *d, struct tug_err *err);

/* setup.c: what control needs of the configuration; free with setup_free. */
struct setup {
    struct tug_control_conf conf;
    struct tug_coreconf core;
};
int setup_load(struct tugd *d, struct tug_err *err);
void setup_reload(struct tugd *d);     /* what can change while gangs run; one that is wrong changes nothing. Logs */
void setup_control(const struct tug_config *cfg, struct setup *out);
void setup_free(struct setup *s);

/* world.c */
void world_env(struct tugd *d, struct tug_env *env);
uint64_t world_boot(void);             /* which boot of the machine this is; 0 = not known */
int64_t world_clock(const struct tugd *d);
void world_wait_for_room(struct tugd *d);   /* a store without room stops nothing */
void world_log(struct tugd *d);        /* control's sentences to the log */
struct peer *world_peer(struct tugd *d, tug_peer_id id);
void world_close(struct tugd *d, tug_peer_id id);
void world_stop(struct tugd *d, int exit_code);

/* offer.c: the state is damaged; log which copy beside it is whole. */
void offer_copy(const struct tugd *d);

/* snapshot.c: while it leads */
int snapshot_start(struct tugd *d, struct tug_err *err);
void snapshot_replan(struct tugd *d);       /* the configuration was read again */
void snapshot_stop(struct tugd *d);

/* view.c: what is there while there is no room to begin. One that cannot be read is logged, and d->control stays NULL. */
int view_open(struct tugd *d, struct tug_err *err);
void view_close(struct tugd *d);

/* listen.c: for commands only; for nodes, too; for nobody any more */
int listen_clients(struct tugd *d, struct tug_err *err);
int listen_open(struct tugd *d, struct tug_err *err);
void listen_close(struct tugd *d);

/* who.c: strings valid until the next call */
void who_fill(struct tug_control_peer *out, uint32_t uid, uint32_t gid);

/* sign.c: fill in digest and signature of a packed StepLaunch; the caller frees. */
void sign_launch(const struct tugd *d, const void *body, size_t len, struct tug_buf *out);

/* history.c */
void history_ask(struct tugd *d, struct peer *p, uint32_t rid, const ProtobufCMessage *m);
void history_ask_events(struct tugd *d, struct peer *p, uint32_t rid, const ProtobufCMessage *m);
void history_ask_nodes(struct tugd *d, struct peer *p, uint32_t rid, const ProtobufCMessage *m);

/* plugin.c */
void plugin_load(struct tugd *d);      /* before the loop runs; on failure the built-in order stays, with a note */
void plugin_reload(struct tugd *d, int has_changed);   /* the configuration was read again */
/* Would the policies of the configuration load? Nothing is put in force. 0, or as tug_plugset_open(). */
int plugin_check(const struct tug_config *cfg, struct tug_err *err);
void plugin_free(struct tugd *d);

/* watchdog.c */
int watchdog_open(struct tugd *d, const char *program, struct tug_err *err);
void watchdog_close(void);
/* This process leads: whoever starts anew because of a policy goes on with that, tug_store_lead_token(). */
void watchdog_leads(const char *token);
/* This program from the beginning, in this process, which must have closed all by now; returns when it cannot be. */
void watchdog_again(void);
/* From now on the policies are those of 'block', a text that says which they are and of what files: it goes into the
 * marker, and is what a later one is compared with. Copied. */
void watchdog_of(struct tugd *d, const char *block);
void watchdog_patience(const struct tugd *d);   /* policy_timeout may have changed */
/* 1: a policy of just these files and parameters has broken, or none is wanted; why[] says which and what it did. */
int watchdog_forbids(const struct tugd *d, const char *block, char *why, size_t size_bytes);
/* Code of a policy runs between the two; they nest. Strings are valid in between. */
void watchdog_begin(const char *policy, const char *hook);
void watchdog_end(void);

#endif
