/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/inspect.h"

static const char usage[] =
    "Usage: shm-inspect [--segment NAME] [--json] COMMAND\n"
    "Looks into rosterd's user segment, beside a live server or after its death.\n"
    "\n"
    "Commands:\n"
    "  status                       what the segment is and how full\n"
    "  list [--limit N] [--after SEQ]\n"
    "                               users in the order of creation, a line each, from one\n"
    "                               snapshot; N of them, after sequence number SEQ\n"
    "  get ID                       one user\n"
    "  verify                       check every invariant of the segment\n"
    "  stats [--all]                the servers' counters, with --all those at zero too\n"
    "  unlink                       remove a segment that no server holds, with its users\n"
    "\n"
    "Options:\n"
    "  --segment NAME               default /rosterd\n"
    "  --json                       print JSON; list and get: one object a line\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 done, 1 not found or a failed check, 2 usage, 3 no such segment,\n"
    "4 a segment of another layout or corrupt.\n";

enum option_bit { OPT_LIMIT = 1, OPT_AFTER = 2, OPT_ALL = 4 };

struct command {
    const char *name;
    const char *operand; /* NULL: none */
    unsigned allowed;    /* option_bits, beside --segment and --json */
    enum inspect_exit (*run)(const struct inspect_options *options);
};

static const struct command commands[] = {
    {"status", NULL, 0, inspect_status},     {"list", NULL, OPT_LIMIT | OPT_AFTER, inspect_list},
    {"get", "ID", 0, inspect_get},           {"verify", NULL, 0, inspect_verify},
    {"stats", NULL, OPT_ALL, inspect_stats}, {"unlink", NULL, 0, inspect_unlink},
};

static const struct option long_options[] = {
    {"segment", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
    {"limit", required_argument, NULL, 'l'},   {"after", required_argument, NULL, 'a'},
    {"all", no_argument, NULL, 'A'},           {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},       {NULL, 0, NULL, 0},
};

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

/* getopt leaves optopt 0 where a long option is unknown, else it is the short option's character
 * or the value of the long one. */
static _Noreturn void fail_option(int result, char *const *argv)
{
    const char *word = argv[optind - 1];
    int name_len = (int)strcspn(word, "=");

    if (result == ':')
        exit(inspect_fail(INSPECT_USAGE, "option %s needs a value", word));
    if (optopt == 0)
        exit(inspect_fail(INSPECT_USAGE, "unknown option %.*s (see --help)", name_len, word));
    if (strncmp(word, "--", 2) == 0 && word[name_len] == '=')
        exit(inspect_fail(INSPECT_USAGE, "option %.*s takes no value", name_len, word));
    exit(inspect_fail(INSPECT_USAGE, "unknown option -%c (see --help)", optopt));
}

/* @return the option_bits seen */
static unsigned parse_options(int argc, char **argv, struct inspect_options *options)
{
    unsigned seen = 0;
    int result;

    while ((result = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        switch (result) {
        case 's':
            options->segment = optarg;
            break;
        case 'j':
            options->json = true;
            break;
        case 'l':
            options->limit = parse_number("limit", optarg);
            seen |= OPT_LIMIT;
            break;
        case 'a':
            options->after = parse_number("after", optarg);
            seen |= OPT_AFTER;
            break;
        case 'A':
            options->all = true;
            seen |= OPT_ALL;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(fflush(stdout) == 0 ? INSPECT_DONE : INSPECT_FAILED);
        case 'v':
            puts("shm-inspect " PACKAGE_VERSION);
            exit(fflush(stdout) == 0 ? INSPECT_DONE : INSPECT_FAILED);
        default:
            fail_option(result, argv);
        }
    }
    return seen;
}

static const struct command *find_command(const char *name)
{
    if (name == NULL)
        exit(inspect_fail(INSPECT_USAGE, "a command is missing (see --help)"));
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    exit(inspect_fail(INSPECT_USAGE, "unknown command %s (see --help)", name));
}

static void check_options(const struct command *command, unsigned seen)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {{OPT_LIMIT, "--limit"}, {OPT_AFTER, "--after"}, {OPT_ALL, "--all"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (seen & names[i].bit & ~command->allowed)
            exit(inspect_fail(INSPECT_USAGE, "%s does not go with %s", names[i].name,
                              command->name));
    }
}

int main(int argc, char **argv)
{
    struct inspect_options options = {.argv = argv, .segment = "/rosterd", .limit = UINT64_MAX};
    unsigned seen = parse_options(argc, argv, &options);
    const struct command *command = find_command(argv[optind]);

    check_options(command, seen);
    argv += optind + 1;
    if (command->operand != NULL) {
        if (*argv == NULL)
            return inspect_fail(INSPECT_USAGE, "%s: %s is missing", command->name,
                                command->operand);
        options.id = *argv++;
    }
    if (*argv != NULL)
        return inspect_fail(INSPECT_USAGE, "%s: one argument too many: %s", command->name, *argv);

    signal(SIGPIPE, SIG_IGN); /* a reader that had enough must not cost us our clean-up */
    static char buffer[INSPECT_STDOUT_BUFFER];
    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    enum inspect_exit code = command->run(&options), stopped;
    if (!inspect_flush(&stopped))
        return (int)stopped;
    return (int)code;
}
