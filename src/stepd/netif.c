/* netif.c - which network interface carries the node's address
 *
 * Libraries that choose an interface themselves choose badly (docker0, or what the host name
 * resolves to), so ranks are told. Layer: stepd.
 */
#include "stepd/netif.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* The bytes of an address; 0 = of a family that we don't use. */
static size_t addr_bytes(const struct sockaddr *sa, uint8_t out[16])
{
    if (sa && sa->sa_family == AF_INET) {
        memcpy(out, &((const struct sockaddr_in *) sa)->sin_addr, 4);
        return 4;
    }
    if (sa && sa->sa_family == AF_INET6) {
        memcpy(out, &((const struct sockaddr_in6 *) sa)->sin6_addr, 16);
        return 16;
    }
    return 0;
}

void tug_netif_find(const char *address, char *name, size_t name_size, char *cidr, size_t cidr_size)
{
    struct ifaddrs *all = NULL;
    uint8_t want[16], have[16], mask[16];
    size_t n = inet_pton(AF_INET, address, want) == 1    ? 4
               : inet_pton(AF_INET6, address, want) == 1 ? 16
                                                         : 0;
    int best = -1;

    name[0] = cidr[0] = 0;
    if (!n || getifaddrs(&all))
        return;
    for (struct ifaddrs *i = all; i; i = i->ifa_next) {
        char text[INET6_ADDRSTRLEN];
        int bits = 0;
        bool in = true;
        if (addr_bytes(i->ifa_addr, have) != n || !i->ifa_netmask)
            continue;
        addr_bytes(i->ifa_netmask, mask);
        for (size_t k = 0; k < n; k++) {
            bits += __builtin_popcount(mask[k]);
            in = in && (have[k] & mask[k]) == (want[k] & mask[k]);
        }
        if (memcmp(have, want, n) == 0)
            bits += 1000; /* the very address beats any network */
        if (!in || bits <= best)
            continue;
        best = bits;
        tug_str_copy(name, name_size, i->ifa_name);
        for (size_t k = 0; k < n; k++)
            have[k] &= mask[k];
        inet_ntop(n == 4 ? AF_INET : AF_INET6, have, text, sizeof text);
        snprintf(cidr, cidr_size, "%s/%d", text, bits >= 1000 ? bits - 1000 : bits);
    }
    freeifaddrs(all);
}
