/* sandbox.h - a cluster of emulated nodes of one user, without root
 *
 * All of it is in one directory:
 *     sandbox.state       "PID START-TICKS NAME" a line, the controller first: what stop ends
 *     tugline.yaml        the controller's configuration
 *     tugd.sock tugd.log NODE.log
 *     state/ run/         the controller's; state/ is elsewhere with --state-dir
 *     tugnode.yaml        the nodes', where --node-config says something for it
 *     machines/NAME.yaml  what the nodes are, where --machine says it
 *     nodes/NAME/{state,run}
 *     nodes/controller.pub  the key of the state that these nodes have served
 * Layer: cli.
 */
#ifndef TUG_CLI_SANDBOX_H
#define TUG_CLI_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hostlist.h"
#include "base/vec.h"
#include "cli/client.h"
#include "conf/machine.h"

/* What --fabric says: widths from the top down, as written. */
#define TUG_SANDBOX_LEVELS_MAX 4
#define TUG_SANDBOX_NODES_MAX  4096
struct tug_sandbox_fabric {
    const char *levels[TUG_SANDBOX_LEVELS_MAX]; /* from the lowest up */
    uint32_t widths[TUG_SANDBOX_LEVELS_MAX];
    size_t n_widths;
    uint32_t nodes;     /* all */
    int64_t over_milli; /* oversubscription of each level but the last, in thousandths */
    bool is_nvlink;     /* the lowest domains are joined by NVLink */
};
/* "rail:4x8", "tree:2x4x8@2". -EINVAL says what there is. */
int tug_sandbox_fabric_parse(const char *text, struct tug_sandbox_fabric *out, struct tug_err *err);
/* Which of the lowest domains a node is in, from 0. */
uint32_t tug_sandbox_fabric_domain(const struct tug_sandbox_fabric *f, size_t node);
/* 'fabric:' and 'fabric_levels:', with bandwidths where a machine is known (NULL: none). */
void tug_sandbox_fabric_print(const struct tug_sandbox_fabric *f, const struct tug_hostlist *nodes,
                              const struct tug_sheet *sheet, struct tug_buf *out);

struct tug_sandbox_conf {
    const char *dir;       /* absolute */
    const char *state_dir; /* absolute */
    struct tug_hostlist *nodes;
    uint32_t cpus, gpus;
    uint64_t mem_bytes;
    const char *gpu_model; /* "" = none */
    struct tug_sheet *sheet; /* NULL = no --machine; its first 'gpus' GPUs */
    const struct tug_sandbox_fabric *fabric; /* NULL = none */
    const char *policy;
    const char *node_config; /* a file with what tugnode.yaml(5) has, but for 'controller'; NULL = none */
    bool fresh; /* state_dir is the sandbox's own: nothing of an earlier one is kept */
};

/* One process that was started. */
struct tug_sandbox_proc {
    pid_t pid;
    uint64_t ticks; /* its start; with the pid, it is this process and no later one */
    char *name;     /* "tugd" or the node's */
};
struct tug_sandbox_procs tug_vec(struct tug_sandbox_proc);

void tug_sandbox_procs_clear(struct tug_sandbox_procs *p);
/* -ENOENT: there is no sandbox in that directory. */
int tug_sandbox_load(const char *dir, struct tug_sandbox_procs *out, struct tug_err *err);
int tug_sandbox_save(const char *dir, const struct tug_sandbox_procs *p, struct tug_err *err);
bool tug_sandbox_alive(const struct tug_sandbox_proc *p);
/* How many of them are alive. */
size_t tug_sandbox_alive_n(const struct tug_sandbox_procs *p);
/* SIGTERM, then SIGKILL to what is left after a while; then to what they left behind. Returns when
 * nothing is left. */
int tug_sandbox_end(const struct tug_sandbox_procs *p, struct tug_err *err);

/* argv[0] is the program's path; its output goes to 'log', which is emptied. ready_fd >= 0 becomes
 * descriptor 3. Adds to 'procs'. */
int tug_sandbox_spawn(struct tug_sandbox_procs *procs, const char *name, char *const *argv,
                      const char *log, int ready_fd, struct tug_err *err);
/* Path of one of our programs: beside this one (a build tree), or where it is installed. -ENOENT
 * lists where it was looked for. */
int tug_sandbox_program(const char *name, char out[TUG_PATH_MAX], struct tug_err *err);

/* Start it and wait until every node is up. On failure all of it is ended again and 'err' has the
 * last lines of the log. *policy_note (the caller frees): why another policy than the configured one
 * is in force, NULL when it is not. */
int tug_sandbox_start(const struct tug_sandbox_conf *conf, char **policy_note, struct tug_err *err);
/* End the controller, if it runs, and start it again on the same state; nodes and gangs go on.
 * -ECHILD: it was started, but nodes have ended. */
int tug_sandbox_restart(const char *dir, char **policy_note, struct tug_err *err);

#endif
