# cluster.py - what the crash tests share: a sandbox, its processes, and a client that goes on through crashes
#
# The cluster is a real one (tug sandbox) in a directory of its own; its controller is killed and started again from
# here. The client speaks the client socket's own bytes (frames of proto/msg.h, the few messages that are needed), so
# that a request can be in flight when its controller dies and be sent again with the same token.
import atexit
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

SUBMIT, SUBMIT_REPLY, ERROR = 103, 104, 100
HERE = os.path.dirname(os.path.abspath(__file__))


# ---- protobuf, as much as is needed

def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def numbers():
    """{message: {field: number}} of the protocol files, so that there is one list of them"""
    out, message = {}, None
    base = os.environ.get("TUG_SRCDIR") or os.path.join(HERE, "../..")
    for name in ("job", "client"):
        with open("%s/src/proto/%s.proto" % (base, name)) as f:
            for line in f:
                for word in re.findall(r"^message (\w+)", line):
                    message = out.setdefault(word, {})
                for field, number in re.findall(r"\b(\w+) = (\d+);", line.split("//")[0]):
                    if message is not None:
                        message[field] = int(number)
    return out


NUMBERS = numbers()


def pack(message, **fields):
    """pack("JobSpec", name="x"): 0, "" and b"" are left out"""
    out = bytearray()
    for name, values in fields.items():
        number = NUMBERS[message][name]
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                if value:
                    out += varint(number << 3) + varint(value)
                continue
            data = value.encode() if isinstance(value, str) else value
            if data:
                out += varint(number << 3 | 2) + varint(len(data)) + data
    return bytes(out)


def unpack(message, data):
    """{field: last value}; numbers and bytes"""
    names = {n: f for f, n in NUMBERS[message].items()}
    out, at = {}, 0

    def take():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n
    while at < len(data):
        key = take()
        size = take()
        if key & 7 == 0:
            out[names.get(key >> 3)] = size
        else:
            out[names.get(key >> 3)] = data[at:at + size]
            at += size
    return out


def frame(number, rid, body):
    return struct.pack("<IHHI", len(body), number, 0, rid) + body


def submit_body(token, argv, nodes=1, begin_ms=0, cwd="/", stdout="/dev/null"):
    res = pack("ResourceRequest", nodes=nodes, tasks_per_node=1)
    spec = pack("JobSpec", name=token, kind=1, res=res, argv=argv, cwd=cwd, stdout_path=stdout, begin_ms=begin_ms,
                umask=0o22)
    return pack("SubmitRequest", token=token, spec=spec)


class Connection:
    def __init__(self, path, timeout=30):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.have = b""
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise

    def send(self, number, rid, body):
        self.sock.sendall(frame(number, rid, body))

    def recv(self):
        """(number, rid, body); ConnectionError when the other side went"""
        while True:
            if len(self.have) >= 12:
                size, number, _, rid = struct.unpack_from("<IHHI", self.have)
                if len(self.have) >= 12 + size:
                    body, self.have = self.have[12:12 + size], self.have[12 + size:]
                    return number, rid, body
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionResetError("the controller closed the connection")
            self.have += more

    def close(self):
        self.sock.close()


# ---- processes

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def gone(pid):
    """It has ended, whether or not anybody has waited for it. (A process that is being executed has no command line yet.)"""
    stat = read("/proc/%d/stat" % pid)
    return not stat or stat.rsplit(b")", 1)[1].split()[0] in (b"Z", b"X")


class Cluster:
    def __init__(self, nodes, programs=None, around=None, options=()):
        """programs(dir) fills a directory with the programs to use instead of those in PATH; around: a prolog and epilog;
        {dir} in an option of tug sandbox start is the cluster's directory"""
        self.dir = tempfile.mkdtemp(prefix="tug-crash-")
        self.work = self.dir + "/work"
        os.mkdir(self.work)
        os.mkdir(self.dir + "/run", 0o700)
        self.env = dict(os.environ, XDG_RUNTIME_DIR=self.dir + "/run", NO_COLOR="1")
        self.env.pop("TUG_SOCKET", None)
        if programs:
            self.bin = self.dir + "/bin"
            os.mkdir(self.bin)
            programs(self.bin)
            self.env["PATH"] = self.bin + ":" + self.env["PATH"]
        self.box = self.dir + "/run/tugline/sandbox"
        self.socket = self.box + "/tugd.sock"
        self.log = open(self.dir + "/tugd-restarted.log", "ab")
        self.controller = None
        self.tugd = shutil.which("tugd", path=self.env["PATH"])
        self.kills = {}
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        atexit.register(self.down, keep=True)  # a test that breaks leaves no process behind
        subprocess.run(("tug", "sandbox", "start", "--nodes", str(nodes), "--gpus", "8", *self.node_config(around),
                        *(o.format(dir=self.dir) for o in options)),
                       env=self.env, cwd="/", stdout=subprocess.DEVNULL, check=True)
        with open(self.box + "/sandbox.state") as f:
            self.pid = int(f.readline().split()[0])

    def node_config(self, around):
        if not around:
            return ()
        program, config = self.dir + "/" + os.path.basename(around), self.dir + "/node.yaml"
        shutil.copy(around, program)
        with open(config, "w") as f:
            f.write("prolog: {program: %s}\nepilog: {program: %s}\n" % (program, program))
        return "--node-config", config

    def tug(self, *args, check=True):
        r = subprocess.run(("tug",) + args, env=self.env, cwd=self.work, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=120)
        if check and r.returncode:
            raise RuntimeError("tug %s: %s" % (" ".join(args), r.stderr.decode()))
        return r.stdout.decode()

    def tug_fails(self, *args):
        return subprocess.run(("tug",) + args, env=self.env, cwd=self.work, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=120).returncode

    def submit(self, *args, out="/dev/null"):
        """The id. A controller that dies at it may have taken the job: then there is one more, that nobody looks at."""
        for _ in range(1000):
            try:
                return int(self.tug("submit", "--parsable", "-o", out, *args))
            except RuntimeError as e:
                last = e
                time.sleep(0.01)
        raise last

    def json(self, *args):
        return json.loads(self.tug(*args))

    def connect(self, seconds=30):
        """A connection, as soon as a controller takes one."""
        end = time.monotonic() + seconds
        while True:
            try:
                return Connection(self.socket)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.002)

    def kill(self, name, pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills[name] = self.kills.get(name, 0) + 1

    def kill_controller(self, count=True):
        """Also one that is dead already: then it is only buried."""
        if count:
            self.kill("tugd", self.pid)
        if self.controller:
            self.controller.wait()
        while not gone(self.pid):
            time.sleep(0.001)

    def start(self, argv, env=None):
        return subprocess.Popen(argv, env=env or self.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def lengthen_leases(self):
        """A node daemon that is killed again and again is away for longer than a sandbox's leases: these become a site's."""
        config = self.box + "/tugline.yaml"
        with open(config) as f:
            text = f.read()
        assert "\n  lease: 20s\n" in text
        with open(config, "w") as f:
            f.write(text.replace("\n  lease: 20s\n", "\n  lease: 300s\n"))
        self.kill_controller()
        self.start_controller()

    def start_controller(self):
        """Only starts it: clients try until it answers."""
        self.controller = self.start((self.tugd, "--config", self.box + "/tugline.yaml", "--foreground"))
        self.pid = self.controller.pid

    def pids(self, program):
        """Of this cluster."""
        return [int(p) for p in os.listdir("/proc") if p.isdigit()
                and read("/proc/%s/comm" % p).strip() == program.encode()
                and self.dir.encode() in read("/proc/%s/cmdline" % p)]

    def ranks(self):
        """Processes that work in this cluster's working directory."""
        found = []
        for p in os.listdir("/proc"):
            try:
                if p.isdigit() and os.readlink("/proc/%s/cwd" % p).startswith(self.work):
                    found.append("%s %s" % (p, read("/proc/%s/cmdline" % p).replace(b"\0", b" ").decode()))
            except OSError:
                pass
        return found

    def wait_for(self, what, check, seconds):
        """check() says what is missing, or nothing."""
        end = time.monotonic() + seconds
        while True:
            missing = check()
            if not missing:
                return True
            if time.monotonic() > end:
                print("# gave up after %d s waiting for %s: %s" % (seconds, what, missing))
                return False
            time.sleep(0.05)

    def idle(self):
        """Nothing is held and nothing runs: what is still there, or ''."""
        nodes = self.json("nodes", "--json")["nodes"]
        held = [n["name"] for n in nodes if n["state"] != "IDLE" or n["jobs"] or n["cpus_alloc"] or n["gpus_alloc"]]
        return " ".join(held) or " ".join(str(p) for p in self.pids("tugstepd")) or "; ".join(self.ranks())

    def down(self, keep):
        atexit.unregister(self.down)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # nor one that is told to end twice
        if self.controller:
            self.controller.terminate()
            self.controller.wait()
        self.tug("sandbox", "stop", check=False)
        self.log.close()
        if keep:
            print("# kept: " + self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


# ---- a test: prints TAP

class Test:
    def __init__(self, name):
        self.n = self.failed = 0
        self.seed = int(os.environ.get("TUG_SEED") or random.SystemRandom().randrange(1 << 32))
        self.rand = random.Random(self.seed)
        self.start = time.monotonic()
        print("# %s: TUG_SEED=%d" % (name, self.seed), flush=True)

    def check(self, sentence, wrong):
        """'wrong' lists what is wrong; empty = ok"""
        self.n += 1
        wrong = list(wrong)
        print("%sok %d - %s" % ("not " if wrong else "", self.n, sentence))
        for w in wrong[:10]:
            print("#   %s" % (w,))
        if len(wrong) > 10:
            print("#   and %d more" % (len(wrong) - 10))
        self.failed += bool(wrong)

    def done(self, cluster, figures, *others):
        clusters, kills = (cluster,) + others, {}
        for c in clusters:
            for program, n in c.kills.items():
                kills[program] = kills.get(program, 0) + n
        print("1..%d" % self.n)
        print("# %s; killed: %s; %.1f s" % (figures, ", ".join("%s %d" % k for k in sorted(kills.items())),
                                            time.monotonic() - self.start), flush=True)
        for c in clusters:
            c.down(keep=self.failed)
        sys.exit(1 if self.failed else 0)
