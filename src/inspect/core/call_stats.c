/* SPDX-License-Identifier: MIT */
#include "inspect/core/call_stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/core/memory.h"
#include "inspect/core/text.h"

enum call_part {
    PART_NONE, /* not of the calls of a method, nor of a histogram */
    PART_STARTED,
    PART_OK,
    PART_FAILED,
    PART_TIME,
    PART_COMMIT,
    PART_SYNC,
};

/* What a counter counts. */
struct call_counter {
    enum call_part part;
    size_t method;
    double bound; /* of a bucket, in milliseconds */
};

/* A part of a counter's name. */
struct part_text {
    const char *at; /* NULL: the name has no such part */
    size_t len;
};

/* ---- names ---- */

bool counter_is_of(const char *name, const char *family)
{
    size_t len = strlen(family);
    return strncmp(name, family, len) == 0 && (name[len] == '{' || name[len] == '\0');
}

const char *counter_label(const char *name, const char *label, size_t *len)
{
    size_t label_len = strlen(label);
    const char *at = strchr(name, '{');
    while (at != NULL) {
        at++; /* behind the brace or the comma */
        size_t key = strcspn(at, "=");
        if (at[key] == '\0' || at[key + 1] != '"')
            return NULL;
        const char *value = at + key + 2;
        size_t value_len = strcspn(value, "\"");
        if (value[value_len] == '\0')
            return NULL;
        if (key == label_len && memcmp(at, label, key) == 0) {
            *len = value_len;
            return value;
        }
        at = value[value_len + 1] == ',' ? value + value_len + 1 : NULL;
    }
    return NULL;
}

static struct part_text label_of(const char *name, const char *label)
{
    struct part_text text = {.len = 0};
    text.at = counter_label(name, label, &text.len);
    return text;
}

static bool part_equals(struct part_text a, struct part_text b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

/* What is behind the text's last dot. */
static struct part_text last_word(struct part_text text)
{
    const char *dot = memrchr(text.at, '.', text.len);
    if (dot == NULL)
        return text;
    return (struct part_text){dot + 1, text.len - (size_t)(dot + 1 - text.at)};
}

/* What is before the text's last dot; empty if there is none. */
static struct part_text before_last_word(struct part_text text)
{
    const char *dot = memrchr(text.at, '.', text.len);
    return (struct part_text){text.at, dot != NULL ? (size_t)(dot - text.at) : 0};
}

/* @param first empty: only the second one is printed */
static char *join_words(struct part_text first, struct part_text second)
{
    char *joined = NULL;
    size_t len;
    FILE *out = memory_check(open_memstream(&joined, &len));
    text_print(out, first.at, first.len);
    if (first.len != 0)
        putc('/', out);
    text_print(out, second.at, second.len);
    if (fclose(out) != 0)
        memory_exhausted();
    return joined;
}

static char *make_method_name(struct part_text service, struct part_text method)
{
    struct part_text word = last_word(service);
    if (method.len >= word.len && memcmp(method.at, word.at, word.len) == 0)
        word.len = 0;
    return join_words(word, method);
}

/* ---- methods ---- */

/* A method as the counters name it, before it has a name for people. */
struct found_method {
    struct part_text service, method;
};

/* Marks each method whose name another one has, too. */
static void mark_same(const struct call_stats *stats, bool same[CALL_STATS_METHODS_MAX])
{
    for (size_t i = 1; i < stats->num_methods; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(stats->methods[k].name, stats->methods[i].name) == 0)
                same[i] = same[k] = true;
}

/* Names the methods apart whose short names are the same: by the words before their services'
 * names, which are their versions. */
static void name_apart(struct call_stats *stats, const struct found_method *found)
{
    bool same[CALL_STATS_METHODS_MAX] = {false};
    mark_same(stats, same);
    for (size_t i = 0; i < stats->num_methods; i++) {
        if (!same[i])
            continue;
        free(stats->methods[i].name);
        stats->methods[i].name =
            join_words(last_word(before_last_word(found[i].service)), found[i].method);
    }
}

static bool is_last_method(const struct call_stats *stats, const struct found_method *all,
                           const struct found_method *one)
{
    const struct found_method *last = all + stats->num_methods - 1;
    return stats->num_methods > 0 && part_equals(last->service, one->service) &&
           part_equals(last->method, one->method);
}

/* Finds the method of a counter, or adds it: the counters of a method are neighbours. Returns false
 * if the counter has no method, or there are too many. */
static bool take_method(struct call_stats *stats, struct found_method *found, const char *name,
                        size_t *which)
{
    struct found_method one = {label_of(name, "grpc_service"), label_of(name, "grpc_method")};
    if (one.service.at == NULL || one.method.at == NULL)
        return false;
    if (!is_last_method(stats, found, &one)) {
        if (stats->num_methods == CALL_STATS_METHODS_MAX)
            return false;
        stats->methods[stats->num_methods].name = make_method_name(one.service, one.method);
        found[stats->num_methods++] = one;
    }
    *which = stats->num_methods - 1;
    return true;
}

static bool take_bound(const char *name, double *bound)
{
    char digits[32];
    struct part_text text = label_of(name, "le");
    if (text.at == NULL || text.len >= sizeof(digits))
        return false;
    memcpy(digits, text.at, text.len);
    digits[text.len] = '\0';
    *bound = strcmp(digits, "+Inf") == 0 ? INFINITY : strtod(digits, NULL) * 1000;
    return true;
}

static enum call_part part_of(const char *name, struct call_counter *counter)
{
    if (counter_is_of(name, "grpc_server_started_total"))
        return PART_STARTED;
    if (counter_is_of(name, "grpc_server_handled_total")) {
        struct part_text code = label_of(name, "grpc_code");
        return code.len == 2 && memcmp(code.at, "OK", 2) == 0 ? PART_OK : PART_FAILED;
    }
    if (!take_bound(name, &counter->bound))
        return PART_NONE;
    if (counter_is_of(name, "grpc_server_handling_seconds_bucket"))
        return PART_TIME;
    if (counter_is_of(name, "rosterd_journal_commit_seconds_bucket"))
        return PART_COMMIT;
    return counter_is_of(name, "rosterd_journal_fsync_seconds_bucket") ? PART_SYNC : PART_NONE;
}

struct call_stats *call_stats_new(const char *const *names, size_t count)
{
    struct call_stats *stats = memory_new_array(1, sizeof(*stats));
    struct found_method *found = memory_new_array(CALL_STATS_METHODS_MAX, sizeof(*found));
    stats->methods = memory_new_array(CALL_STATS_METHODS_MAX, sizeof(*stats->methods));
    stats->counters = memory_new_array(count + 1, sizeof(*stats->counters));
    stats->num_counters = count;
    for (size_t i = 0; i < count; i++) {
        struct call_counter *counter = &stats->counters[i];
        enum call_part part = part_of(names[i], counter);
        bool of_method = part != PART_NONE && part < PART_COMMIT;
        if (!of_method || take_method(stats, found, names[i], &counter->method))
            counter->part = part;
    }
    name_apart(stats, found);
    free(found);
    return stats;
}

/* ---- numbers ---- */

static void add_counter(struct call_stats *stats, const struct call_counter *counter,
                        uint64_t value)
{
    struct call_method *method = &stats->methods[counter->method];
    switch (counter->part) {
    case PART_NONE:
        break;
    case PART_STARTED:
        method->started += value;
        break;
    case PART_FAILED:
        method->failed += value;
        __attribute__((fallthrough));
    case PART_OK:
        method->ended += value;
        break;
    case PART_TIME:
        histogram_add(&method->times, counter->bound, value);
        break;
    case PART_COMMIT:
        histogram_add(&stats->commits, counter->bound, value);
        break;
    case PART_SYNC:
        histogram_add(&stats->syncs, counter->bound, value);
        break;
    }
}

void call_stats_read(struct call_stats *stats, const uint64_t *values)
{
    for (size_t i = 0; i < stats->num_methods; i++)
        stats->methods[i] = (struct call_method){.name = stats->methods[i].name};
    stats->commits = stats->syncs = (struct histogram){0};
    for (size_t i = 0; i < stats->num_counters; i++)
        add_counter(stats, &stats->counters[i], values[i]);
}

void call_stats_free(struct call_stats *stats)
{
    if (stats == NULL)
        return;
    for (size_t i = 0; i < stats->num_methods; i++)
        free(stats->methods[i].name);
    free(stats->methods);
    free(stats->counters);
    free(stats);
}
