/* plugset.c - the policies that a configuration combines
 *
 * All files are loaded before anything is created, so that a parameter can be given to whom it
 * belongs. Layer: host.
 */
#include "host/plugset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

struct tug_plugset {
    char *names;
    struct tug_plugload *at[TUG_POLICIES_MAX];
    struct tug_policy_set policies;
};

/* ---- what they decide */

static int has_key(const struct tug_policy_ops *o)
{
    return TUG_POLICY_HAS(o, key) && o->key;
}
static int has_pass(const struct tug_policy_ops *o)
{
    return TUG_POLICY_HAS(o, pass) && o->pass;
}
static int has_place(const struct tug_policy_ops *o)
{
    return TUG_POLICY_HAS(o, place) && o->place;
}
static int has_preempt(const struct tug_policy_ops *o)
{
    return TUG_POLICY_HAS(o, preempt) && o->preempt;
}

static const struct {
    int (*fills)(const struct tug_policy_ops *o);
    const char *hook, *decides, *otherwise;
} axes[] = {
    {has_key, "key", "in which order jobs wait",
     "in which order jobs wait: by priority, then submit time"},
    {has_pass, "pass", "which jobs start",
     "which jobs start: strictly in order, the first that does not fit holds up the rest"},
    {has_place, "place", "where jobs go", "where jobs go: as scheduler.placement says"},
    {has_preempt, "preempt", "who gives way", "who gives way: nobody"},
};
#define AXES (sizeof axes / sizeof *axes)

static const struct tug_policy_ops *ops_at(const struct tug_plugset *s, size_t i)
{
    return s->policies.at[i].ops;
}

static int check_axes(const struct tug_plugset *s, struct tug_err *err)
{
    for (size_t a = 0; a < AXES; a++) {
        const struct tug_policy_ops *first = NULL;
        for (size_t i = 0; i < s->policies.n; i++) {
            if (!axes[a].fills(ops_at(s, i)))
                continue;
            if (first)
                return tug_fail(err, -EINVAL,
                                "policies '%s' and '%s' both decide %s (%s()); name only one of "
                                "them",
                                first->name, ops_at(s, i)->name, axes[a].decides, axes[a].hook);
            first = ops_at(s, i);
        }
    }
    return 0;
}

const char *tug_plugset_unfilled(const struct tug_plugset *s, size_t nth)
{
    for (size_t a = 0; a < AXES; a++) {
        int filled = 0;
        for (size_t i = 0; i < s->policies.n; i++)
            filled |= axes[a].fills(ops_at(s, i));
        if (!filled && nth-- == 0)
            return axes[a].otherwise;
    }
    return NULL;
}

static const struct {
    uint32_t bit;
    const char *says;
} needs[] = {
    {TUG_POLICY_NEEDS_ORDER_PREEMPTION,
     "makes running jobs give way to keep its order; set scheduler.preemption: order, or use "
     "another policy"},
    {TUG_POLICY_NEEDS_EXPECTED,
     "has to know how long every job is expected to run; give every queue a default_time or a "
     "max_time, or use another policy"},
};

/* What every host has, as the core brings it along. */
#define ALWAYS (TUG_POLICY_NEEDS_SHARES | TUG_POLICY_NEEDS_DEMANDS)

static int check_needs(const struct tug_plugload *p, uint32_t has, struct tug_err *err)
{
    const struct tug_policy_ops *ops = tug_plugload_ops(p);
    uint32_t missing = TUG_POLICY_HAS(ops, needs) ? ops->needs & ~(has | ALWAYS) : 0;
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (missing & needs[i].bit)
            return tug_fail(err, -ENOTSUP, "%s: %s", tug_plugload_where(p), needs[i].says);
    return missing ? tug_fail(err, -ENOTSUP,
                              "%s: needs something that this version does not have (0x%x); use a "
                              "newer one, or another policy",
                              tug_plugload_where(p), missing)
                   : 0;
}

/* ---- files */

static int load_one(struct tug_plugset *s, const struct tug_plugset_conf *conf, const char *name,
                    struct tug_err *err)
{
    for (size_t i = 0; i < s->policies.n; i++)
        if (!strcmp(ops_at(s, i)->name, name))
            return tug_fail(err, -EINVAL, "policy '%s' is named twice in '%s'", name, conf->names);
    if (s->policies.n == TUG_POLICIES_MAX)
        return tug_fail(err, -EINVAL, "'%s' names more than %d policies", conf->names,
                        TUG_POLICIES_MAX);
    struct tug_plugload **p = &s->at[s->policies.n];
    int rc = tug_plugload_load(name, conf->dirs, conf->n_dirs, p, err);
    if (rc)
        return rc;
    s->policies.at[s->policies.n++].ops = tug_plugload_ops(*p);
    return check_needs(*p, conf->has, err);
}

static int load_all(struct tug_plugset *s, const struct tug_plugset_conf *conf, struct tug_err *err)
{
    int rc = 0;
    for (char *name = s->names; name && !rc;) {
        char *plus = strchr(name, '+');
        if (plus)
            *plus = '\0';
        rc = load_one(s, conf, name, err);
        name = plus ? plus + 1 : NULL;
    }
    return rc;
}

/* ---- parameters */

typedef struct tug_vec(struct tug_plugload_param) params_t;

static int has_param(const struct tug_policy_ops *ops, const char *name)
{
    for (size_t i = 0; ops->params && ops->params[i].name; i++)
        if (!strcmp(ops->params[i].name, name))
            return 1;
    return 0;
}

/* "policy_params: there is no parameter 'easy.depht'; did you mean 'easy.depth'?" */
static int no_such_param(const struct tug_plugset *s, const char *given, const char *names,
                         struct tug_err *err)
{
    struct tug_vec(char *) all = {0};
    struct tug_buf text = {0};
    for (size_t i = 0; i < s->policies.n; i++)
        for (size_t k = 0; ops_at(s, i)->params && ops_at(s, i)->params[k].name; k++) {
            const char *param = ops_at(s, i)->params[k].name;
            tug_vec_push(&all, strchr(given, '.')
                                   ? tug_xasprintf("%s.%s", ops_at(s, i)->name, param)
                                   : tug_xstrdup(param));
            tug_buf_addf(&text, "%s%s.%s", all.len > 1 ? ", " : "; there are: ", ops_at(s, i)->name,
                         param);
        }
    const char *near = tug_str_nearest(given, (const char *const *) all.at, all.len);
    if (near) {
        tug_buf_reset(&text);
        tug_buf_addf(&text, "; did you mean '%s'?", near);
    }
    int rc = tug_fail(err, -EINVAL, "policy '%s': there is no parameter '%s'%s", names, given,
                      all.len ? tug_buf_str(&text) : ", as it takes none");
    for (size_t i = 0; i < all.len; i++)
        free(all.at[i]);
    tug_vec_clear(&all);
    tug_buf_clear(&text);
    return rc;
}

/* Whose is it? *bare: its name there. */
static int find_owner(const struct tug_plugset *s, const struct tug_plugset_conf *conf,
                      const char *given, size_t *owner, const char **bare, struct tug_err *err)
{
    const char *dot = strchr(given, '.');
    size_t found = 0;
    *bare = dot ? dot + 1 : given;
    for (size_t i = 0; i < s->policies.n; i++) {
        const char *name = ops_at(s, i)->name;
        if (dot &&
            (strlen(name) != (size_t) (dot - given) || strncmp(name, given, strlen(name)) != 0))
            continue;
        if (!has_param(ops_at(s, i), *bare))
            continue;
        if (found++)
            return tug_fail(err, -EINVAL, "parameter '%s' may be '%s.%s' or '%s.%s'; say which",
                            given, ops_at(s, *owner)->name, given, name, given);
        *owner = i;
    }
    return found ? 0 : no_such_param(s, given, conf->names, err);
}

static int create_all(struct tug_plugset *s, const struct tug_plugset_conf *conf,
                      struct tug_err *err)
{
    params_t of[TUG_POLICIES_MAX] = {0};
    int rc = 0;
    for (size_t i = 0; i < conf->n_params && !rc; i++) {
        struct tug_plugload_param p = conf->params[i];
        size_t owner = 0;
        rc = find_owner(s, conf, conf->params[i].name, &owner, &p.name, err);
        if (!rc)
            tug_vec_push(&of[owner], p);
    }
    for (size_t i = 0; i < s->policies.n && !rc; i++) {
        rc = tug_plugload_create(s->at[i], of[i].at, of[i].len, err);
        s->policies.at[i].self = tug_plugload_self(s->at[i]);
    }
    for (size_t i = 0; i < TUG_POLICIES_MAX; i++)
        tug_vec_clear(&of[i]);
    return rc;
}

/* ---- all of it */

int tug_plugset_open(const struct tug_plugset_conf *conf, struct tug_plugset **out,
                     struct tug_err *err)
{
    struct tug_plugset *s = tug_new(struct tug_plugset);
    s->names = tug_xstrdup(conf->names);
    int rc = load_all(s, conf, err);
    if (!rc)
        rc = check_axes(s, err);
    if (!rc)
        rc = create_all(s, conf, err);
    if (rc) {
        tug_plugset_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void tug_plugset_close(struct tug_plugset *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < TUG_POLICIES_MAX; i++)
        tug_plugload_close(s->at[i]);
    free(s->names);
    free(s);
}

const struct tug_policy_set *tug_plugset_policies(const struct tug_plugset *s)
{
    static const struct tug_policy_set none;
    return s ? &s->policies : &none;
}

size_t tug_plugset_count(const struct tug_plugset *s)
{
    return s->policies.n;
}

const struct tug_plugload *tug_plugset_at(const struct tug_plugset *s, size_t i)
{
    return s->at[i];
}
