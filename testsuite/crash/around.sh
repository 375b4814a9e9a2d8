#!/bin/sh
# around.sh - a prolog and an epilog that prove when they run: one at a time, the prolog before any rank of its attempt on its
# node (rank.sh looks, too), the epilog behind the last. A daemon whose turn it is to die while they run they kill themselves.
# A file "fail" is for one prolog, which fails, also when it is run again.
top=$(dirname "$0")
cd "$top/work" || exit 1
what=$TUG_PROGRAM at=$TUG_JOB_ID.$TUG_ATTEMPT.$TUG_NODE
exec 8>"visit.$at"
flock -x -n 8 || echo "$what of $at runs beside another program of it" >>overlaps
echo "$what begin $TUG_JOB_ID $TUG_ATTEMPT $TUG_NODE" >>programs
for rank in lock."$TUG_JOB_ID"."$TUG_ATTEMPT".*."$TUG_NODE"; do
    [ -e "$rank" ] || continue
    [ "$what" = epilog ] || echo "the prolog of $at comes after $rank" >>overlaps
    flock -s -n "$rank" true || echo "the $what of $at runs while $rank is held" >>overlaps
done

# Who finds it armed for itself is the one.
read -r armed _ 2>/dev/null <"$top/bin/armed"
case $armed in
"${what}_runs") victim=$PPID ;;
"${what}_runs_launcher") victim=$(cut -d' ' -f4 "/proc/$PPID/stat") ;;
*) victim= ;;
esac
if [ "$victim" ] && mv "$top/bin/armed" "$top/bin/fired" 2>/dev/null; then
    kill -9 "$victim"
    sleep 60
fi

if [ "$what" = prolog ]; then
    if mv fail "failed.$at" 2>/dev/null || [ -e "failed.$at" ]; then
        echo "no scratch"
        exit 1
    fi
    : >"ready.$at"
else
    : >"left.$at"
fi
echo "$what end $TUG_JOB_ID $TUG_ATTEMPT $TUG_NODE" >>programs
