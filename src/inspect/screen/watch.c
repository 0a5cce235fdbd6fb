/* SPDX-License-Identifier: MIT */
/* watch: the segment as it changes, on a full screen or as a JSON object a line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "inspect/commands/actors.h"
#include "inspect/core/guard.h"
#include "inspect/core/status.h"
#include "inspect/core/text.h"
#include "inspect/screen/sampler.h"
#include "inspect/screen/screen.h"

#define INTERVAL_MIN     0.1 /* seconds */
#define INTERVAL_MAX     3600.0
#define INTERVAL_DEFAULT 1.0

/* @return false where the text is no number of seconds in these bounds */
static bool parse_interval(const char *text, double *interval)
{
    char *end;

    *interval = INTERVAL_DEFAULT;
    if (text == NULL)
        return true;
    errno = 0;
    *interval = strtod(text, &end);
    /* strtod() itself would take blanks, signs, infinity, hexadecimal and exponents */
    return text[0] != '\0' && text[strspn(text, "0123456789.")] == '\0' && *end == '\0' &&
           errno == 0 && *interval >= INTERVAL_MIN && *interval <= INTERVAL_MAX;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ms until `due`, for poll() */
static int ms_until(uint64_t due)
{
    uint64_t now = now_ms();

    return due > now ? (int)(due - now) : 0;
}

/* ---- JSON ---- */

static struct json_object *slots_object(const struct sampler *sampler)
{
    struct json_object *slots = json_object_new_array();

    for (size_t i = 0; i < sampler->num_slots; i++) {
        const struct sampler_slot *slot = &sampler->slots[i];
        struct json_object *object = actors_slot_object(&slot->info);
        text_json_number(object, "calls", slot->calls);
        json_object_object_add(object, "calls_per_second", json_object_new_double(slot->call_rate));
        text_json_number(object, "connections", slot->connections);
        json_object_array_add(slots, object);
    }
    return slots;
}

static void put_rate(struct json_object *object, const struct sampler_rate *rate)
{
    json_object_object_add(object, "now", json_object_new_double(rate->now));
    json_object_object_add(object, "avg10", json_object_new_double(rate->avg10));
    json_object_object_add(object, "avg60", json_object_new_double(rate->avg60));
}

/* Those that have counted something. */
static struct json_object *counters_object(const struct sampler *sampler)
{
    struct json_object *counters = json_object_new_object();

    for (size_t i = 0; i < sampler->num_counters; i++) {
        const struct sampler_counter *counter = &sampler->counters[i];
        if (counter->value == 0)
            continue;
        struct json_object *object = json_object_new_object();
        text_json_number(object, "value", counter->value);
        put_rate(object, &counter->rate);
        json_object_object_add(counters, counter->name, object);
    }
    return counters;
}

static void print_json(const struct sampler *sampler)
{
    struct json_object *object = json_object_new_object();
    struct json_object *commits = json_object_new_object();

    json_object_object_add(object, "time", json_object_new_int64((int64_t)time(NULL)));
    json_object_object_add(object, "present", json_object_new_boolean(sampler->store != NULL));
    if (sampler->store == NULL) {
        json_object_object_add(object, "reason",
                               text_json_string(sampler->why.text, strlen(sampler->why.text)));
        json_object_put(commits);
    } else {
        json_object_object_add(object, "segment", status_object(&sampler->info));
        put_rate(commits, &sampler->commits);
        json_object_object_add(object, "commits_per_second", commits);
        json_object_object_add(object, "workers", slots_object(sampler));
        json_object_object_add(object, "counters", counters_object(sampler));
    }
    text_print_json(stdout, object);
    json_object_put(object);
}

static enum inspect_exit watch_json(struct sampler *sampler, double interval)
{
    enum inspect_exit stopped;
    uint64_t due = now_ms();

    while (!guard_stopped()) {
        sampler_look(sampler);
        print_json(sampler);
        if (!inspect_flush(&stopped))
            return stopped;
        due += (uint64_t)(interval * 1000);
        while (!guard_stopped() && ms_until(due) > 0) {
            if (!inspect_sleep(ms_until(due)))
                return INSPECT_DONE;
        }
    }
    return INSPECT_DONE;
}

/* ---- the screen ---- */

static void change_interval(double *interval, double factor)
{
    enum { SLOWEST = 60 }; /* by keys */

    if (factor < 1 ? *interval * factor >= INTERVAL_MIN : *interval * factor <= SLOWEST)
        *interval *= factor;
}

/* Until the next look is due. @return whether to go on */
static bool handle_keys(const struct sampler *sampler, double *interval, uint64_t looked)
{
    for (;;) {
        uint64_t due = looked + (uint64_t)(*interval * 1000);
        if (ms_until(due) == 0)
            return true;
        enum screen_key key = screen_wait(ms_until(due));
        if (key == SCREEN_QUIT)
            return false;
        if (key == SCREEN_FASTER)
            change_interval(interval, 0.5);
        if (key == SCREEN_SLOWER)
            change_interval(interval, 2);
        if (key != SCREEN_NONE)
            screen_draw(sampler, *interval);
    }
}

static enum inspect_exit watch_screen(struct sampler *sampler, double interval)
{
    uint64_t looked;
    enum inspect_exit code = screen_open();

    if (code != INSPECT_DONE)
        return code;
    do {
        looked = now_ms();
        sampler_look(sampler);
        screen_draw(sampler, interval);
    } while (handle_keys(sampler, &interval, looked));
    screen_close();
    return INSPECT_DONE;
}

enum inspect_exit inspect_watch(const struct inspect_options *options)
{
    static struct sampler sampler;
    double interval;

    if (!parse_interval(options->operands[0], &interval))
        return inspect_fail(INSPECT_USAGE, "watch: %s is no interval of %.1f to %.0f seconds",
                            options->operands[0], INTERVAL_MIN, INTERVAL_MAX);
    if (!options->json && !isatty(STDOUT_FILENO))
        return inspect_fail(INSPECT_USAGE, "watch: stdout is no terminal (see --json)");
    enum inspect_exit code = sampler_open(&sampler, options);
    if (code != INSPECT_DONE)
        return code;
    guard_stop();
    code = options->json ? watch_json(&sampler, interval) : watch_screen(&sampler, interval);
    sampler_close(&sampler);
    return code;
}
