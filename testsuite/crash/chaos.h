/* chaos.h - what the files of chaosproxy share
 *
 * A relay takes connections and dials on for each; what passes is cut into pieces - whole messages, or what one read gave -
 * and each piece may be given on late, twice, behind the next one, in parts or not at all. Layer: tests.
 */
#ifndef TUG_TEST_CHAOS_H
#define TUG_TEST_CHAOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;

/* What may happen to a piece, with how many of a thousand it happens to, by the kind of relay. */
enum fault {
#define FAULT(NAME, name, messages, bytes, star) FAULT_##NAME,
#include "chaos.def"
#undef FAULT
    FAULTS
};
enum kind { KIND_MESSAGES, KIND_BYTES, KIND_STAR, KINDS };

/* ---- chaosproxy.c: one for the process */
struct event_base *chaos_loop(void);
int64_t chaos_now_us(void);
unsigned chaos_below(unsigned n); /* 0..n-1, by the seed */
bool chaos_strikes(enum kind kind, enum fault fault); /* and counts it */
unsigned chaos_delay_us(void);                        /* of one piece */
void chaos_passed(enum kind kind);
/* "host:port", "unix:/path", or "@FILE" that has one of these in its first line, read each time. Valid until the next call. */
const char *chaos_endpoint(const char *to);
void chaos_fail(const char *what, const char *why) __attribute__((noreturn));

/* ---- chaos_line.c: pieces on their way, in the order in which they are due */
struct chaos_piece {
    struct chaos_piece *next;
    int64_t due_us;
    uint16_t number; /* messages */
    uint32_t rid;
    unsigned then; /* bytes: what becomes of the connection behind it */
    size_t len;
    uint8_t body[];
};
struct chaos_line;
typedef void chaos_arrived(void *arg, struct chaos_line *l, struct chaos_piece *p);

struct chaos_line *chaos_line_new(chaos_arrived *arrived, void *arg);
void chaos_line_free(struct chaos_line *l); /* also from inside of arrived() */
bool chaos_line_is_empty(const struct chaos_line *l);
/* A piece is due after what was put before, unless it overtakes or is overtaken. */
struct chaos_piece *chaos_line_put(struct chaos_line *l, const void *body, size_t len, int64_t after_us, bool ordered);
void chaos_line_stall(struct chaos_line *l, int64_t for_us); /* nothing arrives meanwhile */

/* ---- chaos_messages.c: between peers that prove keys: it has both, so messages can come twice.
 * NODES/NAME/state/node.key, STATE/keys */
void chaos_messages_node(const char *from, const char *to, const char *nodes, const char *state);
void chaos_messages_client(const char *from, const char *to);

/* ---- chaos_bytes.c: no keys; any change ends the session */
void chaos_bytes(enum kind kind, const char *from, const char *to);
const char *chaos_bytes_star(const char *to); /* one for that endpoint, made at the first time; where it listens */

#endif
