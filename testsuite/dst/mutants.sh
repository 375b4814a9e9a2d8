#!/bin/sh
# mutants.sh - does the simulation notice when the protocol is broken? Each mutant of mutants.txt, until it is killed
#
#     testsuite/dst/mutants.sh                     all of them
#     testsuite/dst/mutants.sh NAME...             these
#     testsuite/dst/mutants.sh --hours 1000 ...    for so many simulated cluster-hours at most (600)
#     testsuite/dst/mutants.sh --list              what there is
#
# Works in the build tree that it is called in or that TUG_BUILDDIR names. Prints TAP: a mutant that lives is not ok.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
here=$top/testsuite/dst
build=${TUG_BUILDDIR:-$PWD}
list() { awk -v list=1 -f "$here/mutate.awk" "$here/mutants.txt"; }

hours=600
while [ $# -gt 0 ]; do
    case $1 in
    --hours) hours=$2; shift 2 ;;
    --list) list; exit 0 ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || set -- $(list | cut -d' ' -f1)

echo "1..$#"
n=0 failed=0
for name; do
    n=$((n + 1))
    what=$(list | sed -n "s/^$name [^ ]* //p")
    program=testsuite/dst/mutants/$name
    if ! make -s -C "$build" "$program" >"$build/mutant.out" 2>&1; then
        echo "not ok $n - $name: it cannot be made any more; mutants.txt has to follow its source"
        sed 's/^/# /' "$build/mutant.out" | tail -5
        failed=1
    elif "$build/$program" --hours "$hours" --seed "${TUG_SEED:-1}" >"$build/mutant.out" 2>/dev/null; then
        echo "not ok $n - $name lives for $hours hours: $what"
        failed=1
    else
        echo "ok $n - $name is killed: $what"
        sed -n 's/^# seed/# by seed/p' "$build/mutant.out"
    fi
    rm -f "$build/mutant.out" "$build/$program" "$build/$program.c" "$build/$program.o"
done
exit $failed
