/* order.h - the launch order: what the controller signs and the root launcher checks
 *
 * A fixed-size record so that root code never parses. Integers are little-endian, at fixed offsets; unused bytes are
 * zero and are checked to be. Everything that the launcher acts on is in here; the payload (for the step daemon,
 * which runs as the user) is bound by its BLAKE2b-256 digest and is never looked into by the launcher.
 * Needs libc only. Layer: proto.
 */
#ifndef TUG_PROTO_ORDER_H
#define TUG_PROTO_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TUG_ORDER_LEN 1024      /* bytes on the wire */
#define TUG_ORDER_SIG_LEN 64    /* Ed25519 */
#define TUG_ORDER_VERSION 1
#define TUG_ORDER_NAME_MAX 64   /* cluster and node names, NUL included */
#define TUG_ORDER_GIDS_MAX 64
#define TUG_ORDER_DIGEST_LEN 32 /* BLAKE2b-256 */
#define TUG_ORDER_LIFE_MS (10 * 60 * 1000) /* from when it leaves the controller */

struct tug_order {
    char cluster[TUG_ORDER_NAME_MAX];
    char node[TUG_ORDER_NAME_MAX];
    uint8_t boot_id[16];
    uint64_t epoch;
    uint64_t job;
    uint32_t attempt;
    uint32_t step;
    uint32_t uid;
    uint32_t gid;
    uint32_t n_gids;
    uint32_t gids[TUG_ORDER_GIDS_MAX];  /* supplementary groups */
    uint64_t gpus;                      /* base/gpuset.h */
    uint32_t cpus;
    uint8_t cpu_mask[128];              /* little-endian bit set of logical CPUs; all zero = not confined */
    uint64_t mem_bytes;                 /* 0 = not limited */
    uint32_t pids_max;                  /* 0 = default */
    uint32_t flags;                     /* TUG_ORDER_REQUEUEABLE */
    int64_t expires_wall_ms;            /* refused after this */
    uint8_t payload_digest[TUG_ORDER_DIGEST_LEN];
};
#define TUG_ORDER_REQUEUEABLE 1u        /* ended by the node when its lease runs out */

/* -EINVAL: a name is too long or not terminated, or too many groups. */
int tug_order_pack(const struct tug_order *o, uint8_t out[TUG_ORDER_LEN], struct tug_err *err);
/* -EPROTO: another version, an unterminated name, a count over its cap, or bytes that must be zero and aren't. */
int tug_order_unpack(const uint8_t in[TUG_ORDER_LEN], struct tug_order *out, struct tug_err *err);

#endif
