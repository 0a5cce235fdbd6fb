/* SPDX-License-Identifier: MIT */
#include "server/options.h"

#include <assert.h>
#include <string.h>

#include "server/cpus.h"
#include "server/units.h"
#include "user/user.h"

enum option_type {
    OPTION_LISTEN,
    OPTION_COUNT,
    OPTION_SIZE,
    OPTION_TIME,
    OPTION_SEGMENT,
    OPTION_UNIQUE,
    OPTION_LOG_LEVEL,
};

struct option {
    const char *name;
    enum option_type type;
    size_t at;         /* of the field in struct options */
    uint64_t min, max; /* of numbers */
    const char *value; /* the default, read like any other; NULL: made at run time */
    const char *bounds, *help;
};

#define AT(field) offsetof(struct options, field)
#define KIB       (UINT64_C(1) << 10)
#define MIB       (UINT64_C(1) << 20)
#define GIB       (UINT64_C(1) << 30)
#define TIB       (UINT64_C(1) << 40)

static const struct option options_table[] = {
    {"listen", OPTION_LISTEN, AT(listen), 0, 0, "127.0.0.1:50051 and [::1]:50051", NULL,
     "ADDR:PORT, [ADDR]:PORT or unix:PATH; may be repeated; port 0 is any free one"},
    {"workers", OPTION_COUNT, AT(workers), 1, 512, NULL, "from 1 to 512",
     "worker processes; default: the CPUs this process may use"},
    {"segment", OPTION_SEGMENT, AT(segment), 0, 0, "/rosterd", NULL,
     "name of the shared-memory segment that holds the users"},
    {"segment-size", OPTION_SIZE, AT(segment_size), 16 * MIB, 16 * TIB, "16G", "from 16M to 16T",
     "bound of the segment's growth; address space is reserved, memory is not"},
    {"max-users", OPTION_COUNT, AT(max_users), 1, UINT32_MAX, "1000000", "from 1 to 4294967295",
     "users the table takes before it is full"},
    {"unique", OPTION_UNIQUE, AT(unique), 0, 0, "none", NULL,
     "what no two users may share: none, username, email or username,email"},
    {"snapshot-max-age", OPTION_TIME, AT(snapshot_max_age), 1000, 86400000, "10m", "from 1s to 1d",
     "a listing that takes longer ends ABORTED"},
    {"snapshot-max-bytes", OPTION_SIZE, AT(snapshot_max_bytes), MIB, TIB, "256M", "from 1M to 1T",
     "changed users that listings may keep in memory; beyond, the oldest ends ABORTED"},
    {"max-message-size", OPTION_SIZE, AT(max_message_size), KIB, GIB, "4M", "from 1K to 1G",
     "largest request message"},
    {"max-header-size", OPTION_SIZE, AT(max_header_size), KIB, MIB, "8K", "from 1K to 1M",
     "largest request header list"},
    {"max-concurrent-streams", OPTION_COUNT, AT(max_concurrent_streams), 1, 1000000, "1024",
     "from 1 to 1000000", "calls at once on one connection"},
    {"busy-poll", OPTION_COUNT, AT(busy_poll), 0, 1000, "50", "from 0 to 1000",
     "microseconds to look for the next request after one that came alone; 0: never"},
    {"drain-timeout", OPTION_TIME, AT(drain_timeout), 0, 86400000, "30s", "from 0s to 1d",
     "how long a graceful stop (QUIT) waits for running calls"},
    {"log-level", OPTION_LOG_LEVEL, AT(log_level), 0, 0, "info", NULL,
     "error, warning, notice, info or debug"},
};
enum { NUM_OPTIONS = sizeof(options_table) / sizeof(options_table[0]) };

/* ---- values ---- */

static bool fail(struct options_fault *fault, const struct option *option, const char *value,
                 const char *expected)
{
    snprintf(fault->text, sizeof(fault->text), "%s: '%.200s' is not %s%s%s", option->name, value,
             expected, option->bounds != NULL ? " " : "",
             option->bounds != NULL ? option->bounds : "");
    return false;
}

static bool set_number(struct options *options, const struct option *option, const char *value,
                       struct options_fault *fault)
{
    static const struct {
        bool (*parse)(const char *text, uint64_t *number);
        const char *expected;
    } kinds[] = {
        [OPTION_COUNT] = {units_parse_count, "a whole number"},
        [OPTION_SIZE] = {units_parse_size, "a size such as 64K, 4M or 16G,"},
        [OPTION_TIME] = {units_parse_time, "a time such as 500ms, 30s or 5m,"},
    };
    uint64_t number;
    assert(option->type == OPTION_COUNT || option->type == OPTION_SIZE ||
           option->type == OPTION_TIME);
    if (!kinds[option->type].parse(value, &number) || number < option->min || number > option->max)
        return fail(fault, option, value, kinds[option->type].expected);
    memcpy((char *)options + option->at, &number, sizeof(number));
    return true;
}

static bool add_listen(struct options *options, const struct option *option, const char *value,
                       struct options_fault *fault)
{
    if (options->num_listen == LISTEN_MAX) {
        snprintf(fault->text, sizeof(fault->text), "%s: more than %d addresses", option->name,
                 LISTEN_MAX);
        return false;
    }
    if (!listen_parse(&options->listen[options->num_listen], value))
        return fail(fault, option, value, "an address: ADDR:PORT, [ADDR]:PORT or unix:PATH");
    options->num_listen++;
    return true;
}

static bool set_segment(struct options *options, const struct option *option, const char *value,
                        struct options_fault *fault)
{
    size_t len = strlen(value);
    if (value[0] != '/' || len < 2 || len > 200 || strchr(value + 1, '/') != NULL ||
        value[1] == '.')
        return fail(fault, option, value,
                    "a name: one leading slash, then 1 to 199 characters, no other slash");
    options->segment = value;
    return true;
}

static bool set_unique(struct options *options, const struct option *option, const char *value,
                       struct options_fault *fault)
{
    enum { USERNAME = 1 << USER_KEY_USERNAME, EMAIL = 1 << USER_KEY_EMAIL };
    static const struct {
        const char *value;
        uint64_t keys;
    } choices[] = {
        {"none", 0},
        {"username", USERNAME},
        {"email", EMAIL},
        {"username,email", USERNAME | EMAIL},
        {"email,username", USERNAME | EMAIL},
    };
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        if (strcmp(value, choices[i].value) == 0) {
            options->unique = choices[i].keys;
            return true;
        }
    }
    return fail(fault, option, value, "one of none, username, email and username,email");
}

static bool set_log_level(struct options *options, const struct option *option, const char *value,
                          struct options_fault *fault)
{
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        if (strcmp(value, log_level_name((enum log_level)level)) == 0) {
            options->log_level = (uint64_t)level;
            return true;
        }
    }
    return fail(fault, option, value, "a level: error, warning, notice, info or debug");
}

static bool set_value(struct options *options, const struct option *option, const char *value,
                      struct options_fault *fault)
{
    switch (option->type) {
    case OPTION_LISTEN:
        return add_listen(options, option, value, fault);
    case OPTION_SEGMENT:
        return set_segment(options, option, value, fault);
    case OPTION_UNIQUE:
        return set_unique(options, option, value, fault);
    case OPTION_LOG_LEVEL:
        return set_log_level(options, option, value, fault);
    default:
        return set_number(options, option, value, fault);
    }
}

/* ---- the command line ---- */

static void set_defaults(struct options *options)
{
    struct options_fault fault;
    memset(options, 0, sizeof(*options));
    for (size_t i = 0; i < NUM_OPTIONS; i++)
        if (options_table[i].value != NULL && options_table[i].type != OPTION_LISTEN)
            set_value(options, &options_table[i], options_table[i].value, &fault);
}

static void set_late_defaults(struct options *options)
{
    if (options->workers == 0) {
        unsigned cpus = cpus_usable("");
        options->workers = cpus < 512 ? cpus : 512;
    }
    if (options->num_listen == 0) {
        listen_parse(&options->listen[0], "127.0.0.1:50051");
        listen_parse(&options->listen[1], "[::1]:50051");
        options->num_listen = 2;
        options->default_listen = true;
    }
}

static const struct option *find_option(const char *name, size_t len)
{
    for (size_t i = 0; i < NUM_OPTIONS; i++)
        if (strlen(options_table[i].name) == len && memcmp(options_table[i].name, name, len) == 0)
            return &options_table[i];
    return NULL;
}

/* @return how many arguments it was, or 0 with the fault set */
static int parse_argument(struct options *options, int left, char *const *argv,
                          struct options_fault *fault)
{
    const char *argument = argv[0];
    if (argument[0] != '-') {
        snprintf(fault->text, sizeof(fault->text), "unexpected argument '%.200s'", argument);
        return 0;
    }
    size_t len = strcspn(argument, "=");
    const struct option *option =
        len > 2 && argument[1] == '-' ? find_option(argument + 2, len - 2) : NULL;
    if (option == NULL) {
        snprintf(fault->text, sizeof(fault->text), "unknown option '%.*s'",
                 len < 200 ? (int)len : 200, argument);
        return 0;
    }
    bool joined = argument[len] == '=';
    if (!joined && left < 2) {
        snprintf(fault->text, sizeof(fault->text), "%s: needs a value", option->name);
        return 0;
    }
    if (!set_value(options, option, joined ? argument + len + 1 : argv[1], fault))
        return 0;
    return joined ? 1 : 2;
}

enum options_result options_parse(struct options *options, int argc, char *const *argv,
                                  struct options_fault *fault)
{
    set_defaults(options);
    options->argv = argv;
    for (int i = 1; i < argc;) {
        if (strcmp(argv[i], "--help") == 0)
            return OPTIONS_HELP;
        if (strcmp(argv[i], "--version") == 0)
            return OPTIONS_VERSION;
        if (strcmp(argv[i], "--segment-reset") == 0) {
            options->segment_reset = true;
            i++;
            continue;
        }
        int used = parse_argument(options, argc - i, argv + i, fault);
        if (used == 0)
            return OPTIONS_BAD;
        i += used;
    }
    set_late_defaults(options);
    return OPTIONS_RUN;
}

void options_print_help(FILE *out)
{
    static const char *const kinds[] = {
        [OPTION_LISTEN] = "ADDRESS", [OPTION_COUNT] = "N",      [OPTION_SIZE] = "SIZE",
        [OPTION_TIME] = "TIME",      [OPTION_SEGMENT] = "NAME", [OPTION_LOG_LEVEL] = "LEVEL",
        [OPTION_UNIQUE] = "KEYS",
    };
    fputs("Usage: rosterd [--OPTION VALUE]...\n"
          "Serves userservice.UserService over gRPC from one table in shared memory.\n\n",
          out);
    for (size_t i = 0; i < NUM_OPTIONS; i++) {
        const struct option *option = &options_table[i];
        char head[48];
        snprintf(head, sizeof(head), "--%s %s", option->name, kinds[option->type]);
        fprintf(out, "  %-32s %s", head, option->help);
        if (option->value != NULL)
            fprintf(out, " (default %s)", option->value);
        fputc('\n', out);
    }
    fputs("  --segment-reset                  move the segment aside and start with an empty one; "
          "nothing is deleted\n"
          "  --help                           print this and exit\n"
          "  --version                        print the version and exit\n\n"
          "Sizes take K, M, G or T (powers of 1024); times ms, s, m, h or d (a bare number is "
          "seconds).\n"
          "TERM and INT stop the server at once, QUIT when its running calls are done.\n",
          out);
}
