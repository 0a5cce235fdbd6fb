/* SPDX-License-Identifier: MIT */
#include "service/services.h"

#include <stdlib.h>

#include "service/builtin/reflection.h"
#include "service/core/descriptors.h"

static const struct grpc_service *const all[] = {
    &user_service_table,
    &health_table,
    &reflection_table,
    &reflection_v1alpha_table,
};
enum { NUM_SERVICES = sizeof(all) / sizeof(all[0]) };

struct services {
    struct user_service *users;
    struct health *health;
    struct reflection *reflection;
};

const struct grpc_service *const *services_all(size_t *count)
{
    *count = NUM_SERVICES;
    return all;
}

static bool services_add(struct services *services, struct grpc_server *server,
                         const struct user_service_config *config, struct fault *fault)
{
    const char *names[NUM_SERVICES];
    size_t len;
    const uint8_t *set = service_descriptors(&len);
    for (size_t i = 0; i < NUM_SERVICES; i++)
        names[i] = all[i]->name;
    services->users = user_service_create(config);
    services->health = health_create(names, NUM_SERVICES);
    services->reflection = reflection_create(set, len, names, NUM_SERVICES);
    if (services->users == NULL || services->health == NULL || services->reflection == NULL)
        return fault_set(fault, "out of memory");
    return user_service_add(services->users, server, fault) &&
           health_add(services->health, server, fault) &&
           reflection_add(services->reflection, server, fault);
}

struct services *services_create(struct grpc_server *server,
                                 const struct user_service_config *config, struct fault *fault)
{
    struct services *services = calloc(1, sizeof(*services));
    if (services == NULL) {
        fault_set(fault, "out of memory");
        return NULL;
    }
    if (services_add(services, server, config, fault))
        return services;
    services_destroy(services);
    return NULL;
}

void services_destroy(struct services *services)
{
    if (services == NULL)
        return;
    user_service_destroy(services->users);
    health_destroy(services->health);
    reflection_destroy(services->reflection);
    free(services);
}

struct health *services_health(struct services *services)
{
    return services->health;
}
