/* SPDX-License-Identifier: MIT */
/* Finds services and message types in a FileDescriptorSet by their full names. */
#ifndef ROSTERD_GRPC_DESCRIPTOR_H
#define ROSTERD_GRPC_DESCRIPTOR_H

#include "proto/google/protobuf/descriptor.pb-c.h"

/** @param name "userservice.UserService" @return NULL: the set lacks it */
const Google__Protobuf__ServiceDescriptorProto *
grpc_descriptor_service(const Google__Protobuf__FileDescriptorSet *set, const char *name);
/** @param name "package.Outer.Inner" @return NULL: the set lacks it */
const Google__Protobuf__DescriptorProto *
grpc_descriptor_message(const Google__Protobuf__FileDescriptorSet *set, const char *name);

#endif
