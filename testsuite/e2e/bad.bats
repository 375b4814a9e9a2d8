#!/usr/bin/env bats
# Bad input: refused with a sentence that names the thing, the rule and the way out; the daemon goes on.

load common

setup_file() { sandbox_up --nodes 2 --gpus 4; }
teardown_file() { sandbox_down; }
setup() { cd "$WORK" || return 1; }

refused()
{
    run "$@"
    [ "$status" -eq 1 ] || [ "$status" -eq 2 ]
    tug ping >/dev/null
}

@test "an unknown option is named, with a suggestion" {
    refused tug submit --gpus-per-nide 4 -- true
    [[ "$output" == *"gpus-per-node"* ]]
}

@test "an unknown queue" {
    refused tug submit -q mian -- true
    [[ "$output" == *"mian"* ]]
    [[ "$output" == *"main"* ]]
}

@test "an unknown node" {
    refused tug submit -w nosuchnode -- true
    [[ "$output" == *"nosuchnode"* ]]
    refused tug nodes nosuchnode
    [[ "$output" == *"nosuchnode"* ]]
}

@test "an unknown unit" {
    refused tug submit --mem 4X -- true
    [[ "$output" == *"4X"* ]]
    refused tug submit -t 4x -- true
    [[ "$output" == *"4x"* ]]
}

@test "more GPUs per node than any node has: the largest is said" {
    refused tug submit --gpus-per-node 5 -- true
    [[ "$output" == *"5"* ]]
    [[ "$output" == *"4"* ]]
}

@test "more nodes than there are" {
    refused tug submit -N 3 -- true
    [[ "$output" == *"3"* ]]
    [[ "$output" == *"2"* ]]
}

@test "scripts that cannot be: missing, empty, a directory, binary, too large" {
    refused tug submit no-such-script.sh
    [[ "$output" == *"no-such-script.sh"* ]]
    : >empty.sh
    refused tug submit empty.sh
    [[ "$output" == *"empty"* ]]
    mkdir -p adir
    refused tug submit adir
    [[ "$output" == *"directory"* ]]
    printf '#!/bin/sh\n\0\1\2' >binary.sh
    refused tug submit binary.sh
    { echo '#!/bin/sh'; head -c 4300000 /dev/zero | tr '\0' '#'; } >huge.sh
    refused tug submit huge.sh
    [[ "$output" == *"4"* ]]
}

@test "an environment over the limit" {
    for i in 1 2 3 4 5 6 7 8 9 10; do export "BIG$i=$(head -c 120000 /dev/zero | tr '\0' x)"; done
    refused tug submit -- true
    [[ "$output" == *"environment"* ]]
}

@test "errors are JSON where JSON was asked for" {
    run tug show --json 999999
    [ "$status" -eq 1 ]
    echo "$output" | python3 -c 'import json, sys; e = json.load(sys.stdin)["error"]; assert "999999" in e["text"], e'
}

@test "a time limit over the queue's is refused" {
    dir=$XDG_RUNTIME_DIR/tugline/sandbox
    cp "$dir/tugline.yaml" "$BATS_TEST_TMPDIR/yaml"
    printf 'queues:\n  main:\n    default: true\n  short:\n    max_time: 1h\n' >>"$dir/tugline.yaml"
    tug sandbox restart
    refused tug submit -q short -t 2h -- true
    [[ "$output" == *"short"* ]]
    [[ "$output" == *"1:00:00"* || "$output" == *"1h"* ]]
    cp "$BATS_TEST_TMPDIR/yaml" "$dir/tugline.yaml"
    tug sandbox restart
}

@test "an output path that cannot be written fails the job with that sentence, and the daemon goes on" {
    id=$(tug submit --parsable -o nosuchdir/%j.out -- true)
    run tug wait "$id"
    [ "$status" -ne 0 ]
    [ "$(field "$id" state)" = FAILED ]
    [[ "$(field "$id" cause.text)" == *"nosuchdir"*"--output"* ]]
    tug ping
}

@test "a working directory that is gone fails the job with that sentence" {
    mkdir gone
    id=$(cd gone && tug submit --parsable --begin=now+1 -- true && rmdir ../gone)
    run tug wait "$id"
    [ "$status" -ne 0 ]
    [[ "$(field "$id" cause.text)" == *"/gone"* ]]
}

@test "a configuration with several errors: all of them, each with its place" {
    printf 'cluster:\n  nam: x\nscheduler:\n  pass_max_jobs: many\ntimeouts:\n  lease: 5parsecs\n' >bad.yaml
    run timeout 10 tugd --config bad.yaml
    [ "$status" -ne 0 ]
    [[ "$output" == *"bad.yaml:2:3:"*"nam"* ]]
    [[ "$output" == *"bad.yaml:4:"*"many"* ]]
    [[ "$output" == *"bad.yaml:6:"*"5parsecs"* ]]
    tug ping
}

@test "a closed standard output: an error, and nothing goes to the controller" {
    run bash -c 'tug submit --wrap true 2>&1 >&-'
    [ "$status" -eq 1 ]
    [[ "$output" == *"output"* ]]
    run bash -c 'tug queue <&- >&- 2>&-'
    [ "$status" -eq 1 ]
    run bash -c 'tug history --json | head -c 1'
    [ "$status" -eq 0 ]
    [[ "$output" != *"tug:"* ]]
}

@test "help is JSON where JSON was asked for" {
    for verb in submit run queue show logs cancel wait nodes queues history sandbox ping version help; do
        tug help --json "$verb" | python3 -c 'import json, sys; h = json.load(sys.stdin); assert h["verb"] == sys.argv[1] and h["options"], h' "$verb"
    done
}

@test "the output of a job that never ran is no riddle" {
    id=$(tug submit --parsable --begin=now+1hour -- true)
    tug cancel "$id"
    run tug logs -f "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"never ran"*"CANCELLED"* ]]
    printf '#!/bin/sh\ntrue\n' >plain.sh
    id=$(tug submit --parsable -o %A.log plain.sh)
    tug wait "$id"
    [ -e "$id.log" ]
    refused tug logs --rank 3 "$id"
    [[ "$output" == *"no ranks"* ]]
}

@test "garbage, truncated, oversized and slow frames on the commands' socket hurt nobody" {
    python3 - "$XDG_RUNTIME_DIR"/tugline/sandbox <<'EOF'
import os, random, socket, struct, sys, glob
path = None
for base, _, names in os.walk(sys.argv[1]):
    for name in names:
        if name == "tugd.sock":
            path = os.path.join(base, name)
random.seed(1)
def conn():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.settimeout(10)
    return s
slow = [conn() for _ in range(20)]
for s in slow:
    s.send(b"\x01\x00")
for _ in range(50):
    s = conn()
    try:
        s.send(os.urandom(random.randint(1, 4000)))
    except OSError:
        pass
    s.close()
s = conn()
s.send(struct.pack("<IHHI", 0xffffffff, 103, 0, 1))
assert s.recv(10) == b"", "an oversized frame must end the connection"
s = conn()
s.send(struct.pack("<IHHI", 4, 102, 0, 1) + b"\x0a\x02ab")   # a reply where a request belongs
s.close()
s = conn()
s.send(struct.pack("<IHHI", 10, 101, 0, 1) + b"abc")          # truncated, then gone
s.close()
EOF
    tug ping
}

@test "garbage on the nodes' socket hurts nobody" {
    endpoint=$(find "$XDG_RUNTIME_DIR/tugline/sandbox" -name endpoint -exec cat {} +)
    python3 - "$endpoint" <<'EOF'
import os, socket, sys
host, port = sys.argv[1].strip().rsplit(":", 1)
for size in (0, 1, 100, 10000, 100000):
    s = socket.create_connection((host, int(port)))
    try:
        s.send(os.urandom(size))
    except OSError:
        pass
    s.close()
EOF
    tug ping
    [ "$(tug nodes --json | grep -c IDLE)" -ge 1 ]
}
