#!/usr/bin/env bats
# GPUs that are cut into slices: asked for by profile, allocated one by one, shown to their ranks only.

load common

setup_file() {
    printf '%s\n' 'name: cutbox' 'numa: 2' 'cpus: 32' 'memory: 64G' \
        'gpus: {0-1: {model: h100, memory: 80G, numa: 0}, 2-3: {model: h100, memory: 80G, numa: 1}}' \
        'mig: {0: 7x1g.10gb, 1: 2x1g.10gb 1x3g.40gb}' >"$BATS_FILE_TMPDIR/cutbox.yaml"
    sandbox_up --machine "$BATS_FILE_TMPDIR/cutbox.yaml" --nodes 2
}
teardown_file()
{
    [ ! -e "$BATS_FILE_TMPDIR/second" ] || kill "$(cat "$BATS_FILE_TMPDIR/second")" 2>/dev/null || :
    sandbox_down || true
}

# used PROFILE: its slices that somebody has, on all nodes
used() {
    tug nodes --json | python3 -c '
import json, sys
print(sum(c["used"] for n in json.load(sys.stdin)["nodes"] for c in n["cuts"] if c["profile"] == sys.argv[1]))' "$1"
}

@test "nodes say what is cut, and count only whole GPUs as such" {
    run tug nodes
    [ "$status" -eq 0 ]
    [[ "$output" == *"0/2 0/9x1g.10gb 0/1x3g.40gb"*"//.."* ]]
    run tug node topo n1
    [[ "$output" == *"GPU 0 is cut into 7 x 1g.10gb"* ]]
}

@test "each rank is shown its own slice, and partly used GPUs are filled first" {
    run tug run -Q -N 1 -n 3 --gpus-per-task 1g.10gb:1 -- sh -c 'echo $CUDA_VISIBLE_DEVICES'
    [ "$status" -eq 0 ]
    [ "$(echo "$output" | sort -u | wc -l)" = 3 ]
    [ "$(echo "$output" | grep -c '^MIG-emulated-[01]-[0-6]$')" = 3 ]
    run tug run -Q -N 1 --gpus 3g.40gb:1 -- sh -c 'echo $CUDA_VISIBLE_DEVICES'
    [ "$output" = MIG-emulated-1-2 ]
    run tug run -Q -N 1 --gpus-per-node 2 -- sh -c 'echo $CUDA_VISIBLE_DEVICES'
    [ "$output" = 2,3 ]
}

@test "a gang of slices over both nodes, a script in sbatch's words, and what is shown of them" {
    printf '#!/bin/sh\n#SBATCH -N 2 --gres=gpu:h100:1g.10gb:9\nsleep 600\n' >"$BATS_TEST_TMPDIR/job.sh"
    id=$(tug submit --parsable "$BATS_TEST_TMPDIR/job.sh")
    until_ok 30 state_is "$id" RUNNING
    [ "$(used 1g.10gb)" = 18 ]
    run tug show "$id"
    [[ "$output" == *"18 slices 1g.10gb"* ]]
    [[ "$output" == *"n1: 9 x 1g.10gb of GPUs 0-1"* ]]
    run tug queue -o id,gpus
    [[ "$output" == *"18x1g.10gb"* ]]
    next=$(tug submit --parsable --gpus 1g.10gb:1 -- true)
    run tug show "$next"
    [[ "$output" == *"needs 1 node with 1 slice 1g.10gb and 1 CPU free; 0 have that now"* ]]
    tug cancel "$id"
    until_ok 30 state_is "$next" COMPLETED
    [ "$(used 1g.10gb)" = 0 ]
}

@test "slices stay their gang's over a restart of the controller" {
    id=$(tug submit --parsable -N 2 --gpus-per-node 1g.10gb:4 -- sleep 600)
    until_ok 30 state_is "$id" RUNNING
    before=$(tug show "$id" | grep ' x 1g.10gb of')
    victim=$(pids_of tugd)
    conf=$(find "$XDG_RUNTIME_DIR/tugline/sandbox" -maxdepth 2 -name '*.yaml' -path '*tugline*' ! -path '*machines*' | head -1)
    kill -KILL "$victim"
    until_ok 20 bash -c "[ -z \"\$(ls /proc/$victim/fd 2>/dev/null)\" ]"
    tugd --config "$conf" >>"$BATS_TEST_TMPDIR/tugd2.log" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/second"
    until_ok 20 tug ping
    both_mixed() { [ "$(tug nodes | grep -c MIXED)" = 2 ]; }
    until_ok 30 both_mixed
    [ "$(tug show "$id" | grep ' x 1g.10gb of')" = "$before" ]
    [ "$(used 1g.10gb)" = 8 ]
    run tug run -Q -N 1 --gpus 1g.10gb:5 -- true
    [ "$status" -eq 0 ]
    tug cancel "$id"
    until_ok 30 state_is "$id" CANCELLED
}

@test "what there is not is refused with what there is" {
    run tug submit --gpus 1g.5gb:1 -- true
    [ "$status" -ne 0 ]
    [[ "$output" == *"has GPUs cut into '1g.5gb'; there are: '1g.10gb', '3g.40gb'"* ]]
    run tug submit --gpus-per-node 3 -- true
    [[ "$output" == *"the largest node has 2"* ]]
    printf 'name: bad\ngpus: {0: {model: h100}}\nmig: {0: 4x2g.20gb}\n' >"$BATS_TEST_TMPDIR/bad.yaml"
    run tug sandbox start --dir "$BATS_TEST_TMPDIR/sb" --machine "$BATS_TEST_TMPDIR/bad.yaml"
    [ "$status" -ne 0 ]
    [[ "$output" == *"these slices take 8 compute slices of a GPU"* ]]
}
