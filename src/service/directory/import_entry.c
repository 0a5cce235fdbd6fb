/* SPDX-License-Identifier: MIT */
#include "service/directory/import_entry.h"

#include <assert.h>
#include <string.h>
#include <sys/param.h>

#include "base/clock.h"
#include "base/secret.h"
#include "service/directory/directory_credential.h"
#include "service/directory/directory_record.h"
#include "user/user_record.h"
#include "user/user_tags.h"
#include "user/wire.h"

const char import_of_request[] = "create.";
const char import_of_user[] = "create.user.";

/* ---- requests ---- */

static struct import_entry *entry_alloc(struct grpc_call *call, size_t len)
{
    struct import_entry *entry = secret_alloc(sizeof(*entry) + len);
    if (entry != NULL)
        *entry = (struct import_entry){.call = call, .size = (uint32_t)(sizeof(*entry) + len)};
    return entry;
}

/* An entry for a request that is refused. @param text is copied */
static struct import_entry *entry_refused(struct grpc_call *call, const char *path,
                                          const char *text)
{
    size_t len = strlen(text) + 1;
    struct import_entry *entry = entry_alloc(call, len);
    if (entry == NULL)
        return NULL;
    entry->path = path;
    import_entry_refuse(entry, GRPC_INVALID_ARGUMENT, memcpy(entry->bytes, text, len));
    return entry;
}

/* The user itself, with the id that the request gives it.
 * @return false: the fault says why it cannot be, `path` of what its first word is a field */
static bool check_entry(const Rosterd__Directory__V1__CreateUserRequest *request,
                        const struct user_record *record, const struct credential *credential,
                        const char **path, struct fault *fault)
{
    uint8_t id[UUID_SIZE];
    const ProtobufCBinaryData *request_id = &request->request_id;
    const char *reason;
    *path = import_of_request;
    if (request->user_id.len != 0 && !uuid_parse(id, request->user_id.data, request->user_id.len))
        return fault_set(fault, "user_id is not a UUID");
    if (request_id->len != 0 && !uuid_parse(id, request_id->data, request_id->len))
        return fault_set(fault, "request_id is not a UUID");
    *path = import_of_user;
    if (!user_check_roles(&record->fields, &reason))
        return fault_set(fault, "roles: %s", reason);
    if (!user_record_check(record, &reason))
        return fault_set(fault, "%s", reason);
    *path = import_of_request;
    if (!credential_check(credential, fault))
        return false;
    *path = import_of_user;
    struct user_record with_hash = *record;
    if (credential->kind == CREDENTIAL_HASH)
        with_hash.secret = (struct user_text){.data = credential->data, .len = credential->len};
    return user_record_check(&with_hash, &reason) || fault_set(fault, "%s", reason);
}

/* Bytes behind the hidden part: for the password, and for the hash that takes its place. */
static size_t credential_room(const struct credential *credential)
{
    if (credential->kind == CREDENTIAL_PASSWORD)
        return MAX(credential->len, (size_t)USER_SECRET_FIELD_MAX);
    return credential->kind == CREDENTIAL_HASH ? wire_bytes_size(credential->len) : 0;
}

static void take_credential(struct import_entry *entry, const struct credential *credential)
{
    uint8_t *end = entry->bytes + entry->body_len + entry->hidden_len;
    entry->state = IMPORT_READY;
    if (credential->kind == CREDENTIAL_PASSWORD) {
        memcpy(end, credential->data, credential->len);
        entry->password_len = (uint32_t)credential->len;
        entry->state = IMPORT_UNHASHED;
    } else if (credential->kind == CREDENTIAL_HASH) {
        const struct user_text hash = {.data = credential->data, .len = credential->len};
        entry->hidden_len += (uint32_t)user_hidden_add_secret(end, hash);
    }
}

/* An entry of a request that has passed the checks. */
static struct import_entry *entry_of(struct grpc_call *call, struct user_record *record,
                                     const struct credential *credential)
{
    uint8_t body[USER_BODY_MAX], hidden[USER_HIDDEN_MAX];
    record->fields.created_at = clock_real_coarse_s();
    record->update_time = user_create_time(&record->fields);
    size_t body_len = user_body_encode(body, &record->fields);
    size_t hidden_len = user_hidden_encode(hidden, record);
    struct import_entry *entry =
        entry_alloc(call, body_len + hidden_len + credential_room(credential));
    if (entry == NULL)
        return NULL;
    entry->body_len = (uint32_t)body_len;
    entry->hidden_len = (uint32_t)hidden_len;
    entry->created_at = record->fields.created_at;
    memcpy(mempcpy(entry->bytes, body, body_len), hidden, hidden_len);
    take_credential(entry, credential);
    return entry;
}

/* A CreateUser with the same contents and request_id is the same request. */
static void take_ids(struct import_entry *entry,
                     const Rosterd__Directory__V1__CreateUserRequest *request,
                     const struct user_record *record, const struct credential *credential)
{
    struct user_service *service = grpc_call_service_data(entry->call);
    const struct directory_wish wish = directory_wish_to_create(
        request->user_id.len != 0 ? entry->id : NULL, credential->len != 0);
    entry->id_given = request->user_id.len != 0;
    if (!entry->id_given || !uuid_parse(entry->id, request->user_id.data, request->user_id.len))
        uuid_random(&service->ids, entry->id);
    (void)directory_request_read(&entry->request, &request->request_id, &wish, record); /* a UUID */
}

struct import_entry *import_entry_create(struct grpc_call *call,
                                         const Rosterd__Directory__V1__CreateUserRequest *request)
{
    static const Rosterd__Directory__V1__User nobody = ROSTERD__DIRECTORY__V1__USER__INIT;
    struct user_record_room room;
    struct user_record record =
        directory_record_of(request->user != NULL ? request->user : &nobody, &room);
    const struct credential credential = directory_create_credential(request);
    const char *path;
    struct fault fault;
    if (!check_entry(request, &record, &credential, &path, &fault))
        return entry_refused(call, path, fault.text);
    struct import_entry *entry = entry_of(call, &record, &credential);
    if (entry == NULL)
        return NULL;
    take_ids(entry, request, &record, &credential);
    return entry;
}

void import_entry_free(struct import_entry *entry)
{
    pool_ticket_cancel(&entry->ticket);
    secret_free(entry, entry->size);
}

/* ---- passwords ---- */

struct pool_task import_entry_task(const struct import_entry *entry)
{
    const uint8_t *password = entry->bytes + entry->body_len + entry->hidden_len;
    return (struct pool_task){.operation = POOL_HASH,
                              .password = (const char *)password,
                              .password_len = entry->password_len,
                              .deadline = grpc_call_deadline(entry->call),
                              .bulk = true};
}

void import_entry_forget_password(struct import_entry *entry)
{
    explicit_bzero(entry->bytes + entry->body_len + entry->hidden_len, entry->password_len);
    entry->password_len = 0;
}

void import_entry_take_hash(struct import_entry *entry, const char *hash)
{
    const struct user_text secret = {.data = (const uint8_t *)hash, .len = strlen(hash)};
    uint32_t len = entry->body_len + entry->hidden_len;
    assert(entry->state == IMPORT_UNHASHED && entry->password_len == 0);
    assert(secret.len != 0 && secret.len <= USER_SECRET_MAX);
    if (len + wire_bytes_size(secret.len) > USER_RECORD_MAX) {
        entry->path = import_of_request;
        import_entry_refuse(entry, GRPC_INVALID_ARGUMENT,
                            "password: the user has no room for a hash");
        return;
    }
    entry->hidden_len += (uint32_t)user_hidden_add_secret(entry->bytes + len, secret);
    entry->state = IMPORT_READY;
}

void import_entry_refuse(struct import_entry *entry, enum grpc_status status, const char *text)
{
    entry->state = IMPORT_SETTLED;
    entry->status = status;
    entry->text = text;
}

/* ---- the store ---- */

/* The time of the request is that of the body, from which a repeat is answered, though the entry
 * may have waited for its hash since. */
struct shm_new_user import_entry_user(struct import_entry *entry)
{
    struct shm_request *request =
        directory_request_begin(&entry->request, (uint64_t)entry->created_at);
    struct shm_new_user user = {.request = request,
                                .body = entry->bytes,
                                .body_len = entry->body_len,
                                .hidden = entry->bytes + entry->body_len,
                                .hidden_len = entry->hidden_len};
    memcpy(user.id, entry->id, sizeof(user.id));
    return user;
}

/* The answer says only whether there is a hash, which ends the hidden part. */
static void forget_hash(struct import_entry *entry)
{
    struct wire_reader reader = {.at = entry->bytes + entry->body_len,
                                 .end = entry->bytes + entry->body_len + entry->hidden_len};
    struct wire_field field;
    while (wire_next(&reader, &field))
        if (field.tag == USER_TAG_SECRET)
            explicit_bzero(entry->bytes + (field.bytes - entry->bytes), field.value);
}

void import_entry_settle(struct import_entry *entry, int result, uint64_t version, unsigned key,
                         const uint8_t id[UUID_SIZE])
{
    forget_hash(entry);
    entry->state = IMPORT_SETTLED;
    entry->result = result;
    entry->version = version;
    entry->key = key;
    memcpy(entry->id, id, sizeof(entry->id));
    if (result == SHM_EREPEAT && directory_request_repeats(&entry->request)) {
        entry->result = SHM_OK;
        memcpy(entry->id, entry->request.shm.user, sizeof(entry->id));
    }
}

bool import_entry_repeats(struct import_entry *entry)
{
    const struct user_service *service = grpc_call_service_data(entry->call);
    static const struct user_text some = {.data = (const uint8_t *)"*", .len = 1};
    struct shm_request *request =
        directory_request_begin(&entry->request, (uint64_t)clock_real_coarse_s());
    if (request == NULL || shm_request_find(service->actor, request) != SHM_OK)
        return false;
    import_entry_forget_password(entry);
    /* The answer says that there is a password; the text is not shown. */
    entry->hidden_len +=
        (uint32_t)user_hidden_add_secret(entry->bytes + entry->body_len + entry->hidden_len, some);
    import_entry_settle(entry, SHM_EREPEAT, request->version, 0, request->user);
    return true;
}
