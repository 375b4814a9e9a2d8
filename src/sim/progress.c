/* progress.c - how far a simulation is, on a terminal, and a way to end it early. Layer: sim. */
#include "sim/progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#define REDRAW_S 0.2

static volatile sig_atomic_t interrupted;

static void on_sigint(int signal)
{
    (void) signal;
    interrupted = 1;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

void tug_progress_begin(struct tug_progress *p, int shown)
{
    struct sigaction sa = {.sa_handler = on_sigint, .sa_flags = (int) SA_RESETHAND | SA_RESTART};
    *p = (struct tug_progress){.shown = shown, .began_s = now_s(), .first_ms = -1};
    interrupted = 0;
    sigaction(SIGINT, &sa, NULL);
}

static void draw(struct tug_progress *p, const struct tug_sim_progress *at, double took_s)
{
    int64_t minutes = at->now_ms / 60000;
    double days = (double) (at->now_ms - p->first_ms) / 86400000;
    fprintf(stderr, "\r\033[K%" PRIu64 " jobs done, %" PRIu64 " wait or run; ", at->finished,
            at->submitted - at->finished);
    fprintf(stderr, "day %" PRId64 " %02d:%02d; %.1f days a second", minutes / 1440,
            (int) (minutes / 60 % 24), (int) (minutes % 60), took_s > 0 ? days / took_s : 0);
    if (at->read > 0.01 && at->read < 1)
        fprintf(stderr, "; %.0f %%, %.0f s left", at->read * 100,
                took_s / at->read * (1 - at->read));
    fflush(stderr);
    p->drawn = 1;
}

int tug_progress_look(void *progress, const struct tug_sim_progress *at)
{
    struct tug_progress *p = progress;
    double now = now_s();
    if (p->first_ms < 0)
        p->first_ms = at->now_ms;
    if (p->shown && now - p->last_s >= REDRAW_S) {
        p->last_s = now;
        draw(p, at, now - p->began_s);
    }
    return interrupted;
}

void tug_progress_end(struct tug_progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = 0;
    signal(SIGINT, SIG_DFL);
}
