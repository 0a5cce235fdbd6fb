/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/process.h"
#include "base/spelling.h"
#include "inspect/core/inspect.h"

static const char usage[] =
    "Usage: shm-inspect [--segment NAME] [--json] COMMAND\n"
    "Looks into rosterd's user segment, beside a live server or after its death.\n"
    "\n"
    "Commands:\n"
    "  status                       what the segment is and how full\n"
    "  list [--limit N] [--after SEQ]\n"
    "                               users in the order of creation, a line each, from one\n"
    "                               snapshot; N of them, after sequence number SEQ\n"
    "  get ID | --username NAME     one user; those of this name\n"
    "  verify                       check every invariant of the segment\n"
    "  workers                      the processes that take part\n"
    "  readers                      the snapshots that are open, and what they keep\n"
    "  stats [--all]                the servers' counters, with --all those at zero too\n"
    "  watch [INTERVAL]             all that on a live screen, anew each INTERVAL seconds\n"
    "  tail [--from VERSION] [--limit N]\n"
    "                               follow the changes, a line each, from now on or after\n"
    "                               VERSION; N of them\n"
    "  dump [--output FILE]         all users as JSON lines, from one snapshot, for load\n"
    "  load [--keep-going] FILE     insert or update the users of such lines (-: of standard\n"
    "                               input); loaded again, it goes on where it ended\n"
    "  delete ID...                 delete users\n"
    "  set-roles ID ROLE,...        give a user these roles, '' for none\n"
    "  unlink                       remove a segment that no server holds, with its users\n"
    "\n"
    "Options:\n"
    "  --segment NAME               default /rosterd\n"
    "  --json                       print JSON; of users, changes and screens an object a line\n"
    "  -h, --help; -V, --version\n"
    "\n"
    "Exit status: 0 done, 1 not found or a failed check, 2 usage, 3 no such segment,\n"
    "4 a segment of another layout or corrupt.\n";

enum option_bit {
    OPT_LIMIT = 1 << 0,
    OPT_AFTER = 1 << 1,
    OPT_ALL = 1 << 2,
    OPT_USERNAME = 1 << 3,
    OPT_FROM = 1 << 4,
    OPT_OUTPUT = 1 << 5,
    OPT_KEEP_GOING = 1 << 6,
};

struct command {
    const char *name;
    const char *operands[INSPECT_OPERANDS]; /* in brackets: may be left out,
 with dots: and repeated */
    unsigned allowed;                       /* option_bits, beside --segment and --json */
    enum inspect_exit (*run)(const struct inspect_options *options);
};

static const struct command commands[] = {
    {"status", {NULL}, 0, inspect_status},
    {"list", {NULL}, OPT_LIMIT | OPT_AFTER, inspect_list},
    {"get", {"ID"}, OPT_USERNAME, inspect_get},
    {"verify", {NULL}, 0, inspect_verify},
    {"workers", {NULL}, 0, inspect_workers},
    {"readers", {NULL}, 0, inspect_readers},
    {"stats", {NULL}, OPT_ALL, inspect_stats},
    {"watch", {"[INTERVAL]"}, 0, inspect_watch},
    {"tail", {NULL}, OPT_FROM | OPT_LIMIT, inspect_tail},
    {"dump", {NULL}, OPT_OUTPUT, inspect_dump},
    {"load", {"FILE"}, OPT_KEEP_GOING, inspect_load},
    {"delete", {"ID", "[ID]..."}, 0, inspect_delete},
    {"set-roles", {"ID", "ROLE,..."}, 0, inspect_set_roles},
    {"unlink", {NULL}, 0, inspect_unlink},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

/* A long option's value is also its getopt result. */
static const struct option long_options[] = {
    {"segment", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
    {"limit", required_argument, NULL, 'l'},   {"after", required_argument, NULL, 'a'},
    {"all", no_argument, NULL, 'A'},           {"username", required_argument, NULL, 'u'},
    {"from", required_argument, NULL, 'f'},    {"output", required_argument, NULL, 'o'},
    {"keep-going", no_argument, NULL, 'k'},    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},       {NULL, 0, NULL, 0},
};

static const struct {
    unsigned bit;
    const char *name;
} option_names[] = {
    {OPT_LIMIT, "--limit"},          {OPT_AFTER, "--after"}, {OPT_ALL, "--all"},
    {OPT_USERNAME, "--username"},    {OPT_FROM, "--from"},   {OPT_OUTPUT, "--output"},
    {OPT_KEEP_GOING, "--keep-going"}};

static uint64_t parse_number(const char *option, const char *text)
{
    char *end;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    /* strtoull() itself would take blanks and a sign */
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        exit(inspect_fail(INSPECT_USAGE, "--%s: %s is no whole number from 0 to %llu", option, text,
                          (unsigned long long)UINT64_MAX));
    return value;
}

enum { LONG_OPTIONS = sizeof(long_options) / sizeof(long_options[0]) - 1 };

/* NULL past the last one */
static const char *long_option_name(size_t index)
{
    return long_options[index].name;
}

/* getopt leaves optopt 0 where a long option is unknown, else it is the short option's character
 * or the value of the long one. */
static _Noreturn void fail_option(int result, char *const *argv)
{
    const char *word = argv[optind - 1];
    int name_len = (int)strcspn(word, "=");

    if (result == ':')
        exit(inspect_fail(INSPECT_USAGE, "option %s needs a value", word));
    if (optopt == 0) {
        char name[SPELLING_MAX + 2];
        snprintf(name, sizeof(name), "%.*s", name_len - 2, word + 2);
        const char *nearest =
            long_option_name(spelling_nearest(name, LONG_OPTIONS, long_option_name));
        exit(inspect_fail(INSPECT_USAGE, "unknown option %.*s%s%s%s (see shm-inspect --help)",
                          name_len, word, nearest != NULL ? "; is it --" : "",
                          nearest != NULL ? nearest : "", nearest != NULL ? "?" : ""));
    }
    if (strncmp(word, "--", 2) == 0 && word[name_len] == '=')
        exit(inspect_fail(INSPECT_USAGE, "option %.*s takes no value", name_len, word));
    exit(inspect_fail(INSPECT_USAGE, "unknown option -%c (see shm-inspect --help)", optopt));
}

static _Noreturn void print_and_exit(const char *text)
{
    fputs(text, stdout);
    exit(fflush(stdout) == 0 ? INSPECT_DONE : INSPECT_FAILED);
}

/* @return the option's bit */
static unsigned take_option(int result, char *const *argv, struct inspect_options *options)
{
    switch (result) {
    case 's':
        options->segment = optarg;
        return 0;
    case 'j':
        options->json = true;
        return 0;
    case 'l':
        options->limit = parse_number("limit", optarg);
        return OPT_LIMIT;
    case 'a':
        options->after = parse_number("after", optarg);
        return OPT_AFTER;
    case 'A':
        options->all = true;
        return OPT_ALL;
    case 'u':
        options->username = optarg;
        return OPT_USERNAME;
    case 'f':
        options->from = parse_number("from", optarg);
        options->from_now = false;
        return OPT_FROM;
    case 'o':
        options->output = optarg;
        return OPT_OUTPUT;
    case 'k':
        options->keep_going = true;
        return OPT_KEEP_GOING;
    case 'h':
        print_and_exit(usage);
    case 'V':
        print_and_exit("shm-inspect " PACKAGE_VERSION "\n");
    default:
        fail_option(result, argv);
    }
}

static const char *command_name(size_t index)
{
    return index < COMMANDS ? commands[index].name : NULL;
}

static const struct command *find_command(const char *name)
{
    if (name == NULL)
        exit(inspect_fail(INSPECT_USAGE, "a command is missing (see shm-inspect --help)"));
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    const char *nearest = command_name(spelling_nearest(name, COMMANDS, command_name));
    exit(inspect_fail(INSPECT_USAGE, "unknown command %s%s%s%s (see shm-inspect --help)", name,
                      nearest != NULL ? "; is it " : "", nearest != NULL ? nearest : "",
                      nearest != NULL ? "?" : ""));
}

static void check_options(const struct command *command, unsigned seen)
{
    for (size_t i = 0; i < sizeof(option_names) / sizeof(option_names[0]); i++) {
        if (seen & option_names[i].bit & ~command->allowed)
            exit(inspect_fail(INSPECT_USAGE, "%s does not go with %s", option_names[i].name,
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
        if (seen & OPT_USERNAME) /* stands for the ID */
            break;
        if (*argv == NULL && what[0] != '[')
            exit(inspect_fail(INSPECT_USAGE, "%s: %s is missing", command->name, what));
        if (*argv != NULL)
            options->operands[i] = *argv++;
        any_number = strstr(what, "]...") != NULL;
    }
    if (*argv != NULL && !any_number)
        exit(inspect_fail(INSPECT_USAGE, "%s: one argument too many: %s", command->name, *argv));
}

int main(int argc, char **argv)
{
    struct inspect_options options = {
        .argv = argv, .segment = "/rosterd", .limit = UINT64_MAX, .from_now = true};
    unsigned seen = 0;
    int result;

    process_prepare();
    while ((result = getopt_long(argc, argv, ":hV", long_options, NULL)) != -1)
        seen |= take_option(result, argv, &options);
    const struct command *command = find_command(argv[optind]);
    check_options(command, seen);
    take_operands(command, argv + optind + 1, seen, &options);

    inspect_look_for_base(&options);
    static char buffer[INSPECT_STDOUT_BUFFER];
    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    enum inspect_exit code = command->run(&options), stopped;
    if (!inspect_flush(&stopped))
        return (int)stopped;
    return (int)code;
}
