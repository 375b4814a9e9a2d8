#!/bin/sh
# muri.sh - tug-sim reproduces published figures of SRTF, SRSF and 2D-LAS on the third trace of Muri
#
# The trace is not part of this tree: TUG_TRACES=/path/of/traces, with muri_trace3.csv.gz
# (Rivendile/Muri, SIGCOMM'22). Without it everything is skipped. Prints TAP.
#
# Run times have six decimals and so have the figures, hence the clock of microseconds, with which
# a policy's seconds are a thousand times as many. The published 2D-LAS counts free GPUs only.
set -u
build=${TUG_BUILDDIR:-.}
file=muri_trace3.csv.gz
# policy, mean and p99 completion and makespan in seconds, options
rows='srtf 190377.377380 4501678.817005 8173902.669030
srsf 183965.977985 3666482.586285 8173902.669030
las 340306.277096 4957927.361790 8173902.669030 --placement count --param thresholds=3250000,7200000 --param step=1000s'
tolerance=0.001

if [ -z "${TUG_TRACES:-}" ]; then
    echo "1..0 # SKIP TUG_TRACES does not say where the traces are"
    exit 0
fi
if [ ! -f "$TUG_TRACES/$file" ]; then
    echo "1..0 # SKIP there is no $file in $TUG_TRACES"
    exit 0
fi
echo 1..3
n=0
echo "$rows" | while read -r policy jct p99 makespan options; do
    n=$((n + 1))
    what="$policy on $file (8x8): mean $jct, p99 $p99, last end $makespan s, within $tolerance s"
    # Options are words of their own.
    # shellcheck disable=SC2086
    out=$("$build/tug-sim" run --trace "$TUG_TRACES/$file" --cluster 8x8 --clock us --policy "$policy" \
        --policy-dir "$build/plugins" $options --json) || out=
    echo "$out" | tr ',' '\n' | awk -v jct="$jct" -v p99="$p99" -v makespan="$makespan" -v tolerance="$tolerance" \
        -v what="$n - $what" '
        function off(a, b) { return a > b ? a - b : b - a }
        function value() { sub(/.*: /, ""); return $0 + 0 }
        /"finished"/ && !("n" in got) { got["n"] = value() }
        /"avg_jct_s"/ && !("jct" in got) { got["jct"] = value() }
        /"p99_jct_s"/ && !("p99" in got) { got["p99"] = value() }
        /"makespan_s"/ && !("makespan" in got) { got["makespan"] = value() }
        END {
            good = got["n"] == 992 && off(got["jct"], jct) <= tolerance && off(got["p99"], p99) <= tolerance &&
                   off(got["makespan"], makespan) <= tolerance
            print (good ? "ok " : "not ok ") what
            if (!good)
                printf "# got %.6f, %.6f, %.6f of %d jobs\n", got["jct"], got["p99"], got["makespan"], got["n"]
        }'
done
