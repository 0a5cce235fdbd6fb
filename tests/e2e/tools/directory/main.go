// SPDX-License-Identifier: MIT

// Checks the Directory service with code that protoc-gen-go-grpc made from its .proto file. Each
// check prints one line. The server's table is empty before, and has unique user names and e-mail
// addresses.
//
// Usage: directory ADDRESS
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	pb "rosterd/tests/e2e/tools/directory/pb"
)

type suite struct {
	directory pb.DirectoryClient
	ctx       context.Context
}

// A check that fails panics with what was wrong.
func expect(condition bool, format string, values ...any) {
	if !condition {
		panic(fmt.Sprintf(format, values...))
	}
}

func must[T any](value T, err error) T {
	expect(err == nil, "%v", err)
	return value
}

// The call failed with this code; field is the one that its details name, or "".
func refused(err error, code codes.Code, field string) {
	expect(status.Code(err) == code, "%v, not %v", err, code)
	if field == "" {
		return
	}
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			expect(len(bad.FieldViolations) == 1 && bad.FieldViolations[0].Field == field,
				"the details name %v, not %s", bad.FieldViolations, field)
			return
		}
	}
	panic(fmt.Sprintf("%v has no BadRequest", err))
}

func (s *suite) create(username string, more func(user *pb.User)) *pb.User {
	user := &pb.User{Username: username, Email: username + "@example.org"}
	if more != nil {
		more(user)
	}
	return must(s.directory.CreateUser(s.ctx, &pb.CreateUserRequest{User: user}))
}

func (s *suite) update(user *pb.User, paths ...string) (*pb.User, error) {
	request := &pb.UpdateUserRequest{User: user}
	if paths != nil {
		request.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
	}
	return s.directory.UpdateUser(s.ctx, request)
}

// ---- checks ----

func (s *suite) CreatedUserIsFoundByNameUsernameAndEmail() {
	user := s.create("ann", func(user *pb.User) {
		user.Roles = []string{"admin", "user"}
		user.Labels = map[string]string{"team": "blue", "empty": ""}
		user.Disabled = true
	})
	expect(user.Labels["team"] == "blue" && len(user.Labels) == 2, "labels %v", user.Labels)
	expect(user.CreateTime.AsTime().Sub(time.Now()).Abs() < time.Minute, "created %v", user.CreateTime)
	expect(user.Disabled && !user.HasPassword && user.Etag != "", "%v", user)
	byName := must(s.directory.GetUser(s.ctx, &pb.GetUserRequest{Name: user.Name}))
	byUsername := must(s.directory.LookupUser(s.ctx, &pb.LookupUserRequest{
		Key: &pb.LookupUserRequest_Username{Username: "ann"}}))
	byEmail := must(s.directory.LookupUser(s.ctx, &pb.LookupUserRequest{
		Key: &pb.LookupUserRequest_Email{Email: "ann@EXAMPLE.ORG"}}))
	for _, found := range []*pb.User{byName, byUsername, byEmail} {
		expect(proto.Equal(found, user), "%v, not %v", found, user)
	}
}

func (s *suite) MaskSaysWhatIsRead() {
	user := s.create("bea", nil)
	mask := &fieldmaskpb.FieldMask{Paths: []string{"username", "etag"}}
	read := must(s.directory.GetUser(s.ctx, &pb.GetUserRequest{Name: user.Name, ReadMask: mask}))
	expect(proto.Equal(read, &pb.User{Username: "bea", Etag: user.Etag}), "%v", read)
	mask.Paths[1] = "shoe_size"
	_, err := s.directory.GetUser(s.ctx, &pb.GetUserRequest{Name: user.Name, ReadMask: mask})
	refused(err, codes.InvalidArgument, "read_mask")
}

func (s *suite) UpdateChangesWhatTheMaskNames() {
	user := s.create("cid", func(user *pb.User) { user.Roles = []string{"a"} })
	changed := must(s.update(&pb.User{Name: user.Name, Username: "cyd", Email: "cyd@example.org"},
		"email", "roles"))
	expect(changed.Username == "cid" && changed.Email == "cyd@example.org" && changed.Roles == nil,
		"%v", changed)
	expect(changed.Etag != user.Etag, "the etag is %s still", changed.Etag)
	again := s.create("cydney", func(user *pb.User) { user.Email = "cid@example.org" })
	expect(again.Email == "cid@example.org", "%v", again) // it was free at once
	_, err := s.update(&pb.User{Name: user.Name, Etag: user.Etag, Disabled: true})
	refused(err, codes.Aborted, "")
	_, err = s.update(&pb.User{Name: user.Name}, "create_time")
	refused(err, codes.InvalidArgument, "update_mask")
	_, err = s.update(&pb.User{Name: user.Name, Username: "cydney"})
	refused(err, codes.AlreadyExists, "")
}

func (s *suite) EtagIsACompareAndSet() {
	user := s.create("dan", nil)
	const rivals = 8
	var wait sync.WaitGroup
	won := make(chan string, rivals)
	for i := 0; i < rivals; i++ {
		wait.Add(1)
		go func(role string) {
			defer wait.Done()
			_, err := s.update(&pb.User{Name: user.Name, Etag: user.Etag, Roles: []string{role}})
			if err == nil {
				won <- role
			} else if status.Code(err) != codes.Aborted {
				won <- err.Error()
			}
		}(fmt.Sprintf("r%d", i))
	}
	wait.Wait()
	expect(len(won) == 1, "%d of %d rivals won", len(won), rivals)
	now := must(s.directory.GetUser(s.ctx, &pb.GetUserRequest{Name: user.Name}))
	role := <-won
	expect(len(now.Roles) == 1 && now.Roles[0] == role, "%v, but %s won", now, role)
}

func (s *suite) BatchAnswersInTheOrderAsked() {
	eve, fay := s.create("eve", nil), s.create("fay", nil)
	missing := "users/00000000-0000-4000-8000-000000000000"
	request := &pb.BatchGetUsersRequest{Names: []string{fay.Name, missing, eve.Name, fay.Name}}
	_, err := s.directory.BatchGetUsers(s.ctx, request)
	refused(err, codes.NotFound, "")
	request.AllowMissing = true
	reply := must(s.directory.BatchGetUsers(s.ctx, request))
	expect(proto.Equal(reply, &pb.BatchGetUsersResponse{Users: []*pb.User{fay, eve, fay}}), "%v", reply)
}

func (s *suite) PagesHaveAllUsersOnce() {
	for i := 0; i < 25; i++ {
		s.create(fmt.Sprintf("page%02d", i), func(user *pb.User) {
			user.Labels = map[string]string{"even": fmt.Sprint(i%2 == 0)}
		})
	}
	for filter, count := range map[string]int{"": 0, `username = "page*"`: 25,
		`username = "page*" AND labels.even = "true"`: 13} {
		var names []string
		request := &pb.ListUsersRequest{PageSize: 7, Filter: filter}
		total := int64(0)
		for first := true; first || request.PageToken != ""; first = false {
			page := must(s.directory.ListUsers(s.ctx, request))
			for _, user := range page.Users {
				names = append(names, user.Name)
			}
			request.PageToken, total = page.NextPageToken, page.TotalSize
		}
		if filter == "" {
			count = int(total)
		}
		seen := map[string]bool{}
		for _, name := range names {
			seen[name] = true
		}
		expect(len(names) == count && len(seen) == count, "%q: %d names, %d users, not %d", filter,
			len(names), len(seen), count)
	}
	_, err := s.directory.ListUsers(s.ctx, &pb.ListUsersRequest{Filter: "username ="})
	refused(err, codes.InvalidArgument, "filter")
	_, err = s.directory.ListUsers(s.ctx, &pb.ListUsersRequest{PageToken: "x"})
	refused(err, codes.InvalidArgument, "page_token")
}

func (s *suite) DeletedUserIsGone() {
	user := s.create("gus", nil)
	_, err := s.directory.DeleteUser(s.ctx, &pb.DeleteUserRequest{Name: user.Name, Etag: `"1"`})
	refused(err, codes.Aborted, "")
	must(s.directory.DeleteUser(s.ctx, &pb.DeleteUserRequest{Name: user.Name, Etag: user.Etag}))
	_, err = s.directory.GetUser(s.ctx, &pb.GetUserRequest{Name: user.Name})
	refused(err, codes.NotFound, "")
	_, err = s.directory.DeleteUser(s.ctx, &pb.DeleteUserRequest{Name: user.Name})
	refused(err, codes.NotFound, "")
	must(s.directory.DeleteUser(s.ctx, &pb.DeleteUserRequest{Name: user.Name, AllowMissing: true}))
	again := s.create("gus", nil)
	expect(again.Name != user.Name, "%v", again)
}

func (s *suite) verify(username, password string) (*pb.User, error) {
	return s.directory.VerifyPassword(s.ctx, &pb.VerifyPasswordRequest{
		Key: &pb.VerifyPasswordRequest_Username{Username: username}, Password: password})
}

func (s *suite) PasswordIsVerifiedAndReplaced() {
	user := must(s.directory.CreateUser(s.ctx, &pb.CreateUserRequest{
		User:       &pb.User{Username: "hal"},
		Credential: &pb.CreateUserRequest_Password{Password: "correct horse"}}))
	expect(user.HasPassword, "%v", user)
	expect(proto.Equal(must(s.verify("hal", "correct horse")), user), "another user")
	changed := must(s.directory.SetPassword(s.ctx, &pb.SetPasswordRequest{Name: user.Name, Etag: user.Etag,
		Credential: &pb.SetPasswordRequest_Password{Password: "battery staple"}}))
	expect(changed.HasPassword && changed.Etag != user.Etag, "%v", changed)
	_, err := s.directory.SetPassword(s.ctx, &pb.SetPasswordRequest{Name: user.Name, Etag: user.Etag,
		Credential: &pb.SetPasswordRequest_PasswordHash{}})
	refused(err, codes.Aborted, "")
	must(s.verify("hal", "battery staple"))
	_, err = s.directory.SetPassword(s.ctx, &pb.SetPasswordRequest{Name: user.Name})
	refused(err, codes.InvalidArgument, "credential")
	_, err = s.directory.SetPassword(s.ctx, &pb.SetPasswordRequest{Name: user.Name,
		Credential: &pb.SetPasswordRequest_PasswordHash{PasswordHash: "$1$old$kind"}})
	refused(err, codes.InvalidArgument, "password_hash")
}

func (s *suite) WhoMayNotLogInIsToldOneThing() {
	must(s.directory.CreateUser(s.ctx, &pb.CreateUserRequest{User: &pb.User{Username: "ida"},
		Credential: &pb.CreateUserRequest_Password{Password: "correct horse"}}))
	must(s.directory.CreateUser(s.ctx, &pb.CreateUserRequest{
		User:       &pb.User{Username: "jan", Disabled: true},
		Credential: &pb.CreateUserRequest_Password{Password: "correct horse"}}))
	s.create("kim", nil)
	told := map[string]bool{}
	for _, try := range [][2]string{{"ida", "wrong"}, {"jan", "correct horse"}, {"kim", "correct horse"},
		{"nobody", "correct horse"}} {
		_, err := s.verify(try[0], try[1])
		refused(err, codes.Unauthenticated, "")
		told[err.Error()] = true
	}
	expect(len(told) == 1, "%v", told)
}

func (s *suite) ImportAnswersEachRequestInOrder() {
	const count = 1000
	stream := must(s.directory.ImportUsers(s.ctx))
	sent := make(chan error, 1)
	go func() {
		for i := 0; i < count; i++ {
			create := &pb.CreateUserRequest{User: &pb.User{Username: fmt.Sprintf("import%d", i-i%10/9)}}
			if i%100 == 50 {
				create.Credential = &pb.CreateUserRequest_Password{Password: "correct horse"}
			}
			if err := stream.Send(&pb.ImportUsersRequest{Create: create}); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	for i := 0; i < count; i++ { // the tenth of each ten has the name of the ninth
		answer := must(stream.Recv())
		expect(answer.Index == int64(i), "%d, not %d", answer.Index, i)
		if i%10 == 9 {
			refused(status.ErrorProto(answer.Error), codes.AlreadyExists, "create.user.username")
			continue
		}
		expect(answer.Error == nil && answer.User.Username == fmt.Sprintf("import%d", i), "%v", answer)
		expect(answer.User.HasPassword == (i%100 == 50), "%v", answer)
	}
	_, err := stream.Recv()
	expect(err == io.EOF, "%v", err)
	expect(<-sent == nil, "a request was not sent")
	must(s.verify("import50", "correct horse"))
}

func (s *suite) RequestIsDoneOnce() {
	const id = "8f2b8a7e-52f5-4a53-9a06-5d1c39a1c7f0"
	request := &pb.CreateUserRequest{User: &pb.User{Username: "mia"}, RequestId: id}
	first := must(s.directory.CreateUser(s.ctx, request))
	again := must(s.directory.CreateUser(s.ctx, request))
	expect(proto.Equal(again, first), "%v, not %v", again, first)
	request.User.Username = "max"
	_, err := s.directory.CreateUser(s.ctx, request)
	refused(err, codes.InvalidArgument, "request_id")
}

func (s *suite) WatchTellsChangesAndGoesOnBehindAToken() {
	watch := func(request *pb.WatchUsersRequest) pb.Directory_WatchUsersClient {
		return must(s.directory.WatchUsers(s.ctx, request))
	}
	next := func(stream pb.Directory_WatchUsersClient, kind pb.WatchUsersResponse_Type) *pb.WatchUsersResponse {
		event := must(stream.Recv())
		expect(event.Type == kind, "%v, not %v", event, kind)
		return event
	}
	all := watch(&pb.WatchUsersRequest{SendInitial: true})
	users := 0
	for event := must(all.Recv()); event.Type != pb.WatchUsersResponse_INITIAL_DONE; event = must(all.Recv()) {
		expect(event.Type == pb.WatchUsersResponse_CREATED && event.User.Name != "", "%v", event)
		users++
	}
	page := must(s.directory.ListUsers(s.ctx, &pb.ListUsersRequest{PageSize: 1}))
	expect(int64(users) == page.TotalSize, "%d users, not %d", users, page.TotalSize)
	user := s.create("liv", nil)
	created := next(all, pb.WatchUsersResponse_CREATED)
	expect(proto.Equal(created.User, user), "%v, not %v", created.User, user)
	must(s.update(&pb.User{Name: user.Name, Disabled: true}))
	must(s.directory.DeleteUser(s.ctx, &pb.DeleteUserRequest{Name: user.Name}))
	later := watch(&pb.WatchUsersRequest{ResumeToken: created.ResumeToken})
	event := must(later.Recv())
	if event.Type == pb.WatchUsersResponse_UPDATED { // passed over where the delete is seen first
		event = must(later.Recv())
	}
	expect(event.Type == pb.WatchUsersResponse_DELETED &&
		proto.Equal(event.User, &pb.User{Name: user.Name}), "%v", event)
	_, err := watch(&pb.WatchUsersRequest{ResumeToken: "x"}).Recv()
	refused(err, codes.InvalidArgument, "resume_token")
}

// ---- the suite ----

func run(name string, check func()) (good bool) {
	defer func() {
		if why := recover(); why != nil {
			fmt.Printf("FAILED %s: %v\n", name, why)
			good = false
		}
	}()
	check()
	fmt.Println("ok", name)
	return true
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: directory ADDRESS")
		os.Exit(2)
	}
	connection := must(grpc.Dial(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy()))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s := &suite{pb.NewDirectoryClient(connection), ctx}
	good := true
	for _, check := range []struct {
		name string
		run  func()
	}{
		{"CreatedUserIsFoundByNameUsernameAndEmail", s.CreatedUserIsFoundByNameUsernameAndEmail},
		{"MaskSaysWhatIsRead", s.MaskSaysWhatIsRead},
		{"UpdateChangesWhatTheMaskNames", s.UpdateChangesWhatTheMaskNames},
		{"EtagIsACompareAndSet", s.EtagIsACompareAndSet},
		{"BatchAnswersInTheOrderAsked", s.BatchAnswersInTheOrderAsked},
		{"PagesHaveAllUsersOnce", s.PagesHaveAllUsersOnce},
		{"DeletedUserIsGone", s.DeletedUserIsGone},
		{"PasswordIsVerifiedAndReplaced", s.PasswordIsVerifiedAndReplaced},
		{"WhoMayNotLogInIsToldOneThing", s.WhoMayNotLogInIsToldOneThing},
		{"ImportAnswersEachRequestInOrder", s.ImportAnswersEachRequestInOrder},
		{"RequestIsDoneOnce", s.RequestIsDoneOnce},
		{"WatchTellsChangesAndGoesOnBehindAToken", s.WatchTellsChangesAndGoesOnBehindAToken},
	} {
		good = run(check.name, check.run) && good
	}
	if !good {
		os.Exit(1)
	}
}
