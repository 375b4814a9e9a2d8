/* tokens.c - which request made which job, so that one that is sent twice makes one
 *
 * A token is a user's; it is known as long as its job is, and for a day after that. Layer: logic.
 */
#include <stdlib.h>
#include <string.h>

#include "logic/control_int.h"

struct key {
    uint32_t uid;
    const char *token;
};

static int is_token(const void *item, const void *key)
{
    const struct ctl_token *t = item;
    const struct key *k = key;

    return t->uid == k->uid && strcmp(t->token, k->token) == 0;
}

static uint32_t hash_of(uint32_t uid, const char *token)
{
    return tug_hash(token, strlen(token)) + uid;
}

static struct ctl_token *find(const struct tug_control *c, uint32_t uid, const char *token)
{
    struct key key = {uid, token};

    return tug_hashset_find(&c->tokens, hash_of(uid, token), is_token, &key);
}

struct ctl_token *tug_ctl_token(struct tug_control *c, uint32_t uid, const char *token)
{
    struct ctl_token *t = find(c, uid, token);

    return t && t->expires_ms > tug_ctl_now(c) ? t : NULL;
}

static struct ctl_token *token_new(struct tug_control *c, uint32_t uid, const char *token)
{
    size_t size = strlen(token) + 1;
    struct ctl_token *t = tug_xmalloc(sizeof *t + size);

    *t = (struct ctl_token){.uid = uid};
    memcpy(t->token, token, size);
    tug_hashset_add(&c->tokens, hash_of(uid, token), t);
    return t;
}

void tug_ctl_token_put(struct tug_control *c, uint32_t uid, const char *token, uint64_t job,
                       int64_t expires_ms)
{
    struct ctl_token *t = find(c, uid, token);

    if (t && t->expires_ms != INT64_MAX)
        TAILQ_REMOVE(&c->spent, t, age);
    t = t ? t : token_new(c, uid, token);
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

char *tug_ctl_token_id(const struct ctl_token *t)
{
    return tug_xasprintf("%u/%s", t->uid, t->token);
}

void tug_ctl_tokens_purge(struct tug_control *c, struct tug_batch *b)
{
    struct ctl_token *t;
    char *id;

    while ((t = TAILQ_FIRST(&c->spent)) != NULL && t->expires_ms <= tug_ctl_now(c)) {
        TAILQ_REMOVE(&c->spent, t, age);
        tug_hashset_remove(&c->tokens, hash_of(t->uid, t->token), t);
        id = tug_ctl_token_id(t);
        tug_batch_del(b, "tok", id);
        free(id);
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
