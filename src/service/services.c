/* SPDX-License-Identifier: MIT */
#include "service/services.h"

#include <stdlib.h>

#define SERVICE_POINTER(name) &name,
static const struct service *const list[] = {SERVICE_LIST(SERVICE_POINTER)};
enum { NUM_SERVICES = sizeof(list) / sizeof(list[0]) };

struct services {
    void *data[NUM_SERVICES]; /* of each service; NULL: it has none */
};

const struct grpc_service *const *services_all(size_t *count)
{
    static const struct grpc_service *all[2 * NUM_SERVICES];
    *count = 0;
    for (size_t i = 0; i < NUM_SERVICES; i++)
        for (size_t k = 0; k < 2 && list[i]->grpc[k] != NULL; k++)
            all[(*count)++] = list[i]->grpc[k];
    return all;
}

static bool add_services(struct services *services, struct grpc_server *server,
                         const struct service_config *config, struct fault *fault)
{
    for (size_t i = 0; i < NUM_SERVICES; i++) {
        if (list[i]->create != NULL && (services->data[i] = list[i]->create(config)) == NULL)
            return fault_set(fault, "out of memory");
        if (!service_add(list[i], services->data[i], server, fault))
            return false;
    }
    return true;
}

struct services *services_create(struct grpc_server *server, const struct service_config *config,
                                 struct fault *fault)
{
    struct service_config with_names = *config;
    const struct grpc_service *const *all = services_all(&with_names.num_names);
    const char *names[2 * NUM_SERVICES];
    for (size_t i = 0; i < with_names.num_names; i++)
        names[i] = all[i]->name;
    with_names.names = names;
    struct services *services = calloc(1, sizeof(*services));
    if (services == NULL) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    if (add_services(services, server, &with_names, fault))
        return services;
    services_destroy(services);
    return NULL;
}

void services_destroy(struct services *services)
{
    if (services == NULL)
        return;
    for (size_t i = 0; i < NUM_SERVICES; i++)
        if (list[i]->destroy != NULL)
            list[i]->destroy(services->data[i]);
    free(services);
}

void services_drain(struct services *services)
{
    for (size_t i = 0; i < NUM_SERVICES; i++)
        if (list[i]->drain != NULL)
            list[i]->drain(services->data[i]);
}

void services_settle(struct services *services)
{
    for (size_t i = 0; i < NUM_SERVICES; i++)
        if (list[i]->settle != NULL)
            list[i]->settle(services->data[i]);
}
