/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdlib.h>

#include "server/master.h"

int main(int argc, char **argv)
{
    static struct options options;
    struct options_fault fault;
    switch (options_parse(&options, argc, argv, &fault)) {
    case OPTIONS_HELP:
        options_print_help(stdout);
        return 0;
    case OPTIONS_VERSION:
        puts(PACKAGE_STRING);
        return 0;
    case OPTIONS_BAD:
        fprintf(stderr, "rosterd: %s\n", fault.text);
        return 1;
    case OPTIONS_RUN:
        break;
    }
    return master_run(&options);
}
