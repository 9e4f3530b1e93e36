package sampler

import (
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil { // as the kubelet does
		t.Fatal(err)
	}
}

func TestHeadersForTheServer(t *testing.T) {
	if serverHeader(nil) != nil {
		t.Error("no headers cost something with each request")
	}
	path := filepath.Join(t.TempDir(), "token")
	read := serverHeader([]config.Header{
		{Name: "x-tenant", Value: "t"},
		{Name: "Authorization", ValueFrom: &config.Credential{File: path, Ref: "Secret remote, key token"}},
	})
	for _, step := range []struct{ file, want, wantErr string }{
		{"", "", "header Authorization, Secret remote, key token: the value's file does not exist"},
		{"Bearer one\n", "Bearer one", ""},
		{"Bearer two\n", "Bearer two", ""},
		{" \n", "", "header Authorization, Secret remote, key token: the value is empty"},
		{"Bearer th\nree", "", "header Authorization, Secret remote, key token: the value has a line end or another control character"},
	} {
		if step.file != "" {
			writeFile(t, path, step.file)
		}
		header, err := read()
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != step.wantErr || header.Get("Authorization") != step.want {
			t.Errorf("with %q: Authorization %q, error %q; want %q and %q", step.file, header.Get("Authorization"), text, step.want, step.wantErr)
		}
		if err == nil && header.Get("X-Tenant") != "t" {
			t.Errorf("X-Tenant %q", header.Get("X-Tenant"))
		}
	}
}

func TestTheKeyOfSessionsIsReadOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	writeFile(t, path, strings.Repeat(" ", 32)) // random bytes can be white space
	l := &live{}
	first, err := l.newSealer(path)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, strings.Repeat("x", 32))
	if again, err := l.newSealer(path); again != first || err != nil {
		t.Errorf("another sealer, error %v: names of open sessions would not open", err)
	}
	random, err := l.newSealer("")
	if err != nil || random == first {
		t.Errorf("without a file the sealer is still the one before, error %v", err)
	}
	if again, _ := l.newSealer(""); again != random {
		t.Error("the random key did not stay")
	}
}

func TestWhatAConfigurationNamesMustBeMounted(t *testing.T) {
	dir := t.TempDir()
	there, elsewhere := filepath.Join(dir, "a"), filepath.Join(dir, "none", "a")
	got := map[string]string{}
	for name, change := range map[string]func(*config.Effective){
		"everything there": func(c *config.Effective) {
			c.Sessions.KeyFile, c.Upstream.CAFile = there, there
			c.Upstream.Headers = []config.Header{{Name: "A", ValueFrom: &config.Credential{File: there}}, {Name: "B", Value: "b"}, {Name: "C", ValueFrom: &config.Credential{Env: "C"}}}
			c.Policy = &config.Policy{Providers: []config.Provider{{Name: "p", Credential: &config.Credential{File: there}}, {Name: "q"}}}
		},
		"session key": func(c *config.Effective) { c.Sessions.KeyFile = elsewhere },
		"CA bundle":   func(c *config.Effective) { c.Upstream.CAFile = elsewhere },
		"header": func(c *config.Effective) {
			c.Upstream.Headers = []config.Header{{Name: "A", ValueFrom: &config.Credential{File: elsewhere}}}
		},
		"provider": func(c *config.Effective) {
			c.Policy = &config.Policy{Providers: []config.Provider{{Name: "p", Credential: &config.Credential{File: elsewhere}}}}
		},
	} {
		var c config.Effective
		change(&c)
		got[name] = ""
		if err := mounted(&c); err != nil {
			got[name], _, _ = strings.Cut(err.Error(), ",")
		}
	}
	want := map[string]string{
		"everything there": "", "session key": "the folder of the key of sessions", "CA bundle": "the folder of the CA bundle of the server",
		"header": "the folder of the header A for the server", "provider": "the folder of the key of provider p",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheOwnAddressAmongReplicas(t *testing.T) {
	for name, tc := range map[string]struct{ advertise, want string }{
		"an address gets the port of the replicas": {"10.1.2.3", "10.1.2.3:8080"},
		"one of IPv6 too":                          {"fd00::7", "[fd00::7]:8080"},
		"a port that is given stays":               {"10.1.2.3:9000", "10.1.2.3:9000"},
		"one of IPv6 with a port":                  {"[fd00::7]:9000", "[fd00::7]:9000"},
		"a name is none":                           {"sampler-1", ""},
		"nothing is none":                          {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ownAddress(tc.advertise, "peers.example:8080")
			if got != tc.want || (err != nil) != (tc.want == "") {
				t.Errorf("ownAddress = %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestCertificatesMayComeLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.crt")
	pool := certificates(path, slog.New(slog.DiscardHandler))
	if got := pool(); got == nil || !got.Equal(x509.NewCertPool()) {
		t.Error("without the file other certificates are good than none")
	}
	if err := os.WriteFile(path, []byte(certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := pool(); got.Equal(x509.NewCertPool()) {
		t.Error("the certificate that came is not used")
	}
}

func TestRootCertificatesAreReadWhereTheyAreNeeded(t *testing.T) {
	plain := config.Upstream{URL: "http://server:8000/mcp"}
	with := func(urls ...string) *config.Policy {
		p := &config.Policy{}
		for _, u := range urls {
			p.Providers = append(p.Providers, config.Provider{BaseURL: u})
		}
		return p
	}
	for name, tc := range map[string]struct {
		c    config.Effective
		want bool
	}{
		"nothing verified":   {config.Effective{Upstream: plain, Policy: with("http://llm/v1")}, false},
		"no policy":          {config.Effective{Upstream: plain}, false},
		"the vendor's model": {config.Effective{Upstream: plain, Policy: with("http://llm/v1", "")}, true},
		"a model over https": {config.Effective{Upstream: plain, Policy: with("HTTPS://llm/v1")}, true},
		"a server by https":  {config.Effective{Upstream: config.Upstream{URL: "https://server/mcp"}}, true},
		"a server elsewhere": {config.Effective{Upstream: config.Upstream{URL: "http://server/mcp", External: true}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verifies(&tc.c); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}
