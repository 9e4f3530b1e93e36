// Package tools is only here to give the module a package: go.mod pins the
// build tools, which run by `go tool -modfile=hack/tools/go.mod NAME`.
package tools
