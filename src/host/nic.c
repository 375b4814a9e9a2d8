/* nic.c - the network cards of this machine, and how near they are to its GPUs
 *
 * Layer: host.
 */
#include "host/nic.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/vec.h"
#include "host/pci.h"

#define IB "class/infiniband"
#define NET "class/net"

struct card {
    struct tug_machine_nic nic;
    char address[32], path[TUG_PCI_PATH_MAX];
};
struct cards tug_vec(struct card);

uint32_t tug_nic_rate_mbs(const char *text)
{
    double gbit = strtod(text, NULL);
    return strstr(text, "Gb/sec") && gbit > 0 && gbit < 1e5 ? (uint32_t) (gbit * 125 + 0.5) : 0;
}

/* Calls 'add' for each name in that directory. */
static void each(const char *sys, const char *dir, void (*add)(const char *sys, const char *name, struct cards *out),
                 struct cards *out)
{
    char full[TUG_PCI_PATH_MAX];
    snprintf(full, sizeof full, "%s/%s", sys, dir);
    DIR *d = opendir(full);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' && strlen(e->d_name) < sizeof((struct tug_machine_nic *) 0)->name)
            add(sys, e->d_name, out);
    if (d)
        closedir(d);
}

/* A function that is there to be lent to a virtual machine; inside of one it looks like any other. */
static int is_lent(const char *path)
{
    char link[TUG_PCI_PATH_MAX + 16];
    snprintf(link, sizeof link, "%s/physfn", path);
    return access(link, F_OK) == 0;
}

/* Linked is enough: the subnet manager, which makes a port active, may come later than we do after a boot. */
static int is_linked(const char *sys, const char *device, int port)
{
    char path[TUG_PCI_PATH_MAX], text[64];
    snprintf(path, sizeof path, IB "/%.40s/ports/%d/state", device, port);
    if (strstr(tug_sys_read(sys, path, text, sizeof text), "ACTIVE"))
        return 1;
    snprintf(path, sizeof path, IB "/%.40s/ports/%d/phys_state", device, port);
    return strstr(tug_sys_read(sys, path, text, sizeof text), "LinkUp") != NULL;
}

/* The fastest of its linked ports, in MB/s; -1: none is. */
static int64_t ports(const char *sys, const char *device)
{
    char path[TUG_PCI_PATH_MAX], text[64];
    int64_t best = -1;
    for (int port = 1; port <= 4; port++) {
        if (!is_linked(sys, device, port))
            continue;
        snprintf(path, sizeof path, IB "/%.40s/ports/%d/rate", device, port);
        int64_t mbs = tug_nic_rate_mbs(tug_sys_read(sys, path, text, sizeof text));
        if (mbs > best)
            best = mbs;
    }
    return best;
}

static void add(struct cards *out, const char *name, uint32_t mbs, int is_ib, const char *address, const char *path)
{
    struct card c = {.nic = {.mbs = mbs, .is_ib = (uint8_t) is_ib}};
    tug_str_copy(c.nic.name, sizeof c.nic.name, name);
    tug_str_copy(c.address, sizeof c.address, address);
    tug_str_copy(c.path, sizeof c.path, path);
    tug_vec_push(out, c);
}

static void add_verbs(const char *sys, const char *name, struct cards *out)
{
    char link[96], path[TUG_PCI_PATH_MAX], address[32];
    snprintf(link, sizeof link, IB "/%.40s/device", name);
    tug_pci_of(sys, link, path, address);
    int64_t mbs = ports(sys, name);
    if (mbs >= 0 && !is_lent(path))
        add(out, name, (uint32_t) mbs, 1, address, path);
}

static int has_verbs(const struct cards *all, const char *address)
{
    for (size_t i = 0; i < all->len; i++)
        if (all->at[i].nic.is_ib && !strcmp(all->at[i].address, address))
            return 1;
    return 0;
}

static void add_interface(const char *sys, const char *name, struct cards *out)
{
    char link[96], path[TUG_PCI_PATH_MAX], address[32], text[32];
    snprintf(link, sizeof link, NET "/%.40s/device", name);
    tug_pci_of(sys, link, path, address);
    if (!*address || is_lent(path) || has_verbs(out, address))
        return; /* bridges, tunnels and the like are no part of a PCI device */
    snprintf(link, sizeof link, NET "/%.40s/operstate", name);
    if (strcmp(tug_sys_read(sys, link, text, sizeof text), "up") != 0)
        return;
    snprintf(link, sizeof link, NET "/%.40s/speed", name); /* Mbit/s; -1 of virtual ones */
    long mbit = strtol(tug_sys_read(sys, link, text, sizeof text), NULL, 10);
    add(out, name, mbit > 0 && mbit < 100000000 ? (uint32_t) mbit / 8 : 0, 0, address, path);
}

static int by_kind(const void *a, const void *b)
{
    const struct card *x = a, *y = b;
    return x->nic.is_ib != y->nic.is_ib ? (int) y->nic.is_ib - (int) x->nic.is_ib : strcmp(x->nic.name, y->nic.name);
}

static int by_address(const void *a, const void *b)
{
    const struct card *x = a, *y = b;
    unsigned long domain_x = strtoul(x->address, NULL, 16), domain_y = strtoul(y->address, NULL, 16);
    int order = domain_x != domain_y ? (domain_x > domain_y ? 1 : -1) : strcmp(x->address, y->address);
    return order ? order : strcmp(x->nic.name, y->nic.name);
}

static enum tug_link_class class_to(const char *sys, const struct tug_gpu *g, const struct card *c)
{
    char path[TUG_PCI_PATH_MAX];
    return !*g->pci || !*c->address || tug_pci_path(sys, g->pci, path) ? TUG_LINK_UNKNOWN
                                                                        : tug_pci_class(path, g->numa, c->path, c->nic.numa);
}

void tug_nics_probe(const char *sys, const struct tug_gpus *gpus, struct tug_machine *m)
{
    struct cards all = {0};
    sys = sys ? sys : "/sys";
    each(sys, IB, add_verbs, &all);
    each(sys, NET, add_interface, &all);
    if (all.len > TUG_MACHINE_NICS_MAX) {
        qsort(all.at, all.len, sizeof *all.at, by_kind);
        all.len = TUG_MACHINE_NICS_MAX;
    }
    if (all.len)
        qsort(all.at, all.len, sizeof *all.at, by_address);
    for (m->n_nics = 0; m->n_nics < all.len; m->n_nics++) {
        struct card *c = &all.at[m->n_nics];
        c->nic.numa = tug_pci_numa(c->path, m->n_numa);
        m->nic[m->n_nics] = c->nic;
        for (uint32_t i = 0; i < m->n_gpus; i++)
            m->nic_class[i][m->n_nics] = (uint8_t) class_to(sys, &gpus->at[i], c);
    }
    tug_vec_clear(&all);
}
