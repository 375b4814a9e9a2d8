/* test_ncclxml.c - NCCL's topology files in and out
 *
 * With TUG_TOPO at a folder of third-party files, its nccl_xml/ is read too, against what is written down here.
 */
#include "unit.h"

#include "base/mem.h"
#include "conf/ncclxml.h"

static struct tug_sheet *sheet;
static struct tug_buf says, odd;

static int read_text(const char *text, size_t len, const char *nics)
{
    struct tug_ncclxml_opts opts = {.name = "x", .nics = nics};
    struct tug_conf_errors errs = {0};
    tug_sheet_free(sheet);
    sheet = NULL;
    tug_buf_reset(&says);
    tug_buf_reset(&odd);
    int rc = tug_ncclxml_read("t.xml", text, len, &opts, &sheet, &odd, &errs);
    tug_conf_errors_print(&errs, &says);
    ck_assert((rc == 0) == (tug_conf_errors_count(&errs) == 0));
    tug_conf_errors_clear(&errs);
    return rc;
}

static void reads(const char *text)
{
    ck_assert_msg(read_text(text, strlen(text), NULL) == 0, "%s", tug_buf_str(&says));
}

static void refuses(const char *text, const char *words)
{
    ck_assert_int_ne(read_text(text, strlen(text), NULL), 0);
    ck_assert_msg(strstr(tug_buf_str(&says), words), "'%s' does not say '%s'", tug_buf_str(&says), words);
}

/* All links of 'a' in one row. */
static const char *row(uint32_t a)
{
    static char text[512];
    char name[16];
    *text = 0;
    for (uint32_t k = 0; k < sheet->machine.n_gpus; k++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", k ? " " : "",
                 tug_machine_link_name(&sheet->machine.link[a][k], name, sizeof name));
    return text;
}

static const char *nic_row(uint32_t a)
{
    static char text[256];
    *text = 0;
    for (uint32_t k = 0; k < sheet->machine.n_nics; k++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", k ? " " : "",
                 tug_link_class_name((enum tug_link_class) sheet->machine.nic_class[a][k]));
    return text;
}

#define DEV(bus, class) "<pci busid=\"0000:" bus ":00.0\" class=\"" class "\" link_speed=\"16.0 GT/s PCIe\" link_width=\"16\"/>"
#define SWITCH(bus, inside) "<pci busid=\"ffff:" bus ":00.0\" class=\"0x060400\" link_speed=\"16 GT/s\" link_width=\"16\">" inside "</pci>"
#define CPU(id, inside) "<cpu numaid=\"" id "\" affinity=\"ffff0000,000000ff\">\n" inside "</cpu>\n"
#define SYSTEM(inside) "<system version=\"1\">\n" inside "</system>\n"
#define GPU(bus, dev, links)                                                                                           \
    "<pci busid=\"0000:" bus ":00.0\" class=\"0x030200\" device=\"0x20b2\" link_speed=\"16 GT/s\" link_width=\"16\">"  \
    "<gpu dev=\"" dev "\" sm=\"80\" rank=\"0\" gdr=\"1\">" links "</gpu></pci>\n"
#define NVLINK(bus, count) "<nvlink target=\"0000:" bus ":00.0\" count=\"" count "\" tclass=\"0x030200\"/>"

START_TEST(the_tree_says_the_class_of_every_path)
{
    reads(SYSTEM(CPU("0", SWITCH("01", SWITCH("02", DEV("11", "0x030200") DEV("12", "0x030200") DEV("91", "0x020700"))
                                           SWITCH("03", DEV("13", "0x030200")))
                              DEV("14", "0x030200")) CPU("1", DEV("15", "0x030200"))));
    ck_assert_str_eq(row(0), "X PIX PXB PHB SYS");
    ck_assert_str_eq(row(4), "SYS SYS SYS SYS X");
    ck_assert_str_eq(nic_row(0), "PIX");
    ck_assert_str_eq(nic_row(2), "PXB");
    ck_assert_str_eq(nic_row(3), "PHB");
    ck_assert_uint_eq(sheet->machine.gpu[4].numa, 1);
    ck_assert_uint_eq(sheet->machine.nic[0].is_ib, 1);
    ck_assert_uint_eq(sheet->cpus, 2 * 24);
    ck_assert_uint_eq(sheet->machine.link[0][1].mbs, tug_link_class_mbs(TUG_LINK_PIX, 4));
    ck_assert(strstr(tug_buf_str(&odd), "tells of no NVLinks"));
}
END_TEST

START_TEST(nvlinks_between_gpus_and_into_switches_are_counted)
{
    reads(SYSTEM(CPU("0", GPU("12", "0", NVLINK("11", "4")) GPU("11", "1", NVLINK("12", "4")))));
    ck_assert_str_eq(row(0), "X NV4");
    ck_assert_uint_eq(sheet->machine.link[0][1].mbs, 100000);
    ck_assert_str_eq(sheet->machine.gpu[0].model, "a100");
    ck_assert_uint_eq(sheet->machine.gpu[0].port_mbs, 100000);
    ck_assert_str_eq(tug_buf_str(&odd), "");
#define NVS "<nvlink target=\"0000:c4:00.0\" count=\"6\" tclass=\"0x068000\"/><nvlink target=\"fffffff:ffff:ff\" count=\"6\" tclass=\"0x068000\"/>"
    reads(SYSTEM(CPU("0", GPU("12", "0", NVS)) CPU("1", GPU("13", "1", NVS) GPU("14", "2", NVS))));
    ck_assert_str_eq(row(1), "NV12 X NV12");
    ck_assert_uint_eq(sheet->machine.nvswitch, 1);
    ck_assert_uint_eq(sheet->machine.link[0][2].mbs, 300000);
}
END_TEST

START_TEST(adapters_have_the_name_and_speed_of_their_net)
{
    reads(SYSTEM(CPU("0", GPU("12", "0", "") "<pci busid=\"0000:55:00.0\" class=\"0x020700\"><nic>"
                          "<net name=\"mlx5_3\" dev=\"0\" speed=\"400000\"/></nic></pci>")
                 CPU("1", "<nic><net name=\"eth0\" speed=\"10000\"/></nic>")));
    const struct tug_machine *m = &sheet->machine;
    ck_assert_uint_eq(m->n_nics, 2);
    ck_assert_str_eq(m->nic[0].name, "mlx5_3");
    ck_assert_uint_eq(m->nic[0].mbs, 50000);
    ck_assert_uint_eq(m->nic[0].is_ib, 1);
    ck_assert_str_eq(m->nic[1].name, "eth0");
    ck_assert_uint_eq(m->nic[1].is_ib, 0);
    ck_assert_uint_eq(m->nic[1].numa, 1);
    ck_assert_str_eq(nic_row(0), "PHB SYS");
}
END_TEST

static char *repeat(const char *what, size_t n, const char *head, const char *tail)
{
    struct tug_buf b = {0};
    tug_buf_adds(&b, head);
    for (size_t i = 0; i < n; i++)
        tug_buf_adds(&b, what);
    tug_buf_adds(&b, tail);
    return tug_buf_take(&b);
}

START_TEST(hostile_and_broken_files_are_refused)
{
    refuses("", "t.xml:1:1: no element found; this is no XML");
    refuses("<system version=\"1\">\n<cpu>", "t.xml:2:");
    refuses("<graphs version=\"1\"/>", "this is a graph of NCCL");
    refuses("<topology/>", "this is no topology of NCCL; one begins with <system>");
    refuses("<system version=\"2\"/>", "t.xml:1:1: this is a later version of the format");
    refuses(SYSTEM(CPU("0", "")), "there is no GPU in it");
    refuses("<!DOCTYPE s [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;\">]>\n" SYSTEM("&b;"),
            "a DOCTYPE that declares entities has no place in a topology of NCCL");
    refuses(SYSTEM(CPU("0", GPU("12", "0", NVLINK("11", "4")) GPU("11", "1", NVLINK("12", "3")))),
            "GPU 0 has 4 NVLinks to GPU 1, and GPU 1 has 3 to GPU 0");
    refuses(SYSTEM(CPU("0", GPU("12", "0", NVLINK("11", "200") NVLINK("11", "200")) GPU("11", "1", ""))), "more than 255 NVLinks");
    char *text = repeat(DEV("11", "0x030200"), 65, "<system version=\"1\"><cpu numaid=\"0\">", "</cpu></system>");
    refuses(text, "more than 64 GPUs");
    free(text);
    text = repeat("<pci>", 40, "<system>", "");
    refuses(text, "more than 32 elements inside each other");
    free(text);
    text = repeat("<pci/>", 5000, "<system>", "</system>");
    refuses(text, "more than 4096 elements");
    free(text);
    text = repeat("                                ", 40000, "<system>", "</system>");
    refuses(text, "the file is over 1024 KiB");
    free(text);
}
END_TEST

/* ---- out, and in again */

static const char *const machines[] = {
    "name: mesh\nnuma: 2\ncpus: 80\ngpus: {0-3: {model: v100, numa: 0}, 4-7: {model: v100, numa: 1}}\n"
    "nvlink: {per_link: 25GB/s, pairs: {2: 0+3 0+4 1+2 1+5 2+3 4+7 5+6 6+7, 1: 0+1 0+2 1+3 2+6 3+7 4+5 4+6 5+7}}\n"
    "pcie: {generation: 3, switches: [0-1, 2-3, 4-5, 6-7], near: PHB}\n"
    "nics: {mlx5_0: {kind: verbs, rate: 100Gb/s, numa: 0, paths: {PIX: 0-1}}, mlx5_3: {kind: verbs, numa: 1, paths: {PIX: 6-7}}}\n",
    "name: rails\nnuma: 2\ncpus: 224\ngpus: {0-3: {model: h100, numa: 0}, 4-7: {model: h100, numa: 1}}\n"
    "nvlink: {switch: true, links: 18, per_link: 25GB/s}\npcie: {generation: 5, near: PHB}\n"
    "nics: {mlx5_0: {kind: verbs, rate: 400Gb/s, numa: 0, paths: {PXB: 0}}, mlx5_5: {kind: verbs, rate: 400Gb/s, numa: 1, "
    "paths: {PXB: 5}}}\n",
    "name: tree\nnuma: 1\ncpus: 8\ngpus: {0-5: {model: l40s, numa: 0}}\n"
    "pcie: {generation: 4, switches: [0-1, 2-3], near: PHB, pairs: {PXB: 0+2 0+3 1+2 1+3 4+5}}\n"
    "nics: {eth0: {kind: net, rate: 10Gb/s, numa: 0}}\n",
};

START_TEST(what_is_written_reads_back_as_the_same_machine)
{
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        struct tug_conf_errors errs = {0};
        struct tug_sheet *s = NULL;
        struct tug_buf xml = {0};
        ck_assert_int_eq(tug_sheet_read("m", machines[i], strlen(machines[i]), &s, &errs), 0);
        tug_ncclxml_write(s, &xml);
        ck_assert_msg(read_text(xml.data, xml.len, NULL) == 0, "%s\n%s", tug_buf_str(&says), xml.data);
        memcpy(sheet->machine.name, s->machine.name, sizeof s->machine.name);
        for (uint32_t k = 0; k < s->machine.n_gpus; k++)
            s->machine.gpu[k].mem_mib = 0; /* is not in such a file */
        struct tug_buf a = {0}, b = {0};
        tug_sheet_write(s, &a);
        tug_sheet_write(sheet, &b);
        ck_assert_msg(tug_machine_equal(&s->machine, &sheet->machine), "%s--- is not\n%s---\n%s", tug_buf_str(&a), tug_buf_str(&b),
                      xml.data);
        ck_assert_uint_eq(sheet->cpus, s->cpus);
        tug_buf_clear(&a);
        tug_buf_clear(&b);
        tug_buf_clear(&xml);
        tug_sheet_free(s);
    }
}
END_TEST

/* ---- third-party files */

static const struct {
    const char *file, *nics;
    uint32_t n_gpus, n_nics;
    const char *first, *nic; /* GPU 0's rows */
} others[] = {
    {"ndv2-topo.xml", NULL, 8, 1, "X PHB PHB PHB SYS SYS SYS SYS", "PHB"},
    {"ndv4-topo.xml", NULL, 8, 8, "X PIX SYS SYS SYS SYS SYS SYS", NULL},
    {"ndv5-topo.xml", NULL, 8, 8, "X PHB PHB PHB SYS SYS SYS SYS", "PIX PHB PHB PHB SYS SYS SYS SYS"},
    {"ncv4-topo.xml", NULL, 4, 1, "X SYS SYS SYS", "PHB"},
    {"p4d-24xl-topo.xml", NULL, 8, 4, "X PIX PHB PHB SYS SYS SYS SYS", "PIX PHB SYS SYS"},
    {"p4de-24xl-topo.xml", NULL, 8, 4, "X PIX PHB PHB SYS SYS SYS SYS", "PIX PHB SYS SYS"},
    {"g5.48xl-topo.xml", "0000:00:15.0", 8, 1, "X PHB PHB PHB SYS SYS SYS SYS", "SYS"},
};

START_TEST(third_party_files_are_what_they_are)
{
    const char *topo = getenv("TUG_TOPO");
    for (size_t i = 0; topo && i < sizeof others / sizeof *others; i++) {
        static char text[65536];
        char *path = tug_xasprintf("%s/nccl_xml/%s", topo, others[i].file);
        FILE *f = fopen(path, "r");
        ck_assert_msg(f != NULL, "%s", path);
        size_t len = fread(text, 1, sizeof text, f);
        fclose(f);
        ck_assert_msg(read_text(text, len, others[i].nics) == 0, "%s: %s", path, tug_buf_str(&says));
        ck_assert_uint_eq(sheet->machine.n_gpus, others[i].n_gpus);
        ck_assert_msg(sheet->machine.n_nics == others[i].n_nics, "%s: %u adapters", path, sheet->machine.n_nics);
        ck_assert_msg(!strcmp(row(0), others[i].first), "%s: %s", path, row(0));
        ck_assert_msg(!others[i].nic || !strcmp(nic_row(0), others[i].nic), "%s: %s", path, nic_row(0));
        free(path);
    }
}
END_TEST

UNIT_MAIN("conf/ncclxml", the_tree_says_the_class_of_every_path, nvlinks_between_gpus_and_into_switches_are_counted,
          adapters_have_the_name_and_speed_of_their_net, hostile_and_broken_files_are_refused,
          what_is_written_reads_back_as_the_same_machine, third_party_files_are_what_they_are)
