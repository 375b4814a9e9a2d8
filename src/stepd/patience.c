/* patience.c - opening a user's file without being held up by its file system. Layer: stepd. */
#include "stepd/patience.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/loop.h"
#include "host/thread.h"

struct opening { /* of whoever of the two is done with it last */
    pthread_mutex_t lock;
    pthread_cond_t done;
    char *path;
    int flags;
    mode_t mode;
    int fd; /* or a negative errno */
    bool answered, left;
};

static void drop(struct opening *o)
{
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->done);
    free(o->path);
    free(o);
}

static void *run(void *arg)
{
    struct opening *o = arg;
    int fd = open(o->path, o->flags, o->mode);

    if (fd < 0)
        fd = -errno;
    pthread_mutex_lock(&o->lock);
    o->fd = fd;
    o->answered = true;
    pthread_cond_signal(&o->done);
    bool left = o->left;
    pthread_mutex_unlock(&o->lock);
    if (left) {
        if (fd >= 0)
            close(fd);
        drop(o);
    }
    return NULL;
}

static struct opening *start(const char *path, int flags, mode_t mode)
{
    struct opening *o = tug_new(struct opening);
    pthread_condattr_t attr;
    pthread_t t;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&o->done, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&o->lock, NULL);
    o->path = tug_xstrdup(path);
    o->flags = flags;
    o->mode = mode;
    tug_assert(tug_thread_start(&t, run, o) == 0);
    pthread_detach(t);
    return o;
}

int tug_patience_open(const char *path, int flags, mode_t mode, uint64_t by_ms)
{
    struct opening *o = start(path, flags, mode);
    uint64_t now_ms = tug_now_ms(), wait_ms = by_ms > now_ms ? by_ms - now_ms : 0;
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t) (wait_ms / 1000);
    until.tv_nsec += (long) (wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&o->lock);
    while (!o->answered && rc == 0)
        rc = pthread_cond_timedwait(&o->done, &o->lock, &until);
    o->left = !o->answered;
    rc = o->answered ? o->fd : -ETIMEDOUT;
    bool answered = o->answered;
    pthread_mutex_unlock(&o->lock);
    if (answered)
        drop(o);
    return rc;
}
