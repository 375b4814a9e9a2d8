/* outbox.h - what goes out waits for what it relies on
 *
 * One batch is open, at most one is being committed. A message is queued behind the open batch when that has writes,
 * else behind the commit under way, else it leaves at once. So a reply never leaves before the state it tells of is
 * durable, and messages to one peer keep their order. What relies on no write may leave aside of all that. Layer: logic.
 */
#ifndef TUG_LOGIC_OUTBOX_H
#define TUG_LOGIC_OUTBOX_H

#include "logic/env.h"

struct tug_outbox;

struct tug_outbox *tug_outbox_new(const struct tug_env *env);
void tug_outbox_free(struct tug_outbox *o);
/* The open batch, to be added to. */
struct tug_batch *tug_outbox_batch(struct tug_outbox *o);
/* More will be written to the open batch before it is handed over: queue messages behind it even if it is empty yet. */
void tug_outbox_expect_writes(struct tug_outbox *o);
void tug_outbox_send(struct tug_outbox *o, tug_peer_id to, enum tug_msg number, uint32_t rid,
                     const ProtobufCMessage *m);
/* From here on messages wait for nothing (1), or as ever (0): what is said in between relies on no write that is not durable. */
void tug_outbox_aside(struct tug_outbox *o, int aside);
/* From here on what is said could leave aside: should it be held all the same, tug_outbox_let_go() sends it. 0: as ever. */
void tug_outbox_loose(struct tug_outbox *o, int loose);
void tug_outbox_let_go(struct tug_outbox *o);
/* How much is held for peers. */
size_t tug_outbox_held_bytes(const struct tug_outbox *o);
/* Close a peer once everything queued for it has left. */
void tug_outbox_close(struct tug_outbox *o, tug_peer_id peer);
/* What is held for a peer does not leave any more: it has been given up on, and what is decided next may contradict it. */
void tug_outbox_drop(struct tug_outbox *o, tug_peer_id peer);
/* Is a commit under way? Then flushing waits for it: the next one takes everything that came up meanwhile. */
int tug_outbox_is_busy(const struct tug_outbox *o);
/* Hand the open batch over; without writes, let its messages go. */
void tug_outbox_flush(struct tug_outbox *o);
void tug_outbox_persisted(struct tug_outbox *o, uint64_t ticket);

#endif
