#!/bin/sh
# timed.sh DRIVER ARGUMENTS... --trs-file FILE ...: run a test's driver, and note in FILE how long the test took
#
# The line is ":seconds: WALL CPU"; automake passes over it, testsuite/run.sh tells the slowest. CPU is of the processes
# that were waited for: daemons that outlive their parent are not in it.
trs= before=
for word; do
    [ "$before" = --trs-file ] && trs=$word && break
    before=$word
done
began=$(date +%s)
${SHELL:-/bin/sh} "$@"
rc=$?
[ -f "$trs" ] || exit $rc
times >"$trs.times"
awk -F'[ms ]+' -v wall=$(($(date +%s) - began)) \
    'NR == 2 { printf ":seconds: %d %.0f\n", wall, $1 * 60 + $2 + $3 * 60 + $4 }' "$trs.times" >>"$trs"
rm -f "$trs.times"
exit $rc
