package sampler

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// certificate is self-signed, and only ever read.
const certificate = `-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUbcVsHgOGIAMuQZ20WHBxiq7wUPkwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjIxODM1MjVaGA8yMTI2MTAyOTE4MzUy
NVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABLgN
UZM010W+9yVj3v6ZgH8DvJghiivHnEQzI7puu402lotvZZjv4lL4eRM1MrSZoOPA
doPEM1SKMJr3Pn5GH/OjUzBRMB0GA1UdDgQWBBQ8mQ2ntUyo9pHThtKP7Ccile96
BjAfBgNVHSMEGDAWgBQ8mQ2ntUyo9pHThtKP7Ccile96BjAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIDRusu3PvvnlNTTxky1uucFF4Sd9gvweiaK6
ybRLbLeIAiEA+q6RcWDfB/7Q4o11YUeQCx3oC1P55bqKHo7xoaqAL44=
-----END CERTIFICATE-----
`

func TestFilesThatAConfigurationNamesAreLookedAt(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	header := func(path string) config.Header {
		return config.Header{Name: "X", ValueFrom: &config.Credential{File: path}}
	}
	token, blank, absent := file("token", "Bearer x\n"), file("blank", " \n"), filepath.Join(dir, "absent")
	for name, tc := range map[string]struct {
		upstream config.Upstream
		policy   *config.Policy
		want     []statusz.File
	}{
		"a server that needs none": {},
		"headers, of which a file is missing or blank": {
			upstream: config.Upstream{Headers: []config.Header{
				{Name: "Team", Value: "a"}, header(token), header(blank), header(absent), {Name: "Y", ValueFrom: &config.Credential{Env: "Y"}},
			}},
			want: []statusz.File{
				{Path: token, State: statusz.CredentialLoaded},
				{Path: blank, State: statusz.CredentialMissing},
				{Path: absent, State: statusz.CredentialMissing},
			},
		},
		"certificates": {
			upstream: config.Upstream{CAFile: file("ca", certificate)},
			want:     []statusz.File{{Path: filepath.Join(dir, "ca"), State: statusz.CredentialLoaded}},
		},
		"certificates that are none": {
			upstream: config.Upstream{CAFile: token}, want: []statusz.File{{Path: token, State: statusz.CredentialMissing}},
		},
		"certificates that are absent": {
			upstream: config.Upstream{CAFile: absent}, want: []statusz.File{{Path: absent, State: statusz.CredentialMissing}},
		},
		"what providers and the store need, but keys of providers, which are looked at elsewhere": {
			policy: &config.Policy{
				Providers: []config.Provider{{CAFile: absent, Headers: []config.Header{header(token)}, Credential: &config.Credential{File: blank}}},
				Limits:    config.SamplingLimits{Store: &config.Store{CAFile: absent, Credential: &config.Credential{File: blank}}},
			},
			want: []statusz.File{
				{Path: absent, State: statusz.CredentialMissing},
				{Path: token, State: statusz.CredentialLoaded},
				{Path: blank, State: statusz.CredentialMissing},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, filesOf(&config.Effective{Upstream: tc.upstream, Policy: tc.policy})); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}
