#!/usr/bin/env bats
# What a job may take of a node: processes, memory. Root's launchers, cgroups, jobs of a user; bombs and hogs are real, and small.

load common

TUGD_UID=64331
ALICE=64332

as() { setpriv --reuid "$1" --regid "$1" --clear-groups -- "${@:2}"; }

node_up() # NAME
{
    tuglaunch --emulated --node "$1" --cluster limited --controller-pub "$D/controller.pub" \
        --run-dir "$D/$1/run" --stepd "$D/bin/tugstepd" --noded-uid $TUGD_UID --noded-gid $TUGD_UID \
        -- "$D/bin/tugnoded" --config "$D/tugnode.yaml" --node "$1" --controller "$(cat "$D/run/endpoint")" \
        --cluster limited --key "$D/$1/state/node.key" --controller-pub "$D/controller.pub" --state-dir "$D/$1/state" \
        --run-dir "$D/$1/run" --address 127.0.0.1 --cpus 8 --memory 8G --gpus 4 >>"$D/$1/log" 2>&1 3>&- &
    echo $! >"$D/$1/pid"
}

setup_file()
{
    [ "$(id -u)" -eq 0 ] || return 0 # every test says SKIP and why, see setup
    export NO_COLOR=1
    D=$(mktemp -d /tmp/tug-limits.XXXXXX) # away from bats' own directory, which is root's alone
    export D TUG_SOCKET=$D/run/tugd.sock
    chmod 711 "$D"
    mkdir "$D"/{bin,state,run,alice}
    chmod 755 "$D/bin"
    for p in tug tugd tugnoded tuglaunch tugstepd; do cp "$TUG_BUILDDIR/$p" "$D/bin/"; done
    chown $TUGD_UID:$TUGD_UID "$D/state" "$D/run"
    chmod 700 "$D/state"
    chown $ALICE:$ALICE "$D/alice"
    cp "$TUG_BUILDDIR"/plugins/{multifactor,easy}.so "$D/bin/"
    cat >"$D/tugline.yaml" <<END
cluster:
  name: limited
  state_dir: $D/state
  run_dir: $D/run
  listen: "127.0.0.1:0"
timeouts: {kill_grace: 1s}
scheduler:
  policy_dirs: [$D/bin]
nodes:
  - name: l[1-2]
    gpus: 4
END
    cat >"$D/tugnode.yaml" <<END
controller: 127.0.0.1:1
limits:
  processes: 150
  reserved_memory: 1G
END
    PATH=$D/bin:$PATH
    # Not by as(): the pid must be the daemon's, not that of a shell around it.
    setpriv --reuid $TUGD_UID --regid $TUGD_UID --clear-groups tugd --config "$D/tugline.yaml" >"$D/tugd.log" 2>&1 3>&- &
    echo $! >"$D/tugd.pid"
    until_ok 20 test -s "$D/run/endpoint"
    cp "$D/state/keys/controller.pub" "$D/controller.pub"
    chmod 644 "$D/controller.pub"
    for n in l1 l2; do
        mkdir -p "$D/$n/state"
        chown -R $TUGD_UID:$TUGD_UID "$D/$n/state"
        chmod 711 "$D/$n"
        chmod 700 "$D/$n/state"
        node_up $n
        until_ok 20 test -s "$D/$n/state/node.key.pub"
        cp "$D/$n/state/node.key.pub" "$D/state/keys/nodes/$n.pub"
        chown $TUGD_UID:$TUGD_UID "$D/state/keys/nodes/$n.pub"
    done
    until_ok 30 bash -c '[ "$(tug nodes --json | grep -o IDLE | wc -l)" -eq 2 ]' || { cat "$D"/tugd.log "$D"/l*/log >&2; return 1; }
    cat >"$D/bin/bomb.py" <<END
import os, time
while True: # in everybody, so one becomes two
    try:
        os.fork()
    except OSError:
        open("full", "w").close()
        time.sleep(1)
END
    cat >"$D/bin/hog.py" <<END
import time
a = []
for i in range(400): # MiB
    a.append(bytearray(b"x" * 1048576))
time.sleep(600)
END
}

teardown_file()
{
    [ -n "${D:-}" ] || return 0
    for f in l1/pid l2/pid tugd.pid; do kill -TERM "$(cat "$D/$f")" || :; done
    until_ok 30 bash -c 'for f in l1/pid l2/pid tugd.pid; do kill -0 $(cat "$D/$f") 2>/dev/null && exit 1; done; exit 0'
    run find /sys/fs/cgroup -type d -name 'tug-l[12]'
    [ -z "$output" ] || { echo "left behind: $output" >&2; return 1; }
    rm -rf "$D"
}

setup()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root: it limits what users' jobs may take"
    PATH=$D/bin:$PATH
    [ "$(of_node l1 'n["pids_max"]')" -gt 0 ] && [ "$(of_node l1 'n["mem_limited"]')" = True ] ||
        skip "needs the controllers pids and memory of cgroups"
    cd "$D/alice"
}

of_node() # NODE EXPRESSION over the node n
{
    tug node show --json "$1" | python3 -c 'import json, sys
n = json.load(sys.stdin)["nodes"][0]
print(eval(sys.argv[1]))' "$2"
}
show() { tug show "$1"; tug nodes; tail -n 20 "$D/tugd.log" "$D/l1/log" "$D/l2/log"; }
daemons() { pgrep -d ' ' -P "$(cat "$D/l1/pid")"; cat "$D/tugd.pid" "$D/l1/pid" "$D/l2/pid"; }
nobody_left() { ! pgrep -u $ALICE; }

@test "a node says what jobs may take of it" {
    run tug node show l1
    echo "$output"
    [[ "$output" == *"limits      150 processes a job, memory as asked for; 1G kept from jobs"* ]]
    [[ "$output" == *"of 7G"* ]]
    run as $ALICE tug run -N 1 -- cat /proc/self/oom_score_adj # of all on a node a rank is killed for memory first
    [ "$output" = 500 ]
}

@test "a fork bomb stays within its job: tugd, the node and its other jobs go on, and its end leaves nothing" {
    before=$(daemons)
    other=$(as $ALICE tug submit --parsable -N 1 --nodelist l1 -- sh -c 'while sleep 0.1; do echo on >>other; done')
    bomb=$(as $ALICE tug submit --parsable -N 1 --nodelist l1 -- python3 "$D/bin/bomb.py")
    until_ok 30 test -e full || { show "$bomb"; false; }
    [ "$(pgrep -c -u $ALICE -f bomb.py)" -le 150 ]
    for i in 1 2 3 4 5; do timeout 20 tug ping; done
    run timeout 60 setpriv --reuid $ALICE --regid $ALICE --clear-groups -- tug run -N 1 --nodelist l1 -- echo heard
    [ "$output" = heard ]
    : >other
    until_ok 20 test -s other
    tug cancel "$bomb"
    until_ok 30 state_is "$bomb" CANCELLED || { show "$bomb"; false; }
    run pgrep -u $ALICE -f bomb.py
    [ -z "$output" ]
    run tug show "$bomb"
    echo "$output"
    [[ "$output" == *"limits      l1: the limit of 150 processes was hit "*" times"* ]]
    state_is "$other" RUNNING
    tug cancel "$other"
    until_ok 30 nobody_left
    [ "$(daemons)" = "$before" ]
}

@test "a job that uses more memory than it asked for ends, and says why, where and what to do; nobody else does" {
    before=$(daemons)
    other=$(as $ALICE tug submit --parsable -N 1 --mem 64M --nodelist l2 -- sh -c 'while sleep 0.1; do echo on >>other; done')
    gang=$(as $ALICE tug submit --parsable -N 2 --ntasks-per-node 1 --mem 256M -- \
        sh -c '[ $RANK = 0 ] && exec sleep 600; exec python3 '"$D/bin/hog.py")
    run as $ALICE tug wait "$gang"
    [ "$status" -ne 0 ]
    run tug show "$gang"
    echo "$output"
    [[ "$output" == *"OUT_OF_MEMORY"* ]]
    [[ "$output" == *"rank 1 on "*"out of memory: the job may use 256M on l2 and wanted more; ask for more with --mem"* ]]
    [[ "$output" == *"l2: 1 process was killed for memory (it used up to 256M of 256M)"* ]]
    : >other
    until_ok 20 test -s other
    state_is "$other" RUNNING
    tug cancel "$other"
    until_ok 30 nobody_left
    [ "$(daemons)" = "$before" ]
    run as $ALICE tug run -N 1 --mem 1G -- python3 -c 'a = bytearray(b"x" * (400 << 20))'
    [ "$status" -eq 0 ]
}
