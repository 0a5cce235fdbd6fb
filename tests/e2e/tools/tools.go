//go:build tools

// The clients that the end-to-end tests run; go.sum pins every byte of them.
package tools

import (
	_ "github.com/fullstorydev/grpcurl/cmd/grpcurl"
	_ "github.com/summerwind/h2spec/cmd/h2spec"
)
