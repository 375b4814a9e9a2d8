/* source.c - a configuration as it is written: one tree out of a file and all that it includes
 *
 * Reading collects the top-level items of all files in reading order (an include stands for the
 * items of its file); joining happens once, at the end. As a file is read only once, what
 * includes can cost is bounded by the number of files.
 * Layer: conf.
 */
#include "conf/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The files that are open above this one, for the depth and for cycles. */
struct link {
    const struct link *up;
    const char *file;
};

struct load {
    const struct tug_source_reader *reader;
    struct tug_source *source;
    struct tug_conf_errors *errs;
    struct tug_vec(struct tug_conf_pos) included_at; /* for source->files, same order */
    struct tug_vec(struct tug_yaml_item) items;
};

char *tug_source_path(const char *from, const char *name)
{
    const char *slash = strrchr(from, '/');
    char *joined = *name == '/' || !slash
                       ? tug_xstrdup(name)
                       : tug_xasprintf("%.*s/%s", (int) (slash - from), from, name);
    bool absolute = *joined == '/';
    struct tug_vec(const char *) parts = {0};
    struct tug_buf b = {0};
    char *save = NULL;

    for (char *p = strtok_r(joined, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
        bool up = !strcmp(p, "..");
        if (!strcmp(p, "."))
            continue;
        if (up && parts.len && strcmp(parts.at[parts.len - 1], ".."))
            parts.len--;
        else if (!up || !absolute)
            tug_vec_push(&parts, p);
    }
    if (absolute)
        tug_buf_addc(&b, '/');
    for (size_t i = 0; i < parts.len; i++)
        tug_buf_addf(&b, "%s%s", i ? "/" : "", parts.at[i]);
    if (!b.len)
        tug_buf_addc(&b, '.');
    tug_vec_clear(&parts);
    free(joined);
    return tug_buf_take(&b);
}

static void read_file(struct load *l, const char *path, struct tug_conf_pos from,
                      const struct link *up);

/* ---- include --------------------------------------------------------------------------------- */

/* "a.yaml -> b.yaml -> a.yaml" */
static void print_chain(const struct link *l, struct tug_buf *out)
{
    if (l->up)
        print_chain(l->up, out);
    tug_conf_show(out, l->file, strlen(l->file), 200);
    tug_buf_adds(out, " -> ");
}

/* May 'path' be included here? Lists why not. */
static bool may_include(struct load *l, const char *path, const struct tug_yaml *at,
                        const struct link *up)
{
    struct tug_buf text = {0};
    int depth = 1;

    for (const struct link *u = up; u; u = u->up, depth++) {
        if (strcmp(u->file, path))
            continue;
        print_chain(up, &text);
        tug_conf_errors_add(l->errs, at->pos, at->text, at->len, "take one of these includes out",
                            "files include each other: %s%s", tug_buf_str(&text), path);
        tug_buf_clear(&text);
        return false;
    }
    if (depth > TUG_SOURCE_DEPTH_MAX) {
        tug_conf_errors_add(l->errs, at->pos, at->text, at->len, "include the file further up",
                            "includes go more than %d files deep", TUG_SOURCE_DEPTH_MAX);
        return false;
    }
    for (size_t i = 0; i < l->source->files.len; i++) {
        if (strcmp(l->source->files.at[i], path))
            continue;
        tug_conf_pos_print(l->included_at.at[i], &text);
        tug_conf_errors_add(l->errs, at->pos, at->text, at->len, "keep one of the two",
                            "'%s' is already included at %s", path, tug_buf_str(&text));
        tug_buf_clear(&text);
        return false;
    }
    return true;
}

static void include_one(struct load *l, const char *path, const struct tug_yaml *at,
                        const struct link *up)
{
    if (may_include(l, path, at, up))
        read_file(l, path, at->pos, up);
    else
        l->source->broken = true;
}

static void include_pattern(struct load *l, const char *pattern, const struct tug_yaml *at,
                            const struct link *up)
{
    struct tug_source_paths found = {0};
    struct tug_err err = {0};
    int rc = l->reader->match ? l->reader->match(l->reader->ctx, pattern, &found, &err)
                              : tug_fail(&err, -ENOTSUP, "patterns are not taken here");

    if (rc < 0) {
        tug_conf_errors_add(l->errs, at->pos, at->text, at->len, NULL, "%s", err.msg);
        l->source->broken = true;
    }
    for (size_t i = 0; i < found.list.len; i++) {
        if (rc >= 0)
            include_one(l, found.list.at[i], at, up);
        free(found.list.at[i]);
    }
    tug_vec_clear(&found.list);
}

static void include(struct load *l, const struct tug_yaml *at, const struct link *up)
{
    if (at->bad)
        return;
    if (at->kind != TUG_YAML_SCALAR || tug_yaml_is_null(at) || !at->len) {
        tug_conf_errors_add(l->errs, at->pos, at->text, at->len,
                            "write 'include: FILE' or 'include: [FILE, PATTERN]'",
                            "'include' takes the name of a file");
        l->source->broken = true;
        return;
    }
    char *path = tug_source_path(up->file, at->text);
    if (strpbrk(at->text, "*?["))
        include_pattern(l, path, at, up);
    else
        include_one(l, path, at, up);
    free(path);
}

static void take_items(struct load *l, const struct tug_yaml *root, const struct link *up)
{
    for (size_t i = 0; i < root->n_items; i++) {
        const struct tug_yaml_item *item = &root->items[i];
        if (strcmp(item->key->text, "include"))
            tug_vec_push(&l->items, *item);
        else if (item->value->kind == TUG_YAML_LIST)
            for (size_t k = 0; k < item->value->n_items; k++)
                include(l, item->value->items[k].value, up);
        else
            include(l, item->value, up);
    }
}

/* ---- files ----------------------------------------------------------------------------------- */

/* List that 'path' cannot be had: at the include, or for the whole file when it is the first. */
static void list_unread(struct load *l, const char *path, struct tug_conf_pos from, const char *why)
{
    if (!from.file)
        from.file = l->source->files.at[0];
    tug_conf_errors_add(l->errs, from, path, strlen(path), NULL, "%s", why);
    l->source->broken = true;
}

static void read_file(struct load *l, const char *path, struct tug_conf_pos from,
                      const struct link *up)
{
    struct tug_source *s = l->source;
    struct tug_buf text = {0};
    struct tug_err err = {0};

    if (s->files.len == TUG_SOURCE_FILES_MAX) {
        list_unread(l, path, from, "more than 256 files in one configuration");
        return;
    }
    char *file = tug_xstrdup(path);
    tug_vec_push(&s->files, file);
    tug_vec_push(&l->included_at, from);
    tug_conf_errors_file(l->errs, file);

    struct link here = {up, file};
    int rc = l->reader->read(l->reader->ctx, path, TUG_YAML_FILE_MAX, &text, &err);
    bool too_big = rc == -EFBIG || s->bytes + text.len > TUG_SOURCE_BYTES_MAX;
    if (rc < 0 && !too_big) {
        list_unread(l, path, from, err.msg);
    } else if (too_big) {
        struct tug_buf why = {0};
        tug_conf_show(&why, path, strlen(path), 200);
        tug_buf_addf(&why, " is over %d MiB, or all files together are over %d MiB",
                     TUG_YAML_FILE_MAX >> 20, TUG_SOURCE_BYTES_MAX >> 20);
        list_unread(l, path, from, tug_buf_str(&why));
    } else {
        bool broken;
        s->bytes += text.len;
        struct tug_yaml *root =
            tug_yaml_parse(s->pool, file, tug_buf_str(&text), text.len, &broken, l->errs);
        s->broken = s->broken || broken;
        if (root && root->kind == TUG_YAML_MAP)
            take_items(l, root, &here);
        else if (root && !tug_yaml_is_null(root) && !root->bad)
            tug_conf_errors_add(l->errs, root->pos, root->text, root->len,
                                "write 'key: value' lines",
                                "a configuration file is a map of sections");
    }
    tug_buf_clear(&text);
}

/* ---- joining --------------------------------------------------------------------------------- */

static bool joinable(const struct tug_yaml *a, const struct tug_yaml *b)
{
    return a->kind == b->kind && a->kind != TUG_YAML_SCALAR && strcmp(a->pos.file, b->pos.file);
}

/* Put the items of all 'parts' (values of one top-level key, from several files) into the first. */
static void join(struct load *l, struct tug_yaml_item *const *parts, size_t n)
{
    struct tug_yaml *into = parts[0]->value;
    size_t total = 0, at = 0;

    for (size_t i = 0; i < n; i++)
        total += parts[i]->value->n_items;
    struct tug_yaml_item *items = tug_yaml_alloc(l->source->pool, total * sizeof *items);
    for (size_t i = 0; i < n; i++) {
        const struct tug_yaml *part = parts[i]->value;
        if (part->n_items)
            memcpy(&items[at], part->items, part->n_items * sizeof *items);
        at += part->n_items;
        if (i)
            parts[i]->key = NULL;
    }
    into->items = items;
    into->n_items = total;
    if (into->kind == TUG_YAML_MAP)
        tug_yaml_drop_duplicates(into, l->errs);
}

static int by_key(const void *a, const void *b)
{
    const struct tug_yaml_item *x = *(struct tug_yaml_item *const *) a;
    const struct tug_yaml_item *y = *(struct tug_yaml_item *const *) b;
    int c = strcmp(x->key->text, y->key->text);

    return c ? c : (x > y) - (x < y);
}

static void join_all(struct load *l)
{
    size_t n = l->items.len, kept = 0;
    struct tug_yaml_item **sorted = tug_xmalloc((n + 1) * sizeof *sorted);

    for (size_t i = 0; i < n; i++)
        sorted[i] = &l->items.at[i];
    if (n > 1)
        qsort(sorted, n, sizeof *sorted, by_key);
    for (size_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && !strcmp(sorted[k]->key->text, sorted[i]->key->text); k++)
            if (!joinable(sorted[i]->value, sorted[k]->value))
                break;
        if (k > i + 1)
            join(l, &sorted[i], k - i);
    }
    for (size_t i = 0; i < n; i++)
        if (l->items.at[i].key)
            l->items.at[kept++] = l->items.at[i];
    l->items.len = kept;
    free(sorted);
}

int tug_source_load(const struct tug_source_reader *reader, const char *path,
                    struct tug_source *out, struct tug_conf_errors *errs)
{
    struct load l = {.reader = reader, .source = out, .errs = errs};
    size_t before = tug_conf_errors_count(errs);

    *out = (struct tug_source){.pool = tug_yaml_pool_new()};
    read_file(&l, path, (struct tug_conf_pos){0}, NULL);
    join_all(&l);

    struct tug_yaml *root = tug_yaml_alloc(out->pool, sizeof *root);
    root->kind = TUG_YAML_MAP;
    root->pos = (struct tug_conf_pos){out->files.at[0], 0, 0};
    root->n_items = l.items.len;
    if (l.items.len) {
        size_t len = l.items.len * sizeof *root->items;
        root->items = memcpy(tug_yaml_alloc(out->pool, len), l.items.at, len);
    }
    tug_yaml_drop_duplicates(root, errs); /* what could not be joined */
    out->root = root;
    tug_vec_clear(&l.items);
    tug_vec_clear(&l.included_at);
    return tug_conf_errors_count(errs) > before ? -EINVAL : 0;
}

void tug_source_clear(struct tug_source *source)
{
    for (size_t i = 0; i < source->files.len; i++)
        free(source->files.at[i]);
    tug_vec_clear(&source->files);
    tug_yaml_pool_free(source->pool);
    *source = (struct tug_source){0};
}
