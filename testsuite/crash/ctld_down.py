#!/usr/bin/env python3
# ctld_down.py [--full] [--jobs N] [--seconds N] - ranks do not notice that their controller is away, and what ended meanwhile is told once it is back
#
# 60 jobs (--full: 1,000) count on one node while tugd is killed and stays away for some seconds (--full: an hour).
# Each measures how long it did not come round to counting, and the signals that it gets. Half of them
# end while tugd is away, each with an exit code of its own: the node keeps how, and one record each. Then tugd is started.
import os
import sys
import time

from cluster import Cluster, Test, read


def option(name, short, full):
    if name in sys.argv:
        return int(sys.argv[sys.argv.index(name) + 1])
    return full if "--full" in sys.argv else short


JOBS = option("--jobs", 60, 1000)
AWAY_S = option("--seconds", 5, 3600)
STALL_MS = 1000
KEPT_MAX = 64 << 20

# A rank in C, as a thousand of anything larger would be what stalls. It ends when the file "stop.half" is there.
RANK = r"""
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static volatile sig_atomic_t signals;
static void on_signal(int s) { (void) s; signals++; }
int main(int argc, char **argv)
{
    char stop[64], out[64];
    struct timespec t, last;
    long count = 0, longest_ms = 0;
    for (int s = 1; s < 32; s++)
        if (s != SIGCHLD)
            signal(s, on_signal);
    snprintf(stop, sizeof stop, "stop.%d", atoi(argv[argc - 1]) % 2);
    snprintf(out, sizeof out, "rank.%s", argv[argc - 1]);
    FILE *f = fopen(out, "w");
    fprintf(f, "start\n");
    fflush(f);
    clock_gettime(CLOCK_BOOTTIME, &last);
    while (access(stop, F_OK)) {
        clock_nanosleep(CLOCK_BOOTTIME, 0, &(struct timespec){.tv_nsec = 50000000}, NULL);
        clock_gettime(CLOCK_BOOTTIME, &t);
        long ms = (t.tv_sec - last.tv_sec) * 1000 + (t.tv_nsec - last.tv_nsec) / 1000000 - 50;
        longest_ms = ms > longest_ms ? ms : longest_ms;
        last = t;
        count++;
    }
    fprintf(f, "end %ld %ld %d\n", count, longest_ms, (int) signals);
    fclose(f);
    return atoi(argv[argc - 1]) % 200 + 1;
}
"""


def node_state(cluster):
    """Bytes of what the node keeps."""
    total = 0
    for where, _, files in os.walk(cluster.box + "/nodes/n1"):
        for name in files:
            try:
                total += os.stat(os.path.join(where, name)).st_size
            except OSError:
                pass
    return total


def resident(pid):
    for line in read("/proc/%d/status" % pid).decode().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def words(cluster, n):
    lines = read("%s/rank.%d" % (cluster.work, n)).decode().split("\n")
    return lines[1].split() if len(lines) > 1 else []


def come_back(cluster):
    """Its port may be somebody's outgoing connection by now: again until it is free."""
    for _ in range(30):
        cluster.start_controller()
        while cluster.controller.poll() is None:
            try:
                return cluster.connect(1).close()
            except OSError:
                pass


def main():
    test = Test("ctld_down")
    cluster = Cluster(nodes=1, options=("--cpus", str(max(JOBS, 64))))
    cluster.lengthen_leases()
    with open(cluster.work + "/rank.c", "w") as f:
        f.write(RANK)
    if os.system("cc -O1 -static -o %s/rank %s/rank.c" % (cluster.work, cluster.work)):
        sys.exit("cc failed")
    jobs = {}
    for n in range(JOBS):
        jobs[n] = cluster.submit("--no-requeue", "--", "./rank", str(n))
    started = lambda: [n for n in jobs if not read("%s/rank.%d" % (cluster.work, n))]
    ok = cluster.wait_for("all to run", lambda: "%d do not yet" % len(started()) if started() else "", 600)
    test.check("%d jobs run on one node" % JOBS, [] if ok else ["%d do not" % len(started())])

    noded = cluster.pids("tugnoded")
    memory = resident(noded[0])
    cluster.kill_controller()
    time.sleep(AWAY_S)
    open(cluster.work + "/stop.0", "w").close()
    half = [n for n in jobs if n % 2 == 0]
    ok = cluster.wait_for("half of them to end", lambda: "" if all(words(cluster, n) for n in half) else "some run", 120)
    ok &= cluster.wait_for("their results", lambda: "" if len(cluster.pids("tugstepd")) <= JOBS - len(half) else "step daemons", 120)
    test.check("those that end meanwhile leave no process", [] if ok else ["%d step daemons" % len(cluster.pids("tugstepd"))])
    kept, grown = node_state(cluster), resident(noded[0]) - memory
    test.check("all that the node keeps is far below 64 MiB", [] if kept < KEPT_MAX and grown < KEPT_MAX else [kept, grown])
    test.check("its node daemon is the one that was there", [] if cluster.pids("tugnoded") == noded else [noded])

    come_back(cluster)
    known = lambda: {j["id"]: j for j in cluster.json("history", "--json", "--limit", str(2 * JOBS))["jobs"]}
    ok = cluster.wait_for("their ends", lambda: "" if all(jobs[n] in known() for n in half) else "some are missing", 120)
    open(cluster.work + "/stop.1", "w").close()
    ok &= cluster.wait_for("the others' ends", lambda: "" if all(i in known() for i in jobs.values()) else "some are missing", 120)
    test.check("all ends are recorded", [] if ok else ["some are missing"])
    rows = known()
    test.check("each as its rank did, of its first attempt",
               [(n, rows[i]["state"], rows[i]["exit"]) for n, i in jobs.items()
                if i in rows and (rows[i]["exit"]["exit_code"] != n % 200 + 1 or rows[i]["attempt"] != 1)])
    ends = {n: words(cluster, n) for n in jobs}
    stalls = [int(w[2]) for w in ends.values() if w]
    test.check("no rank got a signal", [(n, w) for n, w in ends.items() if not w or w[3] != "0"])
    test.check("none stood still for more than a second", [(n, w) for n, w in ends.items() if w and int(w[2]) > STALL_MS])
    test.done(cluster, "%d jobs, tugd away for %d s; the longest that a rank stood still: %d ms; %d results kept on the node: "
              "%d KiB of files in all, %d KiB of memory more" % (JOBS, AWAY_S, max(stalls, default=0), len(half), kept // 1024, grown // 1024))


main()
