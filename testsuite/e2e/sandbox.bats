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
    [[ "$output" == *'"policy":'*'"fifo"'* ]] || [[ "$output" == *'"policy": "fifo"'* ]]
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

@test "stop leaves no process and no socket" {
    tug sandbox stop
    [ -z "$(pids_of tugd)$(pids_of tugnoded)$(pids_of tuglaunch)$(pids_of tugstepd)" ]
    [ -z "$(find "$XDG_RUNTIME_DIR" -type s)" ]
}
