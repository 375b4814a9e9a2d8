/* env.h - the only way in which the daemons' logic reaches the outside world
 *
 * control.c (tugd) and agent.c (tugnoded) are pure: they are fed messages and expired timers and answer through this
 * table. The daemons give them the real world; the tests and the fault simulation give them a virtual one.
 * Layer: logic.
 */
#ifndef TUG_LOGIC_ENV_H
#define TUG_LOGIC_ENV_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/batch.h"
#include "proto/msg.h"

typedef uint64_t tug_peer_id;          /* a connection, named by the host; never reused; 0 = none */
#define TUG_PEER_PROGRAMS (UINT64_MAX - 2) /* agent only: what runs prologs and epilogs (VsRun, VsDone) */
#define TUG_PEER_CHECKER (UINT64_MAX - 1) /* agent only: what runs the health check (HcRun, HcDone) */
#define TUG_PEER_LAUNCHER UINT64_MAX   /* agent only: the launcher (messages of launch.proto) */

struct tug_turns {
    uint64_t n;
    uint32_t p50_us, p99_us, max_us;
    uint32_t cpu_p50_us, cpu_p99_us, cpu_max_us; /* of that, what was computed */
};

struct tug_env {
    void *ctx;
    /* ms of a clock that never goes back: wall clock at the start of the process, then CLOCK_BOOTTIME. */
    int64_t (*now)(void *ctx);
    /* Call ..._timer(now) at or after at_ms. One timer: the last call counts; INT64_MAX = none. */
    void (*timer)(void *ctx, int64_t at_ms);
    /* Send to a peer; a peer that is gone swallows it. m == NULL closes the connection after what was sent. */
    void (*send)(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const ProtobufCMessage *m);
    /* Make the batch durable (takes it), then call ..._persisted(ticket). A failure never comes back: the host stops. */
    void (*persist)(void *ctx, struct tug_batch *b, uint64_t ticket);
    void (*random)(void *ctx, void *out, size_t len_bytes);
    /* As send, with the body already packed: what had to wait for its commit. */
    void (*send_packed)(void *ctx, tug_peer_id peer, enum tug_msg number, uint32_t rid, const void *body,
                        size_t len_bytes);
    /* How long the turns of the host's loop took lately; NULL: nobody measures. */
    void (*turns)(void *ctx, struct tug_turns *out);
};

#endif
