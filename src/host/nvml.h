/* nvml.h - the NVIDIA driver's library, which need not be there
 *
 * Loaded with dlopen, by prototypes of our own: the few facts of its ABI that are needed (names, numbers, structures) are as
 * in the nvml.h of drivers 470 to 580, https://docs.nvidia.com/deploy/nvml-api. Nothing of it is needed to build. Of a
 * function that an old driver lacks the pointer is NULL. Layer: host.
 */
#ifndef TUG_HOST_NVML_H
#define TUG_HOST_NVML_H

#include "base/err.h"

typedef struct nvml_device *tug_nvml_device;

/* nvmlReturn_t; these have a meaning for us. */
enum { TUG_NVML_OK = 0, TUG_NVML_NO_DRIVER = 9, TUG_NVML_GPU_IS_LOST = 15 };

struct tug_nvml_pci { /* nvmlPciInfo_t, v3 */
    char bus_id_legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

struct tug_nvml_memory { /* nvmlMemory_t */
    unsigned long long total, free, used;
};

struct tug_nvml_fabric { /* nvmlGpuFabricInfo_v2_t */
    unsigned version;
    unsigned char cluster_uuid[16];
    int status;
    unsigned clique;
    unsigned char state;
    unsigned health_mask;
};
#define TUG_NVML_FABRIC_VERSION ((unsigned) sizeof(struct tug_nvml_fabric) | 2u << 24)
enum { TUG_NVML_FABRIC_IN_PROGRESS = 2, TUG_NVML_FABRIC_COMPLETED = 3 }; /* nvmlGpuFabricState_t */

struct tug_nvml_field { /* nvmlFieldValue_t */
    unsigned field, scope;
    long long timestamp, latency_us;
    int type, rc;
    union {
        double d;
        unsigned ui;
        unsigned long ul;
        unsigned long long ull;
        long long sll;
    } value;
};
#define TUG_NVML_FIELD_NVLINK_MBS 90 /* of one link that is up, in one direction */

#define TUG_NVML_P2P_NVLINK 2      /* nvmlGpuP2PCapsIndex_t */
#define TUG_NVML_SCOPE_NODE 0      /* nvmlAffinityScope_t */
#define TUG_NVML_REMOTE_SWITCH 2   /* nvmlIntNvLinkDeviceType_t; 0: a GPU, 1: a POWER9 CPU */
#define TUG_NVML_REMOTE_UNKNOWN 255

/* X(function of the library, member, result, parameters, is it needed?) */
#define TUG_NVML_FUNCTIONS(X)                                                                                              \
    X(nvmlInit_v2, init, int, (void), 1)                                                                                   \
    X(nvmlShutdown, shutdown, int, (void), 1)                                                                              \
    X(nvmlErrorString, error, const char *, (int), 1)                                                                      \
    X(nvmlDeviceGetCount_v2, count, int, (unsigned *), 1)                                                                  \
    X(nvmlDeviceGetHandleByIndex_v2, by_index, int, (unsigned, tug_nvml_device *), 1)                                      \
    X(nvmlDeviceGetUUID, uuid, int, (tug_nvml_device, char *, unsigned), 1)                                                \
    X(nvmlDeviceGetName, name, int, (tug_nvml_device, char *, unsigned), 1)                                                \
    X(nvmlDeviceGetPciInfo_v3, pci, int, (tug_nvml_device, struct tug_nvml_pci *), 1)                                      \
    X(nvmlDeviceGetMinorNumber, minor, int, (tug_nvml_device, unsigned *), 0)                                              \
    X(nvmlDeviceGetMemoryInfo, memory, int, (tug_nvml_device, struct tug_nvml_memory *), 0)                                \
    X(nvmlDeviceGetMemoryAffinity, numa, int, (tug_nvml_device, unsigned, unsigned long *, unsigned), 0)                   \
    X(nvmlDeviceGetMaxPcieLinkGeneration, pcie_gen, int, (tug_nvml_device, unsigned *), 0)                                 \
    X(nvmlDeviceGetCurrPcieLinkWidth, pcie_lanes, int, (tug_nvml_device, unsigned *), 0)                                   \
    X(nvmlDeviceGetMigMode, mig_mode, int, (tug_nvml_device, unsigned *, unsigned *), 0)                                   \
    X(nvmlDeviceGetMaxMigDeviceCount, mig_max, int, (tug_nvml_device, unsigned *), 0)                                      \
    X(nvmlDeviceGetMigDeviceHandleByIndex, mig_by_index, int, (tug_nvml_device, unsigned, tug_nvml_device *), 0)           \
    X(nvmlDeviceGetNvLinkState, link_state, int, (tug_nvml_device, unsigned, int *), 0)                                    \
    X(nvmlDeviceGetNvLinkVersion, link_version, int, (tug_nvml_device, unsigned, unsigned *), 0)                           \
    X(nvmlDeviceGetNvLinkRemoteDeviceType, link_remote_type, int, (tug_nvml_device, unsigned, int *), 0)                   \
    X(nvmlDeviceGetNvLinkRemotePciInfo_v2, link_remote_pci, int, (tug_nvml_device, unsigned, struct tug_nvml_pci *), 0)    \
    X(nvmlDeviceGetFieldValues, fields, int, (tug_nvml_device, int, struct tug_nvml_field *), 0)                           \
    X(nvmlDeviceGetTopologyCommonAncestor, ancestor, int, (tug_nvml_device, tug_nvml_device, int *), 0)                    \
    X(nvmlDeviceGetP2PStatus, p2p, int, (tug_nvml_device, tug_nvml_device, int, int *), 0)                                 \
    X(nvmlDeviceGetGpuFabricInfoV, fabric, int, (tug_nvml_device, struct tug_nvml_fabric *), 0)

struct tug_nvml {
    void *lib; /* NULL: there is no driver */
#define TUG_NVML_MEMBER(function, member, result, parameters, needed) result(*member) parameters;
    TUG_NVML_FUNCTIONS(TUG_NVML_MEMBER)
#undef TUG_NVML_MEMBER
};

/* 'library' NULL: the driver's. Without a driver 0 with n->lib NULL.
 *   -EIO  there is one, and it does not start, or 'library' cannot be loaded */
int tug_nvml_open(struct tug_nvml *n, const char *library, struct tug_err *err);
void tug_nvml_close(struct tug_nvml *n); /* zeroes are fine */

#endif
