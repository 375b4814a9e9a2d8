/* recheck.c - look again at what the node has, while it runs
 *
 * A driver that has lost a GPU may answer late or never, so another process asks it: this program, as for tug node topo.
 * One at a time. Hardware that is pretended does not change. Layer: programs.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/proc.h"
#include "noded/daemon.h"

#define LIMIT_MAX_MS 60000             /* or the period, if that is less: a look takes so long at most */
#define REST_MS 10000                  /* between one look and the next one that a failure asks for */
#define ANSWER_MAX_BYTES (4u << 20)

struct recheck {
    struct noded *d;
    struct tug_timer *timer;           /* to look, or the look's deadline */
    struct tug_child *child;           /* NULL = nobody looks */
    struct event *readable;
    struct tug_buf answer;
    int fd;
    uint64_t began_ms;
    bool silent;                       /* the deadline has passed */
};

static uint64_t period_ms(const struct recheck *r)
{
    return (uint64_t) r->d->o.inventory_period_s * 1000;
}

static uint64_t limit_ms(const struct recheck *r)
{
    return period_ms(r) < LIMIT_MAX_MS ? period_ms(r) : LIMIT_MAX_MS;
}

static void rest(struct recheck *r)
{
    tug_timer_set(r->timer, tug_now_ms() + period_ms(r));
}

/* ---- the answer */

static void tell(struct recheck *r, const Tugpb__Inventory *inv)
{
    tug_agent_inventory(r->d->agent, inv);
    world_check(r->d);
}

static void read_all(struct recheck *r)
{
    ssize_t n = 1;
    while (r->answer.len < ANSWER_MAX_BYTES && (n = read(r->fd, tug_buf_room(&r->answer, 65536), 65536)) > 0)
        r->answer.len += (size_t) n;
    if (n == 0)
        event_del(r->readable);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    read_all(arg);
}

static void take_answer(struct recheck *r, int status)
{
    struct tug_arena a = {.budget_bytes = 64 << 20};
    struct tug_err err = {0};
    ProtobufCMessage *m = NULL;
    char text[64];
    if (WIFEXITED(status) && WEXITSTATUS(status) == INVENTORY_LATER)
        tug_info("the fabric manager is joining NVLinks: what this node has is looked at later");
    else if (status != 0)
        tug_warn("looking again at what this node has: %s", tug_status_text(status, text, sizeof text));
    else if (tug_proto_decode(&a, &tugpb__inventory__descriptor, (const uint8_t *) tug_buf_str(&r->answer),
                              r->answer.len, &m, &err))
        tug_warn("looking again at what this node has: %s", err.msg);
    else
        tell(r, (const Tugpb__Inventory *) m);
    tug_arena_clear(&a);
}

static void forget(struct recheck *r)
{
    tug_child_free(r->child);
    event_free(r->readable);
    close(r->fd);
    tug_buf_clear(&r->answer);
    r->child = NULL;
    r->silent = false;
}

static void on_end(void *arg, struct tug_child *child, int status)
{
    struct recheck *r = arg;
    (void) child;
    read_all(r);
    if (!r->silent)
        take_answer(r, status);
    forget(r);
    rest(r);
}

/* GPUs whose driver does not answer are none for new gangs; what runs may know better. */
static void give_up(struct recheck *r)
{
    Tugpb__Inventory lost = *r->d->inventory;
    r->silent = true;
    tug_child_kill(r->child, SIGKILL); /* in vain where it hangs in the kernel: then nobody looks any more */
    tug_error("looking again at what this node has takes more than %llu s: the GPUs' driver does not answer",
              (unsigned long long) limit_ms(r) / 1000);
    lost.gpus_lost = lost.gpus >= 64 ? UINT64_MAX : (UINT64_C(1) << lost.gpus) - 1;
    if (lost.gpus)
        tell(r, &lost);
}

/* ---- looking */

static int begin(struct recheck *r, struct tug_err *err)
{
    const struct options *o = &r->d->o;
    char cpus[32], memory[40];
    char *argv[] = {"tugnoded", "--inventory", "--settled", cpus, memory, NULL};
    struct tug_spawn s = {.path = "/proc/self/exe", .argv = argv, .new_session = 1, .die_with_us = 1};
    struct tug_spawn_fd map = {.to = STDOUT_FILENO};
    int fds[2];
    snprintf(cpus, sizeof cpus, "--cpus=%lld", (long long) o->cpus);
    snprintf(memory, sizeof memory, "--memory=%lldK", (long long) o->memory_bytes >> 10);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return tug_fail(err, -errno, "no pipe: %s", strerror(errno));
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    map.from = fds[1];
    s.fds = &map;
    s.n_fds = 1;
    r->fd = fds[0];
    r->began_ms = tug_now_ms();
    r->readable = event_new(tug_loop_base(r->d->loop), r->fd, EV_READ | EV_PERSIST, on_readable, r);
    tug_assert(r->readable && event_add(r->readable, NULL) == 0);
    int rc = tug_child_spawn(&r->child, tug_loop_base(r->d->loop), &s, on_end, r, err);
    close(fds[1]);
    if (rc)
        forget(r);
    return rc;
}

static void on_timer(void *arg)
{
    struct recheck *r = arg;
    struct tug_err err = {0};
    if (r->child) {
        if (!r->silent)
            give_up(r);
        return;
    }
    if (begin(r, &err)) {
        tug_warn("looking again at what this node has: %s", err.msg);
        rest(r);
        return;
    }
    tug_timer_set(r->timer, r->began_ms + limit_ms(r));
}

void recheck_soon(struct recheck *r)
{
    if (r && !r->child)
        tug_timer_set(r->timer, r->began_ms + REST_MS);
}

int recheck_start(struct noded *d, struct tug_err *err)
{
    if (d->o.inventory_period_s == 0 || d->o.gpus >= 0)
        return 0;
    struct recheck *r = tug_new(struct recheck);
    r->d = d;
    r->began_ms = tug_now_ms();
    int rc = tug_timer_new(&r->timer, tug_loop_base(d->loop), on_timer, r, err);
    if (rc) {
        free(r);
        return rc;
    }
    d->recheck = r;
    rest(r);
    return 0;
}

void recheck_stop(struct noded *d)
{
    struct recheck *r = d->recheck;
    if (!r)
        return;
    d->recheck = NULL;
    if (r->child) {
        tug_child_kill(r->child, SIGKILL);
        forget(r);
    }
    tug_timer_free(r->timer);
    free(r);
}
