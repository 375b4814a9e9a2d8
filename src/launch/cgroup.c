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

/* Up to size - 1 bytes of a file under 'dir', terminated; -1: it cannot be read. */
static ssize_t read_at(int dir, const char *name, char *out, size_t size_bytes)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, out, size_bytes - 1);
    close(fd);
    out[n > 0 ? n : 0] = 0;
    return n;
}

static int own_cgroup(char *out, size_t size_bytes, struct tug_err *err)
{
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    char text[4096], probe[128];
    if (read_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof text) <= 0)
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

static int open_dir(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

bool tug_cgroup_next(int base_fd, void **list, char name[64])
{
    int fd = *list ? -1 : open_dir(base_fd, ".");
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

static void end_leftovers(int base_fd)
{
    int waited_ms = 0;
    void *list = NULL;
    char name[64];
    while (tug_cgroup_next(base_fd, &list, name)) {
        int step = open_dir(base_fd, name);
        if (step < 0)
            continue;
        for (; tug_cgroup_kill(step), !tug_cgroup_remove(base_fd, name) && waited_ms < LEFTOVER_WAIT_MS; waited_ms += 5)
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        close(step);
    }
}

int tug_cgroup_reopen(int base_fd, const char *step)
{
    return open_dir(base_fd, step);
}

size_t tug_cgroup_pids(int fd, pid_t *out, size_t max, size_t *all)
{
    char text[16384], *end, *at = text;
    size_t n = 0;
    *all = 0;
    if (read_at(fd, "cgroup.procs", text, sizeof text) <= 0)
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
    *fd = open_dir(AT_FDCWD, base);
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
    if (mkdirat(base_fd, step, 0755) < 0)
        return tug_fail(err, -errno, "the step's cgroup cannot be made: %s", strerror(errno));
    *fd = open_dir(base_fd, step);
    if (*fd < 0) {
        int code = -errno;
        tug_cgroup_remove(base_fd, step);
        return tug_fail(err, code, "the step's cgroup cannot be opened: %s", strerror(-code));
    }
    return 0;
}

bool tug_cgroup_kill(int fd)
{
    int kill_fd = openat(fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (kill_fd < 0)
        return false;
    bool ok = write(kill_fd, "1", 1) == 1;
    close(kill_fd);
    return ok;
}

bool tug_cgroup_empty(int fd)
{
    char text[256];
    return read_at(fd, "cgroup.events", text, sizeof text) > 0 && strstr(text, "populated 0");
}

bool tug_cgroup_oom(int fd)
{
    char text[512];
    const char *at = read_at(fd, "memory.events", text, sizeof text) > 0 ? strstr(text, "oom_kill ") : NULL;
    return at && strtoul(at + strlen("oom_kill "), NULL, 10) > 0;
}

bool tug_cgroup_remove(int base_fd, const char *step)
{
    return unlinkat(base_fd, step, AT_REMOVEDIR) == 0 || errno == ENOENT;
}
