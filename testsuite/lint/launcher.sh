#!/bin/sh
# launcher.sh - what may be root stays small: lines, libraries, and what it must not call
#
# Needs ./tuglaunch of a build (TUG_BUILDDIR, or "."). Prints TAP.
set -u
top=${TUG_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${TUG_BUILDDIR:-.}
most=2500

echo 1..3
lines=$(cat "$top"/src/launch/*.[ch] "$top"/src/logic/lease.[ch] "$top"/src/proto/order.[ch] "$top"/src/proto/order_impl.h "$top"/src/proto/wire.h | wc -l)
if [ "$lines" -le $most ]; then
    echo "ok 1 - the launcher has $lines lines, at most $most"
else
    echo "not ok 1 - the launcher has $lines lines, more than $most"
fi

if ! [ -x "$build/tuglaunch" ]; then
    echo "ok 2 # SKIP $build/tuglaunch is not built"
    echo "ok 3 # SKIP $build/tuglaunch is not built"
    exit 0
fi
needed=$(readelf -d "$build/tuglaunch" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p')
if echo "$needed" | grep -q 'lib[au][a-z]*san'; then
    echo "ok 2 # SKIP built with sanitizers"
else
    more=$(echo "$needed" | grep -Ev '^(libc|libsodium|ld-linux[a-z0-9-]*)\.so\.[0-9]+$')
    if [ -z "$more" ]; then
        echo "ok 2 - it links libc and libsodium, nothing else"
    else
        echo "not ok 2 - it links libc and libsodium, nothing else"
        echo "$more" | sed 's/^/# /'
    fi
fi

# Name services, dynamic loading, shells, sockets that listen: none of it belongs in root code.
banned='^(dlopen|dlsym|getpw.*|getgr(nam|gid|ent).*|getaddrinfo|gethostby.*|initgroups|system|popen|bind|listen|connect|accept4?|wordexp|setlocale|iconv_open)$'
found=$(nm -D --undefined-only "$build/tuglaunch" | awk '{print $NF}' | sed 's/@.*//' | grep -E "$banned")
if [ -z "$found" ]; then
    echo "ok 3 - it calls no name service, no loader, no shell, and makes no socket that others reach"
else
    echo "not ok 3 - it calls no name service, no loader, no shell, and makes no socket that others reach"
    echo "$found" | sed 's/^/# /'
fi
