/* chaos_line.c - one direction of a connection: pieces that are on their way
 *
 * Sorted by when they are due; of those that are due at the same time the one that was put first is first. Layer: tests.
 */
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "chaos.h"

struct chaos_line {
    struct chaos_piece *first;
    struct event *timer;
    int64_t last_us, stalled_until_us;
    chaos_arrived *arrived;
    void *arg;
    bool busy, dead; /* inside of arrived(); freed there */
};

static void set_timer(struct chaos_line *l)
{
    if (!l->first)
        return;
    int64_t at_us = l->first->due_us > l->stalled_until_us ? l->first->due_us : l->stalled_until_us;
    int64_t us = at_us - chaos_now_us();
    us = us < 0 ? 0 : us;
    event_add(l->timer, &(struct timeval){us / 1000000, us % 1000000});
}

static bool is_due(const struct chaos_line *l)
{
    int64_t now_us = chaos_now_us();
    return l->first && l->first->due_us <= now_us && l->stalled_until_us <= now_us;
}

static void line_free(struct chaos_line *l)
{
    while (l->first) {
        struct chaos_piece *p = l->first;
        l->first = p->next;
        free(p);
    }
    event_free(l->timer);
    free(l);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    struct chaos_line *l = arg;
    (void) fd;
    (void) what;
    l->busy = true;
    while (!l->dead && is_due(l)) {
        struct chaos_piece *p = l->first;
        l->first = p->next;
        l->arrived(l->arg, l, p);
        free(p);
    }
    l->busy = false;
    if (l->dead)
        line_free(l);
    else
        set_timer(l);
}

struct chaos_line *chaos_line_new(chaos_arrived *arrived, void *arg)
{
    struct chaos_line *l = tug_new(struct chaos_line);
    l->arrived = arrived;
    l->arg = arg;
    l->timer = event_new(chaos_loop(), -1, EV_TIMEOUT, on_due, l);
    tug_assert(l->timer);
    return l;
}

void chaos_line_free(struct chaos_line *l)
{
    if (!l)
        return;
    l->dead = true;
    if (!l->busy)
        line_free(l);
}

bool chaos_line_is_empty(const struct chaos_line *l)
{
    return !l->first;
}

struct chaos_piece *chaos_line_put(struct chaos_line *l, const void *body, size_t len, int64_t after_us, bool ordered)
{
    struct chaos_piece *p = tug_xcalloc(1, sizeof *p + len), **at = &l->first;
    if (len)
        memcpy(p->body, body, len);
    p->len = len;
    p->due_us = chaos_now_us() + after_us;
    if (ordered && p->due_us < l->last_us)
        p->due_us = l->last_us;
    if (ordered)
        l->last_us = p->due_us;
    while (*at && (*at)->due_us <= p->due_us)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
    set_timer(l);
    return p;
}

void chaos_line_stall(struct chaos_line *l, int64_t for_us)
{
    l->stalled_until_us = chaos_now_us() + for_us;
    set_timer(l);
}
