/* machine.c - a kind of machine, read from YAML
 *
 * The table checks each value by itself; here is what all of them mean together. First the rows of GPUs and NICs, then what
 * the rules say of every pair, then the pairs that are named.
 * Layer: conf.
 */
#include "conf/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rate.h"
#include "base/str.h"
#include "conf/machine_rules.h"
#include "conf/structs.h"
#include "conf/machine.def"

#include "conf/rows.h"
#include "conf/machine.def"

#define MBS 1000000 /* bytes a second */

struct reading {
    const struct tug_sheet_text *text;
    struct tug_sheet *sheet;
    struct tug_machine *m; /* the sheet's */
    struct tug_machine_rules rules;
    bool rows_read;
    tug_gpuset gpus; /* that there are, then */
    struct tug_conf_errors *errs;
};

struct tug_sheet *tug_sheet_new(void)
{
    struct tug_sheet *s = tug_new(struct tug_sheet);
    s->about = tug_xstrdup("");
    s->nvlink_nodes = 1;
    return s;
}

static void clear_strings(struct tug_conf_strings *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->at[i]);
    free(s->at);
}

void tug_sheet_free(struct tug_sheet *s)
{
    if (!s)
        return;
    free(s->about);
    clear_strings(&s->source);
    clear_strings(&s->aliases);
    free(s);
}

void tug_sheet_cut(struct tug_sheet *s, uint32_t n)
{
    struct tug_machine *m = &s->machine;
    for (uint32_t i = n; i < m->n_gpus; i++) {
        m->gpu[i] = (struct tug_machine_gpu){0};
        memset(m->link[i], 0, sizeof m->link[i]);
        memset(m->nic_class[i], 0, sizeof m->nic_class[i]);
        for (uint32_t k = 0; k < n; k++)
            m->link[k][i] = (struct tug_machine_link){0};
        m->allreduce_mbs[i + 1] = 0;
    }
    if (n < m->n_gpus)
        m->n_gpus = n;
    while (s->mig.n && s->mig.at[s->mig.n - 1].gpu >= n)
        s->mig.n--;
}

static uint32_t mbs_of(int64_t bytes_s)
{
    int64_t mbs = (bytes_s + MBS / 2) / MBS;
    return mbs > UINT32_MAX ? UINT32_MAX : (uint32_t) mbs;
}

static void wrong(struct reading *r, struct tug_conf_pos pos, const char *text, const char *hint, const char *sentence)
{
    tug_conf_errors_add(r->errs, pos, text, text ? strlen(text) : 0, hint, "%s", sentence);
}

/* ---- sets and pairs of GPUs */

/* False: listed. */
static bool take_set(struct reading *r, struct tug_conf_pos pos, const char *text, tug_gpuset *out)
{
    struct tug_err err = {0};
    if (tug_gpuset_parse(text, out, &err)) {
        wrong(r, pos, text, "write indices of GPUs like 0-3", err.msg);
        return false;
    }
    if (r->rows_read && (*out & ~r->gpus)) {
        tug_conf_errors_add(r->errs, pos, text, strlen(text), NULL, "there is no GPU %d: 'gpus' has %u",
                            __builtin_ctzll(*out & ~r->gpus), r->m->n_gpus);
        return false;
    }
    return true;
}

/* The pairs of one section of the text, each of which may be named once. */
struct pairs {
    const char *what;                          /* what a value is, for sentences: "links" */
    int64_t was[TUG_GPUS_MAX][TUG_GPUS_MAX];   /* value + 1; 0 = not named */
};

static bool take_index(const char **at, uint32_t *out)
{
    const char *end = *at + strspn(*at, "0123456789");
    char digits[8] = "";
    uint64_t value;
    if (end == *at || end - *at > 4)
        return false;
    memcpy(digits, *at, (size_t) (end - *at));
    *at = end;
    *out = tug_str_u64(digits, 9999, &value) ? 0 : (uint32_t) value;
    return true;
}

/* One "0+3" at *at; false: listed. */
static bool take_pair(struct reading *r, struct tug_conf_pos pos, const char **at, uint32_t *i, uint32_t *k)
{
    const char *from = *at;
    size_t len = strcspn(from, " ,");
    bool ok = take_index(at, i) && **at == '+' && (++*at, take_index(at, k)) && *at == from + len;
    *at = from + len;
    if (!ok)
        tug_conf_errors_add(r->errs, pos, from, len, "write pairs of GPUs like 0+3 1+2",
                            "'%.*s' is no pair of GPUs", (int) (len < 40 ? len : 40), from);
    else if (*i >= r->m->n_gpus || *k >= r->m->n_gpus)
        tug_conf_errors_add(r->errs, pos, from, len, NULL, "%.*s: there is no GPU %u: 'gpus' has %u", (int) len, from,
                            *i >= r->m->n_gpus ? *i : *k, r->m->n_gpus);
    else if (*i == *k)
        tug_conf_errors_add(r->errs, pos, from, len, NULL, "%.*s: a GPU has no link to itself", (int) len, from);
    else
        return true;
    return false;
}

/* Calls set(link) both ways for every pair in 'text'. */
static void take_pairs(struct reading *r, struct pairs *p, struct tug_conf_pos pos, const char *text, int64_t value,
                       void (*set)(struct tug_machine_link *l, int64_t value))
{
    uint32_t i = 0, k = 0;
    for (const char *at = text + strspn(text, " ,"); *at; at += strspn(at, " ,")) {
        const char *from = at;
        if (!take_pair(r, pos, &at, &i, &k))
            continue;
        int64_t was = p->was[i][k];
        if (was && was == value + 1)
            tug_conf_errors_add(r->errs, pos, from, (size_t) (at - from), "take one of them out",
                                "the pair %u+%u stands here twice", i, k);
        else if (was)
            tug_conf_errors_add(r->errs, pos, from, (size_t) (at - from), "links are the same in both directions",
                                "the pair %u+%u has two different values of %s", i, k, p->what);
        p->was[i][k] = p->was[k][i] = value + 1;
        set(&r->m->link[i][k], value);
        set(&r->m->link[k][i], value);
    }
}

/* ---- rows */

static void take_gpu_row(struct reading *r, const struct tug_sheet_gpus *row, tug_gpuset *seen)
{
    tug_gpuset ids;
    struct tug_conf_pos pos = tug_schema_pos(&tug_sheet_gpus_schema, row, &row->ids);
    if (!take_set(r, pos, row->ids, &ids))
        return;
    if (ids & *seen) {
        tug_conf_errors_add(r->errs, pos, row->ids, strlen(row->ids), NULL, "GPU %d stands in another row already",
                            __builtin_ctzll(ids & *seen));
        return;
    }
    for (uint32_t i = 0; i < TUG_GPUS_MAX; i++) {
        if (!(ids >> i & 1))
            continue;
        struct tug_machine_gpu *g = &r->m->gpu[i];
        tug_str_copy(g->model, sizeof g->model, row->model ? row->model : "");
        g->mem_mib = (uint32_t) (row->memory_bytes >> 20);
        g->numa = row->numa < 0 ? TUG_MACHINE_NO_NUMA : (uint32_t) row->numa;
        g->port_mbs = mbs_of(row->port_bytes_s);
        r->m->n_gpus = i + 1 > r->m->n_gpus ? i + 1 : r->m->n_gpus;
    }
    *seen |= ids;
    if (row->numa >= (int64_t) r->m->n_numa)
        tug_conf_errors_add(r->errs, tug_schema_pos(&tug_sheet_gpus_schema, row, &row->numa), NULL, 0,
                            "NUMA nodes are counted from 0", "there is no NUMA node %d: 'numa' says %u", (int) row->numa,
                            r->m->n_numa);
}

static void take_gpus(struct reading *r)
{
    const struct tug_sheet_text *t = r->text;
    tug_gpuset seen = 0;
    for (size_t i = 0; i < t->n_gpus; i++)
        take_gpu_row(r, &t->gpus[i], &seen);
    r->rows_read = true;
    r->gpus = tug_gpuset_first_n(r->m->n_gpus);
    if (seen != r->gpus)
        tug_conf_errors_add(r->errs, tug_schema_pos(&tug_sheet_text_schema, t, &t->gpus), NULL, 0,
                            "indices begin with 0 and leave none out", "GPU %d is in no row of 'gpus'",
                            __builtin_ctzll(r->gpus & ~seen));
}

static void take_nics(struct reading *r)
{
    for (size_t i = 0; i < r->text->n_nics; i++) {
        const struct tug_sheet_nic *row = &r->text->nics[i];
        struct tug_machine_nic *n = &r->m->nic[r->m->n_nics++];
        tug_str_copy(n->name, sizeof n->name, row->name);
        n->is_ib = row->kind == 1; /* as its words stand */
        n->mbs = mbs_of(row->rate_bytes_s);
        n->numa = row->numa < 0 ? TUG_MACHINE_NO_NUMA : (uint32_t) row->numa;
        if (row->numa >= (int64_t) r->m->n_numa)
            tug_conf_errors_add(r->errs, tug_schema_pos(&tug_sheet_nic_schema, row, &row->numa), NULL, 0,
                                "NUMA nodes are counted from 0", "there is no NUMA node %d: 'numa' says %u",
                                (int) row->numa, r->m->n_numa);
    }
}

/* ---- rules */

static void take_switches(struct reading *r)
{
    const struct tug_sheet_pcie *p = &r->text->pcie;
    struct tug_conf_pos pos = tug_schema_pos(&tug_sheet_pcie_schema, p, &p->switches);
    tug_gpuset seen = 0, set;
    for (size_t i = 0; i < p->switches.n; i++) {
        if (!take_set(r, pos, p->switches.at[i], &set))
            continue;
        if (set & seen)
            tug_conf_errors_add(r->errs, pos, p->switches.at[i], strlen(p->switches.at[i]), NULL,
                                "GPU %d is below two PCIe switches", __builtin_ctzll(set & seen));
        seen |= set;
        for (uint32_t k = 0; k < r->m->n_gpus; k++)
            if (set >> k & 1)
                r->rules.below[k] = set;
    }
}

static void take_rules(struct reading *r)
{
    const struct tug_sheet_nvlink *nv = &r->text->nvlink;
    r->m->nvswitch = nv->is_switch;
    r->rules.near = (uint8_t) (TUG_LINK_BOARD + r->text->pcie.near); /* as its words stand */
    r->rules.generation = (unsigned) r->text->pcie.generation;
    r->rules.links = (unsigned) nv->links;
    r->rules.per_link_mbs = mbs_of(nv->per_link_bytes_s);
    if (nv->is_switch && !nv->links)
        wrong(r, nv->origin.pos, NULL, "write links: N", "nvlink: how many links go from each GPU into the switches?");
    if (!nv->is_switch && nv->links)
        wrong(r, tug_schema_pos(&tug_sheet_nvlink_schema, nv, &nv->links), NULL,
              "write 'switch: true', or name the pairs", "nvlink: without a switch, links are between pairs");
    if (r->rules.generation && r->rules.generation < 3)
        wrong(r, tug_schema_pos(&tug_sheet_pcie_schema, &r->text->pcie, &r->text->pcie.generation), NULL,
              "it takes 3 to 6", "pcie.generation: what older ones carry is not known here");
    take_switches(r);
    for (uint32_t i = 0; i < r->m->n_gpus; i++)
        for (uint32_t k = 0; k < r->m->n_gpus; k++)
            r->m->link[i][k] = (struct tug_machine_link){.class = tug_rule_class(&r->rules, r->m, i, k),
                                                         .nvlinks = tug_rule_nvlinks(&r->rules, r->m, i, k)};
}

/* ---- exceptions */

static void set_nvlinks(struct tug_machine_link *l, int64_t value)
{
    l->nvlinks = (uint8_t) value;
}

static void set_class(struct tug_machine_link *l, int64_t value)
{
    l->class = (uint8_t) value;
}

static void set_mbs(struct tug_machine_link *l, int64_t value)
{
    l->mbs = (uint32_t) value;
}

static int class_of(struct reading *r, const struct tug_conf_param *p)
{
    int class = !strcmp(p->name, "UNKNOWN") ? TUG_LINK_UNKNOWN : tug_link_class_parse(p->name);
    if (class >= 0 && class != TUG_LINK_SELF)
        return class;
    wrong(r, p->name_pos, p->name, "INT, PIX, PXB, PHB, NODE, SYS and UNKNOWN are", "this is no class of path");
    return -1;
}

static void take_nvlink_pairs(struct reading *r)
{
    const struct tug_conf_params *all = &r->text->nvlink.pairs;
    struct pairs *p = tug_new(struct pairs);
    p->what = "links";
    for (size_t i = 0; i < all->n; i++) {
        uint64_t n;
        if (tug_str_u64(all->at[i].name, 255, &n))
            wrong(r, all->at[i].name_pos, all->at[i].name, "write it like 2: 0+3 1+2",
                  "this is no number of links from 0 to 255");
        else
            take_pairs(r, p, all->at[i].value_pos, all->at[i].value, (int64_t) n, set_nvlinks);
    }
    free(p);
}

static void take_class_pairs(struct reading *r)
{
    const struct tug_conf_params *all = &r->text->pcie.pairs;
    struct pairs *p = tug_new(struct pairs);
    p->what = "class";
    for (size_t i = 0; i < all->n; i++) {
        int class = class_of(r, &all->at[i]);
        if (class >= 0)
            take_pairs(r, p, all->at[i].value_pos, all->at[i].value, class, set_class);
    }
    free(p);
}

static void take_bandwidths(struct reading *r)
{
    const struct tug_sheet_text *t = r->text;
    struct tug_conf_pos pos = tug_schema_pos(&tug_sheet_text_schema, t, &t->bandwidth);
    struct pairs *p = tug_new(struct pairs);
    p->what = "bandwidth";
    for (size_t i = 0; i < t->bandwidth.n; i++) {
        const char *text = t->bandwidth.at[i];
        size_t len = strcspn(text, " ");
        char word[TUG_RATE_TEXT_MAX] = "";
        int64_t rate = 0;
        struct tug_err err = {0};
        if (len < sizeof word)
            memcpy(word, text, len);
        if (strcmp(word, "0") && tug_rate_parse(word, &rate, &err))
            wrong(r, pos, text, "write a bandwidth, then pairs: 19.2GB/s 0+1 2+3", err.msg);
        else if (rate / MBS > UINT32_MAX)
            wrong(r, pos, text, NULL, "this bandwidth is over 4 PB/s");
        else
            take_pairs(r, p, pos, text + len, mbs_of(rate), set_mbs);
    }
    free(p);
}

static void take_nic_paths(struct reading *r)
{
    for (uint32_t n = 0; n < r->m->n_nics; n++) {
        const struct tug_conf_params *all = &r->text->nics[n].paths;
        tug_gpuset seen = 0, set = 0;
        for (uint32_t i = 0; i < r->m->n_gpus; i++)
            r->m->nic_class[i][n] = tug_rule_nic_class(&r->rules, r->m, i, n);
        for (size_t k = 0; k < all->n; k++) {
            int class = class_of(r, &all->at[k]);
            if (class < 0 || !take_set(r, all->at[k].value_pos, all->at[k].value, &set))
                continue;
            if (set & seen)
                tug_conf_errors_add(r->errs, all->at[k].value_pos, NULL, 0, NULL, "GPU %d has two paths to this adapter",
                                    __builtin_ctzll(set & seen));
            seen |= set;
            for (uint32_t i = 0; i < r->m->n_gpus; i++)
                if (set >> i & 1)
                    r->m->nic_class[i][n] = (uint8_t) class;
        }
    }
}

/* Ports that are not written are what the links give. */
static void take_ports(struct reading *r)
{
    for (size_t i = 0; i < r->text->n_gpus; i++) {
        const struct tug_sheet_gpus *row = &r->text->gpus[i];
        tug_gpuset ids;
        if (tug_schema_state(&tug_sheet_gpus_schema, row, &row->port_bytes_s) != TUG_SCHEMA_DEFAULT ||
            tug_gpuset_parse(row->ids, &ids, NULL))
            continue;
        for (uint32_t k = 0; k < r->m->n_gpus; k++)
            if (ids >> k & 1)
                r->m->gpu[k].port_mbs = tug_rule_port(&r->rules, r->m, k);
    }
}

static void take_measured(struct reading *r)
{
    const struct tug_conf_params *all = &r->text->allreduce;
    for (size_t i = 0; i < all->n; i++) {
        const struct tug_conf_param *p = &all->at[i];
        struct tug_err err = {0};
        uint64_t n;
        int64_t rate;
        if (tug_str_u64(p->name, r->m->n_gpus, &n) || n < 2)
            tug_conf_errors_add(r->errs, p->name_pos, p->name, strlen(p->name), NULL,
                                "allreduce: this is no number of GPUs from 2 to the %u that there are", r->m->n_gpus);
        else if (tug_rate_parse(p->value, &rate, &err) || rate / MBS > UINT32_MAX)
            wrong(r, p->value_pos, p->value, "write it like 480GB/s", err.msg[0] ? err.msg : "this is too much");
        else
            r->m->allreduce_mbs[n] = mbs_of(rate);
    }
}

/* ---- slices */

/* One "7x1g.10gb", or "1g.10gb", of each of those GPUs; 'used' is in compute slices. */
static bool take_slices(struct reading *r, const struct tug_conf_param *p, tug_gpuset gpus, const char *word, size_t len, uint32_t *used)
{
    struct tug_mig *mig = &r->sheet->mig;
    const char *x = memchr(word, 'x', len), *profile = x ? x + 1 : word;
    size_t n = len - (size_t) (profile - word);
    char text[TUG_MIG_PROFILE_MAX] = "", digits[8] = "";
    uint64_t count = 1;
    if (x && (size_t) (x - word) < sizeof digits)
        memcpy(digits, word, (size_t) (x - word));
    if ((x && (tug_str_u64(digits, TUG_GPUS_MAX, &count) || !count)) || !tug_mig_is_profile(profile, n)) {
        tug_conf_errors_add(r->errs, p->value_pos, word, len, "write slices like 7x1g.10gb", "'%.*s' is no number of slices of a profile",
                            (int) (len < 40 ? len : 40), word);
        return false;
    }
    memcpy(text, profile, n);
    *used += (uint32_t) count * tug_mig_compute(text);
    for (; gpus; gpus &= gpus - 1)
        for (uint64_t i = 0; i < count; i++) {
            if (mig->n + r->m->n_gpus >= TUG_GPUS_MAX) {
                tug_conf_errors_add(r->errs, p->value_pos, word, len, NULL, "GPUs and slices together are more than %d", TUG_GPUS_MAX);
                return false;
            }
            mig->at[mig->n].gpu = (uint8_t) __builtin_ctzll(gpus);
            memcpy(mig->at[mig->n++].profile, text, sizeof text);
        }
    return true;
}

static int by_gpu(const void *a, const void *b)
{
    const struct tug_mig_slice *x = a, *y = b;
    return x->gpu != y->gpu ? x->gpu - y->gpu : strcmp(x->profile, y->profile);
}

static void take_mig(struct reading *r)
{
    const struct tug_conf_params *all = &r->text->mig;
    tug_gpuset seen = 0;
    for (size_t i = 0; i < all->n; i++) {
        const struct tug_conf_param *p = &all->at[i];
        tug_gpuset gpus;
        uint32_t used = 0;
        if (!take_set(r, p->name_pos, p->name, &gpus))
            continue;
        if (gpus & seen)
            tug_conf_errors_add(r->errs, p->name_pos, p->name, strlen(p->name), NULL, "GPU %d is cut twice", __builtin_ctzll(gpus & seen));
        seen |= gpus;
        bool ok = true;
        for (const char *at = p->value + strspn(p->value, " ,"); ok && *at; at += strspn(at, " ,")) {
            size_t len = strcspn(at, " ,");
            ok = take_slices(r, p, gpus, at, len, &used);
            at += len;
        }
        if (ok && (!used || used > TUG_MIG_OF))
            tug_conf_errors_add(r->errs, p->value_pos, p->value, strlen(p->value), "a GPU has 7 of them at most",
                                "these slices take %u compute slices of a GPU", used);
    }
    qsort(r->sheet->mig.at, r->sheet->mig.n, sizeof *r->sheet->mig.at, by_gpu);
}

/* ---- all of it */

static struct tug_conf_strings copy_strings(const struct tug_conf_strings *s)
{
    struct tug_conf_strings out = {.n = s->n};
    out.at = s->n ? tug_xcalloc(s->n, sizeof *out.at) : NULL;
    for (size_t i = 0; i < s->n; i++)
        out.at[i] = tug_xstrdup(s->at[i]);
    return out;
}

static void take_sheet(struct reading *r)
{
    const struct tug_sheet_text *t = r->text;
    tug_str_copy(r->m->name, sizeof r->m->name, t->name ? t->name : "");
    r->m->n_numa = (uint32_t) t->numa;
    r->sheet->cpus = (uint32_t) t->cpus;
    r->sheet->mem_bytes = (uint64_t) t->memory_bytes;
    r->sheet->nvlink_nodes = (uint32_t) t->nvlink.nodes;
    if (t->about) {
        free(r->sheet->about);
        r->sheet->about = tug_xstrdup(t->about);
    }
    r->sheet->source = copy_strings(&t->source);
    r->sheet->aliases = copy_strings(&t->aliases);
    take_gpus(r);
    take_nics(r);
    take_rules(r);
    take_nvlink_pairs(r);
    take_class_pairs(r);
    for (uint32_t i = 0; i < r->m->n_gpus; i++)
        for (uint32_t k = 0; k < r->m->n_gpus; k++)
            r->m->link[i][k].mbs = tug_rule_mbs(&r->rules, &r->m->link[i][k]);
    take_bandwidths(r);
    take_nic_paths(r);
    take_ports(r);
    take_measured(r);
    take_mig(r);
}

int tug_sheet_read(const char *file, const char *text, size_t len, struct tug_sheet **out, struct tug_conf_errors *errs)
{
    struct tug_yaml_pool *pool = tug_yaml_pool_new();
    struct tug_sheet_text t = {0};
    struct reading r = {.text = &t, .sheet = tug_sheet_new(), .errs = errs};
    size_t before = tug_conf_errors_count(errs);
    struct tug_err err = {0};
    bool broken;
    r.m = &r.sheet->machine;
    struct tug_yaml *root = tug_yaml_parse(pool, file, text, len, &broken, errs);
    if (root && root->kind != TUG_YAML_MAP) {
        wrong(&r, root->pos, NULL, "write 'key: value' lines", "this is no description of a machine");
        root = NULL;
        broken = true;
    }
    tug_schema_fill(&tug_sheet_text_schema, root, broken, &t, errs);
    if (!broken && tug_conf_errors_count(errs) == before)
        take_sheet(&r);
    if (tug_conf_errors_count(errs) == before && tug_machine_check(r.m, &err))
        wrong(&r, (struct tug_conf_pos){file, 0, 0}, NULL, NULL, err.msg);
    tug_schema_clear(&tug_sheet_text_schema, &t);
    tug_yaml_pool_free(pool);
    if (tug_conf_errors_count(errs) > before) {
        tug_sheet_free(r.sheet);
        tug_conf_errors_sort(errs);
        return -EINVAL;
    }
    if (!before)
        tug_conf_errors_clear(errs); /* of the order of files: nothing is left for the caller to free */
    *out = r.sheet;
    return 0;
}
