/* asks.c - one client that asks again and again, and how long it waits for each answer
 *
 *   asks [-n ASKS] [-i US] SOCKET
 *
 * So many pings (2,000) over one connection, each so long (1,000 us) after the last answer. Prints: P50_MS P99_MS MAX_MS.
 * Layer: tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/net.h"
#include "proto/client.pb-c.h"

#define TIMEOUT_MS 20000

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

static double ask(struct tug_call *c, uint32_t rid)
{
    Tugpb__PingRequest m = TUGPB__PING_REQUEST__INIT;
    struct tug_err err = {0};
    struct tug_frame f;
    double t0 = now_ms();
    if (tug_call_send(c, TUG_MSG_PING_REQUEST, rid, &m.base, &err) || tug_call_recv(c, &f, TIMEOUT_MS, &err) || f.rid != rid) {
        fprintf(stderr, "asks: %s\n", err.msg);
        exit(1);
    }
    return now_ms() - t0;
}

int main(int argc, char **argv)
{
    struct tug_net_opts opts = {.auth = TUG_AUTH_UNIX, .channel = TUG_CH_CLIENT};
    struct tug_err err = {0};
    struct tug_call *c;
    long n = 2000, gap_us = 1000;
    int o;
    while ((o = getopt(argc, argv, "n:i:")) > 0)
        if (o == 'n')
            n = atol(optarg);
        else if (o == 'i')
            gap_us = atol(optarg);
        else
            return 2;
    if (optind != argc - 1 || n < 1 || gap_us < 0 || gap_us > 999999) {
        fprintf(stderr, "usage: asks [-n ASKS] [-i US] SOCKET\n");
        return 2;
    }
    char *endpoint = tug_xasprintf("unix:%s", argv[optind]);
    double *took = tug_xcalloc((size_t) n, sizeof *took);
    if (tug_call_open(&c, endpoint, &opts, TIMEOUT_MS, &err)) {
        fprintf(stderr, "asks: %s\n", err.msg);
        return 1;
    }
    for (long i = 0; i < n; i++) {
        took[i] = ask(c, (uint32_t) i + 1);
        nanosleep(&(struct timespec){.tv_nsec = gap_us * 1000}, NULL);
    }
    qsort(took, (size_t) n, sizeof *took, by_size);
    printf("%.3f %.3f %.3f\n", took[n / 2], took[n * 99 / 100], took[n - 1]);
    tug_call_close(c);
    free(took);
    free(endpoint);
    return 0;
}
