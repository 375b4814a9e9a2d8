#!/bin/sh
# test_dst.sh - 500 simulated cluster-hours under faults keep every promise of doc/reliability.md. Prints TAP.
set -u
exec "${TUG_BUILDDIR:-.}/testsuite/dst/dst" --hours "${TUG_DST_HOURS:-500}" --seed "${TUG_SEED:-1}"
