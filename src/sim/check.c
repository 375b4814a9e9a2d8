/* check.c - is this policy fit for a cluster? `tug-sim check`, `tug policy check`
 *
 * First the file is read without running anything of it, then a child process runs it (trial.c) and
 * tells its findings through a file. Layer: sim.
 */
#include "sim/check.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/version.h"
#include "sim/catalog.h"
#include "sim/symbols.h"
#include "sim/trial.h"

const char tug_check_usage[] =
    "usage: tug-sim check FILE.so|NAME [options]\n"
    "  --param KEY=VALUE     a parameter of the policy; may be repeated\n"
    "  --policy-dir DIR      where to look for NAME, instead of policy_dirs; may be repeated\n"
    "  --pass-limit MS       a pass may take so long (1000)\n"
    "  --hang S              a call that has not come back for so long hangs (10)\n"
    "  --timeout S           all of it may take so long (120)\n"
    "  --json                print one JSON object\n";

struct finding {
    enum tug_trial_mark mark;
    char *check, *text;
};

struct check {
    const char *what; /* FILE or NAME */
    char *name, *path;
    struct tug_dirs dirs;
    struct tug_vec(struct tug_plugload_param) params;
    struct tug_vec(struct finding) findings;
    double pass_limit_s, hang_s, timeout_s;
    int json;
};

static const char *const marks[] = {
    [TUG_TRIAL_PASS] = "PASS", [TUG_TRIAL_WARN] = "WARN", [TUG_TRIAL_FAIL] = "FAIL"};

static void say(void *check, enum tug_trial_mark mark, const char *name, const char *text)
{
    struct check *c = check;
    struct finding f = {mark, tug_xstrdup(name), tug_xstrdup(text)};
    tug_vec_push(&c->findings, f);
}

static void sayf(struct check *c, enum tug_trial_mark mark, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void sayf(struct check *c, enum tug_trial_mark mark, const char *name, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    say(c, mark, name, text);
}

static size_t count(const struct check *c, enum tug_trial_mark mark)
{
    size_t n = 0;
    for (size_t i = 0; i < c->findings.len; i++)
        n += c->findings.at[i].mark == mark;
    return n;
}

#define EXIT_UNHEARD 1 /* of the process with the policy: what it found could not be told */

/* ---- the file */

/* What a policy has no business with: same view, same proposals. */
static const struct {
    const char *names, *why;
} forbidden[] = {
    {"clock_gettime gettimeofday time clock times ftime",
     "reads a clock; the time is view->now_ms"},
    {"rand random srand srandom drand48 lrand48 mrand48 getrandom arc4random",
     "makes random numbers; take host->random()"},
    {"sleep usleep nanosleep clock_nanosleep poll select epoll_wait pause",
     "waits; nothing else is scheduled meanwhile"},
    {"fopen fopen64 open open64 openat creat opendir stat stat64 read write fread fwrite mmap "
     "close close_range closefrom dup2 dup3 fcntl fcntl64 ioctl "
     "unlink rename",
     "uses files; it may hang with them"},
    {"socket connect bind listen accept send recv getaddrinfo gethostbyname", "uses the network"},
    {"fork vfork system popen execv execve execvp posix_spawn clone", "starts processes"},
    {"pthread_create thrd_create", "starts threads"},
    {"exit _exit _Exit quick_exit kill raise", "may end the controller; return a negative errno"},
    {"signal sigaction setitimer alarm longjmp siglongjmp", "takes hold of the whole process"},
    {"printf puts putchar vprintf __printf_chk fprintf __fprintf_chk perror syslog",
     "prints; take host->log()"},
    {"getenv secure_getenv setenv", "depends on the environment; take a parameter"},
    {"dlopen dlsym", "loads other objects"},
};

static int is_word(const char *words, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = words; (p = strstr(p, name)); p += n)
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
            return 1;
    return 0;
}

/* libc and libm; names only are asked for, nothing of the policy is loaded. */
static int is_libc(const char *name)
{
    static const char *const libs[] = {"libc.so.6", "libm.so.6"};
    for (size_t i = 0; i < 2; i++) {
        void *lib = dlopen(libs[i], RTLD_LAZY | RTLD_LOCAL);
        int found = lib && dlsym(lib, name);
        if (lib)
            dlclose(lib);
        if (found || !lib)
            return 1;
    }
    return 0;
}

static void check_needed(struct check *c, const struct tug_symbols *s)
{
    struct tug_buf strange = {0};
    size_t bad = 0;
    for (size_t i = 0; i < s->needed.len; i++) {
        const char *name = s->needed.at[i];
        if (!is_libc(name)) {
            tug_buf_addf(&strange, "%s%s", strange.len ? ", " : "", name);
            bad++;
        }
        for (size_t k = 0; k < sizeof forbidden / sizeof *forbidden; k++)
            if (is_word(forbidden[k].names, name)) {
                sayf(c, TUG_TRIAL_WARN, "calls", "%s(): %s", name, forbidden[k].why);
                bad++;
            }
    }
    if (strange.len)
        sayf(c, TUG_TRIAL_WARN, "libraries",
             "needs what is neither in libc nor in libm: %.800s; a controller's host may not have "
             "it",
             tug_buf_str(&strange));
    if (!bad)
        say(c, TUG_TRIAL_PASS, "calls",
            "needs libc and libm only, and nothing of it that a policy must not");
    tug_buf_clear(&strange);
}

static void check_exported(struct check *c, const struct tug_symbols *s)
{
    struct tug_buf others = {0};
    int has = 0;
    for (size_t i = 0; i < s->exported.len; i++) {
        if (!strcmp(s->exported.at[i], "tug_policy")) {
            has = 1;
            continue;
        }
        tug_buf_addf(&others, "%s%s", others.len ? ", " : "", s->exported.at[i]);
    }
    if (!has)
        say(c, TUG_TRIAL_FAIL, "symbols",
            "does not export tug_policy(); in C++, declare it with extern \"C\" by including "
            "<tugline/policy.h>");
    else if (others.len)
        sayf(c, TUG_TRIAL_WARN, "symbols",
             "exports more than tug_policy(), which may clash with others: %.800s; build with "
             "-fvisibility=hidden",
             tug_buf_str(&others));
    else
        say(c, TUG_TRIAL_PASS, "symbols", "exports tug_policy() and nothing else");
    tug_buf_clear(&others);
}

/* 0: worth loading. */
static int check_file(struct check *c)
{
    struct tug_symbols s = {0};
    struct tug_err err = {0};
    int rc = tug_symbols_read(c->path, &s, &err);
    if (rc) {
        say(c, TUG_TRIAL_FAIL, "file", err.msg);
    } else {
        check_exported(c, &s);
        check_needed(c, &s);
        rc = count(c, TUG_TRIAL_FAIL) ? -ENOEXEC : 0;
    }
    tug_symbols_clear(&s);
    return rc;
}

/* ---- the child */

struct told {
    FILE *to;
};

/* A line each: text has no newline, as tug_str_escape() sees to it. */
static void tell(void *told, enum tug_trial_mark mark, const char *check, const char *text)
{
    FILE *to = ((struct told *) told)->to;
    struct tug_buf safe = {0};
    tug_str_escape(&safe, text, strlen(text));
    fprintf(to, "%d %s %s\n", (int) mark, check, tug_buf_str(&safe));
    fflush(to);
    tug_buf_clear(&safe);
}

static void load(struct check *c, struct tug_trial_conf *conf, struct told *told)
{
    struct tug_plugload *p = NULL;
    struct tug_err err = {0};
    conf->view->hook = "tug_policy"; /* and what the object runs when it is loaded */
    int rc = tug_plugload_open(c->name, (const char *const *) c->dirs.at, c->dirs.len, c->params.at,
                               c->params.len, &p, &err);
    conf->view->hook = "";
    conf->view->moves++;
    if (rc) {
        tell(told, TUG_TRIAL_FAIL, "table", err.msg);
        conf->view->done = 1;
        return;
    }
    const struct tug_policy_ops *ops = tug_plugload_ops(p);
    const char *summary = TUG_POLICY_HAS(ops, summary) && ops->summary ? ops->summary : "";
    char text[512];
    snprintf(text, sizeof text, "loads, and its table and parameters are fine: %.300s", summary);
    tell(told, *summary ? TUG_TRIAL_PASS : TUG_TRIAL_WARN, "table",
         *summary ? text
                  : "loads, but it has no summary; tug policy show has nothing to say of it");
    conf->view->hook = "destroy";
    tug_plugload_close(p);
    conf->view->hook = "";
    tug_trial_run(conf);
}

static void child(struct check *c, struct tug_trial_view *view, FILE *to)
{
    const struct rlimit no_core = {0, 0};
    struct told told = {to};
    struct tug_trial_conf conf = {.name = c->name,
                                  .dirs = (const char *const *) c->dirs.at,
                                  .n_dirs = c->dirs.len,
                                  .params = c->params.at,
                                  .n_params = c->params.len,
                                  .pass_limit_s = c->pass_limit_s,
                                  .view = view,
                                  .say = tell,
                                  .say_ctx = &told};
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) { /* what it prints is not our answer */
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    setrlimit(RLIMIT_CORE, &no_core);
    load(c, &conf, &told);
    _exit(fflush(to) || ferror(to) ? EXIT_UNHEARD : 0);
}

/* ---- the parent */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void where(const struct tug_trial_view *v, char *out, size_t size_bytes)
{
    const char *hook = v->hook, *workload = v->workload;
    if (*hook && *workload)
        snprintf(out, size_bytes, "in %s(), in workload '%s', call %llu of a hook", hook, workload,
                 (unsigned long long) v->calls);
    else if (*hook)
        snprintf(out, size_bytes, "in %s(), when it was loaded", hook);
    else
        snprintf(out, size_bytes,
                 "after its hooks had returned, in workload '%s'; it may have "
                 "overwritten memory that is not its own",
                 workload);
}

/* Waits; the status of waitpid(). Ends the child when it hangs or is late, *why says so then. */
static int watch(const struct check *c, pid_t pid, const struct tug_trial_view *v, char *why,
                 size_t why_size)
{
    double began_s = now_s(), moved_s = began_s;
    uint64_t moves = v->moves;
    char place[256];
    for (int status;; poll(NULL, 0, 5)) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return status;
        double t = now_s();
        if (v->moves != moves) {
            moves = v->moves;
            moved_s = t;
        }
        where(v, place, sizeof place);
        if (t - moved_s > c->hang_s)
            snprintf(why, why_size, "hangs: nothing has come back for %.0f s, %s", c->hang_s,
                     place);
        else if (t - began_s > c->timeout_s)
            snprintf(why, why_size,
                     "is too slow: the workloads were not over after %.0f s, of which it took %.1f "
                     "s for %llu "
                     "passes",
                     c->timeout_s, v->hook_s, (unsigned long long) v->passes);
        if (*why) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return status;
        }
    }
}

static void take_findings(struct check *c, FILE *from)
{
    char *line = NULL;
    size_t cap = 0;
    rewind(from);
    while (getline(&line, &cap, from) > 0) {
        line[strcspn(line, "\n")] = '\0';
        char *check = strchr(line, ' '), *text = check ? strchr(check + 1, ' ') : NULL;
        int mark = *line - '0';
        if (!text || mark < TUG_TRIAL_PASS || mark > TUG_TRIAL_FAIL)
            continue;
        *text = '\0';
        say(c, (enum tug_trial_mark) mark, check + 1, text + 1);
    }
    free(line);
}

static int try_it(struct check *c, struct tug_err *err)
{
    int rc = 0;
    char why[512] = "", place[256];
    FILE *told = tmpfile();
    struct tug_trial_view *v =
        mmap(NULL, sizeof *v, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!told || v == MAP_FAILED) {
        rc = tug_fail(err, -errno, "no place for the findings: %s", strerror(errno));
        goto out;
    }
    v->hook = v->workload = "";
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        rc = tug_fail(err, -errno, "a process cannot be started: %s", strerror(errno));
        goto out;
    }
    if (pid == 0)
        child(c, v, told);
    int status = watch(c, pid, v, why, sizeof why);
    take_findings(c, told);
    where(v, place, sizeof place);
    if (*why)
        say(c, TUG_TRIAL_FAIL, "process", why);
    else if (WIFSIGNALED(status))
        sayf(c, TUG_TRIAL_FAIL, "process", "crashed %s: %s", place, strsignal(WTERMSIG(status)));
    else if (!v->done)
        sayf(c, TUG_TRIAL_FAIL, "process", "ended the process with exit status %d, %s",
             WEXITSTATUS(status), place);
    else if (WEXITSTATUS(status) == EXIT_UNHEARD)
        say(c, TUG_TRIAL_FAIL, "process",
            "closed files that are not its own; what was found after that is lost");
    else
        say(c, TUG_TRIAL_PASS, "process", "did not crash, hang or exit");
out:
    if (told)
        fclose(told);
    if (v != MAP_FAILED)
        munmap(v, sizeof *v);
    return rc;
}

/* ---- the answer */

static void print(const struct check *c)
{
    size_t warned = count(c, TUG_TRIAL_WARN), failed = count(c, TUG_TRIAL_FAIL);
    struct tug_buf safe = {0};
    printf("policy '%s' (%s)\n", c->name, c->path);
    for (size_t i = 0; i < c->findings.len; i++) {
        const struct finding *f = &c->findings.at[i];
        tug_buf_reset(&safe);
        tug_str_escape(&safe, f->text, strlen(f->text));
        printf("%s  %-12s  %s\n", marks[f->mark], f->check, tug_buf_str(&safe));
    }
    tug_buf_clear(&safe);
    if (failed)
        printf("%zu failed: not fit for a cluster\n", failed);
    else if (warned)
        printf("nothing failed, %zu warning%s\n", warned, warned == 1 ? "" : "s");
    else
        puts("all passed");
}

static json_t *text_json(const char *text)
{
    json_t *t = json_string(text);
    return t ? t : json_string("(not UTF-8)");
}

static void print_json(const struct check *c)
{
    json_t *o = json_object(), *list = json_array();
    for (size_t i = 0; i < c->findings.len; i++) {
        const struct finding *f = &c->findings.at[i];
        json_array_append_new(list, json_pack("{s:s,s:s,s:o}", "check", f->check, "result",
                                              marks[f->mark], "text", text_json(f->text)));
    }
    json_object_set_new(o, "policy", text_json(c->name));
    json_object_set_new(o, "path", text_json(c->path));
    json_object_set_new(o, "ok", json_boolean(!count(c, TUG_TRIAL_FAIL)));
    json_object_set_new(o, "warnings", json_integer((json_int_t) count(c, TUG_TRIAL_WARN)));
    json_object_set_new(o, "failures", json_integer((json_int_t) count(c, TUG_TRIAL_FAIL)));
    json_object_set_new(o, "checks", list);
    json_dumpf(o, stdout, JSON_PRESERVE_ORDER);
    json_decref(o);
    putchar('\n');
}

/* ---- options */

static int seconds(const char *option, const char *text, double scale, double *out,
                   struct tug_err *err)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(v > 0) || v > 1e6)
        return tug_fail(err, -EINVAL, "%s: '%s' is not a number above 0", option, text);
    *out = v * scale;
    return 0;
}

static int param(struct check *c, char *text, struct tug_err *err)
{
    char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return tug_fail(err, -EINVAL, "--param: '%s' is not KEY=VALUE", text);
    *equals = '\0';
    struct tug_plugload_param p = {text, equals + 1};
    tug_vec_push(&c->params, p);
    return 0;
}

static int parse(struct check *c, int argc, char **argv, struct tug_err *err)
{
    enum { PARAM = 256, DIR, LIMIT, HANG, TIMEOUT, JSON, HELP };
    static const struct option table[] = {
        {"param", 1, NULL, PARAM},      {"policy-dir", 1, NULL, DIR},
        {"pass-limit", 1, NULL, LIMIT}, {"hang", 1, NULL, HANG},
        {"timeout", 1, NULL, TIMEOUT},  {"json", 0, NULL, JSON},
        {"help", 0, NULL, HELP},        {0}};
    int rc = 0;
    for (int o; !rc && (o = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (o) {
        case PARAM:
            rc = param(c, optarg, err);
            break;
        case DIR:
            tug_vec_push(&c->dirs, tug_xstrdup(optarg));
            break;
        case LIMIT:
            rc = seconds("--pass-limit", optarg, 1e-3, &c->pass_limit_s, err);
            break;
        case HANG:
            rc = seconds("--hang", optarg, 1, &c->hang_s, err);
            break;
        case TIMEOUT:
            rc = seconds("--timeout", optarg, 1, &c->timeout_s, err);
            break;
        case JSON:
            c->json = 1;
            break;
        case HELP:
            fputs(tug_check_usage, stdout);
            exit(0);
        default:
            return tug_fail(err, -EINVAL, "see tug-sim check --help");
        }
    }
    if (!rc && optind + 1 != argc)
        return tug_fail(err, -EINVAL,
                        "one policy is wanted: a FILE.so or a NAME; see tug-sim check --help");
    if (!rc)
        c->what = argv[optind];
    return rc;
}

/* "DIR/NAME.so" or NAME in one of the directories. */
static int find(struct check *c, struct tug_err *err)
{
    const char *slash = strrchr(c->what, '/');
    if (slash || tug_str_has_suffix(c->what, ".so")) {
        const char *base = slash ? slash + 1 : c->what;
        size_t n = strlen(base);
        if (!tug_str_has_suffix(base, ".so"))
            return tug_fail(err, -EINVAL, "'%s' is no policy's file; its name ends in .so",
                            c->what);
        c->name = tug_xasprintf("%.*s", (int) n - 3, base);
        c->path = tug_xstrdup(c->what);
        char *dir =
            slash ? tug_xasprintf("%.*s", (int) (slash - c->what), c->what) : tug_xstrdup(".");
        tug_dirs_clear(&c->dirs);
        if (slash == c->what) {
            free(dir);
            dir = tug_xstrdup("/");
        }
        tug_vec_push(&c->dirs, dir);
        return access(c->path, F_OK) ? tug_fail(err, -errno, "%s: %s", c->path, strerror(errno))
                                     : 0;
    }
    c->name = tug_xstrdup(c->what);
    if (!c->dirs.len)
        tug_dirs_default(&c->dirs, NULL, NULL);
    for (size_t i = 0; i < c->dirs.len && !c->path; i++) {
        c->path = tug_xasprintf("%s/%s.so", c->dirs.at[i], c->name);
        if (access(c->path, F_OK) == 0)
            return 0;
        free(c->path);
        c->path = NULL;
    }
    struct tug_plugload *p;
    int rc =
        tug_plugload_open(c->name, (const char *const *) c->dirs.at, c->dirs.len, NULL, 0, &p, err);
    tug_assert(rc); /* it says where it was looked for, and what there is */
    return rc;
}

int tug_check_main(int argc, char **argv)
{
    struct check c = {.pass_limit_s = 1, .hang_s = 10, .timeout_s = 120};
    struct tug_err err = {0};
    int status = parse(&c, argc, argv, &err) || find(&c, &err) ? 2 : 0;
    if (!status && check_file(&c) == 0 && try_it(&c, &err))
        status = 1;
    if (err.code && c.json) {
        json_t *o =
            json_pack("{s:{s:i,s:o}}", "error", "code", -err.code, "text", text_json(err.msg));
        json_dumpf(o, stdout, 0);
        json_decref(o);
        putchar('\n');
    } else if (err.code) {
        fprintf(stderr, "tug-sim: %s\n", err.msg);
    } else {
        if (c.json)
            print_json(&c);
        else
            print(&c);
        status = count(&c, TUG_TRIAL_FAIL) || fflush(stdout) || ferror(stdout) ? 1 : 0;
    }
    for (size_t i = 0; i < c.findings.len; i++) {
        free(c.findings.at[i].check);
        free(c.findings.at[i].text);
    }
    tug_vec_clear(&c.findings);
    tug_dirs_clear(&c.dirs);
    tug_vec_clear(&c.params);
    free(c.name);
    free(c.path);
    return status;
}
