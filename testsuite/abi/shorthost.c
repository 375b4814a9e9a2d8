/* shorthost.c - a host whose tables end early asks the policy of all.c, given as its argument
 *
 * What lies behind the ends are wrong pointers: a policy that does not use TUG_POLICY_HAS()
 * crashes.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tugline/policy.h>

static int started;

static int h_start(struct tug_policy_pass *p, uint64_t job)
{
    (void) p;
    started += job == 8;
    return job == 8 ? 0 : -EAGAIN;
}
static int h_fits(struct tug_policy_pass *p, uint64_t job)
{
    (void) p;
    return job == 8 ? 0 : -EAGAIN;
}
static int h_start_on(struct tug_policy_pass *p, uint64_t job, const struct tug_policy_slice *at,
                      size_t n)
{
    (void) at;
    (void) n;
    return h_start(p, job);
}
static int h_explain(struct tug_policy_pass *p, uint64_t job, enum tug_policy_reason reason,
                     const char *text)
{
    (void) p;
    (void) job;
    (void) reason;
    (void) text;
    return 0;
}
static uint64_t h_random(struct tug_policy_pass *p)
{
    (void) p;
    return 4;
}
static void h_log(struct tug_policy_pass *p, const char *text)
{
    (void) p;
    (void) text;
}
static int h_place(struct tug_policy_pass *p, uint64_t job, struct tug_policy_slice *at, size_t n)
{
    memset(at, 0, n * sizeof *at);
    return h_fits(p, job);
}

int main(int argc, char **argv)
{
    union {
        struct tug_policy_host host;
        size_t words[64];
    } h;
    struct tug_policy_job jobs[2];
    struct tug_policy_view view;
    static const struct tug_policy_value values[5] = {
        {1, 1, "yes"}, {10, 10, "10"}, {0, 0.5, "0.5"}, {604800, 604800, "7d"}, {0, 0, "none"}};
    void *so = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL, *self, *symbol;
    const struct tug_policy_ops *(*get)(void);
    char why[64] = "";
    if (!so || !(symbol = dlsym(so, "tug_policy")))
        return 2;
    memcpy(&get, &symbol, sizeof get);
    for (size_t i = 0; i < 64; i++)
        h.words[i] = 1;
    h.host.size = offsetof(struct tug_policy_host, held);
    h.host.start = h_start;
    h.host.start_on = h_start_on;
    h.host.explain = h_explain;
    h.host.fits = h_fits;
    h.host.random = h_random;
    h.host.log = h_log;
    h.host.place = h_place;
    memset(jobs, 0, sizeof jobs);
    memset(&view, 0, sizeof view);
    for (uint64_t i = 0; i < 2; i++) {
        jobs[i].id = 8 + i;
        jobs[i].nodes = 1;
    }
    view.size = offsetof(struct tug_policy_view, cpus);
    view.waiting = jobs;
    view.n_waiting = 2;
    view.waiting_stride = sizeof *jobs;
    const struct tug_policy_ops *ops = get();
    if (ops->create(&self, values, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    int rc = ops->pass(self, &view, &h.host, NULL);
    char text[240] = "";
    int says = !TUG_POLICY_HAS(ops, why) ||
               (ops->why(self, &view, &jobs[1], text, sizeof text) == 0 && *text);
    ops->destroy(self);
    return rc || started != 1 || !says;
}
