#!/bin/sh
# rank.sh SECONDS CODE [AGAIN] - a rank that proves that it is alone: it holds a lock of its attempt for as long as any process
# of it lives, also when it is killed, and looks whether a rank of another attempt of its job holds its own. AGAIN: the
# seconds of attempts that are not the first.
mine="lock.$TUG_JOB_ID.$TUG_ATTEMPT.$RANK"
exec 8>"$mine"
flock -x 8
for other in lock."$TUG_JOB_ID".*; do
    case "$other" in
        lock."$TUG_JOB_ID"."$TUG_ATTEMPT".*) ;;
        *) flock -s -n "$other" true || echo "job $TUG_JOB_ID: $mine runs while $other is held" >>overlaps ;;
    esac
done
echo "start $TUG_JOB_ID $TUG_ATTEMPT $RANK" >>ranks
[ "$TUG_ATTEMPT" -eq 1 ] && sleep "$1" || sleep "${3:-$1}"
code=0
[ "$RANK" -ne 1 ] || code=$2
echo "end $TUG_JOB_ID $TUG_ATTEMPT $RANK $code" >>ranks
exit "$code"
