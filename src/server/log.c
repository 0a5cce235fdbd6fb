/* SPDX-License-Identifier: MIT */
#include "server/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static enum log_level highest = LOG_LEVEL_INFO;

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
    return names[level];
}

void log_set_level(enum log_level level)
{
    highest = level;
}

static int format_head(char *line, size_t size, enum log_level level)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    return snprintf(line, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s [%d] ", tm.tm_year + 1900,
                    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                    (int)(now.tv_nsec / 1000000), log_level_name(level), (int)getpid());
}

void log_line(enum log_level level, const char *format, ...)
{
    if (level > highest)
        return;
    int saved = errno;
    char line[1024];
    size_t len = (size_t)format_head(line, sizeof(line), level);
    size_t room = sizeof(line) - len - 1; /* for the newline */
    va_list args;
    va_start(args, format);
    int text = vsnprintf(line + len, room, format, args);
    va_end(args);
    size_t end = len + ((size_t)text < room ? (size_t)text : room - 1);
    for (size_t i = len; i < end; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[end] = '\n';
    /* one write, so that lines of several processes do not mix; a log that cannot be
     * written has nobody to tell */
    ssize_t written = write(STDERR_FILENO, line, end + 1);
    (void)written;
    errno = saved;
}
