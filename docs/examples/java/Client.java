// SPDX-License-Identifier: MIT
// A client for Java: creates a user, and reads it again. docs/clients.md says how to run it.
//   java -cp CLASSPATH Client [HOST PORT]
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import java.util.concurrent.TimeUnit;
import userservice.UserServiceGrpc;
import userservice.UserServiceOuterClass.CreateUserRequest;
import userservice.UserServiceOuterClass.GetUserRequest;
import userservice.UserServiceOuterClass.User;

public final class Client {
    public static void main(String[] arguments) throws InterruptedException {
        String host = arguments.length > 0 ? arguments[0] : "127.0.0.1";
        int port = arguments.length > 1 ? Integer.parseInt(arguments[1]) : 50051;
        ManagedChannel channel = ManagedChannelBuilder.forAddress(host, port).usePlaintext().build();
        UserServiceGrpc.UserServiceBlockingStub stub = UserServiceGrpc.newBlockingStub(channel);
        try {
            User made = stub.withDeadlineAfter(5, TimeUnit.SECONDS).createUser(
                CreateUserRequest.newBuilder().setUsername("java").setEmail("java@example.org")
                    .build());
            User user = stub.withDeadlineAfter(5, TimeUnit.SECONDS).getUser(
                GetUserRequest.newBuilder().setId(made.getId()).build());
            System.out.println(user.getUsername() + " " + user.getEmail() + " "
                + String.join(",", user.getRolesList()));
            stub.withDeadlineAfter(5, TimeUnit.SECONDS).getUser(
                GetUserRequest.newBuilder().setId("nobody").build());
        } catch (StatusRuntimeException error) {
            System.out.println(error.getStatus().getCode() + " " + error.getStatus().getDescription());
        } finally {
            channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
        }
    }
}
