/* SPDX-License-Identifier: MIT */
#include "server/master/data_owner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "journal/data_file.h"
#include "journal/data_lock.h"
#include "journal/data_os.h"
#include "journal/journal_copy.h"
#include "server/config/options_parse.h"
#include "server/os/log.h"
#include "shm/disk.h"

enum {
    WRITER_WAIT_MS = 10000,    /* for a tool, or a journal whose master was killed */
    PROGRESS_MS = 1000,        /* between two lines about a long start */
    ADOPTED_INTERVAL_MS = 100, /* where the options of an upgrade do not say it */
};

static void set_durability(struct data_owner *owner, uint64_t option)
{
    owner->durability = option == OPTIONS_SYNC      ? JOURNAL_SYNC
                        : option == OPTIONS_NO_SYNC ? JOURNAL_NONE
                                                    : JOURNAL_INTERVAL;
    owner->interval_ms = option;
}

/* ---- the directory ---- */

/* Makes the directories of a path that are missing, for this user alone. @return false with errno
 */
static bool make_directories(struct data_owner *owner, const char *path)
{
    char part[SHM_DATA_FILE_MAX];
    for (const char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        if ((size_t)(at - path) >= sizeof(part))
            return true; /* the path is refused elsewhere */
        snprintf(part, sizeof(part), "%.*s", (int)(at - path), path);
        if (mkdir(part, 0700) == 0) {
            owner->directories_made++;
            (void)data_os.sync_folder(part); /* fails where the parent cannot be read */
        } else if (errno != EEXIST && access(part, F_OK) != 0) {
            return false;
        }
    }
    return true;
}

/* Removes the directories that this start has made, if they are empty. */
static void remove_directories(struct data_owner *owner)
{
    char part[DATA_PATH_SIZE];
    snprintf(part, sizeof(part), "%s", owner->path);
    for (unsigned i = 0; i < owner->directories_made; i++) {
        char *slash = strrchr(part, '/');
        if (slash == NULL || slash == part)
            return;
        *slash = '\0';
        if (rmdir(part) != 0)
            return;
    }
}

static void remove_companion(const struct data_owner *owner, const char *suffix)
{
    char name[DATA_PATH_SIZE];
    data_path_beside(owner->path, suffix, name);
    (void)unlink(name);
}

/* ---- the lock ---- */

static bool lock_file(struct data_owner *owner, struct fault *fault)
{
    return data_lock_server(owner->path, &owner->server_fd, fault) == DATA_OK &&
           data_lock_writer(owner->path, WRITER_WAIT_MS, &owner->writer_fd, fault) == DATA_OK;
}

static void unlock_writer(struct data_owner *owner)
{
    if (owner->writer_fd >= 0)
        close(owner->writer_fd);
    owner->writer_fd = -1;
}

/* SQLite's log belongs to a name of the file. Under another name the commits in it are missing,
 * and are put into the file later, over what it has got meanwhile. (While a new file waits to take
 * its place, the other name is what keeps the old one.)
 * @return false: the file has other names, and a log may be beside one of them */
static bool has_own_log(const struct data_owner *owner, struct fault *fault)
{
    char log[DATA_PATH_SIZE], new_file[DATA_PATH_SIZE];
    struct stat st;
    int fd;
    data_path_beside(owner->path, "-wal", log);
    data_path_beside(owner->path, ".new", new_file);
    if (stat(owner->path, &st) != 0 || st.st_nlink < 2 || access(log, F_OK) == 0 ||
        access(new_file, F_OK) == 0)
        return true;
    if (data_lock_inode(owner->path, &fd, fault) != DATA_OK) /* it is in use by another name */
        return false;
    close(fd);
    return fault_set(fault,
                     "data-file %.300s: it has %lu names (hard links), and users may be in the log "
                     "of another one: start with the one that has a log, NAME-wal, or remove the "
                     "other names",
                     owner->path, (unsigned long)st.st_nlink);
}

static void warn_of_readers(const struct data_owner *owner)
{
    struct stat st;
    if (stat(owner->path, &st) == 0 && (st.st_mode & 077) != 0)
        log_warning("data-file %.300s: others may use it (mode %03o), and it may have hashes of "
                    "passwords: chmod 600",
                    owner->path, (unsigned)st.st_mode & 0777);
}

/* Opening the file finishes what an interrupted replacement has left, and recovers its log. */
static bool read_meta(struct data_owner *owner, struct fault *fault)
{
    struct data_file *file;
    enum data_result result =
        data_file_open(&file, owner->path, DATA_SYNC_FULL, &owner->load.meta, fault);
    if (result == DATA_OK)
        data_file_close(file, false);
    owner->load.exists = result == DATA_OK;
    return result == DATA_OK || result == DATA_NONE;
}

bool data_owner_open(struct data_owner *owner, const struct options *options,
                     const struct predecessor *predecessor, struct fault *fault)
{
    const char *path = options_data_file(options);
    *owner = (struct data_owner){
        .server_fd = predecessor->data_fd,
        .writer_fd = -1,
        .inherited = predecessor->segment_fd >= 0,
    };
    if (owner->inherited || path == NULL)
        return true;
    set_durability(owner, options->durability);
    if (!make_directories(owner, path))
        return fault_set_errno(fault, "data-file %.300s: cannot make its directory", path);
    if (data_path_resolve(path, owner->path, fault) != DATA_OK) {
        snprintf(owner->path, sizeof(owner->path), "%s", path); /* for remove_directories() */
        return false;
    }
    owner->load.path = owner->path;
    owner->load.segment = options->segment;
    owner->load.max_users = options->max_users;
    if (!lock_file(owner, fault) || !has_own_log(owner, fault) || !read_meta(owner, fault))
        return false;
    warn_of_readers(owner);
    return true;
}

/* ---- with the segment ---- */

void data_owner_configure(struct data_owner *owner, struct shm_config *config)
{
    if (owner->path[0] == '\0')
        return;
    owner->load.progress = config->progress;
    owner->load.progress_data = config->progress_data;
    owner->load.key_of = config->key_of;
    owner->load.key_name = config->key_name;
    config->data_file = owner->path;
    config->durable = owner->durability == JOURNAL_SYNC;
    config->store_id = owner->load.exists ? owner->load.meta.store : NULL;
    config->fill = journal_load_fill;
    config->fits = journal_load_fits;
    config->disk_data = &owner->load;
}

bool data_owner_adopt(struct data_owner *owner, const struct options *options,
                      struct shm_store *store)
{
    struct shm_disk_info info;
    const char *path = options_data_file(options);
    char resolved[DATA_PATH_SIZE] = "";
    shm_disk_info(store, &info);
    snprintf(owner->path, sizeof(owner->path), "%.*s", (int)sizeof(owner->path) - 1, info.path);
    set_durability(owner, info.durable                          ? OPTIONS_SYNC
                          : options->durability == OPTIONS_SYNC ? ADOPTED_INTERVAL_MS
                                                                : options->durability);
    if (path != NULL && data_path_resolve(path, resolved, NULL) != DATA_OK)
        return true;
    return strcmp(resolved, owner->path) != 0 ||
           (path != NULL && info.durable != (options->durability == OPTIONS_SYNC));
}

/* For a long start. */
struct settle_log {
    const struct data_owner *owner;
    uint64_t logged_at; /* ms */
};

static void log_settling(void *data)
{
    struct settle_log *settling = data;
    uint64_t now = clock_monotonic_ms();
    if (now < settling->logged_at + PROGRESS_MS)
        return;
    settling->logged_at = now;
    log_notice("data-file %s: the users of the segment are being written", settling->owner->path);
}

static void log_settle_note(void *data, enum journal_note kind, const char *text)
{
    static const enum log_level levels[] = {[JOURNAL_SAYS] = LOG_LEVEL_NOTICE,
                                            [JOURNAL_WARNS] = LOG_LEVEL_WARNING,
                                            [JOURNAL_ERRORS] = LOG_LEVEL_ERROR};
    (void)data;
    log_line(levels[kind], "%s", text);
}

/* A full disk is no reason to refuse the start: reads are served, and the journal waits. */
static bool settle_existing(const struct journal_config *config, struct fault *fault)
{
    struct journal *journal;
    if (!journal_open(&journal, config, fault))
        return false;
    struct shm_disk_info info;
    bool settled = journal_settle(journal, fault);
    journal_close(journal, false);
    shm_disk_info(config->store, &info);
    return settled || info.state == SHM_DISK_FULL;
}

bool data_owner_settle(struct data_owner *owner, struct shm_store *store, struct shm_actor *actor,
                       struct fault *fault)
{
    if (owner->path[0] == '\0')
        return true;
    struct settle_log settling = {.owner = owner, .logged_at = clock_monotonic_ms()};
    const struct journal_config config = {
        .store = store,
        .actor = actor,
        .path = owner->path,
        .durability = owner->durability,
        .interval_ms = owner->interval_ms,
        .alive = log_settling,
        .note = log_settle_note,
        .data = &settling,
    };
    uint64_t version;
    if (owner->load.loaded != 0)
        log_notice("data-file %s: %llu users were loaded, as of commit %llu", owner->path,
                   (unsigned long long)owner->load.loaded,
                   (unsigned long long)owner->load.meta.version);
    if (!owner->load.exists) {
        owner->created = true;
        if (journal_rewrite(&config, &version, fault) != DATA_OK)
            return false;
    }
    bool settled = settle_existing(&config, fault);
    unlock_writer(owner);
    return settled;
}

void data_owner_sign(const struct data_owner *owner)
{
    if (owner->server_fd >= 0)
        data_lock_sign(owner->server_fd);
}

bool data_owner_undo(struct data_owner *owner)
{
    struct fault fault;
    bool undone = journal_load_undo(&owner->load, &fault);
    if (!undone)
        log_error("%s; so the next start loads the file", fault.text);
    return undone;
}

void data_owner_close(struct data_owner *owner, bool forget)
{
    static const char *const files[] = {"-wal", "-shm", ".tmp", ".new", ""};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && forget && owner->created; i++)
        remove_companion(owner, files[i]);
    unlock_writer(owner);
    /* A lock that was inherited is still the predecessor's, with whatever byte it is on. */
    if (forget && !owner->inherited && owner->server_fd >= 0 && access(owner->path, F_OK) != 0)
        data_lock_remove(owner->path, owner->server_fd);
    if (forget)
        remove_directories(owner);
    if (owner->server_fd >= 0)
        close(owner->server_fd);
    owner->server_fd = -1;
}
