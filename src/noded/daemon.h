/* daemon.h - the parts of tugnoded, and who makes what
 *
 * main.c       options, then the parts in order      options.c    command line and configuration
 * world.c      the real env: clock, timer, send, persist, random
 * link.c       the connection to the controller, and the socket for step daemons
 * launcher.c   launch.proto <-> the records of proto/wire.h
 * check.c      run the health check
 * programs.c   run prologs and epilogs
 * emulate.c    to be like a kind of machine
 * inventory.c  what this node has, or pretends to have
 * recheck.c    looking again while it runs
 * Layer: programs.
 */
#ifndef TUG_NODED_DAEMON_H
#define TUG_NODED_DAEMON_H

#include "base/gpuset.h"
#include "base/vec.h"
#include "conf/machine.h"
#include "host/loop.h"
#include "host/net.h"
#include "host/store.h"
#include "logic/agent.h"
#include "proto/launch.pb-c.h"
#include "proto/wire.h"

struct event;

struct options {                       /* owned texts; NULL = not said */
    char *node, *controller, *cluster, *key, *controller_pub, *state_dir, *run_dir, *address;
    char *gpu_model, *machine, *nvlink_domain, *boot_id;
    struct tug_sheet *sheet;           /* what 'machine' is; NULL = not said */
    int64_t cpus, memory_bytes, gpus;  /* cpus, memory: 0 = the real ones; gpus: -1 = the real ones */
    enum tug_log_level level;
    uint32_t processes;                /* of a job, at most */
    uint64_t reserved_memory_bytes;
    int64_t inventory_period_s;        /* -1 = not said; 0 = only at the start */
    struct tug_agent_check check;      /* program NULL = none; owned */
    struct tug_agent_program prolog, epilog;   /* likewise */
    bool only_look;                    /* write the inventory and end; no state, no sockets */
    bool settled;                      /* look in vain while the fabric manager is at work */
};

struct check;
struct programs;

/* Of programs that the administrator has us run: nothing of ours, nor of any user's. */
#define PROGRAM_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct stepd {                         /* a connection on our own socket */
    tug_peer_id id;
    struct tug_conn *conn;
    struct noded *d;
};

struct outgoing { struct tug_wire record; int fd; };   /* fd: -1, or a payload that is ours to close */

struct noded {
    struct options o;
    struct tug_loop *loop;
    struct tug_timer *timer, *redial, *leaving;
    struct tug_store *store;
    struct tug_agent *agent;
    struct check *check;
    struct programs *programs;
    struct recheck *recheck;           /* NULL = what it has is pretended, or not looked at again */
    Tugpb__Inventory *inventory;
    struct tug_keypair key;
    uint8_t controller_pub[32];
    int64_t wall0, boot0;              /* the agent's clock: wall clock at start + time since */
    int exit_code;
    bool stopping;                     /* told to, before anything ran */

    struct tug_vec(char *) controllers; /* where each of them listens when it leads */
    size_t dialling;                   /* which is tried, or has answered */
    struct tug_conn *controller;       /* dialled; NULL = waiting to dial again */
    tug_peer_id controller_id;         /* 0 = the session is not up */
    bool said_down;                    /* the log has it already */
    unsigned redial_ms;
    struct tug_listener *listener;
    struct tug_vec(struct stepd *) stepds;
    tug_peer_id next_peer;

    bool limits_pids, limits_memory;           /* the launcher can */
    struct tug_timer *ping;                    /* asks it whether it is there; set once it has said that it knows how to answer */
    unsigned pings;                            /* that it has not answered */
    struct event *wire_read, *wire_write;
    struct tug_vec(struct outgoing) wire_out;
    struct tug_vec(Tugpb__LnStarted) held;     /* HELD records, until LISTED */
    struct tug_vec(Tugpb__StepKey) held_keys;
    struct tug_vec(Tugpb__StuckProcess *) stuck;   /* STUCK records, until the last of their step */
};

/* options.c: command line over configuration over defaults; exits by itself on --help and on a wrong command line. */
int options_read(struct options *o, int argc, char **argv, struct tug_err *err);
void options_clear(struct options *o);

/* emulate.c: find o->machine, among others in a folder beside that file (NULL: none), and fill in from it what was not said. */
int emulate_machine(struct options *o, const char *beside, struct tug_err *err);

/* inventory.c: also writes RUN_DIR/topology.xml. Free with inventory_free. */
int inventory_take(const struct options *o, Tugpb__Inventory **out, struct tug_err *err);
void inventory_free(Tugpb__Inventory *inv);
#define INVENTORY_LATER 75             /* exit code of --inventory --settled when it has to be asked later */
/* The address from which the controller is reached, as numbers. */
int inventory_address(const char *endpoint, char **out, struct tug_err *err);

/* recheck.c: another process looks, every inventory_period_s and after a failure; the agent tells what differs. */
int recheck_start(struct noded *d, struct tug_err *err);
void recheck_stop(struct noded *d);
void recheck_soon(struct recheck *r);                              /* may be NULL */

/* check.c */
int check_start(struct noded *d, struct tug_err *err);
void check_stop(struct noded *d);
void check_run(struct noded *d, const Tugpb__HcRun *m);

/* programs.c */
int programs_start(struct noded *d, struct tug_err *err);
void programs_stop(struct noded *d);
void programs_run(struct noded *d, const Tugpb__VsRun *m);

/* world.c */
void world_env(struct noded *d, struct tug_env *env);
int64_t world_from_boot(const struct noded *d, int64_t boot_ms);   /* INT64_MAX and 0 stay */
int64_t world_to_boot(const struct noded *d, int64_t agent_ms);
void world_wait_for_room(struct noded *d);                         /* a store without room stops nothing */
/* After every call into the agent: is there a reason to end? */
void world_check(struct noded *d);

/* link.c */
int link_start(struct noded *d, struct tug_err *err);
void link_stop(struct noded *d);
void link_close(struct noded *d, tug_peer_id id);
struct tug_conn *link_conn(struct noded *d, tug_peer_id id);       /* NULL: gone */

/* launcher.c */
int launcher_start(struct noded *d, struct tug_err *err);
void launcher_stop(struct noded *d);
/* Into what the node says it has: what jobs may take of it, and the memory that none gets. */
void launcher_bounds(const struct noded *d, Tugpb__Inventory *inv);
void launcher_send(struct noded *d, enum tug_msg number, const ProtobufCMessage *m);

#endif
