/* dump.c - a section out again: as YAML that loads to the same values, and as a manual
 *
 * Layer: conf.
 */
#include <inttypes.h>
#include <string.h>

#include "conf/schema.h"
#include "conf/value.h"

/* ---- YAML ------------------------------------------------------------------------------------ */

struct dump {
    struct tug_buf *out;
    int indent; /* spaces */
    bool dash;  /* the next line is the first of a list's item */
};

/* May 's' stand without quotes, and mean the same? Only in a block, where we always are. */
static bool plain(const char *s)
{
    size_t len = strlen(s);

    if (!len || len > 200 ||
        strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                  "_./+-:[],@=") != len)
        return false;
    return !strchr("+-:[],@=.", *s) && s[len - 1] != ':' && strcmp(s, "null");
}

void tug_yaml_quote(struct tug_buf *out, const char *s)
{
    size_t len = strlen(s);

    tug_buf_addc(out, '"');
    for (size_t i = 0; i < len;) {
        const unsigned char *p = (const unsigned char *) s + i;
        size_t n = tug_conf_utf8_len(s + i, len - i);
        /* Line and direction marks would be folded away or hidden: as code points. */
        unsigned code = n == 2   ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
                        : n == 3 ? (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu)
                                 : 0;
        if (n <= 1 && (*p < 0x20 || *p == 0x7f))
            tug_buf_addf(out, "\\x%02x", *p);
        else if (*p == '"' || *p == '\\')
            tug_buf_addf(out, "\\%c", *p);
        else if ((code >= 0x80 && code < 0xa0) || (code >= 0x2000 && code < 0x2070) ||
                 code == 0xfeff)
            tug_buf_addf(out, "\\u%04x", code);
        else
            tug_buf_add(out, p, n ? n : 1);
        i += n ? n : 1;
    }
    tug_buf_addc(out, '"');
}

static void emit(struct tug_buf *out, const char *s)
{
    if (plain(s))
        tug_buf_adds(out, s);
    else
        tug_yaml_quote(out, s);
}

static void begin_line(struct dump *d)
{
    for (int i = 0; i < d->indent - (d->dash ? 2 : 0); i++)
        tug_buf_addc(d->out, ' ');
    if (d->dash)
        tug_buf_adds(d->out, "- ");
    d->dash = false;
}

static void end_line(struct dump *d, struct tug_conf_pos pos)
{
    tug_buf_adds(d->out, " # ");
    if (pos.file)
        tug_conf_pos_print(pos, d->out);
    else
        tug_buf_adds(d->out, "default");
    tug_buf_addc(d->out, '\n');
}

static void dump_strings(struct dump *d, const struct tug_conf_strings *s, struct tug_conf_pos pos)
{
    if (!s->n)
        tug_buf_adds(d->out, " []");
    end_line(d, pos);
    for (size_t i = 0; i < s->n; i++) {
        tug_buf_addf(d->out, "%*s- ", d->indent + 2, "");
        emit(d->out, s->at[i]);
        tug_buf_addc(d->out, '\n');
    }
}

static void dump_params(struct dump *d, const struct tug_conf_params *p, struct tug_conf_pos pos)
{
    if (!p->n)
        tug_buf_adds(d->out, " {}");
    end_line(d, pos);
    for (size_t i = 0; i < p->n; i++) {
        tug_buf_addf(d->out, "%*s", d->indent + 2, "");
        emit(d->out, p->at[i].name);
        tug_buf_adds(d->out, ": ");
        emit(d->out, p->at[i].value);
        tug_buf_addc(d->out, '\n');
    }
}

static void dump_value(struct dump *d, const struct tug_schema_visit *v)
{
    if (!tug_schema_is_set(v->key, v->field)) {
        tug_buf_addf(d->out, "%*s# %s: not set\n", d->indent, "", v->name);
        return;
    }
    begin_line(d);
    tug_buf_addf(d->out, "%s:", v->name);
    if (v->key->type == TUG_SCHEMA_STRINGS) {
        dump_strings(d, v->field, v->pos);
    } else if (v->key->type == TUG_SCHEMA_PARAMS) {
        dump_params(d, v->field, v->pos);
    } else {
        struct tug_buf text = {0};
        tug_schema_print_value(v->key, v->field, &text);
        tug_buf_addc(d->out, ' ');
        emit(d->out, tug_buf_str(&text));
        tug_buf_clear(&text);
        end_line(d, v->pos);
    }
}

static void dump_visit(void *ctx, const struct tug_schema_visit *v)
{
    struct dump *d = ctx;
    bool list = v->key->type == TUG_SCHEMA_LIST;

    switch (v->step) {
    case TUG_STEP_VALUE:
        dump_value(d, v);
        return;
    case TUG_STEP_OPEN:
        begin_line(d);
        tug_buf_addf(d->out, "%s:", v->name);
        if (v->key->type != TUG_SCHEMA_SECTION && !v->count)
            tug_buf_adds(d->out, list ? " []" : " {}");
        tug_buf_addc(d->out, '\n');
        break;
    case TUG_STEP_ITEM:
        d->dash = list;
        if (!list) {
            begin_line(d);
            tug_buf_addf(d->out, "%s:", v->name);
            end_line(d, v->pos);
        }
        break;
    case TUG_STEP_CLOSE:
        d->indent -= 2;
        return;
    }
    d->indent += 2;
}

void tug_schema_dump(const struct tug_schema *schema, const void *section, struct tug_buf *out)
{
    struct dump d = {.out = out};

    tug_schema_walk(schema, section, dump_visit, &d);
}

/* ---- manual ---------------------------------------------------------------------------------- */

/* scdoc reads _ * \ and, at the start of a line, # - . [ | as its own. */
static void scd_text(struct tug_buf *out, const char *s)
{
    for (; *s; s++) {
        if (strchr("_*\\#[]|<>~`", *s))
            tug_buf_addc(out, '\\');
        tug_buf_addc(out, *s);
    }
}

static void scd_type(const struct tug_schema_key *key, struct tug_buf *out)
{
    static const char *const containers[] = {
        [TUG_SCHEMA_STRINGS] = "text, or list of texts",
        [TUG_SCHEMA_PARAMS] = "map of name to text",
        [TUG_SCHEMA_SECTION] = "section",
        [TUG_SCHEMA_LIST] = "list of sections",
        [TUG_SCHEMA_MAP] = "map of name to section",
    };
    const struct tug_value_type *type = tug_value_type(key->type);

    for (size_t i = 0; key->values && key->values[i]; i++) {
        tug_buf_adds(out, i ? " or " : "");
        scd_text(out, key->values[i]);
    }
    if (!key->values)
        tug_buf_adds(out, type ? type->word : containers[key->type]);
}

static void scd_key(const struct tug_schema_key *key, struct tug_buf *out)
{
    struct tug_buf range = {0};

    tug_buf_addc(out, '*');
    scd_text(out, key->name);
    tug_buf_adds(out, "*: _");
    scd_type(key, out);
    tug_buf_adds(out, "_\n\t");
    scd_text(out, key->text);
    tug_value_print_range(key, &range);
    if (range.len) {
        tug_buf_adds(out, " Takes ");
        scd_text(out, tug_buf_str(&range));
        tug_buf_addc(out, '.');
    }
    if (key->required)
        tug_buf_adds(out, " Must be written.");
    if (key->def) {
        tug_buf_adds(out, " Default: ");
        scd_text(out, key->def);
        tug_buf_addc(out, '.');
    }
    if (!key->sub && key->reload == TUG_RELOAD_RESTART)
        tug_buf_adds(out, " A change takes effect when the daemon is restarted.");
    tug_buf_adds(out, "\n\n");
    tug_buf_clear(&range);
}

/* 'named': row 0 is the name in front of the ':', which the title shows. */
static void scd_section(const struct tug_schema *schema, const char *title, bool named,
                        struct tug_buf *out)
{
    if (*title) {
        tug_buf_adds(out, "## ");
        tug_buf_adds(out, title);
        tug_buf_adds(out, "\n\n");
        scd_text(out, schema->text);
        tug_buf_adds(out, "\n\n");
    }
    for (size_t i = named; i < schema->n_keys; i++)
        if (!schema->keys[i].sub)
            scd_key(&schema->keys[i], out);
    for (size_t i = 0; i < schema->n_keys; i++) {
        const struct tug_schema_key *key = &schema->keys[i];
        struct tug_buf name = {0};
        if (!key->sub)
            continue;
        tug_buf_addf(&name, "%s%s%s%s", title, *title ? "." : "", key->name,
                     key->type == TUG_SCHEMA_MAP    ? ".NAME"
                     : key->type == TUG_SCHEMA_LIST ? "[]"
                                                    : "");
        scd_section(key->sub, tug_buf_str(&name), key->type == TUG_SCHEMA_MAP, out);
        tug_buf_clear(&name);
    }
}

void tug_schema_print_scd(const struct tug_schema *schema, struct tug_buf *out)
{
    scd_section(schema, "", false, out);
}
