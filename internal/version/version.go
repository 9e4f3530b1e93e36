// Package version says which release a program is, from which commit it was built,
// and with which Go.
package version

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// Set by the linker: -X PACKAGE.version=v1.2.3 -X PACKAGE.commit=HASH.
var (
	version string
	commit  string
)

// Info is what a program can say about itself.
type Info struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Get returns what the linker was told, and for a build without that what Go
// knows of it. What is not known is "dev" or "unknown".
func Get() Info {
	info, _ := debug.ReadBuildInfo()
	return describe(version, commit, info)
}

// Short is the version alone.
func Short() string { return Get().Version }

// String is what --version prints after the program's name.
func (i Info) String() string {
	return fmt.Sprintf("%s (commit %s, %s, %s)", i.Version, i.Commit, i.Go, i.Platform)
}

func describe(version, commit string, build *debug.BuildInfo) Info {
	info := Info{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if build != nil {
		// What is built in a checkout has a made-up version or "(devel)"; its commit
		// says more. "go install MODULE@VERSION" knows the version and no commit.
		if v := build.Main.Version; v != "(devel)" && setting(build, "vcs") == "" {
			info.Version = cmp.Or(info.Version, v)
		}
		info.Commit = cmp.Or(info.Commit, setting(build, "vcs.revision"))
	}
	info.Version = cmp.Or(info.Version, "dev")
	info.Commit = cmp.Or(info.Commit, "unknown")
	return info
}

func setting(build *debug.BuildInfo, key string) string {
	for _, s := range build.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
