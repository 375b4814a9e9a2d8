#!/usr/bin/env bats
# health.bats - a node's health check: a real program takes its node out of use and back, and nobody else's reason with it

load common

setup_file()
{
    sandbox_up --nodes 2 --gpus 1
    mkdir -m 755 "$WORK/sbin"
    cat >"$WORK/sbin/check" <<END
#!/bin/sh
echo \$\$ \$TUG_CHECK \$TUG_NODE \$(env | wc -l) >>$WORK/runs
cat $WORK/says 2>/dev/null
if [ -e $WORK/hangs ]; then
    sleep 1000 &
    echo \$! >$WORK/sleeper
    wait
fi
[ ! -e $WORK/says ]
END
    chmod 755 "$WORK/sbin/check"
    cat >"$WORK/tugnode.yaml" <<END
controller: unused:1
health_check:
  program: $WORK/sbin/check
  period: 1s
  timeout: 2s
END
    node_restart
}
teardown_file()
{
    [ ! -e "$WORK/n1.pid" ] || { kill "$(cat "$WORK/n1.pid")"; until_ok 20 bash -c "! [ -e /proc/$(cat "$WORK/n1.pid") ]"; }
    sandbox_down
}

# The sandbox's n1 again, with a configuration file.
node_restart()
{
    local pid word argv=()
    pid=$(launcher_of n1)
    while IFS= read -r -d '' word; do argv+=("$word"); done <"/proc/$pid/cmdline"
    kill "$pid"
    until_ok 20 bash -c "! [ -e /proc/$pid ]"
    "${argv[@]}" --config "$WORK/tugnode.yaml" >"$WORK/n1.log" 2>&1 3>&- &
    echo $! >"$WORK/n1.pid"
}

shows() { [[ "$(tug node show n1)" == *"$1"* ]]; }

@test "it is run with an environment of its own, and the node is healthy" {
    until_ok 20 shows "health      healthy since"
    read -r _ why node vars <"$WORK/runs"
    [ "$why" = period ]
    [ "$node" = n1 ]
    [ "$vars" -le 8 ] # PATH, HOME, LANG, TUG_NODE, TUG_CHECK and the shell's own
}

@test "what it writes drains the node, for all to read, over a restart of both daemons, and is taken back by it alone" {
    printf 'looking\nGPU 3 is gone\n' >"$WORK/says"
    until_ok 20 shows "drained by  health check, "
    shows "looking; GPU 3 is gone"
    [[ "$(tug nodes n1)" == *DRAINED*"GPU 3 is gone (health check, "* ]]
    run tug resume n1
    [[ "$output" == "n1 DRAINED still, by its health check: looking; GPU 3 is gone; it is back when the check succeeds, or with --force" ]]
    tug drain n1 --reason "new fan"
    tug sandbox restart || : # it does not know the n1 that was started here
    [[ "$(tug nodes n1)" == *"new fan ("*"; looking; GPU 3 is gone (health check, "* ]]
    rm "$WORK/says"
    until_ok 20 shows "health      healthy since"
    [[ "$(tug nodes n1)" == *DRAINED*"new fan ("* ]]
    [[ "$(tug nodes n1)" != *"GPU 3"* ]]
    tug resume n1
    until_ok 20 shows "state       IDLE"
    [[ "$(tug node history n1)" == *" resume "*"health "*"health check "*"GPU 3 is gone"* ]]
}

@test "one that hangs is ended with its group, and drains the node" {
    touch "$WORK/hangs"
    until_ok 20 shows "the health check did not end within 2 s"
    rm "$WORK/hangs"
    until_ok 20 shows "health      healthy since"
    run kill -0 "$(cat "$WORK/sleeper")"
    [ "$status" -ne 0 ]
}

@test "one that others could replace is not run, which is told and drains nothing" {
    chmod g+w "$WORK/sbin"
    until_ok 20 shows "health      unknown since"
    shows "the health check cannot be run: $WORK/sbin may be written by others than its owner"
    [[ "$(tug nodes n1)" == *IDLE*"the health check cannot be run"* ]]
    grep -q "cannot be run" "$WORK/n1.log"
    chmod g-w "$WORK/sbin"
    until_ok 20 shows "health      healthy since"
}
