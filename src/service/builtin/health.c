/* SPDX-License-Identifier: MIT */
#include "service/builtin/health.h"

#include <stdlib.h>
#include <urcu/list.h>

#include "proto/grpc/health/v1/health.pb-c.h"

/* Clients need no token for these methods, because probes and load balancers have none. So a
 * request may cost no more than a name needs. */
#define OPEN_TO_ALL                                                                                \
    .access = SCOPE_NO_TOKEN, .flags = GRPC_METHOD_PLAIN, .max_request = HEALTH_REQUEST_MAX

static const char draining_text[] = "the server is shutting down";

struct health_entry {
    const char *name;
    enum health_status status;
};

struct health {
    struct cds_list_head watchers;
    bool draining;
    size_t count;
    struct health_entry entries[]; /* the first one is the server as a whole, "" */
};

#define UNKNOWN_SERVICE UINT32_MAX

/* The state of a Watch call. */
struct watcher {
    struct cds_list_head link;
    struct grpc_call *call;  /* NULL: not in the list of watchers */
    uint32_t at;             /* index in entries, or UNKNOWN_SERVICE */
    enum health_status told; /* the status that was sent last */
};

static uint32_t find_entry(const struct health *health, const char *service, size_t len)
{
    for (uint32_t i = 0; i < health->count; i++)
        if (strlen(health->entries[i].name) == len &&
            (len == 0 || memcmp(health->entries[i].name, service, len) == 0))
            return i;
    return UNKNOWN_SERVICE;
}

enum health_status health_get(const struct health *health, const char *service, size_t len)
{
    uint32_t at = find_entry(health, service, len);
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
    (void)message;
    struct grpc_arena *arena = grpc_call_arena(call);
    Grpc__Health__V1__HealthCheckResponse *statuses =
        grpc_arena_alloc(arena, health->count * sizeof(*statuses));
    Entry *entries = grpc_arena_alloc(arena, health->count * sizeof(*entries));
    Entry **all = grpc_arena_alloc(arena, health->count * sizeof(Entry *));
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
    Grpc__Health__V1__HealthListResponse list = GRPC__HEALTH__V1__HEALTH_LIST_RESPONSE__INIT;
    list.n_statuses = health->count;
    list.statuses = all;
    grpc_call_send(call, &list.base);
    grpc_call_finish(call, GRPC_OK, NULL);
}

/* ---- Watch ---- */

static void remove_watcher(struct watcher *watcher)
{
    if (watcher->call == NULL)
        return;
    cds_list_del(&watcher->link);
    watcher->call = NULL;
}

/* Sends the status if it has changed, or asks to be called when there is room: a client that does
 * not read gets only the newest status afterwards. Ends the call in a drain. */
static void update_watcher(struct health *health, struct watcher *watcher)
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
        remove_watcher(watcher);
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
    watcher->at = find_entry(health, (const char *)service->data, service->len);
    watcher->told = HEALTH_UNKNOWN;
    cds_list_add_tail(&watcher->link, &health->watchers);
    update_watcher(health, watcher);
}

static void watch_on_writable(struct grpc_call *call)
{
    struct watcher *watcher = grpc_call_state(call);
    if (watcher->call != NULL)
        update_watcher(grpc_call_service_data(call), watcher);
}

static void watch_on_end(struct grpc_call *call, enum grpc_status status)
{
    (void)status;
    remove_watcher(grpc_call_state(call));
}

static void update_watchers(struct health *health)
{
    struct cds_list_head *at, *next;
    cds_list_for_each_safe(at, next, &health->watchers)
    {
        update_watcher(health, cds_list_entry(at, struct watcher, link));
    }
}

/* ---- the service ---- */

bool health_set(struct health *health, const char *service, enum health_status status)
{
    uint32_t at = find_entry(health, service, strlen(service));
    if (at == UNKNOWN_SERVICE)
        return false;
    if (health->draining)
        return true;
    health->entries[at].status = status;
    update_watchers(health);
    return true;
}

static void health_drain(void *data)
{
    struct health *health = data;
    health->draining = true;
    for (size_t i = 0; i < health->count; i++)
        health->entries[i].status = HEALTH_NOT_SERVING;
    update_watchers(health);
}

static const struct grpc_method health_methods[] = {
    {
        .name = "Check",
        .request = &grpc__health__v1__health_check_request__descriptor,
        .response = &grpc__health__v1__health_check_response__descriptor,
        OPEN_TO_ALL,
        .on_message = check_on_message,
    },
    {
        .name = "List",
        .request = &grpc__health__v1__health_list_request__descriptor,
        .response = &grpc__health__v1__health_list_response__descriptor,
        OPEN_TO_ALL,
        .on_message = list_on_message,
    },
    {
        .name = "Watch",
        .request = &grpc__health__v1__health_check_request__descriptor,
        .response = &grpc__health__v1__health_check_response__descriptor,
        OPEN_TO_ALL,
        .state_size = sizeof(struct watcher),
        .on_message = watch_on_message,
        .on_writable = watch_on_writable,
        .on_end = watch_on_end,
    },
};

const struct grpc_service health_table = {
    .name = "grpc.health.v1.Health",
    .methods = health_methods,
    .num_methods = sizeof(health_methods) / sizeof(health_methods[0]),
};

static void *health_create(const struct service_config *config)
{
    size_t count = config->num_names + 1;
    struct health *health = calloc(1, sizeof(*health) + count * sizeof(health->entries[0]));
    if (health == NULL)
        return NULL;
    CDS_INIT_LIST_HEAD(&health->watchers);
    health->count = count;
    health->entries[0] = (struct health_entry){"", HEALTH_SERVING};
    for (size_t i = 0; i < config->num_names; i++)
        health->entries[i + 1] = (struct health_entry){config->names[i], HEALTH_SERVING};
    return health;
}

const struct service health_service = {
    .grpc = {&health_table},
    .create = health_create,
    .destroy = free,
    .drain = health_drain,
};
