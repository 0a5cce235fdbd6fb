/* SPDX-License-Identifier: MIT */
#include "inspect/inspect.h"

enum inspect_exit inspect_attach(struct shm_store **store, const struct inspect_options *options)
{
    struct shm_fault fault = {{0}};
    int error = shm_store_attach(store, options->segment, SHM_ATTACH_READ, NULL, &fault);

    if (error == SHM_OK)
        return INSPECT_DONE;
    if (error == SHM_EBASE)
        shm_exec_again(options->argv);
    return inspect_fail_store(error, &fault);
}
