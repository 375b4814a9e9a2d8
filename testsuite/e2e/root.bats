#!/usr/bin/env bats
# As root: daemons without privileges, ranks as the user who submitted, nobody else's.

load common

TUGD_UID=64321
ALICE=64322
BOB=64323

as() { setpriv --reuid "$1" --regid "$1" --clear-groups -- "${@:2}"; }

setup_file()
{
    [ "$(id -u)" -eq 0 ] || return 0 # every test says SKIP and why, see setup
    export NO_COLOR=1
    # Away from bats' own directory, which is root's alone.
    ROOT_DIR=$(mktemp -d /tmp/tug-root.XXXXXX)
    export ROOT_DIR TUG_SOCKET=$ROOT_DIR/run/tugd.sock
    chmod 711 "$ROOT_DIR"
    mkdir "$ROOT_DIR"/{bin,state,run,alice,bob}
    chmod 755 "$ROOT_DIR/bin"
    for p in tug tugd tugnoded tuglaunch tugstepd; do cp "$TUG_BUILDDIR/$p" "$ROOT_DIR/bin/"; done
    chown $TUGD_UID:$TUGD_UID "$ROOT_DIR/state" "$ROOT_DIR/run"
    chmod 700 "$ROOT_DIR/state"
    chown $ALICE:$ALICE "$ROOT_DIR/alice"
    chown $BOB:$BOB "$ROOT_DIR/bob"
    cp "$TUG_BUILDDIR"/plugins/{multifactor,easy}.so "$ROOT_DIR/bin/"
    cat >"$ROOT_DIR/tugline.yaml" <<EOF
cluster:
  name: rooted
  state_dir: $ROOT_DIR/state
  run_dir: $ROOT_DIR/run
  listen: "127.0.0.1:0"
scheduler:
  policy_dirs: [$ROOT_DIR/bin]
nodes:
  - name: r[1-2]
    gpus: 4
EOF
    PATH=$ROOT_DIR/bin:$PATH
    # Not by as(): the pid must be the daemon's, not that of a shell around it.
    setpriv --reuid $TUGD_UID --regid $TUGD_UID --clear-groups tugd --config "$ROOT_DIR/tugline.yaml" >"$ROOT_DIR/tugd.log" 2>&1 3>&- &
    echo $! >"$ROOT_DIR/pids"
    until_ok 20 test -s "$ROOT_DIR/run/endpoint"
    cp "$ROOT_DIR/state/keys/controller.pub" "$ROOT_DIR/controller.pub"
    chmod 644 "$ROOT_DIR/controller.pub"
    for n in r1 r2; do
        mkdir -p "$ROOT_DIR/$n/state"
        chown -R $TUGD_UID:$TUGD_UID "$ROOT_DIR/$n/state"
        chmod 711 "$ROOT_DIR/$n"
        chmod 700 "$ROOT_DIR/$n/state"
        tuglaunch --emulated --node $n --cluster rooted --controller-pub "$ROOT_DIR/controller.pub" \
            --run-dir "$ROOT_DIR/$n/run" --stepd "$ROOT_DIR/bin/tugstepd" --cgroup-root none \
            --noded-uid $TUGD_UID --noded-gid $TUGD_UID -- "$ROOT_DIR/bin/tugnoded" --node $n \
            --controller "$(cat "$ROOT_DIR/run/endpoint")" --cluster rooted --key "$ROOT_DIR/$n/state/node.key" \
            --controller-pub "$ROOT_DIR/controller.pub" --state-dir "$ROOT_DIR/$n/state" --run-dir "$ROOT_DIR/$n/run" \
            --address 127.0.0.1 --cpus 8 --memory 8G --gpus 4 >"$ROOT_DIR/$n/log" 2>&1 3>&- &
        echo $! >>"$ROOT_DIR/pids"
        until_ok 20 test -s "$ROOT_DIR/$n/state/node.key.pub"
        # What an admin does once for a new node.
        cp "$ROOT_DIR/$n/state/node.key.pub" "$ROOT_DIR/state/keys/nodes/$n.pub"
        chown $TUGD_UID:$TUGD_UID "$ROOT_DIR/state/keys/nodes/$n.pub"
    done
    until_ok 30 bash -c '[ "$(tug nodes --json | grep -o IDLE | wc -l)" -eq 2 ]' || { cat "$ROOT_DIR"/tugd.log "$ROOT_DIR"/r*/log >&2; return 1; }
}

teardown_file()
{
    [ -n "${ROOT_DIR:-}" ] || return 0
    while read -r pid; do kill -TERM "$pid" 2>/dev/null || :; done <"$ROOT_DIR/pids"
    until_ok 20 bash -c 'while read -r p; do kill -0 "$p" 2>/dev/null && exit 1; done <"$ROOT_DIR/pids"; exit 0'
    rm -rf "$ROOT_DIR"
}

setup()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root: it drops to other uids"
    PATH=$ROOT_DIR/bin:$PATH
}

@test "ranks run as the user who submitted, cannot become root again, and write as that user" {
    cd "$ROOT_DIR/alice"
    run as $ALICE tug run -N 2 -n 2 -l sh -c 'id -u; id -g; grep NoNewPrivs /proc/self/status; touch made.$RANK'
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"0: $ALICE"* ]]
    [[ "$output" == *"1: $ALICE"* ]]
    [[ "$output" == *"NoNewPrivs:"*1* ]]
    [ "$(stat -c %u "$ROOT_DIR/alice/made.0")" = $ALICE ]
}

@test "the daemons that talk to the network are not root" {
    for p in /proc/[0-9]*; do
        case "$(cat "$p/comm" 2>/dev/null)" in
        tugd | tugnoded)
            grep -q -F "$ROOT_DIR" <(tr '\0' ' ' <"$p/cmdline") || continue
            [ "$(awk '/^Uid:/ { print $2 }' "$p/status")" = $TUGD_UID ] ;;
        esac
    done
}

@test "another user's job cannot be cancelled" {
    cd "$ROOT_DIR/alice"
    id=$(as $ALICE tug submit --parsable -N 1 -- sleep 600)
    run as $BOB tug cancel "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"belongs to"* ]]
    as $ALICE tug cancel "$id"
    run as $ALICE tug wait "$id"
    [ "$(field "$id" state)" = CANCELLED ]
}

@test "another user's job cannot be held, and what an administrator holds only he releases" {
    cd "$ROOT_DIR/alice"
    id=$(as $ALICE tug submit --parsable --hold -N 1 -- true)
    run as $BOB tug release "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"belongs to"* ]]
    tug hold --why "looked after" "$id"
    run as $ALICE tug release "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"is held by root, an administrator: looked after; only an administrator releases it"* ]]
    [ "$(field "$id" reason)" = JobHeldAdmin ]
    tug release "$id"
    as $ALICE tug wait "$id"
    [ "$(field "$id" state)" = COMPLETED ]
}

@test "a user cannot go before others by a nice below 0" {
    cd "$ROOT_DIR/alice"
    run as $ALICE tug submit --nice=-5 -- true
    [ "$status" -eq 1 ]
    [[ "$output" == *"only an administrator may; give 0 or more"* ]]
    run as $ALICE tug submit --parsable --nice=5 -- true
    [ "$status" -eq 0 ]
}

@test "a job of root is refused" {
    run tug submit -- true
    [ "$status" -eq 1 ]
    [[ "$output" == *"min_uid"* ]]
}

@test "an output file that the user may not write fails that job only" {
    cd "$ROOT_DIR/alice"
    id=$(as $ALICE tug submit --parsable -o "$ROOT_DIR/bob/out" -- true)
    run as $ALICE tug wait "$id"
    [ "$status" -ne 0 ]
    [[ "$(field "$id" cause.text)" == *"$ROOT_DIR/bob/out"* ]]
    [ ! -e "$ROOT_DIR/bob/out" ]
}

@test "what a job leaves behind in its own session is gone when it ends" {
    cd "$ROOT_DIR/alice"
    id=$(as $ALICE tug submit --parsable -- sh -c 'setsid sleep 7654 & sleep 0.3')
    run as $ALICE tug wait "$id"
    until_ok 10 bash -c '! grep -l -s -a "^sleep.7654" /proc/[0-9]*/cmdline | grep -q .'
}
