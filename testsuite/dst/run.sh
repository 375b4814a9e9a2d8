#!/bin/sh
# run.sh - whole clusters under faults, for as long as one likes
#
#     testsuite/dst/run.sh --hours 10000              so many simulated cluster-hours, from seed 1 on
#     testsuite/dst/run.sh --seed 361 --worlds 1 --log   one world and all that happens in it
#     testsuite/dst/run.sh --hours 5000 --jobs 8      the same, in so many processes
#
# Options: --seed S, --hours H or --worlds N, --minutes LENGTH (of a world's part with faults, 60), --log, --jobs N.
# Works in the build tree that it is called in, or that TUG_BUILDDIR names, or else in build/dst, which it makes.
# A broken promise is told with the line that repeats that world alone, and makes the exit status 1.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${TUG_BUILDDIR:-}
if [ -z "$build" ]; then
    build=$PWD
    [ -f config.status ] && [ -f Makefile ] || build=$top/build/dst
fi
if [ ! -f "$build/Makefile" ]; then
    mkdir -p "$build" && (cd "$build" && "$top/configure" >configure.out) || exit 2
fi
make -s -C "$build" testsuite/dst/dst >/dev/null || exit 2

jobs=1 hours= seed=1 rest=
while [ $# -gt 0 ]; do
    case $1 in
    --jobs) jobs=$2; shift ;;
    --hours) hours=$2; shift ;;
    --seed) seed=$2; shift ;;
    *) rest="$rest $1" ;;
    esac
    shift
done
# shellcheck disable=SC2086
if [ "$jobs" -le 1 ] || [ -z "$hours" ]; then
    exec "$build/testsuite/dst/dst" --seed "$seed" ${hours:+--hours "$hours"} $rest
fi

# Each takes seeds of its own: a world has at least its part with faults, so these never meet.
each=$(((hours + jobs - 1) / jobs)) pids= failed=0 i=0
while [ "$i" -lt "$jobs" ]; do
    # shellcheck disable=SC2086
    "$build/testsuite/dst/dst" --seed $((seed + i * each * 4)) --hours "$each" $rest &
    pids="$pids $!"
    i=$((i + 1))
done
for pid in $pids; do
    wait "$pid" || failed=1
done
exit $failed
