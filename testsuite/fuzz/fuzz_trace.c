/* fuzz_trace.c - any bytes as a trace: jobs that keep what the header promises, or a sentence with
 * the file and the line */
#include "fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char path[64];
    struct tug_trace *t = NULL;
    struct tug_trace_job j;
    struct tug_err err = {0};
    int64_t last_ms = 0, time;
    uint32_t nodes, per_node;
    uint64_t number;
    int fd = memfd_create("trace", 0), rc;
    tug_assert(fd >= 0 && write(fd, data, len) == (ssize_t) len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (tug_trace_open(path, &t, &err) == 0) {
        tug_trace_use_clock(t, len % 2 ? 1000 : 1000000);
        tug_trace_cluster(t, &nodes, &per_node, &err);
        while ((rc = tug_trace_next(t, &j, &err)) == 1) {
            tug_assert(j.id && j.user && j.queue && j.account && *j.id);
            tug_assert(j.submit_ms >= last_ms && j.duration_ms >= -1 && j.limit_ms >= -1);
            tug_assert(j.duration_ms <= TUG_TRACE_MAX_S * 1000000 && j.gpus <= 1000000);
            last_ms = j.submit_ms;
            tug_trace_time(t, "limit_s", &time, NULL);
            tug_trace_number(t, "nodes", 100, &number, NULL);
        }
        tug_assert(rc == 0 || err.msg[0]);
    } else {
        tug_assert(err.msg[0]);
    }
    tug_trace_close(t);
    close(fd);
    return 0;
}
