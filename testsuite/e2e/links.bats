#!/usr/bin/env bats
# links.bats - two nodes that can be reached lose each other: three or four nodes and the controller on one switch, in network namespaces (root)
#
# Frames between two nodes are sent to a hardware address that nobody has: no reset, no answer, as a dead cable has it.

load common
source "$BATS_TEST_DIRNAME/../etcd.bash"

setup()
{
    [ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
    command -v ip >/dev/null || skip "there is no ip (Debian: iproute2)"
    export D="$BATS_TEST_TMPDIR/net" NO_COLOR=1
    TAG=l$$ NET=10.$((RANDOM % 100 + 100)).$((RANDOM % 250))
    mkdir -p -m 700 "$D/c" "$D/c/keys" "$D/c/keys/nodes" "$D/r" "$D/work"
}

# cluster N: of n1 to nN
cluster()
{
    local i
    switch && for ((i = 1; i <= $1; i++)); do namespace $i || return 1; done || skip "no network namespace can be made here"
    PORT=$(free_ports 1)
    export TUG_SOCKET="$D/r/tugd.sock"
    cat >"$D/c.yaml" <<X
cluster: {name: net, state_dir: $D/c, run_dir: $D/r, listen: "0.0.0.0:$PORT"}
scheduler: {policy: fifo, placement: first-fit, policy_dirs: ["$TUG_BUILDDIR/plugins"]}
timeouts: {node_timeout: 8s, lease: 30s}
limits: {min_uid: 1}
nodes: [{name: "n[1-$1]", cpus: 8, gpus: 4}]
X
    tugd -c "$D/c.yaml" >"$D/c.log" 2>&1 3>&- &
    echo $! >"$D/c.pid"
    until_ok 20 tug ping 2>/dev/null || { cat "$D/c.log"; false; }
    for ((i = 1; i <= $1; i++)); do node $i; done
    until_ok 20 nodes_idle $1
}

teardown()
{
    local i
    for i in n1 n2 n3 n4 c; do [ ! -e "$D/$i.pid" ] || kill "$(cat "$D/$i.pid")" 2>/dev/null || :; done
    wait
    for i in 1 2 3 4 s; do ip netns del "$TAG-$i" 2>/dev/null || :; done
    ip link del "$TAG-c" 2>/dev/null || :
}

# the switch, in a namespace of its own so that no rule of this host looks at what passes it; the controller is NET.254
switch()
{
    ip netns add "$TAG-s" && ip -n "$TAG-s" link add br0 type bridge && ip -n "$TAG-s" link set br0 up &&
        ip link add "$TAG-c" type veth peer name c netns "$TAG-s" && ip -n "$TAG-s" link set c master br0 up &&
        ip addr add "$NET.254/24" dev "$TAG-c" && ip link set "$TAG-c" up
}

# namespace I: node I is NET.I
namespace()
{
    ip netns add "$TAG-$1" && ip -n "$TAG-s" link add "p$1" type veth peer name uplink netns "$TAG-$1" &&
        ip -n "$TAG-s" link set "p$1" master br0 up && ip -n "$TAG-$1" addr add "$NET.$1/24" dev uplink &&
        ip -n "$TAG-$1" link set uplink up && ip -n "$TAG-$1" link set lo up
}

node()
{
    mkdir -p -m 700 "$D/n$1/state" "$D/n$1/run"
    cat >"$D/n$1/tugnode.yaml" <<X
name: n$1
controller: "$NET.254:$PORT"
state_dir: $D/n$1/state
run_dir: $D/n$1/run
controller_key_file: $D/c/keys/controller.pub
emulate: {cpus: 8, gpus: 4}
X
    ip netns exec "$TAG-$1" tuglaunch --emulated --one-user --node "n$1" --cluster net --controller-pub "$D/c/keys/controller.pub" \
        --run-dir "$D/n$1/run" --stepd "$TUG_BUILDDIR/tugstepd" --cgroup-root none -- "$TUG_BUILDDIR/tugnoded" \
        --config "$D/n$1/tugnode.yaml" --cluster net --address "$NET.$1" >"$D/n$1.log" 2>&1 3>&- &
    echo $! >"$D/n$1.pid"
    until_ok 20 test -e "$D/n$1/state/node.key.pub"
    cp "$D/n$1/state/node.key.pub" "$D/c/keys/nodes/n$1.pub"
}

nodes_idle() { [ "$(tug nodes --json | grep -o '"IDLE"' | wc -l)" -eq "$1" ]; }

cut()
{
    ip -n "$TAG-$1" neigh replace "$NET.$2" lladdr 02:00:00:00:00:fe nud permanent dev uplink
    ip -n "$TAG-$2" neigh replace "$NET.$1" lladdr 02:00:00:00:00:fe nud permanent dev uplink
}

mend()
{
    ip -n "$TAG-$1" neigh del "$NET.$2" dev uplink
    ip -n "$TAG-$2" neigh del "$NET.$1" dev uplink
}

# stepd_of JOB NODE
stepd_of() { pgrep -f -- "tugstepd.*$D/$2/.*" | while read -r p; do tr '\0' '\n' <"/proc/$p/cmdline" | grep -q "\b$1\.1\.0\b" && echo "$p"; done; }

waits_for_its_link() { tug show "$1" | grep -q "nodes ${2:-n1} and ${3:-n2} are not used together: their link failed 2 times since"; }
is_quarantined() { tug nodes --links | grep -q "^${1:-n1}  *${2:-n2}  *QUARANTINED  *2 "; }
attempt_is() { [ "$(field "$1" attempt)" = "$2" ]; }

@test "a pair that loses itself in mid-run and again at wire-up gets no gang any more, and a stopped daemon is no lost one" {
    cluster 3
    cd "$D/work"
    local flood pair other head

    # A gang of n1 and n3 whose head is stopped all the time, and has more to read than fits
    flood=$(tug submit --parsable -N 2 -w n1,n3 --launcher plain -o out.%j -- sh -c '[ "$RANK" = 0 ] && exec sleep 100; head -c 16000000 /dev/zero | tr "\0" "x"; exec sleep 100')
    until_ok 20 state_is "$flood" RUNNING
    head=$(stepd_of "$flood" n1)
    [ -n "$head" ]
    kill -STOP "$head"

    pair=$(tug submit --parsable -N 2 -w n1,n2 --launcher plain --requeue-delay 0s -o /dev/null -- sh -c 'while [ ! -e done ]; do sleep 0.2; done')
    until_ok 20 state_is "$pair" RUNNING
    cut 1 2
    until_ok 40 attempt_is "$pair" 2
    other=$(tug submit --parsable -N 2 --launcher plain -o /dev/null -- true)
    until_ok 20 state_is "$other" COMPLETED # on n1 and n3: the pair is only suspected, and others are free
    until_ok 60 waits_for_its_link "$pair"
    until_ok 20 is_quarantined # for good, when both have been heard of
    tug node show n2 | grep -q "links .*to n1: not used together until "
    [ "$(tug nodes --json | grep -c '"DRAIN')" -eq 0 ]
    tug node history n1 | grep -q "link .*lost its link to n2 in job $pair; they are not used together any more"
    ! tug show "$other" --json | grep -q '"n2"'

    state_is "$flood" RUNNING
    attempt_is "$flood" 1
    kill -CONT "$head"

    mend 1 2
    tug node link clear n1 n2
    [ -z "$(tug nodes --links -H)" ]
    until_ok 20 state_is "$pair" RUNNING
    attempt_is "$pair" 3
    touch done
    tug cancel "$flood"
    until_ok 20 state_is "$pair" COMPLETED
    until_ok 20 nodes_idle 3
}

@test "two nodes of a gang that lose each other are found when its ranks fail, although neither is its head; a daemon there that is stopped is not taken for one" {
    cluster 4
    cd "$D/work"
    local gang sd

    # Its ranks fail for it, as NCCL has them: by a time-out of their own
    gang=$(tug submit --parsable -N 4 --launcher plain --requeue-delay 0s -o /dev/null -- sh -c 'while [ ! -e "fail.$TUG_ATTEMPT.$TUG_RANK" ]; do [ ! -e done ] || exit 0; sleep 0.2; done; exit 7')
    until_ok 20 state_is "$gang" RUNNING
    sd=$(stepd_of "$gang" n4)
    kill -STOP "$sd"
    cut 2 3
    touch fail.1.2
    until_ok 20 eval '[ "$(field "$gang" cause.rank)" = 2 ]' # what is known at first
    kill -CONT "$sd"
    until_ok 40 attempt_is "$gang" 2
    tug nodes --links -H | grep -q '^n2  *n3 '
    [ "$(tug nodes --links -H | wc -l)" -eq 1 ]
    until_ok 20 state_is "$gang" RUNNING
    touch fail.2.1
    until_ok 40 waits_for_its_link "$gang" n2 n3
    until_ok 20 is_quarantined n2 n3
    ! tug nodes --json | grep -q '"DRAIN'
    mend 2 3
    tug node link clear n2 n3
    until_ok 20 attempt_is "$gang" 3
    until_ok 20 state_is "$gang" RUNNING
    touch done
    until_ok 20 state_is "$gang" COMPLETED
}

@test "a gang whose rank fails for reasons of its own has failed, whatever else its nodes are asked" {
    cluster 3
    cd "$D/work"
    local gang
    gang=$(tug submit --parsable -N 3 --launcher plain -o /dev/null -- sh -c '[ "$TUG_RANK" != 1 ] || exit 7; exec sleep 100')
    until_ok 20 state_is "$gang" FAILED
    [ "$(field "$gang" cause.rank)" = 1 ]
    [ -z "$(tug nodes --links -H)" ]
}
