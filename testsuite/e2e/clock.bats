#!/usr/bin/env bats
# clock.bats - the wall clock of a cluster is put by a day, forth and back, while it works (wallclock.c in every daemon)

load common

setup_file()
{
    export WALLCLOCK="$BATS_FILE_TMPDIR/clock" LIB="$BATS_FILE_TMPDIR/wallclock.so"
    cc -shared -fPIC -o "$LIB" "${TUG_SRCDIR:-$BATS_TEST_DIRNAME/../..}/testsuite/e2e/wallclock.c"
    put_clock 0
    LD_PRELOAD=$LIB sandbox_up --nodes 2 --gpus 2
}
teardown_file() { sandbox_down; }

# put_clock DAYS: in place, as daemons look at these very bytes
put_clock() { python3 -c 'import os, struct, sys; os.pwrite(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), struct.pack("q", 86400 * int(sys.argv[2])), 0)' "$WALLCLOCK" "$1"; }

# Every daemon of the sandbox lives by that clock: else this would show nothing.
all_put()
{
    local program p n=0
    for program in tugd tuglaunch tugnoded; do
        for p in $(pids_of $program); do
            grep -q wallclock.so "/proc/$p/maps" || { echo "$program ($p) has the true clock" >&2; return 1; }
            n=$((n + 1))
        done
    done
    [ "$n" -eq 5 ]
}

counted() { tail -n 1 "$WORK/count.$1.$2"; }
counts() { [ -s "$WORK/count.$1.$2" ] && [ "$(counted "$1" "$2")" -ge "$3" ]; }
none_down() { ! tug nodes --json | grep -q '"DOWN\|"DRAIN'; }

@test "the wall clock goes a day forth and two back, and no limit, lease or order notices" {
    all_put
    cd "$WORK"
    local long quick i days
    long=$(tug submit --parsable -N 2 -n 2 -t 2h -o /dev/null -- sh -c 'while i=$((i + 1)); do echo $i >>count.$TUG_JOB_ID.$RANK; sleep 0.2; done')
    until_ok 20 counts "$long" 1 2
    for days in 1 -1 0; do
        put_clock $days
        i=$(counted "$long" 1)
        until_ok 60 counts "$long" 1 $((i + 30)) # 6 s and more: each node has asked for its lease since
        quick=$(tug submit --parsable -N 2 -n 2 -t 1h -o /dev/null -- true) # its order is signed, and obeyed, now
        until_ok 20 state_is "$quick" COMPLETED
        [ "$(field "$long" state)" = RUNNING ]
        [ "$(field "$long" attempt)" -eq 1 ]
        none_down
    done
    quick=$(tug submit --parsable -t 3s -o /dev/null -- sleep 600)
    until_ok 20 state_is "$quick" RUNNING
    put_clock -1
    until_ok 20 state_is "$quick" TIMEOUT # after three seconds, not after a day
    tug cancel "$long"
    until_ok 20 state_is "$long" CANCELLED
}

@test "a controller that starts by another wall clock goes on with what is left, and shows the new time" {
    cd "$WORK"
    local long before
    put_clock 0
    long=$(tug submit --parsable -N 2 -n 2 -t 2h -o /dev/null -- sleep 600)
    until_ok 20 state_is "$long" RUNNING
    before=$(field "$long" submit_ms)
    put_clock 1
    LD_PRELOAD=$LIB tug sandbox restart
    until_ok 20 state_is "$long" RUNNING
    [ $((($(field "$long" submit_ms) - before) / 3600000)) -ge 23 ]
    until_ok 20 none_down
    [ "$(field "$long" attempt)" -eq 1 ]
    tug cancel "$long"
    until_ok 20 state_is "$long" CANCELLED
}
