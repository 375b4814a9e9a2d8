/* store_keys.c - how a state that controllers share is laid out
 *
 * '0' comes behind '/', so PREFIX/log0 is behind all of PREFIX/log/. Layer: host.
 */
#include "host/store_keys.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/str.h"

char *tug_store_key_leader(const char *prefix)
{
    return tug_xasprintf("%s/leader", prefix);
}

char *tug_store_key_log(const char *prefix, uint64_t number)
{
    return tug_xasprintf("%s/log/%016llx", prefix, (unsigned long long) number);
}

char *tug_store_key_log_end(const char *prefix)
{
    return tug_xasprintf("%s/log0", prefix);
}

char *tug_store_key_controller(const char *prefix, const char *name)
{
    return tug_xasprintf("%s/controller/%s", prefix, name);
}

char *tug_store_key_controller_end(const char *prefix)
{
    return tug_xasprintf("%s/controller0", prefix);
}

char *tug_store_key_restoring(const char *prefix)
{
    return tug_xasprintf("%s/restoring", prefix);
}

/* Numbers as texts: JSON's are signed, and a program that edits it may round them. */
static json_t *number_of(uint64_t n)
{
    return json_sprintf("%llu", (unsigned long long) n);
}

static uint64_t number_in(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text ? strtoull(text, NULL, 10) : 0;
}

static void text_in(const json_t *o, const char *name, char *out, size_t size_bytes)
{
    const char *text = json_string_value(json_object_get(o, name));

    tug_str_copy(out, size_bytes, text ? text : "");
}

char *tug_store_restoring_put(const struct tug_store_restoring *r)
{
    json_t *o = json_object();
    char *text;

    json_object_set_new(o, "by", json_string(r->by));
    json_object_set_new(o, "at_ms", json_integer(r->at_ms));
    json_object_set_new(o, "emptied", json_boolean(r->emptied));
    json_object_set_new(o, "kept", json_string(r->kept));
    json_object_set_new(o, "cluster", json_string(r->replaced.cluster));
    json_object_set_new(o, "epoch", number_of(r->replaced.epoch));
    json_object_set_new(o, "next_id_block", number_of(r->replaced.next_id_block));
    json_object_set_new(o, "commit", number_of(r->replaced.commit));
    json_object_set_new(o, "attempts_skipped", number_of(r->replaced.attempts_skipped));
    text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

int tug_store_restoring_read(const void *data, size_t len, struct tug_store_restoring *out, struct tug_err *err)
{
    json_t *o = json_loadb(data, len, 0, NULL);
    int rc = json_is_boolean(json_object_get(o, "emptied")) && json_object_get(o, "epoch") ? 0 : -EILSEQ;

    *out = (struct tug_store_restoring){0};
    if (rc) {
        json_decref(o);
        return tug_fail(err, rc, "etcd: key restoring does not say how far a backup was put back");
    }
    text_in(o, "by", out->by, sizeof out->by);
    text_in(o, "kept", out->kept, sizeof out->kept);
    text_in(o, "cluster", out->replaced.cluster, sizeof out->replaced.cluster);
    out->at_ms = json_integer_value(json_object_get(o, "at_ms"));
    out->emptied = json_is_true(json_object_get(o, "emptied"));
    out->replaced.epoch = number_in(o, "epoch");
    out->replaced.next_id_block = number_in(o, "next_id_block");
    out->replaced.commit = number_in(o, "commit");
    out->replaced.attempts_skipped = (uint32_t) number_in(o, "attempts_skipped");
    json_decref(o);
    return 0;
}

int tug_store_restoring_refuse(const struct tug_store_restoring *r, struct tug_err *err)
{
    char when[32];
    time_t at = (time_t) (r->at_ms / 1000);
    struct tm tm;

    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", localtime_r(&at, &tm));
    return tug_fail(err, -EBUSY,
                    "a backup is being put back, since %s, by %s; if that `tug admin restore` was interrupted, run it again", when,
                    *r->by ? r->by : "?");
}

int tug_store_key_number(const char *key, uint64_t *out, struct tug_err *err)
{
    const char *digits = strrchr(key, '/');
    char *end = NULL;
    uint64_t number = digits ? strtoull(digits + 1, &end, 16) : 0;

    if (!number || *end)
        return tug_fail(err, -EILSEQ, "etcd: '%s' is no entry of the log; is this prefix ours alone?", key);
    *out = number;
    return 0;
}

void tug_store_copied_put(struct tug_batch *b, uint64_t last)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long) last);

    tug_batch_put(b, TUG_STORE_COPIED, "log", text, (size_t) len);
}

uint64_t tug_store_copied(const void *data, size_t len)
{
    char text[24] = "";

    memcpy(text, data, len < sizeof text ? len : sizeof text - 1);
    return strtoull(text, NULL, 10);
}
