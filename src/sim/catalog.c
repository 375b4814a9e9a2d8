/* catalog.c - which policies there are, and what each decides: `tug-sim show`, `tug policy show`
 *
 * Every object is loaded in a child process, one after the other: loading runs its code. Layer:
 * sim.
 */
#include "sim/catalog.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/version.h"
#include "conf/config.h"
#include "conf/errors.h"
#include "host/plugload.h"
#include "host/readfile.h"

#define LOAD_WAIT_MS 5000

const char tug_catalog_usage[] =
    "usage: tug-sim show [NAME...] [options]\n"
    "  --policy-dir DIR      where policies are, instead of policy_dirs; may be repeated\n"
    "  --config FILE         the configuration that names policy_dirs (" TUG_SYSCONFDIR
    "/tugline.yaml)\n"
    "  --in-force NAMES      what the controller runs\n"
    "  --json                print one JSON object\n";

struct catalog {
    struct tug_dirs dirs;
    struct tug_vec(char *) names; /* of all files, sorted, each once */
    struct tug_vec(const char *) wanted;
    const char *config, *in_force;
    char *configured;
    int json;
};

/* ---- where they are */

static void add_beside(struct tug_dirs *dirs)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = n > 0 ? memrchr(self, '/', (size_t) n) : NULL;
    if (!slash)
        return;
    char *dir = tug_xasprintf("%.*s/plugins", (int) (slash - self), self);
    if (access(dir, R_OK) == 0)
        tug_vec_push(dirs, dir);
    else
        free(dir);
}

void tug_dirs_default(struct tug_dirs *dirs, const char *config, char **policy_out)
{
    struct tug_config cfg = {0};
    struct tug_conf_errors errs = {0};
    const char *path = config ? config : TUG_SYSCONFDIR "/tugline.yaml";
    add_beside(dirs);
    if ((config || access(path, R_OK) == 0) &&
        tug_config_load(tug_readfile_reader(), path, &cfg, &errs) == 0) {
        for (size_t i = 0; i < cfg.scheduler.policy_dirs.n; i++)
            tug_vec_push(dirs, tug_xstrdup(cfg.scheduler.policy_dirs.at[i]));
        if (policy_out)
            *policy_out = tug_xstrdup(cfg.scheduler.policy);
        tug_config_clear(&cfg);
    } else {
        if (config || access(path, F_OK) == 0)
            fprintf(stderr, "tug-sim: %s cannot be used; the installed policies are shown\n", path);
        tug_vec_push(dirs, tug_xstrdup(TUG_POLICYDIR));
    }
    tug_conf_errors_clear(&errs);
}

void tug_dirs_installed(struct tug_dirs *dirs)
{
    add_beside(dirs);
    tug_vec_push(dirs, tug_xstrdup(TUG_POLICYDIR));
}

void tug_dirs_clear(struct tug_dirs *dirs)
{
    for (size_t i = 0; i < dirs->len; i++)
        free(dirs->at[i]);
    tug_vec_clear(dirs);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static void list(struct catalog *c)
{
    for (size_t i = 0; i < c->dirs.len; i++) {
        DIR *d = opendir(c->dirs.at[i]);
        struct dirent *e;
        while (d && (e = readdir(d)))
            if (tug_str_has_suffix(e->d_name, ".so") && strlen(e->d_name) > 3)
                tug_vec_push(&c->names,
                             tug_xasprintf("%.*s", (int) strlen(e->d_name) - 3, e->d_name));
        if (d)
            closedir(d);
    }
    if (c->names.len)
        qsort(c->names.at, c->names.len, sizeof *c->names.at, by_name);
    for (size_t i = 1; i < c->names.len;)
        if (!strcmp(c->names.at[i - 1], c->names.at[i])) {
            free(c->names.at[i]);
            tug_vec_remove(&c->names, i);
        } else {
            i++;
        }
}

/* Is it one of "a+b"? */
static int is_one_of(const char *name, const char *set)
{
    const char *at;
    size_t len;
    while (set && tug_str_split(&set, '+', &at, &len))
        if (len == strlen(name) && !strncmp(at, name, len))
            return 1;
    return 0;
}

/* ---- one of them, as JSON; in the child */

static json_t *text_json(const char *text)
{
    json_t *t = json_string(text ? text : "");
    return t ? t : json_string("(not UTF-8)");
}

static const char *const types[] = {[TUG_POLICY_BOOL] = "yes or no",
                                    [TUG_POLICY_INT] = "whole number",
                                    [TUG_POLICY_REAL] = "number",
                                    [TUG_POLICY_DURATION_S] = "duration",
                                    [TUG_POLICY_STRING] = "text"};

static json_t *param_json(const struct tug_policy_param *p)
{
    json_t *o = json_object();
    int ranged = p->type != TUG_POLICY_BOOL && p->type != TUG_POLICY_STRING && p->min <= p->max;
    json_object_set_new(o, "name", text_json(p->name));
    json_object_set_new(o, "type", text_json(types[p->type]));
    json_object_set_new(o, "default", text_json(p->fallback));
    json_object_set_new(o, "min", ranged ? json_real(p->min) : json_null());
    json_object_set_new(o, "max", ranged ? json_real(p->max) : json_null());
    json_object_set_new(o, "text", text_json(p->text));
    return o;
}

/* What it decides and what it is told, in words that the list shows. */
static json_t *hooks_json(const struct tug_policy_ops *ops)
{
    json_t *hooks = json_array();
#define HOOK(member, name)                                                                         \
    if (TUG_POLICY_HAS(ops, member) && ops->member)                                                \
        json_array_append_new(hooks, json_string(name));
    HOOK(key, "order")
    HOOK(pass, "start")
    HOOK(place, "place")
    HOOK(preempt, "preempt")
    HOOK(observe, "observe")
#undef HOOK
    return hooks;
}

static json_t *needs_json(const struct tug_policy_ops *ops)
{
    json_t *needs = json_array();
    uint32_t bits = TUG_POLICY_HAS(ops, needs) ? ops->needs : 0;
    if (bits & TUG_POLICY_NEEDS_ORDER_PREEMPTION)
        json_array_append_new(needs, json_string("scheduler.preemption: order"));
    if (bits & TUG_POLICY_NEEDS_EXPECTED)
        json_array_append_new(needs, json_string("every job's expected run time"));
    if (bits & TUG_POLICY_NEEDS_SHARES)
        json_array_append_new(needs, json_string("shares and usage of accounts and users"));
    if (bits & TUG_POLICY_NEEDS_DEMANDS)
        json_array_append_new(needs, json_string("what jobs ask of the fabric"));
    return needs;
}

static json_t *policy_json(const char *name, const struct tug_plugload *p)
{
    const struct tug_policy_ops *ops = tug_plugload_ops(p);
    json_t *o = json_object(), *params = json_array();
    for (size_t i = 0; ops->params && ops->params[i].name; i++)
        json_array_append_new(params, param_json(&ops->params[i]));
    json_object_set_new(o, "name", text_json(name));
    json_object_set_new(o, "path", text_json(tug_plugload_path(p)));
    json_object_set_new(o, "summary", text_json(ops->summary));
    json_object_set_new(o, "decides", hooks_json(ops));
    json_object_set_new(o, "needs", needs_json(ops));
    json_object_set_new(o, "params", params);
    return o;
}

static json_t *broken_json(const char *name, const char *why)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", text_json(name));
    json_object_set_new(o, "error", text_json(why));
    return o;
}

static void child(const struct catalog *c, const char *name, FILE *to)
{
    struct tug_plugload *p = NULL;
    struct tug_err err = {0};
    json_t *o =
        tug_plugload_load(name, (const char *const *) c->dirs.at, c->dirs.len, &p, &err) == 0
            ? policy_json(name, p)
            : broken_json(name, err.msg);
    json_dumpf(o, to, JSON_PRESERVE_ORDER);
    fflush(to);
    _exit(0);
}

/* ---- one of them; in the parent */

static int wait_for(pid_t pid, int *status)
{
    for (int ms = 0; ms < LOAD_WAIT_MS; ms += 2) {
        if (waitpid(pid, status, WNOHANG) == pid)
            return 0;
        poll(NULL, 0, 2);
    }
    kill(pid, SIGKILL);
    waitpid(pid, status, 0);
    return -ETIMEDOUT;
}

static json_t *look(const struct catalog *c, const char *name)
{
    char why[256];
    int status = 0;
    FILE *told = tmpfile();
    fflush(stdout);
    pid_t pid = told ? fork() : -1;
    if (pid < 0) {
        snprintf(why, sizeof why, "a process cannot be started: %s", strerror(errno));
        if (told)
            fclose(told);
        return broken_json(name, why);
    }
    if (pid == 0)
        child(c, name, told);
    int late = wait_for(pid, &status);
    rewind(told);
    json_t *o = late ? NULL : json_loadf(told, 0, NULL);
    fclose(told);
    if (o)
        return o;
    if (late)
        snprintf(why, sizeof why, "hangs when it is loaded");
    else if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "crashes when it is loaded: %s", strsignal(WTERMSIG(status)));
    else
        snprintf(why, sizeof why, "ends the process when it is loaded");
    return broken_json(name, why);
}

static json_t *look_at_all(const struct catalog *c)
{
    json_t *all = json_array();
    for (size_t i = 0; i < (c->wanted.len ? c->wanted.len : c->names.len); i++) {
        const char *name = c->wanted.len ? c->wanted.at[i] : c->names.at[i];
        json_t *o = look(c, name);
        json_object_set_new(o, "in_force", json_boolean(is_one_of(name, c->in_force)));
        json_object_set_new(o, "configured", json_boolean(is_one_of(name, c->configured)));
        json_array_append_new(all, o);
    }
    return all;
}

/* ---- the answer */

static const char *get(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static void put(const char *text)
{
    struct tug_buf safe = {0};
    tug_str_escape(&safe, text, strlen(text));
    fputs(tug_buf_str(&safe), stdout);
    tug_buf_clear(&safe);
}

static char *joined(const json_t *list)
{
    struct tug_buf b = {0};
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v) tug_buf_addf(&b, "%s%s", i ? ", " : "", json_string_value(v));
    return b.len ? tug_buf_take(&b) : tug_xstrdup("");
}

static char mark_of(const json_t *o)
{
    return json_is_true(json_object_get(o, "in_force"))     ? '*'
           : json_is_true(json_object_get(o, "configured")) ? '+'
                                                            : ' ';
}

static void print_list(const struct catalog *c, const json_t *all)
{
    size_t i, width = 4, wide = 7;
    json_t *o;
    json_array_foreach(all, i, o)
    {
        char *decides = joined(json_object_get(o, "decides"));
        width = strlen(get(o, "name")) > width ? strlen(get(o, "name")) : width;
        wide = strlen(decides) > wide ? strlen(decides) : wide;
        free(decides);
    }
    printf("  %-*s  %-*s  %s\n", (int) width, "NAME", (int) wide, "DECIDES", "SUMMARY");
    json_array_foreach(all, i, o)
    {
        char *decides = joined(json_object_get(o, "decides"));
        const char *error = get(o, "error");
        printf("%c %-*s  %-*s  ", mark_of(o), (int) width, get(o, "name"), (int) wide,
               *error ? "-" : decides);
        put(*error ? error : get(o, "summary"));
        putchar('\n');
        free(decides);
    }
    if (!json_array_size(all)) {
        fputs("no policy in", stdout);
        for (i = 0; i < c->dirs.len; i++)
            printf("%s %s", i ? "," : "", c->dirs.at[i]);
        putchar('\n');
    }
    if (c->in_force)
        printf("\n* in force: %s\n", c->in_force);
    else if (c->configured)
        printf("\n+ configured: %s (no controller answers)\n", c->configured);
}

static void print_range(const json_t *p)
{
    const json_t *min = json_object_get(p, "min"), *max = json_object_get(p, "max");
    const char *unit = strcmp(get(p, "type"), "duration") ? "" : " s";
    if (json_is_number(min))
        printf(", %.15g%s to %.15g%s", json_number_value(min), unit, json_number_value(max), unit);
}

static void print_one(const json_t *o)
{
    size_t i;
    json_t *p;
    char *decides = joined(json_object_get(o, "decides")),
         *needs = joined(json_object_get(o, "needs"));
    const json_t *params = json_object_get(o, "params");
    printf("policy '%s'%s\n  ", get(o, "name"),
           mark_of(o) == '*'   ? ", in force"
           : mark_of(o) == '+' ? ", configured"
                               : "");
    put(get(o, "summary"));
    printf("\n  file     ");
    put(get(o, "path"));
    printf("\n  decides  %s\n", decides);
    if (*needs)
        printf("  needs    %s\n", needs);
    puts(json_array_size(params) ? "  parameters" : "  takes no parameters");
    json_array_foreach(params, i, p)
    {
        printf("    ");
        put(get(p, "name"));
        printf(": %s", get(p, "type"));
        print_range(p);
        printf("; default ");
        put(*get(p, "default") ? get(p, "default") : "empty");
        printf("\n        ");
        put(get(p, "text"));
        putchar('\n');
    }
    free(decides);
    free(needs);
}

/* The exit status: 1 when one that was named cannot be shown. */
static int print(const struct catalog *c, const json_t *all)
{
    size_t i;
    json_t *o;
    int status = 0;
    if (!c->wanted.len) {
        print_list(c, all);
        return 0;
    }
    json_array_foreach(all, i, o)
    {
        if (*get(o, "error")) {
            fputs("tug-sim: ", stderr);
            fprintf(stderr, "%s\n", get(o, "error"));
            status = 1;
            continue;
        }
        if (i)
            putchar('\n');
        print_one(o);
    }
    return status;
}

static int print_json(const struct catalog *c, json_t *all)
{
    json_t *o = json_object(), *dirs = json_array();
    size_t i;
    json_t *p;
    int status = 0;
    for (i = 0; i < c->dirs.len; i++)
        json_array_append_new(dirs, text_json(c->dirs.at[i]));
    json_array_foreach(all, i, p) status |= c->wanted.len && *get(p, "error");
    json_object_set_new(o, "dirs", dirs);
    json_object_set_new(o, "in_force", c->in_force ? text_json(c->in_force) : json_null());
    json_object_set_new(o, "configured", c->configured ? text_json(c->configured) : json_null());
    json_object_set(o, "policies", all);
    json_dumpf(o, stdout, JSON_PRESERVE_ORDER);
    json_decref(o);
    putchar('\n');
    return status;
}

static int parse(struct catalog *c, int argc, char **argv)
{
    enum { DIR_ = 256, CONFIG, IN_FORCE, JSON, HELP };
    static const struct option table[] = {
        {"policy-dir", 1, NULL, DIR_}, {"config", 1, NULL, CONFIG}, {"in-force", 1, NULL, IN_FORCE},
        {"json", 0, NULL, JSON},       {"help", 0, NULL, HELP},     {0}};
    for (int o; (o = getopt_long(argc, argv, "", table, NULL)) != -1;)
        switch (o) {
        case DIR_:
            tug_vec_push(&c->dirs, tug_xstrdup(optarg));
            break;
        case CONFIG:
            c->config = optarg;
            break;
        case IN_FORCE:
            c->in_force = optarg;
            break;
        case JSON:
            c->json = 1;
            break;
        case HELP:
            fputs(tug_catalog_usage, stdout);
            exit(0);
        default:
            fputs("tug-sim: see tug-sim show --help\n", stderr);
            return -EINVAL;
        }
    for (int i = optind; i < argc; i++)
        tug_vec_push(&c->wanted, argv[i]);
    return 0;
}

int tug_catalog_main(int argc, char **argv)
{
    struct catalog c = {0};
    int status = parse(&c, argc, argv) ? 2 : 0;
    if (!status) {
        if (!c.dirs.len)
            tug_dirs_default(&c.dirs, c.config, &c.configured);
        list(&c);
        json_t *all = look_at_all(&c);
        status = c.json ? print_json(&c, all) : print(&c, all);
        json_decref(all);
    }
    for (size_t i = 0; i < c.names.len; i++)
        free(c.names.at[i]);
    tug_vec_clear(&c.names);
    tug_vec_clear(&c.wanted);
    tug_dirs_clear(&c.dirs);
    free(c.configured);
    return status;
}
