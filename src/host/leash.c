/* leash.c - a lock that a program and all that it starts carry, by which they are found when they have left its process group
 *
 * A place is a byte of the file, which may be empty. Who has it is in /proc: there the kernel shows the locks of each open file.
 * Layer: host.
 */
#include "host/leash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "host/readfile.h"

#define FDINFO_MAX 65536

static int file_open(const char *path, int flags)
{
    return open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
}

static struct flock at_place(uint64_t place)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t) place, .l_len = 1};
}

int tug_leash_take(const char *path, int *fd, uint64_t *place, struct tug_err *err)
{
    int is = file_open(path, O_CREAT), rc = 0;
    if (is < 0)
        return tug_fail(err, -errno, "%s: %s", path, strerror(errno));
    for (*place = 0;; ++*place) {
        struct flock lock = at_place(*place);
        if (fcntl(is, F_OFD_SETLK, &lock) == 0)
            break;
        if (errno != EAGAIN && errno != EACCES) {
            rc = tug_fail(err, -errno, "%s cannot be locked: %s", path, strerror(errno));
            close(is);
            return rc;
        }
    }
    *fd = is;
    return 0;
}

bool tug_leash_is_held(const char *path, uint64_t place)
{
    int fd = file_open(path, 0);
    struct flock lock = at_place(place);
    bool is = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0)
        close(fd);
    return is;
}

/* ---- who has it */

/* "lock:	1: OFDLCK ADVISORY  WRITE -1 fe:00:10953457 5 5" */
static bool line_is(const char *line, uint64_t place)
{
    unsigned long long first;
    char kind[16];
    return sscanf(line, "lock: %*s %15s %*s %*s %*s %*s %llu", kind, &first) == 2 && !strcmp(kind, "OFDLCK") && first == place;
}

static bool has_place(const char *pid, uint64_t place)
{
    char path[64];
    struct tug_buf info = {0};
    bool has = false;
    snprintf(path, sizeof path, "/proc/%.20s/fdinfo/%d", pid, TUG_LEASH_FD);
    if (tug_readfile(path, FDINFO_MAX, &info, NULL) == 0)
        for (const char *line = tug_buf_str(&info); line && !has; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
            has = line_is(line, place);
    tug_buf_clear(&info);
    return has;
}

static bool has_file(const char *pid, const struct stat *file)
{
    char path[64];
    struct stat is;
    snprintf(path, sizeof path, "/proc/%.20s/fd/%d", pid, TUG_LEASH_FD);
    return stat(path, &is) == 0 && is.st_dev == file->st_dev && is.st_ino == file->st_ino;
}

/* Its number may be another one's by the time that we have looked; what is held by a descriptor is not. */
static bool kill_if(const char *pid, const struct stat *file, uint64_t place)
{
    if (!has_file(pid, file))
        return false;
    int fd = (int) syscall(SYS_pidfd_open, (pid_t) atoi(pid), 0);
    bool killed = fd >= 0 && has_file(pid, file) && has_place(pid, place) && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
    if (fd >= 0)
        close(fd);
    return killed;
}

unsigned tug_leash_kill(const char *path, uint64_t place)
{
    struct stat file;
    unsigned n = 0;
    DIR *all = stat(path, &file) == 0 ? opendir("/proc") : NULL;
    for (struct dirent *e; all && (e = readdir(all));)
        n += e->d_name[0] >= '1' && e->d_name[0] <= '9' && atoi(e->d_name) != getpid() && kill_if(e->d_name, &file, place);
    if (all)
        closedir(all);
    return n;
}
