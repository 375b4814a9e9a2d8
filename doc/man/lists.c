/* lists.c - prints the parts of the manual that come from tables, in the language of scdoc
 *
 *     lists keys tugline.yaml|tugnode.yaml|machine.yaml   the keys of a file (src/conf/config.def, machine.def)
 *     lists env tug|launch|slurm                 the variables of a rank (src/stepd/env.def), by who reads them
 *     lists policy NAME                          what plugins/NAME.so is, and its parameters
 *
 * Runs at build time only; doc/Makefrag.am puts what it prints where a page says @keys ...@ or @env ...@.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "conf/config.h"
#include "conf/machine.h"
#include "tugline/policy.h"

enum when { ALWAYS, RANKS, PMIX, TCP, GPUS, EMULATED, PART };
enum mode { SET, DEFAULT };
enum launchers { ANY, TORCH, MPI, WIRED };

static const char *const when_text[] = {
    [RANKS] = " Not in a batch script.",
    [PMIX] = " When ranks get a PMIx server.",
    [TCP] = " When ranks get a PMIx server and the node has no InfiniBand.",
    [GPUS] = " When the gang has GPUs.",
    [EMULATED] = " On emulated nodes that share a host.",
    [PART] = " When the job has a part of one GPU.",
};

static const char *const launchers_text[] = {
    [TORCH] = " With \\--launcher=auto and torch.",
    [MPI] = " With \\--launcher=auto and mpi.",
    [WIRED] = " Not with \\--launcher=plain.",
};

static const struct {
    const char *name, *text;
    enum mode mode;
    enum when when;
    enum launchers launchers;
} vars[] = {
#define TUG_ENV(NAME, scope, mode, when, launchers, value, text) {#NAME, text, mode, when, launchers},
#include "stepd/env.def"
#undef TUG_ENV
};

static void put_escaped(const char *s)
{
    for (; *s; s++) {
        if (strchr("_*\\#[]|<>~`", *s))
            putchar('\\');
        putchar(*s);
    }
}

static const char *group_of(const char *name)
{
    return strncmp(name, "TUG_", 4) == 0 ? "tug" : strncmp(name, "SLURM_", 6) == 0 ? "slurm" : "launch";
}

static int print_env(const char *group)
{
    int n = 0;

    for (size_t i = 0; i < sizeof vars / sizeof *vars; i++) {
        if (strcmp(group_of(vars[i].name), group) != 0)
            continue;
        printf("*");
        put_escaped(vars[i].name);
        printf("*\n\t");
        put_escaped(vars[i].text);
        if (when_text[vars[i].when])
            printf("%s", when_text[vars[i].when]);
        if (launchers_text[vars[i].launchers])
            printf("%s", launchers_text[vars[i].launchers]);
        if (vars[i].mode == DEFAULT)
            printf(" A value that was submitted with the job is left as it is.");
        printf("\n\n");
        n++;
    }
    return n ? 0 : 1;
}

static int print_keys(const char *file)
{
    const struct tug_schema *schema = strcmp(file, "tugline.yaml") == 0   ? &tug_config_schema
                                      : strcmp(file, "tugnode.yaml") == 0 ? &tug_node_config_schema
                                      : strcmp(file, "machine.yaml") == 0 ? &tug_sheet_text_schema
                                                                          : NULL;
    struct tug_buf text = {0};

    if (!schema)
        return 1;
    tug_schema_print_scd(schema, &text);
    fputs(tug_buf_str(&text), stdout);
    tug_buf_clear(&text);
    return 0;
}

static const struct tug_policy_ops *policy(const char *name)
{
    char path[128];
    const struct tug_policy_ops *(*get)(void) = NULL;

    snprintf(path, sizeof path, "./plugins/%s.so", name);
    void *handle = dlopen(path, RTLD_NOW);
    void *symbol = handle ? dlsym(handle, "tug_policy") : NULL;
    if (!symbol) {
        fprintf(stderr, "lists: %s\n", dlerror());
        return NULL;
    }
    memcpy(&get, &symbol, sizeof get); /* ISO C has no conversion between the two kinds of pointer */
    return get();
}

static void put_range(const struct tug_policy_param *p)
{
    const char *unit = p->type == TUG_POLICY_DURATION_S ? "s" : "";

    if (p->type == TUG_POLICY_BOOL)
        printf("yes or no; ");
    else if (p->type != TUG_POLICY_STRING && p->min <= p->max)
        printf("%.15g%s to %.15g%s; ", p->min, unit, p->max, unit);
}

static int print_policy(const char *name)
{
    const struct tug_policy_ops *ops = policy(name);

    if (!ops)
        return 1;
    for (const struct tug_policy_param *p = ops->params; p && p->name; p++) {
        printf("*");
        put_escaped(p->name);
        printf("* (");
        put_range(p);
        printf("default: ");
        put_escaped(p->fallback);
        printf(")\n\t");
        put_escaped(p->text);
        printf(".\n\n");
    }
    if (!ops->params || !ops->params[0].name)
        printf("It has no parameters.\n\n");
    return 0;
}

int main(int argc, char **argv)
{
    int rc = 1;

    if (argc == 3 && strcmp(argv[1], "keys") == 0)
        rc = print_keys(argv[2]);
    else if (argc == 3 && strcmp(argv[1], "env") == 0)
        rc = print_env(argv[2]);
    else if (argc == 3 && strcmp(argv[1], "policy") == 0)
        rc = print_policy(argv[2]);
    if (rc)
        fprintf(stderr, "lists: usage: lists keys tugline.yaml|tugnode.yaml, lists env tug|launch|slurm, "
                        "or lists policy NAME\n");
    return rc;
}
