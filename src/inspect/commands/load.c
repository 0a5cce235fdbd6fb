/* SPDX-License-Identifier: MIT */
#include "inspect/commands/load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspect/core/capacity.h"
#include "inspect/core/chunk.h"
#include "inspect/core/durable_wait.h"
#include "inspect/core/guard.h"
#include "inspect/core/lines.h"
#include "inspect/core/object.h"
#include "inspect/core/progress.h"
#include "inspect/core/record_parser.h"
#include "inspect/core/table_writer.h"

struct load {
    const struct inspect_options *options;
    const char *name; /* of the file, for messages */
    enum inspect_exit code;
    struct table_writer writer;
    struct lines lines;
    struct record_parser parser;
    struct record_columns columns; /* of CSV */
    struct chunk chunk;
    struct moves moves;
    struct progress progress;
    uint64_t refused;     /* lines */
    uint64_t seen;        /* lines of users, good and bad */
    uint64_t announced;   /* the number of users in the dump's header */
    bool header, trailer; /* have been read */
};

/* ---- messages ---- */

static uint64_t load_count_done(const struct load *load)
{
    return load->chunk.inserted + load->chunk.updated + load->chunk.unchanged;
}

static const char *so_far(const struct load *load, char text[96])
{
    if (load_count_done(load) == 0)
        return "nothing is loaded";
    snprintf(text, 96, "loaded up to line %" PRIu64 " (%" PRIu64 " users)", load->chunk.last_line,
             load_count_done(load));
    return text;
}

/* Reports why the load ends. Returns false: no more lines are read. */
static bool load_end(struct load *load, enum inspect_exit code, const char *reason)
{
    char text[96];
    progress_clear(&load->progress);
    load->code = report_fail(code, "%s: %s; %s", load->name, reason, so_far(load, text));
    return false;
}

/* Reports a refused line. Returns whether to go on with the next line. */
static bool refuse_user_line(struct load *load, uint64_t line, const char *reason)
{
    bool go_on = load->options->keep_going;
    char text[96];
    progress_clear(&load->progress);
    load->refused++;
    load->code = report_fail(INSPECT_FAILED, "%s:%" PRIu64 ": %s%s%s", load->name, line, reason,
                             go_on ? "" : "; ", go_on ? "" : so_far(load, text));
    return go_on;
}

/* A chunk_refuse. */
static bool refuse_user(void *data, uint64_t line, const struct fault *fault)
{
    return refuse_user_line(data, line, fault->text);
}

/* Reports the store's error if a function of the chunk has failed. Returns whether to go on. */
static bool check_chunk(struct load *load, bool done)
{
    if (done || load->chunk.error == SHM_OK) /* refuse_user() has reported the other failure */
        return done;
    struct fault fault;
    enum inspect_exit code = table_writer_explain(&load->writer, load->chunk.error, &fault);
    return load_end(load, code, fault.text);
}

/* ---- lines ---- */

static bool line_is_blank(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

static bool load_header(struct load *load)
{
    struct fault fault;
    if (load->header || load->seen != 0)
        return refuse_user_line(load, load->lines.number,
                                "the header of a dump in the middle of a file");
    load->header = true;
    load->announced = load->parser.users;
    return capacity_check_dump(&load->writer, load->lines.fd, load->announced, &fault) ||
           load_end(load, INSPECT_FAILED, fault.text);
}

static bool load_trailer(struct load *load)
{
    struct fault fault;
    if (!load->header)
        return refuse_user_line(load, load->lines.number, "the trailer of a dump without a header");
    load->trailer = true;
    if (load->announced == load->seen && load->parser.users == load->seen)
        return true;
    fault_set(&fault,
              "damaged dump: %" PRIu64 " users by its header, %" PRIu64
              " by its trailer, but %" PRIu64 " lines of users",
              load->announced, load->parser.users, load->seen);
    return refuse_user_line(load, load->lines.number, fault.text);
}

/* Reads the names of the columns, in the first row. */
static bool load_columns(struct load *load, const char *line, size_t len)
{
    struct fault fault;
    if (!record_columns_read(&load->columns, line, len, &fault)) {
        fault_prefix(&fault, "line %" PRIu64, load->lines.number);
        return load_end(load, INSPECT_FAILED, fault.text);
    }
    load->parser.columns = load->moves.file.columns = &load->columns;
    return true;
}

/* A dump is lines. */
static bool refuse_frame(struct load *load)
{
    load->seen++;
    return refuse_user_line(load, load->lines.number,
                            "the header or trailer of a dump in an array");
}

/* Returns whether to go on with the next line. */
static bool load_line(struct load *load, const char *line, size_t len)
{
    uint64_t number = load->lines.number;
    struct fault fault;
    if (line_is_blank(line, len))
        return true;
    if (load->lines.form == LINES_CSV && load->parser.columns == NULL)
        return load_columns(load, line, len);
    if (load->trailer)
        return refuse_user_line(load, number, "a line after the end of the dump");
    bool plain = load->lines.form == LINES_PLAIN;
    switch (record_parse(&load->parser, line, len, chunk_next(&load->chunk), &fault)) {
    case RECORD_HEADER:
        return plain ? load_header(load) : refuse_frame(load);
    case RECORD_TRAILER:
        return plain ? load_trailer(load) : refuse_frame(load);
    case RECORD_BAD:
        load->seen++;
        return refuse_user_line(load, number, fault.text);
    case RECORD_USER:
        break;
    }
    load->seen++;
    return check_chunk(load, chunk_add(&load->chunk, number));
}

static bool load_long_line(struct load *load)
{
    struct fault fault;
    load->seen++;
    fault_set(&fault, "the line is longer than %d bytes", RECORD_LINE_MAX);
    return refuse_user_line(load, load->lines.number, fault.text);
}

/* After LINES_BAD. */
static bool load_bad_array(struct load *load)
{
    struct fault fault;
    fault_set(&fault, "line %" PRIu64 ": %s", load->lines.number, load->lines.why);
    return load_end(load, INSPECT_FAILED, fault.text);
}

/* After lines_next() has failed with errno. Returns whether to try again. */
static bool load_read_error(struct load *load)
{
    struct fault fault;
    if (errno == EINTR && guard_stopped())
        return load_end(load, INSPECT_FAILED, "interrupted");
    if (errno == EINTR) /* SIGSTOP and SIGCONT */
        return true;
    fault_set_errno(&fault, "cannot read");
    return load_end(load, INSPECT_FAILED, fault.text);
}

/* Returns whether the end of the file was reached. */
static bool load_lines(struct load *load)
{
    const char *line;
    size_t len;
    bool go_on = true;
    while (go_on) {
        switch (lines_next(&load->lines, &line, &len)) {
        case LINES_READ:
            go_on = load_line(load, line, len);
            break;
        case LINES_LONG:
            go_on = load_long_line(load);
            break;
        case LINES_BAD:
            go_on = load_bad_array(load);
            break;
        case LINES_FAILED:
            go_on = load_read_error(load);
            break;
        case LINES_END:
            return true;
        }
        progress_show(&load->progress, load->lines.bytes, load_count_done(load));
    }
    return false;
}

static void load_file(struct load *load)
{
    if (!load_lines(load) || !check_chunk(load, chunk_commit(&load->chunk)))
        return;
    progress_finish(&load->progress, load->lines.bytes, load_count_done(load));
    if (load->header && !load->trailer)
        load_end(load, INSPECT_FAILED, "truncated dump: its trailer is missing");
    else if (!load->header && load->seen == 0 && load->refused == 0)
        load_end(load, INSPECT_FAILED, "the file has no users and no header of a dump");
}

/* ---- the command ---- */

static void load_print_summary(const struct load *load)
{
    const struct chunk *chunk = &load->chunk;
    if (!load->options->json) {
        printf("%" PRIu64 " inserted, %" PRIu64 " updated, %" PRIu64 " unchanged, %" PRIu64
               " refused\n",
               chunk->inserted, chunk->updated, chunk->unchanged, load->refused);
        if (chunk->without_password != 0)
            printf("%" PRIu64 " without the password that they had: the dump has no hashes (see: "
                   "dump --with-secrets)\n",
                   chunk->without_password);
        return;
    }
    struct json_object *object = object_new();
    object_add_number(object, "inserted", chunk->inserted);
    object_add_number(object, "updated", chunk->updated);
    object_add_number(object, "unchanged", chunk->unchanged);
    object_add_number(object, "refused", load->refused);
    object_add_number(object, "without_password", chunk->without_password);
    object_add_number(object, "last_line", chunk->last_line);
    object_print(stdout, object);
}

static bool load_open_file(struct load *load, const char *path)
{
    load->name = path;
    load->lines.longest = RECORD_LINE_MAX;
    load->lines.detect = true;
    load->lines.wait = guard_wait_readable;
    if (strcmp(path, "-") == 0) {
        load->name = "stdin";
        load->lines.fd = STDIN_FILENO;
    } else {
        load->lines.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    }
    if (load->lines.fd < 0) {
        report_fail(INSPECT_FAILED, "%s: cannot open: %s", path, strerror(errno));
        return false;
    }
    struct stat st;
    uint64_t size = 0;
    load->moves.file.fd = -1;
    if (fstat(load->lines.fd, &st) == 0 && S_ISREG(st.st_mode)) {
        size = (uint64_t)st.st_size;
        if (lseek(load->lines.fd, 0, SEEK_CUR) == 0)
            load->moves.file.fd = load->lines.fd;
    }
    progress_start(&load->progress, "load", size, false);
    return true;
}

enum inspect_exit command_load(const struct inspect_options *options)
{
    static struct load load;
    load.options = options;
    load.code = INSPECT_DONE;
    if (!load_open_file(&load, options->operands[0]))
        return INSPECT_FAILED;
    enum inspect_exit code = table_writer_open(&load.writer, options);
    if (code != INSPECT_DONE)
        return code;
    load.moves.writer = &load.writer;
    load.chunk.writer = &load.writer;
    load.chunk.moves = &load.moves;
    load.chunk.refuse = refuse_user;
    load.chunk.data = &load;
    guard_hold_signals();
    record_parser_init(&load.parser);
    load_file(&load);
    code = durable_wait(&load.writer);
    if (code != INSPECT_DONE)
        load.code = code;
    load_print_summary(&load);
    record_parser_free(&load.parser);
    moves_free(&load.moves);
    explicit_bzero(load.lines.buffer, sizeof(load.lines.buffer)); /* it may have secrets */
    explicit_bzero(load.chunk.entries, sizeof(load.chunk.entries));
    table_writer_close(&load.writer);
    if (load.lines.fd != STDIN_FILENO)
        close(load.lines.fd);
    return load.code;
}
