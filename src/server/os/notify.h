/* SPDX-License-Identifier: MIT */
/*
 * What systemd is told (sd_notify(3)), and its watchdog. Where there is no systemd, nothing.
 * Only the service's main process is listened to: one that a new program stands beside, and
 * one that has handed over, keep silent.
 */
#ifndef ROSTERD_SERVER_OS_NOTIFY_H
#define ROSTERD_SERVER_OS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** @param silent until notify_speak(): another process is the main one */
void notify_open(bool silent);
void notify_speak(void);
void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
/** STATUS=, where it has changed. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
enum { NOTIFY_NEVER = 1 << 30 }; /* ms: there is no watchdog */
/** Feeds the watchdog where that is due. @return ms until it is due again */
uint64_t notify_watchdog(uint64_t now);
/** Makes another process the main one, and waits until systemd knows; silent from then on. */
void notify_main_pid(pid_t pid);

#endif
