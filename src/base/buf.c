/* buf.c - a growable run of bytes, also used to build text
 *
 * There is always one byte more than 'cap' bytes of room are promised for, so that a NUL fits.
 * Layer: base.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

void tug_buf_clear(struct tug_buf *b)
{
    if (!b)
        return;
    free(b->data);
    *b = (struct tug_buf){ 0 };
}

void tug_buf_reset(struct tug_buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

char *tug_buf_room(struct tug_buf *b, size_t n)
{
    tug_assert(n < SIZE_MAX / 4 && b->len < SIZE_MAX / 4);
    size_t want = b->len + n + 1;
    if (want > b->cap) {
        size_t cap = b->cap ? b->cap : 64;
        while (cap < want)
            cap *= 2;
        b->data = tug_xrealloc(b->data, cap);
        b->cap = cap;
    }
    b->data[b->len] = '\0';
    b->data[b->len + n] = '\0'; /* holds when the caller fills all of it; tug_buf_str() otherwise */
    return b->data + b->len;
}

void tug_buf_add(struct tug_buf *b, const void *p, size_t n)
{
    char *at = tug_buf_room(b, n);
    if (n)
        memcpy(at, p, n);
    b->len += n;
}

void tug_buf_adds(struct tug_buf *b, const char *s)
{
    tug_buf_add(b, s, strlen(s));
}

void tug_buf_addc(struct tug_buf *b, char c)
{
    tug_buf_add(b, &c, 1);
}

void tug_buf_addf(struct tug_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_list again;
    va_start(ap, fmt);
    va_copy(again, ap);
    size_t room = b->cap > b->len ? b->cap - b->len : 0;
    int n = vsnprintf(room ? b->data + b->len : NULL, room, fmt, ap);
    tug_assert(n >= 0);
    if ((size_t) n >= room)
        vsnprintf(tug_buf_room(b, (size_t) n), (size_t) n + 1, fmt, again);
    b->len += (size_t) n;
    va_end(again);
    va_end(ap);
}

void tug_buf_consume(struct tug_buf *b, size_t n)
{
    tug_assert(n <= b->len);
    if (n == 0)
        return;
    b->len -= n;
    memmove(b->data, b->data + n, b->len);
    b->data[b->len] = '\0';
}

const char *tug_buf_str(const struct tug_buf *b)
{
    if (!b->data)
        return "";
    b->data[b->len] = '\0';
    return b->data;
}

char *tug_buf_take(struct tug_buf *b)
{
    if (!b->data)
        return tug_xstrdup("");
    b->data[b->len] = '\0';
    char *s = b->data;
    *b = (struct tug_buf){ 0 };
    return s;
}
