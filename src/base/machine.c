/* machine.c - what is inside a node: its GPUs, how they are linked, and the NICs next to them
 *
 * The matrix is symmetric, a link to oneself is SELF, and everything behind the counts is zero, so that machines can
 * be compared as bytes.
 */
#include "base/machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const names[TUG_LINK_CLASSES] = {"?", "X", "INT", "PIX", "PXB", "PHB", "NODE", "SYS"};

const char *tug_link_class_name(enum tug_link_class class)
{
    return (unsigned) class < TUG_LINK_CLASSES ? names[class] : "?";
}

int tug_link_class_parse(const char *name)
{
    if (!strcmp(name, "PSB"))
        return TUG_LINK_BOARD;
    for (int i = 0; i < TUG_LINK_CLASSES; i++)
        if (!strcmp(name, names[i]))
            return i;
    return -1;
}

char *tug_machine_link_name(const struct tug_machine_link *l, char *out, size_t size_bytes)
{
    if (l->nvlinks && l->class != TUG_LINK_SELF)
        snprintf(out, size_bytes, "NV%u", l->nvlinks);
    else
        snprintf(out, size_bytes, "%s", tug_link_class_name((enum tug_link_class) l->class));
    return out;
}

/* ---- checking */

static int is_text(const char *text, size_t size_bytes)
{
    size_t len = strnlen(text, size_bytes);
    if (len == size_bytes)
        return 0;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char) text[i] < 0x20 || text[i] == 0x7f)
            return 0;
    return 1;
}

static int numa_exists(const struct tug_machine *m, uint32_t numa)
{
    return numa == TUG_MACHINE_NO_NUMA || numa < m->n_numa;
}

static int check_pair(const struct tug_machine *m, uint32_t i, uint32_t k, struct tug_err *err)
{
    const struct tug_machine_link *a = &m->link[i][k], *b = &m->link[k][i];
    char x[16], y[16];
    if (a->class >= TUG_LINK_CLASSES)
        return tug_fail(err, -EINVAL, "GPU %u to GPU %u: there is no link class %u", i, k, a->class);
    if ((i == k) != (a->class == TUG_LINK_SELF))
        return i == k ? tug_fail(err, -EINVAL, "GPU %u to itself is %s; it must be X", i,
                                 tug_machine_link_name(a, x, sizeof x))
                      : tug_fail(err, -EINVAL, "GPU %u to GPU %u is X, which is to itself", i, k);
    if (a->class != b->class || a->nvlinks != b->nvlinks || a->mbs != b->mbs)
        return tug_fail(err, -EINVAL,
                        "the matrix is not symmetric: GPU %u to GPU %u is %s (%u MB/s), GPU %u to GPU %u is %s (%u MB/s)",
                        i, k, tug_machine_link_name(a, x, sizeof x), a->mbs, k, i,
                        tug_machine_link_name(b, y, sizeof y), b->mbs);
    return 0;
}

static int check_gpu(const struct tug_machine *m, uint32_t i, struct tug_err *err)
{
    if (!is_text(m->gpu[i].model, sizeof m->gpu[i].model))
        return tug_fail(err, -EINVAL, "GPU %u: its model is no text of less than %zu bytes", i, sizeof m->gpu[i].model);
    if (!numa_exists(m, m->gpu[i].numa))
        return tug_fail(err, -EINVAL, "GPU %u is at NUMA node %u; there are %u", i, m->gpu[i].numa, m->n_numa);
    for (uint32_t k = 0; k <= i; k++) {
        int rc = check_pair(m, i, k, err);
        if (rc)
            return rc;
    }
    for (uint32_t k = 0; k < m->n_nics; k++)
        if (m->nic_class[i][k] >= TUG_LINK_CLASSES || m->nic_class[i][k] == TUG_LINK_SELF)
            return tug_fail(err, -EINVAL, "GPU %u to NIC %u: there is no such link class", i, k);
    return 0;
}

int tug_machine_check(const struct tug_machine *m, struct tug_err *err)
{
    if (m->n_gpus > TUG_GPUS_MAX)
        return tug_fail(err, -EINVAL, "%u GPUs; a node has at most %d", m->n_gpus, TUG_GPUS_MAX);
    if (m->n_nics > TUG_MACHINE_NICS_MAX)
        return tug_fail(err, -EINVAL, "%u NICs; a node has at most %d", m->n_nics, TUG_MACHINE_NICS_MAX);
    if (m->n_numa > TUG_MACHINE_NUMA_MAX)
        return tug_fail(err, -EINVAL, "%u NUMA nodes; there are at most %d", m->n_numa, TUG_MACHINE_NUMA_MAX);
    if (!is_text(m->name, sizeof m->name))
        return tug_fail(err, -EINVAL, "the machine's name is no text of less than %zu bytes", sizeof m->name);
    for (uint32_t i = 0; i < m->n_nics; i++) {
        if (!is_text(m->nic[i].name, sizeof m->nic[i].name) || !m->nic[i].name[0])
            return tug_fail(err, -EINVAL, "NIC %u: its name is no text of 1 to %zu bytes", i, sizeof m->nic[i].name - 1);
        if (!numa_exists(m, m->nic[i].numa))
            return tug_fail(err, -EINVAL, "NIC %s is at NUMA node %u; there are %u", m->nic[i].name, m->nic[i].numa,
                            m->n_numa);
    }
    for (uint32_t i = 0; i < m->n_gpus; i++) {
        int rc = check_gpu(m, i, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- comparing */

/* Field by field: what stands between them, and behind the last GPU and NIC, is nobody's business. */
static int equal_gpus(const struct tug_machine *a, const struct tug_machine *b, uint32_t i)
{
    const struct tug_machine_gpu *x = &a->gpu[i], *y = &b->gpu[i];
    if (strcmp(x->model, y->model) || x->mem_mib != y->mem_mib || x->numa != y->numa || x->port_mbs != y->port_mbs ||
        memcmp(a->nic_class[i], b->nic_class[i], a->n_nics))
        return 0;
    for (uint32_t k = 0; k < a->n_gpus; k++) {
        const struct tug_machine_link *l = &a->link[i][k], *m = &b->link[i][k];
        if (l->class != m->class || l->nvlinks != m->nvlinks || l->mbs != m->mbs)
            return 0;
    }
    return 1;
}

int tug_machine_equal(const struct tug_machine *a, const struct tug_machine *b)
{
    if (a->n_gpus != b->n_gpus || a->n_nics != b->n_nics || a->n_numa != b->n_numa || a->nvswitch != b->nvswitch ||
        memcmp(a->allreduce_mbs, b->allreduce_mbs, sizeof a->allreduce_mbs))
        return 0;
    for (uint32_t i = 0; i < a->n_nics; i++) {
        const struct tug_machine_nic *x = &a->nic[i], *y = &b->nic[i];
        if (strcmp(x->name, y->name) || x->numa != y->numa || x->mbs != y->mbs || x->is_ib != y->is_ib)
            return 0;
    }
    for (uint32_t i = 0; i < a->n_gpus; i++)
        if (!equal_gpus(a, b, i))
            return 0;
    return 1;
}

static int differs_in_gpus(const struct tug_machine *a, const struct tug_machine *b, char *out, size_t size)
{
    char x[16], y[16];
    for (uint32_t i = 0; i < b->n_gpus; i++)
        if (strcmp(a->gpu[i].model, b->gpu[i].model)) {
            snprintf(out, size, "GPU %u was a %s and is a %s", i, a->gpu[i].model, b->gpu[i].model);
            return 1;
        }
    for (uint32_t i = 0; i < b->n_gpus; i++)
        for (uint32_t k = 0; k < i; k++) {
            tug_machine_link_name(&a->link[k][i], x, sizeof x);
            tug_machine_link_name(&b->link[k][i], y, sizeof y);
            if (strcmp(x, y)) {
                snprintf(out, size, "GPU %u to GPU %u was %s and is %s", k, i, x, y);
                return 1;
            }
            if (b->link[k][i].mbs < a->link[k][i].mbs) {
                snprintf(out, size, "GPU %u to GPU %u had %u MB/s and has %u", k, i, a->link[k][i].mbs,
                         b->link[k][i].mbs);
                return 1;
            }
        }
    return 0;
}

char *tug_machine_difference(const struct tug_machine *before, const struct tug_machine *now, char *out,
                             size_t size_bytes)
{
    *out = 0;
    if (before->n_gpus != now->n_gpus) {
        snprintf(out, size_bytes, "%u GPUs before, %u now", before->n_gpus, now->n_gpus);
        return out;
    }
    if (differs_in_gpus(before, now, out, size_bytes))
        return out;
    if (before->n_nics != now->n_nics) {
        snprintf(out, size_bytes, "%u NICs before, %u now", before->n_nics, now->n_nics);
        return out;
    }
    for (uint32_t i = 0; i < now->n_nics; i++)
        if (strcmp(before->nic[i].name, now->nic[i].name) || now->nic[i].mbs < before->nic[i].mbs) {
            snprintf(out, size_bytes, "NIC %u was %s (%u MB/s) and is %s (%u MB/s)", i, before->nic[i].name,
                     before->nic[i].mbs, now->nic[i].name, now->nic[i].mbs);
            return out;
        }
    return out;
}

/* ---- losses */

static int is_less(uint32_t before, uint32_t now)
{
    return now < before - before / 10;
}

static int lost_between(const struct tug_machine *a, const struct tug_machine *b, uint32_t i, uint32_t k, char *out,
                        size_t size)
{
    const struct tug_machine_link *was = &a->link[i][k], *is = &b->link[i][k];
    char x[16], y[16];
    if (is->nvlinks < was->nvlinks)
        snprintf(out, size, "GPU %u to GPU %u was %s and is %s", i, k, tug_machine_link_name(was, x, sizeof x),
                 tug_machine_link_name(is, y, sizeof y));
    else if (is->mbs && is_less(was->mbs, is->mbs))
        snprintf(out, size, "GPU %u to GPU %u had %u MB/s and has %u", i, k, was->mbs, is->mbs);
    return *out != 0;
}

static int lost_in_gpu(const struct tug_machine *a, const struct tug_machine *b, uint32_t i, char *out, size_t size)
{
    const struct tug_machine_gpu *was = &a->gpu[i], *is = &b->gpu[i];
    if (is->mem_mib && is_less(was->mem_mib, is->mem_mib))
        snprintf(out, size, "GPU %u had %u MiB of memory and has %u", i, was->mem_mib, is->mem_mib);
    for (uint32_t k = 0; k < i && !*out; k++)
        lost_between(a, b, k, i, out, size);
    if (!*out && is->port_mbs && is_less(was->port_mbs, is->port_mbs))
        snprintf(out, size, "GPU %u could send %u MB/s and can send %u", i, was->port_mbs, is->port_mbs);
    return *out != 0;
}

static int lost_nic(const struct tug_machine_nic *was, const struct tug_machine *now, char *out, size_t size)
{
    uint32_t i = 0;
    while (i < now->n_nics && strcmp(now->nic[i].name, was->name) != 0)
        i++;
    if (i == now->n_nics)
        snprintf(out, size, "%s is gone or has no link", was->name);
    else if (now->nic[i].mbs && is_less(was->mbs, now->nic[i].mbs))
        snprintf(out, size, "%s had %u MB/s and has %u", was->name, was->mbs, now->nic[i].mbs);
    return *out != 0;
}

char *tug_machine_loss(const struct tug_machine *before, const struct tug_machine *now, char *out, size_t size_bytes)
{
    *out = 0;
    if (now->n_gpus < before->n_gpus)
        snprintf(out, size_bytes, "%u GPUs before, %u now", before->n_gpus, now->n_gpus);
    for (uint32_t i = 0; i < before->n_gpus && !*out; i++)
        lost_in_gpu(before, now, i, out, size_bytes);
    for (uint32_t i = 0; i < before->n_nics && !*out; i++)
        if (before->nic[i].is_ib)
            lost_nic(&before->nic[i], now, out, size_bytes);
    return out;
}

/* ---- against a description */

static int short_between(const struct tug_machine *wanted, const struct tug_machine *is, uint32_t i, uint32_t k, char *out,
                         size_t size)
{
    const struct tug_machine_link *want = &wanted->link[i][k], *has = &is->link[i][k];
    char x[16], y[16];
    if (has->nvlinks < want->nvlinks)
        snprintf(out, size, "GPU %u to GPU %u is %s, %s is configured", i, k, tug_machine_link_name(has, x, sizeof x),
                 tug_machine_link_name(want, y, sizeof y));
    else if (want->nvlinks && has->mbs && is_less(want->mbs, has->mbs))
        snprintf(out, size, "GPU %u to GPU %u has %u MB/s, %u are configured", i, k, has->mbs, want->mbs);
    return *out != 0;
}

/* How many verbs devices, and what they carry together; 0 where one does not tell. */
static uint32_t sum_verbs(const struct tug_machine *m, uint64_t *mbs)
{
    uint32_t n = 0;
    int all_known = 1;
    *mbs = 0;
    for (uint32_t i = 0; i < m->n_nics; i++)
        if (m->nic[i].is_ib) {
            n++;
            *mbs += m->nic[i].mbs;
            all_known &= m->nic[i].mbs != 0;
        }
    *mbs = all_known ? *mbs : 0;
    return n;
}

char *tug_machine_shortfall(const struct tug_machine *wanted, const struct tug_machine *is, char *out, size_t size_bytes)
{
    uint64_t want_mbs, has_mbs;
    uint32_t want = sum_verbs(wanted, &want_mbs), has = sum_verbs(is, &has_mbs);
    *out = 0;
    for (uint32_t i = 0; i < wanted->n_gpus && i < is->n_gpus && !*out; i++) {
        uint32_t mem = is->gpu[i].mem_mib;
        if (mem && is_less(wanted->gpu[i].mem_mib, mem))
            snprintf(out, size_bytes, "GPU %u has %u MiB of memory, %u are configured", i, mem, wanted->gpu[i].mem_mib);
        for (uint32_t k = 0; k < i && !*out; k++)
            short_between(wanted, is, k, i, out, size_bytes);
    }
    if (!*out && has < want)
        snprintf(out, size_bytes, "%u verbs device%s with a link, %u are configured", has, has == 1 ? "" : "s", want);
    else if (!*out && has_mbs && has_mbs < want_mbs - want_mbs / 10)
        snprintf(out, size_bytes, "its verbs devices carry %llu MB/s in all, %llu are configured", (unsigned long long) has_mbs,
                 (unsigned long long) want_mbs);
    return out;
}

/* ---- PCIe */

/* 16 lanes carry 15.75, 31.5, 63 and 121 GB/s in one direction (PCI Express base specifications 3.0 to 6.0, after
 * encoding); copies between devices reach about 0.8 of that. Across host bridges and sockets they are stored and
 * forwarded by the CPU: about 0.6 and 0.4 of a path below one switch on two-socket servers. */
uint32_t tug_link_class_mbs(enum tug_link_class class, unsigned pcie_gen)
{
    static const uint32_t rate[] = {15750, 31500, 63000, 121000};
    unsigned gen = pcie_gen < 3 ? 3 : pcie_gen > 6 ? 6 : pcie_gen;
    uint32_t best = rate[gen - 3] / 10 * 8;
    switch (class) {
    case TUG_LINK_BOARD:
    case TUG_LINK_PIX:
    case TUG_LINK_PXB:
        return best;
    case TUG_LINK_PHB:
        return best / 10 * 8;
    case TUG_LINK_NODE:
        return best / 10 * 6;
    case TUG_LINK_SYS:
        return best / 10 * 4;
    default:
        return 0;
    }
}
