/* test_admit.c - what a request becomes, and every sentence with which one is refused */
#include <errno.h>

#include "world.h"

static struct world w;
#define GIB (1ULL << 30)

/* n0..n3: 4 GPUs, 16 CPUs, 64 GiB; n4, n5: 8 GPUs A100, 32 CPUs, 128 GiB. Queues: all; short (1 h,
 * default 10 min); big (n4, n5 only); vip (ann and bob only, no limit). */
static void setup(void)
{
    w_init(&w, 6, 4);
    for (int i = 4; i < 6; i++) {
        w.rows[i].gpus = 8;
        w.rows[i].cpus = 32;
        w.rows[i].mem_bytes = 128 * GIB;
        w.rows[i].gpu_model = "NVIDIA A100";
    }
    for (int i = 0; i < 4; i++)
        w.rows[i].gpu_model = "NVIDIA L4";
    w.queues[0].max_time_s = 72 * 3600;
    w.queues[1] = (struct tug_core_queue){
        .name = "short", .nodes = "", .max_time_s = 3600, .default_time_s = 600};
    w.queues[2] = (struct tug_core_queue){.name = "big", .nodes = "n[4-5]", .max_time_s = 3600};
    w.queues[3] = (struct tug_core_queue){.name = "vip", .nodes = "", .allow_users = "ann,bob"};
    w_open(&w);
}

static struct tug_job_req blank(void)
{
    return (struct tug_job_req){.uid = 1, .user = "eve", .queue = ""};
}

#define ASK(...)                                                                                   \
    (struct tug_core_ask)                                                                          \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

START_TEST(what_was_not_said_is_filled_in)
{
    const struct {
        struct tug_core_ask ask;
        uint32_t nodes, ntasks, cpus, gpus;
        uint64_t mem;
    } table[] = {
        {ASK(.nodes = 0), 1, 1, 1, 0, 0},
        {ASK(.nodes = 3), 3, 3, 1, 0, 0},
        {ASK(.nodes = 2, .tasks_per_node = 4, .cpus_per_task = 2), 2, 8, 8, 0, 0},
        {ASK(.ntasks = 8, .tasks_per_node = 4), 2, 8, 4, 0, 0},
        {ASK(.ntasks = 16), 1, 16, 16, 0, 0},
        {ASK(.ntasks = 64), 2, 64, 32, 0, 0},
        {ASK(.ntasks = 5, .nodes = 2), 2, 5, 3, 0, 0},
        {ASK(.gpus = 1), 1, 1, 1, 1, 0},
        {ASK(.gpus = 8), 1, 1, 1, 8, 0},
        {ASK(.gpus = 16), 2, 2, 1, 8, 0},
        {ASK(.gpus = 24), 6, 6, 1, 4, 0},
        {ASK(.gpus = 12, .gpus_per_task = 3), 2, 4, 2, 6, 0},
        {ASK(.gpus = 12, .tasks_per_node = 2), 2, 4, 2, 6, 0},
        {ASK(.gpus = 12, .nodes = 2), 2, 2, 1, 6, 0},
        {ASK(.gpus = 8, .nodes = 4), 4, 4, 1, 2, 0},
        {ASK(.gpus = 8, .gpus_per_node = 4), 2, 2, 1, 4, 0},
        {ASK(.gpus = 8, .gpus_per_task = 1), 1, 8, 8, 8, 0},
        {ASK(.gpus = 16, .gpus_per_task = 1, .cpus_per_task = 4), 2, 16, 32, 8, 0},
        {ASK(.nodes = 2, .gpus_per_node = 4, .gpus_per_task = 2), 2, 4, 2, 4, 0},
        {ASK(.ntasks = 4, .gpus_per_task = 2), 1, 4, 4, 8, 0},
        {ASK(.nodes = 2, .tasks_per_node = 2, .gpus_per_task = 1), 2, 4, 2, 2, 0},
        {ASK(.nodes = 1, .mem_per_node_bytes = 3 * GIB), 1, 1, 1, 0, 3 * GIB},
        {ASK(.nodes = 1, .ntasks = 4, .cpus_per_task = 2, .mem_per_cpu_bytes = GIB), 1, 4, 8, 0,
         8 * GIB},
    };
    setup();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct tug_job_req r = blank();
        int rc = tug_core_admit(w.c, &table[i].ask, &r, &w.err);
        ck_assert_msg(rc == 0, "row %zu: %s", i, w.err.msg);
        ck_assert_msg(r.nodes == table[i].nodes && r.ntasks == table[i].ntasks &&
                          r.cpus_per_node == table[i].cpus && r.gpus_per_node == table[i].gpus &&
                          r.mem_per_node_bytes == table[i].mem && !r.gpus_last && !r.cpus_last,
                      "row %zu: %u nodes %u tasks %u CPUs %u GPUs", i, r.nodes, r.ntasks,
                      r.cpus_per_node, r.gpus_per_node);
        ck_assert_str_eq(r.queue, "all");
        ck_assert_uint_eq(r.time_limit_s, 72 * 3600);
        ck_assert_str_eq(r.account, "");
    }
    w_clear(&w);
}
END_TEST

START_TEST(gpus_that_do_not_fill_the_nodes_leave_a_smaller_slice_on_the_last)
{
    const struct {
        struct tug_core_ask ask;
        uint32_t nodes, ntasks, cpus, gpus, cpus_last, gpus_last;
        uint64_t mem;
    } table[] = {
        {ASK(.gpus = 12), 2, 2, 1, 8, 1, 4, 0},
        {ASK(.gpus = 13), 2, 2, 1, 8, 1, 5, 0},
        {ASK(.gpus = 17), 3, 3, 1, 8, 1, 1, 0},
        {ASK(.gpus = 21), 6, 6, 1, 4, 1, 1, 0}, /* only two nodes have 8 */
        {ASK(.gpus = 12, .ntasks = 12, .cpus_per_task = 2), 2, 12, 16, 8, 8, 4, 0},
        {ASK(.gpus = 12, .gpus_per_task = 1), 2, 12, 8, 8, 4, 4, 0},
        {ASK(.gpus = 12, .ntasks = 3, .mem_per_cpu_bytes = GIB), 2, 3, 2, 8, 1, 4, 2 * GIB},
    };
    setup();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct tug_job_req r = blank();
        int rc = tug_core_admit(w.c, &table[i].ask, &r, &w.err);
        ck_assert_msg(rc == 0, "row %zu: %s", i, w.err.msg);
        ck_assert_msg(r.nodes == table[i].nodes && r.ntasks == table[i].ntasks &&
                          r.cpus_per_node == table[i].cpus && r.gpus_per_node == table[i].gpus &&
                          r.cpus_last == table[i].cpus_last &&
                          r.gpus_last == table[i].gpus_last && r.mem_per_node_bytes == table[i].mem,
                      "row %zu: %u nodes %u tasks %u CPUs %u GPUs, %u CPUs %u GPUs on the last", i,
                      r.nodes, r.ntasks, r.cpus_per_node, r.gpus_per_node, r.cpus_last,
                      r.gpus_last);
    }
    w_clear(&w);
}
END_TEST

static struct tug_job_req with(const char *queue, uint32_t time_limit_s, const char *nodelist,
                               const char *exclude, const char *model)
{
    struct tug_job_req r = blank();
    r.queue = queue;
    r.time_limit_s = time_limit_s;
    r.nodelist = nodelist;
    r.exclude = exclude;
    r.gpu_model = model;
    return r;
}

START_TEST(what_cannot_be_is_refused_with_what_could)
{
    const struct {
        struct tug_core_ask ask;
        struct tug_job_req req;
        int rc;
        const char *says;
    } table[] = {
        {ASK(0), with("bug", 0, "", "", ""), -ENOENT,
         "there is no queue 'bug'; did you mean 'big'?"},
        {ASK(0), with("gpu-queue", 0, "", "", ""), -ENOENT,
         "there is no queue 'gpu-queue'; there are: 'all', 'short', 'big', 'vip'"},
        {ASK(0), with("vip", 0, "", "", ""), -EPERM,
         "queue 'vip' does not take jobs of user 'eve'; use queue 'all'"},
        {ASK(0), with("short", 90 * 60, "", "", ""), -EINVAL,
         "time limit 01:30:00 is over queue 'short's 01:00:00; ask for less or use queue 'all'"},
        {ASK(0), with("all", 90 * 3600, "", "", ""), -EINVAL,
         "time limit 3-18:00:00 is over queue 'all's 3-00:00:00, and no queue allows more"},
        {ASK(.nodes = 7), blank(), -EINVAL,
         "a gang of 7 nodes is wider than queue 'all', which has 6"},
        {ASK(.nodes = 3), with("big", 0, "", "", ""), -EINVAL,
         "a gang of 3 nodes is wider than queue 'big', which has 2"},
        {ASK(.gpus_per_node = 9), blank(), -EINVAL,
         "9 GPUs per node were asked for, but the largest node has 8 (n4); ask for at most 8 per "
         "node and more nodes"},
        {ASK(.gpus_per_node = 8), with("all", 0, "n[0-3]", "", ""), -EINVAL,
         "the largest node that the job may use has 4 (n0)"},
        {ASK(.gpus_per_node = 9), with("big", 0, "", "", ""), -EINVAL,
         "the largest node of queue 'big' has 8 (n4)"},
        {ASK(.nodes = 3, .gpus_per_node = 8), blank(), -EINVAL,
         "3 nodes were asked for, but only 2 of queue 'all' that the job may use have 8 GPUs and 1 "
         "CPUs"},
        {ASK(.cpus_per_task = 33), blank(), -EINVAL,
         "33 CPUs per node were asked for (1 task with 33 each), but the largest node has 32 (n4)"},
        {ASK(.mem_per_node_bytes = 129 * GIB), blank(), -EINVAL,
         "129G of memory per node were asked for, but the largest node has 128G (n4)"},
        {ASK(.nodes = 1, .mem_per_node_bytes = GIB, .mem_per_cpu_bytes = GIB), blank(), -EINVAL,
         "memory per node and memory per CPU exclude each other"},
        {ASK(.nodes = 4, .ntasks = 2), blank(), -EINVAL,
         "4 nodes were asked for, but only 2 tasks; ask for at most 2 nodes or at least 4 tasks"},
        {ASK(.nodes = 2, .ntasks = 10, .tasks_per_node = 4), blank(), -EINVAL,
         "10 tasks do not fit on 2 nodes with 4 tasks per node; ask for 3 nodes"},
        {ASK(.nodes = 4, .gpus = 10), blank(), -EINVAL,
         "10 GPUs cannot be shared equally by 4 nodes; ask for 8 or 12"},
        {ASK(.nodes = 4, .gpus = 3), blank(), -EINVAL,
         "3 GPUs cannot be shared equally by 4 nodes; ask for 4"},
        {ASK(.gpus = 10, .gpus_per_node = 4), blank(), -EINVAL,
         "10 GPUs are not a multiple of 4 GPUs per node; ask for 8 or 12"},
        {ASK(.gpus = 5, .gpus_per_task = 2), blank(), -EINVAL,
         "5 GPUs cannot be given to tasks of 2 GPUs each; ask for a multiple of 2"},
        {ASK(.nodes = 2, .gpus = 16, .gpus_per_node = 4), blank(), -EINVAL,
         "16 GPUs in all contradict 4 GPUs per node on 2 nodes (8)"},
        {ASK(.gpu_milli = 500, .gpus = 1), blank(), -EINVAL,
         "--gpu-share gives a part of one GPU and contradicts --gpus; say one of them"},
        {ASK(.gpu_milli = 500, .gpus_per_task = 1), blank(), -EINVAL, "contradicts --gpus-per-task"},
        {ASK(.gpu_milli = 500, .nodes = 2), blank(), -EINVAL, "2 nodes were asked for"},
        {ASK(.gpu_milli = 1000), blank(), -EINVAL, "1000/1000 is no part of a GPU; ask for --gpus=1"},
        {ASK(.ntasks = 4, .gpus = 16, .gpus_per_task = 2), blank(), -EINVAL,
         "16 GPUs in all contradict 4 tasks with 2 GPUs each (8)"},
        {ASK(.nodes = 1, .ntasks = 4, .gpus_per_node = 4, .gpus_per_task = 2), blank(), -EINVAL,
         "4 tasks per node with 2 GPUs each need 8 GPUs per node; 4 were asked for"},
        {ASK(.gpus = 64), blank(), -EINVAL,
         "no number of nodes of queue 'all' holds 64 GPUs, in equal shares or with a smaller one on "
         "the last"},
        {ASK(.ntasks = 1000), blank(), -EINVAL, "do not hold 1000 tasks with 1 CPU each"},
        {ASK(.nodes = 1, .gpus_per_node = 65), blank(), -EINVAL, "no node can have more than 64"},
        {ASK(.nodes = 3), with("all", 0, "n[0-1]", "", ""), -EINVAL,
         "3 nodes were asked for, but the node list has 2"},
        {ASK(.nodes = 6), with("all", 0, "", "n0", ""), -EINVAL,
         "6 nodes were asked for, but the job may use only 5 of queue 'all's 6"},
        {ASK(0), with("all", 0, "n9", "", ""), -ENOENT,
         "node list: there is no node 'n9'; did you mean 'n0'?"},
        {ASK(0), with("all", 0, "n[", "", ""), -EINVAL, "node list: "},
        {ASK(0), with("big", 0, "n1", "", ""), -EINVAL,
         "node list: node 'n1' is not in queue 'big'"},
        {ASK(0), with("all", 0, "", "gpu77", ""), -ENOENT,
         "excluded nodes: there is no node 'gpu77'"},
        {ASK(0), with("big", 0, "", "n[4-5]", ""), -EINVAL,
         "every node that the job could use is excluded"},
        {ASK(0), with("all", 0, "", "", "H200"), -EINVAL,
         "no node of queue 'all' that the job may use has GPUs 'H200'; there are: 'NVIDIA L4', "
         "'NVIDIA A100'"},
        {ASK(.gpus_per_node = 8), with("all", 0, "", "", "l4"), -EINVAL,
         "the largest node that the job may use has 4 (n0)"},
    };
    setup();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct tug_job_req r = table[i].req;
        memset(&w.err, 0, sizeof w.err);
        unit_fails(tug_core_admit(w.c, &table[i].ask, &r, &w.err), table[i].rc, w.err,
                   table[i].says);
        ck_assert_msg(memcmp(&r, &table[i].req, sizeof r) == 0, "row %zu: the request was changed",
                      i);
    }
    w_clear(&w);
}
END_TEST

START_TEST(a_node_list_alone_means_those_nodes_and_users_get_into_their_queue)
{
    setup();
    struct tug_job_req r = with("vip", 0, "n[0-2]", "", "");
    r.user = "bob";
    ck_assert_int_eq(tug_core_admit(w.c, &ASK(0), &r, &w.err), 0);
    ck_assert_uint_eq(r.nodes, 3);
    ck_assert_uint_eq(r.time_limit_s, 0);
    r = with("short", 0, "", "", "a100");
    ck_assert_int_eq(tug_core_admit(w.c, &ASK(.gpus = 16), &r, &w.err), 0);
    ck_assert_uint_eq(r.nodes, 2);
    ck_assert_uint_eq(r.time_limit_s, 600);
    w_clear(&w);
}
END_TEST

START_TEST(nodes_that_never_came_and_of_which_nothing_is_configured_could_hold_anything)
{
    w_init(&w, 2, 8);
    for (int i = 0; i < 2; i++)
        w.rows[i] = (struct tug_core_node_row){.name = w.names[i]};
    w_open(&w);
    struct tug_job_req r = blank();
    ck_assert_int_eq(tug_core_admit(w.c,
                                    &ASK(.nodes = 2, .gpus_per_node = 8, .mem_per_node_bytes = GIB),
                                    &r, &w.err),
                     0);
    r = blank();
    r.gpu_model = "h200";
    ck_assert_int_eq(tug_core_admit(w.c, &ASK(.gpus_per_node = 8), &r, &w.err), 0);
    w.rows[0].gpus = w.rows[1].gpus = 2;
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_int_eq(w_event(&w, (struct tug_event){.type = TUG_EV_NODE_UP,
                                                        .node = i,
                                                        .inventory = {4, 2, GIB, ""}}),
                         0);
    r = blank();
    unit_fails(tug_core_admit(w.c, &ASK(.gpus_per_node = 8), &r, &w.err), -EINVAL, w.err,
               "the largest node has 2 (n0)");
    w_clear(&w);
}
END_TEST

UNIT_MAIN("core/admit", what_was_not_said_is_filled_in,
          gpus_that_do_not_fill_the_nodes_leave_a_smaller_slice_on_the_last, what_cannot_be_is_refused_with_what_could,
          a_node_list_alone_means_those_nodes_and_users_get_into_their_queue,
          nodes_that_never_came_and_of_which_nothing_is_configured_could_hold_anything)
