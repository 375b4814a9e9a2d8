/* errors.h - everything that is wrong with a configuration, with the place of each
 *
 * A person who fixes a file wants the whole list, not the first line of it. Each entry has the
 * place, the offending text as it was written, a sentence and, where there is one, the way out.
 */
#ifndef TUG_CONF_ERRORS_H
#define TUG_CONF_ERRORS_H

#include <stddef.h>

#include "base/buf.h"
#include "base/vec.h"

#define TUG_CONF_ERRORS_MAX 100 /* kept; the rest is only counted */

/* Where something was written. Lines and columns count from 1, columns in characters.
 *   file NULL   nowhere: a built-in default
 *   line 0      the file as a whole */
struct tug_conf_pos {
    const char *file;
    unsigned line;
    unsigned column;
};

struct tug_conf_error {
    char *file;
    unsigned line;
    unsigned column;
    char *text;     /* what was written there, escaped and cut to one line; may be "" */
    char *sentence; /* one line, escaped */
    char *hint;     /* what to do; NULL when the sentence says it all */
    size_t rank;    /* of the file, in reading order */
};

struct tug_conf_errors {
    struct tug_vec(struct tug_conf_error) list;
    struct tug_vec(char *) files; /* in reading order */
    size_t left_out;              /* errors over TUG_CONF_ERRORS_MAX */
};

/* Fix the place of 'file' in the order of the list; files are else ordered by their first error. */
void tug_conf_errors_file(struct tug_conf_errors *errs, const char *file);

/* 'text' (may be NULL) is 'len' raw bytes; 'hint' (may be NULL) is copied. */
void tug_conf_errors_add(struct tug_conf_errors *errs, struct tug_conf_pos pos, const char *text,
                         size_t len, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* No more are kept: making up hints is a waste of time from here on. */
int tug_conf_errors_full(const struct tug_conf_errors *errs);
/* All that were found, those left out included. */
size_t tug_conf_errors_count(const struct tug_conf_errors *errs);

/* By file in reading order, then line, then column. */
void tug_conf_errors_sort(struct tug_conf_errors *errs);

/* The first one, without a line's end, and how many more there are. */
void tug_conf_errors_line(const struct tug_conf_errors *errs, struct tug_buf *out);
/* "FILE:LINE:COLUMN: SENTENCE; HINT\n" for each, and a last line when some were left out. */
void tug_conf_errors_print(const struct tug_conf_errors *errs, struct tug_buf *out);
void tug_conf_errors_clear(struct tug_conf_errors *errs);

/* "FILE:LINE:COLUMN", "FILE" for a whole file, "built-in default" for nowhere. */
void tug_conf_pos_print(struct tug_conf_pos pos, struct tug_buf *out);

/* 'len' raw bytes so that they are safe on a terminal and in a log: at most 'max' characters,
 * then "..."; escaped as tug_str_escape() does. */
void tug_conf_show(struct tug_buf *out, const char *text, size_t len, size_t max);

/* Length of the UTF-8 character at 's' (1-4), or 0 when there is none: broken, overlong, a
 * surrogate or over U+10FFFF. */
size_t tug_conf_utf8_len(const char *s, size_t len);

#endif
