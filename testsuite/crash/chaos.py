#!/usr/bin/env python3
# chaos.py [--full] - gangs start, end, are cancelled, queued again and suspended over a network that is bad in every way
#
# Between each node daemon and tugd stand three relays (chaosproxy.c): bytes that come late, one by one, changed, or in part with
# the end of the connection; then whole messages, of which each fifth comes twice and each fifth behind what follows, also after
# seconds; then bytes again. Another one, of messages, is between commands and tugd, and one of bytes before each gang's head.
#
# What must hold: every job that was submitted is there once, every gang ends, none of its attempts starts twice or meets
# another, no rank starts twice in an attempt, one that COMPLETED has run all ranks to their end, nothing is left.
# TUG_SEED repeats the choices, not what daemons do meanwhile.
import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from cluster import HERE, Cluster, Test, free_port

FULL = "--full" in sys.argv
JOBS = 500 if FULL else 18
PAUSE = 0.1  # between two of them, at most
BAD_SECONDS = 300 if FULL else 5  # for the end of most gangs before the network is good again
SECONDS = 90  # for the end of the others then
FINAL = ("COMPLETED", "FAILED", "NODE_FAIL", "TIMEOUT", "CANCELLED")
BUILD = os.environ.get("TUG_BUILDDIR") or os.path.dirname(shutil.which("tug"))
BAD = ("messages.*, twice.*; bytes", "messages.*, swapped.*; bytes", "bytes.*, trickled.*; star")
QUEUES = """queues:
  main: {default: true, tier: 1}
  low: {preempt: suspend}
"""


class Chaos:
    """The proxy, and the programs of a cluster that goes through it"""

    def __init__(self, test):
        self.test, self.port = test, [free_port() for _ in range(3)]
        self.seen = set()  # states of jobs

    def programs(self, to):
        """Those that are shipped; only the launcher is told another address of the controller."""
        shutil.copy(BUILD + "/tug", to)
        for name in ("tugd", "tugnoded", "tugstepd", "plugins"):
            os.symlink("%s/%s" % (BUILD, name), "%s/%s" % (to, name))
        with open(to + "/tuglaunch", "w") as f:
            f.write('#!/bin/sh\nfor a; do shift; [ "$was" != --controller ] || a=127.0.0.1:%d; was=$a; set -- "$@" "$a"; done\n'
                    'exec %s/tuglaunch "$@"\n' % (self.port[0], BUILD))
        os.chmod(to + "/tuglaunch", 0o755)
        self.start(os.path.dirname(to))

    def start(self, base):
        """Before the cluster: its nodes must find somebody to dial."""
        box, state = base + "/run/tugline/sandbox", base + "/state"
        self.socket = base + "/chaos.sock"
        os.mkdir(state, 0o700)
        os.mkdir(state + "/keys", 0o700)
        relays = ("bytes=127.0.0.1:%d,127.0.0.1:%d" % (self.port[0], self.port[1]),
                  "node=127.0.0.1:%d,127.0.0.1:%d,%s/nodes,%s" % (self.port[1], self.port[2], box, state),
                  "bytes=127.0.0.1:%d,@%s/run/endpoint" % (self.port[2], box),
                  "client=unix:%s,unix:%s/tugd.sock" % (self.socket, box))
        self.proxy = subprocess.Popen((BUILD + "/testsuite/crash/chaosproxy", "-s", str(self.test.seed % (1 << 32))) + relays,
                                      stdout=subprocess.PIPE, text=True)
        atexit.register(self.proxy.kill)  # also when a test breaks
        assert self.proxy.stdout.readline() == "ready\n"

    def change(self):
        """The network becomes bad, or good again."""
        self.proxy.send_signal(signal.SIGUSR1)

    def end(self):
        """What it did"""
        self.proxy.terminate()
        return self.proxy.communicate()[0].strip()


def through(cluster, chaos, *args):
    """A command over the bad network: what it prints, or None when it gave up."""
    r = subprocess.run(("tug",) + args, env=dict(cluster.env, TUG_SOCKET=chaos.socket), cwd=cluster.work, stdout=subprocess.PIPE,
                       stderr=subprocess.DEVNULL, timeout=120)
    return None if r.returncode else r.stdout.decode()


def configure(cluster):
    path = cluster.box + "/tugline.yaml"
    with open(path) as f:
        text = f.read()
    assert "\n  policy: fifo+preempt\n" in text and "\nqueues:" not in text
    with open(path, "w") as f:
        f.write(text.replace("\n  policy: fifo+preempt\n", "\n  policy: fifo+preempt\n  preemption: tier\n") + QUEUES)
    cluster.kill_controller()
    cluster.start_controller()


def submit(test, cluster, chaos, nth):
    """A gang by the name of 'nth'; False: no answer came, it may be there or not."""
    rand = test.rand
    args = ["-N", str(rand.choice((1, 2, 3))), "--ntasks-per-node", "2", "--gpus-per-node", rand.choice("11122248")]
    if rand.random() < 0.3:
        args += ["-q", "low"]
    work = [HERE + "/rank.sh", rand.choice(("0", "0.2", "1")), rand.choice(("0", "0", "0", "7"))]
    return through(cluster, chaos, "submit", "--parsable", "-o", "/dev/null", "-J", "job%d" % nth, "--requeue-delay", "0s",
                   *args, "--", *work)


def disturb(test, cluster, chaos):
    """Cancel one or queue it again, whatever it is at by then."""
    dice = test.rand.random()
    queue = cluster.json("queue", "--json")["jobs"]
    chaos.seen.update(j["state"] for j in queue)
    there = [str(j["id"]) for j in queue if j["state"] == "RUNNING" or dice < 0.1]
    if there and dice < 0.4:
        through(cluster, chaos, "cancel" if dice < 0.15 else "requeue", test.rand.choice(there))


def load(test, cluster, chaos):
    """{name: id} of what was acknowledged"""
    ids = {}
    for i in range(JOBS):
        answer = submit(test, cluster, chaos, i)
        if answer:
            ids["job%d" % i] = answer.strip()
        disturb(test, cluster, chaos)
        time.sleep(test.rand.random() * PAUSE)
    return {name: int(n) for name, n in ids.items()}


def jobs(cluster):
    return cluster.json("history", "--json", "-n", str(2 * JOBS))["jobs"]


def unfinished(cluster):
    return " ".join("%d:%s" % (j["id"], j["state"]) for j in cluster.json("queue", "--json")["jobs"])


def lines(cluster, name):
    path = cluster.work + "/" + name
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return f.read().splitlines()


def check(test, cluster, acked, found):
    names = [j["name"] for j in found]
    ranks = lines(cluster, "ranks")
    starts = [r for r in ranks if r.startswith("start ")]
    by_name = {j["name"]: j for j in found}
    test.check("a job that was acknowledged is there under its id, and no submission made two",
               ["%s is %s, not %d" % (n, by_name.get(n) and by_name[n]["id"], i) for n, i in acked.items()
                if n not in by_name or by_name[n]["id"] != i] + [n for n in set(names) if names.count(n) > 1])
    test.check("no rank started twice in an attempt", [s for s in set(starts) if starts.count(s) > 1])
    test.check("ranks of two attempts of a job never ran at the same time", lines(cluster, "overlaps"))
    test.check("a gang that COMPLETED ran all its ranks to their end in its last attempt",
               ["job %d: rank %d" % (j["id"], r) for j in found if j["state"] == "COMPLETED"
                for r in range(j["ntasks"]) if "end %d %d %d 0" % (j["id"], j["attempt"], r) not in ranks])
    test.check("a gang that FAILED has the exit code of its rank, or its head lost a node of it",
               ["job %d: %s" % (j["id"], j["cause"]) for j in found if j["state"] == "FAILED" and j["cause"]["kind"] != "stepd"
                and "end %d %d 1 7" % (j["id"], j["attempt"]) not in ranks])
    test.check("a gang that did not complete says why",
               [(j["id"], j["state"]) for j in found if j["state"] not in ("COMPLETED", "CANCELLED")
                and not (j["cause"] or {}).get("text")])


def main():
    test = Test("chaos")
    chaos = Chaos(test)
    cluster = Cluster(nodes=3, programs=chaos.programs, options=("--state-dir", "{dir}/state", "--policy", "fifo+preempt"))
    configure(cluster)
    chaos.change()
    acked = load(test, cluster, chaos)
    end = time.monotonic() + BAD_SECONDS
    while time.monotonic() < end and len(cluster.json("queue", "--json")["jobs"]) > JOBS // 4:
        time.sleep(0.1)
    chaos.change()
    ok = cluster.wait_for("the end of all gangs", lambda: unfinished(cluster), SECONDS)
    test.check("every gang has ended", [] if ok else [unfinished(cluster)])
    ok = cluster.wait_for("idle nodes", cluster.idle, 60)
    test.check("no process is left and the nodes hold nothing", [] if ok else [cluster.idle()])
    found = jobs(cluster)
    check(test, cluster, acked, found)
    ended = [j["state"] for j in found]
    did = chaos.end()
    test.check("the network was bad: messages came twice and in another order, bytes one by one",
               [did] if not all(re.search(what, did) for what in BAD) else [])
    print("# %s; seen on the way: %s" % (did, ", ".join(sorted(chaos.seen))))
    test.done(cluster, "%d jobs, %d acknowledged: %s; %d attempts" % (len(found), len(acked), ", ".join(
        "%s %d" % (s, ended.count(s)) for s in FINAL if s in ended), sum(j["attempt"] for j in found)))


main()
