/* cause.c - the first failure of a gang, as a value that can be kept. Layer: stepd. */
#include "stepd/cause.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "host/loop.h"

#define LOST_EXPLAINS_US 3000000u

static void fill(struct tug_cause *c, const char *kind, const char *node, unsigned rank,
                 const Tugpb__ExitInfo *exit)
{
    memset(c, 0, sizeof *c);
    c->set = true;
    tugpb__cause__init(&c->pb);
    tug_str_copy(c->kind, sizeof c->kind, kind);
    tug_str_copy(c->node, sizeof c->node, node);
    c->pb.kind = c->kind;
    c->pb.node = c->node;
    c->pb.peer = c->peer;
    c->pb.text = c->text;
    c->pb.rank = rank;
    if (exit) {
        tugpb__exit_info__init(&c->exit);
        c->exit.exit_code = exit->exit_code;
        c->exit.signal = exit->signal;
        c->exit.core_dumped = exit->core_dumped;
        c->exit.oom = exit->oom;
        c->pb.exit = &c->exit;
    }
}

void tug_cause_set(struct tug_cause *c, const char *kind, const char *node, unsigned rank,
                   const Tugpb__ExitInfo *exit, const char *fmt, ...)
{
    va_list ap;

    fill(c, kind, node, rank, exit);
    c->pb.at_ms = tug_wall_ms();
    va_start(ap, fmt);
    vsnprintf(c->text, sizeof c->text, fmt, ap);
    va_end(ap);
}

void tug_cause_set_link(struct tug_cause *c, const char *node, const char *peer, const char *fmt, ...)
{
    va_list ap;

    fill(c, "link", node, 0, NULL);
    tug_str_copy(c->peer, sizeof c->peer, peer);
    c->pb.at_ms = tug_wall_ms();
    va_start(ap, fmt);
    vsnprintf(c->text, sizeof c->text, fmt, ap);
    va_end(ap);
}

static bool is(const char *kind, const char *what)
{
    return strcmp(kind, what) == 0;
}

bool tug_cause_is_before(const Tugpb__Cause *c, uint64_t us, const struct tug_cause *known, uint64_t known_us)
{
    if (!known->set)
        return true;
    if (is(c->kind, "link"))
        return !is(known->kind, "link");
    if (!is(known->kind, "rank"))
        return false;
    return is(c->kind, "rank") ? us < known_us : is(c->kind, "node") && us <= known_us + LOST_EXPLAINS_US;
}

void tug_cause_copy(struct tug_cause *c, const Tugpb__Cause *from)
{
    if (!from) {
        memset(c, 0, sizeof *c);
        return;
    }
    if (from == &c->pb)
        return;
    fill(c, from->kind, from->node, from->rank, from->exit);
    c->pb.at_ms = from->at_ms;
    tug_str_copy(c->peer, sizeof c->peer, from->peer);
    tug_str_copy(c->text, sizeof c->text, from->text);
}

Tugpb__Cause *tug_cause_pb(struct tug_cause *c)
{
    return c->set ? &c->pb : NULL;
}
