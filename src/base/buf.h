/* buf.h - a growable run of bytes, also used to build text
 *
 * Owns 'data'; 'len' bytes are in use and data[len] is always NUL once anything was added, so a
 * text can be read as a C string (whoever fills tug_buf_room() only in part reads it through
 * tug_buf_str(), which puts the NUL back). Zero-initialised is empty; tug_buf_clear() frees.
 */
#ifndef TUG_BASE_BUF_H
#define TUG_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct tug_buf {
    char *data;
    size_t len;
    size_t cap;
};

void tug_buf_clear(struct tug_buf *b);                      /* frees; empty again */
void tug_buf_reset(struct tug_buf *b);                      /* keeps the memory, len = 0 */
char *tug_buf_room(struct tug_buf *b, size_t n);            /* n writable bytes at the end; then add to len */
void tug_buf_add(struct tug_buf *b, const void *p, size_t n);
void tug_buf_adds(struct tug_buf *b, const char *s);
void tug_buf_addc(struct tug_buf *b, char c);
void tug_buf_addf(struct tug_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tug_buf_consume(struct tug_buf *b, size_t n);          /* drop the first n bytes */
const char *tug_buf_str(const struct tug_buf *b);           /* "" when empty, never NULL */
char *tug_buf_take(struct tug_buf *b);                      /* caller frees; b is empty after */

#endif
