/* gpu_links.c - what is between the GPUs of this machine
 *
 * A pair is joined by the NVLinks that lead from one to the other, and by as many as both have into the switches. What one of
 * them says and the other doesn't (a link that is down at one end) counts as not there. Without NVLink the path is PCIe.
 * Layer: host.
 */
#include <stdio.h>
#include <string.h>

#include "host/gpu.h"
#include "host/pci.h"

#define PCI_FORMAT "%04x:%02x:%02x.0"
#define LINKS_MAX 64 /* of one GPU; 18 in the largest of 2025 */

/* The NVLinks of each GPU by where they end. */
struct ends {
    uint32_t mbs;               /* of one link */
    uint8_t total, to_switch;
    uint8_t to[TUG_GPUS_MAX];
};

/* Of one link and direction, by nvmlDeviceGetNvLinkVersion(): 1 is NVLink 1.0, then 2.0, 2.2, 3.0, 3.1, 4.0, 5.0. The rates are
 * those of the data sheets of P100, V100, A100, H100 and B200. */
static uint32_t mbs_of_version(unsigned version)
{
    static const uint32_t mbs[] = {0, 20000, 25000, 25000, 25000, 25000, 25000, 50000};
    return version < sizeof mbs / sizeof *mbs ? mbs[version] : mbs[sizeof mbs / sizeof *mbs - 1];
}

static uint32_t mbs_of_link(const struct tug_nvml *n, tug_nvml_device d, unsigned link)
{
    struct tug_nvml_field f = {.field = TUG_NVML_FIELD_NVLINK_MBS};
    unsigned version = 0;
    if (n->fields && !n->fields(d, 1, &f) && !f.rc && f.value.ui)
        return f.value.ui;
    return n->link_version && !n->link_version(d, link, &version) ? mbs_of_version(version) : 0;
}

/* The GPU at the other end, or out->n. */
static uint32_t gpu_at(const struct tug_gpus *g, const struct tug_nvml_pci *pci)
{
    char text[32];
    uint32_t i = 0;
    snprintf(text, sizeof text, PCI_FORMAT, pci->domain & 0xffffff, pci->bus & 0xff, pci->device & 0xff);
    while (i < g->n && strcmp(g->at[i].pci, text) != 0)
        i++;
    return i;
}

/* Is it an NVSwitch, by what the driver says or /sys shows? What neither knows is one too, in a virtual machine that was not
 * given the switches; unless a GPU is lost, which it may be then. */
static int is_switch(const struct tug_nvml_pci *pci, const char *sys, struct tug_gpus *g)
{
    char address[32], path[TUG_PCI_PATH_MAX], vendor[16];
    snprintf(address, sizeof address, PCI_FORMAT, pci->domain & 0xffffff, pci->bus & 0xff, pci->device & 0xff);
    if (!tug_pci_path(sys, address, path))
        return !strcmp(tug_sys_read(path, "vendor", vendor, sizeof vendor), "0x10de");
    if (g->lost)
        return 0;
    g->hides_pci = 1;
    return 1;
}

/* A link that is up: to a GPU, to a switch, or to what joins no GPUs: a CPU (POWER9), a GPU that is not ours. */
static void add_link(const struct tug_nvml *n, tug_nvml_device d, unsigned link, const char *sys, struct tug_gpus *g,
                     struct ends *e)
{
    struct tug_nvml_pci pci = {0};
    int type = TUG_NVML_REMOTE_UNKNOWN;
    uint32_t other = g->n;
    if (n->link_remote_type && n->link_remote_type(d, link, &type))
        type = TUG_NVML_REMOTE_UNKNOWN;
    if (type != TUG_NVML_REMOTE_SWITCH && n->link_remote_pci && !n->link_remote_pci(d, link, &pci))
        other = gpu_at(g, &pci);
    if (other == g->n && type == TUG_NVML_REMOTE_UNKNOWN && is_switch(&pci, sys, g))
        type = TUG_NVML_REMOTE_SWITCH;
    if (other == g->n && type != TUG_NVML_REMOTE_SWITCH)
        return;
    if (other < g->n)
        e->to[other]++;
    else
        e->to_switch++;
    e->total++;
    if (!e->mbs)
        e->mbs = mbs_of_link(n, d, link);
}

static void find_ends(const struct tug_nvml *n, tug_nvml_device d, const char *sys, struct tug_gpus *g, struct ends *e)
{
    int up = 0;
    memset(e, 0, sizeof *e);
    for (unsigned link = 0; n->link_state && link < LINKS_MAX && !n->link_state(d, link, &up); link++)
        if (up)
            add_link(n, d, link, sys, g, e);
}

/* ---- a pair */

static uint8_t least(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

static enum tug_link_class class_of(const struct tug_nvml *n, tug_nvml_device a, tug_nvml_device b, const char *sys,
                                    const struct tug_gpu *x, const struct tug_gpu *y)
{
    static const enum tug_link_class classes[] = {TUG_LINK_BOARD, TUG_LINK_PIX,  TUG_LINK_PXB,
                                                  TUG_LINK_PHB,   TUG_LINK_NODE, TUG_LINK_SYS};
    char p[TUG_PCI_PATH_MAX], q[TUG_PCI_PATH_MAX];
    int level = -1;
    if (n->ancestor && !n->ancestor(a, b, &level) && level >= 0 && level <= 50)
        return classes[level / 10];
    if (tug_pci_path(sys, x->pci, p) || tug_pci_path(sys, y->pci, q))
        return TUG_LINK_UNKNOWN;
    return tug_pci_class(p, x->numa, q, y->numa);
}

/* Links that are up are of no use while the driver lets no copies over them, as without a running fabric manager. */
static int may_use(const struct tug_nvml *n, tug_nvml_device a, tug_nvml_device b)
{
    int status = 0;
    return !n->p2p || n->p2p(a, b, TUG_NVML_P2P_NVLINK, &status) || status == 0;
}

/* What a path over PCIe carries for a GPU of that generation and width. */
static uint32_t pcie_mbs(const struct tug_gpu *g, enum tug_link_class class)
{
    uint32_t mbs = tug_link_class_mbs(class, g->pcie_gen);
    return g->pcie_lanes && g->pcie_lanes < 16 ? mbs / 16 * g->pcie_lanes : mbs;
}

static struct tug_machine_link join(const struct tug_gpus *g, const struct ends *ends, uint32_t i, uint32_t k,
                                    enum tug_link_class class, int usable)
{
    struct tug_machine_link l = {.class = (uint8_t) class};
    uint32_t x = pcie_mbs(&g->at[i], class), y = pcie_mbs(&g->at[k], class);
    if (usable)
        l.nvlinks = (uint8_t) (least(ends[i].to[k], ends[k].to[i]) + least(ends[i].to_switch, ends[k].to_switch));
    l.mbs = l.nvlinks ? l.nvlinks * (ends[i].mbs < ends[k].mbs ? ends[i].mbs : ends[k].mbs) : x < y ? x : y;
    return l;
}

void tug_gpu_links(const struct tug_nvml *n, const tug_nvml_device *device, const char *sys, struct tug_gpus *out,
                   struct tug_machine *m)
{
    struct ends ends[TUG_GPUS_MAX];
    int uses_nvlink[TUG_GPUS_MAX] = {0};
    for (uint32_t i = 0; i < out->n; i++) {
        memset(&ends[i], 0, sizeof ends[i]);
        if (device[i])
            find_ends(n, device[i], sys, out, &ends[i]);
    }
    for (uint32_t i = 0; i < out->n; i++) {
        m->link[i][i] = (struct tug_machine_link){.class = TUG_LINK_SELF};
        for (uint32_t k = 0; k < i; k++) {
            if (!device[i] || !device[k])
                continue; /* zeroes: nothing is known */
            enum tug_link_class class = class_of(n, device[i], device[k], sys, &out->at[i], &out->at[k]);
            struct tug_machine_link l = join(out, ends, i, k, class, may_use(n, device[i], device[k]));
            m->link[i][k] = m->link[k][i] = l;
            uses_nvlink[i] |= l.nvlinks;
            uses_nvlink[k] |= l.nvlinks;
            m->nvswitch |= l.nvlinks && ends[i].to_switch && ends[k].to_switch;
        }
    }
    for (uint32_t i = 0; i < out->n; i++)
        m->gpu[i].port_mbs = uses_nvlink[i] ? ends[i].total * ends[i].mbs
                             : device[i]    ? pcie_mbs(&out->at[i], TUG_LINK_PIX)
                                            : 0;
}
