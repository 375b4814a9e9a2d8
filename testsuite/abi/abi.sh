#!/bin/sh
# abi.sh - policies built against every released header run in today's core; see README. Prints TAP.
set -u
build=${TUG_BUILDDIR:-.}
top=${TUG_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
here=$top/testsuite/abi
cc=${CC:-cc}
cxx=${CXX:-c++}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; sed 's/^/# /' "$work/log"; }
check() { what=$1; shift; if "$@" >"$work/log" 2>&1; then ok "$what"; else not_ok "$what"; fi; }
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }

# 120 jobs of one to three nodes with 4 GPUs, on three of them
trace()
{
    awk 'BEGIN {
        print "job_id,submit_s,duration_s,gpus,user,vc_or_queue"
        for (i = 1; i <= 120; i++)
            printf "j%d,%d,%d,%d,u%d,a\n", i, i * 7 - i % 3, 1 + i * 37 % 90, i % 5 == 0 ? 4 * (1 + i % 3) : 1 + i % 4, i % 6
    }' >"$work/trace.csv"
}

# runs POLICY DIRECTORY: to the end, with nothing refused, in the order that fifo keeps
figures() { sed -e 's/"classes".*//' | sed -n 's/.*\("finished": [0-9]*\).*\("avg_jct_s": [0-9.]*\).*/\1 \2/p'; }
runs()
{
    "$build/tug-sim" run --trace "$work/trace.csv" --cluster 3x4 --policy "$1" --policy-dir "$2" --json >"$work/out" || return 1
    grep -q '"refused": 0[,}]' "$work/out" || { echo "proposals of it were refused"; return 1; }
    figures <"$work/out" >"$work/is"
    cat "$work/is"
    [ -s "$work/is" ] && cmp -s "$work/is" "$work/fifo"
}

# members HEADER: "struct member" for every member of its structs
members()
{
    tr '\n' ' ' <"$1" | sed 's|/\*|\n&|g; s|\*/|&\n|g' | sed '/^\/\*/d' | tr '\n' ' ' |
    sed 's/struct \(tug_policy_[a-z]*\) *{/\n&/g; s/} *;/};\n/g' |
    sed -n 's/^struct \(tug_policy_[a-z]*\) *{\(.*\)};.*/\1;\2/p' |
    awk -F';' '{ for (i = 2; i <= NF; i++) {
        if ($i !~ /[a-z]/) continue
        if (match($i, /\(\*[a-z_]+\)\(/)) { print $1, substr($i, RSTART + 2, RLENGTH - 4); continue }
        k = split($i, name, ",")
        for (j = 1; j <= k; j++) { gsub(/[ *]+$/, "", name[j]); sub(/.*[ *]/, "", name[j]); print $1, name[j] }
    } }'
}

# layout MEMBERS INCLUDES: where each of them is, and how large
layout()
{
    { echo '#include <stdio.h>'; echo '#include <tugline/policy.h>'; echo 'int main(void) {'
      awk '{ printf "printf(\"%s.%s %%zu %%zu\\n\", offsetof(struct %s, %s), sizeof(((struct %s *) 0)->%s));\n", $1, $2, $1, $2, $1, $2 }' "$1"
      echo 'return 0; }'; } >"$work/layout.c"
    $cc -I"$2" -o "$work/layout" "$work/layout.c" && "$work/layout"
}

# grown WAS IS: what differs, but for a row at the end of another one: it may grow as a row of its own may
grown()
{
    awk 'NR == FNR { was[$1] = $2 " " $3; split($1, of, "."); last[of[1]] = $1; next }
         was[$1] == $2 " " $3 { next }
         { split(was[$1], w, " "); split($1, of, ".")
           if (w[1] == $2 && w[2] > 16 && $3 > w[2] && last[of[1]] == $1) next
           print $1 ": was " was[$1] ", is " $2 " " $3; differs = 1 }
         END { exit differs }' "$1" "$2"
}

# same_layout HEADER INCLUDES: every member of the kept header is still there
same_layout()
{
    members "$1" >"$work/members"
    [ "$(wc -l <"$work/members")" -ge 100 ] || { echo "its members were not found"; return 1; }
    layout "$work/members" "$2" >"$work/was" && layout "$work/members" "$top/src/include" >"$work/is" && grown "$work/was" "$work/is"
}

# build_with HEADER NAME: its includes in $work/NAME
includes() { mkdir -p "$work/$2/tugline" && cp "$1" "$work/$2/tugline/policy.h"; }
as_c() { $cc -std=c11 -Wall -Wextra -Werror -fPIC -shared -I"$work/$1" -o "$3" "$here/$2"; }
as_cxx() { $cxx -x c++ -std=c++17 -Wall -Wextra -Wno-missing-field-initializers -Werror -fPIC -shared -I"$work/$1" -o "$3" "$here/$2"; }

trace
"$build/tug-sim" run --trace "$work/trace.csv" --cluster 3x4 --policy fifo --policy-dir "$build/plugins" --json 2>"$work/log" |
figures >"$work/fifo"
check "there is something to compare with" test -s "$work/fifo"

# A planted fault: a header that has a member less is not the same.
moved() { ! same_layout "$work/moved/tugline/policy.h" "$work/moved"; }
includes "$top/src/include/tugline/policy.h" moved
sed -i 's/^    uint32_t ntasks;$//' "$work/moved/tugline/policy.h"
check "a member that has moved is noticed" moved

kept=$(ls "$here"/policy-*.h 2>/dev/null)
for header in $kept "$top/src/include/tugline/policy.h"; do
    name=$(basename "$header" .h)
    [ "$name" = policy ] && name=today
    includes "$header" "$name"
    check "$name: every member is where it was, or new" same_layout "$header" "$work/$name"
    mkdir -p "$work/$name-c" "$work/$name-cxx"
    check "$name: a policy with every hook builds as C11" as_c "$name" all.c "$work/$name-c/all.so"
    check "$name: and runs in today's core" runs all "$work/$name-c"
    check "$name: one with a table that ends after pass() builds" as_c "$name" short.c "$work/$name-c/short.so"
    check "$name: and runs" runs short "$work/$name-c"
    check "$name: a host with fewer calls builds" $cc -std=c11 -Wall -Wextra -Werror -I"$work/$name" -o "$work/shorthost" "$here/shorthost.c" -ldl
    check "$name: and the policy does without those" "$work/shorthost" "$work/$name-c/all.so"
    if command -v "$cxx" >/dev/null; then
        check "$name: it builds as C++17" as_cxx "$name" all.c "$work/$name-cxx/all.so"
        check "$name: and runs" runs all "$work/$name-cxx"
    else
        skip "$name: it builds as C++17" "there is no C++ compiler ($cxx)"
        skip "$name: and runs" "there is no C++ compiler ($cxx)"
    fi
done
[ -n "$kept" ] || echo "# no released header is kept yet: the ABI may still change"
echo "1..$n"
