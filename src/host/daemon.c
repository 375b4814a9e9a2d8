/* daemon.c - going into the background, and the directory and pid file of a daemon
 *
 * Readiness is a pipe: one NUL byte says ready, anything else is the sentence that says why not,
 * and an end without either means that the daemon died.
 * Layer: host.
 */
#include "host/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/proc.h"

/* Wait for what the daemon says. */
static int wait_ready(int fd, pid_t pid, const char *log_path, struct tug_err *err)
{
    char said[TUG_ERR_MAX], text[64];
    size_t len = 0;
    ssize_t n;
    int status = -1;

    while (len < sizeof said - 1) {
        n = read(fd, said + len, sizeof said - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t) n;
        if (said[0] == '\0')
            return 1;
    }
    said[len] = '\0';
    if (len > 0)
        return tug_fail(err, -ECHILD, "%s", said);
    waitpid(pid, &status, 0);
    return tug_fail(err, -ECHILD, "the daemon ended with %s before it was ready%s%s",
                    tug_status_text(status, text, sizeof text), log_path != NULL ? "; see " : "",
                    log_path != NULL ? log_path : "");
}

static int open_log(const char *log_path, struct tug_err *err)
{
    int fd = log_path == NULL ? open("/dev/null", O_WRONLY | O_CLOEXEC)
                              : open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    return fd >= 0 ? fd
                   : tug_fail(err, -errno, "cannot open the log %s: %s",
                              log_path != NULL ? log_path : "/dev/null", strerror(errno));
}

int tug_daemon_background(const char *log_path, int *ready, struct tug_err *err)
{
    int fds[2] = {-1, -1}, null = -1, rc = 0, log = open_log(log_path, err);
    pid_t pid;

    if (log < 0)
        return log;
    null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || pipe2(fds, O_CLOEXEC) < 0) {
        rc = tug_fail(err, -errno, "cannot go into the background: %s", strerror(errno));
        goto out;
    }
    fflush(NULL); /* or the child would write it again */
    pid = fork();
    if (pid < 0) {
        rc = tug_fail(err, -errno, "cannot go into the background: %s", strerror(errno));
    } else if (pid > 0) {
        close(fds[1]);
        fds[1] = -1;
        rc = wait_ready(fds[0], pid, log_path, err);
    } else {
        setsid();
        if (dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) {
            rc = tug_fail(err, -errno, "cannot go into the background: %s", strerror(errno));
        } else {
            *ready = fds[1];
            fds[1] = -1;
        }
    }
out:
    close(log);
    if (null >= 0)
        close(null);
    if (fds[0] >= 0)
        close(fds[0]);
    if (fds[1] >= 0)
        close(fds[1]);
    return rc;
}

void tug_daemon_ready(int *ready, const char *failure)
{
    const char *said = failure != NULL && failure[0] != '\0' ? failure : "";
    size_t len = failure == NULL ? 1 : strlen(said), at = 0;
    ssize_t n;

    if (*ready < 0)
        return;
    while (at < len) {
        n = write(*ready, said + at, len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; /* nobody waits any more */
        at += (size_t) n;
    }
    close(*ready);
    *ready = -1;
}

/* A directory on the way: who can write it can replace what is below. */
static int check_above(const char *path, struct tug_err *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return tug_fail(err, -errno, "directory %s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return tug_fail(err, -ENOTDIR, "%s is not a directory", path);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return tug_fail(
            err, -EACCES,
            "directory %s belongs to uid %u, who could replace what is below; use another path",
            path, (unsigned) st.st_uid);
    if ((st.st_mode & 022) != 0 && (st.st_mode & S_ISVTX) == 0)
        return tug_fail(
            err, -EACCES,
            "directory %s may be written by others (mode %04o), who could replace what is "
            "below; use another path or chmod go-w it",
            path, (unsigned) st.st_mode & 07777);
    return 0;
}

static int check_own(const char *path, struct tug_err *err)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return tug_fail(err, -errno, "directory %s: %s", path, strerror(errno));
    if (S_ISLNK(st.st_mode))
        return tug_fail(err, -ELOOP, "%s is a link, not a directory; remove it or use another path",
                        path);
    if (!S_ISDIR(st.st_mode))
        return tug_fail(err, -ENOTDIR, "%s is not a directory; remove it or use another path",
                        path);
    if (st.st_uid != geteuid())
        return tug_fail(err, -EACCES,
                        "directory %s belongs to uid %u, not to us (uid %u); use another path",
                        path, (unsigned) st.st_uid, (unsigned) geteuid());
    if ((st.st_mode & 077) != 0)
        return tug_fail(err, -EACCES, "directory %s is open to others (mode %04o); chmod 0700 it",
                        path, (unsigned) st.st_mode & 07777);
    return 0;
}

int tug_rundir_make(const char *path, struct tug_err *err)
{
    char *p = tug_xstrdup(path), *at = p;
    size_t len = strlen(p);
    int rc = 0;

    while (len > 1 && p[len - 1] == '/')
        p[--len] = '\0';
    while (rc == 0 && *at != '\0') {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        if (*at == '\0') {
            rc = mkdir(p, 0700) < 0 && errno != EEXIST
                     ? tug_fail(err, -errno, "cannot make directory %s: %s", p, strerror(errno))
                     : check_own(p, err);
            break;
        }
        *at = '\0';
        rc = mkdir(p, 0700) < 0 && errno != EEXIST && access(p, F_OK) < 0
                 ? tug_fail(err, -errno, "cannot make directory %s: %s", p, strerror(errno))
                 : check_above(p, err);
        *at = '/';
    }
    free(p);
    return rc;
}

int tug_pidfile_write(const char *path, struct tug_err *err)
{
    char *tmp = tug_xasprintf("%s.new", path), text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long) getpid()), rc = 0, fd;

    unlink(tmp);
    fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, (size_t) len) != len || rename(tmp, path) < 0) {
        rc = tug_fail(err, errno != 0 ? -errno : -EIO, "cannot write the pid file %s: %s", path,
                      strerror(errno));
        unlink(tmp);
    }
    if (fd >= 0)
        close(fd);
    free(tmp);
    return rc;
}

int tug_pidfile_read(const char *path, pid_t *out, struct tug_err *err)
{
    char text[32], *end;
    long pid;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return tug_fail(err, -errno, "cannot read the pid file %s: %s", path, strerror(errno));
    n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    pid = strtol(text, &end, 10);
    if (end == text || (*end != '\0' && *end != '\n') || pid <= 0 || pid > INT32_MAX)
        return tug_fail(err, -EINVAL, "the pid file %s holds no pid; remove it", path);
    *out = (pid_t) pid;
    return 0;
}

unsigned tug_daemon_files(unsigned wanted)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 0;
    if (r.rlim_cur < wanted) {
        r.rlim_cur = wanted < r.rlim_max ? wanted : r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
        getrlimit(RLIMIT_NOFILE, &r);
    }
    return r.rlim_cur < UINT_MAX ? (unsigned) r.rlim_cur : UINT_MAX;
}
