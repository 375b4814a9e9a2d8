/* test_soak.c - every shipped policy, alone and with others, in worlds that nobody chose
 *
 * As a test it is short; by hand it goes on as long as it is told:
 *
 *     TUG_BUILDDIR=. testsuite/unit/soak/test_soak.t --events 1000000
 *
 * makes as many events for each policy and combination and prints a table. --policy A+B does one
 * only, --seed S begins there, --worlds N makes so many, --trace prints what happens. A world that
 * fails prints the command that makes it again. The policies are those that are in the build tree.
 */
#include <dirent.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soak/soak.h"
#include "unit.h"

#include "base/mem.h"
#include "base/vec.h"

#define SHORT_EVENTS (UNIT_SANITIZED ? 3000 : 12000)

static char *dir;
static struct tug_vec(const char *) plugins, sets;
static int trace;
static uint64_t wanted_events = SHORT_EVENTS, wanted_worlds;

/* ---- which policies there are */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static void find_plugins(void)
{
    DIR *d = opendir(dir);
    tug_assert(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        size_t n = strlen(e->d_name);
        if (n > 3 && !strcmp(e->d_name + n - 3, ".so"))
            tug_vec_push(&plugins, tug_xasprintf("%.*s", (int) n - 3, e->d_name));
    }
    closedir(d);
    qsort(plugins.at, plugins.len, sizeof *plugins.at, by_name);
}

static struct tug_plugset *try(const char *policy)
{
    const char *dirs[] = {dir};
    struct tug_plugset *set = NULL;
    struct tug_plugset_conf conf = {.names = policy, .dirs = dirs, .n_dirs = 1, .has = UINT32_MAX};
    tug_plugset_open(&conf, &set, NULL);
    return set;
}

static int goes_together(const char *policy)
{
    struct tug_plugset *set = try(policy);
    tug_plugset_close(set);
    return set != NULL;
}

static void find_sets(void)
{
    static const char *const combined[] = {"multifactor+easy",
                                           "multifactor+easy+preempt",
                                           "multifactor+conservative+preempt",
                                           "multifactor+easy+hived",
                                           "fgd+easy",
                                           "fgd+conservative",
                                           "drf+easy+preempt",
                                           "qssf+easy",
                                           "sjf+preempt",
                                           "fifo+preempt+fgd"};
    for (size_t i = 0; i < plugins.len; i++)
        tug_vec_push(&sets, plugins.at[i]);
    for (size_t i = 0; i < sizeof combined / sizeof *combined; i++)
        if (goes_together(combined[i]))
            tug_vec_push(&sets, combined[i]);
}

/* Of those that fill different hooks. */
static char *random_set(uint64_t seed)
{
    struct tug_rand r = tug_rand_seed(seed ^ 0x5e7);
    for (;;) {
        char *name = tug_xstrdup(plugins.at[tug_rand_below(&r, plugins.len)]);
        for (uint64_t n = 1 + tug_rand_below(&r, TUG_POLICIES_MAX - 1); n; n--) {
            char *more = tug_xasprintf("%s+%s", name, plugins.at[tug_rand_below(&r, plugins.len)]);
            int good = goes_together(more);
            free(good ? name : more);
            name = good ? more : name;
        }
        if (strchr(name, '+'))
            return name;
        free(name);
    }
}

/* ---- worlds, each in a process of its own */

static void needs_of(struct soak *s)
{
    struct tug_plugset *set = try(s->policy);
    for (size_t i = 0; set && i < tug_plugset_count(set); i++) {
        const struct tug_policy_ops *o = tug_plugload_ops(tug_plugset_at(set, i));
        s->needs_order |= (o->needs & TUG_POLICY_NEEDS_ORDER_PREEMPTION) != 0;
        s->needs_expected |= (o->needs & TUG_POLICY_NEEDS_EXPECTED) != 0;
    }
    tug_plugset_close(set);
}

static struct soak_stats one_life(const char *policy, uint64_t seed, int flip_quiet,
                                  uint64_t *digest)
{
    struct soak *s = tug_new(struct soak);
    s->policy = policy;
    s->dir = dir;
    s->seed = seed;
    s->others = sets.at;
    s->n_others = sets.len;
    s->digest = 14695981039346656037ULL;
    s->trace = trace;
    s->flip_quiet = flip_quiet;
    needs_of(s);
    soak_run(s);
    struct soak_stats n = s->n;
    *digest = s->digest;
    free(s);
    return n;
}

/* Also where nobody asks for explanations. */
static void the_same_seed_decides_the_same(const char *policy, uint64_t seed, int flip_quiet,
                                           uint64_t first)
{
    uint64_t again;
    one_life(policy, seed, flip_quiet, &again);
    if (again == first)
        return;
    printf("# %s, seed %llu: not the same when it is run again%s\n", policy,
           (unsigned long long) seed, flip_quiet ? " with explanations, or without" : "");
    printf("# again: TUG_BUILDDIR=. testsuite/unit/soak/test_soak.t --policy %s --seed %llu "
           "--worlds 1\n",
           policy, (unsigned long long) seed);
    fflush(stdout);
    _Exit(1);
}

static void in_child(const char *policy, uint64_t seed, int out)
{
    uint64_t digest;
    struct soak_stats n = one_life(policy, seed, 0, &digest);
    if (seed % 5 == 0)
        the_same_seed_decides_the_same(policy, seed, seed % 10 == 0, digest);
    _Exit(write(out, &n, sizeof n) == (ssize_t) sizeof n ? 0 : 1);
}

static void add(struct soak_stats *to, const struct soak_stats *n)
{
    uint64_t *a = (uint64_t *) to;
    const uint64_t *b = (const uint64_t *) n;
    for (size_t i = 0; i < sizeof *n / sizeof *b; i++)
        a[i] += b[i];
}

static int world(const char *policy, uint64_t seed, struct soak_stats *sum)
{
    int fd[2], status = 0;
    struct soak_stats n = {0};
    fflush(stdout);
    tug_assert(pipe(fd) == 0);
    pid_t pid = fork();
    tug_assert(pid >= 0);
    if (pid == 0)
        in_child(policy, seed, fd[1]);
    close(fd[1]);
    ssize_t got = read(fd[0], &n, sizeof n);
    close(fd[0]);
    tug_assert(waitpid(pid, &status, 0) == pid);
    if (got == (ssize_t) sizeof n && status == 0) {
        add(sum, &n);
        return 1;
    }
    if (WIFSIGNALED(status))
        printf("# %s, seed %llu ended by signal %d; again: TUG_BUILDDIR=. "
               "testsuite/unit/soak/test_soak.t --policy %s "
               "--seed %llu --worlds 1\n",
               policy, (unsigned long long) seed, WTERMSIG(status), policy,
               (unsigned long long) seed);
    return 0;
}

/* ---- all of them */

static int soak_set(size_t nth, const char *policy, uint64_t seed)
{
    struct soak_stats n = {0};
    int is_random = !strcmp(policy, "random"), failed = 0;
    for (uint64_t i = 0; wanted_worlds ? i < wanted_worlds : n.events < wanted_events; i++) {
        char *name = is_random ? random_set(seed + i) : tug_xstrdup(policy);
        failed += !world(name, seed + i, &n);
        free(name);
        if (failed > 4)
            break;
    }
    printf("%sok %zu - soak: %s\n", failed ? "not " : "", nth, policy);
    printf("# %-34s %8llu events %6llu worlds %7llu jobs %6llu gave way %5llu suspended %6llu "
           "requeued %5llu restarts "
           "%5llu promises %d failures\n",
           policy, (unsigned long long) n.events, (unsigned long long) n.worlds,
           (unsigned long long) n.jobs, (unsigned long long) n.preemptions,
           (unsigned long long) n.suspends, (unsigned long long) n.requeues,
           (unsigned long long) n.restarts, (unsigned long long) n.promises, failed);
    return failed;
}

static uint64_t number(const char *text)
{
    return text ? strtoull(text, NULL, 0) : 0;
}

int main(int argc, char **argv)
{
    const char *build = getenv("TUG_BUILDDIR"), *only = NULL;
    int failed = 0, has_seed = 0;
    uint64_t seed = 0;
    for (int i = 1; i < argc; i += 2) {
        if (!strcmp(argv[i], "--trace"))
            i -= trace = 1;
        else if (!strcmp(argv[i], "--events"))
            wanted_events = number(argv[i + 1]);
        else if (!strcmp(argv[i], "--worlds"))
            wanted_worlds = number(argv[i + 1]);
        else if (!strcmp(argv[i], "--policy"))
            only = argv[i + 1];
        else if (!strcmp(argv[i], "--seed") && (has_seed = 1))
            seed = number(argv[i + 1]);
        else
            return fprintf(stderr,
                           "%s: [--events N] [--worlds N] [--policy A+B] [--seed S] [--trace]\n",
                           argv[0]),
                   2;
    }
    dir = tug_xasprintf("%s/plugins", build ? build : ".");
    if (!has_seed)
        seed = unit_seed();
    find_plugins();
    find_sets();
    printf("1..%zu\n", only ? 1 : sets.len + 1);
    for (size_t i = 0; !only && i < sets.len; i++)
        failed += soak_set(i + 1, sets.at[i], seed);
    failed += only ? soak_set(1, only, seed) : soak_set(sets.len + 1, "random", seed);
    return failed != 0;
}
