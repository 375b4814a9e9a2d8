/* bench.h - the parts of tug bench that tests look at
 *
 * Layer: cli.
 */
#ifndef TUG_CLI_BENCH_H
#define TUG_CLI_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tug_bench_run {
    uint64_t job;
    char transport[8];
    uint32_t ranks, nodes;
    uint32_t rows;
    double best; /* bus bandwidth, bytes a second */
    bool done;
};
struct tug_bench_row {
    uint64_t bytes;
    uint32_t times;
    double seconds, algbw, busbw;
};

/* What a line of a prober is; a head begins 'r' anew, a row counts in it and is put into 'row'. */
enum { TUG_BENCH_OTHER, TUG_BENCH_HEAD, TUG_BENCH_ROW, TUG_BENCH_DONE };
int tug_bench_line(struct tug_bench_run *r, const char *line, struct tug_bench_row *row);

#endif
