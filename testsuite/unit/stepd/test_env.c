/* test_env.c - what ranks find in their environment */
#define _GNU_SOURCE /* sched_getaffinity(), CPU_COUNT() */
#include "unit.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "proto/machine.h"
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

static void all_there(struct drive *d, const char *const *names, size_t n, bool wanted)
{
    for (size_t i = 0; i < n; i++) {
        char want[64];
        snprintf(want, sizeof want, "\n%s=", names[i]);
        ck_assert_msg((strstr(drive_file(d, "env-1"), want) != NULL) == wanted, "launcher %d: %s is%s there",
                      (int) d->spec.launcher, names[i], wanted ? " not" : "");
    }
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

START_TEST(each_launcher_gives_its_own_names_and_no_others)
{
    static const struct {
        Tugpb__Launcher launcher;
        bool torch, mpi, nccl;
    } presets[] = {{TUGPB__LAUNCHER__LAUNCHER_AUTO, true, true, true},
                   {TUGPB__LAUNCHER__LAUNCHER_TORCH, true, false, true},
                   {TUGPB__LAUNCHER__LAUNCHER_PMIX, false, true, true},
                   {TUGPB__LAUNCHER__LAUNCHER_PLAIN, false, false, false}};
    static const char *const torch[] = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
                                        "GLOO_SOCKET_IFNAME"};
    static const char *const mpi[] = {"PMIX_RANK", "OMPI_MCA_schizo", "PMIX_MCA_gds", "HWLOC_COMPONENTS"};
    static const char *const nccl[] = {"NCCL_SOCKET_IFNAME", "NCCL_HOSTID", "NCCL_RAS_ADDR", "NCCL_DEBUG",
                                       "OMP_NUM_THREADS"};

    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        struct drive *d = printing(1, 2);
        d->spec.launcher = presets[i].launcher;
        d->inv.gpus = 2;
        d->pay.slices[0]->gpus = 3;
        drive_run(d);
        ck_assert_ptr_null(drive_cause(d));
        all_there(d, torch, sizeof torch / sizeof *torch, presets[i].torch);
        all_there(d, mpi, sizeof mpi / sizeof *mpi, presets[i].mpi);
        all_there(d, nccl, sizeof nccl / sizeof *nccl, presets[i].nccl);
        has(d, 1, "TUG_RANK=1"); /* whatever the launcher is */
        has(d, 1, "SLURM_PROCID=1");
        has(d, 1, "CUDA_DEVICE_ORDER=PCI_BUS_ID");
        has(d, 1, presets[i].launcher == TUGPB__LAUNCHER__LAUNCHER_TORCH ? "CUDA_VISIBLE_DEVICES=0,1"
                                                                       : "CUDA_VISIBLE_DEVICES=1");
        drive_free(d);
    }
}
END_TEST

START_TEST(what_a_launcher_leaves_alone_stays_as_the_user_set_it)
{
    struct drive *d = printing(1, 1);

    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_PLAIN;
    drive_env(d, "MASTER_ADDR=there"); /* of a launcher that the program has itself */
    drive_env(d, "RANK=9");
    drive_run(d);
    has(d, 0, "MASTER_ADDR=there");
    has(d, 0, "RANK=9");
    drive_free(d);

    d = printing(1, 1);
    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_PLAIN;
    drive_env(d, "TUG_JOB_ID=3"); /* submitted from within a job: these are that one's */
    drive_env(d, "MASTER_ADDR=there");
    drive_run(d);
    lacks(d, 0, "MASTER_ADDR");
    drive_free(d);
}
END_TEST

/* The value of 'name' in what 'rank' printed. */
static char *value_of(struct drive *d, unsigned rank, const char *name, char *out, size_t size)
{
    char file[32], want[64];
    const char *at;

    snprintf(file, sizeof file, "env-%u", rank);
    snprintf(want, sizeof want, "\n%s=", name);
    at = strstr(drive_file(d, file), want);
    ck_assert_msg(at != NULL, "rank %u lacks %s", rank, name);
    at += strlen(want);
    snprintf(out, size, "%.*s", (int) strcspn(at, "\n"), at);
    return out;
}

START_TEST(every_node_has_a_port_of_its_own_for_nccls_status)
{
    struct drive *d = printing(3, 2); /* on one host, as two steps on a node would be */
    char ports[6][64];

    d->inv.gpus = 2;
    for (int i = 0; i < 3; i++)
        d->pay.slices[i]->gpus = 3;
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    for (unsigned r = 0; r < 6; r++) {
        value_of(d, r, "NCCL_RAS_ADDR", ports[r], sizeof ports[r]);
        for (unsigned k = 0; k < r; k++)
            ck_assert_int_eq(strcmp(ports[k], ports[r]) == 0, k / 2 == r / 2);
    }
    drive_free(d);
}
END_TEST

START_TEST(defaults_of_a_job_around_this_one_are_not_taken_for_the_users_words)
{
    struct drive *d = printing(1, 2);
    char ras[64], defaults[1024], kv[1200];
    cpu_set_t cpus;

    d->inv.gpus = 2;
    d->pay.slices[0]->gpus = 3;
    drive_run(d);
    value_of(d, 1, "NCCL_RAS_ADDR", ras, sizeof ras);
    value_of(d, 1, "TUG_DEFAULTS", defaults, sizeof defaults);
    has(d, 1, "OMP_NUM_THREADS=1");
    drive_free(d);

    d = printing(1, 2); /* submitted from inside of that one */
    d->inv.gpus = 2;
    d->pay.slices[0]->gpus = 3;
    snprintf(kv, sizeof kv, "TUG_DEFAULTS=%s", defaults);
    drive_env(d, kv);
    drive_env(d, "NCCL_RAS_ADDR=localhost:1"); /* changed since */
    drive_env(d, "OMP_NUM_THREADS=1");
    drive_env(d, "NCCL_DEBUG=INFO"); /* the same */
    d->res.cpus_per_task = 2;
    d->pay.slices[0]->cpus = 4;
    drive_run(d);
    has(d, 1, "NCCL_RAS_ADDR=localhost:1");
    has(d, 1, "NCCL_DEBUG=INFO");
    ck_assert_int_eq(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    if (CPU_COUNT(&cpus) > 1)
        has(d, 1, "OMP_NUM_THREADS=2");
    drive_free(d);

    d = printing(1, 2);
    d->inv.gpus = 2;
    d->pay.slices[0]->gpus = 3;
    drive_env(d, kv);
    snprintf(kv, sizeof kv, "NCCL_RAS_ADDR=%s", ras);
    drive_env(d, kv);
    drive_run(d);
    ck_assert_str_ne(value_of(d, 1, "NCCL_RAS_ADDR", kv, sizeof kv), ras);
    drive_free(d);
}
END_TEST

START_TEST(torchs_flight_recorder_is_on_for_gangs_with_gpus)
{
    struct drive *d = printing(1, 2);
    char line[256];

    d->inv.gpus = 2;
    d->pay.slices[0]->gpus = 3;
    drive_run(d);
    has(d, 1, "TORCH_FR_BUFFER_SIZE=2000");
    has(d, 1, "TORCH_NCCL_DUMP_ON_TIMEOUT=1");
    snprintf(line, sizeof line, "TORCH_NCCL_DEBUG_INFO_TEMP_FILE=%s/tug-7.trace.", d->dir);
    has(d, 1, line);
    snprintf(line, sizeof line, "TORCH_NCCL_DEBUG_INFO_PIPE_FILE=%s/node0/fr_", d->dir);
    has(d, 1, line);
    lacks(d, 1, "NCCL_TOPO_FILE");
    lacks(d, 1, "NCCL_DEBUG_FILE");
    drive_free(d);
}
END_TEST

START_TEST(gpus_are_shared_out_among_the_ranks_of_a_node)
{
    struct drive *d = printing(1, 2);

    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_PLAIN;
    d->inv.gpus = 8;
    d->pay.slices[0]->gpus = 0xb4; /* 2, 4, 5, 7 */
    drive_run(d);
    has(d, 0, "CUDA_VISIBLE_DEVICES=2,4");
    has(d, 1, "CUDA_VISIBLE_DEVICES=5,7");
    has(d, 1, "CUDA_DEVICE_ORDER=PCI_BUS_ID");
    drive_free(d);

    d = printing(1, 2);
    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_PLAIN;
    d->inv.gpus = 8;
    d->res.gpus_per_task = 2;
    d->pay.slices[0]->gpus = 0xb4;
    d->pay.slices[0]->gpu_order = (ProtobufCBinaryData){4, (uint8_t[]){7, 2, 4, 5}};
    drive_run(d);
    has(d, 0, "CUDA_VISIBLE_DEVICES=7,2");
    has(d, 1, "CUDA_VISIBLE_DEVICES=4,5");
    drive_free(d);

    d = printing(1, 2);
    d->inv.gpus = 8;
    d->pay.slices[0]->gpus = 0xb4;
    drive_run(d);
    has(d, 1, "CUDA_VISIBLE_DEVICES=2,4,5,7");
    drive_free(d);

    d = printing(1, 2);
    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_PLAIN;
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
    d->pay.slices[0]->gpu_order = (ProtobufCBinaryData){2, (uint8_t[]){1, 0}};
    drive_run(d);
    has(d, 0, "CUDA_VISIBLE_DEVICES=GPU-bbbb,GPU-aaaa");
    has(d, 0, "NVIDIA_VISIBLE_DEVICES=GPU-bbbb,GPU-aaaa");
    lacks(d, 0, "NCCL_HOSTID");
    drive_free(d);

    d = printing(1, 1);
    d->inv.emulated = false;
    d->inv.gpus = d->inv.n_gpu_uuids = 2;
    d->inv.gpu_uuids = uuids;
    drive_env(d, "NVIDIA_VISIBLE_DEVICES=all"); /* submitted from within a container */
    drive_run(d);
    has(d, 0, "CUDA_VISIBLE_DEVICES=");
    has(d, 0, "NVIDIA_VISIBLE_DEVICES=void");
    drive_free(d);
}
END_TEST

START_TEST(slices_of_GPUs_are_named_by_UUID_and_each_rank_sees_its_own)
{
    struct drive *d = printing(1, 2);
    char *uuids[] = {"GPU-aaaa", "GPU-bbbb"};
    Tugpb__MigSlice parts[3] = {TUGPB__MIG_SLICE__INIT, TUGPB__MIG_SLICE__INIT, TUGPB__MIG_SLICE__INIT};
    Tugpb__MigSlice *mig[] = {&parts[0], &parts[1], &parts[2]};
    static const char *const names[] = {"MIG-1", "MIG-2", "MIG-3"};

    for (uint32_t i = 0; i < 3; i++) {
        parts[i].gpu = 1;
        parts[i].device = 4 - i; /* as the controller numbered them */
        parts[i].uuid = (char *) (uintptr_t) names[i];
    }
    d->inv.emulated = false;
    d->inv.gpus = d->inv.n_gpu_uuids = 2;
    d->inv.gpu_uuids = uuids;
    d->inv.n_mig = 3;
    d->inv.mig = mig;
    d->pay.slices[0]->gpus = 1 << 2 | 1 << 4;
    d->pay.slices[0]->mig_profile = (char *) (uintptr_t) "1g.10gb";
    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_TORCH; /* of whole GPUs each rank would see all */
    drive_run(d);
    has(d, 0, "CUDA_VISIBLE_DEVICES=MIG-3");
    has(d, 1, "CUDA_VISIBLE_DEVICES=MIG-1");
    has(d, 1, "NVIDIA_VISIBLE_DEVICES=MIG-1");
    d->inv.n_mig = 0;
    drive_free(d);
}
END_TEST

START_TEST(ranks_are_told_the_nics_next_to_their_gpus)
{
    struct drive *d = printing(1, 2);
    struct tug_machine *m = tug_new(struct tug_machine);
    struct tug_arena arena = {.budget_bytes = 1 << 20};

    m->n_gpus = m->n_nics = 2;
    for (int i = 0; i < 2; i++) {
        snprintf(m->nic[i].name, sizeof m->nic[i].name, "mlx5_%d", i);
        m->nic[i].is_ib = 1;
        m->gpu[i].numa = m->nic[i].numa = TUG_MACHINE_NO_NUMA;
        m->nic_class[i][i] = TUG_LINK_PIX;
        m->nic_class[i][1 - i] = TUG_LINK_SYS;
        m->link[i][i].class = TUG_LINK_SELF;
    }
    d->spec.launcher = TUGPB__LAUNCHER__LAUNCHER_AUTO;
    d->inv.emulated = false;
    d->inv.gpus = 2;
    d->inv.links = tug_machine_pb(&arena, m);
    d->pay.slices[0]->gpus = 3;
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    has(d, 0, "NCCL_IB_HCA==mlx5_0,mlx5_1");
    has(d, 0, "TUG_NIC=mlx5_0");
    has(d, 1, "TUG_NIC=mlx5_1");
    has(d, 1, "UCX_NET_DEVICES=mlx5_1:1");
    d->inv.links = NULL;
    drive_free(d);
    tug_arena_clear(&arena);
    free(m);
}
END_TEST

START_TEST(a_job_with_a_part_of_a_gpu_is_told_how_much)
{
    struct drive *d = printing(1, 2);
    struct tug_machine *m = tug_new(struct tug_machine);
    struct tug_arena arena = {.budget_bytes = 1 << 20};

    m->n_gpus = 2;
    for (int i = 0; i < 2; i++) {
        m->gpu[i].mem_mib = 80000;
        m->gpu[i].numa = TUG_MACHINE_NO_NUMA;
        m->link[i][i].class = TUG_LINK_SELF;
    }
    d->inv.gpus = 2;
    d->inv.links = tug_machine_pb(&arena, m);
    d->pay.slices[0]->gpus = 2;
    d->pay.slices[0]->gpu_milli = 500;
    drive_run(d);
    ck_assert_ptr_null(drive_cause(d));
    for (unsigned r = 0; r < 2; r++) { /* the two share the half */
        has(d, r, "CUDA_VISIBLE_DEVICES=1");
        has(d, r, "TUG_GPU_SHARE=0.5");
        has(d, r, "TUG_GPU_MEM_MIB=40000");
        has(d, r, "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=25");
        has(d, r, "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=20000M");
        has(d, r, "XLA_PYTHON_CLIENT_MEM_FRACTION=0.25");
    }
    d->inv.links = NULL;
    drive_free(d);
    tug_arena_clear(&arena);
    free(m);

    d = printing(1, 2);
    d->inv.gpus = 2;
    d->pay.slices[0]->gpus = 2;
    drive_run(d);
    lacks(d, 0, "TUG_GPU_SHARE");
    lacks(d, 0, "XLA_PYTHON_CLIENT_MEM_FRACTION");
    drive_free(d);
}
END_TEST

START_TEST(an_order_of_other_gpus_is_refused_and_said)
{
    struct drive *d = printing(1, 1);

    d->inv.gpus = 4;
    d->pay.slices[0]->gpus = 3;
    d->pay.slices[0]->gpu_order = (ProtobufCBinaryData){2, (uint8_t[]){1, 2}};
    drive_start(d);
    drive_until(d, drive_all_gone, "the step daemon to end");
    ck_assert(WIFEXITED(d->nodes[0].wait_status));
    ck_assert_int_ne(WEXITSTATUS(d->nodes[0].wait_status), 0);
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

UNIT_MAIN("stepd/env", ranks_get_torch_slurm_and_our_own_names,
          users_words_beat_defaults_and_stale_words_are_gone,
          each_launcher_gives_its_own_names_and_no_others,
          what_a_launcher_leaves_alone_stays_as_the_user_set_it,
          every_node_has_a_port_of_its_own_for_nccls_status,
          defaults_of_a_job_around_this_one_are_not_taken_for_the_users_words,
          torchs_flight_recorder_is_on_for_gangs_with_gpus,
          gpus_are_shared_out_among_the_ranks_of_a_node, real_gpus_are_named_by_uuid,
          slices_of_GPUs_are_named_by_UUID_and_each_rank_sees_its_own,
          ranks_are_told_the_nics_next_to_their_gpus,
          a_job_with_a_part_of_a_gpu_is_told_how_much,
          an_order_of_other_gpus_is_refused_and_said,
          rank_0_can_listen_on_the_rendezvous_port_at_once,
          a_reserved_port_is_passed_by_until_it_is_freed)
