/* recheck.c - look again at what the node has, while it runs
 *
 * A driver that has lost a GPU may answer late or never, so another process asks it: this program, as for tug node topo.
 * One at a time. Hardware that is pretended does not change. Layer: programs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/capture.h"
#include "host/proc.h"
#include "noded/daemon.h"

#define LIMIT_MAX_MS 60000             /* or the period, if that is less: a look takes so long at most */
#define REST_MS 10000                  /* between one look and the next one that a failure asks for */
#define ANSWER_MAX_BYTES (4u << 20)

struct recheck {
    struct noded *d;
    struct tug_timer *timer;           /* to look */
    struct tug_capture *look;
    uint64_t began_ms;
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

static void tell(struct recheck *r, Tugpb__Inventory *inv)
{
    launcher_bounds(r->d, inv);
    tug_agent_inventory(r->d->agent, inv);
    world_check(r->d);
}

static void take_answer(struct recheck *r, int status, const struct tug_buf *answer)
{
    struct tug_arena a = {.budget_bytes = 64 << 20};
    struct tug_err err = {0};
    ProtobufCMessage *m = NULL;
    char text[64];
    if (WIFEXITED(status) && WEXITSTATUS(status) == INVENTORY_LATER)
        tug_info("the fabric manager is joining NVLinks: what this node has is looked at later");
    else if (status != 0)
        tug_warn("looking again at what this node has: %s", tug_status_text(status, text, sizeof text));
    else if (tug_proto_decode(&a, &tugpb__inventory__descriptor, (const uint8_t *) tug_buf_str(answer), answer->len, &m,
                              &err))
        tug_warn("looking again at what this node has: %s", err.msg);
    else
        tell(r, (Tugpb__Inventory *) m);
    tug_arena_clear(&a);
}

/* GPUs whose driver does not answer are none for new gangs; what runs may know better. */
static void give_up(struct recheck *r)
{
    Tugpb__Inventory lost = *r->d->inventory;
    tug_error("looking again at what this node has takes more than %llu s: the GPUs' driver does not answer",
              (unsigned long long) limit_ms(r) / 1000);
    lost.gpus_lost = lost.gpus >= 64 ? UINT64_MAX : (UINT64_C(1) << lost.gpus) - 1;
    if (lost.gpus)
        tell(r, &lost);
}

static void on_end(void *arg, const struct tug_capture_end *e)
{
    struct recheck *r = arg;
    rest(r);
    if (e->late)
        give_up(r);
    else
        take_answer(r, e->status, e->output);
}

/* ---- looking */

static int begin(struct recheck *r, struct tug_err *err)
{
    const struct options *o = &r->d->o;
    char cpus[32], memory[40];
    char *argv[] = {"tugnoded", "--inventory", "--settled", cpus, memory, NULL};
    const struct tug_capture_run run = {.path = "/proc/self/exe", .argv = argv, .limit_ms = limit_ms(r),
                                        .keep_bytes = ANSWER_MAX_BYTES, .only_output = true};
    snprintf(cpus, sizeof cpus, "--cpus=%lld", (long long) o->cpus);
    snprintf(memory, sizeof memory, "--memory=%lldK", (long long) o->memory_bytes >> 10);
    r->began_ms = tug_now_ms();
    return tug_capture_start(r->look, &run, err);
}

static void on_timer(void *arg)
{
    struct recheck *r = arg;
    struct tug_err err = {0};
    if (tug_capture_is_busy(r->look)) { /* in a driver that does not answer: until it does nobody looks any more */
        rest(r);
    } else if (begin(r, &err)) {
        tug_warn("looking again at what this node has: %s", err.msg);
        rest(r);
    }
}

void recheck_soon(struct recheck *r)
{
    if (r && !tug_capture_is_busy(r->look))
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
    rc = rc ? rc : tug_capture_new(&r->look, tug_loop_base(d->loop), on_end, r, err);
    if (rc) {
        tug_timer_free(r->timer);
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
    tug_capture_free(r->look);
    tug_timer_free(r->timer);
    free(r);
}
