/* SPDX-License-Identifier: MIT */
/* The services that have users: UserService and Directory. They share one state in a worker: its
 * listings, its watches, and its calls that wait for the disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/core/service.h"
#include "service/directory/directory_service.h"
#include "service/directory/directory_watches.h"
#include "service/users/user_service.h"
#include "service/users/user_service_state.h"

static void *user_service_create(const struct service_config *config)
{
    struct user_service *service = calloc(1, sizeof(*service));
    if (service == NULL)
        return NULL;
    service->store = config->store;
    service->actor = config->actor;
    service->note = config->note;
    service->counts = config->counts;
    struct shm_info info;
    shm_store_info(config->store, &info);
    snprintf(service->full_text, sizeof(service->full_text), "the table is full (max-users %llu)",
             (unsigned long long)info.max_users);
    listings_init(&service->listings, config->actor, config->snapshot_max_age,
                  info.snapshot_max_bytes);
    commit_waits_init(&service->commits, config->store, config->actor);
    passwords_init(&service->passwords, config);
    service->watches = directory_watches_create(config);
    if (service->watches != NULL)
        return service;
    free(service);
    return NULL;
}

static void user_service_settle(void *data)
{
    struct user_service *service = data;
    commit_waits_settle(&service->commits);
    directory_watches_settle(service->watches);
}

static void user_service_drain(void *data)
{
    struct user_service *service = data;
    directory_watches_drain(service->watches);
}

static void user_service_destroy(void *data)
{
    struct user_service *service = data;
    if (service == NULL)
        return;
    directory_watches_destroy(service->watches);
    explicit_bzero(&service->ids, sizeof(service->ids));
    free(service);
}

const struct service user_service = {
    .grpc = {&user_service_table, &directory_service_table},
    .create = user_service_create,
    .destroy = user_service_destroy,
    .drain = user_service_drain,
    .settle = user_service_settle,
};
