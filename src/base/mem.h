/* mem.h - allocation that cannot fail for fixed-size objects
 *
 * Out of memory for an object of a size that we chose aborts with a sentence. A size that came
 * from outside is checked against its cap before it gets here.
 */
#ifndef TUG_BASE_MEM_H
#define TUG_BASE_MEM_H

#include <stddef.h>

void *tug_xmalloc(size_t len_bytes);
void *tug_xcalloc(size_t n, size_t len_bytes);
void *tug_xrealloc(void *p, size_t len_bytes);
char *tug_xstrdup(const char *s);                 /* NULL gives NULL */
void *tug_xmemdup(const void *p, size_t len_bytes); /* len 0 gives NULL */
char *tug_xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define tug_new(type) ((type *) tug_xcalloc(1, sizeof(type)))

#endif
