/* gpu.c - the NVIDIA GPUs of this machine, through a library that need not be there
 *
 * The few facts of NVML's ABI that are needed (names, PCI struct of v3) are as in nvml.h of driver 470 and newer; nothing
 * of it is needed to build. Layer: host.
 */
#include "host/gpu.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

typedef struct nvml_device *nvml_device;

struct nvml_pci { /* nvmlPciInfo_t, v3 */
    char bus_id_legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

struct nvml {
    int (*init)(void);
    int (*shutdown)(void);
    const char *(*error)(int);
    int (*count)(unsigned *);
    int (*by_index)(unsigned, nvml_device *);
    int (*uuid)(nvml_device, char *, unsigned);
    int (*name)(nvml_device, char *, unsigned);
    int (*pci)(nvml_device, struct nvml_pci *);
};

static int load(void *lib, struct nvml *n, struct tug_err *err)
{
    const struct { const char *name; void **to; } table[] = {
        {"nvmlInit_v2", (void **) &n->init},
        {"nvmlShutdown", (void **) &n->shutdown},
        {"nvmlErrorString", (void **) &n->error},
        {"nvmlDeviceGetCount_v2", (void **) &n->count},
        {"nvmlDeviceGetHandleByIndex_v2", (void **) &n->by_index},
        {"nvmlDeviceGetUUID", (void **) &n->uuid},
        {"nvmlDeviceGetName", (void **) &n->name},
        {"nvmlDeviceGetPciInfo_v3", (void **) &n->pci},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!(*table[i].to = dlsym(lib, table[i].name)))
            return tug_fail(err, -EIO, "libnvidia-ml has no %s: the driver is older than 470", table[i].name);
    return 0;
}

static uint32_t numa_of(const char *pci)
{
    char path[128], text[32] = "";
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/numa_node", pci);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return TUG_GPU_NO_NUMA;
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    long numa = len > 0 ? strtol(text, NULL, 10) : -1;
    return numa < 0 ? TUG_GPU_NO_NUMA : (uint32_t) numa;
}

static int probe_one(const struct nvml *n, unsigned index, struct tug_gpu *out, struct tug_err *err)
{
    nvml_device d;
    struct nvml_pci pci = {0};
    int rc = n->by_index(index, &d);
    if (!rc)
        rc = n->uuid(d, out->uuid, sizeof out->uuid);
    if (!rc)
        rc = n->name(d, out->name, sizeof out->name);
    if (!rc)
        rc = n->pci(d, &pci);
    if (rc)
        return tug_fail(err, -EIO, "GPU %u: %s (NVML error %d)", index, n->error(rc), rc);
    snprintf(out->pci, sizeof out->pci, "%04x:%02x:%02x.0", pci.domain & 0xffff, pci.bus & 0xff, pci.device & 0xff);
    out->numa = numa_of(out->pci);
    return 0;
}

int tug_gpus_probe(const char *library, struct tug_gpus *out, struct tug_err *err)
{
    struct tug_gpus g = {0};
    struct nvml n = {0};
    unsigned count = 0;
    void *lib = dlopen(library ? library : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!lib && library)
        return tug_fail(err, -EIO, "cannot load %s: %s", library, dlerror());
    if (!lib) {
        *out = g;
        return 0;
    }
    int rc = load(lib, &n, err), nvml_rc;
    if (rc)
        goto out;
    if ((nvml_rc = n.init()) != 0) {
        /* 9 = the driver is not loaded: a machine with the library and without GPUs */
        rc = nvml_rc == 9 ? 0 : tug_fail(err, -EIO, "NVML does not start: %s (error %d)", n.error(nvml_rc), nvml_rc);
        if (!rc)
            *out = g;
        goto out;
    }
    if ((nvml_rc = n.count(&count)) != 0)
        rc = tug_fail(err, -EIO, "NVML cannot count GPUs: %s (error %d)", n.error(nvml_rc), nvml_rc);
    else if (count > TUG_GPUS_MAX)
        rc = tug_fail(err, -EIO, "NVML sees %u GPUs; a node has at most %d", count, TUG_GPUS_MAX);
    for (unsigned i = 0; !rc && i < count; i++)
        rc = probe_one(&n, i, &g.at[g.n++], err);
    n.shutdown();
    if (!rc && g.n)
        tug_gpu_model(g.at[0].name, g.model, sizeof g.model);
    if (!rc)
        *out = g;
out:
    dlclose(lib);
    return rc;
}

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
