/* hostlist.h - a set of host names, written as gpu[001-128,200]
 *
 * A set: sorted in natural order (gpu2 before gpu10), each name once. Text is
 *     list  = item *("," item)        blanks around the commas are skipped; "" is the empty list
 *     item  = 1*(text / "[" range *("," range) "]")    brackets multiply: r[1-2]n[01-10]
 *     range = number ["-" number]                     padding is kept: [08-11] is 08 09 10 11
 * Names are letters, digits, '-', '_' and '.', start with a letter or digit and have at most
 * TUG_HOSTNAME_MAX bytes. Letter case counts. Brackets don't nest.
 */
#ifndef TUG_BASE_HOSTLIST_H
#define TUG_BASE_HOSTLIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define TUG_HOSTLIST_MAX 65536 /* hosts in one text, counted before duplicates fall together */
#define TUG_HOSTNAME_MAX 255   /* bytes, NUL not included */

struct tug_hostlist; /* opaque: see hostlist.c */

struct tug_hostlist *tug_hostlist_new(void); /* empty */
struct tug_hostlist *tug_hostlist_copy(const struct tug_hostlist *hl);
void tug_hostlist_free(struct tug_hostlist *hl);

/* Read 'text' into a new list; the caller frees '*out'. 'err' names the column and the text.
 *   -EINVAL  not of the form above
 *   -E2BIG   more than TUG_HOSTLIST_MAX hosts (found before they are made)
 * '*out' is untouched on failure. */
int tug_hostlist_parse(const char *text, struct tug_hostlist **out, struct tug_err *err);

/* The shortest form that this module finds, appended to 'out'; parse gives the same set back. */
void tug_hostlist_format(const struct tug_hostlist *hl, struct tug_buf *out);

/* Put one name in or take it out; nothing happens when it is there (or not there) already.
 * -EINVAL: not a host name. Adding names in natural order costs O(log n) each, others O(n). */
int tug_hostlist_add(struct tug_hostlist *hl, const char *host, struct tug_err *err);
void tug_hostlist_remove(struct tug_hostlist *hl, const char *host);

size_t tug_hostlist_count(const struct tug_hostlist *hl);
const char *tug_hostlist_nth(const struct tug_hostlist *hl, size_t i); /* borrowed; i < count */
bool tug_hostlist_contains(const struct tug_hostlist *hl, const char *host);
bool tug_hostlist_find(const struct tug_hostlist *hl, const char *host, size_t *index);
bool tug_hostlist_equal(const struct tug_hostlist *a, const struct tug_hostlist *b);

/* New lists; the caller frees. */
struct tug_hostlist *tug_hostlist_union(const struct tug_hostlist *a, const struct tug_hostlist *b);
struct tug_hostlist *tug_hostlist_intersect(const struct tug_hostlist *a,
                                            const struct tug_hostlist *b);
struct tug_hostlist *tug_hostlist_subtract(const struct tug_hostlist *a,
                                           const struct tug_hostlist *b);

/* Natural order of two names: runs of digits by value, the rest by byte; a total order, so names
 * that differ only in padding are next to each other. */
int tug_hostname_cmp(const char *a, const char *b);
bool tug_hostname_ok(const char *host);

#endif
