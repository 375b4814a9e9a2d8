#!/usr/bin/env bats
# What a cluster decided can be taken away and decided again: tug history --trace, tug-sim replay and tug-sim run.

load common

setup_file()
{
    sandbox_up --nodes 2 --gpus 4
    cd "$WORK" || return 1
    # Gangs of one and two nodes that wait for each other; one that never starts, one that fails, one still runs at the end.
    ids=
    for i in 1 2 3 4 5 6 7 8 9 10; do
        ids="$ids $(tug submit --parsable -N $((1 + i % 2)) --gpus-per-node $((1 + i % 3)) -- sleep "0.$((i % 3))")"
    done
    local never
    never=$(tug submit --parsable -N 2 --gpus-per-node 4 -- true)
    local held
    held=$(tug submit --parsable --hold --gpus-per-node 2 -- false)
    ids="$ids $held"
    tug release "$held"
    tug cancel "$never"
    tug wait $ids || true
    tug submit --parsable --gpus-per-node 3 -- sleep 60 >"$BATS_FILE_TMPDIR/last"
    until_ok 20 state_is "$(cat "$BATS_FILE_TMPDIR/last")" RUNNING
    tug history --trace >"$WORK/record.csv"
    cp "$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml" "$WORK/"
}
teardown_file() { sandbox_down; }
setup() { cd "$WORK" || return 1; }

@test "the history as a trace has every job once, in the order of submission" {
    run python3 - record.csv <<'EOF'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
assert [int(r["job_id"]) for r in rows] == list(range(1, 14)), rows
assert [r["submit_s"] for r in rows] == sorted(r["submit_s"] for r in rows)
status = {r["job_id"]: r["status"] for r in rows}
assert status["11"] == "cancelled" and status["12"] == "failed" and status["13"] == "running", status
assert sum(r["status"] == "completed" for r in rows) == 10
assert rows[10]["placed"] == "" and rows[10]["start_s"] == "" and rows[10]["duration_s"] == ""
assert rows[12]["placed"] != "" and rows[12]["end_s"] == ""
EOF
    [ "$status" -eq 0 ] || { echo "$output"; false; }
}

# ended_as_one_started OUTPUT: is the first difference in a ms in which the record has an end?
ended_as_one_started()
{
    python3 -c 'import csv, re, sys
at = float(re.search(r"was started at ([0-9.]+)", sys.argv[1])[1])
ends = [float(r["end_s"]) for r in csv.DictReader(open("record.csv")) if r["end_s"]]
sys.exit(not any(abs(end - at) < 0.0015 for end in ends))' "$1"
}

@test "the same policy on the same cluster decides the same: every start at its time, on its nodes and GPUs" {
    run tug-sim replay --trace record.csv --config tugline.yaml --check 1
    echo "$output"
    # Times are in ms: whether a job ended before another one started in the same one, the record does not tell.
    if [ "$status" -eq 3 ] && ended_as_one_started "$output"; then
        skip "a job ended in the very ms in which another one started"
    fi
    [ "$status" -eq 0 ]
    [[ "$output" == "12 of 12 starts as recorded, of 13 jobs" ]]
}

@test "another policy does not, and the first difference is told" {
    run tug-sim replay --trace record.csv --config tugline.yaml --policy fifo --param overtake=yes --policy-dir "$TUG_BUILDDIR/plugins"
    echo "$output"
    [ "$status" -eq 3 ]
    [[ "$output" == *"first difference"*"job "*"was started at "* ]]
}

@test "the history can be run as a trace, too" {
    run tug-sim run --trace record.csv --config tugline.yaml --json
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *'"finished": 11'* ]]
    [[ "$output" == *'"unknown_jobs": ["11", "13"]'* ]]
}
