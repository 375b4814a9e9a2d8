/* wiring_csv.c - a table of nodes: the node, then the domains that it is in
 *
 * The first line names the columns; what they are called is the level. Domains of a level that has
 * more of them are below those of one with fewer, so the order of the columns does not matter.
 * Layer: conf.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "conf/wiring.h"

enum { COLUMNS_MAX = 16 };

struct column {
    char *level;
    size_t at;               /* in the file, 1 = behind the node */
    struct tug_wiring *seen; /* its values, as domains of a wiring of its own */
};

struct table {
    struct column columns[COLUMNS_MAX];
    size_t n;
};

/* Fields of a line, each without blanks and quotes around it; returns how many there are. */
static size_t fields(const char *line, size_t len, char *copy, char *out[COLUMNS_MAX + 1])
{
    size_t n = 0;
    memcpy(copy, line, len);
    copy[len] = '\0';
    for (char *s = copy, *next; s && n <= COLUMNS_MAX; s = next) {
        next = strchr(s, ',');
        if (next)
            *next++ = '\0';
        s += strspn(s, " \t\"");
        size_t end = strlen(s);
        while (end && strchr(" \t\"", s[end - 1]))
            s[--end] = '\0';
        out[n++] = s;
    }
    return n;
}

static int most_first(const void *a, const void *b)
{
    const struct column *x = a, *y = b;
    size_t nx = x->seen->domains.len, ny = y->seen->domains.len;
    return nx != ny ? (nx < ny ? 1 : -1) : (x->at > y->at) - (x->at < y->at);
}

static bool read_head(struct table *b, const struct tug_wiring_text *t, unsigned line, char **f,
                      size_t n)
{
    if (n < 2 || n > COLUMNS_MAX) {
        tug_wiring_error(t, line, NULL, 0, "expected a heading like node,leaf,pod,core",
                         "%zu columns, not 2 to %d", n, COLUMNS_MAX);
        return false;
    }
    for (size_t i = 1; i < n; i++) {
        if (!*f[i] ||
            strspn(f[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                         "._-") != strlen(f[i]) ||
            strlen(f[i]) > 60 || strchr("._-", *f[i])) {
            tug_wiring_error(t, line, f[i], strlen(f[i]),
                             "expected a heading like node,leaf,pod,core",
                             "column %zu is not called like a level", i + 1);
            return false;
        }
        b->columns[b->n++] = (struct column){tug_xstrdup(f[i]), i, tug_wiring_new()};
    }
    return true;
}

/* Its name alone where it is below the same domain everywhere; else with that one's in front. */
static void take_node(struct tug_wiring *w, const struct table *b, char **f, unsigned line)
{
    uint32_t below = TUG_WIRING_NONE;
    char path[1024] = "";
    uint32_t at[COLUMNS_MAX];
    for (size_t i = b->n; i-- > 0;) { /* from the top down */
        const char *value = f[b->columns[i].at];
        at[i] = TUG_WIRING_NONE;
        if (!*value)
            continue;
        size_t len = strlen(path);
        snprintf(path + len, sizeof path - len, "%s%s", len ? "/" : "", value);
        at[i] = tug_wiring_domain(w, path, line);
        struct tug_wiring_domain *d = w->domains.at[at[i]];
        d->is_described = true;
        if (!d->level)
            d->level = tug_xstrdup(b->columns[i].level);
        if (!d->name)
            d->name = tug_xstrdup(value);
        if (below != TUG_WIRING_NONE)
            tug_wiring_below(w, at[i], below, line);
        below = at[i];
    }
    if (below != TUG_WIRING_NONE)
        tug_wiring_put(w, below, f[0], line);
    else
        tug_wiring_warn(w, line, "node '%.100s' is in no domain", f[0]);
}

/* Domains of one name in several places are told apart by the whole path. */
static void tell_apart(struct tug_wiring *w)
{
    struct tug_wiring *names = tug_wiring_new();
    size_t *uses = tug_xcalloc(w->domains.len + 1, sizeof *uses), n = 0;
    uint32_t first = TUG_WIRING_NONE;
    for (size_t i = 0; i < w->domains.len; i++)
        uses[tug_wiring_domain(names, w->domains.at[i]->name, 0)]++;
    for (uint32_t i = 0; i < w->domains.len; i++) {
        struct tug_wiring_domain *d = w->domains.at[i];
        if (uses[tug_wiring_domain(names, d->name, 0)] < 2)
            continue;
        first = first == TUG_WIRING_NONE ? i : first;
        n++;
        free(d->name);
        d->name = tug_xstrdup(d->key);
        for (char *s = d->name; *s; s++)
            *s = *s == '/' ? '-' : *s;
    }
    if (n)
        tug_wiring_warn(w, w->domains.at[first]->line,
                        "%zu domains have names that are below several others: they are taken as "
                        "different ones and called by their whole path, like '%.100s'",
                        n, w->domains.at[first]->name);
    free(uses);
    tug_wiring_free(names);
}

/* Twice: once to see which column has how many domains, once to take them. */
static void walk(struct tug_wiring *w, struct table *b, const struct tug_wiring_text *t, bool take)
{
    const char *rest = t->text, *line;
    char *f[COLUMNS_MAX + 1], *copy = tug_xmalloc(t->len + 1);
    size_t len, want = b->n + 1;
    unsigned number = 0;
    bool head = true, ok = true;
    while (ok && tug_wiring_line(&rest, &line, &len)) {
        number++;
        if (!len || *line == '#')
            continue;
        size_t n = fields(line, len, copy, f);
        if (head) {
            head = false;
            ok = take || read_head(b, t, number, f, n);
            want = b->n + 1;
        } else if (n != want || !*f[0]) {
            if (!take)
                tug_wiring_error(t, number, line, len < 60 ? len : 60,
                                 "expected the node, then its domains, as in the heading",
                                 "%zu fields, not %zu", n, want);
        } else if (take) {
            take_node(w, b, f, number);
        } else {
            for (size_t i = 0; i < b->n; i++)
                if (*f[i + 1])
                    tug_wiring_domain(b->columns[i].seen, f[i + 1], number);
        }
    }
    free(copy);
}

void tug_wiring_read_csv(struct tug_wiring *w, const struct tug_wiring_text *t)
{
    struct table b = {.n = 0};
    walk(w, &b, t, false);
    if (!tug_conf_errors_count(t->errs)) {
        qsort(b.columns, b.n, sizeof *b.columns, most_first);
        walk(w, &b, t, true);
        tell_apart(w);
    }
    for (size_t i = 0; i < b.n; i++) {
        free(b.columns[i].level);
        tug_wiring_free(b.columns[i].seen);
    }
}
