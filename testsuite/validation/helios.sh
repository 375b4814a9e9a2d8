#!/bin/sh
# helios.sh - tug-sim reproduces published figures of a strict FIFO and SJF on the Helios trace
#
# The trace is not part of this tree: TUG_TRACES=/path/of/traces, with helios_venus_2vc_sept2020.csv.gz
# (S-Lab-System-Group/HeliosData, CC-BY-4.0). Without it everything is skipped. Prints TAP.
set -u
build=${TUG_BUILDDIR:-.}
file=helios_venus_2vc_sept2020.csv.gz
# VC, cluster, policy, mean completion and mean wait in seconds
rows='vcvGl 20x8 fifo 18497.01 13891.12
vcvGl 20x8 sjf 5302.68 696.79
vcvlY 2x8 fifo 9667.02 360.43
vcvlY 2x8 sjf 9667.02 360.43'
tolerance=0.02

if [ -z "${TUG_TRACES:-}" ]; then
    echo "1..0 # SKIP TUG_TRACES does not say where the traces are"
    exit 0
fi
if [ ! -f "$TUG_TRACES/$file" ]; then
    echo "1..0 # SKIP there is no $file in $TUG_TRACES"
    exit 0
fi
echo 1..4
n=0
echo "$rows" | while read -r vc cluster policy jct wait; do
    n=$((n + 1))
    what="$policy on $vc ($cluster): mean completion $jct s, mean wait $wait s, within $tolerance s"
    out=$("$build/tug-sim" run --trace "$TUG_TRACES/$file" --cluster "$cluster" --queue "$vc" --policy "$policy" \
        --policy-dir "$build/plugins" --placement consolidate --json) || out=
    echo "$out" | sed -e 's/"classes".*//' | sed -n 's/.*"avg_jct_s": \([0-9.]*\).*"avg_wait_s": \([0-9.]*\).*/\1 \2/p' |
    awk -v jct="$jct" -v wait="$wait" -v tolerance="$tolerance" -v what="$n - $what" '
        function off(a, b) { return a > b ? a - b : b - a }
        { seen = 1; good = off($1, jct) <= tolerance && off($2, wait) <= tolerance; got = $1 " and " $2 }
        END { print (good ? "ok " : "not ok ") what; if (!good) print "# got " (seen ? got : "nothing") }'
done
