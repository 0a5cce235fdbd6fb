/* SPDX-License-Identifier: MIT */
#include "tests/torture/model.h"

#include <stdlib.h>
#include <string.h>

#include "shm/error.h"

void model_init(struct model *model, uint64_t max_users, unsigned unique)
{
    memset(model, 0, sizeof(*model));
    model->max_users = max_users;
    model->unique = unique;
}

static const char *create(struct model *model, const struct model_change *change)
{
    struct model_row *row = &model->row[change->id];
    if (row->there)
        return "creates a user that exists";
    if ((model->unique & 1) != 0 && model->names[change->name] != 0)
        return "creates a second user of the same name";
    if ((model->unique & 2) != 0 && change->email != 0 && model->emails[change->email] != 0)
        return "creates a second user of the same e-mail";
    if (model->users >= model->max_users)
        return "creates more than max-users";
    row->there = true;
    row->seq = ++model->seq;
    row->is = *change;
    model->users++;
    model->sum += change->amount;
    model->names[change->name]++;
    model->emails[change->email]++;
    return NULL;
}

/* Whether the update changes this unique key. */
static bool changes_key(const struct model *model, const struct model_row *row,
                        const struct model_change *change, unsigned key)
{
    if ((model->unique & 1U << key) == 0)
        return false;
    return key == 0 ? row->is.name != change->name : row->is.email != change->email;
}

/* Whether the update gives the user a key that another has. */
static bool steals_key(const struct model *model, const struct model_row *row,
                       const struct model_change *change, unsigned key)
{
    if (!changes_key(model, row, change, key))
        return false;
    return key == 0 ? model->names[change->name] != 0
                    : change->email != 0 && model->emails[change->email] != 0;
}

/* Whether a conditional write is of another version than the user has. */
static bool is_stale(const struct model_row *row, const struct model_change *change)
{
    return change->if_version != 0 && change->if_version != row->version;
}

static const char *update(struct model *model, const struct model_change *change, uint32_t count)
{
    struct model_row *row = &model->row[change->id];
    if (!row->there)
        return "updates a user that does not exist";
    if (is_stale(row, change))
        return "updates a user that has not the wanted version";
    for (unsigned key = 0; key < SHM_KEYS; key++) {
        if (count > 1 && changes_key(model, row, change, key))
            return "changes a unique key of one of several users";
        if (steals_key(model, row, change, key))
            return "gives a user another's key";
    }
    model->sum += change->amount - row->is.amount;
    model->names[row->is.name]--;
    model->emails[row->is.email]--;
    row->is = *change;
    model->names[change->name]++;
    model->emails[change->email]++;
    return NULL;
}

static const char *delete (struct model *model, const struct model_change *change)
{
    struct model_row *row = &model->row[change->id];
    if (!row->there)
        return "deletes a user that does not exist";
    if (is_stale(row, change))
        return "deletes a user that has not the wanted version";
    row->there = false;
    model->users--;
    model->sum -= row->is.amount;
    model->names[row->is.name]--;
    model->emails[row->is.email]--;
    return NULL;
}

const char *model_step(struct model *model, const struct ledger *ledger)
{
    const struct model_commit *commit = &ledger->commit[++model->version % LEDGER_COMMITS];
    if (commit->count == 0 || commit->count > SHM_BATCH_MAX)
        return "is in the segment, but no writer noted it";
    if (atomic_load(&ledger->changes) - commit->first > LEDGER_CHANGES)
        return "is older than the ledger's oldest entry";
    for (uint32_t i = 0; i < commit->count; i++) {
        const struct model_change *change = &ledger->change[(commit->first + i) % LEDGER_CHANGES];
        const char *wrong = commit->kind == SHM_CREATED   ? create(model, change)
                            : commit->kind == SHM_UPDATED ? update(model, change, commit->count)
                                                          : delete (model, change);
        if (wrong != NULL)
            return wrong;
        struct model_row *row = &model->row[change->id];
        row->version = model->version;
        row->writer = commit->writer;
        row->op = commit->op;
    }
    return NULL;
}

const struct model_row *model_by_key(const struct model *model, unsigned key, uint32_t value)
{
    for (uint32_t i = 0; i < MODEL_IDS; i++) {
        const struct model_row *row = &model->row[i];
        if (row->there && (key == 0 ? row->is.name : row->is.email) == value)
            return row;
    }
    return NULL;
}

bool model_collides(const struct model *model, unsigned key)
{
    for (uint32_t i = 0; i < MODEL_IDS; i++)
        if (key == 0 ? model->names[i] > 1 : model->emails[i + 1] > 1)
            return true;
    return false;
}

static bool occurs_before(const struct model_change *change, size_t which)
{
    for (size_t i = 0; i < which; i++)
        if (change[i].id == change[which].id)
            return true;
    return false;
}

static bool key_taken(const struct model *model, const struct model_change *change, size_t which,
                      unsigned key)
{
    const struct model_change *one = &change[which];
    if ((model->unique & 1U << key) == 0 || (key == 1 && one->email == 0))
        return false;
    if (key == 0 ? model->names[one->name] != 0 : model->emails[one->email] != 0)
        return true;
    for (size_t i = 0; i < which; i++)
        if (key == 0 ? change[i].name == one->name : change[i].email == one->email)
            return true;
    return false;
}

bool model_refuses(const struct model *model, const struct model_commit *op,
                   const struct model_change *change, int error,
                   const struct shm_conflict *conflict)
{
    size_t which = conflict->which;
    if (which >= op->count)
        return false;
    const struct model_row *row = &model->row[change[which].id];
    switch (error) {
    case SHM_EFULL:
        return op->kind == SHM_CREATED && model->users + op->count > model->max_users;
    case SHM_EEXIST:
        return op->kind == SHM_CREATED && (row->there || occurs_before(change, which));
    case SHM_EKEY:
        if (conflict->key >= SHM_KEYS)
            return false;
        return op->kind == SHM_CREATED ? key_taken(model, change, which, conflict->key)
                                       : op->kind == SHM_UPDATED && op->count == 1 && row->there &&
                                             steals_key(model, row, &change[which], conflict->key);
    case SHM_ENOENT:
        return op->kind != SHM_CREATED && !row->there;
    case SHM_ESTALE:
        return op->kind != SHM_CREATED && row->there && is_stale(row, &change[which]) &&
               conflict->version == row->version;
    case SHM_EINVAL:
        if (op->kind == SHM_CREATED)
            return false;
        if (occurs_before(change, which))
            return true;
        return op->kind == SHM_UPDATED && op->count > 1 && row->there &&
               (changes_key(model, row, &change[which], 0) ||
                changes_key(model, row, &change[which], 1));
    default:
        return false;
    }
}

static const struct model *sorted;

static int by_seq(const void *a, const void *b)
{
    uint64_t x = sorted->row[*(const uint16_t *)a].seq, y = sorted->row[*(const uint16_t *)b].seq;
    return x < y ? -1 : x > y;
}

uint32_t model_order(const struct model *model, uint16_t order[MODEL_IDS])
{
    uint32_t count = 0;
    for (uint16_t i = 0; i < MODEL_IDS; i++)
        if (model->row[i].there)
            order[count++] = i;
    sorted = model;
    qsort(order, count, sizeof(*order), by_seq);
    return count;
}
