#!/usr/bin/env bats
# drain.bats - nodes out of use and back, as an administrator does it

load common

setup_file() { sandbox_up --nodes 2 --gpus 2; }
teardown_file() { sandbox_down; }

@test "a drained node finishes what it runs and gets nothing new, and says why to everybody" {
    tug submit -w n1 --gpus 1 -- sleep 60
    until_ok 20 state_is 1 RUNNING
    run tug drain n1 --reason "fan 3 is loud"
    [ "$status" -eq 0 ]
    [[ "$output" == "n1 DRAINING: what runs there goes on to its end" ]]
    run tug nodes n1
    [[ "$output" == *"DRAINING"*"fan 3 is loud ("* ]]
    tug submit -w n1 --gpus 1 -- true
    run tug show 2
    [[ "$output" == *"NodesDown"* ]]
    tug cancel 1
    tug wait 1 || true
    run tug nodes n1
    [[ "$output" == *"DRAINED"* ]]
}

@test "it survives a restart of the controller, and resuming it lets the job start" {
    tug sandbox restart
    run tug nodes n1
    [[ "$output" == *"DRAINED"*"fan 3 is loud ($(id -un), "* ]]
    run tug node show n1
    [[ "$output" == *"drained by  $(id -un), "*": fan 3 is loud"* ]]
    run tug resume n1
    [ "$status" -eq 0 ]
    [[ "$output" == "n1 IDLE" || "$output" == "n1 DOWN" || "$output" == "n1 UNKNOWN" ]]
    tug wait 2
    run tug node history n1
    [[ "${lines[0]}" == WHEN*NODE*WHAT*WHY*WHO*REASON* ]]
    [[ "$output" == *"n1 "*" resume "*" admin "*" $(id -un) "*"fan 3 is loud"* ]]
    [[ "$output" == *"n1 "*" drain "*" admin "*" $(id -un) "*"fan 3 is loud"* ]]
    run tug node history n2
    [ "${#lines[@]}" -eq 1 ]
}

@test "one name that is no node refuses all, and a reason is needed" {
    run tug drain n1,n9 --reason x
    [ "$status" -ne 0 ]
    [[ "$output" == *"there is no node 'n9'"* ]]
    run tug drain n1
    [ "$status" -ne 0 ]
    [[ "$output" == *"--reason TEXT is missing"* ]]
    run tug nodes --json n1
    [[ "$output" != *DRAIN* ]]
    run tug resume n2
    [[ "$output" == "n2 IDLE: it was so already" ]]
}
