#!/bin/sh
# table.sh - the shipped policies side by side on recorded traces, as Markdown; no test, run by hand
#
#     TUG_TRACES=/path/of/traces TUG_BUILDDIR=b sh testsuite/validation/table.sh [WORKLOAD...]
#
# WORKLOAD: some of muri helios itp03 itp04 itp06 philly; all but philly without. ESTIMATES (exact) is what the
# policies are told of run times, POLICIES which they are. A policy that does not get done in LIMIT_S (300) is left out.
set -u
build=${TUG_BUILDDIR:-.}
estimates=${ESTIMATES:-exact}
limit_s=${LIMIT_S:-300}
policies=${POLICIES:-fifo fifo,overtake=yes easy conservative multifactor+easy qssf+fifo qssf+easy sjf sjf+easy
    drf drf,blocked=skip las srtf srsf}

workload()
{
    case $1 in
    muri) echo "muri_trace3.csv.gz 8x8" ;;
    helios) echo "helios_venus_2vc_sept2020.csv.gz 20x8 --queue vcvGl" ;;
    itp03) echo "itp_2021.csv.gz 14x8 --queue cluster03" ;;
    itp04) echo "itp_2021.csv.gz 78x8 --queue cluster04" ;;
    itp06) echo "itp_2021.csv.gz 20x8 --queue cluster06" ;;
    philly) echo "philly_2017.csv.gz 56x8" ;;
    *) echo "table.sh: there is no workload '$1'" >&2; exit 2 ;;
    esac
}

# NAME,KEY=VALUE,... as arguments
policy_options()
{
    echo "$1" | tr ',' '\n' | awk 'NR == 1 { printf "--policy %s", $0; next } { printf " --param %s", $0 }'
}

row()
{
    tr ',' '\n' | awk -v policy="$1" '
        function value() { v = $0; sub(/.*: /, "", v); return v + 0 }
        match($0, /"[a-z0-9_]+": -?[0-9]/) {
            key = substr($0, RSTART + 1)
            sub(/".*/, "", key)
            if (!(key in got)) got[key] = value()
        }
        END {
            if (!("finished" in got)) { printf "| %s | - |\n", policy; exit }
            printf "| %s | %.0f | %.0f | %.0f | %.0f | %.3f | %.2f | %d | %d | %.1f |\n", policy, got["avg_jct_s"],
                   got["p99_jct_s"], got["avg_wait_s"], got["makespan_s"], got["gpu_use"], got["fairness"],
                   got["preemptions"], got["finished"], got["wall_s"]
        }'
}

table()
{
    name=$1 trace=$2 cluster=$3
    shift 3
    echo "### $name: $trace $* on $cluster, estimates $estimates"
    echo "| policy | mean JCT s | p99 JCT s | mean wait s | last end s | GPU use | fairness | preemptions | jobs | run s |"
    echo "|---|---|---|---|---|---|---|---|---|---|"
    for policy in $policies; do
        # shellcheck disable=SC2046
        timeout "$limit_s" "$build/tug-sim" run --trace "${TUG_TRACES:?}/$trace" --cluster "$cluster" "$@" \
            --estimates "$estimates" --policy-dir "$build/plugins" $(policy_options "$policy") --json 2>/dev/null |
            row "$policy"
    done
    echo
}

[ $# -gt 0 ] || set -- muri helios itp03 itp04 itp06
for w in "$@"; do
    what=$(workload "$w") || exit 2
    # shellcheck disable=SC2086
    table "$w" $what
done
