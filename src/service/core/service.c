/* SPDX-License-Identifier: MIT */
#include "service/core/service.h"

#include "service/core/descriptors.h"

bool service_add(const struct service *service, void *data, struct grpc_server *server,
                 struct fault *fault)
{
    size_t len;
    const uint8_t *set = service_descriptors(&len);
    for (size_t i = 0; i < 2 && service->grpc[i] != NULL; i++)
        if (!grpc_server_add_service(server, service->grpc[i], set, len, data, fault))
            return false;
    return true;
}
