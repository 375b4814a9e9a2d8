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
    [[ "${lines[1]}" == *SIZE*TIME*ALGBW*BUSBW*PREDICTED ]]
    [[ "${lines[2]}" == *" 4K "*"B/s "*- ]]
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
    run tug bench allreduce -N 2 --sizes 4K --floor 99TB/s
    [ "$status" -eq 1 ]
    [[ "$output" == *"the best bus bandwidth is "*", below the floor of 99.0 TB/s" ]]
    run tug bench allreduce -N 2 --sizes 4K --floor 0.5
    [ "$status" -eq 1 ]
    [[ "$output" == *"nothing is predicted for these nodes"*"give the floor as a rate, like 8GB/s"* ]]
    run tug bench allreduce -N 2 --sizes 4K --floor 1KB/s
    [ "$status" -eq 0 ]
}

@test "where it is known how fast a machine is, that stands beside, and a floor may be a part of it" {
    need_mpi
    export XDG_RUNTIME_DIR="$BATS_TEST_TMPDIR/run"
    mkdir -m 700 "$XDG_RUNTIME_DIR"
    tug sandbox start --nodes 1 --machine hgx-h100
    run tug bench allreduce -N 1 --gpus-per-node 2 --sizes 4K --floor 0.5
    tug bench allreduce -N 1 --gpus-per-node 2 --sizes 4K --json >predicted.json || true
    tug sandbox stop
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *" 4K "*" GB/s"* ]]
    [[ "$output" == *"below the floor of "* ]]
    python3 -c 'import json; b = json.load(open("predicted.json")); assert b["predicted_bytes_s"] > 1e11 and b["passed"], b'
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
    [[ "$output" == *"--floor: "*"'8'"* ]]
    run tug bench allreduce --nods 2
    [ "$status" -eq 2 ]
    [[ "$output" == *"--nods"* ]]
    run tug bench allreduce -N 2 -- ./mine
    [ "$status" -eq 2 ]
    [[ "$output" == *"'./mine' is one too many"* ]]
    [ "$(tug history --json | grep -o bench-allreduce | wc -l)" -eq "$before" ]
}

# A prober whose all-reduce is slow on one node, or that hangs there: what broken hardware does, in a wrapper.
wrapper()
{
    cat >"$1" <<END
#!/bin/sh
$2
exec "$TUG_BUILDDIR/tug-probe-mpi" "\$@"
END
    chmod +x "$1"
}

make_slow()
{
    cat >slow.c <<'END'
#include <mpi.h>
#include <time.h>
int MPI_Allreduce(const void *in, void *out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    nanosleep(&(struct timespec){0, 500000000}, NULL);
    return PMPI_Allreduce(in, out, n, type, op, comm);
}
END
    mpicc -shared -fPIC -o slow.so slow.c
    wrapper slow "[ \"\$TUG_NODE\" != $1 ] || export LD_PRELOAD=$WORK/slow.so"
}

@test "a job starts after its preflight, which shows nowhere but in tug show" {
    need_mpi
    id=$(tug submit --parsable -N 2 --ntasks-per-node 1 --preflight=allreduce:1KB/s -- sh -c 'echo rank $RANK on $TUG_NODE')
    run tug wait "$id"
    tug show "$id"
    [ "$status" -eq 0 ]
    [ "$(field "$id" attempt)" = 1 ]
    [[ "$(tug show "$id")" == *"preflight   allreduce:1KB/s@2m"* ]]
    [ "$(tug logs "$id" | wc -l)" -eq 2 ]
}

@test "a slow node is found by its figure, and the job starts on others" {
    need_mpi
    make_slow n2
    id=$(tug submit --parsable -N 3 --ntasks-per-node 1 --preflight="$WORK/slow:12MB/s@60s" -- sh -c 'echo $TUG_NODE')
    run tug wait "$id"
    tug show "$id"
    [ "$status" -eq 0 ]
    [ "$(field "$id" attempt)" = 2 ]
    [ "$(tug logs "$id" | sort -k 2 | cut -d ' ' -f 2 | tr '\n' ' ')" = "n1 n3 n4 " ]
    [[ "$(field "$id" cause.text)" == "preflight: all-reduce "*" MB/s, floor 12.0 MB/s; n2 with its neighbours "* ]]
    [ "$(field "$id" asked_not)" = n2 ]
    run tug nodes n2
    [[ "$output" == *IDLE* ]]
}

@test "a node whose prober hangs is named at the deadline, and the job starts on others" {
    need_mpi
    wrapper hang '[ "$TUG_NODE" != n1 ] || exec sleep 600'
    id=$(tug submit --parsable -N 3 --ntasks-per-node 1 --preflight="$WORK/hang@5s" -- sh -c 'echo $TUG_NODE')
    run tug wait "$id"
    tug show "$id"
    [ "$status" -eq 0 ]
    [[ "$(field "$id" cause.text)" == *"node n1 did not answer within 5 s"* ]]
    [ "$(tug logs "$id" | sort -k 2 | cut -d ' ' -f 2 | tr '\n' ' ')" = "n2 n3 n4 " ]
}

@test "a preflight that fails for no node's fault is given up after three times, with its words" {
    need_mpi
    id=$(tug submit --parsable -N 2 --preflight=/nonexistent/check -- true)
    run tug wait "$id"
    [ "$status" -ne 0 ]
    [ "$(field "$id" state)" = BOOT_FAIL ]
    [ "$(field "$id" attempt)" = 3 ]
    [[ "$(field "$id" cause.text)" == "preflight: "*"/nonexistent/check"* ]]
    run tug run -N 2 --preflight=allreduce:99TB/s true
    [ "$status" -ne 0 ]
    [[ "$output" == *"floor 99.0 TB/s"* ]]
    run tug submit --preflight=broadcast -- true
    [ "$status" -eq 2 ]
    [[ "$output" == *"'broadcast' is no preflight; write allreduce"* ]]
}

@test "the preflight of a queue drains what it finds, with the figure as the reason" {
    need_mpi
    make_slow n4
    printf 'queues:\n  main:\n    preflight: %s\n    preflight_drains: true\n' "$WORK/slow:12MB/s@60s" >>"$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml"
    tug sandbox restart
    id=$(tug submit --parsable -N 3 -w 'n[1-4]' --ntasks-per-node 1 -x n1 -- true)
    until_ok 60 eval 'tug nodes n4 | grep -q DRAINED'
    run tug nodes n4
    [[ "$output" == *"preflight of job $id: all-reduce "* ]]
    [[ "$output" == *"floor 12.0 MB/s"* ]]
    tug cancel "$id"
    tug resume n4
}
