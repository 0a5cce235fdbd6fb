/* SPDX-License-Identifier: MIT */
/*
 * What a gRPC service is to this server, and the list of all services. To add one: a file that
 * defines its struct service, and a row of SERVICE_LIST.
 */
#ifndef ROSTERD_SERVICE_CORE_SERVICE_H
#define ROSTERD_SERVICE_CORE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "grpc/grpc.h"
#include "service/core/scope.h"

struct password_counts;
struct pool_client;
struct shm_actor;
struct shm_store;
struct tries;

/** What a worker's services count; the worker shows it (observe/stats_table.h). */
struct service_counts {
    uint64_t watches;      /* WatchUsers calls that are open */
    uint64_t watches_lost; /* that ended because the feed did not have the next changes any more */
    uint64_t watch_events; /* changes that were told, to each watch */
    /* Writes that the store refused for want of room: max-users, segment-size, or memory. */
    uint64_t no_room_users, no_room_segment, no_room_memory;
};

/** What a worker's services are made from. All that it points to must outlive them. */
struct service_config {
    struct shm_store *store;
    struct shm_actor *actor;       /* this worker's; every call reads and writes through it */
    struct pool_client *passwords; /* password/pool_client.h; NULL: no password can be verified */
    struct tries *tries;           /* password/tries.h; NULL: the server has no such processes */
    /* Wrong passwords of a user and from an address, at once and in each window; 0: no limit. */
    uint32_t password_tries, password_tries_of_address;
    uint64_t password_tries_window; /* ms */
    uint64_t
        password_queue;   /* calls of this worker that may wait for a try; the pool has its own */
    bool store_passwords; /* UserService.CreateUser stores passwords */
    struct password_counts *password_counts; /* the services add to it; NULL: nobody counts */
    /** Logs one line for an operator; the line never holds a request's text. */
    void (*note)(const char *line);
    uint64_t snapshot_max_age;     /* ms; a listing that takes longer ends ABORTED */
    uint64_t max_watches;          /* WatchUsers calls of this worker; beyond: RESOURCE_EXHAUSTED */
    uint64_t watch_bookmark;       /* ms; a watch without a change for so long gets a BOOKMARK */
    struct service_counts *counts; /* NULL: nothing is counted */
    /** The names of all services of the list: static strings in an array that lives as long as
     * services_create(), which fills this in. */
    const char *const *names;
    size_t num_names;
};

struct service {
    /** The gRPC service with its methods; a second one, or NULL, where one implementation serves
     * two versions of a protocol. */
    const struct grpc_service *grpc[2];
    /** Makes what the methods get from grpc_call_service_data(), once per worker, after the fork.
     * NULL: the methods need none. @return NULL: out of memory */
    void *(*create)(const struct service_config *config);
    /** Called after the server was destroyed. NULL: nothing to free. */
    void (*destroy)(void *data);
    /** The server drains: ends the calls that only the client can end. NULL: there are none.
     */
    void (*drain)(void *data);
    /** Answers the calls that wait for commits that are on disk by now (shm/disk.h), and lets those
     * go on that follow commits. Called when the journal has woken the worker, and after each turn
     * of its loop. NULL: no call waits. */
    void (*settle)(void *data);
};

/** Adds the service's methods to the server. @return false: a method does not say which scope it
 * needs (scope.h), or see grpc_server_add_service() */
bool service_add(const struct service *service, void *data, struct grpc_server *server,
                 struct fault *fault);

/*
 * All services, in the order in which they are added to the server. The file of each defines
 * `const struct service` of this name.
 */
#define SERVICE_LIST(ROW)                                                                          \
    ROW(user_service)                                                                              \
    ROW(health_service)                                                                            \
    ROW(reflection_service)

#define SERVICE_DECLARE(name) extern const struct service name;
SERVICE_LIST(SERVICE_DECLARE)
#undef SERVICE_DECLARE

#endif
