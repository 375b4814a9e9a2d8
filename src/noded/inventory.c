/* inventory.c - what this node has, or pretends to have
 *
 * Layer: programs.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/gpu.h"
#include "host/nic.h"
#include "host/topo.h"
#include "noded/daemon.h"
#include "proto/machine.h"

#define FABRIC_WAIT_S 60

/* What the parts of the host layer found; large, so on the heap. */
struct found {
    struct tug_topo topo;
    struct tug_gpus gpus;
    struct tug_machine machine;
};

/* ---- the message, in memory of the arena */

static void *room(struct tug_arena *a, size_t len)
{
    void *p = tug_arena_alloc(a, len ? len : 1);
    tug_assert(p); /* the arena of inventory_take() holds the largest machine */
    return memset(p, 0, len);
}

static char *text(struct tug_arena *a, const char *s)
{
    return s ? strcpy(room(a, strlen(s) + 1), s) : "";
}

static void add_numa(struct tug_arena *a, Tugpb__Inventory *inv, struct tug_topo *t)
{
    inv->n_numa_cpus = t->n_numa;
    inv->numa_cpus = room(a, t->n_numa * sizeof *inv->numa_cpus);
    for (uint32_t i = 0; i < t->n_numa; i++)
        inv->numa_cpus[i] = (ProtobufCBinaryData){t->mask_bytes, t->numa_cpus[i]};
}

static void add_parts(struct tug_arena *a, Tugpb__Inventory *inv, struct tug_gpus *g)
{
    Tugpb__MigSlice *rows = room(a, g->n_parts * sizeof *rows);
    inv->mig = room(a, g->n_parts * sizeof *inv->mig);
    for (uint32_t i = 0; i < g->n_parts; i++) {
        tugpb__mig_slice__init(&rows[i]);
        rows[i].gpu = g->part[i].gpu;
        rows[i].uuid = g->part[i].uuid;
        rows[i].profile = g->part[i].profile;
        rows[i].mem_mib = g->part[i].mem_mib;
        rows[i].of = g->part[i].of;
        inv->mig[inv->n_mig++] = &rows[i];
    }
}

static void add_gpus(struct tug_arena *a, Tugpb__Inventory *inv, struct tug_gpus *g)
{
    bool numa_known = true;
    inv->gpus = g->n;
    inv->gpu_model = g->model;
    inv->gpus_lost = g->lost;
    inv->hides_pci = g->hides_pci;
    inv->nvlink_domain = g->nvlink_domain;
    inv->gpu_uuids = room(a, g->n * sizeof *inv->gpu_uuids);
    inv->gpu_pci = room(a, g->n * sizeof *inv->gpu_pci);
    inv->gpu_numa = room(a, g->n * sizeof *inv->gpu_numa);
    for (uint32_t i = 0; i < g->n; i++) {
        inv->gpu_uuids[i] = g->at[i].uuid;
        inv->gpu_pci[i] = g->at[i].pci;
        inv->gpu_numa[i] = g->at[i].numa;
        numa_known &= g->at[i].numa != TUG_GPU_NO_NUMA || (g->lost >> i & 1);
    }
    inv->n_gpu_uuids = inv->n_gpu_pci = g->n;
    inv->n_gpu_numa = numa_known ? g->n : 0;
    add_parts(a, inv, g);
}

/* With names that no real one has, counted through on each GPU. */
static void add_slices(struct tug_arena *a, Tugpb__Inventory *inv, const struct tug_mig *mig)
{
    Tugpb__MigSlice *rows = room(a, mig->n * sizeof *rows);
    inv->mig = room(a, mig->n * sizeof *inv->mig);
    for (uint32_t i = 0, nth = 0; i < mig->n; i++) {
        nth = i && mig->at[i - 1].gpu == mig->at[i].gpu ? nth + 1 : 0;
        tugpb__mig_slice__init(&rows[i]);
        rows[i].gpu = mig->at[i].gpu;
        rows[i].profile = text(a, mig->at[i].profile);
        rows[i].uuid = room(a, 32);
        snprintf(rows[i].uuid, 32, "MIG-emulated-%u-%u", rows[i].gpu, nth);
        inv->mig[inv->n_mig++] = &rows[i];
    }
}

/* NUMA nodes of GPUs, and no CPUs of them: those are of the host, which looks different. */
static void add_sheet(struct tug_arena *a, Tugpb__Inventory *inv, const struct tug_sheet *sheet)
{
    const struct tug_machine *m = &sheet->machine;
    bool numa_known = true;
    inv->gpu_numa = room(a, m->n_gpus * sizeof *inv->gpu_numa);
    for (uint32_t i = 0; i < m->n_gpus; i++) {
        inv->gpu_numa[i] = m->gpu[i].numa;
        numa_known &= m->gpu[i].numa != TUG_MACHINE_NO_NUMA;
    }
    inv->n_gpu_numa = numa_known ? m->n_gpus : 0;
    inv->links = tug_machine_pb(a, m);
    add_slices(a, inv, &sheet->mig);
}

/* ---- looking */

static void probe_gpus(struct found *f)
{
    struct tug_err err = {0};
    f->machine = (struct tug_machine){.n_numa = f->topo.n_numa};
    /* A broken driver must not take the CPUs along: the controller drains a node that has less than it should. */
    if (tug_gpus_probe(NULL, NULL, &f->gpus, &f->machine, &err))
        tug_error("this node reports no GPUs: %s", err.msg);
}

/* After a boot the fabric manager may still be at work; what is seen then is a machine without NVLinks, to be drained. */
static void look_at_gpus(struct found *f, bool may_wait, enum tug_log_level loss)
{
    probe_gpus(f);
    if (f->gpus.fabric_pending && may_wait)
        tug_info("the fabric manager is still joining NVLinks; waiting for it, at most %d s", FABRIC_WAIT_S);
    for (int i = 0; f->gpus.fabric_pending && may_wait && i < FABRIC_WAIT_S; i++) {
        sleep(1);
        probe_gpus(f);
    }
    if (f->gpus.fabric_pending)
        tug_warn("the fabric manager is still joining NVLinks: what this node says of them may be too little");
    for (uint32_t i = 0; i < f->gpus.n; i++)
        if (f->gpus.lost >> i & 1)
            tug_log(loss, "GPU %u cannot be used: %s", i, f->gpus.at[i].why);
    tug_nics_probe(NULL, &f->gpus, &f->machine);
}

/* What is really here, but for what the options pretend. */
static void describe(const struct options *o, struct tug_arena *a, struct found *f, Tugpb__Inventory *inv)
{
    inv->cpus = o->cpus ? (uint32_t) o->cpus : f->topo.cpus;
    inv->mem_bytes = o->memory_bytes ? (uint64_t) o->memory_bytes : f->topo.mem_bytes;
    inv->machine = text(a, o->machine);
    inv->emulated = o->cpus || o->memory_bytes || o->gpus >= 0;
    if (!inv->emulated)
        add_numa(a, inv, &f->topo);
    if (o->gpus >= 0) {
        inv->gpus = (uint32_t) o->gpus;
        inv->gpu_model = text(a, o->gpu_model);
        inv->nvlink_domain = text(a, o->nvlink_domain);
        if (o->sheet)
            add_sheet(a, inv, o->sheet);
        return;
    }
    /* Who looks again and again need not hear of a loss each time: the controller says what is new. */
    look_at_gpus(f, !o->only_look, o->settled ? TUG_LOG_DEBUG : TUG_LOG_ERROR);
    add_gpus(a, inv, &f->gpus);
    inv->links = tug_machine_pb(a, &f->machine);
}

int inventory_take(const struct options *o, Tugpb__Inventory **out, struct tug_err *err)
{
    Tugpb__Inventory inv = TUGPB__INVENTORY__INIT;
    struct tug_arena a = {.budget_bytes = 4 << 20};
    struct found *f = tug_new(struct found);
    struct tug_buf packed = {0};
    char *xml = o->run_dir ? tug_xasprintf("%s/topology.xml", o->run_dir) : NULL;
    int rc = tug_topo_load(&f->topo, xml, err);
    free(xml);
    if (!rc)
        describe(o, &a, f, &inv);
    if (!rc && o->settled && f->gpus.fabric_pending)
        rc = tug_fail(err, -EAGAIN, "the fabric manager is still joining NVLinks");
    if (!rc) {
        size_t len = tugpb__inventory__get_packed_size(&inv);
        packed.len = tugpb__inventory__pack(&inv, (uint8_t *) tug_buf_room(&packed, len));
        *out = tugpb__inventory__unpack(NULL, packed.len, (const uint8_t *) tug_buf_str(&packed));
        tug_assert(*out);
    }
    tug_buf_clear(&packed);
    tug_arena_clear(&a);
    free(f);
    return rc;
}

void inventory_free(Tugpb__Inventory *inv)
{
    if (inv)
        tugpb__inventory__free_unpacked(inv, NULL);
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
