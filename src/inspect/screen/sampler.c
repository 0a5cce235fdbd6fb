/* SPDX-License-Identifier: MIT */
#include "inspect/screen/sampler.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "inspect/core/call_stats.h"
#include "inspect/core/memory.h"
#include "inspect/core/slot_info.h"
#include "inspect/core/table_reader.h"
#include "inspect/core/text.h"

/* ---- rates ---- */

/* Updates a decaying average over `window` seconds with a value that was measured over the last
 * `dt` seconds. While values have been measured for less than the window (`since` seconds, dt
 * included), the result is their plain average. */
static void update_average(double *avg, double value, double dt, double since, double window)
{
    double weight = since > window ? 1 - exp(-dt / window) : dt / since;
    *avg += (value - *avg) * weight;
}

static void rate_add(struct sampler_rate *rate, double value, double dt, double since)
{
    rate->now = value;
    update_average(&rate->avg10, value, dt, since, 10);
    update_average(&rate->avg60, value, dt, since, 60);
}

/* Growth per second. A counter that has fallen was created again and counts as not grown. */
static double growth(uint64_t before, uint64_t now, double dt)
{
    return now > before ? (double)(now - before) / dt : 0;
}

/* ---- counters ---- */

static void drop_past(struct sampler *sampler, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(sampler->past[i].values);
    sampler->num_past -= count;
    memmove(sampler->past, sampler->past + count, sampler->num_past * sizeof(sampler->past[0]));
}

static void drop_counters(struct sampler *sampler)
{
    drop_past(sampler, sampler->num_past);
    call_stats_free(sampler->total);
    call_stats_free(sampler->recent);
    sampler->total = sampler->recent = NULL;
    sampler->window = 0;
    for (size_t i = 0; i < sampler->num_counters; i++) {
        free(sampler->counters[i].name);
        free(sampler->counters[i].label);
    }
    free(sampler->counters);
    sampler->counters = NULL;
    sampler->num_counters = 0;
    sampler->rated = false;
}

/* A short form for the screen: `rosterd_family_total{key="a",other="b"}` becomes `family a b`. */
static char *make_label(const char *name)
{
    char *label = NULL;
    size_t len;
    FILE *out = open_memstream(&label, &len);
    const char *at = name + strcspn(name, "{");
    memory_check(out);
    size_t family = (size_t)(at - name);
    size_t prefix = strncmp(name, "rosterd_", 8) == 0 ? 8 : 0;
    size_t suffix = family >= prefix + 6 && memcmp(at - 6, "_total", 6) == 0 ? 6 : 0;
    text_print(out, name + prefix, family - prefix - suffix);
    for (at = strchr(at, '"'); at != NULL; at = strchr(at, '"')) {
        size_t value = strcspn(++at, "\"");
        putc(' ', out);
        text_print(out, at, value);
        at += value;
        at += *at == '"';
    }
    if (fclose(out) != 0)
        memory_exhausted();
    return label;
}

static bool family_ends_in(const char *name, const char *suffix)
{
    size_t len = strcspn(name, "{"), suffix_len = strlen(suffix);
    return len >= suffix_len && memcmp(name + len - suffix_len, suffix, suffix_len) == 0;
}

/* By the naming rules of Prometheus: a counter's family ends in "_total", or in "_bucket" if it is
 * part of a histogram. */
static bool is_gauge(const char *name)
{
    return !family_ends_in(name, "_total") && !family_ends_in(name, "_bucket");
}

static bool is_of_method(const char *name)
{
    size_t len;
    return counter_label(name, "grpc_method", &len) != NULL || family_ends_in(name, "_bucket");
}

static bool same_counters(const struct sampler *sampler, const struct shm_counters *counters)
{
    if (shm_counters_count(counters) != sampler->num_counters)
        return false;
    for (size_t i = 0; i < sampler->num_counters; i++) {
        if (strcmp(shm_counters_name(counters, i), sampler->counters[i].name) != 0)
            return false;
    }
    return true;
}

static void take_methods(struct sampler *sampler)
{
    const char **names = memory_new_array(sampler->num_counters + 1, sizeof(*names));
    for (size_t i = 0; i < sampler->num_counters; i++)
        names[i] = sampler->counters[i].name;
    sampler->total = call_stats_new(names, sampler->num_counters);
    sampler->recent = call_stats_new(names, sampler->num_counters);
    free(names);
}

static void take_counter_names(struct sampler *sampler, const struct shm_counters *counters)
{
    size_t count = shm_counters_count(counters);
    drop_counters(sampler);
    sampler->counters = memory_new_array(count + 1, sizeof(*sampler->counters));
    for (size_t i = 0; i < count; i++) {
        struct sampler_counter *counter = &sampler->counters[i];
        counter->name = memory_check(strdup(shm_counters_name(counters, i)));
        counter->label = make_label(counter->name);
        counter->gauge = is_gauge(counter->name);
        counter->of_method = is_of_method(counter->name);
    }
    sampler->num_counters = count;
    take_methods(sampler);
    sampler->counted_since = 0;
}

static void take_counter_values(struct sampler *sampler, const struct shm_counters *counters,
                                double dt)
{
    sampler->counted_since += dt;
    for (size_t i = 0; i < sampler->num_counters; i++) {
        struct sampler_counter *counter = &sampler->counters[i];
        uint64_t value = shm_counters_sum(counters, i);
        double rate = counter->gauge ? (double)value : growth(counter->value, value, dt);
        if (sampler->rated && dt > 0)
            rate_add(&counter->rate, rate, dt, sampler->counted_since);
        counter->value = value;
    }
    if (!sampler->rated)
        sampler->counted_since = 0;
    sampler->rated = true;
}

/* ---- methods ---- */

/* Remembers the values about once a second, and those of a longer interval. */
static void remember_values(struct sampler *sampler, const uint64_t *values, uint64_t now)
{
    enum { SPACING_MS = SAMPLER_WINDOW_MS / (SAMPLER_PAST_MAX - 4) };
    while (sampler->num_past > 1 && now - sampler->past[1].ms >= SAMPLER_WINDOW_MS)
        drop_past(sampler, 1);
    size_t last = sampler->num_past;
    if (last > 0 && (now - sampler->past[last - 1].ms < SPACING_MS || last == SAMPLER_PAST_MAX))
        return;
    size_t size = sampler->num_counters * sizeof(*values);
    struct sampler_past *past = &sampler->past[sampler->num_past++];
    *past =
        (struct sampler_past){now, memory_new_array(sampler->num_counters + 1, sizeof(*values))};
    memcpy(past->values, values, size);
}

static void sample_methods(struct sampler *sampler, uint64_t now)
{
    size_t count = sampler->num_counters;
    uint64_t *values = memory_new_array(count + 1, sizeof(*values));
    for (size_t i = 0; i < count; i++)
        values[i] = sampler->counters[i].value;
    call_stats_read(sampler->total, values);
    remember_values(sampler, values, now);
    const struct sampler_past *base = &sampler->past[0];
    sampler->window = (double)(now - base->ms) / 1000;
    for (size_t i = 0; i < count; i++)
        values[i] = values[i] > base->values[i] ? values[i] - base->values[i] : 0;
    call_stats_read(sampler->recent, values);
    free(values);
}

/* ---- slots ---- */

static const struct sampler_slot *find_slot(const struct sampler_slot *slots, size_t count,
                                            const struct shm_slot_info *info)
{
    for (size_t i = 0; i < count && slots[i].info.slot <= info->slot; i++) {
        if (slots[i].info.slot == info->slot)
            return &slots[i];
    }
    return NULL;
}

/* @param old the slot at the last look, perhaps of another process; NULL: there was none */
static void sample_usage(struct sampler_slot *slot, const struct sampler_slot *old, double dt)
{
    slot->cpu = -1;
    if (slot->info.alive)
        slot->usage = usage_read(slot->info.pid);
    if (slot->usage.known && old != NULL && old->usage.known && dt > 0 &&
        old->info.pid == slot->info.pid)
        slot->cpu = growth(old->usage.cpu_ms, slot->usage.cpu_ms, dt) / 10;
}

/* `counters` may be NULL. */
static void sample_slots(struct sampler *sampler, struct shm_counters *counters, double dt)
{
    static struct sampler_slot before[SHM_SLOTS];
    size_t count = sampler->num_slots;
    unsigned from = 0;
    memcpy(before, sampler->slots, count * sizeof(before[0]));
    sampler->num_slots = 0;
    while (sampler->num_slots < SHM_SLOTS) {
        struct sampler_slot *slot = &sampler->slots[sampler->num_slots];
        memset(slot, 0, sizeof(*slot));
        if (!shm_slot_next(sampler->store, &from, &slot->info))
            break;
        sampler->num_slots++;
        const struct sampler_slot *old = find_slot(before, count, &slot->info);
        sample_usage(slot, old, dt);
        if (counters == NULL)
            continue;
        slot->calls = slot_info_sum(counters, slot->info.slot, SLOT_INFO_CALLS);
        slot->connections = slot_info_sum(counters, slot->info.slot, SLOT_INFO_CONNECTIONS);
        if (old != NULL && dt > 0)
            slot->call_rate = growth(old->calls, slot->calls, dt);
    }
}

/* ---- the segment ---- */

static void sample_segment(struct sampler *sampler, double dt)
{
    uint64_t version = sampler->info.version;
    shm_store_info(sampler->store, &sampler->info);
    disk_status_read(&sampler->disk, sampler->store, &sampler->info);
    if (dt > 0)
        rate_add(&sampler->commits, growth(version, sampler->info.version, dt), dt, sampler->since);
}

static void sampler_detach(struct sampler *sampler)
{
    shm_store_close(sampler->store);
    sampler->store = NULL;
    sampler->looked_ms = 0;
    sampler->since = 0;
    sampler->num_slots = 0;
    memset(&sampler->commits, 0, sizeof(sampler->commits));
    drop_counters(sampler);
}

enum inspect_exit sampler_open(struct sampler *sampler, const struct inspect_options *options)
{
    memset(sampler, 0, sizeof(*sampler));
    sampler->options = options;
    return table_attach(&sampler->store, options);
}

void sampler_look(struct sampler *sampler)
{
    const char *name = sampler->options->segment;
    uint64_t now = clock_monotonic_ms();
    if (sampler->store == NULL &&
        shm_store_attach(&sampler->store, name, SHM_ATTACH_READ, NULL, &sampler->why) != SHM_OK) {
        sampler->store = NULL;
        return;
    }
    double dt = sampler->looked_ms != 0 ? (double)(now - sampler->looked_ms) / 1000 : 0;
    sampler->since += dt;
    sample_segment(sampler, dt);
    struct shm_counters *counters =
        slot_info_attach_counters(name); /* again: they may have been replaced */
    sample_slots(sampler, counters, dt);
    if (counters == NULL) {
        drop_counters(sampler);
    } else {
        if (!same_counters(sampler, counters))
            take_counter_names(sampler, counters);
        take_counter_values(sampler, counters, dt);
        sample_methods(sampler, now);
    }
    shm_counters_close(counters);
    sampler->looked_ms = now;
    if (sampler->info.replaced) { /* the next look attaches to the new segment */
        sampler_detach(sampler);
        snprintf(sampler->why.text, sizeof(sampler->why.text), "segment %s: it was removed", name);
    }
}

void sampler_close(struct sampler *sampler)
{
    sampler_detach(sampler);
}

int64_t sampler_uptime(const struct sampler *sampler)
{
    int64_t now = clock_real_coarse_s();
    for (size_t i = 0; i < sampler->num_slots; i++) {
        const struct shm_slot_info *info = &sampler->slots[i].info;
        if (info->kind == SHM_ACTOR_MASTER && info->alive)
            return now > (int64_t)info->started_at ? now - (int64_t)info->started_at : 0;
    }
    return -1;
}
