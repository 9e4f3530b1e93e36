package version

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestDescribe(t *testing.T) {
	for name, tc := range map[string]struct {
		version, commit string
		build           *debug.BuildInfo
		want            Info
	}{
		"a release says what the linker was told": {
			version: "v1.2.3", commit: "abc",
			build: &debug.BuildInfo{Main: debug.Module{Version: "v9.9.9"}, Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "def"}}},
			want:  Info{Version: "v1.2.3", Commit: "abc"},
		},
		"go install knows the version and no commit": {
			build: &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}},
			want:  Info{Version: "v1.2.3", Commit: "unknown"},
		},
		"a build in a checkout knows the commit and no version": {
			build: &debug.BuildInfo{
				Main:     debug.Module{Version: "v1.2.4-0.20260101000000-abcdefabcdef"},
				Settings: []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "abc"}},
			},
			want: Info{Version: "dev", Commit: "abc"},
		},
		"a build without version control": {
			build: &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}},
			want:  Info{Version: "dev", Commit: "unknown"},
		},
		"nothing is known": {want: Info{Version: "dev", Commit: "unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := describe(tc.version, tc.commit, tc.build)
			if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(Info{}, "Go", "Platform")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got.Go != runtime.Version() || got.Platform != runtime.GOOS+"/"+runtime.GOARCH {
				t.Errorf("%s, %s: not what this test was built with", got.Go, got.Platform)
			}
		})
	}
}

func TestString(t *testing.T) {
	info := Info{Version: "v1.2.3", Commit: "abc", Go: "go1.99", Platform: "plan9/386"}
	if got, want := info.String(), "v1.2.3 (commit abc, go1.99, plan9/386)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
