#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes each of UserService's five calls once.

It needs the stubs that protoc generates from proto/user_service.proto; README.md has the
command.
"""
import argparse
import pathlib

import grpc
import user_service_pb2 as pb
import user_service_pb2_grpc as pb_grpc


def arguments():
    parser = argparse.ArgumentParser(description="Makes each of UserService's five calls once.")
    parser.add_argument("address", nargs="?", default="127.0.0.1:50051", help="default: %(default)s")
    parser.add_argument("--token-file", type=pathlib.Path, metavar="FILE",
                        help="a token, for a server with auth-token-file")
    parser.add_argument("--tls-ca", type=pathlib.Path, metavar="FILE",
                        help="TLS; the server's certificate comes from a CA of this file")
    parser.add_argument("--tls-certificate", type=pathlib.Path, metavar="FILE",
                        help="the client's own, for a server with tls-client-ca")
    parser.add_argument("--tls-key", type=pathlib.Path, metavar="FILE")
    given = parser.parse_args()
    if (given.tls_certificate is None) != (given.tls_key is None):
        parser.error("--tls-certificate and --tls-key go together")
    if given.tls_certificate is not None and given.tls_ca is None:
        parser.error("--tls-certificate needs --tls-ca")
    return given


def connect(given):
    if given.tls_ca is None:
        return grpc.insecure_channel(given.address)
    pem = [path.read_bytes() if path is not None else None
           for path in (given.tls_ca, given.tls_key, given.tls_certificate)]
    return grpc.secure_channel(given.address, grpc.ssl_channel_credentials(*pem))


def main():
    given = arguments()
    every_call = {"timeout": 5}
    if given.token_file is not None:
        token = given.token_file.read_text(encoding="ascii").strip()
        every_call["metadata"] = [("authorization", f"Bearer {token}")]
    with connect(given) as channel:
        users = pb_grpc.UserServiceStub(channel)

        # unary
        ada = users.CreateUser(pb.CreateUserRequest(username="ada", email="ada@example.org",
                                                    password="secret"), **every_call)
        print("CreateUser       ", ada.username, ada.email, list(ada.roles))
        same = users.GetUser(pb.GetUserRequest(id=ada.id), **every_call)
        print("GetUser          ", same == ada)
        try:
            users.GetUser(pb.GetUserRequest(id="nobody"), **every_call)
        except grpc.RpcError as error:
            print("GetUser          ", error.code().name, error.details())

        # client streaming
        many = (pb.CreateUserRequest(username=name) for name in ("bob", "", "eve"))
        result = users.BatchCreateUsers(many, **every_call)
        print("BatchCreateUsers ", result.created, list(result.errors))

        # server streaming, page by page: the oldest users come first, so these three are the last
        names, token = [], ""
        while token is not None:
            page = users.ListUsers(pb.ListUsersRequest(page_size=2, page_token=token), **every_call)
            names.extend(user.username for user in page)
            token = dict(page.trailing_metadata()).get("next-page-token")
        print("ListUsers        ", names[-3:])

        # both directions at once
        texts = (pb.ChatMessage(user_id=ada.id, text=text) for text in ("hello", "goodbye"))
        for answer in users.Chat(texts, **every_call):
            print("Chat             ", answer.user_id, answer.text)


if __name__ == "__main__":
    main()
