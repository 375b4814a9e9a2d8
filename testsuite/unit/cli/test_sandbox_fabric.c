/* test_sandbox_fabric.c - a few words become a tree of domains that a configuration takes */
#include <errno.h>

#include "unit.h"

#include "cli/sandbox.h"
#include "conf/config.h"

static struct tug_sandbox_fabric f;
static struct tug_err err;
static struct tug_buf text;

static int only_file(void *ctx, const char *path, size_t max_bytes, struct tug_buf *out, struct tug_err *e)
{
    (void) ctx, (void) path, (void) max_bytes, (void) e;
    tug_buf_add(out, tug_buf_str(&text), text.len);
    return 0;
}

/* As tugd would read it, with nodes n1.. */
static void load(const char *shape, const struct tug_sheet *sheet, struct tug_config *cfg)
{
    struct tug_source_reader reader = {.read = only_file};
    struct tug_conf_errors errs = {0};
    struct tug_hostlist *nodes;
    struct tug_buf says = {0};
    char names[32];
    ck_assert_msg(tug_sandbox_fabric_parse(shape, &f, &err) == 0, "%s", err.msg);
    snprintf(names, sizeof names, "n[1-%u]", f.nodes);
    ck_assert_int_eq(tug_hostlist_parse(names, &nodes, NULL), 0);
    tug_buf_reset(&text);
    tug_buf_addf(&text, "cluster:\n  name: x\nnodes:\n  - name: \"%s\"\n", names);
    tug_sandbox_fabric_print(&f, nodes, sheet, &text);
    int rc = tug_config_load(&reader, "x", cfg, &errs);
    tug_conf_errors_print(&errs, &says);
    ck_assert_msg(rc == 0, "%s", tug_buf_str(&says));
    tug_conf_errors_clear(&errs);
    tug_hostlist_free(nodes);
}

START_TEST(rails_are_groups_of_nodes_below_one_spine)
{
    struct tug_config cfg = {0};
    load("rail:4x8", NULL, &cfg);
    ck_assert_uint_eq(f.nodes, 32);
    ck_assert_uint_eq(cfg.n_fabric, 5);
    ck_assert_str_eq(cfg.fabric[1].name, "rail2");
    ck_assert_str_eq(cfg.fabric[1].level, "rail");
    ck_assert_str_eq(cfg.fabric[1].parent, "spine1");
    ck_assert_str_eq(cfg.fabric[1].nodes.text, "n[9-16]");
    ck_assert_ptr_null(cfg.fabric[4].parent);
    ck_assert_int_eq(cfg.fabric_levels[0].bandwidth_bytes_s, 0); /* nobody said what the nodes are */
    ck_assert_uint_eq(tug_sandbox_fabric_domain(&f, 8), 1);
    tug_config_clear(&cfg);
}
END_TEST

START_TEST(a_tree_has_as_many_levels_as_it_has_numbers)
{
    struct tug_config cfg = {0};
    load("tree:2x3x4@1.5", NULL, &cfg);
    ck_assert_uint_eq(cfg.n_fabric, 6 + 2 + 1);
    ck_assert_str_eq(cfg.fabric[5].name, "leaf6");
    ck_assert_str_eq(cfg.fabric[5].parent, "spine2");
    ck_assert_str_eq(cfg.fabric[6].parent, "core1");
    ck_assert_int_eq(cfg.fabric_levels[0].oversubscription_milli, 1500);
    ck_assert_int_eq(cfg.fabric_levels[2].oversubscription_milli, 1000);
    tug_config_clear(&cfg);
}
END_TEST

START_TEST(bandwidths_come_from_the_machine)
{
    struct tug_sheet *s = tug_sheet_new();
    struct tug_config cfg = {0};
    s->machine.n_gpus = 4;
    s->machine.gpu[0].port_mbs = 900000;
    s->machine.n_nics = 3;
    s->machine.nic[0] = s->machine.nic[1] = (struct tug_machine_nic){.mbs = 50000, .is_ib = 1};
    s->machine.nic[2].mbs = 1000; /* for files, not for gangs */
    load("nvl72:2x3", s, &cfg);
    ck_assert_str_eq(cfg.fabric_levels[0].name, "nvlink");
    ck_assert_int_eq(cfg.fabric_levels[0].bandwidth_bytes_s, INT64_C(900000000000));
    ck_assert_int_eq(cfg.fabric_levels[1].bandwidth_bytes_s, INT64_C(25000000000));
    tug_config_clear(&cfg);
    tug_sheet_free(s);
}
END_TEST

START_TEST(what_is_no_fabric_is_refused_with_those_that_are)
{
    static const char *const wrong[] = {"",           "rail",        "ring:2x2",      "rail:2",         "rail:2x2x2",
                                        "rail:0x2",   "rail:2x",     "leaf:2xtwo",    "tree:1x1x1x1x1", "leaf:65x64",
                                        "leaf:2x2@",  "leaf:2x2@0.5", "leaf:2x2@two", ":2x2",           "leaf:-1x2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        unit_fails(tug_sandbox_fabric_parse(wrong[i], &f, &err), -EINVAL, err, "rail:4x8 is 4 rail groups of 8 nodes");
}
END_TEST

UNIT_MAIN("cli/sandbox_fabric", rails_are_groups_of_nodes_below_one_spine, a_tree_has_as_many_levels_as_it_has_numbers,
          bandwidths_come_from_the_machine, what_is_no_fabric_is_refused_with_those_that_are)
