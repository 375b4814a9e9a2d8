/* trace.c - jobs out of a trace file, one after the other
 *
 * One table says what columns there are; the CSV schema finds them by the names in its header, SWF
 * has each at its place. Always: 'line' is the number of the line in 'buf'; field i of it starts at
 * fields[i] and is ended by NUL. Layer: sim.
 */
#include "sim/trace.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/gpuset.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#define LINE_MAX_BYTES  65536
#define GZ_BUFFER_BYTES (256 * 1024)

#define SWF_FIELDS      18
#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* spreadsheets put it in front */

enum column { JOB_ID, SUBMIT, DURATION, GPUS, USER, ACCOUNT, QUEUE, LIMIT, ASKED_GPUS, COLUMNS };

static const struct {
    const char *name; /* in the header of the CSV schema; NULL = SWF alone has it */
    int needed;
    const char *swf_name;
    size_t swf_at; /* 1-based field */
} columns[COLUMNS] = {
    [JOB_ID] = {"job_id", 1, "job number", 1},
    [SUBMIT] = {"submit_s", 1, "submit time", 2},
    [DURATION] = {"duration_s", 1, "run time", 4},
    [GPUS] = {"gpus", 1, "allocated processors", 5},
    [USER] = {"user", 0, "user", 12},
    [ACCOUNT] = {"account", 0, NULL, 0},
    [QUEUE] = {"vc_or_queue", 0, "queue", 15},
    [LIMIT] = {"limit_s", 0, "requested time", 9},
    [ASKED_GPUS] = {NULL, 0, "requested processors", 8},
};

struct tug_trace {
    char *path;
    gzFile file;
    int64_t size_bytes; /* of the file; 0 = not known */
    int64_t per_s;      /* ticks of the clock */
    char *buf;
    uint64_t line;
    int is_swf;
    int has_line; /* the first one of an SWF file is in buf already */
    struct tug_vec(char *) fields;
    size_t n_header;
    struct tug_vec(char *) names;  /* of the columns, owned */
    size_t at[COLUMNS];            /* 1-based field of that column; 0 = not there */
    uint32_t max_nodes, max_procs; /* as the header of an SWF file says; 0 = it does not */
    int64_t last_submit_ms;
    uint64_t last_line;
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
    z_off_t from = gztell(t->file);
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
    if (gztell(t->file) - from != (z_off_t) len)
        return tug_fail(err, -EINVAL, "%s:%llu: there is a NUL byte in the line; expected text",
                        t->path, (unsigned long long) t->line);
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

static void split_at_blanks(struct tug_trace *t)
{
    t->fields.len = 0;
    for (char *p = t->buf; *(p += strspn(p, " \t"));) {
        tug_vec_push(&t->fields, p);
        p += strcspn(p, " \t");
        if (*p)
            *p++ = '\0';
    }
}

/* ---- values */

static const char *text(const struct tug_trace *t, enum column c)
{
    return t->at[c] ? t->fields.at[t->at[c] - 1] : "";
}

/* Not recorded: nothing in the CSV schema, -1 in SWF. */
static int is_unknown(const struct tug_trace *t, enum column c)
{
    const char *p = text(t, c);
    return !*p || (t->is_swf && !strcmp(p, "-1"));
}

static int wrong_in(const struct tug_trace *t, const char *column, const char *text,
                    struct tug_err *err, const char *expected)
{
    return tug_fail(err, -EINVAL, "%s:%llu: column %s is '%.60s'; %s", t->path,
                    (unsigned long long) t->line, column, text, expected);
}

static int wrong(const struct tug_trace *t, enum column c, struct tug_err *err,
                 const char *expected)
{
    if (!t->is_swf)
        return wrong_in(t, columns[c].name, text(t, c), err, expected);
    return tug_fail(err, -EINVAL, "%s:%llu: field %zu (%s) is '%.60s'; %s", t->path,
                    (unsigned long long) t->line, columns[c].swf_at, columns[c].swf_name,
                    text(t, c), expected);
}

/* Seconds with a fraction or without, to the next tick: NULL, or what was expected. */
static const char *parse_seconds(const char *p, int64_t per_s, int64_t *out)
{
    int64_t s = 0, fraction = 0, worth = per_s;
    if (*p == '-')
        return "expected seconds that are not negative";
    if (!isdigit((unsigned char) *p))
        return "expected seconds, like 90 or 90.5";
    for (; isdigit((unsigned char) *p); p++) {
        s = s * 10 + (*p - '0');
        if (s > TUG_TRACE_MAX_S)
            return "expected at most 10000000000 seconds";
    }
    if (*p == '.') {
        p++;
        for (int rounded = 0; isdigit((unsigned char) *p); p++) {
            worth /= 10;
            if (worth)
                fraction += worth * (*p - '0');
            else if (!rounded++)
                fraction += *p >= '5';
        }
    }
    if (*p)
        return "expected seconds, like 90 or 90.5";
    *out = s * per_s + fraction;
    return NULL;
}

static int seconds(const struct tug_trace *t, enum column c, int64_t *out, struct tug_err *err)
{
    const char *expected = parse_seconds(text(t, c), t->per_s, out);
    return expected ? wrong(t, c, err, expected) : 0;
}

static int gpus(const struct tug_trace *t, enum column c, uint32_t *out, struct tug_err *err)
{
    uint64_t n;
    const char *p = text(t, c);
    if (!isdigit((unsigned char) *p) || tug_str_u64(p, 1000000, &n))
        return wrong(t, c, err,
                     t->is_swf ? "expected a whole number of processors, from 0 to 1000000"
                               : "expected a whole number of GPUs, from 0 to 1000000");
    *out = (uint32_t) n;
    return 0;
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
    if (4 * t->n_seen >= 3 * t->seen_cap) {
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

/* A column name, or the first job of an SWF file without comments: numbers with blanks between. */
static int looks_like_swf(const char *path, const char *line)
{
    size_t len = strlen(path);
    if (line[strspn(line, " \t")] == ';')
        return 1;
    if (!line[strcspn(line, ",")] && isdigit((unsigned char) line[strspn(line, " \t")]) &&
        line[strcspn(line, " \t")])
        return 1;
    return (len > 4 && !strcmp(path + len - 4, ".swf")) ||
           (len > 7 && !strcmp(path + len - 7, ".swf.gz"));
}

/* "; MaxProcs: 128"; what is no number, like -1, is not known. */
static void swf_comment(struct tug_trace *t)
{
    static const char *const names[2] = {"MaxNodes:", "MaxProcs:"};
    const char *p = t->buf + strspn(t->buf, " \t;");
    for (size_t i = 0; i < 2; i++) {
        if (strncmp(p, names[i], strlen(names[i])))
            continue;
        const char *n = p + strlen(names[i]);
        n += strspn(n, " \t");
        if (isdigit((unsigned char) *n) && strspn(n, "0123456789") < 10)
            *(i ? &t->max_procs : &t->max_nodes) = (uint32_t) strtoul(n, NULL, 10);
    }
}

static int is_comment(const struct tug_trace *t)
{
    const char *p = t->buf + strspn(t->buf, " \t");
    return !*p || (t->is_swf && *p == ';');
}

/* The comments in front, up to the first job, which stays in buf. */
static int read_swf_header(struct tug_trace *t, struct tug_err *err)
{
    int rc = 1;
    for (size_t c = 0; c < COLUMNS; c++)
        t->at[c] = columns[c].swf_at;
    t->n_header = SWF_FIELDS;
    for (; rc == 1 && is_comment(t); rc = read_line(t, err))
        swf_comment(t);
    t->has_line = rc == 1;
    return rc < 0 ? rc : 0;
}

static int read_csv_header(struct tug_trace *t, struct tug_err *err)
{
    int rc = split(t, err);
    if (rc)
        return rc;
    t->n_header = t->fields.len;
    for (size_t f = 0; f < t->n_header; f++)
        tug_vec_push(&t->names, tug_xstrdup(t->fields.at[f]));
    for (size_t f = 0; f < t->n_header; f++)
        for (size_t c = 0; c < COLUMNS; c++)
            if (columns[c].name && !strcmp(t->fields.at[f], columns[c].name)) {
                if (t->at[c])
                    return tug_fail(err, -EINVAL, "%s:1: column %s is there twice", t->path,
                                    columns[c].name);
                t->at[c] = f + 1;
            }
    for (size_t c = 0; c < COLUMNS; c++)
        if (columns[c].needed && !t->at[c])
            return tug_fail(err, -EINVAL,
                            "%s:1: there is no column %s; expected a header like "
                            "job_id,submit_s,duration_s,gpus,user,vc_or_queue, or the Standard "
                            "Workload Format",
                            t->path, columns[c].name);
    return 0;
}

static int read_header(struct tug_trace *t, struct tug_err *err)
{
    int rc = read_line(t, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return tug_fail(err, -EINVAL, "%s: is empty; expected a header that names the columns",
                        t->path);
    if (!strncmp(t->buf, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)))
        memmove(t->buf, t->buf + strlen(BYTE_ORDER_MARK),
                strlen(t->buf) - strlen(BYTE_ORDER_MARK) + 1);
    t->is_swf = looks_like_swf(t->path, t->buf);
    return t->is_swf ? read_swf_header(t, err) : read_csv_header(t, err);
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
    struct stat st;
    t->path = tug_xstrdup(path);
    t->per_s = 1000;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
        t->size_bytes = st.st_size;
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
    for (size_t i = 0; i < t->names.len; i++)
        free(t->names.at[i]);
    tug_vec_clear(&t->names);
    free(t->seen);
    free(t->buf);
    free(t->path);
    free(t);
}

/* What a job asked for counts; logs without it have what it got. */
static int swf_gpus(const struct tug_trace *t, struct tug_trace_job *j, struct tug_err *err)
{
    enum column c = is_unknown(t, ASKED_GPUS) ? GPUS : ASKED_GPUS;
    if (is_unknown(t, c)) {
        j->duration_ms = -1; /* nobody knows what it was */
        return 0;
    }
    return gpus(t, c, &j->gpus, err);
}

static int check_order(struct tug_trace *t, const struct tug_trace_job *j, struct tug_err *err)
{
    char expected[120];
    snprintf(expected, sizeof expected,
             "expected no earlier time than in line %llu; sort the trace by submit time",
             (unsigned long long) t->last_line);
    if (j->submit_ms < t->last_submit_ms)
        return wrong(t, SUBMIT, err, expected);
    if (seen_before(t, j->id))
        return wrong(t, JOB_ID, err, "expected a name that no earlier line has");
    t->last_submit_ms = j->submit_ms;
    t->last_line = t->line;
    return 0;
}

static int fill(struct tug_trace *t, struct tug_trace_job *j, struct tug_err *err)
{
    *j = (struct tug_trace_job){.id = text(t, JOB_ID),
                                .user = is_unknown(t, USER) ? "" : text(t, USER),
                                .account = text(t, ACCOUNT),
                                .queue = is_unknown(t, QUEUE) ? "" : text(t, QUEUE),
                                .duration_ms = -1,
                                .limit_ms = -1,
                                .line = t->line};
    if (!*j->id)
        return wrong(t, JOB_ID, err, "expected the job's name");
    int rc = seconds(t, SUBMIT, &j->submit_ms, err);
    if (!rc && !is_unknown(t, DURATION))
        rc = seconds(t, DURATION, &j->duration_ms, err);
    if (!rc)
        rc = t->is_swf ? swf_gpus(t, j, err) : gpus(t, GPUS, &j->gpus, err);
    if (!rc && !is_unknown(t, LIMIT))
        rc = seconds(t, LIMIT, &j->limit_ms, err);
    if (!rc)
        rc = check_order(t, j, err);
    return rc ? rc : 1;
}

int tug_trace_next(struct tug_trace *t, struct tug_trace_job *out, struct tug_err *err)
{
    int rc;
    do {
        rc = t->has_line ? 1 : read_line(t, err);
        t->has_line = 0;
        if (rc <= 0)
            return rc;
    } while (is_comment(t));
    if (t->is_swf)
        split_at_blanks(t);
    else if ((rc = split(t, err)))
        return rc;
    if (t->fields.len != t->n_header)
        return tug_fail(err, -EINVAL,
                        t->is_swf ? "%s:%llu: has %zu fields; expected %zu, as the Standard "
                                    "Workload Format has"
                                  : "%s:%llu: has %zu columns; expected %zu, as the header has",
                        t->path, (unsigned long long) t->line, t->fields.len, t->n_header);
    return fill(t, out, err);
}

void tug_trace_use_clock(struct tug_trace *t, int64_t ticks_per_s)
{
    t->per_s = ticks_per_s;
}

const char *tug_trace_text(const struct tug_trace *t, const char *column)
{
    for (size_t i = 0; i < t->names.len; i++)
        if (!strcmp(t->names.at[i], column))
            return t->fields.at[i];
    return "";
}

int tug_trace_time(const struct tug_trace *t, const char *column, int64_t *out, struct tug_err *err)
{
    const char *p = tug_trace_text(t, column);
    *out = -1;
    const char *expected = *p ? parse_seconds(p, t->per_s, out) : NULL;
    return expected ? wrong_in(t, column, p, err, expected) : 0;
}

int tug_trace_number(const struct tug_trace *t, const char *column, uint64_t max, uint64_t *out,
                     struct tug_err *err)
{
    const char *p = tug_trace_text(t, column);
    char expected[80];
    *out = 0;
    if (!*p || tug_str_u64(p, max, out) == 0)
        return 0;
    snprintf(expected, sizeof expected, "expected a whole number up to %llu",
             (unsigned long long) max);
    return wrong_in(t, column, p, err, expected);
}

int tug_trace_wrong(const struct tug_trace *t, const char *column, struct tug_err *err, const char *expected)
{
    return wrong_in(t, column, tug_trace_text(t, column), err, expected);
}

const char *tug_trace_path(const struct tug_trace *t)
{
    return t->path;
}

int tug_trace_has_limits(const struct tug_trace *t)
{
    return t->at[LIMIT] != 0;
}

int tug_trace_cluster(const struct tug_trace *t, uint32_t *nodes, uint32_t *per_node,
                      struct tug_err *err)
{
    uint32_t n = t->max_nodes ? t->max_nodes : t->max_procs, procs = t->max_procs;
    if (!n)
        return tug_fail(err, -ENOENT,
                        "%s does not say how large its cluster is (MaxNodes and MaxProcs in an "
                        "SWF header do); say --cluster NODESxGPUS",
                        t->path);
    if (!procs)
        procs = n;
    if (procs % n)
        return tug_fail(err, -EINVAL,
                        "%s says %u nodes and %u processors, which is not as many on every node; "
                        "say --cluster NODESxGPUS",
                        t->path, n, procs);
    int counted = procs / n > TUG_GPUS_MAX;
    *nodes = counted ? procs : n;
    *per_node = counted ? 1 : procs / n;
    return *nodes > TUG_TRACE_NODES_MAX
               ? tug_fail(err, -EINVAL,
                          "%s says that its cluster has %u %s; at most %d are simulated, say "
                          "--cluster NODESxGPUS",
                          t->path, *nodes, counted ? "processors" : "nodes", TUG_TRACE_NODES_MAX)
               : 0;
}

double tug_trace_part_read(const struct tug_trace *t)
{
    return t->size_bytes ? (double) gzoffset(t->file) / (double) t->size_bytes : 0;
}
