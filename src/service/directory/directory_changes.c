/* SPDX-License-Identifier: MIT */
#include "service/directory/directory_changes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "shm/disk.h"

/* ---- shared messages ---- */

struct directory_shared {
    uint64_t index; /* of the entry, and 1 more; 0: unused */
    unsigned fields;
    struct shm_change change;
    uint16_t done;  /* entries of the commit up to this one; 0: it is the last */
    uint64_t found; /* the version of the user's newest body; 0: the user is gone */
    uint64_t seen;  /* that is so as of this commit */
    /* the message, if it may have to be told: */
    uint8_t type;
    bool complete;      /* it has a token, with ... */
    uint64_t known_seq; /* ... this number */
    size_t len, cap;
    uint8_t *bytes;
};

static struct directory_shared *shared_of(struct directory_changes *changes,
                                          const struct directory_place *place)
{
    enum { SPREAD = 769 }; /* other fields at the same place take other slots */
    if (changes->shared == NULL)
        changes->shared = calloc(DIRECTORY_CHANGES_SHARED + 1, sizeof(*changes->shared));
    if (changes->shared == NULL)
        return NULL;
    uint64_t slot =
        (place->follower.next + (uint64_t)place->fields * SPREAD) % DIRECTORY_CHANGES_SHARED;
    struct directory_shared *shared = &changes->shared[slot];
    bool taken = shared->index > place->follower.next + 1;
    return taken ? &changes->shared[DIRECTORY_CHANGES_SHARED] : shared;
}

static bool is_rebuilt(const struct directory_changes *changes, const struct shm_change *change)
{
    return change->version <= changes->rebuilt;
}

/* Entries that are told with the newest body, whichever commit wrote it. */
static bool takes_newest(const struct directory_changes *changes, const struct shm_change *change)
{
    return change->kind == SHM_CREATED ||
           (change->kind == SHM_UPDATED && is_rebuilt(changes, change));
}

/* Looks the user up, and writes the message without its token. @return its length; 0: the entry is
 * never told */
static size_t write_shared(struct directory_changes *changes, struct directory_shared *shared,
                           unsigned fields)
{
    static const uint8_t types[] = {[SHM_CREATED] = DIRECTORY_WATCH_TYPE(CREATED),
                                    [SHM_UPDATED] = DIRECTORY_WATCH_TYPE(UPDATED),
                                    [SHM_DELETED] = DIRECTORY_WATCH_TYPE(DELETED)};
    const struct shm_change *change = &shared->change;
    struct shm_user user;
    shared->found = 0;
    if (change->kind < SHM_CREATED || change->kind > SHM_DELETED) /* a damaged feed */
        return 0;
    shared->type = types[change->kind];
    uint8_t *out = directory_watch_put_type(changes->scratch, shared->type);
    if (change->kind == SHM_DELETED)
        return (size_t)(directory_watch_put_name(out, change->id) - changes->scratch);
    shared->seen = shm_published(changes->store);
    if (shm_user_find(changes->actor, change->id, &user) != SHM_OK || user.seq != change->seq) {
        shared->seen = shm_published(changes->store); /* the user may have gone just now */
        return 0;
    }
    shared->found = user.version;
    shared->seen = MAX(shared->seen, user.version);
    if (shared->found != change->version && !takes_newest(changes, change))
        return 0;
    return (size_t)(directory_watch_put_user(out, &user, fields) - changes->scratch);
}

/* Appends room for a short token, and keeps the message. @return false: no memory */
static bool keep_shared(struct directory_changes *changes, struct directory_shared *shared,
                        size_t len)
{
    enum { TOKEN_PART = 2 + DIRECTORY_RESUME_SIZE };
    static const struct directory_resume none;
    shared->len = 0;
    shared->complete = false;
    if (len == 0)
        return true;
    directory_watch_put_token(changes->scratch + len, &none);
    len += TOKEN_PART;
    if (shared->cap < len) {
        uint8_t *bytes = realloc(shared->bytes, len);
        if (bytes == NULL)
            return false;
        shared->bytes = bytes;
        shared->cap = len;
    }
    memcpy(shared->bytes, changes->scratch, len);
    shared->len = len;
    return true;
}

/* Reads the next entry of the feed, and looks whether it is the last one of its commit: the feed
 * shows a commit as a whole. */
static enum directory_step read_entry(struct directory_changes *changes,
                                      const struct directory_place *place,
                                      struct directory_shared *shared)
{
    struct shm_follower follower = place->follower;
    struct shm_change *change = &shared->change, ahead;
    int rc = shm_feed_next(changes->actor, &follower, change);
    if (rc != SHM_OK)
        return rc == SHM_ENOENT ? DIRECTORY_NONE : DIRECTORY_LOST;
    rc = shm_feed_next(changes->actor, &follower, &ahead);
    if (rc == SHM_ERESYNC)
        return DIRECTORY_LOST;
    bool last = rc != SHM_OK || ahead.version != change->version;
    uint16_t before = change->version == place->version ? place->done : 0;
    shared->done = last ? 0 : (uint16_t)(before + 1);
    return DIRECTORY_TOLD;
}

static enum directory_step make_shared(struct directory_changes *changes,
                                       const struct directory_place *place,
                                       struct directory_shared *shared)
{
    shared->index = 0;
    enum directory_step step = read_entry(changes, place, shared);
    if (step != DIRECTORY_TOLD)
        return step;
    size_t len = write_shared(changes, shared, place->fields);
    if (!keep_shared(changes, shared, len))
        return DIRECTORY_NO_MEMORY;
    shared->index = place->follower.next + 1;
    shared->fields = place->fields;
    return DIRECTORY_TOLD;
}

void directory_changes_clear(struct directory_changes *changes)
{
    for (size_t i = 0; changes->shared != NULL && i <= DIRECTORY_CHANGES_SHARED; i++)
        free(changes->shared[i].bytes);
    free(changes->shared);
    changes->shared = NULL;
}

/* ---- a place ---- */

void directory_changes_init(struct directory_changes *changes, const struct shm_store *store,
                            struct shm_actor *actor)
{
    uint8_t id[SHM_STORE_ID_SIZE];
    *changes = (struct directory_changes){.store = store, .actor = actor};
    shm_store_id(store, id);
    memcpy(changes->table, id, sizeof(changes->table));
    changes->rebuilt = shm_feed_rebuilt_until(store);
}

/* The greatest sequence number of the users up to this commit. The first one created after it has
 * the next number. (A commit that is being written may count already: a reboot just then, and a
 * client that comes back, and UPDATED is told of its users. Nothing is lost.) */
static uint64_t known_seq_at(const struct directory_changes *changes, struct shm_follower follower)
{
    uint64_t last = shm_last_seq(changes->store);
    struct shm_change change;
    while (shm_feed_next_until(&follower, UINT64_MAX, &change) == SHM_OK)
        if (change.kind == SHM_CREATED)
            return change.seq - 1;
    return last;
}

int directory_changes_from(struct directory_changes *changes, struct directory_place *place,
                           uint64_t version)
{
    int rc = shm_feed_follow(changes->actor, &place->follower, version);
    if (rc != SHM_OK)
        return rc;
    place->version = version;
    place->done = 0;
    place->known_seq = known_seq_at(changes, place->follower);
    place->among = 0;
    place->rebuilt = false;
    return SHM_OK;
}

static void take_late(struct directory_place *place, const struct directory_resume *resume)
{
    directory_late_clear(&place->late);
    for (unsigned i = 0; i < resume->late_count; i++)
        directory_late_add(&place->late, &resume->late[i]);
}

/* Passes the changes of a commit that are told. */
static int pass_told(struct directory_changes *changes, struct directory_place *place,
                     const struct directory_resume *resume)
{
    for (unsigned i = 0; i < resume->done; i++) {
        struct shm_follower next = place->follower;
        struct shm_change change;
        int rc = shm_feed_next(changes->actor, &next, &change);
        if (rc == SHM_ERESYNC)
            return rc;
        if (rc != SHM_OK || change.version != resume->version)
            break;
        place->follower = next;
    }
    return SHM_OK;
}

int directory_changes_resume(struct directory_changes *changes, struct directory_place *place,
                             const struct directory_resume *resume)
{
    /* The rebuilt entries of a commit may be fewer: such a commit is passed again from its begin.
     */
    bool inside = resume->done != 0 && resume->version != 0;
    bool again = inside && resume->version <= changes->rebuilt;
    if (resume->version > shm_published(changes->store))
        return SHM_ERESYNC;
    int rc = shm_feed_follow(changes->actor, &place->follower, resume->version - inside);
    if (rc == SHM_OK && inside && !again)
        rc = pass_told(changes, place, resume);
    place->version = again ? resume->version - 1 : resume->version;
    place->done = again ? 0 : resume->done;
    place->known_seq = resume->known_seq;
    place->rebuilt = resume->version <= changes->rebuilt;
    place->among = place->rebuilt ? resume->among : 0;
    take_late(place, resume);
    if (again && resume->creates) {
        const struct directory_late_range told = {1, resume->known_seq, resume->version};
        directory_late_add(&place->late, &told);
    }
    return rc;
}

static bool is_inside_rebuilt(const struct directory_changes *changes,
                              const struct directory_place *place)
{
    return place->done != 0 && place->version <= changes->rebuilt;
}

struct directory_resume directory_changes_token(const struct directory_changes *changes,
                                                const struct directory_place *place)
{
    struct directory_resume resume; /* large: `late` stays as it is */
    memcpy(resume.table, changes->table, sizeof(resume.table));
    resume.version = place->version;
    resume.done = place->done;
    resume.known_seq = place->known_seq;
    resume.among = place->among;
    resume.creates = place->done != 0 && place->creates;
    resume.late_count = 0;
    if (is_inside_rebuilt(changes, place))
        resume.late[resume.late_count++] =
            (struct directory_late_range){1, place->seq, place->version};
    unsigned count = place->late != NULL ? place->late->count : 0;
    unsigned more = MIN(count, DIRECTORY_RESUME_LATE - resume.late_count);
    for (unsigned i = 0; i < more; i++) /* the newest */
        resume.late[resume.late_count++] = place->late->ranges[count - more + i];
    return resume;
}

void directory_changes_end(struct directory_place *place)
{
    directory_late_clear(&place->late);
}

bool directory_changes_lost(const struct directory_changes *changes,
                            const struct directory_place *place)
{
    struct shm_follower follower = place->follower;
    struct shm_change change;
    return shm_feed_next(changes->actor, &follower, &change) == SHM_ERESYNC;
}

/* ---- steps ---- */

/* Behind the rebuilt entries the client knows all users. */
static void know_rebuilt(const struct directory_changes *changes, struct directory_place *place)
{
    place->known_seq = known_seq_at(changes, place->follower);
    place->among = 0;
    place->rebuilt = false;
}

void directory_changes_quiet(const struct directory_changes *changes, struct directory_place *place,
                             uint64_t published)
{
    place->version = published;
    place->done = 0;
    directory_late_pass(&place->late, published);
    if (place->rebuilt && published >= changes->rebuilt)
        know_rebuilt(changes, place);
}

/* Whether the client may know this user. */
static bool may_be_known(const struct directory_changes *changes,
                         const struct directory_place *place, const struct shm_change *change)
{
    bool sure = place->among == 0 || place->among == changes->rebuilt;
    return !is_rebuilt(changes, change) || change->seq <= place->known_seq || !sure;
}

/* A user is told with the newest body, or is gone. The later entries that say so are not told. */
static void note_newest(const struct directory_changes *changes, struct directory_place *place,
                        const struct directory_shared *shared)
{
    const struct shm_change *change = &shared->change;
    const struct directory_late_range one = {change->seq, change->seq, shared->seen};
    bool end_is_told = is_rebuilt(changes, change) && may_be_known(changes, place, change);
    if (shared->found == change->version)
        directory_late_extend(place->late, change->seq, shared->seen);
    else if (shared->found != 0 || !end_is_told)
        directory_late_add(&place->late, &one);
}

/* A user is created for this client. @return as type_for() */
static unsigned type_of_new(const struct directory_changes *changes, struct directory_place *place,
                            const struct directory_shared *shared)
{
    note_newest(changes, place, shared);
    if (shared->found == 0)
        return DIRECTORY_WATCH_TYPE(TYPE_UNSPECIFIED);
    if (is_rebuilt(changes, &shared->change) && place->among == 0)
        place->among = changes->rebuilt; /* until all of them are passed */
    return DIRECTORY_WATCH_TYPE(CREATED);
}

/* @return the type that the client is told; TYPE_UNSPECIFIED: nothing is told */
static unsigned type_for(const struct directory_changes *changes, struct directory_place *place,
                         const struct directory_shared *shared)
{
    enum { NOTHING = DIRECTORY_WATCH_TYPE(TYPE_UNSPECIFIED) };
    const struct shm_change *change = &shared->change;
    bool known = !is_rebuilt(changes, change) || change->seq <= place->known_seq;
    if (directory_late_covers(place->late, change))
        return NOTHING;
    switch (change->kind) {
    case SHM_CREATED:
        return type_of_new(changes, place, shared);
    case SHM_UPDATED:
        if (!known)
            return type_of_new(changes, place, shared);
        return shared->found == change->version ? shared->type : NOTHING;
    case SHM_DELETED:
        return may_be_known(changes, place, change) ? shared->type : NOTHING;
    default: /* a damaged feed */
        return NOTHING;
    }
}

/* Whether the token has the usual size. */
static bool has_short_token(const struct directory_changes *changes,
                            const struct directory_place *place)
{
    return place->late == NULL && place->among == 0 && !is_inside_rebuilt(changes, place);
}

/* Completes the message for this place. The token is the same for nearly all. */
static void complete_message(struct directory_changes *changes, const struct directory_place *place,
                             struct directory_shared *shared, unsigned type,
                             struct directory_message *message)
{
    enum { TOKEN_PART = 2 + DIRECTORY_RESUME_SIZE };
    bool usual = has_short_token(changes, place) && type == shared->type;
    message->len = shared->len;
    message->bytes = shared->bytes;
    if (shared->complete && usual && shared->known_seq == place->known_seq)
        return;
    uint8_t *bytes = shared->bytes;
    assert(bytes != NULL); /* there is something to tell */
    if (shared->complete || !usual) {
        bytes = memcpy(changes->scratch, shared->bytes, shared->len);
    } else {
        shared->complete = true;
        shared->known_seq = place->known_seq;
    }
    const struct directory_resume resume = directory_changes_token(changes, place);
    directory_watch_set_type(bytes, type);
    uint8_t *end = directory_watch_put_token(bytes + shared->len - TOKEN_PART, &resume);
    assert(!usual || end == bytes + shared->len);
    message->bytes = bytes;
    message->len = (size_t)(end - bytes);
}

enum directory_step directory_changes_next(struct directory_changes *changes,
                                           struct directory_place *place,
                                           struct directory_message *message)
{
    struct directory_shared *shared = shared_of(changes, place);
    if (shared == NULL)
        return DIRECTORY_NO_MEMORY;
    message->made = shared->index != place->follower.next + 1 || shared->fields != place->fields;
    if (message->made) {
        enum directory_step step = make_shared(changes, place, shared);
        if (step != DIRECTORY_TOLD)
            return step;
    }
    const struct shm_change *change = &shared->change;
    place->follower.next++;
    place->version = change->version;
    place->done = shared->done;
    place->seq = change->seq;
    place->creates = change->kind == SHM_CREATED;
    if (place->rebuilt && !is_rebuilt(changes, change))
        know_rebuilt(changes, place);
    unsigned type = type_for(changes, place, shared);
    if (change->kind == SHM_CREATED && !is_rebuilt(changes, change))
        place->known_seq = change->seq;
    directory_late_pass(&place->late, place->version - (place->done != 0));
    if (place->rebuilt && place->done == 0 && place->version == changes->rebuilt) /* the last one */
        know_rebuilt(changes, place);
    if (type == DIRECTORY_WATCH_TYPE(TYPE_UNSPECIFIED))
        return DIRECTORY_PASSED;
    complete_message(changes, place, shared, type, message);
    return DIRECTORY_TOLD;
}
