/* sandbox_fabric.c - tug sandbox start --fabric: a few words become the tree of domains of tugline.yaml
 *
 * Layer: cli.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/rate.h"
#include "base/str.h"
#include "cli/sandbox.h"

/* What each shape calls its levels, from the lowest up; what is above the last is one domain over all, if there is more than one. */
static const struct shape {
    const char *name;
    size_t least, most; /* numbers that it takes */
    const char *levels[TUG_SANDBOX_LEVELS_MAX + 1];
    const char *text;
} shapes[] = {
    {"rail", 2, 2, {"rail", "spine"}, "rail:4x8 is 4 rail groups of 8 nodes below a spine"},
    {"leaf", 2, 2, {"leaf", "spine"}, "leaf:4x8 is 4 leaves of 8 nodes below a spine"},
    {"tree", 2, 4, {"leaf", "spine", "core", "hall", "site"}, "tree:2x4x8 is 2 spines of 4 leaves of 8 nodes below a core"},
    {"nvl72", 2, 2, {"nvlink", "spine"}, "nvl72:2x18 is 2 NVLink domains of 18 nodes below a spine"},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

static int fail_shape(const char *text, const char *why, struct tug_err *err)
{
    return tug_fail(err, -EINVAL, "--fabric: '%.64s' %s; %s, %s, %s, %s, and with @2 behind it each level has half as much out as in", text,
                    why, shapes[0].text, shapes[1].text, shapes[2].text, shapes[3].text);
}

static int take_widths(const char *text, const char *from, size_t len, struct tug_sandbox_fabric *f, struct tug_err *err)
{
    char numbers[64] = "";
    const char *rest = numbers, *at;
    uint64_t n, all = 1;
    if (len >= sizeof numbers)
        return fail_shape(text, "is too long", err);
    memcpy(numbers, from, len);
    for (size_t digits; tug_str_split(&rest, 'x', &at, &digits);) {
        char one[8] = "";
        if (digits < sizeof one)
            memcpy(one, at, digits);
        if (tug_str_u64(one, TUG_SANDBOX_NODES_MAX, &n) || !n)
            return fail_shape(text, "has no numbers with x between them", err);
        if (f->n_widths == TUG_SANDBOX_LEVELS_MAX)
            return fail_shape(text, "has too many levels", err);
        f->widths[f->n_widths++] = (uint32_t) n;
        all *= n;
        if (all > TUG_SANDBOX_NODES_MAX)
            return fail_shape(text, "has more than 4096 nodes", err);
    }
    f->nodes = (uint32_t) all;
    return 0;
}

int tug_sandbox_fabric_parse(const char *text, struct tug_sandbox_fabric *out, struct tug_err *err)
{
    const char *colon = strchr(text, ':'), *at = strchr(text, '@');
    const struct shape *s = NULL;
    struct tug_sandbox_fabric f = {.over_milli = 1000};
    for (size_t i = 0; colon && i < SHAPES && !s; i++)
        if (strlen(shapes[i].name) == (size_t) (colon - text) && !memcmp(shapes[i].name, text, (size_t) (colon - text)))
            s = &shapes[i];
    if (!s)
        return fail_shape(text, "is no fabric that is known here", err);
    if (at && (tug_milli_parse(at + 1, strlen(at + 1), 1000000, &f.over_milli) || f.over_milli < 1000))
        return fail_shape(text, "has no number from 1 to 1000 behind the @", err);
    const char *end = at ? at : text + strlen(text);
    int rc = take_widths(text, colon + 1, (size_t) (end - colon - 1), &f, err);
    if (rc)
        return rc;
    if (f.n_widths < s->least || f.n_widths > s->most)
        return fail_shape(text, "has another number of levels", err);
    f.is_nvlink = !strcmp(s->name, "nvl72");
    for (size_t i = 0; i < f.n_widths; i++)
        f.levels[i] = s->levels[i];
    *out = f;
    return 0;
}

uint32_t tug_sandbox_fabric_domain(const struct tug_sandbox_fabric *f, size_t node)
{
    return (uint32_t) (node / f->widths[f->n_widths - 1]);
}

/* ---- printing */

/* Host lists are plain names here: quotes are all that it takes. */
static void put_hosts(struct tug_buf *out, const struct tug_hostlist *nodes, size_t from, size_t to)
{
    struct tug_hostlist *part = tug_hostlist_new();
    for (size_t i = from; i < to; i++)
        tug_hostlist_add(part, tug_hostlist_nth(nodes, i), NULL);
    tug_buf_adds(out, "\"");
    tug_hostlist_format(part, out);
    tug_buf_adds(out, "\"");
    tug_hostlist_free(part);
}

/* Domains of level l: there are 'count', each with 'below' of what is under it. */
static void put_level(const struct tug_sandbox_fabric *f, const struct tug_hostlist *nodes, size_t l, size_t count,
                      size_t below, struct tug_buf *out)
{
    for (size_t i = 0; i < count; i++) {
        tug_buf_addf(out, "  - {name: %s%zu, level: %s", f->levels[l], i + 1, f->levels[l]);
        if (l + 1 < f->n_widths)
            tug_buf_addf(out, ", parent: %s%zu", f->levels[l + 1], i / f->widths[f->n_widths - 2 - l] + 1);
        if (l == 0) {
            tug_buf_adds(out, ", nodes: ");
            put_hosts(out, nodes, i * below, (i + 1) * below);
        }
        tug_buf_adds(out, "}\n");
    }
}

/* What each GPU has of the adapters that gangs use, bytes a second. */
static int64_t adapters_of_a_gpu(const struct tug_machine *m)
{
    uint64_t verbs = 0, all = 0;
    for (uint32_t i = 0; i < m->n_nics; i++) {
        all += m->nic[i].mbs;
        verbs += m->nic[i].is_ib ? m->nic[i].mbs : 0;
    }
    return m->n_gpus ? (int64_t) ((verbs ? verbs : all) * 1000000 / m->n_gpus) : 0;
}

static void put_rates(const struct tug_sandbox_fabric *f, const struct tug_sheet *sheet, struct tug_buf *out)
{
    tug_buf_adds(out, "fabric_levels:\n");
    for (size_t l = 0; l < f->n_widths; l++) {
        char rate[TUG_RATE_TEXT_MAX], ratio[32];
        int64_t bytes_s = !sheet                    ? 0
                          : l == 0 && f->is_nvlink ? (int64_t) sheet->machine.gpu[0].port_mbs * 1000000
                                                   : adapters_of_a_gpu(&sheet->machine);
        int64_t over = l + 1 < f->n_widths ? f->over_milli : 1000; /* nothing is above the last */
        tug_buf_addf(out, "  %s: {oversubscription: %s", f->levels[l], tug_milli_format(over, ratio, sizeof ratio));
        if (bytes_s)
            tug_buf_addf(out, ", bandwidth: %s", tug_rate_format(bytes_s, rate, sizeof rate));
        tug_buf_adds(out, "}\n");
    }
}

void tug_sandbox_fabric_print(const struct tug_sandbox_fabric *f, const struct tug_hostlist *nodes,
                              const struct tug_sheet *sheet, struct tug_buf *out)
{
    size_t count = f->nodes;
    tug_buf_adds(out, "fabric:\n");
    for (size_t l = 0; l < f->n_widths; l++) {
        size_t below = f->widths[f->n_widths - 1 - l];
        count /= below;
        put_level(f, nodes, l, count, below, out);
    }
    put_rates(f, sheet, out);
}
