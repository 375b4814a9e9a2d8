#!/bin/sh
# installcheck.sh - the installed tree runs a gang: make installcheck calls this with the installation's directories
#
# Looks for every program, policy, header and pkg-config file, has the installed tug check the installed policies and begin a
# new one that is built against the installed header.
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

for file in "$tug" "$root$bindir/tug-sim" "$root$sbindir/tugd" "$root$sbindir/tugnoded" "$root$sbindir/tuglaunch" "$root$libexecdir/tugstepd" \
    "$root$policydir/fifo.so" "$root$includedir/tugline/policy.h" "$root$pkgconfigdir/tugline-policy.pc" \
    "$root$includedir/tugline/tugline.h" "$root$includedir/tugline/nccl.h" "$root$pkgconfigdir/tugline.pc" "$root$libdir/libtugline.so" "$root$libdir/libtugline.a"; do
    [ -e "$file" ] || fail "$file is not installed"
done
for file in "$TUG_SRCDIR"/etc/machines/*.yaml; do
    name=$(basename "$file" .yaml)
    "$tug" machine show "$name" >/dev/null || fail "the machine $name is not found"
done
# Every plugins/NAME.c that exports a policy is installed as NAME.so.
for source in $(grep -l '^const struct tug_policy_ops \*tug_policy(void)' "$TUG_SRCDIR"/plugins/*.c); do
    name=$(basename "$source" .c)
    [ -e "$root$policydir/$name.so" ] || fail "policy $name is not installed"
done

cd "$work" || exit 1
"$tug" sandbox start --nodes 2 --gpus 2 || fail "the sandbox of the installed programs did not start"
"$tug" run -N 2 -n 2 true || fail "'tug run -N 2 -n 2 true' ended with $?"
hosts=$("$tug" run -N 2 -n 2 --gpus-per-task 1 sh -c 'echo $TUG_NODE') || fail "the second gang ended with $?"
[ "$(echo "$hosts" | sort | tr '\n' ' ')" = "n1 n2 " ] || fail "a gang of two nodes ran on: $hosts"
"$tug" run -N 2 -n 2 sh -c 'exit 3' 2>/dev/null
rc=$?
[ "$rc" -eq 3 ] || fail "a gang whose ranks exit with 3 ended with $rc"
"$tug" ping --json | grep -q '"policy_note": *""' || fail "not the installed policies are in force: $("$tug" ping)"
"$tug" sandbox stop || fail "the sandbox did not stop"
[ -z "$(find /proc/[0-9]*/cmdline -exec grep -la "$work" {} + 2>/dev/null)" ] || fail "processes are left"

# What a policy's admin and author do: look, check, begin one, build it by pkg-config against what is installed.
for name in fifo easy; do
    "$tug" policy check "$root$policydir/$name.so" >check.log || { cat check.log >&2; fail "the installed policy $name fails its check"; }
done
"$tug" policy show --policy-dir "$root$policydir" | grep -q "^. fifo " || fail "'tug policy show' does not list fifo"
if command -v pkg-config >/dev/null; then
    "$tug" policy new mine || fail "'tug policy new mine' ended with $?"
    # A DESTDIR is not in the .pc file: there the header's place is said.
    flags=$(PKG_CONFIG_PATH=$root$pkgconfigdir pkg-config ${root:+"--define-variable=includedir=$root$includedir"} --cflags tugline-policy) ||
        fail "pkg-config does not know tugline-policy"
    make -s -C mine check TUG="$tug" TUG_SIM="$root$bindir/tug-sim" POLICY_CFLAGS="$flags" CC="${CC:-cc}" >mine.log 2>&1 ||
        { cat mine.log >&2; fail "a new policy does not build or does not pass against what is installed"; }
fi
# A program that runs as ranks, built against the installed library.
cat >who.c <<'END'
#include <stdio.h>
#include <string.h>
#include <tugline/tugline.h>
int main(void)
{
    struct tug_world w;
    char why[TUG_WHY_MAX], id[TUG_NCCL_ID_BYTES] = "";
    int rc = tug_world_get(&w, why);
    if (!rc && w.rank == 0)
        strcpy(id, "from rank 0");
    rc = rc ? rc : tug_nccl_unique_id(NULL, id, why);
    puts(rc ? why : id);
    return !!rc;
}
END
if command -v pkg-config >/dev/null; then
    # shellcheck disable=SC2046
    ${CC:-cc} -o who who.c $(PKG_CONFIG_PATH=$root$pkgconfigdir pkg-config ${root:+"--define-variable=includedir=$root$includedir"} \
        ${root:+"--define-variable=libdir=$root$libdir"} --cflags --libs tugline) -Wl,-rpath,"$root$libdir" || fail "a program does not build against the installed libtugline"
    "$tug" sandbox start --nodes 2 || fail "the sandbox did not start again"
    said=$("$tug" run -N 2 -n 2 ./who) || fail "a rank with the installed libtugline ended with $?: $said"
    [ "$(echo "$said" | uniq -c | tr -s ' ')" = " 2 from rank 0" ] || fail "ranks with the installed libtugline said: $said"
    "$tug" sandbox stop || fail "the sandbox did not stop again"
fi
${CC:-cc} -std=gnu11 -fPIC -shared -I"$root$includedir" -o fifo.so "$TUG_SRCDIR/plugins/fifo.c" ||
    fail "plugins/fifo.c does not build against the installed header"
echo "installcheck: the installed tree runs gangs"
