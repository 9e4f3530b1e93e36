package krew

import (
	"strings"
	"testing"
)

func TestManifest(t *testing.T) {
	const template = `# How to fill it in.
kind: Plugin
spec:
  version: ${VERSION}
  platforms:
  - uri: a_${VERSION}
    sha256: ${SHA256_LINUX_AMD64}
  - uri: b_${VERSION}
    sha256: ${SHA256_DARWIN_ARM64}
`
	for name, tc := range map[string]struct {
		template      string
		archives      []Archive
		want, wantErr string
	}{
		"a platform without an archive is left out": {
			template: template, archives: []Archive{{"linux", "amd64", "123456"}},
			want: "kind: Plugin\nspec:\n  version: v1.2.3\n  platforms:\n    - uri: a_v1.2.3\n      sha256: \"123456\"\n",
		},
		"an archive for a platform that the template lacks": {
			template: template, archives: []Archive{{"linux", "arm64", "123abc"}}, wantErr: "${SHA256_LINUX_ARM64}",
		},
		"a template without platforms": {template: "kind: Plugin\n", wantErr: "spec.platforms"},
		"an empty template":            {wantErr: "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Manifest([]byte(tc.template), "v1.2.3", tc.archives)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error %v, want one with %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tc.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
}
