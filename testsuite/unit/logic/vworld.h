/* vworld.h - a controller and some nodes in one process, under a virtual clock
 *
 * The real control.c and agent.c, each behind its own struct tug_env; launchers, step daemons, disks and one client
 * are played here. Time moves only when something is due; every hop takes HOP_MS, every commit DISK_MS, so tests can
 * name exact times. A node's step daemon is ready READY_MS after its order, its ranks run vw->run_ms and exit with
 * vw->exit_code[node] (node 0 = all nodes' default 0).
 * Layer: tests.
 */
#ifndef TUG_TEST_VWORLD_H
#define TUG_TEST_VWORLD_H

#include "logic/agent.h"
#include "logic/control.h"
#include "proto/client.pb-c.h"

#define HOP_MS 1
#define DISK_MS 2
#define ROOM_MS 1000                    /* after so long a disk that had no room is asked again */
#define READY_MS 5
#define VW_NODES_MAX 8
#define VW_T0 1000000LL                 /* when the world begins */

struct vworld;

struct vworld *vw_new(unsigned n_nodes, uint32_t node_timeout_s, uint32_t lease_s);
void vw_free(struct vworld *w);

/* What the ranks do. */
/* From a restart of the controller on, jobs of queue "main" give way to those of "urgent", like this. */
void vw_let_give_way(struct vworld *w, enum tug_policy_preemptable how, uint32_t notice_s);
void vw_set_run_ms(struct vworld *w, int64_t run_ms);              /* INT64_MAX = until killed */
void vw_set_exit(struct vworld *w, unsigned node, int code);       /* after run_ms; other ranks run on unless killed */
void vw_set_ready(struct vworld *w, unsigned node, int64_t ready_ms); /* INT64_MAX = never */

void vw_set_preflight(struct vworld *w, const char *what);         /* of jobs that are submitted from now on; NULL = none. Borrowed */
/* Likewise: they are run again after these exits, this long after the first. Borrowed. */
void vw_set_again(struct vworld *w, const char *exits, uint32_t delay_s);

void vw_set_time(struct vworld *w, uint32_t limit_s, int64_t begin_ms); /* likewise: wall clock; 0 = none */
void vw_set_deaf(struct vworld *w, unsigned node, int deaf); /* step daemons there never say that their ranks are stopped */
/* From the next start of a controller on its clock is so far ahead of vw_now(); and it is another boot of its machine. */
void vw_put_wall(struct vworld *w, int64_t ahead_ms);
void vw_reboot_control(struct vworld *w);

int64_t vw_now(const struct vworld *w);
/* Let time pass until 'until_ms', or until nothing more is due. */
void vw_run(struct vworld *w, int64_t until_ms);

/* What the node says of its links from the next start of its daemon on; borrowed. */
void vw_set_links(struct vworld *w, unsigned node, Tugpb__Machine *links);

/* Cut or mend the network between the controller and a node (both sides see the connection end, or come back). */
void vw_freeze(struct vworld *w, int64_t for_ms);          /* everything stands still, but clocks go on */
void vw_cut(struct vworld *w, unsigned node);
void vw_mend(struct vworld *w, unsigned node);
void vw_set_mute(struct vworld *w, unsigned node, int mute); /* what it says is lost, and its connection stays */
/* A further connection of the node, that opens now; what it said first on its own one arrives on 'on' (0: its own). */
tug_peer_id vw_connect_again(struct vworld *w, unsigned node);
void vw_hello_again(struct vworld *w, unsigned node, tug_peer_id on);
/* Of the next controller. */
void vw_take_out(struct vworld *w, unsigned n);            /* ... the last n nodes are not in its configuration */
void vw_set_lease(struct vworld *w, uint32_t lease_s);
/* Node daemon dies and comes back; launcher and step daemons stay. */
void vw_restart_agent(struct vworld *w, unsigned node);
/* The controller dies: what was not durable is gone. Then it comes back from its disk. */
void vw_crash_control(struct vworld *w);
void vw_start_control(struct vworld *w);

void vw_set_disk(struct vworld *w, int64_t commit_ms);     /* so long commits of the controller take from now on, not DISK_MS */
/* The controller's records come in the order of their keys from its next start on, or the other way round. */
void vw_sort_disk(struct vworld *w, int backwards);

/* The controller's disk takes nothing more, for the reason 'why' (borrowed), until NULL: what is being committed waits. */
void vw_fill(struct vworld *w, const char *why);

/* Keep a copy of the controller's disk as it is now; put it in the place of what is there, while no controller runs.
 * By hand, or as `tug admin restore` does it, where what is replaced can be read and where it cannot. */
void vw_backup(struct vworld *w);
enum vw_put_back { VW_BY_HAND, VW_RESTORED, VW_RESTORED_UNREAD };
void vw_put_back(struct vworld *w, enum vw_put_back how);
uint32_t vw_resume(struct vworld *w, int now);                      /* tug admin resume-scheduling */
uint64_t vw_epoch(const struct vworld *w);
uint64_t vw_node_epoch(const struct vworld *w, unsigned node);

/* A client on the controller's host. Returns the request id; the reply is found by it. nodes 0: that many GPUs in all. */
uint32_t vw_submit(struct vworld *w, const char *token, uint32_t nodes, uint32_t gpus_per_node, int requeue);
/* A step inside 'job' whose command has an argument of so many bytes. */
uint32_t vw_submit_to(struct vworld *w, const char *queue, const char *token, uint32_t nodes, uint32_t gpus_per_node,
                      int requeue);
uint32_t vw_submit_step(struct vworld *w, uint64_t job, size_t arg_bytes);
uint32_t vw_wait_end(struct vworld *w, uint64_t job);
uint32_t vw_cancel(struct vworld *w, uint64_t job);
uint32_t vw_hold(struct vworld *w, uint64_t job, int release);      /* tug hold, tug release */
void vw_set_hold(struct vworld *w, int hold);                       /* of jobs that are submitted from now on */
const char *vw_holds(const struct vworld *w); /* the durable history of holds: "hold 7 user by ada (1000): why", a line each */
/* The client is that user from now on, also to later controllers. 1000, "ada" until then: an operator, as root is. */
void vw_be(struct vworld *w, uint32_t uid, const char *user);
uint32_t vw_requeue(struct vworld *w, uint64_t job);
uint32_t vw_topo(struct vworld *w, const char *nodes);
uint32_t vw_ask(struct vworld *w, enum tug_msg number, const ProtobufCMessage *m);
struct vw_reply { uint16_t number; int64_t at_ms; ProtobufCMessage *m; };
/* NULL: nothing yet. */
const struct vw_reply *vw_reply(const struct vworld *w, uint32_t rid);
uint64_t vw_job(const struct vworld *w, uint32_t rid);             /* of a SubmitReply; asserts there is one */

/* The step daemon of 'job' on that node says who holds its gang up; text "" = nobody any more. */
void vw_say_hang(struct vworld *w, unsigned node, uint64_t job, const char *text);
/* It says that it lost that node, and ends its ranks. */
void vw_say_lost(struct vworld *w, unsigned node, uint64_t job, const char *peer);
/* The step daemon on 'node' has heard that two others lost each other; lost_by "": itself. */
void vw_say_pair(struct vworld *w, unsigned node, uint64_t job, const char *lost_by, const char *peer);
const struct tug_job *vw_see(const struct vworld *w, uint64_t job);
const struct tug_core *vw_core(const struct vworld *w);
int vw_durable(const struct vworld *w, const char *kind, uint64_t id);  /* is there such a record on the controller's disk? */
uint32_t vw_master_port(const struct vworld *w);  /* told to the step daemon that started last; node n's own is 61000 + n */
const char *vw_gpu_order(const struct vworld *w); /* "0 3 2 1": as the node was told whose step was launched last */
const char *vw_command(const struct vworld *w);   /* of that step; "PREFLIGHT ..." when it is one */
unsigned vw_durable_tokens(const struct vworld *w);                 /* of jobs that are forgotten */
/* How many step daemons of (job, attempt) have running ranks now, over all nodes; attempt 0 = any. */
unsigned vw_running(const struct vworld *w, uint64_t job, uint32_t attempt);
unsigned vw_stopped(const struct vworld *w, uint64_t job);           /* of these, those whose ranks are stopped */
unsigned vw_max_attempts_at_once(const struct vworld *w, uint64_t job); /* most attempts that ever ran at the same time */
unsigned vw_blind_starts(const struct vworld *w);  /* step daemons that were started without word of where their head is */

#endif
