/* test_nic.c - network cards as a /sys shows them that the test has made. Layer: tests. */
#include "unit.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/nic.h"
#include "host/pci.h"

static char sys[32];
static struct tug_gpus gpus;
static struct tug_machine m;

static void make_dirs(const char *path)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s/", sys, path);
    for (char *at = full + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(full, 0755);
        *at = '/';
    }
}

static void file(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", sys, path);
    FILE *f = fopen(full, "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "%s\n", text);
    fclose(f);
}

static void link_to(const char *path, const char *to)
{
    char full[512], target[512];
    snprintf(full, sizeof full, "%s/%s", sys, path);
    snprintf(target, sizeof target, "%s/%s", sys, to);
    ck_assert_int_eq(symlink(target, full), 0);
}

/* A PCI device at devices/PATH, with its NUMA node; returns the path. */
static char *device(const char *path, const char *numa)
{
    static char full[4][256];
    static int at;
    char link[128], *out = full[at++ % 4];
    snprintf(out, sizeof full[0], "devices/%s", path);
    make_dirs(out);
    snprintf(link, sizeof link, "bus/pci/devices/%s", strrchr(path, '/') + 1);
    link_to(link, out);
    snprintf(link, sizeof link, "%.100s/numa_node", out);
    file(link, numa);
    return out;
}

static void verbs(const char *name, const char *on, const char *state, const char *rate)
{
    char path[256];
    snprintf(path, sizeof path, "%s/infiniband/%s/ports/1", on, name);
    make_dirs(path);
    snprintf(path, sizeof path, "%s/infiniband/%s/ports/1/state", on, name);
    file(path, state);
    snprintf(path, sizeof path, "%s/infiniband/%s/ports/1/rate", on, name);
    file(path, rate);
    snprintf(path, sizeof path, "%s/infiniband/%s/device", on, name);
    link_to(path, on);
    char link[128];
    snprintf(link, sizeof link, "class/infiniband/%s", name);
    snprintf(path, sizeof path, "%s/infiniband/%s", on, name);
    link_to(link, path);
}

static void interface(const char *name, const char *on, const char *state, const char *speed)
{
    char path[256], link[128];
    snprintf(path, sizeof path, "%s/net/%s", on, name);
    make_dirs(path);
    snprintf(link, sizeof link, "class/net/%s", name);
    link_to(link, path);
    snprintf(path, sizeof path, "%s/net/%s/operstate", on, name);
    file(path, state);
    snprintf(path, sizeof path, "%s/net/%s/speed", on, name);
    file(path, speed);
    if (!strstr(on, "virtual")) {
        snprintf(path, sizeof path, "%s/net/%s/device", on, name);
        link_to(path, on);
    }
}

static int delete_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void) st, (void) flag, (void) ftw;
    return remove(path);
}

static void begin(uint32_t n_numa)
{
    strcpy(sys, "/tmp/tug-sys-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(sys));
    make_dirs("class/infiniband");
    make_dirs("class/net");
    make_dirs("bus/pci/devices");
    memset(&gpus, 0, sizeof gpus);
    memset(&m, 0, sizeof m);
    m.n_numa = n_numa;
}

static void gpu(const char *pci, uint32_t numa)
{
    snprintf(gpus.at[gpus.n].pci, sizeof gpus.at[0].pci, "%s", pci);
    gpus.at[gpus.n].numa = numa;
    m.gpu[gpus.n].numa = numa;
    m.link[gpus.n][gpus.n].class = TUG_LINK_SELF;
    gpus.n = ++m.n_gpus;
}

static void look(void)
{
    struct tug_err err = {0};
    tug_nics_probe(sys, &gpus, &m);
    nftw(sys, delete_one, 8, FTW_DEPTH | FTW_PHYS);
    for (uint32_t i = 0; i < m.n_gpus; i++)
        for (uint32_t k = 0; k < m.n_gpus; k++)
            if (i != k)
                m.link[i][k].class = TUG_LINK_SYS;
    ck_assert_msg(tug_machine_check(&m, &err) == 0, "%s", err.msg);
}

static void nic_is(uint32_t i, const char *name, uint32_t mbs, int is_ib, uint32_t numa)
{
    ck_assert_str_eq(m.nic[i].name, name);
    ck_assert_uint_eq(m.nic[i].mbs, mbs);
    ck_assert_uint_eq(m.nic[i].is_ib, is_ib);
    ck_assert_uint_eq(m.nic[i].numa, numa);
}

#define SWITCH_A "pci0000:10/0000:10:01.0/0000:11:00.0"
#define SWITCH_B "pci0000:10/0000:10:03.0/0000:21:00.0"

START_TEST(a_card_is_as_near_to_a_gpu_as_the_bridges_between_them_say)
{
    begin(2);
    device(SWITCH_A "/0000:12:00.0/0000:13:00.0", "0"); /* GPU 0 */
    device(SWITCH_B "/0000:22:00.0/0000:23:00.0", "0"); /* GPU 1 */
    device("pci0000:80/0000:80:01.0/0000:81:00.0", "1"); /* GPU 2 */
    gpu("0000:13:00.0", 0);
    gpu("0000:23:00.0", 0);
    gpu("0000:81:00.0", 1);
    verbs("mlx5_0", device(SWITCH_A "/0000:12:04.0/0000:14:00.0", "0"), "4: ACTIVE", "400 Gb/sec (4X NDR)");
    verbs("mlx5_1", device("pci0000:30/0000:30:01.0/0000:31:00.0", "0"), "4: ACTIVE", "200 Gb/sec (4X HDR)");
    look();
    ck_assert_uint_eq(m.n_nics, 2);
    nic_is(0, "mlx5_0", 50000, 1, 0);
    nic_is(1, "mlx5_1", 25000, 1, 0);
    ck_assert_int_eq(m.nic_class[0][0], TUG_LINK_PIX);
    ck_assert_int_eq(m.nic_class[1][0], TUG_LINK_PHB);
    ck_assert_int_eq(m.nic_class[2][0], TUG_LINK_SYS);
    ck_assert_int_eq(m.nic_class[0][1], TUG_LINK_NODE);
}
END_TEST

START_TEST(two_switches_below_one_are_farther_than_one)
{
    ck_assert_int_eq(tug_pci_class("/sys/devices/pci0000:10/0000:10:01.0/0000:11:00.0/0000:12:00.0/0000:13:00.0", 0,
                                   "/sys/devices/pci0000:10/0000:10:01.0/0000:11:00.0/0000:12:00.0/0000:13:00.1", 0),
                     TUG_LINK_PIX);
    ck_assert_int_eq(
        tug_pci_class("/sys/devices/pci0000:10/0000:10:01.0/0000:11:00.0/0000:12:00.0/0000:13:00.0", 0,
                      "/sys/devices/pci0000:10/0000:10:01.0/0000:11:00.0/0000:12:04.0/0000:14:00.0/0000:15:00.0/0000:16:00.0", 0),
        TUG_LINK_PXB);
    /* 0000:10:01.0 and 0000:10:01.01: no part of the one is the other */
    ck_assert_int_eq(tug_pci_class("/sys/devices/pci0000:10/0000:10:01.0", 0, "/sys/devices/pci0000:10/0000:10:01.1", 0),
                     TUG_LINK_PHB);
    ck_assert_int_eq(tug_pci_class("/sys/devices/pci0000:10/0000:10:01.0", 0, "/sys/devices/pci0000:1", 0), TUG_LINK_NODE);
    ck_assert_int_eq(tug_pci_class("/sys/devices/pci0000:10/0000:10:01.0", TUG_MACHINE_NO_NUMA,
                                   "/sys/devices/pci0000:20/0000:20:01.0", 1),
                     TUG_LINK_UNKNOWN);
    ck_assert_int_eq(tug_pci_class("/sys/devices/virtual/x", 0, "/sys/devices/pci0000:10/0000:10:01.0", 0), TUG_LINK_UNKNOWN);
}
END_TEST

START_TEST(what_is_down_or_virtual_or_lent_is_left_out)
{
    char path[128];
    begin(1);
    verbs("mlx5_0", device("pci0000:00/0000:00:05.0", "-1"), "1: DOWN", "10 Gb/sec (4X SDR)");
    char *lent = device("pci0000:00/0000:00:06.0", "-1");
    verbs("mlx5_1", lent, "4: ACTIVE", "100 Gb/sec (4X EDR)");
    snprintf(path, sizeof path, "%.100s/physfn", lent);
    link_to(path, "devices/pci0000:00/0000:00:05.0");
    interface("eth0", device("pci0000:00/0000:00:07.0", "-1"), "up", "25000");
    interface("eth1", device("pci0000:00/0000:00:08.0", "-1"), "down", "-1");
    interface("docker0", "devices/virtual", "up", "10000");
    interface("lo", "devices/virtual", "unknown", "0");
    look();
    ck_assert_uint_eq(m.n_nics, 1);
    nic_is(0, "eth0", 3125, 0, 0); /* with one NUMA node, all is there */
}
END_TEST

START_TEST(an_interface_of_a_verbs_device_is_not_listed_twice_and_one_of_virtio_is_found_above_its_bus)
{
    begin(2);
    char *card = device("pci0000:40/0000:41:00.0", "1");
    verbs("mlx5_0", card, "4: ACTIVE", "100 Gb/sec (4X EDR)");
    interface("ens1", card, "up", "100000");
    device("pci0000:00/0000:00:03.0", "-1");
    make_dirs("devices/pci0000:00/0000:00:03.0/virtio2");
    interface("eth0", "devices/pci0000:00/0000:00:03.0/virtio2", "up", "-1");
    look();
    ck_assert_uint_eq(m.n_nics, 2);
    nic_is(0, "eth0", 0, 0, TUG_MACHINE_NO_NUMA);
    nic_is(1, "mlx5_0", 12500, 1, 1);
}
END_TEST

START_TEST(of_too_many_cards_the_fast_ones_stay)
{
    char name[32], path[64];
    begin(1);
    interface("eth0", device("pci0000:00/0000:00:01.0", "0"), "up", "10000");
    for (int i = 0; i < TUG_MACHINE_NICS_MAX; i++) {
        snprintf(name, sizeof name, "rdmap%d", i);
        snprintf(path, sizeof path, "pci0000:%02x/0000:%02x:00.0", 0x10 + i, 0x10 + i);
        verbs(name, device(path, "0"), "4: ACTIVE", "100 Gb/sec (4X EDR)");
    }
    look();
    ck_assert_uint_eq(m.n_nics, TUG_MACHINE_NICS_MAX);
    nic_is(0, "rdmap0", 12500, 1, 0);
    nic_is(31, "rdmap31", 12500, 1, 0);
}
END_TEST

START_TEST(a_port_that_waits_for_the_subnet_manager_is_there)
{
    begin(1);
    char *card = device("pci0000:40/0000:41:00.0", "0"), path[256];
    verbs("mlx5_0", card, "2: INIT", "100 Gb/sec (4X EDR)");
    snprintf(path, sizeof path, "%.100s/infiniband/mlx5_0/ports/1/phys_state", card);
    file(path, "5: LinkUp");
    look();
    ck_assert_uint_eq(m.n_nics, 1);
    nic_is(0, "mlx5_0", 12500, 1, 0);
}
END_TEST

START_TEST(rates_are_read_as_the_kernel_writes_them)
{
    ck_assert_uint_eq(tug_nic_rate_mbs("400 Gb/sec (4X NDR)"), 50000);
    ck_assert_uint_eq(tug_nic_rate_mbs("2.5 Gb/sec (1X SDR)"), 313);
    ck_assert_uint_eq(tug_nic_rate_mbs(""), 0);
    ck_assert_uint_eq(tug_nic_rate_mbs("-5 Gb/sec"), 0);
    ck_assert_uint_eq(tug_nic_rate_mbs("nan Gb/sec"), 0);
    ck_assert_uint_eq(tug_nic_rate_mbs("1e300 Gb/sec"), 0);
}
END_TEST

UNIT_MAIN("host/nic", a_card_is_as_near_to_a_gpu_as_the_bridges_between_them_say, two_switches_below_one_are_farther_than_one,
          what_is_down_or_virtual_or_lent_is_left_out,
          an_interface_of_a_verbs_device_is_not_listed_twice_and_one_of_virtio_is_found_above_its_bus,
          of_too_many_cards_the_fast_ones_stay, a_port_that_waits_for_the_subnet_manager_is_there,
          rates_are_read_as_the_kernel_writes_them)
