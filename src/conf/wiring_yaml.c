/* wiring_yaml.c - Slurm's topology.yaml, and the models of NVIDIA's topograph
 *
 * topology.yaml is a list of topologies, of which the cluster's default (or the first that has
 * nodes) is taken. A model of topograph has 'switches', which name those below them, and 'blocks'
 * of nodes on a switch, with the accelerator's domain among their annotations. Layer: conf.
 */
#include <string.h>

#include "base/hostlist.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/wiring.h"
#include "conf/yaml.h"

static void wrong(const struct tug_wiring_text *t, const struct tug_yaml *at, const char *expected,
                  const char *what)
{
    tug_conf_errors_add(t->errs, at->pos, at->kind == TUG_YAML_SCALAR ? at->text : NULL,
                        at->kind == TUG_YAML_SCALAR ? at->len : 0, expected, "%s", what);
}

/* The text under 'key', or NULL; something else there is an error. */
static const char *text_of(const struct tug_wiring_text *t, const struct tug_yaml *map,
                           const char *key)
{
    const struct tug_yaml *v = tug_yaml_get(map, key);
    if (!v || tug_yaml_is_null(v))
        return NULL;
    if (v->kind == TUG_YAML_SCALAR)
        return v->text;
    wrong(t, v, "expected a text", key);
    return NULL;
}

/* Calls 'take' for each text of a list, or for the one text. */
static void each(struct tug_wiring *w, const struct tug_wiring_text *t, const struct tug_yaml *v,
                 uint32_t domain,
                 void (*take)(struct tug_wiring *w, const struct tug_wiring_text *t,
                              uint32_t domain, const char *list, unsigned line))
{
    if (!v || (v->kind == TUG_YAML_SCALAR && tug_yaml_is_null(v)))
        return;
    if (v->kind == TUG_YAML_SCALAR)
        take(w, t, domain, v->text, v->pos.line);
    else if (v->kind == TUG_YAML_LIST)
        for (size_t i = 0; i < v->n_items; i++)
            if (v->items[i].value->kind == TUG_YAML_SCALAR)
                take(w, t, domain, v->items[i].value->text, v->items[i].value->pos.line);
            else
                wrong(t, v->items[i].value, "expected names", "this is no list of names");
    else
        wrong(t, v, "expected names", "this is no list of names");
}

static void put_below(struct tug_wiring *w, const struct tug_wiring_text *t, uint32_t domain,
                      const char *list, unsigned line)
{
    struct tug_hostlist *hl = NULL;
    struct tug_err err = {0};
    if (tug_hostlist_parse(list, &hl, &err)) {
        tug_wiring_error(t, line, list, strlen(list), "expected names like s[0-2,4]", "%s",
                         err.msg);
        return;
    }
    for (size_t i = 0; i < tug_hostlist_count(hl); i++)
        tug_wiring_below(w, tug_wiring_domain(w, tug_hostlist_nth(hl, i), line), domain, line);
    tug_hostlist_free(hl);
}

/* Keys that nobody looked at. */
static void warn_unused(struct tug_wiring *w, const struct tug_yaml *map, const char *known,
                        const char *where)
{
    for (size_t i = 0; i < map->n_items; i++) {
        const struct tug_yaml *key = map->items[i].key;
        char *word = tug_xasprintf(" %s ", key->text);
        if (!strstr(known, word))
            tug_wiring_warn(w, key->pos.line, "%s%.60s is not used", where, key->text);
        free(word);
    }
}

/* ---- Slurm */

/* One switch or block: 'noun' is the key of its name. */
static void take_entry(struct tug_wiring *w, const struct tug_wiring_text *t,
                       const struct tug_yaml *v, const char *noun, const char *level)
{
    const char *name = v->kind == TUG_YAML_MAP ? text_of(t, v, noun) : NULL;
    if (!name || !*name) {
        wrong(t, v, "expected a map like {switch: s1, nodes: \"node[01-18]\"}", "it has no name");
        return;
    }
    uint32_t d = tug_wiring_domain(w, name, v->pos.line);
    w->domains.at[d]->is_described = true;
    if (level && !w->domains.at[d]->level)
        w->domains.at[d]->level = tug_xstrdup(level);
    each(w, t, tug_yaml_get(v, "nodes"), d, tug_wiring_put_list);
    each(w, t, tug_yaml_get(v, "children"), d, put_below);
    warn_unused(w, v, level ? " block nodes " : " switch nodes children ", "");
}

static void take_topology(struct tug_wiring *w, const struct tug_wiring_text *t,
                          const struct tug_yaml *map)
{
    static const struct {
        const char *kind, *list, *noun, *level;
    } kinds[] = {{"tree", "switches", "switch", NULL}, {"block", "blocks", "block", "block"}};
    warn_unused(w, map, " topology cluster_default tree block flat ", "");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const struct tug_yaml *v = tug_yaml_get(map, kinds[k].kind);
        const struct tug_yaml *all =
            v && v->kind == TUG_YAML_MAP ? tug_yaml_get(v, kinds[k].list) : NULL;
        if (!v)
            continue;
        if (!all || all->kind != TUG_YAML_LIST) {
            wrong(t, v, k ? "expected block: {blocks: [...]}" : "expected tree: {switches: [...]}",
                  "this topology has no list of them");
            continue;
        }
        warn_unused(w, v, k ? " blocks " : " switches ", "");
        for (size_t i = 0; i < all->n_items; i++)
            take_entry(w, t, all->items[i].value, kinds[k].noun, kinds[k].level);
    }
}

static void take_slurm(struct tug_wiring *w, const struct tug_wiring_text *t,
                       const struct tug_yaml *root)
{
    const struct tug_yaml *best = NULL;
    bool best_default = false;
    for (size_t i = 0; i < root->n_items; i++) {
        const struct tug_yaml *v = root->items[i].value;
        if (v->kind != TUG_YAML_MAP || !text_of(t, v, "topology")) {
            wrong(t, v, "expected a map that begins with 'topology: NAME'", "this is no topology");
            continue;
        }
        const char *is_default = text_of(t, v, "cluster_default");
        bool by_default = is_default && !strcmp(is_default, "true");
        bool wired = tug_yaml_get(v, "tree") || tug_yaml_get(v, "block");
        if (wired && (!best || (by_default && !best_default))) {
            best = v;
            best_default = by_default;
        }
    }
    for (size_t i = 0; i < root->n_items; i++)
        if (root->items[i].value != best && root->items[i].value->kind == TUG_YAML_MAP)
            tug_wiring_warn(w, root->items[i].value->pos.line,
                            "topology '%.60s' is left out: a cluster has one fabric",
                            text_of(t, root->items[i].value, "topology")
                                ? text_of(t, root->items[i].value, "topology")
                                : "?");
    if (best)
        take_topology(w, t, best);
}

/* ---- topograph */

struct block {
    const struct tug_yaml *map;
    uint32_t accelerator; /* row of 'names', or TUG_WIRING_NONE */
    uint32_t on;
};

struct blocks {
    struct tug_vec(struct block) all;
    struct tug_wiring *names; /* of accelerators' domains */
    uint32_t *first, *other;  /* of each of these: a switch that it is on, and another one */
    uint32_t *only;           /* of each switch: what all its blocks have, or MIXED */
};
#define MIXED (TUG_WIRING_NONE - 1)

/* The accelerator's domain is the annotation that ends with "/domain". */
static const char *accelerator_of(const struct tug_wiring_text *t, const struct tug_yaml *map)
{
    const struct tug_yaml *a = tug_yaml_get(map, "annotations");
    for (size_t i = 0; a && a->kind == TUG_YAML_MAP && i < a->n_items; i++)
        if (tug_str_has_suffix(a->items[i].key->text, "/domain"))
            return text_of(t, a, a->items[i].key->text);
    return NULL;
}

static void note_block(struct blocks *b, const struct block *x)
{
    uint32_t a = x->accelerator;
    bool seen = b->only[x->on] != TUG_WIRING_NONE;
    b->only[x->on] = !seen && a != TUG_WIRING_NONE ? a : b->only[x->on] == a ? a : MIXED;
    if (a == TUG_WIRING_NONE)
        return;
    if (b->first[a] == TUG_WIRING_NONE)
        b->first[a] = x->on;
    else if (b->first[a] != x->on && b->other[a] == TUG_WIRING_NONE)
        b->other[a] = x->on;
}

/* A domain of accelerators becomes one below its switch, if it is on one switch and not all of it.
 */
static uint32_t home_of(struct tug_wiring *w, struct blocks *b, const struct block *x)
{
    uint32_t a = x->accelerator;
    unsigned line = x->map->pos.line;
    if (a == TUG_WIRING_NONE)
        return x->on;
    const char *name = b->names->domains.at[a]->key;
    if (b->other[a] == MIXED) /* told */
        return x->on;
    if (b->other[a] != TUG_WIRING_NONE) {
        tug_wiring_warn(w, line,
                        "accelerator domain '%.60s' spans '%.60s' and '%.60s' and is left out: a "
                        "fabric is one tree",
                        name, w->domains.at[b->first[a]]->key, w->domains.at[b->other[a]]->key);
        b->other[a] = MIXED;
        return x->on;
    }
    if (b->only[x->on] == a) {
        char **about = &w->domains.at[x->on]->about;
        if (!*about)
            *about = tug_xasprintf("accelerator domain %s", name);
        return x->on;
    }
    char *key = tug_xasprintf("accelerator domain %s", name);
    uint32_t d = tug_wiring_domain(w, key, line);
    free(key);
    tug_wiring_below(w, d, x->on, line);
    w->domains.at[d]->is_described = true;
    if (!w->domains.at[d]->name) {
        w->domains.at[d]->name = tug_xstrdup(name);
        w->domains.at[d]->level = tug_xstrdup("nvlink");
    }
    return d;
}

static uint32_t *rows_of_none(size_t n)
{
    uint32_t *rows = tug_xmalloc((n + 1) * sizeof *rows);
    memset(rows, 0xff, (n + 1) * sizeof *rows);
    return rows;
}

static void take_blocks(struct tug_wiring *w, const struct tug_wiring_text *t,
                        const struct tug_yaml *list)
{
    struct blocks b = {.names = tug_wiring_new()};
    for (size_t i = 0; i < list->n_items; i++) {
        const struct tug_yaml *v = list->items[i].value;
        const char *on = v->kind == TUG_YAML_MAP ? text_of(t, v, "switch") : NULL;
        if (!on || !*on) {
            wrong(t, v, "expected a map like {switch: leaf-1, nodes: [\"node[01-18]\"]}",
                  "this block is on no switch");
            continue;
        }
        uint32_t d = tug_wiring_domain(w, on, v->pos.line);
        w->domains.at[d]->is_described = true;
        const char *a = accelerator_of(t, v);
        tug_vec_push(
            &b.all, ((struct block){v, a ? tug_wiring_domain(b.names, a, 0) : TUG_WIRING_NONE, d}));
        warn_unused(w, v, " switch nodes annotations labels name ", "");
    }
    b.first = rows_of_none(b.names->domains.len);
    b.other = rows_of_none(b.names->domains.len);
    b.only = rows_of_none(w->domains.len);
    for (size_t i = 0; i < b.all.len; i++)
        note_block(&b, &b.all.at[i]);
    for (size_t i = 0; i < b.all.len; i++)
        each(w, t, tug_yaml_get(b.all.at[i].map, "nodes"), home_of(w, &b, &b.all.at[i]),
             tug_wiring_put_list);
    tug_vec_clear(&b.all);
    tug_wiring_free(b.names);
    free(b.first);
    free(b.other);
    free(b.only);
}

static void take_topograph(struct tug_wiring *w, const struct tug_wiring_text *t,
                           const struct tug_yaml *root)
{
    const struct tug_yaml *switches = tug_yaml_get(root, "switches"),
                          *blocks = tug_yaml_get(root, "blocks");
    warn_unused(w, root, " switches blocks ", "");
    if (switches && switches->kind != TUG_YAML_MAP)
        wrong(t, switches, "expected a map of switches by name", "'switches' is no map");
    for (size_t i = 0; switches && switches->kind == TUG_YAML_MAP && i < switches->n_items; i++) {
        const struct tug_yaml *v = switches->items[i].value;
        uint32_t d =
            tug_wiring_domain(w, switches->items[i].key->text, switches->items[i].key->pos.line);
        w->domains.at[d]->is_described = true;
        if (v->kind != TUG_YAML_MAP)
            continue;
        each(w, t, tug_yaml_get(v, "switches"), d, put_below);
        each(w, t, tug_yaml_get(v, "nodes"), d, tug_wiring_put_list);
        warn_unused(w, v, " switches nodes labels metadata ", "");
    }
    if (blocks && blocks->kind == TUG_YAML_LIST)
        take_blocks(w, t, blocks);
    else if (blocks)
        wrong(t, blocks, "expected a list of blocks", "'blocks' is no list");
}

/* ---- which it is */

void tug_wiring_read_yaml(struct tug_wiring *w, const struct tug_wiring_text *t,
                          enum tug_wiring_format *format)
{
    struct tug_yaml_pool *pool = tug_yaml_pool_new();
    bool broken = false;
    const struct tug_yaml *root = tug_yaml_parse(pool, t->file, t->text, t->len, &broken, t->errs);
    bool is_list = root && root->kind == TUG_YAML_LIST;
    if (*format == TUG_WIRING_AUTO)
        *format = is_list ? TUG_WIRING_SLURM_YAML : TUG_WIRING_TOPOGRAPH;
    if (tug_conf_errors_count(t->errs) || !root)
        ;
    else if (*format == TUG_WIRING_SLURM_YAML && is_list)
        take_slurm(w, t, root);
    else if (*format == TUG_WIRING_SLURM_YAML)
        wrong(t, root, "expected a list of topologies, each with 'topology: NAME'",
              "this is no topology.yaml");
    else if (root->kind == TUG_YAML_MAP &&
             (tug_yaml_get(root, "switches") || tug_yaml_get(root, "blocks")))
        take_topograph(w, t, root);
    else
        wrong(t, root,
              "expected SwitchName= or BlockName= lines, a list of topologies, a map with "
              "'switches' and 'blocks', output of ibnetdiscover, or a heading like node,leaf,pod",
              "this is no fabric of any known format");
    tug_yaml_pool_free(pool);
}
