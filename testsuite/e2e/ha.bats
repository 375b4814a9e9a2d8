#!/usr/bin/env bats
# ha.bats - three controllers on a real etcd of three members: who leads dies, freezes and loses its way

load common
source "$BATS_TEST_DIRNAME/../etcd.bash"

setup_file()
{
    command -v etcd >/dev/null || skip "etcd is not installed (Debian: etcd-server)"
    export D="$BATS_FILE_TMPDIR/ha" NO_COLOR=1
    mkdir -p -m 700 "$D"
    etcd_plan
    for i in 1 2 3; do etcd_member $i; controller_config $i etcd 3s; done
    controller_start 1
    until_ok 20 test -e "$D/c1/keys/controller.pub"
    for i in 2 3; do cp -r "$D/c1/keys" "$D/c$i/"; done
    controller_start 2
    controller_start 3
    tug ping >/dev/null || { cat "$D"/c*.log >&2; return 1; }
}

teardown_file() { etcd_down; }

leads() { [ "$(leader)" = "$1" ]; }
nodes_are() { [ "$(tug nodes --json | grep -o "\"$1\"" | wc -l)" -eq 2 ]; }
other() { [ "$(leader)" != "$1" ] && [ "$(leader)" != 0 ]; }

@test "one controller leads and says so, the others stand by, and a command finds it" {
    run tug admin controllers -c "$D/c1.yaml"
    [ "$status" -eq 0 ]
    [ "$(grep -c ' leads ' <<<"$output")" -eq 1 ]
    until_ok 10 eval '[ "$(tug admin controllers -c "$D/c1.yaml" | grep -c standby)" -eq 2 ]'
    local l; l=$(leader)
    # It has looked once it knows who leads.
    until_ok 10 eval 'TUG_SOCKET="$D/r$((l % 3 + 1))/tugd.sock" tug queue 2>&1 | grep -qF "stands by (ctl$l at 127.0.0.1:$((TUG_PORT + l)) leads)"'
    TUG_SOCKET="$D/r$((l % 3 + 1))/tugd.sock" run tug queue
    [ "$status" -ne 0 ]
}

@test "nodes find the leader and gangs run on them" {
    for i in 1 2; do node_join $i; done
    until_ok 30 nodes_are IDLE
    cd "$D"
    run tug submit -J first -N 2 --gpus-per-node 4 --wait --parsable -- sh -c 'echo $TUG_NODE'
    [ "$status" -eq 0 ]
}

@test "a leader that is killed loses nothing that was acknowledged, and a running gang does not notice" {
    cd "$D"
    local l job i
    l=$(leader)
    job=$(tug submit -J long -N 2 --parsable -- sh -c 'i=0; while [ ! -e '"$D"'/enough ]; do i=$((i+1)); echo $i >'"$D"'/beat.$RANK; sleep 0.1; done')
    until_ok 30 test -e "$D/beat.1"
    : >acked
    (i=0; while [ ! -e "$D/halt" ]; do i=$((i + 1)); tug submit -J "b$i" --begin now+1h --parsable -- true >>acked 2>>submit.err || :; done) 3>&- &
    local client=$!
    until_ok 20 eval '[ "$(wc -l <acked)" -ge 20 ]'
    kill -9 "$(pid_of "c$l")"
    local killed; killed=$(date +%s%N)
    until_ok 30 other "$l"
    echo "# takeover after $((($(date +%s%N) - killed) / 1000000)) ms, lease 3 s" >&3
    local n; n=$(wc -l <acked)
    until_ok 30 eval '[ "$(wc -l <acked)" -gt $((n + 5)) ]'
    : >halt; wait $client || :
    controller_start "$l"
    tug queue --json | python3 -c 'import json, sys
there = [j["id"] for j in json.load(sys.stdin)["jobs"]]
acked = [int(x) for x in open("acked")]
assert len(set(acked)) == len(acked), "an id was given out twice"
lost = set(acked) - set(there)
assert not lost, "lost: %s" % sorted(lost)'
    local before
    until_ok 30 nodes_are MIXED
    before=$(cat beat.0); until_ok 10 eval '[ "$(cat beat.0)" -gt '"$before"' ]'
    state_is "$job" RUNNING
    [ "$(field "$job" attempt)" = 1 ]
    : >enough
    tug wait "$job"
    state_is "$job" COMPLETED
}

# TUG_FREEZES=N: so often, whoever leads.
@test "a leader that was frozen and goes on writes nothing, acknowledges nothing, and stands by" {
    cd "$D"
    local i l was new job gang client refused=0
    rm -f thawed
    gang=$(tug submit -N 2 --parsable -- sh -c 'while [ ! -e '"$D"'/thawed ]; do sleep 0.1; done')
    until_ok 30 state_is "$gang" RUNNING
    for ((i = 1; i <= ${TUG_FREEZES:-2}; i++)); do
        l=$(leader)
        was=$(grep -c "leads no longer" "$D/c$l.log" || :)
        kill -STOP "$(pid_of "c$l")"
        # It reads this when it goes on.
        TUG_SOCKET="$D/r$l/tugd.sock" tug submit --begin now+1h --parsable -- true >late.out 2>late.err 3>&- &
        client=$!
        until_ok 30 other "$l"
        new=$(leader)
        job=$(tug submit --begin now+1h --parsable -- true)
        kill -CONT "$(pid_of "c$l")"
        until_ok 20 eval '[ "$(grep -c "leads no longer" "$D/c$l.log")" -gt $was ]'
        if wait "$client"; then state_is "$(cat late.out)" PENDING; else refused=$((refused + 1)); fi
        until_ok 20 eval 'tug admin controllers -c "$D/c1.yaml" | grep -q "^ctl'"$l"' .*standby"'
        kill -0 "$(pid_of "c$l")"
        leads "$new"
        state_is "$job" PENDING
    done
    echo "# $((i - 1)) leaders frozen, $refused of their last requests refused, none acknowledged that is not there" >&3
    state_is "$gang" RUNNING
    : >thawed
    tug wait "$gang"
    [ "$(field "$gang" attempt)" -eq 1 ]
}

@test "a member of etcd that dies, also its leader, stops nothing for long" {
    cd "$D"
    for m in 1 2 3; do
        kill -9 "$(pid_of "e$m")"
        tug submit --begin now+1h --parsable -- true
        etcd_member "$m"
        until_ok 30 eval 'curl -sf "http://127.0.0.1:$((ETCD_PORT + 2 * '"$m"'))/health" | grep -q true'
    done
}

@test "the controller and the member of etcd that lead die together: another controller leads, and nothing acknowledged is lost" {
    cd "$D"
    local l m job killed took
    l=$(leader) m=$(etcd_leader)
    { echo '#!/bin/sh'; head -c 4194000 /dev/zero | tr '\0' '#'; } >big.sh # several requests of etcd's
    job=$(tug submit --begin now+1h --parsable big.sh)
    kill -9 "$(pid_of "c$l")" "$(pid_of "e$m")"
    killed=$(date +%s%N)
    until_ok 60 other "$l"
    took=$((($(date +%s%N) - killed) / 1000000))
    echo "# takeover after $took ms, lease 3 s" >&3
    state_is "$job" PENDING
    tug show --script "$job" | cmp - big.sh
    [ "$(tug submit --begin now+1h --parsable -- true)" -gt "$job" ]
    etcd_member "$m"
    controller_start "$l"
    until_ok 30 etcd_healthy "$m"
    until_ok 30 eval '[ "$(tug admin controllers -c "$D/c1.yaml" | grep -c standby)" -eq 2 ]'
}

@test "without a majority of etcd nothing is acknowledged, and all goes on when it is back" {
    cd "$D"
    local l; l=$(leader)
    tug queue --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["jobs"]))' >count.before
    for m in 1 2; do kill -STOP "$(pid_of "e$m")"; done
    TUG_SOCKET="$D/r$l/tugd.sock" run timeout 20 tug submit --begin now+1h --parsable -- true
    [ "$status" -ne 0 ]
    for m in 1 2; do kill -CONT "$(pid_of "e$m")"; done
    until_ok 40 tug ping
    tug submit --begin now+1h --parsable -- true
}

@test "the state moves to a file and back, with ids, jobs and history" {
    cd "$D"
    local n; n=$(tug queue --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["jobs"]))')
    [ "$n" -gt 20 ]
    run tug admin move -c "$D/c1.yaml" # to etcd, where it is, from a file that is not there
    [ "$status" -ne 0 ]
    for i in 1 2 3; do kill "$(pid_of "c$i")"; done
    for i in 1 2 3; do until_ok 20 eval '! kill -0 $(pid_of c'"$i"') 2>/dev/null'; done
    controller_config 1 sqlite
    tug admin move -c "$D/c1.yaml"
    controller_start 1
    TUG_SOCKET="$D/r1/tugd.sock" until_ok 20 tug ping
    [ "$(TUG_SOCKET="$D/r1/tugd.sock" tug queue --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["jobs"]))')" -eq "$n" ]
    TUG_SOCKET="$D/r1/tugd.sock" tug history --json | grep -q '"first"'
    kill "$(pid_of c1)"; until_ok 20 eval '! kill -0 $(pid_of c1) 2>/dev/null'
    controller_config 1
    rm -f "$D/c1/history.db"*
    tug admin move -c "$D/c1.yaml"
    ls "$D"/c1/state.db.moved-*
    controller_start 1
    until_ok 20 tug ping
    [ "$(tug queue --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["jobs"]))')" -eq "$n" ]
    tug history --json | grep -q '"first"'
}

@test "a leader whose policy crashes starts anew and goes on leading" {
    cd "$D"
    local l pid epoch
    until_ok 20 tug ping
    l=$(leader) pid=$(pid_of "c$l") epoch=$(tug ping --json | grep -o '"epoch":[0-9]*')
    export TUG_SOCKET="$D/r$l/tugd.sock"
    cp "c$l.yaml" before.yaml
    sed -i "s#^scheduler: .*#scheduler: {policy: broken, policy_dirs: [\"$TUG_BUILDDIR/testsuite/plugins\"], policy_params: {how: pointer, nth: 1}}#" "c$l.yaml"
    kill -HUP "$pid"
    until_ok 20 eval 'tug ping | grep -q "policy broken"'
    for i in 1 2 3; do wc -l <"c$i.log" >"c$i.lines"; done
    tug submit -N 1 --parsable -- true || : # the pass that breaks takes the connection with it
    until_ok 20 eval 'tug ping 2>/dev/null | grep -q "crashed (SIGSEGV"'
    leads "$l"
    kill -0 "$pid"
    [ "$(tug ping --json | grep -o '"epoch":[0-9]*' | cut -d: -f2)" -eq $((${epoch#*:} + 1)) ] # its own, and no one's in between
    for i in 1 2 3; do
        ! tail -n +$(($(cat "c$i.lines") + 1)) "c$i.log" | grep -E "leads from now on|standing by"
    done
    tug submit --begin now+1h --parsable -- true
    mv before.yaml "c$l.yaml"
    rm -f "c$l/policy-off"
    kill -HUP "$pid"
    until_ok 20 eval 'tug ping | grep -q "policy fifo"'
}

# ask PORT PATH JSON: etcd's gateway
ask() { curl -sf "http://127.0.0.1:$1/v3/$2" -d "$3"; }
b64() { printf %s "$1" | base64 -w 0; }

stop_controllers()
{
    for i in 1 2 3; do kill "$(pid_of "c$i")" 2>/dev/null || :; done
    for i in 1 2 3; do until_ok 20 eval '! kill -0 $(pid_of c'"$i"') 2>/dev/null'; done
}

log_of_etcd()
{
    ask $((ETCD_PORT + 2)) kv/range "{\"key\":\"$(b64 /tugline/ha/log/)\",\"range_end\":\"$(b64 /tugline/ha/log0)\"}" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["kvs"])'
}

# refused SENTENCE COMMAND...
refused()
{
    local says=$1
    shift
    run "$@"
    echo "$output"
    [ "$status" -ne 0 ] && [[ "$output" == *"$says"* ]]
}

# other.db: of a cluster that has the same name
other_cluster()
{
    controller_config 6 sqlite
    sed -i "s#listen: \"[^\"]*\"#listen: \"127.0.0.1:0\"#" c6.yaml
    controller_start 6
    TUG_SOCKET="$D/r6/tugd.sock" until_ok 20 tug ping
    kill "$(pid_of c6)"; until_ok 20 eval '! kill -0 $(pid_of c6) 2>/dev/null'
    tug admin backup -c c6.yaml other.db
}

@test "a backup of a state in etcd is whole; a flipped bit is refused by its key; and one command puts the backup back" {
    cd "$D"
    local i l n off pids=
    until_ok 20 tug ping
    l=$(leader)
    for i in 1 2 3 4; do tug submit -J "backup$i" --begin now+1h --parsable -- true >>backup.acked & pids="$pids $!"; done
    wait $pids
    run tug admin backup -c "c$l.yaml" kept.db
    echo "$output"
    [ "$status" -eq 0 ]
    tug admin verify kept.db
    tug admin verify -c "c$l.yaml" | grep "a controller can start from it"
    tug admin export kept.db >kept.json
    tug admin export -c "c$l.yaml" >now.json
    for i in 1 2 3 4; do grep '"kind":"job"' kept.json | grep -q "\"backup$i\""; done
    grep '"kind":"history"' kept.json | grep -q '"first"'
    [ "$(grep -c '"kind":"job"' kept.json)" -eq "$(grep -c '"kind":"job"' now.json)" ]
    n=$(tug queue --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["jobs"]))')
    refused "ctl$l leads: stop all controllers first" tug admin restore -c "c$l.yaml" --replace kept.db

    stop_controllers
    sed "s#endpoints: .*#endpoints: [\"http://127.0.0.1:1\"]#" c1.yaml >off.yaml
    tug admin restore -c off.yaml --replace kept.db >off.out 2>&1 3>&- & # etcd is tried for some seconds
    off=$!
    log_of_etcd >before.json
    refused "nothing.db: No such file" tug admin restore -c c1.yaml --replace nothing.db
    head -c 8192 kept.db >half.db
    refused "half.db" tug admin restore -c c1.yaml --replace half.db
    refused "holds a state; with --replace it is kept" tug admin restore -c c1.yaml kept.db
    other_cluster
    refused "is of another cluster" tug admin restore -c c1.yaml --replace other.db
    log_of_etcd | cmp - before.json
    ask $((ETCD_PORT + 2)) kv/range "{\"key\":\"$(b64 /tugline/ha/log/)\",\"range_end\":\"$(b64 /tugline/ha/log0)\"}" | python3 -c 'import base64, json, random, sys
kv = random.choice(json.load(sys.stdin)["kvs"])
value = bytearray(base64.b64decode(kv["value"]))
at = random.randrange(len(value))
value[at] ^= 1 << random.randrange(8)
print("byte", at, "of", base64.b64decode(kv["key"]), file=sys.stderr)
open("flipped.key", "w").write(base64.b64decode(kv["key"]).decode())
json.dump({"key": kv["key"], "value": base64.b64encode(value).decode()}, open("flipped.json", "w"))'
    ask $((ETCD_PORT + 2)) kv/put @flipped.json >/dev/null
    run tug admin verify -c c1.yaml
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"key $(cat flipped.key)"* ]]
    run timeout 20 tugd -c c1.yaml
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"key $(cat flipped.key)"* ]]

    [[ "$output" == *"tug admin restore --config c1.yaml --replace"* ]]
    refused "a damaged one; with --replace" tug admin restore -c c1.yaml kept.db
    run tug admin restore -c c1.yaml --replace kept.db
    echo "$output"
    [ "$status" -eq 0 ]
    grep -qF "$(b64 "$(cat flipped.key)")" c1/etcd.before-*.json
    tug admin verify -c c1.yaml

    # A whole one is kept as a backup. This host has lost its copy of the history.
    rm -f c1/history.db*
    run tug admin restore -c c1.yaml --replace --json kept.db
    echo "$output"
    [ "$status" -eq 0 ]
    tug admin verify "$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["kept"])' "$output")"
    tug admin export -c c1.yaml >now.json
    grep '"kind":"history"' now.json | grep -q '"first"'

    # Killed anywhere: what is there is whole, or said to be half; one that was killed as it wrote has the lead for its lease.
    for i in 005 02 03 04 05 06 08 1; do
        timeout -s KILL ".$i" tug admin restore -c c1.yaml --replace kept.db || :
        tug admin verify -c c1.yaml >sound 2>&1 || grep "a backup is being put back" sound
    done
    until_ok 20 tug admin restore -c c1.yaml --replace kept.db
    tug admin verify -c c1.yaml

    # One that was interrupted: half of it is there, and nobody leads before it is whole.
    printf '%s' '{"by":"ctl9","at_ms":1764485112345,"emptied":true,"kept":"","epoch":"70000","next_id_block":"1","commit":"1","attempts_skipped":"0"}' >mark
    ask $((ETCD_PORT + 2)) kv/put "{\"key\":\"$(b64 /tugline/ha/restoring)\",\"value\":\"$(base64 -w 0 mark)\"}" >/dev/null
    for i in 1 2 3; do wc -l <"c$i.log" >"c$i.lines"; done
    for i in 1 2 3; do controller_start $i; done
    for i in 1 2 3; do until_ok 20 eval 'tail -n +$(($(cat "c'$i'.lines") + 1)) c'$i'.log | grep -q "standing by: a backup is being put back.*by ctl9"'; done
    leads 0
    refused "a backup is being put back" tug admin backup -c c1.yaml never.db
    refused "a controller runs here" tug admin restore -c c1.yaml --replace kept.db
    kill "$(pid_of c1)"; until_ok 20 eval '! kill -0 $(pid_of c1) 2>/dev/null'
    tug admin restore -c c1.yaml --replace kept.db # those that stand by go on from it
    controller_start 1
    until_ok 30 tug ping
    for i in 1 2 3; do tail -n +$(($(cat "c$i.lines") + 1)) "c$i.log"; done | grep "safe mode: this state was put back from kept.db"
    [ "$(tug ping --json | grep -o '"epoch":[0-9]*' | cut -d: -f2)" -ge 71000 ]
    wait $off && return 1
    grep "127.0.0.1:1" off.out
    [ "$(tug queue --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["jobs"]))')" -eq "$n" ]
    tug history --json | grep -q '"first"'
    tug admin resume-scheduling --now || :
    tug submit --begin now+1h --parsable -- true
}

# keys_of PREFIX [WITH]: the keys of that log in their order, one a line; WITH: with their values, both as etcd's gateway has them
keys_of()
{
    ask $((ETCD_PORT + 2)) kv/range "{\"key\":\"$(b64 "$1/log/")\",\"range_end\":\"$(b64 "$1/log0")\"}" | python3 -c 'import base64, json, sys
for kv in json.load(sys.stdin).get("kvs", []):
    print(json.dumps({"key": kv["key"], "value": kv["value"]}) if len(sys.argv) > 1 else base64.b64decode(kv["key"]).decode())' "${@:2}"
}

delete_key() { ask $((ETCD_PORT + 2)) kv/deleterange "{\"key\":\"$(b64 "$1")\"}" >/dev/null; }

# is_refused KEY: by who would start, and by who looks
is_refused()
{
    run tug admin verify -c c7.yaml
    echo "$output"
    [ "$status" -eq 1 ] && [[ "$output" == *"$1"*" missing: "* ]] || return 1
    run timeout 30 tugd -c c7.yaml
    echo "$output"
    [ "$status" -eq 1 ] && [[ "$output" == *"$1"*" missing: "* ]] && [[ "$output" == *"tug admin restore --config c7.yaml --replace"* ]]
}

stopped_by() { grep -q "key $2 of the log is missing" "c$1.log" && is_gone "$(pid_of "c$1")"; }

@test "a key that is missing from the log is named: by who starts, who stands by, who leads, and tug admin verify" {
    cd "$D"
    local i keys key
    for i in 7 8; do
        controller_config $i etcd 3s
        sed -i "s#^etcd:#&\n  prefix: /tugline/gap#; s#listen: \"[^\"]*\"#listen: \"127.0.0.1:0\"#" c$i.yaml
    done
    controller_start 7
    export TUG_SOCKET="$D/r7/tugd.sock"
    until_ok 20 tug ping
    for i in 1 2 3 4 5 6; do tug submit -J "gap$i" --begin now+1h --parsable -- true; done
    controller_start 8
    until_ok 20 grep -q "standing by: ctl7" c8.log
    until_ok 20 eval 'tug admin controllers -c c7.yaml | grep -q "^ctl8 .*standby"' # it has read all
    keys_of /tugline/gap with >whole
    keys=($(keys_of /tugline/gap))
    [ "${#keys[@]}" -ge 7 ]

    # In the middle: noticed by both, though neither reads it any more.
    key=${keys[3]}
    delete_key "$key"
    for i in 7 8; do until_ok 40 stopped_by $i "$key"; done
    is_refused "$key"
    while read -r kv; do ask $((ETCD_PORT + 2)) kv/put "$kv" >/dev/null; done <whole

    # The oldest: only the others say that there was one.
    delete_key "${keys[0]}"
    is_refused "${keys[0]}"
    while read -r kv; do ask $((ETCD_PORT + 2)) kv/put "$kv" >/dev/null; done <whole

    # The newest, under who leads: nothing is written behind the hole.
    tug admin verify -c c7.yaml
    controller_start 7
    until_ok 20 tug ping
    [ "$(tug queue --json | grep -o '"name":"gap[1-6]"' | wc -l)" -eq 6 ]
    key=$(keys_of /tugline/gap | tail -1)
    delete_key "$key"
    run tug submit --begin now+1h --parsable -- true
    [ "$status" -ne 0 ]
    until_ok 40 stopped_by 7 "$key"
    [ "$(keys_of /tugline/gap | tail -1)" \< "$key" ]
}

gone() { ! kill -0 "$(pid_of "c$1")" 2>/dev/null; }

@test "an etcd that was put back, or emptied, is not begun with as if nothing had been; what is there can be, as an old state" {
    cd "$D"
    local i kv first
    controller_config 7 etcd 3s # as it was left by the test before, or not at all
    sed -i "s#^etcd:#&\n  prefix: /tugline/back#; s#listen: \"[^\"]*\"#listen: \"127.0.0.1:0\"#" c7.yaml
    rm -f c7/history.db*
    controller_start 7
    export TUG_SOCKET="$D/r7/tugd.sock"
    until_ok 20 tug ping
    first=$(tug submit -J old --begin now+1h --parsable -- true)
    keys_of /tugline/back with >whole
    for i in 1 2 3; do tug submit -J new --begin now+1h --parsable -- true; done
    kill "$(pid_of c7)"; until_ok 20 gone 7
    ask $((ETCD_PORT + 2)) kv/deleterange "{\"key\":\"$(b64 /tugline/back/log/)\",\"range_end\":\"$(b64 /tugline/back/log0)\"}" >/dev/null
    refused "there is no state at /tugline/back in etcd, but this controller has copied the history of one" timeout 30 tugd -c c7.yaml
    while read -r kv; do ask $((ETCD_PORT + 2)) kv/put "$kv" >/dev/null; done <whole
    refused "etcd was put back to what it was before" timeout 30 tugd -c c7.yaml
    refused "etcd was put back to what it was before" tug admin verify -c c7.yaml
    tug admin backup -c c7.yaml back.db
    tug admin restore -c c7.yaml --replace back.db
    controller_start 7
    until_ok 20 tug ping
    tug ping | grep -i "safe mode"
    state_is "$first" PENDING
    tug admin resume-scheduling --now
    [ "$(tug submit --begin now+1h --parsable -- true)" -gt $((first + 3)) ]
}

@test "when etcd's quota is used up nothing is acknowledged, what is there can be looked at, and all goes on when there is room" {
    cd "$D"
    local p=$((ETCD_PORT + 14)) big i
    etcd --name e5 --data-dir "$D/e5" --quota-backend-bytes 16777216 \
        --listen-client-urls "http://127.0.0.1:$p" --advertise-client-urls "http://127.0.0.1:$p" \
        --listen-peer-urls "http://127.0.0.1:$((p + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((p + 1))" \
        --initial-cluster "e5=http://127.0.0.1:$((p + 1))" >"$D/e5.log" 2>&1 3>&- &
    echo $! >"$D/e5.pid"
    controller_config 5
    sed -i "s#endpoints: .*#endpoints: [\"http://127.0.0.1:$p\"]#; s#listen: \"[^\"]*\"#listen: \"127.0.0.1:0\"#" c5.yaml
    controller_start 5
    export TUG_SOCKET="$D/r5/tugd.sock"
    until_ok 30 eval 'tug ping 2>/dev/null | grep -q "cluster ha"'
    tug submit -J before --begin now+1h --parsable -- true
    big=$(head -c 1000000 /dev/zero | base64 -w 0)
    for i in $(seq 40); do
        echo "{\"key\":\"$(b64 "/filler/$i")\",\"value\":\"$big\"}" >big.json
        ask "$p" kv/put @big.json >/dev/null || break
    done
    [ "$i" -lt 40 ]
    tug submit -J waits --begin now+1h --parsable -- true >waits 3>&- &
    local client=$!
    until_ok 60 eval 'tug ping | grep STATE_FULL'
    run tug submit --begin now+1h --parsable -- true
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"STATE_FULL: "*"database space exceeded"*"alarm disarm"* ]]
    tug queue | grep -q before
    [ ! -s waits ]
    ask "$p" kv/deleterange "{\"key\":\"$(b64 /filler/)\",\"range_end\":\"$(b64 /filler0)\"}" >revision.json
    ask "$p" kv/compaction "{\"revision\":\"$(python3 -c 'import json; print(json.load(open("revision.json"))["header"]["revision"])')\",\"physical\":true}" >/dev/null
    ask "$p" maintenance/defragment '{}' >/dev/null
    ask "$p" maintenance/alarm '{"action":"GET"}' | python3 -c 'import json, sys
for alarm in json.load(sys.stdin)["alarms"]:
    json.dump(dict(alarm, action="DEACTIVATE"), sys.stdout)' >alarm.json
    ask "$p" maintenance/alarm @alarm.json >/dev/null
    wait $client || : # it may have waited too long for its answer
    until_ok 60 eval 'tug ping >ping && ! grep -q STATE_FULL ping'
    [ "$(tug queue --json | grep -o '"name":"waits"' | wc -l)" -eq 1 ]
    kill -0 "$(pid_of c5)"
}

@test "over TLS a controller needs a certificate that etcd trusts, says when it has run out, and takes a new one without a restart" {
    command -v openssl >/dev/null || skip "openssl is not installed"
    cd "$D"; mkdir -p tls; cd tls
    local p=$((ETCD_PORT + 12))
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2 2>/dev/null
    for who in server client; do
        openssl req -newkey rsa:2048 -nodes -keyout $who.key -out $who.csr -subj "/CN=$who" 2>/dev/null
        openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out $who.pem \
            -extfile <(echo "subjectAltName=IP:127.0.0.1") 2>/dev/null
    done
    openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days -1 -out run-out.pem 2>/dev/null
    mv client.pem new.pem; mv run-out.pem client.pem
    etcd --name e4 --data-dir "$D/e4" --client-cert-auth --trusted-ca-file ca.pem --cert-file server.pem --key-file server.key \
        --listen-client-urls "https://127.0.0.1:$p" --advertise-client-urls "https://127.0.0.1:$p" \
        --listen-peer-urls "http://127.0.0.1:$((p + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((p + 1))" \
        --initial-cluster "e4=http://127.0.0.1:$((p + 1))" >"$D/e4.log" 2>&1 3>&- &
    echo $! >"$D/e4.pid"
    controller_config 4
    sed -i "s#endpoints: .*#endpoints: [\"https://127.0.0.1:$p\"]\n  ca_file: $PWD/ca.pem#; s#listen: \"[^\"]*\"#listen: \"127.0.0.1:0\"#" "$D/c4.yaml"
    controller_start 4
    until_ok 30 grep -q "standing by: etcd at https" "$D/c4.log"
    kill "$(pid_of c4)"; until_ok 20 eval '! kill -0 $(pid_of c4) 2>/dev/null'
    sed -i "s#  ca_file: .*#&\n  cert_file: $PWD/client.pem\n  key_file: $PWD/client.key#" "$D/c4.yaml"
    : >"$D/c4.log"
    controller_start 4
    until_ok 30 grep "standing by: etcd at https.*is our certificate still valid" "$D/c4.log"
    mv new.pem client.pem
    TUG_SOCKET="$D/r4/tugd.sock" until_ok 30 tug ping
}
