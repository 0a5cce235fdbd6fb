/* SPDX-License-Identifier: MIT */
#include "server/os/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

#include "base/output.h"
#include "base/utf8.h"

static struct {
    enum log_level highest;
    int fd;
    bool journal; /* fd is its */
    char path[4096];
    char worker[32];
    uint64_t dropped;
} to = {.highest = LOG_LEVEL_INFO, .fd = STDERR_FILENO};

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
    return names[level];
}

void log_set_level(enum log_level level)
{
    to.highest = level;
}

void log_set_worker(unsigned number)
{
    snprintf(to.worker, sizeof(to.worker), "ROSTERD_WORKER=%u", number);
}

uint64_t log_dropped(void)
{
    return to.dropped;
}

/* ---- where to ---- */

/* Whether standard error is the stream that systemd connected to its journal. */
static bool is_journal(void)
{
    unsigned long long device, inode;
    struct stat st;
    const char *stream = getenv("JOURNAL_STREAM");
    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static bool set_fd(int fd)
{
    if (fd < 0)
        return false;
    if (to.fd != STDERR_FILENO)
        close(to.fd);
    to.fd = fd;
    return true;
}

bool log_open(const char *path)
{
    if (path == NULL) {
        to.path[0] = '\0';
        to.journal = is_journal();
        return set_fd(STDERR_FILENO);
    }
    if (!set_fd(output_open(path)))
        return false;
    to.journal = false;
    if (path != to.path)
        snprintf(to.path, sizeof(to.path), "%s", path);
    return true;
}

bool log_reopen(void)
{
    return to.path[0] == '\0' || output_descriptor(to.path) >= 0 || log_open(to.path);
}

/* ---- lines ---- */

static void send_to_journal(enum log_level level, const char *text)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG};
    const char *worker = to.worker[0] != '\0' ? to.worker : NULL;
    if (sd_journal_send("PRIORITY=%i", priorities[level], "MESSAGE=%s", text,
                        "SYSLOG_IDENTIFIER=rosterd", worker, NULL) < 0)
        to.dropped++;
}

/* One write, so that lines of several processes do not mix. A pipe or socket that says it is
 * writable takes a line without making anybody wait. */
static void write_out(const char *line, size_t len)
{
    struct pollfd ready = {.fd = to.fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0 ||
        write(to.fd, line, len) != (ssize_t)len)
        to.dropped++;
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

/* A path, a client's name and a library's reason may hold anything: no byte of theirs may move the
 * cursor, begin another line or turn the text around. */
static void defuse(char *text, size_t len)
{
    uint32_t code;
    for (size_t i = 0, bytes; i < len; i += bytes) {
        bytes = utf8_next((const uint8_t *)text + i, len - i, &code);
        bool bad = bytes == 0 || utf8_steers(code);
        bytes += bytes == 0;
        if (bad)
            memset(text + i, '?', bytes);
    }
}

void log_line(enum log_level level, const char *format, ...)
{
    if (level > to.highest)
        return;
    int saved = errno;
    char line[1024];
    size_t head = (size_t)format_head(line, sizeof(line), level);
    size_t room = sizeof(line) - head - 1; /* for the newline */
    va_list args;
    va_start(args, format);
    int text = vsnprintf(line + head, room, format, args);
    va_end(args);
    size_t end = head + ((size_t)text < room ? (size_t)text : room - 1);
    defuse(line + head, end - head);
    line[end] = to.journal ? '\0' : '\n';
    if (to.journal)
        send_to_journal(level, line + head);
    else
        write_out(line, end + 1);
    errno = saved;
}
