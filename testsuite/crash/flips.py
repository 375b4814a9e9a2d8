#!/usr/bin/env python3
# flips.py [--full] - a byte of the controller's state that is not what was written is never taken for what was
#
# A state with jobs and history, and a log that was not moved when its tugd was killed. Again and again one byte of the file or of its
# log is changed, or one of them ends too soon, and a real tugd is started from that: it names the file and does not start, or
# it starts and every record and row is what it would have been without. Nothing else is accepted. A byte of the last
# transaction of a log is told from one that a crash has torn by nobody; so that one is let be.
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

FLIPS = 10000 if "--full" in sys.argv else int(os.environ.get("TUG_FLIPS", "60"))
SEED = int(os.environ.get("TUG_SEED") or random.SystemRandom().randrange(1 << 32))
rand = random.Random(SEED)
JOBS = 25


class World:
    def __init__(self, top):
        self.top, self.state, self.kept = top, top + "/state", top + "/kept"
        self.conf = top + "/tugline.yaml"
        os.mkdir(self.state, 0o700)
        with open(self.conf, "w") as f:
            f.write("cluster: {name: flips, state_dir: %s, run_dir: %s/run, listen: '127.0.0.1:0'}\n"
                    "scheduler: {policy: fifo, policy_dirs: ['%s/plugins']}\nlimits: {min_uid: 1}\n"
                    "timeouts: {min_job_age: 7d}\nnodes: [{name: n1, cpus: 8, gpus: 4}]\n" % (self.state, top, os.environ.get("TUG_BUILDDIR", "/")))
        self.env = dict(os.environ, TUG_SOCKET=top + "/run/tugd.sock", NO_COLOR="1")

    def tug(self, *words):
        return subprocess.run(["tug"] + list(words), env=self.env, check=True, capture_output=True, text=True).stdout

    def start(self):
        """The daemon once it answers, or None and what it said"""
        r, w = os.pipe()
        p = subprocess.Popen(["tugd", "-c", self.conf, "--ready-fd", str(w)], pass_fds=[w], stderr=subprocess.PIPE, text=True)
        os.close(w)
        ready = os.read(r, 1)
        os.close(r)
        return (p, "") if ready else (None, p.communicate()[1])

    def stop(self, p, how=signal.SIGTERM):
        p.send_signal(how)
        p.communicate()

    def held(self):
        """All that is in the state but what each start changes"""
        lines = [json.loads(x) for x in self.tug("admin", "export", self.state).splitlines()]
        return {json.dumps(x, sort_keys=True) for x in lines if x["kind"] != "meta"}

    def put_back(self):
        shutil.rmtree(self.state)
        shutil.copytree(self.kept, self.state)


def frames(log):
    """Where the last transaction of a log begins (https://www.sqlite.org/fileformat2.html#walformat)"""
    page = struct.unpack(">I", log[8:12])[0]
    salts, at, ends = log[16:24], 32, [32]
    while at + 24 + page <= len(log) and log[at + 8:at + 16] == salts:
        commit = struct.unpack(">I", log[at + 4:at + 8])[0]
        at += 24 + page
        if commit:
            ends.append(at)
    return ends


def damage(world, name, data, limit):
    with open(world.state + "/" + name, "r+b") as f:
        if rand.random() < 0.1:  # it ends too soon
            at = rand.randrange(len(data) // 512) * 512
            if name.endswith("-wal"):
                return None
            f.truncate(at)
            return "%s: cut to %d bytes" % (name, at)
        at, bit = rand.randrange(limit), 1 << rand.randrange(8)
        f.seek(at)
        f.write(bytes([data[at] ^ bit]))
        return "%s: byte %d ^ 0x%02x" % (name, at, bit)


def other_files(world):
    """What is not a state at all, and what is in the way"""
    path = world.state + "/state.db"
    for what in ("empty", "directory", "text", "link"):
        world.put_back()
        for name in (path, path + "-wal", path + "-shm"):
            if os.path.exists(name):
                os.unlink(name)
        if what == "directory":
            os.mkdir(path, 0o700)
        elif what == "link":
            os.symlink("/dev/null", path)
        else:
            with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
                f.write("not a state\n" * 1000 if what == "text" else "")
        p, said = world.start()
        assert p is None and path in said, "a state that is %s: %s" % (what, said)


def run(world):
    p, said = world.start()
    assert p, said
    for i in range(JOBS):
        world.tug("submit", "-J", "job%d" % i, "--begin", "now+1000h", "--parsable", "--", "true")
        if i % 5 == 0:
            world.tug("cancel", str(i + 1))
    world.stop(p, signal.SIGKILL)
    shutil.copytree(world.state, world.kept)
    p, said = world.start()
    assert p, said
    world.stop(p)
    want = world.held()
    assert sum('"kind": "history"' in x for x in want) >= JOBS, want

    files = {}
    for name in ("state.db", "state.db-wal"):
        with open(world.kept + "/" + name, "rb") as f:
            files[name] = f.read()
    ends = frames(files["state.db-wal"])
    assert len(ends) > 3, "the log holds too few transactions"
    limits = {"state.db": len(files["state.db"]), "state.db-wal": ends[-2]}
    told = same = 0
    for n in range(FLIPS):
        name = rand.choice(("state.db", "state.db-wal"))
        world.put_back()
        what = damage(world, name, files[name], limits[name])
        if what is None:
            continue
        p, said = world.start()
        if p is None:
            assert world.state + "/state.db" in said, "%s: refused without the file's name: %s" % (what, said)
            told += 1
            continue
        world.stop(p)
        got = world.held()
        assert got == want, "%s: accepted, and %d records are others" % (what, len(got ^ want))
        same += 1
    other_files(world)
    print("%d damaged states: %d refused by name, %d started from with all records as they were" % (told + same, told, same))


with tempfile.TemporaryDirectory() as top:
    print("seed %d (TUG_SEED)" % SEED, flush=True)
    run(World(top))
