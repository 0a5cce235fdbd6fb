/* SPDX-License-Identifier: MIT */
#include "inspect/core/inspect.h"
#include "user/user.h"

enum inspect_exit inspect_attach(struct shm_store **store, const struct inspect_options *options)
{
    struct shm_fault fault = {{0}};
    enum inspect_exit code = inspect_become_user(options);

    if (code != INSPECT_DONE)
        return code;
    int error = shm_store_attach(store, options->segment, SHM_ATTACH_READ, user_key_of, &fault);
    if (error == SHM_OK)
        return INSPECT_DONE;
    if (error == SHM_EBASE)
        inspect_start_over(options);
    return inspect_fail_store(error, &fault);
}

enum inspect_exit inspect_view_open(struct inspect_view *view,
                                    const struct inspect_options *options)
{
    struct shm_fault fault = {{0}};
    enum inspect_exit code = inspect_attach(&view->store, options);

    if (code != INSPECT_DONE)
        return code;
    int error = shm_reader_open(&view->reader, view->store, &fault);
    if (error != SHM_OK) {
        shm_store_close(view->store);
        return inspect_fail_store(error, &fault);
    }
    const char *why = shm_reader_unprotected(view->reader);
    if (why != NULL)
        inspect_fail(INSPECT_DONE, "unprotected: %s; users are read one by one, not as a snapshot",
                     why);
    return INSPECT_DONE;
}

void inspect_view_close(struct inspect_view *view)
{
    shm_reader_close(view->reader);
    shm_store_close(view->store);
}
