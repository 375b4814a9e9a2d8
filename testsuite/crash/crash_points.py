#!/usr/bin/env python3
# crash_points.py [--full] [POINT...] - every daemon dies at every point of points.def, and what is promised holds
#
# The daemons are those of testsuite/crash/bin: their own objects, linked so that they kill themselves (SIGKILL) at a
# named point, once, when this program has armed it. Then they are started again (tugd and tuglaunch from here, as a
# service manager would; tugnoded by tuglaunch), and the job of each point must have one id, one start and one end a run, and
# the exit code of its ranks. Several clusters (LANES) do it side by side, as most of the time somebody waits. --full goes on
# until so many died in each scene as FULL says; POINT... does these only.
import os
import random
import re
import shutil
import sqlite3
import sys
import threading
import time

from cluster import ERROR, SUBMIT, SUBMIT_REPLY, Cluster, Test, gone, read, submit_body, unpack

HERE = os.path.dirname(os.path.abspath(__file__))
RANK = os.path.join(HERE, "rank.sh")
AROUND = os.path.join(HERE, "around.sh")
FULL = {"submit": 1000, "launch": 1000, "complete": 1000, "requeue": 200, "config": 100, "visit": 500, "failure": 100}
LANES = (("submit", "launch"), ("complete", "requeue", "config"), ("visit", "failure"))
WITH_PROGRAMS = ("visit", "failure")  # nodes have a prolog and an epilog
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
        self.cluster, self.keeper, self.n, self.jobs, self.longest, self.sure = cluster, keeper, 0, {}, 0, set()
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

    def submit(self, seconds, again="", nodes=3):
        self.n += 1
        token, code = "point-%d" % self.n, self.n % 3 and self.n % 200
        body = submit_body(token, [RANK, seconds, str(code), again], nodes=nodes, cwd=self.cluster.work)
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

    def run_visit(self, name, nth):
        """What its ranks did stands by the time of the epilogs, and before them nothing had run."""
        job = self.run_submit(name, nth)
        self.sure.add(job)
        return job

    def run_failure(self, name, nth):
        open(self.cluster.work + "/fail", "w").close()
        self.arm(name, nth)
        job = self.submit("0", nodes=2)
        self.sure.add(job)
        return job

    def after_failure(self, job):
        """The node of the prolog that failed has been drained for it; it is needed again. What is wrong, or ''"""
        drained = {n["name"]: n["drains"][0]["reason"] for n in self.cluster.json("nodes", "--json")["nodes"] if n["drains"]}
        failed = [f for f in os.listdir(self.cluster.work) if f.startswith("failed.%d." % job)]
        if len(failed) != 1 or list(drained) != [failed[0].split(".")[-1]]:
            return "the prolog failed at %s, drained is %s" % (failed, drained)
        if not all(r.startswith("prolog of job %d ended with exit code 1: no scratch" % job) for r in drained.values()):
            return "drained: %s" % drained
        for node in drained:
            self.cluster.tug("resume", node)
        return ""

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
    return scenes.after_failure(job) if scene == "failure" else ""


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


class Lane(threading.Thread):
    """A cluster, and the points of its scenes, one after the other. Its check_ methods list what is wrong afterwards."""

    def __init__(self, seed, points):
        super().__init__(daemon=True)
        self.points, self.rand, self.deaths, self.broken = points, random.Random("%d %s" % (seed, points[0][2])), {}, []
        self.cluster = Cluster(nodes=3, programs=programs(), around=AROUND if points[0][2] in WITH_PROGRAMS else None)
        self.keeper = Keeper(self.cluster)
        self.scenes = Scenes(self.cluster, self.keeper)

    def choose(self):
        """Each once; with --full, on and on until each scene has had its number."""
        left = {scene: FULL[scene] for scene in {p[2] for p in self.points}} if "--full" in sys.argv else {}
        order = list(self.points)
        while order:
            self.rand.shuffle(order)
            for p in order:
                left[p[2]] = left.get(p[2], 0) - 1
                yield p
            order = [p for p in self.points if left[p[2]] > 0]

    def run(self):
        self.keeper.start()
        for p in self.choose():
            try:
                wrong = die_at(p, self.scenes, self.cluster)
            except Exception as e:  # of a thread nobody would hear
                wrong = repr(e)
            self.deaths[p[2]] = self.deaths.get(p[2], 0) + (not wrong)
            if wrong:
                self.broken.append("%s: %s" % (p[0], wrong))
                print("# %s: %s" % (p[0], wrong), flush=True)
        self.look()

    def look(self):
        """By the commands, while its daemons are kept alive."""
        self.rows, self.found = rows_of(self.cluster), {}
        for j in self.cluster.json("history", "--json", "--limit", str(len(self.scenes.jobs) * 2 + 100))["jobs"]:
            self.found.setdefault(j["id"], []).append(j)
        self.tokens = [(job, token, self.scenes.send(token, body)) for job, (token, body, _) in self.scenes.jobs.items()]
        ok = self.cluster.wait_for("idle nodes", self.cluster.idle, 30)
        self.left = [] if ok else [self.cluster.idle()]
        self.keeper.end()

    def check_once(self):
        return (["%d: %d times" % (i, len(self.found.get(i, []))) for i in self.scenes.jobs if len(self.found.get(i, [])) != 1]
                + ["job %d, which nobody was told of" % i for i in self.found if i not in self.scenes.jobs])

    def check_tokens(self):
        return ["%s: %d, was %d" % (token, now, job) for job, token, now in self.tokens if now != job]

    def check_rows(self):
        return [w for i in self.scenes.jobs for w in wrong_rows(i, self.rows.get(i, []))]

    def check_ends(self):
        lost = ("stepd", "node")
        return ["job %d: rank 1 exits with %d, recorded %s %s: %s" % (i, code, j["state"], j["exit"], j["cause"])
                for i, (_, _, code) in self.scenes.jobs.items() for j in self.found.get(i, [])
                if not ((j["exit"] or {}).get("exit_code") == code and j["state"] == ("FAILED" if code else "COMPLETED"))
                and (i in self.scenes.sure or (j["cause"] or {}).get("kind") not in lost)]

    def check_ranks(self):
        ran = self.lines("ranks")
        return sorted({r for r in ran if ran.count(r) > 1})

    def check_meet(self):
        return self.lines("overlaps")

    def check_programs(self):
        """Of each visit that began, the epilog came to its end; nothing of it began after that."""
        last = {tuple(line.split()[2:]): line for line in self.lines("programs")}
        silent = [job for job in self.scenes.sure if not any(visit[0] == str(job) for visit in last)]
        return (["job %s.%s on %s: the last of it is '%s'" % (*visit, line) for visit, line in last.items()
                 if not line.startswith("epilog end")] + ["job %d: no program was run" % job for job in silent])

    def check_left(self):
        return self.left

    def lines(self, name):
        return read(self.cluster.work + "/" + name).decode().splitlines()


CHECKS = (("each job is there once", Lane.check_once),
          ("a token that is sent again gives the id that it had", Lane.check_tokens),
          ("history has one row for each submit, start, requeue and end", Lane.check_rows),
          ("each job ended as its ranks did, or names the daemon that was lost", Lane.check_ends),
          ("no rank of an attempt ran twice", Lane.check_ranks),
          ("ranks of two attempts never ran at the same time, nor outside of their prolog and epilog, nor two programs of a visit",
           Lane.check_meet),
          ("every visit ended with its epilog", Lane.check_programs),
          ("no process is left and the nodes hold nothing", Lane.check_left))


def main():
    test = Test("crash_points")
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    points = [p for p in table() if not names or p[0] in names]
    shares = [[p for p in points if p[2] in scenes] for scenes in LANES]
    lanes = [Lane(test.seed, share) for share in shares if share]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    test.check("each point is passed, and the job ends", [w for lane in lanes for w in lane.broken])
    for sentence, wrong in CHECKS:
        test.check(sentence, [w for lane in lanes for w in wrong(lane)])
    deaths = {scene: n for lane in lanes for scene, n in lane.deaths.items()}
    test.done(lanes[0].cluster, "%d points; deaths: %s; %d restarts from here; %d jobs, the slowest ended after %.1f s"
              % (len(points), ", ".join("%s %d" % d for d in sorted(deaths.items())), sum(lane.keeper.restarts for lane in lanes),
                 sum(len(lane.scenes.jobs) for lane in lanes), max(lane.scenes.longest for lane in lanes)),
              *[lane.cluster for lane in lanes[1:]])


main()
