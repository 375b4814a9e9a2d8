/* log.c - one line per event, at the level of who must act
 *
 * The only global state in base: the program's name, the level, and whether to write the time.
 * A line goes out in one write(2), so lines of several threads and processes don't mix.
 * Layer: base.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"

static const char *const level_names[] = { "ERROR", "WARN", "INFO", "DEBUG" };

static struct {
    char program[32];
    enum tug_log_level max;
    int with_time;
} sink = { "tug", TUG_LOG_INFO, 0 };

/* systemd sets JOURNAL_STREAM to "device:inode" of the journal's socket (systemd.exec(5)). */
static int stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(2, &st) == 0 &&
           (unsigned long long) st.st_dev == dev && (unsigned long long) st.st_ino == ino;
}

void tug_log_open(const char *program, enum tug_log_level max)
{
    snprintf(sink.program, sizeof sink.program, "%s", program);
    sink.max = max;
    sink.with_time = !stderr_is_journal();
}

void tug_log_set_level(enum tug_log_level max)
{
    sink.max = max;
}

int tug_log_level_parse(const char *name, enum tug_log_level *out)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (!strcasecmp(name, level_names[i])) {
            *out = (enum tug_log_level) i;
            return 0;
        }
    return -EINVAL;
}

static void add_time(struct tug_buf *line)
{
    struct timespec now;
    struct tm tm;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    tug_buf_addf(line, "%s.%03ldZ ", text, now.tv_nsec / 1000000);
}

void tug_log(enum tug_log_level level, const char *fmt, ...)
{
    if (level > sink.max)
        return;
    int saved = errno;
    char sentence[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(sentence, sizeof sentence, fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    size_t len = (size_t) n < sizeof sentence ? (size_t) n : sizeof sentence - 1;

    struct tug_buf line = { 0 };
    if (sink.with_time)
        add_time(&line);
    tug_buf_addf(&line, "%s %s: ", level_names[level], sink.program);
    tug_str_escape(&line, sentence, len);
    tug_buf_adds(&line, (size_t) n > len ? "...\n" : "\n");
    const char *p = line.data;
    for (size_t left = line.len; left;) {
        ssize_t w = write(2, p, left);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            break; /* nowhere to say that there is nowhere to say it */
        p += w;
        left -= (size_t) w;
    }
    tug_buf_clear(&line);
    errno = saved;
}
