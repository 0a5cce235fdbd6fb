/* SPDX-License-Identifier: MIT */
#include "server/options.h"

#include <assert.h>
#include <string.h>

#include "grpc/grpc.h"
#include "server/cpus.h"
#include "server/units.h"
#include "user/user.h"

enum option_type {
    OPTION_LISTEN,
    OPTION_COUNT,
    OPTION_SIZE,
    OPTION_TIME,
    OPTION_LIFETIME, /* a time, or `never` */
    OPTION_SEGMENT,
    OPTION_CHOICE,
    OPTION_PATH,
    OPTION_PATHS,
};

/** A word that an option may have, and what it stands for. */
struct choice {
    const char *word;
    uint64_t value;
};

struct option {
    const char *name;
    enum option_type type;
    size_t at;         /* of the field in struct options */
    uint64_t min, max; /* of numbers */
    const char *value; /* the default, read like any other; NULL: made at run time */
    const char *bounds, *help;
    const struct choice *choices; /* of OPTION_CHOICE, up to a NULL word */
};

#define AT(field) offsetof(struct options, field)
#define KIB       (UINT64_C(1) << 10)
#define MIB       (UINT64_C(1) << 20)
#define GIB       (UINT64_C(1) << 30)
#define TIB       (UINT64_C(1) << 40)

enum { UNIQUE_USERNAME = 1 << USER_KEY_USERNAME, UNIQUE_EMAIL = 1 << USER_KEY_EMAIL };
static const struct choice unique_choices[] = {
    {"none", 0},
    {"username", UNIQUE_USERNAME},
    {"email", UNIQUE_EMAIL},
    {"username,email", UNIQUE_USERNAME | UNIQUE_EMAIL},
    {"email,username", UNIQUE_USERNAME | UNIQUE_EMAIL},
    {NULL, 0},
};
static const struct choice level_choices[] = {
    {"error", LOG_LEVEL_ERROR}, {"warning", LOG_LEVEL_WARNING}, {"notice", LOG_LEVEL_NOTICE},
    {"info", LOG_LEVEL_INFO},   {"debug", LOG_LEVEL_DEBUG},     {NULL, 0},
};
static const struct choice switch_choices[] = {{"on", 1}, {"off", 0}, {NULL, 0}};
static const struct choice format_choices[] = {
    {"text", LOG_FORMAT_TEXT}, {"json", LOG_FORMAT_JSON}, {NULL, 0}};
static const struct choice compression_choices[] = {
    {"off", 0},
    {"gzip", GRPC_COMPRESS_GZIP},
    {"deflate", GRPC_COMPRESS_DEFLATE},
    {"gzip,deflate", GRPC_COMPRESS_GZIP | GRPC_COMPRESS_DEFLATE},
    {"deflate,gzip", GRPC_COMPRESS_GZIP | GRPC_COMPRESS_DEFLATE},
    {NULL, 0},
};

static const struct option options_table[] = {
    {"listen", OPTION_LISTEN, AT(listen), 0, 0, "127.0.0.1:50051 and [::1]:50051", NULL,
     "ADDR:PORT, [ADDR]:PORT or unix:PATH; may be repeated; port 0 is any free one", NULL},
    {"workers", OPTION_COUNT, AT(workers), 1, 512, NULL, "from 1 to 512",
     "worker processes; default: the CPUs this process may use", NULL},
    {"segment", OPTION_SEGMENT, AT(segment), 0, 0, "/rosterd", NULL,
     "name of the shared-memory segment that holds the users", NULL},
    {"segment-size", OPTION_SIZE, AT(segment_size), 16 * MIB, 16 * TIB, "16G", "from 16M to 16T",
     "bound of the segment's growth; address space is reserved, memory is not", NULL},
    {"max-users", OPTION_COUNT, AT(max_users), 1, UINT32_MAX, "1000000", "from 1 to 4294967295",
     "users the table takes before it is full", NULL},
    {"unique", OPTION_CHOICE, AT(unique), 0, 0, "none", "none, username, email or username,email",
     "what no two users may share", unique_choices},
    {"snapshot-max-age", OPTION_TIME, AT(snapshot_max_age), 1000, 86400000, "10m", "from 1s to 1d",
     "a listing that takes longer ends ABORTED", NULL},
    {"snapshot-max-bytes", OPTION_SIZE, AT(snapshot_max_bytes), MIB, TIB, "256M", "from 1M to 1T",
     "changed users that listings may keep in memory; beyond, the oldest ends ABORTED", NULL},
    {"max-message-size", OPTION_SIZE, AT(max_message_size), KIB, GIB, "4M", "from 1K to 1G",
     "largest request message", NULL},
    {"max-header-size", OPTION_SIZE, AT(max_header_size), KIB, MIB, "8K", "from 1K to 1M",
     "largest request header list", NULL},
    {"max-concurrent-streams", OPTION_COUNT, AT(max_concurrent_streams), 1, 1000000, "1024",
     "from 1 to 1000000", "calls at once on one connection", NULL},
    {"busy-poll", OPTION_COUNT, AT(busy_poll), 0, 1000, "50", "from 0 to 1000",
     "microseconds to look for the next request after one that came alone; 0: never", NULL},
    {"drain-timeout", OPTION_TIME, AT(drain_timeout), 0, 86400000, "30s", "from 0s to 1d",
     "how long a graceful stop (QUIT) waits for running calls", NULL},
    {"log-level", OPTION_CHOICE, AT(log_level), 0, 0, "info",
     "error, warning, notice, info or debug", "least urgent lines that are logged", level_choices},
    {"log-format", OPTION_CHOICE, AT(log_format), 0, 0, "text", "text or json",
     "how the access log is written", format_choices},
    {"access-log", OPTION_CHOICE, AT(access_log), 0, 0, "off", "on or off",
     "a line for each call when it has ended", switch_choices},
    {"access-log-file", OPTION_PATH, AT(access_log_file), 0, 0, NULL, NULL,
     "where the access log is appended; default: standard error", NULL},
    {"auth-token-file", OPTION_PATH, AT(auth_token_file), 0, 0, NULL, NULL,
     "tokens, one a line with a name behind it; set: calls need one of them", NULL},
    {"metrics-listen", OPTION_LISTEN, AT(metrics_listen), 0, 0, NULL, NULL,
     "address of /metrics, /healthz and /readyz over HTTP; may be repeated; default: none", NULL},
    {"compression", OPTION_CHOICE, AT(compression), 0, 0, "gzip,deflate",
     "off, gzip, deflate or gzip,deflate", "encodings of replies to clients that accept them",
     compression_choices},
    {"compression-min-size", OPTION_SIZE, AT(compression_min_size), 0, GIB, "1K", "from 0 to 1G",
     "replies from this size on are compressed", NULL},
    {"tls-certificate", OPTION_PATHS, AT(tls_certificates), 0, 0, NULL, NULL,
     "certificate chain, PEM; may be repeated, one for each name; default: no TLS", NULL},
    {"tls-key", OPTION_PATHS, AT(tls_keys), 0, 0, NULL, NULL,
     "private key, PEM; one for each tls-certificate, in the same order", NULL},
    {"tls-client-ca", OPTION_PATH, AT(tls_client_ca), 0, 0, NULL, NULL,
     "authorities of client certificates, PEM; set: every client needs one", NULL},
    {"max-connections", OPTION_COUNT, AT(max_connections), 1, 1000000, "65536", "from 1 to 1000000",
     "connections at once, of all workers together", NULL},
    {"max-connections-per-address", OPTION_COUNT, AT(max_connections_per_address), 0, 1000000, "0",
     "from 0 to 1000000", "the same from one client address; 0: no bound", NULL},
    {"handshake-timeout", OPTION_TIME, AT(handshake_timeout), 100, 3600000, "10s",
     "from 100ms to 1h", "until a new connection has spoken TLS and HTTP/2", NULL},
    {"max-connection-age", OPTION_LIFETIME, AT(max_connection_age), 100, 31536000000, "never",
     "from 100ms to 365d, or never", "a connection is drained at this age, give or take a tenth",
     NULL},
    {"max-connection-age-grace", OPTION_LIFETIME, AT(max_connection_age_grace), 0, 31536000000,
     "never", "from 0s to 365d, or never", "and closed so much later, whatever still runs", NULL},
    {"max-connection-idle", OPTION_LIFETIME, AT(max_connection_idle), 100, 31536000000, "never",
     "from 100ms to 365d, or never", "a connection without a call is drained after this", NULL},
    {"keepalive-time", OPTION_LIFETIME, AT(keepalive_time), 1000, 31536000000, "2h",
     "from 1s to 365d, or never", "a connection that is silent for this long is pinged", NULL},
    {"keepalive-timeout", OPTION_TIME, AT(keepalive_timeout), 100, 3600000, "20s",
     "from 100ms to 1h", "and closed where no answer comes within this", NULL},
    {"keepalive-min-time", OPTION_TIME, AT(keepalive_min_time), 0, 31536000000, "5m",
     "from 0s to 365d", "clients that ping more often than this are sent away", NULL},
    {"keepalive-without-calls", OPTION_CHOICE, AT(keepalive_without_calls), 0, 0, "off",
     "on or off", "clients may ping that often with no call open, too", switch_choices},
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
                       struct options_fault *fault)
{
    static const char *const expected[] = {
        [OPTION_COUNT] = "a whole number",
        [OPTION_SIZE] = "a size such as 64K, 4M or 16G,",
        [OPTION_TIME] = "a time such as 500ms, 30s or 5m,",
        [OPTION_LIFETIME] = "a time such as 500ms, 30s or 5m,",
    };
    uint64_t number;
    assert(option->type >= OPTION_COUNT && option->type <= OPTION_LIFETIME);
    if (option->type == OPTION_LIFETIME && strcmp(value, "never") == 0)
        number = OPTIONS_NEVER;
    else if (!parse_number(option, value, &number) || number < option->min || number > option->max)
        return fail(fault, option, value, expected[option->type]);
    memcpy((char *)options + option->at, &number, sizeof(number));
    return true;
}

static bool add_listen(struct options *options, const struct option *option, const char *value,
                       struct options_fault *fault)
{
    struct listen_addresses *to = (struct listen_addresses *)((char *)options + option->at);
    if (to->count == LISTEN_MAX) {
        snprintf(fault->text, sizeof(fault->text), "%s: more than %d addresses", option->name,
                 LISTEN_MAX);
        return false;
    }
    if (!listen_parse(&to->all[to->count], value))
        return fail(fault, option, value, "an address: ADDR:PORT, [ADDR]:PORT or unix:PATH");
    to->count++;
    return true;
}

static bool set_path(struct options *options, const struct option *option, const char *value,
                     struct options_fault *fault)
{
    if (value[0] == '\0')
        return fail(fault, option, value, "the path of a file");
    if (option->type == OPTION_PATH) {
        memcpy((char *)options + option->at, &value, sizeof(value));
        return true;
    }
    struct option_paths *to = (struct option_paths *)((char *)options + option->at);
    if (to->count == OPTION_PATHS_MAX) {
        snprintf(fault->text, sizeof(fault->text), "%s: more than %d files", option->name,
                 OPTION_PATHS_MAX);
        return false;
    }
    to->all[to->count++] = value;
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

static bool set_choice(struct options *options, const struct option *option, const char *value,
                       struct options_fault *fault)
{
    for (const struct choice *choice = option->choices; choice->word != NULL; choice++) {
        if (strcmp(value, choice->word) == 0) {
            memcpy((char *)options + option->at, &choice->value, sizeof(choice->value));
            return true;
        }
    }
    return fail(fault, option, value, "one of");
}

static bool set_value(struct options *options, const struct option *option, const char *value,
                      struct options_fault *fault)
{
    switch (option->type) {
    case OPTION_LISTEN:
        return add_listen(options, option, value, fault);
    case OPTION_SEGMENT:
        return set_segment(options, option, value, fault);
    case OPTION_CHOICE:
        return set_choice(options, option, value, fault);
    case OPTION_PATH:
    case OPTION_PATHS:
        return set_path(options, option, value, fault);
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
    if (options->listen.count == 0) {
        listen_parse(&options->listen.all[0], "127.0.0.1:50051");
        listen_parse(&options->listen.all[1], "[::1]:50051");
        options->listen.count = 2;
        options->default_listen = true;
    }
}

/* What no option can see by itself. */
static bool check_together(const struct options *options, struct options_fault *fault)
{
    size_t certificates = options->tls_certificates.count, keys = options->tls_keys.count;
    const char *text = NULL;
    if (certificates > keys)
        text = "tls-key: there is one missing for a tls-certificate";
    else if (keys > certificates)
        text = "tls-certificate: there is one missing for a tls-key";
    else if (options->tls_client_ca != NULL && certificates == 0)
        text = "tls-client-ca: needs a tls-certificate and a tls-key";
    if (text != NULL)
        snprintf(fault->text, sizeof(fault->text), "%s", text);
    return text == NULL;
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
    return check_together(options, fault) ? OPTIONS_RUN : OPTIONS_BAD;
}

static const char *argument_of(const struct option *option)
{
    static const char *const kinds[] = {
        [OPTION_LISTEN] = "ADDRESS", [OPTION_COUNT] = "N",       [OPTION_SIZE] = "SIZE",
        [OPTION_TIME] = "TIME",      [OPTION_LIFETIME] = "TIME", [OPTION_SEGMENT] = "NAME",
        [OPTION_CHOICE] = "WORD",    [OPTION_PATH] = "FILE",     [OPTION_PATHS] = "FILE",
    };
    if (option->choices == unique_choices)
        return "KEYS";
    if (option->choices == level_choices)
        return "LEVEL";
    return kinds[option->type];
}

void options_print_help(FILE *out)
{
    fputs("Usage: rosterd [--OPTION VALUE]...\n"
          "Serves userservice.UserService over gRPC from one table in shared memory.\n\n",
          out);
    for (size_t i = 0; i < NUM_OPTIONS; i++) {
        const struct option *option = &options_table[i];
        char head[48];
        snprintf(head, sizeof(head), "--%s %s", option->name, argument_of(option));
        fprintf(out, "  %-36s %s", head, option->help);
        if (option->choices != NULL)
            fprintf(out, ": %s", option->bounds);
        if (option->value != NULL)
            fprintf(out, " (default %s)", option->value);
        fputc('\n', out);
    }
    fputs("  --segment-reset                      move the segment aside and start with an empty "
          "one; "
          "nothing is deleted\n"
          "  --help                               print this and exit\n"
          "  --version                            print the version and exit\n\n"
          "Sizes take K, M, G or T (powers of 1024); times ms, s, m, h or d (a bare number is "
          "seconds).\n"
          "TERM and INT stop the server at once, QUIT when its running calls are done.\n",
          out);
}
