/* runaddr.c - the address at which other hosts reach this one
 *
 * Layer: cli.
 */
#include "cli/runaddr.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

static int take(const struct ifaddrs *i, int family, char *out)
{
    if (!i->ifa_addr || i->ifa_addr->sa_family != family || !(i->ifa_flags & IFF_UP) ||
        (i->ifa_flags & IFF_LOOPBACK))
        return 0;
    if (family == AF_INET)
        return inet_ntop(family, &((struct sockaddr_in *) (void *) i->ifa_addr)->sin_addr, out,
                         TUG_ADDRESS_MAX) != NULL;
    struct in6_addr *a = &((struct sockaddr_in6 *) (void *) i->ifa_addr)->sin6_addr;
    return !IN6_IS_ADDR_LINKLOCAL(a) && inet_ntop(family, a, out, TUG_ADDRESS_MAX) != NULL;
}

void tug_runaddr_own(char out[TUG_ADDRESS_MAX])
{
    const char *given = getenv("TUG_RUN_ADDRESS");
    struct ifaddrs *all = NULL;
    tug_str_copy(out, TUG_ADDRESS_MAX, given && *given ? given : "127.0.0.1");
    if ((given && *given) || getifaddrs(&all) < 0)
        return;
    int families[] = {AF_INET, AF_INET6};
    for (int k = 0; k < 2; k++)
        for (const struct ifaddrs *i = all; i; i = i->ifa_next)
            if (take(i, families[k], out)) {
                freeifaddrs(all);
                return;
            }
    freeifaddrs(all);
}
