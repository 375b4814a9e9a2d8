/* reach.h - is there a way to a machine: a TCP connection to a port there, and nothing more
 *
 * It is the kernel of that machine which answers, whether the process that listens runs, is stopped, or has gone: what is
 * found out is said of the way and the machine, not of a process. Nothing is sent or believed. Layer: host.
 */
#ifndef TUG_HOST_REACH_H
#define TUG_HOST_REACH_H

#include "base/err.h"

struct event_base;
struct tug_reach;
struct tug_reached;

enum tug_reach_word {
    TUG_REACH_ANSWERED, /* taken or refused */
    TUG_REACH_SILENT,   /* no answer within the limit, or the way there says that there is none */
    TUG_REACH_UNKNOWN,  /* it could not be tried: no address, no descriptors */
};
typedef void tug_reach_cb(void *arg, enum tug_reach_word word);

/* Try 'host' (a numeric address) at 'port'. 'cb' is called once, from the loop; free it then or before. */
struct tug_reach *tug_reach_new(struct event_base *base, const char *host, unsigned port, unsigned limit_ms, tug_reach_cb *cb, void *arg);
void tug_reach_free(struct tug_reach *r);

/* Be reached: whoever connects to the port on 'host' is let in and out again. */
int tug_reached_new(struct tug_reached **out, struct event_base *base, const char *host, struct tug_err *err);
unsigned tug_reached_port(const struct tug_reached *r);
void tug_reached_free(struct tug_reached *r);

#endif
