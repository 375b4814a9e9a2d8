/* plugload.c - a policy plugin from a file: found, checked, given its parameters
 *
 * The size and the ABI number are read before anything else of the table, as they stand where every
 * ABI has them. Layer: host.
 */
#include "host/plugload.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/duration.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#define NAME_MAX_BYTES 31

struct tug_plugload {
    char *where; /* "policy 'fifo' (/usr/lib/.../fifo.so)" */
    char *path;
    void *handle;
    const struct tug_policy_ops *ops;
    void *self;
    int is_created;
    size_t n_values;
    struct tug_policy_value *values;
    char **texts; /* what the values were read from; STRING values point here */
};

/* ---- finding the file */

static int name_is_proper(const char *name)
{
    size_t n = strlen(name);
    return n >= 1 && n <= NAME_MAX_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

typedef struct tug_vec(char *) names_t;

static void list_policies(const char *dir, names_t *names)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (tug_str_has_suffix(e->d_name, ".so") && strlen(e->d_name) > 3) {
            char *name = tug_xstrdup(e->d_name);
            name[strlen(name) - 3] = '\0';
            tug_vec_push(names, name);
        }
    if (d)
        closedir(d);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static int no_such_file(const char *name, const char *const *dirs, size_t n_dirs,
                        struct tug_err *err)
{
    names_t names = {0};
    struct tug_buf text = {0};
    for (size_t i = 0; i < n_dirs; i++) {
        tug_buf_addf(&text, "%s%s", i ? ", " : "", dirs[i]);
        list_policies(dirs[i], &names);
    }
    if (names.len)
        qsort(names.at, names.len, sizeof *names.at, by_name);
    const char *near = tug_str_nearest(name, (const char *const *) names.at, names.len);
    if (near)
        tug_buf_addf(&text, "; did you mean '%s'?", near);
    for (size_t i = 0; i < names.len && !near; i++)
        tug_buf_addf(&text, "%s%s", i ? ", " : "; there are: ", names.at[i]);
    int rc = tug_fail(err, -ENOENT, "policy '%s': there is no %s.so in %s", name, name,
                      n_dirs ? tug_buf_str(&text) : "any directory, as none is configured");
    for (size_t i = 0; i < names.len; i++)
        free(names.at[i]);
    tug_vec_clear(&names);
    tug_buf_clear(&text);
    return rc;
}

/* The path of the first NAME.so, to be freed; NULL: none. */
static char *find_file(const char *name, const char *const *dirs, size_t n_dirs)
{
    struct stat st;
    for (size_t i = 0; i < n_dirs; i++) {
        char *path = tug_xasprintf("%s%s/%s.so", dirs[i][0] == '/' ? "" : "./", dirs[i], name);
        if (stat(path, &st) == 0)
            return path;
        free(path);
    }
    return NULL;
}

/* ---- its table */

static int check_params(const struct tug_policy_param *params, const char *where,
                        struct tug_err *err)
{
    for (size_t i = 0; params && params[i].name; i++) {
        const struct tug_policy_param *p = &params[i];
        if (!name_is_proper(p->name))
            return tug_fail(err, -ENOEXEC,
                            "%s: its parameter '%s' has a name that no parameter can have", where,
                            p->name);
        if ((unsigned) p->type > TUG_POLICY_STRING)
            return tug_fail(err, -ENOEXEC,
                            "%s: its parameter '%s' is of a type that does not exist", where,
                            p->name);
        if (!p->fallback)
            return tug_fail(err, -ENOEXEC, "%s: its parameter '%s' has no default", where, p->name);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(params[k].name, p->name))
                return tug_fail(err, -ENOEXEC, "%s: its parameter '%s' is in its table twice",
                                where, p->name);
    }
    return 0;
}

int tug_plugload_check_ops(const struct tug_policy_ops *ops, const char *name, const char *where,
                           struct tug_err *err)
{
    if (!ops)
        return tug_fail(err, -ENOEXEC, "%s: is not a policy: tug_policy() gave nothing", where);
    if (!TUG_POLICY_HAS(ops, abi))
        return tug_fail(err, -ENOEXEC, "%s: is not a policy: its table has only %zu bytes", where,
                        ops->size);
    if (ops->abi != TUG_POLICY_ABI)
        return tug_fail(
            err, -ENOTSUP,
            "%s: was made for policy ABI %u, this program takes ABI %u; build it again with "
            "this version's <tugline/policy.h>",
            where, ops->abi, TUG_POLICY_ABI);
    if (!TUG_POLICY_HAS(ops, pass))
        return tug_fail(err, -ENOEXEC, "%s: is not a policy: its table has only %zu bytes", where,
                        ops->size);
    if (!ops->name || strcmp(ops->name, name) != 0)
        return tug_fail(err, -ENOEXEC,
                        "%s: calls itself '%s'; the file must be named after the policy", where,
                        ops->name ? ops->name : "");
    if (!ops->create || !ops->destroy)
        return tug_fail(err, -ENOEXEC, "%s: has no %s(); it may be empty, and must be there", where,
                        !ops->create ? "create" : "destroy");
    if (!ops->pass && !(TUG_POLICY_HAS(ops, key) && ops->key) &&
        !(TUG_POLICY_HAS(ops, place) && ops->place) &&
        !(TUG_POLICY_HAS(ops, preempt) && ops->preempt))
        return tug_fail(err, -ENOEXEC,
                        "%s: decides nothing: it has none of key(), pass(), place() and preempt()",
                        where);
    if (TUG_POLICY_HAS(ops, rekey) && ops->rekey && !ops->key)
        return tug_fail(err, -ENOEXEC, "%s: has rekey(), but no key() to ask again", where);
    return check_params(ops->params, where, err);
}

static int load_file(struct tug_plugload *p, const char *name, struct tug_err *err)
{
    struct stat st;
    if (stat(p->path, &st) != 0)
        return tug_fail(err, -errno, "%s: %s", p->where, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return tug_fail(err, -ENOEXEC, "%s: is not a file", p->where);
    p->handle = dlopen(p->path, RTLD_NOW | RTLD_LOCAL);
    if (!p->handle)
        return tug_fail(err, -ENOEXEC, "%s: cannot be loaded: %s", p->where, dlerror());
    const struct tug_policy_ops *(*get)(void) = NULL;
    void *symbol = dlsym(p->handle, "tug_policy");
    if (!symbol)
        return tug_fail(err, -ENOEXEC, "%s: is not a policy: it does not export tug_policy()",
                        p->where);
    memcpy(&get, &symbol,
           sizeof get); /* ISO C has no conversion between the two kinds of pointer */
    const struct tug_policy_ops *ops = get();
    int rc = tug_plugload_check_ops(ops, name, p->where, err);
    if (!rc)
        p->ops = ops;
    return rc;
}

/* ---- parameters */

static int read_bool(const char *text, int64_t *out)
{
    static const char *const words[] = {"no", "yes", "off", "on", "false", "true", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(text, words[i])) {
            *out = i & 1;
            return 0;
        }
    return -EINVAL;
}

static int read_number(const char *text, int whole, struct tug_policy_value *v)
{
    char *end;
    errno = 0;
    v->d = strtod(text, &end);
    if (end == text || *end || errno || !isfinite(v->d) ||
        strspn(text, "+-.0123456789eE") != strlen(text))
        return -EINVAL;
    if (!whole)
        return 0;
    v->i = strtoll(text, &end, 10);
    v->d = (double) v->i;
    return end == text || *end || errno ? -EINVAL : 0;
}

static int check_range(const struct tug_policy_param *p, double value, const char *text,
                       const char *where, struct tug_err *err)
{
    if (p->type == TUG_POLICY_BOOL || p->type == TUG_POLICY_STRING || p->min > p->max)
        return 0;
    if (value >= p->min && value <= p->max)
        return 0;
    const char *unit = p->type == TUG_POLICY_DURATION_S ? " s" : "";
    return tug_fail(err, -EINVAL,
                    "%s: parameter '%s': %s is out of range; it goes from %.15g%s to %.15g%s",
                    where, p->name, text, p->min, unit, p->max, unit);
}

static int read_value(const struct tug_policy_param *p, const char *text, const char *where,
                      struct tug_policy_value *v, struct tug_err *err)
{
    const char *want = NULL;
    struct tug_err why = {0};
    v->s = text;
    switch (p->type) {
    case TUG_POLICY_BOOL:
        want = read_bool(text, &v->i) ? "is neither yes nor no" : NULL;
        break;
    case TUG_POLICY_INT:
        want = read_number(text, 1, v) ? "is not a whole number" : NULL;
        break;
    case TUG_POLICY_REAL:
        want = read_number(text, 0, v) ? "is not a number" : NULL;
        break;
    case TUG_POLICY_DURATION_S:
        if (tug_duration_parse(text, 0, &v->i, &why))
            return tug_fail(err, -EINVAL, "%s: parameter '%s': %s", where, p->name, why.msg);
        v->d = (double) v->i;
        break;
    case TUG_POLICY_STRING:
        break;
    }
    if (want)
        return tug_fail(err, -EINVAL, "%s: parameter '%s': '%s' %s", where, p->name, text, want);
    return check_range(p, v->d, text, where, err);
}

static int no_such_param(const struct tug_plugload *p, const char *name, struct tug_err *err)
{
    const char *names[64] = {NULL};
    size_t n = 0;
    struct tug_buf all = {0};
    for (; p->ops->params && p->ops->params[n].name && n < 64; n++) {
        names[n] = p->ops->params[n].name;
        tug_buf_addf(&all, "%s%s", n ? ", " : "", names[n]);
    }
    const char *near = tug_str_nearest(name, names, n);
    int rc;
    if (near)
        rc = tug_fail(err, -EINVAL, "%s: there is no parameter '%s'; did you mean '%s'?", p->where,
                      name, near);
    else if (n)
        rc = tug_fail(err, -EINVAL, "%s: there is no parameter '%s'; there are: %s", p->where, name,
                      tug_buf_str(&all));
    else
        rc = tug_fail(err, -EINVAL, "%s: there is no parameter '%s', as it takes none", p->where,
                      name);
    tug_buf_clear(&all);
    return rc;
}

static int take_given(struct tug_plugload *p, const struct tug_plugload_param *given,
                      struct tug_err *err)
{
    for (size_t i = 0; i < p->n_values; i++) {
        if (strcmp(p->ops->params[i].name, given->name) != 0)
            continue;
        if (p->texts[i])
            return tug_fail(err, -EINVAL, "%s: parameter '%s' is given twice", p->where,
                            given->name);
        p->texts[i] = tug_xstrdup(given->value ? given->value : "");
        return 0;
    }
    return no_such_param(p, given->name, err);
}

static size_t count_params(const struct tug_policy_ops *ops)
{
    size_t n = 0;
    while (ops->params && ops->params[n].name)
        n++;
    return n;
}

static int take_params(struct tug_plugload *p, const struct tug_plugload_param *params, size_t n,
                       struct tug_err *err)
{
    p->n_values = count_params(p->ops);
    p->values = tug_xcalloc(p->n_values + 1, sizeof *p->values);
    p->texts = tug_xcalloc(p->n_values + 1, sizeof *p->texts);
    for (size_t i = 0; i < n; i++) {
        int rc = take_given(p, &params[i], err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < p->n_values; i++) {
        if (!p->texts[i])
            p->texts[i] = tug_xstrdup(p->ops->params[i].fallback);
        int rc = read_value(&p->ops->params[i], p->texts[i], p->where, &p->values[i], err);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- all of it */

int tug_plugload_create(struct tug_plugload *p, const struct tug_plugload_param *params,
                        size_t n_params, struct tug_err *err)
{
    char why[256] = "";
    tug_assert(!p->is_created && !p->texts);
    int rc = take_params(p, params, n_params, err);
    if (rc)
        return rc;
    rc = p->ops->create(&p->self, p->values, why, sizeof why);
    if (rc) {
        why[sizeof why - 1] = '\0';
        return tug_fail(err, rc < 0 ? rc : -EINVAL, "%s: could not be created: %s", p->where,
                        *why ? why : strerror(rc < 0 ? -rc : EINVAL));
    }
    p->is_created = 1;
    return 0;
}

int tug_plugload_load(const char *name, const char *const *dirs, size_t n_dirs,
                      struct tug_plugload **out, struct tug_err *err)
{
    if (!name_is_proper(name))
        return tug_fail(
            err, -EINVAL,
            "policy '%s': no policy can have that name; it has 1 to %d of a-z, 0-9, '-' and '_'",
            name, NAME_MAX_BYTES);
    char *path = find_file(name, dirs, n_dirs);
    if (!path)
        return no_such_file(name, dirs, n_dirs, err);
    struct tug_plugload *p = tug_new(struct tug_plugload);
    p->path = path;
    p->where = tug_xasprintf("policy '%s' (%s)", name, path);
    int rc = load_file(p, name, err);
    if (rc) {
        tug_plugload_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

int tug_plugload_open(const char *name, const char *const *dirs, size_t n_dirs,
                      const struct tug_plugload_param *params, size_t n_params,
                      struct tug_plugload **out, struct tug_err *err)
{
    struct tug_plugload *p = NULL;
    int rc = tug_plugload_load(name, dirs, n_dirs, &p, err);
    if (!rc)
        rc = tug_plugload_create(p, params, n_params, err);
    if (rc) {
        tug_plugload_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void tug_plugload_close(struct tug_plugload *p)
{
    if (!p)
        return;
    if (p->is_created)
        p->ops->destroy(p->self);
    for (size_t i = 0; p->texts && i < p->n_values; i++)
        free(p->texts[i]);
    free(p->texts);
    free(p->values);
    if (p->handle)
        dlclose(p->handle);
    free(p->path);
    free(p->where);
    free(p);
}

const struct tug_policy_ops *tug_plugload_ops(const struct tug_plugload *p)
{
    return p->ops;
}

void *tug_plugload_self(const struct tug_plugload *p)
{
    return p->self;
}

const char *tug_plugload_path(const struct tug_plugload *p)
{
    return p->path;
}

const char *tug_plugload_where(const struct tug_plugload *p)
{
    return p->where;
}

const char *tug_plugload_value(const struct tug_plugload *p, size_t i)
{
    return i < p->n_values ? p->texts[i] : "";
}
