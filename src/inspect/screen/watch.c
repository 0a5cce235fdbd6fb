/* SPDX-License-Identifier: MIT */
#include "inspect/screen/watch.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "inspect/core/guard.h"
#include "inspect/core/object.h"
#include "inspect/core/segment_info.h"
#include "inspect/core/slot_info.h"
#include "inspect/core/stdout.h"
#include "inspect/screen/canvas.h"
#include "inspect/screen/sampler.h"
#include "inspect/screen/screen.h"
#include "inspect/screen/terminal.h"

#define INTERVAL_MIN     0.1 /* seconds */
#define INTERVAL_MAX     3600.0
#define INTERVAL_DEFAULT 1.0

/* Returns false if the text is not a number of seconds within the bounds. NULL: the default. */
static bool parse_interval(const char *text, double *interval)
{
    char *end;
    *interval = INTERVAL_DEFAULT;
    if (text == NULL)
        return true;
    errno = 0;
    *interval = strtod(text, &end);
    /* strtod() also accepts blanks, signs, infinity, hexadecimal digits and exponents. */
    return text[0] != '\0' && text[strspn(text, "0123456789.")] == '\0' && *end == '\0' &&
           errno == 0 && *interval >= INTERVAL_MIN && *interval <= INTERVAL_MAX;
}

/* The time until `due` in milliseconds, for poll(). */
static int ms_until(uint64_t due)
{
    uint64_t now = clock_monotonic_ms();
    return due > now ? (int)(due - now) : 0;
}

/* ---- JSON ---- */

static struct json_object *sampled_slots_array(const struct sampler *sampler)
{
    struct json_object *slots = object_new_array();
    for (size_t i = 0; i < sampler->num_slots; i++) {
        const struct sampler_slot *slot = &sampler->slots[i];
        struct json_object *object = slot_info_object(&slot->info);
        object_add_number(object, "calls", slot->calls);
        object_add_double(object, "calls_per_second", slot->call_rate);
        object_add_number(object, "connections", slot->connections);
        if (slot->cpu >= 0)
            object_add_double(object, "cpu_percent", slot->cpu);
        if (slot->usage.known)
            object_add_number(object, "memory_bytes", slot->usage.memory);
        object_append(slots, object);
    }
    return slots;
}

static void add_rate(struct json_object *object, const struct sampler_rate *rate)
{
    object_add_double(object, "now", rate->now);
    object_add_double(object, "avg10", rate->avg10);
    object_add_double(object, "avg60", rate->avg60);
}

/* The counters that are not zero. */
static struct json_object *sampled_counters_object(const struct sampler *sampler)
{
    struct json_object *counters = object_new();
    for (size_t i = 0; i < sampler->num_counters; i++) {
        const struct sampler_counter *counter = &sampler->counters[i];
        if (counter->value == 0)
            continue;
        struct json_object *object = object_new();
        object_add_number(object, "value", counter->value);
        add_rate(object, &counter->rate);
        object_add(counters, counter->name, object);
    }
    return counters;
}

/* As in Prometheus, what is longer than the histogram can tell counts as its last bound. Nothing is
 * added if there were no calls. */
static void add_percentile(struct json_object *object, const char *key,
                           const struct histogram *times, double share)
{
    double ms = histogram_percentile(times, share);
    if (!isnan(ms))
        object_add_double(object, key, isinf(ms) ? histogram_longest(times) : ms);
}

/* The methods that have been called; percentiles and errors are those of the window. */
static struct json_object *sampled_methods_object(const struct sampler *sampler)
{
    struct json_object *methods = object_new();
    for (size_t i = 0; sampler->total != NULL && i < sampler->total->num_methods; i++) {
        const struct call_method *total = &sampler->total->methods[i];
        const struct call_method *recent = &sampler->recent->methods[i];
        if (total->started == 0)
            continue;
        struct json_object *object = object_new();
        object_add_number(object, "calls", total->started);
        object_add_number(object, "errors", total->failed);
        object_add_number(object, "recent_calls", recent->ended);
        object_add_number(object, "recent_errors", recent->failed);
        add_percentile(object, "p50_ms", &recent->times, 0.5);
        add_percentile(object, "p90_ms", &recent->times, 0.9);
        add_percentile(object, "p99_ms", &recent->times, 0.99);
        add_percentile(object, "p99_9_ms", &recent->times, 0.999);
        object_add(methods, total->name, object);
    }
    return methods;
}

static void watch_print_json(const struct sampler *sampler)
{
    struct json_object *object = object_new();
    object_add_signed(object, "time", clock_real_coarse_s());
    object_add_bool(object, "present", sampler->store != NULL);
    if (sampler->store == NULL) {
        object_add_string(object, "reason", sampler->why.text);
    } else {
        struct json_object *commits = object_new();
        object_add(object, "segment", segment_info_object(&sampler->info, &sampler->disk));
        add_rate(commits, &sampler->commits);
        object_add(object, "commits_per_second", commits);
        object_add(object, "workers", sampled_slots_array(sampler));
        if (sampler_uptime(sampler) >= 0)
            object_add_signed(object, "uptime_seconds", sampler_uptime(sampler));
        object_add_double(object, "window_seconds", sampler->window);
        object_add(object, "methods", sampled_methods_object(sampler));
        object_add(object, "counters", sampled_counters_object(sampler));
    }
    object_print(stdout, object);
}

static enum inspect_exit watch_json(struct sampler *sampler, double interval)
{
    enum inspect_exit stopped;
    uint64_t due = clock_monotonic_ms();
    while (!guard_stopped()) {
        sampler_look(sampler);
        watch_print_json(sampler);
        if (!stdout_flush(&stopped))
            return stopped;
        due += (uint64_t)(interval * 1000);
        while (!guard_stopped() && ms_until(due) > 0) {
            if (!stdout_sleep(ms_until(due)))
                return INSPECT_DONE;
        }
    }
    return INSPECT_DONE;
}

/* ---- the screen ---- */

static void change_interval(double *interval, double factor)
{
    enum { SLOWEST = 60 }; /* seconds that the keys can reach */
    if (factor < 1 ? *interval * factor >= INTERVAL_MIN : *interval * factor <= SLOWEST)
        *interval *= factor;
}

/* Handles keys until the next look at the segment is due. Returns false to end the command. */
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
    enum inspect_exit code = terminal_open();
    if (code != INSPECT_DONE)
        return code;
    canvas_open();
    do {
        looked = clock_monotonic_ms();
        sampler_look(sampler);
        screen_draw(sampler, interval);
    } while (handle_keys(sampler, &interval, looked));
    terminal_close();
    return INSPECT_DONE;
}

enum inspect_exit command_watch(const struct inspect_options *options)
{
    static struct sampler sampler;
    double interval;
    if (!parse_interval(options->operands[0], &interval))
        return report_fail(INSPECT_USAGE, "watch: %s is not an interval of %.1f to %.0f seconds",
                           options->operands[0], INTERVAL_MIN, INTERVAL_MAX);
    if (!options->json && !isatty(STDOUT_FILENO))
        return report_fail(INSPECT_USAGE, "watch: stdout is not a terminal (see --json)");
    enum inspect_exit code = sampler_open(&sampler, options);
    if (code != INSPECT_DONE)
        return code;
    guard_hold_signals();
    code = options->json ? watch_json(&sampler, interval) : watch_screen(&sampler, interval);
    sampler_close(&sampler);
    return code;
}
