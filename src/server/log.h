/* SPDX-License-Identifier: MIT */
/*
 * The log: one line a write, to stderr, from master and workers alike:
 *   2026-11-23T03:04:05.678Z notice [4711] Server started on port 50051
 * Nothing that a client sent is ever logged.
 */
#ifndef ROSTERD_SERVER_LOG_H
#define ROSTERD_SERVER_LOG_H

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/** "error", "warning", ... */
const char *log_level_name(enum log_level level);
/** Lines of a higher level are dropped from now on; LOG_LEVEL_INFO before. */
void log_set_level(enum log_level level);
/** Longer lines than 1,000 bytes are cut; control characters become '?'. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)

#endif
