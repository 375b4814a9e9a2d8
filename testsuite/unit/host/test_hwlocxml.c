/* test_hwlocxml.c - machines as hwloc's XML, in and out, and what hwloc itself makes of it
 *
 * With TUG_TOPO at a folder of third-party files, its hwloc_xml/ is read too, against what is written down here.
 */
#include <hwloc.h>
#include <hwloc/distances.h>

#include "unit.h"

#include "base/mem.h"
#include "conf/hwlocxml.h"
#include "host/machines.h"
#include "host/readfile.h"

static struct tug_sheet *sheet;
static struct tug_buf says, odd;

static int read_text(const char *text, size_t len)
{
    struct tug_conf_errors errs = {0};
    tug_sheet_free(sheet);
    sheet = NULL;
    tug_buf_reset(&says);
    tug_buf_reset(&odd);
    int rc = tug_hwlocxml_read("t.xml", text, len, "x", &sheet, &odd, &errs);
    tug_conf_errors_print(&errs, &says);
    ck_assert((rc == 0) == (tug_conf_errors_count(&errs) == 0));
    tug_conf_errors_clear(&errs);
    return rc;
}

static void refuses(const char *text, const char *words)
{
    ck_assert_int_ne(read_text(text, strlen(text)), 0);
    ck_assert_msg(strstr(tug_buf_str(&says), words), "'%s' does not say '%s'", tug_buf_str(&says), words);
}

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

#define HEAD "<?xml version=\"1.0\"?>\n<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n<topology version=\"2.0\">\n"
#define GPU(gp, bus) "<object type=\"PCIDev\" gp_index=\"" gp "\" pci_busid=\"0000:" bus ":00.0\" pci_type=\"0302 [10de:2330] [10de:0000] a1\"/>"
#define MATRIX(type, values)                                                                                           \
    "<distances2hetero nbobjs=\"2\" kind=\"25\" name=\"NVLinkBandwidth\"><indexes length=\"1\">" type "</indexes>"      \
    "<u64values length=\"1\">" values "</u64values></distances2hetero>"

START_TEST(a_matrix_between_gpus_is_taken_as_it_is)
{
    const char *text = HEAD "<object type=\"Machine\" nodeset=\"0x1\">" GPU("7", "12") GPU("8", "11") "</object>"
                       MATRIX("PCIDev:7 PCIDev:8", "1000000 100000 100000 1000000") "</topology>";
    ck_assert_msg(read_text(text, strlen(text)) == 0, "%s", tug_buf_str(&says));
    ck_assert_str_eq(row(0), "X NV4");
    ck_assert_uint_eq(sheet->machine.link[0][1].mbs, 100000);
    ck_assert_str_eq(sheet->machine.gpu[0].model, "h100");
}
END_TEST

START_TEST(hostile_and_broken_files_are_refused)
{
    refuses("", "no element found");
    refuses("<system/>", "this is no topology of hwloc");
    refuses(HEAD "</topology>", "there is no NVIDIA GPU in it");
    refuses("<!DOCTYPE topology [<!ENTITY a \"b\">]><topology>&a;</topology>", "a DOCTYPE that declares entities has no place");
    refuses(HEAD GPU("7", "12") GPU("8", "13") MATRIX("PCIDev:7 PCIDev:8", "0 100 200 0") "</topology>",
            "GPU 0 has 100 MB/s to GPU 1, and GPU 1 has 200 to GPU 0");
    struct tug_buf deep = {0};
    tug_buf_adds(&deep, HEAD);
    for (int i = 0; i < 100; i++)
        tug_buf_adds(&deep, "<object type=\"Group\">");
    refuses(tug_buf_str(&deep), "more than 64 elements inside each other");
    tug_buf_reset(&deep);
    tug_buf_adds(&deep, HEAD);
    for (int i = 0; i < 65; i++)
        tug_buf_adds(&deep, GPU("1", "11"));
    tug_buf_adds(&deep, "</topology>");
    refuses(tug_buf_str(&deep), "more than 64 GPUs");
    tug_buf_clear(&deep);
}
END_TEST

START_TEST(a_matrix_of_the_wrong_size_is_left_out_and_said)
{
    const char *text = HEAD GPU("7", "12") GPU("8", "13") MATRIX("PCIDev:7 PCIDev:8", "0 1") "</topology>";
    ck_assert_int_eq(read_text(text, strlen(text)), 0);
    ck_assert_str_eq(row(0), "X ?");
    ck_assert(strstr(tug_buf_str(&odd), "2 objects and 2 values"));
}
END_TEST

/* ---- with hwloc itself */

static int is_gpu(hwloc_obj_t o)
{
    return o->attr->pcidev.class_id == 0x0302;
}

/* hwloc loads what we write, and has the same GPUs, CPUs and bandwidths. */
static void loads(const struct tug_sheet *s, const struct tug_buf *xml)
{
    const struct tug_machine *m = &s->machine;
    hwloc_topology_t t;
    uint32_t gpus = 0;
    ck_assert_int_eq(hwloc_topology_init(&t), 0);
    hwloc_topology_set_io_types_filter(t, HWLOC_TYPE_FILTER_KEEP_ALL);
    ck_assert_int_eq(hwloc_topology_set_xmlbuffer(t, xml->data, (int) xml->len + 1), 0);
    ck_assert_msg(hwloc_topology_load(t) == 0, "hwloc does not load %s", m->name);
    for (hwloc_obj_t o = NULL; (o = hwloc_get_next_pcidev(t, o));)
        gpus += (uint32_t) is_gpu(o);
    ck_assert_msg(gpus == m->n_gpus, "%s: hwloc sees %u GPUs", m->name, gpus);
    ck_assert_int_eq(hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PU), (int) s->cpus);
    ck_assert_int_eq(hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_NUMANODE), (int) m->n_numa);
    struct hwloc_distances_s *d = NULL;
    unsigned n = 1;
    ck_assert_int_eq(hwloc_distances_get_by_name(t, "NVLinkBandwidth", &n, &d, 0), 0);
    int has_links = 0;
    for (uint32_t i = 1; i < m->n_gpus; i++)
        has_links |= m->link[0][i].nvlinks > 0;
    ck_assert_msg((int) n == has_links, "%s: %u matrices", m->name, n);
    if (n) {
        ck_assert_uint_eq(d->nbobjs, m->n_gpus + m->nvswitch);
        ck_assert_uint_eq(d->values[1], m->nvswitch ? 0 : m->link[0][1].nvlinks ? m->link[0][1].mbs : 0);
        hwloc_distances_release(t, d);
    }
    hwloc_topology_destroy(t);
}

/* What such a file does not have. */
static void forget(struct tug_sheet *s)
{
    for (uint32_t i = 0; i < s->machine.n_gpus; i++)
        s->machine.gpu[i].mem_mib = 0;
    for (uint32_t i = 0; i < s->machine.n_nics; i++)
        s->machine.nic[i].mbs = 0;
    memset(s->machine.allreduce_mbs, 0, sizeof s->machine.allreduce_mbs);
    snprintf(s->machine.name, sizeof s->machine.name, "x");
}

START_TEST(what_is_written_is_loaded_by_hwloc_and_reads_back_as_the_same_machine)
{
    /* Bandwidths beside NVLink and PCIe have no place in such a file, nor has SYS at one NUMA node. */
    static const char *const not_all[] = {"power9-v100", "gb200-nvl72"};
    struct tug_machines all = {0};
    const char *dir = getenv("TUG_BUILDDIR");
    char *beside = tug_xasprintf("%s/x.yaml", dir ? dir : ".");
    tug_machines_list(beside, &all);
    ck_assert_uint_ge(all.len, 14);
    for (size_t i = 0; i < all.len; i++) {
        struct tug_buf xml = {0}, a = {0}, b = {0};
        struct tug_sheet *s = all.at[i].sheet;
        tug_hwlocxml_write(s, &xml);
        loads(s, &xml);
        ck_assert_msg(read_text(xml.data, xml.len) == 0, "%s: %s", s->machine.name, tug_buf_str(&says));
        ck_assert_uint_eq(sheet->cpus, s->cpus);
        int comparable = strcmp(s->machine.name, not_all[0]) && strcmp(s->machine.name, not_all[1]);
        forget(s);
        tug_sheet_write(s, &a);
        tug_sheet_write(sheet, &b);
        ck_assert_msg(!comparable || tug_machine_equal(&s->machine, &sheet->machine), "%s: %s--- is not\n%s", all.at[i].name,
                      tug_buf_str(&a), tug_buf_str(&b));
        tug_buf_clear(&xml);
        tug_buf_clear(&a);
        tug_buf_clear(&b);
    }
    tug_machines_clear(&all);
    free(beside);
}
END_TEST

/* ---- third-party files */

static const struct {
    const char *file;
    uint32_t n_gpus, n_nics, n_numa;
    const char *first;
} others[] = {
    {"nvidiaDGX2.xml", 16, 0, 2, "X NV6 NV6 NV6 NV6 NV6 NV6 NV6 NV6 NV6 NV6 NV6 NV6 NV6 NV6 NV6"},
    {"power8gpudistances.xml", 4, 0, 2, "X NV2 SYS SYS"},
    {"32em64t-2n8c2t-pci-wholeio.xml", 3, 3, 2, "X SYS SYS"},
};

START_TEST(third_party_files_are_what_they_are)
{
    const char *topo = getenv("TUG_TOPO");
    struct tug_err err;
    for (size_t i = 0; topo && i < sizeof others / sizeof *others; i++) {
        char *path = tug_xasprintf("%s/hwloc_xml/%s", topo, others[i].file);
        struct tug_buf text = {0};
        ck_assert_msg(tug_readfile(path, TUG_HWLOCXML_BYTES_MAX, &text, &err) == 0, "%s", err.msg);
        ck_assert_msg(read_text(text.data, text.len) == 0, "%s: %s", path, tug_buf_str(&says));
        const struct tug_machine *m = &sheet->machine;
        ck_assert_msg(m->n_gpus == others[i].n_gpus && m->n_numa == others[i].n_numa, "%s: %u %u", path, m->n_gpus, m->n_numa);
        ck_assert_msg(m->n_nics == others[i].n_nics, "%s: %u adapters", path, m->n_nics);
        ck_assert_msg(!strcmp(row(0), others[i].first), "%s: %s", path, row(0));
        if (m->n_gpus == 16) {
            ck_assert_uint_eq(m->nvswitch, 1);
            ck_assert_uint_eq(m->link[0][15].mbs, 150000);
            ck_assert_uint_eq(m->link[0][1].class, TUG_LINK_PIX);
            ck_assert_uint_eq(m->link[0][2].class, TUG_LINK_PXB);
            ck_assert_uint_eq(m->link[0][4].class, TUG_LINK_NODE);
        }
        tug_buf_clear(&text);
        free(path);
    }
}
END_TEST

UNIT_MAIN("host/hwlocxml", a_matrix_between_gpus_is_taken_as_it_is, hostile_and_broken_files_are_refused,
          a_matrix_of_the_wrong_size_is_left_out_and_said,
          what_is_written_is_loaded_by_hwloc_and_reads_back_as_the_same_machine, third_party_files_are_what_they_are)
