#!/usr/bin/env bats
# What ranks get on a machine whose GPUs are linked unevenly: a DGX-1 (V100), where each GPU has NVLinks to four others.

load common

setup_file() { sandbox_up --nodes 1 --machine dgx1-v100; }
teardown_file() { sandbox_down; }
setup() { cd "$WORK" || return 1; }

@test "ranks stand along a ring of NVLinks, each with its own GPU" {
    id=$(tug submit --parsable --gpus 8 --gpus-per-task 1 -- sh -c 'echo "$CUDA_VISIBLE_DEVICES"')
    tug wait "$id"
    tug logs "$id" | sort -n | sed 's/.*: //' >ring
    tug node topo n1 --json >topo.json
    python3 - ring topo.json <<'EOP'
import base64, json, sys
ring = [int(line) for line in open(sys.argv[1])]
links = json.load(open(sys.argv[2]))
def find(v, key):
    if isinstance(v, dict):
        if key in v:
            return v[key]
        v = list(v.values())
    for x in v if isinstance(v, list) else []:
        found = find(x, key)
        if found is not None:
            return found
nvlinks = base64.b64decode(find(links, "nvlinks"))
assert sorted(ring) == list(range(8)), ring
for a, b in zip(ring, ring[1:] + ring[:1]):
    assert nvlinks[8 * a + b] > 0, (ring, a, b)
EOP
}

@test "a rank of several GPUs sees them in the order of the ring, and the NICs next to them" {
    id=$(tug submit --parsable --gpus 8 --ntasks 1 -- sh -c 'echo "$CUDA_VISIBLE_DEVICES $NCCL_IB_HCA"')
    tug wait "$id"
    [ "$(tug logs "$id")" = "$(paste -sd, ring) =mlx5_0,mlx5_1,mlx5_2,mlx5_3" ]
}
