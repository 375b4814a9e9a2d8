#!/usr/bin/env bats
# What a gang's collectives need and what they give: libtugline, tug bench.

load common

setup_file() { sandbox_up --nodes 4 --gpus 2; }
teardown_file() { sandbox_down; }
setup() { cd "$WORK" || return 1; }

need_mpi() { [ -x "$TUG_BUILDDIR/tug-probe-mpi" ] || skip "built without MPI (Debian: libopenmpi-dev)"; }

@test "a program with libtugline gets the id of rank 0 on every rank of every node" {
    cat >who.c <<'END'
#include <stdio.h>
#include <string.h>
#include <tugline/tugline.h>
int main(void)
{
    struct tug_world w;
    char why[TUG_WHY_MAX], id[TUG_NCCL_ID_BYTES] = "";
    int rc = tug_world_get(&w, why);
    if (!rc && w.rank == 0)
        strcpy(id, "made by rank 0");
    rc = rc ? rc : tug_nccl_unique_id(NULL, id, why);
    printf("%d/%d %s\n", w.rank, w.size, rc ? why : id);
    return !!rc;
}
END
    ${CC:-cc} -o who who.c -I"$TUG_SRCDIR/src/include" "$TUG_BUILDDIR/libtugline.so.0" -Wl,-rpath,"$TUG_BUILDDIR" ||
        ${CC:-cc} -fsanitize=address,undefined -o who who.c -I"$TUG_SRCDIR/src/include" "$TUG_BUILDDIR/libtugline.a" $(pkg-config --libs pmix)
    run tug run -N 4 --ntasks-per-node 2 ./who
    echo "$output"
    [ "$status" -eq 0 ]
    for r in 0 1 2 3 4 5 6 7; do [[ "$output" == *"$r/8 made by rank 0"* ]]; done
    run tug run --launcher torch ./who
    [ "$status" -eq 1 ]
    [[ "$output" == *"0/1 rank 0 has no PMIx server to hand anything out"* ]]
}

@test "tug bench measures the all-reduce of the gang that it gets" {
    need_mpi
    run tug bench allreduce -N 2 --ntasks-per-node 2 --sizes 4K,1M
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "${lines[0]}" == "job "*": all-reduce by MPI, 4 ranks on 2 nodes" ]]
    [[ "${lines[1]}" == *SIZE*TIME*ALGBW*BUSBW* ]]
    [[ "${lines[2]}" == *" 4K "*"B/s"* ]]
    [[ "${lines[3]}" == *" 1M "*"B/s"* ]]
    [ "${#lines[@]}" -eq 4 ]
}

@test "GPUs are ranks, and the figures stand in the relation that they must" {
    need_mpi
    tug bench allreduce -N 2 --gpus-per-node 2 --sizes 64K --json >bench.json
    python3 - <<'END'
import json
b = json.load(open("bench.json"))
assert b["ranks"] == 4 and b["nodes"] == 2 and b["transport"] == "mpi" and b["passed"], b
row, = b["rows"]
assert row["bytes"] == 65536 and row["seconds"] > 0, row
assert abs(row["algbw_bytes_s"] / (65536 / row["seconds"]) - 1) < 1e-6, row
assert abs(row["busbw_bytes_s"] / (row["algbw_bytes_s"] * 2 * 3 / 4) - 1) < 1e-6, row
assert b["busbw_bytes_s"] == row["busbw_bytes_s"], b
END
}

@test "below the floor it fails and names both" {
    need_mpi
    run tug bench allreduce -N 2 --sizes 4K --floor 9999T
    [ "$status" -eq 1 ]
    [[ "$output" == *"the best bus bandwidth is "*", below the floor of 9999 TB/s" ]]
    run tug bench allreduce -N 2 --sizes 4K --floor 1K
    [ "$status" -eq 0 ]
}

@test "inside a job it is a step on the job's nodes" {
    need_mpi
    printf '#!/bin/sh\ntug bench allreduce --sizes 4K\n' >inside.sh
    id=$(tug submit --parsable -N 2 --ntasks-per-node 1 -t 5 inside.sh)
    tug wait "$id"
    run tug logs "$id"
    [[ "$output" == *"job $id: all-reduce by MPI, 2 ranks on 2 nodes"* ]]
}

@test "what is wrong is said before anything runs, and no job is left of it" {
    need_mpi
    before=$(tug history --json | grep -o bench-allreduce | wc -l)
    run tug bench
    [ "$status" -eq 2 ]
    [[ "$output" == *"tug bench allreduce"* ]]
    run tug bench broadcast -N 2
    [ "$status" -eq 2 ]
    [[ "$output" == *"'broadcast' is not measured; allreduce is"* ]]
    run tug bench allreduce -N 2 --floor 8
    [ "$status" -eq 2 ]
    [[ "$output" == *"--floor: '8' is no bandwidth; write 8G or 500M"* ]]
    run tug bench allreduce --nods 2
    [ "$status" -eq 2 ]
    [[ "$output" == *"--nods"* ]]
    run tug bench allreduce -N 2 -- ./mine
    [ "$status" -eq 2 ]
    [[ "$output" == *"'./mine' is one too many"* ]]
    [ "$(tug history --json | grep -o bench-allreduce | wc -l)" -eq "$before" ]
}
