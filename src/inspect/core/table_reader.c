/* SPDX-License-Identifier: MIT */
#include "inspect/core/table_reader.h"

#include "inspect/core/guard.h"
#include "inspect/core/identity.h"
#include "inspect/core/restart.h"
#include "user/user.h"

enum inspect_exit table_attach(struct shm_store **store, const struct inspect_options *options)
{
    enum inspect_exit code = identity_become_user(options->segment);
    if (code != INSPECT_DONE)
        return code;
    guard_against_cores();
    struct shm_fault fault = {{0}};
    int error = shm_store_attach(store, options->segment, SHM_ATTACH_READ, user_key_of, &fault);
    if (error == SHM_OK)
        return INSPECT_DONE;
    if (error == SHM_EBASE)
        restart_for_addresses(options);
    return report_store_fault(error, &fault);
}

enum inspect_exit table_reader_open(struct table_reader *table,
                                    const struct inspect_options *options)
{
    enum inspect_exit code = table_attach(&table->store, options);
    if (code != INSPECT_DONE)
        return code;
    struct shm_fault fault = {{0}};
    int error = shm_reader_open(&table->reader, table->store, &fault);
    if (error != SHM_OK) {
        shm_store_close(table->store);
        return report_store_fault(error, &fault);
    }
    const char *reason = shm_reader_unprotected(table->reader);
    if (reason != NULL)
        report_fail(INSPECT_DONE, "unprotected: %s; users are read one by one, not as a snapshot",
                    reason);
    return INSPECT_DONE;
}

void table_reader_close(struct table_reader *table)
{
    shm_reader_close(table->reader);
    shm_store_close(table->store);
}
