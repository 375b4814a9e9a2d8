/* cgroup.c - one cgroup v2 directory a step
 *
 * Layer: launch.
 */
#include "launch/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LEFTOVER_WAIT_MS 5000

/* JOB.ATTEMPT, which holds what its steps have together, of JOB.ATTEMPT.STEP. */
static char *part_of(const char *step, char out[64])
{
    snprintf(out, 64, "%s", step);
    *strrchr(out, '.') = 0;
    return out;
}

/* The step's directory from ROOT/tug-NODE. */
static char *path_of(const char *step, char out[128])
{
    char part[64];
    snprintf(out, 128, "%s/%s", part_of(step, part), step);
    return out;
}

ssize_t tug_cgroup_read(int dir, const char *name, char *out, size_t size_bytes)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, out, size_bytes - 1);
    close(fd);
    out[n > 0 ? n : 0] = 0;
    return n;
}

int tug_cgroup_write(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int own_cgroup(char *out, size_t size_bytes, struct tug_err *err)
{
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char text[4096], probe[128];
    if (tug_cgroup_read(AT_FDCWD, "/proc/self/cgroup", text, sizeof text) <= 0)
        return tug_fail(err, -ENOENT, "/proc/self/cgroup cannot be read");
    const char *own = !strncmp(text, "0::", 3) ? text : strstr(text, "\n0::");
    if (!own)
        return tug_fail(err, -ENOENT, "this process is in no cgroup v2");
    own = strchr(own, '/');
    size_t len = own ? strcspn(own, "\n") : 0;
    for (size_t i = 0; own && i < sizeof mounts / sizeof *mounts; i++) {
        snprintf(probe, sizeof probe, "%s/cgroup.controllers", mounts[i]);
        if (access(probe, F_OK) == 0) {
            if ((size_t) snprintf(out, size_bytes, "%s%.*s", mounts[i], (int) len, own) >= size_bytes)
                return tug_fail(err, -ENAMETOOLONG, "the path of this process's cgroup is too long");
            return 0;
        }
    }
    return tug_fail(err, -ENOENT, "no cgroup v2 is mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified");
}

int tug_cgroup_dir(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

bool tug_cgroup_next(int base_fd, void **list, char name[64])
{
    int fd = *list ? -1 : tug_cgroup_dir(base_fd, ".");
    DIR *d = *list ? *list : fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (e->d_type == DT_DIR && e->d_name[0] != '.' && strlen(e->d_name) < 64) {
            strcpy(name, e->d_name);
            *list = d;
            return true;
        }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    *list = NULL;
    return false;
}

/* All that is empty in there, and it. */
static bool remove_part(int base_fd, const char *part)
{
    int fd = tug_cgroup_dir(base_fd, part);
    void *list = NULL;
    char step[64];
    while (fd >= 0 && tug_cgroup_next(fd, &list, step))
        unlinkat(fd, step, AT_REMOVEDIR);
    if (fd >= 0)
        close(fd);
    return unlinkat(base_fd, part, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

static void end_leftovers(int base_fd)
{
    int waited_ms = 0;
    void *list = NULL;
    char name[64];
    while (tug_cgroup_next(base_fd, &list, name)) {
        int part = tug_cgroup_dir(base_fd, name);
        if (part < 0)
            continue;
        for (; tug_cgroup_kill(part), !remove_part(base_fd, name) && waited_ms < LEFTOVER_WAIT_MS; waited_ms += 5)
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        close(part);
    }
}

int tug_cgroup_reopen(int base_fd, const char *step)
{
    char path[128];
    return tug_cgroup_dir(base_fd, path_of(step, path));
}

size_t tug_cgroup_pids(int fd, pid_t *out, size_t max, size_t *all)
{
    char text[16384], *end, *at = text;
    size_t n = 0;
    *all = 0;
    if (tug_cgroup_read(fd, "cgroup.procs", text, sizeof text) <= 0)
        return 0;
    for (unsigned long pid; (pid = strtoul(at, &end, 10)) > 0 && end != at && *end == '\n'; at = end) {
        ++*all;
        if (n < max)
            out[n++] = (pid_t) pid;
    }
    return n;
}

int tug_cgroup_open(const char *root, const char *node, int *fd, struct tug_err *err)
{
    char path[4096], base[4400];
    int rc = 0;
    if (!root && (rc = own_cgroup(path, sizeof path, err)) != 0)
        return rc;
    snprintf(base, sizeof base, "%s/tug-%s", root ? root : path, node);
    if (mkdir(base, 0755) < 0 && errno != EEXIST)
        return tug_fail(err, -errno, "cgroup %s cannot be made: %s", base, strerror(errno));
    *fd = tug_cgroup_dir(AT_FDCWD, base);
    if (*fd < 0)
        return tug_fail(err, -errno, "cgroup %s cannot be opened: %s", base, strerror(errno));
    if (faccessat(*fd, "cgroup.kill", W_OK, 0) < 0)
        rc = tug_fail(err, -errno, "%s has no cgroup.kill that can be written (cgroup v2 of Linux 5.14 or newer)", base);
    if (rc)
        close(*fd);
    else
        end_leftovers(*fd);
    return rc;
}

void tug_cgroup_close(int fd)
{
    char link[64], path[4400];
    if (fd < 0)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    close(fd);
    if (n > 0) {
        path[n] = 0;
        rmdir(path);
    }
}

int tug_cgroup_make(int base_fd, const char *step, int *fd, struct tug_err *err)
{
    char part[64], path[128];
    if ((mkdirat(base_fd, part_of(step, part), 0755) < 0 && errno != EEXIST) || mkdirat(base_fd, path_of(step, path), 0755) < 0) {
        int code = -errno;
        unlinkat(base_fd, part, AT_REMOVEDIR);
        return tug_fail(err, code, "the step's cgroup cannot be made: %s", strerror(-code));
    }
    *fd = tug_cgroup_dir(base_fd, path);
    if (*fd < 0) {
        int code = -errno;
        tug_cgroup_remove(base_fd, step);
        return tug_fail(err, code, "the step's cgroup cannot be opened: %s", strerror(-code));
    }
    return 0;
}

bool tug_cgroup_kill(int fd)
{
    return tug_cgroup_write(fd, "cgroup.kill", "1") == 0;
}

bool tug_cgroup_empty(int fd)
{
    char text[256];
    return tug_cgroup_read(fd, "cgroup.events", text, sizeof text) > 0 && strstr(text, "populated 0");
}

bool tug_cgroup_remove(int base_fd, const char *step)
{
    char part[64], path[128];
    bool ok = unlinkat(base_fd, path_of(step, path), AT_REMOVEDIR) == 0 || errno == ENOENT;
    unlinkat(base_fd, part_of(step, part), AT_REMOVEDIR);       /* the last step of it takes it along */
    return ok;
}
