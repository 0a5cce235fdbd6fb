/* SPDX-License-Identifier: MIT */
/* The index of a descriptor set. The tests make a set of their own, because the served files have
 * no extensions and few imports; files that are added later may have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proto/google/protobuf/descriptor.pb-c.h"
#include "service/builtin/reflection_index.h"

typedef Google__Protobuf__FileDescriptorProto File;
typedef Google__Protobuf__FieldDescriptorProto Field;
enum { BASE, MIDDLE, TOP, FILES };

static uint8_t set_bytes[4096];
static size_t set_len;
static struct reflection_index *reflection;

/* top.proto imports middle.proto, which imports base.proto. base.proto defines the message p.M,
 * which the other two extend. */
static int create(void **state)
{
    static const char *const service_names[] = {"p.S"};
    char *base_name[] = {"base.proto"}, *both_names[] = {"middle.proto", "base.proto"};
    Field seven = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__INIT, hundred = seven, big = seven;
    Field *of_middle[] = {&seven}, *of_top[] = {&big, &hundred};
    Google__Protobuf__DescriptorProto message = GOOGLE__PROTOBUF__DESCRIPTOR_PROTO__INIT;
    Google__Protobuf__DescriptorProto scope = message, *of_base[] = {&message}, *top[] = {&scope};
    Google__Protobuf__OneofDescriptorProto oneof = GOOGLE__PROTOBUF__ONEOF_DESCRIPTOR_PROTO__INIT;
    Google__Protobuf__OneofDescriptorProto *oneofs[] = {&oneof};
    File files[FILES], *all[FILES];
    (void)state;
    for (int i = 0; i < FILES; i++) {
        google__protobuf__file_descriptor_proto__init(&files[i]);
        all[i] = &files[i];
        files[i].package = "p";
    }
    seven.has_number = hundred.has_number = big.has_number = true;
    seven.number = 7;
    hundred.number = 100;
    big.number = 536870911;
    seven.name = "seven";
    hundred.name = "hundred";
    big.name = "big";
    seven.extendee = hundred.extendee = big.extendee = ".p.M";
    message.name = "M";
    oneof.name = "either";
    message.n_oneof_decl = 1;
    message.oneof_decl = oneofs;
    scope.name = "Scope";
    scope.n_extension = 2;
    scope.extension = of_top;
    files[BASE].name = "base.proto";
    files[BASE].n_message_type = 1;
    files[BASE].message_type = of_base;
    files[MIDDLE].name = "middle.proto";
    files[MIDDLE].n_dependency = 1;
    files[MIDDLE].dependency = base_name;
    files[MIDDLE].n_extension = 1;
    files[MIDDLE].extension = of_middle;
    files[TOP].name = "top.proto";
    files[TOP].n_dependency = 2;
    files[TOP].dependency = both_names;
    files[TOP].n_message_type = 1;
    files[TOP].message_type = top;
    Google__Protobuf__FileDescriptorSet set = GOOGLE__PROTOBUF__FILE_DESCRIPTOR_SET__INIT;
    set.n_file = FILES;
    set.file = all;
    set_len = google__protobuf__file_descriptor_set__pack(&set, set_bytes);
    assert_true(set_len <= sizeof(set_bytes));
    reflection = reflection_index_create(set_bytes, set_len, service_names, 1);
    assert_non_null(reflection);
    return 0;
}

static int destroy(void **state)
{
    (void)state;
    reflection_index_destroy(reflection);
    return 0;
}

static int symbol(const char *name)
{
    return reflection_index_find_symbol(reflection, name, strlen(name));
}

static void extensions_and_oneofs_are_symbols(void **state)
{
    (void)state;
    assert_int_equal(symbol("p.M"), BASE);
    assert_int_equal(symbol("p.M.either"), BASE);
    assert_int_equal(symbol("p.seven"), MIDDLE);
    assert_int_equal(symbol("p.Scope.hundred"), TOP);
    assert_int_equal(symbol(".p.M"), REFLECTION_NONE);
    assert_int_equal(symbol("p"), REFLECTION_NONE);
    assert_int_equal(symbol(""), REFLECTION_NONE);
    assert_int_equal(symbol("p.Mx"), REFLECTION_NONE);
    assert_int_equal(reflection_index_find_symbol(reflection, NULL, 0), REFLECTION_NONE);
}

static void extension_is_found_by_type_and_number(void **state)
{
    (void)state;
    assert_int_equal(reflection_index_find_extension(reflection, "p.M", 3, 7), MIDDLE);
    assert_int_equal(reflection_index_find_extension(reflection, "p.M", 3, 100), TOP);
    assert_int_equal(reflection_index_find_extension(reflection, "p.M", 3, 536870911), TOP);
    assert_int_equal(reflection_index_find_extension(reflection, "p.M", 3, 8), REFLECTION_NONE);
    assert_int_equal(reflection_index_find_extension(reflection, "p.N", 3, 7), REFLECTION_NONE);
    assert_int_equal(reflection_index_find_extension(reflection, "", 0, 7), REFLECTION_NONE);
}

static void numbers_of_a_type_are_complete_and_in_order(void **state)
{
    int32_t numbers[8];
    bool known;
    (void)state;
    assert_int_equal(reflection_index_extensions(reflection, "p.M", 3, numbers, 8, &known), 3);
    assert_true(known);
    assert_int_equal(numbers[0], 7);
    assert_int_equal(numbers[1], 100);
    assert_int_equal(numbers[2], 536870911);
    assert_int_equal(reflection_index_extensions(reflection, "p.Scope", 7, numbers, 8, &known), 0);
    assert_true(known);
    reflection_index_extensions(reflection, "p.seven", 7, numbers, 8, &known);
    assert_false(known); /* it is not a message type */
}

static void file_comes_with_its_imports_once_a_stream(void **state)
{
    ProtobufCBinaryData files[64];
    uint64_t sent = 0;
    (void)state;
    assert_int_equal(reflection_index_closure(reflection, MIDDLE, &sent, files), 2);
    File *first =
        google__protobuf__file_descriptor_proto__unpack(NULL, files[0].len, files[0].data);
    assert_string_equal(first->name, "middle.proto");
    google__protobuf__file_descriptor_proto__free_unpacked(first, NULL);
    assert_int_equal(reflection_index_closure(reflection, TOP, &sent, files),
                     1); /* the client has the imports */
    assert_int_equal(reflection_index_closure(reflection, TOP, &sent, files),
                     1); /* the same file again */
    sent = 0;
    assert_int_equal(reflection_index_closure(reflection, TOP, &sent, files), 3);
    assert_int_equal(sent, 7);
}

static void what_is_no_descriptor_set_is_refused(void **state)
{
    (void)state;
    assert_null(reflection_index_create((const uint8_t *)"\x0a\xff", 2, NULL, 0));
    assert_null(reflection_index_create(set_bytes, set_len - 1, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extensions_and_oneofs_are_symbols),
        cmocka_unit_test(extension_is_found_by_type_and_number),
        cmocka_unit_test(numbers_of_a_type_are_complete_and_in_order),
        cmocka_unit_test(file_comes_with_its_imports_once_a_stream),
        cmocka_unit_test(what_is_no_descriptor_set_is_refused),
    };
    return cmocka_run_group_tests(tests, create, destroy);
}
