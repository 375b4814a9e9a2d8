#!/bin/sh
# test_mutants.sh - every mutant still applies to its source, and some of the quick ones are killed. Prints TAP.
# All of them: testsuite/dst/mutants.sh
set -u
top=${TUG_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
here=$top/testsuite/dst
quick=${TUG_MUTANTS:-"reply_before_commit epoch_not_raised token_not_kept hello_ignored barrier_for_the_first result_acked_before_kept"}

stale=$(awk -v list=1 -f "$here/mutate.awk" "$here/mutants.txt" | while read -r name file _; do
    awk -v name="$name" -f "$here/mutate.awk" "$here/mutants.txt" "$top/$file" >/dev/null || echo "$name: its lines are not in $file once"
done)
# shellcheck disable=SC2086
set -- $quick
echo "1..$(($# + 1))"
if [ -z "$stale" ]; then
    echo "ok 1 - every mutant applies to its source"
else
    echo "not ok 1 - every mutant applies to its source"
    echo "$stale" | sed 's/^/# /'
fi
sh "$here/mutants.sh" --hours 60 "$@" | sed -n 's/^\(.*ok\) \([0-9]*\) /\1 \2 /p; /^#/p' |
    awk '/^(not )?ok/ { sub(/ok [0-9]+/, "ok " ++n + 1) } { print }'
