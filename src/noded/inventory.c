/* inventory.c - what this node has, or pretends to have
 *
 * Layer: programs.
 */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/gpu.h"
#include "host/topo.h"
#include "noded/daemon.h"

static void add_numa(Tugpb__Inventory *inv, const struct tug_topo *t)
{
    inv->n_numa_cpus = t->n_numa;
    inv->numa_cpus = tug_xcalloc(t->n_numa + 1, sizeof *inv->numa_cpus);
    for (uint32_t i = 0; i < t->n_numa; i++) {
        inv->numa_cpus[i].data = tug_xmemdup(t->numa_cpus[i], t->mask_bytes);
        inv->numa_cpus[i].len = t->mask_bytes;
    }
}

static void add_gpus(Tugpb__Inventory *inv, const struct tug_gpus *g)
{
    bool numa_known = true;
    inv->gpus = g->n;
    inv->gpu_model = tug_xstrdup(g->model);
    inv->gpu_uuids = tug_xcalloc(g->n + 1, sizeof *inv->gpu_uuids);
    inv->gpu_numa = tug_xcalloc(g->n + 1, sizeof *inv->gpu_numa);
    inv->n_gpu_uuids = g->n;
    for (uint32_t i = 0; i < g->n; i++) {
        inv->gpu_uuids[i] = tug_xstrdup(g->at[i].uuid);
        inv->gpu_numa[i] = g->at[i].numa;
        numa_known &= g->at[i].numa != TUG_GPU_NO_NUMA;
    }
    inv->n_gpu_numa = numa_known ? g->n : 0;
}

int inventory_take(const struct options *o, Tugpb__Inventory **out, struct tug_err *err)
{
    static struct tug_topo topo;
    static struct tug_gpus gpus;
    Tugpb__Inventory *inv = tug_new(Tugpb__Inventory);
    char *xml = tug_xasprintf("%s/topology.xml", o->run_dir);
    tugpb__inventory__init(inv);
    int rc = tug_topo_load(&topo, xml, err);
    free(xml);
    if (!rc && o->gpus < 0 && (rc = tug_gpus_probe(NULL, &gpus, err)) != 0) {
        /* A broken driver must not take the CPUs along: the controller drains a node that has less than it should. */
        tug_error("this node reports no GPUs: %s", err->msg);
        rc = 0;
    }
    if (rc) {
        inventory_free(inv);
        return rc;
    }
    inv->cpus = o->cpus ? (uint32_t) o->cpus : topo.cpus;
    inv->mem_bytes = o->memory_bytes ? (uint64_t) o->memory_bytes : topo.mem_bytes;
    inv->machine = tug_xstrdup(o->machine ? o->machine : "");
    inv->emulated = o->cpus || o->memory_bytes || o->gpus >= 0;
    if (!inv->emulated)
        add_numa(inv, &topo);
    if (o->gpus >= 0) {
        inv->gpus = (uint32_t) o->gpus;
        inv->gpu_model = tug_xstrdup(o->gpu_model ? o->gpu_model : "");
    } else {
        add_gpus(inv, &gpus);
    }
    *out = inv;
    return 0;
}

void inventory_free(Tugpb__Inventory *inv)
{
    if (!inv)
        return;
    if (inv->gpu_model != (char *) protobuf_c_empty_string)
        free(inv->gpu_model);
    if (inv->machine != (char *) protobuf_c_empty_string)
        free(inv->machine);
    for (size_t i = 0; i < inv->n_gpu_uuids; i++)
        free(inv->gpu_uuids[i]);
    for (size_t i = 0; i < inv->n_numa_cpus; i++)
        free(inv->numa_cpus[i].data);
    free(inv->gpu_uuids);
    free(inv->gpu_numa);
    free(inv->numa_cpus);
    free(inv);
}

/* A datagram socket that is connected sends nothing, but has the address that packets would come from. */
static int source_address(const struct addrinfo *to, char *out, size_t size_bytes)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = -1;
    if (fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) == 0 && getsockname(fd, (struct sockaddr *) &from, &len) == 0)
        rc = getnameinfo((struct sockaddr *) &from, len, out, (socklen_t) size_bytes, NULL, 0, NI_NUMERICHOST);
    if (fd >= 0)
        close(fd);
    return rc;
}

int inventory_address(const char *endpoint, char **out, struct tug_err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM}, *list = NULL;
    char host[256], text[128] = "";
    const char *colon = strrchr(endpoint, ':');
    if (!strncmp(endpoint, "unix:", 5)) {
        *out = tug_xstrdup("127.0.0.1");
        return 0;
    }
    if (!colon || (size_t) (colon - endpoint) >= sizeof host)
        return tug_fail(err, -EINVAL, "the controller's address '%s' is not HOST:PORT", endpoint);
    const char *from = endpoint[0] == '[' ? endpoint + 1 : endpoint;
    const char *to = endpoint[0] == '[' && colon > endpoint && colon[-1] == ']' ? colon - 1 : colon;
    memcpy(host, from, (size_t) (to - from));
    host[to - from] = 0;
    int rc = getaddrinfo(host, colon + 1, &hints, &list);
    if (rc)
        return tug_fail(err, -ENOENT, "the controller's host '%s' is not known: %s", host, gai_strerror(rc));
    for (struct addrinfo *a = list; a && !*text; a = a->ai_next)
        if (source_address(a, text, sizeof text))
            text[0] = 0;
    freeaddrinfo(list);
    if (!*text)
        return tug_fail(err, -ENETUNREACH, "there is no route to the controller's host '%s'; say --address", host);
    *out = tug_xstrdup(text);
    return 0;
}
