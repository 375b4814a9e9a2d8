/* thread.h - threads beside the loop
 */
#ifndef TUG_HOST_THREAD_H
#define TUG_HOST_THREAD_H

#include <pthread.h>

/* A thread that takes no signals, nor do those that it starts: signals are the loop's. To be joined or detached.
 * 0, or what pthread_create(3) says as a negative errno; then there is none. */
int tug_thread_start(pthread_t *t, void *(*run)(void *), void *arg);

#endif
