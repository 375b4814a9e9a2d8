#!/usr/bin/env bats
# What authors and admins of policies have: tug-sim check, compare and its pages; tug policy check, new and show.

setup_file()
{
    unset TUG_SOCKET TUG_JOB_ID
    export XDG_RUNTIME_DIR="$BATS_FILE_TMPDIR/run" NO_COLOR=1
    mkdir -m 700 "$XDG_RUNTIME_DIR"
    export PLUGINS="$TUG_BUILDDIR/plugins" BAD="$TUG_BUILDDIR/testsuite/plugins"
    {
        echo job_id,submit_s,duration_s,gpus,user,vc_or_queue
        echo 'long,0,100,8,ann,q'
        echo 'wide,1,50,16,<script>,q'
        echo 'short,2,10,8,"a ""b"", c",q'
        echo 'late,3,200,8,ann,q'
    } >"$BATS_FILE_TMPDIR/four.csv"
}

setup() { cd "$BATS_TEST_TMPDIR" || return 1; }

# json EXPRESSION: of the object in $output, as python sees it
json() { python3 -c 'import json, sys
o = json.loads(sys.argv[1])
print(eval(sys.argv[2]))' "$output" "$1"; }

# caught NAME WORDS [OPTION...]: the check of a bad policy fails and says so
caught()
{
    local name=$1 words=$2
    shift 2
    run timeout 60 tug-sim check "$BAD/$name.so" "$@"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"FAIL"*"$words"* ]]
}

# ---- check

@test "every policy of this build passes its check" {
    local n=0 so
    for so in "$PLUGINS"/*.so; do
        run timeout 60 tug-sim check "$so"
        echo "$output"
        [ "$status" -eq 0 ]
        [[ "$output" == *"PASS  determinism"* ]]
        [[ "$output" == *"PASS  memory"* ]]
        n=$((n + 1))
    done
    [ "$n" -ge 3 ]
    run tug-sim check "$PLUGINS/fifo.so"
    [[ "$output" == *" passes, with 0 preemptions"* ]]
    run tug-sim check "$PLUGINS/preempt.so"
    [[ "$output" =~ " passes, with "[1-9][0-9]*" preemptions" ]]
}

@test "a policy that is wrong is caught, with what is wrong" {
    caught abi2 "was made for policy ABI 2"
    caught stranger "does not export tug_policy()"
    caught liar "could not decide"
    caught nonsense "proposals were refused"
    caught picky "jobs were never started"
    caught broken "crashed in pass(), in workload 'small'" --param how=pointer
    caught broken "hangs: nothing has come back for 1 s, in pass()" --hang 1 --param how=hang
    caught broken "closed files that are not its own" --param how=shut
    caught quits "ended the process with exit status 3, in pass()"
    caught dice "does not decide the same twice: in workload"
    caught slow "is too slow" --timeout 1
}

@test "a policy that is unkind is warned of" {
    run tug-sim check "$BAD/leaky.so"
    [ "$status" -eq 0 ]
    [[ "$output" == *"WARN  symbols"*leaky_last* ]]
    [[ "$output" == *"WARN  explanations"*"call explain()"* ]]
    [[ "$output" == *"WARN  memory"*"more with each job"* ]]
    [[ "$output" == *"WARN  memory"*"not freed by destroy()"* ]]
    run tug-sim check fifo --policy-dir "$PLUGINS" --param overtake=yes
    [ "$status" -eq 0 ]
    [[ "$output" == *"WARN  starvation"*"'wide'"* ]]
    run tug-sim check "$BAD/quits.so"
    [[ "$output" == *"WARN  calls"*"exit()"* ]]
    run tug-sim check "$PLUGINS/easy.so" --pass-limit 0.000001
    [ "$status" -eq 1 ]
    [[ "$output" == *"FAIL  speed"* ]]
}

@test "the check answers as JSON, and with exit status 2 to wrong use" {
    run tug-sim check --json "$PLUGINS/fifo.so"
    [ "$status" -eq 0 ]
    [ "$(json 'o["ok"], o["policy"], o["failures"]')" = "(True, 'fifo', 0)" ]
    [ "$(json 'all(c["result"] == "PASS" and c["text"] for c in o["checks"])')" = True ]
    run tug-sim check --json "$BAD/broken.so" --param how=pointer
    [ "$status" -eq 1 ]
    [ "$(json 'o["ok"], o["failures"]')" = "(False, 1)" ]
    run tug-sim check
    [ "$status" -eq 2 ]
    run tug-sim check fofi --policy-dir "$PLUGINS"
    [ "$status" -eq 2 ]
    [[ "$output" == *"did you mean 'fifo'"* ]]
    run tug-sim check fifo --policy-dir "$PLUGINS" --param overtake=maybe
    [ "$status" -eq 1 ]
    [[ "$output" == *"'maybe' is neither yes nor no"* ]]
    echo "no object" >wrong.so
    run tug-sim check ./wrong.so
    [ "$status" -eq 1 ]
    [[ "$output" == *"not a shared object"* ]]
}

# ---- compare, pages, rows

@test "two policies side by side: figures, who is better, and the same jobs in pairs" {
    run tug-sim compare --trace "$BATS_FILE_TMPDIR/four.csv" --cluster 2x8 --policy-dir "$PLUGINS" --policy fifo --policy easy
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"mean wait"*"98.5 s"*"61.5 s"*"-37.0 s"*"x 0.624"*"easy"* ]]
    [[ "$output" == *"easy against fifo: 25.0 % of jobs end sooner (median -148.0 s), 0.0 % later, 75.0 % as before"* ]]
    run tug-sim compare --json --trace "$BATS_FILE_TMPDIR/four.csv" --cluster 2x8 --policy-dir "$PLUGINS" --policy fifo --policy easy
    [ "$(json 'o["better"]["avg_wait_s"], o["better"]["finished"], o["pairs"][0]["sooner"]')" = "('easy', None, 1)" ]
}

@test "a comparison is the same however many run at once, and takes parameters" {
    local args=(compare --json --trace "$BATS_FILE_TMPDIR/four.csv" --cluster 2x8 --policy-dir "$PLUGINS"
        --policy fifo --policy fifo,overtake=yes --policy sjf --policy easy)
    tug-sim "${args[@]}" --jobs 1 --html one.html --csv one.csv >one.json
    tug-sim "${args[@]}" --jobs 4 --html two.html --csv two.csv >two.json
    cmp one.json two.json
    cmp one.html two.html
    cmp one.csv two.csv
    [ "$(head -n 1 one.csv)" = 'metric,"fifo","fifo,overtake=yes","sjf","easy",better' ]
    [ "$(wc -l <one.csv)" -ge 10 ]
    ! grep -q '<script' one.html
    grep -q '&lt;script&gt;' one.html
    [ "$(python3 -c 'import json; r = json.load(open("one.json"))["runs"]; print(r[0]["avg_wait_s"] != r[1]["avg_wait_s"])')" = True ]
}

@test "a comparison that cannot be made says why" {
    run tug-sim compare --trace "$BATS_FILE_TMPDIR/four.csv" --cluster 2x8 --policy fifo
    [ "$status" -eq 2 ]
    [[ "$output" == *"--policy twice"* ]]
    run tug-sim compare --trace nosuch.csv --cluster 2x8 --policy-dir "$PLUGINS" --policy fifo --policy easy
    [ "$status" -eq 1 ]
    [ "$(grep -c nosuch.csv <<<"$output")" -eq 1 ]
    run tug-sim compare --trace "$BATS_FILE_TMPDIR/four.csv" --cluster 2x8 --policy-dir "$PLUGINS" --policy fifo --policy fofi
    [ "$status" -eq 1 ]
    [[ "$output" == *"did you mean 'fifo'"* ]]
    printf 'job_id,submit_s,duration_s,gpus\na,0,9,8\nb,0,9,8\nc,0,9,8\nd,0,9,8\n' >four_at_once.csv
    run timeout 30 tug-sim compare --trace four_at_once.csv --cluster 1x8 --policy-dir "$PLUGINS" --policy-dir "$BAD" --policy fifo --policy broken,how=pointer,nth=2 --policy easy
    [ "$status" -eq 1 ]
    [[ "$output" == *"with broken,how=pointer,nth=2 ended by signal 11"* ]]
}

@test "a run leaves rows of its jobs and a page, or nothing" {
    tug-sim run --trace "$BATS_FILE_TMPDIR/four.csv" --cluster 2x8 --policy-dir "$PLUGINS" --policy easy --csv jobs.csv --html page.html >/dev/null
    diff - jobs.csv <<'END'
job_id,user,queue,gpus,submit_s,start_s,end_s,wait_s,ran_s,preemptions,nodes
short,"a ""b"", c",q,8,2.000,2.000,12.000,0.000,10.000,0,n2
long,ann,q,8,0.000,0.000,100.000,0.000,100.000,0,n1
wide,<script>,q,16,1.000,100.000,150.000,99.000,50.000,0,n1 n2
late,ann,q,8,3.000,150.000,350.000,147.000,200.000,0,n1
END
    ! grep -q '<script' page.html
    python3 - page.html <<'END'
import sys
from html.parser import HTMLParser
class P(HTMLParser):
    open = []
    seen = set()
    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag not in ("meta", "line", "rect", "path"):
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on") and name not in ("src", "href"), (tag, name)
    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)
    def handle_endtag(self, tag):
        if tag in ("meta", "line", "rect", "path"):
            return
        assert self.open and self.open.pop() == tag, tag
p = P()
p.feed(open(sys.argv[1], encoding="utf-8").read())
assert not p.open, p.open
assert {"svg", "table", "path", "rect", "title"} <= p.seen, p.seen
END
    rm page.html
    run tug-sim run --trace "$BATS_FILE_TMPDIR/four.csv" --cluster 2x8 --policy-dir "$PLUGINS" --policy easy --html /nonexistent/page.html
    [ "$status" -eq 1 ]
    [[ "$output" == *"/nonexistent/page.html"*"cannot be written"* ]]
    echo "broken,1" >>"$BATS_FILE_TMPDIR/four.csv"
    run tug-sim run --trace "$BATS_FILE_TMPDIR/four.csv" --cluster 2x8 --policy-dir "$PLUGINS" --policy easy --csv none.csv
    sed -i '$d' "$BATS_FILE_TMPDIR/four.csv"
    [ "$status" -eq 1 ]
    [ -z "$(ls -A)" ] || [ "$(ls -A)" = jobs.csv ]
}

@test "a browser draws the page" {
    command -v chromium >/dev/null || skip "no chromium"
    tug-sim run --trace "$BATS_FILE_TMPDIR/four.csv" --cluster 2x8 --policy-dir "$PLUGINS" --policy easy --html page.html >/dev/null
    timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/chromium" --window-size=1000,2000 \
        --dump-dom "file://$PWD/page.html" >dom.html 2>/dev/null || skip "chromium does not run here"
    grep -q '<svg viewBox' dom.html
    grep -q '&lt;script&gt;' dom.html
    ! grep -q '<script' dom.html
}

# ---- tug policy

@test "tug policy show lists what there is, and tells all of one" {
    run tug policy show
    [ "$status" -eq 0 ]
    [[ "$output" == *"NAME "*"DECIDES"*"easy "*"start"*"fifo "*"start"* ]]
    run tug policy show fifo --policy-dir "$PLUGINS"
    [ "$status" -eq 0 ]
    [[ "$output" == *"policy 'fifo'"*"overtake: yes or no; default no"* ]]
    run tug policy show --policy-dir "$BAD"
    [ "$status" -eq 0 ]
    [[ "$output" == *"abi2 "*"was made for policy ABI 2"* ]]
    [[ "$output" == *"stranger "*"does not export tug_policy()"* ]]
    run tug policy show --policy-dir "$BAD" picky --json
    [ "$(json '[p["type"] for p in o["policies"][0]["params"]]')" = "['yes or no', 'whole number', 'number', 'duration', 'text']" ]
    [ "$(json 'o["policies"][0]["params"][1]["min"], o["policies"][0]["params"][0]["min"], o["in_force"]')" = "(1.0, None, None)" ]
    run tug policy show nosuch --policy-dir "$PLUGINS"
    [ "$status" -eq 1 ]
    [[ "$output" == *"there is no nosuch.so"* ]]
}

@test "tug policy show marks what is configured, and with a controller what is in force" {
    printf 'cluster:\n  name: c\nscheduler:\n  policy: sjf+easy\n  policy_dirs:\n    - "%s"\nnodes:\n  - name: n1\n' "$PLUGINS" >tugline.yaml
    run tug policy show --config tugline.yaml
    echo "$output"
    [[ "$output" == *"+ easy"*"  fifo"*"+ sjf"*"+ configured: sjf+easy (no controller answers)"* ]]
    tug sandbox start --nodes 1 --gpus 1 --dir "$PWD/box" >/dev/null
    TUG_SOCKET="$PWD/box/tugd.sock" run tug policy show
    tug sandbox stop --dir "$PWD/box" >/dev/null
    echo "$output"
    [[ "$output" == *"* "*"* in force: "* ]]
}

@test "tug policy check is tug-sim's check" {
    run tug policy check fifo --policy-dir "$PLUGINS" --json
    [ "$status" -eq 0 ]
    [ "$(json 'o["ok"]')" = True ]
    run tug policy check "$BAD/quits.so"
    [ "$status" -eq 1 ]
    [[ "$output" == *"exit status 3"* ]]
    run tug policy check nosuch --policy-dir "$PLUGINS" --json
    [ "$status" -eq 2 ]
    [[ "$(json 'o["error"]["text"]')" == *"nosuch"* ]]
    run tug policy check
    [ "$status" -eq 2 ]
    run tug policy chek fifo
    [ "$status" -eq 2 ]
    [[ "$output" == *"did you mean check"* ]]
}

@test "tug policy new writes a policy that builds outside of the tree, in C and C++, and passes" {
    export PKG_CONFIG_PATH="$TUG_BUILDDIR"
    tug policy new my-2nd
    [ "$(ls my-2nd | tr '\n' ' ')" = "Makefile expected.csv my-2nd.c test.sh trace.csv " ]
    run make -C my-2nd check CFLAGS="-O1 -Werror"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"all passed"* ]]
    [[ "$output" == *"ended as expected"* ]]
    sed -i 's/^wide,60,600/wide,60,700/' my-2nd/trace.csv
    run make -C my-2nd check
    [ "$status" -ne 0 ]
    [[ "$output" == *"differs from expected.csv"* ]]
    command -v g++ >/dev/null || skip "no g++"
    g++ -x c++ -std=c++20 -Wall -Werror -fPIC -shared -fvisibility=hidden $(pkg-config --cflags tugline-policy) -o my-2nd.so my-2nd/my-2nd.c
    run tug policy check ./my-2nd.so
    [ "$status" -eq 0 ]
}

@test "tug policy new overwrites nothing, and explains names that cannot be" {
    tug policy new mine here
    cp -r here before
    run tug policy new mine here
    [ "$status" -eq 1 ]
    [[ "$output" == *"here/mine.c is there already, and nothing was written"* ]]
    diff -r here before
    run tug policy new other here
    [ "$status" -eq 1 ]
    diff -r here before
    run tug policy new Mine
    [ "$status" -eq 1 ]
    [[ "$output" == *"small letters"* ]]
    run tug policy new mine.so
    [[ "$output" == *"without '.so'"* ]]
    run tug policy new ../mine
    [ "$status" -eq 1 ]
    [[ "$output" == *"'.' is none of"* ]]
    run tug policy new 01234567890123456789012345678901
    [[ "$output" == *"more than 31"* ]]
    run tug policy new 9to5 --json
    [ "$(json 'o["dir"]')" = 9to5 ]
    grep -q 'struct p_9to5 {' 9to5/9to5.c
}
