// SPDX-License-Identifier: MIT
//
// The gRPC C++ server that rosterd is compared with. It has the same five calls on
// gRPC C++'s callback API over an in-memory table, written as its documentation advises.
// Usage: grpc_cpp_server ADDR:PORT [PRELOADED_USERS]
#include <sys/random.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include <google/protobuf/arena.h>
#include <grpcpp/grpcpp.h>

#include "user_service.grpc.pb.h"

namespace {

using grpc::CallbackServerContext;
using grpc::Status;
using grpc::StatusCode;
using userservice::BatchResult;
using userservice::ChatMessage;
using userservice::CreateUserRequest;
using userservice::GetUserRequest;
using userservice::ListUsersRequest;
using userservice::User;

std::string random_uuid()
{
    static thread_local unsigned char pool[4096];
    static thread_local size_t used = sizeof(pool);
    if (used == sizeof(pool)) {
        if (getrandom(pool, sizeof(pool), 0) != sizeof(pool))
            std::abort();
        used = 0;
    }
    unsigned char *b = pool + used;
    used += 16;
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    static const char hex[] = "0123456789abcdef";
    std::string text;
    text.reserve(36);
    for (int i = 0; i != 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text += '-';
        text += hex[b[i] >> 4];
        text += hex[b[i] & 15];
    }
    return text;
}

// Users are never changed or removed. So a pointer to a user stays valid, and the
// snapshot of a listing is the length of the table when the listing began.
class Table {
  public:
    const User *find(const std::string &id) const
    {
        std::shared_lock<std::shared_mutex> lock(mutex_);
        auto it = by_id_.find(id);
        return it == by_id_.end() ? nullptr : it->second;
    }

    const User *insert(const CreateUserRequest &request)
    {
        auto *user = new User;
        user->set_id(random_uuid());
        user->set_username(request.username());
        user->set_email(request.email());
        user->set_created_at(time(nullptr));
        user->add_roles("user");
        std::unique_lock<std::shared_mutex> lock(mutex_);
        by_id_.emplace(user->id(), user);
        in_order_.push_back(user);
        return user;
    }

    std::vector<const User *> page(size_t limit) const
    {
        std::shared_lock<std::shared_mutex> lock(mutex_);
        size_t n = std::min(limit, in_order_.size());
        return {in_order_.begin(), in_order_.begin() + static_cast<long>(n)};
    }

  private:
    mutable std::shared_mutex mutex_;
    std::unordered_map<std::string, const User *> by_id_;
    std::vector<const User *> in_order_;
};

const char *fault_of(const CreateUserRequest &request)
{
    if (request.username().empty())
        return "username is required";
    if (request.username().size() > 255)
        return "username is longer than 255 bytes";
    const std::string &email = request.email();
    size_t at = email.find('@');
    if (!email.empty() && (email.size() > 254 || at == std::string::npos || at == 0 ||
                           at + 1 == email.size() || email.find('@', at + 1) != std::string::npos))
        return "email is not an address";
    if (request.password().size() > 1024)
        return "password is longer than 1024 bytes";
    return nullptr;
}

class ListReactor final : public grpc::ServerWriteReactor<User> {
  public:
    explicit ListReactor(std::vector<const User *> users) : users_(std::move(users)) { next(); }
    void OnWriteDone(bool ok) override
    {
        if (ok)
            next();
        else
            Finish(Status::CANCELLED);
    }
    void OnDone() override { delete this; }

  private:
    void next()
    {
        if (at_ == users_.size())
            Finish(Status::OK);
        else
            StartWrite(users_[at_++]);
    }
    std::vector<const User *> users_;
    size_t at_ = 0;
};

class BatchReactor final : public grpc::ServerReadReactor<CreateUserRequest> {
  public:
    BatchReactor(Table *table, BatchResult *result) : table_(table), result_(result)
    {
        StartRead(&request_);
    }
    void OnReadDone(bool ok) override
    {
        if (!ok) {
            Finish(Status::OK);
            return;
        }
        if (const char *fault = fault_of(request_)) {
            result_->add_errors(std::to_string(position_) + ": " + fault);
        } else {
            table_->insert(request_);
            result_->set_created(result_->created() + 1);
        }
        position_++;
        StartRead(&request_);
    }
    void OnDone() override { delete this; }

  private:
    Table *table_;
    BatchResult *result_;
    CreateUserRequest request_;
    int position_ = 0;
};

class ChatReactor final : public grpc::ServerBidiReactor<ChatMessage, ChatMessage> {
  public:
    ChatReactor() { StartRead(&request_); }
    void OnReadDone(bool ok) override
    {
        if (!ok) {
            Finish(Status::OK);
            return;
        }
        auto now = std::chrono::system_clock::now().time_since_epoch();
        reply_.set_user_id("server");
        reply_.set_text("Echo: " + request_.text());
        reply_.set_timestamp(
            std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
        StartWrite(&reply_);
    }
    void OnWriteDone(bool ok) override
    {
        if (ok)
            StartRead(&request_);
        else
            Finish(Status::CANCELLED);
    }
    void OnDone() override { delete this; }

  private:
    ChatMessage request_, reply_;
};

class Service final : public userservice::UserService::CallbackService {
  public:
    void preload(size_t count)
    {
        CreateUserRequest request;
        for (size_t i = 0; i != count; i++) {
            char name[32];
            snprintf(name, sizeof(name), "user%08zu", i);
            request.set_username(name);
            request.set_email(std::string(name) + "@example.com");
            const User *user = table_.insert(request);
            if (i == count / 2)
                printf("%s\n", user->id().c_str());
        }
        fflush(stdout);
    }

    grpc::ServerUnaryReactor *GetUser(CallbackServerContext *context, const GetUserRequest *request,
                                      User *reply) override
    {
        auto *reactor = context->DefaultReactor();
        const User *user = table_.find(request->id());
        if (user == nullptr) {
            reactor->Finish(Status(StatusCode::NOT_FOUND, "User " + request->id() + " not found"));
            return reactor;
        }
        *reply = *user;
        reactor->Finish(Status::OK);
        return reactor;
    }

    grpc::ServerUnaryReactor *CreateUser(CallbackServerContext *context,
                                         const CreateUserRequest *request, User *reply) override
    {
        auto *reactor = context->DefaultReactor();
        if (const char *fault = fault_of(*request)) {
            reactor->Finish(Status(StatusCode::INVALID_ARGUMENT, fault));
            return reactor;
        }
        *reply = *table_.insert(*request);
        reactor->Finish(Status::OK);
        return reactor;
    }

    grpc::ServerWriteReactor<User> *ListUsers(CallbackServerContext *,
                                              const ListUsersRequest *request) override
    {
        int size = request->page_size();
        return new ListReactor(table_.page(size == 0 ? 10 : static_cast<size_t>(size)));
    }

    grpc::ServerReadReactor<CreateUserRequest> *BatchCreateUsers(CallbackServerContext *,
                                                                 BatchResult *result) override
    {
        return new BatchReactor(&table_, result);
    }

    grpc::ServerBidiReactor<ChatMessage, ChatMessage> *Chat(CallbackServerContext *) override
    {
        return new ChatReactor;
    }

  private:
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
