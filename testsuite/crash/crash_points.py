#!/usr/bin/env python3
# crash_points.py [--full] [POINT...] - every daemon dies at every point of points.def, and what is promised holds
#
# The daemons are those of testsuite/crash/bin: their own objects, linked so that they kill themselves (SIGKILL) at a
# named point, once, when this program has armed it. Then they are started again (tugd and tuglaunch from here, as a
# service manager would; tugnoded by tuglaunch), and the job of each point must have one id, one start and one end a run, and
# the exit code of its ranks. --full goes on until so many died in each scene as FULL says; POINT... does these only.
import os
import re
import shutil
import sqlite3
import sys
import threading
import time

from cluster import ERROR, SUBMIT, SUBMIT_REPLY, Cluster, Test, gone, read, submit_body, unpack

HERE = os.path.dirname(os.path.abspath(__file__))
RANK = os.path.join(HERE, "rank.sh")
FULL = {"submit": 1000, "launch": 1000, "complete": 1000, "requeue": 200, "config": 100}
FINAL = ("COMPLETED", "FAILED", "NODE_FAIL", "TIMEOUT", "CANCELLED")
STEPD_SECONDS = 9.5  # until a gang has ended whose step daemon died: 5, and what a busy machine adds
SECONDS = 40  # for a scene, restarts included, on a machine that others use


def table():
    """[(name, program, scene, nth)] of points.def"""
    with open(HERE + "/points.def") as f:
        rows = re.findall(r"^POINT\((\w+), (\w+), (\w+), \w+, \w+, \w+, (\d+)\)", f.read(), re.M)
    return [(name, program, scene, int(nth)) for name, program, scene, nth in rows]


def programs():
    """A directory with daemons that can be told to die, and the command beside them"""
    build = os.environ.get("TUG_BUILDDIR") or os.path.dirname(shutil.which("tug"))

    def fill(to):
        for name in ("tugd", "tugnoded", "tuglaunch", "tugstepd"):
            shutil.copy(build + "/testsuite/crash/bin/" + name, to)
        shutil.copy(build + "/tug", to)
        os.symlink(build + "/plugins", to + "/plugins")
    return fill


class Keeper(threading.Thread):
    """Starts tugd and tuglaunch again as soon as they are dead."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.over, self.children = cluster, threading.Event(), []
        self.launchers = {pid: self.how(pid) for pid in cluster.pids("tuglaunch")}
        self.restarts = 0

    @staticmethod
    def how(pid):
        argv = read("/proc/%d/cmdline" % pid).rstrip(b"\0").split(b"\0")
        env = dict(e.split(b"=", 1) for e in read("/proc/%d/environ" % pid).split(b"\0") if b"=" in e)
        return [a.decode() for a in argv], env

    def run(self):
        while not self.over.is_set():
            if gone(self.cluster.pid):
                self.restarts += 1
                self.cluster.kill_controller(count=False)
                self.cluster.start_controller()
            for pid in [p for p in self.launchers if gone(p)]:
                argv, env = self.launchers.pop(pid)
                child = self.cluster.start(argv, env)
                self.children.append(child)
                self.launchers[child.pid] = (argv, env)
                self.restarts += 1
            self.over.wait(0.004)

    def end(self):
        self.over.set()
        self.join()
        for c in self.children:
            c.terminate()
        for c in self.children:
            c.wait()


class Scenes:
    """What the cluster is made to do; each returns the job and the code that its rank 1 exits with."""

    def __init__(self, cluster, keeper):
        self.cluster, self.keeper, self.n, self.jobs, self.longest = cluster, keeper, 0, {}, 0
        self.config = read(cluster.box + "/tugline.yaml").decode()

    def arm(self, name, nth):
        for left in ("fired", "armed"):
            if os.path.exists(self.cluster.bin + "/" + left):
                os.unlink(self.cluster.bin + "/" + left)
        with open(self.cluster.bin + "/armed.new", "w") as f:
            f.write("%s %d\n" % (name, nth))
        os.rename(self.cluster.bin + "/armed.new", self.cluster.bin + "/armed")

    def fired(self):
        return os.path.exists(self.cluster.bin + "/fired")

    def send(self, token, body):
        """The id, however often the controller dies meanwhile."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                conn = self.cluster.connect()
                conn.send(SUBMIT, 1, body)
                number, _, answer = conn.recv()
                conn.close()
            except OSError:
                continue
            if number == ERROR:
                raise RuntimeError("%s: %s" % (token, unpack("Error", answer).get("text", b"").decode()))
            assert number == SUBMIT_REPLY
            return unpack("SubmitReply", answer)["job"]
        raise RuntimeError("%s: nobody answers" % token)

    def submit(self, seconds, again=""):
        self.n += 1
        token, code = "point-%d" % self.n, self.n % 3 and self.n % 200
        body = submit_body(token, [RANK, seconds, str(code), again], nodes=3, cwd=self.cluster.work)
        job = self.send(token, body)
        self.jobs[job] = (token, body, code)
        return job

    def run_submit(self, name, nth):
        self.arm(name, nth)
        return self.submit("0")

    run_launch = run_complete = run_submit

    def run_requeue(self, name, nth):
        job = self.submit("60", "0")
        self.cluster.wait_for("the first attempt", lambda: "" if self.ranks(job, 1) == 3 else "%d of 3 ranks" % self.ranks(job, 1),
                              SECONDS)
        self.arm(name, nth)
        self.cluster.kill("tuglaunch", next(iter(self.keeper.launchers)))
        return job

    def run_config(self, name, nth):
        job = self.submit("0.5")
        with open(self.cluster.box + "/tugline.yaml", "w") as f:
            f.write(self.config + "queues:\n  main: {default: true}\n  conf%d: {}\n" % self.n)
        self.arm(name, nth)
        os.kill(self.cluster.pid, 1)
        self.cluster.wait_for("the new queue", lambda: "" if "conf%d" % self.n in self.queues() else "it is not there", SECONDS)
        return job

    def queues(self):
        try:
            return self.cluster.tug("queues")
        except RuntimeError:
            return ""

    def ranks(self, job, attempt):
        return read(self.cluster.work + "/ranks").count(b"start %d %d " % (job, attempt))

    def state(self, job):
        try:
            return self.cluster.json("show", "--json", str(job))["job"]["state"]
        except RuntimeError:
            return "no answer"


def die_at(point, scenes, cluster):
    """What went wrong, or ''"""
    name, program, scene, nth = point
    try:
        job = getattr(scenes, "run_" + scene)(name, nth)
    except RuntimeError as e:
        return str(e)
    passed = time.monotonic()
    ok = cluster.wait_for("the end of job %d" % job, lambda: "" if scenes.state(job) in FINAL else scenes.state(job), SECONDS)
    if not ok:
        return "job %d does not end: %s" % (job, cluster.tug("show", str(job), check=False))
    # a node hears that a result is kept after the job has ended
    if not cluster.wait_for("whom it hits", lambda: "" if scenes.fired() else "nobody yet", SECONDS):
        return "nobody passed there"
    cluster.kills[program] = cluster.kills.get(program, 0) + 1
    took = time.monotonic() - passed
    scenes.longest = max(scenes.longest, took)
    if program == "tugstepd" and took > STEPD_SECONDS:
        return "the gang took %.1f s to end" % took
    return ""


def rows_of(cluster):
    """{job: [(what, attempt)]} of the history"""
    out = {}
    with sqlite3.connect("file:%s?mode=ro" % (cluster.box + "/state/state.db"), uri=True) as db:
        for job, what, attempt in db.execute("SELECT job, what, attempt FROM history ORDER BY id"):
            out.setdefault(job, []).append((what, attempt))
    return out


def wrong_rows(job, rows):
    wrong = [r for r in set(rows) if r[0] in ("submit", "start", "requeue", "end") and rows.count(r) > 1]
    for what in ("submit", "end"):
        n = sum(r[0] == what for r in rows)
        if n != 1:
            wrong.append("%d times '%s'" % (n, what))
    return ["job %d: %s in %s" % (job, w, rows) for w in wrong]


def check(test, scenes, cluster, broken):
    test.check("each point is passed, and the job ends", broken)
    rows, jobs = rows_of(cluster), {}
    for j in cluster.json("history", "--json", "--limit", str(len(scenes.jobs) * 2 + 100))["jobs"]:
        jobs.setdefault(j["id"], []).append(j)
    test.check("each job is there once", ["%d: %d times" % (i, len(jobs.get(i, []))) for i in scenes.jobs if len(jobs.get(i, [])) != 1]
               + ["job %d, which nobody was told of" % i for i in jobs if i not in scenes.jobs])
    test.check("a token that is sent again gives the id that it had",
               ["%s: %d, was %d" % (token, now, job) for job, (token, body, _) in scenes.jobs.items()
                for now in [scenes.send(token, body)] if now != job])
    test.check("history has one row for each submit, start, requeue and end",
               [w for i in scenes.jobs for w in wrong_rows(i, rows.get(i, []))])
    lost = ("stepd", "node")
    test.check("each job ended as its ranks did, or names the daemon that was lost",
               ["job %d: rank 1 exits with %d, recorded %s %s: %s" % (i, code, j["state"], j["exit"], j["cause"])
                for i, (_, _, code) in scenes.jobs.items() for j in jobs.get(i, [])
                if not ((j["exit"] or {}).get("exit_code") == code and j["state"] == ("FAILED" if code else "COMPLETED"))
                and (j["cause"] or {}).get("kind") not in lost])
    ran = [tuple(line.split()) for line in read(cluster.work + "/ranks").decode().splitlines()]
    test.check("no rank of an attempt ran twice", sorted({r for r in ran if ran.count(r) > 1}))
    test.check("ranks of two attempts of a job never ran at the same time", read(cluster.work + "/overlaps").decode().splitlines())
    ok = cluster.wait_for("idle nodes", cluster.idle, 30)
    test.check("no process is left and the nodes hold nothing", [] if ok else [cluster.idle()])


def choose(test, points):
    """Each once; with --full, on and on until each scene has had its number."""
    left = {scene: FULL[scene] for scene in FULL if any(p[2] == scene for p in points)} if "--full" in sys.argv else {}
    order = list(points)
    while order:
        test.rand.shuffle(order)
        for p in order:
            left[p[2]] = left.get(p[2], 0) - 1
            yield p
        order = [p for p in points if left[p[2]] > 0]


def main():
    test = Test("crash_points")
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    points = [p for p in table() if not names or p[0] in names]
    cluster = Cluster(nodes=3, programs=programs())
    keeper = Keeper(cluster)
    scenes = Scenes(cluster, keeper)
    keeper.start()
    deaths, broken = {}, []
    for p in choose(test, points):
        wrong = die_at(p, scenes, cluster)
        deaths[p[2]] = deaths.get(p[2], 0) + (not wrong)
        if wrong:
            broken.append("%s: %s" % (p[0], wrong))
            print("# %s: %s" % (p[0], wrong), flush=True)
    check(test, scenes, cluster, broken)
    keeper.end()
    test.done(cluster, "%d points; deaths: %s; %d restarts from here; %d jobs, the slowest ended after %.1f s"
              % (len(points), ", ".join("%s %d" % d for d in sorted(deaths.items())), keeper.restarts, len(scenes.jobs),
                 scenes.longest))


main()
