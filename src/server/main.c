/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/process.h"
#include "server/config/option_print.h"
#include "server/config/options_parse.h"
#include "server/master/config_check.h"
#include "server/master/control.h"
#include "server/master/master.h"
#include "server/os/log.h"
#include "server/version_libraries.h"
#include "service/observe/metrics.h"

static int main_fail(const char *text)
{
    fprintf(stderr, "rosterd: %s\n", text);
    return EXIT_FAILURE;
}

static int main_check(struct options *options, struct fault *fault)
{
    log_set_level(LOG_LEVEL_WARNING);
    return config_check(options, fault) ? EXIT_SUCCESS : main_fail(fault->text);
}

static int main_check_and_say(struct options *options, struct fault *fault)
{
    char file[PATH_MAX] = "rosterd"; /* the check frees the options */
    if (options->config != NULL)
        snprintf(file, sizeof(file), "%s", options->config);
    if (main_check(options, fault) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    printf("%s: the configuration is good\n", file);
    return fflush(stdout) != 0 ? main_fail("cannot write to standard output") : EXIT_SUCCESS;
}

static int main_reload(struct options *options, struct fault *fault)
{
    char text[CONTROL_TEXT];
    pid_t pid = (pid_t)options->reload;
    if (main_check(options, fault) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    if (!control_reload(pid, text, fault))
        return main_fail(fault->text);
    puts(text);
    return EXIT_SUCCESS;
}

/* Blocks the signals that the master handles and that would end the process if they came before it
 * is ready for them; they stay pending. (TERM, INT and QUIT shall end the process.)
 * @param how SIG_BLOCK, or SIG_UNBLOCK if the process does not become a server */
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

static int run_rosterd(struct options *options, struct fault *fault)
{
    if (is_server(options)) {
        metrics_begin(version_labels_server());
        return master_run(options);
    }
    hold_signals(SIG_UNBLOCK);
    if (options->help)
        option_print_help(stdout);
    else if (options->version)
        version_print_server();
    else if (options->dump_config)
        option_print_config(options, stdout);
    else if (options->reload != 0)
        return main_reload(options, fault);
    else
        return main_check_and_say(options, fault);
    options_free(options);
    return ferror(stdout) || fflush(stdout) != 0 ? main_fail("cannot write to standard output")
                                                 : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    process_prepare();
    hold_signals(SIG_BLOCK);
    static struct options options;
    static struct fault fault;
    if (options_parse(&options, argc, argv, &fault))
        return run_rosterd(&options, &fault);
    options_free(&options);
    return main_fail(fault.text);
}
