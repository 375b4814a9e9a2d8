/* diff.c - what differs between two configurations, key by key
 *
 * Values are compared as they are printed, which is canonical: "60s" and "1m" are equal. Items of
 * lists and maps are matched by their first row (name, hosts), wherever they stand.
 * Layer: conf.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/schema.h"
#include "conf/value.h"

static void compare(const struct tug_schema *schema, const void *was, const void *is, size_t from,
                    const char *path, struct tug_schema_diff *diff);

static char *print_any(const struct tug_schema_key *key, const void *field)
{
    struct tug_buf b = {0};

    if (key->type == TUG_SCHEMA_STRINGS) {
        const struct tug_conf_strings *s = field;
        for (size_t i = 0; i < s->n; i++)
            tug_buf_addf(&b, "%s%s", i ? ", " : "", s->at[i]);
    } else if (key->type == TUG_SCHEMA_PARAMS) {
        const struct tug_conf_params *p = field;
        for (size_t i = 0; i < p->n; i++)
            tug_buf_addf(&b, "%s%s=%s", i ? ", " : "", p->at[i].name, p->at[i].value);
    } else {
        tug_schema_print_value(key, field, &b);
    }
    return b.data ? tug_buf_take(&b) : tug_xstrdup("");
}

static void add_change(struct tug_schema_diff *diff, char *path, char *was, char *is,
                       enum tug_schema_reload reload, struct tug_conf_pos pos)
{
    struct tug_schema_change c = {path, was, is, reload, pos};

    diff->needs_restart = diff->needs_restart || reload == TUG_RELOAD_RESTART;
    tug_vec_push(&diff->list, c);
}

/* Commas in a text must not make two lists equal. */
static bool equal(const struct tug_schema_key *key, const void *was, const void *is, const char *a,
                  const char *b)
{
    bool same = !strcmp(a, b);

    if (key->type == TUG_SCHEMA_STRINGS) {
        const struct tug_conf_strings *x = was, *y = is;
        same = x->n == y->n;
        for (size_t i = 0; same && i < x->n; i++)
            same = !strcmp(x->at[i], y->at[i]);
    } else if (key->type == TUG_SCHEMA_PARAMS) {
        const struct tug_conf_params *x = was, *y = is;
        same = x->n == y->n;
        for (size_t i = 0; same && i < x->n; i++)
            same = !strcmp(x->at[i].name, y->at[i].name) && !strcmp(x->at[i].value, y->at[i].value);
    }
    return same;
}

static void compare_value(const struct tug_schema_key *key, const void *was, const void *is,
                          const char *path, struct tug_conf_pos pos, struct tug_schema_diff *diff)
{
    char *a = print_any(key, was);
    char *b = print_any(key, is);

    if (equal(key, was, is, a, b)) {
        free(a);
        free(b);
        return;
    }
    add_change(diff, tug_xstrdup(path), a, b, key->reload, pos);
}

/* ---- lists and maps -------------------------------------------------------------------------- */

struct item {
    char *id;
    const void *at;
};

static int by_id(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;
    int c = strcmp(x->id, y->id);

    return c ? c : (x->at > y->at) - (x->at < y->at);
}

static struct item *items_of(const struct tug_schema_key *key, const void *section, size_t *n)
{
    const char *at = *(char *const *) (const void *) ((const char *) section + key->offset);
    const struct tug_schema_key *id = &key->sub->keys[0];

    *n = *(const size_t *) (const void *) ((const char *) section + key->count_offset);
    struct item *items = tug_xcalloc(*n + 1, sizeof *items);
    for (size_t i = 0; i < *n; i++) {
        items[i].at = at + i * key->sub->size_bytes;
        items[i].id = print_any(id, (const char *) items[i].at + id->offset);
    }
    if (*n > 1)
        qsort(items, *n, sizeof *items, by_id);
    return items;
}

static void free_items(struct item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(items[i].id);
    free(items);
}

/* Whether an item may come and go while the daemon runs: as its name may change. */
static void add_item(const struct tug_schema_key *key, const char *path, const struct item *was,
                     const struct item *is, struct tug_schema_diff *diff)
{
    const struct item *any = was ? was : is;

    add_change(diff, tug_xasprintf("%s.%s", path, any->id), was ? tug_xstrdup("present") : NULL,
               is ? tug_xstrdup("present") : NULL, key->reload,
               is ? ((const struct tug_schema_origin *) is->at)->pos : (struct tug_conf_pos){0});
}

static void compare_items(const struct tug_schema_key *key, const void *was, const void *is,
                          const char *path, struct tug_schema_diff *diff)
{
    size_t n_was, n_is, i = 0, k = 0;
    struct item *a = items_of(key, was, &n_was);
    struct item *b = items_of(key, is, &n_is);

    while (i < n_was || k < n_is) {
        int c = i == n_was ? 1 : k == n_is ? -1 : strcmp(a[i].id, b[k].id);
        if (c < 0) {
            add_item(key, path, &a[i++], NULL, diff);
        } else if (c > 0) {
            add_item(key, path, NULL, &b[k++], diff);
        } else {
            char *where = tug_xasprintf("%s.%s", path, a[i].id);
            compare(key->sub, a[i++].at, b[k++].at, 1, where, diff);
            free(where);
        }
    }
    free_items(a, n_was);
    free_items(b, n_is);
}

/* ---- sections -------------------------------------------------------------------------------- */

static void compare(const struct tug_schema *schema, const void *was, const void *is, size_t from,
                    const char *path, struct tug_schema_diff *diff)
{
    for (size_t i = from; i < schema->n_keys; i++) {
        const struct tug_schema_key *key = &schema->keys[i];
        const void *a = (const char *) was + key->offset;
        const void *b = (const char *) is + key->offset;
        char *where = *path ? tug_xasprintf("%s.%s", path, key->name) : tug_xstrdup(key->name);
        if (key->type == TUG_SCHEMA_SECTION)
            compare(key->sub, a, b, 0, where, diff);
        else if (key->sub)
            compare_items(key, was, is, where, diff);
        else
            compare_value(key, a, b, where, tug_schema_pos(schema, is, b), diff);
        free(where);
    }
}

void tug_schema_compare(const struct tug_schema *schema, const void *was, const void *is,
                        struct tug_schema_diff *diff)
{
    compare(schema, was, is, 0, "", diff);
}

void tug_schema_diff_clear(struct tug_schema_diff *diff)
{
    for (size_t i = 0; i < diff->list.len; i++) {
        free(diff->list.at[i].path);
        free(diff->list.at[i].was);
        free(diff->list.at[i].is);
    }
    tug_vec_clear(&diff->list);
    diff->needs_restart = false;
}
