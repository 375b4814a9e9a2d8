/* err.h - the sentence that goes with a failure
 *
 * Functions return 0 or a negative errno *as the value*; the sentence for a person goes into
 * the caller's struct tug_err, which is always the last argument and may be NULL. A sentence
 * names what was being done, to what, what is in the way, and, where a user will read it, the way out.
 */
#ifndef TUG_BASE_ERR_H
#define TUG_BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>

#define TUG_ERR_MAX 1024 /* bytes, NUL included; longer sentences are cut with "..." */

struct tug_err {
    int code;               /* negative errno of the last tug_fail(), 0 when none */
    char msg[TUG_ERR_MAX];  /* one line, no trailing full stop needed, UTF-8 */
};

/* Store the sentence in 'err' (if not NULL) and return 'code' (a negative errno). */
int tug_fail(struct tug_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Put "context: " in front of the sentence that is already there; returns err->code
 * ('code' when err is NULL). Add context once, at the level that knows it. */
int tug_fail_ctx(struct tug_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* What cannot happen; always on. Prints file:line and the condition, then aborts. */
#define tug_assert(cond) ((cond) ? (void) 0 : tug_assert_fail(#cond, __FILE__, __LINE__))
void tug_assert_fail(const char *cond, const char *file, int line) __attribute__((noreturn));

#endif
