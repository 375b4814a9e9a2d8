/* store_keys.c - how a state that controllers share is laid out
 *
 * '0' comes behind '/', so PREFIX/log0 is behind all of PREFIX/log/. Layer: host.
 */
#include "host/store_keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

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
