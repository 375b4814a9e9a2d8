/* notify.c - telling the service manager. Layer: base. */
#include "base/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void tug_notify(const char *state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;
    int fd = len && len < sizeof a.sun_path ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    memcpy(a.sun_path, path, len);
    if (*path == '@')
        a.sun_path[0] = 0; /* one without a file */
    sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *) &a,
           (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len));
    close(fd);
}

int64_t tug_notify_watchdog_ms(void)
{
    const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!us || (pid && strtol(pid, NULL, 10) != getpid()))
        return 0;
    int64_t ms = strtoll(us, NULL, 10) / 2000;
    return ms > 0 ? ms : 0;
}
