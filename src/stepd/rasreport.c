/* rasreport.c - what NCCL's status service says, read from its JSON
 *
 * A reader of its own, because the step daemon links few libraries and starts once a step and node. It goes through the
 * text once and keeps nothing but the fields it knows. Layer: stepd.
 */
#include "stepd/rasreport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define DEPTH_MAX 16
#define RANKS_MAX 1048576 /* over all communicators */
#define IN_PROGRESS 7     /* ncclInProgress: no error */

struct reader {
    const char *from, *at, *end;
    unsigned depth;
    struct tug_err *err;
};

static int bad(struct reader *r, const char *what)
{
    return tug_fail(r->err, -EPROTO, "NCCL's status is not what it should be: %s at byte %zu", what,
                    (size_t) (r->at - r->from));
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip_blanks(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* What doesn't fit into 'out' is left out; escaped characters stand as they are, \u as '?'. */
static int read_string(struct reader *r, char *out, size_t size)
{
    size_t n = 0;

    if (!take(r, '"'))
        return bad(r, "no string");
    for (; r->at < r->end && *r->at != '"'; r->at++) {
        char c = *r->at;
        if (c == '\\') {
            if (++r->at == r->end)
                break;
            c = *r->at == 'u' ? '?' : *r->at;
        }
        if (n + 1 < size)
            out[n++] = c;
    }
    if (size)
        out[n] = 0;
    return take(r, '"') ? 0 : bad(r, "a string without end");
}

/* Digits only; a fraction is cut off. Too large ones are the largest. */
static int read_number(struct reader *r, int64_t *out)
{
    bool minus = take(r, '-');
    const char *first;
    uint64_t n = 0;

    skip_blanks(r);
    for (first = r->at; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        n = n > (uint64_t) INT64_MAX / 10 - 1 ? INT64_MAX / 10 - 1 : n * 10 + (uint64_t) (*r->at - '0');
    if (r->at == first)
        return bad(r, "no number");
    while (r->at < r->end && *r->at && strchr(".eE+-0123456789", *r->at))
        r->at++;
    *out = minus ? -(int64_t) n : (int64_t) n;
    return 0;
}

/* ---- objects and arrays: a function for each member, the rest is skipped ---- */

typedef int member_fn(struct reader *r, const char *key, void *arg);

static int skip_value(struct reader *r);

static int enter(struct reader *r, char open)
{
    if (!take(r, open))
        return bad(r, open == '{' ? "no object" : "no array");
    return ++r->depth > DEPTH_MAX ? bad(r, "it is nested too deep") : 0;
}

static int read_members(struct reader *r, char close, member_fn *fn, void *arg)
{
    char key[64] = "";
    int rc = enter(r, close == '}' ? '{' : '[');

    for (bool first = true; rc == 0 && !take(r, close); first = false) {
        if (!first && !take(r, ','))
            return bad(r, "no comma");
        if (close == '}' && (rc = read_string(r, key, sizeof key)) == 0 && !take(r, ':'))
            rc = bad(r, "no colon");
        if (rc == 0)
            rc = fn ? fn(r, key, arg) : skip_value(r);
    }
    r->depth--;
    return rc;
}

static int read_object(struct reader *r, member_fn *fn, void *arg)
{
    return read_members(r, '}', fn, arg);
}

static int read_array(struct reader *r, member_fn *fn, void *arg)
{
    return read_members(r, ']', fn, arg);
}

static int skip_value(struct reader *r)
{
    static const char *const words[] = {"true", "false", "null"};
    int64_t number;

    skip_blanks(r);
    if (r->at == r->end)
        return bad(r, "it ends too early");
    if (*r->at == '{')
        return read_object(r, NULL, NULL);
    if (*r->at == '[')
        return read_array(r, NULL, NULL);
    if (*r->at == '"')
        return read_string(r, NULL, 0);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if ((size_t) (r->end - r->at) >= strlen(words[i]) && strncmp(r->at, words[i], strlen(words[i])) == 0) {
            r->at += strlen(words[i]);
            return 0;
        }
    return read_number(r, &number);
}

static int read_bool(struct reader *r, bool *out)
{
    skip_blanks(r);
    *out = r->at < r->end && *r->at == 't';
    return skip_value(r);
}

/* ---- the format ---- */

struct place {
    struct tug_ras_report *report;
    struct tug_ras_rank common; /* what all ranks of the communicator have */
    struct tug_ras_rank *rank;
    size_t first; /* of the communicator's ranks in the report */
    bool missing;
};

static int on_count(struct reader *r, const char *key, void *arg)
{
    struct place *p = arg;
    int64_t n = 0;
    int rc = read_number(r, &n);

    if (!strstr(key, "Send") && !strstr(key, "Recv") && n > 0)
        p->rank->count += (uint64_t) n;
    return rc;
}

static int on_status(struct reader *r, const char *key, void *arg)
{
    struct place *p = arg;
    int64_t n = 0;
    int rc;

    if (strcmp(key, "considered_dead") == 0)
        return read_bool(r, &p->rank->dead);
    if (strcmp(key, "init_state") != 0 && strcmp(key, "async_error") != 0)
        return skip_value(r);
    rc = read_number(r, &n);
    if (n > 0 && n != IN_PROGRESS && n < 1000)
        p->rank->error = (int) n;
    return rc;
}

static int on_rank_member(struct reader *r, const char *key, void *arg)
{
    struct place *p = arg;
    int64_t n = 0;
    int rc;

    if (strcmp(key, "host") == 0)
        return read_string(r, p->rank->host, sizeof p->rank->host);
    if (strcmp(key, "status") == 0)
        return read_object(r, on_status, p);
    if (strcmp(key, "collective_counts") == 0)
        return read_object(r, on_count, p);
    if (strcmp(key, "rank") != 0 && strcmp(key, "pid") != 0)
        return skip_value(r);
    rc = read_number(r, &n);
    if (key[0] == 'r')
        p->rank->rank = n < 0 || n > UINT32_MAX ? UINT32_MAX : (unsigned) n;
    else
        p->rank->pid = n < -1 || n > INT32_MAX ? -1 : (int) n;
    return rc;
}

static int on_rank(struct reader *r, const char *key, void *arg)
{
    struct place *p = arg;
    struct tug_ras_rank rank = {.pid = -1, .missing = p->missing};
    int rc;

    (void) key;
    if (p->report->ranks.len >= RANKS_MAX)
        return bad(r, "too many ranks");
    p->rank = &rank;
    rc = read_object(r, on_rank_member, p);
    if (rc == 0)
        tug_vec_push(&p->report->ranks, rank);
    return rc;
}

static uint64_t mix(uint64_t h, const char *s)
{
    for (; *s; s++)
        h = (h ^ (unsigned char) *s) * 1099511628211u; /* FNV-1a */
    return h;
}

static int on_comm_member(struct reader *r, const char *key, void *arg)
{
    struct place *p = arg;
    char text[96];
    int64_t n = 0;
    int rc;

    if (strcmp(key, "hash") == 0 || strcmp(key, "secondary_hash") == 0) {
        rc = read_string(r, text, sizeof text);
        if (rc == 0)
            p->common.comm = mix(p->common.comm, text);
        return rc;
    }
    if (strcmp(key, "size") == 0) {
        rc = read_number(r, &n);
        p->common.comm_size = n < 0 || n > UINT32_MAX ? 0 : (unsigned) n;
        return rc;
    }
    p->missing = strcmp(key, "missing_ranks") == 0;
    return p->missing || strcmp(key, "ranks") == 0 ? read_array(r, on_rank, p) : skip_value(r);
}

static int on_comm(struct reader *r, const char *key, void *arg)
{
    struct tug_ras_report *report = arg;
    struct place p = {.report = report, .common.comm = 14695981039346656037u, .first = report->ranks.len};
    int rc = read_object(r, on_comm_member, &p);

    (void) key;
    report->comms++;
    for (size_t i = p.first; i < report->ranks.len; i++) {
        report->ranks.at[i].comm = p.common.comm;
        report->ranks.at[i].comm_size = p.common.comm_size;
    }
    return rc;
}

static int on_top(struct reader *r, const char *key, void *arg)
{
    struct tug_ras_report *report = arg;

    if (strcmp(key, "nccl_version") == 0)
        return read_string(r, report->version, sizeof report->version);
    return strcmp(key, "communicators") == 0 ? read_array(r, on_comm, report) : skip_value(r);
}

int tug_ras_report_read(struct tug_ras_report *out, const char *text, size_t len, struct tug_err *err)
{
    struct reader r = {.from = text, .at = text, .end = text + len, .err = err};
    struct tug_ras_report report = {0};
    int rc = read_object(&r, on_top, &report);

    skip_blanks(&r);
    if (rc == 0 && r.at != r.end)
        rc = bad(&r, "something behind its end");
    if (rc == 0 && !report.version[0])
        rc = bad(&r, "no version");
    if (rc < 0) {
        tug_ras_report_clear(&report);
        return rc;
    }
    *out = report;
    return 0;
}

void tug_ras_report_clear(struct tug_ras_report *r)
{
    tug_vec_clear(&r->ranks);
    memset(r, 0, sizeof *r);
}

const char *tug_ras_error_name(int error)
{
    static const char *const names[] = {NULL,
                                        "unhandled CUDA error",
                                        "system error",
                                        "internal error",
                                        "invalid argument",
                                        "invalid usage",
                                        "remote process error"};

    return error > 0 && (size_t) error < sizeof names / sizeof *names ? names[error] : "unknown error";
}
