/* yaml.h - one YAML text as a tree of nodes that know where they were written
 *
 * A strict part of YAML 1.1: maps with scalar keys, lists, scalars. What makes a configuration
 * mean something else than it looks like is refused with a sentence: duplicate keys, anchors,
 * aliases, tags, tabs as indentation, several documents, NUL and control bytes, broken UTF-8,
 * nesting over TUG_YAML_DEPTH_MAX. libyaml does the parsing.
 *
 * A tree lives in a pool: nodes and strings go away together with it.
 */
#ifndef TUG_CONF_YAML_H
#define TUG_CONF_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "conf/errors.h"

enum {
    TUG_YAML_DEPTH_MAX = 16,             /* maps and lists inside each other */
    TUG_YAML_FILE_MAX = 4 * 1024 * 1024, /* bytes of one file */
    TUG_YAML_NODES_MAX = 500 * 1000,     /* nodes of one pool */
};

enum tug_yaml_kind { TUG_YAML_SCALAR, TUG_YAML_LIST, TUG_YAML_MAP };

struct tug_yaml {
    enum tug_yaml_kind kind;
    bool quoted; /* scalar: written with quotes or as a block, so never "no value" */
    bool bad;    /* an error is already listed for it; say no more about it */
    struct tug_conf_pos pos;
    const char *text; /* scalar: NUL-terminated, no NUL inside */
    size_t len;
    /* list: 'key' is NULL; map: in the order of the file, keys are scalars and differ */
    struct tug_yaml_item {
        struct tug_yaml *key;
        struct tug_yaml *value;
    } *items;
    size_t n_items;
};

struct tug_yaml_pool; /* opaque: see yaml.c */

struct tug_yaml_pool *tug_yaml_pool_new(void);
void tug_yaml_pool_free(struct tug_yaml_pool *pool);
void *tug_yaml_alloc(struct tug_yaml_pool *pool, size_t len_bytes); /* zeroed, never NULL */
char *tug_yaml_strdup(struct tug_yaml_pool *pool, const char *s);

/* Parse 'text' of 'file' (a string that outlives the tree; positions point to it).
 * Everything that is wrong goes to 'errs'. Returns the root:
 *   NULL          the text is empty or only comments (no error), or nothing could be read
 *   *broken       set when the tree ends before the text does; what is in it is still right */
struct tug_yaml *tug_yaml_parse(struct tug_yaml_pool *pool, const char *file, const char *text,
                                size_t len, bool *broken, struct tug_conf_errors *errs);

/* Drop every item of a map whose key is there already and list it. For maps that were put together
 * from several. */
void tug_yaml_drop_duplicates(struct tug_yaml *map, struct tug_conf_errors *errs);

/* The value under 'key', or NULL; looks at every item. */
struct tug_yaml *tug_yaml_get(const struct tug_yaml *map, const char *key);

/* 's' in double quotes, so that it reads as itself wherever a scalar may stand. It must be UTF-8. */
void tug_yaml_quote(struct tug_buf *out, const char *s);

/* A scalar that has no value: "key:" or "key: ~" or "key: null". */
bool tug_yaml_is_null(const struct tug_yaml *node);

#endif
