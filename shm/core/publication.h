/* SPDX-License-Identifier: MIT */
/*
 * Which commit readers see, and how far writers may be ahead of the data file.
 *
 * Writers go by `version`, the newest commit. Readers go by `published`. Without a data file, or if
 * a loss of the last commits is accepted, each commit stores both. Otherwise (control.durable)
 * `published` follows when the journal has the commits on disk: no reader sees what a power cut
 * could undo. The store between the two is a transaction (durable/publish.c), which starts a grace
 * period: reclaim waits for it before it frees what only older commits show.
 */
#ifndef ROSTERD_SHM_CORE_PUBLICATION_H
#define ROSTERD_SHM_CORE_PUBLICATION_H

#include <stdbool.h>

#include "shm/core/bell.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/disk.h"
#include "shm/error.h"

/* Changes that the journal may be behind: half the ring, so that it never has to compare tables. */
enum { SHM_BACKLOG_MAX = SHM_FEED_SIZE / 2 };

/** The commit that readers see. A reader that loads it finds every link and body of that commit:
 * the load pairs with the release store of a commit or of a publication. */
static inline uint64_t shm_published_version(void)
{
    return __atomic_load_n(&shm_control()->published, __ATOMIC_ACQUIRE);
}

/**
 * The oldest commit that anybody may still ask for: reclaim keeps what this commit and later ones
 * show. Readers ask for `published`. The journal asks for commits that its file does not have yet,
 * also where readers see each commit at once. SHM_NEVER: there is no journal, and only what a
 * reader has found or pinned is kept. Whoever loads this loads published_gp afterwards: publish.c.
 */
static inline uint64_t shm_kept_from(void)
{
    const struct shm_control *control = shm_control();
    if (__atomic_load_n(&control->durable, __ATOMIC_RELAXED) != 0)
        return shm_published_version();
#ifndef SHM_MUTANT_FORGET_DISK
    if (__atomic_load_n(&control->disk.state, __ATOMIC_RELAXED) == SHM_DISK_NONE)
#endif
        return SHM_NEVER;
    return __atomic_load_n(&control->disk.version, __ATOMIC_ACQUIRE);
}

/** Whether `count` more changes may be committed. Under the writer lock.
 * @return SHM_OK, SHM_EBUSY (the journal is too far behind), SHM_EREADONLY */
static inline int shm_backlog_check(size_t count)
{
    const struct shm_control *control = shm_control();
    uint64_t state = __atomic_load_n(&control->disk.state, __ATOMIC_RELAXED);
    if (state == SHM_DISK_NONE)
        return SHM_OK;
    if (state == SHM_DISK_FAILED)
        return SHM_EREADONLY;
    return control->feed_head + count - control->disk.feed <= SHM_BACKLOG_MAX ? SHM_OK : SHM_EBUSY;
}

/** Wakes the journal after a commit, if it sleeps. */
static inline void shm_backlog_announce(void)
{
#ifndef SHM_MUTANT_SILENT_BELL
    if (__atomic_load_n(&shm_control()->disk.state, __ATOMIC_RELAXED) != SHM_DISK_NONE)
        shm_bell_ring(&shm_control()->disk);
#endif
}

#endif
