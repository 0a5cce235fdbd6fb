/* SPDX-License-Identifier: MIT */
/* Finding things by their full names in a FileDescriptorSet. */
#ifndef ROSTERD_GRPC_DESCRIPTOR_H
#define ROSTERD_GRPC_DESCRIPTOR_H

#include "proto/google/protobuf/descriptor.pb-c.h"

/** @param name "userservice.UserService" @return NULL where the set has none */
const Google__Protobuf__ServiceDescriptorProto *
grpc_descriptor_service(const Google__Protobuf__FileDescriptorSet *set, const char *name);
/** @param name "package.Outer.Inner" */
const Google__Protobuf__DescriptorProto *
grpc_descriptor_message(const Google__Protobuf__FileDescriptorSet *set, const char *name);

#endif
