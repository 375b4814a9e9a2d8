/* readfile.c - a whole regular file into memory, and the configuration's way to real files
 *
 * Layer: host.
 */
#include "host/readfile.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static int read_all(int fd, const char *path, size_t max_bytes, struct tug_buf *out,
                    struct tug_err *err)
{
    size_t total = 0;

    for (;;) {
        /* One byte over the limit is enough to know, whatever the size said. */
        size_t want = max_bytes - total + 1 < 65536 ? max_bytes - total + 1 : 65536;
        ssize_t n = read(fd, tug_buf_room(out, want), want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tug_fail(err, -errno, "cannot read '%s': %s", path, strerror(errno));
        if (n == 0)
            return 0;
        out->len += (size_t) n;
        total += (size_t) n;
        if (total > max_bytes)
            return tug_fail(err, -EFBIG, "'%s' is over %zu bytes", path, max_bytes);
    }
}

int tug_readfile(const char *path, size_t max_bytes, struct tug_buf *out, struct tug_err *err)
{
    size_t before = out->len;
    struct stat st;
    int rc;
    /* O_NONBLOCK: opening a pipe nobody writes to would wait for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return tug_fail(err, -errno, "cannot open '%s': %s", path, strerror(errno));
    if (fstat(fd, &st) < 0)
        rc = tug_fail(err, -errno, "cannot look at '%s': %s", path, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        rc = tug_fail(err, -EISDIR, "'%s' is a directory, not a file", path);
    else if (!S_ISREG(st.st_mode))
        rc = tug_fail(err, -EINVAL, "'%s' is not a regular file", path);
    else
        rc = read_all(fd, path, max_bytes, out, err);
    close(fd);
    /* data[len] stays NUL, on failure and for an empty file too. */
    if (rc < 0)
        out->len = before;
    *tug_buf_room(out, 1) = '\0';
    return rc;
}

static int reader_read(void *ctx, const char *path, size_t max_bytes, struct tug_buf *out,
                       struct tug_err *err)
{
    (void) ctx;
    return tug_readfile(path, max_bytes, out, err);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static int reader_match(void *ctx, const char *pattern, struct tug_source_paths *out,
                        struct tug_err *err)
{
    glob_t found = {0};
    int rc;

    (void) ctx;
    rc = glob(pattern, GLOB_ERR | GLOB_NOSORT, NULL, &found);
    if (rc == GLOB_NOMATCH)
        return 0;
    if (rc)
        return tug_fail(err, rc == GLOB_NOSPACE ? -ENOMEM : -EIO, "cannot look for '%s': %s",
                        pattern,
                        rc == GLOB_NOSPACE ? "out of memory" : "a directory cannot be read");
    /* By bytes: glob(3) sorts by locale, and the order of files must not depend on that. */
    if (found.gl_pathc > 1)
        qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, by_bytes);
    for (size_t i = 0; i < found.gl_pathc; i++)
        tug_vec_push(&out->list, tug_xstrdup(found.gl_pathv[i]));
    globfree(&found);
    return 0;
}

const struct tug_source_reader *tug_readfile_reader(void)
{
    static const struct tug_source_reader reader = {NULL, reader_read, reader_match};

    return &reader;
}
