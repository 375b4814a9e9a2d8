/* pattern.c - output file names with %-fields
 *
 * Layer: base.
 */
#include "base/pattern.h"

#include <inttypes.h>
#include <string.h>

static void put_name(struct tug_buf *out, const char *s)
{
    for (; s && *s; s++)
        tug_buf_addc(out, *s == '/' ? '_' : *s);
}

static int put_number(struct tug_buf *out, int width, int64_t value)
{
    if (value < 0)
        return 0;
    tug_buf_addf(out, "%0*" PRId64, width, value);
    return 1;
}

/* One field at 'at' (behind the % and the width): 1 = written. */
static int put_field(struct tug_buf *out, char field, int width, const struct tug_pattern_values *v)
{
    switch (field) {
    case 'A': /* sbatch's id of an array; a job is one of its own here */
    case 'j': return put_number(out, width, (int64_t) v->job);
    case 'a': return put_number(out, width, v->attempt);
    case 't': return put_number(out, width, v->rank);
    case 'n': return put_number(out, width, v->node_index);
    case 'x': put_name(out, v->name); return 1;
    case 'u': put_name(out, v->user); return 1;
    case 'N':
        if (v->node)
            put_name(out, v->node);
        return v->node != NULL;
    case '%': tug_buf_addc(out, '%'); return 1;
    default: return 0;
    }
}

void tug_pattern_expand(struct tug_buf *out, const char *pattern, const struct tug_pattern_values *v)
{
    for (const char *p = pattern; *p; p++) {
        const char *q = p + 1;
        int width = 0;

        if (*p != '%') {
            tug_buf_addc(out, *p);
            continue;
        }
        while (*q >= '0' && *q <= '9' && width <= 10)
            width = width * 10 + (*q++ - '0');
        if (width > 10)
            width = 10;
        if (*q && put_field(out, *q, width, v))
            p = q;
        else
            tug_buf_addc(out, '%');
    }
}

void tug_pattern_path(struct tug_buf *out, const char *cwd, const char *pattern, const struct tug_pattern_values *v)
{
    if (pattern[0] != '/') {
        tug_buf_adds(out, cwd);
        if (!cwd[0] || cwd[strlen(cwd) - 1] != '/')
            tug_buf_addc(out, '/');
    }
    tug_pattern_expand(out, pattern, v);
}

int tug_pattern_is_split(const char *pattern)
{
    for (const char *p = pattern; *p; p++) {
        if (*p != '%')
            continue;
        p++;
        while (*p >= '0' && *p <= '9')
            p++;
        if (*p == 't' || *p == 'n' || *p == 'N')
            return 1;
        if (!*p)
            return 0;
    }
    return 0;
}
