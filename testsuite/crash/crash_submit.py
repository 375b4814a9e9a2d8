#!/usr/bin/env python3
# crash_submit.py [--full] - an acknowledged job is durable and its id is its own for ever
#
# Clients keep submits in flight, each with a token of its own, and send a token again until it is acknowledged; the
# controller is killed at random moments, now and then while it starts. TUG_SEED repeats the same choices.
import sys
import threading
import time

from cluster import ERROR, SUBMIT, SUBMIT_REPLY, Cluster, Test, submit_body, unpack

JOBS, KILLS = (10000, 500) if "--full" in sys.argv else (1200, 60)
CLIENTS, WINDOW = 4, 16
LATER_MS = int(time.time() * 1000) + 86400000


class Client(threading.Thread):
    """Submits the tokens that it is given; 'acks' is every acknowledgement: (token, id)."""

    def __init__(self, cluster, index):
        super().__init__(daemon=True)
        self.cluster, self.index = cluster, index
        self.todo, self.acks, self.errors = [], [], []
        self.known, self.resent = 0, 0
        self.more, self.over = threading.Condition(), False

    def give(self, tokens):
        with self.more:
            self.todo.extend(tokens)
            self.more.notify()

    def finish(self):
        with self.more:
            self.over = True
            self.more.notify()

    def take(self, flying):
        with self.more:
            while not self.todo and not flying and not self.over:
                self.more.wait()
            n = WINDOW - len(flying)
            new, self.todo = self.todo[:n], self.todo[n:]
            return new

    def run(self):
        flying, conn, rids, rid = [], None, {}, 0
        while True:
            new = self.take(flying)
            if not new and not flying:
                return
            try:
                if conn is None:
                    conn, rids = self.cluster.connect(), {}
                    self.resent += len(flying)
                    flying, new = [], flying + new
                flying += new
                for token in new:
                    rid += 1
                    rids[rid] = token
                    # every other one runs at once, the others are kept waiting
                    begin = LATER_MS if int(token.split("-")[1]) % 2 else 0
                    conn.send(SUBMIT, rid, submit_body(token, ["true"], begin_ms=begin))
                number, back, body = conn.recv()
            except OSError:
                if conn:
                    conn.close()
                conn = None
                continue
            token = rids.pop(back)
            flying.remove(token)
            if number == SUBMIT_REPLY:
                reply = unpack("SubmitReply", body)
                self.acks.append((token, reply.get("job", 0)))
                self.known += reply.get("existed", 0)
            elif number == ERROR:
                self.errors.append("%s: %s" % (token, unpack("Error", body).get("text", b"").decode()))


def submit_through_kills(test, cluster, clients):
    given = 0
    for kill in range(KILLS):
        upto = JOBS * (kill + 1) // KILLS
        tokens = ["crash-%d" % i for i in range(given, upto)]
        given = upto
        for c in clients:
            c.give(tokens[c.index::CLIENTS])
        if test.rand.random() < 0.8:  # else: it is killed while it starts
            cluster.connect().close()
        time.sleep(test.rand.random() * 0.02)
        cluster.kill_controller()
        cluster.start_controller()
    for c in clients:
        c.finish()
    for c in clients:
        c.join(120)


def main():
    test = Test("crash_submit")
    cluster = Cluster(nodes=2)
    clients = [Client(cluster, i) for i in range(CLIENTS)]
    for c in clients:
        c.start()
    submit_through_kills(test, cluster, clients)
    acks = [a for c in clients for a in c.acks]
    ids, tokens = {}, {}
    for token, job in acks:
        ids.setdefault(job, set()).add(token)
        tokens.setdefault(token, set()).add(job)
    test.check("every submit is answered in the end",
               ["client %d hangs" % c.index for c in clients if c.is_alive()]
               + [e for c in clients for e in c.errors]
               + ["crash-%d" % i for i in range(JOBS) if "crash-%d" % i not in tokens])
    test.check("no id is given to two tokens", [(i, sorted(t)) for i, t in ids.items() if len(t) > 1 or not i])
    test.check("no token has two ids", [(t, sorted(i)) for t, i in tokens.items() if len(i) > 1])

    cluster.kill_controller()  # the last time
    cluster.start_controller()
    cluster.connect().close()
    stored = {}
    for job in all_jobs(cluster):
        stored.setdefault(job["id"], set()).add(job["name"])
    test.check("every acknowledged job is there after the last restart",
               ["%s, job %d" % (t, j) for t, j in acks if j not in stored])
    test.check("an id is the job that it was given to, in the queue and in history",
               [(i, sorted(n), sorted(ids[i])) for i, n in stored.items() if i in ids and n != ids[i]])
    names = [n for s in stored.values() for n in s]
    test.check("no submit made two jobs, and none was made that nobody was told of",
               [n for n in set(names) if names.count(n) > 1] + sorted(set(stored) - set(ids)))
    again = Client(cluster, 0)
    again.give(sorted(tokens))
    again.finish()
    again.run()
    test.check("a token that is sent again after all restarts gives the id that it had",
               again.errors + [(t, j) for t, j in again.acks if {j} != tokens[t]]
               + (["%d were taken for new" % (JOBS - again.known)] if again.known != JOBS else []))
    new = Client(cluster, 0)
    new.give(["new-1"])
    new.finish()
    new.run()
    test.check("a new job's id is above all that were ever given",
               new.errors + [(j, max(ids)) for _, j in new.acks if j <= max(ids)])
    test.done(cluster, "%d submits, %d sent again because of a kill, %d of them had been stored"
              % (JOBS, sum(c.resent for c in clients), sum(c.known for c in clients)))


def all_jobs(cluster):
    jobs = cluster.json("queue", "--json")["jobs"]
    return jobs + cluster.json("history", "--json", "--limit", str(2 * JOBS))["jobs"]


main()
