/* ncclxml.c - a machine as NCCL's topology file has it: reading
 *
 * First a tree of the elements that matter, then GPUs and adapters in it, then what is between them.
 * Layer: conf.
 */
#include "conf/ncclxml.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "conf/gpukinds.h"
#include "conf/xml.h"

enum kind { OTHER, SYSTEM, CPU, PCI, GPU, NVLINK, NIC, NET };
static const char *const tags[] = {"", "system", "cpu", "pci", "gpu", "nvlink", "nic", "net"};
#define NONE UINT32_MAX

struct element {
    enum kind kind;
    uint32_t parent; /* index; NONE: the root */
    unsigned line, column;
    uint32_t class, vendor, device; /* pci; class 0 = not said */
    uint32_t gen, width;            /* pci; 0 = not said */
    uint32_t number;                /* cpu: numaid; gpu: dev; NONE = not said */
    uint32_t sm, count, speed;      /* gpu; nvlink; net */
    char busid[20];                 /* pci; nvlink: its target */
    char name[32];                  /* net */
    uint32_t cpus;                  /* cpu: bits of its affinity */
};

struct reading {
    const char *file;
    const struct tug_ncclxml_opts *opts;
    struct tug_vec(struct element) all;
    uint32_t open; /* the innermost element */
    uint32_t gpu_pci[TUG_GPUS_MAX], gpu[TUG_GPUS_MAX]; /* elements; gpu: NONE = not said */
    uint32_t nic_at[TUG_MACHINE_NICS_MAX];             /* the pci or cpu that it is on */
    uint32_t to_switch[TUG_GPUS_MAX];                  /* NVLinks */
    struct tug_sheet *sheet;
    struct tug_machine *m;
    struct tug_buf *warnings;
    struct tug_conf_errors *errs;
};

/* ---- complaints */

static void wrong_at(struct reading *r, unsigned line, unsigned column, const char *sentence, const char *hint)
{
    tug_conf_errors_add(r->errs, (struct tug_conf_pos){r->file, line, column}, NULL, 0, hint, "%s", sentence);
}

static void warn(struct reading *r, const struct element *e, const char *sentence)
{
    tug_buf_addf(r->warnings, "%s:%u: %s\n", r->file, e->line, sentence);
}

/* ---- elements */

static uint32_t hex_of(const char *text)
{
    return (uint32_t) strtoul(text, NULL, 16);
}

static uint32_t number_of(const char *text, uint32_t max)
{
    uint64_t n;
    return tug_str_u64(text, max, &n) ? NONE : (uint32_t) n;
}

/* "32.0 GT/s PCIe", "16 GT/s" */
static uint32_t generation_of(const char *text)
{
    double gts = strtod(text, NULL);
    return gts > 40 ? 6 : gts > 20 ? 5 : gts > 10 ? 4 : gts > 6 ? 3 : gts > 0 ? 3 : 0;
}

static uint32_t bits_of(const char *mask)
{
    uint32_t n = 0;
    for (; *mask; mask++)
        if (isxdigit((unsigned char) *mask))
            n += (uint32_t) __builtin_popcount((unsigned) (isdigit((unsigned char) *mask)
                                                               ? *mask - '0'
                                                               : tolower((unsigned char) *mask) - 'a' + 10));
    return n;
}

static void take_attribute(struct tug_xml *x, struct element *e, const char *name, const char *value)
{
    if (!strcmp(name, "busid") || !strcmp(name, "target"))
        tug_str_copy(e->busid, sizeof e->busid, value);
    else if (!strcmp(name, "class"))
        e->class = hex_of(value);
    else if (!strcmp(name, "tclass"))
        e->class = hex_of(value);
    else if (!strcmp(name, "vendor") && e->kind == PCI)
        e->vendor = hex_of(value);
    else if (!strcmp(name, "device"))
        e->device = hex_of(value);
    else if (!strcmp(name, "link_speed"))
        e->gen = generation_of(value);
    else if (!strcmp(name, "link_width"))
        e->width = number_of(value, 32) == NONE ? 0 : number_of(value, 32);
    else if ((!strcmp(name, "numaid") && e->kind == CPU) || (!strcmp(name, "dev") && e->kind == GPU))
        e->number = number_of(value, 100000);
    else if (!strcmp(name, "sm"))
        e->sm = number_of(value, 1000);
    else if (!strcmp(name, "count"))
        e->count = number_of(value, 255);
    else if (!strcmp(name, "speed"))
        e->speed = number_of(value, 100 * 1000 * 1000);
    else if (!strcmp(name, "name"))
        tug_str_copy(e->name, sizeof e->name, value);
    else if (!strcmp(name, "affinity"))
        e->cpus = bits_of(value);
    else if (!strcmp(name, "version") && e->kind == SYSTEM && strcmp(value, "1"))
        tug_xml_stop(x, "this is a later version of the format", "version 1 is known here");
}

static void on_root(struct tug_xml *x, const char *tag)
{
    if (!strcmp(tag, "graphs"))
        tug_xml_stop(x, "this is a graph of NCCL, which says what it has chosen, not what a machine is",
                     "import a file of NCCL_TOPO_DUMP_FILE, which begins with <system>");
    else if (strcmp(tag, "system"))
        tug_xml_stop(x, "this is no topology of NCCL", "one begins with <system>");
}

static void on_open(void *ctx, struct tug_xml *x, const char *tag, const char **attributes, size_t depth)
{
    struct reading *r = ctx;
    struct tug_conf_pos pos = tug_xml_pos(x);
    struct element e = {.kind = OTHER, .parent = r->open, .line = pos.line, .column = pos.column, .number = NONE};
    if (depth == 0)
        on_root(x, tag);
    for (size_t i = 1; i < sizeof tags / sizeof *tags; i++)
        if (!strcmp(tag, tags[i]))
            e.kind = (enum kind) i;
    for (size_t i = 0; attributes[i]; i += 2)
        take_attribute(x, &e, attributes[i], attributes[i + 1]);
    tug_vec_push(&r->all, e);
    r->open = (uint32_t) r->all.len - 1;
}

static void on_close(void *ctx, const char *tag)
{
    struct reading *r = ctx;
    (void) tag;
    r->open = r->all.at[r->open].parent;
}

/* ---- GPUs and adapters */

static uint32_t above(const struct reading *r, uint32_t at, enum kind kind)
{
    while (at != NONE && r->all.at[at].kind != kind)
        at = r->all.at[at].parent;
    return at;
}

static int has_child(const struct reading *r, uint32_t at, enum kind kind)
{
    for (size_t i = at + 1; i < r->all.len; i++)
        if (r->all.at[i].kind == kind && r->all.at[i].parent == at)
            return 1;
    return 0;
}

static int is_named_nic(const struct reading *r, const struct element *e)
{
    const char *rest = r->opts->nics, *at;
    size_t len;
    while (rest && tug_str_split(&rest, ',', &at, &len))
        if (len == strlen(e->busid) && !strncasecmp(at, e->busid, len))
            return 1;
    return 0;
}

/* What a pci element is: GPU, NIC, or OTHER (a switch, or something else). */
static enum kind device_kind(const struct reading *r, uint32_t at)
{
    const struct element *e = &r->all.at[at];
    if (has_child(r, at, GPU) || e->class >> 16 == 0x03)
        return GPU;
    if (has_child(r, at, NIC) || e->class >> 16 == 0x02 || is_named_nic(r, e))
        return NIC;
    return !e->class && !has_child(r, at, PCI) ? GPU : OTHER;
}

static int before(const struct reading *r, uint32_t a, uint32_t b, uint32_t dev_a, uint32_t dev_b)
{
    if (dev_a != dev_b && dev_a != NONE && dev_b != NONE)
        return dev_a < dev_b;
    return strcasecmp(r->all.at[a].busid, r->all.at[b].busid) < 0;
}

static uint32_t child(const struct reading *r, uint32_t at, enum kind kind)
{
    for (uint32_t i = at + 1; i < r->all.len; i++)
        if (r->all.at[i].kind == kind && r->all.at[i].parent == at)
            return i;
    return NONE;
}

static void add_gpu(struct reading *r, uint32_t at)
{
    uint32_t gpu = child(r, at, GPU), n = r->m->n_gpus;
    uint32_t dev = gpu == NONE ? NONE : r->all.at[gpu].number;
    if (n == TUG_GPUS_MAX) {
        wrong_at(r, r->all.at[at].line, r->all.at[at].column, "more than 64 GPUs", "a node has at most 64");
        return;
    }
    for (; n > 0; n--) { /* sorted */
        uint32_t other = r->gpu[n - 1];
        if (!before(r, at, r->gpu_pci[n - 1], dev, other == NONE ? NONE : r->all.at[other].number))
            break;
        r->gpu_pci[n] = r->gpu_pci[n - 1];
        r->gpu[n] = r->gpu[n - 1];
    }
    r->gpu_pci[n] = at;
    r->gpu[n] = gpu;
    r->m->n_gpus++;
}

static uint32_t numa_of(const struct reading *r, uint32_t at)
{
    uint32_t cpu = above(r, at, CPU);
    uint32_t numa = cpu == NONE ? NONE : r->all.at[cpu].number;
    return numa < TUG_MACHINE_NUMA_MAX ? numa : TUG_MACHINE_NO_NUMA;
}

static int is_verbs(const struct element *pci, const char *name)
{
    return pci->class >> 8 == 0x0207 || pci->vendor == 0x15b3 || pci->vendor == 0x1d0f || !strncmp(name, "mlx", 3) ||
           !strncmp(name, "rdma", 4) || !strncmp(name, "bnxt_re", 7);
}

/* 'at' is the pci, or the cpu, that has it; 'net' may be NONE. */
static void add_nic(struct reading *r, uint32_t at, uint32_t net)
{
    static const struct element nothing;
    const struct element *e = net == NONE ? &nothing : &r->all.at[net];
    uint32_t n = r->m->n_nics;
    if (n == TUG_MACHINE_NICS_MAX) {
        warn(r, &r->all.at[at], "more than 32 adapters: this one is left out");
        return;
    }
    char name[sizeof r->m->nic[0].name];
    if (*e->name)
        tug_str_copy(name, sizeof name, e->name);
    else
        snprintf(name, sizeof name, "nic%u", n);
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(r->m->nic[i].name, name))
            snprintf(name, sizeof name, "nic%u", n);
    for (; n > 0 && r->all.at[at].kind == PCI && strcasecmp(r->all.at[at].busid, r->all.at[r->nic_at[n - 1]].busid) < 0; n--) {
        r->m->nic[n] = r->m->nic[n - 1]; /* sorted by bus id, as on the machine */
        r->nic_at[n] = r->nic_at[n - 1];
    }
    struct tug_machine_nic *nic = &r->m->nic[n];
    *nic = (struct tug_machine_nic){0};
    tug_str_copy(nic->name, sizeof nic->name, name);
    for (char *s = nic->name; *s; s++)
        if (!isalnum((unsigned char) *s) && !strchr("._-", *s))
            *s = '_';
    nic->mbs = e->speed == NONE ? 0 : e->speed / 8; /* Mb/s */
    nic->numa = numa_of(r, at);
    nic->is_ib = (uint8_t) is_verbs(&r->all.at[at], nic->name);
    r->nic_at[n] = at;
    r->m->n_nics++;
}

static void add_nets(struct reading *r, uint32_t nic)
{
    uint32_t at = r->all.at[nic].parent, found = 0;
    for (uint32_t i = nic + 1; i < r->all.len; i++)
        if (r->all.at[i].kind == NET && r->all.at[i].parent == nic) {
            add_nic(r, at, i);
            found++;
        }
    if (!found)
        add_nic(r, at, NONE);
}

static void find_devices(struct reading *r)
{
    for (uint32_t i = 0; i < r->all.len; i++) {
        const struct element *e = &r->all.at[i];
        enum kind is = e->kind == PCI ? device_kind(r, i) : OTHER;
        if (is == GPU)
            add_gpu(r, i);
        else if (is == NIC && !has_child(r, i, NIC))
            add_nic(r, i, NONE);
        if (is == GPU && !e->class && !has_child(r, i, GPU))
            warn(r, e, "it has no class and is taken as a GPU; NCCL looks at the machine to know (--nic BUSID says that one is not)");
        if (e->kind == NIC)
            add_nets(r, i);
        if (e->kind == CPU && e->number != NONE && e->number < TUG_MACHINE_NUMA_MAX && e->number >= r->m->n_numa)
            r->m->n_numa = e->number + 1;
        if (e->kind == CPU)
            r->sheet->cpus += e->cpus;
    }
}

static void describe_gpus(struct reading *r)
{
    for (uint32_t i = 0; i < r->m->n_gpus; i++) {
        const struct tug_gpu_kind *k = tug_gpu_kind_of_device(r->all.at[r->gpu_pci[i]].device);
        r->m->gpu[i].numa = numa_of(r, r->gpu_pci[i]);
        if (k)
            tug_str_copy(r->m->gpu[i].model, sizeof r->m->gpu[i].model, k->model);
    }
}

/* ---- between them */

/* As NCCL's paths: one switch, several, the CPU, several CPUs. */
static uint8_t class_between(const struct reading *r, uint32_t a, uint32_t b)
{
    uint32_t x = r->all.at[a].kind == CPU ? a : r->all.at[a].parent;
    uint32_t y = r->all.at[b].kind == CPU ? b : r->all.at[b].parent;
    if (x == y && x != NONE && r->all.at[x].kind == PCI)
        return TUG_LINK_PIX;
    for (uint32_t up = x; up != NONE; up = r->all.at[up].parent) {
        if (r->all.at[up].kind == SYSTEM)
            continue;
        for (uint32_t other = y; other != NONE; other = r->all.at[other].parent)
            if (other == up)
                return r->all.at[up].kind == PCI ? TUG_LINK_PXB : TUG_LINK_PHB;
    }
    return TUG_LINK_SYS;
}

static uint32_t pcie_mbs(const struct reading *r, uint32_t i, uint32_t k, uint8_t class)
{
    const struct element *a = &r->all.at[r->gpu_pci[i]], *b = &r->all.at[r->gpu_pci[k]];
    uint32_t gen = a->gen < b->gen ? a->gen : b->gen, width = a->width < b->width ? a->width : b->width;
    uint32_t mbs = gen ? tug_link_class_mbs((enum tug_link_class) class, gen) : 0;
    return width && width < 16 ? mbs / 16 * width : mbs;
}

static uint32_t gpu_at(const struct reading *r, const char *busid)
{
    for (uint32_t i = 0; i < r->m->n_gpus; i++)
        if (!strcasecmp(r->all.at[r->gpu_pci[i]].busid, busid))
            return i;
    return NONE;
}

static void take_nvlink(struct reading *r, uint32_t i, const struct element *e)
{
    uint32_t k = gpu_at(r, e->busid);
    uint32_t count = e->count == NONE ? 0 : e->count;
    if (k == i)
        warn(r, e, "NVLinks of a GPU to itself are left out");
    else if (k != NONE && r->m->link[i][k].nvlinks + count > 255)
        wrong_at(r, e->line, e->column, "more than 255 NVLinks between two GPUs", NULL);
    else if (k != NONE)
        r->m->link[i][k].nvlinks = (uint8_t) (r->m->link[i][k].nvlinks + count);
    else if (e->class == 0x068001)
        warn(r, e, "NVLinks to a CPU are left out");
    else if (e->class >> 16 == 0x03)
        warn(r, e, "NVLinks to a GPU that is not there are left out");
    else if (r->to_switch[i] + count > 255)
        wrong_at(r, e->line, e->column, "more than 255 NVLinks of one GPU", NULL);
    else
        r->to_switch[i] += count; /* also to what no one knows: NCCL takes that for a switch too */
}

static void take_nvlinks(struct reading *r)
{
    for (uint32_t i = 0; i < r->m->n_gpus; i++)
        for (uint32_t e = r->gpu[i] == NONE ? (uint32_t) r->all.len : r->gpu[i] + 1; e < r->all.len; e++)
            if (r->all.at[e].kind == NVLINK && r->all.at[e].parent == r->gpu[i])
                take_nvlink(r, i, &r->all.at[e]);
    uint32_t on_switch = 0;
    for (uint32_t i = 0; i < r->m->n_gpus; i++)
        on_switch += r->to_switch[i] > 0;
    r->m->nvswitch = on_switch && on_switch == r->m->n_gpus;
    for (uint32_t i = 0; i < r->m->n_gpus; i++)
        for (uint32_t k = 0; k < r->m->n_gpus; k++) {
            uint32_t both = r->to_switch[i] < r->to_switch[k] ? r->to_switch[i] : r->to_switch[k];
            if (i != k && both)
                r->m->link[i][k].nvlinks = (uint8_t) both;
        }
}

static void check_symmetry(struct reading *r)
{
    for (uint32_t i = 0; i < r->m->n_gpus; i++)
        for (uint32_t k = i + 1; k < r->m->n_gpus; k++)
            if (r->m->link[i][k].nvlinks != r->m->link[k][i].nvlinks) {
                const struct element *e = &r->all.at[r->gpu_pci[i]];
                tug_conf_errors_add(r->errs, (struct tug_conf_pos){r->file, e->line, e->column}, NULL, 0,
                                    "links are the same in both directions",
                                    "GPU %u has %u NVLinks to GPU %u, and GPU %u has %u to GPU %u", i,
                                    r->m->link[i][k].nvlinks, k, k, r->m->link[k][i].nvlinks, i);
            }
}

static uint32_t link_mbs(const struct reading *r, uint32_t i)
{
    const struct tug_gpu_kind *k = tug_gpu_kind_of_device(r->all.at[r->gpu_pci[i]].device);
    return k ? k->nvlink_mbs : r->gpu[i] == NONE ? 0 : tug_gpu_nvlink_mbs(r->all.at[r->gpu[i]].sm);
}

static void take_links(struct reading *r)
{
    struct tug_machine *m = r->m;
    take_nvlinks(r);
    for (uint32_t i = 0; i < m->n_gpus; i++) {
        uint32_t links = 0;
        for (uint32_t k = 0; k < m->n_gpus; k++) {
            struct tug_machine_link *l = &m->link[i][k];
            uint32_t per_link = link_mbs(r, i) < link_mbs(r, k) ? link_mbs(r, i) : link_mbs(r, k);
            l->class = i == k ? TUG_LINK_SELF : class_between(r, r->gpu_pci[i], r->gpu_pci[k]);
            if (i != k)
                l->mbs = l->nvlinks ? l->nvlinks * per_link : pcie_mbs(r, i, k, l->class);
            links = m->nvswitch ? (l->nvlinks > links ? l->nvlinks : links) : links + l->nvlinks;
        }
        m->gpu[i].port_mbs = links ? links * link_mbs(r, i) : pcie_mbs(r, i, i, TUG_LINK_PIX);
        for (uint32_t n = 0; n < m->n_nics; n++)
            m->nic_class[i][n] = class_between(r, r->gpu_pci[i], r->nic_at[n]);
    }
    check_symmetry(r);
}

static void note_what_is_missing(struct reading *r)
{
    uint32_t nvlinks = 0;
    for (uint32_t i = 0; i < r->m->n_gpus; i++)
        for (uint32_t k = 0; k < i; k++)
            nvlinks += r->m->link[i][k].nvlinks;
    if (!nvlinks && r->m->n_gpus > 1)
        tug_buf_addf(r->warnings, "%s: tells of no NVLinks between GPUs; NCCL looks for them on the machine itself\n", r->file);
}

int tug_ncclxml_read(const char *file, const char *text, size_t len, const struct tug_ncclxml_opts *opts,
                     struct tug_sheet **out, struct tug_buf *warnings, struct tug_conf_errors *errs)
{
    struct reading *r = tug_new(struct reading);
    size_t had = tug_conf_errors_count(errs);
    struct tug_err err = {0};
    *r = (struct reading){.file = file, .opts = opts, .open = NONE, .sheet = tug_sheet_new(), .warnings = warnings, .errs = errs};
    r->m = &r->sheet->machine;
    tug_str_copy(r->m->name, sizeof r->m->name, opts->name);
    const struct tug_xml_walk walk = {.what = "a topology of NCCL",
                                      .bytes_max = TUG_NCCLXML_BYTES_MAX,
                                      .depth_max = TUG_NCCLXML_DEPTH_MAX,
                                      .elements_max = TUG_NCCLXML_ELEMENTS_MAX,
                                      .ctx = r,
                                      .open = on_open,
                                      .close = on_close};
    int rc = tug_xml_read(&walk, file, text, len, errs);
    if (rc == 0) {
        find_devices(r);
        describe_gpus(r);
        take_links(r);
        note_what_is_missing(r);
        if (!r->m->n_gpus)
            wrong_at(r, 0, 0, "there is no GPU in it", NULL);
    }
    if (tug_conf_errors_count(errs) == had && tug_machine_check(r->m, &err))
        wrong_at(r, 0, 0, err.msg, NULL);
    rc = tug_conf_errors_count(errs) > had ? -EINVAL : 0;
    if (rc == 0)
        *out = r->sheet;
    else
        tug_sheet_free(r->sheet);
    tug_vec_clear(&r->all);
    free(r);
    return rc;
}
