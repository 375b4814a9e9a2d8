/* fabric.c - the domains of a configuration make a tree, and each node has one place in it
 *
 * Everything wrong is listed, each with both places that contradict each other. Layer: conf.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hostlist.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/config.h"

struct named { /* a domain by its name, or one of its hosts */
    const char *name;
    const struct tug_conf_domain *domain;
};

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int by = strcmp(x->name, y->name);
    return by ? by : (x->domain > y->domain) - (x->domain < y->domain);
}

static int is_called(const void *name, const void *row)
{
    return strcmp(name, ((const struct named *) row)->name);
}

static struct tug_conf_pos pos_of(const struct tug_conf_domain *d, const void *field)
{
    return tug_schema_pos(&tug_conf_domain_schema, d, field);
}

static char *place(struct tug_conf_pos pos)
{
    struct tug_buf b = {0};
    tug_conf_pos_print(pos, &b);
    return tug_buf_take(&b);
}

/* Domains whose names could be read, sorted; later ones of the same name are told and left out. */
static size_t sort_domains(const struct tug_config *c, struct named *rows,
                           struct tug_conf_errors *errs)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < c->n_fabric; i++)
        if (c->fabric[i].name)
            rows[n++] = (struct named){c->fabric[i].name, &c->fabric[i]};
    qsort(rows, n, sizeof *rows, by_name);
    for (size_t i = 0; i < n; i++) {
        if (!kept || strcmp(rows[kept - 1].name, rows[i].name)) {
            rows[kept++] = rows[i];
            continue;
        }
        char *at = place(pos_of(rows[kept - 1].domain, &rows[kept - 1].domain->name));
        tug_conf_errors_add(errs, pos_of(rows[i].domain, &rows[i].domain->name), rows[i].name,
                            strlen(rows[i].name), "give one of them another name",
                            "there is a domain '%s' already (%s)", rows[i].name, at);
        free(at);
    }
    return kept;
}

static const struct tug_conf_domain *find(const struct named *rows, size_t n, const char *name)
{
    const struct named *r = name ? bsearch(name, rows, n, sizeof *rows, is_called) : NULL;
    return r ? r->domain : NULL;
}

static void unknown_parent(const struct named *rows, size_t n, const struct tug_conf_domain *d,
                           struct tug_conf_errors *errs)
{
    const char **names = tug_xcalloc(n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++)
        names[i] = rows[i].name;
    const char *near = tug_str_nearest(d->parent, names, n);
    char *hint = near ? tug_xasprintf("did you mean '%s'?", near) : NULL;
    tug_conf_errors_add(errs, pos_of(d, &d->parent), d->parent, strlen(d->parent),
                        hint ? hint : "add it to 'fabric:', or take it out here",
                        "domain '%s': there is no domain '%s' above it", d->name, d->parent);
    free(hint);
    free(names);
}

/* seen[i]: the walk that came by. A walk that meets itself has gone round. */
static void check_tree(const struct tug_config *c, const struct named *rows, size_t n,
                       struct tug_conf_errors *errs)
{
    size_t *seen = tug_xcalloc(c->n_fabric + 1, sizeof *seen);
    for (size_t i = 0; i < n; i++)
        for (const struct tug_conf_domain *d = rows[i].domain; d; d = find(rows, n, d->parent)) {
            if (seen[d - c->fabric] == i + 1)
                tug_conf_errors_add(errs, pos_of(d, &d->parent), d->parent, strlen(d->parent),
                                    "a fabric is a tree: take out one of the parents",
                                    "domain '%s' is below '%s', which is itself below '%s'",
                                    d->name, d->parent, d->name);
            if (seen[d - c->fabric])
                break;
            seen[d - c->fabric] = i + 1;
            if (d->parent && !find(rows, n, d->parent))
                unknown_parent(rows, n, d, errs);
        }
    free(seen);
}

static void check_known(const struct tug_config *c, const struct tug_conf_domain *d,
                        struct tug_conf_errors *errs)
{
    struct tug_hostlist *unknown = tug_hostlist_new();
    for (size_t i = 0; i < tug_hostlist_count(d->nodes.list); i++)
        if (!tug_config_find_node(c, tug_hostlist_nth(d->nodes.list, i)))
            tug_hostlist_add(unknown, tug_hostlist_nth(d->nodes.list, i), NULL);
    if (tug_hostlist_count(unknown)) {
        struct tug_buf text = {0}, shown = {0};
        tug_hostlist_format(unknown, &text);
        tug_conf_show(&shown, tug_buf_str(&text), text.len, 120);
        tug_conf_errors_add(errs, pos_of(d, &d->nodes), d->nodes.text, strlen(d->nodes.text),
                            "add them to 'nodes:', or take them out here",
                            "domain '%s' has nodes that 'nodes:' does not have: %s", d->name,
                            tug_buf_str(&shown));
        tug_buf_clear(&text);
        tug_buf_clear(&shown);
    }
    tug_hostlist_free(unknown);
}

/* One sentence for each domain that has a host of another one is enough. */
static void check_once(const struct tug_config *c, size_t n_hosts, struct tug_conf_errors *errs)
{
    struct named *hosts = tug_xcalloc(n_hosts + 1, sizeof *hosts);
    char *told = tug_xcalloc(c->n_fabric + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < c->n_fabric; i++)
        for (size_t k = 0;
             c->fabric[i].nodes.list && k < tug_hostlist_count(c->fabric[i].nodes.list); k++)
            hosts[n++] =
                (struct named){tug_hostlist_nth(c->fabric[i].nodes.list, k), &c->fabric[i]};
    qsort(hosts, n, sizeof *hosts, by_name);
    for (size_t i = 1; i < n; i++) {
        const struct tug_conf_domain *d = hosts[i].domain, *other = hosts[i - 1].domain;
        if (strcmp(hosts[i].name, hosts[i - 1].name) || told[d - c->fabric]++)
            continue;
        char *at = place(pos_of(other, &other->nodes));
        tug_conf_errors_add(errs, pos_of(d, &d->nodes), d->nodes.text, strlen(d->nodes.text),
                            "keep it in one of the two",
                            "node '%s' is in domain '%s' and in domain '%s' (%s)", hosts[i].name,
                            d->name, other->name, at);
        free(at);
    }
    free(told);
    free(hosts);
}

/* Most likely its name is misspelt here or there. */
static void check_levels(const struct tug_config *c, struct tug_conf_errors *errs)
{
    const char **names = tug_xcalloc(c->n_fabric + 1, sizeof *names);
    size_t n = 0;
    for (size_t i = 0; i < c->n_fabric; i++)
        if (c->fabric[i].level)
            names[n++] = c->fabric[i].level;
    for (size_t k = 0; k < c->n_fabric_levels; k++) {
        const struct tug_conf_level *l = &c->fabric_levels[k];
        size_t i = 0;
        while (l->name && i < n && strcmp(names[i], l->name) != 0)
            i++;
        if (!l->name || i < n)
            continue;
        const char *near = tug_str_nearest(l->name, names, n);
        char *hint = near ? tug_xasprintf("did you mean '%s'?", near) : NULL;
        tug_conf_errors_add(errs, tug_schema_pos(&tug_conf_level_schema, l, &l->name), l->name,
                            strlen(l->name), hint ? hint : "give domains in 'fabric:' that level",
                            "no domain is of level '%s'", l->name);
        free(hint);
    }
    free(names);
}

void tug_config_check_fabric(const struct tug_config *c, bool nodes_known,
                             struct tug_conf_errors *errs)
{
    struct named *rows = tug_xcalloc(c->n_fabric + 1, sizeof *rows);
    size_t n = sort_domains(c, rows, errs), n_hosts = 0;
    bool named = true;

    check_tree(c, rows, n, errs);
    for (size_t i = 0; i < c->n_fabric; i++) {
        const struct tug_conf_domain *d = &c->fabric[i];
        named = named && d->name;
        if (!d->nodes.list || !d->name)
            continue;
        n_hosts += tug_hostlist_count(d->nodes.list);
        if (nodes_known)
            check_known(c, d, errs);
    }
    if (nodes_known)
        check_levels(c, errs);
    if (named)
        check_once(c, n_hosts, errs);
    free(rows);
}
