#!/usr/bin/env bats
# The main job: two gangs of 4 nodes x 2 ranks train on the handwritten digits.

load common

setup_file() { sandbox_up --nodes 4 --gpus 8; }
teardown_file() { sandbox_down; }
setup() { cd "$WORK" || return 1; }

@test "PyTorch DDP trains over gloo with env://" {
    /usr/bin/python3 -c 'import torch, sklearn' 2>/dev/null || skip "python3-torch or python3-sklearn is not installed"
    id=$(tug submit --parsable -N 4 --ntasks-per-node 2 --gpus-per-task 1 -t 10 -- \
        /usr/bin/python3 "$TUG_SRCDIR/contrib/examples/digits_ddp.py" --epochs 12)
    run tug wait "$id"
    tug logs "$id"
    [ "$status" -eq 0 ]
    [ "$(tug logs "$id" | grep -c 'parameters identical')" -eq 8 ]
    tug logs --rank 0 "$id" | awk '$1 == "accuracy" && $2 >= 0.90 { ok = 1 } END { exit !ok }'
}

@test "Open MPI trains with all-reduce, without mpirun" {
    command -v mpicc >/dev/null || skip "mpicc is not installed"
    data=$(/usr/bin/python3 -c 'import os, sklearn; print(os.path.dirname(sklearn.__file__))' 2>/dev/null)/datasets/data/digits.csv.gz
    [ -f "$data" ] || skip "python3-sklearn is not installed"
    mpicc -O2 -o digits_mpi "$TUG_SRCDIR/contrib/examples/digits_mpi.c" -lm
    zcat "$data" >digits.csv
    id=$(tug submit --parsable -N 4 --ntasks-per-node 2 --gpus-per-task 1 -t 10 -- "$WORK/digits_mpi" digits.csv)
    run tug wait "$id"
    tug logs "$id"
    [ "$status" -eq 0 ]
    [ "$(tug logs "$id" | grep -c 'of 8 .*parameters identical')" -eq 8 ]
    tug logs --rank 0 "$id" | awk '$1 == "accuracy" && $2 >= 0.90 { ok = 1 } END { exit !ok }'
    [ "$(field "$id" wired_ms)" -gt 0 ]
}
