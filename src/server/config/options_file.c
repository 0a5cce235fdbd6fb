/* SPDX-License-Identifier: MIT */
/* The configuration file, read by libinih: KEY = VALUE, # and ; begin comments. */
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "server/config/options_table.h"
#include "server/os/file.h"

enum { CONFIG_MAX = 1 << 20 };

struct reader {
    struct options *options;
    const char *path;
    const char *text; /* what is left of it */
    int line;         /* that was read last */
    int fault_line;
    struct fault *fault;
};

static int refuse(struct reader *reader, const char *key, const char *text)
{
    reader->fault_line = reader->line;
    snprintf(reader->fault->text, sizeof(reader->fault->text), "%s:%d: %.100s%s%.500s",
             reader->path, reader->line, key, key[0] != '\0' ? ": " : "", text);
    return 0;
}

/* libinih has not got its line numbers built in everywhere: they are counted here. */
static char *read_line(char *line, int size, void *stream)
{
    char text[64];
    struct reader *reader = stream;
    if (reader->fault_line != 0 || *reader->text == '\0')
        return NULL;
    reader->line++;
    size_t len = strcspn(reader->text, "\n");
    len += reader->text[len] == '\n';
    if (len >= (size_t)size) {
        snprintf(text, sizeof(text), "longer than %d characters", size - 2);
        refuse(reader, "", text);
        return NULL;
    }
    /* or libinih would take an indented line for more of the value before it */
    size_t blank = strspn(reader->text, " \t");
    memcpy(line, reader->text + blank, len - blank);
    line[len - blank] = '\0';
    reader->text += len;
    return line;
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
    struct fault fault;
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

bool options_read_file(struct options *options, const char *path, struct fault *fault)
{
    struct file file;
    struct reader reader = {.options = options, .path = path, .fault = fault};
    const char *why = file_read(&file, path, CONFIG_MAX);
    if (why == NULL && memchr(file.text, '\0', file.len) != NULL)
        why = "it is no text";
    if (why != NULL) {
        snprintf(fault->text, sizeof(fault->text), "config: %.300s: %s", path, why);
        file_free(&file);
        return false;
    }
    reader.text = file.text;
    int line = ini_parse_stream(read_line, &reader, on_value, &reader);
    file_free(&file);
    if (line < 0)
        snprintf(fault->text, sizeof(fault->text), "config: %.300s: out of memory", path);
    else if (line != 0 && (reader.fault_line == 0 || line < reader.fault_line))
        snprintf(fault->text, sizeof(fault->text), "%s:%d: is not KEY = VALUE", path, line);
    return line == 0 && reader.fault_line == 0;
}
