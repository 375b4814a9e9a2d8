#!/bin/sh
# rank.sh SECONDS CODE [AGAIN] - a rank that proves that it is alone: it holds a lock of its attempt for as long as any process
# of it lives, also when it is killed, and looks whether a rank of another attempt of its job holds its own. AGAIN: the
# seconds of attempts that are not the first. Where nodes have around.sh, it comes between the prolog of its node and the epilog.
mine="lock.$TUG_JOB_ID.$TUG_ATTEMPT.$RANK.$TUG_NODE"
exec 8>"$mine"
flock -x 8
for other in lock."$TUG_JOB_ID".*; do
    case "$other" in
        lock."$TUG_JOB_ID"."$TUG_ATTEMPT".*) ;;
        *) flock -s -n "$other" true || echo "job $TUG_JOB_ID: $mine runs while $other is held" >>overlaps ;;
    esac
done
visit="$TUG_JOB_ID.$TUG_ATTEMPT.$TUG_NODE"
if [ -e ../around.sh ] && { [ ! -e "ready.$visit" ] || [ -e "left.$visit" ]; }; then
    echo "$mine runs outside of the visit to its node" >>overlaps
fi
echo "start $TUG_JOB_ID $TUG_ATTEMPT $RANK" >>ranks
[ "$TUG_ATTEMPT" -eq 1 ] && sleep "$1" || sleep "${3:-$1}"
code=0
[ "$RANK" -ne 1 ] || code=$2
echo "end $TUG_JOB_ID $TUG_ATTEMPT $RANK $code" >>ranks
exit "$code"
