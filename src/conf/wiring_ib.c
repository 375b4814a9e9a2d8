/* wiring_ib.c - what ibnetdiscover(8) prints of an InfiniBand fabric
 *
 * Only the stanzas of switches are read: each link to a host is in one of them. A host is named by
 * the first word of its HCA's description ("node01 mlx5_0"). Switches with hosts are leaves; from
 * there the levels are counted upwards. Hosts whose HCAs are on the same leaves are together: on
 * one leaf, or, where their HCAs are on several, in a group of rails. Above that, whatever shares a
 * switch is together, as any two of it meet there. Layer: conf.
 */
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "base/hostlist.h"
#include "base/mem.h"
#include "conf/wiring.h"

struct rows tug_vec(uint32_t);

struct ib_switch {
    char *guid, *name;
    unsigned line;
    uint32_t row;
    struct rows to;     /* switches, with repetitions */
    struct rows speeds; /* of these links, Mb/s */
    struct rows hosts;  /* on it, with repetitions */
    uint64_t down_mbps; /* of links to HCAs, also of unknown ones */
    uint32_t tier;      /* 0 = leaf; UINT32_MAX = not known */
    UT_hash_handle hh;
};

struct ib_host {
    char *name;
    uint32_t row;
    unsigned line;
    struct rows leaves; /* sorted, each once */
    UT_hash_handle hh;
};

struct group {      /* hosts, or domains, that are together */
    struct rows at; /* its switches of a tier, sorted */
    struct rows hosts;
    uint32_t domain;
};

struct ib {
    struct tug_wiring *w;
    const struct tug_wiring_text *t;
    struct ib_switch *by_guid;
    struct tug_vec(struct ib_switch *) switches;
    struct ib_host *by_name;
    struct tug_vec(struct ib_host *) hosts;
    struct tug_vec(struct group) groups;
    size_t unnamed, aggregators, stanzas;
    unsigned first_unnamed;
};

/* ---- reading */

static struct ib_switch *get_switch(struct ib *b, const char *guid, size_t len, unsigned line)
{
    struct ib_switch *s;
    HASH_FIND(hh, b->by_guid, guid, len, s);
    if (s)
        return s;
    s = tug_new(struct ib_switch);
    s->guid = tug_xasprintf("%.*s", (int) len, guid);
    s->row = (uint32_t) b->switches.len;
    s->line = line;
    s->tier = UINT32_MAX;
    HASH_ADD_KEYPTR(hh, b->by_guid, s->guid, len, s);
    tug_vec_push(&b->switches, s);
    return s;
}

static struct ib_host *get_host(struct ib *b, const char *name, unsigned line)
{
    struct ib_host *h;
    HASH_FIND_STR(b->by_name, name, h);
    if (h)
        return h;
    h = tug_new(struct ib_host);
    h->name = tug_xstrdup(name);
    h->row = (uint32_t) b->hosts.len;
    h->line = line;
    HASH_ADD_KEYPTR(hh, b->by_name, h->name, strlen(h->name), h);
    tug_vec_push(&b->hosts, h);
    return h;
}

/* What is between the next two '"'; *s goes behind it. */
static bool quoted(const char **s, const char *end, const char **at, size_t *len)
{
    const char *open = memchr(*s, '"', (size_t) (end - *s));
    const char *close = open ? memchr(open + 1, '"', (size_t) (end - open - 1)) : NULL;
    if (!close)
        return false;
    *at = open + 1;
    *len = (size_t) (close - open - 1);
    *s = close + 1;
    return true;
}

/* "4xNDR" at the end of a line, in Mb/s; 0 = not known. */
static uint32_t speed_of(const char *line, size_t len)
{
    static const struct {
        const char *name;
        uint32_t mbps; /* of a lane, as it is called by */
    } lanes[] = {{"SDR", 2500},  {"DDR", 5000},  {"QDR", 10000},  {"FDR10", 10000}, {"FDR", 14000},
                 {"EDR", 25000}, {"HDR", 50000}, {"NDR", 100000}, {"XDR", 200000}};
    size_t from = len;
    unsigned width = 0;
    char word[16] = "", name[16];
    while (from && line[from - 1] != ' ' && line[from - 1] != '\t')
        from--;
    if (len - from >= sizeof word)
        return 0;
    memcpy(word, line + from, len - from);
    if (sscanf(word, "%2ux%15s", &width, name) != 2 || width > 12)
        return 0;
    for (size_t i = 0; i < sizeof lanes / sizeof *lanes; i++)
        if (!strcmp(name, lanes[i].name))
            return width * lanes[i].mbps;
    return 0;
}

/* "node01 mlx5_0" is a host and its HCA; anything else tells no host, nor does the name that all
 * have before they get one. */
static bool host_name(const char *text, size_t len, char *out, size_t size)
{
    const char *blank = memchr(text, ' ', len);
    size_t host = blank ? (size_t) (blank - text) : 0;
    if (!host || host >= size || memchr(blank + 1, ' ', len - host - 1) || len == host + 1)
        return false;
    memcpy(out, text, host);
    out[host] = '\0';
    return tug_hostname_ok(out) && strncmp(out, "localhost", 9) != 0;
}

static void link_host(struct ib *b, struct ib_switch *s, const char *rest, const char *end,
                      unsigned line, uint32_t mbps)
{
    const char *about;
    size_t len;
    char name[TUG_HOSTNAME_MAX + 1];
    if (!quoted(&rest, end, &about, &len))
        len = 0;
    if (len >= 16 && !memcmp(about + len - 16, "Aggregation Node", 16)) {
        b->aggregators++;
        return;
    }
    s->down_mbps += mbps;
    if (!len || !host_name(about, len, name, sizeof name)) {
        b->first_unnamed = b->unnamed++ ? b->first_unnamed : line;
        return;
    }
    tug_vec_push(&s->hosts, get_host(b, name, line)->row);
}

/* [35]	"S-2c5e"[32]		# "MF0;spine-02:MQM9701/U1" lid 236 4xNDR */
static void read_port(struct ib *b, struct ib_switch *s, const char *line, size_t len,
                      unsigned number)
{
    const char *rest = line, *end = line + len, *peer;
    size_t n;
    if (!quoted(&rest, end, &peer, &n) || n < 3 || peer[1] != '-') {
        tug_wiring_error(b->t, number, line, len,
                         "expected [PORT] \"H-GUID\"[PORT] # \"NAME\" lid N SPEED",
                         "this port is not connected to anything that can be read");
        return;
    }
    uint32_t mbps = speed_of(line, len);
    if (*peer == 'H') {
        link_host(b, s, rest, end, number, mbps);
    } else if (*peer == 'S') {
        uint32_t to = get_switch(b, peer, n, number)->row;
        tug_vec_push(&s->to, to);
        tug_vec_push(&s->speeds, mbps);
    } else {
        tug_wiring_warn(b->w, number, "a link to '%.*s' is left out", (int) (n < 60 ? n : 60),
                        peer);
    }
}

/* Switch	65 "S-2c5e"		# "MF0;leaf-04:MQM9701/U1" enhanced port 0 lid 73 lmc 0 */
static struct ib_switch *read_switch(struct ib *b, const char *line, size_t len, unsigned number)
{
    const char *rest = line, *end = line + len, *guid, *name;
    size_t n_guid, n_name;
    if (!quoted(&rest, end, &guid, &n_guid) || !n_guid) {
        tug_wiring_error(b->t, number, line, len, "expected Switch PORTS \"S-GUID\" # \"NAME\"",
                         "this switch has no GUID");
        return NULL;
    }
    struct ib_switch *s = get_switch(b, guid, n_guid, number);
    if (s->name) {
        tug_wiring_error(b->t, number, guid, n_guid, "expected the output of one run",
                         "this switch is described twice");
        return NULL;
    }
    b->stanzas++;
    s->line = number;
    if (!quoted(&rest, end, &name, &n_name) || !n_name) {
        name = guid;
        n_name = n_guid;
    }
    /* MF0;NAME:MODEL/U1 is how managed switches say it. */
    const char *semi = memchr(name, ';', n_name);
    if (semi) {
        n_name -= (size_t) (semi + 1 - name);
        name = semi + 1;
    }
    const char *colon = memchr(name, ':', n_name);
    s->name = tug_xasprintf("%.*s", (int) (colon && semi ? (size_t) (colon - name) : n_name), name);
    return s;
}

static void read_all(struct ib *b)
{
    const char *rest = b->t->text, *line;
    size_t len, routers = 0;
    unsigned number = 0;
    struct ib_switch *s = NULL;
    while (tug_wiring_line(&rest, &line, &len)) {
        number++;
        if (len && *line == '[') {
            if (s)
                read_port(b, s, line, len, number);
        } else if (len > 6 && !strncmp(line, "Switch", 6)) {
            s = read_switch(b, line, len, number);
        } else if (len > 2 && (!strncmp(line, "Ca", 2) || !strncmp(line, "Rt", 2))) {
            s = NULL;
            routers += *line == 'R';
        } else if (len && *line != '#' && !memchr(line, '=', len < 40 ? len : 40) &&
                   strspn(line, " \t") < len && strncmp(line, "DR path", 7) != 0) {
            tug_wiring_error(b->t, number, line, len,
                             "expected Switch, Ca, Rt, [PORT] or NAME=VALUE",
                             "this is no line of ibnetdiscover's");
        }
    }
    if (routers)
        tug_wiring_warn(b->w, 0, "%zu routers are left out", routers);
}

/* ---- tiers */

/* A switch with a few hosts among many links to switches that have more of them, as a manager's on
 * a spine, is no leaf. */
static bool is_leaf(const struct ib *b, const struct ib_switch *s)
{
    size_t fuller = 0;
    if (!s->hosts.len)
        return false;
    for (size_t i = 0; i < s->to.len; i++)
        fuller += b->switches.at[s->to.at[i]]->hosts.len > s->hosts.len;
    return fuller < 2 || s->hosts.len * 8 >= s->to.len;
}

static void set_tiers(struct ib *b)
{
    struct rows queue = {0};
    for (uint32_t i = 0; i < b->switches.len; i++)
        if (is_leaf(b, b->switches.at[i])) {
            b->switches.at[i]->tier = 0;
            tug_vec_push(&queue, i);
        }
    for (size_t k = 0; k < queue.len; k++) {
        const struct ib_switch *s = b->switches.at[queue.at[k]];
        for (size_t i = 0; i < s->to.len; i++) {
            struct ib_switch *to = b->switches.at[s->to.at[i]];
            if (to->tier != UINT32_MAX)
                continue;
            to->tier = s->tier + 1;
            tug_vec_push(&queue, to->row);
        }
    }
    tug_vec_clear(&queue);
}

/* ---- who is together */

static int by_row(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return (x > y) - (x < y);
}

static void sort_once(struct rows *r)
{
    size_t n = 0;
    if (r->len)
        qsort(r->at, r->len, sizeof *r->at, by_row);
    for (size_t i = 0; i < r->len; i++)
        if (!n || r->at[n - 1] != r->at[i])
            r->at[n++] = r->at[i];
    r->len = n;
}

/* More leaves first, then by what they are. */
static int by_leaves(const void *a, const void *b)
{
    const struct ib_host *x = *(struct ib_host *const *) a, *y = *(struct ib_host *const *) b;
    if (x->leaves.len != y->leaves.len)
        return x->leaves.len < y->leaves.len ? 1 : -1;
    int by = x->leaves.len
                 ? memcmp(x->leaves.at, y->leaves.at, x->leaves.len * sizeof *x->leaves.at)
                 : 0;
    return by ? by : by_row(&x->row, &y->row);
}

static bool is_within(const struct rows *small, const struct rows *large)
{
    size_t k = 0;
    for (size_t i = 0; i < small->len; i++, k++) {
        while (k < large->len && large->at[k] < small->at[i])
            k++;
        if (k == large->len || large->at[k] != small->at[i])
            return false;
    }
    return true;
}

/* The group that a host belongs to: one with its leaves, or with more than these if a link of it is
 * down. */
static uint32_t group_of(const struct ib *b, const struct rows *of_leaf, const struct ib_host *h)
{
    const struct rows *candidates = &of_leaf[h->leaves.at[0]];
    uint32_t best = UINT32_MAX;
    for (size_t i = 0; i < candidates->len; i++) {
        const struct group *g = &b->groups.at[candidates->at[i]];
        if (is_within(&h->leaves, &g->at) &&
            (best == UINT32_MAX || g->hosts.len > b->groups.at[best].hosts.len))
            best = candidates->at[i];
    }
    return best;
}

static void group_hosts(struct ib *b)
{
    struct rows *of_leaf = tug_xcalloc(b->switches.len + 1, sizeof *of_leaf);
    struct ib_host **sorted = tug_xcalloc(b->hosts.len + 1, sizeof *sorted);
    for (size_t i = 0; i < b->switches.len; i++)
        for (size_t k = 0; b->switches.at[i]->tier == 0 && k < b->switches.at[i]->hosts.len; k++)
            tug_vec_push(&b->hosts.at[b->switches.at[i]->hosts.at[k]]->leaves, (uint32_t) i);
    for (size_t i = 0; i < b->hosts.len; i++) {
        sorted[i] = b->hosts.at[i];
        sort_once(&sorted[i]->leaves);
    }
    if (b->hosts.len)
        qsort(sorted, b->hosts.len, sizeof *sorted, by_leaves);
    for (size_t i = 0; i < b->hosts.len; i++) {
        const struct ib_host *h = sorted[i];
        if (!h->leaves.len) {
            tug_wiring_warn(b->w, h->line, "host '%s' is on no leaf switch and is left out",
                            h->name);
            continue;
        }
        uint32_t g = group_of(b, of_leaf, h);
        if (g == UINT32_MAX) {
            struct group made = {.domain = TUG_WIRING_NONE};
            g = (uint32_t) b->groups.len;
            for (size_t k = 0; k < h->leaves.len; k++) {
                tug_vec_push(&made.at, h->leaves.at[k]);
                tug_vec_push(&of_leaf[h->leaves.at[k]], g);
            }
            tug_vec_push(&b->groups, made);
        }
        tug_vec_push(&b->groups.at[g].hosts, h->row);
    }
    for (size_t i = 0; i < b->switches.len; i++)
        tug_vec_clear(&of_leaf[i]);
    free(of_leaf);
    free(sorted);
}

/* ---- domains */

static const char *name_of(const struct ib *b, uint32_t row)
{
    const struct ib_switch *s = b->switches.at[row];
    return s->name ? s->name : s->guid;
}

static int by_name(const void *a, const void *b)
{
    return tug_hostname_cmp(*(const char *const *) a, *(const char *const *) b);
}

/* One switch gives its name; several are named by the first, and listed. */
static void make_domain(struct ib *b, struct group *g, const char *level, const char *prefix)
{
    struct tug_vec(const char *) names = {0};
    struct tug_buf key = {0};
    for (size_t i = 0; i < g->at.len; i++)
        tug_vec_push(&names, name_of(b, g->at.at[i]));
    qsort(names.at, names.len, sizeof *names.at, by_name);
    tug_buf_addf(&key, "%s%s%s", names.len > 1 ? prefix : "", names.len > 1 ? "-" : "",
                 names.at[0]);
    /* Another group's, or a switch of the same name: this one gets a number. */
    size_t len = key.len;
    unsigned line = b->switches.at[g->at.at[0]]->line;
    g->domain = tug_wiring_domain(b->w, tug_buf_str(&key), line);
    for (unsigned n = 2; b->w->domains.at[g->domain]->is_described; n++) {
        key.len = len;
        tug_buf_addf(&key, ".%u", n);
        g->domain = tug_wiring_domain(b->w, tug_buf_str(&key), line);
    }
    struct tug_wiring_domain *d = b->w->domains.at[g->domain];
    d->is_described = true;
    d->level = tug_xstrdup(level);
    if (names.len > 1) {
        struct tug_buf about = {0};
        for (size_t i = 0; i < names.len && i < 16; i++)
            tug_buf_addf(&about, "%s%s", i ? ", " : "", names.at[i]);
        if (names.len > 16)
            tug_buf_addf(&about, " and %zu more", names.len - 16);
        d->about = tug_buf_take(&about);
    }
    tug_vec_clear(&names);
    tug_buf_clear(&key);
}

static uint32_t root_of(uint32_t *up, uint32_t i)
{
    while (up[i] != i)
        i = up[i] = up[up[i]];
    return i;
}

/* Joins groups that share a switch of the next tier; false when there is no such tier. */
static bool climb(struct ib *b, uint32_t tier)
{
    static const char *const usual[] = {"leaf", "spine", "core"};
    size_t n = b->groups.len;
    uint32_t *up = tug_xcalloc(n + b->switches.len + 1, sizeof *up);
    bool *has = tug_xcalloc(n + 1, sizeof *has), any = false;
    char level[32];
    struct tug_vec(struct group) above = {0};
    uint32_t *made = tug_xcalloc(n + b->switches.len + 1, sizeof *made);

    if (tier < 3)
        snprintf(level, sizeof level, "%s", usual[tier]);
    else
        snprintf(level, sizeof level, "level%u", tier + 1);
    for (uint32_t i = 0; i < n + b->switches.len; i++)
        up[i] = i;
    for (uint32_t g = 0; g < n; g++)
        for (size_t k = 0; k < b->groups.at[g].at.len; k++) {
            const struct ib_switch *s = b->switches.at[b->groups.at[g].at.at[k]];
            for (size_t i = 0; i < s->to.len; i++)
                if (b->switches.at[s->to.at[i]]->tier == tier) {
                    up[root_of(up, (uint32_t) n + s->to.at[i])] = root_of(up, g);
                    has[g] = any = true;
                }
        }
    for (uint32_t g = 0; g < n; g++)
        made[root_of(up, g)] += has[g];
    for (uint32_t g = 0; g < n; g++) /* how many are below; then, where it is in 'above', from 1 */
        if (has[g] && root_of(up, g) == g)
            tug_vec_push(&above, ((struct group){.domain = made[g] > 1 ? TUG_WIRING_NONE
                                                                       : b->groups.at[g].domain}));
    memset(made, 0, (n + b->switches.len) * sizeof *made);
    for (uint32_t g = 0, next = 0; g < n; g++)
        if (has[g] && root_of(up, g) == g)
            made[g] = ++next;
    for (uint32_t i = 0; i < b->switches.len; i++)
        if (made[root_of(up, (uint32_t) n + i)] && b->switches.at[i]->tier == tier)
            tug_vec_push(&above.at[made[root_of(up, (uint32_t) n + i)] - 1].at, i);
    for (size_t i = 0; i < above.len; i++)
        if (above.at[i].domain == TUG_WIRING_NONE)
            make_domain(b, &above.at[i], level, level);
    for (uint32_t g = 0; g < n; g++) {
        uint32_t to = has[g] ? above.at[made[root_of(up, g)] - 1].domain : TUG_WIRING_NONE;
        if (to != TUG_WIRING_NONE && to != b->groups.at[g].domain)
            tug_wiring_below(b->w, b->groups.at[g].domain, to, 0);
        tug_vec_clear(&b->groups.at[g].at);
        tug_vec_clear(&b->groups.at[g].hosts);
    }
    b->groups.len = 0;
    for (size_t i = 0; i < above.len; i++)
        tug_vec_push(&b->groups, above.at[i]);
    tug_vec_clear(&above);
    free(up);
    free(has);
    free(made);
    return any;
}

/* Links into the leaves, by links out of them. */
static void tell_oversubscription(struct ib *b, const char *level)
{
    uint64_t down = 0, out = 0;
    for (size_t i = 0; i < b->switches.len; i++) {
        const struct ib_switch *s = b->switches.at[i];
        if (s->tier != 0)
            continue;
        down += s->down_mbps;
        for (size_t k = 0; k < s->to.len; k++)
            out += b->switches.at[s->to.at[k]]->tier == 1 ? s->speeds.at[k] : 0;
    }
    if (!down || !out)
        return;
    int64_t milli = (int64_t) (down * 1000 / out);
    tug_vec_push(&b->w->levels, ((struct tug_wiring_level){
                                    tug_xstrdup(level),
                                    milli < 1000      ? 1000
                                    : milli > 1000000 ? 1000000
                                                      : milli,
                                    tug_xasprintf("links of %.4g Tb/s to hosts, %.4g Tb/s up",
                                                  (double) down / 1e6, (double) out / 1e6)}));
}

static void make_all(struct ib *b)
{
    size_t leaves = 0, rails = 0;
    for (size_t i = 0; i < b->groups.len; i++) {
        struct group *g = &b->groups.at[i];
        bool is_rails = g->at.len > 1;
        make_domain(b, g, is_rails ? "rail" : "leaf", "rails");
        for (size_t k = 0; k < g->hosts.len; k++)
            tug_wiring_put(b->w, g->domain, b->hosts.at[g->hosts.at[k]]->name,
                           b->hosts.at[g->hosts.at[k]]->line);
        leaves += !is_rails;
        rails += is_rails;
    }
    if (!leaves || !rails) /* else it is not known whose links they are */
        tell_oversubscription(b, rails ? "rail" : "leaf");
    for (uint32_t tier = 1; tier <= TUG_WIRING_DEPTH_MAX && climb(b, tier); tier++)
        ;
}

static void clear(struct ib *b)
{
    HASH_CLEAR(hh, b->by_guid);
    HASH_CLEAR(hh, b->by_name);
    for (size_t i = 0; i < b->switches.len; i++) {
        struct ib_switch *s = b->switches.at[i];
        free(s->guid);
        free(s->name);
        tug_vec_clear(&s->to);
        tug_vec_clear(&s->speeds);
        tug_vec_clear(&s->hosts);
        free(s);
    }
    for (size_t i = 0; i < b->hosts.len; i++) {
        free(b->hosts.at[i]->name);
        tug_vec_clear(&b->hosts.at[i]->leaves);
        free(b->hosts.at[i]);
    }
    for (size_t i = 0; i < b->groups.len; i++) {
        tug_vec_clear(&b->groups.at[i].at);
        tug_vec_clear(&b->groups.at[i].hosts);
    }
    tug_vec_clear(&b->switches);
    tug_vec_clear(&b->hosts);
    tug_vec_clear(&b->groups);
}

void tug_wiring_read_ib(struct tug_wiring *w, const struct tug_wiring_text *t)
{
    struct ib b = {.w = w, .t = t};
    read_all(&b);
    if (!tug_conf_errors_count(t->errs)) {
        if (b.switches.len > b.stanzas)
            tug_wiring_warn(w, 0,
                            "%zu switches are named by others and not described: the file may be "
                            "cut off",
                            b.switches.len - b.stanzas);
        if (b.unnamed)
            tug_wiring_warn(w, b.first_unnamed,
                            "%zu HCAs do not tell their host (their description is not \"HOST "
                            "HCA\") and are left out; this is the first",
                            b.unnamed);
        if (b.aggregators)
            tug_wiring_warn(w, 0, "%zu aggregation nodes (SHARP) of switches are no hosts",
                            b.aggregators);
        set_tiers(&b);
        group_hosts(&b);
        make_all(&b);
    }
    clear(&b);
}
