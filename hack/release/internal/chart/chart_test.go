package chart

import (
	"strings"
	"testing"
)

func TestPin(t *testing.T) {
	const values = "# The manager's.\nimage:\n  repository: r\n  # Beats the tag.\n  digest: \"\"\nsamplerImage:\n  digest: \"\"\n"
	for name, tc := range map[string]struct {
		values  string
		digests map[string]string
		want    string
		wantErr string
	}{
		"comments stay": {
			values: values, digests: map[string]string{"image": "sha256:a", "samplerImage": "sha256:b"},
			want: "# The manager's.\nimage:\n  repository: r\n  # Beats the tag.\n  digest: \"sha256:a\"\nsamplerImage:\n  digest: \"sha256:b\"\n",
		},
		"no place for a digest":   {values: "image: {repository: r}\n", digests: map[string]string{"image": "sha256:a"}, wantErr: "image.digest"},
		"no image of that name":   {values: values, digests: map[string]string{"other": "sha256:a"}, wantErr: "other.digest"},
		"a digest that is there":  {values: "image:\n  digest: sha256:c\n", digests: map[string]string{"image": "sha256:a"}, wantErr: "no empty image.digest"},
		"values that are no YAML": {values: "image: [", wantErr: "read the chart's values"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := pin([]byte(tc.values), tc.digests)
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
