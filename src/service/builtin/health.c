/* SPDX-License-Identifier: MIT */
#include "service/builtin/health.h"

#include <stdlib.h>
#include <urcu/list.h>

#include "proto/grpc/health/v1/health.pb-c.h"
#include "service/core/descriptors.h"

/* Anybody may ask, also without a token: what a question may cost is what a name needs. */
#define ANYBODY .flags = GRPC_METHOD_PLAIN, .max_request = HEALTH_REQUEST_MAX

static const char draining_text[] = "the server is shutting down";

struct entry {
    const char *name;
    enum health_status status;
};

struct health {
    struct cds_list_head watchers;
    bool draining;
    size_t count;
    struct entry entries[]; /* the first is the whole server, "" */
};

/* A Watch call's own: what its client was told last. */
struct watcher {
    struct cds_list_head link;
    struct grpc_call *call; /* NULL: not among the health's watchers */
    uint32_t at;            /* of entries; UNKNOWN_SERVICE */
    enum health_status told;
};
#define UNKNOWN_SERVICE UINT32_MAX

static uint32_t find(const struct health *health, const char *service, size_t len)
{
    for (uint32_t i = 0; i < health->count; i++)
        if (strlen(health->entries[i].name) == len &&
            (len == 0 || memcmp(health->entries[i].name, service, len) == 0))
            return i;
    return UNKNOWN_SERVICE;
}

enum health_status health_get(const struct health *health, const char *service, size_t len)
{
    uint32_t at = find(health, service, len);
    return at == UNKNOWN_SERVICE ? HEALTH_SERVICE_UNKNOWN : health->entries[at].status;
}

static void send_status(struct grpc_call *call, enum health_status status)
{
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
    grpc_call_send(call, &response.base);
}

/* ---- Check and List ---- */

static void check_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    const struct health *health = grpc_call_service_data(call);
    const ProtobufCBinaryData *service =
        &((Grpc__Health__V1__HealthCheckRequest *)message)->service;
    enum health_status status = health_get(health, (const char *)service->data, service->len);
    if (status == HEALTH_SERVICE_UNKNOWN) {
        grpc_call_finish(call, GRPC_NOT_FOUND, "unknown service");
        return;
    }
    send_status(call, status);
    grpc_call_finish(call, GRPC_OK, NULL);
}

static void list_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    typedef Grpc__Health__V1__HealthListResponse__StatusesEntry Entry;
    const struct health *health = grpc_call_service_data(call);
    Grpc__Health__V1__HealthListResponse list = GRPC__HEALTH__V1__HEALTH_LIST_RESPONSE__INIT;
    Grpc__Health__V1__HealthCheckResponse *statuses;
    Entry *entries;
    Entry **all;
    (void)message;
    struct grpc_arena *arena = grpc_call_arena(call);
    statuses = grpc_arena_alloc(arena, health->count * sizeof(*statuses));
    entries = grpc_arena_alloc(arena, health->count * sizeof(*entries));
    all = grpc_arena_alloc(arena, health->count * sizeof(Entry *));
    if (statuses == NULL || entries == NULL || all == NULL) {
        grpc_call_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    for (size_t i = 0; i < health->count; i++) {
        grpc__health__v1__health_check_response__init(&statuses[i]);
        statuses[i].status =
            (Grpc__Health__V1__HealthCheckResponse__ServingStatus)health->entries[i].status;
        grpc__health__v1__health_list_response__statuses_entry__init(&entries[i]);
        entries[i].key = (char *)(uintptr_t)health->entries[i].name;
        entries[i].value = &statuses[i];
        all[i] = &entries[i];
    }
    list.n_statuses = health->count;
    list.statuses = all;
    grpc_call_send(call, &list.base);
    grpc_call_finish(call, GRPC_OK, NULL);
}

/* ---- Watch ---- */

static void forget(struct watcher *watcher)
{
    if (watcher->call == NULL)
        return;
    cds_list_del(&watcher->link);
    watcher->call = NULL;
}

/* Tells what has changed, or asks to be called when there is room: a client that does not read
 * finds only the newest status afterwards. */
static void tell(struct health *health, struct watcher *watcher)
{
    struct grpc_call *call = watcher->call;
    enum health_status now = watcher->at == UNKNOWN_SERVICE ? HEALTH_SERVICE_UNKNOWN
                                                            : health->entries[watcher->at].status;
    if (now != watcher->told) {
        if (!grpc_call_writable(call)) {
            grpc_call_want_write(call);
            if (!health->draining)
                return;
        } else {
            send_status(call, now);
            watcher->told = now;
        }
    }
    if (health->draining) {
        forget(watcher);
        grpc_call_finish(call, GRPC_UNAVAILABLE, draining_text);
    }
}

static void watch_on_message(struct grpc_call *call, ProtobufCMessage *message)
{
    struct health *health = grpc_call_service_data(call);
    struct watcher *watcher = grpc_call_state(call);
    const ProtobufCBinaryData *service =
        &((Grpc__Health__V1__HealthCheckRequest *)message)->service;
    watcher->call = call;
    watcher->at = find(health, (const char *)service->data, service->len);
    watcher->told = HEALTH_UNKNOWN;
    cds_list_add_tail(&watcher->link, &health->watchers);
    tell(health, watcher);
}

static void watch_on_writable(struct grpc_call *call)
{
    struct watcher *watcher = grpc_call_state(call);
    if (watcher->call != NULL)
        tell(grpc_call_service_data(call), watcher);
}

static void watch_on_end(struct grpc_call *call, enum grpc_status status)
{
    (void)status;
    forget(grpc_call_state(call));
}

static void tell_all(struct health *health)
{
    struct cds_list_head *at, *next;
    cds_list_for_each_safe(at, next, &health->watchers)
    {
        tell(health, cds_list_entry(at, struct watcher, link));
    }
}

/* ---- the service ---- */

bool health_set(struct health *health, const char *service, enum health_status status)
{
    uint32_t at = find(health, service, strlen(service));
    if (at == UNKNOWN_SERVICE)
        return false;
    if (health->draining)
        return true;
    health->entries[at].status = status;
    tell_all(health);
    return true;
}

void health_drain(struct health *health)
{
    health->draining = true;
    for (size_t i = 0; i < health->count; i++)
        health->entries[i].status = HEALTH_NOT_SERVING;
    tell_all(health);
}

static const struct grpc_method methods[] = {
    {
        .name = "Check",
        .request = &grpc__health__v1__health_check_request__descriptor,
        .response = &grpc__health__v1__health_check_response__descriptor,
        ANYBODY,
        .on_message = check_on_message,
    },
    {
        .name = "List",
        .request = &grpc__health__v1__health_list_request__descriptor,
        .response = &grpc__health__v1__health_list_response__descriptor,
        ANYBODY,
        .on_message = list_on_message,
    },
    {
        .name = "Watch",
        .request = &grpc__health__v1__health_check_request__descriptor,
        .response = &grpc__health__v1__health_check_response__descriptor,
        ANYBODY,
        .state_size = sizeof(struct watcher),
        .on_message = watch_on_message,
        .on_writable = watch_on_writable,
        .on_end = watch_on_end,
    },
};

const struct grpc_service health_table = {
    .name = "grpc.health.v1.Health",
    .methods = methods,
    .num_methods = sizeof(methods) / sizeof(methods[0]),
};

struct health *health_create(const char *const *names, size_t count)
{
    struct health *health = calloc(1, sizeof(*health) + (count + 1) * sizeof(health->entries[0]));
    if (health == NULL)
        return NULL;
    CDS_INIT_LIST_HEAD(&health->watchers);
    health->count = count + 1;
    health->entries[0] = (struct entry){"", HEALTH_SERVING};
    for (size_t i = 0; i < count; i++)
        health->entries[i + 1] = (struct entry){names[i], HEALTH_SERVING};
    return health;
}

void health_destroy(struct health *health)
{
    free(health);
}

bool health_add(struct health *health, struct grpc_server *server, struct fault *fault)
{
    size_t len;
    const uint8_t *set = service_descriptors(&len);
    return grpc_server_add_service(server, &health_table, set, len, health, fault);
}
