/* writer.c - output files, written on a thread of their own
 *
 * The lock guards all of struct tug_writer; the thread writes without it. There is no free: the
 * thread may hang, so a writer lasts as long as the process. The thread starts with the first byte:
 * most steps of a benchmark say nothing. Layer: stepd.
 */
#include "stepd/writer.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/vec.h"
#include "host/loop.h"
#include "host/thread.h"

#define PIECE_BYTES ((size_t) 256 << 10)

struct file {
    int fd;
    struct tug_buf waiting;
    uint64_t lost;
    int error;
};

struct tug_writer {
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool started;
    struct tug_vec(struct file) files;
    size_t backlog;
    _Atomic uint64_t progress_ms;
    struct tug_wake *wake;
};

/* Returns what could not be written. In pieces, so that a slow file is seen to move. */
static size_t write_all(struct tug_writer *w, int fd, const char *data, size_t len, int *error)
{
    while (len) {
        ssize_t n = write(fd, data, len < PIECE_BYTES ? len : PIECE_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            *error = errno;
            return len;
        }
        data += n;
        len -= (size_t) n;
        w->progress_ms = tug_now_ms();
    }
    return 0;
}

static void write_file(struct tug_writer *w, size_t i)
{
    struct tug_buf mine = w->files.at[i].waiting;
    int fd = w->files.at[i].fd, error = 0;
    size_t lost;

    memset(&w->files.at[i].waiting, 0, sizeof mine);
    pthread_mutex_unlock(&w->lock);
    lost = write_all(w, fd, mine.data, mine.len, &error);
    pthread_mutex_lock(&w->lock);
    w->files.at[i].lost += lost;
    if (error)
        w->files.at[i].error = error;
    w->backlog -= mine.len;
    tug_buf_clear(&mine);
}

static void *run(void *arg)
{
    struct tug_writer *w = arg;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->backlog == 0)
            pthread_cond_wait(&w->more, &w->lock);
        for (size_t i = 0; i < w->files.len; i++)
            if (w->files.at[i].waiting.len)
                write_file(w, i);
        tug_wake_up(w->wake);
    }
    return NULL;
}

int tug_writer_new(struct tug_writer **out, struct event_base *base, void (*on_progress)(void *arg),
                   void *arg, struct tug_err *err)
{
    struct tug_writer *w = tug_new(struct tug_writer);
    int rc = tug_wake_new(&w->wake, base, on_progress, arg, err);

    if (rc < 0) {
        free(w);
        return rc;
    }
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    *out = w;
    return 0;
}

unsigned tug_writer_add(struct tug_writer *w, int fd)
{
    struct file f = {.fd = fd};

    pthread_mutex_lock(&w->lock);
    tug_vec_push(&w->files, f);
    pthread_mutex_unlock(&w->lock);
    return (unsigned) w->files.len - 1;
}

static void start(struct tug_writer *w)
{
    pthread_t t;

    tug_assert(tug_thread_start(&t, run, w) == 0);
    pthread_detach(t);
    w->started = true;
}

void tug_writer_put(struct tug_writer *w, unsigned file, const void *data, size_t len)
{
    pthread_mutex_lock(&w->lock);
    if (!w->started)
        start(w);
    if (w->backlog == 0)
        w->progress_ms = tug_now_ms();
    tug_buf_add(&w->files.at[file].waiting, data, len);
    w->backlog += len;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
}

size_t tug_writer_backlog(struct tug_writer *w)
{
    pthread_mutex_lock(&w->lock);
    size_t n = w->backlog;
    pthread_mutex_unlock(&w->lock);
    return n;
}

uint64_t tug_writer_progress_ms(struct tug_writer *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t t = w->backlog ? w->progress_ms : tug_now_ms();
    pthread_mutex_unlock(&w->lock);
    return t;
}

uint64_t tug_writer_lost(struct tug_writer *w, unsigned file, int *error)
{
    pthread_mutex_lock(&w->lock);
    uint64_t n = w->files.at[file].lost;
    *error = w->files.at[file].error;
    w->files.at[file].lost = 0;
    w->files.at[file].error = 0;
    pthread_mutex_unlock(&w->lock);
    return n;
}
