#!/usr/bin/env python3
# crash_adopt.py [--full] - ranks do not notice the death of their node daemon, and it takes them on again
#
# A gang on three nodes counts aloud while one tugnoded after the other is killed, each as soon as the last one is back.
# In the end every rank was started once, none missed a number, its output has each of them, and its exit code is the
# recorded one. Prints how long a node daemon took from its start until tugd called the node up, with the gang's steps.
import os
import re
import sys
import time

from cluster import Cluster, Test, read

KILLS = 1000 if "--full" in sys.argv else 15
CODE = 7
# Counts until it is told to stop. A gap is told too: how long it did not come round to it, in milliseconds.
RANK = """
import os, sys, time
n, last, gap = 0, time.monotonic(), 0
print("start", os.environ["TUG_ATTEMPT"], flush=True)
while not os.path.exists("stop"):
    n += 1
    print("count", n, flush=True)
    time.sleep(0.05)
    now = time.monotonic()
    gap, last = max(gap, now - last - 0.05), now
print("end", n, round(gap * 1000), flush=True)
open("end." + os.environ["RANK"], "w").close()
while len([f for f in os.listdir() if f.startswith("end.")]) < 6:  # the first to fail ends the others
    time.sleep(0.01)
sys.exit(%d)
""" % CODE


def node_of(pid):
    """By the socket or directory in its arguments."""
    found = re.search(rb"/(n[0-9]+)(/|\.|\0)", read("/proc/%d/cmdline" % pid))
    return found and found.group(1).decode()


def daemons(cluster):
    return {node_of(p): p for p in cluster.pids("tugnoded")}


def ups(cluster, name):
    """What tugd said of this node's coming up: how many steps it brought, each time."""
    return re.findall(r"node %s is up: .* ([0-9]+) steps" % name, read(cluster.dir + "/tugd-restarted.log").decode())


def kill_and_wait(cluster, name, took):
    """Until the node is up again with its step; what is wrong, or ''."""
    pid, before = daemons(cluster)[name], len(ups(cluster, name))
    cluster.kill("tugnoded", pid)
    end, born = time.monotonic() + 60, None
    while time.monotonic() < end:
        if born is None and daemons(cluster).get(name) not in (None, pid):
            born = time.monotonic()
        said = ups(cluster, name)[before:]
        if said:
            took.append(time.monotonic() - (born or time.monotonic()))
            return "" if said == ["1"] else "%s came back with %s steps" % (name, said)
        time.sleep(0.005)
    return "%s is not back after 60 s" % name


def numbers(text):
    """{rank: its words, line by line}"""
    out = {}
    for line in text.splitlines():
        rank, _, words = line.partition(": ")
        out.setdefault(rank, []).append(words.split())
    return out


def missed(ranks):
    wrong = []
    for rank, lines in sorted(ranks.items()):
        counted = [int(w[1]) for w in lines if w[0] == "count"]
        if counted != list(range(1, len(counted) + 1)) or [w[1] for w in lines if w[0] == "end"] != [str(len(counted))]:
            wrong.append("rank %s: %d numbers, the last one %s" % (rank, len(counted), counted[-1:]))
    return wrong


def main():
    test = Test("crash_adopt")
    cluster = Cluster(nodes=3)
    cluster.lengthen_leases()
    job = cluster.submit("-N", "3", "--ntasks-per-node", "2", "--gpus-per-node", "2", "--",
                         sys.executable, "-c", RANK, out="out")
    ok = cluster.wait_for("the gang", lambda: "" if read(cluster.work + "/out").count(b"start") == 6 else "ranks", 60)
    test.check("the gang runs", [] if ok else ["it does not"])
    cluster.wait_for("all nodes", lambda: "" if all(ups(cluster, "n%d" % i) for i in (1, 2, 3)) else "nodes", 60)
    took, wrong = [], []
    for _ in range(KILLS):
        wrong += filter(None, [kill_and_wait(cluster, "n%d" % test.rand.randint(1, 3), took)])
    test.check("every node daemon is back with its part of the gang", wrong)
    open(cluster.work + "/stop", "w").close()
    cluster.wait_for("the end", lambda: "" if any(j["id"] == job for j in cluster.json("history", "--json")["jobs"]) else "it runs", 60)
    ranks = numbers(read(cluster.work + "/out").decode())
    test.check("each rank was started once", [(r, w) for r, lines in ranks.items() for w in lines
                                              if w[0] == "start" and w[1] != "1"] + ([] if len(ranks) == 6 else [len(ranks)]))
    test.check("no rank was held up for ever, and no line of its output is missing", missed(ranks))
    row = [j for j in cluster.json("history", "--json")["jobs"] if j["id"] == job]
    test.check("its recorded end is what its ranks did",
               [] if row and row[0]["state"] == "FAILED" and row[0]["exit"]["exit_code"] == CODE and row[0]["attempt"] == 1 else row)
    ok = cluster.wait_for("idle nodes", cluster.idle, 30)
    test.check("no process is left and the nodes hold nothing", [] if ok else [cluster.idle()])
    took.sort()
    gaps = [int(w[2]) for lines in ranks.values() for w in lines if w[0] == "end"]
    test.done(cluster, "%d node daemons back after %.2f s in the median, %.2f s at most; the longest that a rank stood still: %d ms" % (
        len(took), took[len(took) // 2] if took else 0, took[-1] if took else 0, max(gaps, default=0)))


main()
