#!/usr/bin/env bats
# Files for systemd: it understands them, they run what is installed, and the daemons say what it waits for.

load common

setup_file()
{
    export NO_COLOR=1
    export UNITS="$BATS_FILE_TMPDIR/installed"
    make -s -C "$TUG_BUILDDIR" install-systemdsystemunitDATA install-sysusersDATA install-tmpfilesDATA DESTDIR="$UNITS" \
        >"$BATS_FILE_TMPDIR/make.log" 2>&1 || { cat "$BATS_FILE_TMPDIR/make.log" >&2; return 1; }
}

# listen SOCKET FILE: every datagram that comes as a line, until killed
listen()
{
    python3 - "$1" "$2" 3>&- <<'END' &
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
with open(sys.argv[2], "w") as f:
    while True:
        f.write(s.recv(4096).decode() + "\n")
        f.flush()
END
    echo $! >"$BATS_FILE_TMPDIR/listener"
    until_ok 20 test -S "$1"
}

# ends PROGRAM_PID: as a service manager ends it, and the listener with it
ends()
{
    kill -TERM "$1"
    until_ok 30 bash -c "! kill -0 $1 2>/dev/null"
    kill "$(cat "$BATS_FILE_TMPDIR/listener")"
}

said_alive() { [ "$(grep -c -x WATCHDOG=1 "$1")" -ge 3 ]; }

@test "systemd finds no fault with the units" {
    command -v systemd-analyze >/dev/null || skip "needs systemd-analyze (package systemd)"
    mkdir "$BATS_TEST_TMPDIR/u"
    for u in tugd tugnoded; do # of what is built: nothing is installed here
        sed -E "s,[^ =']*/s?bin/(tugd|tuglaunch|tugnoded) ,$TUG_BUILDDIR/\1 ,g; s,[^ =']*/tugstepd,$TUG_BUILDDIR/tugstepd," \
            "$(find "$UNITS" -name $u.service)" >"$BATS_TEST_TMPDIR/u/$u.service"
    done
    cd "$BATS_TEST_TMPDIR/u"
    SYSTEMD_LOG_LEVEL=info run systemd-analyze verify --man=no --recursive-errors=no ./tugd.service ./tugnoded.service
    echo "$output"
    [ "$status" -eq 0 ]
    [ -z "$(grep -v -e 'network-online' <<<"$output")" ]
    sed -i 's/^WatchdogSec=60s/WatchdogSec=often/' tugd.service # and it would
    run systemd-analyze verify --man=no --recursive-errors=no ./tugd.service
    [[ "$output" == *"Failed to parse sec value"*"often"* ]]
}

@test "the scripts in the units are ones, and hand over all that the launcher needs" {
    unit=$(find "$UNITS" -name tugnoded.service)
    for key in ExecStart ExecStopPost; do
        sed -n "s/^$key=-*\/bin\/sh -c '\(.*\)'$/\1/p" "$unit" | sed 's/\$\$/$/g; s/%%/%/g; s/%l/n1/g' >"$BATS_TEST_TMPDIR/$key"
        test -s "$BATS_TEST_TMPDIR/$key"
        sh -n "$BATS_TEST_TMPDIR/$key"
    done
    # The launcher as it is told there, up to the first thing that is not here: the controller's key.
    sed -i -E "s,exec [^ ]*/tuglaunch,exec $TUG_BUILDDIR/tuglaunch,; s,\"\\$\(id -. tug\)\",64345,g" "$BATS_TEST_TMPDIR/ExecStart"
    run env TUG_CLUSTER=lab sh "$BATS_TEST_TMPDIR/ExecStart"
    echo "$output"
    [[ "$output" == *"controller key /"*"/tugline/controller.pub: No such file"* ]]
    run sh "$BATS_TEST_TMPDIR/ExecStart"
    [[ "$output" == *"TUG_CLUSTER"*"node.env"* ]]
}

@test "the user and the directories of the daemons can be made" {
    command -v systemd-sysusers >/dev/null || skip "needs systemd-sysusers (package systemd)"
    mkdir -p "$BATS_TEST_TMPDIR/root/etc"
    run systemd-sysusers --root="$BATS_TEST_TMPDIR/root" "$(find "$UNITS" -path '*sysusers.d/tugline.conf')"
    echo "$output"
    grep '^tug:' "$BATS_TEST_TMPDIR/root/etc/passwd"
    [ "$(id -u)" -eq 0 ] || skip "needs root: directories of another user"
    cp "$(find "$UNITS" -path '*tmpfiles.d/tugline.conf')" "$BATS_TEST_TMPDIR/t.conf"
    systemd-tmpfiles --create --root="$BATS_TEST_TMPDIR/root" "$BATS_TEST_TMPDIR/t.conf"
    [ "$(find "$BATS_TEST_TMPDIR/root" -type d -name 'tugline*' -perm 700 | wc -l)" -eq 2 ]
    [ "$(find "$BATS_TEST_TMPDIR/root" -type d -name tugline -perm 755 | wc -l)" -eq 1 ]
}

@test "tugd tells the service manager that it is ready, and then that it is alive" {
    cd "$BATS_TEST_TMPDIR"
    mkdir -m 700 s
    printf 'cluster: {name: u, state_dir: %s/s, run_dir: %s/r, listen: "127.0.0.1:0"}\n' "$PWD" "$PWD" >c.yaml
    listen "$PWD/n" "$PWD/said"
    NOTIFY_SOCKET=$PWD/n WATCHDOG_USEC=200000 tugd --config c.yaml 2>log 3>&- &
    pid=$!
    until_ok 30 grep -x READY=1 said || { cat log; false; }
    TUG_SOCKET=$PWD/r/tugd.sock tug ping
    until_ok 30 said_alive said
    ends $pid
}

@test "and so does tuglaunch, until it is stopped" {
    cd "$BATS_TEST_TMPDIR"
    head -c 32 /dev/zero | base64 >key.pub
    printf '#!/bin/sh\nexec sleep 600\n' >noded
    chmod 755 noded
    listen "$PWD/n" "$PWD/said"
    NOTIFY_SOCKET=$PWD/n WATCHDOG_USEC=200000 tuglaunch --emulated --one-user --cgroup-root none --node n1 --cluster u \
        --controller-pub "$PWD/key.pub" --run-dir "$PWD/r" --stepd "$TUG_BUILDDIR/tugstepd" -- "$PWD/noded" 2>log 3>&- &
    pid=$!
    until_ok 30 said_alive said || { cat log; false; }
    [ "$(head -n 1 said)" = READY=1 ]
    ends $pid
}
