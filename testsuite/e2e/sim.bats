#!/usr/bin/env bats
# tug-sim as a command: what it prints twice is the same, what its exit status says, and how it is interrupted.

load common

setup_file()
{
    export WORK="$BATS_FILE_TMPDIR"
    cd "$WORK" || return 1
    python3 - <<'EOF'
import random
def trace(path, jobs, every):
    r = random.Random(7)
    with open(path, "w") as f:
        f.write("job_id,submit_s,duration_s,gpus,user,vc_or_queue,limit_s\n")
        for i in range(jobs):
            d = r.randint(1, 900)
            f.write(f"j{i},{i * every},{d},{r.choice([1, 1, 2, 4, 8, 12, 16])},u{i % 5},q,{d + r.randint(0, 300)}\n")
trace("jobs.csv", 400, 40)
trace("many.csv", 400000, 10)
EOF
}
setup() { cd "$WORK" || return 1; }

sim() { tug-sim run --policy-dir "$TUG_BUILDDIR/plugins" --cluster 4x8 --trace jobs.csv "$@"; }

@test "the same seeds print the same bytes, whatever is simulated; wall_s and rss_kib stand last or not at all" {
    local more
    for more in "--policy srtf --preempt-cost 30" "--policy easy --estimates noise:3" "--policy las --placement count --clock us" \
        "--policy sjf --failures 2h,10m,5 --checkpoint 60" "--policy easy --estimates user --kill-at-limit --start-cost 5"; do
        # shellcheck disable=SC2086
        sim $more --json --repeatable >a && sim $more --json --repeatable >b
        cmp a b
        [ "$(grep -c 'wall_s\|rss_kib' a)" -eq 0 ]
        # shellcheck disable=SC2086
        sim $more --json >c
        grep -q '"wall_s": [0-9.]*, "rss_kib": [0-9]*}$' c
        cmp a <(sed 's/, "wall_s": .*/}/' c)
    done
    sim --policy easy --estimates noise:3 --json --repeatable >a
    sim --policy easy --estimates noise:4 --json --repeatable >b
    run cmp -s a b
    [ "$status" -eq 1 ]
}

@test "the exit status tells what is wrong, and a sentence says it" {
    run sim --policy fifo
    [ "$status" -eq 0 ]
    run sim --policy nosuch
    [ "$status" -eq 1 ]
    [[ "$output" == *nosuch* ]]
    run tug-sim run --policy fifo --policy-dir "$TUG_BUILDDIR/plugins" --cluster 4x8 --trace nosuch.csv
    [ "$status" -eq 1 ]
    [[ "$output" == *"nosuch.csv cannot be opened"* ]]
    run sim --policy fifo --cluster 0x8
    [ "$status" -eq 2 ]
    [[ "$output" == *"'0x8' is not NODESxGPUS"* ]]
    run sim --policy fifo --param nosuch=1
    [ "$status" -eq 1 ]
    [[ "$output" == *nosuch* ]]
    run tug-sim rum --policy fifo
    [ "$status" -eq 2 ]
    [ "$output" = "tug-sim: there is no command 'rum'; see tug-sim --help" ]
    head -1 jobs.csv >none.csv
    run sim --policy fifo --trace none.csv
    [ "$status" -eq 0 ]
    [[ "$output" == *"none.csv has no job"* ]]
    (cat jobs.csv; echo "late,1,1,1,u,q,1") >unsorted.csv
    run sim --policy fifo --trace unsorted.csv
    [ "$status" -eq 1 ]
    [[ "$output" == *"unsorted.csv:402: column submit_s is '1'; expected no earlier time than in line 401"* ]]
    gzip -c jobs.csv | head -c 2000 >cut.csv.gz
    run sim --policy fifo --trace cut.csv.gz
    [ "$status" -eq 1 ]
    [[ "$output" == *"ends early"* ]]
}

@test "files that cannot be written are told before anything runs, and none is its own input" {
    cp jobs.csv mine.csv
    for out in "--csv mine.csv" "--html ./mine.csv" "--csv a.out --html a.out"; do
        # shellcheck disable=SC2086
        run sim --policy fifo --trace mine.csv $out
        [ "$status" -eq 1 ]
        [[ "$output" == *"is the trace itself"* || "$output" == *"both would be written to a.out"* ]]
        # shellcheck disable=SC2086
        run tug-sim compare --policy-dir "$TUG_BUILDDIR/plugins" --cluster 4x8 --trace mine.csv --policy fifo --policy sjf $out
        [ "$status" -eq 1 ]
        [[ "$output" == *"is the trace itself"* || "$output" == *"both would be written to a.out"* ]]
    done
    cmp jobs.csv mine.csv
    run sim --policy fifo --html nosuch/page.html
    [ "$status" -eq 1 ]
    [ "$output" = "tug-sim: nosuch/page.html cannot be written: No such file or directory" ]
    run sim --policy fifo --csv rows.csv --html nosuch/page.html
    [ "$status" -eq 1 ]
    [ ! -e rows.csv ] && [ ! -e rows.csv.part ]
}

@test "a link is written through, and stays a link" {
    sim --policy fifo --csv rows.csv >/dev/null
    : >behind.csv
    ln -s behind.csv link.csv
    sim --policy fifo --csv link.csv >/dev/null
    [ -L link.csv ]
    cmp rows.csv behind.csv
    sim --policy fifo --repeatable >table
    sim --policy fifo --repeatable --csv /proc/self/fd/1 | cat >both
    cmp <(cat rows.csv table) both
    run bash -c 'tug-sim run --policy-dir "$TUG_BUILDDIR/plugins" --cluster 4x8 --trace jobs.csv --policy fifo --csv /proc/self/fd/1 2>&1 >both'
    [ "$status" -eq 1 ]
    [[ "$output" == *"is where the result is printed"* ]]
}

@test "policies of one's own stand beside those that are installed" {
    mkdir -p own
    cp "$TUG_BUILDDIR/plugins/sjf.so" own/sjf.so
    run tug-sim compare --policy-dir own --cluster 4x8 --trace jobs.csv --policy easy --policy sjf
    [ "$status" -eq 0 ]
    echo 'nonsense' >own/fifo.so
    run tug-sim run --policy-dir own --cluster 4x8 --trace jobs.csv --policy fifo
    [ "$status" -eq 1 ]
    [[ "$output" == *own/fifo.so* ]]
}

@test "a comparison needs a trace that can be read more than once" {
    run tug-sim compare --policy-dir "$TUG_BUILDDIR/plugins" --cluster 4x8 --trace <(cat jobs.csv) --policy fifo --policy sjf
    [ "$status" -eq 1 ]
    [[ "$output" == *"is read once for each policy"* ]]
}

@test "a trace from a pipe, and one in the Standard Workload Format" {
    run sim --policy fifo --trace <(cat jobs.csv) --json --repeatable
    [ "$status" -eq 0 ]
    sim --policy fifo --json --repeatable >a
    [ "$output" = "$(cat a)" ]
    (echo "; MaxNodes: 4"; echo "; MaxProcs: 32"
     awk -F, 'NR > 1 { print NR - 1, $2, -1, $3, $4, -1, -1, $4, $7, -1, 1, substr($5, 2), 1, 1, 1, 1, -1, -1 }' jobs.csv) >jobs.swf
    gzip -kf jobs.swf
    tug-sim run --policy-dir "$TUG_BUILDDIR/plugins" --cluster trace --trace jobs.swf.gz --policy fifo --json --repeatable >b
    cmp a b
}

@test "a comparison that is ended leaves no process behind" {
    (trap - TERM; exec tug-sim compare --policy-dir "$TUG_BUILDDIR/plugins" --cluster 4x8 --trace many.csv --policy srtf --policy las) 3>&- >/dev/null 2>&1 &
    local pid=$! children
    until_ok 30 pgrep -P "$pid"
    children=$(pgrep -P "$pid")
    kill -TERM "$pid"
    wait "$pid" || true
    gone() { for c in $children; do [ ! -e "/proc/$c" ] || return 1; done; }
    until_ok 10 gone
}

@test "an interrupt prints what there is, and exits with 130" {
    (trap - INT; exec tug-sim run --policy-dir "$TUG_BUILDDIR/plugins" --cluster 4x8 --trace many.csv --policy srtf --progress --json >out 2>err) 3>&- &
    local pid=$! rc=0
    until_ok 30 grep -q "jobs done" err
    kill -INT "$pid"
    wait "$pid" || rc=$?
    [ "$rc" -eq 130 ]
    python3 -c 'import json; o = json.load(open("out")); assert 0 < o["jobs"] and o["unfinished"] > 0 and o["finished"] < 400000, o'
    grep -q "interrupted" err
}
