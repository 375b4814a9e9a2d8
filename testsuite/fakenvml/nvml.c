/* nvml.c - a libnvidia-ml.so.1 for machines without GPUs: it tells of the machine that a file describes
 *
 * TUG_FAKE_NVML names the file; a line of it is one of these, and '#' begins a comment. GPUs are numbers from 0, "*" is all.
 *
 *   gpus N                     name TEXT            memory MIB          pcie GENERATION LANES
 *   sockets N                  GPUs are spread evenly over N NUMA nodes; classes are NODE and SYS
 *   class I K NAME             INT PIX PXB PHB NODE SYS
 *   links I K N                NVLinks between two GPUs
 *   half I K N                 NVLinks that are up at I's end only
 *   switch N                   NVLinks of each GPU into NVSwitches
 *   hidden N                   ... to a PCI device that nobody shows, of a kind that nobody tells
 *   cpu N                      ... to a CPU, as on POWER9
 *   untold                     the driver does not tell the kind of any link's other end
 *   rate MBS                   of a link; without: the driver does not say          version N
 *   nop2p                      no copies over NVLink
 *   mig I [PROFILE MIB]        the mode is on; an instance
 *   fabric UUID CLIQUE STATE   32 hex digits
 *   stuck                      the driver never answers
 *   fail FUNCTION I|* ERROR    that function fails with that number
 *
 * Structures and numbers are those of nvml.h (https://docs.nvidia.com/deploy/nvml-api), written down apart from src/host/nvml.h,
 * so that a slip in one of the two shows. With -DFAKE_OLD it lacks what a driver may lack. Layer: tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef struct fake_device { int gpu, part; } *nvmlDevice_t;
enum { OK = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9, UNKNOWN = 999 };

typedef struct {
    char busIdLegacy[16];
    unsigned int domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} nvmlPciInfo_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef union {
    double dVal;
    int siVal;
    unsigned int uiVal;
    unsigned long ulVal;
    unsigned long long ullVal;
    signed long long sllVal;
    unsigned short usVal;
} nvmlValue_t;
typedef struct {
    unsigned int fieldId, scopeId;
    long long timestamp, latencyUsec;
    unsigned int valueType;
    nvmlReturn_t nvmlReturn;
    nvmlValue_t value;
} nvmlFieldValue_t;
typedef struct {
    unsigned int version;
    unsigned char clusterUuid[16];
    nvmlReturn_t status;
    unsigned int cliqueId;
    unsigned char state;
    unsigned int healthMask;
} nvmlGpuFabricInfoV_t;
_Static_assert(sizeof(nvmlGpuFabricInfoV_t) == 36 && sizeof(nvmlFieldValue_t) == 40 && sizeof(nvmlPciInfo_t) == 68, "nvml.h");

enum kind { TO_GPU, TO_CPU, TO_SWITCH, TO_HIDDEN = 255 };
struct link { enum kind kind; int gpu, up; };

#define GPUS 64
static struct {
    int gpus, sockets, untold, nop2p, has_fabric;
    unsigned rate, version, memory_mib, pcie_gen, pcie_lanes, clique, state;
    char name[96];
    unsigned char uuid[16];
    int class[GPUS][GPUS];            /* -1: by socket */
    struct link link[GPUS][64];
    unsigned n_links[GPUS];
    int mig[GPUS];
    struct { int gpu, mib; char profile[32]; struct fake_device device; } part[GPUS * 8];
    int n_parts;
    struct { char function[64]; int gpu, rc; } fail[32];
    int n_fails;
    struct fake_device device[GPUS];
} f;

/* ---- the description */

static void add(int gpu, enum kind kind, int other, int n, int up)
{
    while (n-- > 0 && f.n_links[gpu] < 64)
        f.link[gpu][f.n_links[gpu]++] = (struct link){kind, other, up};
}

static void add_all(enum kind kind, int n)
{
    for (int i = 0; i < f.gpus; i++)
        add(i, kind, -1, n, 1);
}

static int class_of(const char *name)
{
    static const char *const names[] = {"INT", "PIX", "PXB", "PHB", "NODE", "SYS"};
    for (int i = 0; i < 6; i++)
        if (!strcmp(name, names[i]))
            return 10 * i;
    fprintf(stderr, "fakenvml: no class '%s'\n", name);
    abort();
}

static void set_fabric(const char *hex, unsigned clique, unsigned state)
{
    f.has_fabric = 1;
    f.clique = clique;
    f.state = state;
    for (int i = 0; i < 16; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        f.uuid[i] = (unsigned char) byte;
    }
}

static void read_line(const char *l)
{
    char a[64], b[64];
    int i, k, n;
    unsigned u, v;
    if (sscanf(l, "gpus %d", &f.gpus) == 1 || sscanf(l, "name %95[^\n]", f.name) == 1 ||
        sscanf(l, "memory %u", &f.memory_mib) == 1 || sscanf(l, "pcie %u %u", &f.pcie_gen, &f.pcie_lanes) == 2 ||
        sscanf(l, "sockets %d", &f.sockets) == 1 || sscanf(l, "rate %u", &f.rate) == 1 ||
        sscanf(l, "version %u", &f.version) == 1)
        return;
    if (sscanf(l, "class %d %d %63s", &i, &k, a) == 3)
        f.class[i][k] = f.class[k][i] = class_of(a);
    else if (sscanf(l, "links %d %d %d", &i, &k, &n) == 3)
        add(i, TO_GPU, k, n, 1), add(k, TO_GPU, i, n, 1);
    else if (sscanf(l, "half %d %d %d", &i, &k, &n) == 3)
        add(i, TO_GPU, k, n, 1), add(k, TO_GPU, i, n, 0);
    else if (sscanf(l, "switch %d", &n) == 1)
        add_all(TO_SWITCH, n);
    else if (sscanf(l, "hidden %d", &n) == 1)
        add_all(TO_HIDDEN, n);
    else if (sscanf(l, "cpu %d", &n) == 1)
        add_all(TO_CPU, n);
    else if (!strncmp(l, "untold", 6))
        f.untold = 1;
    else if (!strncmp(l, "stuck", 5))
        for (;;)
            pause();
    else if (!strncmp(l, "nop2p", 5))
        f.nop2p = 1;
    else if ((n = sscanf(l, "mig %d %31s %d", &i, a, &k)) >= 1) {
        f.mig[i] = 1;
        if (n == 3) {
            f.part[f.n_parts].gpu = i;
            f.part[f.n_parts].mib = k;
            f.part[f.n_parts].device = (struct fake_device){i, f.n_parts};
            strcpy(f.part[f.n_parts++].profile, a);
        }
    } else if (sscanf(l, "fabric %63s %u %u", a, &u, &v) == 3)
        set_fabric(a, u, v);
    else if (sscanf(l, "fail %63s %63s %d", a, b, &n) == 3) {
        strcpy(f.fail[f.n_fails].function, a);
        f.fail[f.n_fails].gpu = *b == '*' ? -1 : atoi(b);
        f.fail[f.n_fails++].rc = n;
    } else if (*l != '#' && *l != '\n') {
        fprintf(stderr, "fakenvml: what is '%s'?\n", l);
        abort();
    }
}

static int read_file(void)
{
    char line[256];
    const char *path = getenv("TUG_FAKE_NVML");
    FILE *in = path ? fopen(path, "r") : NULL;
    memset(&f, 0, sizeof f);
    for (int i = 0; i < GPUS; i++) {
        f.device[i] = (struct fake_device){i, -1};
        for (int k = 0; k < GPUS; k++)
            f.class[i][k] = -1;
    }
    f.sockets = 1;
    strcpy(f.name, "NVIDIA Fake");
    while (in && fgets(line, sizeof line, in))
        read_line(line);
    if (in)
        fclose(in);
    return in != NULL;
}

/* What the file says that this function does. */
static int fails(const char *function, int gpu)
{
    for (int i = 0; i < f.n_fails; i++)
        if (!strcmp(f.fail[i].function, function) && (f.fail[i].gpu < 0 || f.fail[i].gpu == gpu))
            return f.fail[i].rc;
    return 0;
}
#define MAY_FAIL(gpu)                               \
    do {                                            \
        int rc_ = fails(__func__, (gpu));           \
        if (rc_)                                    \
            return rc_;                             \
    } while (0)

static int socket_of(int gpu)
{
    return gpu * f.sockets / f.gpus;
}

static void set_pci(nvmlPciInfo_t *p, int gpu)
{
    memset(p, 0, sizeof *p);
    p->bus = 0x10 + 3 * (unsigned) gpu;
    p->pciDeviceId = 0x233010de;
    snprintf(p->busId, sizeof p->busId, "%08X:%02X:00.0", p->domain, p->bus);
    snprintf(p->busIdLegacy, sizeof p->busIdLegacy, "%04X:%02X:00.0", p->domain & 0xffff, p->bus);
}

/* ---- what every driver has */

nvmlReturn_t nvmlInit_v2(void);
nvmlReturn_t nvmlInit_v2(void)
{
    if (!read_file())
        return DRIVER_NOT_LOADED;
    MAY_FAIL(-1);
    return OK;
}

nvmlReturn_t nvmlShutdown(void);
nvmlReturn_t nvmlShutdown(void)
{
    return OK;
}

const char *nvmlErrorString(nvmlReturn_t rc);
const char *nvmlErrorString(nvmlReturn_t rc)
{
    return rc == 15 ? "GPU is lost" : rc == 18 ? "Driver/library version mismatch" : "Unknown Error";
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *n);
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *n)
{
    MAY_FAIL(-1);
    *n = (unsigned) f.gpus;
    return OK;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int i, nvmlDevice_t *d);
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int i, nvmlDevice_t *d)
{
    MAY_FAIL((int) i);
    *d = &f.device[i];
    return i < (unsigned) f.gpus ? OK : INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t d, char *out, unsigned int len);
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t d, char *out, unsigned int len)
{
    MAY_FAIL(d->gpu);
    snprintf(out, len, "%s-fa4e0000-0000-0000-%04d-%012d", d->part < 0 ? "GPU" : "MIG", d->part + 1, d->gpu);
    return OK;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t d, char *out, unsigned int len);
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t d, char *out, unsigned int len)
{
    MAY_FAIL(d->gpu);
    if (d->part < 0)
        snprintf(out, len, "%s", f.name);
    else
        snprintf(out, len, "%s MIG %s", f.name, f.part[d->part].profile);
    return OK;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t d, nvmlPciInfo_t *p);
nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t d, nvmlPciInfo_t *p)
{
    MAY_FAIL(d->gpu);
    set_pci(p, d->gpu);
    return OK;
}

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t d, unsigned int link, unsigned int *up);
nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t d, unsigned int link, unsigned int *up)
{
    MAY_FAIL(d->gpu);
    if (link >= f.n_links[d->gpu])
        return f.n_links[d->gpu] ? INVALID_ARGUMENT : NOT_SUPPORTED;
    *up = (unsigned) f.link[d->gpu][link].up;
    return OK;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t d, unsigned int link, nvmlPciInfo_t *p);
nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t d, unsigned int link, nvmlPciInfo_t *p)
{
    MAY_FAIL(d->gpu);
    if (link >= f.n_links[d->gpu])
        return INVALID_ARGUMENT;
    set_pci(p, f.link[d->gpu][link].gpu);
    if (f.link[d->gpu][link].kind != TO_GPU)
        p->domain = 0xbad;
    return OK;
}

/* ---- what an old one lacks */

#ifndef FAKE_OLD

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t d, unsigned int *minor);
nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t d, unsigned int *minor)
{
    MAY_FAIL(d->gpu);
    *minor = (unsigned) (f.gpus - 1 - d->gpu); /* not the index: as after one was probed late */
    return OK;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t d, nvmlMemory_t *m);
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t d, nvmlMemory_t *m)
{
    MAY_FAIL(d->gpu);
    m->total = (unsigned long long) (d->part < 0 ? f.memory_mib : (unsigned) f.part[d->part].mib) << 20;
    m->free = m->total;
    m->used = 0;
    return OK;
}

nvmlReturn_t nvmlDeviceGetMemoryAffinity(nvmlDevice_t d, unsigned int n, unsigned long *mask, unsigned int scope);
nvmlReturn_t nvmlDeviceGetMemoryAffinity(nvmlDevice_t d, unsigned int n, unsigned long *mask, unsigned int scope)
{
    MAY_FAIL(d->gpu);
    if (n < 1 || scope != 0)
        return INVALID_ARGUMENT;
    *mask = 1ul << socket_of(d->gpu);
    return OK;
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t d, unsigned int *gen);
nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t d, unsigned int *gen)
{
    MAY_FAIL(d->gpu);
    *gen = f.pcie_gen;
    return OK;
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t d, unsigned int *lanes);
nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t d, unsigned int *lanes)
{
    MAY_FAIL(d->gpu);
    *lanes = f.pcie_lanes;
    return OK;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t d, unsigned int *now, unsigned int *later);
nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t d, unsigned int *now, unsigned int *later)
{
    MAY_FAIL(d->gpu);
    *now = *later = (unsigned) f.mig[d->gpu];
    return OK;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t d, unsigned int *n);
nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t d, unsigned int *n)
{
    MAY_FAIL(d->gpu);
    *n = 7;
    return OK;
}

/* Indexes have holes where instances were destroyed: the first is one here. */
nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t d, unsigned int i, nvmlDevice_t *out);
nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t d, unsigned int i, nvmlDevice_t *out)
{
    unsigned seen = 0;
    MAY_FAIL(d->gpu);
    for (int k = 0; k < f.n_parts; k++)
        if (f.part[k].gpu == d->gpu && ++seen == i) {
            *out = &f.part[k].device;
            return OK;
        }
    return NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetNvLinkVersion(nvmlDevice_t d, unsigned int link, unsigned int *version);
nvmlReturn_t nvmlDeviceGetNvLinkVersion(nvmlDevice_t d, unsigned int link, unsigned int *version)
{
    (void) link;
    MAY_FAIL(d->gpu);
    *version = f.version;
    return OK;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t d, unsigned int link, int *type);
nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t d, unsigned int link, int *type)
{
    MAY_FAIL(d->gpu);
    if (link >= f.n_links[d->gpu])
        return INVALID_ARGUMENT;
    *type = f.link[d->gpu][link].kind;
    return f.untold ? NOT_SUPPORTED : OK;
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t d, int n, nvmlFieldValue_t *v);
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t d, int n, nvmlFieldValue_t *v)
{
    MAY_FAIL(d->gpu);
    for (int i = 0; i < n; i++) {
        v[i].nvmlReturn = v[i].fieldId == 90 && f.rate ? OK : NOT_SUPPORTED;
        v[i].valueType = 1;
        v[i].value.uiVal = f.rate;
    }
    return OK;
}

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t a, nvmlDevice_t b, int *level);
nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t a, nvmlDevice_t b, int *level)
{
    MAY_FAIL(a->gpu);
    *level = f.class[a->gpu][b->gpu];
    if (*level < 0)
        *level = socket_of(a->gpu) == socket_of(b->gpu) ? 40 : 50;
    return OK;
}

nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t a, nvmlDevice_t b, int caps, int *status);
nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t a, nvmlDevice_t b, int caps, int *status)
{
    (void) b;
    MAY_FAIL(a->gpu);
    *status = caps == 2 && f.nop2p ? 5 : OK;
    return OK;
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t d, nvmlGpuFabricInfoV_t *info);
nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t d, nvmlGpuFabricInfoV_t *info)
{
    MAY_FAIL(d->gpu);
    if (info->version != (sizeof *info | 2u << 24))
        return 25; /* NVML_ERROR_ARGUMENT_VERSION_MISMATCH */
    if (!f.has_fabric)
        return NOT_SUPPORTED;
    memcpy(info->clusterUuid, f.uuid, sizeof f.uuid);
    info->status = OK;
    info->cliqueId = f.clique;
    info->state = (unsigned char) f.state;
    return OK;
}

#endif
