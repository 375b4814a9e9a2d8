/* nccl.c - all-reduce by NCCL, between the memories of GPUs; one GPU a rank
 *
 * Layer: probe.
 */
#include <cuda_runtime.h>
#include <stdlib.h>
#include <time.h>
#include <tugline/nccl.h>

#include "probe/probe.h"

static struct {
    float *in, *out; /* on the GPU */
    size_t bytes;
    cudaStream_t stream;
} mem;

static int cuda_failed(const char *what, cudaError_t rc, char *why)
{
    return probe_fail(why, "%s: %s", what, cudaGetErrorString(rc));
}

static int nccl_failed(const char *what, ncclResult_t rc, char *why)
{
    return probe_fail(why, "%s: %s", what, ncclGetErrorString(rc));
}

static int start(const struct tug_world *w, struct probe_comm *all, char *why)
{
    int n = 0;
    cudaError_t rc = cudaGetDeviceCount(&n);
    if (rc != cudaSuccess || n == 0)
        return probe_fail(why, "rank %d sees no GPU: %s", w->rank,
                          rc != cudaSuccess ? cudaGetErrorString(rc) : "there is none");
    rc = cudaSetDevice(n > 1 ? w->local_rank % n : 0);
    if (rc == cudaSuccess)
        rc = cudaStreamCreate(&mem.stream);
    if (rc != cudaSuccess)
        return cuda_failed("cudaStreamCreate", rc, why);
    ncclComm_t comm;
    if (tug_nccl_init(&comm, why))
        return -1;
    *all = (struct probe_comm){w->rank, w->size, comm};
    return 0;
}

static int split(const struct probe_comm *of, int color, struct probe_comm *out, char *why)
{
    ncclComm_t comm = NULL;
    *out = (struct probe_comm){0};
    ncclResult_t rc = ncclCommSplit(of->own, color < 0 ? NCCL_SPLIT_NOCOLOR : color, of->rank, &comm, NULL);
    if (rc == ncclSuccess && comm) {
        out->own = comm;
        rc = ncclCommUserRank(comm, &out->rank);
        if (rc == ncclSuccess)
            rc = ncclCommCount(comm, &out->n);
    }
    return rc == ncclSuccess ? 0 : nccl_failed("ncclCommSplit", rc, why);
}

static int room_for(size_t bytes, char *why)
{
    if (bytes <= mem.bytes)
        return 0;
    cudaFree(mem.in);
    cudaFree(mem.out);
    mem.in = mem.out = NULL;
    mem.bytes = 0;
    cudaError_t rc = cudaMalloc((void **) &mem.in, bytes);
    if (rc == cudaSuccess)
        rc = cudaMalloc((void **) &mem.out, bytes);
    if (rc != cudaSuccess)
        return cuda_failed("cudaMalloc", rc, why);
    mem.bytes = bytes;
    return 0;
}

/* One number at the end of the buffer stands for all: it is the last that an all-reduce writes. */
static int set_and_clear(size_t n, float mine, char *why)
{
    cudaError_t rc = cudaMemset(mem.in, 0, n * sizeof(float));
    if (rc == cudaSuccess)
        rc = cudaMemset(mem.out, 0, n * sizeof(float));
    if (rc == cudaSuccess)
        rc = cudaMemcpy(mem.in + n - 1, &mine, sizeof mine, cudaMemcpyHostToDevice);
    return rc == cudaSuccess ? 0 : cuda_failed("cudaMemset", rc, why);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

static int reduce(struct probe_comm *c, size_t bytes, int times, double *seconds, char *why)
{
    size_t n = bytes / sizeof(float);
    float sum = 0;
    if (room_for(bytes, why) || set_and_clear(n, 3, why))
        return -1;
    cudaStreamSynchronize(mem.stream);
    double from = now_s();
    for (int i = 0; i < times; i++) {
        ncclResult_t rc = ncclAllReduce(mem.in, mem.out, n, ncclFloat, ncclSum, c->own, mem.stream);
        if (rc != ncclSuccess)
            return nccl_failed("ncclAllReduce", rc, why);
    }
    cudaError_t rc = cudaStreamSynchronize(mem.stream);
    *seconds = now_s() - from;
    if (rc == cudaSuccess)
        rc = cudaMemcpy(&sum, mem.out + n - 1, sizeof sum, cudaMemcpyDeviceToHost);
    if (rc != cudaSuccess)
        return cuda_failed("ncclAllReduce", rc, why);
    if (sum != 3.0f * (float) c->n)
        return probe_fail(why, "the sum over %d ranks is wrong: %g and not %g", c->n, (double) sum, 3.0 * c->n);
    return 0;
}

static int gather(struct probe_comm *c, double mine, double *all, char *why)
{
    double *device = NULL;
    size_t n = (size_t) c->n;
    cudaError_t rc = cudaMalloc((void **) &device, (n + 1) * sizeof *device);
    if (rc == cudaSuccess)
        rc = cudaMemcpy(device + n, &mine, sizeof mine, cudaMemcpyHostToDevice);
    ncclResult_t st = ncclSuccess;
    if (rc == cudaSuccess)
        st = ncclAllGather(device + n, device, 1, ncclDouble, c->own, mem.stream);
    if (rc == cudaSuccess && st == ncclSuccess)
        rc = cudaStreamSynchronize(mem.stream);
    if (rc == cudaSuccess && st == ncclSuccess)
        rc = cudaMemcpy(all, device, n * sizeof *all, cudaMemcpyDeviceToHost);
    cudaFree(device);
    if (st != ncclSuccess)
        return nccl_failed("ncclAllGather", st, why);
    return rc == cudaSuccess ? 0 : cuda_failed("ncclAllGather", rc, why);
}

static void drop(struct probe_comm *c)
{
    if (c->own)
        ncclCommDestroy(c->own);
    *c = (struct probe_comm){0};
}

static void finish(void)
{
    cudaFree(mem.in);
    cudaFree(mem.out);
    cudaStreamDestroy(mem.stream);
}

const struct probe_transport probe_transport = {
    .name = "nccl",
    .sizes = "64K..1G",
    .try_bytes = 256 << 20,
    .start = start,
    .split = split,
    .reduce = reduce,
    .gather = gather,
    .drop = drop,
    .finish = finish,
};
