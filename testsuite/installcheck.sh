#!/bin/sh
# installcheck.sh - the installed tree runs a gang: make installcheck calls this with the installation's directories
#
# Starts a cluster of two emulated nodes from the installed programs, runs gangs on both, checks that the installed policy is
# in force, builds it against the installed header, ends the cluster. Leaves nothing.
set -u
root=${DESTDIR:-}
tug=$root$bindir/tug
work=$(mktemp -d "${TMPDIR:-/tmp}/tug-installcheck.XXXXXX") || exit 1
# Nothing of a cluster or build tree that happens to be there may help.
unset TUG_SOCKET TUG_JOB_ID
XDG_RUNTIME_DIR=$work/run
PATH=/usr/local/bin:/usr/bin:/bin
export XDG_RUNTIME_DIR PATH
mkdir -m 700 "$XDG_RUNTIME_DIR" || exit 1

finish()
{
    "$tug" sandbox stop >/dev/null 2>&1
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

fail()
{
    echo "installcheck: $*" >&2
    tail -n 5 "$XDG_RUNTIME_DIR"/tugline/sandbox/*.log >&2
    exit 1
}

for file in "$tug" "$root$sbindir/tugd" "$root$sbindir/tugnoded" "$root$sbindir/tuglaunch" "$root$libexecdir/tugstepd" \
    "$root$policydir/fifo.so" "$root$includedir/tugline/policy.h" "$root$pkgconfigdir/tugline-policy.pc"; do
    [ -e "$file" ] || fail "$file is not installed"
done

cd "$work" || exit 1
"$tug" sandbox start --nodes 2 --gpus 2 || fail "the sandbox of the installed programs did not start"
"$tug" run -N 2 -n 2 true || fail "'tug run -N 2 -n 2 true' ended with $?"
hosts=$("$tug" run -N 2 -n 2 --gpus-per-task 1 sh -c 'echo $TUG_NODE') || fail "the second gang ended with $?"
[ "$(echo "$hosts" | sort | tr '\n' ' ')" = "n1 n2 " ] || fail "a gang of two nodes ran on: $hosts"
"$tug" run -N 2 -n 2 sh -c 'exit 3' 2>/dev/null
rc=$?
[ "$rc" -eq 3 ] || fail "a gang whose ranks exit with 3 ended with $rc"
"$tug" ping --json | grep -q '"policy": *"fifo"' || fail "the installed policy fifo is not the one in force"
"$tug" sandbox stop || fail "the sandbox did not stop"
[ -z "$(find /proc/[0-9]*/cmdline -exec grep -la "$work" {} + 2>/dev/null)" ] || fail "processes are left"

# What a policy's author does: the header, one file, no more.
${CC:-cc} -std=gnu11 -fPIC -shared -I"$root$includedir" -o fifo.so "$TUG_SRCDIR/plugins/fifo.c" ||
    fail "plugins/fifo.c does not build against the installed header"
echo "installcheck: the installed tree runs gangs"
