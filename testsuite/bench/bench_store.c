/* bench_store.c - how fast the store makes batches durable; one JSON line a measure
 *
 *     bench_store DIRECTORY [RUNS]
 *
 * The directory (0700) should be on the kind of disk that the daemon's state is on.
 * Layer: tests.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/store.h"

enum { BLOB = 400, BIG = 50000, SINGLE = 500, INFLIGHT = 20000, RUNS_MAX = 99 };

static struct event_base *loop;
static struct tug_store *store;
static char path[512], blob[BLOB];
static int acked;

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_store: %s\n", what);
    exit(1);
}

static void on_ack(void *arg, int rc, const char *why)
{
    (void) arg;
    if (rc != 0)
        die(why);
    acked++;
}

static void wait_acks(int n)
{
    while (acked < n)
        event_base_loop(loop, EVLOOP_ONCE);
}

static void open_store(int fresh)
{
    struct tug_store_opts o = {.path = path, .create = 1};
    struct tug_err err;
    char wal[600];

    if (fresh) {
        snprintf(wal, sizeof wal, "%s-wal", path);
        unlink(path);
        unlink(wal);
    }
    if (tug_store_open(&store, loop, &o, &err) < 0)
        die(err.msg);
}

static void put_job(struct tug_batch *b, int id)
{
    char text[16];

    snprintf(text, sizeof text, "%d", id);
    blob[0] = (char) id;
    tug_batch_put(b, "job", text, blob, sizeof blob);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

static void report(const char *measure, const char *unit, const char *params, double *v, int n)
{
    qsort(v, (size_t) n, sizeof *v, compare);
    printf("{\"measure\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",\"params\":{%s},\"n\":%d,\"min\":%."
           "3f,\"max\":%.3f}\n",
           measure, v[n / 2], unit, params, n, v[0], v[n - 1]);
    fflush(stdout);
}

/* One transaction of BIG upserts: first new records, then the same ones again. */
static void big(double *fresh, double *again)
{
    double *out[] = {fresh, again};

    open_store(1);
    for (int round = 0; round < 2; round++) {
        struct tug_batch *b = tug_batch_new();
        double t = now_s();

        memset(blob, 'a' + round, sizeof blob);
        for (int i = 0; i < BIG; i++)
            put_job(b, i);
        acked = 0;
        tug_store_commit(store, b, on_ack, NULL);
        wait_acks(1);
        *out[round] = BIG / (now_s() - t);
    }
    tug_store_close(store);
}

/* One submit after the other: a record and a history row, then wait for the disk. */
static void single(double *median_ms, double *p99_ms)
{
    static double took[SINGLE];

    open_store(1);
    for (int i = 0; i < SINGLE; i++) {
        struct tug_batch *b = tug_batch_new();
        double t = now_s();

        put_job(b, i);
        tug_batch_history(
            b, &(struct tug_history_row){.job = (uint64_t) i, .what = "submit", .at_ms = i});
        acked = 0;
        tug_store_commit(store, b, on_ack, NULL);
        wait_acks(1);
        took[i] = (now_s() - t) * 1e3;
    }
    tug_store_close(store);
    qsort(took, SINGLE, sizeof *took, compare);
    *median_ms = took[SINGLE / 2];
    *p99_ms = took[SINGLE * 99 / 100];
}

/* Many submits in flight: a batch each, all handed over before the first is durable. */
static void inflight(double *per_s, double *per_txn)
{
    struct tug_store_stats st;
    double t;

    open_store(1);
    t = now_s();
    acked = 0;
    for (int i = 0; i < INFLIGHT; i++) {
        struct tug_batch *b = tug_batch_new();

        put_job(b, i);
        tug_batch_history(
            b, &(struct tug_history_row){.job = (uint64_t) i, .what = "submit", .at_ms = i});
        tug_store_commit(store, b, on_ack, NULL);
        if (i % 64 == 0)
            event_base_loop(loop, EVLOOP_NONBLOCK);
    }
    wait_acks(INFLIGHT);
    *per_s = INFLIGHT / (now_s() - t);
    tug_store_stats(store, &st);
    *per_txn = (double) st.batches / (double) st.transactions;
    tug_store_close(store);
}

static int count(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    (void) kind, (void) id, (void) data, (void) len;
    ++*(int *) arg;
    return 0;
}

/* Open and read INFLIGHT records (what inflight() left). */
static void restart(double *ms)
{
    struct tug_err err;
    double t = now_s();
    int n = 0;

    open_store(0);
    if (tug_store_load(store, NULL, count, &n, &err) < 0)
        die(err.msg);
    if (n != INFLIGHT)
        die("not all records are there");
    *ms = (now_s() - t) * 1e3;
    tug_store_close(store);
}

int main(int argc, char **argv)
{
    int runs = argc > 2 ? atoi(argv[2]) : 5;
    static double v[7][RUNS_MAX];

    if (argc < 2 || runs < 1 || runs > RUNS_MAX)
        die("give a directory, and how often to run (1 to 99)");
    loop = event_base_new();
    snprintf(path, sizeof path, "%s/bench-store.db", argv[1]);
    for (int i = 0; i < runs; i++) {
        big(&v[0][i], &v[1][i]);
        single(&v[2][i], &v[3][i]);
        inflight(&v[4][i], &v[5][i]);
        restart(&v[6][i]);
    }
    report("store_insert_per_s", "1/s", "\"records\":50000,\"bytes\":400", v[0], runs);
    report("store_upsert_per_s", "1/s", "\"records\":50000,\"bytes\":400", v[1], runs);
    report("store_commit_ms", "ms", "\"quantile\":0.5", v[2], runs);
    report("store_commit_p99_ms", "ms", "\"quantile\":0.99", v[3], runs);
    report("store_inflight_per_s", "1/s", "\"batches\":20000", v[4], runs);
    report("store_batches_per_transaction", "1", "\"batches\":20000", v[5], runs);
    report("store_restart_ms", "ms", "\"records\":20000", v[6], runs);
    unlink(path);
    event_base_free(loop);
    return 0;
}
