/* test_coreconf.c - a configuration as the core takes it: nodes that name their kind of machine
 *
 * In a directory of its own, with a folder of machines beside the configuration.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#include "base/mem.h"
#include "host/coreconf.h"

static char dir[64], conf_path[128], machine_path[128];
static struct tug_config cfg;
static struct tug_coreconf core;
static struct tug_err err;

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

static void set_up(void)
{
    strcpy(dir, "/tmp/tug-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(machine_path, sizeof machine_path, "%s/machines", dir);
    ck_assert_int_eq(mkdir(machine_path, 0700), 0);
    snprintf(machine_path, sizeof machine_path, "%s/machines/twin.yaml", dir);
    snprintf(conf_path, sizeof conf_path, "%s/tugline.yaml", dir);
    write_text(machine_path, "name: twin\naliases: [pair]\nnuma: 1\ncpus: 16\nmemory: 64G\n"
                             "gpus: {0-1: {model: a6000, numa: 0}}\nnvlink: {per_link: 14GB/s, pairs: {4: 0+1}}\n");
}

static void tear_down(void)
{
    tug_coreconf_clear(&core);
    tug_config_clear(&cfg);
    unlink(machine_path);
    unlink(conf_path);
    *strrchr(machine_path, '/') = '\0';
    rmdir(machine_path);
    ck_assert_int_eq(rmdir(dir), 0);
}

static int read_nodes(const char *nodes)
{
    char text[512];
    snprintf(text, sizeof text, "cluster:\n  name: x\nnodes:\n%s", nodes);
    write_text(conf_path, text);
    return tug_coreconf_read(conf_path, &cfg, &err);
}

START_TEST(a_row_expects_the_gpus_of_its_machine_and_hands_on_how_they_are_linked)
{
    set_up();
    ck_assert_msg(read_nodes("  - name: n[1-2]\n    machine: twin\n  - name: n3\n    machine: pair\n    gpus: 1\n"
                             "    gpu_model: rtx\n  - name: n4\n") == 0,
                  "%s", err.msg);
    tug_coreconf_make(&cfg, &core);
    ck_assert_uint_eq(core.core.n_nodes, 4);
    ck_assert_uint_eq(core.nodes[0].gpus, 2);
    ck_assert_str_eq(core.nodes[1].gpu_model, "a6000");
    ck_assert_uint_eq(core.nodes[0].cpus, 0); /* whatever it reports */
    ck_assert_uint_eq(core.nodes[0].mem_bytes, 0);
    ck_assert_uint_eq(core.nodes[0].machine->link[0][1].mbs, 56000);
    ck_assert_ptr_eq(core.nodes[0].machine, core.nodes[1].machine);
    ck_assert_uint_eq(core.sheets[0]->cpus, 16);
    ck_assert_uint_eq(core.nodes[2].gpus, 1);
    ck_assert_str_eq(core.nodes[2].gpu_model, "rtx");
    ck_assert_ptr_nonnull(core.nodes[2].machine);
    ck_assert_ptr_null(core.nodes[3].machine);
    tear_down();
}
END_TEST

START_TEST(a_machine_that_is_not_there_or_too_small_or_wrong_is_refused_with_its_place)
{
    set_up();
    unit_fails(read_nodes("  - name: n1\n    machine: twim\n"), -EINVAL, err,
               "tugline.yaml:5:14: machine 'twim' is not known; did you mean twin?");
    unit_fails(read_nodes("  - name: n1\n    machine: twin\n    gpus: 4\n"), -EINVAL, err,
               "tugline.yaml:5:14: a twin has 2 GPUs, and gpus says 4");
    write_text(machine_path, "name: twin\ngpus: {0: {numa: 3}}\n");
    unit_fails(read_nodes("  - name: n1\n    machine: twin\n"), -EINVAL, err, "twin.yaml:2:18: there is no NUMA node 3");
    tear_down();
}
END_TEST

UNIT_MAIN("host/coreconf", a_row_expects_the_gpus_of_its_machine_and_hands_on_how_they_are_linked,
          a_machine_that_is_not_there_or_too_small_or_wrong_is_refused_with_its_place)
