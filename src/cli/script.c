/* script.c - a batch script, read and looked at before anybody waits for it
 *
 * Layer: cli.
 */
#include "cli/script.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int tug_script_check(const char *name, const char *text, size_t len, struct tug_err *err)
{
    if (len == 0)
        return tug_fail(err, -ENODATA,
                        "%s is empty; a script starts with a line such as #!/bin/bash", name);
    if (len > TUG_SCRIPT_MAX)
        return tug_fail(err, -EFBIG,
                        "%s is over 4 MiB, the most that a script may have; put the data into a "
                        "file that it reads",
                        name);
    if (memchr(text, '\0', len))
        return tug_fail(err, -ENOEXEC,
                        "%s is a binary file, not a script; to run a program on the gang: tug "
                        "submit [options] -- %s",
                        name, name);
    if (len < 3 || memcmp(text, "#!", 2) != 0)
        return tug_fail(
            err, -ENOEXEC,
            "%s has no #! line; its first line must name what runs it, such as #!/bin/bash", name);
    const char *nl = memchr(text, '\n', len);
    size_t first = nl ? (size_t) (nl - text) : len;
    if (text[first - 1] == '\r')
        return tug_fail(err, -ENOEXEC,
                        "%s has lines that end with CR LF (as on Windows), so its #! line names no "
                        "program; convert it, "
                        "for instance: sed -i 's/\\r$//' %s",
                        name, name);
    if (strspn(text + 2, " \t") >= first - 2)
        return tug_fail(err, -ENOEXEC, "%s has a #! line that names no program; write #!/bin/bash",
                        name);
    return 0;
}

/* At most one byte more than a script may have. */
static int read_all(int fd, const char *name, struct tug_buf *out, struct tug_err *err)
{
    while (out->len <= TUG_SCRIPT_MAX) {
        ssize_t n = read(fd, tug_buf_room(out, 65536), 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tug_fail(err, -errno, "reading the script %s: %s", name, strerror(errno));
        if (n == 0)
            return 0;
        out->len += (size_t) n;
    }
    return 0;
}

int tug_script_read(const char *path, struct tug_buf *out, struct tug_err *err)
{
    if (!strcmp(path, "-")) {
        int rc = read_all(0, "standard input", out, err);
        return rc ? rc : tug_script_check("standard input", tug_buf_str(out), out->len, err);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc; /* a fifo must not make us wait */
    if (fd < 0 && errno == ENOENT)
        return tug_fail(err, -ENOENT,
                        "script %s: No such file or directory; to run a command on the gang: tug "
                        "submit [options] -- %s",
                        path, path);
    if (fd < 0)
        return tug_fail(err, -errno, "script %s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) < 0)
        rc = tug_fail(err, -errno, "script %s: %s", path, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        rc = tug_fail(err, -EISDIR, "%s is a directory; give the script inside it", path);
    else if (!S_ISREG(st.st_mode))
        rc = tug_fail(
            err, -EISDIR,
            "%s is not a regular file; to read a script from standard input: tug submit -", path);
    else
        rc = read_all(fd, path, out, err);
    close(fd);
    return rc ? rc : tug_script_check(path, tug_buf_str(out), out->len, err);
}
