#!/usr/bin/env python3
# crash_launch.py [--full] - daemons killed while gangs start, run and end
#
# What must hold in the end: every gang is in a final state, ranks of two attempts of a job never ran at the same time,
# no process is left and everything is given back. The ranks prove the second (rank.sh). TUG_SEED repeats the choices.
import os
import sys
import time

from cluster import Cluster, Test

GANGS, KILLS = (1000, 500) if "--full" in sys.argv else (40, 24)
FINAL = ("COMPLETED", "FAILED", "NODE_FAIL", "TIMEOUT", "CANCELLED")
RANK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rank.sh")


def kill_one(test, cluster):
    program = test.rand.choice(("tugd", "tugnoded", "tugnoded", "tugstepd"))
    if program == "tugd":
        cluster.kill_controller()
        time.sleep(test.rand.choice((0, 0.02, 0.3)))
        cluster.start_controller()
        return
    pids = cluster.pids(program)
    if pids:
        cluster.kill(program, test.rand.choice(pids))


def submit(test, cluster):
    ids = []
    due = sorted(test.rand.random() for _ in range(KILLS))
    for i in range(GANGS):
        nodes = test.rand.choice((1, 2, 3))
        ids.append(cluster.submit("-N", str(nodes), "--ntasks-per-node", "2", "--gpus-per-node",
                                  test.rand.choice(("2", "8")), "--", RANK, test.rand.choice(("0", "0.05", "0.3")), "0"))
        while due and due[0] <= (i + 1) / GANGS:
            due.pop(0)
            time.sleep(test.rand.random() * 0.12)
            kill_one(test, cluster)
    return ids


def states(cluster):
    jobs = cluster.json("queue", "--json", "--all")["jobs"]
    return {j["id"]: j for j in jobs}


def unfinished(cluster, ids):
    if cluster.tug_fails("ping"):
        return "tugd does not answer"
    seen = states(cluster)
    return " ".join("%d:%s" % (i, seen[i]["state"] if i in seen else "gone") for i in ids
                    if i not in seen or seen[i]["state"] not in FINAL)


def main():
    test = Test("crash_launch")
    cluster = Cluster(nodes=3)
    ids = submit(test, cluster)
    ok = cluster.wait_for("the end of all gangs", lambda: unfinished(cluster, ids), 60)
    seen = states(cluster)
    test.check("every gang is in a final state", [] if ok else [unfinished(cluster, ids)])
    test.check("ranks of two attempts of a job never ran at the same time",
               open(cluster.work + "/overlaps").read().splitlines() if os.path.exists(cluster.work + "/overlaps") else [])
    ok = cluster.wait_for("idle nodes", cluster.idle, 30)
    test.check("no process is left and the nodes hold nothing", [] if ok else [cluster.idle()])
    ranks = open(cluster.work + "/ranks").read().split("\n")
    test.check("a gang that COMPLETED ran all its ranks to their end in its last attempt",
               ["job %d: rank %d" % (i, r) for i in ids if seen[i]["state"] == "COMPLETED"
                for r in range(seen[i]["ntasks"]) if "end %d %d %d 0" % (i, seen[i]["attempt"], r) not in ranks])
    test.check("a gang that did not complete says why",
               [(i, seen[i]["state"]) for i in ids if seen[i]["state"] != "COMPLETED"
                and not (seen[i]["cause"] or {}).get("text")])
    ended = [seen[i]["state"] for i in ids]
    test.done(cluster, "%d gangs: %s; %d attempts" % (GANGS, ", ".join("%s %d" % (s, ended.count(s)) for s in FINAL
              if s in ended), sum(seen[i]["attempt"] for i in ids)))


main()
