/* SPDX-License-Identifier: MIT */
#include "inspect/commands/stats_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "inspect/core/call_stats.h"
#include "inspect/core/identity.h"
#include "inspect/core/memory.h"
#include "inspect/core/object.h"
#include "inspect/core/text.h"
#include "shm/counters.h"

/* All counters, read once. */
struct totals {
    size_t count;
    const char **names;
    uint64_t *values;
};

static void totals_read(struct totals *totals, const struct shm_counters *counters)
{
    totals->count = shm_counters_count(counters);
    totals->names = memory_new_array(totals->count + 1, sizeof(*totals->names));
    totals->values = memory_new_array(totals->count + 1, sizeof(*totals->values));
    for (size_t i = 0; i < totals->count; i++)
        totals->names[i] = shm_counters_name(counters, i);
    shm_counters_sum_all(counters, totals->values);
}

static void totals_free(struct totals *totals)
{
    free(totals->names);
    free(totals->values);
}

/* ---- raw ---- */

static void print_json(const struct totals *totals)
{
    struct json_object *object = object_new();
    for (size_t i = 0; i < totals->count; i++)
        object_add_number(object, totals->names[i], totals->values[i]);
    object_print(stdout, object);
}

static void print_raw(const struct totals *totals, bool all)
{
    int width = 1;
    for (size_t i = 0; i < totals->count; i++) {
        int digits = snprintf(NULL, 0, "%" PRIu64, totals->values[i]);
        width = MAX(width, digits);
    }
    for (size_t i = 0; i < totals->count; i++) {
        if (totals->values[i] == 0 && !all)
            continue;
        printf("%*" PRIu64 "  ", width, totals->values[i]);
        text_print(stdout, totals->names[i], strlen(totals->names[i]));
        putchar('\n');
    }
}

/* ---- methods ---- */

static bool is_shown(const struct call_method *method, bool all)
{
    return all || method->started != 0 || method->ended != 0;
}

static void print_method(const struct call_method *method, int width)
{
    static const double shares[] = {0.5, 0.9, 0.99, 0.999};
    char text[HISTOGRAM_MS_SIZE];
    printf("%-*s %9" PRIu64 " %7" PRIu64, width, method->name, method->started, method->failed);
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
        printf(" %7s", histogram_format(text, &method->times, shares[i]));
    putchar('\n');
}

static void print_methods(const struct call_stats *stats, bool all)
{
    int width = (int)strlen("method");
    bool any = false;
    for (size_t i = 0; i < stats->num_methods; i++) {
        if (!is_shown(&stats->methods[i], all))
            continue;
        int len = (int)strlen(stats->methods[i].name);
        width = MAX(width, len);
        any = true;
    }
    if (!any) {
        puts("no calls yet");
        return;
    }
    printf("%-*s %9s %7s %7s %7s %7s %7s\n", width, "method", "calls", "errors", "p50 ms", "p90 ms",
           "p99 ms", "p99.9");
    for (size_t i = 0; i < stats->num_methods; i++)
        if (is_shown(&stats->methods[i], all))
            print_method(&stats->methods[i], width);
}

/* ---- totals ---- */

static void print_title(const char *title)
{
    printf("%-14s", title);
}

/* The sum of all calls. */
static void print_calls(const struct call_stats *stats)
{
    struct call_method all = {0};
    for (size_t i = 0; i < stats->num_methods; i++) {
        all.started += stats->methods[i].started;
        all.ended += stats->methods[i].ended;
        all.failed += stats->methods[i].failed;
    }
    if (all.started == 0 && all.ended == 0)
        return;
    print_title("calls");
    printf("%" PRIu64 " begun, %" PRIu64 " ended, %" PRIu64 " errors", all.started, all.ended,
           all.failed);
    if (all.failed != 0)
        printf(" (%.2f %%)", (double)all.failed * 100 / (double)all.ended);
    putchar('\n');
}

/* The sums of a family by the values of a label. */
enum { LABELLED_MAX = 64 }; /* values; what is beyond is left out */
struct labelled {
    size_t count;
    struct labelled_sum {
        const char *value;
        size_t len;
        uint64_t sum;
    } sums[LABELLED_MAX];
};

static void add_labelled(struct labelled *list, const char *value, size_t len, uint64_t count)
{
    size_t i = 0;
    while (i < list->count &&
           (list->sums[i].len != len || memcmp(list->sums[i].value, value, len) != 0))
        i++;
    if (i == LABELLED_MAX)
        return;
    if (i == list->count)
        list->sums[list->count++] = (struct labelled_sum){.value = value, .len = len};
    list->sums[i].sum += count;
}

/* Prints a family as "TITLE  VALUE 3, OTHER 1", by the values of a label; nothing if all its
 * counters are zero. @param but a value that is left out, or NULL */
static void print_by_label(const struct totals *totals, const char *title, const char *family,
                           const char *label, const char *but)
{
    struct labelled list = {0};
    for (size_t i = 0; i < totals->count; i++) {
        size_t len = 0;
        const char *value = totals->values[i] != 0 && counter_is_of(totals->names[i], family)
                                ? counter_label(totals->names[i], label, &len)
                                : NULL;
        if (value == NULL || (but != NULL && len == strlen(but) && memcmp(value, but, len) == 0))
            continue;
        add_labelled(&list, value, len, totals->values[i]);
    }
    if (list.count == 0)
        return;
    print_title(title);
    for (size_t i = 0; i < list.count; i++) {
        fputs(i > 0 ? ", " : "", stdout);
        text_print(stdout, list.sums[i].value, list.sums[i].len);
        printf(" %" PRIu64, list.sums[i].sum);
    }
    putchar('\n');
}

static uint64_t family_sum(const struct totals *totals, const char *family)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < totals->count; i++)
        if (counter_is_of(totals->names[i], family))
            sum += totals->values[i];
    return sum;
}

/* Families in lines of a title. Those of one line follow each other. */
static const struct total_row {
    const char *title, *family, *what;
    bool bytes;
} total_rows[] = {
    {"connections", "rosterd_connections_open", "open", false},
    {"connections", "rosterd_connections_accepted_total", "accepted", false},
    {"connections", "rosterd_received_bytes_total", "received", true},
    {"connections", "rosterd_sent_bytes_total", "sent", true},
    {"watches", "rosterd_watches_open", "open", false},
    {"watches", "rosterd_watch_events_total", "changes sent", false},
    {"watches", "rosterd_watches_lost_total", "lost: their clients were too slow", false},
    {"failures", "rosterd_protocol_errors_total", "protocol errors", false},
    {"failures", "rosterd_tls_handshakes_failed_total", "TLS handshakes", false},
    {"failures", "rosterd_worker_deaths_total", "deaths of workers", false},
    {"failures", "rosterd_journal_deaths_total", "deaths of the journal", false},
    {"failures", "rosterd_password_process_deaths_total", "deaths of password processes", false},
    {"failures", "rosterd_journal_failures_total", "writes of the data file", false},
    {"failures", "rosterd_log_dropped_total", "lines of the log lost", false},
    {"failures", "rosterd_access_log_dropped_total", "lines of the access log lost", false},
    {"failures", "rosterd_reloads_failed_total", "reloads", false},
    {"failures", "rosterd_upgrades_failed_total", "upgrades", false},
};

/* Numbers that are zero are left out, and so are lines of such numbers only. */
static void print_rows(const struct totals *totals)
{
    const char *title = NULL;
    for (size_t i = 0; i < sizeof(total_rows) / sizeof(total_rows[0]); i++) {
        const struct total_row *row = &total_rows[i];
        char text[TEXT_BYTES_SIZE];
        uint64_t sum = family_sum(totals, row->family);
        if (sum == 0)
            continue;
        bool goes_on = title != NULL && strcmp(title, row->title) == 0;
        fputs(goes_on ? ", " : title != NULL ? "\n" : "", stdout);
        if (!goes_on)
            print_title(row->title);
        title = row->title;
        if (row->bytes)
            printf("%s %s", text_format_bytes(text, sum), row->what);
        else
            printf("%" PRIu64 " %s", sum, row->what);
    }
    if (title != NULL)
        putchar('\n');
}

static void print_times(const char *title, const struct histogram *times)
{
    char p50[HISTOGRAM_MS_SIZE], p99[HISTOGRAM_MS_SIZE];
    if (times->count == 0 || times->within[times->count - 1] == 0)
        return;
    print_title(title);
    printf("%" PRIu64 ", p50 %s ms, p99 %s ms\n", times->within[times->count - 1],
           histogram_format(p50, times, 0.5), histogram_format(p99, times, 0.99));
}

static void print_summary(const struct totals *totals, bool all)
{
    struct call_stats *stats = call_stats_new(totals->names, totals->count);
    call_stats_read(stats, totals->values);
    print_methods(stats, all);
    putchar('\n');
    print_calls(stats);
    print_by_label(totals, "errors", "grpc_server_handled_total", "grpc_code", "OK");
    print_by_label(totals, "limits hit", "rosterd_limits_hit_total", "limit", NULL);
    print_by_label(totals, "passwords", "rosterd_password_verifications_total", "outcome", NULL);
    print_times("disk commits", &stats->commits);
    print_times("disk syncs", &stats->syncs);
    print_rows(totals);
    call_stats_free(stats);
}

enum inspect_exit command_stats(const struct inspect_options *options)
{
    enum inspect_exit code = identity_become_user(options->segment);
    if (code != INSPECT_DONE)
        return code;
    struct shm_counters *counters;
    struct shm_fault fault = {{0}};
    int error = shm_counters_attach(&counters, options->segment, &fault);
    if (error != SHM_OK)
        return report_store_fault(error, &fault);
    struct totals totals;
    totals_read(&totals, counters);
    if (options->json)
        print_json(&totals);
    else if (options->raw)
        print_raw(&totals, options->all);
    else
        print_summary(&totals, options->all);
    totals_free(&totals);
    shm_counters_close(counters);
    return INSPECT_DONE;
}
