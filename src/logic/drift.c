/* drift.c - what nodes say of the network between them, against the fabric that is configured
 *
 * Rows are sorted by what should be the same, then by what tells them apart: the longest run is right, and who is in another one
 * is named beside the first node of that run. Layer: logic.
 */
#include "logic/drift.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "logic/control_int.h"

int tug_drift_is_nvlink(const char *level)
{
    return !strncasecmp(level, "nvl", 3) || !strcasecmp(level, "block") || !strcasecmp(level, "clique");
}

/* ---- sorting */

struct sorted {
    const char *group, *part;   /* what should be the same; by what they differ */
    size_t row;
};

static int in_order(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    int order = strcmp(x->group, y->group);

    if (!order)
        order = strcmp(x->part, y->part);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* The end of the run of one part (or group) that begins at 'at'. */
static size_t run_end(const struct sorted *s, size_t n, size_t at, int of_group)
{
    size_t end = at;

    while (end < n && !strcmp(s[end].group, s[at].group) && (of_group || !strcmp(s[end].part, s[at].part)))
        end++;
    return end;
}

/* For each row of a group with several parts that is not in the largest, the first row of that one. SIZE_MAX: it is right. */
static void find_others(struct sorted *s, size_t n, size_t *home_of)
{
    qsort(s, n, sizeof *s, in_order);
    for (size_t at = 0, end; at < n; at = end) {
        size_t home = at, most = 0;

        end = run_end(s, n, at, 1);
        for (size_t part = at, next; part < end; part = next) {
            next = run_end(s, end, part, 0);
            if (next - part > most || (next - part == most && s[part].row < s[home].row)) {
                most = next - part;
                home = part;
            }
        }
        for (size_t i = at; i < end; i++)
            home_of[s[i].row] = strcmp(s[i].part, s[home].part) ? s[home].row : SIZE_MAX;
    }
}

/* ---- finding */

static char *place(const struct tug_drift_row *r, char out[80])
{
    if (*r->domain)
        snprintf(out, 80, "domain '%.60s'", r->domain);
    else
        strcpy(out, "no domain");
    return out;
}

void tug_drift_find(const struct tug_drift_row *rows, size_t n, void (*say)(void *arg, size_t row, const char *text), void *arg)
{
    struct sorted *s = tug_xcalloc(n + 1, sizeof *s);
    size_t *home = tug_xcalloc(n + 1, sizeof *home), *of_domain = tug_xcalloc(n + 1, sizeof *of_domain), m = 0;
    char text[TUG_DRIFT_TEXT], x[80], y[80];

    for (size_t i = 0; i < n; i++) {
        of_domain[i] = SIZE_MAX;
        s[i] = (struct sorted){rows[i].nvlink, rows[i].domain, i};
    }
    find_others(s, n, home);
    for (size_t i = 0; i < n; i++)
        if (rows[i].is_nvlink)
            s[m++] = (struct sorted){rows[i].domain, rows[i].nvlink, i};
    find_others(s, m, of_domain);
    for (size_t i = 0; i < n; i++) {
        if (home[i] != SIZE_MAX)
            snprintf(text, sizeof text, "node %s is in %s of the fabric; NVLink joins it with %s, which is in %s", rows[i].node,
                     place(&rows[i], x), rows[home[i]].node, place(&rows[home[i]], y));
        else if (of_domain[i] != SIZE_MAX)
            snprintf(text, sizeof text, "node %s is in %s of the fabric with %s; NVLink does not join the two", rows[i].node,
                     place(&rows[i], x), rows[of_domain[i]].node);
        else
            continue;
        say(arg, i, text);
    }
    free(s);
    free(home);
    free(of_domain);
}

/* ---- of the controller's nodes */

struct found {
    void (*say)(void *arg, uint32_t node, const char *text);
    void *arg;
    const uint32_t *nodes;      /* of the rows */
};

static void on_found(void *arg, size_t row, const char *text)
{
    struct found *f = arg;

    f->say(f->arg, f->nodes[row], text);
}

/* The domain that NVLink joins, where one is above the node; else its own. */
static void set_domain(const struct tug_control *c, uint32_t domain, struct tug_drift_row *out)
{
    struct tug_core_domain_view d;

    for (uint32_t up = domain; up != UINT32_MAX && !out->is_nvlink; up = d.parent) {
        tug_core_domain(c->core, up, &d);
        out->is_nvlink = tug_drift_is_nvlink(d.level) != 0;
        if (up == domain || out->is_nvlink)
            out->domain = d.name;
    }
}

void tug_ctl_drift(const struct tug_control *c, void (*say)(void *arg, uint32_t node, const char *text), void *arg)
{
    struct tug_drift_row *rows = tug_xcalloc(c->n_nodes + 1, sizeof *rows);
    uint32_t *nodes = tug_xcalloc(c->n_nodes + 1, sizeof *nodes);
    struct found f = {say, arg, nodes};
    size_t n = 0;

    for (uint32_t i = 0; i < c->n_nodes && tug_core_domains(c->core); i++) {
        struct tug_core_node k;

        if (!c->nodes[i].nvlink_domain || !*c->nodes[i].nvlink_domain)
            continue;
        tug_core_node(c->core, i, &k);
        rows[n] = (struct tug_drift_row){.node = k.name, .nvlink = c->nodes[i].nvlink_domain, .domain = ""};
        set_domain(c, k.domain, &rows[n]);
        nodes[n++] = i;
    }
    tug_drift_find(rows, n, on_found, &f);
    free(rows);
    free(nodes);
}

struct log {
    struct tug_control *c;
    uint32_t only;
};

static void log_one(void *arg, uint32_t node, const char *text)
{
    const struct log *l = arg;

    if (l->only == UINT32_MAX || l->only == node)
        tug_ctl_log(l->c, TUG_LOG_WARN, "%s: one of the two is elsewhere than the configuration says; 'tug fabric' shows it", text);
}

void tug_ctl_drift_log(struct tug_control *c, uint32_t only)
{
    struct log l = {c, only};

    tug_ctl_drift(c, log_one, &l);
}
