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

# policy NAME: that policy from now on, from the tests' plugins
policy()
{
    local dir=$XDG_RUNTIME_DIR/tugline/sandbox
    sed -e "s|^  policy: .*|  policy: $1|" -e "s|^  policy_dirs:|&\n    - \"$TUG_BUILDDIR/testsuite/plugins/.libs\"\n    - \"$TUG_BUILDDIR/testsuite/plugins\"|" \
        "$BATS_FILE_TMPDIR/yaml" >"$dir/tugline.yaml"
    run tug sandbox restart
    [ "$status" -eq 0 ]
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

@test "back to a good one" {
    policy fifo
    [ "$(in_force)" = "fifo|" ]
    works
}
