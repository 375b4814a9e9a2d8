/* controllers.c - who leads, since when, and how far each standby is behind
 *
 * Read from etcd, where each of them says so every two seconds. Layer: programs.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/admin.h"
#include "base/mem.h"
#include "host/coreconf.h"
#include "host/loop.h"
#include "host/store_keys.h"

#define SILENT_MS 10000

struct seen {
    json_t *controllers; /* array, as they said it */
    json_t *leader;      /* what the leader key holds; NULL = nobody leads */
    uint64_t last;       /* number of the last entry of the log */
};

static int on_leader(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct seen *s = arg;
    (void) err;
    s->leader = json_loadb(kv->value, kv->len, 0, NULL);
    return 0;
}

static int on_controller(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct seen *s = arg;
    json_t *said = json_loadb(kv->value, kv->len, 0, NULL);
    (void) err;
    if (said)
        json_array_append_new(s->controllers, said);
    return 0;
}

static const char *text(const json_t *o, const char *name)
{
    const char *t = json_string_value(json_object_get(o, name));
    return t ? t : "?";
}

/* Adds what can only be said from outside: the state as of now, and the distance to the leader. */
static void complete(struct seen *s)
{
    const char *leader = s->leader ? text(s->leader, "name") : "";
    size_t i;
    json_t *c;
    json_array_foreach(s->controllers, i, c) {
        if (!strcmp(text(c, "name"), leader))
            s->last = (uint64_t) json_integer_value(json_object_get(c, "copied"));
    }
    json_array_foreach(s->controllers, i, c) {
        int leads = !strcmp(text(c, "name"), leader);
        int64_t silent = tug_wall_ms() - json_integer_value(json_object_get(c, "at_ms"));
        uint64_t copied = (uint64_t) json_integer_value(json_object_get(c, "copied"));
        json_object_set_new(c, "state", json_string(leads ? "leads" : silent > SILENT_MS ? "silent" : "standby"));
        json_object_set_new(c, "behind", json_integer((json_int_t) (s->last > copied ? s->last - copied : 0)));
        json_object_set_new(c, "silent_ms", json_integer(silent > 0 ? silent : 0));
        if (leads)
            json_object_set(c, "since_ms", json_object_get(s->leader, "since_ms"));
        json_object_del(c, "role");
    }
}

static void print(const struct seen *s)
{
    size_t i;
    json_t *c;
    printf("%-16s %-8s %-19s %8s %8s  %s\n", "CONTROLLER", "STATE", "SINCE", "BEHIND", "SILENT", "ADDRESS");
    json_array_foreach(s->controllers, i, c) {
        time_t since = (time_t) (json_integer_value(json_object_get(c, "since_ms")) / 1000);
        char when[32];
        struct tm tm;
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", localtime_r(&since, &tm));
        printf("%-16s %-8s %-19s %8" JSON_INTEGER_FORMAT " %6" JSON_INTEGER_FORMAT " s  %s\n", text(c, "name"),
               text(c, "state"), when, json_integer_value(json_object_get(c, "behind")),
               json_integer_value(json_object_get(c, "silent_ms")) / 1000, text(c, "address"));
    }
    if (!s->leader)
        printf("nobody leads\n");
}

static int read_all(struct tug_etcd *e, const char *prefix, struct seen *s, struct tug_err *err)
{
    char *leader = tug_store_key_leader(prefix), *from = tug_store_key_controller(prefix, ""),
         *to = tug_store_key_controller_end(prefix);
    int rc = tug_etcd_range(e, leader, NULL, 1, on_leader, s, err);
    if (!rc)
        rc = tug_etcd_range(e, from, to, 0, on_controller, s, err);
    free(leader);
    free(from);
    free(to);
    return rc;
}

int do_controllers(struct admin *a, struct tug_err *err)
{
    struct tug_coreconf_store where;
    struct tug_etcd *e = NULL;
    struct seen s = {.controllers = json_array()};
    if (!a->has_config)
        return tug_fail(err, -ENOENT, "there is no configuration; say --config FILE");
    if (a->cfg.cluster.store != TUG_STORE_IN_ETCD)
        return tug_fail(err, -ENOTSUP, "cluster.store is sqlite: there is one controller; see `tug ping`");
    tug_coreconf_store(&a->cfg, state_default(a), &where);
    int rc = tug_etcd_new(&e, &where.etcd, err);
    rc = rc ? rc : read_all(e, where.prefix, &s, err);
    if (!rc) {
        complete(&s);
        if (a->json) {
            json_t *out = json_pack("{s:O, s:O?}", "controllers", s.controllers, "leader", s.leader);
            json_dumpf(out, stdout, JSON_INDENT(2));
            printf("\n");
            json_decref(out);
        } else {
            print(&s);
        }
    }
    json_decref(s.controllers);
    json_decref(s.leader);
    tug_etcd_free(e);
    tug_coreconf_store_clear(&where);
    return rc;
}
