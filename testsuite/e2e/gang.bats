#!/usr/bin/env bats
# Gangs and scripts through the real daemons.

load common

setup_file() { sandbox_up --nodes 4 --gpus 8; }
teardown_file() { sandbox_down; }
setup() { cd "$WORK" || return 1; }

@test "a gang runs as every rank on every node, with its GPUs" {
    id=$(tug submit --parsable -N 4 --ntasks-per-node 2 --gpus-per-task 1 -- \
        sh -c 'echo "rank $RANK of $WORLD_SIZE local $LOCAL_RANK node $NODE_RANK gpus $CUDA_VISIBLE_DEVICES"')
    run tug wait "$id"
    [ "$status" -eq 0 ]
    [ "$(field "$id" state)" = COMPLETED ]
    run tug logs "$id"
    [ "${#lines[@]}" -eq 8 ]
    for r in 0 1 2 3 4 5 6 7; do
        [[ "$output" == *"$r: rank $r of 8 local $((r % 2)) node $((r / 2)) gpus $((r % 2))"* ]]
    done
}

@test "GPUs that do not fill the nodes leave a smaller slice on the last, and the ranks follow them" {
    id=$(tug submit --parsable --gpus 12 --gpus-per-task 1 -- sh -c \
        'echo "$RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE node $NODE_RANK gpus $CUDA_VISIBLE_DEVICES of $SLURM_GPUS_ON_NODE tasks $SLURM_TASKS_PER_NODE cpus $SLURM_JOB_CPUS_PER_NODE"')
    tug wait "$id"
    run tug logs "$id"
    [ "${#lines[@]}" -eq 12 ]
    for r in 0 1 2 3 4 5 6 7; do
        [[ "$output" == *"$r: $r/12 $r/8 node 0 gpus $r of 8 tasks 8,4 cpus 8,4"* ]]
    done
    for r in 8 9 10 11; do
        [[ "$output" == *"$r: $r/12 $((r - 8))/4 node 1 gpus $((r - 8)) of 4 tasks 8,4 cpus 8,4"* ]]
    done
    run tug show "$id"
    [[ "$output" == *"2 nodes, 12 ranks, 12 GPUs (8 on each node, 4 on the last), 12 CPUs"* ]]
    id=$(tug submit --parsable --gpus 12 -- sh -c 'echo "$RANK/$WORLD_SIZE gpus $CUDA_VISIBLE_DEVICES"')
    tug wait "$id"
    run tug logs "$id"
    [[ "$output" == *"0: 0/2 gpus 0,1,2,3,4,5,6,7"* ]]
    [[ "$output" == *"1: 1/2 gpus 0,1,2,3"* ]]
    run tug submit --gpus 12 --gpus-per-node 8 -- true
    [ "$status" -ne 0 ]
    [[ "$output" == *"12 GPUs are not a multiple of 8 GPUs per node; ask for 8 or 16"* ]]
}

@test "a step over an uneven gang stands as its ranks do" {
    cat >uneven.sh <<'EOF'
#!/bin/sh
#SBATCH --gpus=10 --gpus-per-task=1
tug run -l sh -c 'echo "step rank $RANK local $LOCAL_RANK/$LOCAL_WORLD_SIZE gpus $CUDA_VISIBLE_DEVICES"'
EOF
    id=$(tug submit --parsable uneven.sh)
    tug wait "$id"
    run tug logs "$id"
    [[ "$output" == *"7: step rank 7 local 7/8 gpus 7"* ]]
    [[ "$output" == *"9: step rank 9 local 1/2 gpus 1"* ]]
}

@test "tug logs --rank shows one rank, without its label" {
    id=$(tug submit --parsable -N 2 -n 4 -- sh -c 'echo "I am $RANK"; echo "again $RANK"')
    tug wait "$id"
    run tug logs --rank 3 "$id"
    [ "$output" = "$(printf 'I am 3\nagain 3')" ]
}

@test "a script with #SBATCH lines runs once and can start steps in its allocation" {
    cat >job.sh <<'EOF'
#!/bin/sh
#SBATCH --job-name=my-script
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --gpus-per-node=4
#SBATCH --time=5
echo "script on $SLURM_NNODES nodes, $SLURM_NTASKS tasks, args $*"
tug run -l sh -c 'echo "step rank $RANK of $WORLD_SIZE"'
echo "step gave $?"
EOF
    id=$(tug submit --parsable job.sh one two)
    run tug wait "$id"
    [ "$status" -eq 0 ]
    [ "$(field "$id" name)" = my-script ]
    [ "$(field "$id" time_limit_s)" = 300 ]
    run tug logs "$id"
    [[ "$output" == *"script on 2 nodes, 4 tasks, args one two"* ]]
    for r in 0 1 2 3; do [[ "$output" == *"$r: step rank $r of 4"* ]]; done
    [[ "$output" == *"step gave 0"* ]]
}

@test "the command line wins over #TUG, and #TUG over #SBATCH" {
    printf '#!/bin/sh\n#SBATCH -J from-sbatch\n#TUG -J from-tug\n#SBATCH -N 3\n#TUG -N 2\ntrue\n' >p.sh
    id=$(tug submit --parsable p.sh)
    tug wait "$id"
    [ "$(field "$id" name)" = from-tug ]
    [ "$(field "$id" nodes)" = 2 ]
    id=$(tug submit --parsable -J from-line -N 1 p.sh)
    tug wait "$id"
    [ "$(field "$id" name)" = from-line ]
    [ "$(field "$id" nodes)" = 1 ]
}

@test "a gang that does not fit waits, says why, and starts when there is room" {
    first=$(tug submit --parsable -N 4 --gpus-per-node 8 -- sleep 600)
    until_ok 20 state_is "$first" RUNNING
    second=$(tug submit --parsable -N 4 --gpus-per-node 8 -- true)
    third=$(tug submit --parsable -N 1 --gpus-per-node 1 -- true)
    [ "$(field "$second" state)" = PENDING ]
    [ "$(field "$second" reason)" = Resources ]
    [ "$(field "$third" reason)" = Resources ]
    run tug queue
    [[ "$output" == *"Resources"* ]]
    tug cancel "$first"
    tug wait "$second"
    tug wait "$third"
    [ "$(field "$first" state)" = CANCELLED ]
    [ "$(field "$second" state)" = COMPLETED ]
}

@test "a failed rank ends the gang within two seconds and is named" {
    start=$(date +%s%N)
    id=$(tug submit --parsable -N 4 --ntasks-per-node 2 -- sh -c '[ $RANK = 5 ] && { echo "rank 5 gives up"; exit 7; }; sleep 600')
    run tug wait "$id"
    took=$((($(date +%s%N) - start) / 1000000))
    [ "$status" -eq 7 ]
    [ "$took" -lt 10000 ]
    [ "$(field "$id" state)" = FAILED ]
    [ "$(field "$id" cause.rank)" = 5 ]
    [ "$(field "$id" cause.exit.exit_code)" = 7 ]
    [ "$(field "$id" cause.node)" = "$(tug show --json "$id" | python3 -c 'import json,sys; print(json.load(sys.stdin)["job"]["slices"][2]["node"])')" ]
    run tug logs --first-failure "$id"
    [[ "$output" == *"rank 5 gives up"* ]]
}

@test "a rank killed by a signal is named with the signal" {
    id=$(tug submit --parsable -N 2 -n 2 -- sh -c '[ $RANK = 1 ] && kill -SEGV $$; sleep 600')
    run tug wait "$id"
    [ "$status" -eq 139 ]
    [ "$(field "$id" cause.rank)" = 1 ]
    [ "$(field "$id" cause.exit.signal)" = 11 ]
}

@test "an exit that was asked for runs the job again, attempts are listed, and tug requeue does so by hand" {
    id=$(tug submit --parsable --requeue-on=75,SIGBUS --requeue-delay=1s -N 2 -- sh -c \
        'case $TUG_ATTEMPT$RANK in 11) exit 75;; 1*|3*) exec sleep 100;; 21) kill -BUS $$;; 2*) exec sleep 100;; esac')
    until_ok 20 bash -c "[ \$(tug show --json $id | grep -c '\"state\":\"RUNNING\".*\"attempt\":3') -eq 1 ]"
    [ "$(field "$id" requeues_counted)" = 2 ]
    run tug show "$id"
    [[ "$output" == *"runs again"*"after a lost node and exits 75,SIGBUS: 2 times of at most 10, at first after 0:01"* ]]
    [[ "$output" == *"attempts"*"1: ended "*"exited with code 75"*"2: ended "*"killed by signal 7"* ]]
    run tug requeue --why "new data" "$id"
    [ "$output" = "Requeued job $id" ]
    tug wait "$id"
    [ "$(field "$id" attempt)" = 4 ]
    [ "$(field "$id" requeues_counted)" = 0 ]
    run tug show "$id"
    [[ "$output" == *"3: ended "*"requeued by "*": new data"* ]]
    run tug requeue "$id"
    [ "$status" -ne 0 ]
    [[ "$output" == *"job $id is over already (COMPLETED)"* ]]
    id=$(tug submit --parsable --requeue-on=75 --requeue-delay=1h -- sh -c 'exit 75')
    until_ok 20 bash -c "[ \$(tug show $id | grep -c 'not before') -eq 1 ]"
    run tug queue "$id"
    [[ "$output" == *BackOff* ]]
    tug cancel "$id"
    [ "$(field "$id" state)" = CANCELLED ]
}

@test "a held job waits with who, since when and why, and starts when it is released; what runs is put back held" {
    printf '#!/bin/sh\n#SBATCH --hold -N 2\nexec sleep 600\n' >held.sh
    id=$(tug submit --parsable held.sh)
    tug run -N 4 -- true # whatever is free
    run tug queue "$id"
    [[ "$output" == *" PD "*"(JobHeldUser: held by "*" since "*"; tug release $id)"* ]]
    run tug hold --why "data comes at noon" "$id"
    [ "$status" -eq 0 ]
    [[ "$output" == *"job $id is held already"* ]]
    run tug release --me
    [ "$output" = "Released job $id" ]
    until_ok 20 state_is "$id" RUNNING
    run tug hold "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"job $id is RUNNING: only what waits is held; 'tug requeue --hold $id' ends the attempt and holds the job"* ]]
    run tug requeue --hold --why "wrong data" "$id"
    [ "$output" = "Requeued job $id, held" ]
    until_ok 20 state_is "$id" PENDING
    run tug show "$id"
    [[ "$output" == *"attempt 2"*"JobHeldUser: held by "*" (wrong data); tug release $id; attempt 1 ended early: requeued by"* ]]
    run tug queue -o id,held "$id"
    [[ "$output" == *HELD*"$id  "*:* ]]
    tug cancel "$id"
    [ "$(field "$id" state)" = CANCELLED ]
    [ "$(field "$id" held)" = None ]
    run tug history --events -H "$id"
    [ "${#lines[@]}" -eq 7 ] # also what was asked twice is there once
    [[ "${lines[0]}" == *" $id.1 "*" submit "*" PENDING "* ]]
    [[ "${lines[1]}" == *" hold "*"$(id -un)"* ]]
    [[ "${lines[2]}" == *" release "* ]]
    [[ "${lines[3]}" == *" start "* ]]
    [[ "${lines[4]}" == *" requeue "*"wrong data"* ]]
    [[ "${lines[5]}" == *" hold "*"$(id -un)"*"wrong data"* ]]
    [[ "${lines[6]}" == *" end "*" CANCELLED "*"cancelled by"* ]]
    tug history --events --json "$id" | python3 -c 'import json, sys
what = [e["what"] for e in json.load(sys.stdin)["events"]]
assert what == ["end", "hold", "requeue", "start", "release", "hold", "submit"], what'
}

@test "the time limit ends a gang" {
    id=$(tug submit --parsable -N 2 -n 2 -t 1s -- sleep 600)
    run tug wait "$id"
    [ "$status" -ne 0 ]
    [ "$(field "$id" state)" = TIMEOUT ]
}

@test "an output path that cannot be written fails the job with that sentence" {
    id=$(tug submit --parsable -N 1 -o /nonexistent/dir/out.txt -- true)
    run tug wait "$id"
    [ "$status" -ne 0 ]
    [ "$(field "$id" state)" = FAILED ]
    [[ "$(field "$id" cause.text)" == *"/nonexistent/dir/out.txt"* ]]
    tug ping
}

@test "a command that is not there fails the job and is named" {
    id=$(tug submit --parsable -N 2 -n 2 -- no-such-command-anywhere)
    run tug wait "$id"
    [ "$status" -eq 127 ]
    [[ "$(field "$id" cause.text)" == *"no-such-command-anywhere"* ]]
}

@test "history keeps what ended" {
    id=$(tug submit --parsable -J remembered -N 1 -- sh -c 'exit 3')
    tug wait "$id" || true
    run tug history --json
    [ "$status" -eq 0 ]
    echo "$output" | python3 -c '
import json, sys
jobs = {j["id"]: j for j in json.load(sys.stdin)["jobs"]}
job = jobs[int(sys.argv[1])]
assert job["name"] == "remembered" and job["state"] == "FAILED" and job["exit"]["exit_code"] == 3, job' "$id"
}

@test "follow shows the output as it comes and ends with the job" {
    id=$(tug submit --parsable -N 1 -n 1 -- sh -c 'echo one; sleep 1; echo two')
    run timeout 20 tug logs -f "$id"
    [ "$status" -eq 0 ]
    [[ "$output" == *one*two* ]]
}

@test "parts of a GPU fill one GPU, are told to the job, and are shown" {
    first=$(tug submit --parsable --gpu-share 0.5 -w n4 -- sh -c 'echo "GPU $CUDA_VISIBLE_DEVICES share $TUG_GPU_SHARE"; sleep 600')
    until_ok 20 state_is "$first" RUNNING
    second=$(tug submit --parsable --gpu-share=0.25 -w n4 -- sh -c 'echo "GPU $CUDA_VISIBLE_DEVICES share $TUG_GPU_SHARE"; sleep 600')
    third=$(tug submit --parsable --gpu-share=0.3 -w n4 -- sh -c 'echo "GPU $CUDA_VISIBLE_DEVICES share $TUG_GPU_SHARE"; sleep 600')
    until_ok 20 state_is "$second" RUNNING
    until_ok 20 state_is "$third" RUNNING
    until_ok 20 sh -c "tug logs $third | grep -q share"
    [ "$(tug logs "$first")" = "GPU 0 share 0.5" ]
    [ "$(tug logs "$second")" = "GPU 0 share 0.25" ]
    [ "$(tug logs "$third")" = "GPU 1 share 0.3" ]
    run tug show "$first"
    [[ "$output" == *"0.5 of a GPU"* ]]
    [[ "$output" == *"0.5 of GPU 0, 1 CPUs"* ]]
    run tug queue --columns id,gpus
    [[ "$output" == *"0.25"* ]]
    tug cancel "$first" "$second" "$third"
    run tug submit --gpu-share 0.5 --gpus 2 -- true
    [ "$status" -ne 0 ]
    [[ "$output" == *"--gpu-share gives a part of one GPU and contradicts --gpus"* ]]
}
