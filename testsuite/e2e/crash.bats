#!/usr/bin/env bats
# What is promised holds when daemons are killed at random moments. Each line here is the short form of a program in
# testsuite/crash; `python3 testsuite/crash/crash_submit.py --full` is the long one. TUG_SEED=N repeats the choices.

crash()
{
    PYTHONDONTWRITEBYTECODE=1 run timeout 200 python3 "${TUG_SRCDIR:-$BATS_TEST_DIRNAME/../..}/testsuite/crash/$1.py"
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "crash_points: every daemon dies at every named point, and what is promised holds" {
    crash crash_points
}

@test "flips: a byte of the state that is not what was written is never taken for what was" {
    crash flips
}

@test "crash_submit: an acknowledged job is durable and its id is its own" {
    crash crash_submit
}

@test "crash_adopt: ranks do not notice the death of their node daemon, and it takes them on again" {
    crash crash_adopt
}

@test "crash_complete: the recorded end of a job is what its ranks did, once" {
    crash crash_complete
}

@test "crash_launch: no attempt meets another, every gang ends, nothing is left" {
    crash crash_launch
}

@test "ctld_down: ranks do not notice that their controller is away, and how they end meanwhile is kept" {
    crash ctld_down
}
