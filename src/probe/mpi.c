/* mpi.c - all-reduce by MPI, between the memories of hosts
 *
 * Layer: probe.
 */
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "probe/probe.h"

static struct {
    float *in, *out;
    size_t bytes; /* each has */
} mem;

static int failed(const char *what, int rc, char *why)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int len = 0;
    MPI_Error_string(rc, text, &len);
    return probe_fail(why, "%s: %.200s", what, text);
}

static int comm_new(MPI_Comm comm, struct probe_comm *out, char *why)
{
    MPI_Comm *own = malloc(sizeof *own);
    if (!own)
        return probe_fail(why, "no memory for a communicator");
    *own = comm;
    out->own = own;
    MPI_Comm_rank(comm, &out->rank);
    MPI_Comm_size(comm, &out->n);
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    return 0;
}

static int start(const struct tug_world *w, struct probe_comm *all, char *why)
{
    int rc = MPI_Init(NULL, NULL);
    if (rc != MPI_SUCCESS)
        return failed("MPI_Init", rc, why);
    if (comm_new(MPI_COMM_WORLD, all, why))
        return -1;
    /* An MPI that does not find its PMIx server takes itself for alone, and everything seems well. */
    if (all->rank != w->rank || all->n != w->size)
        return probe_fail(why, "MPI says rank %d of %d and Tugline %d of %d: this MPI has not found its ranks over PMIx",
                          all->rank, all->n, w->rank, w->size);
    return 0;
}

static int split(const struct probe_comm *of, int color, struct probe_comm *out, char *why)
{
    MPI_Comm comm;
    int rc = MPI_Comm_split(*(MPI_Comm *) of->own, color < 0 ? MPI_UNDEFINED : color, of->rank, &comm);
    *out = (struct probe_comm){0};
    if (rc != MPI_SUCCESS)
        return failed("MPI_Comm_split", rc, why);
    return comm == MPI_COMM_NULL ? 0 : comm_new(comm, out, why);
}

static int room_for(size_t bytes, char *why)
{
    if (bytes <= mem.bytes)
        return 0;
    free(mem.in);
    free(mem.out);
    mem.bytes = 0;
    mem.in = malloc(bytes);
    mem.out = malloc(bytes);
    if (!mem.in || !mem.out)
        return probe_fail(why, "no memory for two times %zu bytes", bytes);
    mem.bytes = bytes;
    return 0;
}

static int reduce(struct probe_comm *c, size_t bytes, int times, double *seconds, char *why)
{
    size_t n = bytes / sizeof(float);
    if (room_for(bytes, why))
        return -1;
    if (n > 0x7fffffff)
        return probe_fail(why, "%zu bytes are more than one MPI_Allreduce takes", bytes);
    for (size_t i = 0; i < n; i++)
        mem.in[i] = (float) (i % 7 + 1);
    memset(mem.out, 0, bytes);
    MPI_Barrier(*(MPI_Comm *) c->own);
    double from = MPI_Wtime();
    for (int i = 0; i < times; i++) {
        int rc = MPI_Allreduce(mem.in, mem.out, (int) n, MPI_FLOAT, MPI_SUM, *(MPI_Comm *) c->own);
        if (rc != MPI_SUCCESS)
            return failed("MPI_Allreduce", rc, why);
    }
    *seconds = MPI_Wtime() - from;
    for (size_t i = 0; i < n; i += n < 4096 ? 1 : n / 997)
        if (mem.out[i] != (float) (i % 7 + 1) * (float) c->n)
            return probe_fail(why, "the sum over %d ranks is wrong: number %zu of %zu bytes is %g and not %g", c->n,
                              i, bytes, (double) mem.out[i], (double) (i % 7 + 1) * c->n);
    return 0;
}

static int gather(struct probe_comm *c, double mine, double *all, char *why)
{
    int rc = MPI_Allgather(&mine, 1, MPI_DOUBLE, all, 1, MPI_DOUBLE, *(MPI_Comm *) c->own);
    return rc == MPI_SUCCESS ? 0 : failed("MPI_Allgather", rc, why);
}

static void drop(struct probe_comm *c)
{
    if (c->own && *(MPI_Comm *) c->own != MPI_COMM_WORLD)
        MPI_Comm_free(c->own);
    free(c->own);
    *c = (struct probe_comm){0};
}

static void finish(void)
{
    free(mem.in);
    free(mem.out);
    MPI_Finalize();
}

const struct probe_transport probe_transport = {
    .name = "mpi",
    .sizes = "4K..16M",
    .try_bytes = 4 << 20,
    .start = start,
    .split = split,
    .reduce = reduce,
    .gather = gather,
    .drop = drop,
    .finish = finish,
};
