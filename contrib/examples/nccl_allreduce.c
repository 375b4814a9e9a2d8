/* nccl_allreduce.c - a gang adds up numbers with NCCL, one GPU a rank
 *
 *     cc nccl_allreduce.c $(pkg-config --cflags --libs tugline) -lnccl -lcudart
 *     tug run -N 2 --ntasks-per-node 8 --gpus-per-task 1 ./nccl_allreduce
 *
 * tug_nccl_init() gives the communicator; nothing is configured. Every rank gives its number + 1, all get the sum, twice over:
 * in the communicator of all ranks and in one for the ranks of its own node.
 * Exit status: 0 the sums are right, 1 not, 2 no GPU or NCCL failed (it says which).
 */
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <tugline/nccl.h>

enum { N = 1 << 20, ROUNDS = 20 };

static struct tug_world w;

static void cuda(cudaError_t rc, const char *what)
{
    if (rc != cudaSuccess) {
        fprintf(stderr, "rank %d: %s: %s\n", w.rank, what, cudaGetErrorString(rc));
        exit(2);
    }
}

static void nccl(ncclResult_t rc, const char *what)
{
    if (rc != ncclSuccess) {
        fprintf(stderr, "rank %d: %s: %s\n", w.rank, what, ncclGetErrorString(rc));
        exit(2);
    }
}

/* The sum over the communicator's ranks of what each gives. */
static float sum(ncclComm_t comm, float mine)
{
    float *device, result;
    cudaStream_t stream;
    cuda(cudaStreamCreate(&stream), "cudaStreamCreate");
    cuda(cudaMalloc((void **) &device, N * sizeof *device), "cudaMalloc");
    cuda(cudaMemset(device, 0, N * sizeof *device), "cudaMemset");
    for (int i = 0; i < ROUNDS; i++) {
        cuda(cudaMemcpyAsync(device + N - 1, &mine, sizeof mine, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
        nccl(ncclAllReduce(device, device, N, ncclFloat, ncclSum, comm, stream), "ncclAllReduce");
    }
    cuda(cudaMemcpyAsync(&result, device + N - 1, sizeof result, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
    cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    cudaFree(device);
    cudaStreamDestroy(stream);
    return result;
}

/* The ranks of this node are numbered one after the other. */
static ncclComm_t node_comm(void)
{
    char why[TUG_WHY_MAX], name[32];
    ncclComm_t comm;
    int first = w.rank - w.local_rank, *ranks = malloc((size_t) w.local_size * sizeof *ranks);
    if (!ranks)
        exit(2);
    for (int i = 0; i < w.local_size; i++)
        ranks[i] = first + i;
    snprintf(name, sizeof name, "node %d", w.node);
    if (tug_nccl_init_group(&comm, &(struct tug_group){name, ranks, w.local_size}, why)) {
        fprintf(stderr, "rank %d: %s\n", w.rank, why);
        exit(2);
    }
    free(ranks);
    return comm;
}

int main(void)
{
    char why[TUG_WHY_MAX];
    ncclComm_t all;
    if (tug_world_get(&w, why) || tug_nccl_init(&all, why)) {
        fprintf(stderr, "%s\n", why);
        return 2;
    }
    ncclComm_t node = node_comm();
    int first = w.rank - w.local_rank;
    float of_all = sum(all, (float) w.rank + 1), of_node = sum(node, (float) w.rank + 1);
    float want_all = (float) w.size * (float) (w.size + 1) / 2;
    float want_node = (float) w.local_size * (float) (2 * first + w.local_size + 1) / 2;
    int right = of_all == want_all && of_node == want_node;
    printf("rank %d of %d on node %d: sum %.0f, of its node %.0f: %s\n", w.rank, w.size, w.node, of_all, of_node,
           right ? "right" : "WRONG");
    ncclCommDestroy(node);
    ncclCommDestroy(all);
    return !right;
}
