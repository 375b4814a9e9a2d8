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
    sed -e "s|^  policy: .*|  policy: $1\n  policy_params: {${2:-}}\n  policy_timeout: ${TIMEOUT:-10s}|" -e "s|^  policy_dirs:|&\n    - \"$TUG_BUILDDIR/testsuite/plugins/.libs\"\n    - \"$TUG_BUILDDIR/testsuite/plugins\"|" \
        "$BATS_FILE_TMPDIR/yaml" >"$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml"
}

# policy NAME [PARAMETERS]: that policy from now on
policy()
{
    configure "$@"
    run tug sandbox restart
    [ "$status" -eq 0 ] || { echo "$output"; false; }
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
    policy sjf+slow
    works
    until_ok 20 logged "policy 'sjf+slow' was switched off: its passes take longer than 1 s, and 'slow' most of that"
    [[ "$(in_force)" == "built-in fifo|"*slow* ]]
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

@test "a job that waits is shown with its place and the terms of the policy" {
    local runs a b
    policy multifactor+easy
    runs=$(tug submit --parsable -N 2 --gpus-per-node 4 -- sleep 1000)
    a=$(tug submit --parsable -N 2 --gpus-per-node 4 -- true)
    b=$(tug submit --parsable -N 2 --gpus-per-node 4 --nice=5 -- true)
    in_order() { tug show "$1" | grep -q -- "$2"; }
    until_ok 20 in_order "$a" "order  *1st of 2 that wait; priority .*: age .* + fair share .* (rank 1 of 1)"
    until_ok 20 in_order "$b" "2nd of 2 that wait; priority .* - nice 5"
    tug show --json "$b" | python3 -c '
import json, sys
j = json.load(sys.stdin)["job"]
assert (j["place"], j["place_of"]) == (2, 2) and "fair share" in j["terms"], j'
    run in_order "$runs" "that wait"
    [ "$status" -ne 0 ]
    tug cancel "$runs" "$a" "$b"
}

@test "a policy that keeps state is told the past, and all that lives, whenever it comes" {
    local told=$BATS_FILE_TMPDIR/told id
    counts() { grep -q "$1" "$told"; }
    policy fifo
    works
    works
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

# breaks HOW WHAT: a gang runs and another waits while the policy breaks; the first goes on, the second starts after it, and
# all of it in the same process
breaks()
{
    local a b pid open
    note_says() { [[ "$(in_force)" == "built-in fifo|policy 'broken': its pass() $1"* ]]; }
    answers() { timeout 5 tug ping >/dev/null 2>&1; }
    rm -f go-on
    TIMEOUT=1s policy broken "how: $1, nth: 3"
    [ "$(in_force)" = "broken|" ]
    pid=$(pids_of tugd)
    open=$(find "/proc/$pid/fd" -type l | wc -l)
    a=$(tug submit --parsable -N 2 -n 2 --gpus-per-node 4 -- sh -c 'echo "pid $$"; while [ ! -e go-on ]; do sleep 0.1; done')
    until_ok 20 state_is "$a" RUNNING
    b=$(tug submit --parsable -N 2 --gpus-per-node 4 -- true)
    tug submit --parsable -N 1 -- true || : # the pass that breaks takes the connection with it
    until_ok 20 answers
    until_ok 20 note_says "$2"
    logged "its pass() $2"
    [ "$(pids_of tugd)" = "$pid" ]
    [ "$(find "/proc/$pid/fd" -type l | wc -l)" -le "$((open + 1))" ] # nothing was left open; a command may be connected
    state_is "$a" RUNNING
    state_is "$b" PENDING
    grep -q "^file .*broken.so" "$(dirname "$(state_file)")/policy-off"
    touch go-on
    run timeout 30 tug wait "$a" "$b"
    [ "$status" -eq 0 ]
    [ "$(field "$a" attempt)" -eq 1 ]
    works
}

state_file() { find "$BATS_FILE_TMPDIR" "$HOME" -name state.db -path "*tugline*" 2>/dev/null | head -1; }

@test "a policy that hangs: tugd starts anew without it, what runs goes on, what waits starts" {
    breaks hang "did not return within 1 s"
    TIMEOUT=1s policy broken "how: hang, nth: 3" # a further start: not again
    note_says "did not return within 1 s"
    works
    live fifo
    until_ok 20 bash -c '[ "$(tug ping --json | grep -c "\"policy\": *\"fifo\"")" -eq 1 ]'
    [ ! -e "$(dirname "$(state_file)")/policy-off" ]
}

@test "a policy that follows a wrong pointer" {
    breaks pointer "crashed (SIGSEGV, a wrong memory access)"
    live broken "how: pointer, nth: 1000000" # mended, so to say
    until_ok 20 bash -c '[ "$(tug ping --json | grep -c "\"policy\": *\"broken\"")" -eq 1 ]'
    works
}

@test "a policy that gives up, one that divides by zero, one that uses up the stack" {
    breaks abort "crashed (SIGABRT, it gave up itself)"
    rm "$(dirname "$(state_file)")/policy-off" # somebody wants to see it again
    kill -HUP "$(pids_of tugd)"
    until_ok 20 bash -c '[ "$(tug ping --json | grep -c "\"policy\": *\"broken\"")" -eq 1 ]'
    breaks divide "crashed (SIGFPE, a wrong calculation)"
    breaks deep "crashed (SIGSEGV, a wrong memory access)"
}

@test "a policy that breaks while it is loaded" {
    note_says() { [[ "$(in_force)" == "built-in fifo|policy 'broken': its create() crashed (SIGABRT"* ]]; }
    policy fifo
    live broken "how: early"
    until_ok 20 note_says
    works
}

@test "a policy that crashes where the marker cannot be written: tugd does without it all the same" {
    local dir
    dir=$(dirname "$(state_file)")
    note_says() { [[ "$(in_force)" == "built-in fifo|tugd was started without a policy (--without-policy)"* ]]; }
    policy broken "how: pointer, nth: 1"
    mkdir "$dir/policy-off.new"
    tug submit -- true || :
    until_ok 20 note_says
    works
    rmdir "$dir/policy-off.new"
    live broken "how: pointer, nth: 1000000"
    until_ok 20 bash -c '[ "$(tug ping --json | grep -c "\"policy\": *\"broken\"")" -eq 1 ]'
}

@test "a crash of tugd outside of policies ends it, as ever" {
    local pid
    policy fifo
    pid=$(pids_of tugd)
    kill -SEGV "$pid"
    gone() { [ -z "$(pids_of tugd)" ]; }
    until_ok 20 gone
    [ ! -e "$(dirname "$(state_file)")/policy-off" ]
}

@test "back to a good one" {
    policy fifo
    [ "$(in_force)" = "fifo|" ]
    works
}
