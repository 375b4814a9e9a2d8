/* intern.c - one copy of each text that many jobs share
 *
 * Every text in the table has at least one holder. Layer: core.
 */
#include "core/intern.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#include <uthash.h>

struct text {
    UT_hash_handle hh;
    size_t holders;
    char s[];
};

struct tug_interns {
    struct text *texts;
    size_t bytes;
};

struct tug_interns *tug_interns_new(void)
{
    return tug_new(struct tug_interns);
}

static void remove_text(struct tug_interns *t, struct text *x)
{
    t->bytes -= sizeof *x + strlen(x->s) + 1;
    HASH_DEL(t->texts, x);
    free(x);
}

void tug_interns_free(struct tug_interns *t)
{
    if (!t)
        return;
    struct text *x, *next;
    HASH_ITER (hh, t->texts, x, next)
        remove_text(t, x);
    free(t);
}

const char *tug_intern(struct tug_interns *t, const char *s)
{
    if (!s)
        s = "";
    size_t len = strlen(s);
    struct text *x = NULL;
    HASH_FIND(hh, t->texts, s, len, x);
    if (!x) {
        x = tug_xcalloc(1, sizeof *x + len + 1);
        memcpy(x->s, s, len + 1);
        HASH_ADD_KEYPTR(hh, t->texts, x->s, len, x);
        t->bytes += sizeof *x + len + 1;
    }
    x->holders++;
    return x->s;
}

void tug_intern_drop(struct tug_interns *t, const char *s)
{
    if (!s)
        return;
    struct text *x = (struct text *) (void *) ((char *) (uintptr_t) s - offsetof(struct text, s));
    tug_assert(x->holders > 0);
    if (--x->holders == 0)
        remove_text(t, x);
}

size_t tug_interns_count(const struct tug_interns *t)
{
    return HASH_COUNT(t->texts);
}

size_t tug_interns_bytes(const struct tug_interns *t)
{
    return t->bytes + (t->texts ? t->texts->hh.tbl->num_buckets * sizeof(UT_hash_bucket) : 0);
}
