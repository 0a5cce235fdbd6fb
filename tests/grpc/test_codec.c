/* SPDX-License-Identifier: MIT */
/* What a FileDescriptorSet becomes: method tables, and codecs that know where a message has text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grpc/methods.h"
#include "tests/grpc/test_service.pb-c.h"

static const uint8_t set_bytes[] = {
#include "tests/grpc/test_service_set.h"
};

#define ITEM  &grpctest__item__descriptor
#define INNER &grpctest__inner__descriptor

static const struct grpc_method all_methods[] = {
    {.name = "Unary", .request = ITEM, .response = ITEM},
    {.name = "Secret", .request = ITEM, .response = ITEM},
    {.name = "Collect", .request = ITEM, .response = ITEM},
    {.name = "Produce", .request = ITEM, .response = ITEM},
    {.name = "Talk", .request = ITEM, .response = ITEM},
};

/* ---- method tables ---- */

static const struct grpc_method_entry *find(const struct grpc_methods *methods, const char *path)
{
    return grpc_methods_find(methods, path, strlen(path));
}

static void methods_are_found_by_their_whole_path(void **state)
{
    struct grpc_service service = {"grpctest.Test", all_methods, 5};
    struct grpc_methods methods = {.count = 0};
    int data;
    (void)state;
    assert_null(find(&methods, "/grpctest.Test/Unary"));
    assert_true(grpc_methods_add(&methods, &service, set_bytes, sizeof(set_bytes), &data, NULL));
    assert_int_equal(methods.count, 5);
    for (size_t i = 0; i < 5; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/grpctest.Test/%s", all_methods[i].name);
        const struct grpc_method_entry *entry = find(&methods, path);
        assert_non_null(entry);
        assert_ptr_equal(entry->method, &all_methods[i]);
        assert_ptr_equal(entry->data, &data);
        assert_int_equal(entry->index, i);
    }
    static const char *const others[] = {"",
                                         "/",
                                         "Unary",
                                         "/grpctest.Test/",
                                         "/grpctest.Test/Unar",
                                         "/grpctest.Test/Unary/",
                                         "/grpctest.Test/unary",
                                         "/grpctest.Tess/Unary",
                                         "grpctest.Test/Unary"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_null(find(&methods, others[i]));
    grpc_methods_free(&methods);
}

static void kinds_come_from_the_descriptor(void **state)
{
    /* Unary, Secret, Collect, Produce, Talk */
    static const bool client_streams[] = {false, false, true, false, true};
    static const bool server_streams[] = {false, false, false, true, true};
    struct grpc_service service = {"grpctest.Test", all_methods, 5};
    struct grpc_methods methods = {.count = 0};

    (void)state;
    assert_true(grpc_methods_add(&methods, &service, set_bytes, sizeof(set_bytes), NULL, NULL));
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(methods.entries[i]->single_request, !client_streams[i]);
        assert_int_equal(methods.entries[i]->streaming_reply, server_streams[i]);
    }
    grpc_methods_free(&methods);
}

static void refuses(const char *name, const struct grpc_method *list, size_t num, const char *why)
{
    struct grpc_service service = {name, list, num};
    struct grpc_methods methods = {.count = 0};
    struct fault fault;
    assert_false(grpc_methods_add(&methods, &service, set_bytes, sizeof(set_bytes), NULL, &fault));
    assert_string_equal(fault.text, why);
    assert_int_equal(methods.count, 0);
    assert_null(find(&methods, "/grpctest.Test/Unary"));
    grpc_methods_free(&methods);
}

static void services_that_do_not_fit_are_refused_by_name(void **state)
{
    struct grpc_method list[6];
    (void)state;
    refuses("grpctest.Nest", all_methods, 5,
            "grpctest.Nest: the descriptor set lacks this service");
    refuses("Test", all_methods, 5, "Test: the descriptor set lacks this service");
    refuses("grpctest.Test", all_methods, 4, "grpctest.Test.Talk: it is not implemented");
    memcpy(list, all_methods, sizeof(all_methods));
    list[5] = (struct grpc_method){.name = "More", .request = ITEM, .response = ITEM};
    refuses("grpctest.Test", list, 6, "grpctest.Test.More: the .proto lacks this method");
    list[1].request = INNER;
    refuses("grpctest.Test", list, 5,
            "grpctest.Test.Secret: its request has another type in the .proto");
    list[1] = all_methods[1];
    list[4].response = INNER;
    refuses("grpctest.Test", list, 5,
            "grpctest.Test.Talk: its response has another type in the .proto");
}

static void a_descriptor_set_that_does_not_parse_is_refused(void **state)
{
    struct grpc_service service = {"grpctest.Test", all_methods, 5};
    struct grpc_methods methods = {.count = 0};
    (void)state;
    struct fault fault;
    assert_false(
        grpc_methods_add(&methods, &service, set_bytes, sizeof(set_bytes) - 1, NULL, &fault));
    assert_string_equal(fault.text, "grpctest.Test: its descriptor set does not parse");
    grpc_methods_free(&methods);
}

static void a_service_is_added_once(void **state)
{
    struct grpc_service service = {"grpctest.Test", all_methods, 5};
    struct grpc_methods methods = {.count = 0};
    (void)state;
    assert_true(grpc_methods_add(&methods, &service, set_bytes, sizeof(set_bytes), NULL, NULL));
    struct fault fault;
    assert_false(grpc_methods_add(&methods, &service, set_bytes, sizeof(set_bytes), NULL, &fault));
    assert_string_equal(fault.text, "grpctest.Test: this service was added before");
    assert_int_equal(methods.count, 5);
    assert_non_null(find(&methods, "/grpctest.Test/Talk"));
    grpc_methods_free(&methods);
}

static void a_request_type_that_contains_itself_is_refused(void **state)
{
    static const struct grpc_method walk = {
        .name = "Walk", .request = &grpctest__node__descriptor, .response = INNER};
    (void)state;
    refuses("grpctest.Recursive", &walk, 1,
            "grpctest.Recursive.Walk: grpctest.Node contains itself: recursive types are not "
            "supported");
}

/* ---- text ---- */

static struct grpc_codec *codecs;
static const struct grpc_codec *item_codec;

static int make_codec(void **state)
{
    (void)state;
    Google__Protobuf__FileDescriptorSet *set =
        google__protobuf__file_descriptor_set__unpack(NULL, sizeof(set_bytes), set_bytes);
    item_codec = grpc_codec_get(&codecs, set, ITEM, NULL);
    google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
    return item_codec == NULL;
}

static int free_codec(void **state)
{
    (void)state;
    grpc_codecs_free(codecs);
    codecs = NULL;
    return 0;
}

#define BAD  "a\xff"
#define GOOD "\xc3\xa9"
static ProtobufCBinaryData text(const char *string)
{
    return (ProtobufCBinaryData){.len = strlen(string), .data = (uint8_t *)string};
}

static bool check(const Grpctest__Item *item, struct grpc_field_name *where)
{
    where->message = where->field = NULL;
    return grpc_codec_check_text(item_codec, &item->base, where);
}

static void expect_bad(const Grpctest__Item *item, const char *message, const char *field)
{
    struct grpc_field_name where;
    assert_false(check(item, &where));
    assert_string_equal(where.message, message);
    assert_string_equal(where.field, field);
}

static void text_is_found_in_plain_and_repeated_fields(void **state)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    ProtobufCBinaryData tags[3] = {text(GOOD), text("x"), text(BAD)};
    struct grpc_field_name where;
    (void)state;
    assert_true(check(&item, &where));
    item.raw = text(BAD); /* a bytes field may hold anything */
    item.name = text(GOOD);
    item.n_tags = 2;
    item.tags = tags;
    assert_true(check(&item, &where));
    item.n_tags = 3;
    expect_bad(&item, "grpctest.Item", "tags");
    item.name = text(BAD);
    expect_bad(&item, "grpctest.Item", "name");
}

static void text_with_a_nul_inside_is_checked_to_its_end(void **state)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    struct grpc_field_name where;
    (void)state;
    item.name = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)"a\0b"};
    assert_true(check(&item, &where));
    item.name = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)"a\0\xff"};
    expect_bad(&item, "grpctest.Item", "name");
}

static void text_is_found_in_nested_messages_and_maps(void **state)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    Grpctest__Inner inner = GRPCTEST__INNER__INIT;
    Grpctest__Item__Nested nested[2] = {GRPCTEST__ITEM__NESTED__INIT, GRPCTEST__ITEM__NESTED__INIT};
    Grpctest__Item__Nested *list[2] = {&nested[0], &nested[1]};
    Grpctest__Item__LabelsEntry label = GRPCTEST__ITEM__LABELS_ENTRY__INIT;
    Grpctest__Item__LabelsEntry *labels[1] = {&label};
    struct grpc_field_name where;
    (void)state;
    item.inner = &inner;
    item.n_nested = 2;
    item.nested = list;
    item.n_labels = 1;
    item.labels = labels;
    label.key = (char *)GOOD;
    assert_true(check(&item, &where));
    inner.label = text(BAD);
    expect_bad(&item, "grpctest.Inner", "label");
    inner.label = text("");
    nested[1].deep = text(BAD);
    expect_bad(&item, "grpctest.Item.Nested", "deep");
    nested[1].deep = text("");
    label.value = (char *)BAD;
    expect_bad(&item, "grpctest.Item.LabelsEntry", "value");
}

static void text_in_a_oneof_counts_only_where_it_is_set(void **state)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    struct grpc_field_name where;
    (void)state;
    item.choice_case = GRPCTEST__ITEM__CHOICE_TEXT;
    item.text = text(BAD);
    expect_bad(&item, "grpctest.Item", "text");
    item.choice_case = GRPCTEST__ITEM__CHOICE_BLOB;
    item.blob = text(BAD);
    assert_true(check(&item, &where));
}

static void text_of_c_strings_is_checked_too(void **state)
{
    Grpctest__Item item = GRPCTEST__ITEM__INIT;
    char *list[2] = {(char *)GOOD, (char *)BAD};
    struct grpc_field_name where;
    (void)state;
    item.terminated = (char *)GOOD;
    item.n_terminated_list = 1;
    item.terminated_list = list;
    assert_true(check(&item, &where));
    item.n_terminated_list = 2;
    expect_bad(&item, "grpctest.Item", "terminated_list");
    item.terminated = (char *)BAD;
    expect_bad(&item, "grpctest.Item", "terminated");
}

int main(void)
{
#define TEXT(name) cmocka_unit_test_setup_teardown(name, make_codec, free_codec)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_are_found_by_their_whole_path),
        cmocka_unit_test(kinds_come_from_the_descriptor),
        cmocka_unit_test(services_that_do_not_fit_are_refused_by_name),
        cmocka_unit_test(a_descriptor_set_that_does_not_parse_is_refused),
        cmocka_unit_test(a_service_is_added_once),
        cmocka_unit_test(a_request_type_that_contains_itself_is_refused),
        TEXT(text_is_found_in_plain_and_repeated_fields),
        TEXT(text_with_a_nul_inside_is_checked_to_its_end),
        TEXT(text_is_found_in_nested_messages_and_maps),
        TEXT(text_in_a_oneof_counts_only_where_it_is_set),
        TEXT(text_of_c_strings_is_checked_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
