/* survey.c - what is in etcd at a state's place, sound or not
 *
 * A log is read past what is damaged in it: not to go on from that, but so that nothing is overwritten which is not kept, and no
 * number is given out again. Layer: programs.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/survey.h"
#include "base/mem.h"
#include "host/reclog.h"
#include "host/store_file.h"
#include "host/store_keys.h"
#include "host/store_log.h"

#define PAGE 16

struct reader {
    struct survey *out;
    struct tug_reclog *log;
    const char *prefix;
    char *next; /* behind the last key */
    FILE *dump; /* NULL: nothing is kept */
};

/* ---- numbers that were given out */

static int on_meta(void *arg, const char *kind, const char *id, const void *data, size_t len)
{
    struct survey *out = arg;
    struct tug_lineage at;

    (void) kind, (void) id;
    if (tug_lineage_read(data, len, &at, NULL) == 0) {
        tug_lineage_raise(&out->lineage, &at);
        memcpy(out->lineage.cluster, at.cluster, sizeof at.cluster);
        out->has_lineage = 1;
    }
    return 0;
}

/* Before what was read so far is forgotten. */
static void harvest(struct reader *r)
{
    r->out->records = tug_reclog_records(r->log);
    tug_reclog_walk(r->log, "meta", on_meta, r->out);
}

/* ---- every key */

static void put_base64(FILE *f, const void *data, size_t len)
{
    size_t room = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
    char *text = tug_xmalloc(room);

    fputs(sodium_bin2base64(text, room, data, len, sodium_base64_VARIANT_ORIGINAL), f);
    free(text);
}

/* A line is what etcd's /v3/kv/put takes. */
static void dump(FILE *f, const struct tug_etcd_kv *kv)
{
    fputs("{\"key\":\"", f);
    put_base64(f, kv->key, strlen(kv->key));
    fputs("\",\"value\":\"", f);
    put_base64(f, kv->value, kv->len);
    fputs("\"}\n", f);
}

static void note_damage(struct reader *r, const struct tug_err *why)
{
    if (!r->out->is_damaged)
        r->out->damage = *why;
    r->out->is_damaged = 1;
    harvest(r);
    tug_reclog_reset(r->log);
}

static int on_part(void *arg, const struct tug_etcd_kv *kv, struct tug_err *err)
{
    struct reader *r = arg;
    struct tug_err why = {0};
    uint64_t number, next = tug_reclog_next(r->log);
    int rc = tug_store_key_number(kv->key, &number, &why);

    (void) err;
    r->out->parts++;
    rc = rc ? rc : tug_reclog_feed(r->log, number, kv->value, kv->len, NULL, &why);
    if (rc == -ESTALE)
        tug_store_log_missing(r->prefix, next, number - 1, "older and newer ones are there", &why);
    else if (rc)
        tug_fail_ctx(&why, rc, "etcd: key %s", kv->key);
    if (rc)
        note_damage(r, &why);
    if (rc == -ESTALE && tug_reclog_feed(r->log, number, kv->value, kv->len, NULL, &why))
        tug_reclog_reset(r->log);
    if (r->dump)
        dump(r->dump, kv);
    free(r->next);
    r->next = tug_xasprintf("%s!", kv->key);
    return 0;
}

/* A log that begins too late has lost its oldest entries. */
static void check_begin(struct reader *r)
{
    struct tug_err why = {0};
    uint64_t from, to;

    if (!tug_reclog_begins(r->log, &from, &to)) {
        tug_store_log_missing(r->prefix, from, to, "the newest entry says that the log begins with them", &why);
        note_damage(r, &why);
    }
}

static int read_all(struct reader *r, struct tug_etcd *e, struct tug_err *err)
{
    char *end = tug_store_key_log_end(r->prefix);
    uint64_t before;
    int rc;

    *r->out = (struct survey){0};
    r->log = tug_reclog_new();
    r->next = tug_store_key_log(r->prefix, 0);
    do {
        char *from = tug_xstrdup(r->next);
        before = r->out->parts;
        rc = tug_etcd_range(e, from, end, PAGE, on_part, r, err);
        free(from);
    } while (!rc && r->out->parts > before);
    if (!r->out->is_damaged) /* else the oldest was forgotten on the way */
        check_begin(r);
    harvest(r);
    tug_reclog_free(r->log);
    free(r->next);
    free(end);
    return rc;
}

int survey_read(struct survey *out, struct tug_etcd *e, const char *prefix, struct tug_err *err)
{
    struct reader r = {.out = out, .prefix = prefix};

    return read_all(&r, e, err);
}

int survey_keep(const char *file, struct tug_etcd *e, const char *prefix, struct tug_err *err)
{
    char *part = tug_xasprintf("%s.part", file);
    struct survey again;
    struct reader r = {.out = &again, .prefix = prefix, .dump = fopen(part, "we")};
    int rc = r.dump ? read_all(&r, e, err) : tug_fail(err, -errno, "cannot write %s: %s", part, strerror(errno));

    if (r.dump) {
        int is_bad = ferror(r.dump) || fflush(r.dump) || fsync(fileno(r.dump));
        is_bad |= fclose(r.dump) != 0;
        if (!rc && (is_bad || rename(part, file) < 0))
            rc = tug_fail(err, -errno, "cannot write %s: %s", file, strerror(errno));
        if (rc)
            unlink(part);
    }
    rc = rc ? rc : tug_store_file_sync_dir(file, err);
    free(part);
    return rc;
}
