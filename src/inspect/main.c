/* SPDX-License-Identifier: MIT */
#include <curses.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json_c_version.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/process.h"
#include "base/spelling.h"
#include "base/units.h"
#include "base/version.h"
#include "inspect/commands/commands.h"
#include "inspect/core/default_segment.h"
#include "inspect/core/inspect_options.h"
#include "inspect/core/report.h"
#include "inspect/core/restart.h"
#include "inspect/core/stdout.h"

static const char usage[] =
    "Usage: shm-inspect [--segment NAME] [--json] COMMAND\n"
    "Shows and edits rosterd's user segment, of a running or of a dead server.\n"
    "\n"
    "Commands:\n"
    "  status                       name, size and contents of the segment\n"
    "  list [--limit N] [--after SEQ]\n"
    "                               print the users of one snapshot, oldest first; at most N,\n"
    "                               and only those created after sequence number SEQ\n"
    "  get USER | --username NAME   print this user, or all users with this name\n"
    "  find USER | --username NAME | --email ADDRESS | --filter EXPRESSION [--limit N]\n"
    "                               print the users that are this one, have this name or address,\n"
    "                               or match a filter (roles:admin AND NOT disabled), as list "
    "does\n"
    "  verify                       check every invariant of the segment\n"
    "  workers                      processes that have a slot, and whether they are idle or busy\n"
    "  readers                      open snapshots, and the memory that each keeps\n"
    "  stats [--all]                calls, errors and percentiles of each method, and the totals\n"
    "                               of the server; --all: also methods without calls\n"
    "  stats --raw [--all]          the server's counters; --all: also those that are zero\n"
    "  watch [INTERVAL]             live screen of the above, updated every INTERVAL seconds\n"
    "  tail [--from VERSION] [--limit N]\n"
    "                               follow the changes from now on, or all after VERSION; end\n"
    "                               after N changes\n"
    "  dump [--output FILE] [--with-secrets]\n"
    "                               print all users of one snapshot as JSON lines, for load;\n"
    "                               --with-secrets: with the hashes of their passwords\n"
    "  load [--keep-going] FILE     insert or update the users of a dump, of CSV with a header, or "
    "of\n"
    "                               an array of JSON (-: standard input);\n"
    "                               an interrupted load can be repeated\n"
    "  backup [--data-file PATH] FILE\n"
    "                               copy the data file to FILE, while the server serves or not,\n"
    "                               and check the copy\n"
    "  restore [--data-file PATH] FILE\n"
    "                               replace the data file of a stopped server by a backup\n"
    "  create --username NAME [--email ADDRESS] [--roles ROLE,...] [--label KEY=VALUE]...\n"
    "         [--disable]           create a user, with a random id and the present time\n"
    "  update USER [--username NAME] [--email ADDRESS] [--roles ROLE,...] [--label KEY=VALUE]...\n"
    "         [--remove-label KEY]... [--disable | --enable] [--if-etag ETAG]\n"
    "                               change some fields of a user and leave the others\n"
    "  disable USER...              disable users: their passwords are not accepted any more\n"
    "  enable USER...               enable users\n"
    "  set-roles USER ROLE,...      replace a user's roles; '' for none\n"
    "  delete USER...               delete users\n"
    "  unlink                       remove a segment, not its file; refused while a server runs\n"
    "\n"
    "USER is an id (a UUID, also as users/UUID), username:NAME or email:ADDRESS.\n"
    "\n"
    "Options:\n"
    "  --segment NAME               the segment; default: the one that there is of the service's,\n"
    "                               /rosterd/users, and this user's, /rosterd-UID\n"
    "  --json                       print JSON; list, get, find, workers, readers, tail and watch\n"
    "                               print one object per line\n"
    "  -h, --help                   print this help\n"
    "  -V, --version                print the version\n"
    "\n"
    "Exit status: 0 done, 1 not found or failed, 2 wrong usage, 3 no such segment,\n"
    "4 the segment has another layout or is corrupt.\n";

/* What getopt_long() returns for an option that has no letter of its own. */
enum option_value {
    OPTION_EMAIL = 256,
    OPTION_FILTER,
    OPTION_ROLES,
    OPTION_LABEL,
    OPTION_REMOVE_LABEL,
    OPTION_DISABLE,
    OPTION_ENABLE,
    OPTION_IF_ETAG,
    OPTION_WITH_SECRETS,
    OPTION_RAW,
};

/* The last member is what getopt_long() returns for the option. */
static const struct option long_options[] = {
    {"segment", required_argument, NULL, 's'},
    {"json", no_argument, NULL, 'j'},
    {"limit", required_argument, NULL, 'l'},
    {"after", required_argument, NULL, 'a'},
    {"all", no_argument, NULL, 'A'},
    {"username", required_argument, NULL, 'u'},
    {"email", required_argument, NULL, OPTION_EMAIL},
    {"filter", required_argument, NULL, OPTION_FILTER},
    {"roles", required_argument, NULL, OPTION_ROLES},
    {"label", required_argument, NULL, OPTION_LABEL},
    {"remove-label", required_argument, NULL, OPTION_REMOVE_LABEL},
    {"disable", no_argument, NULL, OPTION_DISABLE},
    {"enable", no_argument, NULL, OPTION_ENABLE},
    {"if-etag", required_argument, NULL, OPTION_IF_ETAG},
    {"with-secrets", no_argument, NULL, OPTION_WITH_SECRETS},
    {"raw", no_argument, NULL, OPTION_RAW},
    {"from", required_argument, NULL, 'f'},
    {"output", required_argument, NULL, 'o'},
    {"keep-going", no_argument, NULL, 'k'},
    {"help", no_argument, NULL, 'h'},
    {"data-file", required_argument, NULL, 'd'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* The options whose value is kept as it was typed, and where. */
static const struct {
    int value;
    unsigned bit;
    size_t at; /* in struct inspect_options */
} text_options[] = {{'u', COMMAND_USERNAME, offsetof(struct inspect_options, username)},
                    {OPTION_EMAIL, COMMAND_EMAIL, offsetof(struct inspect_options, email)},
                    {OPTION_FILTER, COMMAND_FILTER, offsetof(struct inspect_options, filter)},
                    {OPTION_ROLES, COMMAND_FIELDS, offsetof(struct inspect_options, roles)},
                    {OPTION_IF_ETAG, COMMAND_IF_ETAG, offsetof(struct inspect_options, if_etag)},
                    {'o', COMMAND_OUTPUT, offsetof(struct inspect_options, output)},
                    {'d', COMMAND_DATA_FILE, offsetof(struct inspect_options, data_file)},
                    {'s', 0, offsetof(struct inspect_options, segment)}};

static const struct {
    unsigned bit;
    const char *name;
} option_names[] = {{COMMAND_LIMIT, "--limit"},
                    {COMMAND_AFTER, "--after"},
                    {COMMAND_ALL, "--all"},
                    {COMMAND_USERNAME, "--username"},
                    {COMMAND_EMAIL, "--email"},
                    {COMMAND_FILTER, "--filter"},
                    {COMMAND_FIELDS, "an option that sets a field of a user"},
                    {COMMAND_CHANGES, "an option that changes a user"},
                    {COMMAND_IF_ETAG, "--if-etag"},
                    {COMMAND_WITH_SECRETS, "--with-secrets"},
                    {COMMAND_RAW, "--raw"},
                    {COMMAND_FROM, "--from"},
                    {COMMAND_OUTPUT, "--output"},
                    {COMMAND_KEEP_GOING, "--keep-going"},
                    {COMMAND_DATA_FILE, "--data-file"}};

static uint64_t argument_number(const char *option, const char *text)
{
    uint64_t value;
    if (!units_parse_count(text, &value))
        exit(report_fail(INSPECT_USAGE, "--%s: %s is not a whole number from 0 to %" PRIu64, option,
                         text, UINT64_MAX));
    return value;
}

enum { LONG_OPTIONS = sizeof(long_options) / sizeof(long_options[0]) - 1 };

/* NULL past the last option. */
static const char *long_option_name(size_t index)
{
    return long_options[index].name;
}

/* Reports what is wrong with the option that getopt_long() has just read. optopt is 0 for an
 * unknown long option; otherwise it is the short option's character or the long option's value. */
static _Noreturn void option_fail(int result, char *const *argv)
{
    const char *word = argv[optind - 1];
    int name_len = (int)strcspn(word, "=");
    if (result == ':')
        exit(report_fail(INSPECT_USAGE, "option %s needs a value", word));
    if (optopt == 0) {
        char name[SPELLING_MAX + 2];
        snprintf(name, sizeof(name), "%.*s", name_len - 2, word + 2);
        const char *nearest =
            long_option_name(spelling_nearest(name, LONG_OPTIONS, long_option_name));
        exit(report_fail(INSPECT_USAGE, "unknown option %.*s%s%s%s (see shm-inspect --help)",
                         name_len, word, nearest != NULL ? "; is it --" : "",
                         nearest != NULL ? nearest : "", nearest != NULL ? "?" : ""));
    }
    if (strncmp(word, "--", 2) == 0 && word[name_len] == '=')
        exit(report_fail(INSPECT_USAGE, "option %.*s takes no value", name_len, word));
    exit(report_fail(INSPECT_USAGE, "unknown option -%c (see shm-inspect --help)", optopt));
}

static _Noreturn void end_of_output(void)
{
    exit(fflush(stdout) == 0 ? INSPECT_DONE : INSPECT_FAILED);
}

static _Noreturn void print_usage_and_exit(void)
{
    fputs(usage, stdout);
    end_of_output();
}

static _Noreturn void print_version_and_exit(void)
{
    const struct version_library runs_with[] = {
        {"json-c", json_c_version()},
        {"SQLite", sqlite3_libversion()},
        {"ncurses", curses_version() + strcspn(curses_version(), "0123456789")},
        {NULL, NULL},
    };
    static const struct version_library built_with[] = {
        {"liburcu", URCU_BUILD_VERSION},
        {"xxHash", XXHASH_BUILD_VERSION},
        {NULL, NULL},
    };
    version_print(stdout, "shm-inspect", runs_with, built_with);
    end_of_output();
}

static void append_typed(const char *option, struct inspect_list *list)
{
    if (list->count == sizeof(list->values) / sizeof(list->values[0]))
        exit(report_fail(INSPECT_USAGE, "--%s is given more than %d times", option,
                         USER_LABELS_MAX));
    list->values[list->count++] = optarg;
}

/* Stores an option of create or update that is no text. */
static unsigned take_change(int result, char *const *argv, struct inspect_options *options)
{
    switch (result) {
    case OPTION_LABEL:
        append_typed("label", &options->labels);
        return COMMAND_FIELDS;
    case OPTION_REMOVE_LABEL:
        append_typed("remove-label", &options->remove_labels);
        return COMMAND_CHANGES;
    case OPTION_DISABLE:
        options->disable = true;
        return COMMAND_FIELDS;
    case OPTION_ENABLE:
        options->enable = true;
        return COMMAND_CHANGES;
    default:
        option_fail(result, argv);
    }
}

/* Stores the option. Returns its command_option bit, 0 for an option that every command takes. */
static unsigned take_option(int result, char *const *argv, struct inspect_options *options)
{
    for (size_t i = 0; i < sizeof(text_options) / sizeof(text_options[0]); i++)
        if (text_options[i].value == result) {
            memcpy((char *)options + text_options[i].at, &optarg, sizeof(optarg));
            return text_options[i].bit;
        }
    switch (result) {
    case 'j':
        options->json = true;
        return 0;
    case 'l':
        options->limit = argument_number("limit", optarg);
        return COMMAND_LIMIT;
    case 'a':
        options->after = argument_number("after", optarg);
        return COMMAND_AFTER;
    case 'A':
        options->all = true;
        return COMMAND_ALL;
    case 'f':
        options->from = argument_number("from", optarg);
        options->from_now = false;
        return COMMAND_FROM;
    case 'k':
        options->keep_going = true;
        return COMMAND_KEEP_GOING;
    case OPTION_RAW:
        options->raw = true;
        return COMMAND_RAW;
    case OPTION_WITH_SECRETS:
        options->with_secrets = true;
        return COMMAND_WITH_SECRETS;
    case 'h':
        print_usage_and_exit();
    case 'V':
        print_version_and_exit();
    default:
        return take_change(result, argv, options);
    }
}

static const struct command *find_command(const char *name)
{
    if (name == NULL)
        exit(report_fail(INSPECT_USAGE, "a command is missing (see shm-inspect --help)"));
    const struct command *command = commands_find(name);
    if (command != NULL)
        return command;
    const char *nearest = commands_nearest_name(name);
    exit(report_fail(INSPECT_USAGE, "unknown command %s%s%s%s (see shm-inspect --help)", name,
                     nearest != NULL ? "; is it " : "", nearest != NULL ? nearest : "",
                     nearest != NULL ? "?" : ""));
}

static void check_options(const struct command *command, unsigned seen)
{
    for (size_t i = 0; i < sizeof(option_names) / sizeof(option_names[0]); i++) {
        if (seen & option_names[i].bit & ~command->allowed)
            exit(report_fail(INSPECT_USAGE, "%s cannot be used with %s", option_names[i].name,
                             command->name));
    }
}

static void take_operands(const struct command *command, char *const *argv, unsigned seen,
                          struct inspect_options *options)
{
    bool any_number = false;
    options->all_operands = argv;
    for (size_t i = 0; i < INSPECT_OPERANDS && command->operands[i] != NULL; i++) {
        const char *what = command->operands[i];
        if (seen & command->instead)
            break;
        if (*argv == NULL && what[0] != '[')
            exit(report_fail(INSPECT_USAGE, "%s: %s is missing", command->name, what));
        if (*argv != NULL)
            options->operands[i] = *argv++;
        any_number = strstr(what, "]...") != NULL;
    }
    if (*argv != NULL && !any_number)
        exit(report_fail(INSPECT_USAGE, "%s: unexpected argument: %s", command->name, *argv));
}

int main(int argc, char **argv)
{
    struct inspect_options options = {.argv = argv, .limit = UINT64_MAX, .from_now = true};
    unsigned seen = 0;
    int result;
    process_prepare();
    while ((result = getopt_long(argc, argv, ":hV", long_options, NULL)) != -1)
        seen |= take_option(result, argv, &options);
    const struct command *command = find_command(argv[optind]);
    check_options(command, seen);
    take_operands(command, argv + optind + 1, seen, &options);
    options.segment = segment_or_default(options.segment, options.data_file);

    restart_early_as_root(&options);
    stdout_open();
    enum inspect_exit code = command->run(&options), stopped;
    if (!stdout_flush(&stopped))
        return (int)stopped;
    return (int)code;
}
