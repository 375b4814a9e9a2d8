/* jobpick.c - which jobs a verb is about: their ids, or options that choose them
 *
 * Layer: cli.
 */
#include "cli/jobpick.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

bool tug_pick_option(struct tug_pick *p, const struct tug_opt *o, const char *value)
{
    char uid[16];
    switch (o->id) {
    case TUG_PICK_ME:
        snprintf(uid, sizeof uid, "%u", (unsigned) getuid());
        tug_words_add(&p->users, uid);
        break;
    case TUG_PICK_USER:
        tug_words_add(&p->users, value);
        break;
    case TUG_PICK_QUEUE:
        tug_words_add(&p->queues, value);
        break;
    case TUG_PICK_STATE:
        tug_words_add(&p->states, value);
        break;
    case TUG_PICK_NAME:
        p->filter.name = (char *) value;
        break;
    default:
        return false;
    }
    p->filter.users = p->users.at;
    p->filter.n_users = p->users.len;
    p->filter.queues = p->queues.at;
    p->filter.n_queues = p->queues.len;
    p->filter.states = p->states.at;
    p->filter.n_states = p->states.len;
    p->by_option = true;
    return true;
}

/* "71.2": cuts the step off. 0: it is not of that form. */
static int take_step(const char *word, char *id, size_t size, uint32_t *step, struct tug_err *err)
{
    const char *dot = strchr(word, '.');
    uint64_t n;
    if (!dot || (size_t) (dot - word) >= size)
        return 0;
    if (tug_str_u64(dot + 1, UINT32_MAX, &n) || n == 0)
        return tug_fail(err, -EINVAL, "'%.64s' is not JOB.STEP; steps are numbers from 1", word);
    tug_str_copy(id, (size_t) (dot - word) + 1, word);
    *step = (uint32_t) n;
    return 1;
}

int tug_pick_ids(struct tug_pick *p, int n, char **words, uint32_t *step, struct tug_err *err)
{
    p->ids = tug_xcalloc((size_t) n + 1, sizeof *p->ids);
    for (int i = 0; i < n; i++) {
        char id[32];
        int rc = step ? take_step(words[i], id, sizeof id, step, err) : 0;
        if (rc > 0 && n > 1)
            return tug_fail(err, -EINVAL, "'%.64s' is one step; it must be the only word", words[i]);
        rc = rc < 0 ? rc : tug_verb_job_id(rc ? id : words[i], &p->ids[i], err);
        if (rc)
            return rc;
    }
    p->n_ids = (size_t) n;
    return 0;
}

int tug_pick_words(struct tug_pick *p, const char *verb, int n, char **words, uint32_t *step, struct tug_err *err)
{
    if (!n && !p->by_option)
        return tug_fail(err, -EINVAL, "nothing says which jobs; tug %s JOB..., or --me, --user, --queue, --state, --name", verb);
    if (n && p->by_option)
        return tug_fail(err, -EINVAL, "give job ids, or options that choose jobs, not both");
    return tug_pick_ids(p, n, words, step, err);
}

int tug_pick_say(const struct tug_pick *p, const char *did, const char *how, const uint64_t *done, size_t n_done,
                 Tugpb__Error *const *failed, size_t n_failed)
{
    for (size_t i = 0; i < n_done && did; i++)
        tug_out_addf("%s job %" PRIu64 "%s\n", did, done[i], how);
    if (p->by_option && !n_done && !n_failed && did)
        tug_out_note("no job is like that; nothing was done");
    for (size_t i = 0; i < n_failed; i++) {
        struct tug_err err = {0};
        tug_client_refused(failed[i], &err);
        tug_out_fail(&err);
    }
    return n_failed ? TUG_EXIT_REFUSED : TUG_EXIT_OK;
}

void tug_pick_clear(struct tug_pick *p)
{
    tug_words_clear(&p->users);
    tug_words_clear(&p->queues);
    tug_words_clear(&p->states);
    free(p->ids);
}
