/* SPDX-License-Identifier: MIT */
#include "service/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/google/protobuf/descriptor.pb-c.h"
#include "service/descriptors.h"
#include "service/services.h"
#include "shm/counters.h"

/* A row: for each method, and last for all unknown ones together, three counts and one for
 * each status; then the transport's. */
enum { STARTED, RECEIVED, SENT, HANDLED, PER_METHOD = HANDLED + GRPC_NUM_STATUSES };

enum transport_index {
#define X(field, kind, name, text) AT_##field,
    STATS_TRANSPORT(X)
#undef X
        NUM_TRANSPORT
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
        [STARTED] = "grpc_server_started_total",
        [RECEIVED] = "grpc_server_msg_received_total",
        [SENT] = "grpc_server_msg_sent_total",
    };
    static const char format[] =
        "%s{grpc_type=\"%s\",grpc_service=\"%s\",grpc_method=\"%s\"%s%s%s}";
    bool complete = true;
    for (size_t i = 0; i < HANDLED; i++) {
        names[i] =
            format_text(format, counts[i], label->type, label->service, label->method, "", "", "");
        complete = complete && names[i] != NULL;
    }
    for (size_t i = 0; i < GRPC_NUM_STATUSES; i++) {
        names[HANDLED + i] = format_text(format, "grpc_server_handled_total", label->type,
                                         label->service, label->method, ",grpc_code=\"",
                                         grpc_status_name((enum grpc_status)i), "\"");
        complete = complete && names[HANDLED + i] != NULL;
    }
    return complete;
}

const char *const *stats_names(size_t *count)
{
    static const char **names;
    if (names == NULL) {
        if (!make_labels())
            return NULL;
        const char **made = calloc(num_methods * PER_METHOD + NUM_TRANSPORT, sizeof(*made));
        if (made == NULL)
            return NULL;
        for (size_t m = 0; m < num_methods; m++)
            if (!name_method(made + m * PER_METHOD, &labels[m]))
                return NULL;
        const char **transport = made + num_methods * PER_METHOD;
#define X(field, kind, name, text) transport[AT_##field] = name;
        STATS_TRANSPORT(X)
#undef X
        names = made;
    }
    *count = num_methods * PER_METHOD + NUM_TRANSPORT;
    return names;
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
    struct grpc_interceptor interceptor;
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

static void on_end(struct grpc_call *call, void *data, enum grpc_status status)
{
    struct stats *stats = data;
    size_t method = stats->place_of[grpc_call_method_index(call)];
    uint64_t *counts = stats->row + method * PER_METHOD;
    shm_counter_add(&counts[HANDLED + status], 1);
    shm_counter_add(&counts[RECEIVED], grpc_call_messages_in(call));
    shm_counter_add(&counts[SENT], grpc_call_messages_out(call));
    __atomic_store_n(&stats->board->calls, stats->board->calls - 1, __ATOMIC_RELAXED);
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
    stats->interceptor = (struct grpc_interceptor){.start = on_start, .end = on_end, .data = stats};
    grpc_server_add_interceptor(server, &stats->interceptor);
    return stats;
}

void stats_fold(struct stats *stats)
{
    const struct http2_counts *now = http2_context_counts(grpc_server_http2(stats->server));
    uint64_t *transport = stats->row + num_methods * PER_METHOD;
    /* a row counts on from its last owner; a gauge may fall, and the sum wraps back */
#define X(field, kind, name, text)                                                                 \
    shm_counter_add(&transport[AT_##field], now->field - stats->folded.field);
    STATS_TRANSPORT(X)
#undef X
    stats->folded = *now;
}

void stats_clear_gauges(uint64_t *row)
{
    enum { COUNTER, GAUGE };
    uint64_t *transport = row + num_methods * PER_METHOD;
#define X(field, kind, name, text)                                                                 \
    if (kind == GAUGE)                                                                             \
        __atomic_store_n(&transport[AT_##field], 0, __ATOMIC_RELAXED);
    STATS_TRANSPORT(X)
#undef X
}

void stats_destroy(struct stats *stats)
{
    if (stats == NULL)
        return;
    stats_clear_gauges(stats->row);
    free(stats);
}
