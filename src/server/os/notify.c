/* SPDX-License-Identifier: MIT */
#include "server/os/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"

enum { BARRIER_US = 5000000, STATUS_SIZE = 256 };

static struct {
    bool silent;
    uint64_t period;          /* ms between two feeds of the watchdog; 0: there is no watchdog */
    uint64_t fed_at;          /* clock_monotonic_ms() */
    char status[STATUS_SIZE]; /* the last one that was sent */
} systemd;

void notify_open(bool silent)
{
    uint64_t us;
    systemd.silent = silent;
    if (sd_watchdog_enabled(0, &us) > 0)
        systemd.period = us / 1000 / 3; /* two feeds in a row may be late */
}

void notify_speak(void)
{
    systemd.silent = false;
}

static void notify_send(const char *state)
{
    if (!systemd.silent)
        (void)sd_notify(0, state); /* no-op without systemd */
}

void notify_ready(void)
{
    notify_send("READY=1");
}

void notify_reloading(void)
{
    char state[80];
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)clock_monotonic_us());
    notify_send(state);
}

void notify_stopping(void)
{
    notify_send("STOPPING=1");
}

void notify_status(const char *format, ...)
{
    char state[STATUS_SIZE] = "STATUS=";
    size_t len = strlen(state);
    va_list args;
    va_start(args, format);
    vsnprintf(state + len, sizeof(state) - len, format, args);
    va_end(args);
    if (systemd.silent || strcmp(state, systemd.status) == 0)
        return;
    memcpy(systemd.status, state, sizeof(state));
    notify_send(state);
}

uint64_t notify_watchdog(uint64_t now)
{
    if (systemd.period == 0 || systemd.silent)
        return CLOCK_NEVER_MS;
    if (now >= systemd.fed_at + systemd.period) {
        notify_send("WATCHDOG=1");
        systemd.fed_at = now;
    }
    return systemd.fed_at + systemd.period;
}

void notify_main_pid(pid_t pid)
{
    char state[48];
    snprintf(state, sizeof(state), "MAINPID=%d", (int)pid);
    notify_send(state);
    /* else systemd may get a message of that process before it knows that it is the main one */
    if (!systemd.silent)
        (void)sd_notify_barrier(0, BARRIER_US);
    systemd.silent = true;
}
