// The check of the OpenAPI description by a client that a generator makes of it, apart from everything else because of the
// generator:
//
//	go test -C tools/openapi ./...
package openapi

import _ "github.com/oapi-codegen/runtime" // what the generated client imports
