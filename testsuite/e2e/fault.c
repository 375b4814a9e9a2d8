/* fault.c - a disk that fails when it is told to, for one daemon (LD_PRELOAD)
 *
 * $TUG_FAULT names a file. While it holds a word, what is written to or synced in a file whose name has "state.db" in
 * it fails: "eio" syncs fail, "late" syncs find that there is no room, "full" writes find none, "short" writes take half and
 * then find none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *fault(int fd, char word[16])
{
    const char *name = getenv("TUG_FAULT");
    char link[64], path[4096];
    ssize_t n;
    int f;

    word[0] = '\0';
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (name == NULL || n <= 0)
        return word;
    path[n] = '\0';
    f = strstr(path, "state.db") ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (f < 0)
        return word;
    n = read(f, word, 15);
    word[n > 0 ? n : 0] = '\0';
    word[strcspn(word, "\n")] = '\0';
    close(f);
    return word;
}

static int sync_it(long call, int fd)
{
    char word[16];

    if (strcmp(fault(fd, word), "eio") == 0)
        return errno = EIO, -1;
    if (strcmp(word, "late") == 0)
        return errno = ENOSPC, -1;
    return (int) syscall(call, fd);
}

int fsync(int fd)
{
    return sync_it(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_it(SYS_fdatasync, fd);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    char word[16];

    fault(fd, word);
    if (strcmp(word, "full") == 0 || (strcmp(word, "short") == 0 && len < 64))
        return errno = ENOSPC, -1;
    if (strcmp(word, "short") == 0)
        len /= 2;
    return syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    return pwrite64(fd, data, len, at);
}
