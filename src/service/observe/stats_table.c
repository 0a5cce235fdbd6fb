/* SPDX-License-Identifier: MIT */
#include "service/observe/stats_table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/google/protobuf/descriptor.pb-c.h"
#include "service/core/descriptors.h"

const struct stats_bucket stats_buckets[STATS_NUM_BUCKETS] = {
    {10000, "1e-05"},    {25000, "2.5e-05"},  {50000, "5e-05"},    {100000, "0.0001"},
    {250000, "0.00025"}, {500000, "0.0005"},  {1000000, "0.001"},  {2500000, "0.0025"},
    {5000000, "0.005"},  {10000000, "0.01"},  {25000000, "0.025"}, {50000000, "0.05"},
    {100000000, "0.1"},  {250000000, "0.25"}, {500000000, "0.5"},  {1000000000, "1"},
    {2500000000, "2.5"}, {5000000000, "5"},   {10000000000, "10"}, {UINT64_MAX, "+Inf"},
};

/* ---- the table's parts ---- */

static const char *status_at(size_t place)
{
    return grpc_status_name((enum grpc_status)place);
}

static const char *bound_at(size_t place)
{
    return stats_buckets[place].seconds;
}

/* The bounds of data_counts_bounds_ns[]. */
static const char *journal_bound_at(size_t place)
{
    static const char *const seconds[STATS_NUM_JOURNAL_BUCKETS] = {
        "5e-05", "0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005", "0.01", "0.02", "0.05",
        "0.1",   "0.2",    "0.5",    "1",      "2",     "5",     "10",    "20",   "50",   "+Inf",
    };
    return seconds[place];
}

static const char *http2_limit_at(size_t place)
{
    return http2_limit_name((enum http2_limit)place);
}

#define AT(member) (offsetof(struct stats_method_counts, member) / sizeof(uint64_t))

const struct stats_metric *stats_method_metrics(size_t *count)
{
    static const struct stats_metric metrics[] = {
        {.name = "grpc_server_started_total", .help = "Calls that began.", .at = AT(started)},
        {.name = "grpc_server_msg_received_total",
         .help = "Messages from clients.",
         .at = AT(received)},
        {.name = "grpc_server_msg_sent_total", .help = "Messages to clients.", .at = AT(sent)},
        {.name = "rosterd_handling_nanoseconds_total", .kind = STATS_PART, .at = AT(nanoseconds)},
        {.name = "grpc_server_handled_total",
         .help = "Calls that ended, by their status.",
         .at = AT(handled),
         .count = GRPC_NUM_STATUSES,
         .label = "grpc_code",
         .value_at = status_at},
        {.name = "grpc_server_handling_seconds",
         .help = "Time that calls took, in seconds.",
         .kind = STATS_HISTOGRAM,
         .at = AT(buckets),
         .count = STATS_NUM_BUCKETS,
         .label = "le",
         .value_at = bound_at},
    };
    *count = sizeof(metrics) / sizeof(metrics[0]);
    return metrics;
}

#define METRIC(constant, its_kind, its_name, its_label, its_value, its_help)                       \
    {.name = its_name,                                                                             \
     .help = its_help,                                                                             \
     .kind = its_kind,                                                                             \
     .at = constant,                                                                               \
     .label = its_label,                                                                           \
     .value = its_value},

const struct stats_metric *stats_process_metrics(size_t *count)
{
    static const struct stats_metric metrics[] = {
        /* clang-format off */
        STATS_PROCESS_ROWS(METRIC)
        /* clang-format on */
        {.name = STATS_LIMITS_HIT_NAME,
         .at = STATS_HTTP2_LIMITS,
         .count = HTTP2_NUM_LIMITS,
         .label = "limit",
         .value_at = http2_limit_at},
        {.name = "rosterd_journal_commit_seconds",
         .help = "Time that transactions of the data file took, in seconds.",
         .kind = STATS_HISTOGRAM,
         .at = STATS_JOURNAL_COMMIT_BUCKETS,
         .count = STATS_NUM_JOURNAL_BUCKETS,
         .sum_at = STATS_JOURNAL_COMMIT_NS,
         .label = "le",
         .value_at = journal_bound_at},
        {.name = "rosterd_journal_fsync_seconds",
         .help = "Time that syncs of the data file took, in seconds.",
         .kind = STATS_HISTOGRAM,
         .at = STATS_JOURNAL_FSYNC_BUCKETS,
         .count = STATS_NUM_JOURNAL_BUCKETS,
         .sum_at = STATS_JOURNAL_FSYNC_NS,
         .label = "le",
         .value_at = journal_bound_at},
    };
    *count = sizeof(metrics) / sizeof(metrics[0]);
    return metrics;
}

const struct stats_metric *stats_store_metrics(size_t *count)
{
    static const struct stats_metric metrics[] = {STATS_STORE_ROWS(METRIC)};
    *count = sizeof(metrics) / sizeof(metrics[0]);
    return metrics;
}

const struct stats_metric *stats_machine_metrics(size_t *count)
{
    static const struct stats_metric metrics[] = {STATS_MACHINE_ROWS(METRIC)};
    *count = sizeof(metrics) / sizeof(metrics[0]);
    return metrics;
}

/* ---- methods ---- */

struct method {
    const char *service, *name;
    char *path;   /* "/SERVICE/NAME" */
    char *labels; /* of all its metrics */
};

static struct method *methods; /* num_methods; the last stands for unknown ones */
static size_t num_methods;
static const char **names;
static size_t num_names;

static const char *type_of(const Google__Protobuf__MethodDescriptorProto *method)
{
    if (method->client_streaming)
        return method->server_streaming ? "bidi_stream" : "client_stream";
    return method->server_streaming ? "server_stream" : "unary";
}

/* @return NULL: the descriptors have no such method */
static const char *find_type(const Google__Protobuf__FileDescriptorSet *set, const char *service,
                             const char *method)
{
    for (size_t f = 0; f < set->n_file; f++) {
        const Google__Protobuf__FileDescriptorProto *file = set->file[f];
        for (size_t s = 0; s < file->n_service; s++) {
            char name[256];
            snprintf(name, sizeof(name), "%s.%s", file->package, file->service[s]->name);
            if (strcmp(name, service) != 0)
                continue;
            for (size_t m = 0; m < file->service[s]->n_method; m++)
                if (strcmp(file->service[s]->method[m]->name, method) == 0)
                    return type_of(file->service[s]->method[m]);
        }
    }
    return NULL;
}

/* @return a text to free, or NULL: out of memory */
static char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *format_text(const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    return len < 0 ? NULL : text;
}

static bool make_method(struct method *method, const char *service, const char *name,
                        const char *type)
{
    if (type == NULL)
        return false;
    *method = (struct method){
        .service = service,
        .name = name,
        .path = format_text("/%s/%s", service, name),
        .labels = format_text("grpc_type=\"%s\",grpc_service=\"%s\",grpc_method=\"%s\"", type,
                              service, name),
    };
    return method->path != NULL && method->labels != NULL;
}

static bool make_methods(const struct grpc_service *const *services, size_t num_services,
                         const Google__Protobuf__FileDescriptorSet *set)
{
    size_t count = 1, at = 0;
    for (size_t s = 0; s < num_services; s++)
        count += services[s]->num_methods;
    methods = calloc(count, sizeof(*methods));
    if (methods == NULL)
        return false;
    for (size_t s = 0; s < num_services; s++) {
        for (size_t m = 0; m < services[s]->num_methods; m++) {
            const char *service = services[s]->name, *name = services[s]->methods[m].name;
            if (!make_method(&methods[at++], service, name, find_type(set, service, name)))
                return false;
        }
    }
    num_methods = count;
    return make_method(&methods[at], "unknown", "unknown", "unknown");
}

/* ---- names ---- */

/* NAME, NAME{LABELS}, or NAME{LABELS,LABEL="VALUE"}. @param labels NULL: none but the metric's */
static char *make_name(const struct stats_metric *metric, const char *labels, size_t place)
{
    const char *suffix = metric->kind == STATS_HISTOGRAM ? "_bucket" : "";
    const char *value = metric->value_at != NULL ? metric->value_at(place) : metric->value;
    if (metric->label == NULL)
        return labels == NULL ? format_text("%s%s", metric->name, suffix)
                              : format_text("%s%s{%s}", metric->name, suffix, labels);
    return format_text("%s%s{%s%s%s=\"%s\"}", metric->name, suffix, labels != NULL ? labels : "",
                       labels != NULL ? "," : "", metric->label, value);
}

/* The names of a part of a row, at their places. */
static bool make_names_of_part(const char **part, const struct stats_metric *metrics, size_t count,
                               const char *labels)
{
    for (size_t i = 0; i < count; i++) {
        size_t places = stats_metric_places(&metrics[i]);
        for (size_t place = 0; place < places; place++) {
            char *name = make_name(&metrics[i], labels, place);
            if (name == NULL)
                return false;
            part[metrics[i].at + place] = name;
        }
    }
    return true;
}

static bool make_names(void)
{
    size_t num_method_metrics, num_process_metrics;
    const struct stats_metric *of_method = stats_method_metrics(&num_method_metrics);
    const struct stats_metric *of_process = stats_process_metrics(&num_process_metrics);
    num_names = stats_process_at() + STATS_NUM_COUNTERS;
    names = calloc(num_names, sizeof(*names));
    if (names == NULL)
        return false;
    for (size_t m = 0; m < num_methods; m++)
        if (!make_names_of_part(names + m * STATS_PER_METHOD, of_method, num_method_metrics,
                                methods[m].labels))
            return false;
    if (!make_names_of_part(names + stats_process_at(), of_process, num_process_metrics, NULL))
        return false;
    for (size_t i = 0; i < num_names; i++)
        assert(names[i] != NULL); /* each counter has a row of the table */
    return true;
}

bool stats_init(const struct grpc_service *const *services, size_t num_services)
{
    assert(names == NULL);
    size_t len;
    const uint8_t *bytes = service_descriptors(&len);
    Google__Protobuf__FileDescriptorSet *set =
        google__protobuf__file_descriptor_set__unpack(NULL, len, bytes);
    /* On failure the program does not start, and what was made is freed with the process. */
    bool made = set != NULL && make_methods(services, num_services, set) && make_names();
    if (set != NULL)
        google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
    return made;
}

const char *const *stats_names(size_t *count)
{
    assert(names != NULL);
    *count = num_names;
    return names;
}

size_t stats_num_methods(void)
{
    assert(names != NULL);
    return num_methods;
}

size_t stats_process_at(void)
{
    return num_methods * STATS_PER_METHOD;
}

const char *stats_method_name(size_t method)
{
    return method + 1 < num_methods ? methods[method].path : "unknown";
}

const char *stats_method_labels(size_t method)
{
    assert(method < num_methods);
    return methods[method].labels;
}

size_t stats_find_method(const char *service, const char *method)
{
    size_t at = 0;
    while (at + 1 < num_methods &&
           (strcmp(methods[at].service, service) != 0 || strcmp(methods[at].name, method) != 0))
        at++;
    return at;
}
