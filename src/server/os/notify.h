/* SPDX-License-Identifier: MIT */
/*
 * Messages to systemd (sd_notify(3)), and its watchdog. Without systemd all of it does nothing.
 * systemd listens only to the main process of the service: a new program that is not the main
 * process yet is silent, and so is a program that has handed over.
 */
#ifndef ROSTERD_SERVER_OS_NOTIFY_H
#define ROSTERD_SERVER_OS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** @param silent nothing is sent until notify_speak(), because another process is the main one */
void notify_open(bool silent);
/** This process is the main one now. */
void notify_speak(void);
void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
/** Sends STATUS= if the text has changed. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/**
 * Feeds the watchdog if it is due.
 * @param now clock_monotonic_ms()
 * @return when it is due again, on the same clock; CLOCK_NEVER_MS without a watchdog
 */
uint64_t notify_watchdog(uint64_t now);
/** Makes another process the main one and waits until systemd knows; silent from then on. */
void notify_main_pid(pid_t pid);

#endif
