/* yaml.c - one YAML text as a tree of nodes that know where they were written
 *
 * The text is looked at twice: first byte by byte for what must not be in any file (so that
 * libyaml only ever sees clean UTF-8), then through libyaml's events. Open maps and lists are a
 * stack, never recursion. Building stops at the first syntax error, as all that follows would be
 * a guess; every other refusal is listed and the parse goes on.
 * Layer: conf.
 */
#include "conf/yaml.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"
#include "base/vec.h"

/* ---- pool ------------------------------------------------------------------------------------ */

enum { POOL_CHUNK = 16 * 1024 };

struct chunk {
    struct chunk *next;
    size_t used;
    size_t cap;
    max_align_t data[];
};

struct tug_yaml_pool {
    struct chunk *chunks;
    size_t n_nodes;
};

struct tug_yaml_pool *tug_yaml_pool_new(void)
{
    return tug_new(struct tug_yaml_pool);
}

void tug_yaml_pool_free(struct tug_yaml_pool *pool)
{
    if (!pool)
        return;
    while (pool->chunks) {
        struct chunk *c = pool->chunks;
        pool->chunks = c->next;
        free(c);
    }
    free(pool);
}

void *tug_yaml_alloc(struct tug_yaml_pool *pool, size_t len_bytes)
{
    size_t need = (len_bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    struct chunk *c = pool->chunks;

    if (!c || c->cap - c->used < need) {
        size_t cap = need > POOL_CHUNK ? need : POOL_CHUNK;
        c = tug_xcalloc(1, sizeof *c + cap);
        c->cap = cap;
        c->next = pool->chunks;
        pool->chunks = c;
    }
    void *p = (char *) c->data + c->used;
    c->used += need;
    return p;
}

static char *pool_text(struct tug_yaml_pool *pool, const void *s, size_t len)
{
    char *p = tug_yaml_alloc(pool, len + 1);
    if (len)
        memcpy(p, s, len);
    return p;
}

char *tug_yaml_strdup(struct tug_yaml_pool *pool, const char *s)
{
    return pool_text(pool, s, strlen(s));
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Length of the line break at 's', 0 when there is none. YAML breaks lines at NEL, LS and PS too;
 * our places must count as libyaml's do. */
static size_t break_len(const char *s, size_t len)
{
    if (len >= 2 && s[0] == '\r' && s[1] == '\n')
        return 2;
    if (*s == '\n' || *s == '\r')
        return 1;
    if (len >= 2 && !memcmp(s, "\xc2\x85", 2))
        return 2;
    if (len >= 3 && (!memcmp(s, "\xe2\x80\xa8", 3) || !memcmp(s, "\xe2\x80\xa9", 3)))
        return 3;
    return 0;
}

/* A tab in front of something other than a comment or the end of the line would be indentation. */
static bool tab_indents(const char *s, size_t len)
{
    size_t i = 0;

    while (i < len && (s[i] == ' ' || s[i] == '\t'))
        i++;
    return i < len && !break_len(s + i, len - i);
}

/* List what no file may contain. Returns false when libyaml must not see the text. */
static bool check_bytes(const char *file, const char *text, size_t len,
                        struct tug_conf_errors *errs)
{
    struct tug_conf_pos pos = {file, 1, 1};
    bool clean = true, indent = true;

    for (size_t i = 0; i < len;) {
        const char *s = text + i;
        size_t n = break_len(s, len - i);
        if (n) {
            pos.line++;
            pos.column = 1;
            indent = true;
            i += n;
            continue;
        }
        n = tug_conf_utf8_len(s, len - i);
        unsigned char c = (unsigned char) *s;
        if (n == 0) {
            tug_conf_errors_add(errs, pos, s, 1, "save the file as UTF-8",
                                "byte 0x%02x is not UTF-8 text", c);
            return false; /* what follows in a file of another encoding is one error per letter */
        }
        if (c == 0) {
            tug_conf_errors_add(errs, pos, s, 1, "is this really a text file?", "a NUL byte");
            return false;
        }
        if ((c < 0x20 && c != '\t') || c == 0x7f || (c == 0xc2 && (s[1] & 0xe0) == 0x80)) {
            tug_conf_errors_add(
                errs, pos, s, n, "delete it; in double quotes it can be written \\xNN",
                "a control character (byte 0x%02x)", n == 1 ? c : (unsigned char) s[1]);
            clean = false;
        } else if (c == '\t' && indent && tab_indents(s, len - i)) {
            tug_conf_errors_add(errs, pos, s, 1, "indent with spaces", "a tab as indentation");
            clean = false;
            indent = false; /* one for each line */
        }
        indent = indent && (c == ' ' || c == '\t');
        pos.column += (i == 0 && n == 3 && !memcmp(s, "\xef\xbb\xbf", 3)) ? 0 : 1;
        i += n;
    }
    return clean;
}

/* ---- duplicate keys -------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const struct tug_yaml_item *x = *(struct tug_yaml_item *const *) a;
    const struct tug_yaml_item *y = *(struct tug_yaml_item *const *) b;
    int c = strcmp(x->key->text, y->key->text);

    return c ? c : (x > y) - (x < y); /* the first one written stays first */
}

void tug_yaml_drop_duplicates(struct tug_yaml *map, struct tug_conf_errors *errs)
{
    size_t n = map->n_items, kept = 0;
    if (n < 2)
        return;
    struct tug_yaml_item **sorted = tug_xmalloc(n * sizeof *sorted);
    const struct tug_yaml *first = NULL;

    for (size_t i = 0; i < n; i++)
        sorted[i] = &map->items[i];
    qsort(sorted, n, sizeof *sorted, by_key);
    for (size_t i = 0; i < n; i++) {
        struct tug_yaml *key = sorted[i]->key;
        if (!first || strcmp(first->text, key->text)) {
            first = key;
            continue;
        }
        struct tug_buf what = {0}, where = {0};
        tug_conf_show(&what, key->text, key->len, 80);
        tug_conf_pos_print(first->pos, &where);
        tug_conf_errors_add(errs, key->pos, key->text, key->len, "keep one of the two",
                            "'%s' is already written at %s", tug_buf_str(&what),
                            tug_buf_str(&where));
        tug_buf_clear(&what);
        tug_buf_clear(&where);
        sorted[i]->key = NULL;
    }
    for (size_t i = 0; i < n; i++)
        if (map->items[i].key)
            map->items[kept++] = map->items[i];
    map->n_items = kept;
    free(sorted);
}

struct tug_yaml *tug_yaml_get(const struct tug_yaml *map, const char *key)
{
    for (size_t i = 0; map && map->kind == TUG_YAML_MAP && i < map->n_items; i++)
        if (!strcmp(map->items[i].key->text, key))
            return map->items[i].value;
    return NULL;
}

bool tug_yaml_is_null(const struct tug_yaml *node)
{
    return node->kind == TUG_YAML_SCALAR && !node->quoted &&
           (!node->len || !strcmp(node->text, "~") || !strcmp(node->text, "null"));
}

/* ---- events to tree -------------------------------------------------------------------------- */

struct open {
    struct tug_yaml *node;
    struct tug_yaml *key; /* map: the key whose value comes next */
    struct tug_vec(struct tug_yaml_item) items;
};

struct build {
    struct tug_yaml_pool *pool;
    const char *file;
    struct tug_conf_errors *errs;
    struct open stack[TUG_YAML_DEPTH_MAX];
    size_t depth;
    struct tug_yaml *root;
    unsigned n_documents;
    struct tug_yaml *last; /* scalar, and the line it ends in */
    size_t last_line;
};

static struct tug_conf_pos place(const struct build *b, yaml_mark_t m)
{
    return (struct tug_conf_pos){b->file, (unsigned) m.line + 1, (unsigned) m.column + 1};
}

static struct tug_yaml *new_node(struct build *b, enum tug_yaml_kind kind, const yaml_event_t *ev)
{
    struct tug_yaml *node = tug_yaml_alloc(b->pool, sizeof *node);

    b->pool->n_nodes++;
    node->kind = kind;
    node->pos = place(b, ev->start_mark);
    return node;
}

/* Put a finished node where it belongs. False: a map or list where a key has to be. */
static bool put(struct build *b, struct tug_yaml *node)
{
    if (!b->depth) {
        b->root = node;
        return true;
    }
    struct open *o = &b->stack[b->depth - 1];
    if (o->node->kind == TUG_YAML_LIST) {
        tug_vec_push(&o->items, ((struct tug_yaml_item){NULL, node}));
        return true;
    }
    if (!o->key) {
        o->key = node;
        return node->kind == TUG_YAML_SCALAR;
    }
    tug_vec_push(&o->items, ((struct tug_yaml_item){o->key, node}));
    o->key = NULL;
    return true;
}

static bool awaits_key(const struct build *b)
{
    return b->depth && b->stack[b->depth - 1].node->kind == TUG_YAML_MAP &&
           !b->stack[b->depth - 1].key;
}

static void close_top(struct build *b)
{
    struct open *o = &b->stack[--b->depth];

    o->node->n_items = o->items.len;
    if (o->items.len) {
        size_t len = o->items.len * sizeof *o->items.at;
        o->node->items = memcpy(tug_yaml_alloc(b->pool, len), o->items.at, len);
    }
    tug_vec_clear(&o->items);
    if (o->node->kind == TUG_YAML_MAP)
        tug_yaml_drop_duplicates(o->node, b->errs);
}

static bool open_node(struct build *b, enum tug_yaml_kind kind, const yaml_event_t *ev)
{
    struct tug_conf_pos pos = place(b, ev->start_mark);

    if (awaits_key(b)) {
        tug_conf_errors_add(b->errs, pos, NULL, 0,
                            "quote the text if it is meant to contain { } or [ ]",
                            "a %s where a key has to be", kind == TUG_YAML_MAP ? "map" : "list");
        return false;
    }
    if (b->depth == TUG_YAML_DEPTH_MAX) {
        tug_conf_errors_add(b->errs, pos, NULL, 0, NULL,
                            "more than %d maps and lists inside each other", TUG_YAML_DEPTH_MAX);
        return false;
    }
    struct tug_yaml *node = new_node(b, kind, ev);
    put(b, node);
    b->stack[b->depth++] = (struct open){.node = node};
    return true;
}

static void add_scalar(struct build *b, const yaml_event_t *ev)
{
    struct tug_yaml *node = new_node(b, TUG_YAML_SCALAR, ev);
    const char *value = (const char *) ev->data.scalar.value;

    node->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->len = ev->data.scalar.length;
    node->text = pool_text(b->pool, value, node->len);
    b->last = node;
    b->last_line = ev->end_mark.line;
    if (strlen(node->text) != node->len) {
        tug_conf_errors_add(b->errs, node->pos, value, node->len, "delete the \\0",
                            "a NUL byte in a text");
        node->len = strlen(node->text);
        node->bad = true;
    }
    put(b, node);
}

/* What YAML can say and a configuration here must not. */
static void refuse_extras(struct build *b, const yaml_event_t *ev)
{
    const unsigned char *anchor = NULL, *tag = NULL;
    struct tug_conf_pos pos = place(b, ev->start_mark);

    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        anchor = ev->data.scalar.anchor;
        tag = ev->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = ev->data.sequence_start.anchor;
        tag = ev->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = ev->data.mapping_start.anchor;
        tag = ev->data.mapping_start.tag;
        break;
    default:
        return;
    }
    if (anchor)
        tug_conf_errors_add(b->errs, pos, (const char *) anchor, strlen((const char *) anchor),
                            "write the value out where it is needed",
                            "the anchor '&%.80s' is not taken here", (const char *) anchor);
    if (tag)
        tug_conf_errors_add(b->errs, pos, (const char *) tag, strlen((const char *) tag),
                            "write the value without it", "the tag '%.80s' is not taken here",
                            (const char *) tag);
}

static void add_alias(struct build *b, const yaml_event_t *ev)
{
    const char *name = (const char *) ev->data.alias.anchor;
    struct tug_yaml *node = new_node(b, TUG_YAML_SCALAR, ev);

    tug_conf_errors_add(b->errs, node->pos, name, strlen(name), "write the value out",
                        "the alias '*%.80s' is not taken here", name);
    node->text = pool_text(b->pool, name, strlen(name));
    node->len = strlen(name);
    node->bad = true;
    put(b, node);
}

/* Returns false to stop: the tree cannot be right from here on. */
static bool take_event(struct build *b, const yaml_event_t *ev)
{
    refuse_extras(b, ev);
    if (b->pool->n_nodes >= TUG_YAML_NODES_MAX) {
        tug_conf_errors_add(b->errs, place(b, ev->start_mark), NULL, 0, NULL,
                            "more than %d values in all files together", TUG_YAML_NODES_MAX);
        return false;
    }
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->n_documents++) {
            tug_conf_errors_add(
                b->errs, place(b, ev->start_mark), "---", 3,
                "remove the '---', or put this part into a file of its own and 'include:' it",
                "a second document begins here");
            return false;
        }
        return true;
    case YAML_MAPPING_START_EVENT:
        return open_node(b, TUG_YAML_MAP, ev);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(b, TUG_YAML_LIST, ev);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        close_top(b);
        return true;
    case YAML_SCALAR_EVENT:
        add_scalar(b, ev);
        return true;
    case YAML_ALIAS_EVENT:
        add_alias(b, ev);
        return true;
    default:
        return true;
    }
}

/* ---- syntax errors --------------------------------------------------------------------------- */

/* libyaml speaks of tokens; a person wants to know what to look for. Found by part of its words,
 * first match; the last row is for all others. */
static const struct {
    const char *problem;
    const char *sentence;
    const char *hint;
} syntax[] = {
    {"mapping values are not allowed", "a ':' where no key can be",
     "indent the line like its neighbours, or quote a text that contains ': '"},
    {"could not find expected ':'", "a key without ':'",
     "write 'key: value', or quote or indent a text that goes on over lines"},
    {"did not find expected key", "no key where one has to be",
     "indent the line like its neighbours; quote a text that has quotes or brackets inside"},
    {"did not find expected '-'", "no '- ' where the list goes on",
     "indent the line like its neighbours"},
    {"block sequence entries are not allowed", "a '- ' where no list can be",
     "put the list on lines of its own below the key"},
    {"cannot start any token", "a character that cannot begin a value",
     "put the value into quotes"},
    {"found unexpected end of stream", "the file ends inside quotes", "close the quotes"},
    {"found unknown escape", "an unknown \\ sequence in double quotes",
     "write \\\\ for a backslash, or use single quotes"},
    {"did not find expected ',' or", "no ',' or closing bracket where one has to be",
     "close the bracket, or quote a text that contains one"},
    {"did not find expected node content", "no value where one has to be", NULL},
    {"while parsing a quoted scalar", "quotes that do not close", "close the quotes"},
    {"", NULL, "look for a missing quote, bracket or space on this line and the one before"},
};

static void list_syntax_error(struct build *b, const yaml_parser_t *p, const char *text, size_t len)
{
    const char *problem = p->problem ? p->problem : "not YAML";
    struct tug_conf_pos pos = place(b, p->problem_mark);
    struct tug_buf begun = {0};
    size_t i = 0, from = 0, line = 0;

    while (!strstr(problem, syntax[i].problem))
        i++;
    /* The text of the line itself, without its indentation. */
    while (from < len && line < p->problem_mark.line) {
        size_t n = break_len(text + from, len - from);
        line += n != 0;
        from += n ? n : 1;
    }
    while (from < len && text[from] == ' ')
        from++;
    size_t end = from;
    while (end < len && !break_len(text + end, len - end))
        end++;
    /* A text that runs into the line of the error took in what was meant to be something else. */
    if (b->last && b->last_line >= p->problem_mark.line)
        b->last->bad = true;
    if (p->context && p->context_mark.line != p->problem_mark.line)
        tug_buf_addf(&begun, " (what is read there began in line %zu)", p->context_mark.line + 1);
    tug_conf_errors_add(b->errs, pos, text + from, end - from, syntax[i].hint, "%s%s",
                        syntax[i].sentence ? syntax[i].sentence : problem, tug_buf_str(&begun));
    tug_buf_clear(&begun);
}

struct tug_yaml *tug_yaml_parse(struct tug_yaml_pool *pool, const char *file, const char *text,
                                size_t len, bool *broken, struct tug_conf_errors *errs)
{
    struct build b = {.pool = pool, .file = file, .errs = errs};
    yaml_parser_t parser;
    bool more = true, whole = false;

    *broken = true;
    if (len > TUG_YAML_FILE_MAX) {
        tug_conf_errors_add(errs, (struct tug_conf_pos){file, 0, 0}, NULL, 0,
                            "split it up and 'include:' the parts", "the file is over %d MiB",
                            TUG_YAML_FILE_MAX / 1024 / 1024);
        return NULL;
    }
    if (!check_bytes(file, text, len, errs))
        return NULL;
    if (!yaml_parser_initialize(&parser))
        abort(); /* out of memory */
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *) text, len);
    while (more) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&parser, &ev)) {
            list_syntax_error(&b, &parser, text, len);
            break;
        }
        whole = ev.type == YAML_STREAM_END_EVENT;
        more = !whole && take_event(&b, &ev);
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&parser);
    while (b.depth)
        close_top(&b);
    *broken = !whole;
    return b.root;
}
