#!/bin/sh
# packages.sh - install the Debian packages of some groups of packages.txt
#
#     contrib/packages.sh build test
#
# What is there already is left alone. Without root, or without apt-get, what is missing is named and the exit status
# is 1. Where there is no dpkg at all nothing is checked: configure will say what it misses.
set -u
cd "$(dirname "$0")" || exit 1

missing()
{
    for group in "$@"; do
        awk -v group="$group" '$1 == group { print $2 }' packages.txt
    done | sort -u | while read -r package; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
    done
}

command -v dpkg-query >/dev/null 2>&1 || exit 0
list=$(missing "$@" | tr '\n' ' ')
list=${list% }
[ -n "$list" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "these Debian packages are missing; as root: apt-get install --no-install-recommends $list" >&2
    exit 1
fi
printf '\n==== installing %s\n' "$list"
# Word splitting is the point here.
# shellcheck disable=SC2086
apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $list || {
    echo "apt-get could not install: $list" >&2
    exit 1
}
