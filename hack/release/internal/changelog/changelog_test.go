package changelog

import (
	"strings"
	"testing"
)

func TestSection(t *testing.T) {
	const log = "# Changelog\n\n## [Unreleased]\n\n- new\n\n## [0.2.0] - 2026-01-31\n\n### Added\n\n- two\n\n## [0.1.0] - 2026-01-01\n"
	for name, tc := range map[string]struct {
		log, version  string
		want, wantErr string
	}{
		"a version between others":   {log: log, version: "v0.2.0", want: "### Added\n\n- two\n"},
		"a version of nothing":       {log: log, version: "v0.1.0", wantErr: "says nothing of v0.1.0"},
		"a version that is not told": {log: log, version: "v0.3.0", wantErr: "says nothing of v0.3.0"},
		"the beginning of a version": {log: log, version: "v0.2", wantErr: "says nothing of v0.2"},
		"a heading of another form":  {log: "## v0.2.0\n", version: "v0.2.0", wantErr: "the heading"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Section(tc.log, tc.version)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error %v, want one with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
