/* main.c - tuglaunch: the part of a node that may be root
 *
 * Starts tugnoded without privileges and obeys it only where the controller has signed the order. No socket but the one
 * to tugnoded, no configuration, no library but libc and libsodium; nothing that a user wrote is opened or parsed.
 * When this process ends, every step it started is ended. Layer: launch.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/notify.h"
#include "launch/cgroup.h"
#include "launch/noded.h"

#define MIN_UID 1000
#define PIDS_MAX 16384                  /* until tugnoded has said what its configuration says */
#define OOM_SCORE_ADJ "-900"            /* as OOMScoreAdjust= of the service */
#define STOP_NODED_MS 5000
#define STOP_STEPS_MS 10000

static struct tug_steps steps;          /* large, so not on the stack */
static struct tug_noded noded = {.fd = -1};

struct options {
    const char *node, *cluster, *controller_pub, *run_dir, *stepd, *cgroup_root;
    uid_t noded_uid, min_uid;
    gid_t noded_gid;
    bool emulated, one_user;
};

static const char usage[] =
    "usage: tuglaunch --node NAME --cluster NAME --controller-pub FILE --run-dir DIR --stepd PATH [options]\n"
    "                 -- /path/tugnoded [arguments]\n"
    "  --node NAME            this node, as orders name it\n"
    "  --cluster NAME         the cluster, as orders name it\n"
    "  --controller-pub FILE  public key of the controller: only what it signed is obeyed\n"
    "  --run-dir DIR          sockets and the steps' directories (absolute)\n"
    "  --stepd PATH           the step daemon (absolute)\n"
    "  --noded-uid UID        tugnoded runs as this user\n"
    "  --noded-gid GID        and this group\n"
    "  --min-uid N            lowest uid that may run steps (1000)\n"
    "  --one-user             run steps only as the user that runs this, changing no uid (always so without root)\n"
    "  --cgroup-root DIR      make cgroups under DIR; 'none' = do without\n"
    "  --emulated             a boot id for each start: several nodes on one machine\n";

static int number(const char *text, unsigned long max, const char *what, unsigned long *out, struct tug_err *err)
{
    char *end;
    errno = 0;
    *out = strtoul(text, &end, 10);
    if (!isdigit((unsigned char) *text) || *end || errno || *out > max)
        return tug_fail(err, -EINVAL, "%s: '%s' is not a number from 0 to %lu", what, text, max);
    return 0;
}

static int name_ok(const char *name, const char *what, struct tug_err *err)
{
    size_t n = name ? strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") : 0;
    if (n == 0 || name[n] || n >= TUG_ORDER_NAME_MAX || name[0] == '.')
        return tug_fail(err, -EINVAL, "%s: '%s' is not 1 to %d letters, digits, '.', '_' or '-'", what,
                        name ? name : "", TUG_ORDER_NAME_MAX - 1);
    return 0;
}

static int path_ok(const char *path, const char *what, struct tug_err *err)
{
    if (!path || path[0] != '/' || strlen(path) > 4000)
        return tug_fail(err, -EINVAL, "%s: '%s' is not an absolute path", what, path ? path : "");
    return 0;
}

static int parse(struct options *o, int argc, char **argv, struct tug_err *err)
{
    enum { NODE = 256, CLUSTER, PUB, RUN_DIR, STEPD, NODED_UID, NODED_GID, MIN, ONE_USER, CGROUP, EMULATED, HELP };
    static const struct option table[] = {
        {"node", 1, NULL, NODE}, {"cluster", 1, NULL, CLUSTER}, {"controller-pub", 1, NULL, PUB},
        {"run-dir", 1, NULL, RUN_DIR}, {"stepd", 1, NULL, STEPD}, {"noded-uid", 1, NULL, NODED_UID},
        {"noded-gid", 1, NULL, NODED_GID}, {"min-uid", 1, NULL, MIN}, {"one-user", 0, NULL, ONE_USER},
        {"cgroup-root", 1, NULL, CGROUP}, {"emulated", 0, NULL, EMULATED}, {"help", 0, NULL, HELP}, {0}};
    unsigned long value = 0;
    int rc = 0;
    for (int c; !rc && (c = getopt_long(argc, argv, "+", table, NULL)) != -1;) {
        switch (c) {
        case NODE: o->node = optarg; break;
        case CLUSTER: o->cluster = optarg; break;
        case PUB: o->controller_pub = optarg; break;
        case RUN_DIR: o->run_dir = optarg; break;
        case STEPD: o->stepd = optarg; break;
        case CGROUP: o->cgroup_root = optarg; break;
        case ONE_USER: o->one_user = true; break;
        case EMULATED: o->emulated = true; break;
        case NODED_UID: rc = number(optarg, UINT32_MAX - 1, "--noded-uid", &value, err); o->noded_uid = (uid_t) value; break;
        case NODED_GID: rc = number(optarg, UINT32_MAX - 1, "--noded-gid", &value, err); o->noded_gid = (gid_t) value; break;
        case MIN: rc = number(optarg, UINT32_MAX - 1, "--min-uid", &value, err); o->min_uid = (uid_t) value; break;
        case HELP: fputs(usage, stdout); exit(0);
        default: return tug_fail(err, -EINVAL, "see tuglaunch --help");
        }
    }
    if (rc || (rc = name_ok(o->node, "--node", err)) || (rc = name_ok(o->cluster, "--cluster", err)) ||
        (rc = path_ok(o->run_dir, "--run-dir", err)) || (rc = path_ok(o->stepd, "--stepd", err)) ||
        (rc = path_ok(o->controller_pub, "--controller-pub", err)) ||
        (rc = path_ok(argv[optind], "the tugnoded to run (after --)", err)))
        return rc;
    if (argc - optind > 100)
        return tug_fail(err, -EINVAL, "more than 100 arguments for tugnoded");
    noded.argv = argv + optind;
    return 0;
}

/* Ours, or root's with tugnoded's group allowed to make files in it and nobody to remove ours (sticky). */
static int open_run_dir(const struct options *o, struct tug_err *err)
{
    struct stat st;
    if (mkdir(o->run_dir, 0755) < 0 && errno != EEXIST)
        return tug_fail(err, -errno, "--run-dir %s cannot be made: %s", o->run_dir, strerror(errno));
    int fd = open(o->run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return tug_fail(err, -errno, "--run-dir %s cannot be opened: %s", o->run_dir, strerror(errno));
    int rc = 0;
    if (st.st_uid != geteuid())
        rc = tug_fail(err, -EPERM, "--run-dir %s belongs to uid %u, not to uid %u", o->run_dir, st.st_uid, geteuid());
    else if (noded.drop ? fchown(fd, 0, noded.gid) < 0 || fchmod(fd, 01775) < 0 : fchmod(fd, 0755) < 0)
        rc = tug_fail(err, -errno, "--run-dir %s: %s", o->run_dir, strerror(errno));
    close(fd);
    return rc;
}

static int make_boot_id(bool emulated, uint8_t out[16], struct tug_err *err)
{
    char text[64], hex[33];
    size_t n = 0, got = 0;
    if (emulated) {
        randombytes_buf(out, 16);
        return 0;
    }
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0)
        close(fd);
    for (ssize_t i = 0; i < len && n < 32; i++)
        if (isxdigit((unsigned char) text[i]))
            hex[n++] = text[i];
    if (n != 32 || sodium_hex2bin(out, 16, hex, n, NULL, &got, NULL) != 0 || got != 16)
        return tug_fail(err, -EIO, "the kernel's boot id cannot be read");
    return 0;
}

/* Of all that the kernel may kill when this machine is out of memory; tugnoded after us, steps not (step.c). */
static void be_killed_last(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, OOM_SCORE_ADJ, strlen(OOM_SCORE_ADJ)) < 0)
        tug_warn("the kernel may kill the daemons when memory is short: oom_score_adj cannot be " OOM_SCORE_ADJ ": %s",
                 strerror(errno));
    if (fd >= 0)
        close(fd);
}

static int prepare(const struct options *o, struct tug_err *err)
{
    bool root = geteuid() == 0;
    int rc;
    steps.rules = (struct tug_rules){.cluster = o->cluster, .node = o->node, .one_user = o->one_user || !root,
                                     .self = geteuid(), .min_uid = o->min_uid};
    steps.run_dir = o->run_dir;
    steps.stepd = o->stepd;
    steps.cgroup = -1;
    for (int i = 0; i < TUG_LIMITS; i++)
        steps.limits.at[i].dir = -1;
    steps.limits.pids_max = PIDS_MAX;
    steps.log = steps.rules.one_user;
    noded.drop = root && (o->noded_uid || o->noded_gid);
    noded.uid = o->noded_uid;
    noded.gid = o->noded_gid;
    if (root && !o->one_user && !o->noded_uid)
        tug_warn("tugnoded runs as root; give it a user of its own with --noded-uid");
    if (sodium_init() < 0)
        return tug_fail(err, -EIO, "libsodium does not start");
    if ((rc = tug_check_load_key(o->controller_pub, steps.rules.controller_pub, err)) ||
        (rc = make_boot_id(o->emulated, steps.rules.boot_id, err)) || (rc = open_run_dir(o, err)))
        return rc;
    sodium_bin2hex(noded.boot_id, sizeof noded.boot_id, steps.rules.boot_id, 16);
    if (steps.rules.one_user)
        tug_info("one user: steps run as uid %u, no change of user", geteuid());
    else
        be_killed_last();
    if (!root || (o->cgroup_root && !strcmp(o->cgroup_root, "none"))) {
        tug_info("no cgroups: what a step leaves behind is found by its parents; memory and processes of jobs are not limited");
        return tug_steps_open(&steps, err);
    }
    rc = tug_cgroup_open(o->cgroup_root, o->node, &steps.cgroup, err);
    if (rc && o->cgroup_root)
        return rc;
    if (rc)
        tug_warn("no cgroups of v2: %s", err->msg);
    tug_limits_open(&steps.limits, o->node, steps.cgroup);
    return tug_steps_open(&steps, err);
}

/* ---- the loop */

static void end_overdue(int64_t now_ms)
{
    for (size_t i = 0; i < steps.n; i++)
        if (steps.at[i].phase == TUG_STEP_RUNNING && !steps.at[i].overdue &&
            !tug_lease_allows(&noded.lease, steps.at[i].requeueable, now_ms)) {
            tug_warn("the lease is over: ending job %llu attempt %u step %u", (unsigned long long) steps.at[i].job,
                     steps.at[i].attempt, steps.at[i].step);
            steps.at[i].overdue = true;
            tug_steps_kill(&steps, &steps.at[i]);
        }
}

static bool lease_matters(void)
{
    for (size_t i = 0; i < steps.n; i++)
        if (steps.at[i].phase == TUG_STEP_RUNNING && steps.at[i].requeueable && !steps.at[i].overdue)
            return true;
    return false;
}

static int wait_ms(int64_t now_ms, int sweep_ms, int64_t deadline_ms, int64_t alive_ms)
{
    int64_t at = deadline_ms < alive_ms ? deadline_ms : alive_ms;
    if (!steps.noded && noded.next_start_ms < at && deadline_ms == INT64_MAX)
        at = noded.next_start_ms;
    if (sweep_ms >= 0 && now_ms + sweep_ms < at)
        at = now_ms + sweep_ms;
    if (lease_matters() && noded.lease.until_ms < at)
        at = noded.lease.until_ms;
    if (at == INT64_MAX)
        return -1;
    return at <= now_ms ? 0 : at - now_ms > 60000 ? 60000 : (int) (at - now_ms);
}

/* First tugnoded, so that the controller hears of it; then the steps; then, in any case, the end. */
static void stop_step(int64_t *deadline_ms, int *stage, int64_t now_ms)
{
    if (*stage == 1 && (!steps.noded || now_ms >= *deadline_ms)) {
        if (steps.noded)
            kill(steps.noded, SIGKILL);
        *stage = 2;
        *deadline_ms = now_ms + STOP_STEPS_MS;
        for (size_t i = 0; i < steps.n; i++)
            tug_steps_kill(&steps, &steps.at[i]);
    }
    if (*stage == 2 && (tug_steps_live(&steps) == 0 || now_ms >= *deadline_ms))
        *stage = 3;
}

static void on_signals(int fd, int64_t *deadline_ms, int *stage)
{
    struct signalfd_siginfo si;
    int status;
    while (read(fd, &si, sizeof si) == (ssize_t) sizeof si) {
        if (si.ssi_signo == SIGCHLD)
            continue;
        if (*stage == 0) {
            *stage = 1;
            *deadline_ms = tug_boot_ms() + STOP_NODED_MS;
            if (steps.noded)
                kill(steps.noded, SIGTERM);
        } else {
            *deadline_ms = 0;           /* asked twice: do not wait */
        }
    }
    if (tug_steps_reap(&steps, &status)) {
        if (*stage == 0)
            tug_noded_ended(&noded, status);
    }
}

static int run(int signals)
{
    int64_t deadline_ms = INT64_MAX, watchdog_ms = tug_notify_watchdog_ms(), alive_ms = watchdog_ms ? 0 : INT64_MAX;
    int stage = 0;
    for (;;) {
        struct tug_err err = {0};
        int64_t now_ms = tug_boot_ms();
        if (now_ms >= alive_ms) {
            tug_notify("WATCHDOG=1");
            alive_ms = now_ms + watchdog_ms;
        }
        if (stage == 0 && !steps.noded && noded.next_start_ms <= now_ms && tug_noded_start(&noded, &steps, &err))
            tug_error("%s", err.msg);
        end_overdue(now_ms);
        int sweep_ms = tug_steps_sweep(&steps, now_ms);
        tug_noded_tell(&noded, &steps);
        if (stage)
            stop_step(&deadline_ms, &stage, now_ms);
        if (stage == 3)
            return 0;
        struct pollfd fds[2] = {{.fd = signals, .events = POLLIN}, {.fd = noded.fd}};
        if (noded.fd >= 0)
            fds[1].events = (short) ((noded.unsent.type ? 0 : POLLIN) |
                                     (tug_noded_wants_write(&noded, &steps) ? POLLOUT : 0));
        poll(fds, noded.fd >= 0 ? 2 : 1, wait_ms(tug_boot_ms(), sweep_ms, deadline_ms, alive_ms));
        if (noded.fd >= 0 && (fds[1].revents & (POLLIN | POLLHUP | POLLERR)) && tug_noded_read(&noded, &steps) < 0) {
            close(noded.fd);            /* it is ending, or broken: its end is what starts the next one */
            noded.fd = -1;
            noded.listed = false;
            if (steps.noded && stage == 0)
                kill(steps.noded, SIGTERM);
        }
        if (fds[0].revents & POLLIN)
            on_signals(signals, &deadline_ms, &stage);
    }
}

int main(int argc, char **argv)
{
    struct options o = {.min_uid = MIN_UID};
    struct tug_err err = {0};
    sigset_t set;
    tug_log_open("tuglaunch", TUG_LOG_INFO);
    if (parse(&o, argc, argv, &err) || prepare(&o, &err)) {
        tug_error("%s", err.msg);
        return 2;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) {
        tug_error("no descriptor for signals: %s", strerror(errno));
        return 1;
    }
    tug_notify("READY=1");
    int rc = run(signals);
    tug_limits_close(&steps.limits);
    tug_cgroup_close(steps.cgroup);
    return rc;
}
