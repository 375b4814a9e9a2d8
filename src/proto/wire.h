/* wire.h - what tugnoded and tuglaunch say to each other: fixed-size records over one socketpair
 *
 * SOCK_SEQPACKET, one record a packet, of exactly this size; both ends are of one build on one machine, so integers are
 * the machine's own. A START carries the payload as a sealed memfd (SCM_RIGHTS); nothing else carries a descriptor.
 * Needs libc only. Layer: proto.
 */
#ifndef TUG_PROTO_WIRE_H
#define TUG_PROTO_WIRE_H

#include <stdint.h>

#include "proto/order.h"

#define TUG_WIRE_VERSION 1
#define TUG_WIRE_FD 3                       /* tugnoded's end */
#define TUG_WIRE_PAYLOAD_MAX (12 * 1024 * 1024)
#define TUG_WIRE_EXIT_REFUSED 78            /* tugnoded: the controller does not want this node (EX_CONFIG) */

enum tug_wire_type {
    /* to the launcher */
    TUG_WIRE_START = 1,                     /* + the payload's descriptor: answered by STARTED or REFUSED */
    TUG_WIRE_KILL,                          /* SIGKILL to everything in the step; GONE follows when it is empty */
    TUG_WIRE_LIST,                          /* answered by GONE (not yet told), HELD for each step, LISTED */
    TUG_WIRE_LEASE,                         /* requeueable steps are killed when it is over */
    TUG_WIRE_LIMITS,                        /* of jobs that come */
    TUG_WIRE_PING,                          /* answered by PONG */
    /* from the launcher */
    TUG_WIRE_STARTED = 64,
    TUG_WIRE_REFUSED,
    TUG_WIRE_GONE,                          /* nothing is left of the step */
    TUG_WIRE_HELD,
    TUG_WIRE_LISTED,
    TUG_WIRE_STUCK,                         /* one process of a step that SIGKILL does not end; 'of' such records in a row */
    TUG_WIRE_PONG
};
#define TUG_WIRE_STUCK_MAX 8                /* processes of a step that are told of */

struct tug_wire_use {                       /* of a job on this node; 0 = no limit, not known */
    uint64_t pids_max, pids_hits, mem_max, mem_peak, oom_kills;
};

struct tug_wire {
    uint32_t version;
    uint32_t type;
    uint64_t job;                           /* in a START the order's key counts, and this must be the same */
    uint32_t attempt, step;
    union {
        struct {
            uint8_t order[TUG_ORDER_LEN];
            uint8_t signature[TUG_ORDER_SIG_LEN];
        } start;
        struct {
            int64_t until_boot_ms;          /* CLOCK_BOOTTIME; 0 = there was none, INT64_MAX = for ever */
            uint32_t limits_pids, limits_memory; /* LISTED: whether it can */
            uint32_t pongs;                 /* LISTED: it knows PING */
        } lease;                            /* LEASE, LISTED */
        struct {
            uint32_t pids_max;              /* processes of each job */
            uint64_t mem_max;               /* bytes of all jobs together; 0 = not limited */
        } limits;
        struct {
            uint32_t pid, uid, requeueable;
            uint32_t left;                  /* the step daemon has gone, what it left is being ended */
        } held;                             /* STARTED, HELD */
        struct {
            char text[1024];                /* terminated */
        } refused;
        struct {
            int32_t wait_status;
            uint32_t oom;
            uint64_t cpu_us, max_rss_bytes;
            uint32_t lease;                 /* ended by the launcher, as the lease was over */
            struct tug_wire_use use;        /* while it was here */
        } gone;
        struct {
            int32_t wait_status;            /* these two as in 'gone' */
            uint32_t lease;
            uint32_t pid, nth, of, all;     /* record nth of 'of'; there are 'all' such processes */
            char wchan[64], stack[900];     /* of the kernel's making, terminated; "" = may not be read */
        } stuck;
    };
};

#endif
