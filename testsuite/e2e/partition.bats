#!/usr/bin/env bats
# partition.bats - a node's cable is pulled: two nodes, each in a network namespace of its own, behind a veth pair (root)
#
# TUG_PARTITIONS=N pulls it N times, on whichever node the gang runs; the ranks prove that no two attempts meet
# (testsuite/crash/rank.sh).

load common
source "$BATS_TEST_DIRNAME/../etcd.bash"

setup()
{
    [ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
    command -v ip >/dev/null || skip "there is no ip (Debian: iproute2)"
    export D="$BATS_TEST_TMPDIR/net" NO_COLOR=1
    local node_timeout=2s
    [[ "$BATS_TEST_DESCRIPTION" != *"within 20 s"* ]] || node_timeout=18s # longer than what the kernel takes for a dead cable
    TAG=t$$ NET=10.$((RANDOM % 100 + 100)).$((RANDOM % 250))
    mkdir -p -m 700 "$D/c" "$D/c/keys" "$D/c/keys/nodes" "$D/r" "$D/work"
    for i in 1 2; do namespace $i || skip "no network namespace can be made here"; done
    PORT=$(free_ports 1)
    export TUG_SOCKET="$D/r/tugd.sock"
    cat >"$D/c.yaml" <<X
cluster: {name: net, state_dir: $D/c, run_dir: $D/r, listen: "0.0.0.0:$PORT"}
scheduler: {policy: fifo, policy_dirs: ["$TUG_BUILDDIR/plugins"]}
timeouts: {node_timeout: $node_timeout, lease: 3s}
limits: {min_uid: 1}
nodes: [{name: "n[1-2]", cpus: 8, gpus: 4}]
X
    tugd -c "$D/c.yaml" >"$D/c.log" 2>&1 3>&- &
    echo $! >"$D/c.pid"
    until_ok 20 tug ping 2>/dev/null || { cat "$D/c.log"; false; }
    for i in 1 2; do node $i; done
    until_ok 20 nodes_idle 2
}

teardown()
{
    local i
    for i in n1 n2 c; do [ ! -e "$D/$i.pid" ] || kill "$(cat "$D/$i.pid")" 2>/dev/null || :; done
    wait
    for i in 1 2; do ip netns del "$TAG-$i" 2>/dev/null || :; done
}

# namespace I: NET.4I+1 is ours, NET.4I+2 is the node's
namespace()
{
    ip netns add "$TAG-$1" && ip link add "$TAG-$1" type veth peer name uplink netns "$TAG-$1" &&
        ip addr add "$NET.$((4 * $1 + 1))/30" dev "$TAG-$1" && ip link set "$TAG-$1" up &&
        ip -n "$TAG-$1" addr add "$NET.$((4 * $1 + 2))/30" dev uplink && ip -n "$TAG-$1" link set uplink up &&
        ip -n "$TAG-$1" link set lo up
}

node()
{
    mkdir -p -m 700 "$D/n$1/state" "$D/n$1/run"
    cat >"$D/n$1/tugnode.yaml" <<X
name: n$1
controller: "$NET.$((4 * $1 + 1)):$PORT"
state_dir: $D/n$1/state
run_dir: $D/n$1/run
controller_key_file: $D/c/keys/controller.pub
emulate: {cpus: 8, gpus: 4}
X
    ip netns exec "$TAG-$1" tuglaunch --emulated --one-user --node "n$1" --cluster net --controller-pub "$D/c/keys/controller.pub" \
        --run-dir "$D/n$1/run" --stepd "$TUG_BUILDDIR/tugstepd" --cgroup-root none -- "$TUG_BUILDDIR/tugnoded" \
        --config "$D/n$1/tugnode.yaml" --cluster net --address "$NET.$((4 * $1 + 2))" >"$D/n$1.log" 2>&1 3>&- &
    echo $! >"$D/n$1.pid"
    until_ok 20 test -e "$D/n$1/state/node.key.pub"
    cp "$D/n$1/state/node.key.pub" "$D/c/keys/nodes/n$1.pub"
}

nodes_idle() { [ "$(tug nodes --json | grep -o '"IDLE"' | wc -l)" -eq "$1" ]; }

@test "a node that is cut off ends its gang before the next attempt starts elsewhere" {
    cd "$D/work"
    local i id n
    for ((i = 0; i < ${TUG_PARTITIONS:-1}; i++)); do
        id=$(tug submit --parsable -o /dev/null -- "${TUG_SRCDIR:-$BATS_TEST_DIRNAME/../..}/testsuite/crash/rank.sh" 300 0 0.1)
        until_ok 20 grep -q "^start $id 1 0" ranks
        n=$(field "$id" nodes)
        n=${n//[!12]/}
        ip link set "$TAG-$n" down
        until_ok 40 grep -q "^end $id 2 0 0" ranks
        ip link set "$TAG-$n" up
        until_ok 20 state_is "$id" COMPLETED
        [ "$(grep -c "^start $id " ranks)" -eq 2 ]
        ! grep -q "^end $id 1 " ranks
        until_ok 20 nodes_idle 2
    done
    [ ! -e overlaps ] || { cat overlaps; false; }
    echo "# $i partitions, 0 overlaps" >&3
}

since() { awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $1 }"; }

@test "tugd, a node and tug run each know within 20 s that the other end of a dead cable is gone" {
    local t0 tugd node run pid
    cd "$D/work"
    TUG_RUN_ADDRESS=$NET.5 tug run -w n1 sh -c 'echo up; exec sleep 300' >run.out 2>run.err 3>&- &
    pid=$!
    until_ok 20 grep -q up run.out
    t0=$EPOCHREALTIME
    ip link set "$TAG-1" down
    until_ok 40 grep -q "no connection to the controller" "$D/n1.log"
    node=$(since "$t0")
    until_ok 40 grep -q "connection of node n1 ended" "$D/c.log"
    tugd=$(since "$t0")
    until_ok 40 grep -q . run.err
    run=$(since "$t0")
    echo "# known after: node ${node} s, tugd ${tugd} s, tug run ${run} s" >&3
    kill "$pid" || :
    wait "$pid" || :
    ip link set "$TAG-1" up
    awk "BEGIN { exit !($node < 23 && $tugd < 23 && $run < 23) }" # 20, and what a busy machine adds
}
