/* hwlocxml.c - a machine as hwloc's XML has it: reading
 *
 * First all objects in a flat list with their parents, and the matrix of NVLinks; then GPUs and adapters; then what is between.
 * Layer: conf.
 */
#include "conf/hwlocxml.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "conf/gpukinds.h"
#include "conf/xml.h"

#define NONE UINT32_MAX
#define MATRIX_MAX 512 /* objects in a matrix: GPUs, switches, packages */

enum kind { OTHER, PACKAGE, NUMA, PU, HOST_BRIDGE, BRIDGE, DEVICE, OSDEV };

struct object {
    enum kind kind;
    uint32_t parent;
    uint32_t class, vendor, device; /* of PCI */
    uint32_t gp, numa;              /* NONE = not said */
    uint32_t gen;                   /* of PCIe, by its speed; 0 = not known */
    uint8_t is_switch;              /* NVSwitch */
    unsigned line;
    char name[32], busid[24], model[64];
};

struct reading {
    const char *file;
    struct tug_vec(struct object) all;
    uint32_t open;
    /* The matrix that is being read. */
    int in_matrix, in_indexes, in_values;
    struct tug_buf words; /* of the element that is open */
    struct tug_vec(uint32_t) objects;  /* gp_index */
    struct tug_vec(uint32_t) values;   /* MB/s */
    uint32_t gpu[TUG_GPUS_MAX], nic[TUG_MACHINE_NICS_MAX]; /* objects */
    struct tug_sheet *sheet;
    struct tug_machine *m;
    struct tug_buf *warnings;
    struct tug_conf_errors *errs;
};

/* ---- objects */

static uint32_t generation_of(const char *gbs)
{
    double speed = strtod(gbs, NULL); /* GB/s of all lanes */
    return speed > 100 ? 6 : speed > 50 ? 5 : speed > 25 ? 4 : speed > 0 ? 3 : 0;
}

/* "0302 [10de:1db8] [10de:131d] a1 00" */
static void take_pci_type(struct object *o, const char *text)
{
    unsigned class, vendor, device;
    if (sscanf(text, "%4x [%4x:%4x]", &class, &vendor, &device) == 3)
        o->class = class, o->vendor = vendor, o->device = device;
}

/* The one bit of "0x00000002" or "0x1,0x0"; NONE when there are others. */
static uint32_t only_bit(const char *mask)
{
    uint32_t found = NONE, word = 0, words = 0;
    for (const char *s = mask; *s; s++)
        words += *s == ',';
    for (const char *s = mask; s; s = strchr(s, ','), s = s ? s + 1 : NULL, word++) {
        uint32_t bits = (uint32_t) strtoul(s, NULL, 16);
        if (bits && (found != NONE || (bits & (bits - 1))))
            return NONE;
        if (bits)
            found = (words - word) * 32 + (uint32_t) __builtin_ctz(bits);
    }
    return found;
}

static enum kind kind_of(const char *type)
{
    static const struct {
        const char *type;
        enum kind kind;
    } kinds[] = {{"Package", PACKAGE}, {"NUMANode", NUMA}, {"PU", PU}, {"Bridge", BRIDGE}, {"PCIDev", DEVICE}, {"OSDev", OSDEV}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(type, kinds[i].type))
            return kinds[i].kind;
    return OTHER;
}

static void take_attribute(struct reading *r, struct object *o, const char *name, const char *value)
{
    uint64_t n;
    if (!strcmp(name, "type"))
        o->kind = kind_of(value);
    else if (!strcmp(name, "bridge_type") && !strncmp(value, "0-", 2))
        o->kind = HOST_BRIDGE;
    else if (!strcmp(name, "pci_type"))
        take_pci_type(o, value);
    else if (!strcmp(name, "pci_busid"))
        tug_str_copy(o->busid, sizeof o->busid, value);
    else if (!strcmp(name, "pci_link_speed"))
        o->gen = generation_of(value);
    else if (!strcmp(name, "name"))
        tug_str_copy(o->name, sizeof o->name, value);
    else if (!strcmp(name, "subtype") && !strcmp(value, "NVSwitch"))
        o->is_switch = 1;
    else if (!strcmp(name, "gp_index"))
        o->gp = tug_str_u64(value, UINT32_MAX - 1, &n) ? NONE : (uint32_t) n;
    else if (!strcmp(name, "nodeset"))
        o->numa = only_bit(value);
    else if (!strcmp(name, "local_memory") && tug_str_u64(value, UINT64_MAX / 2, &n) == 0 &&
             r->sheet->mem_bytes < UINT64_MAX / 2)
        r->sheet->mem_bytes += n;
}

static void open_object(struct reading *r, struct tug_xml *x, const char **attributes)
{
    struct object o = {.parent = r->open, .gp = NONE, .numa = NONE, .line = tug_xml_pos(x).line};
    for (size_t i = 0; attributes[i]; i += 2) {
        enum kind was = o.kind;
        take_attribute(r, &o, attributes[i], attributes[i + 1]);
        if (was == HOST_BRIDGE)
            o.kind = was; /* whichever attribute comes first */
    }
    tug_vec_push(&r->all, o);
    r->open = (uint32_t) r->all.len - 1;
}

static const char *get(const char **attributes, const char *name)
{
    for (size_t i = 0; attributes[i]; i += 2)
        if (!strcmp(attributes[i], name))
            return attributes[i + 1];
    return "";
}

static void on_open(void *ctx, struct tug_xml *x, const char *tag, const char **attributes, size_t depth)
{
    struct reading *r = ctx;
    if (depth == 0 && strcmp(tag, "topology"))
        tug_xml_stop(x, "this is no topology of hwloc", "one begins with <topology>");
    if (!strcmp(tag, "object"))
        open_object(r, x, attributes);
    else if (!strcmp(tag, "info") && r->open != NONE && !strcmp(get(attributes, "name"), "GPUModel"))
        tug_str_copy(r->all.at[r->open].model, sizeof r->all.at[r->open].model, get(attributes, "value"));
    else if (!strncmp(tag, "distances2", 10) && !strcmp(get(attributes, "name"), "NVLinkBandwidth") && !r->objects.len)
        r->in_matrix = 1;
    r->in_indexes = r->in_matrix && !strcmp(tag, "indexes");
    r->in_values = r->in_matrix && !strcmp(tag, "u64values");
    tug_buf_reset(&r->words);
}

static void on_text(void *ctx, const char *text, size_t len)
{
    struct reading *r = ctx;
    if ((r->in_indexes || r->in_values) && r->words.len + len < 65536)
        tug_buf_add(&r->words, text, len);
}

/* "OSDev:802 PCIDev:449 " or "802 803 ", and numbers of MB/s. */
static void take_words(struct reading *r)
{
    char *rest = r->words.data, *word;
    while (rest && (word = strsep(&rest, " \t\r\n"))) {
        const char *digits = strchr(word, ':') ? strchr(word, ':') + 1 : word;
        uint64_t n;
        if (!*word)
            continue;
        if (tug_str_u64(digits, UINT32_MAX - 1, &n))
            n = NONE;
        if (r->in_indexes && r->objects.len < MATRIX_MAX)
            tug_vec_push(&r->objects, (uint32_t) n);
        else if (r->in_values && r->values.len < MATRIX_MAX * MATRIX_MAX)
            tug_vec_push(&r->values, n == NONE ? 0 : (uint32_t) n);
    }
}

static void on_close(void *ctx, const char *tag)
{
    struct reading *r = ctx;
    if (!strcmp(tag, "object"))
        r->open = r->all.at[r->open].parent;
    else if (r->in_indexes || r->in_values)
        take_words(r);
    if (!strncmp(tag, "distances2", 10))
        r->in_matrix = 0;
    r->in_indexes = r->in_values = 0;
}

/* ---- GPUs and adapters */

static uint32_t numa_of(const struct reading *r, uint32_t at)
{
    while (at != NONE && r->all.at[at].numa == NONE)
        at = r->all.at[at].parent;
    return at == NONE || r->all.at[at].numa >= TUG_MACHINE_NUMA_MAX ? TUG_MACHINE_NO_NUMA : r->all.at[at].numa;
}

static int is_gpu(const struct object *o)
{
    return o->kind == DEVICE && o->vendor == 0x10de && o->class >> 8 == 0x03;
}

static void add_gpu(struct reading *r, uint32_t at)
{
    uint32_t n = r->m->n_gpus;
    if (n == TUG_GPUS_MAX) {
        tug_conf_errors_add(r->errs, (struct tug_conf_pos){r->file, r->all.at[at].line, 1}, NULL, 0, "a node has at most 64",
                            "more than 64 GPUs");
        return;
    }
    for (; n > 0 && strcmp(r->all.at[at].busid, r->all.at[r->gpu[n - 1]].busid) < 0; n--)
        r->gpu[n] = r->gpu[n - 1];
    r->gpu[n] = at;
    r->m->n_gpus++;
}

/* What an adapter is called: by its verbs device, where there is one. */
static const char *adapter_name(const struct reading *r, uint32_t at)
{
    const char *best = "";
    for (size_t i = at + 1; i < r->all.len && r->all.at[i].parent != NONE && r->all.at[i].parent >= at; i++) {
        const struct object *o = &r->all.at[i]; /* all that is below it comes right behind it */
        if (o->kind != OSDEV || o->parent != at || !*o->name)
            continue;
        int verbs = !strncmp(o->name, "mlx", 3) || !strncmp(o->name, "rdma", 4) || !strncmp(o->name, "bnxt_re", 7) ||
                    !strncmp(o->name, "hfi1_", 5) || !strncmp(o->name, "irdma", 5);
        if (verbs || !*best)
            best = o->name;
    }
    return best;
}

static void add_nic(struct reading *r, uint32_t at)
{
    const char *name = adapter_name(r, at);
    uint32_t n = r->m->n_nics;
    if (!*name || n == TUG_MACHINE_NICS_MAX)
        return; /* without a device of the system, or one too many */
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(r->m->nic[i].name, name))
            return;
    for (; n > 0 && strcmp(r->all.at[at].busid, r->all.at[r->nic[n - 1]].busid) < 0; n--) {
        r->m->nic[n] = r->m->nic[n - 1];
        r->nic[n] = r->nic[n - 1];
    }
    r->m->nic[n] = (struct tug_machine_nic){0};
    tug_str_copy(r->m->nic[n].name, sizeof r->m->nic[n].name, name);
    for (char *s = r->m->nic[n].name; *s; s++)
        if (!isalnum((unsigned char) *s) && !strchr("._-", *s))
            *s = '_';
    r->m->nic[n].numa = numa_of(r, at);
    r->m->nic[n].is_ib = r->all.at[at].class == 0x0207 || !strncmp(name, "mlx", 3) || !strncmp(name, "rdma", 4);
    r->nic[n] = at;
    r->m->n_nics++;
}

/* The model that NVML says below it, else by its device id. */
static void name_gpu(struct reading *r, uint32_t i)
{
    const struct tug_gpu_kind *k = tug_gpu_kind_of_device(r->all.at[r->gpu[i]].device);
    if (k)
        tug_str_copy(r->m->gpu[i].model, sizeof r->m->gpu[i].model, k->model);
    for (size_t o = r->gpu[i] + 1; !k && o < r->all.len; o++)
        if (r->all.at[o].parent == r->gpu[i] && *r->all.at[o].model) {
            tug_str_copy(r->m->gpu[i].model, sizeof r->m->gpu[i].model, r->all.at[o].model);
            return;
        }
}

static void find_devices(struct reading *r)
{
    for (uint32_t i = 0; i < r->all.len; i++) {
        const struct object *o = &r->all.at[i];
        if (is_gpu(o))
            add_gpu(r, i);
        else if (o->kind == DEVICE && o->class >> 8 == 0x02)
            add_nic(r, i);
        r->sheet->cpus += o->kind == PU;
        if (o->kind == NUMA && o->numa < TUG_MACHINE_NUMA_MAX && o->numa >= r->m->n_numa)
            r->m->n_numa = o->numa + 1;
    }
    for (uint32_t i = 0; i < r->m->n_gpus; i++) {
        uint32_t numa = numa_of(r, r->gpu[i]);
        r->m->gpu[i].numa = numa < r->m->n_numa ? numa : TUG_MACHINE_NO_NUMA;
        name_gpu(r, i);
    }
    for (uint32_t i = 0; i < r->m->n_nics; i++)
        if (r->m->nic[i].numa >= r->m->n_numa)
            r->m->nic[i].numa = TUG_MACHINE_NO_NUMA;
}

/* ---- between them */

static uint32_t steps_to(const struct reading *r, uint32_t from, uint32_t up)
{
    uint32_t n = 0;
    for (from = r->all.at[from].parent; from != up; from = r->all.at[from].parent)
        n++;
    return n;
}

static uint32_t common(const struct reading *r, uint32_t a, uint32_t b)
{
    for (uint32_t x = r->all.at[a].parent; x != NONE; x = r->all.at[x].parent)
        for (uint32_t y = r->all.at[b].parent; y != NONE; y = r->all.at[y].parent)
            if (x == y)
                return x;
    return NONE;
}

/* A PCIe switch is a bridge up and one down for each port, so that one in between is the same switch. */
static uint8_t class_between(const struct reading *r, uint32_t a, uint32_t b)
{
    uint32_t up = common(r, a, b), numa_a = numa_of(r, a), numa_b = numa_of(r, b);
    if (up != NONE && r->all.at[up].kind == BRIDGE)
        return steps_to(r, a, up) <= 1 && steps_to(r, b, up) <= 1 ? TUG_LINK_PIX : TUG_LINK_PXB;
    if (up != NONE && r->all.at[up].kind == HOST_BRIDGE)
        return TUG_LINK_PHB;
    if (numa_a == TUG_MACHINE_NO_NUMA || numa_b == TUG_MACHINE_NO_NUMA)
        return TUG_LINK_UNKNOWN;
    return numa_a == numa_b ? TUG_LINK_NODE : TUG_LINK_SYS;
}

/* What stands in the matrix: a GPU (it, or a device of the system on it), a switch, or something else. */
static uint32_t find_gp(const struct reading *r, uint32_t gp)
{
    for (uint32_t i = 0; gp != NONE && i < r->all.len; i++)
        if (r->all.at[i].gp == gp)
            return i;
    return NONE;
}

/* From now on r->objects has places in r->all. */
static void resolve(struct reading *r)
{
    for (size_t i = 0; i < r->objects.len; i++)
        r->objects.at[i] = find_gp(r, r->objects.at[i]);
}

static uint32_t gpu_of(const struct reading *r, uint32_t object)
{
    for (uint32_t i = 0; object != NONE && i < r->m->n_gpus; i++)
        if (r->gpu[i] == object || (r->all.at[object].kind == OSDEV && r->all.at[object].parent == r->gpu[i]))
            return i;
    return NONE;
}

struct fold {
    uint32_t mbs[TUG_GPUS_MAX][TUG_GPUS_MAX];
    uint64_t to_switch[TUG_GPUS_MAX];
};

static void fold_row(struct reading *r, struct fold *f, size_t row, uint32_t i)
{
    size_t n = r->objects.len;
    for (size_t c = 0; c < n; c++) {
        uint32_t object = r->objects.at[c], k = gpu_of(r, object);
        uint32_t mbs = r->values.at[row * n + c];
        if (k != NONE && k != i)
            f->mbs[i][k] = mbs;
        else if (object != NONE && r->all.at[object].is_switch)
            f->to_switch[i] += mbs;
    }
}

static uint32_t link_mbs(const struct reading *r, uint32_t i)
{
    const struct tug_gpu_kind *k = tug_gpu_kind_of_device(r->all.at[r->gpu[i]].device);
    return k && k->nvlink_mbs ? k->nvlink_mbs : 25000;
}

static uint8_t links_of(const struct reading *r, uint32_t i, uint64_t mbs)
{
    uint64_t n = (mbs + link_mbs(r, i) / 2) / link_mbs(r, i);
    return mbs == 0 ? 0 : n > 255 ? 255 : n ? (uint8_t) n : 1;
}

static void set_pair(struct reading *r, const struct fold *f, uint32_t i, uint32_t k)
{
    struct tug_machine_link *l = &r->m->link[i][k];
    uint64_t both = f->to_switch[i] < f->to_switch[k] ? f->to_switch[i] : f->to_switch[k];
    uint64_t mbs = f->mbs[i][k] > both ? f->mbs[i][k] : both;
    uint32_t gen_i = r->all.at[r->gpu[i]].gen, gen_k = r->all.at[r->gpu[k]].gen;
    l->class = i == k ? TUG_LINK_SELF : class_between(r, r->gpu[i], r->gpu[k]);
    if (i == k)
        return;
    mbs = mbs > UINT32_MAX ? UINT32_MAX : mbs;
    l->nvlinks = links_of(r, i < k ? i : k, mbs);
    l->mbs = mbs                ? (uint32_t) mbs
             : gen_i && gen_k ? tug_link_class_mbs((enum tug_link_class) l->class, gen_i < gen_k ? gen_i : gen_k)
                              : 0;
}

static void set_port(struct reading *r, const struct fold *f, uint32_t i)
{
    uint64_t all = 0;
    for (uint32_t k = 0; k < r->m->n_gpus; k++)
        all += f->mbs[i][k];
    all = f->to_switch[i] ? f->to_switch[i] : all;
    if (!all && r->all.at[r->gpu[i]].gen)
        all = tug_link_class_mbs(TUG_LINK_PIX, r->all.at[r->gpu[i]].gen);
    r->m->gpu[i].port_mbs = all > UINT32_MAX ? UINT32_MAX : (uint32_t) all;
}

static void check_symmetry(struct reading *r, const struct fold *f)
{
    for (uint32_t i = 0; i < r->m->n_gpus; i++)
        for (uint32_t k = i + 1; k < r->m->n_gpus; k++)
            if (f->mbs[i][k] != f->mbs[k][i])
                tug_conf_errors_add(r->errs, (struct tug_conf_pos){r->file, 0, 0}, NULL, 0,
                                    "links are the same in both directions",
                                    "NVLinkBandwidth: GPU %u has %u MB/s to GPU %u, and GPU %u has %u to GPU %u", i, f->mbs[i][k], k,
                                    k, f->mbs[k][i], i);
}

static void take_links(struct reading *r)
{
    struct fold *f = tug_new(struct fold);
    uint32_t on_switch = 0;
    resolve(r);
    if (r->values.len == r->objects.len * r->objects.len)
        for (size_t row = 0; row < r->objects.len; row++) {
            uint32_t i = gpu_of(r, r->objects.at[row]);
            if (i != NONE)
                fold_row(r, f, row, i);
        }
    else
        tug_buf_addf(r->warnings, "%s: NVLinkBandwidth has %zu objects and %zu values: it is left out\n", r->file, r->objects.len,
                     r->values.len);
    check_symmetry(r, f);
    for (uint32_t i = 0; i < r->m->n_gpus; i++) {
        for (uint32_t k = 0; k < r->m->n_gpus; k++)
            set_pair(r, f, i, k);
        set_port(r, f, i);
        on_switch += f->to_switch[i] > 0;
        for (uint32_t n = 0; n < r->m->n_nics; n++)
            r->m->nic_class[i][n] = class_between(r, r->gpu[i], r->nic[n]);
    }
    r->m->nvswitch = on_switch && on_switch == r->m->n_gpus;
    if (!r->objects.len && r->m->n_gpus > 1)
        tug_buf_addf(r->warnings, "%s: tells of no NVLinks: it was made without NVML, or there are none\n", r->file);
    free(f);
}

int tug_hwlocxml_read(const char *file, const char *text, size_t len, const char *name, struct tug_sheet **out,
                      struct tug_buf *warnings, struct tug_conf_errors *errs)
{
    struct reading *r = tug_new(struct reading);
    size_t had = tug_conf_errors_count(errs);
    struct tug_err err = {0};
    *r = (struct reading){.file = file, .open = NONE, .sheet = tug_sheet_new(), .warnings = warnings, .errs = errs};
    r->m = &r->sheet->machine;
    tug_str_copy(r->m->name, sizeof r->m->name, name);
    const struct tug_xml_walk walk = {.what = "a topology of hwloc",
                                      .bytes_max = TUG_HWLOCXML_BYTES_MAX,
                                      .depth_max = TUG_HWLOCXML_DEPTH_MAX,
                                      .elements_max = TUG_HWLOCXML_ELEMENTS_MAX,
                                      .takes_doctype = true,
                                      .ctx = r,
                                      .open = on_open,
                                      .close = on_close,
                                      .text = on_text};
    int rc = tug_xml_read(&walk, file, text, len, errs);
    if (rc == 0) {
        find_devices(r);
        if (tug_conf_errors_count(errs) == had)
            take_links(r);
        if (!r->m->n_gpus)
            tug_conf_errors_add(errs, (struct tug_conf_pos){file, 0, 0}, NULL, 0, "lstopo needs --whole-io to write them",
                                "there is no NVIDIA GPU in it");
    }
    if (tug_conf_errors_count(errs) == had && tug_machine_check(r->m, &err))
        tug_conf_errors_add(errs, (struct tug_conf_pos){file, 0, 0}, NULL, 0, NULL, "%s", err.msg);
    rc = tug_conf_errors_count(errs) > had ? -EINVAL : 0;
    if (rc == 0)
        *out = r->sheet;
    else
        tug_sheet_free(r->sheet);
    tug_vec_clear(&r->all);
    tug_vec_clear(&r->objects);
    tug_vec_clear(&r->values);
    tug_buf_clear(&r->words);
    free(r);
    return rc;
}
