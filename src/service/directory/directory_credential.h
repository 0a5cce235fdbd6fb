/* SPDX-License-Identifier: MIT */
/* The credentials of requests. Each text stays its request's. */
#ifndef ROSTERD_SERVICE_DIRECTORY_DIRECTORY_CREDENTIAL_H
#define ROSTERD_SERVICE_DIRECTORY_DIRECTORY_CREDENTIAL_H

#include "grpc/grpc.h"
#include "proto/rosterd/directory/v1/directory.pb-c.h"
#include "service/passwords/credential.h"

struct credential
directory_create_credential(const Rosterd__Directory__V1__CreateUserRequest *request);
struct credential
directory_set_credential(const Rosterd__Directory__V1__SetPasswordRequest *request);

/** @return false: the call has ended with INVALID_ARGUMENT, which does not show the text */
bool directory_check_credential(struct grpc_call *call, const struct credential *credential);

#endif
