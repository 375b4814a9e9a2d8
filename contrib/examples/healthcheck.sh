#!/bin/sh
# healthcheck.sh - an example of health_check.program in tugnode.yaml(5): is this node fit to run jobs?
#
# tugnoded runs it as its own user (no root), with an environment of its own making: PATH, HOME=/, LANG, TUG_NODE (this
# node's name) and TUG_CHECK (period, before or after a job). Exit code 0: healthy. Any other, or no end in time: the node
# is drained, and what was written last is the reason that everybody reads. So: one line for each thing that is wrong.
#
# Settings, also from /etc/tugline/healthcheck.conf (lines such as GPUS=8):
#   GPUS=8                 as many GPUs must answer nvidia-smi; 0 = as many as the kernel has device files for
#   DISKS="/ /tmp"         what must have room, ...
#   DISK_PERCENT=95        ... and may be as full as this
#   XIDS="48 62 74 79 94 95"   errors of the NVIDIA driver in the kernel's log that make a node unfit

GPUS=0
DISKS="/ /tmp"
DISK_PERCENT=95
XIDS="48 62 74 79 94 95"
conf=${HEALTHCHECK_CONF:-/etc/tugline/healthcheck.conf}
# shellcheck source=/dev/null
[ ! -r "$conf" ] || . "$conf"

bad=0
unfit()
{
    echo "$*"
    bad=1
}

# The kernel's list does not shrink when a GPU falls off the bus; the driver's does, or the driver hangs.
check_gpus()
{
    want=$GPUS
    if [ "$want" -eq 0 ]; then
        want=$(find /dev -maxdepth 1 -name 'nvidia[0-9]*' 2>/dev/null | wc -l)
    fi
    [ "$want" -gt 0 ] || return 0
    if ! command -v nvidia-smi >/dev/null; then
        unfit "there are to be $want GPUs, and there is no nvidia-smi"
        return 0
    fi
    if ! said=$(nvidia-smi -L 2>&1); then
        unfit "nvidia-smi fails: $(echo "$said" | tail -n 1)"
        return 0
    fi
    have=$(echo "$said" | grep -c '^GPU ')
    [ "$have" -ge "$want" ] || unfit "$have of $want GPUs answer"
}

check_disks()
{
    for disk in $DISKS; do
        full=$(df -P "$disk" 2>/dev/null | awk 'NR == 2 { sub(/%/, "", $5); print $5 }')
        if [ -z "$full" ]; then
            unfit "$disk is not there"
        elif [ "$full" -gt "$DISK_PERCENT" ]; then
            unfit "$disk is $full % full"
        fi
    done
}

# Only where this user may read the kernel's log (kernel.dmesg_restrict=0, or the group adm and journalctl).
check_xids()
{
    log=$(dmesg 2>/dev/null || journalctl -q -k -b -o cat 2>/dev/null) || return 0
    for xid in $XIDS; do
        line=$(echo "$log" | grep -E "NVRM: Xid .*: $xid," | tail -n 1)
        [ -z "$line" ] || unfit "the driver reported Xid $xid: ${line#*NVRM: }"
    done
}

check_disks
check_xids
check_gpus
exit "$bad"
