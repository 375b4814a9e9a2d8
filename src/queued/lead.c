/* lead.c - which controller leads: standing by, taking over, stepping down
 *
 * Where controllers share their store, one leads; the others read along, answer commands with the leader's name, and
 * do not listen for nodes, so nodes find the leader by dialling. Who leads no longer executes itself anew and stands by:
 * nothing that it remembered counts any more. With a store of our own we lead at once. Layer: programs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/store_db.h"
#include "proto/client.pb-c.h"
#include "queued/daemon.h"

#define ROOM_MS 1000

/* ---- the store */

static int open_once(struct tugd *d, struct tug_err *err)
{
    struct tug_coreconf_store s;
    tug_coreconf_store(&d->cfg, d->state_dir, &s);
    s.opts.lead = d->lead_before;
    int rc = s.opts.etcd ? tug_store_open_etcd(&d->store, tug_loop_base(d->loop), &s.opts, err)
                         : tug_store_open(&d->store, tug_loop_base(d->loop), &s.opts, err);
    if (rc == -ENOSPC) /* as who waits for it is told, not who would have to start us again */
        tug_store_db_say_full(s.opts.path, err);
    tug_coreconf_store_clear(&s);
    if (!rc)
        world_wait_for_room(d);
    return rc;
}

/* ---- standing by */

static void on_frame(void *arg, struct tug_conn *c, const struct tug_frame *f)
{
    const struct tugd *d = arg;
    Tugpb__Error e = TUGPB__ERROR__INIT;
    char *text = d->store ? tug_xasprintf("this controller stands by (%s); ask the one that leads", d->standing_by)
                          : tug_xasprintf("STATE_FULL: this controller has not begun: %s", d->no_room.msg);
    e.code = d->store ? EHOSTDOWN : ENOSPC;
    e.text = text;
    tug_conn_send(c, TUG_MSG_ERROR, f->rid, &e.base);
    free(text);
}

static void on_open(void *arg, struct tug_conn *c)
{
    (void) arg, (void) c;
}

static void on_close(void *arg, struct tug_conn *c, const char *why)
{
    (void) arg, (void) c, (void) why;
}

static const struct tug_net_ops standby_ops = {on_open, on_frame, on_close};

static int standby_listen(struct tugd *d, struct tug_err *err)
{
    struct tug_net_opts o = {.auth = TUG_AUTH_UNIX,
                             .channel = TUG_CH_CLIENT,
                             .ops = &standby_ops,
                             .arg = d,
                             .max_conns = (unsigned) d->cfg.limits.max_connections};
    char *endpoint = tug_xasprintf("unix:%s", d->socket_path);
    int rc = tug_net_listen(&d->clients, tug_loop_base(d->loop), endpoint, 0666, &o, err);
    free(endpoint);
    return rc;
}

/* ---- no room for the state at the start: no epoch can begin, so nothing is done but to show what is there, and to look again */

static void on_again(void *arg)
{
    struct tugd *d = arg;
    d->open_rc = open_once(d, &d->no_room);
    if (d->open_rc == -ENOSPC) {
        if (d->control)
            tug_control_full(d->control, d->no_room.msg);
        tug_timer_set(d->timer, tug_now_ms() + ROOM_MS);
    } else {
        tug_loop_stop(d->loop);
    }
}

static int wait_for_room(struct tugd *d, struct tug_err *err)
{
    struct tug_timer *timer = d->timer;
    int rc;
    tug_error("STATE_FULL: %s; nothing is begun before, running gangs go on as long as the leases of their nodes", d->no_room.msg);
    rc = tug_timer_new(&d->timer, tug_loop_base(d->loop), on_again, d, err);
    rc = rc ? rc : view_open(d, err);
    if (!rc && !d->control)
        rc = standby_listen(d, err);
    if (!rc) {
        say_ready(d);
        tug_timer_set(d->timer, tug_now_ms() + ROOM_MS);
        rc = tug_loop_run(d->loop);
    }
    view_close(d);
    tug_listener_free(d->clients);
    d->clients = NULL;
    tug_timer_free(d->timer);
    d->timer = timer;
    if (rc || d->stopping)
        return rc;
    if (d->open_rc)
        *err = d->no_room;
    else
        tug_info("there is room for the state");
    return d->open_rc;
}

int lead_open(struct tugd *d, struct tug_err *err)
{
    int rc = open_once(d, err);
    if (rc != -ENOSPC)
        return rc;
    d->no_room = *err;
    return wait_for_room(d, err);
}

/* ---- standing for the lead */

static void on_role(void *arg, enum tug_store_role role, const char *text)
{
    struct tugd *d = arg;
    char token[64];
    switch (role) {
    case TUG_STORE_LEADS:
        d->leads = 1;
        tug_store_lead_token(d->store, token, sizeof token);
        watchdog_leads(token);
        if (d->clients) /* we stood by until now */
            tug_loop_stop(d->loop);
        return;
    case TUG_STORE_FOLLOWS:
        tug_info("standing by: %s", text);
        snprintf(d->standing_by, sizeof d->standing_by, "%s", text);
        return;
    case TUG_STORE_LOST:
        if (d->stopping)
            return;
        tug_warn("leads no longer: %s; standing by from now on, running gangs go on", text);
        d->again = 1;
        world_stop(d, 0);
        return;
    case TUG_STORE_BROKEN:
        d->damaged = 1;
        /* fall through */
    case TUG_STORE_UNFIT:
        tug_error("%s", text);
        world_stop(d, 1);
        return;
    }
}

int lead_wait(struct tugd *d, struct tug_err *err)
{
    int rc = 0;
    snprintf(d->standing_by, sizeof d->standing_by, "nobody leads yet");
    tug_store_lead(d->store, on_role, d);
    if (d->leads)
        return 0;
    rc = standby_listen(d, err);
    if (rc)
        return rc;
    say_ready(d);
    rc = tug_loop_run(d->loop);
    tug_listener_free(d->clients);
    d->clients = NULL;
    if (d->leads && !d->stopping)
        tug_info("leads from now on");
    return rc;
}
