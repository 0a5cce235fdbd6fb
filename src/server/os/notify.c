/* SPDX-License-Identifier: MIT */
#include "server/os/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

enum { BARRIER_US = 5000000, STATUS_SIZE = 256 };

static struct {
    bool silent;
    uint64_t period; /* ms between two feeds; 0: nobody waits for any */
    uint64_t fed_at; /* ms */
    char status[STATUS_SIZE];
} systemd;

void notify_open(bool silent)
{
    uint64_t us;
    systemd.silent = silent;
    if (sd_watchdog_enabled(0, &us) > 0)
        systemd.period = us / 1000 / 3; /* two may be late before it bites */
}

void notify_speak(void)
{
    systemd.silent = false;
}

static void tell(const char *state)
{
    if (!systemd.silent)
        (void)sd_notify(0, state); /* who is not there is not told */
}

void notify_ready(void)
{
    tell("READY=1");
}

void notify_reloading(void)
{
    char state[80];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    tell(state);
}

void notify_stopping(void)
{
    tell("STOPPING=1");
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
    tell(state);
}

uint64_t notify_watchdog(uint64_t now)
{
    if (systemd.period == 0 || systemd.silent)
        return NOTIFY_NEVER;
    if (now >= systemd.fed_at + systemd.period) {
        tell("WATCHDOG=1");
        systemd.fed_at = now;
    }
    return systemd.fed_at + systemd.period - now;
}

void notify_main_pid(pid_t pid)
{
    char state[48];
    snprintf(state, sizeof(state), "MAINPID=%d", (int)pid);
    tell(state);
    /* or systemd might hear the other before it knows who that is */
    if (!systemd.silent)
        (void)sd_notify_barrier(0, BARRIER_US);
    systemd.silent = true;
}
