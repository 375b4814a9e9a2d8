#!/usr/bin/env python3
# crash_complete.py [--full] - the recorded end of a job is what its ranks did, once
#
# Gangs of two ranks, the second exits with a code of its own, while tugd and tugnoded are killed; step daemons live, so
# a rank that ended is never run again and its code is never lost, as long as its node's lease lasts. TUG_SEED repeats the same choices.
import os
import sys
import threading
import time

from cluster import Cluster, Test

GANGS, KILLS = (2000, 400) if "--full" in sys.argv else (60, 24)
RANK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rank.sh")


def kill_some(test, cluster, over):
    for _ in range(KILLS):
        time.sleep(0.02 + test.rand.random() * 0.25)
        if test.rand.random() < 0.4:
            cluster.kill_controller()
            time.sleep(test.rand.choice((0, 0.02, 0.2)))
            cluster.start_controller()
        else:
            pids = cluster.pids("tugnoded")
            if pids:
                cluster.kill("tugnoded", test.rand.choice(pids))
    over.set()


def submit(cluster, codes, over):
    """Until both the gangs and the kills are through: id -> code"""
    n = 0
    while n < GANGS or not over.is_set():
        code = n % 4 and n % 255
        n += 1
        job = cluster.submit("-N", "2", "--ntasks-per-node", "1", "--", RANK, ("0", "0.02", "0.2")[n % 3], str(code))
        codes[job] = code
        if n >= GANGS:
            time.sleep(0.2)


def ended(cluster, want):
    """What is still missing in history, or ''"""
    if cluster.tug_fails("ping"):
        return "tugd does not answer"
    there = {j["id"] for j in history(cluster, want)}
    return " ".join(str(i) for i in want if i not in there)


def history(cluster, want):
    return cluster.json("history", "--json", "--limit", str(10 * len(want)))["jobs"]


def main():
    test = Test("crash_complete")
    cluster = Cluster(nodes=3)
    cluster.lengthen_leases()
    codes, over = {}, threading.Event()
    killer = threading.Thread(target=kill_some, args=(test, cluster, over), daemon=True)
    killer.start()
    submit(cluster, codes, over)
    ok = cluster.wait_for("the end of all gangs", lambda: ended(cluster, codes), 60)
    test.check("every gang ends and is in history", [] if ok else [ended(cluster, codes)])
    jobs = history(cluster, codes)
    ids = [j["id"] for j in jobs]
    test.check("none is there twice", [i for i in codes if ids.count(i) > 1])
    rows = {j["id"]: j for j in jobs}
    test.check("its exit code is what its rank exited with",
               ["job %d: rank 1 exited with %d, recorded %s %s: %s" % (i, codes[i], rows[i]["state"], rows[i]["exit"],
                                                                      rows[i]["cause"]) for i in codes if i in rows
                and ((rows[i]["exit"] or {}).get("exit_code") != codes[i]
                     or rows[i]["state"] != ("FAILED" if codes[i] else "COMPLETED"))])
    with open(cluster.work + "/ranks") as f:
        ran = [line.split() for line in f]
    last = [(r[1], r[3]) for r in ran if r[0] == "end"]
    test.check("no rank ran to its end twice", sorted({k for k in last if last.count(k) > 1}))
    test.check("a failed gang names the rank and its code",
               [(i, rows[i]["cause"]) for i in codes if codes[i] and i in rows
                and ((rows[i]["cause"] or {}).get("kind"), (rows[i]["cause"] or {}).get("rank")) != ("rank", 1)])
    test.check("ranks of two attempts of a job never ran at the same time",
               open(cluster.work + "/overlaps").read().splitlines() if os.path.exists(cluster.work + "/overlaps") else [])
    ok = cluster.wait_for("idle nodes", cluster.idle, 30)
    test.check("no process is left and the nodes hold nothing", [] if ok else [cluster.idle()])
    test.done(cluster, "%d gangs, %d attempts" % (len(codes), sum(r["attempt"] for r in rows.values())))


main()
