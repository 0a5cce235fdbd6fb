/* SPDX-License-Identifier: MIT */
/* The configuration file, read by libinih: KEY = VALUE, # and ; begin comments. */
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/options_table.h"

struct reader {
    struct options *options;
    const char *path;
    FILE *file;
    int line;      /* that was read last */
    bool too_long; /* it was */
    int fault_line;
    struct options_fault *fault;
};

/* libinih has not got its line numbers built in everywhere: they are counted here. */
static char *read_line(char *line, int size, void *stream)
{
    struct reader *reader = stream;
    if (reader->fault_line != 0 || fgets(line, size, reader->file) == NULL)
        return NULL;
    reader->line++;
    size_t len = strlen(line);
    if (len + 1 == (size_t)size && line[len - 1] != '\n') {
        reader->fault_line = reader->line;
        snprintf(reader->fault->text, sizeof(reader->fault->text),
                 "%s:%d: longer than %d characters", reader->path, reader->line, size - 2);
        return NULL;
    }
    /* or libinih would take an indented line for more of the value before it */
    memmove(line, line + strspn(line, " \t"), len - strspn(line, " \t") + 1);
    return line;
}

static int refuse(struct reader *reader, const char *key, const char *text)
{
    reader->fault_line = reader->line;
    snprintf(reader->fault->text, sizeof(reader->fault->text), "%s:%d: %.100s%s%.500s",
             reader->path, reader->line, key, key[0] != '\0' ? ": " : "", text);
    return 0;
}

static int on_unknown(struct reader *reader, const char *key)
{
    char text[100] = "there is no such key";
    const struct option *nearest = option_nearest(key);
    if (nearest != NULL && nearest->rule != OPTION_COMMAND_LINE)
        snprintf(text, sizeof(text), "there is no such key; is it %s?", nearest->name);
    return refuse(reader, key, text);
}

static int on_value(void *data, const char *section, const char *key, const char *value)
{
    struct reader *reader = data;
    struct options_fault fault;
    char text[64];
    if (reader->fault_line != 0)
        return 0;
    if (section[0] != '\0')
        return refuse(reader, key, "the file has no sections");
    const struct option *option = option_find(key, strlen(key));
    if (option == NULL)
        return on_unknown(reader, key);
    if (option->rule == OPTION_COMMAND_LINE)
        return refuse(reader, key, "belongs on the command line");
    int before = reader->options->origin[option - options_table];
    if (before != 0 && option->type != OPTION_LISTEN && option->type != OPTION_PATHS) {
        snprintf(text, sizeof(text), "has a value already, in line %d", before);
        return refuse(reader, key, text);
    }
    if (option_set(reader->options, option, value, reader->line, &fault))
        return 1;
    return refuse(reader, "", fault.text);
}

bool options_read_file(struct options *options, const char *path, struct options_fault *fault)
{
    struct stat st;
    struct reader reader = {.options = options, .path = path, .fault = fault};
    reader.file = fopen(path, "re");
    if (reader.file == NULL || fstat(fileno(reader.file), &st) != 0) {
        snprintf(fault->text, sizeof(fault->text), "config: %.300s: %s", path, strerror(errno));
        if (reader.file != NULL)
            fclose(reader.file);
        return false;
    }
    int line = S_ISDIR(st.st_mode) ? -1 : ini_parse_stream(read_line, &reader, on_value, &reader);
    if (line < 0)
        snprintf(fault->text, sizeof(fault->text), "config: %.300s: %s", path,
                 S_ISDIR(st.st_mode) ? strerror(EISDIR) : "out of memory");
    else if (line != 0 && (reader.fault_line == 0 || line < reader.fault_line))
        snprintf(fault->text, sizeof(fault->text), "%s:%d: is not KEY = VALUE", path, line);
    else if (ferror(reader.file)) {
        snprintf(fault->text, sizeof(fault->text), "config: %.300s: it cannot be read", path);
        line = -1;
    }
    fclose(reader.file);
    return line == 0 && reader.fault_line == 0;
}
