/* SPDX-License-Identifier: MIT */
/*
 * A request of ImportUsers from when it comes until it is answered: the user that it asks for, and
 * then what became of it. It lies in memory for secrets (base/secret.h); a password is overwritten
 * when it is handed to the processes that hash it, a hash when the store has it.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_IMPORT_ENTRY_H
#define ROSTERD_SERVICE_DIRECTORY_IMPORT_ENTRY_H

#include "grpc/grpc.h"
#include "password/pool_client.h"
#include "proto/rosterd/directory/v1/directory.pb-c.h"
#include "service/directory/directory_request.h"
#include "service/users/user_service_state.h"
#include "shm/store.h"
#include "user/uuid.h"

enum import_state {
    IMPORT_UNHASHED, /* its password is not hashed yet */
    IMPORT_READY,    /* can be inserted */
    IMPORT_SETTLED,  /* what the answer says is known */
};

struct import_entry {
    struct import_entry *next;
    struct grpc_call *call;
    struct pool_ticket ticket; /* of the password that is being hashed */
    enum import_state state;
    uint32_t size; /* bytes of the entry */
    uint32_t body_len, hidden_len, password_len;
    int64_t created_at; /* as the body has it, in seconds */
    uint8_t id[UUID_SIZE];
    bool id_given;                    /* by the client */
    struct directory_request request; /* of its request_id */
    /* Once it is settled. */
    uint64_t version; /* the commit that the answer rests on; 0: none */
    int result;       /* of the store */
    unsigned key;     /* after SHM_EKEY */
    /* Why the request itself is refused; GRPC_OK: the result says what happened. */
    enum grpc_status status;
    const char *text; /* a static string, or in `bytes` */
    const char *path; /* of what the text's first word is a field: import_of_*; NULL: of nothing */
    uint8_t bytes[];  /* body, hidden part, and the password until it is handed on; or the text */
};

/** What comes before a field in the path of a request's field: "create.", "create.user.". */
extern const char import_of_request[], import_of_user[];

/** Makes an entry from a request, which it checks. @return NULL: out of memory */
struct import_entry *import_entry_create(struct grpc_call *call,
                                         const Rosterd__Directory__V1__CreateUserRequest *request);
/** Frees the entry; nobody waits for its hash any more. */
void import_entry_free(struct import_entry *entry);

/** Whether the entry's request was done already, so that its password need not be hashed: it is
 * settled then. */
bool import_entry_repeats(struct import_entry *entry);
/** The password of an entry with state IMPORT_UNHASHED, as a task for the pool. */
struct pool_task import_entry_task(const struct import_entry *entry);
/** The pool has its copy of the password. */
void import_entry_forget_password(struct import_entry *entry);
/** Takes the hash: the entry becomes ready, or is refused because the user has no room for it. */
void import_entry_take_hash(struct import_entry *entry, const char *hash);
/** Settles an entry whose password cannot be hashed. @param text static */
void import_entry_refuse(struct import_entry *entry, enum grpc_status status, const char *text);

/** What the store gets of a ready entry; points into it. One with a request_id is inserted alone.
 */
struct shm_new_user import_entry_user(struct import_entry *entry);
/** Settles an entry with the store's result. @param id of the user that the store was given */
void import_entry_settle(struct import_entry *entry, int result, uint64_t version, unsigned key,
                         const uint8_t id[UUID_SIZE]);

#endif
