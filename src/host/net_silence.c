/* net_silence.c - a peer's machine that answers nothing, told from a peer that does not read
 *
 * The kernel of a machine that is reached answers probes and what is sent whatever its processes do. TCP_USER_TIMEOUT gives up a
 * peer that is stopped as well, once it reads nothing more: connections that are steady (net.h) do without and are
 * looked at here. linux/tcp.h does not go together with netinet/tcp.h, hence a file of its own. Layer: host.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "host/net_impl.h"

#define PROBES_MAX 4 /* of a closed window, that are not answered */

void tug_socket_steady(int fd)
{
    int off = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &off, sizeof off);
}

unsigned tug_socket_silent_ms(int fd)
{
    struct tcp_info i = {0};
    socklen_t len = sizeof i;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len) < 0)
        return 0;
    unsigned quiet_ms = i.tcpi_last_ack_recv < i.tcpi_last_data_recv ? i.tcpi_last_ack_recv : i.tcpi_last_data_recv;
    /* It reads nothing: the kernel asks ever more seldom whether it does again, so silence alone says nothing. */
    int is_full = !i.tcpi_unacked && i.tcpi_notsent_bytes;
    return is_full && i.tcpi_probes < PROBES_MAX ? 0 : quiet_ms;
}

int tug_socket_is_unreachable(int error)
{
    return error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH || error == EHOSTDOWN;
}
