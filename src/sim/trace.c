/* trace.c - jobs out of a trace file, one after the other
 *
 * Always: 'line' is the number of the line in 'buf'; field i of it starts at fields[i] and is ended
 * by NUL. Layer: sim.
 */
#include "sim/trace.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/vec.h"

#define LINE_MAX_BYTES 65536
#define GZ_BUFFER_BYTES (256 * 1024)

enum column { JOB_ID, SUBMIT, DURATION, GPUS, USER, QUEUE, LIMIT, COLUMNS };

static const struct {
    const char *name;
    int needed;
} columns[COLUMNS] = {
    [JOB_ID] = {"job_id", 1}, [SUBMIT] = {"submit_s", 1}, [DURATION] = {"duration_s", 1},
    [GPUS] = {"gpus", 1},     [USER] = {"user", 0},       [QUEUE] = {"vc_or_queue", 0},
    [LIMIT] = {"limit_s", 0},
};

struct tug_trace {
    char *path;
    gzFile file;
    char *buf;
    uint64_t line;
    struct tug_vec(char *) fields;
    size_t n_header;
    size_t at[COLUMNS]; /* 1-based field of that column; 0 = not there */
    int64_t last_submit_ms;
    uint64_t *seen; /* hashes of job ids, open addressing; 0 = free */
    size_t n_seen, seen_cap;
};

/* ---- lines and fields */

static int io_failed(struct tug_trace *t, struct tug_err *err)
{
    int code;
    const char *why = gzerror(t->file, &code);
    return tug_fail(err, -EIO, "%s: cannot be read after line %llu: %s", t->path,
                    (unsigned long long) t->line,
                    code == Z_BUF_ERROR ? "the compressed data ends early"
                    : code == Z_ERRNO   ? strerror(errno)
                                        : why);
}

static int is_broken(const struct tug_trace *t)
{
    int code;
    gzerror(t->file, &code);
    return code != Z_OK && code != Z_STREAM_END;
}

/* 1 = a line is in buf, without its end; 0 = no more. */
static int read_line(struct tug_trace *t, struct tug_err *err)
{
    if (!gzgets(t->file, t->buf, LINE_MAX_BYTES))
        return is_broken(t) ? io_failed(t, err) : 0;
    size_t len = strlen(t->buf);
    int whole = len > 0 && t->buf[len - 1] == '\n';
    if (!whole && is_broken(t))
        return io_failed(t, err);
    t->line++;
    if (!whole && len == LINE_MAX_BYTES - 1)
        return tug_fail(err, -EINVAL, "%s:%llu: the line is longer than %d bytes", t->path,
                        (unsigned long long) t->line, LINE_MAX_BYTES - 2);
    while (len && (t->buf[len - 1] == '\n' || t->buf[len - 1] == '\r'))
        t->buf[--len] = '\0';
    return 1;
}

/* The end of a field in quotes, with doubled quotes made single; NULL: it has none. */
static char *unquote(char *p)
{
    char *to = p;
    for (char *from = p + 1; *from; from++) {
        if (*from == '"' && from[1] == '"') {
            from++;
        } else if (*from == '"') {
            *to = '\0';
            return from + 1;
        }
        *to++ = *from;
    }
    return NULL;
}

static int split(struct tug_trace *t, struct tug_err *err)
{
    t->fields.len = 0;
    for (char *p = t->buf;;) {
        tug_vec_push(&t->fields, p);
        char *end = *p == '"' ? unquote(p) : p + strcspn(p, ",");
        if (!end || (*end && *end != ','))
            return tug_fail(err, -EINVAL,
                            "%s:%llu: field %zu: a quote was opened that does not end the field",
                            t->path, (unsigned long long) t->line, t->fields.len);
        if (!*end)
            return 0;
        *end = '\0';
        p = end + 1;
    }
}

/* ---- values */

static int wrong(const struct tug_trace *t, enum column c, struct tug_err *err,
                 const char *expected)
{
    return tug_fail(err, -EINVAL, "%s:%llu: column %s is '%.60s'; %s", t->path,
                    (unsigned long long) t->line, columns[c].name, t->fields.at[t->at[c] - 1],
                    expected);
}

/* Seconds with a fraction or without, to the next ms. */
static int seconds(const struct tug_trace *t, enum column c, int64_t *out_ms, struct tug_err *err)
{
    const char *p = t->fields.at[t->at[c] - 1];
    int64_t ms = 0;
    if (*p == '-')
        return wrong(t, c, err, "expected seconds that are not negative");
    if (!isdigit((unsigned char) *p))
        return wrong(t, c, err, "expected seconds, like 90 or 90.5");
    for (; isdigit((unsigned char) *p); p++) {
        ms = ms * 10 + (*p - '0');
        if (ms > TUG_TRACE_MAX_S)
            return wrong(t, c, err, "expected at most 10000000000 seconds");
    }
    ms *= 1000;
    if (*p == '.') {
        static const int64_t worth[] = {100, 10, 1};
        p++;
        for (size_t n = 0; isdigit((unsigned char) *p); p++, n++) {
            if (n < 3)
                ms += worth[n] * (*p - '0');
            else if (n == 3)
                ms += *p >= '5';
        }
    }
    if (*p)
        return wrong(t, c, err, "expected seconds, like 90 or 90.5");
    *out_ms = ms;
    return 0;
}

static int gpus(const struct tug_trace *t, uint32_t *out, struct tug_err *err)
{
    static const char expected[] = "expected a whole number of GPUs, from 0 to 1000000";
    const char *p = t->fields.at[t->at[GPUS] - 1];
    uint32_t n = 0;
    if (!*p)
        return wrong(t, GPUS, err, expected);
    for (; *p; p++) {
        if (!isdigit((unsigned char) *p) || n > 1000000)
            return wrong(t, GPUS, err, expected);
        n = n * 10 + (uint32_t) (*p - '0');
    }
    if (n > 1000000)
        return wrong(t, GPUS, err, expected);
    *out = n;
    return 0;
}

static const char *text(const struct tug_trace *t, enum column c)
{
    return t->at[c] ? t->fields.at[t->at[c] - 1] : "";
}

/* ---- ids */

static uint64_t hash_of(const char *id)
{
    uint64_t h = 14695981039346656037ULL; /* FNV-1a, then splitmix64's last steps */
    for (; *id; id++)
        h = (h ^ (unsigned char) *id) * 1099511628211ULL;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
    h ^= h >> 31;
    return h ? h : 1;
}

/* 1 = it was there already. */
static int put(uint64_t *table, size_t cap, uint64_t h)
{
    size_t i = h & (cap - 1);
    while (table[i] && table[i] != h)
        i = (i + 1) & (cap - 1);
    int there = table[i] == h;
    table[i] = h;
    return there;
}

static int seen_before(struct tug_trace *t, const char *id)
{
    if (2 * t->n_seen >= t->seen_cap) {
        size_t cap = t->seen_cap ? 2 * t->seen_cap : 1024;
        uint64_t *table = tug_xcalloc(cap, sizeof *table);
        for (size_t i = 0; i < t->seen_cap; i++)
            if (t->seen[i])
                put(table, cap, t->seen[i]);
        free(t->seen);
        t->seen = table;
        t->seen_cap = cap;
    }
    t->n_seen++;
    return put(t->seen, t->seen_cap, hash_of(id));
}

/* ---- */

static int read_header(struct tug_trace *t, struct tug_err *err)
{
    int rc = read_line(t, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return tug_fail(err, -EINVAL, "%s: is empty; expected a header that names the columns",
                        t->path);
    if ((rc = split(t, err)))
        return rc;
    t->n_header = t->fields.len;
    for (size_t f = 0; f < t->n_header; f++)
        for (size_t c = 0; c < COLUMNS; c++)
            if (!strcmp(t->fields.at[f], columns[c].name)) {
                if (t->at[c])
                    return tug_fail(err, -EINVAL, "%s:1: column %s is there twice", t->path,
                                    columns[c].name);
                t->at[c] = f + 1;
            }
    for (size_t c = 0; c < COLUMNS; c++)
        if (columns[c].needed && !t->at[c])
            return tug_fail(err, -EINVAL,
                            "%s:1: there is no column %s; expected a header like "
                            "job_id,submit_s,duration_s,gpus,user,vc_or_queue",
                            t->path, columns[c].name);
    return 0;
}

int tug_trace_open(const char *path, struct tug_trace **out, struct tug_err *err)
{
    errno = 0;
    gzFile file = gzopen(path, "rbe");
    if (!file) {
        int code = errno ? errno : ENOMEM;
        return tug_fail(err, -code, "trace %s cannot be opened: %s", path, strerror(code));
    }
    gzbuffer(file, GZ_BUFFER_BYTES);
    struct tug_trace *t = tug_new(struct tug_trace);
    t->path = tug_xstrdup(path);
    t->file = file;
    t->buf = tug_xmalloc(LINE_MAX_BYTES);
    int rc = read_header(t, err);
    if (rc) {
        tug_trace_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

void tug_trace_close(struct tug_trace *t)
{
    if (!t)
        return;
    gzclose(t->file);
    tug_vec_clear(&t->fields);
    free(t->seen);
    free(t->buf);
    free(t->path);
    free(t);
}

static int fill(struct tug_trace *t, struct tug_trace_job *j, struct tug_err *err)
{
    *j = (struct tug_trace_job){.id = text(t, JOB_ID),
                                .user = text(t, USER),
                                .queue = text(t, QUEUE),
                                .limit_ms = -1,
                                .line = t->line};
    if (!*j->id)
        return wrong(t, JOB_ID, err, "expected the job's name");
    int rc = seconds(t, SUBMIT, &j->submit_ms, err);
    if (!rc)
        rc = seconds(t, DURATION, &j->duration_ms, err);
    if (!rc)
        rc = gpus(t, &j->gpus, err);
    if (!rc && *text(t, LIMIT))
        rc = seconds(t, LIMIT, &j->limit_ms, err);
    if (rc)
        return rc;
    if (j->submit_ms < t->last_submit_ms)
        return wrong(t, SUBMIT, err, "expected no earlier time than in the line before; sort the "
                                     "trace by submit_s");
    if (seen_before(t, j->id))
        return wrong(t, JOB_ID, err, "expected a name that no earlier line has");
    t->last_submit_ms = j->submit_ms;
    return 1;
}

int tug_trace_next(struct tug_trace *t, struct tug_trace_job *out, struct tug_err *err)
{
    int rc;
    do {
        rc = read_line(t, err);
        if (rc <= 0)
            return rc;
    } while (!*t->buf);
    if ((rc = split(t, err)))
        return rc;
    if (t->fields.len != t->n_header)
        return tug_fail(err, -EINVAL, "%s:%llu: has %zu columns; expected %zu, as the header has",
                        t->path, (unsigned long long) t->line, t->fields.len, t->n_header);
    return fill(t, out, err);
}

const char *tug_trace_path(const struct tug_trace *t)
{
    return t->path;
}

int tug_trace_has_limits(const struct tug_trace *t)
{
    return t->at[LIMIT] != 0;
}
