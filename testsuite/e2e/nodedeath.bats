#!/usr/bin/env bats
# A node dies whole: its launcher is killed, and its node daemon and step daemons die with it.

load common

setup()
{
    export BATS_FILE_TMPDIR="$BATS_TEST_TMPDIR"
    sandbox_up --nodes 3 --gpus 2
    # A cluster that gives up on a node sooner than a sandbox does.
    sed -i -e 's/^  flap_losses: .*/  flap_losses: 2/' -e 's/^  node_timeout: .*/  node_timeout: 2s/' -e 's/^  lease: .*/  lease: 3s/' \
        "$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml"
    tug sandbox restart
}
teardown() { sandbox_down; }

launcher_of()
{
    local p
    for p in $(pids_of tuglaunch); do
        tr '\0' ' ' <"/proc/$p/cmdline" | grep -q -e "--node $1 " && echo "$p"
    done
    return 0
}

noded_of()
{
    local p
    for p in $(pids_of tugnoded); do
        tr '\0' ' ' <"/proc/$p/cmdline" | grep -q -e "--node $1 " && echo "$p"
    done
    return 0
}

shows() { [[ "$(tug node show n2)" == *"$1"* ]]; }

# gang FILE OPTIONS...: sets id, and adds to all the pids of its ranks and of what they started
gang()
{
    local file=$1
    shift
    id=$(tug submit --parsable "$@" -N 3 -n 3 -o "$file" -- sh -c 'sleep 600 & echo "pid $$ $! on $TUG_NODE"; wait')
    until_ok 20 state_is "$id" RUNNING
    until_ok 20 bash -c "[ \$(grep -c pid $file) -eq 3 ]"
    all="$all $(sed -n 's/.*pid \([0-9]* [0-9]*\) on n[123]$/\1/p' "$file" | tr '\n' ' ')"
}

nobody_left()
{
    local p
    for p in $all; do ! kill -0 "$p" 2>/dev/null || return 1; done
}

@test "gangs end on all nodes, and what their ranks started; one is queued again, and one that may not be ends and names the node" {
    all=
    gang again.out
    again=$id
    gang once.out --no-requeue
    once=$id
    [ "$(wc -w <<<"$all")" -eq 12 ]
    kill -KILL "$(launcher_of n2)"
    until_ok 10 nobody_left
    [ "$(field "$again" cause.node)" = n2 ]
    run timeout 30 tug wait "$once"
    [ "$status" -ne 0 ]
    [ "$status" -ne 124 ]
    [ "$(field "$once" state)" = NODE_FAIL ]
    [ "$(field "$once" cause.node)" = n2 ]
    until_ok 20 state_is "$again" PENDING
    [ "$(field "$again" requeues)" -eq 1 ]
    run tug nodes n2
    [[ "$output" == *DOWN* ]]
}

@test "a controller that is frozen for longer than a lease goes on: its nodes have ended what may run again" {
    local rank="${TUG_SRCDIR:-$BATS_TEST_DIRNAME/../..}/testsuite/crash/rank.sh" again p
    again=$(tug submit --parsable -N 2 -o /dev/null -- "$rank" 300 0 0.1)
    until_ok 20 eval '[ "$(grep -c "^start $again 1 " ranks)" -eq 2 ]'
    p=$(pids_of tugd)
    kill -STOP "$p"
    until_ok 20 flock -n "lock.$again.1.0.n1" true
    until_ok 20 flock -n "lock.$again.1.1.n2" true
    kill -CONT "$p"
    run timeout 40 tug wait "$again"
    [ "$status" -eq 0 ]
    [ "$(field "$again" attempt)" -eq 2 ]
    [ "$(grep -c "^start $again 2 " ranks)" -eq 2 ]
    [ ! -e overlaps ]
}

@test "a node that is lost and comes back again and again is drained, and what it did is remembered" {
    local noded i
    noded=$(noded_of n2)
    for i in 1 2; do
        kill -STOP "$noded"
        until_ok 20 shows "state       DOWN"
        kill -CONT "$noded"
        until_ok 20 shows ", up since"
    done
    shows "drained by  tugd, "
    shows "was lost or started anew and came back 2 times within 01:00:00"
    tug sandbox restart
    shows "drained by  tugd, "
    [ "$(tug node show n2 | grep -c "it was not heard of any more")" -eq 2 ]
    [[ "$(tug node history n2)" == *" drain "*flapping* ]]
}
