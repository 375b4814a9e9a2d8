#!/bin/bash
# run.sh - how fast it is: one JSON line a measure, medians
#
#     testsuite/bench/run.sh [--runs N] [--slurm DIR] [NAME...]
#
# NAME is one of the measures in 'measures' below (none: all of them); README.md beside this says what each of them is.
# Runs the programs of $TUG_BUILDDIR, else of build/check, else builds build/bench. The cluster is a `tug sandbox` of
# its own, laid out as in production: the controller's state in a new directory under $TUG_BENCH_DIR (default /var/tmp),
# which must be on a real disk, since what is measured is durable; sockets and steps on the tmpfs $TUG_BENCH_RUN_DIR
# (default /dev/shm). --slurm DIR runs the scripts of DIR (a copy of them) right after ours and prints how the two compare.
# Exit status: 0 when every measure that was asked for has a value.
set -u
export LC_ALL=C
unset NO_COLOR TUG_SOCKET ${!TUG_OPT_@}
top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
# In the order they run: those that share a cluster stand together.
measures="noop_jobs_per_s noop_batch_per_s run_8x8_ms run_1x1_ms submit_seq_ms submit_inflight_per_s
    list_10k_ms list_10k_json_ms rss_10k_kib restart_10k_s
    pass_conservative_1k_10k_ms pass_easy_1k_10k_ms pass_conservative_4k_100k_ms pass_easy_4k_100k_ms
    pass_incremental_4k_100k_ms pass_fill_1k_10k_ms pass_fill_4k_100k_ms
    pass_scaling_ratio core_bytes_per_waiting_job
    pass_easy_instructions pass_conservative_instructions place_p50_us place_p99_us place_512_us
    place_failures_p99_us victims_4000_p99_us
    within_topology_p99_us within_segment_p99_us within_switches_p99_us within_exclusive_p99_us within_spread_p99_us within_quality_p99_us
    sim_philly_s sim_itp04_s
    durable_sqlite_per_s durable_etcd_per_s ack_p50_ms ack_p99_ms herd_loop_p99_ms herd10k_query_p99_ms flood_query_p99_ratio
    failover_p50_s failover_both_p50_s failover_200k_s etcd_kill_p50_s etcd_stop_p50_s load_200k_s snapshot_200k_s"
nodes=8
gpus=8
cpus=8
pending=10000
window=512
seq_jobs=200
noop_jobs=600
runs=
slurm=
work=
run_base=
failed=0

say() { echo "run.sh: $*" >&2; }
die() { say "$*"; exit 1; }
us() { local t=$EPOCHREALTIME; echo "${t/[.,]/}"; }
nap() { read -rt "$1" <>"$pause" || :; } # without a process
calc() { awk "BEGIN { printf \"%.${2:-3}f\", $1 }"; }

usage()
{
    sed -n '4,12s/^# \{0,1\}//p' "$0"
    echo "measures:" $measures
}

# ---- the numbers

# median min max of the numbers on stdin
summary()
{
    sort -g | awk '{ a[NR] = $1 } END { if (NR) print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2, a[1], a[NR], NR }'
}

# emit NAME UNIT 'PARAMS' VALUE...
emit()
{
    local name=$1 unit=$2 params=$3 median min max n
    shift 3
    if [ $# -eq 0 ]; then
        say "$name: could not be measured"
        failed=1
        return
    fi
    read -r median min max n < <(printf '%s\n' "$@" | summary)
    printf '{"measure":"%s","value":%s,"unit":"%s","params":{%s},"n":%s,"min":%s,"max":%s}\n' \
        "$name" "$median" "$unit" "$params${params:+,}$machine,\"true_ms\":$(true_ms)" "$n" "$min" "$max"
    medians[$name]=$median
}
declare -A medians

# What the shell takes to start a program that does nothing: the floor of each measure that starts one, and it rises
# when others use the machine.
true_ms()
{
    local t0=$EPOCHREALTIME i
    for ((i = 0; i < 100; i++)); do /bin/true; done
    calc "($EPOCHREALTIME - $t0) * 10" 2
}

# What one 4 KiB write costs until the disk has it.
fsync_ms()
{
    dd if=/dev/zero of="$work/fsync" bs=4k count=200 oflag=dsync 2>&1 | awk '/copied/ { for (i = 1; i < NF; i++) if ($(i + 1) ~ /^s,?$/) printf "%.3f", $i * 1000 / 200 }'
    rm -f "$work/fsync"
}

describe_machine()
{
    local fs run_fs
    fs=$(df --output=fstype "$work" | tail -1)
    run_fs=$(df --output=fstype "$run_base" | tail -1)
    [ "$fs" != tmpfs ] && [ "$fs" != ramfs ] ||
        die "$work is on $fs, where nothing is durable; set TUG_BENCH_DIR to a directory on a disk"
    core_machine="\"cores\":$(nproc)"
    machine="\"nodes\":$nodes,\"cpus\":$cpus,\"gpus\":$gpus,\"fs\":\"$fs\",\"fsync_ms\":$(fsync_ms),\"run_fs\":\"$run_fs\",\"cores\":$(nproc)"
}

# ---- the cluster

# The daemon of our sandbox: the process of that program with our directory in its arguments.
tugd_pid()
{
    local p
    for p in /proc/[0-9]*; do
        [ "$(readlink "$p/exe" 2>/dev/null)" = "$tugd_exe" ] && grep -qaF "$XDG_RUNTIME_DIR" "$p/cmdline" && echo "${p#/proc/}" && return
    done
    return 1
}

start_cluster()
{
    stop_cluster
    XDG_RUNTIME_DIR=$(mktemp -d "$run_base/run.XXXX") && state=$(mktemp -d "$work/state.XXXX") || return 1
    export XDG_RUNTIME_DIR
    tug sandbox start --nodes $nodes --gpus $gpus --cpus $cpus --state-dir "$state" >"$work/start.log" 2>&1 || { cat "$work/start.log" >&2; say "the sandbox did not start"; return 1; }
    socket=$XDG_RUNTIME_DIR/tugline/sandbox/tugd.sock
    up=1
}
up=0
state=

stop_cluster()
{
    [ "$up" = 1 ] || return 0
    up=0
    filled=0
    launched=0
    local pid
    pid=$(tugd_pid) && kill "$pid" # it may be one of restart_10k, which the sandbox does not know
    tug sandbox stop >"$work/stop.log" 2>&1 || { cat "$work/stop.log" >&2; say "the sandbox did not stop"; }
    rm -rf "$XDG_RUNTIME_DIR" "$state"
}
filled=0 # it holds 10,000 pending jobs
launched=0 # it has run a gang on every node

# All nodes are taken, so that what comes later waits.
start_full_cluster()
{
    local t0
    start_cluster && tug submit -Q -N $nodes --exclusive -o /dev/null -- sleep 86400 >/dev/null || return 1
    t0=$(us)
    until [ "$(tug queue -H -t R -o id | wc -l)" = 1 ]; do
        [ $(($(us) - t0)) -lt 120000000 ] || { say "the job that is to fill the nodes does not start:"; tug queue >&2; tug nodes >&2; return 1; }
        nap 0.02
    done
}

# 10,000 pending jobs, whole nodes each; the rate goes to 'rates'
fill()
{
    local n took rest
    start_full_cluster || return 1
    read -r n took rest < <("$inflight" -n $pending -w $window -g $gpus -t 3600 "$socket") || return 1
    rates+=("$(calc "$n / $took" 0)")
    details="\"jobs\":$n,\"window\":$window,\"last_run\":{\"p50_ms\":$(set -- $rest; echo "$1"),\"p99_ms\":$(set -- $rest; echo "$2")}"
    filled=1
}
rates=()

need_10k()
{
    [ $filled = 1 ] || fill
}

# ---- the measures

submit_seq()
{
    local v=() r i t0
    start_full_cluster || return
    for ((r = 0; r < ${runs:-5}; r++)); do
        t0=$(us)
        for ((i = 0; i < seq_jobs; i++)); do tug submit -o /dev/null -- true >/dev/null || return; done
        v+=("$(calc "($(us) - $t0) / 1000 / $seq_jobs")")
    done
    emit submit_seq_ms ms "\"jobs\":$seq_jobs" "${v[@]}"
}

submit_inflight()
{
    local r
    for ((r = 0; r < ${runs:-3}; r++)); do fill || return; done
    emit submit_inflight_per_s jobs/s "$details" "${rates[@]}"
}

noop()
{
    local name=$1 v=() r n took p50 p99 max all first last
    shift
    start_cluster || return
    for ((r = 0; r < ${runs:-3}; r++)); do
        last=
        read -r n took p50 p99 max all first last < <("$inflight" "$@" -e -n $noop_jobs -w $window "$socket")
        [ -n "$last" ] || return
        v+=("$(calc "$n / $all" 1)")
    done
    emit "$name" jobs/s "\"jobs\":$noop_jobs,\"daemons\":$nodes" "${v[@]}"
}

# wall of a command, in ms, 'times' times; nothing when it fails
walls()
{
    local times=$1 i t0
    shift
    for ((i = 0; i < times; i++)); do
        t0=$(us)
        "$@" >/dev/null || { say "failed: $*"; return 1; }
        calc "($(us) - $t0) / 1000"
        echo
    done
}

run_wall()
{
    local name=$1 v
    shift
    [ $launched = 1 ] || { start_cluster && tug run -Q -N $nodes --ntasks-per-node 8 true >/dev/null && launched=1; } || return
    v=$(walls "${runs:-11}" tug run -Q "$@" true) || return
    emit "$name" ms "\"command\":\"tug run${*:+ $*} true\"" $v
}

list_wall()
{
    local name=$1 v
    shift
    need_10k || return
    v=$(walls "${runs:-7}" tug queue "$@") || return
    emit "$name" ms "\"command\":\"tug queue${*:+ $*}\",\"jobs\":$pending,\"bytes\":$(tug queue "$@" | wc -c)" $v
}

rss_10k()
{
    local v=() pid
    need_10k && pid=$(tugd_pid) || return
    v=("$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")")
    emit rss_10k_kib KiB "\"jobs\":$pending,\"peak_kib\":$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status")" "${v[@]}"
}

# Stop tugd, start it the way it was started, and time until it answers.
restart_10k()
{
    local v=() pid argv r t0 before
    need_10k && pid=$(tugd_pid) || return
    before=$(tug queue -H -o id | wc -l)
    mapfile -d '' argv <"/proc/$pid/cmdline"
    for ((r = 0; r < ${runs:-5}; r++)); do
        kill "$pid" || return
        while kill -0 "$pid" 2>/dev/null; do nap 0.005; done
        t0=$(us)
        start_tugd "${argv[@]}"
        until tug ping >/dev/null 2>&1; do
            nap 0.002
            [ $(($(us) - t0)) -lt 60000000 ] || { say "tugd does not answer; its log is"; tail -5 "$work/tugd.log" >&2; return; }
        done
        v+=("$(calc "($(us) - $t0) / 1000000" 4)")
        pid=$(tugd_pid) || return
        [ "$(tug queue -H -o id | wc -l)" = "$before" ] || { say "jobs are missing after a restart"; return; }
    done
    emit restart_10k_s s "\"jobs\":$pending,\"state_bytes\":$(state_bytes)" "${v[@]}"
}

# Without the descriptor that the sandbox waited on: nobody reads it now.
start_tugd()
{
    local argv=() skip=0 a
    for a in "$@"; do
        [ $skip = 1 ] && { skip=0; continue; }
        case $a in
        --ready-fd | -r) skip=1 ;;
        --ready-fd=*) ;;
        *) argv+=("$a") ;;
        esac
    done
    (cd / && exec setsid "${argv[@]}" >>"$work/tugd.log" 2>&1 </dev/null) &
}

state_bytes()
{
    find "$state" -name 'state.db*' -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }'
}

# ---- passes of the core, without daemons

# pass NAME UNIT MEASURE NODES WAITING POLICY
pass_of()
{
    local v machine=$core_machine
    read -ra v < <("$passes" "$3" -V -n "$4" -w "$5" -p "$6" -r "${runs:-11}" -P "$build/plugins")
    [ ${#v[@]} -gt 1 ] || return
    emit "$1" "$2" "\"nodes\":$4,\"waiting\":$5,\"policy\":\"$6\",\"running\":${v[-1]}" "${v[@]:0:${#v[@]}-1}"
}

# place NAME COLUMN OPTION...: finding nodes and GPUs for a gang; columns as places.c says
place_of()
{
    local name=$1 column=$2 v values=() machine=$core_machine
    shift 2
    for _ in $(seq "${runs:-5}"); do
        read -ra v < <("$places" -n 4000 "$@")
        [ ${#v[@]} -eq 4 ] || return
        values+=("${v[$column]}")
    done
    emit "$name" us "\"nodes\":4000,\"gpus_per_node\":8,\"start_us\":${v[$((column + 2))]}" "${values[@]}"
}

# who would have to give way for a gang in a full cluster
victims_of()
{
    local v values=() machine=$core_machine
    for _ in $(seq "${runs:-3}"); do
        read -ra v < <("$places" -n 4000 -v -r 300)
        [ ${#v[@]} -eq 2 ] || return
        values+=("${v[1]}")
    done
    emit "$1" us "\"nodes\":4000,\"gpus_per_node\":8,\"median_us\":${v[0]}" "${values[@]}"
}

# within_KIND_p99_us: of a gang that asks that of the fabric
within_of()
{
    local name=$1 kind v values=() machine=$core_machine
    kind=${1#within_} kind=${kind%_p99_us}
    for _ in $(seq "${runs:-5}"); do
        v=$("$within" -n 4000 -r 2000 "$kind" | tr ',' '\n' | sed -n "s/.*\"$name\":\([0-9.]*\).*/\1/p")
        [ -n "$v" ] || return
        values+=("$v")
    done
    emit "$name" us '"nodes":4000,"gpus_per_node":8,"gangs":2000' "${values[@]}"
}

# What a job costs at 8,000 nodes, in terms of what it costs at 500: with the logarithm of the nodes it would be 1.45.
pass_scaling()
{
    local n v costs=() machine=$core_machine
    for n in 500 1000 2000 4000 8000; do
        read -ra v < <("$passes" full -V -n $n -w $((10 * n)) -p conservative -r "${runs:-5}" -P "$build/plugins")
        [ ${#v[@]} -gt 1 ] || return
        costs+=("$(printf '%s\n' "${v[@]:0:${#v[@]}-1}" | summary | awk '{ printf "%.3f", $1 * 100 / '$n' }')")
    done
    emit pass_scaling_ratio "times" "\"nodes\":[500,1000,2000,4000,8000],\"waiting_per_node\":10,\"us_per_job\":[$(IFS=,; echo "${costs[*]}")]" \
        "$(calc "${costs[4]} / ${costs[0]}")"
}

# Instructions for each job that a full pass decides about; these repeat where times do not.
pass_instructions()
{
    local n machine=$core_machine
    command -v valgrind >/dev/null || { skip "$1" "there is no valgrind"; return; }
    n=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no '--toggle-collect=measured_pass*' \
        "$passes" full -V -n 1000 -w 10000 -p "$2" -r 1 -P "$build/plugins" 2>&1 | sed -n 's/.*Collected *: *\([0-9]*\).*/\1/p')
    [ -n "$n" ] || return
    emit "$1" instructions '"nodes":1000,"waiting":10000' "$(calc "$n / 2 / 10000" 1)"
}

# sim_of NAME TRACE CLUSTER [OPTION...]: wall time of a whole simulation
sim_of()
{
    local name=$1 trace=${TUG_TRACES:-}/$2 cluster=$3 v=() r out machine=$core_machine
    shift 3
    [ -n "${TUG_TRACES:-}" ] && [ -f "$trace" ] || { skip "$name" "TUG_TRACES has no ${trace##*/}"; return; }
    for ((r = 0; r < ${runs:-3}; r++)); do
        out=$(tug-sim run --policy-dir "$build/plugins" --trace "$trace" --cluster "$cluster" --policy easy --json "$@") || return
        v+=("$(echo "$out" | sed -n 's/.*"wall_s": \([0-9.]*\).*/\1/p')")
    done
    emit "$name" s "\"cluster\":\"$cluster\",\"policy\":\"easy\",\"rss_kib\":$(echo "$out" | sed -n 's/.*"rss_kib": \([0-9]*\).*/\1/p')" "${v[@]}"
}

skip()
{
    say "$1: skipped, $2"
    medians[$1]=skipped
}

. "$top/testsuite/bench/durable.sh"

# One measure by its name; nothing is printed for one that fails, and the exit status says so.
measure()
{
    case $1 in
    submit_seq_ms) submit_seq ;;
    submit_inflight_per_s) submit_inflight ;;
    noop_jobs_per_s) noop noop_jobs_per_s ;;
    noop_batch_per_s) noop noop_batch_per_s -b ;;
    run_8x8_ms) run_wall run_8x8_ms -N 8 --ntasks-per-node 8 ;;
    run_1x1_ms) run_wall run_1x1_ms ;;
    list_10k_ms) list_wall list_10k_ms ;;
    list_10k_json_ms) list_wall list_10k_json_ms --json ;;
    rss_10k_kib) rss_10k ;;
    restart_10k_s) restart_10k ;;
    pass_conservative_1k_10k_ms) pass_of "$1" ms full 1000 10000 conservative ;;
    pass_easy_1k_10k_ms) pass_of "$1" ms full 1000 10000 easy ;;
    pass_conservative_4k_100k_ms) pass_of "$1" ms full 4000 100000 conservative ;;
    pass_easy_4k_100k_ms) pass_of "$1" ms full 4000 100000 easy ;;
    pass_incremental_4k_100k_ms) pass_of "$1" ms incremental 4000 100000 easy ;;
    pass_fill_1k_10k_ms) pass_of "$1" ms fill 1000 10000 easy ;;
    pass_fill_4k_100k_ms) pass_of "$1" ms fill 4000 100000 easy ;;
    pass_scaling_ratio) pass_scaling ;;
    core_bytes_per_waiting_job) pass_of "$1" bytes bytes 4000 100000 easy ;;
    pass_easy_instructions) pass_instructions "$1" easy ;;
    place_p50_us) place_of "$1" 0 ;;
    place_p99_us) place_of "$1" 1 ;;
    place_512_us) place_of "$1" 0 -w 512 -r 200 ;;
    place_failures_p99_us) place_of "$1" 1 -f 200 -l 10 ;;
    victims_4000_p99_us) victims_of "$1" ;;
    within_*_p99_us) within_of "$1" ;;
    pass_conservative_instructions) pass_instructions "$1" conservative ;;
    sim_philly_s) sim_of "$1" philly_2017.csv.gz 56x8 ;;
    sim_itp04_s) sim_of "$1" itp_2021.csv.gz 78x8 --queue cluster04 ;;
    durable_sqlite_per_s) durable_sqlite ;;
    durable_etcd_per_s) durable_etcd ;;
    ack_p50_ms | ack_p99_ms) ack "$1" ;;
    herd_loop_p99_ms) herd "$1" ;; # and herd_loop_cpu_p99_ms, herd_ack_p99_ms
    herd10k_query_p99_ms) herd10k "$1" ;; # and herd10k_ack_p99_ms
    flood_query_p99_ratio) flood ;;
    failover_p50_s) failover ;; # and failover_p99_s
    failover_both_p50_s) failover_both ;; # and failover_both_p99_s
    failover_200k_s) failover_200k ;; # and failover_200k_start_s
    etcd_kill_p50_s) etcd_outage KILL ;; # and etcd_kill_p99_s
    etcd_stop_p50_s) etcd_outage STOP ;; # and etcd_stop_p99_s
    load_200k_s) load_200k ;; # and load_200k_nodes_s, load_200k_cpu_s
    snapshot_200k_s) snapshot_200k ;; # and snapshot_ack_p99_ms
    esac
    [ -n "${medians[$1]:-}" ] || { say "$1: no value"; failed=1; }
}

# ---- Slurm beside it

# compare OURS PEER-MEASURE BETTER SCALE [FILTER]: BETTER less|more; SCALE makes the peer's unit ours
compare()
{
    local ours=${medians[$1]:-} theirs ratio
    [ -n "$ours" ] || return 0
    theirs=$(grep -F "\"measure\":\"$2\"" "$work/slurm/results/results.jsonl" 2>/dev/null | grep -F "${5:-}" |
        sed -n 's/.*"value":\([0-9.]*\).*/\1/p' | summary)
    [ -n "$theirs" ] || { say "$1: Slurm's $2 has no value"; return 0; }
    set -- "$@" "" "" ; set -- "$1" "$2" "$3" "$4" "${5:-}" $theirs
    if [ "$3" = less ]; then ratio=$(calc "$6 * $4 / $ours" 2); else ratio=$(calc "$ours / ($6 * $4)" 2); fi
    printf '{"measure":"%s_ratio","value":%s,"unit":"times better than Slurm","params":{"ours":%s,"peer":%s,"peer_measure":"%s"%s},"n":%s,"min":%s,"max":%s}\n' \
        "$1" "$ratio" "$ours" "$(calc "$6 * $4")" "$2" "${5:+,\"filter\":$(printf '"%s"' "${5//\"/\\\"}")}" "$9" "$(calc "$7 * $4")" "$(calc "$8 * $4")"
}

wants() { local n; for n in $names; do case " $* " in *" $n "*) return 0 ;; esac; done; return 1; }

run_slurm()
{
    cp -r "$slurm" "$work/slurm" && chmod -R u+w "$work/slurm" || return 1
    (cd "$work/slurm" && ./setup.sh) >"$work/slurm.log" 2>&1 || { tail -5 "$work/slurm.log" >&2; say "$slurm/setup.sh failed"; return 1; }
    PB=$work/slurm
    export PB
    wants submit_seq_ms submit_inflight_per_s && "$PB/slurm/A_submit.sh" default "${runs:-3}" >>"$work/slurm.log" 2>&1
    wants noop_jobs_per_s noop_batch_per_s && for tune in default fast; do "$PB/slurm/B_throughput.sh" $tune none 2 400 >>"$work/slurm.log" 2>&1; done
    wants run_8x8_ms run_1x1_ms && "$PB/slurm/C_launch.sh" default 10 >>"$work/slurm.log" 2>&1
    wants list_10k_ms list_10k_json_ms restart_10k_s rss_10k_kib && "$PB/slurm/F_squeue.sh" default >>"$work/slurm.log" 2>&1
    "$PB/slurm/munge.sh" stop
    compare submit_seq_ms A1_seq_sbatch_ms_per_job less 1
    compare submit_inflight_per_s A6_rpc_submit_rate_4threads more 1
    compare noop_jobs_per_s B2_individual_noop_jobs_per_s more 1 '"tune":"default"'
    compare noop_jobs_per_s B2_individual_noop_jobs_per_s more 1 '"tune":"fast"'
    compare noop_batch_per_s B2_individual_noop_jobs_per_s more 1 '"tune":"default"'
    compare noop_batch_per_s B2_individual_noop_jobs_per_s more 1 '"tune":"fast"'
    compare run_8x8_ms C1_scratch_N8n64 less 1
    compare run_1x1_ms C3_scratch_N1n1 less 1
    compare list_10k_ms F1_squeue_default less 1
    compare list_10k_json_ms F5_squeue_json less 1
    compare rss_10k_kib F_rss_10k_pending less 1
    compare restart_10k_s E1_restart_to_squeue less 1
}

# ---- what to run, and with what

find_programs()
{
    build=${TUG_BUILDDIR:-}
    [ -n "$build" ] || { [ -x "$top/build/check/tug" ] && build=$top/build/check; }
    if [ -z "$build" ]; then
        build=$top/build/bench
        say "building $build"
        { [ -x "$top/configure" ] || (cd "$top" && ./autogen.sh); } >&2 && mkdir -p "$build" &&
            { [ -f "$build/Makefile" ] || (cd "$build" && "$top/configure" CFLAGS='-g -O2') >"$build/configure.out"; } &&
            make -s -C "$build" -j"$(nproc)" >&2 || die "the build failed; $build has it"
    fi
    build=$(cd "$build" && pwd) || die "there is no build in ${TUG_BUILDDIR:-}"
    [ -x "$build/tug" ] && [ -x "$build/tugd" ] || die "there are no programs in $build; run make there"
    make -s -C "$build" testsuite/bench/inflight testsuite/bench/asks testsuite/bench/flood >&2 || die "the client did not build"
    make -s -C "$build" testsuite/bench/passes testsuite/bench/places testsuite/bench/within >&2 || die "the core's bench did not build"
    inflight=$build/testsuite/bench/inflight
    asks=$build/testsuite/bench/asks
    attacker=$build/testsuite/bench/flood
    passes=$build/testsuite/bench/passes
    places=$build/testsuite/bench/places
    within=$build/testsuite/bench/within
    tugd_exe=$(readlink -f "$build/tugd")
    PATH=$build:$PATH
}

clean_up()
{
    stop_cluster
    cd / && rm -rf "$work" "$run_base"
}

names=
while [ $# -gt 0 ]; do
    case $1 in
    --runs) runs=${2:?--runs takes a number}; shift ;;
    --slurm) slurm=$(cd "${2:?--slurm takes a directory}" && pwd) || exit 2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) case " $(echo $measures) " in
       *" $1 "*) names="$names $1" ;;
       *) say "'$1' is not a measure"; usage >&2; exit 2 ;;
       esac ;;
    esac
    shift
done
[ -n "$names" ] || names=$(echo $measures) # without line breaks

find_programs
work=$(mktemp -d "${TUG_BENCH_DIR:-/var/tmp}/tug-bench.XXXXXX") || exit 1
run_base=$(mktemp -d "${TUG_BENCH_RUN_DIR:-/dev/shm}/tug-bench.XXXXXX" 2>/dev/null) || run_base=$(mktemp -d "$work/run.XXXXXX") || exit 1
trap clean_up EXIT
trap 'exit 130' INT TERM
pause=$work/pause
mkfifo "$pause"
describe_machine

for name in $measures; do
    case " $names " in *" $name "*) measure "$name" ;; esac
done
stop_cluster
[ -z "$slurm" ] || run_slurm || failed=1
exit $failed
