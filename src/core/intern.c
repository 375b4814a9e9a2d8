/* intern.c - one copy of each text that many jobs share
 *
 * Every text in the table has at least one holder, and less than 2^32. Layer: core.
 */
#include "core/intern.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/hashset.h"
#include "base/mem.h"

struct text {
    uint32_t holders, hash;
    char s[];
};

struct tug_interns {
    struct tug_hashset texts; /* but the empty one, which most are */
    struct text *empty;
    size_t bytes;
};

struct tug_interns *tug_interns_new(void)
{
    struct tug_interns *t = tug_new(struct tug_interns);
    t->empty = tug_xcalloc(1, sizeof *t->empty + 1);
    return t;
}

static size_t size_of(const struct text *x)
{
    return sizeof *x + strlen(x->s) + 1;
}

static struct text *text_of(const char *s)
{
    return (struct text *) (void *) ((char *) (uintptr_t) s - offsetof(struct text, s));
}

void tug_interns_free(struct tug_interns *t)
{
    if (!t)
        return;
    size_t at = 0;
    for (void *x; (x = tug_hashset_next(&t->texts, &at)) != NULL;)
        free(x);
    tug_hashset_clear(&t->texts);
    free(t->empty);
    free(t);
}

static const char *hold(struct text *x)
{
    tug_assert(x->holders < UINT32_MAX);
    x->holders++;
    return x->s;
}

static int is_text(const void *item, const void *key)
{
    return strcmp(((const struct text *) item)->s, key) == 0;
}

const char *tug_intern(struct tug_interns *t, const char *s)
{
    if (!s || !*s)
        return hold(t->empty);
    size_t len = strlen(s);
    uint32_t hash = tug_hash(s, len);
    struct text *x = tug_hashset_find(&t->texts, hash, is_text, s);
    if (!x) {
        x = tug_xmalloc(sizeof *x + len + 1);
        *x = (struct text){.hash = hash};
        memcpy(x->s, s, len + 1);
        tug_hashset_add(&t->texts, hash, x);
        t->bytes += size_of(x);
    }
    return hold(x);
}

const char *tug_intern_hold(const char *s)
{
    tug_assert(text_of(s)->holders > 0);
    return hold(text_of(s));
}

void tug_intern_drop(struct tug_interns *t, const char *s)
{
    if (!s)
        return;
    struct text *x = text_of(s);
    tug_assert(x->holders > 0);
    if (--x->holders || x == t->empty)
        return;
    tug_hashset_remove(&t->texts, x->hash, x);
    t->bytes -= size_of(x);
    free(x);
}

size_t tug_interns_count(const struct tug_interns *t)
{
    return t->texts.n + (t->empty->holders > 0);
}

size_t tug_interns_bytes(const struct tug_interns *t)
{
    return t->bytes + tug_hashset_bytes(&t->texts);
}
