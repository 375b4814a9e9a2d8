/* tokens.c - which request made which job, so that one that is sent twice makes one
 *
 * A token is a user's; it is known as long as its job is, and for a day after that. Layer: logic.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logic/control_int.h"

static int is_token(const void *item, const void *key)
{
    return strcmp(((const struct ctl_token *) item)->key, key) == 0;
}

static uint32_t hash_of(const char *key)
{
    return tug_hash(key, strlen(key));
}

/* The key: "uid/token". Tokens that came over the wire are shorter; records may say anything. */
struct name {
    char small[128], *at;
};

static void name_set(struct name *n, uint32_t uid, const char *token)
{
    int len = snprintf(n->small, sizeof n->small, "%u/%s", uid, token);

    n->at = (size_t) len < sizeof n->small ? n->small : tug_xasprintf("%u/%s", uid, token);
}

static void name_clear(struct name *n)
{
    if (n->at != n->small)
        free(n->at);
}

static struct ctl_token *find(const struct tug_control *c, const char *key)
{
    return tug_hashset_find(&c->tokens, hash_of(key), is_token, key);
}

struct ctl_token *tug_ctl_token(struct tug_control *c, uint32_t uid, const char *token)
{
    struct name name;
    struct ctl_token *t;

    name_set(&name, uid, token);
    t = find(c, name.at);
    name_clear(&name);
    return t && t->expires_ms > tug_ctl_now(c) ? t : NULL;
}

static struct ctl_token *token_new(struct tug_control *c, const char *key)
{
    size_t size = strlen(key) + 1;
    struct ctl_token *t = tug_xmalloc(sizeof *t + size);

    *t = (struct ctl_token){0};
    memcpy(t->key, key, size);
    tug_hashset_add(&c->tokens, hash_of(key), t);
    return t;
}

void tug_ctl_token_put(struct tug_control *c, uint32_t uid, const char *token, uint64_t job,
                       int64_t expires_ms)
{
    struct name name;
    struct ctl_token *t;

    name_set(&name, uid, token);
    t = find(c, name.at);
    if (t && t->expires_ms != INT64_MAX)
        TAILQ_REMOVE(&c->spent, t, age);
    t = t ? t : token_new(c, name.at);
    name_clear(&name);
    t->job = job;
    t->expires_ms = INT64_MAX;
    if (expires_ms != INT64_MAX)
        tug_ctl_token_spend(c, t, expires_ms);
}

void tug_ctl_token_spend(struct tug_control *c, struct ctl_token *t, int64_t expires_ms)
{
    tug_assert(t->expires_ms == INT64_MAX);
    t->expires_ms = expires_ms;
    TAILQ_INSERT_TAIL(&c->spent, t, age); /* all are kept equally long */
}

void tug_ctl_tokens_purge(struct tug_control *c, struct tug_batch *b)
{
    struct ctl_token *t;

    while ((t = TAILQ_FIRST(&c->spent)) != NULL && t->expires_ms <= tug_ctl_now(c)) {
        TAILQ_REMOVE(&c->spent, t, age);
        tug_hashset_remove(&c->tokens, hash_of(t->key), t);
        tug_batch_del(b, "tok", t->key);
        free(t);
    }
}

static int by_expiry(const void *a, const void *b)
{
    const struct ctl_token *const *x = a, *const *y = b;

    if ((*x)->expires_ms != (*y)->expires_ms)
        return (*x)->expires_ms > (*y)->expires_ms ? 1 : -1;
    return ((*x)->job > (*y)->job) - ((*x)->job < (*y)->job);
}

void tug_ctl_tokens_restored(struct tug_control *c)
{
    struct tug_vec(struct ctl_token *) spent = {0};
    struct ctl_token *t;

    TAILQ_FOREACH (t, &c->spent, age)
        tug_vec_push(&spent, t);
    if (spent.len)
        qsort(spent.at, spent.len, sizeof *spent.at, by_expiry);
    TAILQ_INIT(&c->spent);
    for (size_t i = 0; i < spent.len; i++)
        TAILQ_INSERT_TAIL(&c->spent, spent.at[i], age);
    tug_vec_clear(&spent);
}

void tug_ctl_tokens_free(struct tug_control *c)
{
    size_t at = 0;

    for (void *t; (t = tug_hashset_next(&c->tokens, &at)) != NULL;)
        free(t);
    tug_hashset_clear(&c->tokens);
}
