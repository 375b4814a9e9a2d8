/* thread.c - threads beside the loop
 *
 * Layer: host.
 */
#include "host/thread.h"

#include <signal.h>

int tug_thread_start(pthread_t *t, void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(t, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -rc;
}
