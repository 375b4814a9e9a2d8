/* err.c - the sentence that goes with a failure
 *
 * A sentence is built aside and then copied, so the old one may be an argument of the new one.
 * Layer: base.
 */
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* Cut 'msg' to TUG_ERR_MAX with "..." and without leaving half a UTF-8 character. */
static void cut(char *msg)
{
    size_t at = TUG_ERR_MAX - 4;
    while (at > 0 && ((unsigned char) msg[at] & 0xC0) == 0x80)
        at--;
    memcpy(msg + at, "...", 4);
}

static void set(struct tug_err *err, const char *fmt, va_list ap)
{
    char next[TUG_ERR_MAX];
    int n = vsnprintf(next, sizeof next, fmt, ap);
    if (n < 0)
        strcpy(next, "(this error has no text: its format could not be printed)");
    else if ((size_t) n >= sizeof next)
        cut(next);
    memcpy(err->msg, next, sizeof next);
}

int tug_fail(struct tug_err *err, int code, const char *fmt, ...)
{
    tug_assert(code < 0);
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    set(err, fmt, ap);
    va_end(ap);
    err->code = code;
    return code;
}

int tug_fail_ctx(struct tug_err *err, int code, const char *fmt, ...)
{
    tug_assert(code < 0);
    if (!err)
        return code;
    char before[TUG_ERR_MAX];
    memcpy(before, err->msg, sizeof before);
    va_list ap;
    va_start(ap, fmt);
    set(err, fmt, ap);
    va_end(ap);
    if (err->code == 0)
        err->code = code; /* nobody said why: the context is all there is */
    else {
        size_t len = strlen(err->msg);
        int n = snprintf(err->msg + len, sizeof err->msg - len, ": %s", before);
        if (n >= 0 && len + (size_t) n >= sizeof err->msg)
            cut(err->msg);
    }
    return err->code;
}

void tug_assert_fail(const char *cond, const char *file, int line)
{
    tug_error("%s:%d: this cannot happen: %s is false; please report it with this line", file, line,
              cond);
    abort();
}
