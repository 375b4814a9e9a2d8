/* client.h - the terminal of an interactive step: the head's connection to `tug run`
 *
 * We dial it with the key that came with the job. What is said before it is up is kept. Layer:
 * stepd.
 */
#ifndef TUG_STEPD_CLIENT_H
#define TUG_STEPD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "proto/step.pb-c.h"
#include "stepd/payload.h"

struct event_base;
struct tug_client;

struct tug_client_ops {
    void (*on_input)(void *arg, const void *data, size_t len, bool eof);
    void (*on_signal)(void *arg, int signo);
    void (*on_gone)(void *arg, const char *why); /* or never came */
};

int tug_client_dial(struct tug_client **out, struct event_base *base, const struct tug_payload *p,
                    const struct tug_client_ops *ops, void *arg, struct tug_err *err);
/* Lines as the ranks wrote them; whoever shows them puts labels and colours. */
void tug_client_output(struct tug_client *c, unsigned rank, unsigned stream, const void *data,
                       size_t len);
void tug_client_state(struct tug_client *c, const char *phase, unsigned count, unsigned total);
/* The last word; that it goes away afterwards is right. */
void tug_client_done(struct tug_client *c, Tugpb__ExitInfo *const *exits, size_t n,
                     Tugpb__Cause *cause);
void tug_client_pause(struct tug_client *c, bool paused);
size_t tug_client_backlog(const struct tug_client *c);
bool tug_client_gone(const struct tug_client *c);

#endif
