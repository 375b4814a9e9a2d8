/* test_machine.c - a kind of machine as YAML: what it means, what is wrong with it, and that it reads back */
#include "unit.h"

#include "base/mem.h"
#include "base/rand.h"
#include "conf/machine.h"

static struct tug_sheet *sheet;
static struct tug_buf says;

static int read_text(const char *text, size_t len)
{
    struct tug_conf_errors errs = {0};
    tug_sheet_free(sheet);
    sheet = NULL;
    tug_buf_clear(&says);
    int rc = tug_sheet_read("m.yaml", text, len, &sheet, &errs);
    tug_conf_errors_print(&errs, &says);
    tug_conf_errors_clear(&errs);
    return rc;
}

static void reads(const char *text)
{
    ck_assert_msg(read_text(text, strlen(text)) == 0, "%s", tug_buf_str(&says));
}

static void refuses(const char *text, const char *words)
{
    ck_assert_int_ne(read_text(text, strlen(text)), 0);
    ck_assert_ptr_null(sheet);
    ck_assert_msg(strstr(tug_buf_str(&says), words), "'%s' does not say '%s'", tug_buf_str(&says), words);
}

static const char *link_name(uint32_t i, uint32_t k)
{
    static char name[16];
    return tug_machine_link_name(&sheet->machine.link[i][k], name, sizeof name);
}

#define GPUS4 "name: x\nnuma: 2\ngpus:\n  0-1: {model: v100, memory: 16G, numa: 0}\n  2-3: {model: v100, memory: 16G, numa: 1}\n"

START_TEST(rules_say_what_every_pair_is)
{
    reads(GPUS4 "pcie: {generation: 3, switches: [0-1], near: PHB}\n");
    ck_assert_uint_eq(sheet->machine.n_gpus, 4);
    ck_assert_uint_eq(sheet->machine.gpu[3].mem_mib, 16384);
    ck_assert_uint_eq(sheet->machine.gpu[3].numa, 1);
    ck_assert_str_eq(link_name(0, 0), "X");
    ck_assert_str_eq(link_name(0, 1), "PIX");
    ck_assert_str_eq(link_name(2, 3), "PHB");
    ck_assert_str_eq(link_name(0, 3), "SYS");
    ck_assert_uint_eq(sheet->machine.link[1][0].mbs, tug_link_class_mbs(TUG_LINK_PIX, 3));
    ck_assert_uint_eq(sheet->machine.gpu[0].port_mbs, tug_link_class_mbs(TUG_LINK_PIX, 3));
}
END_TEST

START_TEST(GPUs_are_cut_into_slices_and_read_back_as_they_were_written)
{
    struct tug_buf text = {0};
    reads(GPUS4 "mig: {2: 1x3g.40gb 2x1g.10gb, 0-1: 7x1g.10gb}\n");
    struct tug_mig was = sheet->mig;
    ck_assert_uint_eq(was.n, 17);
    ck_assert_uint_eq(tug_mig_gpus(&was), 7);
    ck_assert_str_eq(was.at[16].profile, "3g.40gb");
    tug_sheet_write(sheet, &text);
    ck_assert_ptr_nonnull(strstr(tug_buf_str(&text), "mig: {0: 7x1g.10gb, 1: 7x1g.10gb, 2: 2x1g.10gb 1x3g.40gb}\n"));
    reads(tug_buf_str(&text));
    ck_assert_mem_eq(&was, &sheet->mig, sizeof was);
    tug_sheet_cut(sheet, 1);
    ck_assert_uint_eq(sheet->mig.n, 7);
    refuses(GPUS4 "mig: {0: 8x1g.10gb}\n", "these slices take 8 compute slices of a GPU");
    refuses(GPUS4 "mig: {0: 2xbig}\n", "'2xbig' is no number of slices of a profile");
    refuses(GPUS4 "mig: {0: 1g.10gb, 0-1: 1g.10gb}\n", "GPU 0 is cut twice");
    refuses(GPUS4 "mig: {4: 1g.10gb}\n", "there is no GPU 4");
    tug_buf_clear(&text);
}
END_TEST

START_TEST(pairs_that_are_named_win_over_the_rules)
{
    reads(GPUS4 "nvlink:\n  per_link: 25GB/s\n  pairs: {2: 0+3 1+2, 1: 0+1}\npcie:\n  pairs: {PXB: 2+3, UNKNOWN: 0+2}\n"
                "bandwidth: [19.2GB/s 0+2, 0 2+3]\n");
    ck_assert_str_eq(link_name(3, 0), "NV2");
    ck_assert_uint_eq(sheet->machine.link[0][3].mbs, 50000);
    ck_assert_uint_eq(sheet->machine.link[0][3].class, TUG_LINK_SYS);
    ck_assert_str_eq(link_name(3, 2), "PXB");
    ck_assert_str_eq(link_name(2, 0), "?");
    ck_assert_uint_eq(sheet->machine.link[2][0].mbs, 19200);
    ck_assert_uint_eq(sheet->machine.gpu[0].port_mbs, 75000);
    ck_assert_uint_eq(sheet->machine.gpu[1].port_mbs, 75000);
    ck_assert_uint_eq(sheet->machine.gpu[2].port_mbs, 50000);
}
END_TEST

START_TEST(a_switch_gives_every_pair_all_links_of_a_gpu)
{
    reads(GPUS4 "nvlink: {switch: true, links: 18, per_link: 25GB/s, nodes: 18}\nallreduce: {2: 300GB/s, 4: 480GB/s}\n");
    ck_assert_uint_eq(sheet->machine.nvswitch, 1);
    ck_assert_str_eq(link_name(0, 3), "NV18");
    ck_assert_uint_eq(sheet->machine.link[0][3].mbs, 450000);
    ck_assert_uint_eq(sheet->machine.gpu[0].port_mbs, 450000);
    ck_assert_uint_eq(sheet->machine.allreduce_mbs[4], 480000);
    ck_assert_uint_eq(sheet->machine.allreduce_mbs[3], 0);
    ck_assert_uint_eq(sheet->nvlink_nodes, 18);
}
END_TEST

START_TEST(adapters_are_near_whom_they_say)
{
    reads(GPUS4 "nics:\n  mlx5_0: {kind: verbs, rate: 400Gb/s, numa: 1, paths: {PIX: 2}}\n  eth0: {rate: 1Gb/s}\n");
    const struct tug_machine *m = &sheet->machine;
    ck_assert_uint_eq(m->n_nics, 2);
    ck_assert_uint_eq(m->nic[0].is_ib, 1);
    ck_assert_uint_eq(m->nic[0].mbs, 50000);
    ck_assert_uint_eq(m->nic_class[2][0], TUG_LINK_PIX);
    ck_assert_uint_eq(m->nic_class[3][0], TUG_LINK_NODE);
    ck_assert_uint_eq(m->nic_class[0][0], TUG_LINK_SYS);
    ck_assert_uint_eq(m->nic[1].is_ib, 0);
    ck_assert_uint_eq(m->nic_class[0][1], TUG_LINK_UNKNOWN);
}
END_TEST

START_TEST(what_is_wrong_is_said_with_its_place)
{
    refuses(GPUS4 "nvlink:\n  pairs:\n    2: 0+3 3+0\n", "m.yaml:8:8: the pair 3+0 stands here twice");
    refuses(GPUS4 "nvlink:\n  pairs: {2: 0+3, 1: 3+0}\n", "the pair 3+0 has two different values of links; links are the same");
    refuses(GPUS4 "nvlink:\n  pairs: {2: 0+4}\n", "m.yaml:7:14: 0+4: there is no GPU 4: 'gpus' has 4");
    refuses(GPUS4 "nvlink:\n  pairs: {2: 0+0}\n", "a GPU has no link to itself");
    refuses(GPUS4 "nvlink:\n  pairs: {2: 0-1}\n", "'0-1' is no pair of GPUs; write pairs of GPUs like 0+3 1+2");
    refuses(GPUS4 "nvlink:\n  pairs: {2: 0+1x}\n", "'0+1x' is no pair");
    refuses(GPUS4 "nvlink:\n  pairs: {300: 0+1}\n", "this is no number of links from 0 to 255");
    refuses(GPUS4 "nvlink: {links: 4}\n", "m.yaml:6:17: nvlink: without a switch, links are between pairs");
    refuses(GPUS4 "nvlink: {switch: true}\n", "how many links");
    refuses(GPUS4 "pcie: {pairs: {FAR: 0+1}}\n", "m.yaml:6:16: this is no class of path; INT, PIX");
    refuses(GPUS4 "pcie: {switches: [0-1, 1-2]}\n", "GPU 1 is below two PCIe switches");
    refuses(GPUS4 "pcie: {switches: [4-5]}\n", "there is no GPU 4: 'gpus' has 4");
    refuses(GPUS4 "pcie: {generation: 2}\n", "pcie.generation");
    refuses(GPUS4 "bandwidth: [fast 0+1]\n", "m.yaml:6:");
    refuses(GPUS4 "allreduce: {5: 1GB/s}\n", "this is no number of GPUs from 2 to the 4 that there are");
    refuses(GPUS4 "allreduce: {2: quick}\n", "m.yaml:6:16:");
    refuses(GPUS4 "nics: {a: {numa: 2}}\n", "there is no NUMA node 2: 'numa' says 2");
    refuses(GPUS4 "nics: {a: {paths: {PIX: 9}}}\n", "there is no GPU 9");
    refuses("name: x\nnuma: 1\ngpus: {0: {numa: 1}}\n", "m.yaml:3:18: there is no NUMA node 1: 'numa' says 1");
    refuses("name: x\ngpus: {0-2: {}, 2-3: {}}\n", "GPU 2 stands in another row already");
    refuses("name: x\ngpus: {0-2: {}, 4: {}}\n", "GPU 3 is in no row of 'gpus'");
    refuses("name: x\ngpus: {0-64: {}}\n", "64 is over the highest index, 63");
    refuses("name: x\ngpu: {}\n", "m.yaml:2:1: unknown key 'gpu' at the top level; did you mean 'gpus'?");
    refuses("gpus: {}\n", "name");
    refuses("- a\n", "this is no description of a machine");
    refuses("", "name");
    refuses("name: [\n", "m.yaml:");
}
END_TEST

/* ---- round trips */

static void writes_back(const struct tug_sheet *s)
{
    struct tug_buf text = {0}, again = {0};
    tug_sheet_write(s, &text);
    ck_assert_msg(read_text(tug_buf_str(&text), text.len) == 0, "%s\n%s", tug_buf_str(&says), tug_buf_str(&text));
    ck_assert_msg(tug_machine_equal(&sheet->machine, &s->machine), "%s", tug_buf_str(&text));
    ck_assert_str_eq(sheet->machine.name, s->machine.name);
    ck_assert_uint_eq(sheet->cpus, s->cpus);
    ck_assert_uint_eq(sheet->mem_bytes, s->mem_bytes);
    ck_assert_uint_eq(sheet->nvlink_nodes, s->nvlink_nodes);
    ck_assert_str_eq(sheet->about, s->about);
    ck_assert_uint_eq(sheet->source.n, s->source.n);
    ck_assert_uint_eq(sheet->aliases.n, s->aliases.n);
    tug_sheet_write(sheet, &again);
    ck_assert_str_eq(tug_buf_str(&again), tug_buf_str(&text));
    tug_buf_clear(&text);
    tug_buf_clear(&again);
}

static uint32_t pick(struct tug_rand *r, uint32_t n)
{
    return (uint32_t) tug_rand_below(r, n);
}

static void make_pair(struct tug_rand *r, struct tug_machine *m, uint32_t i, uint32_t k, uint32_t wild)
{
    static const uint8_t classes[] = {TUG_LINK_UNKNOWN, TUG_LINK_BOARD, TUG_LINK_PIX, TUG_LINK_PXB,
                                      TUG_LINK_PHB,     TUG_LINK_NODE,  TUG_LINK_SYS};
    struct tug_machine_link l = {.class = m->gpu[i].numa == m->gpu[k].numa ? TUG_LINK_NODE : TUG_LINK_SYS,
                                 .nvlinks = m->nvswitch ? 18 : 0};
    if (pick(r, wild) == 0)
        l.class = classes[pick(r, 7)];
    if (pick(r, wild) == 0)
        l.nvlinks = (uint8_t) pick(r, 256);
    l.mbs = l.nvlinks ? l.nvlinks * 25000u : tug_link_class_mbs((enum tug_link_class) l.class, 4);
    if (pick(r, wild) == 0)
        l.mbs = pick(r, 2) ? pick(r, UINT32_MAX) : 0;
    m->link[i][k] = m->link[k][i] = l;
}

static void make_sheet(struct tug_rand *r, struct tug_sheet *s, uint32_t wild)
{
    struct tug_machine *m = &s->machine;
    m->n_gpus = pick(r, TUG_GPUS_MAX + 1);
    m->n_nics = pick(r, TUG_MACHINE_NICS_MAX + 1);
    m->n_numa = 1 + pick(r, 8);
    m->nvswitch = (uint8_t) pick(r, 2);
    s->cpus = pick(r, 65537);
    s->mem_bytes = (uint64_t) pick(r, 1000) << 20;
    s->nvlink_nodes = 1 + pick(r, 20);
    snprintf(m->name, sizeof m->name, "m%u", pick(r, 1000));
    for (uint32_t i = 0; i < m->n_gpus; i++) {
        struct tug_machine_gpu *g = &m->gpu[i];
        snprintf(g->model, sizeof g->model, "%s", pick(r, wild) ? "h100" : pick(r, 2) ? "a \"b\" \\ c, {d}" : "");
        g->mem_mib = pick(r, wild) ? 81920 : pick(r, UINT32_MAX);
        g->numa = pick(r, 9) ? i * m->n_numa / m->n_gpus : TUG_MACHINE_NO_NUMA;
        g->port_mbs = pick(r, wild) ? 450000 : pick(r, UINT32_MAX);
        m->link[i][i].class = TUG_LINK_SELF;
        for (uint32_t k = 0; k < i; k++)
            make_pair(r, m, i, k, wild);
        if (i > 1)
            m->allreduce_mbs[i] = pick(r, 4) ? 0 : pick(r, UINT32_MAX);
    }
    for (uint32_t i = 0; i < m->n_nics; i++) {
        snprintf(m->nic[i].name, sizeof m->nic[i].name, "mlx5_%u", i);
        m->nic[i].numa = pick(r, 3) ? pick(r, m->n_numa) : TUG_MACHINE_NO_NUMA;
        m->nic[i].mbs = pick(r, 2) * 50000;
        m->nic[i].is_ib = (uint8_t) pick(r, 2);
        for (uint32_t k = 0; k < m->n_gpus; k++) {
            uint8_t class = (uint8_t) pick(r, TUG_LINK_CLASSES);
            m->nic_class[k][i] = class == TUG_LINK_SELF ? TUG_LINK_SYS : class;
        }
    }
}

START_TEST(any_machine_reads_back_as_it_was)
{
    struct tug_rand r = tug_rand_seed(unit_seed());
    for (int round = unit_rounds(200); round > 0; round--) {
        struct tug_sheet *s = tug_sheet_new();
        make_sheet(&r, s, 1 + pick(&r, 50));
        writes_back(s);
        tug_sheet_free(s);
    }
}
END_TEST

START_TEST(texts_and_names_read_back_too)
{
    reads("name: x\nabout: \"a: b # c \\\"d\\\"\"\nsource: [\"q, r\", \"1: 2\"]\naliases: [y, z]\ncpus: 8\nmemory: 3G\n");
    struct tug_sheet *s = sheet;
    sheet = NULL;
    writes_back(s);
    ck_assert_str_eq(sheet->about, "a: b # c \"d\"");
    ck_assert_str_eq(sheet->source.at[1], "1: 2");
    snprintf(s->machine.name, sizeof s->machine.name, "a b/c");
    struct tug_buf text = {0};
    tug_sheet_write(s, &text);
    ck_assert(strstr(tug_buf_str(&text), "name: a_b_c\n"));
    tug_buf_clear(&text);
    tug_sheet_free(s);
}
END_TEST

START_TEST(a_machine_with_fewer_gpus_is_sound)
{
    reads(GPUS4 "nvlink: {switch: true, links: 18, per_link: 25GB/s}\nallreduce: {2: 300GB/s, 4: 480GB/s}\n"
                "nics: {a: {numa: 0, paths: {PIX: 3}}}\n");
    tug_sheet_cut(sheet, 3);
    ck_assert_uint_eq(sheet->machine.n_gpus, 3);
    ck_assert_uint_eq(sheet->machine.allreduce_mbs[4], 0);
    ck_assert_uint_eq(sheet->machine.allreduce_mbs[2], 300000);
    ck_assert_int_eq(tug_machine_check(&sheet->machine, NULL), 0);
    struct tug_sheet *s = sheet;
    sheet = NULL;
    writes_back(s);
    tug_sheet_free(s);
}
END_TEST

UNIT_MAIN("conf/machine", rules_say_what_every_pair_is, GPUs_are_cut_into_slices_and_read_back_as_they_were_written, pairs_that_are_named_win_over_the_rules,
          a_switch_gives_every_pair_all_links_of_a_gpu, adapters_are_near_whom_they_say,
          what_is_wrong_is_said_with_its_place, any_machine_reads_back_as_it_was, texts_and_names_read_back_too,
          a_machine_with_fewer_gpus_is_sound)
