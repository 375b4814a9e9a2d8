#!/usr/bin/env bats
# A rank that SIGKILL does not end: frozen by the v1 freezer, it is in D until it is thawed, as one that waits for a dead disk.
# The job ends all the same, its GPUs on that node stay held, everything else goes on, and all of it survives the daemons. Every
# node has an epilog, which the job does not wait for either.

load common

FREEZER=/sys/fs/cgroup/freezer
FROZEN=${FROZEN:-$FREEZER/tug-test-$$}

node_up() # NAME
{
    tuglaunch --emulated --one-user --node "$1" --cluster stuck --controller-pub "$D/controller.pub" \
        --run-dir "$D/$1/run" --stepd "$TUG_BUILDDIR/tugstepd" -- "$TUG_BUILDDIR/tugnoded" --node "$1" \
        --controller "$(cat "$D/run/endpoint")" --cluster stuck --key "$D/$1/state/node.key" \
        --controller-pub "$D/controller.pub" --state-dir "$D/$1/state" --run-dir "$D/$1/run" \
        --config "$D/tugnode.yaml" --address 127.0.0.1 --cpus 8 --memory 8G --gpus 4 >>"$D/$1/log" 2>&1 3>&- &
    echo $! >"$D/$1/pid"
}

tugd_up()
{
    rm -f "$D/run/endpoint.new"
    tugd --config "$D/tugline.yaml" >>"$D/tugd.log" 2>&1 3>&- &
    echo $! >"$D/tugd.pid"
    until_ok 30 eval 'tug ping 2>/dev/null' || { cat "$D/tugd.log" >&2; return 1; }
}

setup_file()
{
    [ "$(id -u)" -eq 0 ] && [ -w $FREEZER ] || return 0 # every test says SKIP and why, see setup
    export NO_COLOR=1 D="$BATS_FILE_TMPDIR/d" FROZEN
    export TUG_SOCKET=$D/run/tugd.sock
    mkdir -p "$D"/{state,run,work,r1/state,r2/state}
    chmod 700 "$D"/{state,r1/state,r2/state}
    mkdir "$FROZEN"
    cat >"$D/tugline.yaml" <<END
cluster:
  name: stuck
  state_dir: $D/state
  run_dir: $D/run
  listen: "127.0.0.1:${PORT:=$((20000 + $$ % 20000))}"
limits: {min_uid: 1}
timeouts:
  cleaning_timeout: 2s
  kill_grace: 1s
scheduler:
  policy_dirs: [$TUG_BUILDDIR/plugins]
nodes:
  - name: r[1-2]
    gpus: 4
END
    mkdir -m 755 "$D/sbin"
    printf '#!/bin/sh\necho "epilog $TUG_JOB_ID.$TUG_ATTEMPT $TUG_NODE $TUG_JOB_STATE" >>%s\n' "$D/said" >"$D/sbin/epilog"
    chmod 755 "$D/sbin/epilog"
    printf 'controller: 127.0.0.1:%s\nepilog:\n  program: %s/sbin/epilog\n' "${PORT:=$((20000 + $$ % 20000))}" "$D" >"$D/tugnode.yaml"
    cd "$D/work"
    tugd_up
    until_ok 20 test -s "$D/run/endpoint"
    cp "$D/state/keys/controller.pub" "$D/controller.pub"
    for n in r1 r2; do
        node_up $n
        until_ok 20 test -s "$D/$n/state/node.key.pub"
        cp "$D/$n/state/node.key.pub" "$D/state/keys/nodes/$n.pub"
    done
    until_ok 30 node_is r1 IDLE && until_ok 30 node_is r2 IDLE || { cat "$D"/tugd.log "$D"/r*/log >&2; return 1; }
}

hang_up() { # DIR: every write below it hangs, until hang_over
    mkdir "$1"
    python3 "$BATS_TEST_DIRNAME/hangfs.py" "$1" 3>&- &
    echo $! >"$D/hangfs.pid"
    until_ok 20 grep -q -F " $1 " /proc/mounts
}

hang_over()
{
    [ ! -e "$D/hangfs.pid" ] || kill -TERM "$(cat "$D/hangfs.pid")" || :
    rm -f "$D/hangfs.pid"
}

is_dead() { ! grep -q '^State:.[^ZX]' "/proc/$1/status" 2>/dev/null; }
thaw() { echo THAWED >"$FROZEN/freezer.state"; }

teardown_file()
{
    [ -n "${D:-}" ] || return 0
    thaw
    hang_over
    until_ok 20 bash -c '! [ -s "$FROZEN/cgroup.procs" ]'
    rmdir "$FROZEN"
    for f in r1/pid r2/pid tugd.pid; do kill -TERM "$(cat "$D/$f")" || :; done
    until_ok 30 bash -c 'for f in r1/pid r2/pid tugd.pid; do kill -0 $(cat "$D/$f") 2>/dev/null && exit 1; done; exit 0'
}

setup()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root: it freezes a rank"
    [ -n "${D:-}" ] || skip "needs the freezer of cgroup v1 at $FREEZER: only what is frozen there outlives SIGKILL"
    cd "$D/work"
}

node_is() { [ "$(of_node "$1" 'n["state"]')" = "$2" ]; }
of_node() # NODE EXPRESSION over the node n
{
    tug node show --json "$1" | python3 -c 'import json, sys
n = json.load(sys.stdin)["nodes"][0]
print(eval(sys.argv[1]))' "$2"
}
node_says() { [[ "$(of_node "$1" "$2")" == $3 ]]; }
show() { tug nodes; tug node show r1; tug queue; tail -n 20 "$D/tugd.log" "$D/r1/log"; }

@test "a rank that cannot be killed: the gang ends, its node keeps what that part had, and nothing else" {
    gang=$(tug submit --parsable -N 2 --gpus-per-node 2 -- sh -c 'echo $$ >gang.$NODE_RANK; exec sleep 600')
    other=$(tug submit --parsable --no-requeue -N 1 --gpus 1 --nodelist r1 -- sh -c 'while sleep 0.1; do echo on >>other; done')
    until_ok 30 test -s gang.0
    until_ok 30 test -s gang.1
    until_ok 30 test -s other
    first=$(field "$gang" nodelist)
    [ "$first" = "r[1-2]" ]
    # Node rank 0 is r1: ranks follow the order of the nodes.
    cat gang.0 >"$FROZEN/cgroup.procs"
    echo FROZEN >"$FROZEN/freezer.state"
    tug cancel "$gang"
    until_ok 60 state_is "$gang" CANCELLED || { show; false; }
    run tug wait "$gang"
    echo "$output"
    until_ok 20 node_is r2 IDLE
    tug nodes
    tug node show r1
    node_says r1 'n["remnants"][0]["processes"][0]["pid"]' "$(cat gang.0)"
    node_says r1 'n["remnants"][0]["processes"][0]["state"]' D
    node_says r1 'n["remnants"][0]["job"]' "$gang"
    run tug node show r1
    [[ "$output" == *"pid $(cat gang.0) (sleep) in D at "* ]]
    node_says r1 'bin(int(n["gpus_alloc"])).count("1")' 3
    state_is "$other" RUNNING
    node_says r1 'n["remnants"][1]["step"]' 4294967295 # the epilog waits for them, the job for neither
    grep -q -x "epilog $gang.1 r2 CANCELLED" "$D/said"
    run grep -c "epilog $gang.1 r1" "$D/said"
    [ "$output" = 0 ]
    echo "$gang $other" >jobs
    into_the_dead_end
}

# What the last test looks at takes its time, so it is under way, on r2, while the next ones do their work on r1.
into_the_dead_end()
{
    [ -c /dev/fuse ] || return 0
    hang_up "$D/work/dead"
    tug submit --parsable --no-requeue -N 1 --gpus 1 --nodelist r2 --output "$D/work/dead/out" -- \
        sh -c 'head -c 8000000 /dev/zero | tr "\\0" "\\n"; echo through >through' >dead-end
}

@test "after a while the node is drained for it; resumed by force, it gives out what is free and not what is held" {
    read -r gang other <jobs
    until_ok 30 node_is r1 DRAINING || { show; false; }
    run tug node show r1
    echo "$output"
    [[ "$output" == *"does not end here for 2 s: pid "* ]]
    node_says r1 'n["drains"][0]["by"]' cleaning
    state_is "$other" RUNNING
    run tug resume r1
    echo "$output"
    node_is r1 DRAINING
    tug resume --force r1
    node_is r1 CLEANING
    run timeout 60 tug run -N 1 --gpus 1 --nodelist r1 -- true
    [ "$status" -eq 0 ]
    waits=$(tug submit --parsable -N 1 --gpus 2 --nodelist r1 -- true)
    state_is "$waits" PENDING
    echo "$waits" >waits
}

@test "tugd, tugnoded and tuglaunch die, and it is held on" {
    read -r waits <waits
    kill -KILL "$(cat "$D/tugd.pid")"
    until_ok 20 is_dead "$(cat "$D/tugd.pid")"
    tugd_up
    until_ok 30 node_is r1 CLEANING || { show; false; }
    node_says r1 'bin(int(n["gpus_alloc"])).count("1")' 3
    until_ok 30 node_says r1 'len(n["remnants"][0]["processes"])' 1
    noded=$(pgrep -P "$(cat "$D/r1/pid")" tugnoded)
    kill -KILL "$noded"
    until_ok 30 bash -c "pgrep -P $(cat "$D/r1/pid") tugnoded | grep -v -x $noded"
    until_ok 30 node_is r1 CLEANING || { show; false; }
    kill -KILL "$(cat "$D/r1/pid")" # with it go its steps, but for the one that cannot
    until_ok 20 is_dead "$(cat "$D/r1/pid")"
    node_up r1
    until_ok 60 node_says r1 'bin(int(n["gpus_alloc"])).count("1")' 2 || { show; false; }
    until_ok 60 node_is r1 CLEANING || { show; false; }
    state_is "$waits" COMPLETED || until_ok 30 state_is "$waits" COMPLETED
    all=$(tug submit --parsable -N 1 --gpus 3 --nodelist r1 -- sh -c "echo all >>$D/said")
    run tug why "$all"
    echo "$output"
    state_is "$all" PENDING
    echo "$all" >all
}

@test "when it has gone at last, its GPUs come free by themselves" {
    read -r all <all
    read -r gang other <jobs
    run grep -c "epilog $gang.1 r1" "$D/said"
    [ "$output" = 0 ]
    thaw
    until_ok 60 node_is r1 IDLE || { show; false; }
    until_ok 30 state_is "$all" COMPLETED
    node_says r1 'len(n["remnants"])' 0
    cat "$D/said"
    run grep -x -e "epilog $gang.1 r1 CANCELLED" -e all "$D/said"
    [ "$output" = "epilog $gang.1 r1 CANCELLED
all" ]
    run tug node history r1
    echo "$output"
    [[ "$output" == *"cleaning"* ]]
}

@test "the file system of the output hangs: ranks go on, the job ends with their exit, and only its step daemon stays" {
    [ -c /dev/fuse ] || skip "needs /dev/fuse"
    read -r id <dead-end
    until_ok 60 test -s through || { show; false; } # 8 MB fit nowhere: most of it is dropped
    until_ok 60 state_is "$id" COMPLETED || { show; false; }
    until_ok 60 node_is r2 DRAINING || { show; tug node show r2; false; }
    run tug node show r2
    echo "$output"
    [[ "$output" == *"(tugstepd) in "* ]]
    tug resume --force r2
    node_is r2 CLEANING
    timeout 60 tug run -N 1 --gpus 1 --nodelist r2 -- true
    hang_over
    until_ok 60 node_is r2 IDLE || { show; false; }
}
