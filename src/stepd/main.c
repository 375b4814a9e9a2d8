/* main.c - tugstepd: one step on one node, run as the job's user
 *
 *     tugstepd --run-dir DIR --noded unix:PATH      with the packed StepPayload on descriptor 3
 *
 * Started by tuglaunch with a scrubbed environment. Ranks are its children and end with it.
 * Layer: stepd.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "host/loop.h"
#include "stepd/life.h"
#include "stepd/payload.h"

#define PAYLOAD_FD 3

struct options {
    const char *run_dir, *noded;
    enum tug_log_level level;
};

static int read_options(int argc, char **argv, struct options *o)
{
    static const struct option known[] = {{"run-dir", required_argument, NULL, 'r'},
                                          {"noded", required_argument, NULL, 'n'},
                                          {"log-level", required_argument, NULL, 'l'},
                                          {"version", no_argument, NULL, 'V'},
                                          {0}};
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (c) {
        case 'r':
            o->run_dir = optarg;
            break;
        case 'n':
            o->noded = optarg;
            break;
        case 'l':
            if (tug_log_level_parse(optarg, &o->level) < 0) {
                fprintf(stderr, "tugstepd: --log-level=%s is none of error, warn, info, debug\n",
                        optarg);
                return -EINVAL;
            }
            break;
        case 'V':
            printf("tugstepd %s\n", TUG_VERSION);
            exit(0);
        default:
            return -EINVAL;
        }
    if (o->run_dir && o->noded && optind == argc)
        return 0;
    fprintf(
        stderr,
        "usage: tugstepd --run-dir DIR --noded unix:PATH   (started by tuglaunch, not by hand)\n");
    return -EINVAL;
}

/* 0, 1 and 2 must be taken, so that no socket of ours becomes a rank's standard output. */
static void fill_standard_fds(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

/* This process is started once a step and node, so what it takes to start counts. The PMIx library's threads would each
 * get an arena of their own, which grows by a few pages and one mprotect at a time: a hundred calls before a rank runs. */
static void tune_malloc(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TOP_PAD, 256 << 10);
}

/* Until this process ends, however it does: the next launcher waits for that before it takes a step. */
static void lock_dir(const char *run_dir)
{
    int fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        tug_warn("%s cannot be locked: %s", run_dir, strerror(errno));
}

/* An empty directory of the step is removed by the launcher itself, anything else by a process that it has to start. */
static void leave_nothing(const char *run_dir)
{
    char *pmix = tug_xasprintf("%s/pmix", run_dir); /* host/pmix.c made it */

    rmdir(pmix);
    free(pmix);
}

int main(int argc, char **argv)
{
    struct options o = {.level = TUG_LOG_INFO};
    struct tug_err err = {0};
    struct tug_payload payload;
    struct tug_loop *loop;
    struct tug_life *life;
    int rc;

    tune_malloc();
    if (read_options(argc, argv, &o) < 0)
        return 2;
    tug_log_open("tugstepd", o.level);
    rc = tug_payload_read(&payload, PAYLOAD_FD, &err);
    close(PAYLOAD_FD);
    payload.run_dir = o.run_dir;
    fill_standard_fds();
    lock_dir(o.run_dir);
    if (rc == 0)
        rc = tug_loop_new(&loop, &err);
    if (rc == 0)
        rc = tug_life_new(&life, loop, &payload, o.noded, o.run_dir, &err);
    if (rc < 0) {
        tug_error("%s", err.msg);
        return 1;
    }
    tug_life_run(life);
    leave_nothing(o.run_dir);
    _exit(0); /* not exit: the PMIx library and a writer that hangs must not be waited for */
}
