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

@test "with --launcher=mpi Open MPI finds its ranks, and nothing of PyTorch is there" {
    [ -x digits_mpi ] && [ -f digits.csv ] || skip "mpicc or python3-sklearn is not installed"
    id=$(tug submit --parsable --launcher=mpi -N 2 --ntasks-per-node 2 --gpus-per-task 1 -t 10 -- \
        sh -c "echo \"torch has \${MASTER_ADDR-none} \${RANK-none}\"; exec $WORK/digits_mpi digits.csv")
    run tug wait "$id"
    tug logs "$id"
    [ "$status" -eq 0 ]
    [ "$(tug logs "$id" | grep -c 'of 4 .*parameters identical')" -eq 4 ]
    [ "$(tug logs "$id" | grep -c 'torch has none none')" -eq 4 ]
}

@test "with --launcher=torch a rank finds its GPU at number LOCAL_RANK, and its peers" {
    /usr/bin/python3 -c 'import torch' 2>/dev/null || skip "python3-torch is not installed"
    cat >local_rank.py <<'EOP'
import os
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
seen = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
mine = torch.tensor([int(seen[int(os.environ["LOCAL_RANK"])])])
both = [torch.zeros(1, dtype=torch.int64) for _ in range(dist.get_world_size())]
dist.all_gather(both, mine)
print("GPUs", [int(t) for t in both], "PMIx", os.environ.get("PMIX_RANK"))
EOP
    id=$(tug submit --parsable --launcher=torch -N 1 --ntasks-per-node 2 --gpus-per-task 1 -t 10 -- \
        /usr/bin/python3 local_rank.py)
    run tug wait "$id"
    tug logs "$id"
    [ "$status" -eq 0 ]
    [ "$(tug logs "$id" | grep -c 'GPUs \[0, 1\] PMIx None')" -eq 2 ]
}
