/* digits_mpi.c - train a digits classifier data-parallel with MPI all-reduce
 *
 *     digits_mpi digits.csv [EPOCHS]
 *
 * Started as every rank by Tugline, without mpirun: MPI_Init finds its peers over PMIx. The file has one image a line,
 * 64 grey values 0..16 and the digit (scikit-learn's digits.csv, 1,797 lines). Every rank computes gradients on its share
 * of each batch; MPI_Allreduce adds them up; all ranks take the same step, so the parameters stay identical.
 * Prints "accuracy 0.9xx" on rank 0. Exit status: 0 trained, 1 accuracy below 0.90 or parameters differ, 2 bad input,
 * 3 the MPI world has another size than the launcher said.
 *
 * Model: 64 inputs, one hidden layer of 64 rectified linear units, softmax over 10; cross entropy; stochastic gradient
 * descent with momentum 0.9 (Rumelhart et al. 1986).
 */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN = 64, HIDDEN = 64, OUT = 10, MAX_ROWS = 20000, N_TEST = 300, BATCH = 64 };
enum { N_PARAMS = IN * HIDDEN + HIDDEN + HIDDEN * OUT + OUT };

struct net { float w1[IN][HIDDEN], b1[HIDDEN], w2[HIDDEN][OUT], b2[OUT]; };
_Static_assert(sizeof(struct net) == N_PARAMS * sizeof(float), "a net is N_PARAMS floats");

struct data { float x[MAX_ROWS][IN]; int y[MAX_ROWS]; int n; };

static unsigned long long rng = 88172645463325252ULL; /* xorshift64 (Marsaglia 2003); the same on every rank */

static double uniform(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (double) (rng >> 11) / 9007199254740992.0;
}

static int load(const char *path, struct data *d)
{
    FILE *f = fopen(path, "r");
    char line[1024];

    if (!f) {
        fprintf(stderr, "digits_mpi: cannot open %s\n", path);
        return -1;
    }
    while (d->n < MAX_ROWS && fgets(line, sizeof line, f)) {
        char *at = line;
        for (int i = 0; i <= IN; i++) {
            char *end;
            double v = strtod(at, &end);
            if (end == at || (*end != ',' && i < IN)) {
                fprintf(stderr, "digits_mpi: %s:%d: 65 numbers with commas in between are expected\n", path, d->n + 1);
                fclose(f);
                return -1;
            }
            if (i < IN)
                d->x[d->n][i] = (float) (v / 16.0);
            else
                d->y[d->n] = (int) v;
            at = end + 1;
        }
        d->n++;
    }
    fclose(f);
    return d->n > N_TEST + BATCH ? 0 : -1;
}

static void shuffle(int *order, int n)
{
    for (int i = n - 1; i > 0; i--) {
        int k = (int) (uniform() * (i + 1)), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
}

static void forward(const struct net *w, const float *x, float *h, float *p)
{
    float sum = 0, top = -1e30f;

    for (int j = 0; j < HIDDEN; j++) {
        h[j] = w->b1[j];
        for (int i = 0; i < IN; i++)
            h[j] += x[i] * w->w1[i][j];
        h[j] = h[j] > 0 ? h[j] : 0;
    }
    for (int k = 0; k < OUT; k++) {
        p[k] = w->b2[k];
        for (int j = 0; j < HIDDEN; j++)
            p[k] += h[j] * w->w2[j][k];
        top = p[k] > top ? p[k] : top;
    }
    for (int k = 0; k < OUT; k++)
        sum += p[k] = expf(p[k] - top);
    for (int k = 0; k < OUT; k++)
        p[k] /= sum;
}

/* Add the gradient of one example's cross entropy to g. */
static void backward(const struct net *w, const float *x, int y, struct net *g)
{
    float h[HIDDEN], p[OUT];

    forward(w, x, h, p);
    p[y] -= 1; /* d loss / d logits */
    for (int k = 0; k < OUT; k++)
        g->b2[k] += p[k];
    for (int j = 0; j < HIDDEN; j++) {
        float d = 0;
        for (int k = 0; k < OUT; k++) {
            g->w2[j][k] += h[j] * p[k];
            d += w->w2[j][k] * p[k];
        }
        if (h[j] <= 0)
            continue;
        g->b1[j] += d;
        for (int i = 0; i < IN; i++)
            g->w1[i][j] += x[i] * d;
    }
}

static void train(struct net *w, const struct data *d, int *order, int n_train, int epochs, int rank, int world)
{
    static struct net g, v;
    float *wp = (float *) w, *gp = (float *) &g, *vp = (float *) &v;

    for (int e = 0; e < epochs; e++) {
        shuffle(order, n_train);
        for (int at = 0; at + BATCH <= n_train; at += BATCH) {
            memset(&g, 0, sizeof g);
            for (int i = rank; i < BATCH; i += world)
                backward(w, d->x[order[at + i]], d->y[order[at + i]], &g);
            MPI_Allreduce(MPI_IN_PLACE, gp, N_PARAMS, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
            for (int i = 0; i < N_PARAMS; i++) {
                vp[i] = 0.9f * vp[i] - 0.1f * gp[i] / BATCH;
                wp[i] += vp[i];
            }
        }
    }
}

static double accuracy(const struct net *w, const struct data *d, const int *order, int from)
{
    float h[HIDDEN], p[OUT];
    int right = 0;

    for (int i = from; i < d->n; i++) {
        int best = 0;
        forward(w, d->x[order[i]], h, p);
        for (int k = 1; k < OUT; k++)
            best = p[k] > p[best] ? k : best;
        right += best == d->y[order[i]];
    }
    return (double) right / (d->n - from);
}

static int differs(const struct net *w)
{
    double mine = 0, low, high;

    for (int i = 0; i < N_PARAMS; i++)
        mine += ((const float *) w)[i];
    MPI_Allreduce(&mine, &low, 1, MPI_DOUBLE, MPI_MIN, MPI_COMM_WORLD);
    MPI_Allreduce(&mine, &high, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return low != high;
}

int main(int argc, char **argv)
{
    static struct data d;
    static struct net w;
    static int order[MAX_ROWS];
    double t0, t1, t2;
    int rank, world, bad;
    const char *said = getenv("TUG_NTASKS");

    MPI_Init(&argc, &argv);
    t0 = MPI_Wtime();
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world);
    if (said && atoi(said) != world) { /* a launcher without PMIx makes each rank a world of its own */
        fprintf(stderr, "digits_mpi: MPI sees %d ranks, the launcher started %s\n", world, said);
        return 3;
    }
    if (argc < 2 || load(argv[1], &d) != 0) {
        if (rank == 0)
            fprintf(stderr, "usage: digits_mpi digits.csv [EPOCHS]\n");
        MPI_Finalize();
        return 2;
    }
    for (int i = 0; i < d.n; i++)
        order[i] = i;
    shuffle(order, d.n); /* the same split on every rank */
    for (int i = 0; i < N_PARAMS; i++)
        ((float *) &w)[i] = (float) ((uniform() - 0.5) * 0.25);
    t1 = MPI_Wtime();
    train(&w, &d, order, d.n - N_TEST, argc > 2 ? atoi(argv[2]) : 20, rank, world);
    t2 = MPI_Wtime();
    bad = differs(&w);
    printf("rank %d of %d gpu %s parameters %s\n", rank, world,
           getenv("CUDA_VISIBLE_DEVICES") ? getenv("CUDA_VISIBLE_DEVICES") : "-", bad ? "DIFFER" : "identical");
    fflush(stdout);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) {
        double a = accuracy(&w, &d, order, d.n - N_TEST);
        printf("times: load %.2f s, training %.2f s\naccuracy %.3f\n", t1 - t0, t2 - t1, a);
        bad |= a < 0.90;
    }
    MPI_Finalize();
    return bad;
}
