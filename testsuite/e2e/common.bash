# common.bash - what the end-to-end tests share: one sandbox a file, real daemons from this build tree
#
# Every file that loads this starts a sandbox of its own in a directory of its own and stops it at its end, also when a
# test failed. No test sleeps for luck: until() polls for a condition and gives up with what it saw.

# sandbox_up [ARGS of tug sandbox start]: to be called from setup_file
sandbox_up()
{
    export XDG_RUNTIME_DIR="$BATS_FILE_TMPDIR/run"
    export WORK="$BATS_FILE_TMPDIR/work"
    export NO_COLOR=1
    unset TUG_SOCKET
    mkdir -p -m 700 "$XDG_RUNTIME_DIR" "$WORK"
    cd "$WORK" || return 1
    tug sandbox start "$@" >"$BATS_FILE_TMPDIR/start.log" 2>&1 || { cat "$BATS_FILE_TMPDIR/start.log" >&2; return 1; }
}

# to be called from teardown_file
sandbox_down()
{
    tug sandbox stop >"$BATS_FILE_TMPDIR/stop.log" 2>&1 || { cat "$BATS_FILE_TMPDIR/stop.log" >&2; return 1; }
}

# until SECONDS COMMAND...: poll until the command succeeds; less and less often, as whoever waits takes CPU from the others
until_ok()
{
    local end=$((SECONDS + $1)) pauses="0.05 0.05 0.05 0.05 0.1 0.1 0.1 0.1 0.15 0.2"
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || { echo "gave up waiting for: $*" >&2; return 1; }
        read -r -t "${pauses%% *}" <> <(:) || :
        pauses=${pauses#* }
    done
}

# field JOB NAME: a field of tug show --json
field()
{
    tug show --json "$1" | python3 -c 'import json, sys
job = json.load(sys.stdin)["job"]
for name in sys.argv[1].split("."):
    job = job[name] if job is not None else None
print(job)' "$2"
}

state_is() { [ "$(field "$1" state)" = "$2" ]; }

# pids_of PROGRAM: processes of this sandbox with that program name
pids_of()
{
    local p
    for p in /proc/[0-9]*; do
        [ "$(cat "$p/comm" 2>/dev/null)" = "$1" ] || continue
        grep -q -F -- "$XDG_RUNTIME_DIR" <(tr '\0' ' ' <"$p/cmdline" 2>/dev/null) && echo "${p#/proc/}"
    done
    return 0
}

# launcher_of NODE: the launcher of that node of this sandbox
launcher_of()
{
    local p
    for p in $(pids_of tuglaunch); do
        ! tr '\0' '\n' <"/proc/$p/cmdline" | grep -q "/nodes/$1/run$" || { echo "$p"; return; }
    done
}
