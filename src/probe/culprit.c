/* culprit.c - which node makes a gang slow
 *
 * The gang as a whole is too slow. Each node is measured with its next one, all such pairs at once as far as no node is
 * in two of them: two rounds, three with an odd number of nodes. A slow node is slow with both its
 * neighbours, a sound one next to it has another that it is fast with: so a node's figure is the better of
 * its two. With two nodes that tells nothing, and one node has no neighbour: there the ranks of each node are
 * measured among themselves, as far as it has several. Layer: probe.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/probe.h"

/* The colour of 'node' in round 'r' of pairs: that of the pair that it is in, -1 = it is in none. */
int probe_pair(int node, int nodes, int round)
{
    int last = nodes - 1;
    if (nodes % 2 && round == 2) /* the odd one out closes the ring */
        return node == last || node == 0 ? 0 : -1;
    if (round == 0)
        return nodes % 2 && node == last ? -1 : node / 2;
    if (nodes % 2)
        return node == 0 ? -1 : (node - 1) / 2;
    return node == 0 || node == last ? last / 2 : (node - 1) / 2;
}

int probe_rounds(int nodes)
{
    return nodes < 3 ? 0 : nodes == 3 ? 3 : nodes % 2 ? 3 : 2;
}

int probe_worst(const double *best, int nodes, double floor)
{
    int worst = -1, below = 0, known = 0;
    for (int i = 0; i < nodes; i++) {
        if (best[i] < 0)
            continue;
        known++;
        below += best[i] < floor;
        if (worst < 0 || best[i] < best[worst])
            worst = i;
    }
    /* When most are slow it is not a node: the floor is higher than these links, or they are shared. */
    return below && (2 * below <= known || nodes == 1) ? worst : -1;
}

/* One round in groups of that colour: what this rank's group reached, < 0 = it was in none. */
static int measure_group(struct probe_comm *all, int color, size_t bytes, double *busbw, char *why)
{
    struct probe_comm c;
    struct probe_figure f;
    *busbw = -1;
    if (probe_transport.split(all, color, &c, why))
        return -1;
    if (c.n < 2) {
        probe_transport.drop(&c);
        return 0;
    }
    int rc = probe_measure(&c, bytes, &f, why);
    probe_transport.drop(&c);
    *busbw = rc ? -1 : f.busbw;
    return rc;
}

static void keep_best(double *best, int nodes, const double *of_rank, const double *node_of, int ranks)
{
    for (int r = 0; r < ranks; r++) {
        int node = (int) node_of[r];
        if (node >= 0 && node < nodes && of_rank[r] > best[node])
            best[node] = of_rank[r];
    }
}

int probe_culprit(const struct tug_world *w, struct probe_comm *all, size_t bytes, double floor, int *node,
                  double *figure, char *why)
{
    double *best = calloc((size_t) w->nodes, sizeof *best), *of_rank = calloc((size_t) all->n, sizeof *of_rank),
           *node_of = calloc((size_t) all->n, sizeof *node_of), mine;
    int rounds = probe_rounds(w->nodes);
    int rc = best && of_rank && node_of ? 0 : probe_fail(why, "no memory for %d ranks", all->n);
    for (int i = 0; rc == 0 && i < w->nodes; i++)
        best[i] = -1;
    if (rc == 0)
        rc = probe_transport.gather(all, w->node, node_of, why);
    for (int r = 0; r < (rounds ? rounds : 1) && rc == 0; r++) {
        rc = measure_group(all, rounds ? probe_pair(w->node, w->nodes, r) : w->node, bytes, &mine, why);
        if (rc == 0)
            rc = probe_transport.gather(all, mine, of_rank, why);
        if (rc == 0)
            keep_best(best, w->nodes, of_rank, node_of, all->n);
    }
    *node = rc ? -1 : probe_worst(best, w->nodes, floor);
    *figure = *node < 0 ? 0 : best[*node];
    free(best);
    free(of_rank);
    free(node_of);
    return rc;
}
