/* machine_write.c - a kind of machine out again, in as few words as its matrix takes
 *
 * The rules that fit most pairs are looked for; what they do not say is written pair by pair. Whatever they are, the reader
 * makes the same matrix of them, so a bad choice costs lines and nothing else.
 * Layer: conf.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/rate.h"
#include "base/size.h"
#include "conf/machine.h"
#include "conf/machine_rules.h"
#include "conf/yaml.h"

#define WORDS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

struct writing {
    const struct tug_sheet *s;
    const struct tug_machine *m;
    struct tug_machine_rules rules;
    struct tug_buf *out;
};

/* ---- choosing the rules */

/* GPUs that are PIX to each other and to nobody else. */
static void find_switches(struct writing *w)
{
    const struct tug_machine *m = w->m;
    tug_gpuset pix[TUG_GPUS_MAX] = {0};
    for (uint32_t i = 0; i < m->n_gpus; i++)
        for (uint32_t k = 0; k < m->n_gpus; k++)
            if (i == k || m->link[i][k].class == TUG_LINK_PIX)
                pix[i] |= 1ULL << k;
    for (uint32_t i = 0; i < m->n_gpus; i++) {
        int same = tug_gpuset_count(pix[i]) > 1;
        for (uint32_t k = 0; k < m->n_gpus && same; k++)
            same = !(pix[i] >> k & 1) || pix[k] == pix[i];
        w->rules.below[i] = same ? pix[i] : 0;
    }
}

/* The class that most pairs of one NUMA node have. */
static void find_near(struct writing *w)
{
    const struct tug_machine *m = w->m;
    size_t votes[TUG_LINK_CLASSES] = {[TUG_LINK_NODE] = 1};
    for (uint32_t i = 0; i < m->n_gpus; i++) {
        for (uint32_t k = 0; k < i; k++)
            if (m->gpu[i].numa == m->gpu[k].numa && !(w->rules.below[i] >> k & 1))
                votes[m->link[i][k].class] += 2;
        for (uint32_t k = 0; k < m->n_nics; k++)
            if (m->gpu[i].numa == m->nic[k].numa)
                votes[m->nic_class[i][k]]++;
    }
    w->rules.near = TUG_LINK_NODE;
    for (uint8_t c = TUG_LINK_BOARD; c < TUG_LINK_CLASSES; c++)
        if (votes[c] > votes[w->rules.near])
            w->rules.near = c;
}

/* How many links each GPU has into the switches: what most pairs say. */
static void find_links(struct writing *w)
{
    const struct tug_machine *m = w->m;
    size_t votes[256] = {0};
    if (!m->nvswitch)
        return;
    w->rules.links = 1;
    for (uint32_t i = 0; i < m->n_gpus; i++)
        for (uint32_t k = 0; k < i; k++)
            votes[m->link[i][k].nvlinks]++;
    for (unsigned n = 1; n < 256; n++)
        if (votes[n] > votes[w->rules.links])
            w->rules.links = n;
}

static size_t misses(const struct writing *w, const struct tug_machine_rules *r)
{
    size_t n = 0;
    for (uint32_t i = 0; i < w->m->n_gpus; i++) {
        for (uint32_t k = 0; k < i; k++)
            n += tug_rule_mbs(r, &w->m->link[i][k]) != w->m->link[i][k].mbs;
        n += tug_rule_port(r, w->m, i) != w->m->gpu[i].port_mbs;
    }
    return n;
}

/* The bandwidths of a link and of PCIe that leave the fewest pairs to be named. */
static void find_bandwidths(struct writing *w)
{
    const struct tug_machine *m = w->m;
    struct tug_machine_rules best = w->rules, try = w->rules;
    for (uint32_t i = 0; i < m->n_gpus; i++)
        for (uint32_t k = 0; k < i; k++) {
            const struct tug_machine_link *l = &m->link[i][k];
            if (!l->nvlinks || l->mbs % l->nvlinks || l->mbs / l->nvlinks == try.per_link_mbs)
                continue;
            try.per_link_mbs = l->mbs / l->nvlinks;
            if (misses(w, &try) < misses(w, &best))
                best = try;
        }
    try = best;
    for (try.generation = 3; try.generation <= 6; try.generation++)
        if (misses(w, &try) < misses(w, &best))
            best = try;
    w->rules = best;
}

/* ---- words */

static void put_word(struct writing *w, const char *s)
{
    if (*s && strspn(s, WORDS) == strlen(s) && !strchr("._-", *s) && strcmp(s, "null"))
        tug_buf_adds(w->out, s);
    else
        tug_yaml_quote(w->out, s);
}

/* As a key may be called. */
static void put_name(struct writing *w, const char *s)
{
    if (!*s || strchr("._-", *s) || !strchr(WORDS, *s))
        tug_buf_addc(w->out, 'x');
    for (; *s; s++)
        tug_buf_addc(w->out, strchr(WORDS, *s) ? *s : '_');
}

static void put_rate(struct writing *w, uint32_t mbs)
{
    char text[TUG_RATE_TEXT_MAX];
    tug_buf_adds(w->out, mbs ? tug_rate_format((int64_t) mbs * 1000000, text, sizeof text) : "0");
}

static void put_size(struct writing *w, uint64_t bytes)
{
    char text[TUG_SIZE_TEXT_MAX];
    tug_buf_adds(w->out, tug_size_format_exact(bytes, text, sizeof text));
}

static void put_texts(struct writing *w, const char *key, const struct tug_conf_strings *s)
{
    if (!s->n)
        return;
    tug_buf_addf(w->out, "%s:\n", key);
    for (size_t i = 0; i < s->n; i++) {
        tug_buf_adds(w->out, "  - ");
        tug_yaml_quote(w->out, s->at[i]);
        tug_buf_addc(w->out, '\n');
    }
}

/* ---- rows */

static int same_row(const struct writing *w, uint32_t a, uint32_t b)
{
    const struct tug_machine *m = w->m;
    const struct tug_machine_gpu *x = &m->gpu[a], *y = &m->gpu[b];
    return !strcmp(x->model, y->model) && x->mem_mib == y->mem_mib && x->numa == y->numa &&
           x->port_mbs == y->port_mbs &&
           (tug_rule_port(&w->rules, m, a) == m->gpu[a].port_mbs) ==
               (tug_rule_port(&w->rules, m, b) == m->gpu[b].port_mbs);
}

static void put_gpus(struct writing *w)
{
    const struct tug_machine *m = w->m;
    if (m->n_gpus)
        tug_buf_adds(w->out, "gpus:\n");
    for (uint32_t i = 0, end; i < m->n_gpus; i = end) {
        const struct tug_machine_gpu *g = &m->gpu[i];
        for (end = i + 1; end < m->n_gpus && same_row(w, i, end); end++)
            ;
        tug_buf_addf(w->out, end > i + 1 ? "  %u-%u: {" : "  %u: {", i, end - 1);
        if (*g->model) {
            tug_buf_adds(w->out, "model: ");
            put_word(w, g->model);
            tug_buf_adds(w->out, ", ");
        }
        if (g->mem_mib)
            tug_buf_adds(w->out, "memory: "), put_size(w, (uint64_t) g->mem_mib << 20), tug_buf_adds(w->out, ", ");
        tug_buf_addf(w->out, "numa: %d", g->numa == TUG_MACHINE_NO_NUMA ? -1 : (int) g->numa);
        if (tug_rule_port(&w->rules, m, i) != g->port_mbs)
            tug_buf_adds(w->out, ", port: "), put_rate(w, g->port_mbs);
        tug_buf_adds(w->out, "}\n");
    }
}

static void put_nic_paths(struct writing *w, uint32_t nic)
{
    static const uint8_t order[] = {TUG_LINK_BOARD, TUG_LINK_PIX, TUG_LINK_PXB, TUG_LINK_PHB,
                                    TUG_LINK_NODE,  TUG_LINK_SYS, TUG_LINK_UNKNOWN};
    char text[256];
    int any = 0;
    for (size_t c = 0; c < sizeof order; c++) {
        tug_gpuset set = 0;
        for (uint32_t i = 0; i < w->m->n_gpus; i++)
            if (w->m->nic_class[i][nic] == order[c] && tug_rule_nic_class(&w->rules, w->m, i, nic) != order[c])
                set |= 1ULL << i;
        if (!set)
            continue;
        tug_buf_addf(w->out, "%s%s: \"%s\"", any++ ? ", " : ", paths: {",
                     order[c] ? tug_link_class_name(order[c]) : "UNKNOWN", tug_gpuset_format(set, text, sizeof text));
    }
    if (any)
        tug_buf_addc(w->out, '}');
}

static void put_nics(struct writing *w)
{
    if (w->m->n_nics)
        tug_buf_adds(w->out, "nics:\n");
    for (uint32_t i = 0; i < w->m->n_nics; i++) {
        const struct tug_machine_nic *n = &w->m->nic[i];
        tug_buf_adds(w->out, "  ");
        put_name(w, n->name);
        tug_buf_addf(w->out, ": {kind: %s, ", n->is_ib ? "verbs" : "net");
        if (n->mbs)
            tug_buf_adds(w->out, "rate: "), put_rate(w, n->mbs), tug_buf_adds(w->out, ", ");
        tug_buf_addf(w->out, "numa: %d", n->numa == TUG_MACHINE_NO_NUMA ? -1 : (int) n->numa);
        put_nic_paths(w, i);
        tug_buf_adds(w->out, "}\n");
    }
}

/* ---- pairs */

/* Each pair below the diagonal with that value, that the rules do not give; "" when there is none. */
static void list_pairs(const struct writing *w, struct tug_buf *text,
                       int (*named)(const struct writing *w, uint32_t i, uint32_t k, uint32_t value), uint32_t value)
{
    tug_buf_reset(text);
    for (uint32_t i = 0; i < w->m->n_gpus; i++)
        for (uint32_t k = i + 1; k < w->m->n_gpus; k++)
            if (named(w, i, k, value))
                tug_buf_addf(text, "%s%u+%u", text->len ? " " : "", i, k);
}

static int named_nvlinks(const struct writing *w, uint32_t i, uint32_t k, uint32_t n)
{
    return w->m->link[i][k].nvlinks == n && tug_rule_nvlinks(&w->rules, w->m, i, k) != n;
}

static int named_class(const struct writing *w, uint32_t i, uint32_t k, uint32_t class)
{
    return w->m->link[i][k].class == class && tug_rule_class(&w->rules, w->m, i, k) != class;
}

static int named_mbs(const struct writing *w, uint32_t i, uint32_t k, uint32_t mbs)
{
    return w->m->link[i][k].mbs == mbs && tug_rule_mbs(&w->rules, &w->m->link[i][k]) != mbs;
}

static void put_nvlink(struct writing *w)
{
    struct tug_buf text = {0};
    size_t from = w->out->len;
    int any = 0;
    tug_buf_adds(w->out, "nvlink:\n");
    size_t head = w->out->len;
    if (w->m->nvswitch)
        tug_buf_addf(w->out, "  switch: true\n  links: %u\n", w->rules.links);
    if (w->rules.per_link_mbs)
        tug_buf_adds(w->out, "  per_link: "), put_rate(w, w->rules.per_link_mbs), tug_buf_addc(w->out, '\n');
    if (w->s->nvlink_nodes > 1)
        tug_buf_addf(w->out, "  nodes: %u\n", w->s->nvlink_nodes);
    for (int n = 255; n >= 0; n--) {
        list_pairs(w, &text, named_nvlinks, (uint32_t) n);
        if (text.len)
            tug_buf_addf(w->out, "%s    %d: %s\n", any++ ? "" : "  pairs:\n", n, tug_buf_str(&text));
    }
    if (w->out->len == head)
        w->out->len = from;
    tug_buf_clear(&text);
}

static void put_switches(struct writing *w)
{
    const char *sep = "  switches: [";
    tug_gpuset seen = 0;
    char text[256];
    for (uint32_t i = 0; i < w->m->n_gpus; i++) {
        if (seen >> i & 1 || !w->rules.below[i])
            continue;
        seen |= w->rules.below[i];
        tug_buf_addf(w->out, "%s\"%s\"", sep, tug_gpuset_format(w->rules.below[i], text, sizeof text));
        sep = ", ";
    }
    if (seen)
        tug_buf_adds(w->out, "]\n");
}

static void put_pcie(struct writing *w)
{
    struct tug_buf text = {0};
    size_t from = w->out->len;
    int any = 0;
    tug_buf_adds(w->out, "pcie:\n");
    size_t head = w->out->len;
    if (w->rules.generation)
        tug_buf_addf(w->out, "  generation: %u\n", w->rules.generation);
    put_switches(w);
    if (w->rules.near != TUG_LINK_NODE)
        tug_buf_addf(w->out, "  near: %s\n", tug_link_class_name(w->rules.near));
    for (uint8_t c = 0; c < TUG_LINK_CLASSES; c++) {
        list_pairs(w, &text, named_class, c);
        if (text.len)
            tug_buf_addf(w->out, "%s    %s: %s\n", any++ ? "" : "  pairs:\n", c ? tug_link_class_name(c) : "UNKNOWN",
                         tug_buf_str(&text));
    }
    if (w->out->len == head)
        w->out->len = from;
    tug_buf_clear(&text);
}

#define LINE_MAX_BYTES 2000 /* a text in a list has a limit */

static void put_bandwidth(struct writing *w)
{
    const struct tug_machine *m = w->m;
    uint8_t done[TUG_GPUS_MAX][TUG_GPUS_MAX] = {{0}};
    int any = 0;
    for (uint32_t i = 0; i < m->n_gpus; i++)
        for (uint32_t k = i + 1; k < m->n_gpus; k++) {
            uint32_t mbs = m->link[i][k].mbs;
            if (done[i][k] || !named_mbs(w, i, k, mbs))
                continue;
            tug_buf_adds(w->out, any++ ? "" : "bandwidth:\n");
            tug_buf_adds(w->out, "  - ");
            put_rate(w, mbs);
            size_t line = w->out->len;
            for (uint32_t a = i; a < m->n_gpus && w->out->len - line < LINE_MAX_BYTES; a++)
                for (uint32_t b = a + 1; b < m->n_gpus && w->out->len - line < LINE_MAX_BYTES; b++)
                    if (!done[a][b] && named_mbs(w, a, b, mbs)) {
                        tug_buf_addf(w->out, " %u+%u", a, b);
                        done[a][b] = 1;
                    }
            tug_buf_addc(w->out, '\n');
        }
}

static void put_measured(struct writing *w)
{
    int any = 0;
    for (uint32_t n = 2; n <= w->m->n_gpus; n++)
        if (w->m->allreduce_mbs[n]) {
            tug_buf_addf(w->out, "%s%u: ", any++ ? ", " : "allreduce: {", n);
            put_rate(w, w->m->allreduce_mbs[n]);
        }
    if (any)
        tug_buf_adds(w->out, "}\n");
}

/* GPU by GPU. */
static void put_mig(struct writing *w)
{
    const struct tug_mig *mig = &w->s->mig;
    for (uint32_t i = 0, n; i < mig->n; i += n) {
        int same = i && mig->at[i - 1].gpu == mig->at[i].gpu;
        for (n = 1; i + n < mig->n && mig->at[i + n].gpu == mig->at[i].gpu && !strcmp(mig->at[i + n].profile, mig->at[i].profile);)
            n++;
        if (!same)
            tug_buf_addf(w->out, "%s%u: ", i ? ", " : "mig: {", mig->at[i].gpu);
        tug_buf_addf(w->out, "%s%ux%s", same ? " " : "", n, mig->at[i].profile);
    }
    if (mig->n)
        tug_buf_adds(w->out, "}\n");
}

void tug_sheet_write(const struct tug_sheet *s, struct tug_buf *out)
{
    struct writing w = {.s = s, .m = &s->machine, .out = out};
    find_switches(&w);
    find_near(&w);
    find_links(&w);
    find_bandwidths(&w);
    tug_buf_adds(out, "name: ");
    put_name(&w, s->machine.name);
    tug_buf_addc(out, '\n');
    if (*s->about)
        tug_buf_adds(out, "about: "), tug_yaml_quote(out, s->about), tug_buf_addc(out, '\n');
    put_texts(&w, "source", &s->source);
    put_texts(&w, "aliases", &s->aliases);
    if (s->cpus)
        tug_buf_addf(out, "cpus: %u\n", s->cpus);
    if (s->mem_bytes)
        tug_buf_adds(out, "memory: "), put_size(&w, s->mem_bytes), tug_buf_addc(out, '\n');
    if (s->machine.n_numa)
        tug_buf_addf(out, "numa: %u\n", s->machine.n_numa);
    put_gpus(&w);
    put_nvlink(&w);
    put_pcie(&w);
    put_nics(&w);
    put_bandwidth(&w);
    put_measured(&w);
    put_mig(&w);
}
