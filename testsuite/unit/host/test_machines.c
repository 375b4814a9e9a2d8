/* test_machines.c - the machines that come along are what their makers say, and are found by name
 *
 * The expectations are written down here by hand. With TUG_TOPO at a folder of third-party files (its matrices in the
 * form of `nvidia-smi topo -m`), these have the last word.
 */
#include <errno.h>
#include <unistd.h>

#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "host/machines.h"
#include "host/readfile.h"

static struct tug_sheet *sheet;
static struct tug_err err;

/* A configuration beside the machines of this build tree. */
static const char *beside(void)
{
    static char path[4096];
    const char *dir = getenv("TUG_BUILDDIR");
    snprintf(path, sizeof path, "%s/tugline.yaml", dir ? dir : ".");
    return path;
}

static const struct tug_machine *get(const char *name)
{
    tug_sheet_free(sheet);
    sheet = NULL;
    int rc = tug_machines_find(beside(), name, &sheet, &err);
    ck_assert_msg(rc == 0, "%s", err.msg);
    return &sheet->machine;
}

/* All links of 'a' in one row: "X NV1 ...". */
static const char *row(const struct tug_machine *m, uint32_t a)
{
    static char text[512];
    char name[16];
    *text = 0;
    for (uint32_t k = 0; k < m->n_gpus; k++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", k ? " " : "",
                 tug_machine_link_name(&m->link[a][k], name, sizeof name));
    return text;
}

static uint32_t best_between(const struct tug_machine *m)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < m->n_gpus; i++)
        for (uint32_t k = 0; k < i; k++)
            best = m->link[i][k].mbs > best ? m->link[i][k].mbs : best;
    return best;
}

START_TEST(all_of_them_can_be_read_and_say_where_they_are_from)
{
    struct tug_machines all = {0};
    tug_machines_list(beside(), &all);
    ck_assert_uint_ge(all.len, 14);
    for (size_t i = 0; i < all.len; i++) {
        ck_assert_msg(!all.at[i].problem, "%s", all.at[i].problem);
        ck_assert_str_eq(all.at[i].sheet->machine.name, all.at[i].name);
        ck_assert_msg(all.at[i].sheet->source.n > 0, "%s names no source", all.at[i].name);
        ck_assert_msg(all.at[i].sheet->cpus && all.at[i].sheet->mem_bytes, "%s: CPUs or memory", all.at[i].name);
        ck_assert_msg(*all.at[i].sheet->about, "%s is about nothing", all.at[i].name);
    }
    tug_machines_clear(&all);
}
END_TEST

START_TEST(the_best_pairs_of_a_dgx1_with_v100_are_its_double_links)
{
    static const uint8_t doubles[][2] = {{0, 3}, {0, 4}, {1, 2}, {1, 5}, {2, 3}, {4, 7}, {5, 6}, {6, 7}};
    const struct tug_machine *m = get("dgx1-v100");
    uint32_t n = 0, links;
    ck_assert_uint_eq(best_between(m), 50000);
    for (size_t i = 0; i < 8; i++)
        ck_assert_uint_eq(m->link[doubles[i][0]][doubles[i][1]].mbs, 50000);
    for (uint32_t i = 0; i < 8; i++) {
        links = 0;
        for (uint32_t k = 0; k < 8; k++) {
            n += m->link[i][k].mbs == 50000;
            links += m->link[i][k].nvlinks;
        }
        ck_assert_uint_eq(links, 6);
        ck_assert_uint_eq(m->gpu[i].port_mbs, 150000);
    }
    ck_assert_uint_eq(n, 2 * 8);
    ck_assert_str_eq(row(m, 0), "X NV1 NV1 NV2 NV2 SYS SYS SYS");
    ck_assert_uint_eq(m->link[0][1].class, TUG_LINK_PIX);
    ck_assert_uint_eq(m->nic_class[3][1], TUG_LINK_PIX);
    ck_assert_uint_eq(m->nic_class[0][1], TUG_LINK_PHB);
}
END_TEST

START_TEST(all_links_of_a_dgx1_with_p100_are_single)
{
    const struct tug_machine *m = get("dgx1-p100");
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t links = 0;
        for (uint32_t k = 0; k < 8; k++) {
            ck_assert_uint_le(m->link[i][k].nvlinks, 1);
            links += m->link[i][k].nvlinks;
        }
        ck_assert_uint_eq(links, 4);
    }
    ck_assert_uint_eq(best_between(m), 20000);
}
END_TEST

START_TEST(machines_with_switches_have_the_same_between_all_pairs)
{
    static const struct {
        const char *name, *model;
        uint32_t gpus, nvlinks, mbs, measured_8;
    } rows[] = {{"dgx2", "v100", 16, 6, 150000, 0},         {"dgx-a100", "a100", 8, 12, 300000, 234900},
                {"hgx-h100", "h100", 8, 18, 450000, 480000}, {"hgx-h200", "h200", 8, 18, 450000, 473000},
                {"hgx-b200", "b200", 8, 18, 900000, 838000}, {"gb200-nvl72", "gb200", 4, 18, 900000, 0},
                {"p4d", "a100", 8, 12, 300000, 234900}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const struct tug_machine *m = get(rows[r].name);
        ck_assert_uint_eq(m->n_gpus, rows[r].gpus);
        ck_assert_str_eq(m->gpu[0].model, rows[r].model);
        ck_assert_uint_eq(m->nvswitch, 1);
        ck_assert_uint_eq(m->allreduce_mbs[8], rows[r].measured_8);
        for (uint32_t i = 0; i < m->n_gpus; i++) {
            ck_assert_uint_eq(m->gpu[i].port_mbs, rows[r].mbs);
            for (uint32_t k = 0; k < i; k++) {
                ck_assert_uint_eq(m->link[i][k].nvlinks, rows[r].nvlinks);
                ck_assert_uint_eq(m->link[i][k].mbs, rows[r].mbs);
            }
        }
    }
    get("gb200-nvl72");
    ck_assert_uint_eq(sheet->nvlink_nodes, 18);
}
END_TEST

START_TEST(machines_of_rails_have_an_adapter_for_each_gpu_and_a_p4d_one_for_two)
{
    const struct tug_machine *m = get("hgx-h100");
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t k = 0; k < 8; k++)
            ck_assert_uint_eq(m->nic_class[i][k], i == k ? TUG_LINK_PXB : i / 4 == k / 4 ? TUG_LINK_NODE : TUG_LINK_SYS);
    ck_assert_uint_eq(m->nic[7].mbs, 50000);
    m = get("p4d");
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t k = 0; k < 4; k++)
            ck_assert_uint_eq(m->nic_class[i][k], i / 2 == k ? TUG_LINK_PIX : i / 4 == k / 2 ? TUG_LINK_NODE : TUG_LINK_SYS);
}
END_TEST

START_TEST(machines_without_switches_have_pairs_or_nothing)
{
    ck_assert_str_eq(row(get("nc-a100"), 0), "X NV12 SYS SYS");
    ck_assert_uint_eq(sheet->machine.link[2][3].mbs, 300000);
    ck_assert_str_eq(row(get("power9-v100"), 1), "NV3 X SYS SYS");
    ck_assert_uint_eq(sheet->machine.link[0][1].mbs, 75000);
    ck_assert_uint_eq(sheet->machine.link[0][2].mbs, 32000);
    ck_assert_str_eq(row(get("2xa6000-workstation"), 0), "X NV4");
    ck_assert_str_eq(row(get("pcie-8xl40s"), 5), "SYS SYS SYS SYS PIX X NODE NODE");
    ck_assert_str_eq(row(get("g5-48xl"), 0), "X PHB PHB PHB SYS SYS SYS SYS");
}
END_TEST

START_TEST(older_names_find_them_too)
{
    static const char *const old[][2] = {{"dgx-1", "dgx1-v100"},   {"dgx-2", "dgx2"},        {"dgx-a100", "dgx-a100"},
                                         {"dgx-h100", "hgx-h100"}, {"dgx-h200", "hgx-h200"}, {"dgx-b200", "hgx-b200"}};
    for (size_t i = 0; i < sizeof old / sizeof *old; i++)
        ck_assert_str_eq(get(old[i][0])->name, old[i][1]);
}
END_TEST

START_TEST(an_unknown_one_is_refused_with_what_was_meant)
{
    unit_fails(tug_machines_find(beside(), "hgx-h10", &sheet, &err), -ENOENT, err, "did you mean hgx-h100?");
    unit_fails(tug_machines_find(beside(), "abacus", &sheet, &err), -ENOENT, err, "known are 2xa6000-workstation, ");
    unit_fails(tug_machines_find(NULL, "./nosuch.yaml", &sheet, &err), -ENOENT, err, "nosuch.yaml");
}
END_TEST

/* ---- third-party files */

/* The first matrix of a file in the form of `nvidia-smi topo -m`. */
static size_t count_differences(const char *path, const struct tug_machine *m)
{
    struct tug_buf text = {0};
    size_t wrong = 0, rows = 0;
    ck_assert_msg(tug_readfile(path, 1 << 20, &text, &err) == 0, "%s", err.msg);
    char *rest = text.data, *line;
    while (rows < m->n_gpus && (line = strsep(&rest, "\n"))) {
        uint32_t i;
        char name[16], *at = line, *word;
        if (sscanf(line, "GPU%u", &i) != 1 || i != rows)
            continue;
        strsep(&at, " ");
        for (uint32_t k = 0; k < m->n_gpus && (word = strsep(&at, " "));)
            if (*word)
                wrong += strcmp(word, tug_machine_link_name(&m->link[i][k++], name, sizeof name)) != 0;
        rows++;
    }
    ck_assert_uint_eq(rows, m->n_gpus);
    tug_buf_clear(&text);
    return wrong;
}

START_TEST(they_agree_with_third_party_matrices)
{
    static const struct {
        const char *file, *name;
    } rows[] = {{"DGX1Volta.txt", "dgx1-v100"}, {"DGX1Pascal.txt", "dgx1-p100"}};
    const char *topo = getenv("TUG_TOPO");
    for (size_t i = 0; topo && i < sizeof rows / sizeof *rows; i++) {
        char *path = tug_xasprintf("%s/matrices/%s", topo, rows[i].file);
        ck_assert_uint_eq(count_differences(path, get(rows[i].name)), 0);
        free(path);
    }
}
END_TEST

UNIT_MAIN("host/machines", all_of_them_can_be_read_and_say_where_they_are_from,
          the_best_pairs_of_a_dgx1_with_v100_are_its_double_links, all_links_of_a_dgx1_with_p100_are_single,
          machines_with_switches_have_the_same_between_all_pairs,
          machines_of_rails_have_an_adapter_for_each_gpu_and_a_p4d_one_for_two,
          machines_without_switches_have_pairs_or_nothing, older_names_find_them_too,
          an_unknown_one_is_refused_with_what_was_meant, they_agree_with_third_party_matrices)
