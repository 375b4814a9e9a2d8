/* schema.h - what a section of a configuration may say: one table, one row for each key
 *
 * The table is all there is about a key: its name, type, default, range, unit, whether a running
 * daemon takes a change, and the text of the manual. From it come the struct (config.def makes
 * both), the checks, the dump, the walk for JSON, the diff and the manual.
 *
 * A section is a C struct that starts with a struct tug_schema_origin. Zeroed is empty;
 * tug_schema_clear() frees what is in it.
 */
#ifndef TUG_CONF_SCHEMA_H
#define TUG_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hostlist.h"
#include "base/vec.h"
#include "conf/errors.h"
#include "conf/yaml.h"

/* "unlimited" where a duration may be without end; larger than every other value. */
#define TUG_CONF_UNLIMITED INT64_MAX

enum tug_schema_type {            /* field of the struct            as written                    */
    TUG_SCHEMA_BOOL,              /* bool                           true, false                   */
    TUG_SCHEMA_INT,               /* int64_t                        decimal                       */
    TUG_SCHEMA_DURATION,          /* int64_t seconds                30s, 5m, 1:30:00, unlimited   */
    TUG_SCHEMA_SIZE,              /* int64_t bytes                  4MiB, 512G                    */
    TUG_SCHEMA_BANDWIDTH,         /* int64_t bytes a second         50GB/s, 400Gb/s                 */
    TUG_SCHEMA_RATIO,             /* int64_t thousandths            2, 1.5, 3:2                     */
    TUG_SCHEMA_STRING,            /* char *, NULL: not set          text                          */
    TUG_SCHEMA_NAME,              /* char *, never NULL             a word: a-z A-Z 0-9 . _ -     */
    TUG_SCHEMA_PATH,              /* char *, NULL: not set          absolute                      */
    TUG_SCHEMA_ADDRESS,           /* struct tug_conf_address        host:port or a socket's path  */
    TUG_SCHEMA_HOSTS,             /* struct tug_conf_hosts          gpu[001-128], or "all"        */
    TUG_SCHEMA_ENUM,              /* int, index into 'values'       one of the words              */
    TUG_SCHEMA_STRINGS,           /* struct tug_conf_strings        one text or a list            */
    TUG_SCHEMA_PARAMS,            /* struct tug_conf_params         name: text, not looked into   */
    TUG_SCHEMA_SECTION,           /* the sub-struct                 a map                         */
    TUG_SCHEMA_LIST,              /* sub-struct *, size_t n_        a list of maps                */
    TUG_SCHEMA_MAP,               /* sub-struct *, size_t n_        name: map                     */
};

struct tug_conf_address {
    char *text; /* as written; NULL: not set */
    char *host; /* NULL for a socket */
    int port;   /* 0: any free one */
    char *path; /* of the socket; NULL for host and port */
};

struct tug_conf_hosts {
    char *text;                  /* as written; NULL: not set */
    struct tug_hostlist *list;   /* NULL when not set, or "all" */
    bool all;
};

struct tug_conf_strings {
    char **at;
    size_t n;
};

struct tug_conf_params {
    struct tug_conf_param {
        char *name;
        char *value; /* the text as it is between the quotes, if there were any */
        struct tug_conf_pos name_pos;
        struct tug_conf_pos value_pos;
    } *at;
    size_t n;
};

/* First member of every section. */
struct tug_schema_origin {
    struct tug_conf_pos pos;   /* of the section; file NULL when it is not written */
    /* Of the value in each row of the table. File NULL: not written. Line 0: written, but not
     * usable, so that the default is in the field. */
    struct tug_conf_pos *keys;
};

enum tug_schema_reload {
    TUG_RELOAD_LIVE,    /* a running daemon takes the change */
    TUG_RELOAD_RESTART, /* it takes effect when the daemon starts */
};

struct tug_schema_key {
    const char *name;
    enum tug_schema_type type;
    size_t offset;              /* of the field */
    size_t count_offset;        /* list, map: of the size_t beside it */
    const char *def;            /* as it would be written; NULL: not set, 0, empty */
    int64_t min, max;           /* of the value; of a text its bytes, of a list the number */
    const char *unit;           /* of an int, for sentences: "GPUs"; or NULL */
    bool required;
    bool special;               /* taken too: "unlimited", "all", a socket's path */
    enum tug_schema_reload reload;
    const char *const *values;  /* enum: the words, NULL at the end */
    const struct tug_schema *sub;
    const char *text;           /* for the manual, one or more sentences */
};

/* In the section of a list or map, row 0 (a NAME or HOSTS) tells the items apart. */
struct tug_schema {
    const char *name;
    const struct tug_schema_key *keys;
    size_t n_keys;
    size_t size_bytes; /* of the struct */
    const char *text;
};

/* Fill the zeroed struct 'out' from 'map' (NULL: defaults only). What is wrong goes to 'errs', at
 * its place, and leaves the default (or nothing). 'partial': parts of the tree are missing, so a
 * required key that is not there is not complained about. */
void tug_schema_fill(const struct tug_schema *schema, const struct tug_yaml *map, bool partial,
                     void *out, struct tug_conf_errors *errs);
void tug_schema_clear(const struct tug_schema *schema, void *section);

/* Where a field of a section was written: 'field' is its address inside 'section'.
 * The section's own place when the key is not written. */
struct tug_conf_pos tug_schema_pos(const struct tug_schema *schema, const void *section,
                                   const void *field);

enum tug_schema_state {
    TUG_SCHEMA_DEFAULT,
    TUG_SCHEMA_WRITTEN,
    TUG_SCHEMA_UNUSABLE, /* written, with an error that is listed; the default is in the field */
};
enum tug_schema_state tug_schema_state(const struct tug_schema *schema, const void *section,
                                       const void *field);

/* ---- out again ------------------------------------------------------------------------------- */

enum tug_schema_step {
    TUG_STEP_VALUE, /* 'field' holds a value; print it with tug_schema_print_value() */
    TUG_STEP_OPEN,  /* a section, list or map begins */
    TUG_STEP_ITEM,  /* one section of a list or map begins */
    TUG_STEP_CLOSE, /* of the last open one */
};

struct tug_schema_visit {
    enum tug_schema_step step;
    const struct tug_schema_key *key; /* of the value or container; for an item, of its list or map */
    const char *name;                 /* item of a map: its name; else key->name */
    const void *field;
    size_t count;                     /* OPEN of a list or map */
    struct tug_conf_pos pos;          /* file NULL: a default */
};

/* Visit everything in the order of the table. The name of a map's item is not visited again as a
 * value. */
void tug_schema_walk(const struct tug_schema *schema, const void *section,
                     void (*visit)(void *ctx, const struct tug_schema_visit *v), void *ctx);

/* Is there anything to print? Texts, addresses and hosts may be not set. */
bool tug_schema_is_set(const struct tug_schema_key *key, const void *field);
/* The value as it would be written, without YAML's quotes; "unset" values print as nothing.
 * For plain values only: not for lists of texts, params and containers. */
void tug_schema_print_value(const struct tug_schema_key *key, const void *field,
                            struct tug_buf *out);

/* All of it as YAML that loads to the same values; each line tells where it was written, or
 * "default". */
void tug_schema_dump(const struct tug_schema *schema, const void *section, struct tug_buf *out);

/* The keys as a part of a manual page, in the language of scdoc. */
void tug_schema_print_scd(const struct tug_schema *schema, struct tug_buf *out);

struct tug_schema_change {
    char *path;     /* "timeouts.lease", "queues.train.max_time" */
    char *was;      /* NULL: was not there */
    char *is;       /* NULL: is gone */
    enum tug_schema_reload reload;
    struct tug_conf_pos pos; /* in the new configuration */
};

struct tug_schema_diff {
    struct tug_vec(struct tug_schema_change) list; /* in the order of the table */
    bool needs_restart;                            /* of any of them */
};

/* What differs in value (not in how or where it is written); adds to 'diff'. */
void tug_schema_compare(const struct tug_schema *schema, const void *was, const void *is,
                        struct tug_schema_diff *diff);
void tug_schema_diff_clear(struct tug_schema_diff *diff);

#endif
