/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdlib.h>

#include "base/process.h"
#include "server/master/config_check.h"
#include "server/master/control.h"
#include "server/master/master.h"

static int failed(const char *text)
{
    fprintf(stderr, "rosterd: %s\n", text);
    return EXIT_FAILURE;
}

static int check(struct options *options, struct fault *fault)
{
    log_set_level(LOG_LEVEL_WARNING);
    return config_check(options, fault) ? EXIT_SUCCESS : failed(fault->text);
}

static int reload(struct options *options, struct fault *fault)
{
    char text[CONTROL_TEXT];
    pid_t pid = (pid_t)options->reload;
    if (check(options, fault) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    if (!control_reload(pid, text, fault))
        return failed(fault->text);
    puts(text);
    return EXIT_SUCCESS;
}

/* Of those that the server handles, the ones that would end it where they come before it can:
 * they wait for it. @param how SIG_BLOCK, or SIG_UNBLOCK where no server is started */
static void hold_signals(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(how, &set, NULL);
}

static bool is_server(const struct options *options)
{
    return !options->help && !options->version && !options->dump_config && options->reload == 0 &&
           !options->check_config;
}

static int run(struct options *options, struct fault *fault)
{
    if (is_server(options))
        return master_run(options);
    hold_signals(SIG_UNBLOCK);
    if (options->help)
        options_print_help(stdout);
    else if (options->version)
        puts(PACKAGE_STRING);
    else if (options->dump_config)
        options_dump(options, stdout);
    else if (options->reload != 0)
        return reload(options, fault);
    else
        return check(options, fault);
    options_free(options);
    return ferror(stdout) || fflush(stdout) != 0 ? failed("standard output: it cannot be written")
                                                 : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    process_prepare();
    hold_signals(SIG_BLOCK);
    static struct options options;
    static struct fault fault;
    if (options_parse(&options, argc, argv, &fault))
        return run(&options, &fault);
    options_free(&options);
    return failed(fault.text);
}
