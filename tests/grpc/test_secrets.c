/* SPDX-License-Identifier: MIT */
/* Secrets that clients send are overwritten as soon as they are not needed any more. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grpc/call.h"
#include "grpc/server.h"
#include "serve.h"
#include "tests/base/dumped.h"

#define PEER   serve.peer
#define NEEDLE "Zq7-kept-in-a-call-of-its-own"

/* The linker's --wrap sends calls of free() here. */
void __real_free(void *block);
void __wrap_free(void *block);
static unsigned freed_with_needle;

void __wrap_free(void *block)
{
    if (block != NULL &&
        memmem(block, malloc_usable_size(block), NEEDLE, sizeof(NEEDLE) - 1) != NULL)
        freed_with_needle++;
    __real_free(block);
}

/** Allocates more than the call has inside itself, so that the arena needs a block. */
static void keep_needle(struct grpc_call *call)
{
    char *kept = grpc_arena_alloc(grpc_call_arena(call), 4000);
    memset(kept, 0, 4000);
    memcpy(kept + 1000, NEEDLE, sizeof(NEEDLE));
    freed_with_needle = 0;
}

static void call(uint32_t id, const char *path, const char *name, const char *value)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    struct reply reply;
    client_open(PEER, id, path, false, name, value);
    client_send(PEER, id, &item.base, true);
    client_read(PEER, id, &reply);
    assert_int_equal(reply_status(&reply), 0);
    reply_free(&reply);
    serve_for(1);
    assert_int_equal(grpc_server_calls(serve.server), 0);
}

static void memory_of_a_call_with_metadata_or_a_secret_is_overwritten(void **state)
{
    (void)state;
    serve.at_start = keep_needle;
    call(1, "/grpctest.Test/Unary", "grpc-timeout",
         "1S"); /* neither metadata nor a secret: the check works */
    assert_int_equal(freed_with_needle, 1);
    call(3, "/grpctest.Test/Unary", "authorization", "Bearer t");
    assert_int_equal(freed_with_needle, 0);
    call(5, "/grpctest.Test/Secret", "grpc-timeout", "1S");
    assert_int_equal(freed_with_needle, 0);
}

static void wipe(struct grpc_call *call)
{
    h2o_iovec_t first, second, other, name;
    first = grpc_call_metadata(call, "authorization");
    assert_true(grpc_call_metadata_at(call, 2, &name, &second));
    other = grpc_call_metadata(call, "authorizatio");
    assert_memory_equal(first.base, "Bearer one", first.len);
    assert_memory_equal(second.base, "Bearer two", second.len);
    grpc_call_wipe_metadata(call, "authorization");
    for (size_t i = 0; i < first.len; i++) {
        assert_int_equal(first.base[i], 0);
        assert_int_equal(second.base[i], 0);
    }
    assert_memory_equal(other.base, "kept", 4);
    h2o_iovec_t again = grpc_call_metadata(call, "authorization");
    assert_non_null(again.base);
    assert_int_equal(again.len, 0);
}

static void wiped_metadata_is_gone_at_once_each_of_its_name(void **state)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    struct reply reply;
    (void)state;
    serve.at_start = wipe;
    client_open(PEER, 1, "/grpctest.Test/Unary", false, "authorization", "Bearer one",
                "authorizatio", "kept", "authorization", "Bearer two");
    client_send(PEER, 1, &item.base, true);
    client_read(PEER, 1, &reply);
    assert_int_equal(reply_status(&reply), 0);
    assert_int_equal(serve.starts, 1);
    reply_free(&reply);
}

#ifndef __SANITIZE_ADDRESS__ /* secret memory is malloc's there, so that ASan finds overflows */
static unsigned left_out;

static void see_it_left_out(const uint8_t *secret)
{
    left_out += is_left_out(secret) ? 1 : 0;
}

/** A password of any size is in no core dump of a worker that dies in the method. */
static void message_that_a_method_has_is_in_no_core(void **state)
{
    static const size_t lengths[] = {10, 3000, 16000};
    static char name[16000];
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    struct reply reply;
    (void)state;
    serve.at_secret = see_it_left_out;
    left_out = 0;
    memset(name, 'n', sizeof(name));
    for (unsigned i = 0; i < 3; i++) {
        item.name = (ProtobufCBinaryData){.len = lengths[i], .data = (uint8_t *)name};
        client_open(PEER, 2 * i + 1, "/grpctest.Test/Secret", false, NULL);
        client_send(PEER, 2 * i + 1, &item.base, true);
        client_read(PEER, 2 * i + 1, &reply);
        assert_int_equal(reply_status(&reply), 0);
        reply_free(&reply);
        assert_int_equal(left_out, i + 1);
    }
}
#endif

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, serve_setup, serve_teardown)
    const struct CMUnitTest tests[] = {
        TEST(memory_of_a_call_with_metadata_or_a_secret_is_overwritten),
#ifndef __SANITIZE_ADDRESS__
        TEST(message_that_a_method_has_is_in_no_core),
#endif
        TEST(wiped_metadata_is_gone_at_once_each_of_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
