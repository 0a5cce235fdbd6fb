/* SPDX-License-Identifier: MIT */
#include "tests/torture/flips.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shm/careful.h"
#include "shm/error.h"

/* A record's body must be that of its user: both have the user's number. */
static void check_shown(const struct shm_record *record)
{
    uint32_t in_id, in_body;
    memcpy(&in_id, record->id + 8, sizeof(in_id));
    memcpy(&in_body, record->body, sizeof(in_body));
    assert_int_equal(in_id, in_body);
    assert_true(record->body_len + record->hidden_len <= SHM_BODY_MAX);
}

/* Looks users up by id, and by the key that such a user has or had. */
static void read_each(const struct world *w, struct shm_reader *reader)
{
    static struct shm_record record;
    struct shm_fault fault;
    for (unsigned n = 0; n < WORLD_NEW + 3; n++) {
        uint8_t id[SHM_ID_SIZE];
        uint64_t key = n * UINT64_C(0xd6e8feb86659fd93);
        world_id(w, n, id);
        if (shm_reader_find(reader, id, &record, &fault) == SHM_OK) {
            assert_memory_equal(record.id, id, SHM_ID_SIZE);
            check_shown(&record);
        }
        if (shm_reader_find_key(reader, 0, (const uint8_t *)&key, sizeof(key), &record, &fault) ==
            SHM_OK)
            check_shown(&record);
    }
}

void flips_read(const struct world *w, struct image *image, uint64_t offset, uint8_t bits)
{
    static struct shm_record record;
    struct shm_store *store;
    struct shm_reader *reader;
    struct shm_fault fault;
    unsigned calls = 0;
    image_restore(image);
    image->map[offset] ^= bits;
    if (shm_store_attach(&store, w->name, SHM_ATTACH_READ, world_key_of, &fault) != SHM_OK)
        return;
    if (shm_reader_open(&reader, store, &fault) == SHM_OK) {
        int rc = shm_reader_begin(reader, 0, &fault);
        while (rc == SHM_OK || (rc == SHM_ECORRUPT && calls != 0)) {
            rc = shm_reader_next(reader, &record, &fault);
            if (rc == SHM_OK)
                check_shown(&record);
            assert_true(++calls < 2 * KILLER_USERS);
        }
        read_each(w, reader);
        shm_reader_close(reader);
    }
    shm_store_close(store);
}
