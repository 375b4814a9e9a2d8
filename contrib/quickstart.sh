#!/bin/bash
# quickstart.sh - from a fresh Debian 12 machine to two trained models, in one command
#
# Installs what is missing (root; else it names it), builds in build/quickstart, starts an embedded cluster of 4 nodes
# with 8 emulated GPUs each, and runs the main job on real data: a gang of 4 nodes x 2 ranks trains a classifier of
# handwritten digits with PyTorch DDP, and another one trains it with Open MPI all-reduce in C, without mpirun.
# Nothing of it needs root. Exits 0 only if both gangs trained (accuracy >= 0.90).
#
#     contrib/quickstart.sh [--keep]      --keep leaves the cluster running
set -u
cd "$(dirname "$0")/.." || exit 1
top=$PWD
build=$top/build/quickstart
keep=0
[ "${1:-}" = --keep ] && keep=1

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n== %s\n' "$*"; }
fail() { echo "quickstart: $*" >&2; exit 1; }
run() { printf '$ %s\n' "$*"; "$@"; }

say "packages"
contrib/packages.sh build demo || exit 1
echo "all there"

say "build (in build/quickstart; log: build/quickstart/build.log)"
mkdir -p "$build"
[ -x configure ] && [ configure -nt configure.ac ] || ./autogen.sh >"$build/autogen.log" 2>&1 || fail "autogen.sh failed; see $build/autogen.log"
(cd "$build" && { [ -f Makefile ] || "$top/configure" >configure.log 2>&1; }) || { tail -20 "$build/configure.log"; fail "configure failed"; }
make -C "$build" -j"$(nproc)" >"$build/build.log" 2>&1 || { tail -20 "$build/build.log"; fail "the build failed"; }
mpicc -O2 -o "$build/digits_mpi" contrib/examples/digits_mpi.c -lm || fail "digits_mpi.c did not build"
PATH=$build:$PATH
export PATH

data=$(/usr/bin/python3 -c 'import os, sklearn; print(os.path.dirname(sklearn.__file__))')/datasets/data/digits.csv.gz
work=$(mktemp -d "${TMPDIR:-/tmp}/tug-quickstart.XXXXXX") || exit 1
zcat "$data" >"$work/digits.csv" || fail "the handwritten digits are not at $data"
XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$XDG_RUNTIME_DIR"
export XDG_RUNTIME_DIR
cd "$work" || exit 1

stop()
{
    [ "$keep" = 1 ] && return
    tug sandbox stop >/dev/null 2>&1
    cd / && rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

say "an embedded cluster: 4 nodes with 8 emulated GPUs each"
run tug sandbox start --nodes 4 --gpus 8 || fail "the sandbox did not start"
run tug nodes

say "two gangs of 4 nodes x 2 ranks, one GPU a rank"
ddp=$(tug submit --parsable -J digits-ddp -N 4 --ntasks-per-node 2 --gpus-per-task 1 -t 10 \
    -- /usr/bin/python3 "$top/contrib/examples/digits_ddp.py") || fail "the DDP gang was not accepted"
mpi=$(tug submit --parsable -J digits-mpi -N 4 --ntasks-per-node 2 --gpus-per-task 1 -t 10 \
    -- "$build/digits_mpi" "$work/digits.csv") || fail "the MPI gang was not accepted"
echo "submitted jobs $ddp (PyTorch DDP, gloo, env://) and $mpi (Open MPI over PMIx, no mpirun)"
run tug queue
run tug show "$ddp"

say "the logs of job $ddp, as they come"
run tug logs -f "$ddp"
say "the logs of job $mpi"
run tug logs -f "$mpi"

run tug wait "$ddp"
ddp_rc=$?
run tug wait "$mpi"
mpi_rc=$?

say "what it took"
report()
{
    tug show --json "$1" | /usr/bin/python3 -c '
import json, sys
job = json.load(sys.stdin)["job"]
def seconds(a, b):
    return "%.2f s" % ((job[b] - job[a]) / 1000.0) if job[a] and job[b] else "-"
print("job %s (%s): %s; waiting %s, launch %s, wire-up %s, running %s, on %s" % (
    job["id"], job["name"], job["state"], seconds("submit_ms", "alloc_ms"), seconds("alloc_ms", "launched_ms"),
    seconds("launched_ms", "wired_ms"), seconds("launched_ms", "end_ms"), job["nodelist"]))
for slice in job["slices"]:
    gpus = [str(i) for i in range(64) if slice["gpus"] >> i & 1]
    print("    %s  ranks %d-%d  GPUs %s" % (slice["node"], slice["first_rank"], slice["first_rank"] + slice["ntasks"] - 1, ",".join(gpus)))
'
    tug logs "$1" | grep -E '^0: (accuracy|times)' | sed 's/^0: /    /'
}
report "$ddp"
report "$mpi"

good=0
for job in "$ddp" "$mpi"; do
    tug logs --rank 0 "$job" | awk '$1 == "accuracy" && $2 >= 0.90 { ok = 1 } END { exit !ok }' && good=$((good + 1))
done
if [ "$ddp_rc" -ne 0 ] || [ "$mpi_rc" -ne 0 ] || [ "$good" -ne 2 ]; then
    tug show "$ddp" "$mpi"
    tail -20 "$XDG_RUNTIME_DIR"/tugline/sandbox/*.log 2>/dev/null
    fail "$good of 2 gangs trained"
fi

say "both gangs trained. Three commands to try next"
cat <<EOF
    export PATH=$build:\$PATH
    tug sandbox start --nodes 4 --gpus 8      # a cluster of your own; 'tug sandbox stop' ends it
    tug run -N 2 -n 4 -l -- hostname          # a gang whose output comes to your terminal
    tug submit -N 4 --gpus-per-node 8 --wrap 'tug run -l env | grep RANK'
EOF
