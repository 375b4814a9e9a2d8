/* test_topo.c - what a machine has: CPUs and memory from hwloc */
#include <errno.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#include "host/topo.h"

START_TEST(the_cpus_are_those_that_this_process_may_use)
{
    struct tug_topo t;
    struct tug_err err = {0};
    cpu_set_t set;
    ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
    ck_assert_msg(tug_topo_load(&t, NULL, &err) == 0, "%s", err.msg);
    ck_assert_int_ge(t.cpus, CPU_COUNT(&set));
    ck_assert_int_le(t.cpus, sysconf(_SC_NPROCESSORS_CONF));
    ck_assert_uint_gt(t.mem_bytes, 1 << 20);
    unsigned in_numa = 0;
    for (uint32_t i = 0; i < t.n_numa; i++)
        for (uint32_t b = 0; b < t.mask_bytes; b++)
            in_numa += (unsigned) __builtin_popcount(t.numa_cpus[i][b]);
    ck_assert_int_eq(in_numa, t.cpus);
}
END_TEST

START_TEST(the_topology_file_is_whole_and_readable_by_all)
{
    struct tug_topo t, again;
    struct tug_err err = {0};
    struct stat st;
    char dir[] = "/tmp/tug-topo-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/topology.xml", dir);
    ck_assert_msg(tug_topo_load(&t, path, &err) == 0, "%s", err.msg);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0644);
    setenv("HWLOC_XMLFILE", path, 1);
    ck_assert_msg(tug_topo_load(&again, NULL, &err) == 0, "%s", err.msg);
    ck_assert_int_eq(again.cpus, t.cpus);
    ck_assert_uint_eq(again.mem_bytes, t.mem_bytes);
    unsetenv("HWLOC_XMLFILE");
    ck_assert_int_lt(tug_topo_load(&again, "/nonexistent/x.xml", &err), 0);
    ck_assert_ptr_nonnull(strstr(err.msg, "/nonexistent/x.xml"));
    unlink(path);
    rmdir(dir);
}
END_TEST

UNIT_MAIN("host/topo", the_cpus_are_those_that_this_process_may_use, the_topology_file_is_whole_and_readable_by_all)
