/* link.h - the connection to the node daemon, made again for as long as it takes
 *
 * A node daemon that dies comes back and adopts us, so a lost connection is no event for anybody
 * here: whoever wants the node daemon to know something says all of it again in on_up. Layer:
 * stepd.
 */
#ifndef TUG_STEPD_LINK_H
#define TUG_STEPD_LINK_H

#include <stdbool.h>

#include "base/err.h"
#include "proto/msg.h"

struct event_base;
struct tug_link;

struct tug_link_ops {
    void (*on_up)(void *arg);
    void (*on_message)(void *arg, enum tug_msg number,
                       const ProtobufCMessage *m); /* borrowed for the call */
    void (*on_dismantled)(
        void *arg); /* the directory of the socket is gone: no node daemon will ever come back */
};

int tug_link_new(struct tug_link **out, struct event_base *base, const char *endpoint,
                 const struct tug_link_ops *ops, void *arg, struct tug_err *err);
/* Said now or never. */
void tug_link_send(struct tug_link *l, enum tug_msg number, const ProtobufCMessage *m);
/* 0 when it is up, else since when it is down (tug_now_ms). */
uint64_t tug_link_down_since_ms(const struct tug_link *l);

#endif
