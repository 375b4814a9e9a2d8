/* trusted.c - programs that nobody but root and we can put others in the place of
 *
 * Layer: host.
 */
#include "host/trusted.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static int look_at(const char *path, struct stat *st, struct tug_err *err)
{
    return stat(path, st) < 0 ? tug_fail(err, -errno, "%s: %s", path, strerror(errno)) : 0;
}

static int check_owner(const char *path, const struct stat *st, struct tug_err *err)
{
    if (st->st_uid == 0 || st->st_uid == geteuid())
        return 0;
    return tug_fail(err, -EACCES, "%s belongs to uid %u, who could put another program there; give it to root", path,
                    (unsigned) st->st_uid);
}

static int check_mode(const char *path, const struct stat *st, int sticky_will_do, struct tug_err *err)
{
    if (!(st->st_mode & (S_IWGRP | S_IWOTH)) || (sticky_will_do && (st->st_mode & S_ISVTX)))
        return 0;
    return tug_fail(err, -EACCES, "%s may be written by others than its owner (mode %04o); chmod go-w it", path,
                    (unsigned) st->st_mode & 07777);
}

static int check_one(const char *path, int sticky_will_do, struct tug_err *err)
{
    struct stat st;
    int rc = look_at(path, &st, err);
    if (!rc)
        rc = check_owner(path, &st, err);
    return rc ? rc : check_mode(path, &st, sticky_will_do, err);
}

/* All directories above it, its own first. */
static int check_way(const char *path, struct tug_err *err)
{
    char *dir = tug_xstrdup(path), *slash;
    int rc = 0;
    for (int own = 1; !rc && (slash = strrchr(dir, '/')) != NULL; own = 0) {
        slash[slash == dir] = 0; /* of /x what is left is / */
        rc = check_one(dir, !own, err);
        if (slash == dir)
            break;
    }
    free(dir);
    return rc;
}

int tug_trusted_program(const char *path, struct tug_err *err)
{
    struct stat st;
    if (path[0] != '/')
        return tug_fail(err, -EINVAL, "%s is not an absolute path", path);
    char *real = realpath(path, NULL);
    if (!real)
        return tug_fail(err, -errno, "%s: %s", path, strerror(errno));
    int rc = look_at(real, &st, err);
    if (!rc && !S_ISREG(st.st_mode))
        rc = tug_fail(err, -EINVAL, "%s is not a file", path);
    if (!rc)
        rc = check_one(real, 0, err);
    if (!rc)
        rc = check_way(path, err);
    if (!rc)
        rc = check_way(real, err);
    free(real);
    return rc;
}
