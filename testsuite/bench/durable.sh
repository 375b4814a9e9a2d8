# durable.sh - how fast jobs become durable, and how fast another controller takes over; sourced by run.sh
#
# The same client with the same jobs once on sqlite, once on an etcd of three members on this machine.
. "$top/testsuite/etcd.bash"

durable_jobs=20000
failovers=${TUG_BENCH_FAILOVERS:-10}

# etcd_cluster CONTROLLERS [LEASE]: sets D, and 'socket' to who leads
etcd_cluster()
{
    local i
    command -v etcd >/dev/null || { say "there is no etcd (Debian: etcd-server)"; return 1; }
    D=$(mktemp -d "$work/etcd.XXXX") && TUG_BUILDDIR=$build && etcd_plan || return 1
    for i in 1 2 3; do etcd_member $i; done
    for ((i = 1; i <= $1; i++)); do controller_config $i etcd "${2:-5s}"; done
    controller_start 1
    tug ping >/dev/null || { tail -3 "$D/c1.log" >&2; return 1; }
    for ((i = 2; i <= $1; i++)); do cp -r "$D/c1/keys" "$D/c$i/"; controller_start $i; done
    socket=$D/r1/tugd.sock
}

# acknowledged WINDOW: 'rates', 'p50s' and 'p99s' of jobs that were acknowledged, so many in flight
acknowledged()
{
    local r n took p50 p99 rest
    rates=() p50s=() p99s=()
    for ((r = 0; r < ${runs:-3}; r++)); do
        read -r n took p50 p99 rest < <("$inflight" -n $durable_jobs -w $1 "$socket") || return 1
        rates+=("$(calc "$n / $took" 0)") p50s+=("$p50") p99s+=("$p99")
    done
}

durable_etcd()
{
    etcd_cluster 1 && acknowledged 1000 && emit durable_etcd_per_s jobs/s "\"jobs\":$durable_jobs,\"window\":1000,\"members\":3" "${rates[@]}"
    etcd_end
}

durable_sqlite()
{
    start_full_cluster && acknowledged 1000 && emit durable_sqlite_per_s jobs/s "\"jobs\":$durable_jobs,\"window\":1000" "${rates[@]}"
    stop_cluster
}

# One client that waits for each answer, as a person does.
ack()
{

    start_full_cluster && durable_jobs=2000 acknowledged 1 &&
        emit "$1" ms '"jobs":2000,"window":1,"store":"sqlite"' $([ "$1" = ack_p50_ms ] && echo "${p50s[@]}" || echo "${p99s[@]}")
    stop_cluster
}

# A thousand clients, each with a connection of its own and waiting for each answer, all at once; how long tugd was
# busy at a time meanwhile, as it measures itself, and how much of that it computed.
herd()
{
    local r n took p50 p99 rest ping acks=() loops=() computed=() most=()
    ulimit -Sn 4096 2>/dev/null || [ "$(ulimit -n)" -gt 2048 ] || { say "$1: a thousand connections need ulimit -n 4096"; return; }
    for ((r = 0; r < ${runs:-3}; r++)); do
        start_full_cluster && read -r n took p50 p99 rest < <("$inflight" -n $durable_jobs -c 1000 -g $gpus -t 3600 "$socket") || return
        ping=$(tug ping --json)
        acks+=("$p99") loops+=("$(ms_of turn_p99_us)") computed+=("$(ms_of turn_cpu_p99_us)") most+=("$(ms_of turn_max_us)")
    done
    emit herd_loop_p99_ms ms "\"jobs\":$durable_jobs,\"connections\":1000,\"longest_ms\":[$(IFS=,; echo "${most[*]}")]" "${loops[@]}"
    emit herd_loop_cpu_p99_ms ms "\"jobs\":$durable_jobs,\"connections\":1000" "${computed[@]}"
    emit herd_ack_p99_ms ms "\"jobs\":$durable_jobs,\"connections\":1000,\"per_s\":$(calc "$n / $took" 0)" "${acks[@]}"
    stop_cluster
}

# That number of 'ping', which is in us
ms_of()
{
    local n
    [[ $ping =~ \"$1\":([0-9]+) ]] && n=${BASH_REMATCH[1]} && calc "$n / 1000"
}

# Ten thousand clients at once: each submits a job, waits for the answer and asks for the job.
herd10k()
{
    local r n took p50 p99 most all ids q50 q99 qmost acks=() queries=() slowest=()
    ulimit -Sn 16384 2>/dev/null || [ "$(ulimit -n)" -gt 10100 ] || { say "$1: ten thousand connections need ulimit -n 16384"; return; }
    for ((r = 0; r < ${runs:-3}; r++)); do
        start_full_cluster && read -r n took p50 p99 most all ids ids q50 q99 qmost < <(
            "$inflight" -n 10000 -c 9900 -g $gpus -t 3600 -q "$socket") || return
        acks+=("$p99") queries+=("$q99") slowest+=("$qmost")
    done
    emit herd10k_query_p99_ms ms "\"connections\":9900,\"per_s\":$(calc "2 * $n / $all" 0),\"slowest_ms\":[$(IFS=,; echo "${slowest[*]}")]" "${queries[@]}"
    emit herd10k_ack_p99_ms ms "\"connections\":9900" "${acks[@]}"
    stop_cluster
}

# What a client waits for answers while somebody holds ten thousand connections to the nodes' port and says nothing, over what it
# waits right before, from an own cluster so that nothing else has to be answered.
flood()
{
    local r pid without with p50 p99 ratios=() befores=() durings=() said
    ulimit -Sn 16384 2>/dev/null || [ "$(ulimit -n)" -gt 10100 ] || { say "flood: ten thousand connections need ulimit -n 16384"; return; }
    start_cluster || return
    for ((r = 0; r < ${runs:-5}; r++)); do
        read -r p50 without _ < <("$asks" -n 4000 "$socket") || return
        chrt -o 0 nice -n 19 "$attacker" -n 10000 -a 1000 "$(cat "$XDG_RUNTIME_DIR/tugline/sandbox/run/endpoint")" >"$work/flood.out" &
        pid=$!
        until grep -qs held "$work/flood.out" || ! kill -0 "$pid" 2>/dev/null; do nap 0.05; done
        read -r p50 with _ < <("$asks" -n 4000 "$socket") || return
        kill "$pid" && wait "$pid" || { say "flood: the attacker ended by itself"; return; }
        said=$(tail -1 "$work/flood.out")
        [ "$(tug nodes --json | grep -o '"IDLE"' | wc -l)" = $nodes ] || { say "flood: nodes were lost"; return; }
        ratios+=("$(calc "$with / $without")") befores+=("$without") durings+=("$with")
    done
    emit flood_query_p99_ratio times "\"connections\":10000,\"addresses\":1000,\"without_ms\":[$(IFS=,; echo "${befores[*]}")],\"p99_ms\":[$(IFS=,; echo "${durings[*]}")],\"opened_closed_held\":\"$said\"" "${ratios[@]}"
    stop_cluster
}

# take_over [MEMBER]: kill -9 of who leads, and of that member of etcd; seconds until a command is answered by another go to 'v'
take_over()
{
    local l t0
    l=$(leader)
    until tug admin controllers -c "$D/c1.yaml" | grep -q standby; do nap 0.1; done
    t0=$(us)
    kill -9 "$(pid_of c$l)" ${1:+"$(pid_of e$1)"}
    until tug ping >/dev/null 2>&1; do [ $(($(us) - t0)) -lt 120000000 ] || return 1; done
    v+=("$(calc "($(us) - $t0) / 1000000")")
    wait "$(pid_of c$l)" 2>/dev/null
    controller_start $l
}

# p50_and_p99 NAME PARAMS: of the seconds in 'v'; with fewer than a hundred the second is the largest
p50_and_p99()
{
    [ ${#v[@]} -gt 0 ] || return
    emit "$1_p50_s" s "$2" "${v[@]}"
    emit "$1_p99_s" s "$2" "$(printf '%s\n' "${v[@]}" | sort -g | tail -n $(((${#v[@]} + 99) / 100)) | head -1)"
}

etcd_end()
{
    etcd_down
    unset TUG_SOCKET
    rm -rf "$D"
}

failover()
{
    local i v=()
    etcd_cluster 2 && TUG_SOCKET=$D/r1/tugd.sock,$D/r2/tugd.sock || { etcd_end; return; }
    for ((i = 0; i < failovers; i++)); do take_over || break; done
    etcd_end
    p50_and_p99 failover "\"lease_s\":5,\"takeovers\":${#v[@]}"
}

# ... and of the member that leads etcd, at the same moment.
failover_both()
{
    local i m v=()
    etcd_cluster 2 && TUG_SOCKET=$D/r1/tugd.sock,$D/r2/tugd.sock || { etcd_end; return; }
    for ((i = 0; i < failovers; i++)); do
        m=$(etcd_leader) && take_over "$m" || break
        wait "$(pid_of e$m)" 2>/dev/null
        etcd_member "$m"
        until etcd_healthy "$m"; do nap 0.1; done
    done
    etcd_end
    p50_and_p99 failover_both "\"lease_s\":5,\"members\":3,\"takeovers\":${#v[@]}"
}

# etcd_outage KILL|STOP: the member that leads etcd gets that signal, and a job is submitted: how long until it is acknowledged.
etcd_outage()
{
    local i m t0 v=()
    etcd_cluster 1 || { etcd_end; return; }
    for ((i = 0; i < failovers; i++)); do
        m=$(etcd_leader) || break
        t0=$(us)
        kill -"$1" "$(pid_of e$m)"
        tug submit --begin now+1h -o /dev/null -- true >/dev/null || break
        v+=("$(calc "($(us) - $t0) / 1000000")")
        [ "$1" = STOP ] && kill -CONT "$(pid_of e$m)" || { wait "$(pid_of e$m)" 2>/dev/null; etcd_member "$m"; }
        until etcd_healthy "$m"; do nap 0.1; done
    done
    etcd_end
    p50_and_p99 "etcd_${1,,}" "\"members\":3,\"election_timeout_ms\":1000,\"times\":${#v[@]}"
}

# With so many jobs in etcd: until the other controller answers, and until it has started the first of the jobs that wait.
failover_200k()
{
    local n=199900 r i blocker first rest v=() starts=() t0
    etcd_cluster 2 && TUG_SOCKET=$D/r1/tugd.sock,$D/r2/tugd.sock || { etcd_end; return; }
    for i in 1 2; do node_join $i; done
    blocker=$(tug submit --parsable -N 2 --gpus-per-node 4 -o /dev/null -- sleep 86400) &&
        until [ "$(tug queue -H -t R -o id)" = "$blocker" ]; do nap 0.1; done
    read -r _ _ _ _ _ _ first rest < <("$inflight" -n $n -w 1000 -N 2 -g 4 -t 3600 "$D/r$(leader)/tugd.sock" -- sleep 86400) || { etcd_end; return; }
    for ((r = 0; r < ${runs:-3}; r++)); do
        t0=$(us)
        take_over || break
        tug cancel -Q "$blocker" >/dev/null
        until [ "$(tug queue -H -t R -o id)" = "$first" ]; do
            [ $(($(us) - t0)) -lt 300000000 ] || { say "failover_200k: job $first does not start"; break 2; }
            nap 0.05
        done
        starts+=("$(calc "($(us) - $t0) / 1000000")")
        blocker=$first first=$((first + 1))
    done
    etcd_end
    [ ${#v[@]} -gt 0 ] || return
    emit failover_200k_s s "\"jobs\":$n,\"lease_s\":5" "${v[@]}"
    [ ${#starts[@]} -eq 0 ] || emit failover_200k_start_s s "\"jobs\":$n,\"lease_s\":5" "${starts[@]}"
}

# ended_in SECONDS PID
ended_in()
{
    local t0
    t0=$(us)
    while kill -0 "$2" 2>/dev/null; do
        [ $(($(us) - t0)) -lt $(($1 * 1000000)) ] || { ps -L -o pid,ni,stat,wchan:20,time,args -g "$(ps -o pgid= -p "$2" | tr -d ' ')" >&2; return 1; }
        nap 0.05
    done
}

# A snapshot of a state with so many jobs: how long it takes, and what one client waits for an answer before and meanwhile.
snapshot_200k()
{
    local v=() before=() during=() r n=180000 acks=500 took p50 p99 rest conf pid bytes=0
    start_full_cluster && "$inflight" -n $n -w 2000 "$socket" >/dev/null || return
    conf=$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml
    for ((r = 0; r < ${runs:-3}; r++)); do
        read -r _ took p50 p99 rest < <("$inflight" -n $acks -w 1 "$socket") || return
        before+=("$p99")
        (t0=$(us) && tug admin snapshot --json --config "$conf" >"$work/snapshot.json" && echo $(($(us) - t0)) >"$work/snapshot.us") &
        pid=$!
        read -r _ took p50 p99 rest < <("$inflight" -n $acks -w 1 "$socket") || return
        kill -0 "$pid" 2>/dev/null || say "snapshot_200k: it was over before the last answer"
        ended_in 600 "$pid" || { say "snapshot_200k: tug-admin has not ended after 10 minutes"; return; }
        wait "$pid" || return
        v+=("$(calc "$(cat "$work/snapshot.us") / 1000000")") during+=("$p99")
        bytes=$(sed -n 's/.*"bytes":\([0-9]*\).*/\1/p' "$work/snapshot.json")
    done
    emit snapshot_200k_s s "\"jobs\":$n,\"bytes\":$bytes" "${v[@]}"
    emit snapshot_ack_p99_ms ms "\"jobs\":$n,\"without_ms\":[$(IFS=,; echo "${before[*]}")]" "${during[@]}"
    stop_cluster
}

# From exec to the first answer with so many jobs in the state, of 16 shapes, and until their 8 nodes are all back and the passes
# that made are over: an answer comes after the pass of its turn.
load_200k()
{
    local v=() all=() cpu=() r t0 N g n=199900 pid ping # max_jobs less those that fill the nodes
    start_full_cluster || return
    for N in 1 2 4 8; do
        for g in 1 2 4 8; do
            "$inflight" -n $((n / 16)) -w 2000 -N $N -g $g -t $((600 * g)) "$socket" >/dev/null || return
        done
    done
    for ((r = 0; r < ${runs:-3}; r++)); do
        pid=$(tugd_pid) && kill "$pid"
        while kill -0 "$pid" 2>/dev/null; do nap 0.02; done
        t0=$(us)
        tugd --config "$XDG_RUNTIME_DIR/tugline/sandbox/tugline.yaml" >>"$work/load.log" 2>&1 &
        pid=$!
        until tug ping >/dev/null 2>&1; do nap 0.02; done
        v+=("$(calc "($(us) - $t0) / 1000000")")
        until ping=$(tug ping --json) && [[ $ping == *\"nodes_up\":$nodes,* ]]; do nap 0.02; done
        all+=("$(calc "($(us) - $t0) / 1000000")")
        cpu+=("$(awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$pid/stat")")
    done
    emit load_200k_s s "\"jobs\":$n,\"shapes\":16" "${v[@]}"
    emit load_200k_nodes_s s "\"jobs\":$n,\"shapes\":16" "${all[@]}"
    emit load_200k_cpu_s s "\"jobs\":$n,\"shapes\":16" "${cpu[@]}"
    stop_cluster
}
