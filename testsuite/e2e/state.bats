#!/usr/bin/env bats
# The controller's state: copied while it is used, checked, put back; and a disk that fails under the real tugd.

load common

setup() {
    export BATS_FILE_TMPDIR="$BATS_TEST_TMPDIR"
    sandbox_up --nodes 2 --gpus 8
    conf=$(find "$XDG_RUNTIME_DIR/tugline/sandbox" -name tugline.yaml | head -1)
    state=$(sed -n 's/^ *state_dir: *//p' "$conf" | tr -d "\"'" | head -1)
    [ -e "$state/state.db" ]
}
teardown()
{
    [ -z "${client:-}" ] || client_down
    [ -z "${ours:-}" ] || kill "$ours" 2>/dev/null || :
    [ -z "${mounted:-}" ] || { until_ok 20 gone "${ours:-0}"; umount "$mounted"; }
    sandbox_down
    [ -z "${mounted_node:-}" ] || umount -l "$mounted_node"
}

gone() { [ -z "$(ls "/proc/$1/fd" 2>/dev/null)" ]; }

# controller_down [SIGNAL]: the one that runs, ours or the sandbox's
controller_down()
{
    local pid=${ours:-$(pids_of tugd | head -1)}
    kill "-${1:-TERM}" "$pid"
    until_ok 20 gone "$pid"
    ours=
}

# controller_up [VAR=VALUE...]
controller_up()
{
    env "$@" "$TUG_BUILDDIR/tugd" --config "$conf" >>"$BATS_TEST_TMPDIR/tugd.log" 2>&1 3>&- &
    ours=$!
    until_ok 20 tug ping
}

# It may not be started again, so no lease ends it while there is no controller.
running_gang()
{
    id=$(tug submit --parsable --no-requeue -N 1 -n 1 --exclusive -- sh -c 'while [ ! -e go ]; do sleep 0.1; done')
    until_ok 20 state_is "$id" RUNNING
}

@test "a backup that is made while jobs come in is whole, says what it holds, and is in an order that does not change" {
    local i
    for i in 1 2 3 4 5 6 7 8; do tug submit --parsable -N 2 --exclusive -- true >>ids & done
    run tug admin backup one.db
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"backup of epoch 1: "*" records, "*" bytes"* ]]
    wait %1 %2 %3 %4 %5 %6 %7 %8 || :
    [ "$(stat -c %a one.db)" = 600 ]
    grep -q -F "$(b2sum -l 256 one.db | cut -d ' ' -f 1)" <<<"$output"
    tug admin verify one.db
    tug admin verify                # what the daemon works on, while it does
    tug admin backup - >two.db
    tug admin verify two.db
    tug admin export two.db >1.json
    tug admin export two.db >2.json
    cmp 1.json 2.json
    python3 -c 'import json, sys
kinds = [json.loads(line)["kind"] for line in open("1.json")]
assert {"meta", "node", "job", "history"} <= set(kinds), kinds'
    [ "$(grep -c '"kind":"job"' 1.json)" -eq 8 ]
    run tug admin backup two.db
    [ "$status" -eq 1 ]
    [ -z "$(find . -name '*.part*' -o -name '*.new*')" ]
}

@test "verify names the first record that is not as it was written" {
    running_gang
    tug admin backup a.db
    python3 - <<'END'
import sqlite3
db = sqlite3.connect("a.db")
db.execute("update record set data = substr(data, 1, length(data) - 1) where kind = 'job'")
db.commit()
END
    run tug admin verify a.db
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"record job/$id is damaged"* ]]
    run tug admin restore a.db --state-dir "$BATS_TEST_TMPDIR/new"
    [ "$status" -eq 1 ]
    [[ "$output" == *"record job/$id is damaged"* ]]
    [ ! -e "$BATS_TEST_TMPDIR/new/state.db" ]
    dd if=/dev/zero of=a.db bs=1 seek=5000 count=1 conv=notrunc 2>/dev/null
    truncate -s 8192 a.db
    run tug admin verify a.db
    [ "$status" -eq 1 ]
    touch go
}

@test "a backup is put back: nothing that runs runs twice, no id comes again, and an admin decides" {
    running_gang
    known=$id
    tug admin backup kept.db
    running_gang
    unknown=$id
    run tug admin restore kept.db --state-dir "$state" --replace
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"is in use by process"* ]]
    controller_down
    run tug admin restore kept.db --state-dir "$state"
    [ "$status" -eq 1 ]
    [[ "$output" == *"--replace"* ]]
    run tug admin restore kept.db --state-dir "$state" --replace
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"kept as $state/state.db.before-"* ]]
    tug admin verify "$(find "$state" -name 'state.db.before-*Z')"
    controller_up
    tug ping | grep "safe mode: this state was put back"
    until_ok 20 bash -c "tug ping | grep -q 'job $unknown on'"
    [ "$(field "$known" state)" = RUNNING ]
    [ "$(field "$known" attempt)" = 1 ]
    fresh=$(tug submit --parsable -N 1 -n 1 --exclusive -- true)
    [ "$fresh" -ge 1000000 ]
    [ "$(field "$fresh" reason)" = SafeMode ]
    run tug admin resume-scheduling
    [ "$status" -eq 1 ]
    tug admin resume-scheduling --now || :
    run tug wait "$fresh"
    [ "$status" -eq 0 ]
    ! tug ping | grep "safe mode"
    [ "$(field "$known" state)" = RUNNING ]
    controller_down # the same backup once more: what was given out since is not given out again
    tug admin restore kept.db --state-dir "$state" --replace
    controller_up
    again=$(tug submit --parsable -N 1 -n 1 --exclusive -- true)
    [ "$again" -gt "$fresh" ]
    touch go
    run tug wait "$known"
    [ "$status" -eq 0 ]
    run tug wait "$again"
    [ "$status" -eq 0 ]
}

@test "a copy made by hand from the very run that was interrupted is noticed, and starts nothing before an admin says so" {
    local pid i
    running_gang
    pid=$(pids_of tugd | head -1)
    kill -STOP "$pid"
    mkdir copy
    cp "$state"/state.db "$state"/state.db-wal copy/
    kill -CONT "$pid"
    running_gang
    lost=$id
    controller_down KILL
    rm "$state"/state.db*
    cp copy/* "$state/"
    controller_up
    until_ok 30 bash -c "tug ping | grep -q 'has heard of commit .* it is older than the cluster'"
    run tug submit --parsable -N 1 -n 1 -- true
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"resume-scheduling"* ]]
    run tug admin resume-scheduling
    [ "$status" -eq 1 ]
    until_ok 30 bash -c "tug ping | grep -q 'job $lost on'"
    touch go
    until_ok 30 bash -c "! tug ping | grep -q 'safe mode'"
    [ "$(tug submit --parsable -N 1 -n 1 --wait -- true)" -ge 1000000 ]
}

@test "a restore that was interrupted lets no controller start, and can be done again" {
    tug admin backup kept.db
    controller_down
    cp kept.db "$state/state.db.restoring"
    run tugd --config "$conf"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"tug admin restore"*"was interrupted"* ]]
    tug admin restore kept.db --state-dir "$state" --replace
    controller_up
    until_ok 20 bash -c "! tug ping | grep -q 'safe mode'"
}

# Submits until the controller takes no more; every job that was acknowledged is in 'acked'.
submit_until_refused()
{
    local i
    for i in $(seq 200); do
        id=$(timeout 5 tug submit --parsable -N 2 --exclusive -- true 2>>refused) || return 0
        echo "$id" >>acked
        [ "$i" -ne 3 ] || echo "$1" >"$TUG_FAULT"
    done
    echo "the controller took 200 jobs on a disk that fails" >&2
    return 1
}

with_fault()
{
    command -v cc >/dev/null || skip "there is no compiler"
    cc -shared -fPIC -o "$BATS_TEST_TMPDIR/fault.so" "$TUG_SRCDIR/testsuite/e2e/fault.c"
    export TUG_FAULT="$BATS_TEST_TMPDIR/fault"
    : >"$TUG_FAULT"
    running_gang
    gang=$id
    controller_down
}

@test "a disk on which a sync fails: tugd stops, and what it had acknowledged is there" {
    with_fault
    for word in eio late; do
        : >"$TUG_FAULT"
        : >acked
        controller_up LD_PRELOAD="$BATS_TEST_TMPDIR/fault.so"
        submit_until_refused "$word"
        until_ok 20 gone "$ours"
        ours=
        [ "$(grep -c "could not be made durable" "$BATS_TEST_TMPDIR/tugd.log")" -ge 1 ]
        mv "$BATS_TEST_TMPDIR/tugd.log" "$BATS_TEST_TMPDIR/tugd.$word.log"
        tug admin verify --config "$conf" "$state"
        : >"$TUG_FAULT"
        controller_up
        [ "$(wc -l <acked)" -ge 3 ]
        while read -r job; do tug show --json "$job" >/dev/null; done <acked
        [ "$(sort acked | uniq -d | wc -l)" -eq 0 ]
        [ "$(field "$gang" state)" = RUNNING ]
        controller_down
    done
    controller_up
    touch go
}

# A user who goes on whatever is said: each job has a name of its own, and may be submitted again under it once it was refused.
client_up()
{
    rm -f halt
    (i=0; while [ ! -e halt ]; do
        i=$((i + 1))
        id=$(timeout 20 tug submit --parsable -J "$1$i" -N 2 --begin now+1h -- true 2>>refused) && echo "$id $1$i" >>acked
    done) 3>&- &
    client=$!
}

client_down()
{
    : >halt
    wait "$client" || :
}

says_full() { tug ping | grep -q STATE_FULL; }
has_room() { ! says_full; }
# For good: a log that is moved away may make room for a moment.
is_full()
{
    local i
    for i in 1 2 3 4 5 6 7 8 9 10; do says_full || return 1; done
}
one_more() { [ "$(wc -l <acked)" -gt "$1" ]; }

# cycles N: for N times fill() and free(), with a user at work; then all that was acknowledged is there, once
cycles()
{
    local c n
    : >acked
    for c in $(seq "$1"); do
        client_up "c$c-"
        n=$(wc -l <acked)
        until_ok 20 one_more "$((n + 2))"
        fill "$c"
        until_ok 20 is_full
        run tug submit --parsable -N 1 -J late -- true
        echo "$output"
        [ "$status" -ne 0 ]
        [[ "$output" == *"STATE_FULL: "*"$state/state.db cannot be written: the disk is full, file system /"*" bytes free"* ]]
        run tug cancel "$gang"
        [[ "$output" == *STATE_FULL* ]]
        [ "$(field "$gang" state)" = RUNNING ]
        tug queue >/dev/null
        tug nodes >/dev/null
        tug history >/dev/null
        free "$c"
        until_ok 20 has_room
        n=$(wc -l <acked)
        until_ok 20 one_more "$n"
        client_down
    done
    tug queue --json | python3 -c 'import collections, json, sys
there = {j["id"]: j["name"] for j in json.load(sys.stdin)["jobs"]}
acked = [line.split() for line in open("acked")]
assert len({i for i, _ in acked}) == len(acked), "an id was given out twice"
lost = [i for i, name in acked if there.get(int(i)) != name]
assert not lost, "lost: %s" % lost
twice = [n for n, k in collections.Counter(there.values()).items() if k > 1]
assert not twice, "there twice: %s" % twice
assert "late" not in there.values(), "a job that was refused is there"
print("%d jobs acknowledged, %d there" % (len(acked), len(there)))'
    [ "$(field "$gang" state)" = RUNNING ]
    [ "$(field "$gang" attempt)" = 1 ]
}

@test "a disk that takes no write, or half of one: nothing is acknowledged, the rest goes on, and all does once there is room" {
    with_fault
    controller_up LD_PRELOAD="$BATS_TEST_TMPDIR/fault.so"
    local first=$ours
    fill() { if [ $(($1 % 2)) = 0 ]; then echo short; else echo full; fi >"$TUG_FAULT"; }
    free() { : >"$TUG_FAULT"; }
    cycles "${TUG_CYCLES:-2}"
    [ "$ours" = "$first" ]
    kill -0 "$ours"
    grep -q "there is room for the state again" "$BATS_TEST_TMPDIR/tugd.log"
    # Killed while it is full: what nobody was told of need not be there, the rest is.
    client_up k
    until_ok 20 one_more "$(wc -l <acked)"
    fill 1
    until_ok 20 is_full
    controller_down KILL
    free
    controller_up
    client_down
    while read -r job _; do tug show --json "$job" >/dev/null; done <acked
    touch go
    tug wait "$gang"
}

# TUG_CYCLES=100 for longer.
@test "a file system that is full: nothing is acknowledged, the rest goes on, and all does once there is room" {
    [ "$(id -u)" = 0 ] || skip "only root can mount a small file system"
    running_gang
    gang=$id
    controller_down
    cp -a "$state" "$BATS_TEST_TMPDIR/kept"
    mount -t tmpfs -o "size=$((2048 + 64 * ${TUG_CYCLES:-3}))k,mode=700" none "$state" || skip "a file system cannot be mounted here"
    mounted=$state
    cp -a "$BATS_TEST_TMPDIR/kept/." "$state/"
    controller_up
    fill() { dd if=/dev/zero of="$state/filler" bs=4k 2>/dev/null || :; }
    free() { rm "$state/filler"; }
    cycles "${TUG_CYCLES:-3}"
    tug admin verify
    run tug admin snapshot --config "$conf" # there would not be room for another one
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"no snapshot is made: it takes "*" bytes, and $state/snapshots, with "* ]]
    touch go
    tug wait "$gang"
}

@test "a second controller on the same state is refused and names the first, which goes on" {
    run tugd --config "$conf"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"is in use by process $(pids_of tugd | head -1) "* ]]
    tug ping
}

@test "a truncated state is refused by its name and with the way out, and is not started without" {
    tug admin backup "$state/state.db.of-monday"
    tug admin backup "$state/state.db.of-tuesday"
    printf 'x' | dd of="$state/state.db.of-tuesday" bs=1 seek=4100 conv=notrunc 2>/dev/null
    touch -d '+1 hour' "$state/state.db.of-tuesday"
    controller_down
    truncate -s 4096 "$state/state.db"
    rm -f "$state/state.db-wal"
    run tugd --config "$conf"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"state.db"*"tug admin restore"* ]]
    [[ "$output" == *"the newest whole copy is $state/state.db.of-monday; "* ]]
    : >"$state/state.db"
    run tugd --config "$conf"
    [ "$status" -eq 1 ]
    [[ "$output" == *"is empty"* ]]
    tug admin restore --state-dir "$state" --replace "$state/state.db.of-monday"
    controller_up
}

@test "a state of the version before is brought to this one; a newer one is refused" {
    tug submit --parsable -N 2 --exclusive -- true
    controller_down
    python3 - "$state/state.db" <<'END'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.executescript("delete from tally where kind = ':history'; update meta set value = 1 where key = 'schema';"
                 "pragma user_version = 1;")
END
    controller_up
    tug admin verify | grep "schema 2"
    run tug admin verify "$state/state.db.v1"
    echo "$output"
    [[ "$output" == *"schema 1"* ]]
    controller_down
    python3 -c 'import sqlite3, sys
sqlite3.connect(sys.argv[1]).executescript("pragma user_version = 99")' "$state/state.db"
    run tugd --config "$conf"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"newer Tugline"* ]]
}

snapshots() { tug admin snapshots --config "$conf" --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["snapshots"]))'; }
has_snapshots() { [ "$(snapshots)" -ge "$1" ]; }
newest() { tug admin snapshots --config "$conf" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["snapshots"][0]["file"])'; }
# One a second is made here, and the oldest go: by the time that it is looked at it may have gone.
newest_is_whole()
{
    local file
    file=$(newest) && tug admin verify "$file" && [ "$(stat -c %a "$file")" = 600 ]
}
newer_than() { [ "$(newest)" != "$1" ]; }

@test "tugd has snapshots made, keeps the last ones, and one that cannot be made is told and stops nothing" {
    tug submit --parsable -N 2 --exclusive -- true
    controller_down
    echo 'snapshots: {every: 1s, keep: 2}' >>"$conf"
    controller_up
    until_ok 60 has_snapshots 2
    until_ok 60 newer_than "$(newest)"
    [ "$(snapshots)" -le 3 ] # a third only while the oldest goes
    tug admin snapshots --config "$conf"
    until_ok 30 newest_is_whole
    until_ok 20 bash -c 'tug ping | grep -q "the newest snapshot of the state is"'
    sed -i '/^snapshots:/d' "$conf"
    : >"$BATS_TEST_TMPDIR/in-the-way"
    echo "snapshots: {every: 1s, directory: $BATS_TEST_TMPDIR/in-the-way}" >>"$conf"
    kill -HUP "$ours"
    until_ok 60 bash -c 'tug ping | grep -q "no snapshot of the state was made the last time: .*in-the-way"'
    [ "$(tug submit --parsable --wait -N 1 -n 1 -- true)" -gt 0 ]
    [ "$(grep -c "no snapshot of the state was made" "$BATS_TEST_TMPDIR/tugd.log")" -eq 1 ]
    rm "$BATS_TEST_TMPDIR/in-the-way"
    until_ok 60 has_snapshots 1
    until_ok 20 bash -c '! tug ping | grep -q "no snapshot"'
    grep -q "snapshots of the state are made again" "$BATS_TEST_TMPDIR/tugd.log"
}

@test "a damaged state is refused with the newest whole snapshot, and what is in none is said to be lost" {
    tug submit --parsable -N 2 --exclusive -- true
    tug admin snapshot --config "$conf"
    kept=$(newest)
    touch -d '+1 hour' "$state/snapshots"
    cp "$kept" "${kept%/*}/state-20991231T000000Z.db"
    truncate -s 8192 "${kept%/*}/state-20991231T000000Z.db"
    lost=$(tug submit --parsable --begin now+1h -- true)
    controller_down
    printf 'x' | dd of="$state/state.db" bs=1 seek=4100 conv=notrunc 2>/dev/null
    run tugd --config "$conf"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"tug admin restore --state-dir $state --replace $kept"* ]]
    [[ "$output" == *"what was acknowledged after that copy was made, "*", is lost then"* ]]
    tug admin restore --state-dir "$state" --replace "$kept"
    controller_up
    run tug show "$lost"
    [ "$status" -ne 0 ]
}

noded_pid()
{
    local p
    for p in $(pids_of "$1"); do
        tr '\0' ' ' <"/proc/$p/cmdline" | grep -q -e "--node n1 " && echo "$p"
    done
    return 0
}
noded_runs() { [ -n "$(noded_pid tugnoded)" ]; }
node_says() { [[ "$(tug node show n1)" == *"$1"* ]]; }
another_and_full() { node_says STATE_FULL || { tug submit --parsable -w n1 -N 1 -n 1 -- true >>more; node_says STATE_FULL; }; }
node_says_no() { ! node_says "$1"; }

# What was durable is shown, by a controller that has not begun.
shown_but_full()
{
    until_ok 30 bash -c "tug ping 2>/dev/null | grep 'STATE_FULL: .*the disk is full'"
    state_is "$gang" RUNNING
    tug queue | grep "$gang"
    tug nodes
    run tug submit --parsable -- true
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"STATE_FULL: this would change the controller's state, and "* ]]
    run tug cancel "$gang"
    [ "$status" -ne 0 ]
    [[ "$output" == *STATE_FULL* ]]
    run tug history
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"STATE_FULL: this controller has not begun"* ]]
}

@test "a controller that is started on a full disk shows what is there, changes nothing, and begins by itself once there is room" {
    [ "$(id -u)" = 0 ] || skip "only root can mount a small file system"
    running_gang
    gang=$id
    controller_down
    cp -a "$state" "$BATS_TEST_TMPDIR/kept"
    mount -t tmpfs -o "size=2048k,mode=700" none "$state" || skip "a file system cannot be mounted here"
    mounted=$state
    cp -a "$BATS_TEST_TMPDIR/kept/." "$state/"
    dd if=/dev/zero of="$state/filler" bs=4k 2>/dev/null || :
    "$TUG_BUILDDIR/tugd" --config "$conf" >>"$BATS_TEST_TMPDIR/tugd.log" 2>&1 3>&- &
    ours=$!
    shown_but_full

    # And one that was killed there, with what it committed last in its log.
    kill -9 "$ours"; wait "$ours" || :
    rm "$state/filler"
    controller_up
    waits=$(tug submit --parsable --begin now+1h -J in-the-log -- true)
    kill -9 "$ours"; wait "$ours" || :
    [ -s "$state/state.db-wal" ]
    rm -f "$state/state.db-shm" # as after a power failure
    dd if=/dev/zero of="$state/filler" bs=4k 2>/dev/null || :
    "$TUG_BUILDDIR/tugd" --config "$conf" >>"$BATS_TEST_TMPDIR/tugd.log" 2>&1 3>&- &
    ours=$!
    shown_but_full
    tug queue | grep in-the-log
    kill -0 "$ours"
    rm "$state/filler"
    until_ok 30 tug ping
    until_ok 30 state_is "$gang" RUNNING
    [ "$(field "$gang" attempt)" = 1 ]
    touch go
    tug wait "$gang"
    tug admin verify
}

@test "a node whose disk is full keeps its gang and its lease, gets no other one, and goes on once there is room" {
    [ "$(id -u)" = 0 ] || skip "only root can mount a small file system"
    local launcher dir
    id=$(tug submit --parsable -w n1 -N 1 -n 1 -- sh -c 'while [ ! -e go ]; do sleep 0.1; done')
    until_ok 20 state_is "$id" RUNNING
    gang=$id
    launcher=$(noded_pid tuglaunch)
    dir=$(tr '\0' '\n' <"/proc/$(noded_pid tugnoded)/cmdline" | sed -n '/^--state-dir$/{n;p}; s/^--state-dir=//p' | head -1)
    [ -e "$dir/node.db" ]
    kill -STOP "$launcher"
    kill -KILL "$(noded_pid tugnoded)"
    cp -a "$dir" "$BATS_TEST_TMPDIR/node"
    mount -t tmpfs -o "size=2048k,mode=700" none "$dir" || { kill -CONT "$launcher"; skip "a file system cannot be mounted here"; }
    mounted_node=$dir
    cp -a "$BATS_TEST_TMPDIR/node/." "$dir/"
    kill -CONT "$launcher"
    until_ok 30 noded_runs
    until_ok 30 node_says MIXED
    dd if=/dev/zero of="$dir/filler" bs=4k 2>/dev/null || :
    until_ok 60 another_and_full
    state_is "$gang" RUNNING
    kill -KILL "$(noded_pid tugnoded)" # and the next one finds no room to begin with
    until_ok 30 noded_runs
    state_is "$gang" RUNNING
    rm "$dir/filler"
    until_ok 60 node_says_no STATE_FULL
    touch go
    timeout 60 tug wait "$gang"
    [ "$(field "$gang" attempt)" = 1 ]
    while read -r more; do timeout 60 tug wait "$more" || :; done <more
}
