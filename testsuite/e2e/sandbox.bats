#!/usr/bin/env bats
# The embedded cluster itself.

load common

setup_file() { sandbox_up --nodes 4 --gpus 8; }
teardown_file() { sandbox_down || true; }

@test "four nodes with eight GPUs each are up when start returns" {
    run tug nodes --json
    [ "$status" -eq 0 ]
    echo "$output" | python3 -c '
import json, sys
nodes = json.load(sys.stdin)["nodes"]
assert len(nodes) == 4, nodes
assert all(n["state"] == "IDLE" and n["gpus"] == 8 for n in nodes), nodes'
}

@test "ping names the policy, and it is the plugin" {
    run tug ping --json
    [ "$status" -eq 0 ]
    [[ "$output" == *'"policy":'*'"multifactor+easy"'* ]]
}

@test "ping tells how long the controller was busy at a time" {
    tug ping --json | python3 -c '
import json, sys
p = json.load(sys.stdin)
assert p["turns"] > 5 and 0 < p["turn_p50_us"] <= p["turn_p99_us"] <= p["turn_max_us"], p
assert 0 < p["turn_cpu_p50_us"] <= p["turn_cpu_p99_us"] <= p["turn_cpu_max_us"] <= p["turn_max_us"] + 1000, p'
    tug ping | grep -q 'turns of its loop 99 % took at most'
}

@test "a second sandbox in the same place is refused and the first one lives on" {
    run tug sandbox start --nodes 2
    [ "$status" -ne 0 ]
    [[ "$output" == *"stop"* ]]
    tug ping
}

@test "a second tugd on the same state is refused and names the pid of the first" {
    dir=$XDG_RUNTIME_DIR/tugline/sandbox
    conf=$(find "$dir" -name '*.yaml' | head -1)
    run timeout 10 tugd --config "$conf"
    [ "$status" -eq 1 ]
    [[ "$output" == *"$(pids_of tugd | head -1)"* ]]
    tug ping
}

@test "without a controller a command says which socket it tried and what to do" {
    TUG_SOCKET=/nonexistent/tugd.sock run tug queue
    [ "$status" -eq 3 ]
    [[ "$output" == *"/nonexistent/tugd.sock"* ]]
    [[ "$output" == *"tug sandbox start"* ]]
}

@test "another state directory over an old sandbox: its nodes take orders at once, and the first state is kept" {
    dir=$BATS_TEST_TMPDIR/sb
    for state in one two; do
        tug sandbox start --dir "$dir" --nodes 2 --gpus 1 --state-dir "$BATS_TEST_TMPDIR/$state"
        run env TUG_SOCKET="$dir/tugd.sock" timeout 10 tug run -N 2 true
        tug sandbox stop --dir "$dir"
        [ "$status" -eq 0 ]
    done
    tug sandbox start --dir "$dir" --nodes 2 --gpus 1 --state-dir "$BATS_TEST_TMPDIR/one"
    run env TUG_SOCKET="$dir/tugd.sock" tug run -Q sh -c 'echo $TUG_JOB_ID'
    tug sandbox stop --dir "$dir"
    [ "$output" -gt 1 ]
}

@test "a policy that is not there is said by start" {
    dir=$BATS_TEST_TMPDIR/sb
    run tug sandbox start --dir "$dir" --nodes 1 --policy nosuch
    [ "$status" -eq 0 ]
    [[ "$output" == *"warning"*"nosuch"* ]]
    # Killed outright, it starts again in the same place.
    awk '{ print $1 }' "$dir/sandbox.state" | xargs kill -KILL
    run tug sandbox status --dir "$dir"
    [ "$status" -eq 1 ]
    gone() { ! tug sandbox status --dir "$dir" --json | grep -q '"alive":[1-9]'; }
    until_ok 10 gone
    tug sandbox start --dir "$dir" --nodes 1
    awk 'NR == 2 { print $1 }' "$dir/sandbox.state" | xargs kill -KILL
    run tug sandbox restart --dir "$dir"
    [ "$status" -eq 1 ]
    [[ "$output" == *"n1"*"stop"* ]]
    tug sandbox stop --dir "$dir"
}

@test "a state that is cut short, or of a newer version, or that cannot be written: tugd says so and does not start" {
    dir=$BATS_TEST_TMPDIR/sb
    tug sandbox start --dir "$dir" --nodes 1
    tug sandbox stop --dir "$dir"
    db=$(find "$dir/state" -maxdepth 1 -type f -size +4k | head -1)
    [ -n "$db" ]
    cp "$db" "$BATS_TEST_TMPDIR/db"
    rm -f "$db"-wal "$db"-shm
    head -c 2000 "$BATS_TEST_TMPDIR/db" >"$db"
    run timeout 10 tugd --config "$dir/tugline.yaml"
    [ "$status" -ne 0 ]
    [ "$status" -ne 124 ]
    [[ "$output" == *"$db"* ]]
    cp "$BATS_TEST_TMPDIR/db" "$db"
    python3 - "$db" <<'EOF'
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.execute("PRAGMA user_version = 999")
c.commit()
EOF
    run timeout 10 tugd --config "$dir/tugline.yaml"
    [ "$status" -ne 0 ]
    [ "$status" -ne 124 ]
    [[ "$output" == *"$db"*"999"* ]] || [[ "$output" == *"newer"* ]]
    sed -i "s|^  state_dir: .*|  state_dir: /proc/tugline-state|" "$dir/tugline.yaml"
    run timeout 10 tugd --config "$dir/tugline.yaml"
    [ "$status" -ne 0 ]
    [ "$status" -ne 124 ]
    [[ "$output" == *"/proc/tugline-state"* ]]
}

@test "stop leaves no process and no socket" {
    tug sandbox stop
    [ -z "$(pids_of tugd)$(pids_of tugnoded)$(pids_of tuglaunch)$(pids_of tugstepd)" ]
    [ -z "$(find "$XDG_RUNTIME_DIR" -type s)" ]
}
