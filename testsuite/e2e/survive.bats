#!/usr/bin/env bats
# Daemons die; gangs do not notice, or end with the right cause.

load common

setup() {
    export BATS_FILE_TMPDIR="$BATS_TEST_TMPDIR"
    sandbox_up --nodes 3 --gpus 8
}
teardown()
{
    [ -z "${second:-}" ] || kill "$second" 2>/dev/null || :
    sandbox_down
}

start_gang()
{
    id=$(tug submit --parsable "$@" -N 3 -n 3 -- sh -c 'echo "pid $$"; while [ ! -e go ]; do sleep 0.1; done; echo "done $RANK"')
    until_ok 20 state_is "$id" RUNNING
    until_ok 20 bash -c "[ \$(tug logs $id | grep -c pid) -eq 3 ]"
}

@test "a killed tugnoded finds its step again and the gang ends well" {
    start_gang
    victim=$(pids_of tugnoded | head -1)
    kill -KILL "$victim"
    until_ok 20 bash -c "! kill -0 $victim 2>/dev/null"
    until_ok 20 bash -c '[ "$(tug nodes --json | grep -c IDLE)" -eq 0 ]'
    touch go
    run tug wait "$id"
    [ "$status" -eq 0 ]
    [ "$(field "$id" attempt)" = 1 ]
    [ "$(tug logs "$id" | grep -c done)" -eq 3 ]
}

@test "a killed tugd finds its gang running and keeps it; nothing acknowledged is lost" {
    start_gang
    waiting=$(tug submit --parsable -N 3 --exclusive -t 5 -- true)
    victim=$(pids_of tugd | head -1)
    conf=$(find "$XDG_RUNTIME_DIR/tugline/sandbox" -name '*.yaml' | head -1)
    kill -KILL "$victim"
    until_ok 20 bash -c "[ -z \"\$(ls /proc/$victim/fd 2>/dev/null)\" ]"      # or the next one finds its state locked
    tugd --config "$conf" >>"$BATS_TEST_TMPDIR/tugd2.log" 2>&1 3>&- &
    second=$!
    until_ok 20 tug ping
    [ "$(field "$id" state)" = RUNNING ]
    [ "$(field "$waiting" state)" = PENDING ]
    touch go
    run tug wait "$id"
    [ "$status" -eq 0 ]
    [ "$(field "$id" attempt)" = 1 ]
    run tug wait "$waiting"
    [ "$status" -eq 0 ]
}

@test "a killed step daemon ends the gang with that cause" {
    start_gang --no-requeue
    victim=$(pids_of tugstepd | head -1)
    kill -KILL "$victim"
    run tug wait "$id"
    [ "$status" -ne 0 ]
    [ "$(field "$id" state)" = FAILED ] || [ "$(field "$id" state)" = NODE_FAIL ]
    kind=$(field "$id" cause.kind)
    [ "$kind" = stepd ] || [ "$kind" = node ]
    no_stepd() { [ -z "$(pids_of tugstepd)" ]; }
    until_ok 10 no_stepd
}

@test "a killed rank ends the gang and is named" {
    start_gang --no-requeue
    pid=$(tug logs --rank 2 "$id" | awk '/pid/ { print $2 }')
    kill -KILL "$pid"
    run tug wait "$id"
    [ "$status" -eq 137 ]
    [ "$(field "$id" cause.rank)" = 2 ]
    [ "$(field "$id" cause.exit.signal)" = 9 ]
}

@test "SIGHUP makes tugd read its configuration again; one that is wrong changes nothing" {
    start_gang
    conf=$(find "$XDG_RUNTIME_DIR/tugline/sandbox" -name tugline.yaml)
    log=$(find "$XDG_RUNTIME_DIR/tugline/sandbox" -name 'tugd*.log')
    victim=$(pids_of tugd)
    printf 'queues:\n  main: {default: true}\n  urgent: {priority: 50}\nlimits: {max_connections: 77}\n' >>"$conf"
    sed -i 's/kill_grace: 5s/kill_grace: 6s/; s/n\[1-3\]/n[1-4]/' "$conf"
    kill -HUP "$victim"
    until_ok 10 grep -q 'timeouts.kill_grace was 5s, is 6s$' "$log"
    grep -q 'limits.max_connections was 16384, is 77; tugd takes that when it is started again' "$log"
    tug queues | grep -q urgent
    tug nodes --json | grep -q '"n4"'
    echo 'nonsense: 1' >>"$conf"
    kill -HUP "$victim"
    until_ok 10 grep -q 'the configuration stays as it was: ' "$log"
    tug queues | grep -q urgent
    touch go
    tug wait "$id"
    [ "$(pids_of tugd)" = "$victim" ]
}
