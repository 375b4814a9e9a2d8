/* pci.c - where PCI devices are, as /sys tells it
 *
 * Layer: host.
 */
#include "host/pci.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *tug_sys_read(const char *sys, const char *path, char *out, size_t size_bytes)
{
    char full[TUG_PCI_PATH_MAX + 128];
    snprintf(full, sizeof full, "%s/%s", sys, path);
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, out, size_bytes - 1);
    if (fd >= 0)
        close(fd);
    out[len > 0 ? len : 0] = 0;
    out[strcspn(out, "\n")] = 0;
    return out;
}

static int resolve(const char *sys, const char *link, char out[TUG_PCI_PATH_MAX])
{
    char full[TUG_PCI_PATH_MAX + 128], real[PATH_MAX];
    snprintf(full, sizeof full, "%s/%s", sys, link);
    if (!realpath(full, real) || strlen(real) >= TUG_PCI_PATH_MAX)
        return -ENOENT;
    strcpy(out, real);
    return 0;
}

int tug_pci_path(const char *sys, const char *address, char out[TUG_PCI_PATH_MAX])
{
    char link[96];
    snprintf(link, sizeof link, "bus/pci/devices/%.40s", address);
    return resolve(sys, link, out);
}

/* "0000:3b:00.0" */
static int is_address(const char *s)
{
    unsigned domain, bus, device, function;
    int len = 0;
    return sscanf(s, "%8x:%2x:%2x.%1u%n", &domain, &bus, &device, &function, &len) == 4 && !s[len] && len < 32;
}

void tug_pci_of(const char *sys, const char *link, char path[TUG_PCI_PATH_MAX], char address[32])
{
    *address = 0;
    if (resolve(sys, link, path))
        *path = 0;
    for (char *slash; (slash = strrchr(path, '/')); *slash = 0)
        if (is_address(slash + 1)) {
            strcpy(address, slash + 1);
            return;
        }
    *path = 0;
}

/* ---- what is between two */

static size_t count_parts(const char *s)
{
    size_t n = 0;
    while (*s)
        n += *s++ == '/';
    return n;
}

/* Bytes of both up to the end of the last part that is the same. */
static size_t common(const char *a, const char *b)
{
    size_t i = 0, end = 0;
    for (; a[i] && a[i] == b[i]; i++)
        if (a[i] == '/')
            end = i;
    return (!a[i] || a[i] == '/') && (!b[i] || b[i] == '/') ? i : end;
}

/* Paths are .../pci0000:3a/0000:3a:00.0/0000:3b:00.0/0000:3c:04.0/0000:3d:00.0: root, root port, the switch's upstream port, its
 * downstream port, device. Below one upstream port the ways part into a downstream port and a device each. */
enum tug_link_class tug_pci_class(const char *a, uint32_t numa_a, const char *b, uint32_t numa_b)
{
    const char *root = strstr(a, "/pci");
    size_t same = common(a, b);
    if (!root || !strstr(b, "/pci"))
        return TUG_LINK_UNKNOWN;
    const char *part = memchr(root + 1, '/', strlen(root + 1));
    size_t root_len = part ? (size_t) (part - a) : strlen(a);
    if (same < root_len)
        return numa_a == numa_b && numa_a != TUG_MACHINE_NO_NUMA ? TUG_LINK_NODE
               : numa_a == TUG_MACHINE_NO_NUMA || numa_b == TUG_MACHINE_NO_NUMA ? TUG_LINK_UNKNOWN
                                                                                : TUG_LINK_SYS;
    if (same == root_len)
        return TUG_LINK_PHB;
    return count_parts(a + same) <= 2 && count_parts(b + same) <= 2 ? TUG_LINK_PIX : TUG_LINK_PXB;
}

uint32_t tug_pci_numa(const char *path, uint32_t n_numa)
{
    char text[32];
    long numa = *path && *tug_sys_read(path, "numa_node", text, sizeof text) ? strtol(text, NULL, 10) : -1;
    if (numa < 0 && n_numa == 1)
        return 0;
    return numa < 0 || numa >= (long) n_numa ? TUG_MACHINE_NO_NUMA : (uint32_t) numa;
}
