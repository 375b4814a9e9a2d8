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
#include "proto/client.pb-c.h"
#include "queued/daemon.h"

/* ---- the store */

int lead_open(struct tugd *d, struct tug_err *err)
{
    struct tug_coreconf_store s;
    tug_coreconf_store(&d->cfg, d->state_dir, &s);
    s.opts.lead = d->lead_before;
    int rc = s.opts.etcd ? tug_store_open_etcd(&d->store, tug_loop_base(d->loop), &s.opts, err)
                         : tug_store_open(&d->store, tug_loop_base(d->loop), &s.opts, err);
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
    char *text = tug_xasprintf("this controller stands by (%s); ask the one that leads", d->standing_by);
    e.code = EHOSTDOWN;
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
