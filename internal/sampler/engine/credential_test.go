package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

func TestTheKeyIsReadForEachRequest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	model := fakellm.New()
	e := start(t, model, Options{}, withKeyFile(path))
	answer := func() *wire.Error {
		_, werr := answerOf(t.Context(), e, plainDeclared, ask(""))
		return werr
	}
	if werr := answer(); werr == nil {
		t.Error("answered without a key")
	}
	if got := e.Status()[0]; got.Credential != statusz.CredentialMissing || got.CredentialRef != "Secret openai, key api-key" || got.Detail != "the key's file does not exist" {
		t.Errorf("status %+v, want a missing key", got)
	}
	for _, key := range []string{"first", "second"} {
		writeFile(t, path, key+"\n")
		if werr := answer(); werr != nil {
			t.Fatal(werr)
		}
		requests := model.Requests()
		if got := requests[len(requests)-1].Header.Get("Authorization"); got != "Bearer "+key {
			t.Errorf("Authorization %q, want the key %q", got, key)
		}
		if got := e.Status()[0]; got.Credential != statusz.CredentialLoaded || got.State != statusz.ProviderHealthy || got.Detail != "" {
			t.Errorf("status %+v, want a loaded key and a healthy provider", got)
		}
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) *config.Credential {
		path := filepath.Join(dir, name)
		writeFile(t, path, text)
		return &config.Credential{File: path}
	}
	t.Setenv("ENGINE_TEST_KEY", " from-env ")
	for name, tc := range map[string]struct {
		credential *config.Credential
		want       string
		wantDetail string
	}{
		"none":                      {nil, "", ""},
		"a variable":                {&config.Credential{Env: "ENGINE_TEST_KEY"}, "from-env", ""},
		"an unset variable":         {&config.Credential{Env: "ENGINE_TEST_UNSET"}, "", "the environment variable ENGINE_TEST_UNSET is not set"},
		"a file":                    {file("a", "\n key \r\n"), "key", ""},
		"an empty file":             {file("b", " \n"), "", "the key is empty"},
		"two lines":                 {file("c", "one\ntwo"), "", "the key holds white space"},
		"a folder":                  {&config.Credential{File: dir}, "", "the key's file cannot be read"},
		"a file without end":        {file("d", strings.Repeat("x", 1<<20)), "", "the key's file cannot be read"},
		"a missing file":            {&config.Credential{File: filepath.Join(dir, "e")}, "", "the key's file does not exist"},
		"a key in another alphabet": {file("f", "ключ"), "", "the key holds white space"},
	} {
		got, err := credential{config: tc.credential}.read()
		if got != tc.want || (err == nil) != (tc.wantDetail == "") {
			t.Errorf("%s: key %q, error %v; want %q", name, got, err, tc.want)
			continue
		}
		if err == nil {
			continue
		}
		if e := asProviderError(err); e.Kind != provider.KindMissingKey || !strings.HasPrefix(e.Detail, tc.wantDetail) {
			t.Errorf("%s: %s %q, want %q", name, e.Kind, e.Detail, tc.wantDetail)
		}
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
