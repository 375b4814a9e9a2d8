/* net_endpoint.c - addresses and sockets
 *
 * Owns how an endpoint is written ("unix:/path", "host:port", "[v6]:port") and how every socket is
 * set up: CLOEXEC always, no delay and a 15 s limit on unacknowledged data with TCP. Layer: host.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/net_impl.h"

#define USER_TIMEOUT_MS 15000

int tug_endpoint_parse(const char *text, struct tug_endpoint *out, struct tug_err *err)
{
    memset(out, 0, sizeof *out);
    if (strncmp(text, "unix:", 5) == 0) {
        if (!text[5] || strlen(text + 5) >= sizeof out->path)
            return tug_fail(err, -EINVAL,
                            "endpoint '%.100s': a path of 1 to %zu bytes must follow 'unix:'", text,
                            sizeof out->path - 1);
        out->is_unix = 1;
        strcpy(out->path, text + 5);
        return 0;
    }
    const char *colon = strrchr(text, ':'), *host = text, *end = colon;
    if (colon && text[0] == '[' && colon > text && colon[-1] == ']') {
        host++;
        end = colon - 1;
    } else if (colon && memchr(text, ':', (size_t) (colon - text))) {
        colon = NULL; /* an IPv6 address without brackets */
    }
    if (!colon || (size_t) (end - host) >= sizeof out->host)
        return tug_fail(err, -EINVAL,
                        "endpoint '%.100s' is neither unix:/path nor host:port nor [v6]:port",
                        text);
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] || strtoul(colon + 1, NULL, 10) > 65535)
        return tug_fail(err, -EINVAL, "endpoint '%.100s': '%.20s' is not a port (0 to 65535)", text,
                        colon + 1);
    memcpy(out->host, host, (size_t) (end - host));
    memcpy(out->port, colon + 1, digits);
    return 0;
}

int tug_endpoint_allows(const struct tug_endpoint *e, const char *text,
                        const struct tug_net_opts *o, struct tug_err *err)
{
    if (e->is_unix || o->auth != TUG_AUTH_UNIX)
        return 0;
    return tug_fail(err, -EINVAL,
                    "endpoint '%s' is not a local socket; over a network there is no connection "
                    "without a key",
                    text);
}

/* sun_path holds 107 bytes; a longer path is reached through a descriptor of its directory. */
int tug_sockaddr_unix(const char *path, struct tug_sockaddr *out, struct tug_err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char dir[4096];
    *out = (struct tug_sockaddr){.dir_fd = -1, .len = sizeof un};
    if (strlen(path) < sizeof un.sun_path) {
        strcpy(un.sun_path, path);
        memcpy(&out->ss, &un, sizeof un);
        return 0;
    }
    const char *name = strrchr(path, '/');
    size_t dir_len = name ? (size_t) (name - path) : 0;
    if (!name || dir_len >= sizeof dir)
        return tug_fail(err, -ENAMETOOLONG, "socket path %.200s is too long", path);
    memcpy(dir, path, dir_len);
    strcpy(dir + dir_len, dir_len ? "" : "/");
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return tug_fail(err, -errno, "%.900s: %s", dir, strerror(errno));
    int n = snprintf(un.sun_path, sizeof un.sun_path, "/proc/self/fd/%d%s", fd, name);
    if (n < 0 || (size_t) n >= sizeof un.sun_path) {
        close(fd);
        return tug_fail(err, -ENAMETOOLONG, "socket name '%.200s' is too long; give a shorter one",
                        name + 1);
    }
    memcpy(&out->ss, &un, sizeof un);
    out->dir_fd = fd;
    return 0;
}

void tug_sockaddr_clear(struct tug_sockaddr *a)
{
    if (a->dir_fd >= 0)
        close(a->dir_fd);
    a->dir_fd = -1;
}

int tug_sockaddr_tcp(const struct tug_endpoint *e, int to_listen, struct tug_sockaddr *out,
                     struct tug_err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV},
                    *list = NULL;
    const char *host = e->host;
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1"; /* the same everywhere, whatever the resolver says */
    if (to_listen && (!host[0] || strcmp(host, "*") == 0)) {
        host = NULL;
        hints.ai_flags |= AI_PASSIVE;
    } else if (!host[0]) {
        return tug_fail(err, -EINVAL, "endpoint ':%s' has no host to connect to", e->port);
    }
    hints.ai_flags |= AI_NUMERICHOST;
    int rc = getaddrinfo(host, e->port, &hints, &list);
    if (rc == EAI_NONAME) {
        hints.ai_flags &= ~AI_NUMERICHOST;
        rc = getaddrinfo(host, e->port, &hints, &list);
    }
    if (rc)
        return tug_fail(err, -EHOSTUNREACH, "host '%s' has no address: %s", e->host,
                        rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
    *out = (struct tug_sockaddr){.dir_fd = -1, .len = list->ai_addrlen};
    memcpy(&out->ss, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    return 0;
}

void tug_sockaddr_format(const struct sockaddr *sa, char *out, size_t size_bytes, int *port)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
        *port = ntohs(in.sin_port);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
            inet_ntop(AF_INET, &in6.sin6_addr.s6_addr[12], text, sizeof text);
        else
            inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
        *port = ntohs(in6.sin6_port);
    } else {
        *port = 0;
    }
    snprintf(out, size_bytes, "%s", text);
}

int tug_socket_new(int family, int nonblocking)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0);
    if (fd < 0)
        return -errno;
    tug_socket_tune(fd, family);
    return fd;
}

void tug_socket_tune(int fd, int family)
{
    int one = 1, limit_ms = USER_TIMEOUT_MS, idle_s = 5, every_s = 5, count = 3;
    if (family == AF_UNIX)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms);
    /* Without keepalive the limit above only counts while data is on its way. */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

void tug_socket_peer(int fd, enum tug_auth auth, struct tug_peer *out)
{
    struct ucred cred;
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss, cred_len = sizeof cred;
    int port;
    *out = (struct tug_peer){.auth = auth, .pid = -1, .uid = (uid_t) -1, .gid = (gid_t) -1};
    memset(&ss, 0, sizeof ss);
    if (getpeername(fd, (struct sockaddr *) &ss, &len) < 0)
        return;
    if (ss.ss_family != AF_UNIX) {
        tug_sockaddr_format((struct sockaddr *) &ss, out->address, sizeof out->address, &port);
    } else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) == 0) {
        out->pid = cred.pid;
        out->uid = cred.uid;
        out->gid = cred.gid;
    }
}
