/* SPDX-License-Identifier: MIT */
/* A journal, for the files that make it up. */
#ifndef ROSTERD_JOURNAL_JOURNAL_STATE_H
#define ROSTERD_JOURNAL_JOURNAL_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "journal/data_file.h"
#include "journal/gather.h"
#include "journal/journal_config.h"
#include "journal/journal_history.h"
#include "shm/disk.h"

struct journal {
    struct journal_config config;
    struct data_file *file;       /* NULL: to be opened, or rewritten */
    bool rewrite_due;             /* the file has failed, or there is none */
    bool compare_due;             /* the feed does not have all that the file lacks */
    struct shm_follower follower; /* after `written` */
    struct journal_requests requests;
    uint64_t written;           /* the last commit in the file */
    uint64_t synced_feed;       /* follower.next at the last sync */
    uint64_t sync_at;           /* ms: when the interval ends */
    struct shm_durable durable; /* to be published, or published */
    bool unpublished;
    enum shm_disk_state state;
    uint64_t troubled_at; /* ms: when the state became worse */
    uint64_t retry_at;    /* ms: nothing is tried before */
    uint64_t say_at;      /* ms: a passing trouble is not noted again before */
    struct gather gather;
    uint64_t poll_ns;      /* how long the next sleep is put off */
    unsigned poll_holdoff; /* polls that will not be, after one in vain */
};

#endif
