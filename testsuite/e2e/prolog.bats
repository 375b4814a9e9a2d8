#!/usr/bin/env bats
# prolog.bats - prologs and epilogs: real programs around every attempt, on every node of it

load common

setup_file()
{
    export SBIN="$BATS_FILE_TMPDIR/sbin" SAID="$BATS_FILE_TMPDIR/said"
    mkdir -m 755 "$SBIN"
    mkdir "$SAID"
    # What it is to do on a node is in a file of its name and the node's.
    cat >"$SBIN/around" <<END
#!/bin/sh
echo "\$TUG_PROGRAM \$TUG_JOB_ID.\$TUG_ATTEMPT \$TUG_NODE \$*" >>$SAID/log
env >$SAID/env.\$TUG_PROGRAM.\$TUG_NODE
[ ! -e $SAID/\$TUG_PROGRAM.\$TUG_NODE ] || . $SAID/\$TUG_PROGRAM.\$TUG_NODE
END
    chmod 755 "$SBIN/around"
    cat >"$BATS_FILE_TMPDIR/node.yaml" <<END
prolog:
  program: $SBIN/around
  args: [one, "two three"]
epilog:
  program: $SBIN/around
END
    sandbox_up --nodes 2 --gpus 1 --node-config "$BATS_FILE_TMPDIR/node.yaml"
}
teardown_file()
{
    tug sandbox stop --dir "$BATS_FILE_TMPDIR/short" >/dev/null 2>&1 || : # of the last test, when that failed
    sandbox_down
}
setup() { rm -f "$SAID"/*; }

job() { sed 's/[^0-9]//g' <<<"$1"; }
of() { grep -c "^$1 $2" "$SAID/log" || :; }
noded_of() { local p; for p in $(pids_of tugnoded); do ! tr '\0' '\n' <"/proc/$p/cmdline" | grep -q "/nodes/$1/run$" || echo "$p"; done; }
shows() { [[ "$(tug node show "$1")" == *"$2"* ]]; }
says() { [[ "$(tug show "$1")" == *"$2"* ]]; }

@test "each node of a gang runs its prolog before any rank and its epilog behind the last, once" {
    export SECRET=1
    id=$(job "$(tug submit -N 2 --gpus-per-node 1 -J 'a b' -- sh -c "echo rank >>$SAID/log")")
    tug wait "$id"
    run cat "$SAID/log"
    [ "${#lines[@]}" = 6 ]
    [[ "$(sort <<<"${lines[0]} ${lines[1]}")" == *"prolog $id.1 n"?" one two three prolog $id.1 n"?" one two three"* ]]
    [ "${lines[2]} ${lines[3]}" = "rank rank" ]
    [[ "${lines[4]} ${lines[5]}" == "epilog $id.1 n"?*"epilog $id.1 n"?* ]]
    run cat "$SAID/env.prolog.n1"
    [[ "$output" == *"TUG_JOB_NAME=a b"* ]]
    [[ "$output" == *"TUG_JOB_UID=$(id -u)"* ]]
    [[ "$output" == *"TUG_NODELIST=n[1-2]"* ]]
    [[ "$output" == *"TUG_GPUS=0"* ]]
    [[ "$output" == *"HOME=/"* ]]
    [[ "$output" != *SECRET* ]]
    [[ "$(cat "$SAID/env.epilog.n2")" == *"TUG_JOB_STATE=COMPLETED"* ]]
}

@test "steps inside a batch job do not run them again, on no node" {
    cat >two <<'END'
#!/bin/sh
tug run -N 2 -n 2 true && tug run -N 2 -n 2 true
exit 7
END
    chmod +x two
    id=$(job "$(tug submit -N 2 ./two)")
    run tug wait "$id"
    [ "$(of prolog "$id.1 n1")$(of prolog "$id.1 n2")$(of epilog "$id.1 n1")$(of epilog "$id.1 n2")" = 1111 ]
    [[ "$(cat "$SAID/env.epilog.n2")" == *"TUG_JOB_EXIT_CODE=7"* ]]
}

@test "a prolog that fails drains its node with its words, and the job goes elsewhere" {
    printf 'echo mounting\necho no scratch\nexit 3\n' >"$SAID/prolog.n1"
    id=$(job "$(tug submit -N 1 --gpus-per-node 1 -- true)")
    tug wait "$id"
    [ "$(field "$id" attempt)" = 2 ]
    [ "$(field "$id" requeues_counted)" = 0 ]
    shows n1 "drained by  prolog, "
    shows n1 "prolog of job $id ended with exit code 3: mounting; no scratch"
    shows n1 "prolog said mounting
              no scratch"
    [ "$(of epilog "$id.1 n1")" = 1 ] # what was half set up is taken down
    [[ "$(tug nodes n1)" == *DRAINED*"no scratch (prolog, "* ]]
    tug resume n1
    shows n1 "state       IDLE"
    [[ "$(tug node show n1)" != *mounting* ]]
}

@test "a job whose prolog runs says so, and a cancel ends that at once and drains nothing" {
    printf 'sleep 1000 &\necho $! >%s/sleeper\nwait\n' "$SAID" >"$SAID/prolog.n1"
    id=$(job "$(tug submit -N 1 --gpus-per-node 1 -w n1 -- true)")
    until_ok 40 test -s "$SAID/sleeper"
    says "$id" "waits for   prolog on n1"
    tug cancel "$id"
    until_ok 40 state_is "$id" CANCELLED
    run kill -0 "$(cat "$SAID/sleeper")"
    [ "$status" -ne 0 ]
    shows n1 "state       IDLE"
    [ "$(of epilog "$id.1 n1")" = 1 ]
}

@test "a node daemon that dies while one runs is followed by one that ends what it left, and runs it again" {
    # A prolog on n1, an epilog on n2. The one before must be gone; the first of them leaves a process that its daemon's death does not end.
    for on in prolog.n1 epilog.n2; do
        cat >"$SAID/$on" <<END
if [ -e $SAID/left.$on ]; then
    ! kill -0 \$(cat $SAID/left.$on) 2>/dev/null || echo overlap >>$SAID/log
else
    sleep 1000 &
    echo \$! >$SAID/left.new.$on
    mv $SAID/left.new.$on $SAID/left.$on
    wait
fi
END
    done
    one=$(job "$(tug submit -N 1 --gpus-per-node 1 -w n1 -- true)")
    two=$(job "$(tug submit -N 1 --gpus-per-node 1 -w n2 -- true)")
    until_ok 40 test -e "$SAID/left.prolog.n1"
    until_ok 40 test -e "$SAID/left.epilog.n2"
    says "$one" "waits for   prolog on n1"
    says "$two" "waits for   epilog on n2"
    kill -9 "$(noded_of n1)" "$(noded_of n2)"
    until_ok 60 state_is "$one" COMPLETED
    until_ok 60 state_is "$two" COMPLETED
    [ "$(of prolog "$one.1 n1")$(of epilog "$one.1 n1")" = 21 ]
    [ "$(of prolog "$two.1 n2")$(of epilog "$two.1 n2")" = 12 ]
    [ "$(of overlap)" = 0 ]
    shows n1 "state       IDLE"
    shows n2 "state       IDLE"
}

@test "what a prolog starts in a session of its own outlives it, holds up nothing, and is nobody's business after a restart" {
    # It has our output and descriptors still, as a careless daemon does.
    cat >"$SAID/prolog.n1" <<END
setsid sh -c "echo \\\$\\\$ >$SAID/new; mv $SAID/new $SAID/stays; exec sleep 1000" &
until [ -e $SAID/stays ]; do sleep 0.02; done
END
    # While it runs: without cgroups the launcher ends all orphans with a step.
    one=$(job "$(tug submit -N 1 -w n1 -- sh -c "until [ -e $SAID/go ]; do sleep 0.05; done")")
    until_ok 40 state_is "$one" RUNNING
    rm "$SAID/prolog.n1"
    old=$(noded_of n1)
    kill -9 "$old"
    until_ok 40 eval '[ "$(noded_of n1)" ] && [ "$(noded_of n1)" != "'"$old"'" ]'
    kill -0 "$(cat "$SAID/stays")"
    two=$(job "$(tug submit -N 1 -w n1 -- true)")
    until_ok 40 state_is "$two" COMPLETED
    touch "$SAID/go"
    until_ok 40 state_is "$one" COMPLETED
    shows n1 "state       IDLE"
    kill "$(cat "$SAID/stays")" 2>/dev/null || :
}

@test "of a prolog that is cut short, by a cancel or with its node daemon, goes also what it started in a session of its own" {
    cat >"$SAID/prolog.n1" <<END
if [ -e $SAID/stays ]; then
    ! kill -0 \$(cat $SAID/stays) 2>/dev/null || echo overlap >>$SAID/log
    setsid sleep 1000 &
    echo \$! >$SAID/second
    wait
fi
setsid sleep 1000 &
echo \$! >$SAID/new && mv $SAID/new $SAID/stays
wait
END
    id=$(job "$(tug submit -N 1 --gpus-per-node 1 -w n1 -- true)")
    until_ok 40 test -s "$SAID/stays"
    kill -9 "$(noded_of n1)"
    until_ok 40 test -s "$SAID/second"
    tug cancel "$id"
    until_ok 40 state_is "$id" CANCELLED
    [ "$(of overlap)" = 0 ]
    run kill -0 "$(cat "$SAID/second")"
    [ "$status" -ne 0 ]
    shows n1 "state       IDLE"
}

@test "one that others could replace is not run: the node is drained, the job goes elsewhere" {
    chmod g+w "$SBIN"
    id=$(job "$(tug submit -N 1 --gpus-per-node 1 -w n1 -- true)")
    until_ok 40 shows n1 "prolog of job $id cannot be run: $SBIN may be written by others than its owner"
    until_ok 40 state_is "$id" PENDING
    chmod g-w "$SBIN"
    tug cancel "$id"
    tug resume n1
}

# In a sandbox of its own, as nothing else stands so short a time.
@test "an epilog that hangs holds the GPUs, then drains the node, and the job's result stands" {
    printf 'epilog:\n  program: %s/around\n  timeout: 1s\n' "$SBIN" >"$BATS_FILE_TMPDIR/short.yaml"
    printf 'echo unmounting\nsleep 1000\n' >"$SAID/epilog.n1"
    tug sandbox start --dir "$BATS_FILE_TMPDIR/short" --nodes 1 --gpus 1 --node-config "$BATS_FILE_TMPDIR/short.yaml"
    eval "$(tug sandbox env --dir "$BATS_FILE_TMPDIR/short")"
    id=$(job "$(tug submit -N 1 --gpus-per-node 1 -- true)")
    next=$(job "$(tug submit -N 1 --gpus-per-node 1 -- true)")
    tug wait "$id"
    [ "$(field "$id" state) $(field "$id" exit.exit_code)" = "COMPLETED 0" ]
    shows n1 "epilog of job $id did not end within 1 s: unmounting"
    state_is "$next" PENDING
    rm "$SAID/epilog.n1"
    tug resume n1
    tug wait "$next"
}
