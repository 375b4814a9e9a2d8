/* test_machine.c - a machine is checked before it is used, and compared as hardware */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/machine.h"
#include "base/mem.h"

/* Two GPUs with two NVLinks on one NUMA node, and a NIC. */
static struct tug_machine *pair(void)
{
    struct tug_machine *m = tug_new(struct tug_machine);
    m->n_gpus = 2;
    m->n_nics = 1;
    m->n_numa = 1;
    strcpy(m->nic[0].name, "mlx5_0");
    for (unsigned i = 0; i < 2; i++) {
        strcpy(m->gpu[i].model, "v100");
        m->link[i][i].class = TUG_LINK_SELF;
        m->link[i][1 - i] = (struct tug_machine_link){TUG_LINK_NODE, 2, 50000};
        m->nic_class[i][0] = TUG_LINK_PHB;
    }
    return m;
}

static void refused(struct tug_machine *m, const char *words)
{
    struct tug_err err = {0};
    unit_fails(tug_machine_check(m, &err), -EINVAL, err, words);
    free(m);
}

START_TEST(links_are_called_as_nvidia_smi_calls_them)
{
    char text[16];
    struct tug_machine_link nv = {TUG_LINK_SYS, 12, 300000}, far = {TUG_LINK_SYS, 0, 10000},
                            self = {TUG_LINK_SELF, 0, 0};
    ck_assert_str_eq(tug_machine_link_name(&nv, text, sizeof text), "NV12");
    ck_assert_str_eq(tug_machine_link_name(&far, text, sizeof text), "SYS");
    ck_assert_str_eq(tug_machine_link_name(&self, text, sizeof text), "X");
    for (int i = 0; i < TUG_LINK_CLASSES; i++)
        ck_assert_int_eq(tug_link_class_parse(tug_link_class_name((enum tug_link_class) i)), i);
    ck_assert_int_eq(tug_link_class_parse("PSB"), TUG_LINK_BOARD);
    ck_assert_int_eq(tug_link_class_parse("NV4"), -1);
}
END_TEST

START_TEST(a_machine_that_is_whole_passes)
{
    struct tug_machine *m = pair();
    struct tug_err err = {0};
    ck_assert_msg(tug_machine_check(m, &err) == 0, "%s", err.msg);
    free(m);
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
    struct tug_machine *m = pair();
    m->link[0][1].mbs = 25000;
    refused(m, "not symmetric: GPU 1 to GPU 0 is NV2 (50000 MB/s), GPU 0 to GPU 1 is NV2 (25000 MB/s)");
    m = pair();
    m->link[1][1].class = TUG_LINK_PIX;
    refused(m, "GPU 1 to itself is PIX");
    m = pair();
    m->link[1][0].class = m->link[0][1].class = TUG_LINK_SELF;
    refused(m, "GPU 1 to GPU 0 is X");
    m = pair();
    m->gpu[1].numa = 1;
    refused(m, "GPU 1 is at NUMA node 1; there are 1");
    m = pair();
    m->nic[0].numa = 7;
    refused(m, "NIC mlx5_0 is at NUMA node 7");
    m = pair();
    strcpy(m->nic[0].name, "e\n");
    refused(m, "NIC 0");
    m = pair();
    m->n_gpus = 65;
    refused(m, "65 GPUs");
    m = pair();
    m->nic_class[1][0] = TUG_LINK_SELF;
    refused(m, "GPU 1 to NIC 0");
}
END_TEST

START_TEST(machines_are_compared_as_hardware_and_the_first_loss_is_named)
{
    struct tug_machine *a = pair(), *b = pair();
    char text[200];
    strcpy(b->name, "other");
    ck_assert(tug_machine_equal(a, b));
    ck_assert_str_eq(tug_machine_difference(a, b, text, sizeof text), "");
    b->link[0][1].nvlinks = b->link[1][0].nvlinks = 1;
    b->link[0][1].mbs = b->link[1][0].mbs = 25000;
    ck_assert(!tug_machine_equal(a, b));
    ck_assert_str_eq(tug_machine_difference(a, b, text, sizeof text), "GPU 0 to GPU 1 was NV2 and is NV1");
    b->n_gpus = 1;
    ck_assert_str_eq(tug_machine_difference(a, b, text, sizeof text), "2 GPUs before, 1 now");
    free(a);
    free(b);
}
END_TEST

static struct tug_machine *pair_with_figures(void)
{
    struct tug_machine *m = pair();
    m->nic[0].is_ib = 1;
    m->nic[0].mbs = 25000;
    m->gpu[1].mem_mib = 16160;
    m->gpu[1].port_mbs = 50000;
    return m;
}

/* What 'now', which is freed, has less of than that. */
static void lost(struct tug_machine *now, const char *words)
{
    struct tug_machine *before = pair_with_figures();
    char text[200];
    ck_assert_str_eq(tug_machine_loss(before, now, text, sizeof text), words);
    free(before);
    free(now);
}

START_TEST(what_a_machine_has_less_of_than_before_is_named_and_nothing_else)
{
    struct tug_machine *m = pair_with_figures();
    lost(m, "");
    m = pair_with_figures();
    m->link[0][1].mbs = m->link[1][0].mbs = 46000; /* rounding */
    m->gpu[1].mem_mib = 15500;
    strcpy(m->gpu[0].model, "v100s");
    lost(m, "");
    m = pair_with_figures();
    m->link[0][1].mbs = m->link[1][0].mbs = 40000;
    lost(m, "GPU 0 to GPU 1 had 50000 MB/s and has 40000");
    m = pair_with_figures();
    m->link[0][1].nvlinks = m->link[1][0].nvlinks = 0;
    lost(m, "GPU 0 to GPU 1 was NV2 and is NODE");
    m = pair_with_figures();
    m->n_gpus = 1;
    lost(m, "2 GPUs before, 1 now");
    m = pair_with_figures();
    m->gpu[1].mem_mib = 8000;
    lost(m, "GPU 1 had 16160 MiB of memory and has 8000");
    m = pair_with_figures();
    m->gpu[1].port_mbs = 25000;
    lost(m, "GPU 1 could send 50000 MB/s and can send 25000");
    m = pair_with_figures();
    m->nic[0].mbs = 12500;
    lost(m, "mlx5_0 had 25000 MB/s and has 12500");
    m = pair_with_figures();
    strcpy(m->nic[0].name, "mlx5_1");
    lost(m, "mlx5_0 is gone or has no link");
}
END_TEST

/* In what 'is', which is freed, falls short of pair_with_figures(). */
static void falls_short(struct tug_machine *is, const char *words)
{
    struct tug_machine *wanted = pair_with_figures();
    char text[200];
    ck_assert_str_eq(tug_machine_shortfall(wanted, is, text, sizeof text), words);
    free(wanted);
    free(is);
}

START_TEST(a_machine_is_held_to_its_description_but_for_names_and_pcie)
{
    struct tug_machine *m = pair_with_figures();
    strcpy(m->nic[0].name, "rdmap0s1");
    m->link[0][1].class = m->link[1][0].class = TUG_LINK_SYS;
    m->link[0][1].mbs = m->link[1][0].mbs = 53124;
    m->gpu[1].port_mbs = 40000;
    falls_short(m, "");
    m = pair_with_figures();
    m->link[0][1].nvlinks = m->link[1][0].nvlinks = 1;
    falls_short(m, "GPU 0 to GPU 1 is NV1, NV2 is configured");
    m = pair_with_figures();
    m->link[0][1].mbs = m->link[1][0].mbs = 40000;
    falls_short(m, "GPU 0 to GPU 1 has 40000 MB/s, 50000 are configured");
    m = pair_with_figures();
    m->gpu[1].mem_mib = 12000;
    falls_short(m, "GPU 1 has 12000 MiB of memory, 16160 are configured");
    m = pair_with_figures();
    m->nic[0].is_ib = 0;
    falls_short(m, "0 verbs devices with a link, 1 are configured");
    m = pair_with_figures();
    m->nic[0].mbs = 12500;
    falls_short(m, "its verbs devices carry 12500 MB/s in all, 25000 are configured");
    m = pair_with_figures();
    m->nic[0].mbs = 0; /* not known */
    falls_short(m, "");
}
END_TEST

START_TEST(the_farther_the_slower)
{
    for (unsigned gen = 3; gen <= 6; gen++)
        for (int i = TUG_LINK_BOARD; i < TUG_LINK_SYS; i++)
            ck_assert_uint_ge(tug_link_class_mbs((enum tug_link_class) i, gen),
                              tug_link_class_mbs((enum tug_link_class) (i + 1), gen));
    ck_assert_uint_eq(tug_link_class_mbs(TUG_LINK_PIX, 4), 25200);
    ck_assert_uint_eq(tug_link_class_mbs(TUG_LINK_UNKNOWN, 4), 0);
}
END_TEST

UNIT_MAIN("base/machine", links_are_called_as_nvidia_smi_calls_them, a_machine_that_is_whole_passes, what_is_wrong_is_named,
          machines_are_compared_as_hardware_and_the_first_loss_is_named,
          what_a_machine_has_less_of_than_before_is_named_and_nothing_else,
          a_machine_is_held_to_its_description_but_for_names_and_pcie, the_farther_the_slower)
