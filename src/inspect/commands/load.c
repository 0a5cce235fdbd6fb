/* SPDX-License-Identifier: MIT */
/*
 * load: users from JSON lines. A load that ended in whatever way has loaded the file up to some
 * line (chunk.h), and loading the file again goes on from there: users who are there with the
 * same contents are passed over.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspect/core/chunk.h"
#include "inspect/core/guard.h"
#include "inspect/core/inspect.h"
#include "inspect/core/lines.h"
#include "inspect/core/progress.h"
#include "inspect/core/record.h"
#include "inspect/core/room.h"
#include "inspect/core/text.h"
#include "inspect/core/writer.h"

struct load {
    const struct inspect_options *options;
    const char *name; /* of the file, for people */
    enum inspect_exit code;
    struct writer writer;
    struct lines lines;
    struct record_parser parser;
    struct chunk chunk;
    struct progress progress;
    uint64_t refused;
    uint64_t seen;        /* users' lines, good and bad */
    uint64_t told;        /* users that the dump's first line tells of */
    bool header, trailer; /* have been there */
};

/* ---- what is wrong with a line, and what ends the load ---- */

static uint64_t loaded(const struct load *load)
{
    return load->chunk.inserted + load->chunk.updated + load->chunk.unchanged;
}

static const char *so_far(const struct load *load, char text[96])
{
    if (loaded(load) == 0)
        return "nothing is loaded";
    snprintf(text, 96, "loaded up to line %" PRIu64 " (%" PRIu64 " users)", load->chunk.last_line,
             loaded(load));
    return text;
}

/* @return false: the load is over */
static bool end(struct load *load, enum inspect_exit code, const char *reason)
{
    char text[96];

    progress_clear(&load->progress);
    load->code = inspect_fail(code, "%s: %s; %s", load->name, reason, so_far(load, text));
    return false;
}

static bool end_by_store(struct load *load, int error)
{
    char text[128];

    return end(load, error == SHM_ECORRUPT ? INSPECT_BAD_SEGMENT : INSPECT_FAILED,
               writer_reason(&load->writer, error, text));
}

/* A chunk_refuse. */
static bool refuse(void *data, uint64_t line, const char *reason)
{
    struct load *load = data;
    bool go_on = load->options->keep_going;
    char text[96];

    progress_clear(&load->progress);
    load->refused++;
    load->code = inspect_fail(INSPECT_FAILED, "%s:%" PRIu64 ": %s%s%s", load->name, line, reason,
                              go_on ? "" : "; ", go_on ? "" : so_far(load, text));
    return go_on;
}

/* @return whether to go on */
static bool check_store(struct load *load, int error)
{
    if (error == SHM_OK)
        return true;
    return error == CHUNK_STOPPED ? false : end_by_store(load, error);
}

/* ---- lines ---- */

static bool is_blank(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

static bool take_header(struct load *load)
{
    if (load->header || load->seen != 0)
        return refuse(load, load->lines.number,
                      "the first line of a dump, in the middle of a file");
    load->header = true;
    load->told = load->parser.users;
    char reason[ROOM_REASON_SIZE];
    return room_for_dump(&load->writer, load->lines.fd, load->told, reason) ||
           end(load, INSPECT_FAILED, reason);
}

static bool take_trailer(struct load *load)
{
    char reason[128];

    if (!load->header)
        return refuse(load, load->lines.number, "the end of a dump whose first line is missing");
    load->trailer = true;
    if (load->told == load->seen && load->parser.users == load->seen)
        return true;
    snprintf(reason, sizeof(reason),
             "a damaged dump: %" PRIu64 " users by its first line, %" PRIu64
             " by its last, and %" PRIu64 " lines of users",
             load->told, load->parser.users, load->seen);
    return refuse(load, load->lines.number, reason);
}

/* @return whether to go on */
static bool take_line(struct load *load, const char *line, size_t len)
{
    uint64_t number = load->lines.number;

    if (is_blank(line, len))
        return true;
    if (load->trailer)
        return refuse(load, number, "a line after the end of the dump");
    switch (record_parse(&load->parser, line, len, chunk_next(&load->chunk))) {
    case RECORD_HEADER:
        return take_header(load);
    case RECORD_TRAILER:
        return take_trailer(load);
    case RECORD_BAD:
        load->seen++;
        return refuse(load, number, load->parser.reason);
    case RECORD_USER:
        break;
    }
    load->seen++;
    return check_store(load, chunk_add(&load->chunk, number));
}

static bool take_long_line(struct load *load)
{
    char reason[64];

    load->seen++;
    snprintf(reason, sizeof(reason), "the line is longer than %d bytes", RECORD_LINE_MAX);
    return refuse(load, load->lines.number, reason);
}

static bool fail_read(struct load *load)
{
    char reason[128];

    if (errno == EINTR && guard_stopped())
        return end(load, INSPECT_FAILED, "interrupted");
    if (errno == EINTR) /* stopped and continued */
        return true;
    snprintf(reason, sizeof(reason), "cannot read: %s", strerror(errno));
    return end(load, INSPECT_FAILED, reason);
}

/* @return whether the file came to its end */
static bool take_lines(struct load *load)
{
    const char *line;
    size_t len;
    bool go_on = true;

    while (go_on) {
        switch (lines_next(&load->lines, &line, &len)) {
        case LINES_READ:
            go_on = take_line(load, line, len);
            break;
        case LINES_LONG:
            go_on = take_long_line(load);
            break;
        case LINES_FAILED:
            go_on = fail_read(load);
            break;
        case LINES_END:
            return true;
        }
        progress_show(&load->progress, load->lines.bytes, loaded(load));
    }
    return false;
}

static void finish(struct load *load)
{
    if (!take_lines(load) || !check_store(load, chunk_commit(&load->chunk)))
        return;
    progress_finish(&load->progress, load->lines.bytes, loaded(load));
    if (load->header && !load->trailer)
        end(load, INSPECT_FAILED, "a truncated dump: its last line is missing");
    else if (!load->header && load->seen == 0 && load->refused == 0)
        end(load, INSPECT_FAILED, "no users in it, and not the first line of a dump either");
}

/* ---- the command ---- */

static void print_result(const struct load *load)
{
    const struct chunk *chunk = &load->chunk;

    if (!load->options->json) {
        printf("%" PRIu64 " inserted, %" PRIu64 " updated, %" PRIu64 " unchanged, %" PRIu64
               " refused\n",
               chunk->inserted, chunk->updated, chunk->unchanged, load->refused);
        return;
    }
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "inserted", json_object_new_uint64(chunk->inserted));
    json_object_object_add(object, "updated", json_object_new_uint64(chunk->updated));
    json_object_object_add(object, "unchanged", json_object_new_uint64(chunk->unchanged));
    json_object_object_add(object, "refused", json_object_new_uint64(load->refused));
    json_object_object_add(object, "last_line", json_object_new_uint64(chunk->last_line));
    text_print_json(stdout, object);
    json_object_put(object);
}

static bool open_file(struct load *load, const char *path)
{
    struct stat st;
    uint64_t size = 0;

    load->name = path;
    load->lines.longest = RECORD_LINE_MAX;
    load->lines.wait = guard_readable;
    if (strcmp(path, "-") == 0) {
        load->name = "stdin";
        load->lines.fd = STDIN_FILENO;
    } else {
        load->lines.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    }
    if (load->lines.fd < 0) {
        inspect_fail(INSPECT_FAILED, "%s: cannot open: %s", path, strerror(errno));
        return false;
    }
    if (fstat(load->lines.fd, &st) == 0 && S_ISREG(st.st_mode))
        size = (uint64_t)st.st_size;
    progress_start(&load->progress, "load", size, false);
    return true;
}

enum inspect_exit inspect_load(const struct inspect_options *options)
{
    static struct load load;

    load.options = options;
    load.code = INSPECT_DONE;
    if (!open_file(&load, options->operands[0]))
        return INSPECT_FAILED;
    enum inspect_exit code = writer_open(&load.writer, options);
    if (code != INSPECT_DONE)
        return code;
    load.chunk.writer = &load.writer;
    load.chunk.refuse = refuse;
    load.chunk.data = &load;
    guard_stop();
    record_parser_init(&load.parser);
    finish(&load);
    print_result(&load);
    record_parser_free(&load.parser);
    writer_close(&load.writer);
    if (load.lines.fd != STDIN_FILENO)
        close(load.lines.fd);
    return load.code;
}
