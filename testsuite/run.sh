#!/bin/sh
# run.sh - the one command: build with -Werror, run every test, once more with sanitizers, fuzz a little
#
# Builds under ./build (kept between runs; remove it to start over):
#     build/check   plain, all tests          build/asan   ASan+UBSan, unit tests
#     build/fuzz    clang libFuzzer, FUZZ_SECONDS (20) in all
# Missing Debian packages are installed when this runs as root, named otherwise. When the programs are there, clusters
# (that wait most of the time), the other tests of build/check, and the two builds with sanitizers go on side by side;
# what is not in front writes into build/*.out, shown when it ends. Then come the seconds of each phase and the slowest
# tests. The last line is
#     N passed, N failed, N skipped
# over all of it, and the exit status is 0 only if nothing failed and everything was built.
set -u
cd "$(dirname "$0")/.." || exit 1
top=$PWD
cpus=$(nproc 2>/dev/null || echo 2)
computing=$((cpus + 1))
waiting=$((cpus + 4))
FUZZ_SECONDS=${FUZZ_SECONDS:-20}
export FUZZ_SECONDS
trees='build/check build/asan build/fuzz'
times=$top/build/run.times      # a line for each phase: its name, and how many seconds it took
broken=$top/build/run.broken    # a line for each phase that could not even run; each counts as one failure

say()
{
    printf '\n==== %s\n' "$*"
}

# phase NAME COMMAND...: run it, note its seconds
phase()
{
    name=$1 began=$(date +%s)
    shift
    say "$name"
    "$@"
    rc=$?
    echo "$name: $(($(date +%s) - began))" >>"$times"
    return $rc
}

# configured NAME CONFIGURE-ARGUMENTS...: configure build/NAME unless that was done with the same arguments
configured()
{
    name=$1
    shift
    (
        mkdir -p "build/$name" && cd "build/$name" || exit 1
        [ -f config.status ] && [ -f Makefile ] && [ "$(cat configured-with 2>/dev/null)" = "$*" ] && exit 0
        "$top/configure" "$@" >configure.out 2>&1 || { cat configure.out; exit 1; }
        sed -n '/^  tugline/,$p' configure.out
        echo "$*" >configured-with
    ) && return
    echo "testsuite/run.sh: build/$name could not be configured" | tee -a "$broken"
    return 1
}

# made NAME TARGET MAKE...: whether a part was made. A failed test is in its .trs file; anything else that fails make
# must be counted here.
made()
{
    dir=build/$1 target=$2
    shift 2
    "$@" -C "$dir" "$target" && return
    failed_in "$dir" | grep -q . || echo "testsuite/run.sh: make $target failed in $dir" | tee -a "$broken"
    return 1
}

# What waits shall not wait for compilers.
built() { phase "build/$1: make $2" made "$1" "$2" nice make -j"$computing"; }
tested() { phase "build/$1: make $2" made "$1" "$2" make -j"${3:-$computing}"; }

lane_rest() { built check tests && tested check check-rest; }

lane_sanitizers()
{
    configured asan --enable-werror --enable-sanitizers CFLAGS='-g1 -O1' && built asan unit && tested asan check-unit
}

lane_fuzz()
{
    if command -v clang >/dev/null 2>&1; then
        configured fuzz --enable-fuzz CC=clang CFLAGS='-g1 -O1' && built fuzz fuzz && tested fuzz fuzz-smoke
    else
        say 'no clang: fuzzing is left out (Debian: clang)'
    fi
}

# Each lane is a process group, so that it can be ended as a whole.
lanes=
start_lane()
{
    setsid sh testsuite/run.sh --lane "$1" >"build/$1.out" 2>&1 &
    lanes="$lanes $!:$1"
}

end_lanes()
{
    for lane in $lanes; do
        wait "${lane%%:*}"
        cat "build/${lane#*:}.out"
    done
    lanes=
}

stop()
{
    for lane in $lanes; do
        kill -- "-${lane%%:*}"
    done
    exit 130
}

# failed_in TREES: the .trs files of tests that failed there
failed_in()
{
    find $1 -name '*.trs' -exec grep -l '^:test-result: \(FAIL\|XPASS\|ERROR\)' {} + 2>/dev/null | sort
}

count()
{
    find $trees -name '*.trs' -exec cat {} + 2>/dev/null | grep -c "^:test-result: \($1\)"
}

report()
{
    failed_in "$trees" | while read -r trs; do
        say "${trs%.trs}.log"
        cat "${trs%.trs}.log"
    done
    say "seconds of each phase (some ran side by side)"
    sed 's/^\(.*\): \([0-9]*\)$/\2 \1/' "$times" | while read -r seconds name; do printf '%6d  %s\n' "$seconds" "$name"; done
    say "the slowest tests: seconds, and of one CPU (less what daemons used)"
    find $trees -name '*.trs' -exec grep -H '^:seconds:' {} + | sed 's/\.trs::seconds://' | sort -k2,2nr | head -10 |
        while read -r name wall cpu; do printf '%6d %6d  %s\n' "$wall" "$cpu" "$name"; done
    passed=$(count 'PASS\|XFAIL')
    failed=$(($(count 'FAIL\|XPASS\|ERROR') + $(wc -l <"$broken")))
    skipped=$(count SKIP)
    printf '\n%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

if [ "${1:-}" = --lane ]; then
    "lane_$2"
    exit
fi
mkdir -p build || exit 1
: >"$times" && : >"$broken" || exit 1
find $trees -name '*.trs' -exec rm -f {} + 2>/dev/null
phase packages contrib/packages.sh build test || exit 1
# Later changes to configure.ac and the fragments are make's business.
if [ ! -x configure ] || [ ! -f Makefile.in ]; then
    phase autogen.sh ./autogen.sh || { echo "testsuite/run.sh: ./autogen.sh failed" >&2; exit 1; }
fi
trap stop INT TERM HUP
if configured check --enable-werror && built check ready; then
    start_lane rest
    start_lane sanitizers
    start_lane fuzz
    tested check check-clusters "$waiting"
else
    start_lane sanitizers
    start_lane fuzz
fi
end_lanes
report
