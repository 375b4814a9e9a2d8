#!/bin/sh
# autogen.sh - make ./configure from configure.ac; needed after a git clone, not from a tarball
set -eu
cd "$(dirname "$0")"

missing=
command -v autoreconf >/dev/null 2>&1 || missing="$missing autoconf"
command -v automake >/dev/null 2>&1 || missing="$missing automake"
command -v pkg-config >/dev/null 2>&1 || missing="$missing pkg-config"
if [ -n "$missing" ]; then
    echo "autogen.sh: missing tools; on Debian install them with: apt-get install$missing" >&2
    exit 1
fi
autoreconf --force --install --warnings=all,no-portability
