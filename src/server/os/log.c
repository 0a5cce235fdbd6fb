/* SPDX-License-Identifier: MIT */
#include "server/os/log.h"

#include <assert.h>
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

#include "base/clock.h"
#include "base/output.h"
#include "base/utf8.h"

enum { LOG_LINE_MAX = 1024 }; /* bytes of a line, with its head */

static struct {
    enum log_level highest; /* the least urgent level that is logged */
    int fd;
    bool journal;    /* lines go to the journal by its own protocol, not to fd */
    char path[4096]; /* of the file; empty: the journal or standard error */
    char worker[32]; /* "ROSTERD_WORKER=N"; empty in the master */
    uint64_t dropped;
} the_log = {.highest = LOG_LEVEL_INFO, .fd = STDERR_FILENO};

void log_set_level(enum log_level level)
{
    the_log.highest = level;
}

void log_set_worker(unsigned number)
{
    snprintf(the_log.worker, sizeof(the_log.worker), "ROSTERD_WORKER=%u", number);
}

uint64_t log_dropped(void)
{
    return the_log.dropped;
}

/* ---- destinations ---- */

/* Whether standard error is the stream that systemd connected to its journal. */
static bool is_journal(void)
{
    unsigned long long device, inode;
    struct stat st;
    const char *stream = getenv("JOURNAL_STREAM");
    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static void set_log_fd(int fd)
{
    if (the_log.fd != STDERR_FILENO)
        close(the_log.fd);
    the_log.fd = fd;
}

bool log_open(const char *path, struct fault *fault)
{
    if (path == NULL) {
        the_log.path[0] = '\0';
        the_log.journal = is_journal();
        set_log_fd(STDERR_FILENO);
        return true;
    }
    int fd = output_open(path);
    if (fd < 0)
        return fault_set(fault, "%s: %s", path, output_error(errno));
    set_log_fd(fd);
    the_log.journal = false;
    if (path != the_log.path)
        snprintf(the_log.path, sizeof(the_log.path), "%s", path);
    return true;
}

bool log_reopen(struct fault *fault)
{
    return the_log.path[0] == '\0' || output_descriptor(the_log.path) >= 0 ||
           log_open(the_log.path, fault);
}

/* ---- lines ---- */

static void send_to_journal(enum log_level level, const char *text)
{
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG};
    const char *worker = the_log.worker[0] != '\0' ? the_log.worker : NULL;
    if (sd_journal_send("PRIORITY=%i", priorities[level], "MESSAGE=%s", text,
                        "SYSLOG_IDENTIFIER=rosterd", worker, NULL) < 0)
        the_log.dropped++;
}

/* A single write, so that the lines of several processes do not mix. A pipe or socket that is
 * writable takes a line without blocking. */
static void write_line(const char *line, size_t len)
{
    struct pollfd ready = {.fd = the_log.fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0 ||
        write(the_log.fd, line, len) != (ssize_t)len)
        the_log.dropped++;
}

/* Writes time, level and process. @return the length */
static size_t format_head(char *line, size_t size, enum log_level level)
{
    static const char *const level_names[] = {"error", "warning", "notice", "info", "debug"};
    uint64_t now = clock_real_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    return (size_t)snprintf(line, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s [%d] ",
                            tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                            tm.tm_sec, (int)(now % 1000), level_names[level], (int)getpid());
}

/* A path, a client's name or a library's message may contain any bytes. Replaces those that could
 * move a terminal's cursor, begin another line or change the direction of the text. */
static void replace_controls(char *text, size_t len)
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
    assert(level <= LOG_LEVEL_DEBUG);
    if (level > the_log.highest)
        return;
    int saved = errno;
    char line[LOG_LINE_MAX];
    size_t head = format_head(line, sizeof(line), level);
    size_t room = sizeof(line) - head - 1; /* for the newline */
    va_list args;
    va_start(args, format);
    int text = vsnprintf(line + head, room, format, args);
    va_end(args);
    size_t end = head + ((size_t)text < room ? (size_t)text : room - 1);
    replace_controls(line + head, end - head);
    line[end] = the_log.journal ? '\0' : '\n';
    if (the_log.journal)
        send_to_journal(level, line + head);
    else
        write_line(line, end + 1);
    errno = saved;
}
