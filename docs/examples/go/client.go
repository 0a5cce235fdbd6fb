// SPDX-License-Identifier: MIT

// A client for Go: creates a user, and reads it again. docs/clients.md says how to run it.
//
//	client [ADDRESS]
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"example.org/client/userservice"
)

func main() {
	address := "127.0.0.1:50051"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	connection, err := grpc.Dial(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	client := userservice.NewUserServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	made, err := client.CreateUser(ctx, &userservice.CreateUserRequest{
		Username: "go", Email: "go@example.org"})
	if err != nil {
		log.Fatal(err)
	}
	user, err := client.GetUser(ctx, &userservice.GetUserRequest{Id: made.Id})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user.Username, user.Email, strings.Join(user.Roles, ","))
	_, err = client.GetUser(ctx, &userservice.GetUserRequest{Id: "nobody"})
	fmt.Println(status.Code(err), status.Convert(err).Message())
}
