/* store_file.c - may this path hold a store, and is it ours alone
 *
 * The lock is an OFD lock on a file of its own: POSIX locks on the database itself would be dropped
 * whenever any part of the process closes a descriptor of it, and sqlite's are held for the length
 * of a transaction only.
 * Layer: host.
 */
#include "host/store_file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"

/* Locks and mmap of the log's index are not to be trusted here. Numbers: linux/magic.h and the file
 * systems' sources. */
static const struct {
    uint32_t magic;
    const char *name;
} not_local[] = {
    {0x00006969, "NFS"},  {0x0bd00bd0, "Lustre"}, {0x65735546, "FUSE"},   {0xff534d42, "CIFS"},
    {0xfe534d42, "SMB"},  {0x0000517b, "SMB"},    {0x01021997, "9p"},     {0x5346414f, "AFS"},
    {0x00c36400, "Ceph"}, {0x47504653, "GPFS"},   {0x19830326, "BeeGFS"}, {0x7461636f, "OCFS2"},
    {0x01161970, "GFS2"}, {0x013111a8, "IBRIX"},  {0xaad7aaea, "PanFS"},  {0x73757245, "Coda"},
};

static int check_local(const char *dir, const char *path, struct tug_err *err)
{
    struct statfs fs;

    if (statfs(dir, &fs) < 0)
        return tug_fail(err, -errno, "cannot ask for the file system of %s: %s", dir,
                        strerror(errno));
    for (size_t i = 0; i < sizeof not_local / sizeof not_local[0]; i++)
        if ((uint32_t) fs.f_type == not_local[i].magic)
            return tug_fail(
                err, -ENOTSUP,
                "state file %s: %s is on %s, where a lost lock means two daemons on one state; "
                "put the state directory on a local disk",
                path, dir, not_local[i].name);
    return 0;
}

int tug_store_file_check_dir(const char *path, struct tug_err *err)
{
    char *copy = tug_xstrdup(path);
    const char *dir = dirname(copy);
    struct stat st;
    int rc = 0;

    if (stat(dir, &st) < 0)
        rc =
            tug_fail(err, -errno,
                     "state directory %s: %s; create it with mode 0700, owned by the daemon's user",
                     dir, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        rc = tug_fail(err, -ENOTDIR, "state directory %s is not a directory", dir);
    else if (st.st_uid != geteuid())
        rc = tug_fail(
            err, -EACCES,
            "state directory %s belongs to uid %u, not to us (uid %u); chown it or run as that "
            "user",
            dir, (unsigned) st.st_uid, (unsigned) geteuid());
    else if ((st.st_mode & 077) != 0)
        rc = tug_fail(err, -EACCES,
                      "state directory %s is open to others (mode %04o); chmod 0700 it", dir,
                      (unsigned) st.st_mode & 07777);
    else
        rc = check_local(dir, path, err);
    free(copy);
    return rc;
}

int tug_store_file_lock(const char *path, int *out, struct tug_err *err)
{
    char *name = tug_xasprintf("%s.lock", path), pid[32] = "";
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int rc = 0, len, fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        rc = tug_fail(err, -errno, "cannot open the lock file %s: %s", name, strerror(errno));
        goto out;
    }
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        rc = -errno;
        if (rc != -EAGAIN && rc != -EACCES) {
            tug_fail(err, rc, "cannot lock %s: %s", name, strerror(-rc));
            goto out;
        }
        if (pread(fd, pid, sizeof pid - 1, 0) < 0)
            pid[0] = '\0';
        pid[strspn(pid, "0123456789")] = '\0';
        rc =
            tug_fail(err, -EBUSY,
                     "state file %s is in use by process %s (lock file %s); stop that daemon first",
                     path, pid[0] != '\0' ? pid : "?", name);
        goto out;
    }
    len = snprintf(pid, sizeof pid, "%ld\n", (long) getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t) len, 0) != len) {
        /* The pid is a courtesy to people, but a disk that takes no 8 bytes takes no state either.
         */
        rc = tug_fail(err, errno != 0 ? -errno : -ENOSPC, "cannot write the lock file %s: %s", name,
                      strerror(errno));
        goto out;
    }
    *out = fd;
    fd = -1;
out:
    if (fd >= 0)
        close(fd);
    free(name);
    return rc;
}

bool tug_store_file_is_locked(const char *path)
{
    char *name = tug_xasprintf("%s.lock", path);
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool is = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;

    if (fd >= 0)
        close(fd);
    free(name);
    return is;
}

int tug_store_file_check(const char *path, struct tug_err *err)
{
    char *wal = tug_xasprintf("%s-wal", path), *half = tug_xasprintf("%s.restoring", path);
    struct stat st;
    int rc = 0;

    if (lstat(half, &st) == 0) {
        rc = tug_fail(err, -EILSEQ,
                      "state file %s: `tug admin restore` was interrupted; run it again with "
                      "--replace (%s is the backup that was to be put there)",
                      path, half);
    } else if (lstat(path, &st) < 0) {
        rc = -errno;
        if (rc == -ENOENT && access(wal, F_OK) == 0)
            rc = tug_fail(
                err, -EILSEQ,
                "state file %s is gone but its log %s is still there; restore the file from a "
                "backup, or move the log away to start with an empty state",
                path, wal);
        else
            tug_fail(err, rc, "state file %s: %s", path, strerror(-rc));
    } else if (!S_ISREG(st.st_mode))
        rc = tug_fail(err, -EACCES, "state file %s is not a regular file; move it away", path);
    else if (st.st_uid != geteuid())
        rc = tug_fail(
            err, -EACCES,
            "state file %s belongs to uid %u, not to us (uid %u); chown it or run as that user",
            path, (unsigned) st.st_uid, (unsigned) geteuid());
    else if ((st.st_mode & 077) != 0)
        rc = tug_fail(err, -EACCES,
                      "state file %s is open to others (mode %04o) and holds keys; chmod 0600 it",
                      path, (unsigned) st.st_mode & 07777);
    else if (st.st_size == 0)
        rc = tug_fail(
            err, -EILSEQ,
            "state file %s is empty (0 bytes): it was truncated; restore it from a backup, or "
            "move it away to start with an empty state",
            path);
    free(wal);
    free(half);
    return rc;
}

long long tug_store_file_free_bytes(const char *path)
{
    struct statvfs v;

    if (statvfs(path, &v) < 0)
        return -1;
    return (long long) v.f_bavail * (long long) v.f_frsize;
}

static char *parent_of(const char *path)
{
    char *copy = tug_xstrdup(path), *up = tug_xstrdup(dirname(copy));

    free(copy);
    return up;
}

int tug_store_file_sync_dir(const char *path, struct tug_err *err)
{
    char *dir = parent_of(path);
    int rc = 0, fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0)
        rc = tug_fail(err, -errno, "cannot make the name of %s durable: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(dir);
    return rc;
}

char *tug_store_file_mount(const char *path)
{
    char *at = realpath(path, NULL), *up;
    struct stat here, above;

    if (at == NULL || stat(at, &here) < 0) {
        free(at);
        return tug_xstrdup(path);
    }
    while (strcmp(at, "/") != 0) {
        up = parent_of(at);
        if (stat(up, &above) < 0 || above.st_dev != here.st_dev) {
            free(up);
            break;
        }
        free(at);
        at = up;
    }
    return at;
}

/* ---- the log; format: https://www.sqlite.org/fileformat2.html#walformat ---- */

enum { WAL_HEADER = 32, FRAME_HEADER = 24, WAL_MAGIC = 0x377f0682, PAGE_MAX = 65536 };

struct sum {
    uint32_t a, b;
};

static uint32_t be32_at(const unsigned char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return be32toh(v);
}

static struct sum sum_add(struct sum s, bool big, const unsigned char *p, size_t len)
{
    for (size_t i = 0; i + 8 <= len; i += 8) {
        uint32_t x, y;

        memcpy(&x, p + i, 4);
        memcpy(&y, p + i + 4, 4);
        s.a += (big ? be32toh(x) : le32toh(x)) + s.b;
        s.b += (big ? be32toh(y) : le32toh(y)) + s.a;
    }
    return s;
}

static bool sum_is(struct sum s, const unsigned char *p)
{
    return s.a == be32_at(p) && s.b == be32_at(p + 4);
}

/* After the first bad frame: does any transaction of this log (same salts) begin after the end of
 * another? Then the bad frame was once good, because a transaction is only begun when the one
 * before it is on the disk. */
static bool goes_on(int fd, off_t at, size_t frame_size, const unsigned char *salts)
{
    unsigned char h[FRAME_HEADER];
    bool ended = false;

    for (; pread(fd, h, sizeof h, at) == (ssize_t) sizeof h; at += (off_t) frame_size) {
        if (memcmp(h + 8, salts, 8) != 0)
            continue;
        if (ended)
            return true;
        ended = be32_at(h + 4) !=
                0; /* the size of the database, set in the last frame of a transaction only */
    }
    return false;
}

static int check_wal_fd(int fd, const char *wal, struct tug_err *err)
{
    static const char way_out[] =
        "restore the state from a backup (to start without what the log holds, move it away)";
    unsigned char h[WAL_HEADER], *frame;
    uint32_t magic, page;
    struct sum s = {0, 0};
    bool big;
    off_t at = WAL_HEADER;
    int rc = 0;

    if (pread(fd, h, sizeof h, 0) != (ssize_t) sizeof h)
        return 0; /* shorter than a header: nothing was ever committed to it */
    magic = be32_at(h);
    page = be32_at(h + 8);
    big = (magic & 1) != 0;
    s = sum_add(s, big, h, 24);
    if ((magic & ~1u) != WAL_MAGIC || !sum_is(s, h + 24) || page < 512 || page > PAGE_MAX ||
        (page & (page - 1)) != 0) {
        if (pread(fd, h, 1, WAL_HEADER) != 1)
            return 0; /* nothing behind it */
        return tug_fail(err, -EILSEQ, "the header of the log %s is damaged; %s", wal, way_out);
    }
    frame = tug_xmalloc(FRAME_HEADER + page);
    for (; pread(fd, frame, FRAME_HEADER + page, at) == (ssize_t) (FRAME_HEADER + page);
         at += FRAME_HEADER + page) {
        struct sum next = sum_add(sum_add(s, big, frame, 8), big, frame + FRAME_HEADER, page);

        if (memcmp(frame + 8, h + 16, 8) == 0 && sum_is(next, frame + 16)) {
            s = next;
            continue;
        }
        if (goes_on(fd, at, FRAME_HEADER + page, h + 16))
            rc =
                tug_fail(err, -EILSEQ,
                         "the log %s is damaged at byte %lld, with good transactions behind it; %s",
                         wal, (long long) at, way_out);
        break;
    }
    free(frame);
    return rc;
}

int tug_store_file_check_wal(const char *path, struct tug_err *err)
{
    char *wal = tug_xasprintf("%s-wal", path);
    int rc = 0, fd = open(wal, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd >= 0) {
        rc = check_wal_fd(fd, wal, err);
        close(fd);
    } else if (errno != ENOENT) {
        rc = tug_fail(err, -errno, "cannot read the log %s: %s", wal, strerror(errno));
    }
    free(wal);
    return rc;
}
