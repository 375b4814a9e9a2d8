/* store.c - the durable copy of what the daemon holds in memory: to the kind of store that was opened
 *
 * Layer: host.
 */
#include "host/store_impl.h"

void tug_store_close(struct tug_store *s)
{
    if (s)
        s->ops->close(s);
}

void tug_store_lead(struct tug_store *s, tug_store_role_cb *cb, void *arg)
{
    if (s->ops->lead)
        s->ops->lead(s, cb, arg);
    else
        cb(arg, TUG_STORE_LEADS, "");
}

void tug_store_lead_token(struct tug_store *s, char *out, size_t size_bytes)
{
    out[0] = '\0';
    if (s->ops->lead_token)
        s->ops->lead_token(s, out, size_bytes);
}

int64_t tug_store_leads_until(struct tug_store *s)
{
    return s->ops->leads_until ? s->ops->leads_until(s) : INT64_MAX;
}

int tug_store_load(struct tug_store *s, const char *kind, tug_store_record_cb *cb, void *arg, struct tug_err *err)
{
    return s->ops->load(s, kind, cb, arg, err);
}

void tug_store_commit(struct tug_store *s, struct tug_batch *b, tug_store_done_cb *cb, void *arg)
{
    s->ops->commit(s, b, cb, arg);
}

void tug_store_wait_for_room(struct tug_store *s, tug_store_room_cb *cb, void *arg)
{
    s->ops->wait_for_room(s, cb, arg);
}

void tug_store_history(struct tug_store *s, const struct tug_history_filter *f, tug_store_history_cb *cb, void *arg)
{
    s->ops->history(s, f, cb, arg);
}

void tug_store_stats(struct tug_store *s, struct tug_store_stats *out)
{
    s->ops->stats(s, out);
}
