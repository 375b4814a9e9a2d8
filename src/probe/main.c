/* main.c - tug-probe-mpi, tug-probe-nccl: what tug bench runs as every rank of a gang
 *
 *     tug-probe-TRANSPORT [--sizes 4K..16M]
 *
 * Rank 0 prints lines for tug bench:
 *     probe JOB TRANSPORT RANKS NODES
 *     row BYTES TIMES SECONDS ALGBW BUSBW       seconds of one all-reduce; bytes a second
 *     done
 * Exit status: 0; 1 with a sentence on stderr. Layer: probe.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/probe.h"

#define SIZES_MAX 64

struct probe {
    struct tug_world w;
    struct probe_comm all;
    size_t sizes[SIZES_MAX];
    int n_sizes;
};

static int take_arguments(struct probe *p, int argc, char **argv, char *why)
{
    const char *sizes = probe_transport.sizes;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--sizes") != 0 || i + 1 == argc)
            return probe_fail(why, "'%.64s' is no option with a value: --sizes LIST", argv[i]);
        sizes = argv[++i];
    }
    p->n_sizes = probe_sizes(sizes, p->sizes, SIZES_MAX, why);
    return p->n_sizes ? 0 : -1;
}

static int bench(struct probe *p, char *why)
{
    const char *job = getenv("TUG_JOB_ID");
    if (p->w.rank == 0)
        printf("probe %s %s %d %d\n", job ? job : "0", probe_transport.name, p->w.size, p->w.nodes);
    for (int i = 0; i < p->n_sizes; i++) {
        struct probe_figure f;
        if (probe_measure(&p->all, p->sizes[i], &f, why))
            return -1;
        if (p->w.rank == 0)
            printf("row %zu %d %.9g %.9g %.9g\n", f.bytes, f.times, f.seconds, f.algbw, f.busbw);
        fflush(stdout);
    }
    if (p->w.rank == 0)
        printf("done\n");
    return 0;
}

int main(int argc, char **argv)
{
    struct probe p = {0};
    char why[TUG_WHY_MAX] = "";
    int rc = take_arguments(&p, argc, argv, why);
    if (rc == 0)
        rc = tug_world_get(&p.w, why);
    if (rc == 0)
        rc = probe_transport.start(&p.w, &p.all, why);
    if (rc == 0)
        rc = bench(&p, why);
    if (rc) {
        fprintf(stderr, "rank %d: %s\n", p.w.rank, why);
        return 1; /* without a finish that waits for the others: they are ended with us */
    }
    probe_transport.drop(&p.all);
    probe_transport.finish();
    return 0;
}
