#!/bin/sh
# run.sh - what only a machine with a GPU can show, in one go; prints TAP, and skips with the reason elsewhere
#
#     testsuite/gpu/run.sh              builds in build/gpu (NCCL found by configure, or by WITH_NCCL=DIR), then runs
#     TUG_BUILDDIR=b testsuite/gpu/run.sh      with the programs of a build tree that is there
#
# Nodes are emulated ones of a sandbox and share the machine's first GPU. NCCL takes them for hosts as each has an
# NCCL_HOSTID of its own, so that everything between them goes by NET/Socket over the loopback interface.
# Nothing is left behind; the GPU's settings are not touched.
set -u
top=${TUG_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
total=11
n=0

plan() { echo "1..$total"; }
ok() { n=$((n + 1)); echo "ok $n - $1"; }
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }
# not_ok SENTENCE: with what was printed into $work/log
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; [ ! -f "$work/log" ] || tail -n 40 "$work/log" | sed 's/^/# /'; }
check() { what=$1; shift; if "$@" >"$work/log" 2>&1; then ok "$what"; else not_ok "$what"; fi; }
bail() { echo "Bail out! $1"; exit 1; }

command -v nvidia-smi >/dev/null 2>&1 || { echo "1..0 # SKIP there is no nvidia-smi: this machine has no NVIDIA GPU"; exit 0; }
gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU ')
[ "$gpus" -gt 0 ] || { echo "1..0 # SKIP nvidia-smi finds no GPU: $(nvidia-smi -L 2>&1 | head -n 1)"; exit 0; }

work=$(mktemp -d "${TMPDIR:-/tmp}/tug-gpu.XXXXXX") || exit 1
finish()
{
    PATH=$build:$PATH tug sandbox stop >/dev/null 2>&1
    cd / && rm -rf "$work"
}
build=${TUG_BUILDDIR:-$top/build/gpu}
trap finish EXIT
trap 'exit 130' INT TERM

build_here()
{
    [ -x "$top/configure" ] || (cd "$top" && ./autogen.sh) || return 1
    mkdir -p "$build" && cd "$build" || return 1
    [ -f Makefile ] || "$top/configure" --with-nccl="${WITH_NCCL:-auto}" || return 1
    make -j"$(nproc)" all
}
[ -n "${TUG_BUILDDIR:-}" ] || build_here >"$work/log" 2>&1 || { tail -n 40 "$work/log"; bail "the build in $build failed"; }

PATH=$build:$PATH
XDG_RUNTIME_DIR=$work/run
NO_COLOR=1
export PATH XDG_RUNTIME_DIR NO_COLOR
unset TUG_SOCKET TUG_JOB_ID CUDA_VISIBLE_DEVICES
mkdir -m 700 "$XDG_RUNTIME_DIR"
cd "$work" || exit 1
# Several ranks on one GPU: few blocks each, no NVLink features; since 2.30 NCCL wants to be told that it is meant.
NCCL_NET=Socket NCCL_NVLS_ENABLE=0 NCCL_MNNVL_ENABLE=0 NCCL_MAX_CTAS=2 NCCL_MULTI_RANK_GPU_ENABLE=1
export NCCL_NET NCCL_NVLS_ENABLE NCCL_MNNVL_ENABLE NCCL_MAX_CTAS NCCL_MULTI_RANK_GPU_ENABLE

until_ok() # SECONDS COMMAND...
{
    end=$(($(date +%s) + $1))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt "$end" ] || { echo "gave up waiting for: $*"; return 1; }
        sleep 0.2
    done
}

# ---- what is in the machine

# What is between GPUs, by both: the words of a row behind GPUi, as many as there are GPUs.
matrix() { sed 's/\x1b\[[0-9;]*m//g' | awk -v n="$gpus" '$1 ~ /^GPU[0-9]+$/ && $2 ~ /^(X|NV[0-9]+|PIX|PXB|PHB|NODE|SYS)$/ { s = $1; for (i = 2; i <= n + 1; i++) s = s " " $i; print s }'; }
same_matrix()
{
    nvidia-smi topo -m | matrix >smi
    tug node topo --here | matrix >ours
    cat smi ours
    [ -s smi ] && cmp smi ours
}
same_uuids()
{
    nvidia-smi -L | sed -n 's/.*UUID: \(GPU-[0-9a-f-]*\).*/\1/p' | sort >smi
    tug node topo --here --json | grep -o 'GPU-[0-9a-f]\{8\}-[0-9a-f-]*' | sort -u >ours
    cat smi ours
    [ -s smi ] && cmp smi ours
}
plan
check "the machine is described with the GPUs that nvidia-smi lists" same_uuids
check "what is between its GPUs is what nvidia-smi topo -m says" same_matrix

# ---- NCCL between emulated nodes

have_nccl() { [ -x "$build/tug-probe-nccl" ] && [ -x "$build/contrib/examples/nccl_allreduce" ]; }
no_nccl="built without NCCL; see what configure said, or WITH_NCCL=DIR"

all_right() # RANKS: ran the example, and every sum was right
{
    timeout 180 tug run -N "$1" --ntasks-per-node 1 --gpus-per-task 1 "$build/contrib/examples/nccl_allreduce" | tee out
    [ "$(grep -c ': right$' out)" -eq "$1" ]
}
bench() # RANKS
{
    timeout 300 tug bench allreduce -N "$1" --gpus-per-node 1 --transport nccl --sizes 64K,1M,16M | tee out
    grep -q "all-reduce by NCCL, $1 ranks on $1 nodes" out && [ "$(grep -c 'B/s' out)" -eq 3 ]
}
tug sandbox start --nodes 4 --gpus 1 >"$work/log" 2>&1 || { cat "$work/log"; bail "the sandbox did not start"; }
for ranks in 2 4; do
    if have_nccl; then
        check "$ranks emulated nodes on one GPU add up with NCCL, by an id that libtugline moved" all_right "$ranks"
        check "tug bench measures NCCL between $ranks of them" bench "$ranks"
        sed -n '/SIZE/,$p' out | sed 's/^/# /'
    else
        skip "$ranks emulated nodes on one GPU add up with NCCL, by an id that libtugline moved" "$no_nccl"
        skip "tug bench measures NCCL between $ranks of them" "$no_nccl"
    fi
done

# ---- a preflight with NCCL (nodes are emulated, so it is asked for by its path)

preflight()
{
    id=$(tug submit --parsable -N 2 --gpus-per-node 1 --preflight="$build/tug-probe-nccl:1KB/s@2m" -- true) &&
        timeout 180 tug wait "$id" && tug show "$id"
}
if have_nccl; then
    check "a job starts after a preflight with NCCL" preflight
else
    skip "a job starts after a preflight with NCCL" "$no_nccl"
fi

# ---- PyTorch

python=${PYTHON:-python3}
torch_sees_gpu() { "$python" -c 'import sys, torch, torch.distributed as d; sys.exit(not (torch.cuda.is_available() and d.is_nccl_available()))' 2>/dev/null; }
torch_nccl()
{
    cat >sum.py <<'END'
import os, torch, torch.distributed as dist
torch.cuda.set_device(0)
dist.init_process_group("nccl", init_method="env://")
x = torch.full((1 << 20,), float(dist.get_rank() + 1), device="cuda")
dist.all_reduce(x)
n = dist.get_world_size()
print("rank", dist.get_rank(), "right" if float(x[-1]) == n * (n + 1) / 2 else "WRONG", flush=True)
dist.destroy_process_group()
END
    timeout 300 tug run -N 2 --ntasks-per-node 1 --gpus-per-task 1 "$(command -v "$python")" sum.py | tee out
    [ "$(grep -c ' right$' out)" -eq 2 ]
}
if torch_sees_gpu; then
    check "PyTorch with the nccl backend adds up between two nodes, with no line of configuration" torch_nccl
else
    skip "PyTorch with the nccl backend adds up between two nodes, with no line of configuration" "$python has no torch with CUDA and NCCL"
fi

# ---- a rank that stops is named while the job lives

pid_of_rank() # JOB RANK
{
    for p in /proc/[0-9]*; do
        [ "$(cat "$p/comm" 2>/dev/null)" = tug-probe-nccl ] || continue
        tr '\0' '\n' <"$p/environ" 2>/dev/null | grep -qx "TUG_JOB_ID=$1" || continue
        tr '\0' '\n' <"$p/environ" 2>/dev/null | grep -qx "TUG_RANK=$2" && { echo "${p#/proc/}"; return 0; }
    done
    return 1
}
wired() { tug show --json "$1" | grep -q '"wired_ms": *[1-9]'; }
names_rank() { tug show --json "$1" | tr -d '\n' | grep -q '"hang": *{[^}]*"rank": *'"$2"'[,}]'; }
ras_answers() # JOB: NCCL's own status service, where the job's environment says
{
    pid=$(pid_of_rank "$1" 0) || return 1
    at=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^NCCL_RAS_ADDR=//p')
    echo "NCCL_RAS_ADDR=$at"
    "$python" - "$at" <<'END'
import socket, sys
host, port = sys.argv[1].rsplit(":", 1)
s = socket.create_connection((host, int(port)), 10)
s.settimeout(30)
s.sendall(b"CLIENT PROTOCOL 2\nVERBOSE STATUS\n")
text = b""
while b"rank" not in text.lower():
    more = s.recv(65536)
    if not more:
        break
    text += more
print(text.decode(errors="replace"))
sys.exit(b"rank" not in text.lower())
END
}
long_sizes=$(i=0; while [ $i -lt 60 ]; do printf '16M,'; i=$((i + 1)); done; echo 16M)
start_long()
{
    long=$(tug submit --parsable -N 2 --ntasks-per-node 1 --gpus-per-task 1 --hang-timeout 15s -t 10 -- "$build/tug-probe-nccl" --sizes "$long_sizes") &&
        until_ok 60 wired "$long"
}
stopped_is_named()
{
    pid=$(pid_of_rank "$long" 1) || return 1
    kill -STOP "$pid"
    until_ok 30 names_rank "$long" 1
    rc=$?
    tug show "$long"
    kill -CONT "$pid" 2>/dev/null
    return $rc
}
if have_nccl && start_long >"$work/log" 2>&1; then
    check "NCCL's status service of a live job answers at the port that the job's environment has" ras_answers "$long"
    check "a rank that is stopped is named within 30 s" stopped_is_named
    tug cancel "$long" >/dev/null 2>&1
elif have_nccl; then
    not_ok "NCCL's status service of a live job answers at the port that the job's environment has"
    not_ok "a rank that is stopped is named within 30 s"
else
    skip "NCCL's status service of a live job answers at the port that the job's environment has" "$no_nccl"
    skip "a rank that is stopped is named within 30 s" "$no_nccl"
fi

# ---- who has no GPU gets none

sees_none()
{
    timeout 120 tug run -N 1 "$build/contrib/examples/nccl_allreduce" >out 2>&1
    rc=$?
    cat out
    [ "$rc" -eq 2 ]
}
if have_nccl; then
    check "a job that asked for no GPU cannot use one by what its environment says" sees_none
else
    skip "a job that asked for no GPU cannot use one by what its environment says" "$no_nccl"
fi
[ "$n" -eq "$total" ] || echo "# $n checks ran, $total are planned"
