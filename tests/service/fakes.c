/* SPDX-License-Identifier: MIT */
#include "tests/service/fakes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/google/rpc/error_details.pb-c.h"
#include "user/user.h"

struct fake_store fake_store;
uint64_t fake_now;
uint64_t fake_expected_ns;
unsigned fake_expects;
const void *fake_connection;
char fake_note[256];

struct grpc_server {
    struct timers *timers;
    void *users; /* the data of user_service */
    const struct grpc_service *services[2];
    void *data;
};

static void note(const char *line)
{
    snprintf(fake_note, sizeof(fake_note), "%s", line);
}

struct service_config fake_config;

struct grpc_server *fake_server_create(void)
{
    struct service_config config = fake_config;
    config.note = note;
    config.snapshot_max_age = 600000;
    struct grpc_server *server = calloc(1, sizeof(*server));
    assert_non_null(server);
    fake_store = (struct fake_store){.room = UINT64_MAX, .disk = {.behind_max = 8192}};
    fake_now = 1000;
    fake_expected_ns = fake_expects = 0;
    fake_note[0] = '\0';
    server->timers = timers_create(fake_now);
    server->users = user_service.create(&config);
    assert_non_null(server->users);
    assert_true(service_add(&user_service, server->users, server, NULL));
    return server;
}

void fake_server_destroy(struct grpc_server *server)
{
    assert_int_equal(fake_store.snapshots, 0);
    assert_int_equal(fake_store.waits, 0);
    assert_int_equal(timers_wait(server->timers, fake_now), -1); /* none is armed */
    user_service.destroy(server->users);
    timers_destroy(server->timers);
    free(server);
}

void fake_pass(struct grpc_server *server, unsigned ms)
{
    for (unsigned i = 0; i < ms; i++)
        timers_run(server->timers, ++fake_now);
}

void fake_settle(struct grpc_server *server)
{
    user_service.settle(server->users);
}

/* The method of a service; of a service whose name ends so, if there is a slash behind that. */
static const struct grpc_method *method_of(const struct grpc_service *service, const char *name)
{
    const char *slash = strchr(name, '/');
    size_t len = slash != NULL ? (size_t)(slash - name) : 0, of = strlen(service->name);
    if (len > of || memcmp(service->name + of - len, name, len) != 0)
        return NULL;
    for (size_t i = 0; i < service->num_methods; i++)
        if (strcmp(service->methods[i].name, slash != NULL ? slash + 1 : name) == 0)
            return &service->methods[i];
    return NULL;
}

struct grpc_call *fake_call_open(struct grpc_server *server, const char *method)
{
    struct grpc_call *call = calloc(1, sizeof(*call));
    assert_non_null(call);
    for (size_t s = 0; s < 2 && call->method == NULL; s++)
        if (server->services[s] != NULL)
            call->method = method_of(server->services[s], method);
    assert_non_null(call->method);
    call->server = server;
    call->connection = fake_connection;
    call->writable = UINT32_MAX;
    call->deadline = UINT64_MAX;
    call->may_hold = SIZE_MAX;
    call->state = calloc(1, call->method->state_size + 1);
    grpc_arena_init(&call->arena, NULL, 0);
    if (call->method->on_open != NULL)
        call->method->on_open(call);
    return call;
}

void fake_call_end(struct grpc_call *call, enum grpc_status status)
{
    if (call->method->on_end != NULL)
        call->method->on_end(call, status);
    grpc_arena_clear(&call->arena, true);
    free(call->state);
    free(call);
}

/* ---- the runtime ---- */

bool grpc_server_add_service(struct grpc_server *server, const struct grpc_service *service,
                             const uint8_t *descriptor_set, size_t len, void *data,
                             struct fault *fault)
{
    (void)fault;
    assert_non_null(descriptor_set);
    assert_true(len > 0);
    server->services[server->services[0] != NULL] = service; /* the first one's names win */
    server->data = data;
    return true;
}

struct timers *grpc_server_timers(struct grpc_server *server)
{
    return server->timers;
}

void grpc_server_poll_expect(struct grpc_server *server, uint64_t ns)
{
    (void)server;
    fake_expected_ns = ns;
    fake_expects++;
}

uint64_t grpc_server_now_ms(const struct grpc_server *server)
{
    (void)server;
    return fake_now;
}

void *grpc_call_state(struct grpc_call *call)
{
    return call->state;
}

void *grpc_call_service_data(struct grpc_call *call)
{
    return call->server->data;
}

struct grpc_server *grpc_call_server(struct grpc_call *call)
{
    return call->server;
}

uint64_t grpc_call_deadline(const struct grpc_call *call)
{
    return call->deadline;
}

const void *grpc_call_connection(const struct grpc_call *call)
{
    return call->connection;
}

size_t grpc_call_peer_key(const struct grpc_call *call, uint8_t key[ADDRESS_KEY_MAX])
{
    (void)call;
    (void)key;
    return 0;
}

struct grpc_arena *grpc_call_arena(struct grpc_call *call)
{
    return &call->arena;
}

bool grpc_call_hold(struct grpc_call *call, size_t len)
{
    if (len > call->may_hold - call->held) {
        call->refused_holds++;
        return false;
    }
    call->held += len;
    return true;
}

size_t grpc_call_may_hold(const struct grpc_call *call)
{
    return call->may_hold - call->held;
}

void grpc_call_release(struct grpc_call *call, size_t len)
{
    assert_in_range(len, 0, call->held);
    call->held -= len;
}

uint8_t *grpc_call_reserve(struct grpc_call *call, size_t len)
{
    assert_int_equal(call->finishes, 0);
    assert_true(len <= sizeof(call->out));
    call->messages++;
    call->writable -= call->writable != UINT32_MAX;
    call->out_len = len;
    return call->out;
}

void grpc_call_commit(struct grpc_call *call)
{
    assert_int_equal(call->finishes, 0);
}

bool grpc_call_give(struct grpc_call *call, uint8_t *bytes, size_t len, size_t cap)
{
    assert_true(GRPC_GIVE_HEAD + len <= cap);
    memcpy(grpc_call_reserve(call, len), bytes + GRPC_GIVE_HEAD, len);
    free(bytes);
    grpc_call_release(call, cap);
    return true;
}

void grpc_call_send(struct grpc_call *call, const ProtobufCMessage *message)
{
    protobuf_c_message_pack(message,
                            grpc_call_reserve(call, protobuf_c_message_get_packed_size(message)));
}

bool grpc_call_writable(const struct grpc_call *call)
{
    return call->writable != 0;
}

void grpc_call_want_write(struct grpc_call *call)
{
    call->wants_write = true;
}

void grpc_call_compress(struct grpc_call *call, bool compress)
{
    (void)call, (void)compress;
}

void grpc_call_work(struct grpc_call *call, size_t ns)
{
    call->work += ns;
}

uint64_t grpc_call_messages_out(const struct grpc_call *call)
{
    return call->messages;
}

void grpc_call_pause(struct grpc_call *call)
{
    assert_false(call->paused);
    call->paused = true;
}

void grpc_call_resume(struct grpc_call *call)
{
    assert_true(call->paused);
    call->paused = false;
}

bool grpc_call_add_trailing_metadata(struct grpc_call *call, const char *name, const void *value,
                                     size_t len)
{
    assert_string_equal(name, "next-page-token");
    assert_true(len < sizeof(call->token));
    memcpy(call->token, value, len);
    return true;
}

bool grpc_call_is_finished(const struct grpc_call *call)
{
    return call->finishes != 0;
}

void grpc_call_finish(struct grpc_call *call, enum grpc_status status, const char *message)
{
    if (call->finishes++ != 0)
        return;
    call->status = status;
    snprintf(call->message, sizeof(call->message), "%s", message != NULL ? message : "");
}

void grpc_call_finishf(struct grpc_call *call, enum grpc_status status, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    grpc_call_finish(call, status, text);
}

void grpc_call_finish_detail(struct grpc_call *call, enum grpc_status status, const char *message,
                             const ProtobufCMessage *detail)
{
    if (detail->descriptor == &google__rpc__retry_info__descriptor) {
        const Google__Protobuf__Duration *delay = ((Google__Rpc__RetryInfo *)detail)->retry_delay;
        call->retry_ms = (uint64_t)delay->seconds * 1000 + (uint64_t)delay->nanos / 1000000;
        grpc_call_finish(call, status, message);
        return;
    }
    const Google__Rpc__BadRequest *bad = (const Google__Rpc__BadRequest *)detail;
    assert_ptr_equal(detail->descriptor, &google__rpc__bad_request__descriptor);
    assert_int_equal(bad->n_field_violations, 1);
    const Google__Rpc__BadRequest__FieldViolation *violation = bad->field_violations[0];
    assert_int_equal(violation->description.len, strlen(message));
    assert_memory_equal(violation->description.data, message, strlen(message));
    snprintf(call->field, sizeof(call->field), "%.*s", (int)violation->field.len,
             (const char *)violation->field.data);
    grpc_call_finish(call, status, message);
}

/* ---- the store ---- */

const char *shm_strerror(int error)
{
    (void)error;
    return "a fault";
}

void shm_store_info(struct shm_store *store, struct shm_info *info)
{
    (void)store;
    *info = (struct shm_info){.max_users = 12345, .snapshot_max_bytes = 256 << 20};
}

uint64_t shm_users(const struct shm_store *store)
{
    (void)store;
    return 0;
}

/* The user names in the table, if they are unique. */
static struct {
    uint32_t len;
    uint8_t bytes[SHM_KEY_MAX];
    uint64_t version; /* of the commit */
} names[4096];
static unsigned num_names;

/* @return the version of the commit that took it, or 0 */
static uint64_t name_version(const uint8_t *name, uint32_t len, unsigned num)
{
    for (unsigned i = 0; i < num; i++)
        if (names[i].len == len && memcmp(names[i].bytes, name, len) == 0)
            return names[i].version;
    return 0;
}

static int take_names(const struct shm_new_user *users, size_t count, struct shm_conflict *conflict)
{
    if (fake_store.users == 0)
        num_names = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned at = num_names + (unsigned)i;
        assert_in_range(at, 0, sizeof(names) / sizeof(names[0]) - 1);
        names[at].len =
            user_key_of(USER_KEY_USERNAME, users[i].body, users[i].body_len, names[at].bytes);
        names[at].version = fake_store.version + 1;
        uint64_t taken = name_version(names[at].bytes, names[at].len, at);
        if (taken != 0) {
            *conflict =
                (struct shm_conflict){.which = i, .key = USER_KEY_USERNAME, .version = taken};
            return SHM_EKEY;
        }
    }
    num_names += (unsigned)count;
    return SHM_OK;
}

int shm_request_find(struct shm_actor *actor, struct shm_request *request)
{
    (void)actor;
    (void)request;
    return SHM_ENOENT;
}

int shm_users_insert(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                     struct shm_conflict *conflict)
{
    (void)actor;
    fake_store.inserts++;
    if (fake_store.disk.state == SHM_DISK_FAILED)
        return SHM_EREADONLY;
    if (fake_store.disk.behind + count > fake_store.disk.behind_max)
        return SHM_EBUSY;
    assert_in_range(count, 1, SHM_BATCH_MAX);
    for (size_t i = 0; i < count; i++)
        assert_in_range(users[i].body_len, 1, SHM_BODY_MAX);
    if (fake_store.busy != 0) {
        fake_store.busy--;
        return SHM_EBUSY;
    }
    if (fake_store.busy_by_turns && fake_store.inserts % 2 != 0)
        return SHM_EBUSY;
    if (fake_store.collide != 0) {
        fake_store.collide--;
        if (conflict != NULL)
            conflict->which = count - 1;
        return SHM_EEXIST;
    }
    fake_store.submitted += count;
    if (count > fake_store.room)
        return SHM_EFULL;
    if (fake_store.unique && take_names(users, count, conflict) != SHM_OK)
        return SHM_EKEY;
    fake_store.version++;
    if (!fake_store.durable)
        fake_store.published = fake_store.version;
    if (conflict != NULL)
        conflict->version = fake_store.version;
    fake_store.room -= count;
    fake_store.users += count;
    fake_store.largest = count > fake_store.largest ? (unsigned)count : fake_store.largest;
    return SHM_OK;
}

uint64_t shm_published(const struct shm_store *store)
{
    (void)store;
    return fake_store.published;
}

bool shm_wait_begin(struct shm_actor *actor, uint64_t version)
{
    (void)actor;
    if (fake_store.overtakes)
        fake_store.published = fake_store.version;
    fake_store.overtakes = false;
    if (version <= fake_store.published) {
        fake_store.waits = 0;
        return false;
    }
    fake_store.waits = version;
    return true;
}

void shm_wait_end(struct shm_actor *actor)
{
    (void)actor;
    fake_store.waits = 0;
}

void shm_disk_info(const struct shm_store *store, struct shm_disk_info *info)
{
    (void)store;
    *info = fake_store.disk;
}

int shm_user_find(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], struct shm_user *user)
{
    (void)actor;
    static const uint8_t body[] = "body";
    if (id[0] == 0)
        return SHM_ENOENT;
    *user = (struct shm_user){.id = id, .body = body, .body_len = 4, .seq = 1};
    return SHM_OK;
}

void shm_users_find(struct shm_actor *actor, const uint8_t (*ids)[SHM_ID_SIZE], size_t count,
                    struct shm_user *users)
{
    for (size_t i = 0; i < count; i++)
        if (shm_user_find(actor, ids[i], &users[i]) != SHM_OK)
            users[i].id = NULL;
}

/* What only the directory's calls need, which are tested with a real store. */

int shm_user_find_at(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], uint64_t version,
                     struct shm_user *user)
{
    (void)actor, (void)id, (void)version, (void)user;
    return SHM_ENOENT;
}

int shm_user_find_key(struct shm_actor *actor, unsigned key, const uint8_t *value, uint32_t len,
                      struct shm_user *user)
{
    (void)actor, (void)key, (void)value, (void)len, (void)user;
    return SHM_EINVAL;
}

int shm_users_update(struct shm_actor *actor, const struct shm_new_user *users, size_t count,
                     struct shm_conflict *conflict)
{
    (void)actor, (void)users, (void)count, (void)conflict;
    return SHM_ENOENT;
}

int shm_user_delete(struct shm_actor *actor, const uint8_t id[SHM_ID_SIZE], uint64_t if_version,
                    struct shm_conflict *conflict)
{
    (void)actor, (void)id, (void)if_version, (void)conflict;
    return SHM_ENOENT;
}

void shm_store_id(const struct shm_store *store, uint8_t id[SHM_STORE_ID_SIZE])
{
    (void)store;
    memset(id, 0, SHM_STORE_ID_SIZE);
}

uint64_t shm_last_seq(const struct shm_store *store)
{
    (void)store;
    return fake_store.users;
}

uint64_t shm_feed_rebuilt_until(const struct shm_store *store)
{
    (void)store;
    return 0;
}

int shm_feed_follow(struct shm_actor *actor, struct shm_follower *follower, uint64_t version)
{
    (void)actor, (void)follower, (void)version;
    return SHM_ERESYNC;
}

int shm_feed_next(struct shm_actor *actor, struct shm_follower *follower, struct shm_change *change)
{
    (void)actor, (void)follower, (void)change;
    return SHM_ENOENT;
}

int shm_feed_next_until(struct shm_follower *follower, uint64_t version, struct shm_change *change)
{
    (void)follower, (void)version, (void)change;
    return SHM_ENOENT;
}

uint64_t shm_newest(const struct shm_store *store)
{
    (void)store;
    return fake_store.version;
}

int shm_snapshot_begin(struct shm_actor *actor, struct shm_snapshot *snapshot)
{
    (void)actor;
    if (fake_store.pins_taken)
        return SHM_EPINS;
    uint32_t pin = 0;
    while (pin < fake_store.pins && fake_store.pin_used[pin])
        pin++;
    if (fake_store.pins != 0 && pin == fake_store.pins)
        return SHM_EPINS;
    fake_store.pin_used[pin] = true;
    fake_store.snapshots++;
    snapshot->pin = pin;
    snapshot->version = fake_store.users;
    return SHM_OK;
}

void shm_snapshot_end(struct shm_actor *actor, struct shm_snapshot *snapshot)
{
    (void)actor;
    assert_true(fake_store.snapshots > 0);
    fake_store.snapshots--;
    fake_store.pin_used[snapshot->pin] = fake_store.pins_keep;
}

void shm_cursor_first(struct shm_cursor *cursor, struct shm_actor *actor,
                      const struct shm_snapshot *snapshot)
{
    *cursor = (struct shm_cursor){.actor = actor, .snapshot = snapshot};
}

int shm_cursor_after(struct shm_cursor *cursor, struct shm_actor *actor,
                     const struct shm_snapshot *snapshot, uint64_t seq,
                     const uint8_t id[SHM_ID_SIZE])
{
    (void)id;
    *cursor = (struct shm_cursor){.actor = actor, .snapshot = snapshot, .passed = seq};
    return seq <= fake_store.users ? SHM_OK : SHM_EINVAL;
}

int shm_cursor_settle(struct shm_cursor *cursor)
{
    if (fake_store.revoked)
        return SHM_EREVOKED;
    if (cursor->passed == fake_store.dead_after && fake_store.dead_steps != 0) {
        fake_store.dead_steps--;
        return SHM_EMORE;
    }
    return cursor->passed < cursor->snapshot->version ? SHM_OK : SHM_ENOENT;
}

int shm_cursor_next(struct shm_cursor *cursor, struct shm_user *user)
{
    static uint8_t id[SHM_ID_SIZE], body[32];
    int result = shm_cursor_settle(cursor);
    if (result != SHM_OK)
        return result;
    uint64_t seq = ++cursor->passed;
    int len = snprintf((char *)body, sizeof(body), "%llu", (unsigned long long)seq);
    *user = (struct shm_user){.id = id, .body = body, .body_len = (uint32_t)len, .seq = seq};
    return SHM_OK;
}

bool shm_snapshot_revoked(const struct shm_actor *actor, const struct shm_snapshot *snapshot)
{
    (void)actor;
    (void)snapshot;
    return fake_store.revoked;
}
