/* watch.h - who holds a gang up: looks at its ranks go in, a verdict comes out
 *
 * A value: no clock, no file, no process. The head of a gang feeds it with what every node saw of its ranks and asks for
 * the verdict. It would rather say nothing than name somebody who only computes, writes a checkpoint or waits for data:
 * doc/design/0007-hangs.md says what counts as evidence, and why. All times are ms of the caller's clock.
 * Layer: stepd.
 */
#ifndef TUG_STEPD_WATCH_H
#define TUG_STEPD_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stepd/colls.h"

enum tug_doing {           /* what a rank does, by one look at its processes. The numbers go over the wire */
    TUG_DOING_UNKNOWN = 0, /* could not be told */
    TUG_DOING_RUNS = 1,    /* is on a CPU, or waits for one */
    TUG_DOING_WAITS = 2,   /* sleeps where one waits for others: a futex, poll, a socket, a pipe */
    TUG_DOING_SLEEPS = 3,  /* sleeps elsewhere */
    TUG_DOING_BLOCKS = 4,  /* sleeps uninterruptibly: a disk, a network file system, a driver */
    TUG_DOING_STOPPED = 5, /* by a signal */
    TUG_DOING_TRACED = 6,  /* by a debugger */
    TUG_DOING_ENDED = 7,   /* with exit code 0; with another one the gang would end */
    TUG_DOINGS
};

struct tug_look {
    enum tug_doing doing;
    uint64_t cpu_ms;   /* that its processes have used so far */
    uint64_t io_bytes; /* that they have read and written so far */
    char where[48];    /* the kernel function it sleeps in, or which process is stopped; "" = not known */
};

enum tug_verdict_kind {
    TUG_VERDICT_NONE,
    TUG_VERDICT_STOPPED, /* a rank is stopped; said soon, whatever the others do */
    TUG_VERDICT_STUCK,   /* the others wait, this one sleeps elsewhere and gets nothing done */
    TUG_VERDICT_LEFT,    /* the others wait, this one has ended */
    TUG_VERDICT_DEAD,    /* NCCL on the other ranks has given it up */
    TUG_VERDICT_FAILED,  /* NCCL reports an error of it */
    TUG_VERDICT_BEHIND,  /* the others have launched a collective that it has not, and nothing moves */
    TUG_VERDICT_SLOW     /* it is the last one again and again, while everything moves: no hang, never ripe */
};
const char *tug_verdict_name(enum tug_verdict_kind k); /* "stopped"; "" for NONE */

#define TUG_VERDICT_RANKS 16

struct tug_verdict {
    enum tug_verdict_kind kind;
    unsigned ranks[TUG_VERDICT_RANKS], n_ranks; /* who it is, rising; the first of them when they are more ... */
    unsigned all;                               /* ... than this says */
    uint64_t since_ms;
    bool ripe;      /* it has lasted for the hang time-out: whoever wants to act may */
    char text[256]; /* what goes behind their names: "is stopped by a signal" */
};

struct tug_watch;

/* 'hang_ms': how long nothing may move before the gang hangs. 'period_ms': how often each rank is looked at. */
struct tug_watch *tug_watch_new(unsigned n_ranks, uint64_t hang_ms, uint64_t period_ms);
void tug_watch_free(struct tug_watch *w);

/* A look at a rank that was taken at 'now_ms'; times don't go back. */
void tug_watch_look(struct tug_watch *w, unsigned rank, uint64_t now_ms, const struct tug_look *look);
/* How far all ranks are in their collectives; the next time within 'period_ms'. */
void tug_watch_colls(struct tug_watch *w, uint64_t now_ms, uint64_t period_ms, const struct tug_coll *all, size_t n);
/* Nobody looked on purpose until now: what was so before still counts. */
void tug_watch_blink(struct tug_watch *w, uint64_t now_ms);
/* All ranks were stopped for a while by order: what was seen before counts no longer. */
void tug_watch_forget(struct tug_watch *w);

/* The verdict as of now. The same evidence gives the same words, whenever it is asked for. */
void tug_watch_judge(const struct tug_watch *w, uint64_t now_ms, struct tug_verdict *out);

#endif
