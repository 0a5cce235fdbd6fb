/* SPDX-License-Identifier: MIT */
#include "inspect/core/restart.h"

#include <stdbool.h>
#include <unistd.h>

#include "shm/store.h"

static bool started_as_root;

void restart_early_as_root(const struct inspect_options *options)
{
    started_as_root = geteuid() == 0;
    if (started_as_root && !shm_base_free())
        shm_exec_again(options->argv);
}

void restart_for_addresses(const struct inspect_options *options)
{
    if (!started_as_root)
        shm_exec_again(options->argv);
}
