#!/usr/bin/python3
"""Train a digits classifier data-parallel with PyTorch DDP; started as every rank by Tugline.

Everything it needs to find its peers comes from the environment (env://): MASTER_ADDR, MASTER_PORT, RANK,
WORLD_SIZE. Data: the handwritten digits of scikit-learn (1,797 images of 8 x 8). Prints one line a rank, and on
rank 0 "accuracy 0.9xx"; exits 1 when the ranks' parameters differ or the accuracy is below --floor.
"""
import argparse
import datetime
import os
import sys
import time

T0 = time.time()
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def load(rank, world):
    """This rank's share of the training set, and the whole test set (300 images), the same split everywhere."""
    digits = load_digits()
    x = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    train, test = order[:-300], order[-300:]
    mine = train[rank::world][: len(train) // world]  # equal shares: every rank does the same number of steps
    return x[mine], y[mine], x[test], y[test]


def train(model, x, y, epochs, batch):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch))
        for i in range(0, len(x) - batch + 1, batch):
            at = order[i : i + batch]
            optimizer.zero_grad()
            loss = loss_of(model(x[at]), y[at])
            loss.backward()
            optimizer.step()
        if dist.get_rank() == 0:
            print(f"epoch {epoch + 1} loss {loss.item():.3f}", flush=True)


def same_everywhere(model):
    """Do all ranks hold bit-identical parameters?"""
    mine = torch.tensor([sum(p.double().sum().item() for p in model.parameters())], dtype=torch.float64)
    all_sums = [torch.zeros_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(all_sums, mine)
    return all(torch.equal(mine, other) for other in all_sums)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--epochs", type=int, default=12)
    args.add_argument("--batch", type=int, default=32)
    args.add_argument("--floor", type=float, default=0.90)
    args = args.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    backend = "nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    imported = time.time()
    dist.init_process_group(backend, init_method="env://", timeout=datetime.timedelta(seconds=120))
    wired = time.time()
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    x, y, x_test, y_test = load(rank, world)
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    model = DistributedDataParallel(net)
    train(model, x, y, args.epochs, args.batch)
    trained = time.time()
    with torch.no_grad():
        accuracy = (net(x_test).argmax(1) == y_test).float().mean().item()
    same = same_everywhere(net)
    print(
        f"rank {rank} of {world} on {os.environ.get('SLURMD_NODENAME') or os.environ.get('TUG_NODE', '?')}"
        f" gpu {os.environ.get('CUDA_VISIBLE_DEVICES', '-')} parameters {'identical' if same else 'DIFFER'}",
        flush=True,
    )
    dist.barrier()
    if rank == 0:
        print(f"times: import {imported - T0:.2f} s, wire-up {wired - imported:.2f} s, training {trained - wired:.2f} s")
        print(f"accuracy {accuracy:.3f}", flush=True)
    return 0 if same and accuracy >= args.floor else 1


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # torch 1.13 can hang when it takes its gloo threads down (seen in 2 of 5 runs)
