/* SPDX-License-Identifier: MIT */
#include "service/observe/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/google/protobuf/descriptor.pb-c.h"
#include "service/core/chain.h"
#include "service/core/descriptors.h"
#include "service/services.h"
#include "shm/counters.h"

/* A row: for each method, and last for all unknown ones together, its counts, one count for
 * each status, and the histogram; then the transport's, the limits' and the server's own. */
enum method_index {
#define X(id, name, text) id,
    STATS_METHOD(X)
#undef X
        NANOSECONDS,
    HANDLED,
    BUCKETS = HANDLED + GRPC_NUM_STATUSES,
#define X(ns, seconds) +1
    NUM_BUCKETS = 0 STATS_BUCKETS(X),
#undef X
    PER_METHOD = BUCKETS + NUM_BUCKETS
};

/* behind the methods */
enum server_index {
#define X(field, kind, name, text) AT_##field,
    STATS_TRANSPORT(X) STATS_OWN(X)
#undef X
#define X(event, name, text) AT_##event,
        STATS_EVENTS(X)
#undef X
#define X(field, label) AT_##field,
            STATS_OWN_LIMITS(X)
#undef X
                AT_LIMITS,
    PER_SERVER = AT_LIMITS + HTTP2_NUM_LIMITS
};

struct method_label {
    const char *service, *method, *type, *path;
};

static struct method_label *labels; /* num_methods, the last for unknown ones */
static size_t num_methods;

/* ---- names ---- */

static const char *type_of(const Google__Protobuf__MethodDescriptorProto *method)
{
    if (method->client_streaming)
        return method->server_streaming ? "bidi_stream" : "client_stream";
    return method->server_streaming ? "server_stream" : "unary";
}

/* @return NULL where the descriptors know no such method */
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

static char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *format_text(const char *format, ...)
{
    va_list args;
    char *text;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    return len < 0 ? NULL : text;
}

static bool make_labels(void)
{
    size_t len, num_services, count = 1, at = 0;
    const struct grpc_service *const *services = services_all(&num_services);
    const uint8_t *bytes = service_descriptors(&len);
    Google__Protobuf__FileDescriptorSet *set =
        google__protobuf__file_descriptor_set__unpack(NULL, len, bytes);
    for (size_t s = 0; s < num_services; s++)
        count += services[s]->num_methods;
    labels = calloc(count, sizeof(*labels));
    if (set == NULL || labels == NULL)
        return false;
    for (size_t s = 0; s < num_services; s++) {
        for (size_t m = 0; m < services[s]->num_methods; m++, at++) {
            const char *service = services[s]->name, *method = services[s]->methods[m].name;
            labels[at] = (struct method_label){service, method, find_type(set, service, method),
                                               format_text("/%s/%s", service, method)};
            if (labels[at].type == NULL || labels[at].path == NULL)
                return false;
        }
    }
    labels[at] = (struct method_label){"unknown", "unknown", "unknown", "unknown"};
    google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
    num_methods = count;
    return true;
}

static bool name_method(const char **names, const struct method_label *label)
{
    static const char *const counts[] = {
#define X(id, name, text) [id] = name,
        STATS_METHOD(X)
#undef X
            [NANOSECONDS] = STATS_NANOSECONDS,
    };
    static const char *const bounds[] = {
#define X(ns, seconds) seconds,
        STATS_BUCKETS(X)
#undef X
    };
    static const char labels_format[] = "grpc_type=\"%s\",grpc_service=\"%s\",grpc_method=\"%s\"";
    char *common = format_text(labels_format, label->type, label->service, label->method);
    bool complete = common != NULL;
    for (size_t i = 0; complete && i < HANDLED; i++)
        complete = (names[i] = format_text("%s{%s}", counts[i], common)) != NULL;
    for (size_t i = 0; complete && i < GRPC_NUM_STATUSES; i++)
        complete =
            (names[HANDLED + i] = format_text("%s{%s,grpc_code=\"%s\"}", STATS_HANDLED, common,
                                              grpc_status_name((enum grpc_status)i))) != NULL;
    for (size_t i = 0; complete && i < NUM_BUCKETS; i++)
        complete = (names[BUCKETS + i] = format_text("%s_bucket{%s,le=\"%s\"}", STATS_HISTOGRAM,
                                                     common, bounds[i])) != NULL;
    free(common);
    return complete;
}

static bool name_server(const char **names)
{
#define X(field, kind, name, text) names[AT_##field] = name;
    STATS_TRANSPORT(X)
    STATS_OWN(X)
#undef X
#define X(event, name, text) names[AT_##event] = name;
    STATS_EVENTS(X)
#undef X
#define X(field, label) names[AT_##field] = STATS_LIMITS "{limit=\"" label "\"}";
    STATS_OWN_LIMITS(X)
#undef X
    for (size_t i = 0; i < HTTP2_NUM_LIMITS; i++)
        if ((names[AT_LIMITS + i] = format_text("%s{limit=\"%s\"}", STATS_LIMITS,
                                                http2_limit_name((enum http2_limit)i))) == NULL)
            return false;
    return true;
}

static bool name_all(const char **names)
{
    for (size_t m = 0; m < num_methods; m++)
        if (!name_method(names + m * PER_METHOD, &labels[m]))
            return false;
    return name_server(names + num_methods * PER_METHOD);
}

const char *const *stats_names(size_t *count)
{
    static const char **names;
    if (names == NULL) {
        if (!make_labels())
            return NULL;
        const char **made = calloc(num_methods * PER_METHOD + PER_SERVER, sizeof(*made));
        if (made == NULL || !name_all(made)) {
            free(made); /* the start ends here, and with it the names */
            return NULL;
        }
        names = made;
    }
    *count = num_methods * PER_METHOD + PER_SERVER;
    return names;
}

const struct stats_family *stats_families(size_t *count)
{
    enum { COUNTER, GAUGE };
    static const struct stats_family families[] = {
#define X(id, name, text) {name, text, false},
        STATS_METHOD(X)
#undef X
            {STATS_HANDLED, "Calls that ended, by their status.", false},
#define X(field, kind, name, text) {name, text, (kind) == GAUGE},
        STATS_TRANSPORT(X) STATS_OWN(X)
#undef X
#define X(event, name, text) {name, text, false},
            STATS_EVENTS(X)
#undef X
                {STATS_LIMITS, "How often a limit was met, by its name.", false},
    };
    *count = sizeof(families) / sizeof(families[0]);
    return families;
}

const char *stats_method_name(size_t index)
{
    return index < num_methods ? labels[index].path : "unknown";
}

/* ---- counting ---- */

struct stats {
    struct grpc_server *server;
    uint64_t *row;
    struct stats_board *board;
    struct http2_counts folded;
    struct stats_own folded_own;
    uint32_t place_of[]; /* the runtime's method index -> ours */
};

static enum grpc_status on_start(struct grpc_call *call, void *data, const char **message)
{
    (void)message;
    struct stats *stats = data;
    uint32_t method = stats->place_of[grpc_call_method_index(call)];
    shm_counter_add(&stats->row[method * PER_METHOD + STARTED], 1);
    __atomic_store_n(&stats->board->calls, stats->board->calls + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&stats->board->method, method, __ATOMIC_RELAXED);
    return GRPC_OK;
}

/* From the first bucket that holds it to the last. An instruction each, and not a loop of relaxed
 * loads and stores, which compilers do not fuse: that was half of what counting a call cost. The
 * words are aligned, so who reads them finds them whole all the same. */
static void observe(uint64_t *bucket, uint64_t ns)
{
    static const uint64_t bounds[] = {
#define X(ns, seconds) ns,
        STATS_BUCKETS(X)
#undef X
    };
    size_t first = 0;
    while (ns > bounds[first])
        first++;
    _Static_assert(NUM_BUCKETS == 20, "a case each");
    switch (first) {
#define BUCKET(n)                                                                                  \
    case n:                                                                                        \
        bucket[n]++;                                                                               \
        __attribute__((fallthrough));
        BUCKET(0)
        BUCKET(1)
        BUCKET(2)
        BUCKET(3)
        BUCKET(4)
        BUCKET(5)
        BUCKET(6)
        BUCKET(7)
        BUCKET(8)
        BUCKET(9)
        BUCKET(10)
        BUCKET(11)
        BUCKET(12)
        BUCKET(13)
        BUCKET(14)
        BUCKET(15)
        BUCKET(16)
        BUCKET(17)
        BUCKET(18)
#undef BUCKET
    default:
        bucket[NUM_BUCKETS - 1]++;
    }
}

static void on_end(struct grpc_call *call, void *data, enum grpc_status status)
{
    struct stats *stats = data;
    size_t method = stats->place_of[grpc_call_method_index(call)];
    uint64_t *counts = stats->row + method * PER_METHOD;
    uint64_t ns = grpc_call_duration_ns(call);
    shm_counter_add(&counts[HANDLED + status], 1);
    shm_counter_add(&counts[RECEIVED], grpc_call_messages_in(call));
    shm_counter_add(&counts[SENT], grpc_call_messages_out(call));
    shm_counter_add(&counts[NANOSECONDS], ns);
    observe(&counts[BUCKETS], ns);
    __atomic_store_n(&stats->board->calls, stats->board->calls - 1, __ATOMIC_RELAXED);
}

void stats_step(struct grpc_interceptor *step, const struct chain_config *config)
{
    if (config->stats != NULL)
        *step = (struct grpc_interceptor){.start = on_start, .end = on_end, .data = config->stats};
}

static uint32_t find_place(const struct grpc_server *server, size_t index)
{
    uint32_t last = (uint32_t)num_methods - 1;
    if (index == grpc_server_method_count(server) - 1)
        return last;
    for (uint32_t m = 0; m < last; m++)
        if (strcmp(labels[m].service, grpc_server_method_service(server, index)) == 0 &&
            strcmp(labels[m].method, grpc_server_method_name(server, index)) == 0)
            return m;
    return last;
}

struct stats *stats_create(struct grpc_server *server, uint64_t *row, struct stats_board *board)
{
    size_t count = grpc_server_method_count(server), names;
    if (stats_names(&names) == NULL)
        return NULL;
    struct stats *stats = calloc(1, sizeof(*stats) + count * sizeof(stats->place_of[0]));
    if (stats == NULL)
        return NULL;
    stats->server = server;
    stats->row = row;
    stats->board = board;
    for (size_t i = 0; i < count; i++)
        stats->place_of[i] = find_place(server, i);
    stats_clear_gauges(row);
    return stats;
}

void stats_fold(struct stats *stats, const struct stats_own *own)
{
    const struct http2_counts *now = http2_context_counts(grpc_server_http2(stats->server));
    uint64_t *counts = stats->row + num_methods * PER_METHOD;
    /* a row counts on from its last owner; a gauge may fall, and the sum wraps back */
#define X(field, kind, name, text)                                                                 \
    shm_counter_add(&counts[AT_##field], now->field - stats->folded.field);
    STATS_TRANSPORT(X)
#undef X
#define X(field, kind, name, text)                                                                 \
    shm_counter_add(&counts[AT_##field], own->field - stats->folded_own.field);
    STATS_OWN(X)
#undef X
#define X(field, label) shm_counter_add(&counts[AT_##field], own->field - stats->folded_own.field);
    STATS_OWN_LIMITS(X)
#undef X
    if (memcmp(now->limit_hits, stats->folded.limit_hits, sizeof(now->limit_hits)) != 0)
        for (size_t i = 0; i < HTTP2_NUM_LIMITS; i++)
            shm_counter_add(&counts[AT_LIMITS + i],
                            now->limit_hits[i] - stats->folded.limit_hits[i]);
    stats->folded = *now;
    stats->folded_own = *own;
}

void stats_count(uint64_t *row, enum stats_event event)
{
    static const size_t at[] = {
#define X(event, name, text) [STATS_##event] = AT_##event,
        STATS_EVENTS(X)
#undef X
    };
    shm_counter_add(row + num_methods * PER_METHOD + at[event], 1);
}

void stats_count_log_dropped(uint64_t *row, uint64_t lines)
{
    shm_counter_add(row + num_methods * PER_METHOD + AT_log_dropped, lines);
}

void stats_clear_gauges(uint64_t *row)
{
    enum { COUNTER, GAUGE };
    uint64_t *counts = row + num_methods * PER_METHOD;
#define X(field, kind, name, text)                                                                 \
    if ((kind) == GAUGE)                                                                           \
        __atomic_store_n(&counts[AT_##field], 0, __ATOMIC_RELAXED);
    STATS_TRANSPORT(X)
    STATS_OWN(X)
#undef X
}

void stats_destroy(struct stats *stats)
{
    if (stats == NULL)
        return;
    stats_clear_gauges(stats->row);
    free(stats);
}
