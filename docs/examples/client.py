#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes each of UserService's five calls once.  Usage: client.py [ADDRESS]

It needs the stubs that protoc generates from proto/user_service.proto; README.md has the
command.
"""
import sys

import grpc
import user_service_pb2 as pb
import user_service_pb2_grpc as pb_grpc


def main(address):
    with grpc.insecure_channel(address) as channel:
        users = pb_grpc.UserServiceStub(channel)

        # unary
        ada = users.CreateUser(
            pb.CreateUserRequest(username="ada", email="ada@example.org", password="secret"), timeout=5)
        print("CreateUser       ", ada.username, ada.email, list(ada.roles))
        same = users.GetUser(pb.GetUserRequest(id=ada.id), timeout=5)
        print("GetUser          ", same == ada)
        try:
            users.GetUser(pb.GetUserRequest(id="nobody"), timeout=5)
        except grpc.RpcError as error:
            print("GetUser          ", error.code().name, error.details())

        # client streaming
        many = (pb.CreateUserRequest(username=name) for name in ("bob", "", "eve"))
        result = users.BatchCreateUsers(many, timeout=5)
        print("BatchCreateUsers ", result.created, list(result.errors))

        # server streaming, page by page
        token = ""
        while True:
            page = users.ListUsers(pb.ListUsersRequest(page_size=2, page_token=token), timeout=5)
            print("ListUsers        ", [user.username for user in page])
            token = dict(page.trailing_metadata()).get("next-page-token")
            if token is None:
                break

        # both directions at once
        texts = (pb.ChatMessage(user_id=ada.id, text=text) for text in ("hello", "goodbye"))
        for answer in users.Chat(texts, timeout=5):
            print("Chat             ", answer.user_id, answer.text)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051")
