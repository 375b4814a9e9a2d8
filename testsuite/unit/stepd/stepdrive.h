/* stepdrive.h - plays the node daemons of a gang, so that step daemons can be tested without any
 *
 *     struct drive *d = drive_new(2, 2);                   2 nodes with 2 ranks each, on 127.0.0.1
 *     drive_argv(d, "sh", "-c", "echo $RANK", NULL);       d->spec and d->pay may be changed in any
 * way drive_run(d);                                        start, barrier, results, acknowledged,
 * all gone ck_assert_str_eq(drive_output(d), "..."); drive_free(d);
 *
 * Everything lives in one directory under $TMPDIR. Whatever takes more than DRIVE_LIMIT_MS fails
 * the test. Layer: tests.
 */
#ifndef TUG_STEPDRIVE_H
#define TUG_STEPDRIVE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/vec.h"
#include "host/loop.h"
#include "host/net.h"
#include "proto/node.pb-c.h"
#include "proto/step.pb-c.h"

#define DRIVE_LIMIT_MS 50000 /* less than UNIT_TIMEOUT_S: the failure says what did not come */

struct drive_node {
    struct drive *d;
    unsigned index;
    char name[16];
    pid_t pid;
    int wait_status;
    bool gone; /* the step daemon ended */
    struct tug_listener *listener;
    struct tug_conn *conn;
    struct tug_conn *silent; /* has connected and said nothing yet */
    char endpoint[256];
    /* what it said */
    unsigned n_hellos;
    Tugpb__StepPhase phase; /* of the last hello */
    Tugpb__StepReady *ready;
    Tugpb__Cause *failure; /* SdFailure */
    Tugpb__StepResult *result;
    Tugpb__Hang *hang; /* of the last SdWatch */
    unsigned n_watches;
    uint32_t stopped; /* serial of the last SdStopped */
    bool wired;
    unsigned n_results;
};

struct drive {
    char dir[128];
    struct tug_loop *loop;
    unsigned n_nodes; /* that are played: one for a batch script, whatever its slices */
    struct drive_node *nodes;
    Tugpb__StepPayload pay; /* common to all nodes; node_index and nodes[0] are set per node */
    Tugpb__JobSpec spec;
    Tugpb__StepKey key;
    Tugpb__ResourceRequest res;
    Tugpb__Inventory inv;
    struct tug_buf env;
    bool no_start; /* the barrier stays closed */
    bool no_ack;
    unsigned blind, unseen; /* that node looks for the other one where nobody is; 0: none does */
    bool started;
    uint64_t began_ms;  /* first step daemon started */
    uint64_t failed_ms; /* first SdFailure or result with a cause */
    uint64_t ended_ms;  /* last result */
    /* `tug run`, with drive_interactive() */
    struct tug_listener *run_listener;
    struct tug_conn *run_conn;
    struct tug_buf run_out[3]; /* by stream */
    Tugpb__RunDone *run_done;
    struct tug_buf text;
    struct tug_vec(void *) kept; /* freed with the drive */
};

struct drive *drive_new(unsigned n_nodes, unsigned tasks_per_node);
void drive_free(struct drive *d); /* kills what is left */

void drive_argv(struct drive *d, const char *first, ...) __attribute__((sentinel));
void drive_script(struct drive *d, const char *text);
void drive_env(struct drive *d, const char *kv);
void drive_interactive(struct drive *d);

void drive_start(struct drive *d); /* step daemons run, nothing more */
void drive_until(struct drive *d, bool (*is_so)(struct drive *d), const char *what);
void drive_run(struct drive *d);
bool drive_all_ready(struct drive *d);
bool drive_all_results(struct drive *d);
bool drive_all_gone(struct drive *d);
void drive_listen(struct drive *d, unsigned node); /* (again) */
void drive_deaf(struct drive *d, unsigned node);   /* as if the node daemon had died */
void drive_forget_ready(struct drive *d, unsigned node);
void drive_forget_hang(struct drive *d, unsigned node);
void drive_send(struct drive *d, unsigned node, enum tug_msg number, const ProtobufCMessage *m);
void drive_start_gang(struct drive *d); /* the barrier opens */

/* The merged output file, or 'name' in the directory; "" when it is not there. Valid until the next
 * call. */
const char *drive_output(struct drive *d);
const char *drive_file(struct drive *d, const char *name);
void drive_touch(struct drive *d, const char *name); /* ranks wait for such files in their directory */
/* The cause that all nodes' results agree on (asserted); NULL: none. */
const Tugpb__Cause *drive_cause(struct drive *d);
/* Builds programs/NAME.c, next to this file, by the shell command 'how' ("%1$s" is the source,
 * "%2$s" the target). NULL when that fails. */
const char *drive_program(struct drive *d, const char *name, const char *how);

#endif
