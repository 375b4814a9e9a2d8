/* str.h - small questions about text, and how to show it
 *
 * Text from users is stored raw and shown escaped: control bytes must not reach a terminal.
 */
#ifndef TUG_BASE_STR_H
#define TUG_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Add s[0..n) to 'out' so that it is safe to show on one line: C0 and C1 controls, DEL, and bytes
 * that are not UTF-8 become \n, \t, \r or \xNN; line separators and characters that turn the
 * direction of text become \u202e and the like. Other UTF-8 and backslashes stay as they are: this
 * is for eyes, not for parsing back. */
void tug_str_escape(struct tug_buf *out, const char *s, size_t n);

bool tug_str_has_prefix(const char *s, const char *prefix);
bool tug_str_has_suffix(const char *s, const char *suffix);

/* Step through the fields of a text without copying:
 *     const char *rest = "a,b,,c", *at; size_t len;
 *     while (tug_str_split(&rest, ',', &at, &len)) use(at, len);
 * Every separator makes a field, so "" has one (empty) field and "a," has two. */
bool tug_str_split(const char **rest, char sep, const char **at, size_t *len);

/* The name that 'word' was most likely meant to be, or NULL when none is near: Damerau-Levenshtein
 * distance (optimal string alignment: insert, delete, replace, swap neighbours; letter case is
 * free) of at most a third of the longer word, rounded up. The first of several equally near wins.
 * Words over 64 bytes are never near. */
const char *tug_str_nearest(const char *word, const char *const *names, size_t n);

/* Copy into 'out', cut to size (never in the middle of a UTF-8 character), always terminated when
 * size_bytes > 0. False when something was cut. */
bool tug_str_copy(char *out, size_t size_bytes, const char *s);

/* The whole of 'text' as a decimal number: digits only, no sign, no space.
 *   -EINVAL  not digits only, or empty
 *   -ERANGE  over 'max'
 * 'out' is untouched on failure. */
int tug_str_u64(const char *text, uint64_t max, uint64_t *out);

#endif
