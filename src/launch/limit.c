/* limit.c - how many processes, and how much memory, a job has here: all its steps together
 *
 * Layer: launch.
 */
#include "launch/limit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "launch/cgroup.h"

/* Names of v2, then of v1. */
static const struct kind {
    const char *controller, *what;
    const char *max[2], *swap[2], *peak[2];
    const char *events[2], *event;
} kinds[TUG_LIMITS] = {
    {"pids", "number of processes", {"pids.max", "pids.max"}, {NULL, NULL}, {NULL, NULL}, {"pids.events", "pids.events"}, "max "},
    {"memory", "memory", {"memory.max", "memory.limit_in_bytes"}, {"memory.swap.max", "memory.memsw.limit_in_bytes"},
     {"memory.peak", "memory.max_usage_in_bytes"}, {"memory.events", "memory.oom_control"}, "oom_kill "}};

static int put_number(int dir, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long) value);
    return tug_cgroup_write(dir, name, text);
}

/* Is 'word' in that file, and which number is behind it? */
static bool find(int dir, const char *name, const char *word, uint64_t *number)
{
    char text[512];
    const char *at = name && tug_cgroup_read(dir, name, text, sizeof text) > 0 ? strstr(text, word) : NULL;
    *number = at ? strtoull(at + strlen(word), NULL, 10) : 0;
    return at;
}

/* ---- where */

/* A cgroup that has processes gives no controller to those below it: we and tugnoded get one of our own. */
static int step_aside(int root, const char *node)
{
    char name[96];
    snprintf(name, sizeof name, "tuglaunch-%s", node);
    int rc = mkdirat(root, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
    int fd = rc ? -1 : tug_cgroup_dir(root, name);
    if (fd >= 0) {
        rc = tug_cgroup_write(fd, "cgroup.procs", "0");
        close(fd);
    }
    return rc;
}

static int open_v2(int steps, const char *controller, const char *node)
{
    char add[32];
    uint64_t n;
    int root = steps >= 0 ? openat(steps, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = root >= 0 && find(root, "cgroup.controllers", controller, &n) ? 0 : -ENOENT;
    snprintf(add, sizeof add, "+%s", controller);
    if (!rc && (rc = tug_cgroup_write(root, "cgroup.subtree_control", add)) == -EBUSY && (rc = step_aside(root, node)) == 0)
        rc = tug_cgroup_write(root, "cgroup.subtree_control", add);
    rc = rc ? rc : tug_cgroup_write(steps, "cgroup.subtree_control", add);
    if (root >= 0)
        close(root);
    return rc ? rc : fcntl(steps, F_DUPFD_CLOEXEC, 0);
}

static int open_v1(const char *controller, const char *node)
{
    char text[4096], word[32], path[4400], *save = NULL;
    const char *own = NULL;
    if (tug_cgroup_read(AT_FDCWD, "/proc/self/cgroup", text, sizeof text) <= 0)
        return -ENOENT;
    snprintf(word, sizeof word, ":%s:/", controller);
    for (char *line = strtok_r(text, "\n", &save); line && !own; line = strtok_r(NULL, "\n", &save))
        if ((own = strstr(line, word)) != NULL)
            own += strlen(word) - 1;
    if (!own)
        return -ENOENT;
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s/tug-%s", controller, own, node);
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return -errno;
    int fd = tug_cgroup_dir(AT_FDCWD, path);
    void *list = NULL;
    char name[64];
    while (fd >= 0 && tug_cgroup_next(fd, &list, name))
        unlinkat(fd, name, AT_REMOVEDIR);       /* of an earlier launcher; one that is not empty stays */
    return fd < 0 ? -errno : fd;
}

void tug_limits_open(struct tug_limits *l, const char *node, int steps)
{
    for (int i = 0; i < TUG_LIMITS; i++) {
        int v2 = open_v2(steps, kinds[i].controller, node), v1 = v2 < 0 ? open_v1(kinds[i].controller, node) : -1;
        int code = v1 == -ENOENT ? v2 : v1;
        l->at[i].v1 = v1 >= 0;
        l->at[i].dir = v2 >= 0 ? v2 : v1 >= 0 ? v1 : -1;
        if (l->at[i].dir < 0)
            tug_warn("the %s of jobs is not limited: the controller '%s' of cgroups %s", kinds[i].what, kinds[i].controller,
                     code == -ENOENT ? "was not delegated" : strerror(-code));
    }
}

void tug_limits_close(struct tug_limits *l)
{
    for (int i = 0; i < TUG_LIMITS; i++)
        if (l->at[i].v1)
            tug_cgroup_close(l->at[i].dir);     /* the other one is the steps' */
}

/* ---- limits */

/* Memory goes nowhere else: what is over it is not swapped. Not every kernel counts swap. */
static int put_max(int dir, enum tug_limit k, bool v1, uint64_t max)
{
    const struct kind *d = &kinds[k];
    int rc = put_number(dir, d->max[v1], max), swap = 0;
    if (!rc && d->swap[v1])
        swap = put_number(dir, d->swap[v1], v1 ? max : 0);
    return rc ? rc : swap == -ENOENT ? 0 : swap;
}

int tug_limits_cap(struct tug_limits *l, uint64_t mem_max, struct tug_err *err)
{
    int dir = l->at[TUG_LIMIT_MEMORY].dir;
    bool v1 = l->at[TUG_LIMIT_MEMORY].v1;
    if (dir < 0)
        return 0;
    if (v1) /* the sum stands above the other one, and comes off first */
        tug_cgroup_write(dir, kinds[TUG_LIMIT_MEMORY].swap[1], "-1");
    int rc = mem_max ? put_max(dir, TUG_LIMIT_MEMORY, v1, mem_max)
                     : tug_cgroup_write(dir, kinds[TUG_LIMIT_MEMORY].max[v1], v1 ? "-1" : "max");
    return rc ? tug_fail(err, rc, "the memory of all jobs cannot be limited to %llu bytes: %s", (unsigned long long) mem_max,
                         strerror(-rc))
              : 0;
}

static int make_one(struct tug_limits *l, enum tug_limit k, const char *part, uint64_t max, int *join)
{
    bool v1 = l->at[k].v1;
    if (v1 && mkdirat(l->at[k].dir, part, 0755) < 0 && errno != EEXIST)
        return -errno;
    int dir = tug_cgroup_dir(l->at[k].dir, part);
    int rc = dir < 0 ? -errno : max ? put_max(dir, k, v1, max) : 0;
    if (!rc && v1 && (*join = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC)) < 0)
        rc = -errno;
    if (dir >= 0)
        close(dir);
    return rc;
}

int tug_limits_make(struct tug_limits *l, const char *part, uint32_t pids, uint64_t mem, int join[TUG_LIMITS], struct tug_err *err)
{
    const uint64_t max[TUG_LIMITS] = {pids ? pids : l->pids_max, mem};
    for (int i = 0; i < TUG_LIMITS; i++)
        join[i] = -1;
    for (int i = 0; i < TUG_LIMITS; i++) {
        int rc = l->at[i].dir >= 0 ? make_one(l, i, part, max[i], &join[i]) : 0;
        if (rc)
            return tug_fail(err, rc, "the %s of the job cannot be limited to %llu: %s", kinds[i].what, (unsigned long long) max[i],
                            strerror(-rc));
    }
    return 0;
}

void tug_limits_read(const struct tug_limits *l, const char *part, struct tug_limit_use *out)
{
    *out = (struct tug_limit_use){0};
    for (int i = 0; i < TUG_LIMITS; i++) {
        const struct kind *d = &kinds[i];
        bool v1 = l->at[i].v1;
        int dir = l->at[i].dir >= 0 ? tug_cgroup_dir(l->at[i].dir, part) : -1;
        if (dir < 0)
            continue;
        find(dir, d->max[v1], "", i == TUG_LIMIT_PIDS ? &out->pids_max : &out->mem_max);
        find(dir, d->events[v1], d->event, i == TUG_LIMIT_PIDS ? &out->pids_hits : &out->oom_kills);
        if (d->peak[v1])
            find(dir, d->peak[v1], "", &out->mem_peak);
        close(dir);
    }
    if (out->mem_max >> 62)             /* v1 has a number for none */
        out->mem_max = 0;
}

void tug_limits_remove(struct tug_limits *l, const char *part)
{
    for (int i = 0; i < TUG_LIMITS; i++)
        if (l->at[i].dir >= 0 && l->at[i].v1)
            unlinkat(l->at[i].dir, part, AT_REMOVEDIR);
}
