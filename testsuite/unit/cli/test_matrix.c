/* test_matrix.c - a machine is shown as people know it from nvidia-smi. Layer: tests. */
#include "unit.h"

#include "base/mem.h"
#include "cli/matrix.h"

/* Two sockets with two GPUs and a NIC each; NVLinks between the two of a socket. */
static struct tug_machine *pairs(void)
{
    struct tug_machine *m = tug_new(struct tug_machine);
    m->n_gpus = 4;
    m->n_nics = 2;
    m->n_numa = 2;
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(m->nic[i].name, sizeof m->nic[i].name, "mlx5_%u", i);
        m->nic[i].numa = i;
        m->nic[i].mbs = 25000;
        m->nic[i].is_ib = 1;
    }
    for (uint32_t i = 0; i < 4; i++) {
        strcpy(m->gpu[i].model, "a40");
        m->gpu[i].mem_mib = 46068;
        m->gpu[i].numa = i / 2;
        for (uint32_t k = 0; k < 4; k++)
            m->link[i][k] = i == k           ? (struct tug_machine_link){TUG_LINK_SELF, 0, 0}
                            : i / 2 == k / 2 ? (struct tug_machine_link){TUG_LINK_NODE, 4, 56250}
                                             : (struct tug_machine_link){TUG_LINK_SYS, 0, 10000};
        for (uint32_t k = 0; k < 2; k++)
            m->nic_class[i][k] = i / 2 == k ? TUG_LINK_PHB : TUG_LINK_SYS;
    }
    return m;
}

static void prints(struct tug_machine *m, const struct tug_matrix_more *more, const char *text)
{
    struct tug_buf out = {0};
    tug_matrix_print(m, more, false, &out);
    ck_assert_str_eq(tug_buf_str(&out), text);
    tug_buf_clear(&out);
    free(m);
}

START_TEST(a_matrix_has_a_row_for_each_gpu_and_explains_what_occurs_in_it)
{
    prints(pairs(), NULL,
           "4 x a40 (45G), 2 NICs, 2 NUMA nodes\n"
           "      GPU0  GPU1  GPU2  GPU3  NIC0  NIC1  NUMA\n"
           "GPU0  X     NV4   SYS   SYS   PHB   SYS   0\n"
           "GPU1  NV4   X     SYS   SYS   PHB   SYS   0\n"
           "GPU2  SYS   SYS   X     NV4   SYS   PHB   1\n"
           "GPU3  SYS   SYS   NV4   X     SYS   PHB   1\n"
           "NV4   4 NVLinks, 56.25GB/s\n"
           "SYS   the link between NUMA nodes, 10GB/s\n"
           "PHB   the host bridge of a CPU\n"
           "NIC0  mlx5_0, 25GB/s, NUMA node 0\n"
           "NIC1  mlx5_1, 25GB/s, NUMA node 1\n");
}
END_TEST

START_TEST(cpus_stand_beside_their_numa_node_and_a_lost_gpu_is_named)
{
    const char *cpus[] = {"0-15,32-47", ""};
    const struct tug_matrix_more more = {.numa_cpus = cpus, .lost = 1u << 1};
    struct tug_machine *m = pairs();
    m->n_gpus = 3;
    m->n_nics = 1;
    m->nic[0] = (struct tug_machine_nic){.name = "eth0", .numa = TUG_MACHINE_NO_NUMA};
    for (int i = 0; i < 3; i++)
        if (i != 1)
            m->link[1][i] = m->link[i][1] = (struct tug_machine_link){TUG_LINK_UNKNOWN, 0, 0};
    m->gpu[1].numa = TUG_MACHINE_NO_NUMA;
    prints(m, &more,
           "3 x a40 (45G), 1 NIC, 2 NUMA nodes\n"
           "      GPU0  GPU1  GPU2  NIC0  NUMA  CPUS\n"
           "GPU0  X     ?     SYS   PHB   0     0-15,32-47\n"
           "GPU1  ?     lost  ?     PHB   -     -\n"
           "GPU2  SYS   ?     X     SYS   1     -\n"
           "SYS   the link between NUMA nodes, 10GB/s\n"
           "PHB   the host bridge of a CPU\n"
           "?     not known\n"
           "NIC0  eth0, no RDMA\n");
}
END_TEST

START_TEST(bandwidths_of_one_word_that_differ_are_given_as_a_range)
{
    struct tug_machine *m = pairs();
    m->n_gpus = 3;
    m->n_nics = 0;
    m->nvswitch = 1;
    strcpy(m->name, "odd");
    strcpy(m->gpu[2].model, "a100");
    m->link[0][2].mbs = m->link[2][0].mbs = 8000;
    prints(m, NULL,
           "odd: 2 x a40 (45G) + 1 x a100 (45G), NVSwitch, 0 NICs, 2 NUMA nodes\n"
           "      GPU0  GPU1  GPU2  NUMA\n"
           "GPU0  X     NV4   SYS   0\n"
           "GPU1  NV4   X     SYS   0\n"
           "GPU2  SYS   SYS   X     1\n"
           "NV4   4 NVLinks to the switches, 56.25GB/s\n"
           "SYS   the link between NUMA nodes, 8GB/s to 10GB/s\n");
}
END_TEST

START_TEST(a_machine_without_gpus_has_no_matrix)
{
    struct tug_machine *m = pairs();
    m->n_gpus = 0;
    m->n_numa = 1;
    prints(m, NULL, "no GPU, 2 NICs, 1 NUMA node\n"
                    "NIC0  mlx5_0, 25GB/s, NUMA node 0\n"
                    "NIC1  mlx5_1, 25GB/s, NUMA node 1\n");
}
END_TEST

UNIT_MAIN("cli/matrix", a_matrix_has_a_row_for_each_gpu_and_explains_what_occurs_in_it,
          cpus_stand_beside_their_numa_node_and_a_lost_gpu_is_named,
          bandwidths_of_one_word_that_differ_are_given_as_a_range, a_machine_without_gpus_has_no_matrix)
