/* str.c - small questions about text, and how to show it
 *
 * Nothing here looks at the locale: text is UTF-8 or it is bytes.
 * Layer: base.
 */
#include "base/str.h"

#include <errno.h>
#include <string.h>

#define NEAREST_MAX 64 /* bytes of a word that tug_str_nearest() looks at */

/* Length of the well-formed UTF-8 character at s (RFC 3629: shortest form, no surrogates, up to
 * U+10FFFF), 0 when there is none; the code point goes to *cp. */
static size_t utf8_char(const unsigned char *s, size_t n, uint32_t *cp)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t len = s[0] < 0x80   ? 1
                 : s[0] < 0xC2 ? 0
                 : s[0] < 0xE0 ? 2
                 : s[0] < 0xF0 ? 3
                 : s[0] < 0xF5 ? 4
                               : 0;
    if (len == 0 || len > n)
        return 0;
    uint32_t c = len == 1 ? s[0] : s[0] & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3F);
    }
    if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return 0;
    *cp = c;
    return len;
}

static bool is_hostile(uint32_t cp)
{
    return cp == 0x200E || cp == 0x200F || (cp >= 0x2028 && cp <= 0x202E) ||
           (cp >= 0x2066 && cp <= 0x2069) || cp == 0xFEFF;
}

void tug_str_escape(struct tug_buf *out, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *) text;
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        size_t len = utf8_char(s + i, n - i, &cp);
        if (len == 1 && (cp == '\n' || cp == '\t' || cp == '\r')) {
            tug_buf_addc(out, '\\');
            tug_buf_addc(out, cp == '\n' ? 'n' : cp == '\t' ? 't' : 'r');
        } else if (len == 0) {
            tug_buf_addf(out, "\\x%02x", s[i]);
            len = 1;
        } else if (cp < 0x20 || (cp >= 0x7F && cp < 0xA0)) {
            tug_buf_addf(out, "\\x%02x", (unsigned) cp);
        } else if (is_hostile(cp)) {
            tug_buf_addf(out, "\\u%04x", (unsigned) cp);
        } else {
            tug_buf_add(out, s + i, len);
        }
        i += len;
    }
}

bool tug_str_has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool tug_str_has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool tug_str_split(const char **rest, char sep, const char **at, size_t *len)
{
    if (!*rest)
        return false;
    const char *end = strchr(*rest, sep);
    *at = *rest;
    *len = end ? (size_t) (end - *rest) : strlen(*rest);
    *rest = end ? end + 1 : NULL;
    return true;
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    return a < b ? (a < c ? a : c) : (b < c ? b : c);
}

/* Optimal string alignment distance; three rows of the usual table are alive at a time. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
    unsigned rows[3][NEAREST_MAX + 1];
    unsigned *before = rows[0], *prev = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++)
        prev[j] = (unsigned) j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = (unsigned) i;
        for (size_t j = 1; j <= m; j++) {
            unsigned differ = lower(a[i - 1]) != lower(b[j - 1]);
            row[j] = min3(prev[j] + 1, row[j - 1] + 1, prev[j - 1] + differ);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]) && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        unsigned *oldest = before;
        before = prev;
        prev = row;
        row = oldest;
    }
    return prev[m];
}

const char *tug_str_nearest(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    unsigned best_distance = 0;
    size_t len = strlen(word);
    if (len == 0 || len > NEAREST_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t name_len = strlen(names[i]);
        if (name_len == 0 || name_len > NEAREST_MAX)
            continue;
        size_t longer = name_len > len ? name_len : len;
        unsigned d = distance(word, len, names[i], name_len);
        if (d <= (longer + 2) / 3 && d < longer && (!best || d < best_distance)) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}

bool tug_str_copy(char *out, size_t size_bytes, const char *s)
{
    size_t n = strlen(s);
    bool whole = n < size_bytes;
    if (size_bytes == 0)
        return false;
    if (!whole) {
        n = size_bytes - 1;
        while (n > 0 && ((unsigned char) s[n] & 0xC0) == 0x80)
            n--;
    }
    memcpy(out, s, n);
    out[n] = '\0';
    return whole;
}

int tug_str_u64(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (!*text)
        return -EINVAL;
    for (const char *p = text; *p; p++)
        if (*p < '0' || *p > '9')
            return -EINVAL;
    for (const char *p = text; *p; p++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t) (*p - '0'), &value) || value > max)
            return -ERANGE;
    }
    *out = value;
    return 0;
}
