#!/bin/bash
# upgrade.sh OLD [NEW] - a cluster of an older build is brought to a newer one, daemon by daemon, under a gang, and back
#
# OLD and NEW are build directories (NEW: build/check of this tree). A sandbox is started with the programs of OLD. Then
# the controller is replaced, then the node daemons of one node after the other, then the commands; between any two of
# these a gang of new ranks starts and ends, the one that ran all the time goes on, and the commands of both versions
# are answered. At last the node daemons and the controller are put back, as far as the state's schema permits: a
# controller that is too old for the state says so and changes nothing. Prints TAP.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 1 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
old=$(cd "$1" && pwd) && new=$(cd "${2:-$here/build/check}" && pwd) || exit 2
dir=$(mktemp -d) || exit 1
export XDG_RUNTIME_DIR=$dir/run NO_COLOR=1
unset TUG_SOCKET
mkdir -m 700 "$dir/run" && mkdir "$dir/bin" "$dir/work" && cd "$dir/work" || exit 1
n=0 failed=0

ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); failed=$((failed + 1)); echo "not ok $n - $1"; [ -z "${2:-}" ] || sed 's/^/# /' <<<"$2"; }
nap() { read -rt 0.05 <> <(:) || :; }
until_ok() { local end=$((SECONDS + 60)); until "$@"; do [ $SECONDS -lt $end ] || return 1; nap; done; }

# install BUILD PROGRAM...: what is executed from now on
install_from()
{
    local from=$1 p
    shift
    for p in "$@"; do cp "$from/$p" "$dir/bin/.$p" && mv "$dir/bin/.$p" "$dir/bin/$p"; done # what runs keeps its file
}

answers() { "$1/tug" ping >/dev/null 2>&1; }
nodes_up() { [ "$("$new/tug" nodes --json | grep -o '"state":"[A-Z]*"' | grep -c -E 'IDLE|MIXED|ALLOCATED')" = 3 ]; }

restart_tugd()
{
    kill "$(cat "$dir/tugd.pid")"
    until_ok gone "$(cat "$dir/tugd.pid")"
    "$dir/bin/tugd" --config "$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml" --foreground >>"$dir/tugd.log" 2>&1 &
    echo $! >"$dir/tugd.pid"
    until_ok answers "$new"
    runs "$(cat "$dir/tugd.pid")" tugd
}
gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
runs() { cmp -s "/proc/$1/exe" "$dir/bin/$2" || not_ok "$2 is the one that was installed" "$(readlink "/proc/$1/exe")"; }
new_pid() { local p; p=$(pids_of_node "$1") && [ -n "$p" ] && [ "$p" != "$2" ]; }
pids_of_node() { pgrep -f "^[^ ]*/tugnoded .*--node $1 .*$dir/run"; }

# Its launcher stays: it ends with the ranks that it holds.
restart_node()
{
    local p
    p=$(pids_of_node "$1")
    kill -9 "$p"
    until_ok new_pid "$1" "$p"
    until_ok nodes_up
    runs "$(pids_of_node "$1")" tugnoded
}

# look WHAT: all that must go on between two steps
look()
{
    local job out tug
    until_ok nodes_up || { not_ok "$1: all nodes are up" "$("$new/tug" nodes; tail -3 "$dir/tugd.log")"; return; }
    for tug in "$old/tug" "$new/tug"; do
        out=$("$tug" run -N 3 --ntasks-per-node 2 --gpus-per-node 2 -- sh -c 'echo rank $RANK' 2>&1)
        [ "$(grep -c 'rank [0-5]' <<<"$out")" = 6 ] || { not_ok "$1: a gang runs, of ${tug%/tug}" "$out"; return; }
        job=$("$tug" submit --parsable -N 2 --gpus-per-node 4 -- sleep 1000) && until_ok running "$tug" "$job" && "$tug" cancel "$job" >/dev/null &&
            until_ok ended "$tug" "$job" || { not_ok "$1: a gang starts and is cancelled, of ${tug%/tug}" "$("$tug" show "$job" 2>&1)"; return; }
        "$tug" queue >/dev/null && "$tug" history >/dev/null && "$tug" nodes >/dev/null && "$tug" show "$long" >/dev/null ||
            { not_ok "$1: all is shown"; return; }
    done
    count=$(tail -1 "$dir/work/count")
    until_ok counts_on "$count" || { not_ok "$1: the gang that runs all the time goes on" "$("$new/tug" show "$long")"; return; }
    ok "$1"
}
running() { "$1" show --json "$2" | grep -q "\"state\":\"RUNNING\""; }
ended() { "$1" history --json | grep -q "\"id\":$2[,}]"; }
counts_on() { [ "$(tail -1 "$dir/work/count")" -gt "$1" ]; }

end()
{
    "$new/tug" cancel "$long" >/dev/null 2>&1
    kill "$(cat "$dir/tugd.pid")" 2>/dev/null
    "$new/tug" sandbox stop >/dev/null 2>&1
    [ $failed = 0 ] && rm -rf "$dir" || echo "# kept: $dir"
}
trap end EXIT

cp -r "$old/plugins" "$dir/bin/" || exit 1
install_from "$old" tug tugd tuglaunch tugnoded tugstepd
PATH=$dir/bin:$PATH
tug sandbox start --nodes 3 --gpus 8 >"$dir/start.log" 2>&1 || { cat "$dir/start.log"; exit 1; }
pgrep -f "tugd .*--config $XDG_RUNTIME_DIR" | head -1 >"$dir/tugd.pid"
long=$(tug submit --parsable -N 3 --ntasks-per-node 1 --gpus-per-node 1 -- sh -c \
    'i=0; while [ ! -e stop ]; do i=$((i+1)); [ "$RANK" != 0 ] || echo $i >>count; sleep 0.05; done; exit 5')
until_ok test -s count || { not_ok "a gang runs on the old cluster" "$(tug show "$long")"; exit 1; }
look "the old cluster, commands of both"
install_from "$new" tugd; restart_tugd; look "a new controller, old nodes"
install_from "$new" tuglaunch tugnoded tugstepd
restart_node n1; look "one new node daemon"
restart_node n2; restart_node n3; look "new node daemons"
install_from "$old" tugnoded
restart_node n1; look "one node daemon put back"
install_from "$new" tugnoded
restart_node n1
install_from "$old" tugd; restart_tugd
if answers "$old"; then look "an old controller again"
else ok "an old controller refuses the state: $(tail -1 "$dir/tugd.log")"; fi
install_from "$new" tugd; restart_tugd; look "and a new one"
touch stop
until_ok ended "$new/tug" "$long"
[ "$("$new/tug" history --json | tr '{' '\n' | grep -A9 "\"id\":$long[,}]" | grep -o '"exit_code":[0-9]*' | head -1)" = '"exit_code":5' ] &&
    ok "the gang that ran all the time has its exit code" || not_ok "the gang that ran all the time has its exit code" "$("$new/tug" history)"
echo "1..$n"
exit $((failed > 0))
