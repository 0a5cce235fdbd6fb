/* SPDX-License-Identifier: MIT */
/* libinih parses the file. It does not count lines in every build, so this file does. */
#include "server/config/option_file.h"

#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

#include "base/file.h"
#include "server/config/option_values.h"

enum { CONFIG_MAX = 1 << 20 }; /* bytes */

struct option_reader {
    struct options *options;
    const char *path;
    const char *rest; /* the text that libinih has not got yet */
    int line;         /* the number of the line that libinih got last */
    int fault_line;   /* the line that the fault is about; 0: none */
    struct fault *fault;
};

/* Both functions return 0, which tells libinih that the line is in error. */
static int refuse_file_line(struct option_reader *reader)
{
    reader->fault_line = reader->line;
    fault_prefix(reader->fault, "%s:%d", reader->path, reader->line);
    return 0;
}

static int refuse_key(struct option_reader *reader, const char *key, const char *text)
{
    fault_set(reader->fault, "%.100s: %s", key, text);
    return refuse_file_line(reader);
}

/* For ini_parse_stream(): the next line, or NULL at the end and after a fault. */
static char *read_config_line(char *line, int size, void *stream)
{
    struct option_reader *reader = stream;
    if (reader->fault_line != 0 || *reader->rest == '\0')
        return NULL;
    reader->line++;
    size_t len = strcspn(reader->rest, "\n");
    len += reader->rest[len] == '\n';
    if (len >= (size_t)size) {
        fault_set(reader->fault, "longer than %d characters", size - 2);
        refuse_file_line(reader);
        return NULL;
    }
    /* libinih takes an indented line for the continuation of the value before it */
    size_t blank = strspn(reader->rest, " \t");
    if (reader->rest[blank] == '[') {
        size_t name = strcspn(reader->rest + blank, "\r\n");
        fault_set(reader->fault, "%.*s: the file has no sections", (int)MIN(name, 100U),
                  reader->rest + blank);
        refuse_file_line(reader);
        return NULL;
    }
    memcpy(line, reader->rest + blank, len - blank);
    line[len - blank] = '\0';
    reader->rest += len;
    return line;
}

static int refuse_unknown_key(struct option_reader *reader, const char *key)
{
    char text[100] = "there is no such key";
    const struct option *nearest = option_nearest(key);
    if (nearest != NULL && option_is_key(nearest))
        snprintf(text, sizeof(text), "there is no such key; is it %s?", nearest->name);
    return refuse_key(reader, key, text);
}

/* For ini_parse_stream(). @return 0 for a fault */
static int take_config_value(void *data, const char *section, const char *key, const char *value)
{
    struct option_reader *reader = data;
    if (reader->fault_line != 0)
        return 0;
    (void)section; /* read_config_line() refuses them */
    const struct option *option = option_find(key, strlen(key));
    if (option == NULL)
        return refuse_unknown_key(reader, key);
    if (!option_is_key(option))
        return refuse_key(reader, key, "belongs on the command line");
    int before = reader->options->origin[option_index(option)];
    if (before != OPTION_FROM_DEFAULT && !option_is_list(option)) {
        char text[64];
        snprintf(text, sizeof(text), "has a value already, in line %d", before);
        return refuse_key(reader, key, text);
    }
    return option_set(reader->options, option, value, reader->line, reader->fault)
               ? 1
               : refuse_file_line(reader);
}

bool option_file_read(struct options *options, const char *path, struct fault *fault)
{
    struct file file;
    struct option_reader reader = {.options = options, .path = path, .fault = fault};
    if (!file_read(&file, path, CONFIG_MAX, fault))
        return fault_prefix(fault, "config: %.300s", path);
    if (memchr(file.text, '\0', file.len) != NULL) {
        file_free(&file);
        return fault_set(fault, "config: %.300s: it is not text", path);
    }
    reader.rest = file.text;
    int line = ini_parse_stream(read_config_line, &reader, take_config_value, &reader);
    file_free(&file);
    if (line < 0)
        return fault_set(fault, "config: %.300s: out of memory", path);
    /* libinih goes on after a line that it cannot parse, so the fault may be about a later one */
    if (line != 0 && (reader.fault_line == 0 || line < reader.fault_line))
        return fault_set(fault, "%s:%d: is not KEY = VALUE", path, line);
    return reader.fault_line == 0;
}
