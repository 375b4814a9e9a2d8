#!/usr/bin/env bats
# A policy that is missing, of another make, slow or mad: it is named by tug ping and in the log, and scheduling goes on.

load common

setup_file()
{
    sandbox_up --nodes 2 --gpus 4
    cp "$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml" "$BATS_FILE_TMPDIR/yaml"
}
teardown_file() { sandbox_down; }
setup() { cd "$WORK" || return 1; }

# configure NAME [PARAMETERS]: that policy, from the tests' plugins, in the configuration
configure()
{
    sed -e "s|^  policy: .*|  policy: $1\n  policy_params: {${2:-}}|" -e "s|^  policy_dirs:|&\n    - \"$TUG_BUILDDIR/testsuite/plugins/.libs\"\n    - \"$TUG_BUILDDIR/testsuite/plugins\"|" \
        "$BATS_FILE_TMPDIR/yaml" >"$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml"
}

# policy NAME [PARAMETERS]: that policy from now on
policy()
{
    configure "$@"
    run tug sandbox restart
    [ "$status" -eq 0 ]
}

# live NAME [PARAMETERS]: the same, without a restart
live()
{
    configure "$@"
    kill -HUP "$(pids_of tugd)"
}

in_force() # the policy that schedules, and why not another
{
    tug ping --json | python3 -c 'import json, sys; p = json.load(sys.stdin); print(p["policy"] + "|" + p["policy_note"])'
}

logged() { grep -q -- "$1" "$XDG_RUNTIME_DIR/tugline/sandbox/tugd.log"; }

works() # jobs start: a gang, one that waits for it, and one that is refused
{
    local a b
    a=$(tug submit --parsable -N 2 --gpus-per-node 4 -- true)
    b=$(tug submit --parsable -N 2 --gpus-per-node 3 -- true)
    run timeout 30 tug wait "$a" "$b"
    [ "$status" -eq 0 ]
}

@test "a policy that is not there" {
    policy nosuch
    [[ "$output" == *"warning"*"nosuch"* ]]
    [[ "$(in_force)" == "built-in fifo|"*nosuch* ]]
    logged nosuch
    works
}

@test "a policy of another ABI" {
    policy abi2
    [[ "$(in_force)" == "built-in fifo|"*abi2* ]]
    logged abi2
    works
}

@test "a slow policy" {
    policy slow
    works
    until_ok 20 logged slow
    [[ "$(in_force)" == *slow* ]]
}

@test "a policy that proposes nonsense: nothing is overbooked" {
    policy nonsense
    works
    [[ "$(in_force)" == *nonsense* ]]
    logged nonsense
    ids=
    for i in 1 2 3 4; do ids="$ids $(tug submit --parsable -N 2 --gpus-per-node 3 -- sleep 0.1)"; done
    tug nodes --json | python3 -c '
import json, sys
for n in json.load(sys.stdin)["nodes"]:
    assert n["gpus_alloc"] >> n["gpus"] == 0 and n["cpus_alloc"] <= n["cpus"], n'
    run timeout 30 tug wait $ids
    [ "$status" -eq 0 ]
}

@test "a policy that lies" {
    policy liar
    works
    [[ "$(in_force)" == *liar* ]]
    logged liar
    works
}

@test "several policies, changed while it runs; what does not load leaves the one before" {
    is_in_force() { [ "$(in_force)" = "$1" ]; }
    policy fifo
    live sjf+easy "easy.depth: 50"
    until_ok 20 is_in_force "sjf+easy|"
    works
    live sjf+easy "depth: many"
    until_ok 20 logged "parameter 'depth': 'many' is not a whole number; the policy from before stays in force"
    [[ "$(in_force)" == "sjf+easy|"*many* ]]
    works
    live fifo+easy
    until_ok 20 logged "policies 'fifo' and 'easy' both decide which jobs start"
    [[ "$(in_force)" == "sjf+easy|"* ]]
    live fifo "overtake: yes"
    until_ok 20 is_in_force "fifo|"
    works
}

@test "a policy that keeps state is told the past, and all that lives, whenever it comes" {
    local told=$BATS_FILE_TMPDIR/told id
    counts() { grep -q "$1" "$told"; }
    policy fifo
    id=$(tug submit --parsable -- sh -c 'while [ ! -e go-on ]; do sleep 0.1; done')
    until_ok 20 bash -c "[ \$(tug queue --json | grep -c RUNNING) -ge 1 ]"
    ended=$(tug history --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["jobs"]))')
    [ "$ended" -ge 4 ]
    live tally+fifo "file: $told"
    until_ok 20 counts "submit=0 start=1 end=$ended"
    policy tally+fifo "file: $told"
    until_ok 20 counts "submit=0 start=1 end=$ended"
    touch go-on
    tug wait "$id"
    until_ok 20 counts "submit=0 start=1 end=$((ended + 1))"
    rm go-on
}

@test "back to a good one" {
    policy fifo
    [ "$(in_force)" = "fifo|" ]
    works
}
