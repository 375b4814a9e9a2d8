#!/bin/sh
# run.sh - the one command: build with -Werror, run every test, once more with sanitizers, fuzz a little
#
# Builds under ./build (kept between runs; remove it to start over):
#     build/check   plain, all tests          build/asan   ASan+UBSan, unit tests
#     build/fuzz    clang libFuzzer, FUZZ_SECONDS (20) in all
# Missing Debian packages are installed when this runs as root, named otherwise. The last line is
#     N passed, N failed, N skipped
# over all of it, and the exit status is 0 only if nothing failed and everything was built.
set -u
cd "$(dirname "$0")/.." || exit 1
top=$PWD
jobs=$(($(nproc 2>/dev/null || echo 2) + 1))    # many tests wait most of the time
broken=0    # phases that could not even run; each counts as one failure
FUZZ_SECONDS=${FUZZ_SECONDS:-20}
export FUZZ_SECONDS

say()
{
    printf '\n==== %s\n' "$*"
}

# build NAME CONFIGURE-ARGUMENTS...: configure build/NAME unless that was done with the same arguments
configure_in()
{
    dir=$top/build/$1
    shift
    mkdir -p "$dir" && cd "$dir" || return 1
    if [ ! -f config.status ] || [ ! -f Makefile ] || [ "$(cat configured-with 2>/dev/null)" != "$*" ]; then
        "$top/configure" "$@" >configure.out 2>&1 || { cat configure.out; return 1; }
        sed -n '/^  tugline/,$p' configure.out
        echo "$*" >configured-with
    fi
}

# phase NAME TARGETS CONFIGURE-ARGUMENTS...: build and run one part. What failed is printed by report().
phase()
{
    name=$1
    targets=$2
    shift 2
    say "build/$name: make $targets"
    find "build/$name" -name '*.trs' -exec rm -f {} + 2>/dev/null
    if ! (configure_in "$name" "$@"); then
        echo "testsuite/run.sh: build/$name could not be configured"
        broken=$((broken + 1))
        return
    fi
    for target in $targets; do
        (cd "build/$name" && make -j"$jobs" "$target") && continue
        # A failed test is in its .trs file; anything else that fails make must be counted here.
        if ! failed_in "build/$name" | grep -q .; then
            echo "testsuite/run.sh: make $target failed in build/$name"
            broken=$((broken + 1))
        fi
        break
    done
}

failed_in()
{
    find "$1" -name '*.trs' -exec grep -l '^:test-result: \(FAIL\|XPASS\|ERROR\)' {} + 2>/dev/null | sort
}

count()
{
    find build -name '*.trs' -exec cat {} + 2>/dev/null | grep -c "^:test-result: \($1\)"
}

report()
{
    failed_in build | while read -r trs; do
        say "${trs%.trs}.log"
        cat "${trs%.trs}.log"
    done
    passed=$(count 'PASS\|XFAIL')
    failed=$(($(count 'FAIL\|XPASS\|ERROR') + broken))
    skipped=$(count SKIP)
    printf '\n%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

contrib/packages.sh build test || exit 1
# Later changes to configure.ac and the fragments are make's business.
if [ ! -x configure ] || [ ! -f Makefile.in ]; then
    say autogen.sh
    ./autogen.sh || { echo "testsuite/run.sh: ./autogen.sh failed" >&2; exit 1; }
fi
phase check 'all check' --enable-werror
phase asan check-unit --enable-werror --enable-sanitizers CFLAGS='-g1 -O1'
if command -v clang >/dev/null 2>&1; then
    phase fuzz fuzz-smoke --enable-fuzz CC=clang CFLAGS='-g1 -O1'
else
    say 'no clang: fuzzing is left out (Debian: clang)'
fi
report
