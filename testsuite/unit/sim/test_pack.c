/* test_pack.c - pods come in a random order, are tried once, and stay */
#include <unistd.h>

#include "base/str.h"
#include "sim/pack.h"
#include "unit.h"

#define NODES "sn,cpu_milli,memory_mib,gpu,model\n"
#define PODS  "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\n"

static char dir[] = "/tmp/test_pack.XXXXXX";

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

/* What it printed, on stdout and stderr. */
static const char *packed(const char *nodes, const char *pods, const char *score, const char *seed,
                          int *status)
{
    static char said[1024];
    char n[128], p[128], out[128], param[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    put("nodes", nodes);
    put("pods", pods);
    snprintf(n, sizeof n, "%s/nodes", dir);
    snprintf(p, sizeof p, "%s/pods", dir);
    snprintf(out, sizeof out, "%s/out", dir);
    snprintf(param, sizeof param, "score=%s", score);
    const char *argv[] = {"pack",    "--nodes", n,        "--pods", p,
                          "--param", param,     "--seed", seed,     "--policy-dir",
                          "plugins", "--json",  NULL};
    ck_assert_ptr_nonnull(freopen(out, "w", stdout));
    ck_assert_ptr_nonnull(freopen(out, "a", stderr));
    *status = tug_pack_main(12, (char **) (uintptr_t) argv);
    fflush(stdout);
    fflush(stderr);
    FILE *f = fopen(out, "r");
    size_t len = fread(said, 1, sizeof said - 1, f);
    said[len] = '\0';
    fclose(f);
    unlink(n);
    unlink(p);
    unlink(out);
    rmdir(dir);
    snprintf(dir, sizeof dir, "/tmp/test_pack.XXXXXX");
    return said;
}

START_TEST(pods_stay_until_no_more_fit_and_as_many_want_a_third_more_than_there_is)
{
    int status;
    const char *nodes = NODES "a,64000,32768,2,T4\nb,64000,32768,2,V100M16\n",
               *pods = PODS "p1,1000,512,1,500,,LS\np2,1000,512,1,500,,LS\np4,1000,512,0,0,,BE\n";
    const char *said = packed(nodes, pods, "fgd", "3", &status);
    ck_assert_msg(status == 0, "%s", said);
    ck_assert_msg(strstr(said, "\"nodes\": 2, \"gpus\": 4") != NULL, "%s", said);
    ck_assert_msg(strstr(said, "\"allocated_pct\": 100.0000") != NULL, "%s", said);
    char first[1024];
    snprintf(first, sizeof first, "%s", said);
    ck_assert_str_eq(packed(nodes, pods, "fgd", "3", &status), first);
}
END_TEST

START_TEST(pods_go_to_the_models_that_they_ask_for_only)
{
    int status;
    const char *nodes = NODES "a,8000,4096,2,T4\nb,8000,4096,2,V100M16\n";
    const char *said =
        packed(nodes, PODS "p,1,1,1,500,V100M16|V100M32,LS\n", "bestfit", "1", &status);
    ck_assert_msg(strstr(said, "\"allocated_pct\": 50.0000") != NULL, "%s", said);
    said = packed(nodes, PODS "p,1,1,1,1000,T4|V100M16,LS\n", "packing", "1", &status);
    ck_assert_msg(strstr(said, "\"allocated_pct\": 100.0000") != NULL, "%s", said);
}
END_TEST

START_TEST(what_is_wrong_in_a_file_is_told_with_its_line)
{
    const struct {
        const char *nodes, *pods, *says;
    } table[] = {
        {"name,cpu\n", PODS, "/nodes:1: the columns are not sn,cpu_milli"},
        {NODES, PODS, "/nodes: has no rows"},
        {NODES "a,8,8,65,T4\n", PODS, "/nodes:2: expected sn,cpu_milli"},
        {NODES "a,8,8,2,T4\n", PODS "p,1,1,0,0,,LS\n", "/pods has no pod that wants GPUs"},
        {NODES "a,8,8,0,T4\n", PODS "p,1,1,1,500,,LS\n", "/nodes has no GPUs"},
        {NODES "a,8,8,1,T4\n", PODS "p,1,1,1,500,,LS\np,1,1,2,500,,LS\n", "/pods:3: expected name"},
        {NODES "a,8,8,1,T4\n", PODS "p,1,1,1,x,,LS\n", "/pods:2: expected name"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int status;
        const char *said = packed(table[i].nodes, table[i].pods, "fgd", "1", &status);
        ck_assert_int_eq(status, 1);
        ck_assert_msg(strstr(said, table[i].says) != NULL, "%s", said);
    }
}
END_TEST

UNIT_MAIN("sim/pack", pods_stay_until_no_more_fit_and_as_many_want_a_third_more_than_there_is,
          pods_go_to_the_models_that_they_ask_for_only,
          what_is_wrong_in_a_file_is_told_with_its_line)
