/* SPDX-License-Identifier: MIT */
/*
 * userservice.UserService: the five calls, where gRPC and the user store meet.
 * Reads never wait. A write that finds the writer lock taken is parked by
 * timer, while the worker serves others, for a second at most.
 */
#ifndef ROSTERD_SERVICE_USERS_USER_SERVICE_H
#define ROSTERD_SERVICE_USERS_USER_SERVICE_H

#include "base/fault.h"
#include "grpc/grpc.h"
#include "shm/store.h"

struct user_service; /* one per worker */

struct user_service_config {
    struct shm_store *store;
    struct shm_actor *actor; /* this process's; every call reads and writes through it */
    /** Told one line about what an operator should know; never holds a request's text. */
    void (*note)(const char *line);
    uint64_t snapshot_max_age; /* ms; a listing that takes longer ends ABORTED */
};

/** After fork. All of config's pointers must outlive it. */
struct user_service *user_service_create(const struct user_service_config *config);
/** After the server's end. */
void user_service_destroy(struct user_service *service);
/** Adds the service to the server: see grpc_server_add_service(). */
bool user_service_add(struct user_service *service, struct grpc_server *server,
                      struct fault *fault);

/** The methods, for counters and for the server's own tables. */
extern const struct grpc_service user_service_table;

#endif
