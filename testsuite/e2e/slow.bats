#!/usr/bin/env bats
# Nodes that are slow or stopped in a launch: the gang goes elsewhere, who was late is named, and drained after three times; a
# user's file system that hangs is no node's fault. Real daemons; what stops is stopped by SIGSTOP.

load common

# node_up NAME CONTROLLER ADDRESS [COMMAND that runs it]
node_up()
{
    mkdir -p "$D/$1"
    mkdir -p -m 700 "$D/$1/state"
    [ -e "$D/$1/stepd" ] || ln -s "$TUG_BUILDDIR/tugstepd" "$D/$1/stepd"
    "${@:4}" tuglaunch --emulated --one-user --cgroup-root none --node "$1" --cluster slow --controller-pub "$D/state/keys/controller.pub" \
        --run-dir "$D/$1/run" --stepd "$D/$1/stepd" -- "$TUG_BUILDDIR/tugnoded" --node "$1" --controller "$2" --cluster slow \
        --key "$D/$1/state/node.key" --controller-pub "$D/state/keys/controller.pub" --state-dir "$D/$1/state" --run-dir "$D/$1/run" \
        --address "$3" --cpus 8 --memory 8G --gpus 4 >"$D/$1/log" 2>&1 3>&- &
    echo $! >"$D/$1/pid"
    until_ok 20 test -s "$D/$1/state/node.key.pub"
    cp "$D/$1/state/node.key.pub" "$D/state/keys/nodes/$1.pub"
}

setup_file()
{
    export NO_COLOR=1 D="$BATS_FILE_TMPDIR/d" PORT=$((20000 + $$ % 20000))
    export TUG_SOCKET=$D/run/tugd.sock
    mkdir -p "$D"/{state,run,work,s1}
    chmod 700 "$D/state"
    cat >"$D/tugline.yaml" <<END
cluster: {name: slow, state_dir: $D/state, run_dir: $D/run, listen: "0.0.0.0:$PORT"}
limits: {min_uid: 1}
timeouts: {launch_timeout: 9s, cleaning_timeout: 1h, kill_grace: 1s}
scheduler:
  policy: fifo
  placement: first-fit
  policy_dirs: [$TUG_BUILDDIR/plugins]
nodes:
  - name: s[0-2]
    gpus: 4
END
    tugd --config "$D/tugline.yaml" >"$D/tugd.log" 2>&1 3>&- &
    echo $! >"$D/tugd.pid"
    until_ok 30 eval 'tug ping 2>/dev/null' || { cat "$D/tugd.log" >&2; return 1; }
    # A step daemon of s1 is stopped as soon as it is there, while that is wanted.
    printf '#!/bin/sh\n[ ! -e %s/stop ] || kill -STOP $$\nexec %s/tugstepd "$@"\n' "$D" "$TUG_BUILDDIR" >"$D/s1/stepd"
    chmod 755 "$D/s1/stepd"
    for n in s1 s2; do node_up $n "127.0.0.1:$PORT" 127.0.0.1; done
    until_ok 30 nodes_are IDLE IDLE || { cat "$D"/tugd.log "$D"/s*/log >&2; return 1; }
}

teardown_file()
{
    [ ! -e "$D/s0/pid" ] || kill -TERM "$(cat "$D/s0/pid")"
    ip netns del tug-slow-$$ 2>/dev/null || :
    for f in s1/pid s2/pid; do kill -CONT "$(cat "$D/$f")" || :; done
    hang_over
    for f in s1/pid s2/pid tugd.pid; do kill -TERM "$(cat "$D/$f")" || :; done
    until_ok 30 bash -c 'for f in s1/pid s2/pid tugd.pid; do kill -0 $(cat "$D/$f") 2>/dev/null && exit 1; done; exit 0'
}

setup() { cd "$D/work"; }

hang_up() { # DIR
    mkdir "$1"
    python3 "$BATS_TEST_DIRNAME/hangfs.py" "$1" create 3>&- &
    echo $! >"$D/hangfs.pid"
    until_ok 20 grep -q -F " $1 " /proc/mounts
}

hang_over()
{
    [ ! -e "$D/hangfs.pid" ] || kill -TERM "$(cat "$D/hangfs.pid")" || :
    rm -f "$D/hangfs.pid"
}

of_node() # NODE EXPRESSION over the node n
{
    tug node show --json "$1" | python3 -c 'import json, sys
n = json.load(sys.stdin)["nodes"][0]
print(eval(sys.argv[1]))' "$2"
}
nodes_are() { [ "$(of_node s1 'n["state"]') $(of_node s2 'n["state"]')" = "$1 $2" ]; }
show() { tug queue; tug nodes; tug node show s1; tail -n 20 "$D/tugd.log" "$D/s1/log"; }

@test "a node whose step daemons are stopped is late: gangs go elsewhere, it is named, and drained after three of them" {
    : >"$D/stop"
    id=$(tug submit --parsable -N 1 --gpus 1 -- true)
    until_ok 60 state_is "$id" COMPLETED || { show; false; }
    run tug show "$id"
    echo "$output"
    [ "$(field "$id" nodelist)" = s2 ]
    [[ "$output" == *"1: ended"*"never ran: node s1 was not ready within 9 s"* ]]
    stays=$(tug submit --parsable -N 1 --gpus 1 --nodelist s1 -- true) # may go nowhere else, so it is late there twice more
    until_ok 60 nodes_are DRAINED IDLE || { show; false; }
    rm "$D/stop"
    run tug node show s1
    echo "$output"
    [[ "$output" == *"3 launches in a row failed here; the last one: it was not ready within 9 s"* ]]
    tug resume s1
    until_ok 60 state_is "$stays" COMPLETED || { show; false; }
}

@test "an output that cannot be opened as its file system hangs ends the job, and is not held against the node" {
    [ "$(id -u)" -eq 0 ] && [ -c /dev/fuse ] || skip "needs root and /dev/fuse: a file system that never answers"
    hang_up "$D/work/dead"
    id=$(tug submit --parsable -N 1 --gpus 1 --nodelist s2 --output "$D/work/dead/out" -- true)
    until_ok 60 state_is "$id" FAILED || { show; false; }
    run tug show "$id"
    echo "$output"
    [[ "$output" == *"cannot open output '$D/work/dead/out' on node s2: no answer for 6 s"* ]]
    [ "$(field "$id" attempt)" -eq 1 ]
    [ "$(of_node s2 'n["bad_launches"]')" -eq 0 ]
    [ "$(of_node s2 'len(n["failures"])')" -eq 0 ]
    hang_over
    until_ok 60 nodes_are IDLE IDLE || { show; tug node show s2; false; }
}

@test "a node whose launcher is stopped says so, gets no gang, and is back by itself when that goes on" {
    kill -STOP "$(cat "$D/s1/pid")"
    until_ok 60 nodes_are DRAINED IDLE || { show; false; }
    run tug node show s1
    echo "$output"
    [[ "$output" == *"its launcher (tuglaunch, pid $(cat "$D/s1/pid")) does not answer: it is stopped, or hangs"* ]]
    id=$(tug submit --parsable -N 1 --gpus 1 -- true)
    until_ok 60 state_is "$id" COMPLETED || { show; false; }
    [ "$(field "$id" nodelist)" = s2 ]
    kill -CONT "$(cat "$D/s1/pid")"
    until_ok 60 nodes_are IDLE IDLE || { show; false; }
}

@test "a node behind a link of 512 kbit/s is late with a large environment: the gang goes elsewhere, and tugd answers all the time" {
    [ "$(id -u)" -eq 0 ] && command -v tc >/dev/null || skip "needs root and tc (Debian: iproute2): a network namespace behind a slow link"
    local ns=tug-slow-$$ net=10.$((RANDOM % 100 + 100)).$((RANDOM % 250)) n
    ip netns add $ns && ip link add "p$$" type veth peer name uplink netns $ns || skip "no network namespace can be made here"
    ip addr add "$net.254/24" dev "p$$" && ip link set "p$$" up
    ip -n $ns addr add "$net.1/24" dev uplink && ip -n $ns link set uplink up && ip -n $ns link set lo up
    tc qdisc add dev "p$$" root tbf rate 512kbit burst 16kb latency 500ms
    node_up s0 "$net.254:$PORT" "$net.1" ip netns exec $ns
    until_ok 60 eval '[ "$(of_node s0 "n[\"state\"]")" = IDLE ]' || { show; false; }
    for n in 1 2 3 4 5 6 7; do export "LARGE_$n=$(head -c 90000 /dev/urandom | base64 -w 0)"; done # in all 840 kB: 13 s
    id=$(tug submit --parsable -N 1 --gpus 1 --nodelist s0,s2 -- true)
    unset LARGE_{1..7}
    until state_is "$id" COMPLETED; do
        [ "$((n += 1))" -lt 120 ] || { show; false; }
        timeout 10 tug ping >ping
        read -r -t 0.5 <> <(:) || :
    done
    cat ping
    run tug show "$id"
    echo "$output"
    [ "$(field "$id" nodelist)" = s2 ]
    [[ "$output" == *"1: ended"*"never ran: node s0 was not ready within 9 s"* ]]
    kill -TERM "$(cat "$D/s0/pid")"
    until_ok 60 bash -c '! kill -0 $(cat "$D/s0/pid") 2>/dev/null'
    rm "$D/s0/pid"
    ip netns del $ns
}
