/* machine.h - what is inside a node: its GPUs, how they are linked, and the NICs next to them
 *
 * A value without identities: nodes of one kind are the same machine, whatever their serial numbers are. GPU i is the
 * node's own index i (PCI bus order), as in gpuset.h; NIC i likewise. Bandwidths are MB/s (10^6 bytes a second) in one
 * direction, as hwloc gives them for "NVLinkBandwidth". Link classes are those of `nvidia-smi topo -m`
 * (nvmlGpuTopologyLevel_t). It is made zeroed by tug_new(struct tug_machine) and freed with free().
 */
#ifndef TUG_BASE_MACHINE_H
#define TUG_BASE_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/gpuset.h"

#define TUG_MACHINE_NICS_MAX 32
#define TUG_MACHINE_NUMA_MAX 64
#define TUG_MACHINE_NO_NUMA UINT32_MAX

/* What a path crosses at most; the smaller the nearer. */
enum tug_link_class {
    TUG_LINK_UNKNOWN, /* nobody knows */
    TUG_LINK_SELF,    /* "X" */
    TUG_LINK_BOARD,   /* "INT": on one board */
    TUG_LINK_PIX,     /* one PCIe switch */
    TUG_LINK_PXB,     /* several PCIe switches, no host bridge */
    TUG_LINK_PHB,     /* the host bridge */
    TUG_LINK_NODE,    /* host bridges of one NUMA node */
    TUG_LINK_SYS      /* the link between NUMA nodes */
};
#define TUG_LINK_CLASSES 8

struct tug_machine_link {
    uint8_t class;    /* enum tug_link_class: of the path over PCIe */
    uint8_t nvlinks;  /* NVLinks between the two, or into the switch that joins them; 0 = none: the path is PCIe */
    uint32_t mbs;     /* between the two alone, over the better path; 0 = not known */
};

struct tug_machine_gpu {
    char model[32];   /* as users ask for it: "h100" */
    uint32_t mem_mib; /* 0 = not known */
    uint32_t numa;    /* TUG_MACHINE_NO_NUMA = not known */
    uint32_t port_mbs; /* all that it can send to other GPUs of the node at once; 0 = not known */
};

struct tug_machine_nic {
    char name[32];    /* "mlx5_0", "eth0" */
    uint32_t numa;    /* TUG_MACHINE_NO_NUMA = not known */
    uint32_t mbs;     /* 0 = not known */
    uint8_t is_ib;    /* 1: verbs device (InfiniBand, RoCE, EFA), what NCCL_IB_HCA names; 0: a network interface */
};

struct tug_machine {
    char name[64];    /* that of etc/machines, "hgx-h100"; "" = a real one that has no name */
    uint32_t n_gpus, n_nics, n_numa;
    uint8_t nvswitch; /* NVLinks end in switches: every pair has a GPU's whole bandwidth, and port_mbs is what limits */
    struct tug_machine_gpu gpu[TUG_GPUS_MAX];
    struct tug_machine_nic nic[TUG_MACHINE_NICS_MAX];
    struct tug_machine_link link[TUG_GPUS_MAX][TUG_GPUS_MAX];     /* symmetric; [i][i] is SELF */
    uint8_t nic_class[TUG_GPUS_MAX][TUG_MACHINE_NICS_MAX];        /* enum tug_link_class between GPU and NIC */
    uint32_t allreduce_mbs[TUG_GPUS_MAX + 1]; /* measured all-reduce bus bandwidth of so many GPUs; 0 = not measured */
};

/* "X" "INT" "PIX" "PXB" "PHB" "NODE" "SYS", "?" for UNKNOWN. */
const char *tug_link_class_name(enum tug_link_class class);
/* -1: no such class. Takes "INT" and NVIDIA's other name "PSB" too. */
int tug_link_class_parse(const char *name);
/* As nvidia-smi writes it: "NV12" where there are NVLinks, else the class. Returns out. */
char *tug_machine_link_name(const struct tug_machine_link *l, char *out, size_t size_bytes);

/* Counts within bounds, the matrix symmetric with SELF on its diagonal only, NUMA nodes that exist, names without
 * control characters. -EINVAL names the first GPU, pair or NIC that is not. */
int tug_machine_check(const struct tug_machine *m, struct tug_err *err);
/* The same hardware: everything but the name. */
int tug_machine_equal(const struct tug_machine *a, const struct tug_machine *b);
/* The first difference that an admin would act on, in words: "8 GPUs before, 7 now". "" = none. Returns out. */
char *tug_machine_difference(const struct tug_machine *before, const struct tug_machine *now, char *out,
                             size_t size_bytes);
/* What 'now' has less of, in words: GPUs, NVLinks, bandwidth, memory, verbs devices; "" = nothing. A tenth less of a figure is
 * nothing: drivers round and reserve differently. Other models, more of something, network interfaces: no loss. Returns out. */
char *tug_machine_loss(const struct tug_machine *before, const struct tug_machine *now, char *out, size_t size_bytes);
/* In what a machine falls short of a description of its kind with as many GPUs, in words; "" = in nothing. Descriptions name cards and
 * guess at PCIe, so only NVLinks, memory, and the number and rate of verbs devices count. Returns out. */
char *tug_machine_shortfall(const struct tug_machine *wanted, const struct tug_machine *is, char *out, size_t size_bytes);
/* Bandwidth that a path of that class has where nobody says better, for PCIe of that generation (3..6) and 16 lanes, MB/s:
 * 0.8 of the link rate below PCIe switches, less over host bridges and sockets (machine.c says how much). 0: UNKNOWN or SELF. */
uint32_t tug_link_class_mbs(enum tug_link_class class, unsigned pcie_gen);

#endif
