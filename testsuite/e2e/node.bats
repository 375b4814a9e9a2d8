#!/usr/bin/env bats
# node.bats - a node describes itself: real daemons, and a driver's library that tells of the machine that the test writes down
load common

setup_file()
{
    sandbox_up --nodes 3 --cpus 1 --memory 64M --gpus 8 --gpu-model h100
    mkdir -p "$WORK/lib"
    cc -shared -fPIC -o "$WORK/lib/libnvidia-ml.so.1" "$TUG_SRCDIR/testsuite/fakenvml/nvml.c"
}

teardown_file()
{
    local n
    for n in n2 n3; do
        [ ! -e "$WORK/$n.pid" ] || node_stop $n
    done
    sandbox_down
}

# End the sandbox's own node once, and keep how it was started, but for the hardware that it pretends to have.
node_take_over()
{
    local pid word skip=0
    pid=$(launcher_of "$1")
    while IFS= read -r -d '' word; do
        [ "$skip" = 0 ] || { skip=0; continue; }
        case $word in
        --cpus | --memory | --gpus | --gpu-model | --machine) skip=1 ;;
        *) printf '%s\0' "$word" ;;
        esac
    done <"/proc/$pid/cmdline" >"$WORK/$1.argv"
    kill "$pid"
    until_ok 20 bash -c "! [ -e /proc/$pid ]"
}

# node_begin NODE LINES: start it as a machine of that description
node_begin()
{
    local word argv=() n=$1
    shift
    printf '%s\n' "$@" >"$WORK/$n.machine"
    [ -e "$WORK/$n.argv" ] || node_take_over "$n"
    CAME=$(times_up "$n")
    while IFS= read -r -d '' word; do argv+=("$word"); done <"$WORK/$n.argv"
    TUG_FAKE_NVML="$WORK/$n.machine" LD_LIBRARY_PATH="$WORK/lib" "${argv[@]}" >"$WORK/$n.log" 2>&1 3>&- &
    echo $! >"$WORK/$n.pid"
}

# and wait until it is up
node_start()
{
    node_begin "$@"
    until_ok 20 came_up "$1"
}

node_stop()
{
    local pid
    pid=$(cat "$WORK/$1.pid")
    kill "$pid"
    until_ok 20 bash -c "! [ -e /proc/$pid ]"
    rm -f "$WORK/$1.pid"
}

node_field()
{
    tug nodes --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["nodes"][0][sys.argv[1]])' "$2"
}

times_up() { grep -c "node $1 is up" "$XDG_RUNTIME_DIR/tugline/sandbox/tugd.log" || :; }
came_up() { [ "$(times_up "$1")" -gt "$CAME" ]; }

has_reason() { [ "$(node_field "$1" reason)" = "$2" ]; }

HGX=("gpus 8" "sockets 1" "name NVIDIA H100 80GB HBM3" "memory 81559" "pcie 5 16" "rate 25000")

@test "a node says what is between its GPUs, and tug node topo shows it as nvidia-smi does" {
    node_start n2 "${HGX[@]}" "switch 18"
    run tug node topo n2
    echo "$output"
    [ "$status" = 0 ]
    [ "${lines[0]}" = n2 ]
    [[ "${lines[1]}" = "8 x h100 (79.6G), NVSwitch,"* ]]
    [[ "$output" = *"GPU0  X     NV18  NV18  NV18  NV18  NV18  NV18  NV18 "* ]]
    [[ "$output" = *"NV18  18 NVLinks to the switches, 450GB/s"* ]]
    run tug node topo
    [[ "$output" = *"n[1,3] (2 nodes)"*"8 GPUs; nothing is known of what is between them: it is emulated"* ]]
    tug node topo --json n2 | python3 -c '
import json, sys
inv = json.load(sys.stdin)["kinds"][0]["inventory"]
assert inv["gpu_uuids"][3] == "GPU-fa4e0000-0000-0000-0000-000000000003", inv
assert inv["gpu_pci"][3] == "0000:19:00.0", inv
assert inv["links"]["nvswitch"] is True and inv["links"]["link_mbs"][1] == 450000, inv'
}

@test "what is known of a node outlives the controller" {
    tug sandbox restart || : # n2 is not the sandbox's own any more, which it says
    run tug node topo n2
    [[ "$output" = *"NV18  18 NVLinks to the switches, 450GB/s"* ]]
}

@test "a node that comes back with fewer NVLinks is drained, says which, and is taken so by tug resume" {
    node_stop n2
    node_start n2 "${HGX[@]}" "switch 17"
    until_ok 10 has_reason n2 "GPU 0 to GPU 1 was NV18 and is NV17"
    [ "$(node_field n2 state)" = DRAINED ]
    tug resume n2
    node_stop n2
    node_start n2 "${HGX[@]}" "switch 17"
    [ "$(node_field n2 state)" = IDLE ]
}

@test "slices that the driver lists are given out by their UUIDs, and their GPU to nobody as a whole" {
    node_stop n2
    node_start n2 "${HGX[@]}" "switch 17" "mig 0 1g.10gb 9856" "mig 0 1g.10gb 9856" "mig 0 3g.40gb 40192"
    tug resume n2 || :
    run tug nodes n2
    [[ "$output" = *"0/7 0/2x1g.10gb 0/1x3g.40gb"*"/......."* ]]
    run tug run -Q -w n2 --gpus 1g.10gb:2 -- sh -c 'echo $CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES'
    echo "$output"
    [ "$status" = 0 ]
    [[ "$output" =~ ^(MIG-[^ ,]*,MIG-[^ ,]*)\ (.*)$ ]]
    [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ]
    run tug run -Q -w n2 --gpus-per-node 8 -- true
    [ "$status" != 0 ]
    [[ "$output" = *"the largest node that the job may use has 7"* ]]
}

@test "a lost GPU is shown as such, its log line says why, and a gang gets the others" {
    node_stop n2
    node_start n2 "${HGX[@]}" "switch 17" "fail nvmlDeviceGetHandleByIndex_v2 3 15"
    grep -q "GPU 3 cannot be used: the driver cannot reach it: GPU is lost (NVML error 15)" "$WORK/n2.log"
    run tug nodes n2
    [[ "$output" = *"...x...."* ]]
    [[ "$output" = *"reports 7 GPUs, 8 are configured"*"GPU 3 cannot be used any more"* ]]
    run tug node topo n2
    [[ "$output" = *"GPU3  ?     ?     ?     lost "* ]]
    tug resume n2
    run tug run -w n2 --gpus-per-node 7 -- sh -c 'echo $CUDA_VISIBLE_DEVICES'
    echo "$output"
    [ "$status" = 0 ]
    [[ "$output" != *000000000003* ]]
}

@test "tug node topo --here asks no daemon" {
    run env TUG_SOCKET=/nonexistent TUG_FAKE_NVML="$WORK/n2.machine" LD_LIBRARY_PATH="$WORK/lib" tug node topo --here
    echo "$output"
    [ "$status" = 0 ]
    [[ "$output" = *"GPU 3 cannot be used"* ]]
    run env TUG_SOCKET=/nonexistent TUG_FAKE_NVML=/nonexistent LD_LIBRARY_PATH="$WORK/lib" tug node topo
    [ "$status" = 0 ]
    [[ "$output" = *"no controller answers here; this is what is in this very machine"* ]]
    [[ "$output" = *"no GPU"* ]]
    run tug node topo --here n2
    [ "$status" = 2 ]
    run tug node topo n9
    [ "$status" = 1 ]
    [[ "$output" = *"there is no node 'n9'"* ]]
}

@test "a GPU that is lost while the node runs drains it, and so does a driver that does not answer any more" {
    node_stop n2
    [ -e "$WORK/n2.usual" ] || cp "$WORK/n2.argv" "$WORK/n2.usual"
    printf '%s\0' --inventory-period 4s >>"$WORK/n2.argv"
    node_start n2 "${HGX[@]}" "switch 18"
    tug resume n2 || :
    printf '%s\n' "${HGX[@]}" "switch 18" "fail nvmlDeviceGetUUID 5 15" >"$WORK/n2.next"
    mv "$WORK/n2.next" "$WORK/n2.machine"
    until_ok 30 has_reason n2 "reports 7 GPUs, 8 are configured; GPU 5 cannot be used any more"
    printf '%s\n' "${HGX[@]}" "switch 18" >"$WORK/n2.next"
    mv "$WORK/n2.next" "$WORK/n2.machine"
    until_ok 30 bash -c "! tug nodes n2 | grep -qF x.."
    tug resume n2
    printf '%s\n' "${HGX[@]}" stuck >"$WORK/n2.next"
    mv "$WORK/n2.next" "$WORK/n2.machine"
    until_ok 40 has_reason n2 "reports 0 GPUs, 8 are configured; GPU 0-7 cannot be used any more"
    grep -q "takes more than 4 s: the GPUs' driver does not answer" "$WORK/n2.log"
    cp "$WORK/n2.usual" "$WORK/n2.argv"
    tug resume n2
    node_stop n2
}

@test "what a node says of itself is a description that other nodes can be like" {
    node_start n2 "${HGX[@]}" "switch 18"
    tug node topo n2 --export "$WORK/mine.yaml"
    grep -q "^name: n2$" "$WORK/mine.yaml"
    grep -q "links: 18" "$WORK/mine.yaml"
    [ "$(tug node topo n2 --export -)" = "$(cat "$WORK/mine.yaml")" ]
    TUG_SOCKET= XDG_RUNTIME_DIR="$WORK" tug sandbox start --dir "$WORK/other" --nodes 1 --machine "$WORK/mine.yaml"
    run env TUG_SOCKET="$WORK/other/tugd.sock" tug node topo
    tug sandbox stop --dir "$WORK/other"
    echo "$output"
    [[ "$output" = *"GPU0  X     NV18  NV18  NV18  NV18  NV18  NV18  NV18 "* ]]
    tug node topo n2 --format nccl --export "$WORK/mine.xml"
    tug machine import "$WORK/mine.xml" | grep -q "links: 18"
    tug node topo n2 --format hwloc --export - >"$WORK/mine-hwloc.xml"
    tug machine import "$WORK/mine-hwloc.xml" | grep -q "^gpus:"
    run tug node topo n2 --export "$WORK/other.xml"
    [ "$status" = 2 ]
    [[ "$output" = *"Say --format nccl or --format hwloc"* ]]
    run tug node topo n2 --format nccl
    [ "$status" = 2 ]
    run tug node topo --export -
    [ "$status" = 1 ]
    [[ "$output" = *"there are 2 kinds of machines, as of n[1,3] and n2; name the nodes of one"* ]]
    run tug node topo n1 --export -
    [[ "$output" = *"nothing is known of what is between the GPUs of n1"* ]]
}

@test "a node that comes before its fabric manager is done waits for it" {
    local rack="fabric 000102030405060708090a0b0c0d0e0f 7"
    node_stop n2
    node_begin n2 "${HGX[@]}" "switch 18" nop2p "$rack 2"
    until_ok 20 grep -q "the fabric manager is still joining NVLinks; waiting for it" "$WORK/n2.log"
    printf '%s\n' "${HGX[@]}" "switch 18" "$rack 3" >"$WORK/n2.next"
    mv "$WORK/n2.next" "$WORK/n2.machine"
    until_ok 20 came_up n2
    [ "$(node_field n2 state)" = IDLE ]
    tug node topo n2 | grep -q "^NVLink domain 00010203-0405-0607-0809-0a0b0c0d0e0f.7$"
}

@test "nodes that NVLink joins and that are configured apart are named in the log and by tug fabric" {
    local rack="fabric 000102030405060708090a0b0c0d0e0f 7 3"
    node_stop n2
    node_start n2 "${HGX[@]}" "switch 18" "$rack"
    node_start n3 "${HGX[@]}" "switch 18" "$rack"
    tug node topo n2 | grep -q "^NVLink domain 00010203-0405-0607-0809-0a0b0c0d0e0f.7$"
    cat >>"$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml" <<YAML
fabric:
  - {name: rack1, level: nvlink, nodes: "n[1-2]"}
  - {name: rack2, level: nvlink, nodes: n3}
YAML
    kill -HUP "$(pids_of tugd)"
    until_ok 20 bash -c "tug fabric 2>/dev/null | grep -q ^rack1"
    says="node n3 is in domain 'rack2' of the fabric; NVLink joins it with n2, which is in domain 'rack1'"
    run tug fabric
    [[ "$output" = *"warning: $says"* ]]
    until_ok 10 grep -qF "$says" "$XDG_RUNTIME_DIR/tugline/sandbox/tugd.log"
    sed -i 's/n\[1-2\]/n[1-3]/; /rack2/d' "$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml"
    kill -HUP "$(pids_of tugd)"
    until_ok 20 bash -c "! tug fabric 2>&1 | grep -q rack2"
    run tug fabric
    [[ "$output" != *warning* ]]
}
