//go:build tools

// A module of its own: ghz needs an older grpc-go than grpcurl.
package tools

import _ "github.com/bojand/ghz/cmd/ghz"
