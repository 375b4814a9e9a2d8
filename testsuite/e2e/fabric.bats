#!/usr/bin/env bats
# A gang stays as low in the fabric as it fits; who asks sees where it is; files of other tools can be read.

bats_require_minimum_version 1.5.0
load common

setup_file()
{
    sandbox_up --nodes 8 --gpus 4
    cat >>"$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml" <<YAML
fabric:
  - {name: spine1, level: spine}
  - {name: leaf1, level: leaf, parent: spine1, nodes: "$(hosts 1 3)"}
  - {name: leaf2, level: leaf, parent: spine1, nodes: "$(hosts 4 5)"}
  - {name: leaf3, level: leaf, nodes: "$(hosts 6 7)"}
fabric_levels:
  leaf: {bandwidth: 400Gb/s, oversubscription: 2}
YAML
    kill -HUP "$(pids_of tugd)"
    until_ok 20 bash -c "tug fabric | grep -q '^spine1'"
}
teardown_file()
{
    touch "$WORK/go" # whoever still waits for it
    sandbox_down
}
setup() { cd "$WORK" || return 1; }
teardown() { touch "$WORK/go"; tug cancel --all >/dev/null 2>&1 || true; }

# hosts FROM TO: the names of these nodes, as the sandbox calls them
hosts() { tug nodes --json | python3 -c 'import json, sys
names = [n["name"] for n in json.load(sys.stdin)["nodes"]]
print(",".join(names[int(sys.argv[1]) - 1:int(sys.argv[2])]))' "$1" "$2"; }

hold() { tug submit --parsable "$@" -- sh -c 'while [ ! -e go ]; do sleep 0.1; done'; }

# domains JOB: "leaf1=2 leaf2=1 in spine1"
domains() { tug show --json "$1" | python3 -c 'import json, sys
job = json.load(sys.stdin)["job"]
print(*["%s=%d" % (d["name"], d["nodes"]) for d in job["domains"]], "in", job["within"])'; }

@test "a gang that fits a leaf lands in one, the tightest; a wider one spans the fewest leaves, below what is nearest" {
    rm -f go
    small=$(hold -N 2 --gpus-per-node 4)
    until_ok 20 state_is "$small" RUNNING
    run domains "$small"
    [ "$output" = "leaf2=2 in leaf2" ] || [ "$output" = "leaf3=2 in leaf3" ]
    where=${output%%=*}
    whole=$(hold -N 3 --gpus-per-node 4)
    until_ok 20 state_is "$whole" RUNNING
    [ "$(domains "$whole")" = "leaf1=3 in leaf1" ]
    run tug show "$small"
    [[ "$output" == *"fabric      $where (leaf)"* ]]
    touch go
    until_ok 20 state_is "$small" COMPLETED
    until_ok 20 state_is "$whole" COMPLETED
    rm -f go
    wide=$(hold -N 5 --gpus-per-node 4)
    until_ok 20 state_is "$wide" RUNNING
    [ "$(domains "$wide")" = "leaf1=3 leaf2=2 in spine1" ]
    run tug show "$wide"
    [[ "$output" == *"fabric      leaf1 (leaf): 3 nodes, leaf2 (leaf): 2 nodes; all in spine1"* ]]
    touch go
    until_ok 20 state_is "$wide" COMPLETED
}

@test "tug fabric shows the tree, what is free in it, and what is known of its links" {
    rm -f go
    job=$(hold -N 2 --gpus-per-node 3)
    until_ok 20 state_is "$job" RUNNING
    run tug fabric
    [ "$status" -eq 0 ]
    [[ "${lines[0]}" == "DOMAIN "*"LEVEL "*"NODES "*"FREE GPUS "*"LARGEST "*"PER GPU "*"OVERSUB "*"HOSTS"* ]]
    [[ "${lines[1]}" == "spine1 "*" spine "*" 5 "*"/20 "* ]]
    [[ "${lines[2]}" == "  leaf1 "*" leaf "*" 3 "*" 12/12 "*" 3x4 "*" 50GB/s "*" 2:1 "* ]]
    [[ "$output" == *"In no domain: $(hosts 8 8)"* ]]
    free=$(tug fabric --json | python3 -c 'import json, sys
print(sum(d["gpus_free"] for d in json.load(sys.stdin)["domains"] if d["depth"] == 0))')
    [ "$free" -eq 22 ]
    touch go
    until_ok 20 state_is "$job" COMPLETED
}

@test "what is imported can be put into the configuration, and --check names what differs" {
    cat >topology.conf <<CONF
SwitchName=top Switches=a,b
SwitchName=a Nodes=$(hosts 1 3)
SwitchName=b Nodes=$(hosts 4 5)
SwitchName=c Nodes=$(hosts 6 7)
CONF
    run tug fabric import --check topology.conf
    [ "$status" -eq 0 ]
    [ "$output" = "as configured: 7 nodes in 4 domains: 1 spine, 3 leaf" ]
    sed -i "s/^SwitchName=c.*/SwitchName=c Nodes=$(hosts 7 7),elsewhere/" topology.conf
    run tug fabric import --check topology.conf
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 2 ]
    [ "${lines[0]}" = "node elsewhere, in 'c' in the file, is not configured" ]
    [ "${lines[1]}" = "node $(hosts 6 6) is configured in 'leaf3', and is not in the file" ]
    run tug fabric import topology.conf
    [ "$status" -eq 0 ]
    [[ "${lines[0]}" == "# from topology.conf (slurm-tree): 7 nodes in 4 domains: 1 spine, 3 leaf" ]]
    [[ "$output" == *"  - {name: a, level: leaf, parent: top, nodes: "* ]]
}

@test "a file that cannot be read is refused with its lines and prints nothing to paste" {
    printf 'SwitchName=a Nodes=n[1-\nNodes=n4\n' >bad.conf
    run --separate-stderr tug fabric import bad.conf
    [ "$status" -eq 1 ]
    [ -z "$output" ]
    [[ "$stderr" == *"bad.conf:1:1: "*"expected names like"*"bad.conf:2:1: this line names no switch"*"2 errors, nothing is imported"* ]]
    run tug fabric import --format nonsense bad.conf
    [ "$status" -eq 2 ]
    [[ "$output" == *"there are auto, slurm-tree"* ]]
    run tug fabric import
    [ "$status" -eq 2 ]
    run tug fabric --check
    [ "$status" -eq 2 ]
}

@test "real files of other tools are read (TUG_TOPO)" {
    [ -n "${TUG_TOPO:-}" ] || skip "TUG_TOPO does not say where files of other tools are"
    counted() { tug fabric import "$TUG_TOPO/$1" | head -1 | sed 's/.*): //'; }
    tree="96 nodes in 19 domains: 1 core, 6 spine, 12 leaf"
    [ "$(counted slurm/expected.slinky-oci-sim-tree.conf)" = "$tree" ]
    [ "$(counted slurm/expected.slinky-dra-block.conf)" = "96 nodes in 12 domains: 12 block" ]
    [ "$(counted fabric/topograph_large.yaml)" = "$tree" ]
    [ "$(counted fabric/topograph_dual-xclr-regular.yaml)" = "$tree" ]
    [ "$(counted fabric/topograph_medium.yaml)" = "8 nodes in 7 domains: 1 core, 2 spine, 4 leaf" ]
    [ "$(counted fabric/topograph_nvl72.yaml)" = "72 nodes in 7 domains: 1 core, 2 spine, 4 leaf" ]
    [ "$(counted fabric/topograph_small-tree.yaml)" = "6 nodes in 3 domains: 1 spine, 2 leaf" ]
    [ "$(counted fabric/ibnetdiscover_example.out)" = "121 nodes in 9 domains: 1 spine, 8 rail" ]
    [ "$(counted fabric/alibaba_lingjun_2023_topo.csv)" = "847 nodes in 123 domains: 1 DSW, 3 PSW, 119 ASW" ]
    run tug fabric import "$TUG_TOPO/fabric/netq_topologyGraph.json"
    [ "$status" -eq 1 ]
}

@test "--topology=leaf! waits for one leaf and says so; --topology=leaf goes elsewhere; what can never be is refused" {
    rm -f go
    first=$(hold -N 3 --gpus-per-node 1 -w "$(hosts 1 1),$(hosts 4 4),$(hosts 6 6)")
    until_ok 20 state_is "$first" RUNNING
    strict=$(hold -N 3 --gpus-per-node 4 --topology=leaf!)
    until_ok 20 bash -c "tug show $strict | grep -q 'waits for *Topology: needs 3 nodes in one leaf; 5 are free that would do'"
    run tug show "$strict"
    [[ "$output" == *"  within      in one leaf"* ]]
    run tug submit -N 4 --gpus-per-node 4 --topology=leaf! -- true
    [ "$status" -ne 0 ]
    [[ "$output" == *"the largest leaf, leaf1, has 3 nodes with 4 GPUs; ask for --nodes 3 or less, or --topology=spine!"* ]]
    run tug submit -N 2 --topology=leave -- true
    [ "$status" -ne 0 ]
    [[ "$output" == *"the fabric has no level 'leave'; did you mean 'leaf'? there are: 'leaf', 'spine'"* ]]
    # it still waits as before when the controller has come back
    tug sandbox restart
    until_ok 20 bash -c "tug show $strict | grep -q 'waits for *Topology'"
    touch go
    until_ok 20 state_is "$first" COMPLETED
    until_ok 20 state_is "$strict" COMPLETED
    [ "$(domains "$strict")" = "leaf1=3 in leaf1" ]
}

@test "--switches and --segment are what sbatch and others mean by them" {
    rm -f go
    cat >job.sh <<'SH'
#!/bin/bash
#SBATCH --nodes=2 --gpus-per-node=4 --switches=1@10
true
SH
    run tug submit --json job.sh
    [ "$status" -eq 0 ]
    [[ "$output" != *switches* ]] # no warning
    job=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["job"])' "$output")
    until_ok 20 state_is "$job" COMPLETED
    [ "$(tug show --json "$job" | python3 -c 'import json, sys
j = json.load(sys.stdin)["job"]
print(j["asked_topology"], j["topology_required"], j["topology_domains"], j["topology_wait_s"])')" = "leaf True 1 600" ]
    cut=$(hold -N 4 --gpus-per-node 4 --segment=2)
    until_ok 20 state_is "$cut" RUNNING
    [[ "$(domains "$cut")" == *"=2 "*"=2 in"* ]]
    run tug submit -N 5 --segment=2 -- true
    [ "$status" -ne 0 ]
    [[ "$output" == *"5 nodes do not make whole segments of 2"* ]]
    touch go
    until_ok 20 state_is "$cut" COMPLETED
}

@test "--exclusive-topology keeps a leaf for one job, and --spread takes a part of each" {
    rm -f go
    alone=$(hold -N 1 --gpus-per-node 1 --exclusive-topology=leaf)
    until_ok 20 state_is "$alone" RUNNING
    run tug show "$alone"
    [[ "$output" == *"  alone in    leaf"* ]]
    where=$(tug show --json "$alone" | python3 -c 'import json, sys
print(json.load(sys.stdin)["job"]["domains"][0]["name"])')
    crowd=$(hold -N 5 --gpus-per-node 4)
    until_ok 20 bash -c "tug show $crowd | grep -q 'PENDING\|RUNNING'"
    [[ "$(domains "$crowd")" != *"$where"* ]]
    touch go
    until_ok 20 state_is "$alone" COMPLETED
    until_ok 20 state_is "$crowd" COMPLETED
    rm -f go
    wide=$(hold -N 3 --gpus-per-node 1 --spread)
    until_ok 20 state_is "$wide" RUNNING
    [[ "$(domains "$wide")" == "leaf1=1 leaf2=1 leaf3=1 in"* ]]
    run tug submit --spread --topology=leaf! -- true
    [ "$status" -ne 0 ]
    [[ "$output" == *"--spread wants many domains and --topology with a ! wants few"* ]]
    touch go
    until_ok 20 state_is "$wide" COMPLETED
}

@test "--quality waits for the bandwidth, says what there is now, and takes any when its time is over" {
    rm -f go
    first=$(hold -N 2 --gpus-per-node 4 -w "$(hosts 4 4),$(hosts 6 6)")
    rest=$(hold -N 3 --gpus-per-node 4 -w "$(hosts 1 3)")
    until_ok 20 state_is "$first" RUNNING
    until_ok 20 state_is "$rest" RUNNING
    # n5 and n7 are in different leaves, and leaves have an oversubscription of 2
    picky=$(hold -N 2 --gpus-per-node 4 -w "$(hosts 5 5),$(hosts 7 7)" --quality=0.9@1s)
    until_ok 20 state_is "$picky" RUNNING
    run tug show "$picky"
    [[ "$output" == *"  at least    a quality of 0.90, for "* ]]
    run tug submit --quality=2 -- true
    [ "$status" -ne 0 ]
    [[ "$output" == *"'2' is not a quality; write a number up to 1"* ]]
    touch go
    until_ok 20 state_is "$picky" COMPLETED
}
