#!/usr/bin/env bats
# tug run: a gang whose output comes to the terminal.

load common

setup_file() { sandbox_up --nodes 4 --gpus 8; }
teardown_file() { sandbox_down; }
setup() { cd "$WORK" || return 1; }

@test "output of all ranks arrives, labelled" {
    run tug run -N 4 --ntasks-per-node 2 -l sh -c 'echo "out $RANK"'
    [ "$status" -eq 0 ]
    for r in 0 1 2 3 4 5 6 7; do [[ "$output" == *"$r: out $r"* ]]; done
}

@test "the exit code is the ranks' and the failure is named" {
    run tug run -N 2 -n 2 sh -c '[ $RANK = 1 ] && exit 9; sleep 600'
    [ "$status" -eq 9 ]
    [[ "$output" == *"rank 1"* ]]
}

@test "standard output and error stay apart" {
    tug run sh -c 'echo to-out; echo to-err >&2' >out.txt 2>err.txt
    [ "$(cat out.txt)" = to-out ]
    grep -q to-err err.txt
    ! grep -q to-out err.txt
}

@test "standard input goes to rank 0" {
    run bash -c 'printf "hello\nthere\n" | tug run -N 2 -n 2 -l sh -c "[ \$RANK = 0 ] && cat || true"'
    [ "$status" -eq 0 ]
    [[ "$output" == *"0: hello"* ]]
    [[ "$output" == *"0: there"* ]]
}

@test "two megabytes of output arrive whole" {
    run bash -c 'tug run sh -c "head -c 2000000 /dev/zero | tr \"\\0\" x | fold -w 99" | tr -d "\\n" | wc -c'
    [ "$output" -eq 2000000 ]
}

@test "SIGTERM to the client ends the gang" {
    tug run -N 2 -n 2 sleep 600 &
    client=$!
    until_ok 20 bash -c 'tug queue --json | grep -q RUNNING'
    kill -TERM "$client"
    run wait "$client"
    until_ok 20 bash -c '! tug queue --json | grep -q RUNNING'
}

@test "a client that is killed takes its gang along" {
    tug run -N 2 -n 2 sleep 601 &
    client=$!
    until_ok 20 bash -c 'tug queue --json | grep -q RUNNING'
    kill -KILL "$client"
    until_ok 20 bash -c '! tug queue --json | grep -q RUNNING'
}

@test "ranks have exactly descriptors 0, 1 and 2" {
    run tug run -N 2 -n 2 -l sh -c 'ls /proc/$$/fd | tr "\n" " "; echo'
    [ "$status" -eq 0 ]
    [[ "$output" == *"0: 0 1 2 "* ]]
    [[ "$output" == *"1: 0 1 2 "* ]]
}

@test "a client that is killed while its gang waits takes it along" {
    first=$(tug submit --parsable -N 4 --exclusive -- sleep 600)
    until_ok 20 state_is "$first" RUNNING
    tug run -N 4 --exclusive true &
    client=$!
    until_ok 20 bash -c 'tug queue --json | grep -q PENDING'
    kill -KILL "$client"
    until_ok 20 bash -c '! tug queue --json | grep -q PENDING'
    tug cancel "$first"
    tug wait "$first" || true
}
