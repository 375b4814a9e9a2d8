/* main.c - tug-probe-mpi, tug-probe-nccl: measures all-reduce as every rank of a gang
 *
 *     tug-probe-TRANSPORT [--sizes 4K..16M]         for tug bench
 *     tug-probe-TRANSPORT --floor N [--time S]      a preflight: N bytes a second of bus bandwidth at least; 0: it must work
 *
 * For tug bench rank 0 prints lines:
 *     probe JOB TRANSPORT RANKS NODES
 *     row BYTES TIMES SECONDS ALGBW BUSBW       seconds of one all-reduce; bytes a second
 *     done
 * In a preflight a rank that fails writes into the file $TUG_VERDICT who is to blame and why: a line with a node's
 * name, or -, and a line with a sentence. Exit status: 0; 1 it did not work; 3 rank 0 only: the gang is below the floor.
 * How long it may take is watched from outside. Layer: probe.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rate.h"
#include "probe/probe.h"

#define SIZES_MAX      64
#define NODE_NAME_MAX  64
#define EXIT_TOO_SLOW  3

struct probe {
    struct tug_world w;
    struct probe_comm all;
    size_t sizes[SIZES_MAX];
    int n_sizes;
    int is_preflight;
    double floor;
};

static int take_arguments(struct probe *p, int argc, char **argv, char *why)
{
    const char *sizes = probe_transport.sizes;
    for (int i = 1; i < argc; i += 2) {
        char *end = NULL;
        if (i + 1 == argc)
            return probe_fail(why, "%.64s needs a value", argv[i]);
        if (!strcmp(argv[i], "--sizes"))
            sizes = argv[i + 1];
        else if (!strcmp(argv[i], "--floor"))
            p->floor = strtod(argv[i + 1], &end);
        else if (strcmp(argv[i], "--time") != 0)
            return probe_fail(why, "'%.64s' is none of --sizes, --floor, --time", argv[i]);
        p->is_preflight |= end != NULL;
        if (end && (*end || end == argv[i + 1] || !(p->floor >= 0)))
            return probe_fail(why, "--floor %.64s: that is no number", argv[i + 1]);
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

/* ---- as a preflight */

static void write_verdict(const char *node, const char *why)
{
    const char *path = getenv("TUG_VERDICT");
    FILE *f = path && *path ? fopen(path, "w") : NULL;
    if (!f)
        return;
    fprintf(f, "%s\n%s\n", node, why);
    fclose(f);
}

/* The names of the gang's nodes are known to each rank as its own: rank 0 hears that of one. */
static int name_of(struct probe *p, int node, char name[NODE_NAME_MAX], char *why)
{
    const char *mine = getenv("TUG_NODE");
    double *letters = calloc((size_t) p->all.n, sizeof *letters), *is_there = calloc((size_t) p->all.n, sizeof *is_there);
    int rc = letters && is_there ? probe_transport.gather(&p->all, p->w.node == node, is_there, why)
                                 : probe_fail(why, "no memory for %d ranks", p->all.n);
    size_t len = mine ? strlen(mine) : 0;
    for (size_t i = 0; i < NODE_NAME_MAX - 1 && rc == 0; i++) {
        rc = probe_transport.gather(&p->all, i < len ? mine[i] : 0, letters, why);
        int from = 0;
        while (from < p->all.n && is_there[from] == 0)
            from++;
        name[i] = from < p->all.n && rc == 0 ? (char) letters[from] : '\0';
        name[i + 1] = '\0';
        if (!name[i])
            break;
    }
    free(letters);
    free(is_there);
    return rc;
}

static int too_slow(struct probe *p, double busbw, char *why)
{
    char name[NODE_NAME_MAX] = "-", text[TUG_WHY_MAX];
    double figure;
    int node;
    if (probe_culprit(&p->w, &p->all, probe_transport.try_bytes, p->floor, &node, &figure, why))
        return -1;
    if (node >= 0 && name_of(p, node, name, why))
        return -1;
    if (p->w.rank != 0)
        return 0;
    char is[TUG_RATE_TEXT_MAX], least[TUG_RATE_TEXT_MAX], of_node[TUG_RATE_TEXT_MAX];
    int n = snprintf(text, sizeof text, "all-reduce %s, floor %s", tug_rate_short(busbw, is, sizeof is),
                     tug_rate_short(p->floor, least, sizeof least));
    if (node < 0)
        snprintf(text + n, sizeof text - (size_t) n, "; no node is slower than the others");
    else if (p->w.nodes > 1)
        snprintf(text + n, sizeof text - (size_t) n, "; %s %s %s", name,
                 p->w.nodes > 2 ? "with its neighbours" : "by itself", tug_rate_short(figure, of_node, sizeof of_node));
    write_verdict(node < 0 ? "-" : name, text);
    return EXIT_TOO_SLOW;
}

/* All ranks come to the same conclusion, as all know the slowest one's time. Rank 0 tells. */
static int preflight(struct probe *p, char *why)
{
    struct probe_figure f;
    if (probe_measure(&p->all, probe_transport.try_bytes, &f, why))
        return -1;
    return p->all.n < 2 || f.busbw >= p->floor ? 0 : too_slow(p, f.busbw, why);
}

int main(int argc, char **argv)
{
    struct probe p = {0};
    char why[TUG_WHY_MAX] = "";
    int rc = take_arguments(&p, argc, argv, why);
    if (rc == 0)
        rc = tug_world_get(&p.w, why) ? -1 : 0;
    if (rc == 0)
        rc = probe_transport.start(&p.w, &p.all, why);
    if (rc == 0)
        rc = p.is_preflight ? preflight(&p, why) : bench(&p, why);
    if (rc < 0) {
        fprintf(stderr, "rank %d: %s\n", p.w.rank, why);
        write_verdict("-", why);
        return 1; /* without a finish that waits for the others: they are ended with us */
    }
    probe_transport.drop(&p.all);
    probe_transport.finish();
    return rc;
}
