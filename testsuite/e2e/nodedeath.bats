#!/usr/bin/env bats
# A node dies whole: its launcher is killed, and its node daemon and step daemons die with it.

load common

setup()
{
    export BATS_FILE_TMPDIR="$BATS_TEST_TMPDIR"
    sandbox_up --nodes 3 --gpus 2
    # A cluster that gives up on a node sooner than a sandbox does.
    sed -i -e 's/^  node_timeout: .*/  node_timeout: 2s/' -e 's/^  lease: .*/  lease: 3s/' \
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

gang()
{
    id=$(tug submit --parsable "$@" -N 3 -n 3 -o gang.out -- sh -c 'echo "pid $$ on $TUG_NODE"; exec sleep 600')
    until_ok 20 state_is "$id" RUNNING
    until_ok 20 bash -c '[ $(grep -c pid gang.out) -eq 3 ]'
    others=$(sed -n 's/.*pid \([0-9]*\) on n[13]$/\1/p' gang.out)
    [ "$(wc -w <<<"$others")" -eq 2 ]
}

nobody_left()
{
    local p
    for p in $others; do ! kill -0 "$p" 2>/dev/null || return 1; done
}

@test "the gang ends on all other nodes and names the node; it is queued again" {
    gang
    kill -KILL "$(launcher_of n2)"
    until_ok 10 nobody_left
    run tug show "$id"
    [[ "$output" == *n2* ]]
    waits() { state_is "$id" PENDING; }
    until_ok 20 waits
    [ "$(field "$id" requeues)" -eq 1 ]
    run tug nodes n2
    [[ "$output" == *DOWN* ]]
    run tug ping
    [ "$status" -eq 0 ]
}

@test "a job that may not be requeued ends, and says which node was lost" {
    gang --no-requeue
    kill -KILL "$(launcher_of n2)"
    until_ok 10 nobody_left
    run timeout 30 tug wait "$id"
    [ "$status" -ne 0 ]
    [ "$status" -ne 124 ]
    [ "$(field "$id" state)" = NODE_FAIL ]
    [ "$(field "$id" cause.node)" = n2 ]
}
