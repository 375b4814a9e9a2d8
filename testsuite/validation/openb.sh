#!/bin/sh
# openb.sh - tug-sim pack reproduces the published fragmentation figures on the openb trace
#
# Weng et al., "Beware of Fragmentation" (ATC 2023): GPUs given away when as many have been asked for as there are, the
# mean of ten random orders. The trace is not part of this tree: TUG_TRACES=/path/of/traces, with openb_raw/
# (alibaba/clusterdata, cluster-trace-gpu-v2023). Without it everything is skipped. Prints TAP.
set -u
build=${TUG_BUILDDIR:-.}
nodes=openb_raw/openb_node_list_gpu_node.csv.gz
pods=openb_raw/openb_pod_list_default.csv.gz
seeds='1 2 3 4 5 6 7 8 9 10'
# score, GPUs given away in per cent
rows='random 86.30
packing 91.78
bestfit 92.86
fgd 95.23'
tolerance=0.5

if [ -z "${TUG_TRACES:-}" ]; then
    echo "1..0 # SKIP TUG_TRACES does not say where the traces are"
    exit 0
fi
for file in "$nodes" "$pods"; do
    if [ ! -f "$TUG_TRACES/$file" ]; then
        echo "1..0 # SKIP there is no $file in $TUG_TRACES"
        exit 0
    fi
done
echo 1..4
n=0
echo "$rows" | while read -r score percent; do
    n=$((n + 1))
    for seed in $seeds; do
        "$build/tug-sim" pack --nodes "$TUG_TRACES/$nodes" --pods "$TUG_TRACES/$pods" --policy fgd \
            --param score="$score" --policy-dir "$build/plugins" --seed "$seed" --json
    done | sed -n 's/.*"allocated_at_100_pct": \([0-9.]*\).*/\1/p' |
    awk -v percent="$percent" -v tolerance="$tolerance" -v wanted=10 \
        -v what="$n - $score gives away $percent % of the GPUs, within $tolerance" '
        { sum += $1; seeds++ }
        END { mean = seeds ? sum / seeds : 0; off = mean > percent ? mean - percent : percent - mean
              print (seeds == wanted && off <= tolerance ? "ok " : "not ok ") what
              printf "# got %.2f from %d orders\n", mean, seeds }'
done
