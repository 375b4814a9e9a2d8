/* test_gpu.c - what the driver's library tells of GPUs becomes a machine, and what it doesn't tell breaks nothing
 *
 * The library is testsuite/fakenvml, which tells of the machine that a test writes down. Layer: tests.
 */
#include "unit.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/gpu.h"

static struct {
    struct tug_gpus gpus;
    struct tug_machine m;
    struct tug_err err;
} was;

static char *library(const char *kind)
{
    const char *build = getenv("TUG_BUILDDIR");
    return tug_xasprintf("%s/testsuite/fakenvml/%s/libnvidia-ml.so.1", build ? build : ".", kind);
}

/* Look at the machine of that description with a driver of that kind. */
static int look_as(const char *kind, const char *text)
{
    char path[] = "/tmp/tug-nvml-XXXXXX", *lib = library(kind);
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t) strlen(text));
    close(fd);
    setenv("TUG_FAKE_NVML", path, 1);
    memset(&was, 0, sizeof was);
    was.m.n_numa = 2;
    int rc = tug_gpus_probe(lib, "/nonexistent", &was.gpus, &was.m, &was.err);
    unlink(path);
    free(lib);
    return rc;
}

static void look(const char *text)
{
    int rc = look_as("new", text);
    ck_assert_msg(rc == 0, "%s", was.err.msg);
    ck_assert_msg(tug_machine_check(&was.m, &was.err) == 0, "%s", was.err.msg);
}

static void link_is(uint32_t a, uint32_t b, const char *name, uint32_t mbs)
{
    char text[16];
    ck_assert_str_eq(tug_machine_link_name(&was.m.link[a][b], text, sizeof text), name);
    ck_assert_uint_eq(was.m.link[a][b].mbs, mbs);
}

#define HGX "gpus 8\nsockets 2\nname NVIDIA H100 80GB HBM3\nmemory 81559\npcie 5 16\nswitch 18\nrate 26562\n"

START_TEST(behind_switches_every_pair_has_all_links_of_a_gpu)
{
    look(HGX);
    ck_assert_uint_eq(was.m.n_gpus, 8);
    ck_assert(was.m.nvswitch);
    ck_assert_str_eq(was.gpus.model, "h100");
    ck_assert_str_eq(was.m.gpu[7].model, "h100");
    ck_assert_uint_eq(was.m.gpu[7].mem_mib, 81559);
    ck_assert_uint_eq(was.m.gpu[7].numa, 1);
    ck_assert_uint_eq(was.m.gpu[0].port_mbs, 18 * 26562);
    ck_assert_uint_eq(was.m.link[0][3].class, TUG_LINK_NODE);
    ck_assert_uint_eq(was.m.link[0][4].class, TUG_LINK_SYS);
    for (uint32_t i = 1; i < 8; i++)
        link_is(0, i, "NV18", 18 * 26562);
    ck_assert_str_eq(was.gpus.at[1].uuid, "GPU-fa4e0000-0000-0000-0000-000000000001");
    ck_assert_str_eq(was.gpus.at[1].pci, "0000:13:00.0");
    ck_assert_uint_eq(was.gpus.at[1].minor, 6);
    ck_assert_uint_eq(was.gpus.lost, 0);
    ck_assert(!was.gpus.hides_pci);
    ck_assert_str_eq(was.gpus.nvlink_domain, "");
}
END_TEST

START_TEST(a_mesh_has_the_links_that_lead_from_one_to_the_other)
{
    /* DGX-1V: six links each, two of them to some */
    look("gpus 8\nsockets 2\nname Tesla V100-SXM2-32GB\npcie 3 16\nversion 2\n"
         "links 0 3 2\nlinks 0 4 2\nlinks 1 2 2\nlinks 1 5 2\nlinks 2 3 2\nlinks 4 7 2\nlinks 5 6 2\nlinks 6 7 2\n"
         "links 0 1 1\nlinks 0 2 1\nlinks 1 3 1\nlinks 2 6 1\nlinks 3 7 1\nlinks 4 5 1\nlinks 4 6 1\nlinks 5 7 1\n");
    ck_assert(!was.m.nvswitch);
    link_is(0, 3, "NV2", 50000);
    link_is(3, 0, "NV2", 50000);
    link_is(0, 1, "NV1", 25000);
    link_is(0, 5, "SYS", tug_link_class_mbs(TUG_LINK_SYS, 3));
    for (uint32_t i = 0; i < 8; i++)
        ck_assert_uint_eq(was.m.gpu[i].port_mbs, 6 * 25000);
}
END_TEST

START_TEST(a_link_that_is_up_at_one_end_counts_at_none)
{
    look("gpus 2\nversion 4\nlinks 0 1 3\nhalf 0 1 1\n");
    link_is(0, 1, "NV3", 75000);
}
END_TEST

START_TEST(without_nvlink_the_path_is_pcie_as_wide_as_the_slot)
{
    look("gpus 4\nsockets 2\nname NVIDIA L40S\npcie 4 16\nclass 0 1 PIX\nclass 2 3 PHB\n");
    link_is(0, 1, "PIX", tug_link_class_mbs(TUG_LINK_PIX, 4));
    link_is(2, 3, "PHB", tug_link_class_mbs(TUG_LINK_PHB, 4));
    link_is(1, 2, "SYS", tug_link_class_mbs(TUG_LINK_SYS, 4));
    ck_assert_uint_eq(was.m.gpu[0].port_mbs, tug_link_class_mbs(TUG_LINK_PIX, 4));
    look("gpus 2\npcie 4 8\nclass 0 1 PIX\n");
    link_is(0, 1, "PIX", tug_link_class_mbs(TUG_LINK_PIX, 4) / 2);
}
END_TEST

START_TEST(a_lost_gpu_keeps_its_place_and_the_others_stay)
{
    look(HGX "fail nvmlDeviceGetHandleByIndex_v2 3 15\n");
    ck_assert_uint_eq(was.gpus.n, 8);
    ck_assert_uint_eq(was.gpus.lost, 1u << 3);
    ck_assert_ptr_nonnull(strstr(was.gpus.at[3].why, "cannot reach it: GPU is lost (NVML error 15)"));
    ck_assert_str_eq(was.gpus.at[3].uuid, "");
    ck_assert_str_eq(was.gpus.at[4].uuid, "GPU-fa4e0000-0000-0000-0000-000000000004");
    link_is(2, 3, "?", 0);
    link_is(2, 4, "NV18", 18 * 26562);
    ck_assert_uint_eq(was.m.gpu[3].port_mbs, 0);
}
END_TEST

START_TEST(links_to_a_lost_gpu_are_not_taken_for_links_to_a_switch)
{
    const char *mesh = "gpus 3\nversion 2\nlinks 0 1 2\nlinks 0 2 2\nlinks 1 2 2\nfail nvmlDeviceGetUUID 1 15\n";
    for (int untold = 0; untold < 2; untold++) {
        char *text = tug_xasprintf("%s%s", mesh, untold ? "untold\n" : "");
        look(text);
        free(text);
        ck_assert_uint_eq(was.gpus.lost, 1u << 1);
        ck_assert(!was.m.nvswitch);
        ck_assert(!was.gpus.hides_pci);
        link_is(0, 2, "NV2", 50000);
        ck_assert_uint_eq(was.m.gpu[0].port_mbs, 50000);
    }
}
END_TEST

START_TEST(links_that_end_where_a_virtual_machine_shows_nothing_lead_to_switches)
{
    look("gpus 4\nversion 4\nhidden 12\n");
    ck_assert(was.m.nvswitch);
    ck_assert(was.gpus.hides_pci);
    link_is(0, 3, "NV12", 300000);
}
END_TEST

START_TEST(links_to_a_cpu_join_no_gpus)
{
    look("gpus 2\nversion 2\npcie 4 16\ncpu 3\nlinks 0 1 3\n");
    ck_assert(!was.m.nvswitch);
    ck_assert(!was.gpus.hides_pci);
    link_is(0, 1, "NV3", 75000);
    ck_assert_uint_eq(was.m.gpu[0].port_mbs, 75000);
}
END_TEST

START_TEST(links_that_the_driver_lets_nobody_copy_over_are_none)
{
    look(HGX "nop2p\n");
    ck_assert(!was.m.nvswitch);
    link_is(0, 1, "NODE", tug_link_class_mbs(TUG_LINK_NODE, 5));
    ck_assert_uint_eq(was.m.gpu[0].port_mbs, tug_link_class_mbs(TUG_LINK_PIX, 5));
}
END_TEST

START_TEST(mig_instances_are_listed_and_a_gpu_without_any_cannot_be_used)
{
    look("gpus 3\nname NVIDIA A100-SXM4-40GB\nmemory 40960\nmig 0 1g.5gb 4864\nmig 0 3g.20gb 19968\nmig 2\n");
    ck_assert_uint_eq(was.gpus.n_parts, 2);
    ck_assert_uint_ge(was.gpus.part[1].of, 2);
    ck_assert(was.gpus.at[0].is_mig && !was.gpus.at[1].is_mig);
    ck_assert_uint_eq(was.gpus.part[1].gpu, 0);
    ck_assert_str_eq(was.gpus.part[0].profile, "1g.5gb");
    ck_assert_str_eq(was.gpus.part[1].profile, "3g.20gb");
    ck_assert_uint_eq(was.gpus.part[1].mem_mib, 19968);
    ck_assert_int_eq(strncmp(was.gpus.part[0].uuid, "MIG-", 4), 0);
    ck_assert_str_eq(was.gpus.model, "a100");
    ck_assert_uint_eq(was.gpus.lost, 1u << 2);
    ck_assert_ptr_nonnull(strstr(was.gpus.at[2].why, "no instances"));
}
END_TEST

START_TEST(a_node_of_nvl72_names_its_domain_once_the_fabric_is_up)
{
    look(HGX "fabric 000102030405060708090a0b0c0d0e0f 3 3\n");
    ck_assert_str_eq(was.gpus.nvlink_domain, "00010203-0405-0607-0809-0a0b0c0d0e0f.3");
    ck_assert(!was.gpus.fabric_pending);
    look(HGX "fabric 000102030405060708090a0b0c0d0e0f 3 2\n");
    ck_assert_str_eq(was.gpus.nvlink_domain, "");
    ck_assert(was.gpus.fabric_pending);
    look(HGX "fabric 00000000000000000000000000000000 0 3\n");
    ck_assert_str_eq(was.gpus.nvlink_domain, "");
}
END_TEST

START_TEST(an_old_driver_tells_less)
{
    ck_assert_int_eq(look_as("old", HGX "mig 1\nfabric 000102030405060708090a0b0c0d0e0f 3 3\n"), 0);
    ck_assert_int_eq(tug_machine_check(&was.m, &was.err), 0);
    ck_assert_uint_eq(was.m.n_gpus, 8);
    ck_assert_uint_eq(was.gpus.lost, 0);
    ck_assert_uint_eq(was.gpus.at[0].minor, TUG_GPU_NO_MINOR);
    link_is(0, 1, "NV18", 0); /* nobody says how fast */
    ck_assert(was.gpus.hides_pci);
}
END_TEST

START_TEST(a_driver_that_fails_as_a_whole_says_how)
{
    unit_fails(look_as("new", HGX "fail nvmlInit_v2 * 18\n"), -EIO, was.err, "NVML does not start: Driver/library version mismatch");
    unit_fails(look_as("new", HGX "fail nvmlDeviceGetCount_v2 * 999\n"), -EIO, was.err, "cannot count GPUs");
    unit_fails(look_as("new", "gpus 65\n"), -EIO, was.err, "65 GPUs");
    unit_fails(tug_gpus_probe("/nonexistent/libnvml.so", NULL, &was.gpus, &was.m, &was.err), -EIO, was.err,
               "/nonexistent/libnvml.so");
    unit_fails(tug_gpus_probe("libm.so.6", NULL, &was.gpus, &was.m, &was.err), -EIO, was.err, "older than 470");
    ck_assert_int_eq(look_as("new", HGX "fail nvmlInit_v2 * 9\n"), 0);
    ck_assert_uint_eq(was.gpus.n, 0);
}
END_TEST

/* Each function may fail for one GPU or for all: there is always a machine that passes its own check. */
START_TEST(whatever_fails_leaves_a_machine_that_makes_sense)
{
    static const char *const functions[] = {
#define NAME(function, member, result, parameters, needed) #function,
        TUG_NVML_FUNCTIONS(NAME)
#undef NAME
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        for (int gpu = -1; gpu < 2; gpu++) {
            char which[8];
            snprintf(which, sizeof which, gpu < 0 ? "*" : "%d", gpu);
            char *text = tug_xasprintf(HGX "mig 1 1g.10gb 9856\nfail %s %s 999\n", functions[i], which);
            if (look_as("new", text) == 0) {
                ck_assert_msg(tug_machine_check(&was.m, &was.err) == 0, "%s: %s", functions[i], was.err.msg);
                ck_assert_uint_eq(was.m.n_gpus, was.gpus.n);
                for (uint32_t k = 0; k < was.gpus.n; k++)
                    ck_assert_msg(!*was.gpus.at[k].why == !(was.gpus.lost >> k & 1), "%s %s", functions[i], which);
            } else {
                ck_assert_msg(gpu < 0 && *was.err.msg, "%s", functions[i]);
            }
            free(text);
        }
}
END_TEST

START_TEST(models_are_named_as_users_ask_for_them)
{
    static const struct { const char *name, *model; } rows[] = {
        {"NVIDIA H100 80GB HBM3", "h100"}, {"NVIDIA H200", "h200"}, {"NVIDIA A100-SXM4-80GB", "a100"},
        {"Tesla V100-SXM2-32GB", "v100"}, {"NVIDIA GH200 480GB", "gh200"}, {"NVIDIA L40S", "l40s"},
        {"NVIDIA GeForce RTX 3090", "rtx3090"}, {"NVIDIA RTX A6000", "rtxa6000"}, {"NVIDIA B200", "b200"}, {"", ""}};
    char out[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_str_eq(tug_gpu_model(rows[i].name, out, sizeof out), rows[i].model);
    ck_assert_str_eq(tug_gpu_model("NVIDIA H100", out, 3), "h1");
}
END_TEST

START_TEST(a_machine_without_the_driver_has_no_gpus_and_that_is_fine)
{
    if (access("/dev/nvidiactl", F_OK) == 0)
        return; /* it has one: testsuite/gpu is for that machine */
    was.gpus.n = 99;
    ck_assert_msg(tug_gpus_probe(NULL, NULL, &was.gpus, &was.m, &was.err) == 0, "%s", was.err.msg);
    ck_assert_int_eq(was.gpus.n, 0);
}
END_TEST

UNIT_MAIN("host/gpu", behind_switches_every_pair_has_all_links_of_a_gpu, a_mesh_has_the_links_that_lead_from_one_to_the_other,
          a_link_that_is_up_at_one_end_counts_at_none, without_nvlink_the_path_is_pcie_as_wide_as_the_slot,
          a_lost_gpu_keeps_its_place_and_the_others_stay, links_to_a_lost_gpu_are_not_taken_for_links_to_a_switch,
          links_that_end_where_a_virtual_machine_shows_nothing_lead_to_switches, links_to_a_cpu_join_no_gpus,
          links_that_the_driver_lets_nobody_copy_over_are_none, mig_instances_are_listed_and_a_gpu_without_any_cannot_be_used,
          a_node_of_nvl72_names_its_domain_once_the_fabric_is_up, an_old_driver_tells_less,
          a_driver_that_fails_as_a_whole_says_how, whatever_fails_leaves_a_machine_that_makes_sense,
          models_are_named_as_users_ask_for_them, a_machine_without_the_driver_has_no_gpus_and_that_is_fine)
