#!/bin/sh
# smoke.sh - every fuzz target for its share of FUZZ_SECONDS (20); prints TAP
#
# A target starts from testsuite/fuzz/corpus/NAME and must survive it; inputs that crash are left
# in the build tree as crash-NAME-*: put them into the corpus together with the fix.
# Run from a build that was configured with --enable-fuzz; make fuzz-smoke does it.
set -u
build=${TUG_BUILDDIR:-.}
src=${TUG_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
seconds=${FUZZ_SECONDS:-20}

set -- "$build"/testsuite/fuzz/*.fuzz
if [ ! -x "$1" ]; then
    echo '1..1'
    echo "not ok 1 - no fuzz target is built under $build/testsuite/fuzz; run make fuzz"
    exit 1
fi
echo "1..$#"
share=$((seconds / $#))
[ "$share" -ge 1 ] || share=1
k=0
for program; do
    k=$((k + 1))
    name=$(basename "$program" .fuzz)
    name=${name#fuzz_}
    found=$build/testsuite/fuzz/found-$name
    mkdir -p "$found"
    corpus=
    [ -d "$src/testsuite/fuzz/corpus/$name" ] && corpus=$src/testsuite/fuzz/corpus/$name
    # shellcheck disable=SC2086
    "$program" -max_total_time="$share" -timeout=5 -rss_limit_mb=1024 -max_len=4096 -verbosity=0 \
        -print_final_stats=1 -artifact_prefix="$build/testsuite/fuzz/crash-$name-" \
        "$found" $corpus >"$build/testsuite/fuzz/$name.out" 2>&1
    rc=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/testsuite/fuzz/$name.out")
    if [ $rc -eq 0 ]; then
        echo "ok $k - fuzz $name survives ${runs:-0} inputs in $share s"
    else
        echo "not ok $k - fuzz $name (exit status $rc)"
        tail -n 60 "$build/testsuite/fuzz/$name.out" | sed 's/^/# /'
    fi
done
