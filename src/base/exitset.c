/* exitset.c - a set of ways in which a process may end
 *
 * Layer: base.
 */
#include "base/exitset.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/signame.h"
#include "base/str.h"

#define CODE_MAX 255
#define WORD_MAX 32

static void add(struct tug_exitset *s, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i <= to; i++)
        s->bits[i / 64] |= 1ull << (i % 64);
}

/* "75" or "100-110"; false: it is no number. */
static bool read_codes(const char *word, uint64_t *from, uint64_t *to)
{
    char first[WORD_MAX];
    const char *dash = strchr(word, '-');
    tug_str_copy(first, sizeof first, word);
    if (dash)
        first[dash - word] = '\0';
    if (tug_str_u64(first, UINT32_MAX, from))
        return false;
    *to = *from;
    return !dash || tug_str_u64(dash + 1, UINT32_MAX, to) == 0;
}

static int add_word(struct tug_exitset *s, const char *word, struct tug_err *err)
{
    uint64_t from, to;
    int signo;
    if (!strcasecmp(word, "any")) {
        add(s, 1, CODE_MAX);
        return 0;
    }
    if (read_codes(word, &from, &to)) {
        if (from == 0)
            return tug_fail(err, -EINVAL, "'%s': exit code 0 is a good end; codes are 1 to %d", word, CODE_MAX);
        if (to > CODE_MAX || from > to)
            return tug_fail(err, -EINVAL, "'%s': exit codes are 1 to %d, a range goes from the lower to the higher", word,
                            CODE_MAX);
        add(s, from, to);
        return 0;
    }
    if (tug_signame_parse(word, &signo, NULL))
        return tug_fail(err, -EINVAL,
                        "'%s' is neither an exit code (75, 100-110) nor a signal (SIGBUS, TERM), nor 'any'", word);
    add(s, 128 + (uint64_t) signo, 128 + (uint64_t) signo);
    return 0;
}

int tug_exitset_parse(const char *text, struct tug_exitset *out, struct tug_err *err)
{
    struct tug_exitset s = {0};
    if (!*text)
        return tug_fail(err, -EINVAL, "an empty list; write exit codes and signals: 75,100-110,SIGBUS, or any");
    if (strlen(text) > TUG_EXITSET_TEXT_MAX)
        return tug_fail(err, -EINVAL, "the list has %zu bytes, at most %d are allowed; ranges like 100-110 are shorter",
                        strlen(text), TUG_EXITSET_TEXT_MAX);
    for (const char *at = text;;) {
        char word[WORD_MAX];
        size_t len = strcspn(at, ",");
        if (len == 0 || len >= sizeof word)
            return tug_fail(err, -EINVAL,
                            len ? "'%.64s': a word of it is too long" : "'%.64s': something is missing before or after a comma",
                            text);
        memcpy(word, at, len);
        word[len] = '\0';
        int rc = add_word(&s, word, err);
        if (rc)
            return rc;
        if (!at[len])
            break;
        at += len + 1;
    }
    *out = s;
    return 0;
}

int tug_exitset_has(const struct tug_exitset *s, int code, int signal)
{
    int i = signal > 0 ? 128 + signal : code;
    return i > 0 && i <= CODE_MAX && (s->bits[i / 64] >> (i % 64) & 1);
}
