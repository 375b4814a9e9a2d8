/* test_env.c - what ranks find in their environment */
#include "unit.h"

#include <unistd.h>

#include "stepd/bind.h"
#include "stepd/env.h"
#include "stepd/port.h"
#include "stepd/stepdrive.h"

/* Does the environment of 'rank', printed to env-RANK, have that line? */
static void has(struct drive *d, unsigned rank, const char *line)
{
    char name[32], want[512];
    const char *text;

    snprintf(name, sizeof name, "env-%u", rank);
    text = drive_file(d, name);
    snprintf(want, sizeof want, "\n%s\n", line);
    ck_assert_msg(strstr(text, want) || strncmp(text, want + 1, strlen(want) - 1) == 0,
                  "rank %u does not have %s, but:\n%s", rank, line, text);
}

static void lacks(struct drive *d, unsigned rank, const char *name_)
{
    char name[32], want[512];

    snprintf(name, sizeof name, "env-%u", rank);
    snprintf(want, sizeof want, "\n%s=", name_);
    ck_assert_msg(!strstr(drive_file(d, name), want), "rank %u has %s", rank, name_);
}

static struct drive *printing(unsigned nodes, unsigned tasks)
{
    struct drive *d = drive_new(nodes, tasks);

    d->spec.stdout_path = "env-%t";
    drive_argv(d, "env", NULL);
    return d;
}

START_TEST(ranks_get_torch_slurm_and_our_own_names)
{
    struct drive *d = printing(2, 2);
    char line[64];

    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    has(d, 3, "RANK=3");
    has(d, 3, "LOCAL_RANK=1");
    has(d, 3, "WORLD_SIZE=4");
    has(d, 3, "LOCAL_WORLD_SIZE=2");
    has(d, 3, "NODE_RANK=1");
    has(d, 3, "MASTER_ADDR=127.0.0.1");
    snprintf(line, sizeof line, "MASTER_PORT=%u", d->nodes[0].ready->master_port);
    has(d, 0, line);
    has(d, 3, line);
    has(d, 0, "GLOO_SOCKET_IFNAME=lo");
    has(d, 0, "NCCL_SOCKET_IFNAME==lo");
    has(d, 2, "NCCL_HOSTID=n01");
    has(d, 2, "TUG_JOB_ID=7");
    has(d, 2, "TUG_ATTEMPT=1");
    has(d, 2, "TUG_NODELIST=n[00-01]");
    has(d, 2, "TUG_JOB_TOKEN=token");
    has(d, 2, "SLURM_PROCID=2");
    has(d, 2, "SLURM_LOCALID=0");
    has(d, 2, "SLURM_NODEID=1");
    has(d, 2, "SLURM_TASKS_PER_NODE=2(x2)");
    has(d, 2, "SLURM_JOB_PARTITION=train");
    has(d, 2, "USER=tester");
    lacks(d, 2, "SLURM_RESTART_COUNT");
    lacks(d, 2, "OMPI_MCA_schizo"); /* a plain MPI program would die of it: only with PMIx */
    drive_free(d);
}
END_TEST

START_TEST(users_words_beat_defaults_and_stale_words_are_gone)
{
    struct drive *d = printing(1, 1);

    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_AUTO;
    d->key.attempt = 3;
    drive_env(d, "NCCL_SOCKET_IFNAME=ib0");
    drive_env(d, "OMP_NUM_THREADS=5");
    drive_env(d, "OMPI_MCA_pml=ucx");
    drive_env(d, "OMPI_MCA_ess=singleton");
    drive_env(d, "PMIX_RANK=77");
    drive_env(d, "SLURM_JOB_GPUS=3");
    drive_env(d, "RANK=9");
    drive_env(d, "TUG_JOB_ID=1");
    drive_env(d, "TUG_SANDBOX=/somewhere");
    drive_env(d, "MY OWN=x y");
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    has(d, 0, "NCCL_SOCKET_IFNAME=ib0");
    has(d, 0, "OMP_NUM_THREADS=5");
    has(d, 0, "OMPI_MCA_pml=ucx");
    has(d, 0, "OMPI_MCA_schizo=^orte");
    has(d, 0, "OMPI_MCA_btl_tcp_if_include=127.0.0.0/8");
    has(d, 0, "PMIX_RANK=0");
    has(d, 0, "RANK=0");
    has(d, 0, "TUG_JOB_ID=7");
    has(d, 0, "TUG_SANDBOX=/somewhere");
    has(d, 0, "MY OWN=x y");
    has(d, 0, "SLURM_RESTART_COUNT=2");
    lacks(d, 0, "OMPI_MCA_ess");
    lacks(d, 0, "SLURM_JOB_GPUS");
    lacks(d, 0, "HWLOC_SYNTHETIC");
    drive_free(d);
}
END_TEST

START_TEST(gpus_are_shared_out_among_the_ranks_of_a_node)
{
    struct drive *d = printing(1, 2);

    d->inv.gpus = 8;
    d->pay.slices[0]->gpus = 0xb4; /* 2, 4, 5, 7 */
    drive_run(d);
    has(d, 0, "CUDA_VISIBLE_DEVICES=2,4");
    has(d, 1, "CUDA_VISIBLE_DEVICES=5,7");
    has(d, 1, "CUDA_DEVICE_ORDER=PCI_BUS_ID");
    drive_free(d);

    d = printing(1, 2);
    d->inv.gpus = 8;
    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_TORCH;
    d->pay.slices[0]->gpus = 0xb4;
    drive_run(d);
    has(d, 1, "CUDA_VISIBLE_DEVICES=2,4,5,7");
    drive_free(d);

    d = printing(1, 2);
    d->inv.gpus = 8;
    drive_run(d);
    has(d, 1, "CUDA_VISIBLE_DEVICES=");
    drive_free(d);
}
END_TEST

START_TEST(real_gpus_are_named_by_uuid)
{
    struct drive *d = printing(1, 1);
    char *uuids[] = {"GPU-aaaa", "GPU-bbbb"};

    d->inv.emulated = false;
    d->inv.gpus = d->inv.n_gpu_uuids = 2;
    d->inv.gpu_uuids = uuids;
    d->pay.slices[0]->gpus = 3;
    drive_run(d);
    has(d, 0, "CUDA_VISIBLE_DEVICES=GPU-aaaa,GPU-bbbb");
    lacks(d, 0, "NCCL_HOSTID");
    drive_free(d);
}
END_TEST

START_TEST(rank_0_can_listen_on_the_rendezvous_port_at_once)
{
    struct drive *d = drive_new(1, 1);

    drive_argv(d, "/usr/bin/python3", "-c",
               "import os, socket\ns = socket.create_server(('', "
               "int(os.environ['MASTER_PORT'])))\nprint('listening')",
               NULL);
    drive_run(d);
    ck_assert_str_eq(drive_output(d), "listening\n");
    ck_assert_uint_ge(d->nodes[0].ready->master_port, 61000);
    drive_free(d);
}
END_TEST

START_TEST(a_reserved_port_is_passed_by_until_it_is_freed)
{
    struct tug_port *ports[400];

    for (int i = 0; i < 400; i++) {
        ck_assert_int_eq(tug_port_reserve(&ports[i], NULL), 0);
        tug_port_release(ports[i]); /* ranks run: the lock alone must keep others away */
        for (int k = 0; k < i; k++)
            ck_assert_uint_ne(tug_port_number(ports[i]), tug_port_number(ports[k]));
        ck_assert_uint_eq(tug_port_number(ports[i]) % 2, 0);
    }
    for (int i = 0; i < 400; i++)
        tug_port_free(ports[i]);
}
END_TEST

/* A payload without any process: one node, 'ranks' ranks, these CPUs. */
static struct tug_payload bare(unsigned ranks, uint8_t *mask, Tugpb__StepPayload *pb,
                               Tugpb__JobSpec *spec, Tugpb__Slice *slice)
{
    struct tug_payload p = {.pb = pb,
                            .spec = spec,
                            .slice = slice,
                            .node = "n",
                            .address = "",
                            .n_nodes = 1,
                            .ntasks = ranks,
                            .n_local = ranks,
                            .n_ranks = ranks};

    tugpb__step_payload__init(pb);
    tugpb__job_spec__init(spec);
    tugpb__slice__init(slice);
    slice->cpu_mask.data = mask;
    slice->cpu_mask.len = 1;
    return p;
}

static unsigned bits(const cpu_set_t *s)
{
    unsigned b = 0;

    for (unsigned i = 0; i < 8; i++)
        b |= (unsigned) (CPU_ISSET(i, s) != 0) << i;
    return b;
}

START_TEST(cpus_are_split_evenly_and_next_to_the_ranks_gpus)
{
    Tugpb__StepPayload pb;
    Tugpb__JobSpec spec;
    Tugpb__Slice slice;
    Tugpb__Inventory inv = TUGPB__INVENTORY__INIT;
    uint8_t mask[] = {0xff}, none[] = {0}, node0[] = {0x0f}, node1[] = {0xf0};
    uint32_t numa[] = {1, 0};
    ProtobufCBinaryData cpus[] = {{1, node0}, {1, node1}};
    struct tug_payload p = bare(2, mask, &pb, &spec, &slice);
    cpu_set_t s;

    ck_assert(tug_bind_rank(&p, 0, &s));
    ck_assert_uint_eq(bits(&s), 0x0f);
    ck_assert(tug_bind_rank(&p, 1, &s));
    ck_assert_uint_eq(bits(&s), 0xf0);

    inv.gpus = 2; /* GPU 0 sits on NUMA node 1 */
    inv.n_gpu_numa = inv.n_numa_cpus = 2;
    inv.gpu_numa = numa;
    inv.numa_cpus = cpus;
    slice.gpus = 3;
    p.inv = &inv;
    ck_assert(tug_bind_rank(&p, 0, &s));
    ck_assert_uint_eq(bits(&s), 0xf0);
    ck_assert(tug_bind_rank(&p, 1, &s));
    ck_assert_uint_eq(bits(&s), 0x0f);

    slice.cpu_mask.data = none;
    ck_assert(!tug_bind_rank(&p, 0, &s)); /* no mask: not bound */
}
END_TEST

START_TEST(more_ranks_than_cpus_share_all_of_them)
{
    Tugpb__StepPayload pb;
    Tugpb__JobSpec spec;
    Tugpb__Slice slice;
    uint8_t mask[] = {0x03};
    struct tug_payload p = bare(5, mask, &pb, &spec, &slice);
    cpu_set_t s;

    ck_assert(tug_bind_rank(&p, 4, &s));
    ck_assert_uint_eq(bits(&s), 0x03);
}
END_TEST

UNIT_MAIN("stepd/env", ranks_get_torch_slurm_and_our_own_names,
          users_words_beat_defaults_and_stale_words_are_gone,
          gpus_are_shared_out_among_the_ranks_of_a_node, real_gpus_are_named_by_uuid,
          rank_0_can_listen_on_the_rendezvous_port_at_once,
          a_reserved_port_is_passed_by_until_it_is_freed,
          cpus_are_split_evenly_and_next_to_the_ranks_gpus, more_ranks_than_cpus_share_all_of_them)
