/* topo.c - CPUs, memory and NUMA nodes of this machine, as hwloc sees them
 *
 * Layer: host.
 */
#include "host/topo.h"

#include <errno.h>
#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static void add_numa(struct tug_topo *t, hwloc_obj_t node)
{
    if (node->os_index >= TUG_TOPO_NUMA_MAX)
        return;
    if (node->os_index >= t->n_numa)
        t->n_numa = node->os_index + 1;
    for (int cpu = hwloc_bitmap_first(node->cpuset); cpu >= 0; cpu = hwloc_bitmap_next(node->cpuset, cpu)) {
        if (cpu >= 8 * TUG_TOPO_MASK_BYTES)
            break;
        t->numa_cpus[node->os_index][cpu / 8] |= (uint8_t) (1u << (cpu % 8));
        if ((uint32_t) cpu / 8 >= t->mask_bytes)
            t->mask_bytes = (uint32_t) cpu / 8 + 1;
    }
}

static int export(hwloc_topology_t topo, const char *xml, struct tug_err *err)
{
    char *tmp = tug_xasprintf("%s.%d", xml, (int) getpid());
    int rc = 0;
    if (hwloc_topology_export_xml(topo, tmp, 0) < 0 || chmod(tmp, 0644) < 0 || rename(tmp, xml) < 0) {
        rc = tug_fail(err, errno ? -errno : -EIO, "topology file %s cannot be written: %s", xml, strerror(errno));
        unlink(tmp);
    }
    free(tmp);
    return rc;
}

int tug_topo_load(struct tug_topo *out, const char *xml, struct tug_err *err)
{
    static const char *const not_here[] = {"gl", "opencl", "cuda", "nvml", "rsmi", "levelzero"};
    struct tug_topo t = {0};
    hwloc_topology_t topo;
    hwloc_obj_t node = NULL;
    if (hwloc_topology_init(&topo) < 0)
        return tug_fail(err, -EIO, "hwloc does not start");
    for (size_t i = 0; i < sizeof not_here / sizeof *not_here; i++)
        hwloc_topology_set_components(topo, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, not_here[i]);
    int rc = 0;
    if (hwloc_topology_load(topo) < 0) {
        rc = tug_fail(err, -EIO, "hwloc cannot read this machine: %s", strerror(errno));
        goto out;
    }
    t.cpus = (uint32_t) hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_PU);
    while ((node = hwloc_get_next_obj_by_type(topo, HWLOC_OBJ_NUMANODE, node))) {
        t.mem_bytes += node->attr->numanode.local_memory;
        add_numa(&t, node);
    }
    if (xml)
        rc = export(topo, xml, err);
    if (!rc)
        *out = t;
out:
    hwloc_topology_destroy(topo);
    return rc;
}
