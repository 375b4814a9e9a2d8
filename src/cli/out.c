/* out.c - how the command speaks: one buffer for stdout, sentences on stderr, JSON, colour
 *
 * stdout is one buffer that is written in one go, so a listing of 10,000 jobs is a handful of
 * system calls. stdio is not used for it. Tables are in table.c. Layer: cli.
 */
#include "cli/out.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "proto/msg.h"

struct tug_out tug_out = {.verb = ""};

static bool wants_colour(int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    if (no && *no)
        return false;
    return isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

/* By name only: setlocale() costs more than the whole command, and only this one question matters.
 */
static bool locale_is_utf8(void)
{
    const char *names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < 3; i++) {
        const char *v = getenv(names[i]);
        if (v && *v)
            return strcasestr(v, "utf-8") || strcasestr(v, "utf8");
    }
    return false;
}

void tug_out_init(void)
{
    tug_out.colour = wants_colour(1);
    tug_out.err_colour = wants_colour(2);
    tug_out.utf8 = locale_is_utf8();
    tug_out.width = 0;
    if (isatty(1)) {
        struct winsize w;
        const char *columns = getenv("COLUMNS");
        if (columns && atoi(columns) > 0)
            tug_out.width = atoi(columns);
        else if (ioctl(1, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
            tug_out.width = w.ws_col;
        else
            tug_out.width = 80;
    }
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t did = write(fd, p, n);
        if (did < 0 && errno == EINTR)
            continue;
        if (did < 0 && fd == 1 && errno == EPIPE)
            _exit(128 + SIGPIPE);
        if (did < 0 && fd == 1) {
            dprintf(2, "tug: writing the output: %s\n", strerror(errno));
            _exit(TUG_EXIT_REFUSED);
        }
        if (did < 0)
            return;
        p += did;
        n -= (size_t) did;
    }
}

void tug_out_flush(void)
{
    write_all(1, tug_out.buf.data, tug_out.buf.len);
    tug_buf_reset(&tug_out.buf);
}

/* ---- sentences ---- */

static void say(const char *kind, enum tug_colour c, const char *text)
{
    struct tug_buf line = {0};
    tug_buf_adds(&line, "tug: ");
    if (*kind) {
        if (tug_out.err_colour)
            tug_buf_adds(&line, c == TUG_RED ? "\033[31m" : "\033[33m");
        tug_buf_adds(&line, kind);
        if (tug_out.err_colour)
            tug_buf_adds(&line, "\033[0m");
        tug_buf_adds(&line, ": ");
    }
    tug_str_escape(&line, text, strlen(text));
    tug_buf_addc(&line, '\n');
    write_all(2, line.data, line.len);
    tug_buf_clear(&line);
}

static int fail(int status, const struct tug_err *err)
{
    if (!tug_out.json) {
        tug_out_flush();
        say("error", TUG_RED, err->msg);
        return status;
    }
    struct tug_buf line = {0};
    tug_buf_addf(&line,
                 "{\"error\":{\"code\":%d,\"text\":", err->code < 0 ? -err->code : err->code);
    tug_out_json_string(&line, err->msg, strlen(err->msg));
    tug_buf_adds(&line, "}}\n");
    tug_buf_reset(&tug_out.buf); /* half an answer and an error would not be JSON */
    tug_buf_add(&tug_out.buf, line.data, line.len);
    tug_out_flush();
    tug_buf_clear(&line);
    return status;
}

int tug_out_fail(const struct tug_err *err)
{
    return fail(err->code == TUG_UNREACHABLE ? TUG_EXIT_UNREACHABLE : TUG_EXIT_REFUSED, err);
}

int tug_out_usage(const struct tug_err *err)
{
    return fail(TUG_EXIT_USAGE, err);
}

static void say_va(const char *kind, enum tug_colour c, const char *fmt, va_list ap)
{
    char text[TUG_ERR_MAX];
    vsnprintf(text, sizeof text, fmt, ap);
    say(kind, c, text);
}

void tug_out_note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say_va("", TUG_PLAIN, fmt, ap);
    va_end(ap);
}

void tug_out_warn(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say_va("warning", TUG_YELLOW, fmt, ap);
    va_end(ap);
}

/* ---- stdout ---- */

void tug_out_adds(const char *s)
{
    tug_buf_adds(&tug_out.buf, s);
}

void tug_out_addf(const char *fmt, ...)
{
    char small[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t) n < sizeof small) {
        tug_buf_add(&tug_out.buf, small, (size_t) n);
    } else if (n > 0) {
        va_start(ap, fmt);
        vsnprintf(tug_buf_room(&tug_out.buf, (size_t) n + 1), (size_t) n + 1, fmt, ap);
        va_end(ap);
        tug_out.buf.len += (size_t) n;
    }
}

void tug_out_text(const char *s)
{
    tug_str_escape(&tug_out.buf, s, strlen(s));
}

void tug_out_colour(enum tug_colour c)
{
    static const char *const codes[] = {"\033[0m",  "\033[1m",  "\033[2m", "\033[31m",
                                        "\033[32m", "\033[33m", "\033[36m"};
    if (tug_out.colour)
        tug_buf_adds(&tug_out.buf, codes[c]);
}

void tug_out_message(const ProtobufCMessage *m)
{
    tug_msg_json(&tug_out.buf, m, 0);
    tug_buf_addc(&tug_out.buf, '\n');
}

/* Bytes that are not UTF-8 become U+FFFD, as in tug_msg_json(). */
void tug_out_json_string(struct tug_buf *out, const char *s, size_t n)
{
    tug_buf_addc(out, '"');
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char) s[i];
        size_t len = c < 0x80                ? 1
                     : c >= 0xC2 && c < 0xE0 ? 2
                     : c >= 0xE0 && c < 0xF0 ? 3
                     : c >= 0xF0 && c < 0xF5 ? 4
                                             : 0;
        bool whole = len > 0 && len <= n - i;
        for (size_t k = 1; whole && k < len; k++)
            whole = ((unsigned char) s[i + k] & 0xC0) == 0x80;
        if (c == 0xE0 || c == 0xF0 || c == 0xED ||
            c == 0xF4) { /* overlong forms, surrogates, over U+10FFFF */
            unsigned char d = whole ? (unsigned char) s[i + 1] : 0;
            whole = whole && (c == 0xE0   ? d >= 0xA0
                              : c == 0xF0 ? d >= 0x90
                              : c == 0xED ? d < 0xA0
                                          : d < 0x90);
        }
        if (!whole) {
            tug_buf_adds(out, "\xef\xbf\xbd");
            len = 1;
        } else if (c == '"' || c == '\\') {
            tug_buf_addc(out, '\\');
            tug_buf_addc(out, (char) c);
        } else if (c < 0x20 || c == 0x7F) {
            tug_buf_addf(out, "\\u%04x", c);
        } else {
            tug_buf_add(out, s + i, len);
        }
        i += len;
    }
    tug_buf_addc(out, '"');
}

/* ---- times ---- */

char *tug_out_time(int64_t ms, char *out, size_t size_bytes)
{
    time_t s = (time_t) (ms / 1000);
    struct tm tm;
    if (ms <= 0 || !localtime_r(&s, &tm) || !strftime(out, size_bytes, "%Y-%m-%dT%H:%M:%S", &tm))
        snprintf(out, size_bytes, "-");
    return out;
}

char *tug_out_span(int64_t ms, char *out, size_t size_bytes)
{
    long long s = ms > 0 ? (long long) (ms / 1000) : 0;
    if (s == 0 && size_bytes >= 5)
        return memcpy(out, "0:00", 5); /* most of a long list */
    long long d = s / 86400, h = s / 3600 % 24, m = s / 60 % 60;
    s %= 60;
    if (d)
        snprintf(out, size_bytes, "%lld-%02lld:%02lld:%02lld", d, h, m, s);
    else if (h)
        snprintf(out, size_bytes, "%lld:%02lld:%02lld", h, m, s);
    else
        snprintf(out, size_bytes, "%lld:%02lld", m, s);
    return out;
}

char *tug_out_precise(int64_t ms, char *out, size_t size_bytes)
{
    if (ms < 0)
        ms = 0;
    if (ms < 10000)
        snprintf(out, size_bytes, "%lld.%03lld s", (long long) (ms / 1000),
                 (long long) (ms % 1000));
    else if (ms < 60000)
        snprintf(out, size_bytes, "%lld.%lld s", (long long) (ms / 1000),
                 (long long) (ms % 1000 / 100));
    else
        tug_out_span(ms, out, size_bytes);
    return out;
}
