#!/usr/bin/env bats
# Jobs that have to give way, through the real daemons: told, queued again, ended or stopped, and whoever they made room for
# runs in their place.

load common

setup_file()
{
    sandbox_up --nodes 2 --gpus 4
    local yaml=$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml
    sed -i -e 's|^  policy: .*|  policy: fifo+preempt\n  preemption: tier|' -e '/^queues:/,/^[^ ]/{/^queues:/d;/^ /d}' "$yaml"
    grep -q '^  kill_grace:' "$yaml" && sed -i 's|^  kill_grace:.*|  kill_grace: 1s|' "$yaml"
    cat >>"$yaml" <<'END'
queues:
  main: {default: true, tier: 1}
  again: {preempt: requeue, preempt_signal: USR1, preempt_notice: 2s}
  over: {preempt: cancel}
  stop: {preempt: suspend}
END
    tug sandbox restart >"$BATS_FILE_TMPDIR/restart.log" 2>&1 || { cat "$BATS_FILE_TMPDIR/restart.log" "$yaml" >&2; return 1; }
}
teardown_file()
{
    local p
    sandbox_down
    for p in $(pids_of tugd); do # the one that a test started by itself is not the sandbox's
        kill "$p"
    done
}
setup() { cd "$WORK" || return 1; }
teardown()
{
    local id
    touch "$WORK/done"
    for id in $(tug queue --json | python3 -c 'import json, sys; print(*[j["id"] for j in json.load(sys.stdin)["jobs"]])'); do
        tug cancel "$id" || :
        tug wait "$id" || :
    done
}

# urgent: a job of the higher tier on all GPUs; it runs until the file 'done' is there
urgent()
{
    rm -f done
    tug submit --parsable -N 2 --gpus-per-node 4 -- sh -c 'until [ -e done ]; do sleep 0.05; done'
}
finish() # JOB: let it end
{
    touch done
    tug wait "$1"
}
grows() # FILE...: each has more bytes than a moment ago
{
    local f was
    for f in "$@"; do
        was=$(stat -c %s "$f")
        until_ok 10 larger "$f" "$was" || return 1
    done
}
larger() { [ "$(stat -c %s "$1")" -gt "$2" ]; }
reason_is() { [ "$(field "$1" reason)" = "$2" ]; }

@test "a gang of a lower tier is told, makes its checkpoint, and is queued again" {
    cat >again.sh <<'EOF'
#!/bin/sh
# Ranks leave together: the first that ends with an error takes the others along.
trap 'echo "saved by $RANK" >>saved.$RANK; until [ -s saved.0 -a -s saved.1 ]; do sleep 0.05; done; exit 3' USR1
echo "attempt $SLURM_RESTART_COUNT"
echo up >>up.$RANK
while :; do sleep 0.05; done
EOF
    chmod +x again.sh
    low=$(tug submit --parsable -q again -N 2 --gpus-per-node 4 -- ./again.sh)
    until_ok 20 test -s up.0 -a -s up.1
    high=$(urgent)
    until_ok 20 state_is "$high" RUNNING
    [ "$(cat saved.0 saved.1)" = "saved by 0
saved by 1" ]
    state_is "$low" PENDING
    run tug show "$low"
    [[ "$output" == *"gave way to job $high of queue 'main'"* ]]
    finish "$high"
    until_ok 20 state_is "$low" RUNNING
    [ "$(field "$low" attempt)" = 2 ]
    tug cancel "$low"
}

@test "who has notice runs on until it is over, and whom it makes way for says so" {
    low=$(tug submit --parsable -q again -N 2 --gpus-per-node 4 -- sh -c 'trap "" USR1; while :; do sleep 0.05; done')
    until_ok 20 state_is "$low" RUNNING
    high=$(urgent)
    until_ok 5 reason_is "$high" Preempting
    run tug show "$low"
    [[ "$output" == *"has to give way to job $high of queue 'main'"* ]]
    run tug show "$high"
    [[ "$output" == *"job $low of queue 'again' is giving way to it"* ]]
    state_is "$low" RUNNING
    until_ok 20 state_is "$high" RUNNING
    finish "$high"
    tug cancel "$low"
}

@test "who is ended for good is PREEMPTED, and told for whom" {
    low=$(tug submit --parsable -q over -N 2 --gpus-per-node 4 -- sleep 1000)
    until_ok 20 state_is "$low" RUNNING
    high=$(urgent)
    until_ok 20 state_is "$high" RUNNING
    state_is "$low" PREEMPTED
    run tug show "$low"
    [[ "$output" == *"PREEMPTED"*"gave way to job $high of queue 'main'"* ]]
    run tug queue --state PR
    [[ "$output" == *"$low"* ]]
    finish "$high"
}

@test "who is suspended stops, children that left its session as well, and goes on where it was" {
    cat >count.sh <<'EOF'
#!/bin/sh
setsid sh -c 'while :; do printf x >>child; sleep 0.02; done' &
while :; do printf x >>count; sleep 0.02; done
EOF
    low=$(tug submit --parsable -q stop -N 1 --gpus-per-node 4 --time 1000 count.sh)
    until_ok 20 test -s count -a -s child
    node=$(field "$low" nodelist)
    high=$(urgent)
    until_ok 20 state_is "$high" RUNNING
    state_is "$low" SUSPENDED
    run tug queue
    [[ "$output" == *"Suspended"* ]]
    tug queues --json | python3 -c '
import json, sys
assert [q["jobs_pending"] for q in json.load(sys.stdin)["queues"] if q["name"] == "stop"] == [1]'
    [ "$(field "$low" run_since_ms)" = 0 ]
    [ "$(field "$low" run_before_ms)" -gt 0 ]
    was="$(stat -c %s count child)"
    tug run -N 1 true # takes a while, in which nothing is written
    [ "$(stat -c %s count child)" = "$was" ]
    run tug cancel --signal CONT "$low"
    [ "$status" -ne 0 ]
    [[ "$output" == *"is suspended"* ]]
    finish "$high"
    until_ok 20 state_is "$low" RUNNING
    [ "$(field "$low" nodelist)" = "$node" ]
    [ "$(field "$low" attempt)" = 1 ]
    grows count child
    tug cancel "$low"
}

@test "tugd dies while one is suspended, and it goes on all the same" {
    rm -f count
    low=$(tug submit --parsable -q stop -N 1 --gpus-per-node 4 -- sh -c 'while :; do printf x >>count; sleep 0.02; done')
    until_ok 20 test -s count
    high=$(urgent)
    until_ok 20 state_is "$high" RUNNING
    victim=$(pids_of tugd)
    kill -KILL "$victim"
    until_ok 20 bash -c "[ -z \"\$(ls /proc/$victim/fd 2>/dev/null)\" ]" # or the next one finds its state locked
    tugd --config "$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml" >>"$BATS_TEST_TMPDIR/tugd2.log" 2>&1 3>&- &
    until_ok 30 tug ping
    state_is "$low" SUSPENDED
    was="$(stat -c %s count)"
    until_ok 30 state_is "$high" RUNNING
    [ "$(stat -c %s count)" = "$was" ]
    finish "$high"
    until_ok 30 state_is "$low" RUNNING
    grows count
    tug cancel "$low"
}
