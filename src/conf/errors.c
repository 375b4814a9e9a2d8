/* errors.c - everything that is wrong with a configuration, with the place of each
 *
 * Every string that is kept is one line of valid UTF-8 without control bytes, whatever was in
 * the file: the list is printed on terminals and in logs.
 * Layer: conf.
 */
#include "conf/errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { SHOWN_TEXT_MAX = 80, SHOWN_SENTENCE_MAX = 1000 };

size_t tug_conf_utf8_len(const char *s, size_t len)
{
    static const struct {
        unsigned char mask, lead;
        unsigned min;
    } form[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    const unsigned char *p = (const unsigned char *) s;

    for (size_t n = 1; n <= 4 && n <= len; n++) {
        if ((p[0] & form[n - 1].mask) != form[n - 1].lead)
            continue;
        unsigned code = p[0] & (unsigned char) ~form[n - 1].mask;
        for (size_t i = 1; i < n; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (p[i] & 0x3f);
        }
        if (code < form[n - 1].min || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
            return 0;
        return n;
    }
    return 0;
}

void tug_conf_show(struct tug_buf *out, const char *text, size_t len, size_t max)
{
    size_t end = 0;

    for (size_t shown = 0; end < len && shown < max; shown++) {
        size_t n = tug_conf_utf8_len(text + end, len - end);
        end += n ? n : 1;
    }
    tug_str_escape(out, text, end);
    if (end < len)
        tug_buf_adds(out, "...");
}

static char *shown(const char *text, size_t len, size_t max)
{
    struct tug_buf b = {0};

    tug_conf_show(&b, text, len, max);
    tug_buf_adds(&b, "");
    return b.data ? tug_buf_take(&b) : tug_xstrdup("");
}

static size_t file_rank(struct tug_conf_errors *errs, const char *file)
{
    for (size_t i = 0; i < errs->files.len; i++)
        if (!strcmp(errs->files.at[i], file))
            return i;
    tug_vec_push(&errs->files, tug_xstrdup(file));
    return errs->files.len - 1;
}

void tug_conf_errors_file(struct tug_conf_errors *errs, const char *file)
{
    file_rank(errs, file);
}

void tug_conf_errors_add(struct tug_conf_errors *errs, struct tug_conf_pos pos, const char *text,
                         size_t len, const char *hint, const char *fmt, ...)
{
    if (tug_conf_errors_full(errs)) {
        errs->left_out++;
        return;
    }

    const char *file = pos.file ? pos.file : "(built-in)";
    struct tug_conf_error e = {.file = tug_xstrdup(file), .line = pos.line, .column = pos.column};
    char *sentence = NULL;
    va_list ap;

    va_start(ap, fmt);
    int n = vasprintf(&sentence, fmt, ap);
    va_end(ap);
    e.sentence = n < 0 ? tug_xstrdup(fmt) : shown(sentence, (size_t) n, SHOWN_SENTENCE_MAX);
    if (n >= 0)
        free(sentence);
    e.text = shown(text ? text : "", text ? len : 0, SHOWN_TEXT_MAX);
    e.hint = hint ? shown(hint, strlen(hint), SHOWN_SENTENCE_MAX) : NULL;
    e.rank = file_rank(errs, file);
    tug_vec_push(&errs->list, e);
}

int tug_conf_errors_full(const struct tug_conf_errors *errs)
{
    return errs->list.len >= TUG_CONF_ERRORS_MAX;
}

size_t tug_conf_errors_count(const struct tug_conf_errors *errs)
{
    return errs->list.len + errs->left_out;
}

static int by_place(const void *a, const void *b)
{
    const struct tug_conf_error *x = a;
    const struct tug_conf_error *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return strcmp(x->sentence, y->sentence); /* qsort is not stable; the list must be */
}

void tug_conf_errors_sort(struct tug_conf_errors *errs)
{
    if (errs->list.len > 1)
        qsort(errs->list.at, errs->list.len, sizeof *errs->list.at, by_place);
}

void tug_conf_pos_print(struct tug_conf_pos pos, struct tug_buf *out)
{
    if (!pos.file) {
        tug_buf_adds(out, "built-in default");
        return;
    }
    tug_conf_show(out, pos.file, strlen(pos.file), SHOWN_SENTENCE_MAX);
    if (pos.line)
        tug_buf_addf(out, ":%u:%u", pos.line, pos.column);
}

static void print_one(const struct tug_conf_error *e, struct tug_buf *out)
{
    tug_conf_pos_print((struct tug_conf_pos){e->file, e->line, e->column}, out);
    tug_buf_addf(out, ": %s", e->sentence);
    if (e->hint)
        tug_buf_addf(out, "; %s", e->hint);
}

void tug_conf_errors_line(const struct tug_conf_errors *errs, struct tug_buf *out)
{
    size_t more = errs->list.len + errs->left_out;
    if (!more)
        return;
    print_one(&errs->list.at[0], out);
    if (--more)
        tug_buf_addf(out, " (and %zu more error%s)", more, more == 1 ? "" : "s");
}

void tug_conf_errors_print(const struct tug_conf_errors *errs, struct tug_buf *out)
{
    for (size_t i = 0; i < errs->list.len; i++) {
        print_one(&errs->list.at[i], out);
        tug_buf_addc(out, '\n');
    }
    if (errs->left_out)
        tug_buf_addf(out, "%zu more errors are not shown; fix these first\n", errs->left_out);
}

void tug_conf_errors_clear(struct tug_conf_errors *errs)
{
    for (size_t i = 0; i < errs->list.len; i++) {
        free(errs->list.at[i].file);
        free(errs->list.at[i].text);
        free(errs->list.at[i].sentence);
        free(errs->list.at[i].hint);
    }
    for (size_t i = 0; i < errs->files.len; i++)
        free(errs->files.at[i]);
    tug_vec_clear(&errs->list);
    tug_vec_clear(&errs->files);
    errs->left_out = 0;
}
