/* SPDX-License-Identifier: MIT */
/*
 * Directory.ListUsers: a page of users, oldest first, as one snapshot; with a filter, the users of
 * the snapshot that match.
 *
 * The table is scanned in slices. Each is charged to the turn of the call's connection, and the
 * listing goes on in the next turn, like one of UserService (users/list_users.h). A filter that a
 * unique key answers looks at one user only. The page token has the place of the page's last user,
 * not the snapshot: the next page is a snapshot of its own time.
 */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_LIST_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_LIST_H

#include "grpc/grpc.h"
#include "service/directory/directory_users.h"
#include "service/users/listings.h"
#include "service/users/parking.h"
#include "shm/store.h"
#include "user/filter/filter.h"
#include "user/uuid.h"

enum {
    DIRECTORY_PAGE_DEFAULT = 50,
    DIRECTORY_PAGE_MAX = 1000,
    DIRECTORY_PAGE_BYTES = 1 << 20, /* a page of so many bytes ends before it has all its users */
};

/** The call's state. */
struct directory_list_call {
    struct parking parking; /* until a pin is free for the snapshot */
    struct listing listing;
    struct shm_cursor cursor;
    struct directory_users users;
    struct filter *filter; /* NULL: all users */
    unsigned fields;
    uint32_t left;               /* users still to find for this page */
    uint64_t token_filter;       /* page_token_filter() of the filter's text */
    bool continues;              /* the page follows an earlier one, whose last user was: */
    uint8_t after_id[UUID_SIZE]; /* (once the page is full: this page's last user) */
    uint64_t after_seq;
};

void directory_list_on_message(struct grpc_call *call, ProtobufCMessage *message);
void directory_list_on_writable(struct grpc_call *call);
void directory_list_on_end(struct grpc_call *call, enum grpc_status status);

#endif
