/* gpu.c - the NVIDIA GPUs of this machine: which they are
 *
 * What fails for one GPU makes that one lost; what fails for all is a failure. Layer: host.
 */
#include "host/gpu.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "host/pci.h"

static void lose(struct tug_gpus *g, uint32_t i, const char *why)
{
    g->lost |= 1ULL << i;
    tug_str_copy(g->at[i].why, sizeof g->at[i].why, why);
}

/* ---- one GPU */

/* By /sys; else the driver's mask of nodes, as /sys of a container may not be that of the machine. */
static uint32_t numa_of(const struct tug_nvml *n, tug_nvml_device d, const char *sys, const char *pci, uint32_t n_numa)
{
    char path[TUG_PCI_PATH_MAX] = "";
    unsigned long mask = 0;
    uint32_t numa = tug_pci_path(sys, pci, path) ? TUG_GPU_NO_NUMA : tug_pci_numa(path, n_numa);
    if (numa != TUG_GPU_NO_NUMA || !n->numa || n->numa(d, 1, &mask, TUG_NVML_SCOPE_NODE) || !mask)
        return numa;
    numa = (uint32_t) __builtin_ctzl(mask);
    return mask & (mask - 1) || numa >= n_numa ? TUG_GPU_NO_NUMA : numa;
}

static void probe_details(const struct tug_nvml *n, tug_nvml_device d, struct tug_gpu *g)
{
    struct tug_nvml_memory mem = {0};
    unsigned now = 0, later = 0;
    if (!n->minor || n->minor(d, &g->minor))
        g->minor = TUG_GPU_NO_MINOR;
    if (n->memory && !n->memory(d, &mem))
        g->mem_mib = (uint32_t) (mem.total >> 20);
    if (n->pcie_gen && n->pcie_gen(d, &g->pcie_gen))
        g->pcie_gen = 0;
    if (n->pcie_lanes && n->pcie_lanes(d, &g->pcie_lanes))
        g->pcie_lanes = 0;
    g->is_mig = n->mig_mode && !n->mig_mode(d, &now, &later) && now;
}

static void probe_one(const struct tug_nvml *n, uint32_t i, const char *sys, uint32_t n_numa, tug_nvml_device *d,
                      struct tug_gpus *out)
{
    struct tug_gpu *g = &out->at[i];
    struct tug_nvml_pci pci = {0};
    struct tug_err err;
    const char *doing = "reach it";
    int rc = n->by_index(i, d);
    if (!rc && (rc = n->uuid(*d, g->uuid, sizeof g->uuid)) != 0)
        doing = "read its UUID";
    if (!rc && (rc = n->name(*d, g->name, sizeof g->name)) != 0)
        doing = "read its name";
    if (!rc && (rc = n->pci(*d, &pci)) != 0)
        doing = "read its PCI address";
    if (rc) {
        tug_fail(&err, -EIO, "the driver cannot %s: %s (NVML error %d)", doing, n->error(rc), rc);
        *d = NULL;
        *g = (struct tug_gpu){.numa = TUG_GPU_NO_NUMA, .minor = TUG_GPU_NO_MINOR};
        lose(out, i, err.msg);
        return;
    }
    g->uuid[sizeof g->uuid - 1] = g->name[sizeof g->name - 1] = 0;
    snprintf(g->pci, sizeof g->pci, "%04x:%02x:%02x.0", pci.domain & 0xffffff, pci.bus & 0xff, pci.device & 0xff);
    g->numa = numa_of(n, *d, sys, g->pci, n_numa);
    probe_details(n, *d, g);
}

/* ---- MIG: what GPUs are cut into */

/* "NVIDIA A100-SXM4-40GB MIG 1g.5gb" -> "1g.5gb" */
static void set_profile(struct tug_gpu_part *p, const char *name)
{
    const char *at = strstr(name, "MIG ");
    tug_str_copy(p->profile, sizeof p->profile, at ? at + 4 : "");
}

static void add_part(const struct tug_nvml *n, uint32_t gpu, tug_nvml_device d, struct tug_gpus *out)
{
    struct tug_gpu_part *p = &out->part[out->n_parts];
    struct tug_nvml_memory mem = {0};
    char name[96] = "";
    *p = (struct tug_gpu_part){.gpu = gpu};
    if (n->uuid(d, p->uuid, sizeof p->uuid))
        return;
    if (!n->name(d, name, sizeof name - 1))
        set_profile(p, name);
    if (n->memory && !n->memory(d, &mem))
        p->mem_mib = (uint32_t) (mem.total >> 20);
    out->n_parts++;
}

/* A GPU in MIG mode that is cut into nothing can run nothing. */
static void probe_parts(const struct tug_nvml *n, uint32_t gpu, tug_nvml_device *d, struct tug_gpus *out)
{
    uint32_t before = out->n_parts;
    unsigned max = 0;
    tug_nvml_device part;
    if (!n->mig_max || !n->mig_by_index || n->mig_max(*d, &max))
        max = 0;
    for (unsigned i = 0; i < max && out->n_parts < TUG_GPU_PARTS_MAX; i++)
        if (!n->mig_by_index(*d, i, &part))
            add_part(n, gpu, part, out);
    for (uint32_t i = before; i < out->n_parts; i++)
        out->part[i].of = max;
    if (out->n_parts > before)
        return;
    *d = NULL;
    lose(out, gpu, "MIG mode is on and it has no instances; make some with nvidia-smi mig, or switch MIG off");
}

/* ---- the domain of NVLink between nodes (NVL72) */

static void probe_domain(const struct tug_nvml *n, const tug_nvml_device *d, struct tug_gpus *out)
{
    static const unsigned char none[16];
    for (uint32_t i = 0; i < out->n && n->fabric; i++) {
        struct tug_nvml_fabric f = {.version = TUG_NVML_FABRIC_VERSION};
        const unsigned char *u = f.cluster_uuid;
        char text[sizeof out->nvlink_domain];
        if (!d[i] || n->fabric(d[i], &f))
            continue;
        out->fabric_pending |= f.state == TUG_NVML_FABRIC_IN_PROGRESS;
        if (f.state != TUG_NVML_FABRIC_COMPLETED || f.status || !memcmp(u, none, sizeof none))
            continue;
        snprintf(text, sizeof text, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x.%u", u[0], u[1], u[2],
                 u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15], f.clique);
        if (!*out->nvlink_domain)
            strcpy(out->nvlink_domain, text);
        if (strcmp(out->nvlink_domain, text) != 0) { /* a node in two: neither holds for a gang here */
            *out->nvlink_domain = 0;
            return;
        }
    }
}

/* ---- all */

static void set_machine(const struct tug_gpus *g, struct tug_machine *m)
{
    m->n_gpus = g->n;
    for (uint32_t i = 0; i < g->n; i++) {
        tug_gpu_model(g->at[i].name, m->gpu[i].model, sizeof m->gpu[i].model);
        m->gpu[i].mem_mib = g->at[i].mem_mib;
        m->gpu[i].numa = g->at[i].numa;
    }
}

int tug_gpus_probe(const char *library, const char *sys, struct tug_gpus *out, struct tug_machine *m, struct tug_err *err)
{
    tug_nvml_device device[TUG_GPUS_MAX] = {NULL};
    struct tug_nvml n;
    unsigned count = 0;
    memset(out, 0, sizeof *out);
    sys = sys ? sys : "/sys";
    int rc = tug_nvml_open(&n, library, err), nvml_rc;
    if (rc || !n.lib)
        return rc;
    if ((nvml_rc = n.count(&count)) != 0)
        rc = tug_fail(err, -EIO, "NVML cannot count GPUs: %s (error %d)", n.error(nvml_rc), nvml_rc);
    else if (count > TUG_GPUS_MAX)
        rc = tug_fail(err, -EIO, "NVML sees %u GPUs; a node has at most %d", count, TUG_GPUS_MAX);
    else
        out->n = count;
    for (uint32_t i = 0; i < out->n; i++)
        probe_one(&n, i, sys, m->n_numa, &device[i], out);
    for (uint32_t i = 0; i < out->n; i++)
        if (device[i] && out->at[i].is_mig)
            probe_parts(&n, i, &device[i], out);
    for (uint32_t i = 0; i < out->n && !*out->model; i++)
        tug_gpu_model(out->at[i].name, out->model, sizeof out->model);
    probe_domain(&n, device, out);
    set_machine(out, m);
    tug_gpu_links(&n, device, sys, out, m);
    tug_nvml_close(&n);
    return rc;
}

/* ---- names */

static bool is_brand(const char *word, size_t len)
{
    static const char *const brands[] = {"NVIDIA", "Tesla", "GeForce", "Quadro"};
    for (size_t i = 0; i < sizeof brands / sizeof *brands; i++)
        if (len == strlen(brands[i]) && !strncmp(word, brands[i], len))
            return true;
    return false;
}

char *tug_gpu_model(const char *name, char *out, size_t size_bytes)
{
    const char *rest = name, *word;
    size_t len, at = 0;
    bool more = true;
    while (more && size_bytes && tug_str_split(&rest, ' ', &word, &len)) {
        if (len == 0 || is_brand(word, len))
            continue;
        bool family = (len == 3 && (!strncmp(word, "RTX", 3) || !strncmp(word, "GTX", 3))) ||
                      (len == 5 && !strncmp(word, "TITAN", 5));
        for (size_t i = 0; i < len && word[i] != '-' && at + 1 < size_bytes; i++)
            out[at++] = (char) tolower((unsigned char) word[i]);
        more = family;
    }
    if (size_bytes)
        out[at] = 0;
    return out;
}
