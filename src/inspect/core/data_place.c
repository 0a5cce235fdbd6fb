/* SPDX-License-Identifier: MIT */
#include "inspect/core/data_place.h"

#include <stdio.h>
#include <string.h>

#include "inspect/core/guard.h"
#include "inspect/core/identity.h"
#include "inspect/core/restart.h"
#include "shm/disk.h"
#include "user/user.h"

static enum inspect_exit resolve(const char *path, char resolved[DATA_PATH_SIZE])
{
    struct fault fault;
    if (data_path_resolve(path, resolved, &fault) == DATA_OK)
        return INSPECT_DONE;
    return report_fault(INSPECT_FAILED, &fault);
}

static void read_segment(struct data_place *place, struct shm_store *store)
{
    struct shm_info info;
    struct shm_disk_info disk;
    shm_store_info(store, &info);
    shm_disk_info(store, &disk);
    place->has_segment = true;
    place->served = info.owned;
    snprintf(place->segment_data_file, sizeof(place->segment_data_file), "%.*s",
             (int)sizeof(disk.path) - 1, disk.path);
    shm_store_id(store, place->store_id);
    place->version = shm_newest(store);
    place->seq = shm_last_seq(store);
}

/* @return SHM_OK, or the store's error */
static int attach_quietly(struct shm_store **store, const struct inspect_options *options,
                          struct shm_fault *fault)
{
    int error = shm_store_attach(store, options->segment, SHM_ATTACH_READ, user_key_of, fault);
    if (error == SHM_EBASE)
        restart_for_addresses(options);
    return error;
}

/* What the segment says is a help, and may be missing. */
static void look_for_segment(struct data_place *place, const struct inspect_options *options)
{
    struct shm_store *store;
    struct shm_fault ignored = {{0}};
    if (attach_quietly(&store, options, &ignored) != SHM_OK)
        return;
    read_segment(place, store);
    shm_store_close(store);
}

static enum inspect_exit place_from_option(struct data_place *place,
                                           const struct inspect_options *options)
{
    enum inspect_exit code = identity_become_owner(options->data_file);
    if (code == INSPECT_DONE)
        code = resolve(options->data_file, place->path);
    if (code == INSPECT_DONE)
        look_for_segment(place, options);
    return code;
}

static enum inspect_exit place_from_record(struct data_place *place,
                                           const struct inspect_options *options)
{
    struct shm_store *store;
    struct shm_fault fault = {{0}};
    enum inspect_exit code = identity_become_user(options->segment);
    if (code != INSPECT_DONE)
        return code;
    int error = attach_quietly(&store, options, &fault);
    if (error == SHM_ENOSEG)
        return report_fail(INSPECT_NO_SEGMENT, "%s; --data-file PATH says where the data file is",
                           fault.text);
    if (error == SHM_ECORRUPT || error == SHM_ELAYOUT)
        return report_fail(INSPECT_BAD_SEGMENT, "%s; with --data-file PATH it is not needed",
                           fault.text);
    if (error != SHM_OK)
        return report_store_fault(error, &fault);
    read_segment(place, store);
    shm_store_close(store);
    if (place->segment_data_file[0] == '\0')
        return report_fail(INSPECT_FAILED,
                           "segment %s: its table is in memory only: it has no data file",
                           options->segment);
    return resolve(place->segment_data_file, place->path);
}

enum inspect_exit data_place_find(struct data_place *place, const struct inspect_options *options)
{
    memset(place, 0, sizeof(*place));
    return options->data_file != NULL ? place_from_option(place, options)
                                      : place_from_record(place, options);
}

enum inspect_exit data_place_fail(const char *name, const struct fault *fault)
{
    static const char word[] = "data-file ";
    const char *text = fault->text;
    if (strncmp(text, word, sizeof(word) - 1) == 0 &&
        strncmp(text + sizeof(word) - 1, name, strlen(name)) == 0)
        text += sizeof(word) - 1;
    return report_fail(INSPECT_FAILED, "%s", text);
}

bool data_place_show(void *data, uint64_t done, uint64_t total)
{
    struct progress *progress = data;
    progress->total = total;
    progress_show(progress, done, done);
    return !guard_stopped();
}
