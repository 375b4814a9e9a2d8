/* ncclxml_write.c - a machine as NCCL's topology file has it: writing
 *
 * Classes become a tree: what is PIX to each other stands below one switch; what is PXB below a common one, with a switch of
 * its own for each GPU in between; the rest directly below the CPU of its NUMA node.
 * Layer: conf.
 */
#include <string.h>

#include "conf/gpukinds.h"
#include "conf/ncclxml.h"
#include "conf/pcitree.h"

struct writing {
    const struct tug_machine *m;
    struct tug_pcitree tree;
    struct tug_buf *out;
    unsigned switches; /* so many are written */
};

/* ---- elements */

static const char *speed_of(uint32_t gen)
{
    static const char *const speeds[] = {"8.0 GT/s PCIe", "16.0 GT/s PCIe", "32.0 GT/s PCIe", "64.0 GT/s PCIe"};
    return speeds[gen - 3];
}

static void indent(struct writing *w, unsigned depth)
{
    for (; depth; depth--)
        tug_buf_adds(w->out, "  ");
}

/* Attributes are text of ours, but for names. */
static void put_quoted(struct writing *w, const char *s)
{
    for (; *s; s++)
        if (*s == '&' || *s == '<' || *s == '>' || *s == '"')
            tug_buf_addf(w->out, "&#%d;", *s);
        else
            tug_buf_addc(w->out, *s);
}

static void put_nvlinks(struct writing *w, uint32_t gpu, unsigned depth)
{
    uint32_t on_switch = 0;
    for (uint32_t k = 0; k < w->m->n_gpus; k++) {
        uint32_t n = w->m->link[gpu][k].nvlinks;
        if (w->m->nvswitch)
            on_switch = n > on_switch ? n : on_switch;
        else if (n) {
            indent(w, depth);
            tug_buf_addf(w->out, "<nvlink target=\"0000:%02x:00.0\" count=\"%u\" tclass=\"0x030200\"/>\n", 0x10 + k, n);
        }
    }
    if (on_switch) {
        indent(w, depth);
        tug_buf_addf(w->out, "<nvlink target=\"fffffff:ffff:ff\" count=\"%u\" tclass=\"0x068000\"/>\n", on_switch);
    }
}

static void put_gpu(struct writing *w, uint32_t gpu, unsigned depth)
{
    const struct tug_gpu_kind *k = tug_gpu_kind_of_model(w->m->gpu[gpu].model);
    indent(w, depth);
    tug_buf_addf(w->out, "<pci busid=\"0000:%02x:00.0\" class=\"0x030200\" vendor=\"0x10de\" device=\"0x%04x\" "
                         "subsystem_vendor=\"0x10de\" subsystem_device=\"0x0000\" link_speed=\"%s\" link_width=\"16\">\n",
                 0x10 + gpu, k ? k->device : 0, speed_of(w->tree.generation));
    indent(w, depth + 1);
    tug_buf_addf(w->out, "<gpu dev=\"%u\" sm=\"%u\" rank=\"%u\" gdr=\"1\">\n", gpu, k ? k->sm : 80, gpu);
    put_nvlinks(w, gpu, depth + 2);
    indent(w, depth + 1);
    tug_buf_adds(w->out, "</gpu>\n");
    indent(w, depth);
    tug_buf_adds(w->out, "</pci>\n");
}

static void put_nic(struct writing *w, uint32_t nic, unsigned depth)
{
    const struct tug_machine_nic *n = &w->m->nic[nic];
    indent(w, depth);
    tug_buf_addf(w->out, "<pci busid=\"0000:%02x:00.0\" class=\"0x%s\" vendor=\"0x%s\" device=\"0x0000\" "
                         "subsystem_vendor=\"0x0000\" subsystem_device=\"0x0000\" link_speed=\"%s\" link_width=\"16\">\n",
                 0x80 + nic, n->is_ib ? "020700" : "020000", n->is_ib ? "15b3" : "0000", speed_of(w->tree.generation));
    indent(w, depth + 1);
    tug_buf_adds(w->out, "<nic>\n");
    indent(w, depth + 2);
    tug_buf_adds(w->out, "<net name=\"");
    put_quoted(w, n->name);
    tug_buf_addf(w->out, "\" dev=\"%u\" speed=\"%llu\" port=\"1\" latency=\"0.000000\" guid=\"0x%x\" maxconn=\"131072\" gdr=\"%d\"/>\n",
                 nic, (unsigned long long) n->mbs * 8, nic + 1, n->is_ib);
    indent(w, depth + 1);
    tug_buf_adds(w->out, "</nic>\n");
    indent(w, depth);
    tug_buf_adds(w->out, "</pci>\n");
}

static void put_device(struct writing *w, uint32_t d, unsigned depth)
{
    if (d < w->m->n_gpus)
        put_gpu(w, d, depth);
    else
        put_nic(w, d - w->m->n_gpus, depth);
}

static void open_switch(struct writing *w, unsigned depth)
{
    indent(w, depth);
    tug_buf_addf(w->out, "<pci busid=\"ffff:%02x:00.0\" class=\"0x060400\" vendor=\"0xffff\" device=\"0xffff\" "
                         "subsystem_vendor=\"0xffff\" subsystem_device=\"0xffff\" link_speed=\"%s\" link_width=\"16\">\n",
                 ++w->switches, speed_of(w->tree.generation));
}

static void close_switch(struct writing *w, unsigned depth)
{
    indent(w, depth);
    tug_buf_adds(w->out, "</pci>\n");
}

static void put_low(struct writing *w, uint32_t which, int below_common, unsigned depth)
{
    int own = tug_pcitree_is_low(&w->tree, which, below_common);
    if (own)
        open_switch(w, depth);
    for (uint32_t d = 0; d < w->tree.n; d++)
        if (w->tree.low[d] == which)
            put_device(w, d, depth + (unsigned) own);
    if (own)
        close_switch(w, depth);
}

static void put_high(struct writing *w, uint32_t which, unsigned depth)
{
    int common = tug_pcitree_is_high(&w->tree, which);
    if (common)
        open_switch(w, depth);
    for (uint32_t d = 0; d < w->tree.n; d++)
        if (w->tree.high[d] == which && w->tree.low[d] == d)
            put_low(w, d, common, depth + (unsigned) common);
    if (common)
        close_switch(w, depth);
}

/* CPUs of a NUMA node: an equal part of all. NCCL wants words of 32 bits with commas, the highest first. */
static void put_affinity(struct writing *w, uint32_t cpus, uint32_t numa, uint32_t n_numa)
{
    uint32_t from = (uint32_t) ((uint64_t) cpus * numa / n_numa), to = (uint32_t) ((uint64_t) cpus * (numa + 1) / n_numa);
    for (int word = cpus ? (int) ((cpus - 1) / 32) : 0; word >= 0; word--) {
        uint32_t bits = 0;
        for (uint32_t i = 0; i < 32; i++)
            if ((uint32_t) word * 32 + i >= from && (uint32_t) word * 32 + i < to)
                bits |= 1u << i;
        tug_buf_addf(w->out, "%08x%s", bits, word ? "," : "");
    }
}

void tug_ncclxml_write(const struct tug_sheet *s, struct tug_buf *out)
{
    struct writing w = {.m = &s->machine, .out = out};
    uint32_t n_numa = s->machine.n_numa ? s->machine.n_numa : 1;
    tug_pcitree_make(&w.tree, &s->machine);
    tug_buf_adds(out, "<!-- Written by tug machine export. Bus ids are made up: put in those of the machine before NCCL_TOPO_FILE "
                      "points here. -->\n<system version=\"1\">\n");
    for (uint32_t numa = 0; numa < n_numa; numa++) {
        tug_buf_addf(out, "  <cpu numaid=\"%u\" affinity=\"", numa);
        put_affinity(&w, s->cpus, numa, n_numa);
        tug_buf_adds(out, "\" arch=\"x86_64\" vendor=\"GenuineIntel\" familyid=\"6\" modelid=\"143\">\n");
        for (uint32_t d = 0; d < w.tree.n; d++)
            if (w.tree.high[d] == d && w.tree.numa[d] == numa)
                put_high(&w, d, 2);
        tug_buf_adds(out, "  </cpu>\n");
    }
    tug_buf_adds(out, "</system>\n");
}
