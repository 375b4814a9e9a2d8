/* test_storm.c - every shipped policy, on clusters and workloads that nobody chose
 *
 * After every event the core states all its invariants. Beside it a ledger of its own, made of what
 * a listener hears: no GPU is held twice, and what was held is work, loss and overhead to the
 * GPU-millisecond.
 */
#include "unit.h"

#include "base/mem.h"
#include "base/rand.h"
#include "sim/simrun.h"

#define NODES_MAX 12
#define JOBS      60

static struct holding {
    char id[24];
    tug_gpuset gpus[NODES_MAX];
    int64_t since_ms;
} held[NODES_MAX * 8];
static tug_gpuset used[NODES_MAX];
static int64_t held_gpu_ms;
static uint64_t preemptions, failed_runs;

static struct holding *find(const char *id)
{
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (!strcmp(held[i].id, id))
            return &held[i];
    return NULL;
}

static void on_note(void *ctx, const struct tug_sim_note *n)
{
    (void) ctx;
    struct holding *h = find(n->id);
    unsigned gpus = 0;
    if (n->point == TUG_SIM_SUBMIT)
        return;
    if (n->point == TUG_SIM_START) {
        ck_assert_msg(h == NULL, "%s runs twice", n->id);
        h = find("");
        tug_assert(h); /* a gang holds a GPU at least */
        snprintf(h->id, sizeof h->id, "%s", n->id);
        h->since_ms = n->at_ms;
        for (size_t i = 0; i < n->n_slices; i++) {
            uint32_t node = n->slices[i].node;
            ck_assert_uint_eq(used[node] & n->slices[i].gpus, 0);
            used[node] |= h->gpus[node] = n->slices[i].gpus;
            gpus += tug_gpuset_count(n->slices[i].gpus);
        }
        ck_assert_uint_eq(gpus, n->gpus);
    } else if (h) {
        for (size_t i = 0; i < NODES_MAX; i++)
            used[i] &= ~h->gpus[i];
        held_gpu_ms += (n->at_ms - h->since_ms) * n->gpus;
        *h = (struct holding){0};
    }
}

static struct tug_sim_conf storm_conf(struct tug_rand *r)
{
    static const enum tug_placement placements[] = {
        TUG_PLACEMENT_FIRST_FIT, TUG_PLACEMENT_CONSOLIDATE, TUG_PLACEMENT_TOPOLOGY};
    int fail = tug_rand_below(r, 2) == 0;
    return (struct tug_sim_conf){.nodes = 2 + (uint32_t) tug_rand_below(r, NODES_MAX - 1),
                                 .gpus_per_node = 1 + (uint32_t) tug_rand_below(r, 8),
                                 .placement = placements[tug_rand_below(r, 3)],
                                 .count = tug_rand_below(r, 4) == 0,
                                 .estimates = tug_rand_below(r, 2) ? TUG_SIM_NOISE : TUG_SIM_EXACT,
                                 .noise_seed = tug_rand_u64(r),
                                 .seed = tug_rand_u64(r),
                                 .start_cost_s = (double) tug_rand_below(r, 3),
                                 .preempt_cost_s = (double) tug_rand_below(r, 20),
                                 .checkpoint_s = tug_rand_below(r, 2) ? 100 : 0,
                                 .mtbf_s = fail ? 20000 : 0,
                                 .repair_s = (double) tug_rand_below(r, 2000),
                                 .failure_seed = tug_rand_u64(r),
                                 .check_every = 1,
                                 .note = on_note};
}

/* Work of the jobs that can be run, in GPU-milliseconds. */
static int64_t work_of(const char *text, const struct tug_sim_conf *conf)
{
    int64_t sum = 0;
    for (const char *p = strchr(text, '\n'); p && p[1]; p = strchr(p + 1, '\n')) {
        unsigned long long submit, duration;
        unsigned gpus;
        ck_assert_int_eq(sscanf(p + 1, "j%*d,%llu,%llu,%u", &submit, &duration, &gpus), 3);
        if (gpus <= conf->nodes * conf->gpus_per_node)
            sum += (int64_t) (duration * 1000 * gpus);
    }
    return sum;
}

static void storm(const char *policy, uint64_t seed, uint64_t *events)
{
    struct tug_rand r = tug_rand_seed(seed);
    struct tug_sim_conf conf = storm_conf(&r);
    char *text = simrun_generate(tug_rand_u64(&r), JOBS, conf.nodes);
    struct tug_plugload *p = simrun_policy(policy, NULL, NULL);
    struct tug_sim_result result;
    struct tug_trace *t = NULL;
    struct tug_err err = {0};
    memset(held, 0, sizeof held);
    memset(used, 0, sizeof used);
    held_gpu_ms = 0;
    conf.policy = (struct tug_policy_set){{{tug_plugload_ops(p), tug_plugload_self(p)}}, 1};
    ck_assert_int_eq(tug_trace_open(simrun_file(text, strlen(text)), &t, &err), 0);
    ck_assert_msg(tug_sim_run(t, &conf, &result, &err) == 0, "%s, seed %llu: %s", policy,
                  (unsigned long long) seed, err.msg);
    ck_assert_msg(result.refused == 0, "%s, seed %llu: %s", policy, (unsigned long long) seed,
                  result.first_refused);
    ck_assert_msg(result.unfinished == 0, "%s, seed %llu: %llu jobs are not at their end", policy,
                  (unsigned long long) seed, (unsigned long long) result.unfinished);
    double lost_ms = (result.lost_gpu_h + result.overhead_gpu_h) * 3600000;
    ck_assert_double_eq_tol((double) held_gpu_ms, (double) work_of(text, &conf) + lost_ms, 1);
    *events += result.events;
    preemptions += result.preemptions;
    failed_runs += result.failed_runs;
    tug_sim_result_clear(&result);
    tug_trace_close(t);
    tug_plugload_close(p);
    simrun_forget();
    free(text);
}

/* 'preempts': the policies stop jobs themselves; failures do under all. */
static void storms(const char *const *policies, size_t n, int preempts)
{
    uint64_t seed = unit_seed(), events = 0;
    int rounds = unit_rounds_or(360, 60);
    preemptions = failed_runs = 0;
    for (int i = 0; i < rounds; i++)
        for (size_t k = 0; k < n; k++)
            storm(policies[k], seed + (uint64_t) i, &events);
    printf("# %llu events, %llu preemptions, %llu runs ended by failures\n",
           (unsigned long long) events, (unsigned long long) preemptions,
           (unsigned long long) failed_runs);
    ck_assert_uint_gt(events, (uint64_t) rounds * n * JOBS);
    ck_assert_uint_gt(failed_runs, 0);
    ck_assert_int_eq(preemptions > 0, preempts);
}

START_TEST(policies_that_fill_gaps_break_no_invariant_and_lose_no_work)
{
    static const char *const policies[] = {"fifo", "sjf", "easy", "conservative"};
    storms(policies, 4, 0);
}
END_TEST

START_TEST(policies_that_go_by_users_break_no_invariant_and_lose_no_work)
{
    static const char *const policies[] = {"multifactor", "drf", "qssf"};
    storms(policies, 3, 0);
}
END_TEST

START_TEST(policies_that_stop_jobs_break_no_invariant_and_lose_no_work)
{
    static const char *const policies[] = {"srtf", "srsf", "las"};
    storms(policies, 3, 1);
}
END_TEST

UNIT_MAIN("sim/storm", policies_that_fill_gaps_break_no_invariant_and_lose_no_work,
          policies_that_go_by_users_break_no_invariant_and_lose_no_work,
          policies_that_stop_jobs_break_no_invariant_and_lose_no_work)
