#!/usr/bin/env bats
# Accounts are charged for what their jobs use, tugd remembers it, and queues stay within their caps.

load common

setup_file()
{
    sandbox_up --nodes 2 --gpus 4
    me=$(id -un)
    cat >>"$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml" <<YAML
queues:
  main: {default: true}
  lab: {cap: 6}
  train: {parent: lab, cap: 4}
  eval: {parent: lab}
accounts:
  nlp: {users: ["$me"]}
  vision: {weight: 3, users: ["$me=2", nobody]}
  closed: {users: [nobody]}
YAML
    kill -HUP "$(pids_of tugd)"
    until_ok 20 bash -c "tug queues | grep -q '^  train'"
}
teardown_file()
{
    touch "$WORK/go" # whoever still waits for it
    sandbox_down
}
setup() { cd "$WORK" || return 1; }

# used ACCOUNT: what it has used, in GPU-seconds
used()
{
    tug share --json | python3 -c 'import json, sys
rows = json.load(sys.stdin)["rows"]
print(next(r["usage_gpu_s"] for r in rows if r["name"] == sys.argv[1] and not r["is_user"]))' "$1"
}

within() { python3 -c 'import sys; a, b, c = map(float, sys.argv[1:]); sys.exit(not a <= b <= c)' "$@"; }

hold() { tug submit --parsable "$@" -- sh -c 'while [ ! -e go ]; do sleep 0.1; done'; }

@test "usage appears with a job and is charged to the account that it names, or to the first that lists its user" {
    within 0 "$(used nlp)" 0
    tug run --gpus-per-node 4 -- sleep 1
    tug run --gpus-per-node 2 -A vision -- sleep 1
    within 4 "$(used nlp)" 20
    within 2 "$(used vision)" 10
    run tug share
    [ "$status" -eq 0 ]
    [[ "${lines[1]}" == "nlp "*" 20.0 "* ]]
    [[ "$output" == *"vision "*" 60.0 "* ]]
    run tug share --why "nlp/$(id -un)" "vision/$(id -un)"
    [[ "$output" == "vision/$(id -un) goes before nlp/$(id -un): account vision has used "*" its target is 60 %; account nlp has used "* ]]
}

@test "an account that is not there, or not the user's, is refused with what could be charged" {
    run tug submit -A nlpp -- true
    [ "$status" -eq 1 ]
    [[ "$output" == *"there is no account 'nlpp'; did you mean 'nlp'?"* ]]
    run tug submit -A closed -- true
    [ "$status" -eq 1 ]
    [[ "$output" == *"is not in account 'closed' and may charge 'nlp', 'vision'; the admin decides that"* ]]
    run tug share nlpp
    [ "$status" -eq 1 ]
    [[ "$output" == *"did you mean 'nlp'?"* ]]
}

@test "a cap holds a job back with its reason, not those of other queues, and lets it go when it is raised" {
    rm -f go
    first=$(hold -q train --gpus-per-node 4)
    until_ok 20 state_is "$first" RUNNING
    second=$(hold -q train --gpus-per-node 1)
    third=$(hold -q main --gpus-per-node 1)
    until_ok 20 state_is "$third" RUNNING
    [ "$(field "$second" state)" = PENDING ]
    [ "$(field "$second" reason)" = QueueCap ]
    [[ "$(field "$second" explain)" == "needs 1 GPU; queue 'train' uses 4 of the 4 that it may have"* ]]
    run tug submit -q train --gpus 6 -- true
    [[ "$output" == *"but queue 'train' may use 4 at most (its cap): it could never start"* ]]
    run tug submit -q lab -- true
    [[ "$output" == *"queue 'lab' is divided and takes no jobs itself; use one of: 'train', 'eval'"* ]]
    sed -i 's/train: {parent: lab, cap: 4}/train: {parent: lab, cap: 5}/' "$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml"
    kill -HUP "$(pids_of tugd)"
    until_ok 20 state_is "$second" RUNNING
    touch go
    tug wait "$first" "$second" "$third"
}

@test "what was used survives a killed tugd, that of a running job too" {
    rm -f go
    id=$(hold -A vision --gpus-per-node 4)
    until_ok 20 state_is "$id" RUNNING
    nlp=$(used nlp) vision=$(used vision)
    kill -KILL "$(pids_of tugd)"
    until_ok 20 bash -c "! tug ping"
    run tug sandbox restart
    [ "$status" -eq 0 ]
    until_ok 20 state_is "$id" RUNNING
    within "$(python3 -c "print($nlp * 0.99)")" "$(used nlp)" "$(python3 -c "print($nlp * 1.0001)")"
    within "$(python3 -c "print($vision * 0.99)")" "$(used vision)" "$(python3 -c "print($vision + 4 * 120)")"
    touch go
    tug wait "$id"
    [ "$(python3 -c "print($(used vision) > $vision)")" = True ]
}
