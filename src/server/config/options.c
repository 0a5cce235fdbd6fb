/* SPDX-License-Identifier: MIT */
/* Values, and the command line. */
#include "server/config/options.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/spelling.h"
#include "base/units.h"
#include "server/config/options_table.h"
#include "server/os/cpus.h"

enum { COMMAND_LINE = -1 };

/* ---- values ---- */

static bool fail(struct fault *fault, const struct option *option, const char *value,
                 const char *expected)
{
    snprintf(fault->text, sizeof(fault->text), "%s: '%.200s' is not %s%s%s", option->name, value,
             expected, option->bounds != NULL ? " " : "",
             option->bounds != NULL ? option->bounds : "");
    return false;
}

static void *field(struct options *options, const struct option *option)
{
    return (char *)options + option->at;
}

/* A copy that lives as long as the options. @return NULL with the fault set */
static const char *keep(struct options *options, const char *value, struct fault *fault)
{
    char *copy = strdup(value);
    char **strings =
        realloc(options->strings, (options->num_strings + 1) * sizeof(*options->strings));
    if (strings != NULL)
        options->strings = strings;
    if (copy == NULL || strings == NULL) {
        free(copy);
        snprintf(fault->text, sizeof(fault->text), "out of memory");
        return NULL;
    }
    options->strings[options->num_strings++] = copy;
    return copy;
}

static bool set_text(struct options *options, const struct option *option, const char *value,
                     struct fault *fault)
{
    const char *copy = keep(options, value, fault);
    memcpy(field(options, option), &copy, sizeof(copy));
    return copy != NULL;
}

static bool parse_number(const struct option *option, const char *value, uint64_t *number)
{
    switch (option->type) {
    case OPTION_SIZE:
        return units_parse_size(value, number);
    case OPTION_TIME:
    case OPTION_LIFETIME:
        return units_parse_time(value, number);
    default:
        return units_parse_count(value, number);
    }
}

static bool set_number(struct options *options, const struct option *option, const char *value,
                       struct fault *fault)
{
    const char *expected = "a whole number";
    uint64_t number;
    if (option->type == OPTION_SIZE)
        expected = "a size such as 64K, 4M or 16G,";
    else if (option->type == OPTION_TIME || option->type == OPTION_LIFETIME)
        expected = "a time such as 500ms, 30s or 5m,";
    if (option->type == OPTION_LIFETIME && strcmp(value, "never") == 0)
        number = OPTIONS_NEVER;
    else if (!parse_number(option, value, &number) || number < option->min || number > option->max)
        return fail(fault, option, value, expected);
    memcpy(field(options, option), &number, sizeof(number));
    return true;
}

static bool add_listen(struct options *options, const struct option *option, const char *value,
                       struct fault *fault)
{
    struct listen_addresses *to = field(options, option);
    if (to->count == LISTEN_MAX) {
        snprintf(fault->text, sizeof(fault->text), "%s: more than %d addresses", option->name,
                 LISTEN_MAX);
        return false;
    }
    if (!listen_parse(&to->all[to->count], value))
        return fail(fault, option, value,
                    "an address: ADDR:PORT, [ADDR]:PORT[,ipv6only=on] or unix:PATH[,mode=0660]");
    to->count++;
    return true;
}

static bool add_path(struct options *options, const struct option *option, const char *value,
                     struct fault *fault)
{
    struct option_paths *to = field(options, option);
    if (to->count == OPTION_PATHS_MAX) {
        snprintf(fault->text, sizeof(fault->text), "%s: more than %d files", option->name,
                 OPTION_PATHS_MAX);
        return false;
    }
    to->all[to->count] = keep(options, value, fault);
    return to->all[to->count++] != NULL;
}

static bool is_segment_name(const char *value)
{
    static const char stats[] = ".stats"; /* the counters' */
    size_t len = strlen(value), tail = sizeof(stats) - 1;
    return value[0] == '/' && len >= 2 && len <= 200 && strchr(value + 1, '/') == NULL &&
           value[1] != '.' && (len < tail || strcmp(value + len - tail, stats) != 0);
}

static bool set_choice(struct options *options, const struct option *option, const char *value,
                       struct fault *fault)
{
    for (const struct choice *choice = option->choices; choice->word != NULL; choice++) {
        if (strcmp(value, choice->word) == 0) {
            memcpy(field(options, option), &choice->value, sizeof(choice->value));
            return true;
        }
    }
    return fail(fault, option, value, "one of");
}

static bool set_value(struct options *options, const struct option *option, const char *value,
                      struct fault *fault)
{
    switch (option->type) {
    case OPTION_LISTEN:
        return add_listen(options, option, value, fault);
    case OPTION_SEGMENT:
        if (!is_segment_name(value))
            return fail(fault, option, value,
                        "a name: one leading slash, then 1 to 199 characters, no other slash, "
                        "and no .stats at the end");
        return set_text(options, option, value, fault);
    case OPTION_CHOICE:
        return set_choice(options, option, value, fault);
    case OPTION_CPUS:
        if (!cpus_is_list(value))
            return fail(fault, option, value, "off, auto or a list of CPUs such as 0,2-3");
        return set_text(options, option, value, fault);
    case OPTION_PATH:
    case OPTION_PATHS:
        if (value[0] == '\0')
            return fail(fault, option, value, "the path of a file");
        return option->type == OPTION_PATH ? set_text(options, option, value, fault)
                                           : add_path(options, option, value, fault);
    case OPTION_FLAG:
        *(bool *)field(options, option) = true;
        return true;
    default:
        return set_number(options, option, value, fault);
    }
}

/* What the other source gave does not add to this one's. */
static void empty_list(struct options *options, const struct option *option)
{
    if (option->type == OPTION_LISTEN)
        ((struct listen_addresses *)field(options, option))->count = 0;
    else if (option->type == OPTION_PATHS)
        ((struct option_paths *)field(options, option))->count = 0;
}

bool option_set(struct options *options, const struct option *option, const char *value, int line,
                struct fault *fault)
{
    int *origin = &options->origin[option - options_table];
    if (line == COMMAND_LINE && *origin > 0)
        empty_list(options, option);
    *origin = line;
    return set_value(options, option, value, fault);
}

/* ---- names ---- */

const struct option *option_find(const char *name, size_t len)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++)
        if (strlen(options_table[i].name) == len && memcmp(options_table[i].name, name, len) == 0)
            return &options_table[i];
    return NULL;
}

static const char *name_at(size_t index)
{
    return options_table[index].name;
}

const struct option *option_nearest(const char *name)
{
    size_t nearest = spelling_nearest(name, OPTIONS_COUNT, name_at);
    return nearest == OPTIONS_COUNT ? NULL : &options_table[nearest];
}

/* ---- the command line ---- */

static int fail_unknown(const char *argument, size_t len, struct fault *fault)
{
    char name[SPELLING_MAX + 2] = ""; /* one more than what is looked at: it is near none */
    if (argument[1] == '-' && len > 2)
        snprintf(name, sizeof(name), "%.*s", (int)len - 2, argument + 2);
    const struct option *nearest = name[0] != '\0' ? option_nearest(name) : NULL;
    snprintf(fault->text, sizeof(fault->text), "unknown option '%.*s'%s%s%s (see rosterd --help)",
             len < 200 ? (int)len : 200, argument, nearest != NULL ? "; is it --" : "",
             nearest != NULL ? nearest->name : "", nearest != NULL ? "?" : "");
    return 0;
}

/* @return how many arguments it was, or 0 with the fault set */
static int parse_argument(struct options *options, int left, char *const *argv, struct fault *fault)
{
    const char *argument = argv[0];
    if (argument[0] != '-') {
        snprintf(fault->text, sizeof(fault->text),
                 "unexpected argument '%.200s' (see rosterd --help)", argument);
        return 0;
    }
    size_t len = strcspn(argument, "=");
    bool joined = argument[len] == '=', is_long = len > 2 && argument[1] == '-';
    const struct option *option = is_long ? option_find(argument + 2, len - 2) : NULL;
    if (option == NULL)
        return fail_unknown(argument, len, fault);
    if (option->type == OPTION_FLAG) {
        if (!joined)
            return option_set(options, option, "", COMMAND_LINE, fault) ? 1 : 0;
        snprintf(fault->text, sizeof(fault->text), "%s: takes no value", option->name);
        return 0;
    }
    if (!joined && left < 2) {
        snprintf(fault->text, sizeof(fault->text), "%s: needs a value", option->name);
        return 0;
    }
    if (!option_set(options, option, joined ? argument + len + 1 : argv[1], COMMAND_LINE, fault))
        return 0;
    return joined ? 1 : 2;
}

static bool parse_arguments(struct options *options, struct fault *fault)
{
    for (int i = 1; i < options->argc && !options->help && !options->version;) {
        int used = parse_argument(options, options->argc - i, options->argv + i, fault);
        if (used == 0)
            return false;
        i += used;
    }
    return true;
}

/* The file comes first, for the command line wins: but only that says which it is. */
static const char *find_config(int argc, char *const *argv)
{
    static const char name[] = "--config";
    const char *path = NULL;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0)
            continue;
        const struct option *option = option_find(argv[i] + 2, strcspn(argv[i] + 2, "="));
        if (strncmp(argv[i], name, sizeof(name) - 1) == 0 && argv[i][sizeof(name) - 1] == '=')
            path = argv[i] + sizeof(name);
        else if (strcmp(argv[i], name) == 0 && i + 1 < argc)
            path = argv[++i];
        else if (option != NULL && option->type != OPTION_FLAG && strchr(argv[i], '=') == NULL)
            i++; /* its value is no option */
    }
    return path;
}

static bool set_defaults(struct options *options, struct fault *fault)
{
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &options_table[i];
        if (option->value != NULL && option->type != OPTION_LISTEN &&
            !option_set(options, option, option->value, 0, fault))
            return false;
    }
    return true;
}

static void set_late_defaults(struct options *options)
{
    if (options->workers == 0) {
        unsigned cpus = cpus_usable("");
        options->workers = cpus < 512 ? cpus : 512;
    }
    if (options->listen.count == 0) {
        listen_parse(&options->listen.all[0], "127.0.0.1:50051");
        listen_parse(&options->listen.all[1], "[::1]:50051");
        options->listen.count = 2;
        options->default_listen = true;
    }
}

/* An address for both families leaves IPv4 to the one that is for it alone. */
static void settle_addresses(struct options *options)
{
    struct listen_addresses *lists[] = {&options->listen, &options->metrics_listen};
    for (int i = 0; i < 4; i++) {
        struct listen_addresses *list = lists[i / 2];
        for (size_t k = 0; k < list->count; k++)
            listen_settle(&list->all[k], lists[i % 2]->all, lists[i % 2]->count);
    }
}

/* Four messages must fit, unless somebody said otherwise. */
static void fit_memory(struct options *options)
{
    uint64_t least = 4 * options->max_message_size;
    if (options->max_connection_memory < least &&
        options_is_default(options, "max-connection-memory"))
        options->max_connection_memory = least;
}

static const char *too_little_memory(const struct options *options, struct fault *fault)
{
    snprintf(fault->text, sizeof(fault->text),
             "max-connection-memory: %llu bytes is too little: twice max-message-size at least, "
             "%llu bytes",
             (unsigned long long)options->max_connection_memory,
             2 * (unsigned long long)options->max_message_size);
    return fault->text;
}

/* What no option can see by itself. */
static bool check_together(const struct options *options, struct fault *fault)
{
    size_t certificates = options->tls_certificates.count, keys = options->tls_keys.count;
    const char *text = NULL;
    if (certificates > keys)
        text = "tls-key: there is one missing for a tls-certificate";
    else if (keys > certificates)
        text = "tls-certificate: there is one missing for a tls-key";
    else if (options->tls_client_ca != NULL && certificates == 0)
        text = "tls-client-ca: needs a tls-certificate and a tls-key";
    else if (options->tls_crls.count != 0 && options->tls_client_ca == NULL)
        text = "tls-crl: needs a tls-client-ca, whose certificates it revokes";
    else if (options->max_connection_memory < 2 * options->max_message_size)
        text = too_little_memory(options, fault);
    if (text != NULL && text != fault->text)
        snprintf(fault->text, sizeof(fault->text), "%s", text);
    return text == NULL;
}

bool options_parse(struct options *options, int argc, char *const *argv, struct fault *fault)
{
    memset(options, 0, sizeof(*options));
    options->argc = argc;
    options->argv = argv;
    for (int i = 1; i < argc; i++) {
        options->help |= strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        options->version |= strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0;
    }
    if (options->help || options->version)
        return true;
    const char *path = find_config(argc, argv);
    if (!set_defaults(options, fault) ||
        (path != NULL && !options_read_file(options, path, fault)) ||
        !parse_arguments(options, fault))
        return false;
    set_late_defaults(options);
    settle_addresses(options);
    fit_memory(options);
    return check_together(options, fault);
}

void options_free(struct options *options)
{
    for (size_t i = 0; i < options->num_strings; i++)
        free(options->strings[i]);
    free(options->strings);
    options->strings = NULL;
    options->num_strings = 0;
}

bool options_is_default(const struct options *options, const char *name)
{
    return options->origin[option_find(name, strlen(name)) - options_table] == 0;
}

/* ---- reload ---- */

void options_keep_fixed(struct options *next, const struct options *now, char *names, size_t size)
{
    names[0] = '\0';
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        const struct option *option = &options_table[i];
        if (option->rule != OPTION_RESTARTS)
            continue;
        const void *from = (const char *)now + option->at;
        void *to = field(next, option);
        bool same = option->type == OPTION_SEGMENT
                        ? strcmp(*(const char *const *)from, *(char *const *)to) == 0
                        : memcmp(from, to, sizeof(uint64_t)) == 0;
        if (same)
            continue;
        size_t len = strlen(names);
        snprintf(names + len, size - len, "%s%s", len != 0 ? ", " : "", option->name);
        if (option->type == OPTION_SEGMENT) {
            struct fault fault;
            (void)set_text(next, option, *(const char *const *)from, &fault);
        } else {
            memcpy(to, from, sizeof(uint64_t));
        }
    }
}
