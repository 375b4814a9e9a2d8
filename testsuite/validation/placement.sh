#!/bin/sh
# placement.sh - placements side by side on recorded traces, as Markdown; no test, run by hand
#
#     TUG_TRACES=/path/of/traces TUG_BUILDDIR=b sh testsuite/validation/placement.sh [WORKLOAD...]
#
# WORKLOAD: some of philly itp04 helios (all). Nodes are MACHINE (dgx1-v100), in leaves of 8 below one spine, which is
# oversubscribed 2:1. POLICY (easy) starts jobs. Bandwidth is what the core predicts for a gang's all-reduce, quality that over the
# best that the empty cluster could give it, both means over the gangs on several nodes, and the quality over all of 2 GPUs or more; fragmented is the part of the free GPUs
# that typical gangs cannot use (FGD's measure). treefit and scatter are testsuite/plugins/treefit.c: best fit on the leaves as
# Slurm's topology/tree documents it, and random.
set -u
build=${TUG_BUILDDIR:-.}
machine=${MACHINE:-dgx1-v100}
policy=${POLICY:-easy}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

workload()
{
    case $1 in
    philly) echo "96 philly_2017.csv.gz" ;;
    itp04) echo "80 itp_2021.csv.gz --queue cluster04" ;;
    helios) echo "24 helios_venus_2vc_sept2020.csv.gz --queue vcvGl" ;;
    *) echo "placement.sh: there is no workload '$1'" >&2; exit 2 ;;
    esac
}

# cluster NODES: so many nodes in leaves of 8
cluster()
{
    awk -v n="$1" -v machine="$machine" 'BEGIN {
        printf "cluster: {name: sim}\nnodes: [{name: \"n[1-%d]\", machine: %s, cpus: 256, memory: 2048G, gpus: 8}]\nfabric:\n  - {name: spine, level: spine}\n", n, machine
        for (i = 0; i * 8 < n; i++)
            printf "  - {name: leaf%d, level: leaf, parent: spine, nodes: \"n[%d-%d]\"}\n", i + 1, i * 8 + 1, i * 8 + 8
        printf "fabric_levels: {leaf: {oversubscription: 2}}\n"
    }'
}

row()
{
    tr ',' '\n' | awk -v name="$1" '
        match($0, /"[a-z0-9_]+": -?[0-9]/) { key = substr($0, RSTART + 1); sub(/".*/, "", key); v = $0; sub(/.*: /, "", v); if (!(key in got)) got[key] = v + 0 }
        END {
            if (!("wide_quality_avg" in got)) { printf "| %s | - |\n", name; exit }
            printf "| %s | %.1f | %.3f | %.3f | %.2f %% | %.3f |\n", name, got["wide_gbs_avg"], got["wide_quality_avg"], got["quality_avg"],
                   100 * got["fragmented_avg"], got["gpu_use"]
        }'
}

simulate()
{
    name=$1
    shift
    "$build/tug-sim" run --trace "${TUG_TRACES:?}/$trace" --any-queue --config "$work/c.yaml" --policy-dir "$build/plugins" \
        --policy-dir "$build/testsuite/plugins" --json $more "$@" 2>"$work/why" | row "$name"
    grep -v '^tug-sim: note' "$work/why" >&2
}

for w in ${*:-philly itp04 helios}; do
    # shellcheck disable=SC2046
    set -- $(workload "$w")
    cluster "$1" >"$work/c.yaml"
    nodes=$1 trace=$2
    shift 2
    more=$*
    echo "### $w: $trace $more on $nodes x $machine, leaves of 8, 2:1, $policy"
    echo "| placement | bandwidth GB/s | quality | quality of all gangs | fragmented | GPU use |"
    echo "|---|---|---|---|---|---|"
    simulate topology --policy "$policy" --placement topology
    simulate first-fit --policy "$policy" --placement first-fit
    simulate consolidate --policy "$policy" --placement consolidate
    simulate 'tree best-fit (Slurm-like)' --policy "$policy+treefit"
    simulate random --policy "$policy+treefit" --param treefit.scatter=yes
    echo
done
