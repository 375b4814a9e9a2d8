/* matrix.c - a machine as `nvidia-smi topo -m` shows one
 *
 * Layer: cli.
 */
#include "cli/matrix.h"

#include <stdio.h>
#include <string.h>

#include "base/rate.h"
#include "base/size.h"
#include "base/str.h"
#include "cli/out.h"

#define MORE_COLUMNS 3 /* the GPU's own name, NUMA, CPUS */

/* Of each class, and of each number of NVLinks: does it occur between GPUs or to NICs, and how fast is it there? */
struct occurs {
    bool here;
    uint32_t least_mbs, most_mbs; /* 0: between no two GPUs, or not known */
};

static const char *const meaning[TUG_LINK_CLASSES] = {
    [TUG_LINK_UNKNOWN] = "not known",
    [TUG_LINK_SELF] = "itself",
    [TUG_LINK_BOARD] = "on one board",
    [TUG_LINK_PIX] = "one PCIe switch",
    [TUG_LINK_PXB] = "several PCIe switches",
    [TUG_LINK_PHB] = "the host bridge of a CPU",
    [TUG_LINK_NODE] = "several host bridges of one NUMA node",
    [TUG_LINK_SYS] = "the link between NUMA nodes",
};

static char *rate(uint32_t mbs, char out[TUG_RATE_TEXT_MAX])
{
    return tug_rate_format((int64_t) mbs * 1000000, out, TUG_RATE_TEXT_MAX);
}

/* ---- the rows */

static enum tug_colour colour_of(const struct tug_machine_link *l)
{
    if (l->nvlinks && l->class != TUG_LINK_SELF)
        return TUG_GREEN;
    return l->class == TUG_LINK_SYS ? TUG_YELLOW : l->class == TUG_LINK_SELF ? TUG_DIM : TUG_PLAIN;
}

static void add_numa(struct tug_table *t, const struct tug_machine *m, const struct tug_matrix_more *more, uint32_t numa)
{
    if (numa == TUG_MACHINE_NO_NUMA)
        tug_table_cells(t, "-", TUG_PLAIN);
    else
        tug_table_cellf(t, "%u", numa);
    if (more->numa_cpus)
        tug_table_cells(t, numa < m->n_numa && *more->numa_cpus[numa] ? more->numa_cpus[numa] : "-", TUG_PLAIN);
}

static void add_row(struct tug_table *t, const struct tug_machine *m, const struct tug_matrix_more *more, uint32_t i)
{
    char text[16];
    bool lost = more->lost >> i & 1;
    tug_table_cellf(t, "GPU%u", i);
    for (uint32_t k = 0; k < m->n_gpus; k++)
        if (lost && k == i)
            tug_table_cells(t, "lost", TUG_RED);
        else
            tug_table_cells(t, tug_machine_link_name(&m->link[i][k], text, sizeof text), colour_of(&m->link[i][k]));
    for (uint32_t k = 0; k < m->n_nics; k++)
        tug_table_cells(t, tug_link_class_name((enum tug_link_class) m->nic_class[i][k]),
                        m->nic_class[i][k] == TUG_LINK_SYS ? TUG_YELLOW : TUG_PLAIN);
    add_numa(t, m, more, m->gpu[i].numa);
}

static void print_rows(const struct tug_machine *m, const struct tug_matrix_more *more, bool colour, struct tug_buf *out)
{
    struct tug_table_column columns[TUG_GPUS_MAX + TUG_MACHINE_NICS_MAX + MORE_COLUMNS] = {{"", false, 0}};
    char heads[TUG_GPUS_MAX + TUG_MACHINE_NICS_MAX][8];
    size_t n = 1;
    for (uint32_t i = 0; i < m->n_gpus + m->n_nics; i++) {
        snprintf(heads[i], sizeof heads[i], i < m->n_gpus ? "GPU%u" : "NIC%u", i < m->n_gpus ? i : i - m->n_gpus);
        columns[n++] = (struct tug_table_column){heads[i], false, 0};
    }
    columns[n++] = (struct tug_table_column){"NUMA", false, 0};
    if (more->numa_cpus)
        columns[n++] = (struct tug_table_column){"CPUS", false, 0};
    struct tug_table *t = tug_table_new(columns, n);
    for (uint32_t i = 0; i < m->n_gpus; i++)
        add_row(t, m, more, i);
    tug_table_print(t, out, 0, true, colour);
    tug_table_free(t);
}

/* ---- what is in it */

static uint32_t same_model(const struct tug_machine *m, uint32_t from)
{
    uint32_t n = from;
    while (n < m->n_gpus && !strcmp(m->gpu[n].model, m->gpu[from].model) && m->gpu[n].mem_mib == m->gpu[from].mem_mib)
        n++;
    return n - from;
}

static void print_head(const struct tug_machine *m, struct tug_buf *out)
{
    char size[TUG_SIZE_TEXT_MAX];
    if (*m->name)
        tug_buf_addf(out, "%s: ", m->name);
    for (uint32_t i = 0, n; i < m->n_gpus; i += n) {
        n = same_model(m, i);
        tug_buf_addf(out, "%s%u x ", i ? " + " : "", n);
        if (*m->gpu[i].model)
            tug_str_escape(out, m->gpu[i].model, strlen(m->gpu[i].model));
        else
            tug_buf_adds(out, "GPU");
        if (m->gpu[i].mem_mib)
            tug_buf_addf(out, " (%s)", tug_size_format((uint64_t) m->gpu[i].mem_mib << 20, size, sizeof size));
    }
    tug_buf_addf(out, "%s%s, %u NIC%s, %u NUMA node%s\n", m->n_gpus ? "" : "no GPU", m->nvswitch ? ", NVSwitch" : "",
                 m->n_nics, m->n_nics == 1 ? "" : "s", m->n_numa, m->n_numa == 1 ? "" : "s");
}

/* ---- what the words mean */

static void count(struct occurs *o, uint32_t mbs)
{
    o->here = true;
    if (mbs && (!o->least_mbs || mbs < o->least_mbs))
        o->least_mbs = mbs;
    if (mbs > o->most_mbs)
        o->most_mbs = mbs;
}

static void print_rates(const struct occurs *o, struct tug_buf *out)
{
    char a[TUG_RATE_TEXT_MAX], b[TUG_RATE_TEXT_MAX];
    if (o->least_mbs && o->least_mbs < o->most_mbs)
        tug_buf_addf(out, ", %s to %s", rate(o->least_mbs, a), rate(o->most_mbs, b));
    else if (o->least_mbs)
        tug_buf_addf(out, ", %s", rate(o->least_mbs, a));
    tug_buf_adds(out, "\n");
}

static void print_meanings(const struct tug_machine *m, struct tug_buf *out)
{
    struct occurs classes[TUG_LINK_CLASSES] = {{0}}, nvlinks[256] = {{0}};
    char name[16];
    for (uint32_t i = 0; i < m->n_gpus; i++) {
        for (uint32_t k = 0; k < i; k++) {
            const struct tug_machine_link *l = &m->link[i][k];
            count(l->nvlinks ? &nvlinks[l->nvlinks] : &classes[l->class], l->mbs);
        }
        for (uint32_t k = 0; k < m->n_nics; k++)
            classes[m->nic_class[i][k]].here = true;
    }
    for (int i = 255; i > 0; i--)
        if (nvlinks[i].here) {
            snprintf(name, sizeof name, "NV%d", i);
            tug_buf_addf(out, "%-4s  %d NVLink%s%s", name, i, i == 1 ? "" : "s", m->nvswitch ? " to the switches" : "");
            print_rates(&nvlinks[i], out);
        }
    for (int i = TUG_LINK_CLASSES - 1; i >= 0; i--)
        if (classes[i].here && i != TUG_LINK_SELF) {
            tug_buf_addf(out, "%-4s  %s", tug_link_class_name((enum tug_link_class) i), meaning[i]);
            print_rates(&classes[i], out);
        }
}

static void print_nics(const struct tug_machine *m, struct tug_buf *out)
{
    char text[TUG_RATE_TEXT_MAX], name[16];
    for (uint32_t i = 0; i < m->n_nics; i++) {
        const struct tug_machine_nic *n = &m->nic[i];
        snprintf(name, sizeof name, "NIC%u", i);
        tug_buf_addf(out, "%-4s  ", name);
        tug_str_escape(out, n->name, strlen(n->name));
        if (n->mbs)
            tug_buf_addf(out, ", %s", rate(n->mbs, text));
        if (n->numa != TUG_MACHINE_NO_NUMA)
            tug_buf_addf(out, ", NUMA node %u", n->numa);
        tug_buf_adds(out, n->is_ib ? "\n" : ", no RDMA\n");
    }
}

void tug_matrix_print(const struct tug_machine *m, const struct tug_matrix_more *more, bool colour, struct tug_buf *out)
{
    static const struct tug_matrix_more nothing;
    print_head(m, out);
    if (m->n_gpus)
        print_rows(m, more ? more : &nothing, colour, out);
    print_meanings(m, out);
    print_nics(m, out);
}
