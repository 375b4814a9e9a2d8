/* main.c - tugnoded, the node daemon
 *
 * Reads as a table of contents: options, keys, what the node has, its state, its sockets, the loop; then backwards.
 * Started by tuglaunch, which starts it again when it dies: running steps are adopted. Layer: programs.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "host/daemon.h"
#include "noded/daemon.h"

#define BYE_MS  300
#define ROOM_MS 1000

static void on_timer(void *arg)
{
    struct noded *d = arg;
    tug_agent_timer(d->agent, d->wall0 + ((int64_t) tug_now_ms() - d->boot0));
    world_check(d);
}

static void stop(void *arg)
{
    tug_loop_stop(((struct noded *) arg)->loop);
}

/* Say good-bye, and give it a moment to leave. */
static void on_signal(void *arg, int signo)
{
    struct noded *d = arg;
    if (!d->controller_id) {
        stop(d);
        return;
    }
    tug_info("signal %d: leaving; running steps are tuglaunch's to keep or end", signo);
    tug_agent_bye(d->agent, "the node daemon was stopped");
    tug_timer_set(d->leaving, tug_now_ms() + BYE_MS);
}

static void on_agent_log(void *arg, enum tug_log_level level, const char *sentence)
{
    (void) arg;
    tug_log(level, "%s", sentence);
}

static int open_keys(struct noded *d, struct tug_err *err)
{
    int rc = tug_rundir_make(d->o.state_dir, err);
    if (!rc)
        rc = tug_keypair_load(d->o.key, &d->key, 1, err);
    if (!rc)
        rc = tug_pubkey_load(d->o.controller_pub, d->controller_pub, err);
    return rc;
}

struct restore {
    struct noded *d;
    struct tug_err *err;
};

static int on_record(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct restore *r = arg;
    return tug_agent_restore(r->d->agent, kind, id, data, len, r->err);
}

/* ---- a disk that is full already: nothing may be obeyed that cannot be kept, so the controller is not asked for anything. Steps
 * are tuglaunch's meanwhile. */

struct opening {
    struct noded *d;
    const struct tug_store_opts *o;
    struct tug_timer *again;
    int rc;
    struct tug_err *err;
};

static bool launcher_is_gone(void)
{
    struct pollfd p = {.fd = TUG_WIRE_FD};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

static void on_again(void *arg)
{
    struct opening *op = arg;
    op->rc = tug_store_open(&op->d->store, tug_loop_base(op->d->loop), op->o, op->err);
    if (op->rc == -ENOSPC && launcher_is_gone())
        op->rc = tug_fail(op->err, -EPIPE, "tuglaunch is gone");
    if (op->rc == -ENOSPC)
        tug_timer_set(op->again, tug_now_ms() + ROOM_MS);
    else
        tug_loop_stop(op->d->loop);
}

static int open_store(struct noded *d, const struct tug_store_opts *o, struct tug_err *err)
{
    struct opening op = {.d = d, .o = o, .err = err};
    int rc = tug_store_open(&d->store, tug_loop_base(d->loop), o, err);
    if (rc != -ENOSPC)
        return rc;
    tug_error("STATE_FULL: %s; until there is room this node says nothing and gets nothing, then it begins by itself; steps that run "
              "go on as long as its lease", err->msg);
    rc = tug_timer_new(&op.again, tug_loop_base(d->loop), on_again, &op, err);
    if (rc)
        return rc;
    tug_timer_set(op.again, tug_now_ms() + ROOM_MS);
    tug_loop_run(d->loop);
    tug_timer_free(op.again);
    d->stopping = !d->store && op.rc == -ENOSPC;
    if (!op.rc)
        tug_info("there is room for the node's state");
    return d->stopping ? -ECANCELED : op.rc;
}

static int open_state(struct noded *d, struct tug_err *err)
{
    char *path = tug_xasprintf("%s/node.db", d->o.state_dir);
    struct tug_store_opts o = {.path = path, .relaxed = 1, .create = 1};
    struct tug_env env;
    struct tug_agent_conf conf = {.node = d->o.node, .boot_id = d->o.boot_id, .version = TUG_VERSION,
                                  .address = d->o.address, .inventory = d->inventory, .check = &d->o.check,
                                  .prolog = &d->o.prolog, .epilog = &d->o.epilog, .log = on_agent_log};
    struct restore r = {d, err};
    int rc = open_store(d, &o, err);
    free(path);
    if (rc)
        return rc;
    world_env(d, &env);
    d->agent = tug_agent_new(&env, &conf);
    world_wait_for_room(d);
    return tug_store_load(d->store, NULL, on_record, &r, err);
}

static int open_loop(struct noded *d, struct tug_err *err)
{
    d->wall0 = tug_wall_ms();
    d->boot0 = (int64_t) tug_now_ms();
    int rc = tug_loop_new(&d->loop, err);
    if (!rc)
        rc = tug_timer_new(&d->timer, tug_loop_base(d->loop), on_timer, d, err);
    if (!rc)
        rc = tug_timer_new(&d->leaving, tug_loop_base(d->loop), stop, d, err);
    if (!rc)
        rc = tug_loop_on_signal(d->loop, SIGTERM, on_signal, d, err);
    if (!rc)
        rc = tug_loop_on_signal(d->loop, SIGINT, on_signal, d, err);
    return rc;
}

static int find_address(struct noded *d, struct tug_err *err)
{
    /* Of several controllers the first one's route will do. */
    char *first = tug_xasprintf("%.*s", (int) strcspn(d->o.controller, ","), d->o.controller);
    int rc = inventory_address(first, &d->o.address, err);
    free(first);
    return rc;
}

static int start(struct noded *d, struct tug_err *err)
{
    int rc = open_keys(d, err);
    if (!rc && !d->o.address)
        rc = find_address(d, err);
    rc = rc ? rc : inventory_take(&d->o, &d->inventory, err);
    rc = rc ? rc : open_loop(d, err);
    rc = rc ? rc : open_state(d, err);
    rc = rc ? rc : launcher_start(d, err);
    rc = rc ? rc : check_start(d, err);
    rc = rc ? rc : programs_start(d, err);
    if (rc)
        return rc;
    tug_agent_start(d->agent);
    rc = recheck_start(d, err);
    return rc ? rc : link_start(d, err);
}

/* --inventory */
static int look(const struct options *o)
{
    Tugpb__Inventory *inv = NULL;
    struct tug_buf packed = {0};
    struct tug_err err = {0};
    int rc = inventory_take(o, &inv, &err);
    if (rc) {
        tug_error("%s", err.msg);
        return rc == -EAGAIN ? INVENTORY_LATER : 1;
    }
    tug_msg_pack(&packed, &inv->base);
    rc = fwrite(packed.data, 1, packed.len, stdout) != packed.len || fflush(stdout);
    tug_buf_clear(&packed);
    inventory_free(inv);
    return rc;
}

int main(int argc, char **argv)
{
    static struct noded d;
    struct tug_err err = {0};
    tug_log_open("tugnoded", TUG_LOG_INFO);
    if (options_read(&d.o, argc, argv, &err)) {
        tug_error("%s", err.msg);
        return 2;
    }
    if (d.o.only_look) {
        d.exit_code = look(&d.o);
        options_clear(&d.o);
        return d.exit_code;
    }
    tug_log_set_level(d.o.level);
    int rc = start(&d, &err);
    if (d.stopping) {
        tug_info("leaving, without having begun");
    } else if (rc) {
        tug_error("%s", err.msg);
        d.exit_code = 1;
    } else {
        tug_info("node %s: %u CPUs, %llu MiB, %u GPUs%s%s, reached at %s", d.o.node, d.inventory->cpus,
                 (unsigned long long) d.inventory->mem_bytes >> 20, d.inventory->gpus,
                 d.inventory->gpus ? " " : "", d.inventory->gpu_model, d.o.address);
        if (tug_loop_run(d.loop))
            d.exit_code = 1;
    }
    recheck_stop(&d);
    link_stop(&d);
    check_stop(&d);
    programs_stop(&d);
    launcher_stop(&d);
    tug_store_close(d.store);
    tug_agent_free(d.agent);
    tug_timer_free(d.timer);
    tug_timer_free(d.leaving);
    tug_loop_free(d.loop);
    inventory_free(d.inventory);
    options_clear(&d.o);
    return d.exit_code;
}
