// Package main is devcluster: the programs of a Kubernetes node in one binary, and the commands
// that run them as a cluster on one Linux machine without a container engine.
//
// The name it is called by, or else its first argument, may be the name of a component.
package main

import (
	"os"
	"path/filepath"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/cli"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/components"
)

func main() {
	if run, ok := components.Named(filepath.Base(os.Args[0])); ok {
		os.Exit(run())
	}
	if len(os.Args) > 1 {
		if run, ok := components.Named(os.Args[1]); ok {
			os.Args = os.Args[1:]
			os.Exit(run())
		}
	}
	os.Exit(cli.Run(os.Args[1:], func(name string) bool {
		_, ok := components.Named(name)
		return ok
	}))
}
