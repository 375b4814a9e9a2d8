/* value.h - one plain value of a configuration: read, check, print, free
 *
 * One row for each type that is written as a single text. Containers are schema.c's.
 */
#ifndef TUG_CONF_VALUE_H
#define TUG_CONF_VALUE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "conf/schema.h"

struct tug_value_type {
    const char *word; /* what to call it: "duration" */
    size_t size_bytes;
    /* Read 'text' into the zeroed 'field' and check it against the row.
     * -EINVAL or -ERANGE: 'field' is still zeroed; 'err' says what is wrong with the value as
     * the rest of a sentence that begins with the key's name, 'hint' what would be right. */
    int (*parse)(const struct tug_schema_key *key, const char *text, void *field,
                 struct tug_buf *hint, struct tug_err *err);
    /* As it would be written, in one canonical way. */
    void (*print)(const struct tug_schema_key *key, const void *field, struct tug_buf *out);
    void (*clear)(void *field); /* NULL: nothing to free */
};

/* NULL for containers, lists of strings and params. */
const struct tug_value_type *tug_value_type(enum tug_schema_type type);

/* "from 1s to 1h", "at most 64", "" when everything goes. */
void tug_value_print_range(const struct tug_schema_key *key, struct tug_buf *out);

/* A text inside one key, checked as a STRING of the row is; for lists of strings. */
int tug_value_check_text(const struct tug_schema_key *key, const char *text, struct tug_buf *hint,
                         struct tug_err *err);

#endif
