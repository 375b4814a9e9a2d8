# etcd.bash - a real etcd of three members on loopback, and controllers that share it; for tests and benches
#
# Everything is in $D: eN.pid, eN.log of the members, cN.yaml, cN.pid, cN.log of the controllers. Whoever starts them ends them:
# etcd_down at the end. etcd itself must be there (Debian: etcd-server).

# A base of $1 ports in a row that are free now
free_ports()
{
    python3 - "$1" <<'PY'
import random, socket, sys
n = int(sys.argv[1])
for _ in range(200):
    base, taken = random.randrange(20000, 32000), []
    try:
        for p in range(base, base + n):
            s = socket.socket()
            s.bind(("127.0.0.1", p))
            taken.append(s)
        print(base)
        break
    except OSError:
        pass
    finally:
        for s in taken:
            s.close()
PY
}

# etcd_plan: ports and names for three members and three controllers
etcd_plan()
{
    ETCD_PORT=$(free_ports 18)
    TUG_PORT=$((ETCD_PORT + 8))
    MEMBERS="e1=http://127.0.0.1:$((ETCD_PORT + 3)),e2=http://127.0.0.1:$((ETCD_PORT + 5)),e3=http://127.0.0.1:$((ETCD_PORT + 7))"
    TUG_SOCKET="$D/r1/tugd.sock,$D/r2/tugd.sock,$D/r3/tugd.sock"
    export ETCD_PORT TUG_PORT MEMBERS TUG_SOCKET
}

# etcd_member N: start it, for the first time or again
etcd_member()
{
    local p=$((ETCD_PORT + 2 * $1))
    etcd --name "e$1" --data-dir "$D/e$1" --listen-client-urls "http://127.0.0.1:$p" --advertise-client-urls "http://127.0.0.1:$p" \
        --listen-peer-urls "http://127.0.0.1:$((p + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((p + 1))" \
        --initial-cluster "$MEMBERS" --heartbeat-interval 100 --election-timeout 1000 >>"$D/e$1.log" 2>&1 3>&- &
    echo $! >"$D/e$1.pid"
}

# controller_config N [STORE [LEASE]]: its directories and its configuration
controller_config()
{
    mkdir -p -m 700 "$D/c$1" "$D/r$1"
    cat >"$D/c$1.yaml" <<X
cluster: {name: ha, state_dir: $D/c$1, run_dir: $D/r$1, listen: "127.0.0.1:$((TUG_PORT + $1))", store: ${2:-etcd}}
etcd:
  endpoints: ["http://127.0.0.1:$((ETCD_PORT + 2))", "http://127.0.0.1:$((ETCD_PORT + 4))", "http://127.0.0.1:$((ETCD_PORT + 6))"]
  name: ctl$1
  lease: ${3:-5s}
scheduler: {policy: fifo, policy_dirs: ["$TUG_BUILDDIR/plugins"]}
timeouts: {node_timeout: 60s, lease: 60s}
limits: {min_uid: 1}
nodes: [{name: "n[1-2]", cpus: 8, gpus: 4}]
X
}

controller_start()
{
    tugd -c "$D/c$1.yaml" >>"$D/c$1.log" 2>&1 3>&- &
    echo $! >"$D/c$1.pid"
}

# node N: start its daemons, for the first time or again
node()
{
    tuglaunch --emulated --one-user --node "n$1" --cluster ha --controller-pub "$D/c1/keys/controller.pub" \
        --run-dir "$D/n$1/run" --stepd "$TUG_BUILDDIR/tugstepd" --cgroup-root none -- "$TUG_BUILDDIR/tugnoded" \
        --config "$D/n$1/tugnode.yaml" --cluster ha --address 127.0.0.1 >>"$D/n$1.log" 2>&1 3>&- &
    echo $! >"$D/n$1.pid"
}

node_config()
{
    mkdir -p -m 700 "$D/n$1/state" "$D/n$1/run"
    cat >"$D/n$1/tugnode.yaml" <<X
name: n$1
controller: "127.0.0.1:$((TUG_PORT + 1))"
standbys: ["127.0.0.1:$((TUG_PORT + 2))", "127.0.0.1:$((TUG_PORT + 3))"]
state_dir: $D/n$1/state
run_dir: $D/n$1/run
controller_key_file: $D/c1/keys/controller.pub
emulate: {cpus: 8, gpus: 4}
X
}

# node_join N: a new node; its key is made at its first start, and every controller must have it
node_join()
{
    local k
    node_config "$1"
    node "$1"
    until [ -e "$D/n$1/state/node.key.pub" ]; do is_gone "$(pid_of "n$1")" && return 1; read -r -t 0.1 <> <(:) || :; done
    for k in 1 2 3; do
        [ -d "$D/c$k" ] || continue
        mkdir -p -m 700 "$D/c$k/keys/nodes" && cp "$D/n$1/state/node.key.pub" "$D/c$k/keys/nodes/n$1.pub"
    done
}

# etcd_leader: the number of the member that leads
etcd_leader()
{
    local i
    for i in 1 2 3; do
        curl -sf -m 1 "http://127.0.0.1:$((ETCD_PORT + 2 * i))/v3/maintenance/status" -d '{}' | python3 -c 'import json, sys
s = json.load(sys.stdin)
sys.exit(s["leader"] != s["header"]["member_id"])' 2>/dev/null && echo "$i" && return
    done
    return 1
}

# etcd_healthy N: it answers, and there is a leader
etcd_healthy() { curl -sf -m 1 "http://127.0.0.1:$((ETCD_PORT + 2 * $1))/health" | grep -q true; }

# pid_of cN|eN|nN
pid_of() { cat "$D/$1.pid"; }

# leader: the number of the controller that leads, 0 = nobody does
leader()
{
    tug admin controllers --json -c "$D/c1.yaml" 2>/dev/null | python3 -c 'import json, sys
try:
    print(json.load(sys.stdin)["leader"]["name"][3:])
except Exception:
    print(0)'
}

# is_gone PID: ended, whether or not somebody has fetched how
is_gone()
{
    local state
    state=$(ps -o stat= -p "$1") || return 0
    [ "${state:0:1}" = Z ]
}

# etcd_down: end all that was started here, by whichever test, and return once it has ended
etcd_down()
{
    local p pid pids=() tries
    for p in "$D"/n?.pid "$D"/c?.pid "$D"/e?.pid; do
        [ -e "$p" ] || continue
        pid=$(cat "$p")
        case $(cat "/proc/$pid/comm" 2>/dev/null) in etcd | tugd | tuglaunch) ;; *) continue ;; esac
        kill -CONT "$pid" 2>/dev/null || :
        kill "$pid" 2>/dev/null && pids+=("$pid")
    done
    for pid in "${pids[@]}"; do
        for ((tries = 0; tries < 300; tries++)); do
            is_gone "$pid" && continue 2
            read -r -t 0.1 <> <(:) || :
        done
        echo "process $pid did not end in 30 s: $(ps -o args= -p "$pid")" >&2
        kill -9 "$pid" 2>/dev/null || :
    done
    wait
}
