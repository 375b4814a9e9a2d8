/* side.c - what the controller keeps of a job beside the core: its request as it came, its steps' keys, its token
 *
 * There is one for each job that the core knows, found by the job's id. What never changes of it lies behind the struct, in one
 * piece of memory, as there may be hundreds of thousands. Layer: logic.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/size.h"
#include "base/str.h"
#include "logic/control_int.h"

#define COMMAND_SHOWN 60
#define LIMITS_SHOWN  500

struct text {
    char at[COMMAND_SHOWN + 8]; /* what is longer is cut anyway */
    size_t len;
};

static void add(struct text *t, const char *s)
{
    size_t room = sizeof t->at - 1 - t->len, n = strnlen(s, room);

    memcpy(t->at + t->len, s, n);
    t->len += n;
    t->at[t->len] = '\0';
}

/* The first words of what runs, for lists. */
static void command_of(const Tugpb__JobSpec *spec, struct text *out)
{
    struct text all = {.at = ""};

    if (spec->kind == TUGPB__JOB_KIND__JOB_BATCH)
        add(&all, spec->name);
    for (size_t i = 0; i < spec->n_argv && all.len < COMMAND_SHOWN; i++) {
        if (all.len)
            add(&all, " ");
        add(&all, spec->argv[i]);
    }
    if (all.len <= COMMAND_SHOWN) {
        *out = all;
        return;
    }
    tug_str_copy(out->at, COMMAND_SHOWN, all.at);
    out->len = strlen(out->at);
    add(out, "...");
}

void tug_ctl_request(struct tug_arena *a, const Tugpb__JobSpec *spec, struct ctl_request *out)
{
    Tugpb__JobSpec lean = tug_ctl_lean_spec(spec);
    size_t len = tugpb__job_spec__get_packed_size(&lean);
    uint8_t *packed = tug_ctl_alloc(a, len);
    struct text command;

    tugpb__job_spec__pack(&lean, packed);
    command_of(spec, &command);
    *out = (struct ctl_request){packed, len, memcpy(tug_ctl_alloc(a, command.len + 1), command.at, command.len + 1)};
}

struct ctl_job *tug_ctl_job_new(struct tug_control *c, uint64_t id, struct ctl_user *u, const struct ctl_request *r,
                                const char *token)
{
    size_t token_size = strlen(token) + 1, command_size = strlen(r->command) + 1;
    struct ctl_job *j = tug_xmalloc(sizeof *j + token_size + command_size + r->spec_len);
    char *rest = (char *) (j + 1);

    *j = (struct ctl_job){.id = id,
                          .user = u,
                          .token = memcpy(rest, token, token_size),
                          .command = memcpy(rest + token_size, r->command, command_size),
                          .spec = (uint8_t *) rest + token_size + command_size,
                          .spec_len = r->spec_len};
    memcpy(rest + token_size + command_size, r->spec, r->spec_len);
    tug_idtab_add(&c->jobs, id, j);
    return j;
}

struct ctl_job *tug_ctl_job(struct tug_control *c, uint64_t id)
{
    return tug_idtab_find(&c->jobs, id);
}

struct ctl_step *tug_ctl_step(struct ctl_job *j, uint32_t step)
{
    for (size_t i = 0; i < j->steps.len; i++)
        if (j->steps.at[i].id == step)
            return &j->steps.at[i];
    return NULL;
}

void tug_ctl_step_clear(struct tug_control *c, struct ctl_step *s, struct tug_batch *b)
{
    free(s->star_addr);
    free(s->spec);
    tug_blobs_drop(c->blobs, s->env, b);
}

void tug_ctl_job_free(struct tug_control *c, struct ctl_job *j, struct tug_batch *b)
{
    tug_idtab_remove(&c->jobs, j->id);
    for (size_t i = 0; i < j->steps.len; i++)
        tug_ctl_step_clear(c, &j->steps.at[i], b);
    tug_vec_clear(&j->steps);
    tug_blobs_drop(c->blobs, j->script, b);
    tug_blobs_drop(c->blobs, j->env, b);
    free(j->masks);
    free(j->limits);
    free(j);
}

/* "n1: the limit of 200 processes was hit 3 times; n2: 1 process was killed for memory (it used up to 4G of 4G)" */
void tug_ctl_keep_use(struct tug_control *c, const char *node, const Tugpb__StepResult *r)
{
    struct ctl_job *j = r->use ? tug_ctl_job(c, r->key->job) : NULL;
    const Tugpb__JobUse *u = r->use;
    struct tug_buf text = {0};
    char max[TUG_SIZE_TEXT_MAX], peak[TUG_SIZE_TEXT_MAX];

    if (!j || (!u->pids_hits && !u->oom_kills) || r->key->attempt < j->limits_of)
        return;
    if (j->limits && r->key->attempt == j->limits_of)
        tug_buf_addf(&text, "%s; ", j->limits);
    tug_buf_addf(&text, "%s: ", node);
    if (u->pids_hits)
        tug_buf_addf(&text, "the limit of %llu processes was hit %llu time%s", (unsigned long long) u->pids_max,
                     (unsigned long long) u->pids_hits, u->pids_hits == 1 ? "" : "s");
    if (u->oom_kills)
        tug_buf_addf(&text, "%s%llu process%s killed for memory", u->pids_hits ? ", " : "", (unsigned long long) u->oom_kills,
                     u->oom_kills == 1 ? " was" : "es were");
    if (u->oom_kills && u->mem_max)
        tug_buf_addf(&text, " (it used up to %s of %s)", tug_size_format(u->mem_peak, peak, sizeof peak),
                     tug_size_format(u->mem_max, max, sizeof max));
    if (text.len < LIMITS_SHOWN) { /* of a large gang the first ones say enough */
        free(j->limits);
        j->limits = tug_buf_take(&text);
        j->limits_of = r->key->attempt;
    }
    tug_buf_clear(&text);
}

void tug_ctl_jobs_free(struct tug_control *c)
{
    struct tug_batch *nowhere = tug_batch_new();
    struct ctl_job *j;

    while ((j = tug_idtab_after(&c->jobs, 0)) != NULL) {
        tug_ctl_wait_gone(c, j->id);
        tug_ctl_job_free(c, j, nowhere);
    }
    tug_idtab_clear(&c->jobs);
    tug_batch_free(nowhere);
}

void tug_ctl_job_dirty(struct tug_control *c, uint64_t id)
{
    struct ctl_job *j = tug_ctl_job(c, id);

    if (!j || j->dirty)
        return;
    j->dirty = 1;
    tug_vec_push(&c->dirty_jobs, id);
    tug_outbox_expect_writes(c->out);
}
