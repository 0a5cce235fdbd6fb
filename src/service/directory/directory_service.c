/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_service.h"

#include "proto/rosterd/directory/v1/directory.pb-c.h"
#include "service/core/scope.h"
#include "service/directory/directory_batch.h"
#include "service/directory/directory_import.h"
#include "service/directory/directory_list.h"
#include "service/directory/directory_password.h"
#include "service/directory/directory_read.h"
#include "service/directory/directory_verify.h"
#include "service/directory/directory_watch.h"
#include "service/directory/directory_write.h"

static const struct grpc_method directory_methods[] = {
    {
        .name = "GetUser",
        .access = SCOPE_READ,
        .request = &rosterd__directory__v1__get_user_request__descriptor,
        .response = &rosterd__directory__v1__user__descriptor,
        .on_message = directory_get_on_message,
    },
    {
        .name = "LookupUser",
        .access = SCOPE_READ,
        .request = &rosterd__directory__v1__lookup_user_request__descriptor,
        .response = &rosterd__directory__v1__user__descriptor,
        .on_message = directory_lookup_on_message,
    },
    {
        .name = "BatchGetUsers",
        .access = SCOPE_READ,
        .request = &rosterd__directory__v1__batch_get_users_request__descriptor,
        .response = &rosterd__directory__v1__batch_get_users_response__descriptor,
        .state_size = sizeof(struct directory_batch_call),
        .on_message = directory_batch_on_message,
        .on_writable = directory_batch_on_writable,
        .on_end = directory_batch_on_end,
    },
    {
        .name = "ListUsers",
        .access = SCOPE_READ,
        .request = &rosterd__directory__v1__list_users_request__descriptor,
        .response = &rosterd__directory__v1__list_users_response__descriptor,
        .state_size = sizeof(struct directory_list_call),
        .on_message = directory_list_on_message,
        .on_writable = directory_list_on_writable,
        .on_end = directory_list_on_end,
    },
    {
        .name = "CreateUser",
        .access = SCOPE_WRITE,
        .request = &rosterd__directory__v1__create_user_request__descriptor,
        .response = &rosterd__directory__v1__user__descriptor,
        .state_size = sizeof(struct directory_write_call),
        .flags = GRPC_METHOD_SECRET,
        .on_message = directory_create_on_message,
        .on_end = directory_write_on_end,
    },
    {
        .name = "UpdateUser",
        .access = SCOPE_WRITE,
        .request = &rosterd__directory__v1__update_user_request__descriptor,
        .response = &rosterd__directory__v1__user__descriptor,
        .state_size = sizeof(struct directory_write_call),
        .flags = GRPC_METHOD_SECRET,
        .on_message = directory_update_on_message,
        .on_end = directory_write_on_end,
    },
    {
        .name = "DeleteUser",
        .access = SCOPE_WRITE,
        .request = &rosterd__directory__v1__delete_user_request__descriptor,
        .response = &google__protobuf__empty__descriptor,
        .state_size = sizeof(struct directory_write_call),
        .on_message = directory_delete_on_message,
        .on_end = directory_write_on_end,
    },
    {
        .name = "ImportUsers",
        .access = SCOPE_ADMIN,
        .request = &rosterd__directory__v1__import_users_request__descriptor,
        .response = &rosterd__directory__v1__import_users_response__descriptor,
        .state_size = sizeof(struct directory_import_call),
        .flags = GRPC_METHOD_SECRET,
        .on_open = directory_import_on_open,
        .on_message = directory_import_on_message,
        .on_half_close = directory_import_on_half_close,
        .on_writable = directory_import_on_writable,
        .on_end = directory_import_on_end,
    },
    {
        .name = "SetPassword",
        .access = SCOPE_PASSWORD,
        .request = &rosterd__directory__v1__set_password_request__descriptor,
        .response = &rosterd__directory__v1__user__descriptor,
        .state_size = sizeof(struct directory_write_call),
        .flags = GRPC_METHOD_SECRET,
        .on_message = directory_set_password_on_message,
        .on_end = directory_write_on_end,
    },
    {
        .name = "VerifyPassword",
        .access = SCOPE_PASSWORD,
        .request = &rosterd__directory__v1__verify_password_request__descriptor,
        .response = &rosterd__directory__v1__user__descriptor,
        .state_size = sizeof(struct directory_verify_call),
        .flags = GRPC_METHOD_SECRET,
        .on_message = directory_verify_on_message,
        .on_end = directory_verify_on_end,
    },
    {
        .name = "WatchUsers",
        .access = SCOPE_READ,
        .request = &rosterd__directory__v1__watch_users_request__descriptor,
        .response = &rosterd__directory__v1__watch_users_response__descriptor,
        .state_size = sizeof(struct directory_watch_call),
        .on_message = directory_watch_on_message,
        .on_writable = directory_watch_on_writable,
        .on_end = directory_watch_on_end,
    },
};

const struct grpc_service directory_service_table = {
    .name = "rosterd.directory.v1.Directory",
    .methods = directory_methods,
    .num_methods = sizeof(directory_methods) / sizeof(directory_methods[0]),
};
