# SPDX-License-Identifier: MIT
"""Errors of requests as client libraries unpack them: google.rpc.Status with details."""
import grpc
import pytest

import user_service_pb2 as pb
from harness import expect
from schema import message

STATUS, BAD_REQUEST = message("google.rpc.Status"), message("google.rpc.BadRequest")
INVALID, EXISTS = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ALREADY_EXISTS


def violation(error):
    """Returns the single field violation of an error. Asserts that its status agrees with the
    trailers."""
    status = STATUS.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert status.code == error.code().value[0] and status.message == error.details()
    (detail,) = status.details
    assert detail.type_url == "type.googleapis.com/google.rpc.BadRequest"
    (found,) = BAD_REQUEST.FromString(detail.value).field_violations
    assert found.description == error.details()
    return found


@pytest.mark.parametrize("field, request_", [
    ("username", pb.CreateUserRequest()),
    ("username", pb.CreateUserRequest(username="u" * 256)),
    ("username", pb.CreateUserRequest(username="a\0b")),
    ("email", pb.CreateUserRequest(username="u", email="no at")),
    ("email", pb.CreateUserRequest(username="u", email="a@" + "b" * 300)),
    ("password", pb.CreateUserRequest(username="u", password="p" * 1025)),
])
def test_create_names_the_field(stub, field, request_):
    error = expect(lambda: stub.CreateUser(request_), INVALID)
    assert violation(error).field == field


@pytest.mark.parametrize("field, request_", [
    ("page_size", pb.ListUsersRequest(page_size=-1)),
    ("page_token", pb.ListUsersRequest(page_token="nonsense")),
])
def test_list_names_the_field(stub, field, request_):
    error = expect(lambda: list(stub.ListUsers(request_)), INVALID)
    assert violation(error).field == field


def test_taken_values_are_named(start):
    stub = start("--unique", "username,email").stub()
    stub.CreateUser(pb.CreateUserRequest(username="\u00e4nne", email="a@b"))
    error = expect(lambda: stub.CreateUser(pb.CreateUserRequest(username="\u00e4nne")), EXISTS)
    assert violation(error).field == "username"
    assert error.details() == "username '\u00e4nne' is taken"
    error = expect(lambda: stub.CreateUser(pb.CreateUserRequest(username="x", email="a@B")), EXISTS)
    assert violation(error).field == "email"
    long = "\u00e4" * 127
    stub.CreateUser(pb.CreateUserRequest(username=long))
    error = expect(lambda: stub.CreateUser(pb.CreateUserRequest(username=long)), EXISTS)
    assert violation(error).field == "username"


def test_other_errors_have_no_details(stub):
    error = expect(lambda: stub.GetUser(pb.GetUserRequest(id="nobody")), grpc.StatusCode.NOT_FOUND)
    assert "grpc-status-details-bin" not in dict(error.trailing_metadata())
