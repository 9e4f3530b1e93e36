package layout

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNew(t *testing.T) {
	for sentence, test := range map[string]struct {
		cache, name string
		want        Cluster
		wantError   string
	}{
		"a cluster has a folder in the cache": {
			cache: "/home/me/cache", name: "dev",
			want: Cluster{Name: "dev", Dir: "/home/me/cache/clusters/dev"},
		},
		"a name with a slash could leave the cache": {cache: "/c", name: "../x", wantError: "lower-case"},
		"a name may not be empty":                   {cache: "/c", name: "", wantError: "lower-case"},
		"a name has to fit a host name":             {cache: "/c", name: strings.Repeat("a", 31), wantError: "at most 30"},
		"a cache that the cluster would cover is refused with what to set": {
			cache: "/var/lib/me", name: "dev", wantError: CacheVariable,
		},
		"a folder whose name only begins like a covered one is fine": {
			cache: "/runner/cache", name: "dev",
			want: Cluster{Name: "dev", Dir: "/runner/cache/clusters/dev"},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := New(test.cache, test.name)
			if test.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantError) {
					t.Fatalf("New() error = %v, want one with %q", err, test.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("New() (-want +got):\n%s", diff)
			}
		})
	}
}
