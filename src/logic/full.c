/* full.c - the store has no room: what is done meanwhile
 *
 * The commit under way is kept by the store and made as soon as it can be; nothing that relies on it, or on what has been
 * decided since, has left or leaves before. So memory stays the truth and nothing has to be taken back. What may still
 * come is bounded: requests that change something are refused at the door, no pass starts anything, and nodes say how
 * their gangs end, once each. Nor do deadlines of jobs pass: what they lead to could not leave, and a launch that waits is
 * not late. What is only looked at is answered with what is in memory, which may be ahead of the store by what waits.
 * Layer: logic.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "logic/control_int.h"

/* Of answers that wait; whoever asks for more is refused as well. */
#define HELD_BYTES_MAX (4u << 20)

void tug_control_full(struct tug_control *c, const char *why)
{
    if (!c->full && why && c->durable_epoch == c->epoch)
        tug_outbox_let_go(c->out); /* who asked just before */
    if (!c->full && why)
        tug_ctl_log(c, TUG_LOG_ERROR,
                    "STATE_FULL: %s; until then nothing is started and nothing new is taken, running gangs go on", why);
    if (c->full && !why)
        tug_ctl_log(c, TUG_LOG_INFO, "there is room for the state again: all that waited is durable, all goes on");
    if (c->full && !why)
        tug_core_launches_anew(c->core, tug_ctl_now(c));
    free(c->full);
    c->full = tug_xstrdup(why);
}

/* A repeat of a request that was taken: its answer waits like that of the first one. */
static int is_repeat(struct tug_control *c, const struct ctl_peer *p, uint16_t number, const ProtobufCMessage *m)
{
    const char *token = number == TUG_MSG_SUBMIT_REQUEST ? ((const Tugpb__SubmitRequest *) m)->token : "";

    return token[0] && tug_ctl_token(c, p->user->uid, token);
}

int tug_ctl_full_check(struct tug_control *c, const struct ctl_peer *p, enum ctl_full full, uint16_t number,
                       const ProtobufCMessage *m, struct tug_err *err)
{
    if (!c->full || full == CTL_FULL_ANSWERED || p->role == TUG_ROLE_NODE)
        return 0;
    if (tug_outbox_held_bytes(c->out) < HELD_BYTES_MAX &&
        (full == CTL_FULL_WAITS || is_repeat(c, p, number, m)))
        return 0;
    return tug_fail(err, -ENOSPC,
                    "STATE_FULL: this would change the controller's state, and %s; running gangs go on, what is only "
                    "looked at is answered",
                    c->full);
}

/* Under an epoch that is not durable yet nothing may be said: it could be given out again. */
void tug_ctl_full_aside(struct tug_control *c)
{
    if (c->full && c->durable_epoch == c->epoch)
        tug_outbox_aside(c->out, 1);
}
