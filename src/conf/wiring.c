/* wiring.c - how nodes are wired together, as a file of another tool tells it
 *
 * A host is in one domain at most, and a domain below one at most: what a file says first stays.
 * Layer: conf.
 */
#include "conf/wiring.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "base/hostlist.h"
#include "base/mem.h"
#include "base/rate.h"
#include "base/str.h"

struct tug_wiring_node {
    char *name;
    uint32_t domain;
    unsigned line;
    UT_hash_handle hh;
};

struct key { /* a domain by its name */
    const char *key;
    uint32_t row;
    UT_hash_handle hh;
};

static const struct {
    const char *name;
    enum tug_wiring_format format;
} formats[] = {{"auto", TUG_WIRING_AUTO},
               {"slurm-tree", TUG_WIRING_SLURM_TREE},
               {"slurm-block", TUG_WIRING_SLURM_BLOCK},
               {"slurm-yaml", TUG_WIRING_SLURM_YAML},
               {"ibnetdiscover", TUG_WIRING_IBNETDISCOVER},
               {"topograph", TUG_WIRING_TOPOGRAPH},
               {"csv", TUG_WIRING_CSV}};

int tug_wiring_format(const char *name, enum tug_wiring_format *out, struct tug_err *err)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(name, formats[i].name)) {
            *out = formats[i].format;
            return 0;
        }
    return tug_fail(err, -EINVAL,
                    "'%.40s' is no format; there are auto, slurm-tree, slurm-block, slurm-yaml, "
                    "ibnetdiscover, topograph and csv",
                    name);
}

const char *tug_wiring_format_name(enum tug_wiring_format f)
{
    return formats[f].name;
}

/* ---- making one */

struct tug_wiring *tug_wiring_new(void)
{
    return tug_new(struct tug_wiring);
}

void tug_wiring_free(struct tug_wiring *w)
{
    struct tug_wiring_node *n, *next;
    if (!w)
        return;
    struct key *keys = w->by_key, *k, *next_key;
    HASH_ITER (hh, keys, k, next_key) {
        HASH_DEL(keys, k);
        free(k);
    }
    for (size_t i = 0; i < w->domains.len; i++) {
        struct tug_wiring_domain *d = w->domains.at[i];
        free(d->key);
        free(d->name);
        free(d->level);
        free(d->about);
        tug_vec_clear(&d->nodes);
        free(d);
    }
    HASH_ITER (hh, w->nodes, n, next) {
        HASH_DEL(w->nodes, n);
        free(n->name);
        free(n);
    }
    for (size_t i = 0; i < w->warnings.len; i++)
        free(w->warnings.at[i].text);
    for (size_t i = 0; i < w->levels.len; i++) {
        free(w->levels.at[i].name);
        free(w->levels.at[i].how);
    }
    tug_vec_clear(&w->domains);
    tug_vec_clear(&w->warnings);
    tug_vec_clear(&w->levels);
    free(w);
}

void tug_wiring_warn(struct tug_wiring *w, unsigned line, const char *fmt, ...)
{
    struct tug_buf shown = {0};
    char text[TUG_ERR_MAX];
    va_list ap;
    if (w->warnings.len >= TUG_WIRING_WARNINGS_MAX) {
        w->warnings_left_out++;
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tug_conf_show(&shown, text, strlen(text), 400);
    tug_vec_push(&w->warnings, ((struct tug_wiring_warning){line, tug_buf_take(&shown)}));
}

uint32_t tug_wiring_domain(struct tug_wiring *w, const char *key, unsigned line)
{
    struct key *keys = w->by_key, *k;
    HASH_FIND_STR(keys, key, k);
    if (k)
        return k->row;
    struct tug_wiring_domain *d = tug_new(struct tug_wiring_domain);
    d->key = tug_xstrdup(key);
    d->parent = TUG_WIRING_NONE;
    d->line = line;
    k = tug_new(struct key);
    k->key = d->key;
    k->row = (uint32_t) w->domains.len;
    HASH_ADD_KEYPTR(hh, keys, k->key, strlen(k->key), k);
    w->by_key = keys;
    tug_vec_push(&w->domains, d);
    return k->row;
}

static const char *key_of(const struct tug_wiring *w, uint32_t domain)
{
    return w->domains.at[domain]->key;
}

void tug_wiring_put(struct tug_wiring *w, uint32_t domain, const char *host, unsigned line)
{
    struct tug_wiring_node *n;
    if (!tug_hostname_ok(host)) {
        tug_wiring_warn(w, line, "'%.100s' is not a host name and is left out", host);
        return;
    }
    HASH_FIND_STR(w->nodes, host, n);
    if (n && n->domain != domain && n->domain != TUG_WIRING_NONE && domain != TUG_WIRING_NONE)
        tug_wiring_warn(w, line,
                        "node '%s' is in '%.100s', and in '%.100s' since line %u: it stays there",
                        host, key_of(w, domain), key_of(w, n->domain), n->line);
    if (n && (n->domain != TUG_WIRING_NONE || domain == TUG_WIRING_NONE))
        return;
    if (!n) {
        n = tug_new(struct tug_wiring_node);
        n->name = tug_xstrdup(host);
        HASH_ADD_KEYPTR(hh, w->nodes, n->name, strlen(n->name), n);
    }
    n->domain = domain;
    n->line = line;
    if (domain != TUG_WIRING_NONE)
        tug_vec_push(&w->domains.at[domain]->nodes, n->name);
}

void tug_wiring_below(struct tug_wiring *w, uint32_t domain, uint32_t parent, unsigned line)
{
    struct tug_wiring_domain *d = w->domains.at[domain];
    if (d->parent == parent)
        return;
    if (d->parent == TUG_WIRING_NONE)
        d->parent = parent;
    else
        tug_wiring_warn(w, line,
                        "'%.100s' is below '%.100s', and already below '%.100s', where it stays: a "
                        "fabric is a tree",
                        d->key, key_of(w, parent), key_of(w, d->parent));
}

void tug_wiring_error(const struct tug_wiring_text *t, unsigned line, const char *what, size_t len,
                      const char *hint, const char *fmt, ...)
{
    char text[TUG_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tug_conf_errors_add(t->errs, (struct tug_conf_pos){t->file, line, 1}, what, len, hint, "%s",
                        text);
}

void tug_wiring_put_list(struct tug_wiring *w, const struct tug_wiring_text *t, uint32_t domain,
                         const char *list, unsigned line)
{
    struct tug_hostlist *hl = NULL;
    struct tug_err err = {0};
    if (tug_hostlist_parse(list, &hl, &err)) {
        tug_wiring_error(t, line, list, strlen(list), "expected names like node[01-18,20]",
                         "'%.100s': %s", key_of(w, domain), err.msg);
        return;
    }
    for (size_t i = 0; i < tug_hostlist_count(hl); i++)
        tug_wiring_put(w, domain, tug_hostlist_nth(hl, i), line);
    tug_hostlist_free(hl);
}

bool tug_wiring_line(const char **rest, const char **line, size_t *len)
{
    if (!**rest)
        return false;
    const char *end = strchr(*rest, '\n');
    *line = *rest;
    *len = end ? (size_t) (end - *rest) : strlen(*rest);
    *rest += *len + (end != NULL);
    if (*len && (*line)[*len - 1] == '\r')
        (*len)--;
    return true;
}

/* ---- finishing it */

/* seen[i]: the walk that came by; one that meets itself has gone round. */
static void cut_loops(struct tug_wiring *w)
{
    uint32_t *seen = tug_xcalloc(w->domains.len + 1, sizeof *seen);
    for (uint32_t i = 0; i < w->domains.len; i++)
        for (uint32_t d = i; d != TUG_WIRING_NONE && seen[d] != i + 1;) {
            struct tug_wiring_domain *at = w->domains.at[d];
            if (seen[d])
                break;
            seen[d] = i + 1;
            if (at->parent != TUG_WIRING_NONE && seen[at->parent] == i + 1) {
                tug_wiring_warn(w, at->line,
                                "'%.100s' is below '%.100s', which is itself below it: it is put "
                                "at the top",
                                at->key, key_of(w, at->parent));
                at->parent = TUG_WIRING_NONE;
            }
            d = at->parent;
        }
    free(seen);
}

/* Domains from the lowest up, each behind all that are below it; the caller frees. */
static uint32_t *from_below(const struct tug_wiring *w)
{
    uint32_t *order = tug_xcalloc(w->domains.len + 1, sizeof *order);
    uint32_t *open = tug_xcalloc(w->domains.len + 1, sizeof *open); /* children not yet in */
    size_t n = 0;
    for (size_t i = 0; i < w->domains.len; i++)
        if (w->domains.at[i]->parent != TUG_WIRING_NONE)
            open[w->domains.at[i]->parent]++;
    for (uint32_t i = 0; i < w->domains.len; i++)
        if (!open[i])
            order[n++] = i;
    for (size_t k = 0; k < n; k++) {
        uint32_t up = w->domains.at[order[k]]->parent;
        if (up != TUG_WIRING_NONE && --open[up] == 0)
            order[n++] = up;
    }
    tug_assert(n == w->domains.len);
    free(open);
    return order;
}

static void drop_empty(struct tug_wiring *w, const uint32_t *order)
{
    size_t *has = tug_xcalloc(w->domains.len + 1, sizeof *has);
    for (size_t k = 0; k < w->domains.len; k++) {
        struct tug_wiring_domain *d = w->domains.at[order[k]];
        has[order[k]] += d->nodes.len;
        d->is_dropped = !has[order[k]];
        if (d->is_dropped)
            tug_wiring_warn(w, d->line,
                            d->is_described ? "'%.100s' has no nodes and is left out"
                                            : "'%.100s' is described nowhere and is left out",
                            d->key);
        if (d->parent != TUG_WIRING_NONE)
            has[d->parent] += has[order[k]];
        if (d->is_dropped)
            d->parent = TUG_WIRING_NONE;
    }
    free(has);
}

static void set_levels(struct tug_wiring *w, const uint32_t *order)
{
    static const char *const usual[] = {"leaf", "spine", "core"};
    for (size_t k = 0; k < w->domains.len; k++) {
        struct tug_wiring_domain *d = w->domains.at[order[k]];
        if (d->height >= TUG_WIRING_DEPTH_MAX && d->parent != TUG_WIRING_NONE) {
            tug_wiring_warn(w, d->line, "'%.100s' has %u levels below it and is put at the top",
                            d->key, d->height);
            d->parent = TUG_WIRING_NONE;
        }
        if (d->parent != TUG_WIRING_NONE) {
            struct tug_wiring_domain *up = w->domains.at[d->parent];
            up->height = d->height + 1 > up->height ? d->height + 1 : up->height;
            if (!d->level)
                up->rank = d->rank + 1 > up->rank ? d->rank + 1 : up->rank;
        }
        if (!d->level)
            d->level = d->rank < 3 ? tug_xstrdup(usual[d->rank])
                                   : tug_xasprintf("level%u", d->rank + 1);
    }
}

/* Letters, digits and . _ - only, the first a letter or digit, 63 bytes at most. */
static char *clean(const char *key)
{
    struct tug_buf b = {0};
    for (const char *s = key; *s && b.len < 60; s++) {
        int ok = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9');
        if (ok || (b.len && strchr("._-", *s)))
            tug_buf_addc(&b, *s);
        else if (b.len && b.data[b.len - 1] != '-')
            tug_buf_addc(&b, '-');
    }
    while (b.len && b.data[b.len - 1] == '-')
        b.data[--b.len] = '\0';
    if (!b.len)
        tug_buf_adds(&b, "domain");
    return tug_buf_take(&b);
}

/* Of two that come out the same, the later gets a number. */
static void set_names(struct tug_wiring *w)
{
    struct key *taken = NULL, *k, *next;
    size_t renamed = 0, first = 0;
    for (size_t i = 0; i < w->domains.len; i++) {
        struct tug_wiring_domain *d = w->domains.at[i];
        char *wish = d->name ? d->name : tug_xstrdup(d->key), *base = clean(wish);
        d->name = tug_xstrdup(base);
        for (unsigned n = 2;; n++) {
            HASH_FIND_STR(taken, d->name, k);
            if (!k)
                break;
            free(d->name);
            d->name = tug_xasprintf("%.56s.%u", base, n);
        }
        free(base);
        k = tug_new(struct key);
        k->key = d->name;
        HASH_ADD_KEYPTR(hh, taken, k->key, strlen(k->key), k);
        if (strcmp(d->name, wish) && !d->is_dropped && !renamed++)
            first = i;
        free(wish);
    }
    HASH_ITER (hh, taken, k, next) {
        HASH_DEL(taken, k);
        free(k);
    }
    if (renamed)
        tug_wiring_warn(w, 0,
                        "%zu domain%s other names here, as a configuration takes letters, digits "
                        "and . _ - only; the first: '%.100s' is '%s'",
                        renamed, renamed == 1 ? " has" : "s have", w->domains.at[first]->key,
                        w->domains.at[first]->name);
}

static int by_hostname(const void *a, const void *b)
{
    return tug_hostname_cmp(*(char *const *) a, *(char *const *) b);
}

void tug_wiring_finish(struct tug_wiring *w)
{
    cut_loops(w);
    uint32_t *order = from_below(w);
    drop_empty(w, order);
    free(order);
    order = from_below(w);
    set_levels(w, order);
    free(order);
    set_names(w);
    for (size_t i = 0; i < w->domains.len; i++)
        if (w->domains.at[i]->nodes.len)
            qsort(w->domains.at[i]->nodes.at, w->domains.at[i]->nodes.len, sizeof(char *),
                  by_hostname);
}

/* ---- reading one */

static enum tug_wiring_format guess(const char *text)
{
    const char *rest = text, *line;
    size_t len;
    while (tug_wiring_line(&rest, &line, &len)) {
        size_t from = strspn(line, " \t\r");
        if (from >= len || line[from] == '#')
            continue;
        line += from;
        len -= from;
        if (!strncasecmp(line, "SwitchName=", 11))
            return TUG_WIRING_SLURM_TREE;
        if (!strncasecmp(line, "BlockName=", 10) || !strncasecmp(line, "BlockSizes=", 11))
            return TUG_WIRING_SLURM_BLOCK;
        if (!strncmp(line, "vendid=", 7) || !strncmp(line, "devid=", 6) ||
            !strncmp(line, "switchguid=", 11) || !strncmp(line, "caguid=", 7) ||
            !strncmp(line, "Switch\t", 7) || !strncmp(line, "Ca\t", 3))
            return TUG_WIRING_IBNETDISCOVER;
        if (memchr(line, ',', len) && !memchr(line, ':', len) && !memchr(line, '=', len) &&
            !strchr("-[{", *line))
            return TUG_WIRING_CSV;
        return memchr(line, '=', len) && !memchr(line, ':', len) ? TUG_WIRING_SLURM_TREE
                                                                 : TUG_WIRING_AUTO; /* YAML */
    }
    return TUG_WIRING_AUTO;
}

int tug_wiring_read(struct tug_wiring *w, enum tug_wiring_format *format, const char *file,
                    const char *text, size_t len, struct tug_conf_errors *errs)
{
    struct tug_wiring_text t = {file, text, strlen(text), errs};
    if (t.len != len) {
        tug_wiring_error(&t, 0, NULL, 0, "expected a text", "there is a NUL byte at offset %zu",
                         t.len);
        return -EINVAL;
    }
    if (*format == TUG_WIRING_AUTO)
        *format = guess(text);
    switch (*format) {
    case TUG_WIRING_SLURM_TREE:
    case TUG_WIRING_SLURM_BLOCK:
        tug_wiring_read_slurm(w, &t);
        break;
    case TUG_WIRING_IBNETDISCOVER:
        tug_wiring_read_ib(w, &t);
        break;
    case TUG_WIRING_CSV:
        tug_wiring_read_csv(w, &t);
        break;
    default:
        tug_wiring_read_yaml(w, &t, format);
    }
    if (!tug_conf_errors_count(errs) && !tug_wiring_count_nodes(w))
        tug_wiring_error(&t, 0, NULL, 0, "is it whole, and of that format? (--format names them)",
                         "no node is in any domain, read as %s", tug_wiring_format_name(*format));
    if (tug_conf_errors_count(errs))
        return -EINVAL;
    tug_wiring_finish(w);
    return 0;
}

/* ---- what is in it */

size_t tug_wiring_count_nodes(const struct tug_wiring *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->domains.len; i++)
        n += w->domains.at[i]->nodes.len;
    return n;
}

struct counted {
    const char *level;
    uint32_t height;
    size_t n;
};

static int higher_first(const void *a, const void *b)
{
    const struct counted *x = a, *y = b;
    return x->height != y->height ? (x->height < y->height) - (x->height > y->height)
                                  : strcmp(x->level, y->level);
}

void tug_wiring_summary(const struct tug_wiring *w, struct tug_buf *out)
{
    struct tug_vec(struct counted) levels = {0};
    size_t n_domains = 0, n_nodes = tug_wiring_count_nodes(w);
    for (size_t i = 0; i < w->domains.len; i++) {
        const struct tug_wiring_domain *d = w->domains.at[i];
        size_t k = 0;
        if (d->is_dropped)
            continue;
        while (k < levels.len && strcmp(levels.at[k].level, d->level) != 0)
            k++;
        if (k == levels.len)
            tug_vec_push(&levels, ((struct counted){d->level, d->height, 0}));
        levels.at[k].n++;
        levels.at[k].height = d->height > levels.at[k].height ? d->height : levels.at[k].height;
        n_domains++;
    }
    if (levels.len)
        qsort(levels.at, levels.len, sizeof *levels.at, higher_first);
    tug_buf_addf(out, "%zu node%s in %zu domain%s", n_nodes, n_nodes == 1 ? "" : "s", n_domains,
                 n_domains == 1 ? "" : "s");
    for (size_t k = 0; k < levels.len; k++)
        tug_buf_addf(out, "%s%zu %s", k ? ", " : ": ", levels.at[k].n, levels.at[k].level);
    tug_vec_clear(&levels);
}

/* Some words mean something else to YAML. */
static void add_word(struct tug_buf *out, const char *word)
{
    int plain = ((*word >= 'a' && *word <= 'z') || (*word >= 'A' && *word <= 'Z')) &&
                strcasecmp(word, "null") != 0;
    tug_buf_addf(out, plain ? "%s" : "\"%s\"", word);
}

static void print_domain(const struct tug_wiring *w, const struct tug_wiring_domain *d,
                         struct tug_buf *out)
{
    tug_buf_adds(out, "  - {name: ");
    add_word(out, d->name);
    tug_buf_adds(out, ", level: ");
    add_word(out, d->level);
    if (d->parent != TUG_WIRING_NONE) {
        tug_buf_adds(out, ", parent: ");
        add_word(out, w->domains.at[d->parent]->name);
    }
    if (d->nodes.len) {
        struct tug_hostlist *hl = tug_hostlist_new();
        for (size_t i = 0; i < d->nodes.len; i++)
            tug_hostlist_add(hl, d->nodes.at[i], NULL);
        tug_buf_adds(out, ", nodes: \"");
        tug_hostlist_format(hl, out);
        tug_buf_adds(out, "\"");
        tug_hostlist_free(hl);
    }
    tug_buf_adds(out, "}");
    if (d->about) {
        tug_buf_adds(out, " # ");
        tug_conf_show(out, d->about, strlen(d->about), 400);
    }
    tug_buf_adds(out, "\n");
}

static void print_warnings(const struct tug_wiring *w, struct tug_buf *out)
{
    for (size_t i = 0; i < w->warnings.len; i++) {
        const struct tug_wiring_warning *x = &w->warnings.at[i];
        tug_buf_adds(out, "# warning: ");
        if (x->line)
            tug_buf_addf(out, "line %u: ", x->line);
        tug_buf_addf(out, "%s\n", x->text);
    }
    if (w->warnings_left_out)
        tug_buf_addf(out, "# and %zu more warnings\n", w->warnings_left_out);
}

void tug_wiring_print(const struct tug_wiring *w, const char *file, enum tug_wiring_format format,
                      struct tug_buf *out)
{
    char ratio[TUG_RATE_TEXT_MAX];
    uint32_t top = 0;
    tug_buf_adds(out, "# from ");
    tug_conf_show(out, file, strlen(file), 400);
    tug_buf_addf(out, " (%s): ", tug_wiring_format_name(format));
    tug_wiring_summary(w, out);
    tug_buf_adds(out, "\n");
    print_warnings(w, out);
    for (size_t i = 0; i < w->domains.len; i++)
        top = w->domains.at[i]->height > top ? w->domains.at[i]->height : top;
    tug_buf_adds(out, "fabric:\n");
    for (uint32_t h = top + 1; h-- > 0;)
        for (size_t i = 0; i < w->domains.len; i++)
            if (w->domains.at[i]->height == h && !w->domains.at[i]->is_dropped)
                print_domain(w, w->domains.at[i], out);
    if (w->levels.len)
        tug_buf_adds(out, "fabric_levels:\n");
    for (size_t i = 0; i < w->levels.len; i++) {
        tug_buf_adds(out, "  ");
        add_word(out, w->levels.at[i].name);
        tug_buf_addf(out, ": {oversubscription: %s} # %s\n",
                     tug_milli_format(w->levels.at[i].oversubscription_milli, ratio, sizeof ratio),
                     w->levels.at[i].how);
    }
}

/* ---- comparing two */

struct vote { /* nodes, or domains below, that two domains have in common */
    uint32_t from, to;
    size_t n;
    bool same_name;
};
struct votes tug_vec(struct vote);

static int by_pair(const void *a, const void *b)
{
    const struct vote *x = a, *y = b;
    return x->from != y->from ? (x->from > y->from) - (x->from < y->from)
                              : (x->to > y->to) - (x->to < y->to);
}

static int most_first(const void *a, const void *b)
{
    const struct vote *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return x->same_name != y->same_name ? (int) y->same_name - (int) x->same_name : by_pair(a, b);
}

/* Pairs of domains that have most in common, each domain once. */
static void assign(struct votes *v, uint32_t *map, bool *taken)
{
    size_t n = 0;
    if (!v->len)
        return;
    qsort(v->at, v->len, sizeof *v->at, by_pair);
    for (size_t i = 0; i < v->len; i++)
        if (n && !by_pair(&v->at[n - 1], &v->at[i]))
            v->at[n - 1].n += v->at[i].n;
        else
            v->at[n++] = v->at[i];
    qsort(v->at, n, sizeof *v->at, most_first);
    for (size_t i = 0; i < n; i++)
        if (map[v->at[i].from] == TUG_WIRING_NONE && !taken[v->at[i].to]) {
            map[v->at[i].from] = v->at[i].to;
            taken[v->at[i].to] = true;
        }
    v->len = 0;
}

static const struct tug_wiring_node *find_node(const struct tug_wiring *w, const char *host)
{
    struct tug_wiring_node *n;
    HASH_FIND_STR(w->nodes, host, n);
    return n;
}

static void vote(const struct tug_wiring *w, const struct tug_wiring *running, struct votes *v,
                 uint32_t from, uint32_t to)
{
    if (to != TUG_WIRING_NONE)
        tug_vec_push(
            v, ((struct vote){from, to, 1,
                              !strcmp(w->domains.at[from]->name, running->domains.at[to]->name)}));
}

/* map[i]: the running domain that domain i of the file is; from the lowest up. */
static uint32_t *match(const struct tug_wiring *w, const struct tug_wiring *running)
{
    uint32_t *map = tug_xcalloc(w->domains.len + 1, sizeof *map);
    bool *taken = tug_xcalloc(running->domains.len + 1, sizeof *taken);
    struct votes v = {0};
    for (size_t i = 0; i < w->domains.len; i++)
        map[i] = TUG_WIRING_NONE;
    for (uint32_t h = 0; h <= TUG_WIRING_DEPTH_MAX; h++) {
        for (uint32_t i = 0; i < w->domains.len; i++) {
            const struct tug_wiring_domain *d = w->domains.at[i];
            uint32_t up = d->parent;
            for (size_t k = 0; d->height == h && k < d->nodes.len; k++) {
                const struct tug_wiring_node *n = find_node(running, d->nodes.at[k]);
                vote(w, running, &v, i, n ? n->domain : TUG_WIRING_NONE);
            }
            if (up != TUG_WIRING_NONE && w->domains.at[up]->height == h &&
                map[i] != TUG_WIRING_NONE)
                vote(w, running, &v, up, running->domains.at[map[i]]->parent);
        }
        assign(&v, map, taken);
    }
    tug_vec_clear(&v);
    free(taken);
    return map;
}

static void drift(struct tug_wiring_drift *out, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void drift(struct tug_wiring_drift *out, const char *fmt, ...)
{
    char text[TUG_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tug_vec_push(out, tug_xstrdup(text));
}

static void compare_node(const struct tug_wiring *running, const uint32_t *map, uint32_t i,
                         const struct tug_wiring_domain *d, const char *host,
                         struct tug_wiring_drift *out)
{
    const struct tug_wiring_node *n = find_node(running, host);
    if (!n)
        drift(out, "node %s, in '%s' in the file, is not configured", host, d->name);
    else if (n->domain == TUG_WIRING_NONE)
        drift(out, "node %s is configured in no domain, and in '%s' in the file", host, d->name);
    else if (n->domain != map[i])
        drift(out, "node %s is configured in '%s', and in '%s' in the file", host,
              running->domains.at[n->domain]->name,
              map[i] == TUG_WIRING_NONE ? d->name : running->domains.at[map[i]]->name);
}

static void compare_parent(const struct tug_wiring *w, const struct tug_wiring *running,
                           const uint32_t *map, uint32_t i, struct tug_wiring_drift *out)
{
    uint32_t here = w->domains.at[i]->parent;
    if (map[i] == TUG_WIRING_NONE)
        return; /* its nodes are told */
    const struct tug_wiring_domain *is = running->domains.at[map[i]];
    uint32_t want = here == TUG_WIRING_NONE ? TUG_WIRING_NONE : map[here];
    if (want == is->parent && (here == TUG_WIRING_NONE) == (want == TUG_WIRING_NONE))
        return;
    struct tug_buf text = {0};
    tug_buf_addf(&text, "domain '%s' is configured ", is->name);
    if (is->parent == TUG_WIRING_NONE)
        tug_buf_adds(&text, "at the top");
    else
        tug_buf_addf(&text, "below '%s'", running->domains.at[is->parent]->name);
    if (here == TUG_WIRING_NONE)
        tug_buf_adds(&text, ", and at the top in the file");
    else
        tug_buf_addf(&text, ", and below '%s' in the file",
                     want == TUG_WIRING_NONE ? w->domains.at[here]->name
                                             : running->domains.at[want]->name);
    tug_vec_push(out, tug_buf_take(&text));
}

void tug_wiring_compare(const struct tug_wiring *w, const struct tug_wiring *running,
                        struct tug_wiring_drift *out)
{
    uint32_t *map = match(w, running);
    for (uint32_t i = 0; i < w->domains.len; i++)
        for (size_t k = 0; k < w->domains.at[i]->nodes.len; k++)
            compare_node(running, map, i, w->domains.at[i], w->domains.at[i]->nodes.at[k], out);
    for (size_t i = 0; i < running->domains.len; i++)
        for (size_t k = 0; k < running->domains.at[i]->nodes.len; k++) {
            const char *host = running->domains.at[i]->nodes.at[k];
            const struct tug_wiring_node *n = find_node(w, host);
            if (!n || n->domain == TUG_WIRING_NONE)
                drift(out, "node %s is configured in '%s', and is not in the file", host,
                      running->domains.at[i]->name);
        }
    for (uint32_t i = 0; i < w->domains.len; i++)
        compare_parent(w, running, map, i, out);
    free(map);
}

void tug_wiring_drift_clear(struct tug_wiring_drift *d)
{
    for (size_t i = 0; i < d->len; i++)
        free(d->at[i]);
    tug_vec_clear(d);
}
