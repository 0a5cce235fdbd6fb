# SPDX-License-Identifier: MIT
"""Clients without a .proto: reflection called directly, by grpcurl and by ghz."""
import gzip
import json
import subprocess

import grpc
import pytest
from google.protobuf import descriptor_pb2

from schema import FILES, message, method
from test_health import SERVICES
from wire import Wire, message as wire_message

NOT_FOUND, INVALID_ARGUMENT = 5, 3


@pytest.fixture(params=["v1", "v1alpha"])
def ask(server, request):
    """Sends the requests on one stream. @return the response to each"""
    package = f"grpc.reflection.{request.param}"
    kind = message(f"{package}.ServerReflectionRequest")

    def asker(*requests):
        sent = [kind(host="here", **fields) for fields in requests]
        info = method(server.channel(), f"{package}.ServerReflection/ServerReflectionInfo")
        responses = list(info(iter(sent), timeout=20))
        assert [response.original_request for response in responses] == sent
        assert all(response.valid_host == "here" for response in responses)
        return responses
    return asker


def files(response):
    return [descriptor_pb2.FileDescriptorProto.FromString(proto)
            for proto in response.file_descriptor_response.file_descriptor_proto]


def named(name):
    return next(file for file in FILES.file if file.name == name)


def test_services_are_listed(ask):
    (response,) = ask({"list_services": ""})
    assert sorted(s.name for s in response.list_services_response.service) == sorted(SERVICES[1:])


@pytest.mark.parametrize("name", ["user_service.proto", "grpc/health/v1/health.proto",
                                  "google/rpc/error_details.proto"])
def test_a_file_equals_protocs_descriptor(ask, name):
    (response,) = ask({"file_by_filename": name})
    assert files(response) == [named(name), *map(named, named(name).dependency)]


@pytest.mark.parametrize("symbol", [
    "userservice.UserService", "userservice.UserService.GetUser", "userservice.User",
    "userservice.User.email"])
def test_a_symbol_leads_to_its_file(ask, symbol):
    (response,) = ask({"file_containing_symbol": symbol})
    assert files(response) == [named("user_service.proto")]


def test_nested_types_enums_and_values_are_symbols(ask):
    health = "grpc.health.v1.HealthCheckResponse"
    symbols = [f"{health}.ServingStatus", f"{health}.SERVING",
               "grpc.health.v1.HealthListResponse.StatusesEntry"]
    for response in ask(*({"file_containing_symbol": symbol} for symbol in symbols)):
        assert files(response) == [named("grpc/health/v1/health.proto")]


def test_an_unknown_name_is_an_error_and_the_stream_continues(ask):
    responses = ask({"file_by_filename": "nobody.proto"}, {"file_containing_symbol": "no.body"},
                    {"file_containing_symbol": ""}, {"file_containing_symbol": "userservice"},
                    {"file_containing_symbol": "x" * 8000},
                    {"file_containing_extension": {"containing_type": "userservice.User",
                                                   "extension_number": 7}},
                    {"all_extension_numbers_of_type": "no.body"},
                    {"all_extension_numbers_of_type": "userservice.UserService"},
                    {"file_by_filename": "user_service.proto"})
    for response in responses[:-1]:
        assert response.error_response.error_code == NOT_FOUND
        assert response.error_response.error_message.startswith("there is no such ")
    assert files(responses[-1]) == [named("user_service.proto")]


def test_a_type_without_extensions_has_none(ask):
    (response,) = ask({"all_extension_numbers_of_type": "userservice.User"})
    numbers = response.all_extension_numbers_response
    assert numbers.base_type_name == "userservice.User" and not numbers.extension_number


def test_an_empty_request_is_an_error(ask):
    (response,) = ask({})
    assert response.error_response.error_code == INVALID_ARGUMENT


def test_a_request_is_limited_to_a_few_kib_after_inflation(server):
    kind = message("grpc.reflection.v1.ServerReflectionRequest")
    for version in ("v1", "v1alpha"):
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        with Wire(server.connect()) as connection:
            stream = connection.open(path)
            connection.data(stream, b"\0" + (8193).to_bytes(4, "big"), end=False)
            assert connection.wait(stream).grpc_status == 8
            body = gzip.compress(kind(file_by_filename="x" * 9000).SerializeToString())
            response = connection.call(path, wire_message(body, 1), grpc_encoding="gzip")
            assert response.grpc_status == 8
            assert "inflates to more than the maximum of 8192" \
                in response.trailers["grpc-message"]


def test_many_requests_on_one_stream(ask):
    assert len(ask(*[{"list_services": ""}] * 500)) == 500


def grpcurl(server, *arguments):
    return subprocess.run(["grpcurl", "-plaintext", *arguments], capture_output=True, text=True,
                          timeout=60)


def test_grpcurl_needs_no_proto(server):
    address = f"127.0.0.1:{server.port}"
    assert grpcurl(server, address, "list").stdout.split() == sorted(SERVICES[1:])
    described = grpcurl(server, address, "describe", "userservice.UserService.Chat").stdout
    assert "rpc Chat ( stream .userservice.ChatMessage )" in described
    created = grpcurl(server, "-d", '{"username":"reflected"}', address,
                      "userservice.UserService/CreateUser")
    assert json.loads(created.stdout)["username"] == "reflected"
    refused = grpcurl(server, "-d", "{}", address, "userservice.UserService/CreateUser")
    assert '"fieldViolations":[{"field":"username","description":"username is required"}]' \
        in refused.stderr, refused.stderr


def test_ghz_needs_no_proto(server):
    done = subprocess.run(
        ["ghz", "--insecure", "--call", "userservice.UserService.GetUser", "-d", '{"id":"nobody"}',
         "-n", "200", "-O", "json", f"127.0.0.1:{server.port}"],
        capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["statusCodeDistribution"] == {"NotFound": 200}, done
