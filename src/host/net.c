/* net.c - the options of a listener or a connection, checked and copied once
 *
 * Layer: host.
 */
#include "host/net.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "host/net_impl.h"

int tug_net_conf_new(struct tug_net_conf **out, const struct tug_net_opts *o, struct tug_err *err)
{
    if (!o->ops || !o->ops->on_frame || !o->ops->on_close)
        return tug_fail(err, -EINVAL, "connection options need on_frame and on_close");
    if (o->own_name && strlen(o->own_name) >= sizeof(((struct tug_net_conf *) 0)->own_name))
        return tug_fail(err, -EINVAL, "node name '%.80s' is longer than 63 bytes", o->own_name);
    struct tug_net_conf *c = tug_new(struct tug_net_conf);
    c->refs = 1;
    c->o = *o;
    if (o->own) {
        c->own = *o->own;
        c->o.own = &c->own;
    }
    if (o->peer_pub) {
        memcpy(c->peer_pub, o->peer_pub, sizeof c->peer_pub);
        c->o.peer_pub = c->peer_pub;
    }
    if (o->own_name) {
        strcpy(c->own_name, o->own_name);
        c->o.own_name = c->own_name;
    }
    if (!o->out_max_bytes)
        c->o.out_max_bytes = (size_t) 64 << 20;
    if (!o->max_conns)
        c->o.max_conns = 16384;
    if (!o->max_conns_uid)
        c->o.max_conns_uid = c->o.max_conns - c->o.max_conns / 4;
    if (!o->max_unauth)
        c->o.max_unauth = 512;
    if (!o->max_unauth_address)
        c->o.max_unauth_address = c->o.max_unauth < 4 ? 1 : c->o.max_unauth / 4;
    if (!o->handshake_ms)
        c->o.handshake_ms = 5000;
    *out = c;
    return 0;
}

struct tug_net_conf *tug_net_conf_ref(struct tug_net_conf *c)
{
    c->refs++;
    return c;
}

void tug_net_conf_unref(struct tug_net_conf *c)
{
    if (!c || --c->refs)
        return;
    sodium_memzero(c, sizeof *c);
    free(c);
}

int64_t tug_net_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
