/* view.c - a state that there is no room to begin with: shown as it is, changed by nobody
 *
 * A controller begins with an epoch, which must be durable before it says a word to a node (doc/reliability.md). Without room
 * it has none, so nodes find nobody listening, and no lease is granted. But what was durable can be looked at: it is read into a
 * control of its own, which is thrown away when there is room. Layer: programs.
 */
#include <errno.h>

#include "base/log.h"
#include "queued/daemon.h"

/* Nothing of it is handed out; whatever is, changes nothing. */
static void drop(void *ctx, struct tug_batch *b, uint64_t ticket)
{
    (void) ctx, (void) ticket;
    tug_batch_free(b);
}

static int on_record(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct tugd *d = arg;
    return tug_control_restore(d->control, kind, id, data, len, &d->view_err);
}

static int load(struct tugd *d, const char *path)
{
    struct setup s;
    struct tug_env env;
    int rc;
    setup_control(&d->cfg, &s);
    world_env(d, &env);
    env.persist = drop;
    s.conf.clock_boot = world_boot();
    s.conf.clock_zero_ms = d->wall0 - d->mono0;
    d->control = tug_control_new(&env, &s.conf, &d->view_err);
    setup_free(&s);
    rc = d->control ? tug_store_peek(path, on_record, d, &d->view_err) : d->view_err.code;
    rc = rc ? rc : tug_control_show(d->control, &d->view_err);
    if (!rc)
        tug_control_full(d->control, d->no_room.msg);
    return rc;
}

static void before_sleep(void *arg)
{
    struct tugd *d = arg;
    if (tug_control_wants_shutdown(d->control) && !d->stopping)
        world_stop(d, 0);
}

int view_open(struct tugd *d, struct tug_err *err)
{
    struct tug_coreconf_store s;
    int rc;
    tug_coreconf_store(&d->cfg, d->state_dir, &s);
    rc = s.opts.etcd ? tug_fail(&d->view_err, -ENOTSUP, "it is in etcd") : load(d, s.opts.path);
    tug_coreconf_store_clear(&s);
    if (!rc) {
        tug_loop_before_sleep(d->loop, before_sleep, d);
        return listen_clients(d, err);
    }
    tug_info("what is there cannot be shown meanwhile: %s", d->view_err.msg);
    tug_control_free(d->control);
    d->control = NULL;
    return 0;
}

void view_close(struct tugd *d)
{
    if (!d->control)
        return;
    tug_loop_before_sleep(d->loop, NULL, NULL);
    listen_close(d);
    tug_control_free(d->control);
    d->control = NULL;
}
