#!/usr/bin/env bats
# Emulated nodes that are like real machines, wired like real fabrics.

load common

setup_file() { sandbox_up --machine dgx1-v100 --fabric leaf:2x2@2; }
teardown_file() { sandbox_down || true; }

@test "nodes look like the machine" {
    run tug nodes --json
    [ "$status" -eq 0 ]
    echo "$output" | python3 -c '
import json, sys
nodes = json.load(sys.stdin)["nodes"]
assert len(nodes) == 4, nodes
for n in nodes:
    assert (n["state"], n["gpus"], n["cpus"], n["gpu_model"], n["machine"]) == ("IDLE", 8, 80, "v100", "dgx1-v100"), n'
}

@test "the fabric is a tree with what the machine's adapters give" {
    run tug fabric
    [ "$status" -eq 0 ]
    [[ "$output" == *"leaf1"*"6.25GB/s"*"2:1"*"n[1-2]"* ]]
    [[ "$output" == *"leaf2"*"n[3-4]"* ]]
}

@test "a job of two GPUs gets a pair with double links, and the next one too" {
    pairs=" 0,3 0,4 1,2 1,5 2,3 4,7 5,6 6,7 "
    for _ in 1 2; do
        run tug run -Q -N 1 --gpus-per-node 2 -- sh -c 'echo $CUDA_VISIBLE_DEVICES | tr , "\n" | sort | paste -sd,'
        [ "$status" -eq 0 ]
        [[ "$pairs" == *" $output "* ]]
    done
}

@test "a gang over both leaves runs" {
    run tug run -Q -N 4 --gpus-per-node 8 -- sh -c 'echo $TUG_NODE'
    [ "$status" -eq 0 ]
    [ "$(echo "$output" | sort | paste -sd' ')" = "n1 n2 n3 n4" ]
}

@test "a gang is told how good its place is, also in the history" {
    tug submit -Q --wait -J pair -N 2 --gpus-per-node 8 -- true # its end is in the history then
    run tug history -o name,quality,bandwidth
    [ "$status" -eq 0 ]
    [[ "$output" =~ pair\ +1\.00\ +75 ]] # 0.8 x 6.25 GB/s for each GPU, 15 / 1 of that
    id=$(tug history --json | python3 -c 'import json, sys; print([j["id"] for j in json.load(sys.stdin)["jobs"] if j["name"] == "pair"][-1])')
    run tug show "$id"
    [[ "$output" == *"1.00: limited by the "*"; predicted 75 GB/s of 75 GB/s"* ]]
}

@test "a machine of one's own with fewer GPUs, by its file; the sandbox keeps a copy" {
    printf 'name: twin\nnuma: 1\ncpus: 8\nmemory: 16G\ngpus: {0-3: {model: a6000, numa: 0}}\nnvlink: {per_link: 14GB/s, pairs: {4: 0+3 1+2}}\n' \
        >"$BATS_TEST_TMPDIR/mine.yaml"
    dir=$BATS_TEST_TMPDIR/sb
    tug sandbox start --dir "$dir" --machine "$BATS_TEST_TMPDIR/mine.yaml" --gpus 3 --nodes 1
    run env TUG_SOCKET="$dir/tugd.sock" tug run -Q -N 1 --gpus-per-node 2 -- sh -c 'echo $CUDA_VISIBLE_DEVICES'
    tug sandbox stop --dir "$dir"
    [ "$output" = 1,2 ] || [ "$output" = 2,1 ]
    grep -q '1-2: {model: a6000' "$dir/machines/twin.yaml"
    grep -q 'machine: "twin"' "$dir/tugline.yaml"
}

@test "trays of an NVL72 say which NVLink domain they are in" {
    dir=$BATS_TEST_TMPDIR/sb
    tug sandbox start --dir "$dir" --machine gb200-nvl72 --fabric nvl72:2x2
    export TUG_SOCKET="$dir/tugd.sock"
    run sh -c 'tug node topo n2 && tug node topo n3'
    fabric=$(tug fabric)
    tug sandbox stop --dir "$dir"
    [ "$status" -eq 0 ]
    [[ "$output" == *"NVLink domain sandbox.0"*"NVLink domain sandbox.1"* ]]
    [[ "$output" == *"GPU0  X     NV18  NV18  NV18"* ]]
    [[ "$fabric" == *"nvlink1"*"900GB/s"*"n[1-2]"* ]]
}

@test "what cannot be is refused before anything starts" {
    run tug sandbox start --dir "$BATS_TEST_TMPDIR/no" --machine hgx-h10
    [ "$status" -eq 2 ]
    [[ "$output" == *"did you mean hgx-h100?"* ]]
    run tug sandbox start --dir "$BATS_TEST_TMPDIR/no" --machine hgx-h100 --gpus 9
    [ "$status" -eq 2 ]
    [[ "$output" == *"a hgx-h100 has 8 GPUs, not 9"* ]]
    run tug sandbox start --dir "$BATS_TEST_TMPDIR/no" --fabric rail:2x2 --nodes 5
    [ "$status" -eq 2 ]
    [[ "$output" == *"--fabric has 4 nodes, --nodes says 5"* ]]
    run tug sandbox start --dir "$BATS_TEST_TMPDIR/no" --fabric ring:4
    [ "$status" -eq 2 ]
    [[ "$output" == *"rail:4x8 is 4 rail groups of 8 nodes"* ]]
    [ ! -e "$BATS_TEST_TMPDIR/no" ]
}

@test "tug machine lists what is known, shows its links, and says where that is from" {
    run tug machine list
    [ "$status" -eq 0 ]
    [[ "$output" == *"hgx-h100"*"h100"*"224"* ]]
    [ "$(tug machine list --json | python3 -c 'import json, sys; print(sum(m["gpus"] for m in json.load(sys.stdin)["machines"] if m["name"] in ("dgx2", "p4d")))')" = 24 ]
    run tug machine show dgx-1
    [ "$status" -eq 0 ]
    [[ "$output" == *"GPU0  X     NV1   NV1   NV2   NV2   SYS"* ]]
    [[ "$output" == *"WP-08437-002"* ]]
}

@test "a machine goes out to NCCL's and hwloc's files and comes back" {
    cd "$BATS_TEST_TMPDIR"
    for format in nccl hwloc yaml; do
        tug machine export dgx1-v100 --format $format -o "out.$format"
        tug machine check "out.$format"
        run tug machine show "./out.$format"
        [ "$status" -eq 0 ]
        [[ "$output" == *"GPU3  NV2   NV1   NV2   X     SYS   SYS   SYS   NV1   PHB   PIX   SYS   SYS   0"* ]]
    done
    tug machine import out.hwloc --name twin -o twin.yaml
    [ "$(tug machine show ./twin.yaml --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["name"])')" = twin ]
}

@test "what is wrong with a file is said with its line" {
    printf 'name: x\nnuma: 1\ngpus: {0-1: {numa: 0}}\nnvlink: {pairs: {2: 0+2}}\n' >"$BATS_TEST_TMPDIR/x.yaml"
    run tug machine check "$BATS_TEST_TMPDIR/x.yaml"
    [ "$status" -eq 1 ]
    [[ "$output" == *"x.yaml:4:21: 0+2: there is no GPU 2"* ]]
    echo '<!DOCTYPE s [<!ENTITY a "b">]><system version="1">&a;</system>' >"$BATS_TEST_TMPDIR/x.xml"
    run tug machine import "$BATS_TEST_TMPDIR/x.xml"
    [ "$status" -eq 1 ]
    [[ "$output" == *"x.xml:1:"*"DOCTYPE"* ]]
    run tug machine show nosuch
    [ "$status" -eq 1 ]
    [[ "$output" == *"machine 'nosuch' is not known"* ]]
    run tug machine eat
    [ "$status" -eq 2 ]
}

@test "of several errors in a description the first is told on one line, and how many more there are" {
    printf 'a b\nc: : d\n' >"$WORK/bad.yaml"
    run tug machine check "$WORK/bad.yaml"
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == *"bad.yaml:1:1: this is no description of a machine"*"(and 1 more error)" ]]
}
