/* main.c - tug-admin, the half of `tug admin` that reads and writes the controller's state
 *
 * Layer: programs.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/version.h"
#include "host/coreconf.h"

const char *argp_program_version = "tug-admin " TUG_VERSION;

static const struct {
    const char *name;
    int (*run)(struct admin *a, struct tug_err *err);
    int needs_file;
} commands[] = {
    {"backup", do_backup, 1},
    {"verify", do_verify, 0},
    {"export", do_export, 0},
    {"restore", do_restore, 1},
    {"controllers", do_controllers, 0},
    {"move", do_move, 0},
    {"snapshot", do_snapshot, 0},
    {"snapshots", do_snapshots, 0},
};

struct words {
    struct admin a;
    const char *command;
};

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "The controller's configuration", 0},
    {"state-dir", 's', "DIR", 0, "The controller's state directory", 0},
    {"replace", 'r', NULL, 0, "restore: keep the state that is there beside the one restored", 0},
    {"json", 'j', NULL, 0, "Answer as JSON, errors too", 0},
    {0}};

static error_t on_option(int key, char *arg, struct argp_state *state)
{
    struct words *w = state->input;

    switch (key) {
    case 'c':
        w->a.config = arg;
        return 0;
    case 's':
        w->a.state_dir = arg;
        return 0;
    case 'r':
        w->a.replace = 1;
        return 0;
    case 'j':
        w->a.json = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (w->command && w->a.file)
            argp_error(state, "there is one FILE too many: %s", arg);
        else if (w->command)
            w->a.file = arg;
        else
            w->command = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {options,
                                 on_option,
                                 "backup|verify|export|restore|controllers|move|snapshot|snapshots [FILE]",
                                 "tug-admin - what `tug admin` does with the controller's state",
                                 NULL,
                                 NULL,
                                 NULL};

/* One that was named must be there; the system's need not. */
static int read_config(struct admin *a, struct tug_err *err)
{
    const char *path = a->config ? a->config : TUG_SYSCONFDIR "/tugline.yaml";
    int rc;

    if (!a->config && access(path, R_OK) != 0)
        return 0;
    rc = tug_coreconf_read(path, &a->cfg, err);
    a->has_config = rc == 0;
    return rc;
}

static int run(struct words *w, struct tug_err *err)
{
    size_t i = 0, n = sizeof commands / sizeof *commands;

    while (i < n && (!w->command || strcmp(commands[i].name, w->command) != 0))
        i++;
    if (i == n)
        return tug_fail(err, -EINVAL, "'%s' is none of backup, verify, export, restore, controllers, move, snapshot and snapshots",
                        w->command ? w->command : "");
    if (commands[i].needs_file && !w->a.file)
        return tug_fail(err, -EINVAL, "tug admin %s: what is missing is the file", w->command);
    if (read_config(&w->a, err) < 0)
        return err->code;
    return commands[i].run(&w->a, err);
}

int main(int argc, char **argv)
{
    struct words w = {0};
    struct tug_err err = {0};
    struct tug_buf text = {0};
    int rc;

    umask(077);
    argp_parse(&argp, argc, argv, 0, NULL, &w);
    rc = run(&w, &err);
    if (rc < 0 && w.a.json) {
        tug_buf_adds(&text, "{\"error\":{\"code\":");
        tug_buf_addf(&text, "%d,\"text\":\"", -rc);
        for (const char *c = err.msg; *c; c++)
            tug_buf_addf(&text,
                         (unsigned char) *c < 0x20 || *c == '"' || *c == '\\' ? "\\u%04x" : "%c",
                         (unsigned char) *c);
        printf("%s\"}}\n", tug_buf_str(&text));
        tug_buf_clear(&text);
    } else if (rc < 0) {
        fprintf(stderr, "tug: %s\n", err.msg);
    }
    tug_config_clear(&w.a.cfg);
    return rc < 0 ? 1 : 0;
}
