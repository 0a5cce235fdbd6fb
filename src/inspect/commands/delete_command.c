/* SPDX-License-Identifier: MIT */
#include "inspect/commands/delete_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "inspect/core/durable_wait.h"
#include "inspect/core/memory.h"
#include "inspect/core/object.h"
#include "inspect/core/table_writer.h"
#include "inspect/core/user_operand.h"

typedef uint8_t binary_id[SHM_ID_SIZE];

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(binary_id));
}

/* Finds the users that the operands mean, and reports each that does not exist.
 * @param ids receives their ids, sorted and without duplicates */
static enum inspect_exit find_users(struct table_writer *writer,
                                    const struct user_operand *operands, size_t given,
                                    binary_id *ids, size_t *count)
{
    enum inspect_exit code = INSPECT_DONE;
    for (size_t i = 0; i < given; i++) {
        enum inspect_exit found = user_operand_resolve(&operands[i], writer, ids[i]);
        if (found != INSPECT_DONE)
            code = found;
    }
    if (code != INSPECT_DONE)
        return code;
    qsort(ids, given, sizeof(*ids), compare_ids);
    *count = 0;
    for (size_t i = 0; i < given; i++)
        if (i == 0 || memcmp(ids[i], ids[*count - 1], sizeof(*ids)) != 0)
            memmove(ids[(*count)++], ids[i], sizeof(*ids));
    return INSPECT_DONE;
}

static enum inspect_exit fail_deleted(const struct table_writer *writer,
                                      const uint8_t id[UUID_SIZE])
{
    char text[UUID_TEXT_SIZE + 1];
    uuid_to_string(text, id);
    return report_fail(INSPECT_FAILED, "no user %s in %s", text, writer->segment);
}

/* *done is the number of users that have been deleted, also after a failure. */
static enum inspect_exit delete_ids(struct table_writer *writer, binary_id *ids, size_t count,
                                    size_t *done)
{
    struct shm_conflict conflict;
    for (*done = 0; *done < count;) {
        size_t n = MIN(count - *done, (size_t)SHM_BATCH_MAX);
        int error = table_writer_delete(writer, (const binary_id *)&ids[*done], n, &conflict);
        if (error == SHM_ENOENT) /* another process has deleted it since find_users() */
            return fail_deleted(writer, ids[*done + conflict.which]);
        if (error != SHM_OK)
            return table_writer_fail(writer, error);
        *done += n;
    }
    return INSPECT_DONE;
}

static void print_deleted(const struct inspect_options *options, binary_id *ids, size_t count)
{
    char text[UUID_TEXT_SIZE + 1];
    if (!options->json) {
        for (size_t i = 0; i < count; i++) {
            uuid_to_string(text, ids[i]);
            printf("%s is deleted\n", text);
        }
        return;
    }
    struct json_object *object = object_new();
    struct json_object *deleted = object_new_array();
    for (size_t i = 0; i < count; i++) {
        uuid_to_string(text, ids[i]);
        object_append(deleted, object_new_text(text, UUID_TEXT_SIZE));
    }
    object_add(object, "deleted", deleted);
    object_print(stdout, object);
}

static enum inspect_exit delete_named_users(const struct inspect_options *options,
                                            const struct user_operand *operands, size_t given,
                                            binary_id *ids)
{
    struct table_writer writer;
    size_t count, done = 0;
    enum inspect_exit code = table_writer_open(&writer, options);
    if (code != INSPECT_DONE)
        return code;
    code = find_users(&writer, operands, given, ids, &count);
    if (code == INSPECT_DONE) {
        code = delete_ids(&writer, ids, count, &done);
        enum inspect_exit durable = durable_wait(&writer);
        if (durable == INSPECT_DONE)
            print_deleted(options, ids, done);
        else
            code = durable;
    }
    table_writer_close(&writer);
    return code;
}

enum inspect_exit command_delete(const struct inspect_options *options)
{
    struct user_operand *operands;
    size_t given;
    enum inspect_exit code = user_operand_parse_all(options->all_operands, &operands, &given);
    if (code != INSPECT_DONE)
        return code;
    binary_id *ids = memory_new_array(given, sizeof(*ids));
    code = delete_named_users(options, operands, given, ids);
    free(ids);
    free(operands);
    return code;
}
