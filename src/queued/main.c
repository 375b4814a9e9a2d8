/* main.c - tugd, the queue daemon
 *
 * Reads as a table of contents: configuration, state, lead, sockets, loop; then the same backwards.
 * Layer: programs.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/notify.h"
#include "base/version.h"
#include "host/daemon.h"
#include "queued/daemon.h"

const char *argp_program_version = "tugd " TUG_VERSION;

struct options {
    const char *config;
    int ready_fd;
    int check, dump, without_policy;
    const char *led;
};

enum { OPT_WITHOUT_POLICY = 256, OPT_LED };

static const struct argp_option option_table[] = {
    {"config", 'c', "FILE", 0, "The configuration; default " TUG_SYSCONFDIR "/tugline.yaml", 0},
    {"ready-fd", 'r', "N", 0,
     "Write a newline to this descriptor once commands and nodes can connect, then close it", 0},
    {"check", 'k', NULL, 0, "Read the configuration, say what is wrong with it, and exit", 0},
    {"show-config", 's', NULL, 0, "Print the whole configuration, defaults included, and exit", 0},
    {"without-policy", OPT_WITHOUT_POLICY, NULL, 0,
     "Begin with the built-in order, whatever the configuration says, until SIGHUP", 0},
    {"led", OPT_LED, "TOKEN", OPTION_HIDDEN, NULL, 0}, /* watchdog.c says it to itself */
    {"foreground", 'f', NULL, 0,
     "Stay in the foreground (it always does; a service manager backgrounds)", 0},
    {0}};

static error_t on_option(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case 'c':
        o->config = arg;
        return 0;
    case 'r':
        o->ready_fd = atoi(arg);
        return 0;
    case 'k':
        o->check = 1;
        return 0;
    case 's':
        o->dump = 1;
        return 0;
    case 'f':
        return 0;
    case OPT_WITHOUT_POLICY:
        o->without_policy = 1;
        return 0;
    case OPT_LED:
        o->led = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    option_table, on_option, NULL, "tugd - the queue daemon of Tugline", NULL, NULL, NULL};

static int make_dir(const char *path, mode_t mode, struct tug_err *err)
{
    struct stat st;

    if (mkdir(path, mode) != 0 && errno != EEXIST)
        return tug_fail(err, -errno, "cannot make directory %s: %s", path, strerror(errno));
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return tug_fail(err, -ENOTDIR, "%s is not a directory", path);
    if (st.st_uid != geteuid())
        return tug_fail(err, -EPERM,
                        "%s belongs to uid %u, not to uid %u that tugd runs as; chown it", path,
                        st.st_uid, geteuid());
    return 0;
}

static int make_dirs(struct tugd *d, struct tug_err *err)
{
    char *keys = tug_xasprintf("%s/keys", d->state_dir);
    char *nodes = tug_xasprintf("%s/keys/nodes", d->state_dir);
    int rc = make_dir(d->state_dir, 0700, err);

    rc = rc ? rc : make_dir(d->run_dir, 0755, err);
    rc = rc ? rc : make_dir(keys, 0700, err);
    rc = rc ? rc : make_dir(nodes, 0700, err);
    free(keys);
    free(nodes);
    return rc;
}

/* ---- state */

static int read_record(void *arg, struct tug_arena *a, const char *kind, const char *id, const void *data,
                       size_t len, void **made, struct tug_err *err)
{
    struct tug_record *r = NULL;
    int rc = tug_control_read(a, kind, id, data, len, &r, err);

    (void) arg;
    *made = r;
    return rc;
}

static int take_record(void *arg, void *made, struct tug_err *err)
{
    struct tugd *d = arg;

    return tug_control_take(d->control, made, err);
}

static int start_control(struct tugd *d, struct tug_err *err)
{
    struct setup s;
    struct tug_env env;
    const struct tug_store_feed feed = {read_record, take_record, d};
    int rc;

    setup_control(&d->cfg, &s);
    world_env(d, &env);
    s.conf.clock_boot = world_boot();
    s.conf.clock_zero_ms = d->wall0 - d->mono0;
    d->control = tug_control_new(&env, &s.conf, err);
    setup_free(&s);
    if (!d->control)
        return err->code;
    rc = tug_store_feed(d->store, &feed, err);
    return rc ? rc : tug_control_start(d->control, err);
}

/* ---- loop */

static void before_sleep(void *arg)
{
    struct tugd *d = arg;

    tug_control_flush(d->control);
    world_log(d);
    if (tug_control_wants_shutdown(d->control) && !d->stopping)
        world_stop(d, 0);
}

static void on_timer(void *arg)
{
    struct tugd *d = arg;

    tug_control_timer(d->control);
}

static void on_signal(void *arg, int signo)
{
    struct tugd *d = arg;

    if (signo == SIGHUP) {
        if (d->leads)
            setup_reload(d);
        return; /* who stands by reads it when it leads */
    }
    tug_info("got signal %d: stopping; running gangs go on", signo);
    d->again = 0;
    world_stop(d, 0);
}

/* For as long as the loop turns. */
static void on_watchdog(void *arg)
{
    struct tugd *d = arg;

    tug_notify("WATCHDOG=1");
    tug_timer_set(d->alive, tug_now_ms() + (uint64_t) tug_notify_watchdog_ms());
}

static int open_loop(struct tugd *d, struct tug_err *err)
{
    int rc = tug_loop_new(&d->loop, err);

    rc = rc ? rc : tug_timer_new(&d->timer, tug_loop_base(d->loop), on_timer, d, err);
    rc = rc ? rc : tug_timer_new(&d->alive, tug_loop_base(d->loop), on_watchdog, d, err);
    if (!rc && tug_notify_watchdog_ms())
        tug_timer_set(d->alive, tug_now_ms());
    rc = rc ? rc : tug_loop_on_signal(d->loop, SIGTERM, on_signal, d, err);
    rc = rc ? rc : tug_loop_on_signal(d->loop, SIGINT, on_signal, d, err);
    rc = rc ? rc : tug_loop_on_signal(d->loop, SIGHUP, on_signal, d, err);
    return rc;
}

void say_ready(struct tugd *d)
{
    tug_notify("READY=1");
    if (d->ready_fd < 0)
        return;
    if (write(d->ready_fd, "\n", 1) != 1)
        tug_warn("nobody reads that tugd is ready: %s", strerror(errno));
    close(d->ready_fd);
    d->ready_fd = -1;
}

/* For users, for nodes, and for ourselves. */
static void raise_files(const struct tugd *d)
{
    unsigned wanted = 2 * (unsigned) d->cfg.limits.max_connections + 512, may = tug_daemon_files(wanted);

    if (may < wanted / 2)
        tug_warn("%u files may be open at once, so fewer connections than limits.max_connections, %lld, says; raise the hard limit "
                 "(LimitNOFILE, ulimit -Hn) to %u",
                 may, (long long) d->cfg.limits.max_connections, wanted);
}

static int run(struct tugd *d, struct tug_err *err)
{
    int rc = make_dirs(d, err);

    raise_files(d);
    rc = rc ? rc : watchdog_open(d, d->program, err);
    rc = rc ? rc : tug_keypair_load(d->cfg.cluster.key_file, &d->key, 1, err);
    rc = rc ? rc : open_loop(d, err);
    rc = rc ? rc : lead_open(d, err);
    rc = rc || d->stopping ? rc : lead_wait(d, err);
    if (rc || d->stopping)
        return rc;
    rc = start_control(d, err);
    if (rc)
        return rc;
    plugin_load(d);
    if (d->stopping)
        return 0;
    rc = snapshot_start(d, err);
    rc = rc ? rc : listen_open(d, err);
    if (rc)
        return rc;
    tug_loop_before_sleep(d->loop, before_sleep, d);
    tug_info("cluster '%s', epoch %llu: commands at %s, nodes at %s", d->cfg.cluster.name,
             (unsigned long long) tug_control_epoch(d->control), d->socket_path,
             tug_listener_endpoint(d->nodes));
    say_ready(d);
    return tug_loop_run(d->loop);
}

static void stop(struct tugd *d)
{
    snapshot_stop(d);
    listen_close(d);
    tug_store_close(d->store);
    tug_control_free(d->control);
    plugin_free(d);
    tug_timer_free(d->timer);
    tug_timer_free(d->alive);
    tug_loop_free(d->loop);
    tug_config_clear(&d->cfg);
    free(d->run_dir);
    free(d->state_dir);
    free(d->socket_path);
}

static int show_config(const struct tugd *d)
{
    struct tug_buf text = {0};

    tug_config_dump(&d->cfg, &text);
    fputs(tug_buf_str(&text), stdout);
    tug_buf_clear(&text);
    return 0;
}

int main(int argc, char **argv)
{
    static struct tugd d;
    struct options o = {.config = TUG_SYSCONFDIR "/tugline.yaml", .ready_fd = -1};
    struct tug_err err = {0};
    int rc;

    argp_parse(&argp, argc, argv, 0, NULL, &o);
    tug_log_open("tugd", TUG_LOG_INFO);
    umask(022);
    d.program = argv[0];
    d.config_path = o.config;
    d.without_policy = o.without_policy;
    d.lead_before = o.led;
    d.wall0 = tug_wall_ms();
    d.mono0 = (int64_t) tug_now_ms();
    rc = setup_load(&d, &err);
    if (rc) {
        fprintf(stderr, "tugd: %s\n", err.msg);
        return 2;
    }
    if (o.dump)
        return show_config(&d);
    if (o.check && plugin_check(&d.cfg, &err)) {
        fprintf(stderr, "tugd: %s\n", err.msg);
        return 2;
    }
    if (o.check)
        return 0;
    tug_log_set_level((enum tug_log_level) d.cfg.logging.level);
    d.ready_fd = o.ready_fd;
    rc = run(&d, &err);
    if (rc)
        tug_error("%s", err.msg);
    if (d.damaged || (rc == -EILSEQ && d.cfg.cluster.store == TUG_STORE_IN_SQLITE))
        offer_copy(&d);
    stop(&d);
    if (d.again)
        watchdog_again();
    watchdog_close();
    return rc ? 1 : d.exit_code;
}
