#!/bin/sh
# test.sh - the policy is fit for a cluster, and decides what it decided when expected.csv was written
#
# test.sh expected writes expected.csv anew; look at what has changed in it.
set -eu
cd "$(dirname "$0")"
${TUG:-tug} policy check ./@NAME@.so
${TUG_SIM:-tug-sim} run --trace trace.csv --cluster 2x8 --policy @NAME@ --policy-dir . --csv result.csv >/dev/null
if [ "${1:-}" = expected ]; then
    mv result.csv expected.csv
elif diff -u expected.csv result.csv; then
    echo "test.sh: the simulation ended as expected"
else
    echo "test.sh: the simulation differs from expected.csv; if that is what you want: make expected" >&2
    exit 1
fi
