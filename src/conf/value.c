/* value.c - one plain value of a configuration: read, check, print, free
 *
 * Printing and reading are each other's inverse for every value that passes the checks.
 * Layer: conf.
 */
#include "conf/value.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/mem.h"
#include "base/rate.h"
#include "base/size.h"
#include "base/str.h"

/* "'TEXT'" for a sentence: safe and short. */
static char *quoted(char *out, size_t size_bytes, const char *text)
{
    struct tug_buf b = {0};

    tug_buf_addc(&b, '\'');
    tug_conf_show(&b, text, strlen(text), 60);
    tug_buf_addc(&b, '\'');
    tug_str_copy(out, size_bytes, tug_buf_str(&b));
    tug_buf_clear(&b);
    return out;
}

enum { QUOTED_MAX = 300 };

/* ---- bool ------------------------------------------------------------------------------------ */

static int bool_parse(const struct tug_schema_key *key, const char *text, void *field,
                      struct tug_buf *hint, struct tug_err *err)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},
                 {"false", false}, {"no", false}, {"off", false}};
    char q[QUOTED_MAX];

    (void) key;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i].text))
            continue;
        *(bool *) field = words[i].value;
        return 0;
    }
    tug_buf_adds(hint, "write true or false");
    return tug_fail(err, -EINVAL, "%s is neither true nor false", quoted(q, sizeof q, text));
}

static void bool_print(const struct tug_schema_key *key, const void *field, struct tug_buf *out)
{
    (void) key;
    tug_buf_adds(out, *(const bool *) field ? "true" : "false");
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void print_seconds(int64_t s, struct tug_buf *out)
{
    static const struct {
        int64_t s;
        char unit;
    } units[] = {{7 * 86400, 'w'}, {86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    bool any = false;

    if (s == TUG_CONF_UNLIMITED) {
        tug_buf_adds(out, "unlimited");
        return;
    }
    /* Up to two minutes people think in seconds, and in weeks only when nothing is left over. */
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (s < units[i].s || (s < 120 && units[i].s > 1) ||
            (units[i].unit == 'w' && s % units[i].s))
            continue;
        tug_buf_addf(out, "%" PRId64 "%c", s / units[i].s, units[i].unit);
        s %= units[i].s;
        any = true;
        if (!s)
            return;
    }
    if (!any)
        tug_buf_adds(out, "0s");
}

static void print_number(const struct tug_schema_key *key, int64_t v, struct tug_buf *out)
{
    char text[TUG_RATE_TEXT_MAX];

    if (key->type == TUG_SCHEMA_DURATION)
        print_seconds(v, out);
    else if (key->type == TUG_SCHEMA_SIZE && v)
        tug_buf_adds(out, tug_size_format_exact((uint64_t) v, text, sizeof text));
    else if (key->type == TUG_SCHEMA_BANDWIDTH)
        tug_buf_adds(out, v ? tug_rate_format(v, text, sizeof text) : "0");
    else if (key->type == TUG_SCHEMA_RATIO)
        tug_buf_adds(out, tug_milli_format(v, text, sizeof text));
    else
        tug_buf_addf(out, "%" PRId64, v);
}

static void number_print(const struct tug_schema_key *key, const void *field, struct tug_buf *out)
{
    print_number(key, *(const int64_t *) field, out);
}

static bool is_text(enum tug_schema_type type)
{
    return type == TUG_SCHEMA_STRING || type == TUG_SCHEMA_NAME || type == TUG_SCHEMA_PATH ||
           type == TUG_SCHEMA_STRINGS || type == TUG_SCHEMA_HOSTS || type == TUG_SCHEMA_ADDRESS;
}

void tug_value_print_range(const struct tug_schema_key *key, struct tug_buf *out)
{
    struct tug_schema_key length = {.type = TUG_SCHEMA_INT};
    const struct tug_schema_key *as = is_text(key->type) ? &length : key;
    const char *unit = is_text(key->type) ? "bytes" : key->unit;
    bool no_max = key->max == INT64_MAX || (is_text(key->type) && !key->max);
    bool no_min = key->min == INT64_MIN || ((is_text(key->type) || no_max) && key->min <= 0);

    if (key->type > TUG_SCHEMA_ADDRESS || key->type == TUG_SCHEMA_BOOL || (no_min && no_max))
        return;
    if (!no_min && !no_max) {
        tug_buf_adds(out, "from ");
        print_number(as, key->min, out);
        tug_buf_adds(out, " to ");
        print_number(as, key->max, out);
    } else {
        tug_buf_adds(out, no_max ? "at least " : "at most ");
        print_number(as, no_max ? key->min : key->max, out);
    }
    if (unit)
        tug_buf_addf(out, " %s", unit);
    if (key->special && key->type == TUG_SCHEMA_DURATION)
        tug_buf_adds(out, ", or unlimited");
}

static int check_range(const struct tug_schema_key *key, int64_t v, const char *text,
                       struct tug_buf *hint, struct tug_err *err)
{
    char q[QUOTED_MAX];

    if ((v >= key->min && v <= key->max) || (key->special && v == TUG_CONF_UNLIMITED))
        return 0;
    tug_buf_adds(hint, "it takes ");
    tug_value_print_range(key, hint);
    struct tug_buf limit = {0};
    print_number(key, v < key->min ? key->min : key->max, &limit);
    int rc = tug_fail(err, -ERANGE, "%s is %s, %s%s%s", quoted(q, sizeof q, text),
                      v < key->min ? "under the smallest" : "over the largest", tug_buf_str(&limit),
                      key->unit ? " " : "", key->unit ? key->unit : "");
    tug_buf_clear(&limit);
    return rc;
}

static int int_parse(const struct tug_schema_key *key, const char *text, void *field,
                     struct tug_buf *hint, struct tug_err *err)
{
    bool minus = *text == '-';
    const char *digits = text + minus;
    char q[QUOTED_MAX];
    uint64_t v;

    /* Other readers of YAML take 010 for 8. */
    int rc = *digits == '0' && digits[1] ? -EINVAL : tug_str_u64(digits, INT64_MAX, &v);
    if (rc == -ERANGE) {
        tug_buf_adds(hint, "it takes ");
        tug_value_print_range(key, hint);
        return tug_fail(err, -ERANGE, "%s is out of range", quoted(q, sizeof q, text));
    }
    if (rc < 0) {
        tug_buf_adds(hint, "write it in decimal digits, without a unit");
        return tug_fail(err, -EINVAL, "%s is not a whole number", quoted(q, sizeof q, text));
    }
    int64_t value = minus ? -(int64_t) v : (int64_t) v;
    rc = check_range(key, value, text, hint, err);
    if (rc == 0)
        *(int64_t *) field = value;
    return rc;
}

static int duration_parse(const struct tug_schema_key *key, const char *text, void *field,
                          struct tug_buf *hint, struct tug_err *err)
{
    char q[QUOTED_MAX];
    int64_t v;
    uint64_t bare;
    int rc = tug_duration_parse(text, key->special ? TUG_DURATION_ALLOW_INFINITE : 0, &v, NULL);

    if (rc < 0) {
        if (tug_str_u64(text, UINT64_MAX, &bare) == 0)
            tug_buf_addf(hint, "write the unit, such as %.20ss or %.20sm", text, text);
        else
            tug_buf_addf(hint, "write it like 30s, 5m, 1h30m, 7d or 1:30:00%s",
                         key->special ? ", or unlimited" : "");
        return tug_fail(err, rc, "%s is not a length of time", quoted(q, sizeof q, text));
    }
    rc = check_range(key, v, text, hint, err);
    if (rc == 0)
        *(int64_t *) field = v;
    return rc;
}

static int size_parse(const struct tug_schema_key *key, const char *text, void *field,
                      struct tug_buf *hint, struct tug_err *err)
{
    char q[QUOTED_MAX];
    uint64_t v;
    bool zero = !strcmp(text, "0"); /* needs no unit */
    int rc = tug_size_parse(text, zero ? 1 : 0, &v, NULL);

    if (rc == 0 && v > INT64_MAX)
        rc = -ERANGE;
    if (rc < 0) {
        tug_buf_adds(hint, "write it like 512K, 4M, 80G or 2T (powers of 1024, no fractions)");
        return tug_fail(err, rc, "%s is not an amount of memory", quoted(q, sizeof q, text));
    }
    rc = check_range(key, (int64_t) v, text, hint, err);
    if (rc == 0)
        *(int64_t *) field = (int64_t) v;
    return rc;
}

static int bandwidth_parse(const struct tug_schema_key *key, const char *text, void *field,
                           struct tug_buf *hint, struct tug_err *err)
{
    char q[QUOTED_MAX];
    int64_t v = 0;
    int rc = strcmp(text, "0") ? tug_rate_parse(text, &v, NULL) : 0; /* 0 needs no unit */

    if (rc < 0) {
        tug_buf_adds(hint, "write it like 50GB/s (bytes) or 400Gb/s (bits)");
        return tug_fail(err, rc, "%s is not a bandwidth", quoted(q, sizeof q, text));
    }
    rc = check_range(key, v, text, hint, err);
    if (rc == 0)
        *(int64_t *) field = v;
    return rc;
}

/* "3:2" is 1.5. */
static int ratio_parse(const struct tug_schema_key *key, const char *text, void *field,
                       struct tug_buf *hint, struct tug_err *err)
{
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t) (colon - text) : strlen(text);
    char q[QUOTED_MAX];
    int64_t v, to = 1000;
    int rc = tug_milli_parse(text, len, INT64_MAX / 1000, &v);

    if (rc == 0 && colon)
        rc = tug_milli_parse(colon + 1, strlen(colon + 1), INT64_MAX / 1000, &to);
    if (rc < 0 || to == 0) {
        tug_buf_adds(hint, "write it like 2, 1.5 or 3:2");
        return tug_fail(err, rc < 0 ? rc : -EINVAL, "%s is not a ratio", quoted(q, sizeof q, text));
    }
    v = v * 1000 / to;
    rc = check_range(key, v, text, hint, err);
    if (rc == 0)
        *(int64_t *) field = v;
    return rc;
}

/* ---- texts ----------------------------------------------------------------------------------- */

int tug_value_check_text(const struct tug_schema_key *key, const char *text, struct tug_buf *hint,
                         struct tug_err *err)
{
    size_t len = strlen(text);
    char q[QUOTED_MAX];

    for (size_t i = 0; i < len; i++) {
        if ((unsigned char) text[i] >= 0x20 && text[i] != 0x7f)
            continue;
        tug_buf_adds(hint, "write it on one line without control characters");
        return tug_fail(err, -EINVAL, "%s has a control character in it",
                        quoted(q, sizeof q, text));
    }
    if (!len) {
        tug_buf_adds(hint, "write a value or take the line out");
        return tug_fail(err, -EINVAL, "the text is empty");
    }
    if (key->max && (int64_t) len > key->max)
        return tug_fail(err, -ERANGE, "%s is %zu bytes long, over the largest, %" PRId64 " bytes",
                        quoted(q, sizeof q, text), len, key->max);
    return 0;
}

static int string_parse(const struct tug_schema_key *key, const char *text, void *field,
                        struct tug_buf *hint, struct tug_err *err)
{
    int rc = tug_value_check_text(key, text, hint, err);

    if (rc == 0)
        *(char **) field = tug_xstrdup(text);
    return rc;
}

static int name_parse(const struct tug_schema_key *key, const char *text, void *field,
                      struct tug_buf *hint, struct tug_err *err)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    char q[QUOTED_MAX];
    int rc = tug_value_check_text(key, text, hint, err);

    if (rc < 0)
        return rc;
    if (strspn(text, letters) != strlen(text) || strchr("._-", *text)) {
        tug_buf_adds(hint, "use letters, digits and . _ -, and begin with a letter or digit");
        return tug_fail(err, -EINVAL, "%s is not a name", quoted(q, sizeof q, text));
    }
    *(char **) field = tug_xstrdup(text);
    return 0;
}

static int path_parse(const struct tug_schema_key *key, const char *text, void *field,
                      struct tug_buf *hint, struct tug_err *err)
{
    char q[QUOTED_MAX];
    int rc = tug_value_check_text(key, text, hint, err);

    if (rc < 0)
        return rc;
    if (*text != '/') {
        tug_buf_adds(hint, *text == '~' || *text == '$'
                               ? "'~' and '$' are not replaced; begin with '/'"
                               : "begin with '/'");
        return tug_fail(err, -EINVAL, "%s is not an absolute path", quoted(q, sizeof q, text));
    }
    *(char **) field = tug_xstrdup(text);
    return 0;
}

static void string_print(const struct tug_schema_key *key, const void *field, struct tug_buf *out)
{
    const char *s = *(char *const *) field;

    (void) key;
    tug_buf_adds(out, s ? s : "");
}

static void string_clear(void *field)
{
    free(*(char **) field);
    *(char **) field = NULL;
}

/* ---- addresses ------------------------------------------------------------------------------- */

enum { SOCKET_PATH_MAX = 107 }; /* sun_path of unix(7), less its NUL */

static int address_parse(const struct tug_schema_key *key, const char *text, void *field,
                         struct tug_buf *hint, struct tug_err *err)
{
    struct tug_conf_address *a = field;
    const char *colon = strrchr(text, ':');
    char q[QUOTED_MAX];
    uint64_t port;
    int rc = tug_value_check_text(key, text, hint, err);

    if (rc < 0)
        return rc;
    if (*text == '/' && key->special) {
        if (strlen(text) > SOCKET_PATH_MAX)
            return tug_fail(err, -ERANGE, "%s is too long for a socket, over %d bytes",
                            quoted(q, sizeof q, text), SOCKET_PATH_MAX);
        a->text = tug_xstrdup(text);
        a->path = tug_xstrdup(text);
        return 0;
    }
    size_t host_len = colon ? (size_t) (colon - text) : 0;
    bool brackets = host_len > 2 && *text == '[' && text[host_len - 1] == ']';
    bool host_ok = host_len && host_len <= 255 && !strpbrk(text, " /") &&
                   (brackets || !memchr(text, ':', host_len));
    if (!host_ok || tug_str_u64(colon + 1, 65535, &port) < 0) {
        tug_buf_addf(hint,
                     "write host:port with a port from 0 to 65535, such as 10.0.0.1:7110 or "
                     "[::1]:7110%s",
                     key->special ? ", or the absolute path of a socket" : "");
        return tug_fail(err, -EINVAL, "%s is not an address", quoted(q, sizeof q, text));
    }
    a->text = tug_xstrdup(text);
    a->host = tug_xasprintf("%.*s", (int) (host_len - 2 * brackets), text + brackets);
    a->port = (int) port;
    return 0;
}

static void address_print(const struct tug_schema_key *key, const void *field, struct tug_buf *out)
{
    const struct tug_conf_address *a = field;

    (void) key;
    tug_buf_adds(out, a->text ? a->text : "");
}

static void address_clear(void *field)
{
    struct tug_conf_address *a = field;

    free(a->text);
    free(a->host);
    free(a->path);
    *a = (struct tug_conf_address){0};
}

/* ---- words ----------------------------------------------------------------------------------- */

static int enum_parse(const struct tug_schema_key *key, const char *text, void *field,
                      struct tug_buf *hint, struct tug_err *err)
{
    char q[QUOTED_MAX];
    size_t n = 0;

    for (; key->values[n]; n++) {
        if (strcmp(text, key->values[n]))
            continue;
        *(int *) field = (int) n;
        return 0;
    }
    const char *near = tug_str_nearest(text, key->values, n);
    if (near)
        tug_buf_addf(hint, "did you mean '%s'?", near);
    else
        for (size_t i = 0; i < n; i++)
            tug_buf_addf(hint, "%s%s",
                         i == 0      ? "it takes "
                         : i + 1 < n ? ", "
                                     : " or ",
                         key->values[i]);
    return tug_fail(err, -EINVAL, "%s is not known here", quoted(q, sizeof q, text));
}

static void enum_print(const struct tug_schema_key *key, const void *field, struct tug_buf *out)
{
    tug_buf_adds(out, key->values[*(const int *) field]);
}

/* ---- hosts ----------------------------------------------------------------------------------- */

static int hosts_parse(const struct tug_schema_key *key, const char *text, void *field,
                       struct tug_buf *hint, struct tug_err *err)
{
    struct tug_conf_hosts *h = field;
    struct tug_hostlist *list = NULL;
    struct tug_err why = {0};
    int rc = tug_value_check_text(key, text, hint, err);

    if (rc < 0)
        return rc;
    if (key->special && !strcmp(text, "all")) {
        h->all = true;
    } else {
        rc = tug_hostlist_parse(text, &list, &why);
        if (rc < 0) {
            tug_buf_adds(hint, "write names like gpu[001-128,200]");
            return tug_fail(err, rc, "%s", why.msg);
        }
    }
    h->text = tug_xstrdup(text);
    h->list = list;
    return 0;
}

static void hosts_print(const struct tug_schema_key *key, const void *field, struct tug_buf *out)
{
    const struct tug_conf_hosts *h = field;

    (void) key;
    if (h->list)
        tug_hostlist_format(h->list, out);
    else
        tug_buf_adds(out, h->all ? "all" : "");
}

static void hosts_clear(void *field)
{
    struct tug_conf_hosts *h = field;

    free(h->text);
    tug_hostlist_free(h->list);
    *h = (struct tug_conf_hosts){0};
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct tug_value_type types[] = {
    [TUG_SCHEMA_BOOL] = {"true or false", sizeof(bool), bool_parse, bool_print, NULL},
    [TUG_SCHEMA_INT] = {"number", sizeof(int64_t), int_parse, number_print, NULL},
    [TUG_SCHEMA_DURATION] = {"duration", sizeof(int64_t), duration_parse, number_print, NULL},
    [TUG_SCHEMA_SIZE] = {"size", sizeof(int64_t), size_parse, number_print, NULL},
    [TUG_SCHEMA_BANDWIDTH] = {"bandwidth", sizeof(int64_t), bandwidth_parse, number_print, NULL},
    [TUG_SCHEMA_RATIO] = {"ratio", sizeof(int64_t), ratio_parse, number_print, NULL},
    [TUG_SCHEMA_STRING] = {"text", sizeof(char *), string_parse, string_print, string_clear},
    [TUG_SCHEMA_NAME] = {"name", sizeof(char *), name_parse, string_print, string_clear},
    [TUG_SCHEMA_PATH] = {"path", sizeof(char *), path_parse, string_print, string_clear},
    [TUG_SCHEMA_ADDRESS] = {"address", sizeof(struct tug_conf_address), address_parse,
                            address_print, address_clear},
    [TUG_SCHEMA_HOSTS] = {"hosts", sizeof(struct tug_conf_hosts), hosts_parse, hosts_print,
                          hosts_clear},
    [TUG_SCHEMA_ENUM] = {"word", sizeof(int), enum_parse, enum_print, NULL},
};

const struct tug_value_type *tug_value_type(enum tug_schema_type type)
{
    return (size_t) type < sizeof types / sizeof *types ? &types[type] : NULL;
}
