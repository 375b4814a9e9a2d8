/* policies.c - the plugins of a simulation, loaded as tugd loads them. Layer: sim. */
#include "sim/policies.h"

#include <errno.h>
#include <string.h>

#include "base/vec.h"

struct given { /* parameters, and who took them */
    const struct tug_plugload_param *params;
    size_t n;
    uint8_t *taken;
};

static int has_param(const struct tug_policy_ops *ops, const char *name)
{
    for (const struct tug_policy_param *p = ops->params; p && p->name; p++)
        if (!strcmp(p->name, name))
            return 1;
    return 0;
}

/* The parameter's name as that policy knows it, or NULL: it is for others. */
static const char *name_for(const struct tug_policy_ops *ops, const char *name, int is_only)
{
    size_t len = strlen(ops->name);
    if (!strncmp(name, ops->name, len) && name[len] == '.')
        return name + len + 1;
    return is_only || has_param(ops, name) ? name : NULL;
}

/* Twice: what parameters it has shows only once it is loaded. */
static int open_one(const char *name, const char *const *dirs, size_t n_dirs, struct given *given,
                    int is_only, struct tug_plugload **out, struct tug_err *err)
{
    struct tug_vec(struct tug_plugload_param) mine = {0};
    int rc = tug_plugload_open(name, dirs, n_dirs, NULL, 0, out, err);
    if (rc || !given->n)
        return rc;
    for (size_t i = 0; i < given->n; i++) {
        const char *as = name_for(tug_plugload_ops(*out), given->params[i].name, is_only);
        if (!as)
            continue;
        struct tug_plugload_param p = {as, given->params[i].value};
        tug_vec_push(&mine, p);
        given->taken[i] = 1;
    }
    tug_plugload_close(*out);
    *out = NULL;
    rc = tug_plugload_open(name, dirs, n_dirs, mine.at, mine.len, out, err);
    tug_vec_clear(&mine);
    return rc;
}

static int all_taken(const struct given *g, const char *spec, struct tug_err *err)
{
    for (size_t i = 0; i < g->n; i++)
        if (!g->taken[i])
            return tug_fail(err, -EINVAL, "no policy of '%s' has a parameter '%s'", spec,
                            g->params[i].name);
    return 0;
}

int tug_sim_policies_open(const char *spec, const char *const *dirs, size_t n_dirs,
                          const struct tug_plugload_param *params, size_t n_params,
                          struct tug_sim_policies *out, struct tug_err *err)
{
    struct given given = {params, n_params, tug_xcalloc(n_params + 1, 1)};
    char *names = tug_xstrdup(spec), *rest = names;
    int rc = 0, is_only = !strchr(spec, '+');
    *out = (struct tug_sim_policies){0};
    for (char *name; !rc && (name = strsep(&rest, "+"));) {
        struct tug_plugload **p = &out->plugins[out->set.n];
        if (out->set.n == TUG_POLICIES_MAX) {
            rc = tug_fail(err, -EINVAL, "'%s' is more than %d policies", spec, TUG_POLICIES_MAX);
            break;
        }
        rc = open_one(name, dirs, n_dirs, &given, is_only, p, err);
        if (rc)
            break;
        out->set.at[out->set.n].ops = tug_plugload_ops(*p);
        out->set.at[out->set.n++].self = tug_plugload_self(*p);
    }
    if (!rc)
        rc = all_taken(&given, spec, err);
    free(given.taken);
    free(names);
    return rc;
}

void tug_sim_policies_close(struct tug_sim_policies *p)
{
    for (size_t i = 0; i < TUG_POLICIES_MAX; i++)
        tug_plugload_close(p->plugins[i]);
    *p = (struct tug_sim_policies){0};
}
