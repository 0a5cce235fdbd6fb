/* SPDX-License-Identifier: MIT */
/* The table of options that options.def makes, and what can be said about one option. */
#ifndef ROSTERD_SERVER_CONFIG_OPTION_TABLE_H
#define ROSTERD_SERVER_CONFIG_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/config/options.h"

/** How a value is written. */
enum option_type {
    OPTION_LISTEN,
    OPTION_COUNT,
    OPTION_SIZE,
    OPTION_TIME,
    OPTION_LIFETIME, /* a time, or `never` */
    OPTION_SEGMENT,
    OPTION_CHOICE,
    OPTION_DURABILITY, /* sync, none, or interval:TIME */
    OPTION_CPUS,
    OPTION_PATH,
    OPTION_PATHS,
    OPTION_PID,
    OPTION_FLAG, /* takes no value */
};

/** The C type of the field in struct options. */
enum option_holds {
    OPTION_HOLDS_NUMBER,
    OPTION_HOLDS_TEXT,
    OPTION_HOLDS_BOOL,
    OPTION_HOLDS_ADDRESSES,
    OPTION_HOLDS_PATHS,
};

/** When a new value takes effect. */
enum option_rule {
    OPTION_RELOADS,      /* at a reload */
    OPTION_RESTARTS,     /* at the next start */
    OPTION_COMMAND_LINE, /* the option is not a key of the file */
};

/** A word that an OPTION_CHOICE accepts, and its value. */
struct option_word {
    const char *word;
    uint64_t value;
};

struct option {
    const char *name; /* without the dashes */
    enum option_type type;
    enum option_rule rule;
    uint64_t min, max;               /* of numbers, both allowed */
    const struct option_word *words; /* of OPTION_CHOICE, up to a NULL word */
    /** The default, written as a value of the option; the entries of a list are separated by a
     * space. NULL: none, or set at run time. */
    const char *value;
    const char *argument;    /* what --help calls the value; NULL: the word for the type */
    const char *help;        /* one phrase */
    const char *more;        /* sentences for the manual; NULL: none */
    const char *group;       /* a heading before this option; NULL: none */
    size_t offset;           /* of the field in struct options; the table fills it */
    enum option_holds holds; /* the table fills it */
    const char *letters;     /* of a flag: its short forms ("h": -h); NULL: none */
};

extern const struct option option_table[OPTIONS_COUNT];
/** How sizes, numbers and times are written, in a sentence. */
extern const char option_units_text[];

/** What --help calls the value: "ADDRESS", "N", ...; empty for a flag. */
const char *option_argument(const struct option *option);
enum { OPTION_TEXT = 128 }; /* bytes that the next two need */
/** The default as a person reads it: of a list, "A and B"; empty if there is none. */
void option_format_default(const struct option *option, char *text, size_t size);
/** The values that are allowed, as a phrase: "from 1 to 512", "on or off"; empty if the type needs
 * no such phrase. */
void option_format_bounds(const struct option *option, char *text, size_t size);

static inline bool option_is_list(const struct option *option)
{
    return option->holds == OPTION_HOLDS_ADDRESSES || option->holds == OPTION_HOLDS_PATHS;
}
static inline bool option_is_key(const struct option *option)
{
    return option->rule != OPTION_COMMAND_LINE;
}
static inline size_t option_index(const struct option *option)
{
    return (size_t)(option - option_table);
}

/** @return NULL: there is no such option */
const struct option *option_find(const char *name, size_t len);
/** The option that a misspelt name most likely means, or NULL. */
const struct option *option_nearest(const char *name);

#endif
