/* star.h - the connections between a gang's step daemons: everybody dials the head
 *
 * Both sides prove the gang's key. Every node has an index, the head is 0; sending to oneself works
 * too, so that the code above need not know where it runs. A gang of one node has no sockets.
 * Layer: stepd.
 */
#ifndef TUG_STEPD_STAR_H
#define TUG_STEPD_STAR_H

#include <stdbool.h>

#include "base/err.h"
#include "proto/msg.h"
#include "proto/step.pb-c.h"
#include "stepd/payload.h"

struct event_base;
struct tug_star;

struct tug_star_ops {
    /* 'm' is borrowed for the call. */
    void (*on_message)(void *arg, unsigned from, enum tug_msg number, const ProtobufCMessage *m);
    void (*on_joined)(void *arg, unsigned node); /* head: a node is there; spoke: the head is */
    /* It will not come back. unreachable: its machine does not answer, whatever its step daemon does. */
    void (*on_lost)(void *arg, unsigned node, const char *why, bool unreachable);
};

/* On the head this listens; nobody is dialled yet. */
int tug_star_new(struct tug_star **out, struct event_base *base, const struct tug_payload *p,
                 const struct tug_star_ops *ops, void *arg, struct tug_err *err);
void tug_star_free(struct tug_star *s);

/* "host:port" on the head of more than one node, else "". */
const char *tug_star_endpoint(const struct tug_star *s);
/* Others: dial the head; tried again until 'give_up_ms' (on tug_now_ms()), or until its machine has answered nothing for 15 s;
 * then on_lost(0). */
void tug_star_dial(struct tug_star *s, const char *endpoint, uint64_t give_up_ms);

/* Others: where this node can be tried by others, told to the head as this joins it. */
void tug_star_reached_at(struct tug_star *s, unsigned port);
/* Head: that of a node; 0: it has not joined, or did not say. */
unsigned tug_star_port(const struct tug_star *s, unsigned node);

/* To a node (head: any; others: 0 and themselves). Before it has joined, what is for it is kept. */
void tug_star_send(struct tug_star *s, unsigned to, enum tug_msg number, const ProtobufCMessage *m);
/* Head: to all others. */
void tug_star_tell_all(struct tug_star *s, enum tug_msg number, const ProtobufCMessage *m);

/* What the head's clock (tug_now_us) said when this node's said 'us'; 0: that is not known. */
uint64_t tug_star_head_us(const struct tug_star *s, uint64_t us);
/* Head: the other way round, by what it said as it joined. */
uint64_t tug_star_our_us(const struct tug_star *s, unsigned node, uint64_t us);

bool tug_star_complete(const struct tug_star *s);
/* Head: names of the nodes that have not joined, for a sentence. Returns 'out'. */
char *tug_star_missing(const struct tug_star *s, char *out, size_t size);
/* Others that have not reached the head: no longer than until then. */
void tug_star_hurry(struct tug_star *s, uint64_t give_up_ms);
/* Head: those will not be waited for any longer. */
void tug_star_give_up(struct tug_star *s);
bool tug_star_lost(const struct tug_star *s, unsigned node);
/* Bytes that wait to leave. */
size_t tug_star_backlog(const struct tug_star *s);
/* Head: stop or go on reading from all nodes. */
void tug_star_pause(struct tug_star *s, bool paused);
/* From now on a node that goes is no loss. */
void tug_star_finish(struct tug_star *s);

#endif
