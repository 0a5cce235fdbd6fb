/* SPDX-License-Identifier: MIT */
/* Which scope each method needs, and that none can be forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/core/scope.h"
#include "service/services.h"

/* Every method that needs another scope than this list says is a change of the contract. A new
 * service adds its rows. */
static const struct {
    const char *service, *method;
    unsigned access;
} contract[] = {
    {"userservice.UserService", "GetUser", SCOPE_READ},
    {"userservice.UserService", "ListUsers", SCOPE_READ},
    {"userservice.UserService", "CreateUser", SCOPE_WRITE},
    {"userservice.UserService", "BatchCreateUsers", SCOPE_WRITE},
    {"userservice.UserService", "Chat", SCOPE_CALL},
    {"rosterd.directory.v1.Directory", "GetUser", SCOPE_READ},
    {"rosterd.directory.v1.Directory", "LookupUser", SCOPE_READ},
    {"rosterd.directory.v1.Directory", "BatchGetUsers", SCOPE_READ},
    {"rosterd.directory.v1.Directory", "ListUsers", SCOPE_READ},
    {"rosterd.directory.v1.Directory", "CreateUser", SCOPE_WRITE},
    {"rosterd.directory.v1.Directory", "UpdateUser", SCOPE_WRITE},
    {"rosterd.directory.v1.Directory", "DeleteUser", SCOPE_WRITE},
    {"rosterd.directory.v1.Directory", "ImportUsers", SCOPE_ADMIN},
    {"rosterd.directory.v1.Directory", "SetPassword", SCOPE_PASSWORD},
    {"rosterd.directory.v1.Directory", "VerifyPassword", SCOPE_PASSWORD},
    {"rosterd.directory.v1.Directory", "WatchUsers", SCOPE_READ},
    {"grpc.health.v1.Health", "Check", SCOPE_NO_TOKEN},
    {"grpc.health.v1.Health", "List", SCOPE_NO_TOKEN},
    {"grpc.health.v1.Health", "Watch", SCOPE_NO_TOKEN},
    {"grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", SCOPE_CALL},
    {"grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", SCOPE_CALL},
};

static const struct grpc_method *find(const char *service, const char *method)
{
    size_t count;
    const struct grpc_service *const *all = services_all(&count);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; strcmp(all[i]->name, service) == 0 && k < all[i]->num_methods; k++)
            if (strcmp(all[i]->methods[k].name, method) == 0)
                return &all[i]->methods[k];
    fail_msg("%s has no %s", service, method);
    abort();
}

static void each_method_needs_the_scope_of_its_contract(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(contract) / sizeof(contract[0]); i++)
        assert_int_equal(find(contract[i].service, contract[i].method)->access, contract[i].access);
}

static void only_health_is_open_and_every_method_has_an_access(void **state)
{
    (void)state;
    size_t count;
    const struct grpc_service *const *all = services_all(&count);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < all[i]->num_methods; k++) {
            unsigned access = all[i]->methods[k].access;
            bool health = strcmp(all[i]->name, "grpc.health.v1.Health") == 0;
            assert_true(scope_is_access(access));
            assert_int_equal(scope_permits(0, access), health);
        }
}

static void service_with_a_forgotten_access_is_refused_by_name(void **state)
{
    static const unsigned bad[] = {
        0, SCOPE_METRICS, SCOPE_ALL, SCOPE_NO_TOKEN | SCOPE_READ, SCOPE_NO_TOKEN << 1, ~0U};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct grpc_method methods[] = {{.name = "Good", .access = SCOPE_WRITE},
                                              {.name = "Bad", .access = bad[i]}};
        const struct grpc_service table = {
            .name = "some.Service", .methods = methods, .num_methods = 2};
        const struct service service = {.grpc = {&table}};
        struct fault fault;
        /* It is refused before the server is touched: there is none. */
        assert_false(service_add(&service, NULL, NULL, &fault));
        assert_string_equal(fault.text,
                            "some.Service.Bad: its access is no scope of service/core/scope.h");
    }
}

static void no_token_has_the_bit_of_open_methods(void **state)
{
    (void)state;
    assert_int_equal(SCOPE_ALL & SCOPE_NO_TOKEN, 0);
    assert_false(scope_permits(SCOPE_ALL, 0));
    assert_false(scope_permits(0, SCOPE_ALL));
    assert_true(scope_permits(0, SCOPE_NO_TOKEN));
}

static void scopes_are_read_up_to_their_length(void **state)
{
    (void)state;
    unsigned scopes;
    struct fault fault;
    assert_true(scope_parse("read,writer", 10, &scopes, &fault));
    assert_int_equal(scopes, SCOPE_READ | SCOPE_WRITE);
    assert_false(scope_parse("read,writer", 11, &scopes, &fault));
    assert_false(scope_parse("read,writer", 9, &scopes, &fault));
    assert_false(scope_parse("read,writer", 5, &scopes, &fault));
    assert_false(scope_parse("", 0, &scopes, &fault));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_method_needs_the_scope_of_its_contract),
        cmocka_unit_test(only_health_is_open_and_every_method_has_an_access),
        cmocka_unit_test(service_with_a_forgotten_access_is_refused_by_name),
        cmocka_unit_test(no_token_has_the_bit_of_open_methods),
        cmocka_unit_test(scopes_are_read_up_to_their_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
