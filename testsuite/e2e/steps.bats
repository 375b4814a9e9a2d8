#!/usr/bin/env bats
# tug run inside a job: a further step, on the nodes and with the ranks that it asks for.

load common

setup_file()
{
    sandbox_up --nodes 3 --gpus 4
    # One allocation for all tests: a script that serves commands from a directory until it is told to end.
    cat >"$WORK/serve.sh" <<'EOF'
#!/bin/bash
#SBATCH -N 2 --ntasks-per-node=2 --gpus-per-task=1 -o serve.out
echo "$TUG_JOB_ID" >id
while [ ! -e end ]; do
    for f in *.cmd; do
        [ -e "$f" ] || continue
        mv "$f" "${f%.cmd}.now"
        ( sh "${f%.cmd}.now" >"${f%.cmd}.log" 2>&1; echo "$?" >"${f%.cmd}.rc.new"; mv "${f%.cmd}.rc.new" "${f%.cmd}.rc" ) &
    done
    sleep 0.05
done
wait
EOF
    tug submit "$WORK/serve.sh"
    until_ok 20 test -e "$WORK/id"
}
teardown_file() { touch "$WORK/end"; sandbox_down; }
setup() { cd "$WORK" || return 1; rm -f go*; }

# inside NAME COMMAND: what the command gave inside the job
inside()
{
    printf '%s\n' "$2" >"$1.new"
    mv "$1.new" "$1.cmd"
}
outcome()
{
    until_ok 20 test -e "$1.rc"
    status=$(cat "$1.rc")
    output=$(cat "$1.log")
}
step() # COMMAND
{
    rm -f "$BATS_TEST_NUMBER.rc"
    inside "$BATS_TEST_NUMBER" "$1"
    outcome "$BATS_TEST_NUMBER"
}

@test "a step without a size is as wide as its job" {
    step 'tug run -l -- sh -c "echo \$TUG_NODE of \$WORLD_SIZE"'
    [ "$status" -eq 0 ]
    [ "$(sort <<<"$output")" = "$(printf '0: n1 of 4\n1: n1 of 4\n2: n2 of 4\n3: n2 of 4')" ]
}

@test "one rank on each node, as torchrun is started" {
    step 'tug run -l --ntasks-per-node=1 -- sh -c "echo \$TUG_NODE of \$WORLD_SIZE"'
    [ "$(sort <<<"$output")" = "$(printf '0: n1 of 2\n1: n2 of 2')" ]
    step 'tug run --nodes=1 --ntasks=1 -w n2 -- sh -c "echo \$TUG_NODE of \$WORLD_SIZE"'
    [[ "$output" == *"n2 of 1"* ]]
}

@test "one node has its own ranks, and a node that is excluded has none" {
    step 'tug run -l -N 1 -- sh -c "echo \$TUG_NODE of \$WORLD_SIZE"'
    [ "$(sort <<<"$output")" = "$(printf '0: n1 of 2\n1: n1 of 2')" ]
    step 'tug run -x n1 -- sh -c "echo \$TUG_NODE of \$WORLD_SIZE" | sort -u'
    [ "$output" = "n2 of 2" ]
}

@test "what the job does not hold is refused and named" {
    step 'tug run -N 3 -- true'
    [ "$status" -eq 1 ]
    [[ "$output" == *"3 nodes"*" 2 "* ]]
    step 'tug run -w n3 -- true'
    [ "$status" -eq 1 ]
    [[ "$output" == *"n3"* ]]
    step 'tug run --gpus-per-node=4 -- true'
    [ "$status" -eq 1 ]
    [[ "$output" == *"4 GPUs per node"*"holds 2"* ]]
}

@test "fewer GPUs than the job holds: told that all are seen" {
    step 'tug run -n 1 --gpus-per-task=1 -- true'
    [ "$status" -eq 0 ]
    [[ "$output" == *"not divided"* ]]
}

@test "a step that fails gives its code, and its job goes on" {
    step 'tug run -- sh -c "[ \$RANK = 1 ] && exit 7; sleep 600"'
    [ "$status" -eq 7 ]
    [[ "$output" == *"rank 1"* ]]
    [ "$(field "$(cat id)" state)" = RUNNING ]
}

@test "two steps run at once" {
    inside a 'tug run -n 1 -- sh -c "touch go-a; until [ -e go-b ]; do sleep 0.05; done"'
    inside b 'tug run -n 1 -w n2 -- sh -c "touch go-b; until [ -e go-a ]; do sleep 0.05; done"'
    outcome a
    [ "$status" -eq 0 ]
    outcome b
    [ "$status" -eq 0 ]
}

@test "after the cancel no step starts any more" {
    cat >late.sh <<'EOF'
#!/bin/bash
#SBATCH -o late.out
trap 'tug run -- echo never; echo "late $?"; exit 0' TERM
touch trapped
while :; do sleep 0.05; done
EOF
    id=$(tug submit --parsable late.sh)
    until_ok 20 test -e trapped
    tug cancel "$id"
    run tug wait "$id"
    [ "$status" -ne 0 ]
    [ "$(field "$id" state)" = CANCELLED ]
    grep -q 'late 1' late.out
    ! grep -q '^never' late.out
}
