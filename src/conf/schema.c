/* schema.c - from a tree of YAML to the struct of a section, by its table
 *
 * A section that was filled, even from a tree full of errors, can be walked, dumped and cleared:
 * every row has its value, its default, or nothing.
 * Layer: conf.
 */
#include "conf/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "conf/value.h"

/* HOSTS_MAX: of all keys together; hostlist.h bounds each text, but not how many there are. */
enum { HOSTS_MAX = 4 * TUG_HOSTLIST_MAX, KEYS_MAX = 64 };

struct fill {
    struct tug_conf_errors *errs;
    bool partial;
    size_t n_hosts;
};

static void fill_section(struct fill *f, const struct tug_schema *schema,
                         const struct tug_yaml *map, const char *path, const char *name, void *out);

static void *field_of(const struct tug_schema_key *key, void *section)
{
    return (char *) section + key->offset;
}

static size_t *count_of(const struct tug_schema_key *key, void *section)
{
    return (size_t *) (void *) ((char *) section + key->count_offset);
}

/* "timeouts" + "lease" = "timeouts.lease" */
static char *join_path(const char *path, const char *name)
{
    return *path ? tug_xasprintf("%s.%s", path, name) : tug_xstrdup(name);
}

/* What a node is, for "... is a map, but ...". */
static const char *kind_word(const struct tug_yaml *node)
{
    return node->kind == TUG_YAML_MAP ? "a map" : node->kind == TUG_YAML_LIST ? "a list" : "a text";
}

/* ---- plain values ---------------------------------------------------------------------------- */

static void list_bad_value(struct fill *f, const char *path, const struct tug_yaml *node,
                           const struct tug_buf *hint, const char *why)
{
    tug_conf_errors_add(f->errs, node->pos, node->text, node->len,
                        hint->len ? tug_buf_str(hint) : NULL, "%s: %s", path, why);
}

/* Is 'node' a scalar with a value? Lists it when not. */
static bool has_value(struct fill *f, const char *path, const struct tug_yaml *node,
                      const char *want)
{
    if (node->bad)
        return false;
    if (node->kind != TUG_YAML_SCALAR) {
        tug_conf_errors_add(f->errs, node->pos, NULL, 0, NULL, "%s: takes a %s, not %s", path, want,
                            kind_word(node));
        return false;
    }
    if (tug_yaml_is_null(node)) {
        tug_conf_errors_add(f->errs, node->pos, node->text, node->len,
                            "write a value, or take the line out for the default",
                            "%s: has no value", path);
        return false;
    }
    return true;
}

/* Hosts may be written as a list too: the items with commas between. NULL: listed. Caller frees. */
static char *hosts_text(struct fill *f, const char *path, const struct tug_yaml *list)
{
    struct tug_buf b = {0};
    bool ok = true;

    for (size_t i = 0; i < list->n_items; i++) {
        const struct tug_yaml *item = list->items[i].value;
        ok = has_value(f, path, item, "host name") && ok;
        if (ok)
            tug_buf_addf(&b, "%s%s", i ? "," : "", item->text);
    }
    if (!ok) {
        tug_buf_clear(&b);
        return NULL;
    }
    tug_buf_adds(&b, "");
    return b.data ? tug_buf_take(&b) : tug_xstrdup("");
}

/* False: listed, and the field is as it was (zeroed). */
static bool set_value(struct fill *f, const struct tug_schema_key *key, const char *path,
                      const struct tug_yaml *node, void *field)
{
    const struct tug_value_type *type = tug_value_type(key->type);
    bool joined = key->type == TUG_SCHEMA_HOSTS && node->kind == TUG_YAML_LIST && !node->bad;
    struct tug_buf hint = {0};
    struct tug_err err = {0};
    char *text = NULL;

    if (joined ? !(text = hosts_text(f, path, node)) : !has_value(f, path, node, type->word))
        return false;
    int rc = type->parse(key, joined ? text : node->text, field, &hint, &err);
    if (rc == 0 && key->type == TUG_SCHEMA_HOSTS) {
        struct tug_conf_hosts *h = field;
        size_t n = h->list ? tug_hostlist_count(h->list) : 0;
        if (n > HOSTS_MAX - f->n_hosts) {
            rc = tug_fail(&err, -E2BIG, "more than %d hosts in all lists together", HOSTS_MAX);
            type->clear(field);
        } else {
            f->n_hosts += n;
        }
    }
    if (rc < 0)
        list_bad_value(f, path, node, &hint, err.msg);
    tug_buf_clear(&hint);
    free(text);
    return rc == 0;
}

/* ---- lists of texts, params ------------------------------------------------------------------ */

static bool count_ok(struct fill *f, const struct tug_schema_key *key, const char *path,
                     const struct tug_yaml *node)
{
    if (!key->max || node->n_items <= (uint64_t) key->max)
        return true;
    tug_conf_errors_add(f->errs, node->pos, NULL, 0, NULL,
                        "%s: has %zu entries, over the largest number, %" PRId64, path,
                        node->n_items, key->max);
    return false;
}

static bool set_strings(struct fill *f, const struct tug_schema_key *key, const char *path,
                        const struct tug_yaml *node, struct tug_conf_strings *out)
{
    struct tug_yaml_item self = {NULL, (struct tug_yaml *) node};
    const struct tug_yaml_item *items = node->kind == TUG_YAML_LIST ? node->items : &self;
    size_t n = node->kind == TUG_YAML_LIST ? node->n_items : 1;
    /* The range of the row is of the number of texts; a single one has the usual limit. */
    struct tug_schema_key one = {.type = TUG_SCHEMA_STRING, .max = 4096};

    if (node->bad || !count_ok(f, key, path, node))
        return false;
    out->at = tug_xcalloc(n + 1, sizeof *out->at);
    for (size_t i = 0; i < n; i++)
        if (set_value(f, &one, path, items[i].value, &out->at[out->n]))
            out->n++;
    return true;
}

static bool set_params(struct fill *f, const struct tug_schema_key *key, const char *path,
                       const struct tug_yaml *node, struct tug_conf_params *out)
{
    static const struct tug_schema_key param_name = {.type = TUG_SCHEMA_NAME, .max = 64};

    if (node->bad || !count_ok(f, key, path, node))
        return false;
    out->at = tug_xcalloc(node->n_items + 1, sizeof *out->at);
    for (size_t i = 0; i < node->n_items; i++) {
        const struct tug_yaml_item *item = &node->items[i];
        char *where = join_path(path, item->key->text);
        struct tug_yaml name = *item->key;
        char *checked = NULL;
        name.quoted = true; /* so that null is a name like any other */
        bool ok = set_value(f, &param_name, where, &name, &checked);
        free(checked);
        if (has_value(f, where, item->value, "text") && ok)
            out->at[out->n++] = (struct tug_conf_param){
                .name = tug_xstrdup(item->key->text),
                .value = tug_xstrdup(item->value->text),
                .name_pos = item->key->pos,
                .value_pos = item->value->pos,
            };
        free(where);
    }
    return true;
}

/* ---- containers ------------------------------------------------------------------------------ */

static bool set_items(struct fill *f, const struct tug_schema_key *key, const char *path,
                      const struct tug_yaml *node, void *section)
{
    size_t *n = count_of(key, section);

    if (!count_ok(f, key, path, node))
        return false;
    if (!node->n_items)
        return true;
    char *at = tug_xcalloc(node->n_items, key->sub->size_bytes);
    *(void **) field_of(key, section) = at;
    for (size_t i = 0; i < node->n_items; i++) {
        const struct tug_yaml_item *item = &node->items[i];
        const char *name = item->key ? item->key->text : NULL;
        char *where = name ? join_path(path, name) : tug_xasprintf("%s[%zu]", path, i);
        char *out = at + *n * key->sub->size_bytes;
        struct tug_schema_origin *origin = (void *) out;
        bool empty = item->value->kind == TUG_YAML_SCALAR && tug_yaml_is_null(item->value);

        struct tug_conf_pos pos = item->key ? item->key->pos : item->value->pos;

        origin->pos = pos; /* for what is missing in an empty one */
        fill_section(f, key->sub, empty ? NULL : item->value, where, name, out);
        origin->pos = pos;
        if (name) {
            const struct tug_schema_key *row = &key->sub->keys[0];
            struct tug_yaml id = *item->key;
            id.quoted = true; /* a queue may be called null */
            if (!set_value(f, row, path, &id, field_of(row, out)))
                *(char **) field_of(row, out) = tug_xstrdup("?");
            origin->keys[0] = id.pos;
        }
        (*n)++;
        free(where);
    }
    return true;
}

/* False: what is written is not usable as a whole, and listed. */
static bool set_container(struct fill *f, const struct tug_schema_key *key, const char *path,
                          const struct tug_yaml *node, void *section)
{
    bool is_list = key->type == TUG_SCHEMA_LIST || key->type == TUG_SCHEMA_STRINGS;
    enum tug_yaml_kind want = is_list ? TUG_YAML_LIST : TUG_YAML_MAP;
    bool single = key->type == TUG_SCHEMA_STRINGS && node->kind == TUG_YAML_SCALAR;

    bool usable = true;

    if (node->bad || (!single && tug_yaml_is_null(node))) {
        usable = !node->bad;
        node = NULL; /* "queues:" with all lines below commented out is an empty section */
    } else if (node->kind != want && !single) {
        tug_conf_errors_add(f->errs, node->pos, node->text, node->len,
                            is_list ? "write one '- ...' line for each below the key"
                                    : "write 'name: value' lines below the key, indented",
                            "%s: takes a %s, not %s", path, is_list ? "list" : "map",
                            kind_word(node));
        usable = false;
        node = NULL;
    }
    if (key->type == TUG_SCHEMA_SECTION)
        fill_section(f, key->sub, node, path, NULL, field_of(key, section));
    else if (node && key->type == TUG_SCHEMA_STRINGS)
        usable = set_strings(f, key, path, node, field_of(key, section));
    else if (node && key->type == TUG_SCHEMA_PARAMS)
        usable = set_params(f, key, path, node, field_of(key, section));
    else if (node)
        usable = set_items(f, key, path, node, section);
    return usable;
}

/* ---- sections -------------------------------------------------------------------------------- */

static void list_unknown(struct fill *f, const struct tug_schema *schema, const char *path,
                         const struct tug_yaml *key)
{
    const char *names[KEYS_MAX];
    struct tug_buf hint = {0}, shown = {0};
    size_t n = 0;

    if (!tug_conf_errors_full(f->errs)) {
        for (size_t i = 0; i < schema->n_keys; i++)
            if (schema->keys[i].type != TUG_SCHEMA_NAME || !schema->keys[i].required)
                names[n++] = schema->keys[i].name;
        const char *near = tug_str_nearest(key->text, names, n);
        if (near)
            tug_buf_addf(&hint, "did you mean '%s'?", near);
        for (size_t i = 0; i < n && !near; i++)
            tug_buf_addf(&hint, "%s%s", i ? ", " : "it takes ", names[i]);
        tug_conf_show(&shown, key->text, key->len, 60);
    }
    tug_conf_errors_add(f->errs, key->pos, key->text, key->len, tug_buf_str(&hint),
                        "unknown key '%s' %s%s", tug_buf_str(&shown),
                        *path ? "in " : "at the top level", path);
    tug_buf_clear(&hint);
    tug_buf_clear(&shown);
}

/* Find the row of each item of 'map'. */
static void match_keys(struct fill *f, const struct tug_schema *schema, const struct tug_yaml *map,
                       const char *path, bool named, const struct tug_yaml *found[])
{
    for (size_t i = 0; map && i < map->n_items; i++) {
        const struct tug_yaml_item *item = &map->items[i];
        size_t row = named; /* the name of a map's item is outside, before the ':' */
        while (row < schema->n_keys && strcmp(schema->keys[row].name, item->key->text))
            row++;
        if (row < schema->n_keys)
            found[row] = item->value;
        else
            list_unknown(f, schema, path, item->key);
    }
}

/* A key that is not written, or not usable. */
static void set_default(struct fill *f, const struct tug_schema_key *key, const char *path,
                        void *field)
{
    const struct tug_value_type *type = tug_value_type(key->type);
    struct tug_buf hint = {0};
    struct tug_err err = {0};

    if (key->type == TUG_SCHEMA_SECTION) {
        fill_section(f, key->sub, NULL, path, NULL, field);
    } else if (key->def && key->type == TUG_SCHEMA_STRINGS) {
        const struct tug_yaml def = {.quoted = true, .text = key->def, .len = strlen(key->def)};
        set_strings(f, key, path, &def, field);
    } else if (key->def) {
        tug_assert(type->parse(key, key->def, field, &hint, &err) == 0);
    }
    tug_buf_clear(&hint);
}

static void fill_section(struct fill *f, const struct tug_schema *schema,
                         const struct tug_yaml *map, const char *path, const char *name, void *out)
{
    const struct tug_yaml *found[KEYS_MAX] = {0};
    struct tug_schema_origin *origin = out;
    bool whole = !map || !map->bad;

    tug_assert(schema->n_keys <= KEYS_MAX);
    if (map && map->kind != TUG_YAML_MAP) {
        if (!map->bad)
            tug_conf_errors_add(f->errs, map->pos, map->text, map->len,
                                "write 'key: value' lines, indented", "%s: takes a map, not %s",
                                path, kind_word(map));
        whole = false;
        map = NULL;
    }
    origin->keys = tug_xcalloc(schema->n_keys, sizeof *origin->keys);
    if (map)
        origin->pos = map->pos;
    match_keys(f, schema, map, path, name != NULL, found);
    for (size_t i = name ? 1 : 0; i < schema->n_keys; i++) {
        const struct tug_schema_key *key = &schema->keys[i];
        const struct tug_yaml *node = found[i];
        char *where = join_path(path, key->name);
        void *field = field_of(key, out);

        bool usable = true;

        if (!node)
            set_default(f, key, where, field);
        else if (tug_value_type(key->type))
            usable = set_value(f, key, where, node, field);
        else
            usable = set_container(f, key, where, node, out);
        if (node)
            origin->keys[i] = usable ? node->pos : (struct tug_conf_pos){node->pos.file, 0, 0};
        else if (key->required && whole && !f->partial)
            tug_conf_errors_add(f->errs, origin->pos, NULL, 0, NULL, "%s: '%s' is missing",
                                *path ? path : "the top level", key->name);
        if (!usable && tug_value_type(key->type))
            set_default(f, key, where, field);
        free(where);
    }
}

void tug_schema_fill(const struct tug_schema *schema, const struct tug_yaml *map, bool partial,
                     void *out, struct tug_conf_errors *errs)
{
    struct fill f = {.errs = errs, .partial = partial};

    fill_section(&f, schema, map, "", NULL, out);
}

/* ---- clear, pos, walk ------------------------------------------------------------------------ */

static void clear_strings(struct tug_conf_strings *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->at[i]);
    free(s->at);
    *s = (struct tug_conf_strings){0};
}

static void clear_params(struct tug_conf_params *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->at[i].name);
        free(p->at[i].value);
    }
    free(p->at);
    *p = (struct tug_conf_params){0};
}

static void clear_items(const struct tug_schema_key *key, void *section)
{
    char *at = *(char **) field_of(key, section);
    size_t *n = count_of(key, section);

    for (size_t i = 0; i < *n; i++)
        tug_schema_clear(key->sub, at + i * key->sub->size_bytes);
    free(at);
    *(void **) field_of(key, section) = NULL;
    *n = 0;
}

void tug_schema_clear(const struct tug_schema *schema, void *section)
{
    struct tug_schema_origin *origin = section;

    for (size_t i = 0; i < schema->n_keys; i++) {
        const struct tug_schema_key *key = &schema->keys[i];
        const struct tug_value_type *type = tug_value_type(key->type);
        void *field = field_of(key, section);
        if (type && type->clear)
            type->clear(field);
        else if (key->type == TUG_SCHEMA_STRINGS)
            clear_strings(field);
        else if (key->type == TUG_SCHEMA_PARAMS)
            clear_params(field);
        else if (key->type == TUG_SCHEMA_SECTION)
            tug_schema_clear(key->sub, field);
        else if (!type)
            clear_items(key, section);
    }
    free(origin->keys);
    *origin = (struct tug_schema_origin){0};
}

struct tug_conf_pos tug_schema_pos(const struct tug_schema *schema, const void *section,
                                   const void *field)
{
    const struct tug_schema_origin *origin = section;
    size_t offset = (size_t) ((const char *) field - (const char *) section);

    for (size_t i = 0; origin->keys && i < schema->n_keys; i++)
        if (schema->keys[i].offset == offset && origin->keys[i].line)
            return origin->keys[i];
    return origin->pos;
}

enum tug_schema_state tug_schema_state(const struct tug_schema *schema, const void *section,
                                       const void *field)
{
    const struct tug_schema_origin *origin = section;
    size_t offset = (size_t) ((const char *) field - (const char *) section);
    struct tug_conf_pos at = {0};

    for (size_t i = 0; origin->keys && i < schema->n_keys; i++)
        if (schema->keys[i].offset == offset)
            at = origin->keys[i];
    return at.line ? TUG_SCHEMA_WRITTEN : at.file ? TUG_SCHEMA_UNUSABLE : TUG_SCHEMA_DEFAULT;
}

static void walk_items(const struct tug_schema_key *key, const void *section,
                       struct tug_schema_visit *v,
                       void (*visit)(void *ctx, const struct tug_schema_visit *v), void *ctx);

static void walk(const struct tug_schema *schema, const void *section, bool named,
                 void (*visit)(void *ctx, const struct tug_schema_visit *v), void *ctx)
{
    const struct tug_schema_origin *origin = section;

    for (size_t i = named; i < schema->n_keys; i++) {
        const struct tug_schema_key *key = &schema->keys[i];
        struct tug_schema_visit v = {
            .key = key,
            .name = key->name,
            .field = (const char *) section + key->offset,
        };
        if (origin->keys)
            v.pos = origin->keys[i];
        if (!key->sub) {
            visit(ctx, &v);
        } else if (key->type == TUG_SCHEMA_SECTION) {
            v.step = TUG_STEP_OPEN;
            visit(ctx, &v);
            walk(key->sub, v.field, false, visit, ctx);
            v.step = TUG_STEP_CLOSE;
            visit(ctx, &v);
        } else {
            walk_items(key, section, &v, visit, ctx);
        }
    }
}

static void walk_items(const struct tug_schema_key *key, const void *section,
                       struct tug_schema_visit *v,
                       void (*visit)(void *ctx, const struct tug_schema_visit *v), void *ctx)
{
    const char *at = *(char *const *) v->field;
    bool named = key->type == TUG_SCHEMA_MAP;

    v->count = *(const size_t *) (const void *) ((const char *) section + key->count_offset);
    v->step = TUG_STEP_OPEN;
    visit(ctx, v);
    for (size_t i = 0; i < v->count; i++) {
        const void *item = at + i * key->sub->size_bytes;
        const void *id = (const char *) item + key->sub->keys[0].offset;
        struct tug_schema_visit in = {
            .step = TUG_STEP_ITEM,
            .key = key,
            .name = named ? *(char *const *) id : key->name,
            .field = item,
            .pos = ((const struct tug_schema_origin *) item)->pos,
        };
        visit(ctx, &in);
        walk(key->sub, item, named, visit, ctx);
        in.step = TUG_STEP_CLOSE;
        visit(ctx, &in);
    }
    v->step = TUG_STEP_CLOSE;
    visit(ctx, v);
}

void tug_schema_walk(const struct tug_schema *schema, const void *section,
                     void (*visit)(void *ctx, const struct tug_schema_visit *v), void *ctx)
{
    walk(schema, section, false, visit, ctx);
}

bool tug_schema_is_set(const struct tug_schema_key *key, const void *field)
{
    switch (key->type) {
    case TUG_SCHEMA_STRING:
    case TUG_SCHEMA_NAME:
    case TUG_SCHEMA_PATH:
        return *(char *const *) field != NULL;
    case TUG_SCHEMA_ADDRESS:
        return ((const struct tug_conf_address *) field)->text != NULL;
    case TUG_SCHEMA_HOSTS:
        return ((const struct tug_conf_hosts *) field)->text != NULL;
    default:
        return true;
    }
}

void tug_schema_print_value(const struct tug_schema_key *key, const void *field,
                            struct tug_buf *out)
{
    if (tug_schema_is_set(key, field))
        tug_value_type(key->type)->print(key, field, out);
}
