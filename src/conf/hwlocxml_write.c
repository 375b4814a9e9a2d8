/* hwlocxml_write.c - a machine as hwloc's XML has it: writing
 *
 * A package for each NUMA node, with cores of one CPU each; a host bridge for each group that is at one; a switch as a bridge up and
 * a bridge down for each device below it. Ids are counted up as objects are written.
 * Layer: conf.
 */
#include <stdio.h>
#include <string.h>

#include "conf/gpukinds.h"
#include "conf/hwlocxml.h"
#include "conf/pcitree.h"

#define SWITCHES 1 /* all links of a GPU end in one made-up NVSwitch */

struct writing {
    const struct tug_sheet *s;
    const struct tug_machine *m;
    struct tug_pcitree tree;
    struct tug_buf *out;
    uint32_t n_numa, cpus;
    unsigned next;                     /* gp_index */
    unsigned bus;                      /* of PCI */
    unsigned gpu_gp[TUG_GPUS_MAX], switch_gp;
};

static void indent(struct writing *w, unsigned depth)
{
    for (; depth; depth--)
        tug_buf_adds(w->out, "  ");
}

/* Bits from..to as hwloc writes masks: words of 32 with commas, the highest first. */
static void put_mask(struct writing *w, const char *name, uint32_t from, uint32_t to)
{
    tug_buf_addf(w->out, " %s=\"", name);
    for (int word = to ? (int) ((to - 1) / 32) : 0; word >= 0; word--) {
        uint32_t bits = 0;
        for (uint32_t i = 0; i < 32; i++)
            if ((uint32_t) word * 32 + i >= from && (uint32_t) word * 32 + i < to)
                bits |= 1u << i;
        tug_buf_addf(w->out, "0x%08x%s", bits, word ? "," : "");
    }
    tug_buf_addc(w->out, '"');
}

static void put_sets(struct writing *w, uint32_t cpu_from, uint32_t cpu_to, uint32_t numa_from, uint32_t numa_to)
{
    put_mask(w, "cpuset", cpu_from, cpu_to);
    put_mask(w, "complete_cpuset", cpu_from, cpu_to);
    put_mask(w, "nodeset", numa_from, numa_to);
    put_mask(w, "complete_nodeset", numa_from, numa_to);
}

static void open_object(struct writing *w, unsigned depth, const char *type)
{
    indent(w, depth);
    tug_buf_addf(w->out, "<object type=\"%s\" gp_index=\"%u\"", type, w->next++);
}

static void close_object(struct writing *w, unsigned depth)
{
    indent(w, depth);
    tug_buf_adds(w->out, "</object>\n");
}

static void put_text(struct writing *w, const char *s)
{
    for (; *s; s++)
        if (*s == '&' || *s == '<' || *s == '>' || *s == '"')
            tug_buf_addf(w->out, "&#%d;", *s);
        else
            tug_buf_addc(w->out, *s);
}

/* ---- PCI */

static const char *speed_of(uint32_t generation)
{
    static const char *const speeds[] = {"15.753846", "31.507692", "63.015385", "121.000000"};
    return speeds[generation - 3];
}

static void open_bridge(struct writing *w, unsigned depth, unsigned level)
{
    unsigned bus = w->bus++;
    open_object(w, depth, "Bridge");
    if (level == 0)
        tug_buf_addf(w->out, " bridge_type=\"0-1\" depth=\"0\" bridge_pci=\"%04x:[00-ff]\">\n", bus);
    else
        tug_buf_addf(w->out, " bridge_type=\"1-1\" depth=\"%u\" bridge_pci=\"%04x:[00-ff]\" pci_busid=\"%04x:00:00.0\" "
                             "pci_type=\"0604 [1000:c010] [1000:100b] b0\" pci_link_speed=\"%s\">\n",
                     level, bus, bus, speed_of(w->tree.generation));
}

static void put_gpu(struct writing *w, uint32_t gpu, unsigned depth)
{
    const struct tug_gpu_kind *k = tug_gpu_kind_of_model(w->m->gpu[gpu].model);
    open_object(w, depth, "PCIDev");
    tug_buf_addf(w->out, " pci_busid=\"0000:%02x:00.0\" pci_type=\"0302 [10de:%04x] [10de:0000] a1\" pci_link_speed=\"%s\">\n",
                 0x10 + gpu, k ? k->device : 0, speed_of(w->tree.generation));
    w->gpu_gp[gpu] = w->next;
    open_object(w, depth + 1, "OSDev");
    tug_buf_addf(w->out, " name=\"nvml%u\" subtype=\"NVML\" osdev_type=\"1\">\n", gpu);
    indent(w, depth + 2);
    tug_buf_adds(w->out, "<info name=\"Backend\" value=\"NVML\"/>\n");
    indent(w, depth + 2);
    tug_buf_adds(w->out, "<info name=\"GPUModel\" value=\"");
    put_text(w, w->m->gpu[gpu].model);
    tug_buf_adds(w->out, "\"/>\n");
    close_object(w, depth + 1);
    close_object(w, depth);
}

static void put_nic(struct writing *w, uint32_t nic, unsigned depth)
{
    const struct tug_machine_nic *n = &w->m->nic[nic];
    open_object(w, depth, "PCIDev");
    tug_buf_addf(w->out, " pci_busid=\"0000:%02x:00.0\" pci_type=\"%s [15b3:0000] [15b3:0000] 00\" pci_link_speed=\"%s\">\n",
                 0x80 + nic, n->is_ib ? "0207" : "0200", speed_of(w->tree.generation));
    open_object(w, depth + 1, "OSDev");
    tug_buf_adds(w->out, " name=\"");
    put_text(w, n->name);
    tug_buf_addf(w->out, "\" osdev_type=\"%d\"/>\n", n->is_ib ? 3 : 2);
    close_object(w, depth);
}

static void put_device(struct writing *w, uint32_t d, unsigned depth)
{
    if (d < w->m->n_gpus)
        put_gpu(w, d, depth);
    else
        put_nic(w, d - w->m->n_gpus, depth);
}

/* Each behind a port of its own where there is a switch. */
static void put_low(struct writing *w, uint32_t which, int below_common, unsigned depth, unsigned level)
{
    int own = tug_pcitree_is_low(&w->tree, which, below_common);
    if (own)
        open_bridge(w, depth, level);
    for (uint32_t d = 0; d < w->tree.n; d++) {
        if (w->tree.low[d] != which)
            continue;
        if (own)
            open_bridge(w, depth + 1, level + 1);
        put_device(w, d, depth + 2 * (unsigned) own);
        if (own)
            close_object(w, depth + 1);
    }
    if (own)
        close_object(w, depth);
}

static void put_high(struct writing *w, uint32_t which, unsigned depth)
{
    int common = tug_pcitree_is_high(&w->tree, which);
    if (common)
        open_bridge(w, depth, 1);
    for (uint32_t d = 0; d < w->tree.n; d++) {
        if (w->tree.high[d] != which || w->tree.low[d] != d)
            continue;
        if (common)
            open_bridge(w, depth + 1, 2);
        put_low(w, d, common, depth + 2 * (unsigned) common, 1 + 2 * (unsigned) common);
        if (common)
            close_object(w, depth + 1);
    }
    if (common)
        close_object(w, depth);
}

static void put_host(struct writing *w, uint32_t which, unsigned depth)
{
    open_bridge(w, depth, 0);
    for (uint32_t d = 0; d < w->tree.n; d++)
        if (w->tree.host[d] == which && w->tree.high[d] == d)
            put_high(w, d, depth + 1);
    close_object(w, depth);
}

static void put_nvswitch(struct writing *w, unsigned depth)
{
    open_bridge(w, depth, 0);
    w->switch_gp = w->next;
    open_object(w, depth + 1, "PCIDev");
    tug_buf_adds(w->out, " subtype=\"NVSwitch\" pci_busid=\"0000:f0:00.0\" pci_type=\"0680 [10de:22a3] [10de:0000] a1\" "
                         "pci_link_speed=\"1.000000\"/>\n");
    close_object(w, depth);
}

/* ---- packages */

static void put_package(struct writing *w, uint32_t numa)
{
    uint32_t from = (uint32_t) ((uint64_t) w->cpus * numa / w->n_numa), to = (uint32_t) ((uint64_t) w->cpus * (numa + 1) / w->n_numa);
    open_object(w, 2, "Package");
    tug_buf_addf(w->out, " os_index=\"%u\"", numa);
    put_sets(w, from, to, numa, numa + 1);
    tug_buf_adds(w->out, ">\n");
    open_object(w, 3, "NUMANode");
    tug_buf_addf(w->out, " os_index=\"%u\"", numa);
    put_sets(w, from, to, numa, numa + 1);
    tug_buf_addf(w->out, " local_memory=\"%llu\"/>\n", (unsigned long long) (w->s->mem_bytes / w->n_numa));
    for (uint32_t c = from; c < to; c++) {
        open_object(w, 3, "Core");
        tug_buf_addf(w->out, " os_index=\"%u\"", c);
        put_sets(w, c, c + 1, numa, numa + 1);
        tug_buf_adds(w->out, ">\n");
        open_object(w, 4, "PU");
        tug_buf_addf(w->out, " os_index=\"%u\"", c);
        put_sets(w, c, c + 1, numa, numa + 1);
        tug_buf_adds(w->out, "/>\n");
        close_object(w, 3);
    }
    for (uint32_t d = 0; d < w->tree.n; d++)
        if (w->tree.host[d] == d && w->tree.numa[d] == numa)
            put_host(w, d, 3);
    if (numa == 0 && w->m->nvswitch)
        put_nvswitch(w, 3);
    close_object(w, 2);
}

/* ---- the matrix */

static int has_nvlinks(const struct tug_machine *m)
{
    for (uint32_t i = 0; i < m->n_gpus; i++)
        for (uint32_t k = 0; k < i; k++)
            if (m->link[i][k].nvlinks)
                return 1;
    return 0;
}

static void put_words(struct writing *w, const char *tag, struct tug_buf *text)
{
    if (text->len)
        tug_buf_addf(w->out, "    <%s length=\"%zu\">%s</%s>\n", tag, text->len, tug_buf_str(text), tag);
    tug_buf_reset(text);
}

static uint32_t to_switch(const struct writing *w, uint32_t gpu)
{
    uint32_t most = 0;
    for (uint32_t k = 0; k < w->m->n_gpus; k++)
        if (w->m->link[gpu][k].nvlinks && w->m->link[gpu][k].mbs > most)
            most = w->m->link[gpu][k].mbs;
    return most;
}

static uint32_t value_at(const struct writing *w, uint32_t i, uint32_t k)
{
    uint32_t n = w->m->n_gpus;
    if (i == k)
        return 1000000;
    if (i < n && k < n)
        return w->m->nvswitch || !w->m->link[i][k].nvlinks ? 0 : w->m->link[i][k].mbs;
    return to_switch(w, i < n ? i : k);
}

static void put_matrix(struct writing *w)
{
    uint32_t n = w->m->n_gpus + (w->m->nvswitch ? SWITCHES : 0);
    struct tug_buf text = {0};
    if (w->m->nvswitch)
        tug_buf_addf(w->out, "  <distances2hetero nbobjs=\"%u\" kind=\"25\" name=\"NVLinkBandwidth\">\n", n);
    else
        tug_buf_addf(w->out, "  <distances2 type=\"OSDev\" nbobjs=\"%u\" kind=\"9\" name=\"NVLinkBandwidth\" indexing=\"gp\">\n", n);
    for (uint32_t i = 0; i < n; i++) {
        const char *type = !w->m->nvswitch ? "" : i < w->m->n_gpus ? "OSDev:" : "PCIDev:";
        tug_buf_addf(&text, "%s%u ", type, i < w->m->n_gpus ? w->gpu_gp[i] : w->switch_gp);
        if (i % 10 == 9)
            put_words(w, "indexes", &text);
    }
    put_words(w, "indexes", &text);
    for (uint32_t i = 0; i < n * n; i++) {
        tug_buf_addf(&text, "%u ", value_at(w, i / n, i % n));
        if (i % 10 == 9)
            put_words(w, "u64values", &text);
    }
    put_words(w, "u64values", &text);
    tug_buf_adds(w->out, w->m->nvswitch ? "  </distances2hetero>\n" : "  </distances2>\n");
    tug_buf_clear(&text);
}

void tug_hwlocxml_write(const struct tug_sheet *s, struct tug_buf *out)
{
    struct writing w = {.s = s, .m = &s->machine, .out = out, .next = 1};
    w.n_numa = s->machine.n_numa ? s->machine.n_numa : 1;
    w.cpus = s->cpus < w.n_numa ? w.n_numa : s->cpus; /* a package without CPUs is none */
    w.bus = 0x100;
    tug_pcitree_make(&w.tree, &s->machine);
    tug_buf_adds(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
                      "<topology version=\"2.0\">\n");
    open_object(&w, 1, "Machine");
    tug_buf_adds(out, " os_index=\"0\"");
    put_sets(&w, 0, w.cpus, 0, w.n_numa);
    put_mask(&w, "allowed_cpuset", 0, w.cpus);
    put_mask(&w, "allowed_nodeset", 0, w.n_numa);
    tug_buf_adds(out, ">\n");
    for (uint32_t numa = 0; numa < w.n_numa; numa++)
        put_package(&w, numa);
    close_object(&w, 1);
    if (has_nvlinks(&s->machine))
        put_matrix(&w);
    tug_buf_adds(out, "</topology>\n");
}
