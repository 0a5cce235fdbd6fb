// SPDX-License-Identifier: MIT
//
// The gRPC C++ server with which rosterd's Directory is compared: the reads, the listing and the
// update of the same proto on gRPC C++'s callback API, over std::unordered_map. A read copies a
// user into the reply while it holds a shared lock, as few programs do without.
// Usage: grpc_cpp_directory ADDR:PORT [PRELOADED_USERS]
#include <sys/random.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>

#include <grpcpp/grpcpp.h>

#include "rosterd/directory/v1/directory.grpc.pb.h"

namespace {

using google::protobuf::FieldMask;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using grpc::Status;
using grpc::StatusCode;
using rosterd::directory::v1::BatchGetUsersRequest;
using rosterd::directory::v1::BatchGetUsersResponse;
using rosterd::directory::v1::Directory;
using rosterd::directory::v1::GetUserRequest;
using rosterd::directory::v1::ListUsersRequest;
using rosterd::directory::v1::ListUsersResponse;
using rosterd::directory::v1::LookupUserRequest;
using rosterd::directory::v1::UpdateUserRequest;
using rosterd::directory::v1::User;

constexpr int batch_most = 1000, page_usual = 50, page_most = 1000;

std::string random_name()
{
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        std::abort();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    static const char hex[] = "0123456789abcdef";
    std::string text = "users/";
    for (int i = 0; i != 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text += '-';
        text += hex[bytes[i] >> 4];
        text += hex[bytes[i] & 15];
    }
    return text;
}

std::string etag_of(uint64_t version)
{
    char text[24];
    snprintf(text, sizeof(text), "\"%llx\"", static_cast<unsigned long long>(version));
    return text;
}

bool is_address(const std::string &email)
{
    size_t at = email.find('@');
    return email.size() <= 254 && at != std::string::npos && at != 0 && at + 1 != email.size() &&
           email.find('@', at + 1) == std::string::npos;
}

// All fields, or those that the mask names.
Status put_masked(const User &user, bool has_mask, const FieldMask &mask, User *reply)
{
    if (!has_mask || mask.paths_size() == 0) {
        *reply = user;
        return Status::OK;
    }
    for (const std::string &path : mask.paths()) {
        if (path == "*")
            *reply = user;
        else if (path == "name")
            reply->set_name(user.name());
        else if (path == "username")
            reply->set_username(user.username());
        else if (path == "email")
            reply->set_email(user.email());
        else if (path == "roles")
            *reply->mutable_roles() = user.roles();
        else if (path == "disabled")
            reply->set_disabled(user.disabled());
        else if (path == "labels")
            *reply->mutable_labels() = user.labels();
        else if (path == "etag")
            reply->set_etag(user.etag());
        else if (path == "has_password")
            reply->set_has_password(user.has_password());
        else if (path == "create_time")
            *reply->mutable_create_time() = user.create_time();
        else if (path == "update_time")
            *reply->mutable_update_time() = user.update_time();
        else
            return {StatusCode::INVALID_ARGUMENT, "read_mask: no such field: " + path};
    }
    return Status::OK;
}

struct Entry {
    uint64_t seq;
    User user;
};

class Table {
  public:
    void insert(const std::string &username, const std::string &email)
    {
        auto entry = std::make_unique<Entry>();
        User &user = entry->user;
        user.set_name(random_name());
        user.set_username(username);
        user.set_email(email);
        user.add_roles("user");
        user.mutable_create_time()->set_seconds(time(nullptr));
        *user.mutable_update_time() = user.create_time();
        std::unique_lock<std::shared_mutex> lock(mutex_);
        user.set_etag(etag_of(++version_));
        entry->seq = ++seq_;
        by_username_.emplace(username, entry.get());
        by_email_.emplace(email, entry.get());
        in_order_.emplace(entry->seq, entry.get());
        by_name_.emplace(user.name(), std::move(entry));
    }

    Status get(const GetUserRequest &request, User *reply) const
    {
        std::shared_lock<std::shared_mutex> lock(mutex_);
        auto it = by_name_.find(request.name());
        if (it == by_name_.end())
            return {StatusCode::NOT_FOUND, "User '" + request.name() + "' not found"};
        return put_masked(it->second->user, request.has_read_mask(), request.read_mask(), reply);
    }

    Status lookup(const LookupUserRequest &request, User *reply) const
    {
        bool by_email = request.key_case() == LookupUserRequest::kEmail;
        const auto &index = by_email ? by_email_ : by_username_;
        std::shared_lock<std::shared_mutex> lock(mutex_);
        auto it = index.find(by_email ? request.email() : request.username());
        if (it == index.end())
            return {StatusCode::NOT_FOUND, "User not found"};
        return put_masked(it->second->user, request.has_read_mask(), request.read_mask(), reply);
    }

    Status batch(const BatchGetUsersRequest &request, BatchGetUsersResponse *reply) const
    {
        if (request.names_size() > batch_most)
            return {StatusCode::INVALID_ARGUMENT, "names: more than 1000"};
        reply->mutable_users()->Reserve(request.names_size());
        std::shared_lock<std::shared_mutex> lock(mutex_);
        for (const std::string &name : request.names()) {
            auto it = by_name_.find(name);
            if (it == by_name_.end()) {
                if (request.allow_missing())
                    continue;
                return {StatusCode::NOT_FOUND, "User '" + name + "' not found"};
            }
            Status status = put_masked(it->second->user, request.has_read_mask(),
                                       request.read_mask(), reply->add_users());
            if (!status.ok())
                return status;
        }
        return Status::OK;
    }

    Status list(const ListUsersRequest &request, ListUsersResponse *reply) const
    {
        int size = request.page_size() == 0 ? page_usual : std::min(request.page_size(), page_most);
        uint64_t after = strtoull(request.page_token().c_str(), nullptr, 10);
        std::shared_lock<std::shared_mutex> lock(mutex_);
        auto it = in_order_.upper_bound(after);
        reply->mutable_users()->Reserve(size);
        for (int i = 0; i != size && it != in_order_.end(); i++, ++it) {
            Status status = put_masked(it->second->user, request.has_read_mask(),
                                       request.read_mask(), reply->add_users());
            if (!status.ok())
                return status;
            after = it->first;
        }
        if (it != in_order_.end())
            reply->set_next_page_token(std::to_string(after));
        reply->set_total_size(static_cast<int64_t>(by_name_.size()));
        return Status::OK;
    }

    Status update(const UpdateUserRequest &request, User *reply)
    {
        std::unique_lock<std::shared_mutex> lock(mutex_);
        auto it = by_name_.find(request.user().name());
        if (it == by_name_.end())
            return {StatusCode::NOT_FOUND, "User '" + request.user().name() + "' not found"};
        Entry *entry = it->second.get();
        if (!request.user().etag().empty() && request.user().etag() != entry->user.etag())
            return {StatusCode::ABORTED, "etag: the user has been changed or deleted since: read it again"};
        User changed = entry->user;
        Status status = merge(request, &changed);
        if (!status.ok())
            return status;
        status = reindex(entry, changed);
        if (!status.ok())
            return status;
        auto now = std::chrono::system_clock::now().time_since_epoch();
        auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
        changed.mutable_update_time()->set_seconds(nanos / 1000000000);
        changed.mutable_update_time()->set_nanos(static_cast<int>(nanos % 1000000000));
        changed.set_etag(etag_of(++version_));
        entry->user = std::move(changed);
        *reply = entry->user;
        return Status::OK;
    }

  private:
    static Status merge(const UpdateUserRequest &request, User *user)
    {
        const User &from = request.user();
        if (!request.has_update_mask()) {
            if (!from.username().empty())
                user->set_username(from.username());
            if (!from.email().empty())
                user->set_email(from.email());
            if (from.roles_size() != 0)
                *user->mutable_roles() = from.roles();
            if (from.disabled())
                user->set_disabled(true);
            if (from.labels_size() != 0)
                *user->mutable_labels() = from.labels();
        }
        for (const std::string &path : request.update_mask().paths()) {
            if (path == "username")
                user->set_username(from.username());
            else if (path == "email")
                user->set_email(from.email());
            else if (path == "roles")
                *user->mutable_roles() = from.roles();
            else if (path == "disabled")
                user->set_disabled(from.disabled());
            else if (path == "labels")
                *user->mutable_labels() = from.labels();
            else
                return {StatusCode::INVALID_ARGUMENT, "update_mask: no such field: " + path};
        }
        if (user->username().empty() || user->username().size() > 255)
            return {StatusCode::INVALID_ARGUMENT, "username is required"};
        if (!user->email().empty() && !is_address(user->email()))
            return {StatusCode::INVALID_ARGUMENT, "email is not an address"};
        if (user->roles_size() > 32 || user->labels_size() > 32)
            return {StatusCode::INVALID_ARGUMENT, "too many roles or labels"};
        return Status::OK;
    }

    // Both are checked before either changes.
    Status reindex(Entry *entry, const User &changed)
    {
        const User &old = entry->user;
        bool username = changed.username() != old.username(), email = changed.email() != old.email();
        if (username && by_username_.count(changed.username()) != 0)
            return {StatusCode::ALREADY_EXISTS, "username is taken"};
        if (email && !changed.email().empty() && by_email_.count(changed.email()) != 0)
            return {StatusCode::ALREADY_EXISTS, "email is taken"};
        if (username) {
            by_username_.erase(old.username());
            by_username_.emplace(changed.username(), entry);
        }
        if (email) {
            by_email_.erase(old.email());
            if (!changed.email().empty())
                by_email_.emplace(changed.email(), entry);
        }
        return Status::OK;
    }

    mutable std::shared_mutex mutex_;
    std::unordered_map<std::string, std::unique_ptr<Entry>> by_name_;
    std::unordered_map<std::string, Entry *> by_username_, by_email_;
    std::map<uint64_t, Entry *> in_order_;
    uint64_t version_ = 0, seq_ = 0;
};

class Service final : public Directory::CallbackService {
  public:
    void preload(size_t count)
    {
        for (size_t i = 0; i != count; i++) {
            char name[32]; // as those that tests/bench/client makes
            snprintf(name, sizeof(name), "user%08zu", i + 1000000);
            table_.insert(name, std::string(name) + "@example.com");
        }
    }

    ServerUnaryReactor *GetUser(CallbackServerContext *context, const GetUserRequest *request,
                                User *reply) override
    {
        return answer(context, table_.get(*request, reply));
    }
    ServerUnaryReactor *LookupUser(CallbackServerContext *context, const LookupUserRequest *request,
                                   User *reply) override
    {
        return answer(context, table_.lookup(*request, reply));
    }
    ServerUnaryReactor *BatchGetUsers(CallbackServerContext *context,
                                      const BatchGetUsersRequest *request,
                                      BatchGetUsersResponse *reply) override
    {
        return answer(context, table_.batch(*request, reply));
    }
    ServerUnaryReactor *ListUsers(CallbackServerContext *context, const ListUsersRequest *request,
                                  ListUsersResponse *reply) override
    {
        return answer(context, table_.list(*request, reply));
    }
    ServerUnaryReactor *UpdateUser(CallbackServerContext *context, const UpdateUserRequest *request,
                                   User *reply) override
    {
        return answer(context, table_.update(*request, reply));
    }

  private:
    static ServerUnaryReactor *answer(CallbackServerContext *context, const Status &status)
    {
        ServerUnaryReactor *reactor = context->DefaultReactor();
        reactor->Finish(status);
        return reactor;
    }
    Table table_;
};

} // namespace

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s ADDR:PORT [PRELOADED_USERS]\n", argv[0]);
        return 2;
    }
    Service service;
    if (argc > 2)
        service.preload(strtoul(argv[2], nullptr, 10));
    grpc::ServerBuilder builder;
    builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials());
    builder.RegisterService(&service);
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (server == nullptr)
        return 1;
    printf("ready\n");
    fflush(stdout);
    server->Wait();
    return 0;
}
