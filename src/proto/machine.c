/* machine.c - a machine of base/machine.h as a message, and back
 *
 * Layer: proto.
 */
#include "proto/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void *alloc(struct tug_arena *a, size_t len, int *failed)
{
    void *p = tug_arena_alloc(a, len ? len : 1);
    if (p)
        memset(p, 0, len);
    else
        *failed = 1;
    return p;
}

static char *text(struct tug_arena *a, const char *s, int *failed)
{
    char *copy = alloc(a, strlen(s) + 1, failed);
    if (copy)
        strcpy(copy, s);
    return copy;
}

static void set_gpus(struct tug_arena *a, Tugpb__Machine *pb, const struct tug_machine *m, int *failed)
{
    Tugpb__MachineGpu *rows = alloc(a, m->n_gpus * sizeof *rows, failed);
    pb->gpus = alloc(a, m->n_gpus * sizeof *pb->gpus, failed);
    for (uint32_t i = 0; i < m->n_gpus && !*failed; i++) {
        tugpb__machine_gpu__init(&rows[i]);
        rows[i].model = text(a, m->gpu[i].model, failed);
        rows[i].mem_mib = m->gpu[i].mem_mib;
        rows[i].numa = m->gpu[i].numa;
        rows[i].port_mbs = m->gpu[i].port_mbs;
        pb->gpus[pb->n_gpus++] = &rows[i];
    }
}

static void set_nics(struct tug_arena *a, Tugpb__Machine *pb, const struct tug_machine *m, int *failed)
{
    Tugpb__MachineNic *rows = alloc(a, m->n_nics * sizeof *rows, failed);
    pb->nics = alloc(a, m->n_nics * sizeof *pb->nics, failed);
    for (uint32_t i = 0; i < m->n_nics && !*failed; i++) {
        tugpb__machine_nic__init(&rows[i]);
        rows[i].name = text(a, m->nic[i].name, failed);
        rows[i].numa = m->nic[i].numa;
        rows[i].mbs = m->nic[i].mbs;
        rows[i].is_ib = m->nic[i].is_ib;
        pb->nics[pb->n_nics++] = &rows[i];
    }
}

static void set_matrices(struct tug_arena *a, Tugpb__Machine *pb, const struct tug_machine *m, int *failed)
{
    size_t n = m->n_gpus, pairs = n * n;
    pb->link_class.data = alloc(a, pairs, failed);
    pb->nvlinks.data = alloc(a, pairs, failed);
    pb->link_mbs = alloc(a, pairs * sizeof *pb->link_mbs, failed);
    pb->nic_class.data = alloc(a, n * m->n_nics, failed);
    if (*failed)
        return;
    pb->link_class.len = pb->nvlinks.len = pb->n_link_mbs = pairs;
    pb->nic_class.len = n * m->n_nics;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            pb->link_class.data[i * n + k] = m->link[i][k].class;
            pb->nvlinks.data[i * n + k] = m->link[i][k].nvlinks;
            pb->link_mbs[i * n + k] = m->link[i][k].mbs;
        }
        for (size_t k = 0; k < m->n_nics; k++)
            pb->nic_class.data[i * m->n_nics + k] = m->nic_class[i][k];
    }
}

static void set_measured(struct tug_arena *a, Tugpb__Machine *pb, const struct tug_machine *m, int *failed)
{
    size_t n = TUG_GPUS_MAX + 1;
    while (n && !m->allreduce_mbs[n - 1])
        n--;
    pb->allreduce_mbs = alloc(a, n * sizeof *pb->allreduce_mbs, failed);
    for (size_t i = 0; i < n && !*failed; i++)
        pb->allreduce_mbs[pb->n_allreduce_mbs++] = m->allreduce_mbs[i];
}

Tugpb__Machine *tug_machine_pb(struct tug_arena *a, const struct tug_machine *m)
{
    int failed = 0;
    Tugpb__Machine *pb = alloc(a, sizeof *pb, &failed);
    if (failed)
        return NULL;
    tugpb__machine__init(pb);
    pb->name = text(a, m->name, &failed);
    pb->n_numa = m->n_numa;
    pb->nvswitch = m->nvswitch;
    set_gpus(a, pb, m, &failed);
    set_nics(a, pb, m, &failed);
    set_matrices(a, pb, m, &failed);
    set_measured(a, pb, m, &failed);
    return failed ? NULL : pb;
}

/* ---- back */

static int check_sizes(const Tugpb__Machine *pb, struct tug_err *err)
{
    size_t n = pb->n_gpus, pairs = n * n;
    if (n > TUG_GPUS_MAX || pb->n_nics > TUG_MACHINE_NICS_MAX || pb->n_allreduce_mbs > TUG_GPUS_MAX + 1)
        return tug_fail(err, -EPROTO, "a machine with %zu GPUs and %zu NICs; at most %d and %d", n, pb->n_nics,
                        TUG_GPUS_MAX, TUG_MACHINE_NICS_MAX);
    if (pb->link_class.len != pairs || pb->nvlinks.len != pairs || pb->n_link_mbs != pairs ||
        pb->nic_class.len != n * pb->n_nics)
        return tug_fail(err, -EPROTO, "a matrix of links is not of %zu x %zu GPUs and %zu NICs", n, n, pb->n_nics);
    return 0;
}

static int copy_text(char *out, size_t size_bytes, const char *in, struct tug_err *err)
{
    if (strlen(in) >= size_bytes)
        return tug_fail(err, -EPROTO, "'%.64s' is longer than %zu bytes", in, size_bytes - 1);
    strcpy(out, in);
    return 0;
}

static int take_rows(const Tugpb__Machine *pb, struct tug_machine *m, struct tug_err *err)
{
    int rc = copy_text(m->name, sizeof m->name, pb->name, err);
    m->n_numa = pb->n_numa;
    m->nvswitch = pb->nvswitch != 0;
    for (m->n_gpus = 0; m->n_gpus < pb->n_gpus && !rc; m->n_gpus++) {
        const Tugpb__MachineGpu *g = pb->gpus[m->n_gpus];
        struct tug_machine_gpu *to = &m->gpu[m->n_gpus];
        rc = copy_text(to->model, sizeof to->model, g->model, err);
        to->mem_mib = g->mem_mib;
        to->numa = g->numa;
        to->port_mbs = g->port_mbs;
    }
    for (m->n_nics = 0; m->n_nics < pb->n_nics && !rc; m->n_nics++) {
        const Tugpb__MachineNic *g = pb->nics[m->n_nics];
        struct tug_machine_nic *to = &m->nic[m->n_nics];
        rc = copy_text(to->name, sizeof to->name, g->name, err);
        to->numa = g->numa;
        to->mbs = g->mbs;
        to->is_ib = g->is_ib != 0;
    }
    return rc;
}

static void take_matrices(const Tugpb__Machine *pb, struct tug_machine *m)
{
    size_t n = m->n_gpus;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++)
            m->link[i][k] = (struct tug_machine_link){.class = pb->link_class.data[i * n + k],
                                                      .nvlinks = pb->nvlinks.data[i * n + k],
                                                      .mbs = pb->link_mbs[i * n + k]};
        for (size_t k = 0; k < m->n_nics; k++)
            m->nic_class[i][k] = pb->nic_class.data[i * m->n_nics + k];
    }
    for (size_t i = 0; i < pb->n_allreduce_mbs; i++)
        m->allreduce_mbs[i] = pb->allreduce_mbs[i];
}

int tug_machine_of_pb(const Tugpb__Machine *pb, struct tug_machine **out, struct tug_err *err)
{
    int rc = check_sizes(pb, err);
    if (rc)
        return rc;
    struct tug_machine *m = tug_new(struct tug_machine);
    rc = take_rows(pb, m, err);
    if (!rc) {
        take_matrices(pb, m);
        rc = tug_machine_check(m, err) ? -EPROTO : 0;
    }
    if (rc) {
        free(m);
        return rc;
    }
    *out = m;
    return 0;
}
