/* SPDX-License-Identifier: MIT */
#include "service/core/service.h"

#include "service/core/descriptors.h"

/* A method whose author forgot `access` would otherwise be refused to every client, and nobody
 * would know why. */
static bool check_access(const struct grpc_service *table, struct fault *fault)
{
    for (size_t i = 0; i < table->num_methods; i++)
        if (!scope_is_access(table->methods[i].access))
            return fault_set(fault, "%s.%s: its access is no scope of service/core/scope.h",
                             table->name, table->methods[i].name);
    return true;
}

bool service_add(const struct service *service, void *data, struct grpc_server *server,
                 struct fault *fault)
{
    size_t len;
    const uint8_t *set = service_descriptors(&len);
    for (size_t i = 0; i < 2 && service->grpc[i] != NULL; i++)
        if (!check_access(service->grpc[i], fault) ||
            !grpc_server_add_service(server, service->grpc[i], set, len, data, fault))
            return false;
    return true;
}
