/* SPDX-License-Identifier: MIT */
/* Watches of a real store, and what they tell. */
#ifndef ROSTERD_TESTS_SERVICE_DIRECTORY_CHANGES_KIT_H
#define ROSTERD_TESTS_SERVICE_DIRECTORY_CHANGES_KIT_H

#include "service/directory/directory_changes.h"
#include "tests/shm/support.h"

enum { C = DIRECTORY_WATCH_TYPE(CREATED), U = DIRECTORY_WATCH_TYPE(UPDATED) };
enum { D = DIRECTORY_WATCH_TYPE(DELETED), MANY = 4000 };

extern struct fixture *f;
extern struct directory_changes changes;

/** Setup and teardown of a test: a store for MANY users. */
int open_changes(void **state);
int close_changes(void **state);

/* Commits a change of user n. */
void create(uint64_t n);
void update(uint64_t n);
void delete (uint64_t n);

void begin(struct directory_place *place, uint64_t version);
void begin_now(struct directory_place *place);
void resume(struct directory_place *place, const struct directory_resume *resume);

/** A message, read. */
struct told {
    uint64_t n;       /* the user, as user_id() numbers it */
    uint64_t version; /* by the etag; 0: it has none */
    struct directory_resume resume;
    unsigned type;
    bool made;
};

/** Reads entries until one is told. @return false: there is none */
bool next(struct directory_place *place, struct told *told);
struct told expect_told(struct directory_place *place, unsigned type, uint64_t n, uint64_t version);
void expect_quiet(struct directory_place *place);
void expect_same(const struct directory_resume *a, const struct directory_resume *b);

#endif
