/* main.c - worlds, one after the other, and what they came to
 *
 *     dst --hours 500                      so many simulated hours, from seed 1 on
 *     dst --seed 7 --worlds 1 --log        one world, and everything that happens in it
 *
 * Prints TAP. A promise that is broken ends it with the line that repeats that world alone. Layer: tests.
 */
#include "dst.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct dst_opts opts = {.seed = 1, .length_ms = 60 * 60000};
static double hours;
static unsigned long worlds;
static struct dst_figures sum;
static char again[256];

/* An assertion of the product's own ends the process: say which world it was. */
static void on_abort(int signo)
{
    ssize_t n = write(STDOUT_FILENO, again, strlen(again));

    (void) n;
    signal(signo, SIG_DFL);
    raise(signo);
}

static void add(const struct dst_figures *f)
{
    const uint64_t *from = &f->events;
    uint64_t *to = &sum.events;

    for (size_t i = 0; i < offsetof(struct dst_figures, true_ms) / sizeof *to; i++)
        to[i] += from[i];
    sum.true_ms += f->true_ms;
    opts.before_ms = sum.true_ms;
}

#define N(x) (unsigned long long) sum.x
static void print(double took_s)
{
    double h = (double) sum.true_ms / 3600000;

    printf("# %.1f simulated cluster-hours in %.1f s: %.1f hours/s, %llu events, %llu messages, %llu commits\n", h, took_s,
           h / took_s, N(events), N(messages), N(commits));
    printf("# %llu jobs, %llu of them over, %llu parts of attempts ran\n", N(jobs), N(ended), N(attempts));
    printf("# network: %llu cuts, %llu of one way, %llu of half, %llu flapping, %llu resets; messages: %llu late, %llu "
           "twice, %llu overtaken\n", N(cuts), N(one_way), N(halves), N(flaps), N(resets), N(delayed), N(duplicated),
           N(reordered));
    printf("# controllers: %llu ended, %llu of them at an await point, %llu paused, %llu takeovers, %llu commits refused\n",
           N(ctl_crashes), N(ctl_await), N(ctl_pauses), N(takeovers), N(fenced));
    printf("# nodes: %llu daemons ended, %llu at an await point, %llu paused; %llu launchers, %llu machines, %llu step "
           "daemons ended; %llu steps by their lease; %llu runs of health checks, %llu of them bad; %llu holds\n", N(agent_crashes), N(agent_await), N(agent_pauses),
           N(launcher_crashes), N(reboots), N(stepd_crashes), N(lease_ends), N(checks), N(sick), N(holds));
    printf("# programs: %llu prologs, %llu epilogs; %llu failed, %llu were run again\n", N(prologs), N(epilogs), N(programs_failed),
           N(programs_again));
    printf("# links: %llu pairs of nodes cut, %llu step daemons lost one that way, %llu pairs used no more\n", N(pair_cuts), N(pair_losses),
           N(pairs_bad));
    printf("# disks: %llu failed or full, %llu commits lost by that, %llu tries without room, %llu slow; unsynced at a crash: %llu lost, %llu "
           "kept; ranks stopped: %llu, stuck: %llu; clocks put: %llu, run times looked at: %llu; clients: %llu gone, %llu retries\n", N(store_full), N(store_failed), N(store_waits), N(store_slow),
           N(unsynced_lost), N(unsynced_kept), N(stopped), N(stuck), N(wall_jumps), N(timed), N(client_drops), N(client_retries));
    printf("# GPUs cut otherwise: %llu; parts that ran on slices: %llu, on shares: %llu, whose devices had gone: %llu; run again after "
           "failures: %llu, back-offs looked at: %llu\n", N(recuts), N(on_slices), N(on_shares), N(gone_devices), N(again), N(backoffs));
    printf("# configurations: %llu; backups: %llu, put back: %llu, %llu of them by hand, jobs forgotten by that: %llu\n",
           N(configured), N(backups), N(put_back), N(by_hand), N(forgotten));
}

static uint64_t one(void)
{
    struct dst *w;
    uint64_t hash;

    snprintf(again, sizeof again, "\n# seed %llu ended by a signal\n# again: testsuite/dst/run.sh --seed %llu --worlds 1 "
             "--minutes %lld --log\n", (unsigned long long) opts.seed, (unsigned long long) opts.seed,
             (long long) opts.length_ms / 60000);
    w = dst_new(&opts);
    dst_run(w);
    hash = w->hash;
    add(&w->n);
    dst_log(w, "the world is over; its hash is %016llx", (unsigned long long) hash);
    dst_free(w);
    return hash;
}

static void usage(void)
{
    fputs("usage: dst [--hours H | --worlds N] [--seed S] [--minutes LENGTH] [--log] [--twice]\n", stderr);
    exit(2);
}

static void parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"hours", required_argument, NULL, 'h'}, {"worlds", required_argument, NULL, 'w'},
        {"seed", required_argument, NULL, 's'},  {"minutes", required_argument, NULL, 'm'},
        {"log", no_argument, NULL, 'l'},         {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'h')
            hours = atof(optarg);
        else if (c == 'w')
            worlds = strtoul(optarg, NULL, 0);
        else if (c == 's')
            opts.seed = strtoull(optarg, NULL, 0);
        else if (c == 'm')
            opts.length_ms = atoll(optarg) * 60000;
        else if (c == 'l')
            opts.log = true;
        else
            usage();
    }
    if (!hours && !worlds)
        worlds = 1;
}

int main(int argc, char **argv)
{
    struct timespec t0, t1;
    uint64_t first_seed, first_hash = 0;
    unsigned long n = 0;

    parse(argc, argv);
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    clock_gettime(CLOCK_MONOTONIC, &t0);
    first_seed = opts.seed;
    for (; worlds ? n < worlds : (double) sum.true_ms < hours * 3600000; n++, opts.seed++) {
        uint64_t hash = one();
        if (n == 0)
            first_hash = hash;
    }
    clock_gettime(CLOCK_MONOTONIC, &t1);
    print((double) (t1.tv_sec - t0.tv_sec) + (double) (t1.tv_nsec - t0.tv_nsec) / 1e9);
    printf("1..2\nok 1 - %lu worlds from seed %llu on keep every promise\n", n, (unsigned long long) first_seed);
    opts.seed = first_seed;
    opts.log = false;
    printf("%s 2 - a seed is a run: once more, it is the same, event for event\n",
           one() == first_hash ? "ok" : "not ok");
    return 0;
}
