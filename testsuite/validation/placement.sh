#!/bin/sh
# placement.sh - placements side by side on recorded traces, as Markdown; no test, run by hand
#
#     TUG_TRACES=/path/of/traces TUG_BUILDDIR=b sh testsuite/validation/placement.sh [WORKLOAD...]
#
# WORKLOAD: some of philly itp04 helios (all). Which gang finds which hole is chance, and one simulation can go either way by half a
# percent: figures are means over clusters of several SIZES and, on each, over run times as they were and as NOISE of them say. Nodes are MACHINE (dgx1-v100), in leaves of 8 below one spine, which is
# oversubscribed 2:1. POLICY (easy) starts jobs. Bandwidth is what the core predicts for a gang's all-reduce, quality that over the
# best that the empty cluster could give it, both means over the gangs on several nodes, and the quality over all of 2 GPUs or more; fragmented is the part of the free GPUs
# that typical gangs cannot use (FGD's measure). treefit and scatter are testsuite/plugins/treefit.c: best fit on the leaves as
# Slurm's topology/tree documents it, and random.
set -u
build=${TUG_BUILDDIR:-.}
machine=${MACHINE:-dgx1-v100}
policy=${POLICY:-easy}
noise=${NOISE:-2}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

workload()
{
    case $1 in
    philly) echo "72,80,88,96,104 philly_2017.csv.gz" ;;
    itp04) echo "72,76,80,84,88 itp_2021.csv.gz --queue cluster04" ;;
    helios) echo "20,24,28 helios_venus_2vc_sept2020.csv.gz --queue vcvGl" ;;
    *) echo "placement.sh: there is no workload '$1'" >&2; exit 2 ;;
    esac
}

# cluster NODES: so many nodes in leaves of 8
cluster()
{
    awk -v n="$1" -v machine="$machine" 'BEGIN {
        printf "cluster: {name: sim}\nnodes: [{name: \"n[1-%d]\", machine: %s, cpus: 256, memory: 2048G, gpus: 8}]\nfabric:\n  - {name: spine, level: spine}\n", n, machine
        for (i = 0; i * 8 < n; i++)
            printf "  - {name: leaf%d, level: leaf, parent: spine, nodes: \"n[%d-%d]\"}\n", i + 1, i * 8 + 1, i * 8 + 8 < n ? i * 8 + 8 : n
        printf "fabric_levels: {leaf: {oversubscription: 2}}\n"
    }'
}

# row NAME: means of the simulations on stdin, an object each
row()
{
    awk -v name="$1" '
        function get(key) { return match($0, "\"" key "\": [0-9.]+") ? substr($0, RSTART + length(key) + 4, RLENGTH - length(key) - 4) : 0 }
        /"wide_quality_avg"/ {
            n++; gbs += get("wide_gbs_avg"); wide += get("wide_quality_avg"); all += get("quality_avg"); part += get("fragmented_avg")
            use += get("gpu_use")
        }
        END {
            if (!n) { printf "| %s | - |\n", name; exit }
            printf "| %s | %.1f | %.4f | %.4f | %.2f %% | %.3f |\n", name, gbs / n, wide / n, all / n, 100 * part / n, use / n
        }'
}

simulate()
{
    name=$1
    shift
    for nodes in $(echo "$sizes" | tr ',' ' '); do
        for estimates in exact $(seq -f 'noise:%g' 1 "$noise"); do
            "$build/tug-sim" run --trace "${TUG_TRACES:?}/$trace" --any-queue --config "$work/$nodes.yaml" --policy-dir "$build/plugins" \
                --policy-dir "$build/testsuite/plugins" --estimates "$estimates" --json $more "$@" 2>"$work/why" || echo
            grep -v '^tug-sim: note' "$work/why" >&2
        done
    done | row "$name"
}

for w in ${*:-philly itp04 helios}; do
    # shellcheck disable=SC2046
    set -- $(workload "$w")
    sizes=$1 trace=$2
    for nodes in $(echo "$sizes" | tr ',' ' '); do cluster "$nodes" >"$work/$nodes.yaml"; done
    shift 2
    more=$*
    echo "### $w: $trace $more on $sizes x $machine, leaves of 8, 2:1, $policy, noise $noise"
    echo "| placement | bandwidth GB/s | quality | quality of all gangs | fragmented | GPU use |"
    echo "|---|---|---|---|---|---|"
    simulate topology --policy "$policy" --placement topology
    simulate first-fit --policy "$policy" --placement first-fit
    simulate consolidate --policy "$policy" --placement consolidate
    simulate 'tree best-fit (Slurm-like)' --policy "$policy+treefit"
    simulate random --policy "$policy+treefit" --param treefit.scatter=yes
    echo
done
