#!/usr/bin/env bats
# Who holds a gang up: found and said through the real daemons.

load common

setup_file() { sandbox_up --nodes 3 --gpus 4; }
teardown_file() { sandbox_down; }
setup() { cd "$WORK" || return 1; }

held_up() { [ "$(field "$1" hang.kind 2>/dev/null)" = "$2" ]; }
not_held_up() { [ "$(field "$1" hang)" = None ]; }

@test "a rank that stops is named in tug show with node and GPU within 30 seconds, with no option said" {
    id=$(tug submit --parsable -N 3 --ntasks-per-node 2 --gpus-per-task 1 -- sh -c \
        'echo $$ >pid$RANK; if [ $RANK = 4 ]; then echo stopping; kill -STOP $$; fi
         while [ ! -e enough ]; do sleep 0.2; done')
    until_ok 30 grep -q stopping "tug-$id.out"
    SECONDS=0
    until_ok 30 held_up "$id" stopped
    echo "# named after $SECONDS s" >&3
    run tug show "$id"
    [[ "$output" =~ held\ up\ +rank\ 4\ on\ node\ n3\ \(GPU\ 0\)\ is\ stopped\ by\ a\ signal\ \(sh,\ pid\ $(cat pid4)\),\ for ]]
    [ "$(field "$id" hang.rank)" = 4 ]
    [ "$(field "$id" hang.node)" = n3 ]
    run tug queue
    [[ "$output" == *"(stopped: rank 4 on n3)"* ]]
    grep -q '^\[tug: .* rank 4 on node n3 (GPU 0) is stopped by a signal' "tug-$id.out"
    kill -CONT "$(cat pid4)"
    until_ok 30 not_held_up "$id"
    touch enough
    tug wait "$id"
    [ "$(field "$id" state)" = COMPLETED ]
    grep -q 'the ranks go on' "tug-$id.out"
}

@test "a gang of torch whose rank sleeps before the collective is seen to hang, and by whom" {
    /usr/bin/python3 -c 'import torch.distributed' 2>/dev/null || skip "no torch in /usr/bin/python3"
    cat >hang.py <<'EOP'
import os, time, torch, torch.distributed as dist
dist.init_process_group("gloo")
x = torch.ones(1)
dist.all_reduce(x)
print("reduced", flush=True)
if dist.get_rank() == 1:
    time.sleep(1000)
dist.all_reduce(x)
EOP
    id=$(tug submit --parsable -N 3 --hang-timeout=6s -- /usr/bin/python3 hang.py)
    until_ok 60 grep -q '1: reduced' "tug-$id.out"
    SECONDS=0
    until_ok 40 held_up "$id" stuck
    echo "# named after $SECONDS s, with a time-out of 6 s" >&3
    [ "$(field "$id" hang.rank)" = 1 ]
    [ "$(field "$id" hang.node)" = n2 ]
    [[ "$(field "$id" hang.text)" == "rank 1 on node n2 sleeps in"*"while all 2 others wait for it"* ]]
    tug cancel "$id"
    tug wait "$id" || true
}

@test "a slow but healthy gang is left alone" {
    cat >slow.sh <<'EOP'
mkfifo f$RANK 2>/dev/null; exec 3<>f$RANK
if [ $RANK = 0 ]; then
    sleep 8                                                      # loads data
    i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done          # computes
    dd if=/dev/zero of=checkpoint bs=64k count=400 2>/dev/null   # writes a checkpoint
    for r in 1 2; do echo go >f$r; done
else
    read go <&3
fi
EOP
    id=$(tug submit --parsable -N 3 -- sh slow.sh)
    tug wait "$id"
    [ "$(field "$id" state)" = COMPLETED ]
    [ "$(field "$id" hang)" = None ]
    [ ! -s "tug-$id.out" ]
}

@test "a step of a batch script is watched with the script's options" {
    cat >job.sh <<'EOP'
#!/bin/sh
#SBATCH --nodes=2
#TUG --hang-timeout=3s
tug run sh -c 'echo $$ >step$RANK; test $RANK = 1 && kill -STOP $$; while [ ! -e enough2 ]; do sleep 0.2; done'
EOP
    id=$(tug submit --parsable job.sh)
    until_ok 40 held_up "$id" stopped
    [ "$(field "$id" hang.step)" = 1 ]
    [ "$(field "$id" hang.rank)" = 1 ]
    touch enough2
    kill -CONT "$(cat step1)"
    tug wait "$id"
    [ "$(field "$id" state)" = COMPLETED ]
    [ "$(field "$id" hang)" = None ]
}

@test "a gang that hangs is written down, ended and run again, and then goes through" {
    id=$(tug submit --parsable -N 3 --on-hang=requeue --hang-timeout=3s -- sh -c \
        'echo "attempt $TUG_ATTEMPT"; mkfifo g$TUG_ATTEMPT.$RANK; exec 3<>g$TUG_ATTEMPT.$RANK
         if [ $TUG_ATTEMPT = 2 ]; then exit 0; fi
         if [ $RANK = 2 ]; then
             while [ $(cut -d" " -f14 /proc/$$/stat) -lt 60 ]; do m=0; while [ $m -lt 50000 ]; do m=$((m + 1)); done; done
             exec sleep 1000
         fi; read x <&3')
    tug wait "$id"
    [ "$(field "$id" state)" = COMPLETED ]
    [ "$(field "$id" attempt)" = 2 ]
    [ "$(field "$id" hang)" = None ]
    [[ "$(field "$id" cause.text)" == "the gang hung: rank 2 on node n3 sleeps in"* ]]
    grep -q '^rank 2 on node n3 sleeps in' "tug-$id.hang/1.0.rank2.txt"
    grep -q '^-- gdb' "tug-$id.hang/1.0.rank2.txt"
}

@test "a batch job whose step hangs is run again as a whole" {
    cat >again.sh <<'EOP'
#!/bin/sh
#TUG --nodes=2 --on-hang=requeue --hang-timeout=3s
tug run sh -c 'test $TUG_ATTEMPT = 2 || test $RANK = 0 || kill -STOP $$; true'
EOP
    id=$(tug submit --parsable again.sh)
    tug wait "$id"
    [ "$(field "$id" state)" = COMPLETED ]
    [ "$(field "$id" attempt)" = 2 ]
}

@test "the watch can be switched off, and what cannot be meant is refused" {
    id=$(tug submit --parsable --on-hang=off --hang-timeout=1s -- sh -c \
        '(sleep 4; kill -CONT $$) & kill -STOP $$; wait')
    tug wait "$id"
    [ "$(field "$id" hang)" = None ]
    [ ! -s "tug-$id.out" ]
    run tug submit --on-hang=maybe -- true
    [ "$status" -ne 0 ]
    [[ "$output" == *"'maybe' is none of notify, dump, requeue, off"* ]]
}
