/* mem.c - allocation that cannot fail for fixed-size objects
 *
 * A size of zero gives a pointer that can be freed, so NULL never means success.
 * Layer: base.
 */
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"

static void *must(void *p, size_t n, size_t len_bytes)
{
    if (!p) {
        tug_error("out of memory: %zu x %zu bytes could not be had; give this process more, or look "
                  "at what it holds", n, len_bytes);
        abort();
    }
    return p;
}

void *tug_xmalloc(size_t len_bytes)
{
    return must(malloc(len_bytes ? len_bytes : 1), 1, len_bytes);
}

void *tug_xcalloc(size_t n, size_t len_bytes)
{
    return must(n && len_bytes ? calloc(n, len_bytes) : calloc(1, 1), n, len_bytes);
}

void *tug_xrealloc(void *p, size_t len_bytes)
{
    return must(realloc(p, len_bytes ? len_bytes : 1), 1, len_bytes);
}

char *tug_xstrdup(const char *s)
{
    return s ? tug_xmemdup(s, strlen(s) + 1) : NULL;
}

void *tug_xmemdup(const void *p, size_t len_bytes)
{
    return len_bytes ? memcpy(tug_xmalloc(len_bytes), p, len_bytes) : NULL;
}

char *tug_xasprintf(const char *fmt, ...)
{
    va_list ap;
    char *s = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    if (n < 0 && errno != ENOMEM)
        tug_assert(!"vasprintf takes this format");
    return must(n < 0 ? NULL : s, 1, strlen(fmt));
}
