/* SPDX-License-Identifier: MIT */
/* What the calls of UserService and Directory share in one worker; their grpc_call_service_data().
 */
#ifndef ROSTERD_SERVICE_USERS_USER_SERVICE_STATE_H
#define ROSTERD_SERVICE_USERS_USER_SERVICE_STATE_H

#include "service/core/service.h"
#include "service/passwords/password_work.h"
#include "service/users/commit_wait.h"
#include "service/users/listings.h"
#include "shm/store.h"
#include "user/uuid.h"

struct directory_watches;

struct user_service {
    struct shm_store *store;
    struct shm_actor *actor;
    void (*note)(const char *line); /* see struct service_config */
    struct service_counts *counts;  /* NULL: nothing is counted */
    char full_text[96];             /* status message when the table is full */
    struct uuid_source ids;
    struct listings listings;
    struct commit_waits commits;
    struct passwords passwords;
    struct directory_watches *watches; /* directory/directory_watches.h */
    struct shm_new_user
        batch[SHM_BATCH_MAX]; /* of one insert; whoever makes one sets all members */
};

#endif
