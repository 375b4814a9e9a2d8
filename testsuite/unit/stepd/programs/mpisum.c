/* mpisum.c - an MPI program that knows when it is right: size, sum, neighbours on the node
 *
 * Prints "rank R size N sum S local L" and fails when MPI's size is not WORLD_SIZE. "abort R" makes
 * rank R abort with 9; "kill R" makes rank R die by SIGKILL between two collectives; "late R" makes
 * rank R not call MPI_Init.
 */
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int rank, size, one, sum = 0, local;
    int victim = argc > 2 ? atoi(argv[2]) : -1;
    MPI_Comm node;

    if (argc > 1 && !strcmp(argv[1], "late") && atoi(getenv("RANK")) == victim)
        pause();
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    one = rank + 1;
    MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    MPI_Comm_size(node, &local);
    printf("rank %d size %d sum %d local %d\n", rank, size, sum, local);
    fflush(stdout);
    if (argc > 1 && !strcmp(argv[1], "abort") && rank == victim)
        MPI_Abort(MPI_COMM_WORLD, 9);
    if (argc > 1 && !strcmp(argv[1], "kill") && rank == victim)
        raise(SIGKILL);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
    return size == atoi(getenv("WORLD_SIZE")) ? 0 : 3;
}
