/* nvml.c - the NVIDIA driver's library, which need not be there
 *
 * Layer: host.
 */
#include "host/nvml.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

static int load(struct tug_nvml *n, struct tug_err *err)
{
    const struct {
        const char *name;
        void **to;
        int needed;
    } table[] = {
#define ROW(function, member, result, parameters, needed) {#function, (void **) &n->member, needed},
        TUG_NVML_FUNCTIONS(ROW)
#undef ROW
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!(*table[i].to = dlsym(n->lib, table[i].name)) && table[i].needed)
            return tug_fail(err, -EIO, "libnvidia-ml has no %s: the driver is older than 470", table[i].name);
    return 0;
}

int tug_nvml_open(struct tug_nvml *n, const char *library, struct tug_err *err)
{
    memset(n, 0, sizeof *n);
    n->lib = dlopen(library ? library : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!n->lib)
        return library ? tug_fail(err, -EIO, "cannot load %s: %s", library, dlerror()) : 0;
    int rc = load(n, err), nvml_rc = rc ? 0 : n->init();
    if (!rc && !nvml_rc)
        return 0;
    if (!rc && nvml_rc != TUG_NVML_NO_DRIVER) /* the library without the kernel module: a machine without GPUs */
        rc = tug_fail(err, -EIO, "NVML does not start: %s (error %d)", n->error(nvml_rc), nvml_rc);
    dlclose(n->lib);
    memset(n, 0, sizeof *n);
    return rc;
}

void tug_nvml_close(struct tug_nvml *n)
{
    if (!n->lib)
        return;
    n->shutdown();
    dlclose(n->lib);
    memset(n, 0, sizeof *n);
}
