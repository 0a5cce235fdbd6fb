// SPDX-License-Identifier: MIT

//go:build tools

package tools

import (
	_ "github.com/grpc-ecosystem/grpc-health-probe"
	_ "google.golang.org/grpc/interop/client"
)
