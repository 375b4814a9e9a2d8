/* notify.h - telling the service manager: the protocol of sd_notify(3), without its library
 *
 * Layer: base.
 */
#ifndef TUG_BASE_NOTIFY_H
#define TUG_BASE_NOTIFY_H

#include <stdint.h>

/* "READY=1", "WATCHDOG=1": a datagram to $NOTIFY_SOCKET. Without one, or when nobody listens, nothing. */
void tug_notify(const char *state);
/* How often "WATCHDOG=1" is to be said, in ms: half of the time after which this process is taken to hang; 0 = nobody watches. */
int64_t tug_notify_watchdog_ms(void);

#endif
