/* SPDX-License-Identifier: MIT */
#include "journal/data_swap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/data_connection.h"
#include "journal/data_os.h"
#include "journal/data_path.h"
#include "journal/data_vfs.h"

/* Removes PATH + suffix for each. */
static enum data_result swap_remove_beside(const char *path, const char *const *suffixes,
                                           struct fault *fault)
{
    for (; *suffixes != NULL; suffixes++) {
        char name[DATA_PATH_SIZE];
        data_path_beside(path, *suffixes, name);
        if (!data_os_remove(name)) {
            enum data_result result = data_os_fault(path, "remove a file beside it", fault);
            fault_prefix(fault, "%s", name);
            return result;
        }
    }
    return DATA_OK;
}

enum data_result data_swap_clear(const char *path, struct fault *fault)
{
    static const char *const suffixes[] = {".tmp-journal", ".tmp-wal", ".tmp-shm", ".tmp", NULL};
    return swap_remove_beside(path, suffixes, fault);
}

static enum data_result sync_names(const char *path, struct fault *fault)
{
    if (data_os.sync_folder(path) != 0)
        return data_os_fault(path, "sync its directory", fault);
    return DATA_OK;
}

/* From the sync of step 2 on. That sync comes first after an interruption, too: without it a power
 * cut could undo the renaming of step 2 and keep the removal of the old file's log. */
static enum data_result replace_by_new(const char *path, const char *new_name, struct fault *fault)
{
    static const char *const suffixes[] = {"-journal", "-wal", "-shm", NULL};
    enum data_result result = sync_names(path, fault);
    if (result == DATA_OK)
        result = swap_remove_beside(path, suffixes, fault);
    if (result == DATA_OK)
        result = sync_names(path, fault);
    if (result == DATA_OK && data_os.rename(new_name, path) != 0)
        result = data_os_fault(path, "give the new file this name", fault);
    if (result == DATA_OK)
        result = sync_names(path, fault);
    return result;
}

enum data_result data_swap_replace(const char *path, struct fault *fault)
{
    char tmp_name[DATA_PATH_SIZE], new_name[DATA_PATH_SIZE];
    data_path_beside(path, ".tmp", tmp_name);
    data_path_beside(path, ".new", new_name);
    if (data_os.rename(tmp_name, new_name) != 0)
        return data_os_fault(path, "rename the new file", fault);
    return replace_by_new(path, new_name, fault);
}

/* The four bytes, most significant first. */
static uint32_t big_endian_word(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Whether it is a whole database of rosterd's, by its header. Nobody has it open. */
static bool is_new_file(const char *new_name)
{
    uint8_t header[100];
    struct stat st;
    int fd = open(new_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool whole =
        fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        pread(fd, header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
        memcmp(header, "SQLite format 3", 16) == 0 &&
        big_endian_word(header + 68) == DATA_APPLICATION_ID &&
        (uint64_t)big_endian_word(header + 28) * (uint64_t)(header[16] << 8 | header[17]) ==
            (uint64_t)st.st_size;
    close(fd);
    return whole;
}

/* A file that somebody else has put there must not cost the log that belongs to the old one. */
static enum data_result finish_by_new(const char *path, const char *new_name, struct fault *fault)
{
    if (is_new_file(new_name))
        return replace_by_new(path, new_name, fault);
    fault_set(fault, "data-file %s: %s beside it is no whole data file: move it away", path,
              new_name);
    return DATA_INVALID;
}

enum data_result data_swap_finish(const char *path, struct fault *fault)
{
    char new_name[DATA_PATH_SIZE];
    enum data_result result = data_swap_clear(path, fault);
    if (result != DATA_OK)
        return result;
    data_path_beside(path, ".new", new_name);
    if (access(new_name, F_OK) == 0)
        return finish_by_new(path, new_name, fault);
    return errno == ENOENT ? DATA_OK : data_os_fault(path, "look for a new file", fault);
}

/* A log that the transaction has opened stays open. So without a PATH.new now, and with the name
 * still that of this file, the log was not removed before. */
enum data_result data_swap_look(sqlite3 *db, const char *path, struct fault *fault)
{
    char new_name[DATA_PATH_SIZE];
    data_path_beside(path, ".new", new_name);
    if (access(new_name, F_OK) != 0 && errno == ENOENT && data_vfs_database_in_place(db))
        return DATA_OK;
    fault_set(fault,
              "data-file %s: is being replaced by %s: try again, or start rosterd to finish it",
              path, new_name);
    return DATA_BUSY;
}
