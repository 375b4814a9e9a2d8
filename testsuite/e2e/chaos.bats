#!/usr/bin/env bats
# chaos.bats - the short form of testsuite/crash/chaos.py: real daemons behind a proxy that is a bad network

@test "whatever the network does to messages and bytes, every gang ends, nothing starts twice, no attempt meets another" {
    PYTHONDONTWRITEBYTECODE=1 run timeout 250 python3 "${TUG_SRCDIR:-$BATS_TEST_DIRNAME/../..}/testsuite/crash/chaos.py"
    echo "$output"
    [ "$status" -eq 0 ]
}
