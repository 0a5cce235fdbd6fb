/* SPDX-License-Identifier: MIT */
/* Looks for users who share a key that is to become unique, with a hash table in private memory. */
#include "shm/rebuild/duplicates.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/container_of.h"
#include "shm/core/fail.h"
#include "shm/core/layout.h"
#include "shm/core/mapping.h"
#include "shm/core/store_handle.h"
#include "shm/table/unique.h"

enum { NAMED = 5, SHOWN = 40 };
/* A place holds a node's address in its lower bits, and the upper bits of its key's hash. */
#define ADDRESS_BITS 47

struct search {
    shm_key_of *key_of;
    unsigned key;
    uint64_t *places; /* open addressing */
    uint64_t mask;
    uint64_t found;
    char text[400]; /* the first duplicates, for people */
};

static const struct shm_node *node_at(uint64_t place)
{
    return (const struct shm_node *)(uintptr_t)(place & ((UINT64_C(1) << ADDRESS_BITS) - 1));
}

/* Adds a duplicate to the text. Keys are bytes that a client chose: bytes that are not printable
 * ASCII are shown in hexadecimal. */
static void name_duplicate(struct search *s, const uint8_t *bytes, uint32_t len, uint64_t one,
                           uint64_t other)
{
    char shown[4 * SHOWN + 4];
    size_t n = 0;
    for (uint32_t i = 0; i < len && i < SHOWN; i++) {
        bool plain = bytes[i] >= ' ' && bytes[i] < 127 && bytes[i] != '\'' && bytes[i] != '\\';
        n += (size_t)snprintf(shown + n, sizeof(shown) - n, plain ? "%c" : "\\x%02x", bytes[i]);
    }
    size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof(s->text) - used, "%s'%s'%s (users %llu and %llu)",
             used != 0 ? ", " : "", shown, len > SHOWN ? "..." : "", (unsigned long long)one,
             (unsigned long long)other);
}

static void look_for_duplicate(struct search *s, const struct shm_node *node)
{
    uint8_t bytes[SHM_KEY_MAX], theirs[SHM_KEY_MAX];
    uint32_t len = shm_unique_key(s->key_of, s->key, node->body, bytes);
    if (len == 0)
        return;
    uint64_t hash = shm_unique_hash(shm_header(), s->key, bytes, len);
    uint64_t tag = hash >> ADDRESS_BITS << ADDRESS_BITS;
    uint64_t i = hash & s->mask;
    for (; s->places[i] != 0; i = (i + 1) & s->mask) {
        if (s->places[i] >> ADDRESS_BITS != tag >> ADDRESS_BITS)
            continue;
        const struct shm_node *other = node_at(s->places[i]);
        if (shm_unique_key(s->key_of, s->key, other->body, theirs) != len ||
            memcmp(bytes, theirs, len) != 0)
            continue;
        if (s->found++ < NAMED)
            name_duplicate(s, bytes, len, other->seq, node->seq);
        return;
    }
    s->places[i] = tag | (uint64_t)(uintptr_t)node;
}

static int find_duplicates(struct shm_store *store, const struct shm_config *config, unsigned key,
                           struct shm_fault *fault)
{
    const struct cds_list_head *end = &shm_control()->order;
    struct search s = {.key_of = config->key_of, .key = key, .mask = 1023};
    while (s.mask / 4 * 3 < shm_control()->users)
        s.mask = 2 * s.mask + 1;
    size_t size = (s.mask + 1) * sizeof(*s.places);
    s.places = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
    if (s.places == MAP_FAILED)
        return shm_fail(fault, SHM_ESYS, "segment %s: out of memory", store->name);
    for (const struct cds_list_head *at = end->next; at != end; at = at->next) {
        const struct shm_node *node = container_of(at, struct shm_node, order);
        if (node->died == SHM_NEVER)
            look_for_duplicate(&s, node);
    }
    munmap(s.places, size);
    if (s.found == 0)
        return SHM_OK;
    char number[16];
    snprintf(number, sizeof(number), "key %u", key);
    return shm_fail(fault, SHM_EEXIST,
                    "segment %s: unique: %s cannot become unique, %llu users have another user's: "
                    "%s%s",
                    store->name, config->key_name != NULL ? config->key_name(key) : number,
                    (unsigned long long)s.found, s.text, s.found > NAMED ? ", ..." : "");
}

int shm_rebuild_check(struct shm_store *store, const struct shm_config *config,
                      struct shm_fault *fault)
{
    const struct shm_control *control = shm_control();
    int rc = SHM_OK;
    for (unsigned key = 0; key < SHM_KEYS && rc == SHM_OK; key++) {
        bool started = control->rebuild.to.buckets != NULL &&
                       control->rebuild.what == SHM_REBUILD_UNIQUE + key;
        if ((config->unique >> key & 1) != 0 && control->unique[key].buckets == NULL && !started)
            rc = find_duplicates(store, config, key, fault);
    }
    return rc;
}
